//! Delivery of news to a bot that is away, forgets, refuses or lies: at least once, in order, signed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use jiff::Timestamp;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_agent::driver::{Board, Wakes};
use tidegate_agent::http;
use tidegate_agent::outbox::Deliverer;
use tidegate_agent::settings::BotSettings;
use tidegate_agent::store::{Change, News, Store};
use tidegate_core::events::{Accepted, Batch, Event, HEADER_HOST, HEADER_SIGNATURE, HEADER_TIME, NAMESPACE, Trouble, signed_text};
use tidegate_git::keys::{PublicKey, SigningKey, verify};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the bot answers to the next batches; empty: it takes them.
#[derive(Default)]
struct Bot {
    answers: Vec<StatusCode>,
    /// It takes a batch and the answer is lost.
    forgets: u32,
    /// A text that it never takes.
    poison: Option<String>,
    taken: Vec<String>,
    batches: u32,
}

type Shared = Arc<Mutex<Bot>>;

fn code(event: &Event) -> String {
    match event {
        Event::Trouble(trouble) => trouble.code.clone(),
        _ => "other".into(),
    }
}

fn take(bot: &Shared, key: &PublicKey, headers: &HeaderMap, body: &[u8]) -> (StatusCode, String) {
    let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let host = header(HEADER_HOST).parse().unwrap();
    let time: Timestamp = header(HEADER_TIME).parse().unwrap();
    let armoured = format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", wrapped(&header(HEADER_SIGNATURE)));
    verify(std::slice::from_ref(key), NAMESPACE, &signed_text("the-bot", &host, time, body), &armoured).unwrap();
    let batch: Batch = serde_json::from_slice(body).unwrap();
    let mut bot = bot.lock().unwrap();
    bot.batches += 1;
    if let Some(answer) = bot.answers.pop() {
        return (answer, "not now".into());
    }
    let codes: Vec<String> = batch.events.iter().map(|event| code(&event.event)).collect();
    if codes.iter().any(|code| Some(code) == bot.poison.as_ref()) {
        return (StatusCode::BAD_REQUEST, "I do not know this event".into());
    }
    bot.taken.extend(codes);
    if bot.forgets > 0 {
        bot.forgets -= 1;
        return (StatusCode::BAD_GATEWAY, String::new());
    }
    let through = batch.events.last().unwrap().sequence;
    (StatusCode::OK, serde_json::to_string(&Accepted { through }).unwrap())
}

/// SSHSIG armour has lines of 70 characters.
fn wrapped(text: &str) -> String {
    text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n")
}

/// A bot, an outbox with these codes, and a deliverer between them, until everything is delivered.
fn delivered(bot: Bot, codes: &[&str]) -> (Vec<String>, u32, u64) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (shared, key) = (Arc::new(Mutex::new(bot)), SigningKey::generate().unwrap());
        let (for_route, public) = (Arc::clone(&shared), key.public());
        let route = move |headers: HeaderMap, body: Bytes| async move { take(&for_route, &public, &headers, &body) };
        let bound = http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (url, stop) = (format!("http://{}", bound.address), CancellationToken::new());
        let server = tokio::spawn(bound.serve(Router::new().route("/events", post(route)), stop.clone()));
        let store = Store::open(&folder.path().join("state.db"), Timestamp::now(), News::Kept).unwrap();
        for code in codes {
            let event = Event::Trouble(Trouble { code: (*code).into(), cause: "x".into() });
            store.commit(Change::at(Timestamp::now()).tell(event)).await.unwrap();
        }
        let deliverer = Deliverer {
            host: "web-1".try_into().unwrap(),
            bot: BotSettings { url, audience: "the-bot".into() },
            key,
            store: store.clone(),
            wakes: Arc::new(Wakes::default()),
            board: watch::channel(Board::default()).0,
        };
        let task = tokio::spawn(deliverer.run(stop.clone()));
        let all = async {
            while store.undelivered(1).await.unwrap().waiting > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("everything is delivered in time");
        stop.cancel();
        task.await.unwrap();
        server.await.unwrap();
        let dropped = store.undelivered(1).await.unwrap().dropped;
        let bot = shared.lock().unwrap();
        (bot.taken.clone(), bot.batches, dropped)
    })
}

#[test]
fn everything_arrives_in_order_in_few_batches() {
    let codes: Vec<String> = (0..120).map(|number| format!("t{number}")).collect();
    let texts: Vec<&str> = codes.iter().map(String::as_str).collect();
    let (taken, batches, _) = delivered(Bot::default(), &texts);
    assert_eq!(taken, codes);
    assert_eq!(batches, 3);
}

#[test]
fn a_bot_that_refuses_for_a_while_gets_it_later() {
    let answers = vec![StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE];
    let (taken, batches, dropped) = delivered(Bot { answers, ..Bot::default() }, &["a", "b"]);
    assert_eq!((taken, batches, dropped), (vec!["a".to_owned(), "b".to_owned()], 3, 0));
}

#[test]
fn a_lost_answer_means_twice_and_never_not_at_all() {
    let (taken, _, _) = delivered(Bot { forgets: 1, ..Bot::default() }, &["a", "b"]);
    assert_eq!(taken, ["a", "b", "a", "b"]);
}

#[test]
fn one_piece_of_news_that_is_never_taken_does_not_stop_the_rest() {
    let poison = Some("poison".to_owned());
    let (taken, _, dropped) = delivered(Bot { poison, ..Bot::default() }, &["a", "poison", "b"]);
    assert_eq!((taken, dropped), (vec!["a".to_owned(), "b".to_owned()], 1));
}
