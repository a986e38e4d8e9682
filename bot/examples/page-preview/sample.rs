//! A made-up fleet with one of everything that the page can show.

use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use tidegate_bot::command::Command;
use tidegate_bot::request::{Ask, CandidateRef, Committed, Outcome, Planned, PlannedState, Reply, Request};
use tidegate_bot::view::*;
use tidegate_core::calendar::{Calendar, RawCalendar, RawFreeze, RawWindow, RawWindows, Zones};
use tidegate_core::events::ServiceStatus;
use tidegate_core::ids::{CommitId, ContentId, ReleaseNumber};
use tidegate_core::lock::ReleaseKind;
use tidegate_core::observed::Health;
use tidegate_core::policy::Subject;

/// Parses a name that stands in this file.
pub fn id<T: TryFrom<&'static str, Error: std::fmt::Debug>>(text: &'static str) -> T {
    T::try_from(text).expect("a valid name")
}

/// A commit id made of one digit.
pub fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().expect("a valid commit id")
}

/// `secs` before `now`.
pub fn before(now: Timestamp, secs: i64) -> Timestamp {
    now - SignedDuration::from_secs(secs)
}

/// The sample, as it would be at `now`.
pub fn view(now: Timestamp) -> View {
    let tip =
        CommitLine { commit: commit('e'), author: "Alice Example".into(), subject: "Show prices with tax".into(), at: before(now, 400) };
    View {
        generated_at: now,
        source: SourceView { branch: "main".into(), tip: Some(tip), polled_at: Some(before(now, 4)), trouble: None },
        waits: vec![approval_wait(), window_wait(now), failed_wait()],
        environments: vec![staging(now), production(now)],
        cards: vec![candidate(now), rolling(now), failed(now), live(now), past(now)],
        activity: activity(now),
        console: Some(console(now)),
    }
}

fn approval_wait() -> WaitView {
    WaitView {
        environment: id("production"),
        stack: Some(id("shop")),
        hosts: Vec::new(),
        code: "needs_approval".into(),
        words: "needs one approval by an engineer.".into(),
        cleared_by: Some("Alice or Carol: press Approve, or say `approve production`.".into()),
        next: None,
    }
}

fn window_wait(now: Timestamp) -> WaitView {
    WaitView {
        environment: id("production"),
        stack: Some(id("billing")),
        hosts: vec![id("web-1"), id("web-2")],
        code: "window_closed".into(),
        words: "release 41 waits for the window `weekdays`.".into(),
        cleared_by: Some("An override by an on-call engineer.".into()),
        next: Some(before(now, -3 * 3_600)),
    }
}

fn failed_wait() -> WaitView {
    WaitView {
        environment: id("staging"),
        stack: Some(id("search")),
        hosts: vec![id("stage-1")],
        code: "failed_here".into(),
        words: "release 12 failed its health check; it is not tried again until its content differs or somebody resumes it.".into(),
        cleared_by: Some("`resume search` in chat.".into()),
        next: None,
    }
}

/// One service of a sample host.
fn service(image: &str, (running, wanted): (u32, u32), health: Option<Health>, since: Timestamp) -> ServiceStatus {
    ServiceStatus { image: image.into(), wanted, running, health, since: Some(since) }
}

fn stack(release: u64, services: Vec<(&'static str, ServiceStatus)>) -> StackView {
    let services: BTreeMap<_, _> = services.into_iter().map(|(name, status)| (id(name), status)).collect();
    StackView { release: Some(ReleaseNumber(release)), commit: Some(commit('c')), since: None, services }
}

fn host(name: &'static str, heard_at: Timestamp, stacks: Vec<(&'static str, StackView)>) -> HostView {
    HostView {
        heard_at: Some(heard_at),
        agent_version: Some("0.1.0".into()),
        observed_commit: Some(commit('e')),
        stacks: stacks.into_iter().map(|(name, stack)| (id(name), stack)).collect(),
        ..HostView::unheard(id(name))
    }
}

fn staging(now: Timestamp) -> EnvironmentView {
    let good = Some(Health::Healthy);
    let shop = stack(
        12,
        vec![("web", service("web:1.9.0", (2, 2), good, before(now, 340))), ("api", service("api:2.4.1", (1, 1), good, before(now, 330)))],
    );
    let search = stack(11, vec![("index", service("search:0.7.3", (1, 1), Some(Health::Starting), before(now, 20)))]);
    let hold = HoldView {
        stack: Some(id("search")),
        release: Some(ReleaseNumber(12)),
        by: None,
        reason: "failed its health check".into(),
        at: before(now, 900),
        until: None,
    };
    EnvironmentView {
        name: id("staging"),
        release: Some(ReleaseNumber(12)),
        window: WindowView { state: WindowState::Open, words: "always open".into(), changes_at: None },
        calendar: Some(calendar(RawCalendar::default(), Vec::new())),
        holds: vec![hold],
        hosts: vec![host("stage-1", before(now, 3), vec![("shop", shop), ("search", search)])],
    }
}

fn calendar(raw: RawCalendar, planned: Vec<Planned>) -> CalendarView {
    let rules = Calendar::new(&raw, &Zones::bundled()).unwrap_or_default();
    let zone = if raw.windows == RawWindows::Absent { "UTC" } else { "Europe/Berlin" };
    CalendarView { rules, zone: zone.into(), planned, overrides: Vec::new() }
}

fn office_hours(now: Timestamp) -> CalendarView {
    let window = |cron: &str, duration: &str| RawWindow {
        cron: Some(cron.into()),
        duration: Some(duration.into()),
        tz: Some("Europe/Berlin".into()),
        ..RawWindow::default()
    };
    let day = |days: i64| Some(before(now, -days * 24 * 3_600).strftime("%Y-%m-%dT00:00").to_string());
    let freeze = RawFreeze {
        name: Some("stocktaking".into()),
        reason: Some("The shelves are counted & nothing may move".into()),
        from: day(3),
        until: day(6),
        tz: Some("Europe/Berlin".into()),
        ..RawFreeze::default()
    };
    let windows = RawWindows::List(vec![window("0 9 * * MON-THU", "7h30m"), window("0 22 * * SAT", "8h")]);
    let planned = Planned {
        release: ReleaseNumber(41),
        stacks: vec![id("shop")],
        state: PlannedState::NeedsApproval,
        starts_at: Some(before(now, -3 * 3_600)),
    };
    calendar(RawCalendar { windows, freezes: vec![freeze], cutoff: Some("30m".into()) }, vec![planned])
}

fn production(now: Timestamp) -> EnvironmentView {
    let good = Some(Health::Healthy);
    let shop = |running: u32| {
        stack(
            40,
            vec![
                ("web", service("web:1.8.2", (running, 2), good, before(now, 200_000))),
                ("api", service("api:2.4.0", (1, 1), good, before(now, 200_000))),
            ],
        )
    };
    let billing = |health: Health| stack(39, vec![("worker", service("billing:3.1", (1, 1), Some(health), before(now, 86_400)))]);
    let mut second = host("web-2", before(now, 9), vec![("shop", shop(1)), ("billing", billing(Health::Unhealthy))]);
    second.troubles.push("The registry has not answered for 12 minutes.".into());
    let mut third = host("web-3", before(now, 4_000), vec![("shop", shop(2))]);
    third.silent = true;
    EnvironmentView {
        name: id("production"),
        release: Some(ReleaseNumber(40)),
        window: WindowView {
            state: WindowState::Closed,
            words: "closed, opens at 15:00 (weekdays)".into(),
            changes_at: Some(before(now, -3 * 3_600)),
        },
        calendar: Some(office_hours(now)),
        holds: Vec::new(),
        hosts: vec![
            host("web-1", before(now, 5), vec![("shop", shop(2)), ("billing", billing(Health::Healthy))]),
            second,
            third,
            HostView::unheard(id("web-4")),
        ],
    }
}

fn card(environment: &'static str, release: u64, stage: Stage, words: &str) -> Card {
    Card {
        environment: id(environment),
        release: ReleaseNumber(release),
        kind: ReleaseKind::Release,
        stage,
        words: words.into(),
        expected: Expected { commit: commit('e'), plan: ContentId::of_bytes(format!("{environment}{release}").as_bytes()) },
        commit: commit('e'),
        requested_by: None,
        reason: None,
        changes: Vec::new(),
        authors: vec!["Alice Example".into()],
        commits: Vec::new(),
        commits_not_listed: 0,
        approvals: ApprovalsView::default(),
        window: None,
        waits: Vec::new(),
        rollout: Vec::new(),
        result: None,
        timeline: Vec::new(),
        actions: Actions::default(),
    }
}

fn change(stack: &'static str, now: u64, services: Vec<(&'static str, Option<&str>, Option<&str>)>) -> StackChange {
    let one = |(name, from, to): (&'static str, Option<&str>, Option<&str>)| ServiceChange {
        service: id(name),
        from: from.map(Into::into),
        to: to.map(Into::into),
        details: Vec::new(),
    };
    StackChange { stack: id(stack), from_release: Some(ReleaseNumber(now)), services: services.into_iter().map(one).collect() }
}

fn entry(at: Timestamp, who: &str, what: &str, tone: Tone) -> TimelineEntry {
    TimelineEntry { at, who: who.into(), what: what.into(), tone }
}

/// A candidate that asks for a decision.
pub fn candidate(now: Timestamp) -> Card {
    let mut card = card("production", 41, Stage::NeedsApproval, "Needs one approval by an engineer who is not an author.");
    card.changes = vec![
        change("shop", 40, vec![("web", Some("web:1.8.2"), Some("web:1.9.0")), ("api", Some("api:2.4.0"), Some("api:2.4.1"))]),
        change("search", 38, vec![("index", None, Some("search:0.7.3"))]),
    ];
    card.changes[0].services[0].details = vec!["environment.LOG_LEVEL: info → debug".into(), "environment.DB_PASSWORD: (changed)".into()];
    card.commits = vec![
        CommitLine { commit: commit('e'), author: "Alice Example".into(), subject: "Show prices with tax".into(), at: before(now, 400) },
        CommitLine {
            commit: commit('d'),
            author: "Bob Example".into(),
            subject: "api: answer 404 for <script>alert(1)</script> & co".into(),
            at: before(now, 4_000),
        },
    ];
    card.commits_not_listed = 3;
    card.authors = vec!["Alice Example".into(), "Bob Example".into()];
    card.approvals = ApprovalsView { needed: 1, given: Vec::new(), missing: Some("Carol may approve.".into()) };
    card.window = Some(WindowView {
        state: WindowState::Closed,
        words: "would go out at 15:00 (weekdays)".into(),
        changes_at: Some(before(now, -3 * 3_600)),
    });
    card.timeline = vec![entry(before(now, 390), "Tidegate", "found this candidate", Tone::Plain)];
    card.actions.decide = Decide::Asked;
    card
}

fn rolling(now: Timestamp) -> Card {
    let mut card = card("staging", 13, Stage::RollingOut, "Under way on one of two hosts.");
    card.changes = vec![change("shop", 12, vec![("web", Some("web:1.9.0"), Some("web:1.9.1"))])];
    card.rollout = vec![
        HostProgress {
            host: id("stage-1"),
            stack: id("shop"),
            state: ProgressState::Running,
            done: 3,
            steps: 7,
            words: "waits until shop-web-1-4fd2c1aa is ready".into(),
            at: Some(before(now, 3)),
        },
        HostProgress {
            host: id("stage-2"),
            stack: id("shop"),
            state: ProgressState::Pending,
            done: 0,
            steps: 0,
            words: "has not seen the release yet".into(),
            at: None,
        },
    ];
    card.timeline = vec![
        entry(before(now, 30), "Tidegate", "released, no approval needed", Tone::Plain),
        entry(before(now, 12), "stage-1", "began", Tone::Plain),
        entry(before(now, 3), "stage-1", "started web, waits for its health", Tone::Plain),
    ];
    card
}

fn failed(now: Timestamp) -> Card {
    let mut card = card("staging", 12, Stage::FailedRolledBack, "Failed on stage-1; release 11 serves again.");
    card.kind = ReleaseKind::AutomaticRollback;
    card.changes = vec![change("search", 12, vec![("index", Some("search:0.8.0"), Some("search:0.7.3"))])];
    card.result = Some(ResultView {
        tone: Tone::Bad,
        words: "failed, rolled back: index never became healthy within 45 s".into(),
        log: vec!["panic: cannot open /data/index: permission denied".into(), "health: exit 1: connection refused".into()],
    });
    card.timeline = vec![
        entry(before(now, 960), "stage-1", "began", Tone::Plain),
        entry(before(now, 910), "stage-1", "index failed its health check", Tone::Bad),
        entry(before(now, 900), "Tidegate", "made git true again and holds release 12", Tone::Warning),
    ];
    card
}

fn live(now: Timestamp) -> Card {
    let mut card = card("production", 40, Stage::Live, "Verified on three hosts two days ago.");
    card.changes = vec![change("shop", 39, vec![("web", Some("web:1.8.1"), Some("web:1.8.2"))])];
    card.approvals = ApprovalsView { needed: 1, given: vec![("Carol Example".into(), before(now, 200_100))], missing: None };
    card.result = Some(ResultView { tone: Tone::Good, words: "live on 3 of 3 hosts, 4 min from merge".into(), log: Vec::new() });
    let target = |release: u64, label: &str| RollbackTarget { release: ReleaseNumber(release), label: label.into() };
    card.actions.rollbacks = vec![RollbackChoice {
        stack: id("shop"),
        targets: vec![target(39, "web:1.8.1, api:2.4.0 · verified 9 days ago"), target(37, "web:1.8.0, api:2.3.9 · verified 16 days ago")],
    }];
    card
}

fn past(now: Timestamp) -> Card {
    let mut card = card("production", 39, Stage::Superseded, "A newer release took its place.");
    card.changes =
        vec![change("shop", 37, vec![("web", Some("web:1.8.0"), Some("web:1.8.1")), ("api", Some("api:2.3.9"), Some("api:2.4.0"))])];
    card.timeline = vec![entry(before(now, 800_000), "Tidegate", "committed the release as cccccccccc", Tone::Good)];
    card
}

fn activity(now: Timestamp) -> Vec<ActivityLine> {
    let line = |secs: i64, who: &str, what: &str, tone: Tone| ActivityLine {
        at: before(now, secs),
        who: who.into(),
        what: what.into(),
        commit: matches!(tone, Tone::Plain | Tone::Good).then(|| commit('a')),
        tone,
    };
    let older = (1..30).map(|days| line(200_100 + 86_400 * days, "Tidegate", "released staging without asking", Tone::Plain));
    let newest = [
        line(30, "Tidegate", "released staging 13: shop", Tone::Plain),
        line(120, "Bob Example", "was refused: approve production (an author may not approve)", Tone::Warning),
        line(900, "Tidegate", "rolled staging back: search, release 12 is held", Tone::Bad),
        line(200_100, "Carol Example", "approved production 40", Tone::Good),
    ];
    newest.into_iter().chain(older).collect()
}

fn console(now: Timestamp) -> ConsoleView {
    let person = |name: &'static str, full: &str, role: &str| ChatPerson {
        person: id(name),
        identity: name.into(),
        full_name: full.into(),
        roles: vec![role.into()],
    };
    let said = |number: u64, secs: i64, speaker: Speaker, text: &str, tone: Tone| ChatLine {
        number,
        at: before(now, secs),
        speaker,
        private_to: None,
        text: text.into(),
        tone,
    };
    let mut refused = said(4, 119, Speaker::Bot, "Only you: authors may not approve their own release. Carol may.", Tone::Warning);
    refused.private_to = Some(id("bob"));
    ConsoleView {
        people: vec![
            person("alice", "Alice Example", "engineer"),
            person("bob", "Bob Example", "engineer"),
            person("carol", "Carol Example", "on-call"),
        ],
        lines: vec![
            said(1, 500, Speaker::Person("Alice Example".into()), "status", Tone::Plain),
            said(
                2,
                499,
                Speaker::Bot,
                "staging: release 13 is rolling out.\nproduction: release 40 is live; release 41 needs one approval.",
                Tone::Plain,
            ),
            said(3, 120, Speaker::Person("Bob Example".into()), "approve production", Tone::Plain),
            refused,
            said(5, 60, Speaker::Bot, "production / shop: release 41 waits for the window `weekdays`, which opens at 15:00.", Tone::Plain),
        ],
    }
}

/// Changes the sample as the bot would, as far as a look at the page needs it.
pub fn answer(view: &mut View, request: &Request) -> Reply {
    view.generated_at = Timestamp::now();
    let who = request.actor.user.clone();
    let words = match &request.ask {
        Ask::Line(text) => {
            say(view, Speaker::Person(who.clone()), text.clone());
            say(view, Speaker::Bot, format!("You said `{text}`; nothing is behind this page."));
            "Said.".to_owned()
        }
        Ask::Command { command: Command::Approve { .. }, expected } => {
            decided(view, expected.as_ref(), (Stage::Waiting, "Approved; waits for the window `weekdays`."))
        }
        Ask::Command { command: Command::Reject { .. }, expected } => decided(view, expected.as_ref(), (Stage::Rejected, "Rejected.")),
        Ask::Command { command, .. } | Ask::Confirmed { command, .. } => {
            format!("Nothing is behind this page, so `{}` changes nothing.", command.word())
        }
    };
    let candidate = CandidateRef { environment: id("production"), release: ReleaseNumber(41), commit: commit('e'), stacks: Vec::new() };
    let outcome = match &request.ask {
        Ask::Command { command: Command::Approve { .. }, .. } => {
            Outcome::Released(Committed { candidate, lock_commit: commit('a'), waiting: None })
        }
        Ask::Command { command: Command::Reject { .. }, .. } => Outcome::Rejected(candidate),
        _ => Outcome::Help,
    };
    Reply { outcome, words, person: who.parse().ok() }
}

fn decided(view: &mut View, expected: Option<&Subject>, (stage, words): (Stage, &str)) -> String {
    let meant = |card: &&mut Card| {
        Some(&card.expected.commit) == expected.map(|e| &e.commit) && Some(&card.expected.plan) == expected.map(|e| &e.plan)
    };
    let Some(card) = view.cards.iter_mut().find(meant) else { return "That candidate is not this one any more.".to_owned() };
    card.stage = stage;
    card.words = words.to_owned();
    card.actions.decide = Decide::NotAsked;
    view.waits.retain(|wait| wait.code != "needs_approval");
    words.to_owned()
}

fn say(view: &mut View, speaker: Speaker, text: String) {
    let Some(console) = &mut view.console else { return };
    let number = console.lines.last().map_or(1, |line| line.number + 1);
    console.lines.push(ChatLine { number, at: view.generated_at, speaker, private_to: None, text, tone: Tone::Plain });
}
