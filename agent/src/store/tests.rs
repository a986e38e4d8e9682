//! The store on real files: what was written is there again, in one piece, and the outbox keeps its promises.

use super::*;
use tidegate_core::events::{ConfigRefused, Event, HostStatus, Recovered, RolloutProgress, Trouble};
use tidegate_core::ids::{CommitId, ContentId};

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("state.db"), now(), News::Kept).unwrap()
}

fn block<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn trouble(code: &str) -> Event {
    Event::Trouble(Trouble { code: code.into(), cause: "x".into() })
}

fn status(version: &str) -> Event {
    Event::Status(Box::new(HostStatus {
        host: "web-1".try_into().unwrap(),
        environment: "production".try_into().unwrap(),
        agent_version: version.into(),
        engine_version: None,
        tzdata: "2026a".into(),
        observed_commit: None,
        last_poll: None,
        poll_interval_secs: 30,
        stacks: Default::default(),
    }))
}

fn progress() -> Event {
    let of = tidegate_core::events::ReleaseOf {
        environment: "production".try_into().unwrap(),
        stack: "shop".try_into().unwrap(),
        release: None,
        content: ContentId::of_bytes(b"x"),
        commit: commit('a'),
    };
    Event::Progress(RolloutProgress { of, done: 1, steps: 2, doing: "start".into() })
}

fn codes(undelivered: &Undelivered) -> Vec<String> {
    let code = |event: &Event| match event {
        Event::Trouble(t) => t.code.clone(),
        Event::Status(s) => format!("status {}", s.agent_version),
        Event::Progress(_) => "progress".into(),
        other => format!("{other:?}"),
    };
    undelivered.events.iter().map(|s| code(&s.event)).collect()
}

#[test]
fn a_change_is_there_after_opening_again() {
    block(async {
        let folder = tempfile::tempdir().unwrap();
        let stack: StackName = "shop".try_into().unwrap();
        let memory = StackMemory { removal: Removal::Confirmed, ..StackMemory::default() };
        let change = Change::at(now())
            .write(Write::Trusted(commit('a')))
            .write(Write::Environment("production".try_into().unwrap()))
            .write(Write::ClockSeen(now()))
            .write(Write::Trouble("git_unreachable".into(), TroubleMemory { cause: "no route".into(), since: now() }))
            .stack(&stack, &memory)
            .tell(trouble("git_unreachable"));
        open(&folder).commit(change).await.unwrap();
        let store = open(&folder);
        let read = store.memory().await.unwrap();
        assert_eq!(read.trusted, Some(commit('a')));
        assert_eq!(read.stacks[&stack], memory);
        assert_eq!(read.troubles["git_unreachable"].cause, "no route");
        assert_eq!(read.clock_seen, Some(now()));
        assert_eq!(codes(&store.undelivered(10).await.unwrap()), ["git_unreachable"]);
        let change = Change::at(now()).write(Write::Forget(stack)).write(Write::TroubleOver("git_unreachable".into()));
        store.commit(change.tell(Event::Recovered(Recovered { code: "git_unreachable".into() }))).await.unwrap();
        let read = store.memory().await.unwrap();
        assert!(read.stacks.is_empty() && read.troubles.is_empty());
    });
}

#[test]
fn events_keep_their_order_and_numbers_rise_after_delivery() {
    block(async {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        store.commit(Change::at(now()).tell(trouble("a")).tell(trouble("b"))).await.unwrap();
        let first = store.undelivered(10).await.unwrap();
        assert_eq!(codes(&first), ["a", "b"]);
        store.delivered(first.events[1].sequence).await.unwrap();
        store.commit(Change::at(now()).tell(trouble("c"))).await.unwrap();
        let second = open(&folder).undelivered(10).await.unwrap();
        assert_eq!(codes(&second), ["c"]);
        assert!(second.events[0].sequence > first.events[1].sequence);
        assert_eq!(second.epoch, first.epoch);
    });
}

#[test]
fn events_of_another_version_never_stand_before_the_others() {
    block(async {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        let strange = "INSERT INTO outbox (kind, at, event) VALUES ('news', '2026-11-21T10:00:00Z', '{\"kind\": \"of_the_future\"}')";
        store.call(move |c| (0..60).try_for_each(|_| c.execute(strange, []).map(drop).map_err(database("test")))).await.unwrap();
        assert_eq!(store.undelivered(50).await.unwrap().waiting, 0, "nothing is left that nobody can deliver");
        store.call(move |c| c.execute(strange, []).map_err(database("test"))).await.unwrap();
        store.commit(Change::at(now()).tell(trouble("a"))).await.unwrap();
        let undelivered = store.undelivered(1).await.unwrap();
        assert_eq!((codes(&undelivered), undelivered.waiting, undelivered.dropped), (vec!["a".to_owned()], 1, 61));
    });
}

#[test]
fn only_the_newest_status_waits() {
    block(async {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        store.commit(Change::at(now()).tell(status("1")).tell(trouble("a")).tell(status("2"))).await.unwrap();
        assert_eq!(codes(&store.undelivered(10).await.unwrap()), ["a", "status 2"]);
    });
}

#[test]
fn a_full_outbox_drops_progress_first_and_counts_it() {
    block(async {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        let mut change = Change::at(now()).tell(trouble("first")).tell(progress());
        change.events.extend((0..OUTBOX_MAX_EVENTS).map(|_| trouble("later")));
        store.commit(change).await.unwrap();
        let undelivered = store.undelivered(1).await.unwrap();
        assert_eq!((undelivered.waiting, undelivered.dropped), (u64::try_from(OUTBOX_MAX_EVENTS).unwrap(), 2));
        assert_eq!(codes(&undelivered), ["later"], "progress went first, then the oldest");
    });
}

#[test]
fn a_batch_stays_within_its_size() {
    block(async {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        let large = || Event::ConfigRefused(ConfigRefused { commit: commit('a'), findings: vec!["f".repeat(100_000)] });
        store.commit(Change::at(now()).tell(large()).tell(large()).tell(large())).await.unwrap();
        assert_eq!(store.undelivered(50).await.unwrap().events.len(), 2);
    });
}

#[test]
fn a_broken_database_is_put_aside_and_begun_anew() {
    block(async {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("state.db"), "this is not a database, and long enough to be looked at as one".repeat(50))
            .unwrap();
        assert_eq!(open(&folder).memory().await.unwrap().trusted, None);
        let names: Vec<String> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().any(|name| name.starts_with("state.db.broken-")), "{names:?}");
    });
}

#[test]
fn a_new_database_has_a_greater_epoch() {
    block(async {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let later = now() + jiff::SignedDuration::from_secs(1);
        let first = Store::open(&one.path().join("s"), now(), News::Kept).unwrap().memory().await.unwrap().epoch;
        assert!(Store::open(&two.path().join("s"), later, News::Kept).unwrap().memory().await.unwrap().epoch > first);
    });
}

#[test]
fn a_memory_of_another_version_is_derived_again() {
    block(async {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        store.call(|c| c.execute("INSERT INTO stacks VALUES ('shop', '{\"record\": 7}')", []).map_err(database("test"))).await.unwrap();
        assert!(store.memory().await.unwrap().stacks.is_empty());
    });
}
