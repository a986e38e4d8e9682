//! The page through its router, without a browser and without a script.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../examples/page-preview/sample.rs"]
mod sample;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use futures_util::StreamExt;
use jiff::Timestamp;
use std::sync::Arc;
use tidegate_bot::command::Command;
use tidegate_bot::page::{Page, Settings, router};
use tidegate_bot::request::{Ask, Reply, Request as Asked};
use tidegate_bot::view::{CommitLine, HostView, Trouble, View};
use tokio::sync::{mpsc, oneshot, watch};
use tower::ServiceExt;

const HOST: &str = "127.0.0.1:9190";
const OWN_ORIGIN: &str = "http://127.0.0.1:9190";

struct World {
    router: Router,
    view: watch::Sender<Arc<View>>,
    asked: mpsc::Receiver<(Asked, oneshot::Sender<Reply>)>,
}

fn world(view: View) -> World {
    let (sender, receiver) = watch::channel(Arc::new(view));
    let (desk, asked) = mpsc::channel(4);
    let router = router(Page::new(receiver, desk, Settings::default()));
    World { router, view: sender, asked }
}

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

impl World {
    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = self.send(Request::get(path).header("host", HOST).body(Body::empty()).unwrap()).await;
        (answer.status(), text(answer).await)
    }

    /// Sends a form as alice while the bot answers as the sample does; the request that reached the bot, if one did.
    async fn form(&mut self, path: &str, body: &str, headers: &[(&str, &str)]) -> (Response<Body>, Option<Asked>) {
        let mut request = Request::post(path).header("host", HOST).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sending = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap());
        let answering = async {
            let (asked, reply) = self.asked.recv().await.expect("the page lives");
            let mut view = View::clone(&self.view.borrow());
            let answer = sample::answer(&mut view, &asked);
            self.view.send_replace(Arc::new(view));
            reply.send(answer).unwrap();
            asked
        };
        tokio::pin!(sending, answering);
        tokio::select! {
            biased;
            asked = &mut answering => (sending.await.unwrap(), Some(asked)),
            answer = &mut sending => (answer.unwrap(), None),
        }
    }
}

async fn text(answer: Response<Body>) -> String {
    String::from_utf8(to_bytes(answer.into_body(), 4_000_000).await.unwrap().to_vec()).unwrap()
}

fn location(answer: &Response<Body>) -> String {
    answer.headers()[header::LOCATION].to_str().unwrap().to_owned()
}

fn approve_form() -> String {
    let expected = sample::candidate(now()).expected;
    format!("do=approve&environment=production&commit={}&plan={}", expected.commit, expected.plan)
}

const ALICE: [(&str, &str); 2] = [("cookie", "other=1; tidegate-person=alice"), ("origin", OWN_ORIGIN)];

#[tokio::test]
async fn the_page_is_complete_without_a_script() {
    let world = world(sample::view(now()));
    let (status, html) = world.get("/").await;
    assert_eq!(status, StatusCode::OK);
    for shown in ["needs_approval", "window_closed", "web:1.8.2", "web-4", "never heard", "Approve production release 41", "Roll back shop"]
    {
        assert!(html.contains(shown), "{shown}");
    }
    for once in ["<main", "<header class=\"top\"", "<footer", "<h1"] {
        assert_eq!(html.matches(once).count(), 1, "{once}");
    }
    assert!(!html.contains(" style="), "the policy allows no inline styles");
    assert!(!html.contains("onclick") && html.matches("<script").count() == 1, "the policy allows no inline scripts");
}

#[tokio::test]
async fn ids_are_unique() {
    let mut view = sample::view(now());
    view.cards.push(view.cards[0].clone());
    let (_, html) = world(view).get("/").await;
    let mut ids: Vec<&str> = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

#[tokio::test]
async fn approving_without_a_script_leads_back_to_the_page_with_the_outcome() {
    let mut world = world(sample::view(now()));
    let (answer, asked) = world.form("/act", &approve_form(), &ALICE).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let asked = asked.expect("the bot was asked");
    assert_eq!((asked.actor.platform.as_str(), asked.actor.user.as_str()), ("local", "alice"));
    let Ask::Command { command: Command::Approve { .. }, expected } = asked.ask else { panic!("{asked:?}") };
    assert_eq!(expected, Some(sample::candidate(now()).expected));
    let (_, html) = world.get(&location(&answer)).await;
    assert!(html.contains("<p>Approved; waits for the window <code>weekdays</code>.</p>"), "{html}");
    assert!(!html.contains("Approve production release 41"), "the button is gone");
    let (_, later) = world.get("/?outcome=00000000000000000000000000000000").await;
    assert!(later.contains("<div id=\"outcome\" role=\"status\"></div>"), "a made-up link shows nothing");
}

#[tokio::test]
async fn the_script_gets_the_outcome_alone() {
    let mut world = world(sample::view(now()));
    let live = [ALICE[0], ("sec-fetch-site", "same-origin"), ("tidegate-live", "1")];
    let (answer, _) = world.form("/say", "text=status", &live).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let fragment = text(answer).await;
    assert!(fragment.starts_with("<div class=\"outcome") && fragment.contains("Said."), "{fragment}");
}

#[tokio::test]
async fn forms_of_other_sites_never_reach_the_bot() {
    let mut world = world(sample::view(now()));
    let foreign: [&[(&str, &str)]; 5] = [
        &[ALICE[0], ("sec-fetch-site", "cross-site")],
        &[ALICE[0], ("sec-fetch-site", "same-site"), ("origin", OWN_ORIGIN)],
        &[ALICE[0], ("origin", "https://evil.example")],
        &[ALICE[0], ("origin", "http://127.0.0.1:9999")],
        &[ALICE[0], ("origin", "null")],
    ];
    for headers in foreign {
        for path in ["/act", "/say", "/person"] {
            let (answer, asked) = world.form(path, &approve_form(), headers).await;
            assert_eq!((answer.status(), asked), (StatusCode::FORBIDDEN, None), "{path} {headers:?}");
        }
    }
}

#[tokio::test]
async fn a_foreign_name_that_resolves_to_loopback_is_refused() {
    let world = world(sample::view(now()));
    for path in ["/", "/live", "/nothing"] {
        let answer = world.send(Request::get(path).header("host", "rebound.example:9190").body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
        assert!(!text(answer).await.contains("shop"));
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let world = world(sample::view(now()));
    for path in ["/", "/nothing"] {
        let answer = world.send(Request::get(path).header("host", HOST).body(Body::empty()).unwrap()).await;
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn nobody_acts_before_saying_who_they_are() {
    let mut world = world(sample::view(now()));
    for cookie in ["", "tidegate-person=mallory", "tidegate-person=<b>", "xtidegate-person=alice"] {
        let (answer, asked) = world.form("/act", &approve_form(), &[("cookie", cookie), ("origin", OWN_ORIGIN)]).await;
        assert_eq!((answer.status(), asked), (StatusCode::SEE_OTHER, None));
        let (_, html) = world.get(&location(&answer)).await;
        assert!(html.contains("Say who you are first"), "{cookie}");
    }
    let (answer, _) = world.form("/person", "person=mallory", &[("origin", OWN_ORIGIN)]).await;
    assert!(answer.headers().get(header::SET_COOKIE).is_none());
    let (answer, _) = world.form("/person", "person=bob", &[("origin", OWN_ORIGIN)]).await;
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("tidegate-person=bob; ") && cookie.ends_with("HttpOnly; SameSite=Strict"), "{cookie}");
}

#[tokio::test]
async fn what_is_for_one_person_is_shown_to_that_person_alone() {
    let world = world(sample::view(now()));
    for (person, sees) in [("alice", false), ("bob", true)] {
        let request = Request::get("/").header("host", HOST).header("cookie", format!("tidegate-person={person}"));
        let html = text(world.send(request.body(Body::empty()).unwrap()).await).await;
        assert_eq!(html.contains("authors may not approve their own release"), sees, "{person}");
        let request = Request::get("/api/view").header("host", HOST).header("cookie", format!("tidegate-person={person}"));
        let view: serde_json::Value = serde_json::from_str(&text(world.send(request.body(Body::empty()).unwrap()).await).await).unwrap();
        assert_eq!(view["cards"][0]["stage"], "needs_approval");
        let lines = view["console"]["lines"].as_array().unwrap();
        assert_eq!(lines.iter().any(|line| line["private_to"] == "bob"), sees, "{person}");
    }
}

#[tokio::test]
async fn broken_and_oversized_forms_change_nothing() {
    let mut world = world(sample::view(now()));
    for body in [
        "do=approve&environment=production",
        "do=rollback&environment=production&stack=shop&to=x",
        "do=approve&environment=..&commit=1&plan=2",
    ] {
        let (answer, asked) = world.form("/act", body, &ALICE).await;
        assert_eq!(asked, None, "{body}");
        let (_, html) = world.get(&location(&answer)).await;
        assert!(html.contains("This form does not say what it should"), "{body}");
    }
    let (answer, asked) = world.form("/say", &format!("text={}", "x".repeat(20_000)), &ALICE).await;
    assert_eq!((answer.status(), asked), (StatusCode::PAYLOAD_TOO_LARGE, None));
    let (answer, asked) = world.form("/act", "do=approve&surprise=1", &ALICE).await;
    assert!(answer.status().is_client_error());
    assert_eq!(asked, None);
}

/// Text that would break out of every place it could stand in.
const HOSTILE: &str = "</pre></script>\"'><script>alert(1)</script><img src=x onerror=alert(1)>&\r\nevent: view\r\ndata: 1\r\n\r\n";

fn hostile() -> View {
    let mut view = sample::view(now());
    let text = || HOSTILE.to_owned();
    let line = CommitLine { commit: sample::commit('b'), author: text(), subject: text(), at: now() };
    view.source.tip = Some(line.clone());
    view.source.branch = text();
    view.source.trouble = Some(Trouble { words: text(), details: vec![text()] });
    for wait in &mut view.waits {
        (wait.code, wait.words, wait.cleared_by) = (text(), text(), Some(text()));
    }
    for environment in &mut view.environments {
        environment.window.words = text();
        environment.holds.iter_mut().for_each(|hold| (hold.by, hold.reason) = (Some(text()), text()));
        for host in &mut environment.hosts {
            (host.agent_version, host.troubles) = (Some(text()), vec![text()]);
            host.stacks.values_mut().flat_map(|stack| stack.services.values_mut()).for_each(|service| service.image = text());
        }
    }
    for card in &mut view.cards {
        (card.words, card.requested_by, card.reason, card.authors) = (text(), Some(text()), Some(text()), vec![text()]);
        card.commits = vec![line.clone()];
        card.approvals.given = vec![(text(), now())];
        card.approvals.missing = Some(text());
        card.waits = view.waits.clone();
        card.changes.iter_mut().flat_map(|change| &mut change.services).for_each(|service| {
            (service.from, service.to, service.details) = (Some(text()), Some(text()), vec![text()]);
        });
        card.rollout.iter_mut().for_each(|host| host.words = text());
        card.timeline.iter_mut().for_each(|entry| (entry.who, entry.what) = (text(), text()));
        card.result.iter_mut().for_each(|result| (result.words, result.log) = (text(), vec![text()]));
        card.actions.rollbacks.iter_mut().flat_map(|choice| &mut choice.targets).for_each(|target| target.label = text());
    }
    view.activity.iter_mut().for_each(|line| (line.who, line.what) = (text(), text()));
    if let Some(console) = &mut view.console {
        console.lines.iter_mut().for_each(|line| line.text = text());
        console.people.iter_mut().for_each(|person| (person.full_name, person.roles) = (text(), vec![text()]));
    }
    view
}

#[tokio::test]
async fn foreign_text_forges_no_markup_and_no_events() {
    let (_, plain) = world(sample::view(now())).get("/").await;
    let world = world(hostile());
    let (_, html) = world.get("/").await;
    assert!(html.matches("&lt;script&gt;alert(1)").count() > 50);
    for tag in ["<script", "<img", "</pre>", "onerror=\""] {
        let own = if tag == "</pre>" { html.matches("<pre").count() } else { plain.matches(tag).count() };
        assert_eq!(html.matches(tag).count(), own, "{tag}");
    }
    let event = first_event(&world).await;
    assert_eq!(event.matches("event:").count() - event.matches("\\nevent:").count(), 1, "one event");
    let data: Vec<&str> = event.split('\n').filter(|line| line.starts_with("data:")).collect();
    assert_eq!(data.len(), 1);
    assert!(!data[0].contains('\r'));
}

async fn first_event(world: &World) -> String {
    let answer = world.send(Request::get("/live").header("host", HOST).body(Body::empty()).unwrap()).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    next_event(&mut answer.into_body().into_data_stream()).await
}

async fn next_event(stream: &mut axum::body::BodyDataStream) -> String {
    let mut event = String::new();
    while !event.ends_with("\n\n") {
        let chunk = tokio::time::timeout(std::time::Duration::from_secs(5), stream.next()).await.expect("an event in time");
        event.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    event
}

#[tokio::test]
async fn the_stream_sends_all_regions_and_only_the_newest_state() {
    let world = world(sample::view(now()));
    let answer = world.send(Request::get("/live").header("host", HOST).body(Body::empty()).unwrap()).await;
    let mut stream = answer.into_body().into_data_stream();
    let first = next_event(&mut stream).await;
    for region in ["source", "waits", "fleet", "releases", "activity", "transcript"] {
        assert!(first.contains(&format!("id=\\\"{region}\\\"")), "{region}");
    }
    for number in 0..200 {
        let mut view = sample::view(now());
        view.waits[0].words = format!("state number {number}.");
        world.view.send_replace(Arc::new(view));
    }
    let second = next_event(&mut stream).await;
    assert!(second.contains("state number 199.") && !second.contains("state number 198."));
}

#[tokio::test]
async fn assets_are_kept_for_good_and_named_by_content() {
    let world = world(View::empty(now()));
    let (_, html) = world.get("/").await;
    for kind in [".css", ".js"] {
        let end = html.find(&format!("page{kind}\"")).unwrap() + 4 + kind.len();
        let start = html[..end].rfind('"').unwrap() + 1;
        let answer = world.send(Request::get(&html[start..end]).header("host", HOST).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    }
    assert!(html.contains("has not read the config repo yet"));
    assert!(!html.contains("You are"), "no console, no forms");
}

#[tokio::test]
async fn five_thousand_hosts_stay_one_readable_page() {
    let mut view = sample::view(now());
    let one = view.environments[1].hosts[0].clone();
    let mut all: Vec<_> = (0..5_000).map(|number| HostView { name: format!("web-{number}").parse().unwrap(), ..one.clone() }).collect();
    all[4_999].silent = true;
    view.environments[1].hosts = all;
    let (_, html) = world(view).get("/").await;
    assert!(html.len() < 400_000, "{} bytes", html.len());
    for shown in ["5000 hosts, 1 silent or in trouble", "10000/10000", "and 4940 more hosts", "web-4999"] {
        assert!(html.contains(shown), "{shown}");
    }
}

#[tokio::test]
async fn the_calendar_shows_a_month_and_a_list_without_a_script() {
    let world = world(sample::view(now()));
    let (status, html) = world.get("/calendar?month=2026-11").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(html.matches("<span class=\"day\">").count(), 30, "every day of the month");
    for part in [
        "November 2026",
        "Days of Europe/Berlin",
        "The shelves are counted &amp; nothing may move",
        "frozen all day",
        "release 41 (shop) needs approval, then may start",
        "href=\"/calendar/production.ics\"",
        "href=\"/calendar?month=2026-12\"",
    ] {
        assert!(html.contains(part), "{part}\n{html}");
    }
    assert!(!html.contains("style="), "the content security policy forbids styles in elements");
    let (status, html) = world.get("/calendar?month=%3Cscript%3E").await;
    assert!(status == StatusCode::OK && !html.contains("<script>"), "what is no month is this one");
}

#[tokio::test]
async fn the_feed_can_be_subscribed_to_and_asking_again_costs_nothing() {
    let world = world(sample::view(now()));
    let ask = async |path: &str, header: Option<(&str, &str)>| {
        let request = Request::get(path).header("host", HOST);
        let request = header.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        world.send(request.body(Body::empty()).unwrap()).await
    };
    let first = ask("/calendar/production.ics", None).await;
    assert_eq!(first.headers()[header::CONTENT_TYPE], "text/calendar; charset=utf-8");
    let header = |name: header::HeaderName| first.headers()[name].to_str().unwrap().to_owned();
    let (tag, modified) = (header(header::ETAG), header(header::LAST_MODIFIED));
    let feed = text(first).await;
    assert!(
        feed.starts_with("BEGIN:VCALENDAR\r\n") && feed.contains("REFRESH-INTERVAL") && feed.contains("frozen (stocktaking)"),
        "{feed}"
    );
    for known in [("if-none-match", tag.as_str()), ("if-modified-since", modified.as_str())] {
        let again = ask("/calendar/production.ics", Some(known)).await;
        assert_eq!(
            (again.status(), again.headers()[header::ETAG].to_str().unwrap()),
            (StatusCode::NOT_MODIFIED, tag.as_str()),
            "{known:?}"
        );
        assert_eq!(text(again).await, "");
    }
    // Another freeze is another feed; what was there keeps its id.
    let mut view = View::clone(&world.view.borrow());
    view.environments[1].calendar = view.environments[0].calendar.clone();
    world.view.send_replace(Arc::new(view));
    let changed = ask("/calendar/production.ics", Some(("if-none-match", &tag))).await;
    assert_eq!(changed.status(), StatusCode::OK);
    assert_ne!(changed.headers()[header::ETAG].to_str().unwrap(), tag);
    for nothing in ["/calendar/production", "/calendar/nowhere.ics", "/calendar/..%2Fx.ics"] {
        assert_eq!(ask(nothing, None).await.status(), StatusCode::NOT_FOUND, "{nothing}");
    }
}
