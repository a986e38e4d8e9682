//! A release that fails: git goes back by itself, once, and says so.

use crate::world::{Plan, World};
use tidegate_bot::card::Stage;
use tidegate_bot::words;
use tidegate_core::events::{Event, Failure, Outcome, Overran, Restored, RolloutFinished};
use tidegate_core::lock::ReleaseKind;
use tidegate_core::plan::{OperationClass, Waiting};

fn failed(world: &World, restored: Restored) -> Event {
    let failure = Failure {
        service: Some("web".parse().unwrap()),
        cause: "it did not become healthy within 30 s".into(),
        log: vec!["panic: no database".into()],
        restored,
    };
    let of = world.of("production");
    Event::Finished(RolloutFinished { of, class: OperationClass::Release, outcome: Outcome::Failed(failure), took_ms: 31_000 })
}

#[tokio::test]
async fn a_failure_reverts_the_lock_once_however_many_hosts_say_it() {
    let mut world = World::new(Plan { hosts: 2, ..Plan::default() }).await;
    world.release_verified("production", "1").await;
    let first = world.of("production");
    world.merge("bob", "2").await;
    world.until_told("Needs approval: release 2").await;
    world.say("alice", "approve production").await;
    let bad = world.of("production");
    let event = failed(&world, Restored::Previous { release: first.release, content: first.content.clone() });
    world.host_says("web-1", event.clone()).await;
    world.host_says("web-2", event).await;
    let told = world.until_told("Failed, rolled back: release 2 of shop on web-1, service web").await;
    assert!(told.contains("panic: no database") && told.contains("resume shop production"), "{told}");
    let lock = world.lock("production").unwrap();
    assert_eq!((lock.kind, lock.release.0), (ReleaseKind::AutomaticRollback, 3));
    assert_eq!(lock.stacks["shop"].content, first.content);
    assert_eq!(lock.holds[0].content.as_ref(), Some(&bad.content));
    world
        .until("both hosts are on the card", || {
            let picture = world.picture("production");
            let card = picture.cards.iter().find(|card| card.release.0 == 2).unwrap();
            card.stage == Stage::FailedRolledBack { to: tidegate_core::ids::ReleaseNumber(1) } && card.failures().count() == 2
        })
        .await;
    assert_eq!(world.subjects().await.iter().filter(|subject| subject.contains("automatic rollback")).count(), 1);
    assert_eq!(world.told().await.iter().filter(|text| text.starts_with("Failed")).count(), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_first_release_that_fails_is_held_and_says_so() {
    let mut world = World::new(Plan::default()).await;
    world.until_told("Needs approval").await;
    world.say("alice", "approve production").await;
    world.host_says("web-1", failed(&world, Restored::Nothing)).await;
    let told = world.until_told("Failed: release 1 of shop").await;
    assert!(told.contains("No earlier release of shop was ever verified"), "{told}");
    let lock = world.lock("production").unwrap();
    assert_eq!((lock.kind, lock.holds.len(), lock.stacks["shop"].release.0), (ReleaseKind::Hold, 1, 1));
    let why = world.say("bob", "why production").await;
    assert!(why.contains("Release 1 of shop is held by the bot"), "{why}");
    world.merge("bob", "2").await;
    world.until_told("Needs approval: release 3 (shop)").await;
    world.stop().await;
}

#[tokio::test]
async fn automation_does_not_undo_a_way_back() {
    let mut world = World::new(Plan::default()).await;
    for version in ["1", "2", "3"] {
        if version != "1" {
            world.merge("bob", version).await;
        }
        world.release_verified("production", version).await;
    }
    world.say("alice", "rollback shop production").await;
    assert_eq!(world.version("production"), "web:2");
    world.host_says("web-1", failed(&world, Restored::Not { cause: "no space".into() })).await;
    let told = world.until_told("Failed: release 2 of shop").await;
    assert!(told.contains("automation does not undo a rollback") && told.contains("a person must look"), "{told}");
    assert_eq!(world.version("production"), "web:2");
    world.stop().await;
}

#[tokio::test]
async fn what_could_not_be_checked_is_no_verdict() {
    let mut world = World::new(Plan::default()).await;
    world.until_told("Needs approval").await;
    world.say("alice", "approve production").await;
    let lock = world.lock("production");
    let failure = Failure { service: None, cause: "the registry is away".into(), log: Vec::new(), restored: Restored::Nothing };
    let of = world.of("production");
    let event = Event::Finished(RolloutFinished { of, class: OperationClass::Release, outcome: Outcome::Error(failure), took_ms: 5 });
    world.host_says("web-1", event).await;
    world.until_told("Could not be done or checked").await;
    assert_eq!(world.lock("production"), lock);
    world.stop().await;
}

#[tokio::test]
async fn a_rollout_cut_at_the_close_is_on_its_card_and_its_overrun_is_told_once() {
    let mut world = World::new(Plan { hosts: 2, ..Plan::default() }).await;
    world.until_told("Needs approval").await;
    world.say("alice", "approve production").await;
    let of = world.of("production");
    let closed_at = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    let because = Waiting::WindowClosed { opens_at: None, rule: "no window is open".into() };
    for host in ["web-1", "web-2"] {
        world.host_says(host, Event::Overran(Overran { of: of.clone(), closed_at, overrun_secs: 185 })).await;
        let outcome = Outcome::TakenBack { because: because.clone() };
        let finished = RolloutFinished { of: of.clone(), class: OperationClass::Release, outcome, took_ms: 5 };
        world.host_says(host, Event::Finished(finished)).await;
    }
    let told = world.until_told("Late: web-1 ended with release 1 of shop in production 3 min 5 s after its window had closed").await;
    assert!(told.contains("15 Jan 2027"), "{told}");
    world
        .until("both hosts are on the card", || {
            let picture = world.picture("production");
            let entries: Vec<String> =
                picture.cards.iter().flat_map(|card| &card.timeline).map(|entry| words::entry(&entry.what)).collect();
            let said = |words: &str| entries.iter().filter(|entry| *entry == words).count();
            said("ended with shop 3 min 5 s after its window had closed") == 2
                && said("took shop back before it was done: its window closed") == 2
        })
        .await;
    assert!(!world.told().await.iter().any(|told| told.starts_with("Late: web-2")), "told once");
    world.stop().await;
}

#[tokio::test]
async fn a_late_report_of_an_earlier_release_does_not_take_back_what_was_released_anew() {
    let mut world = World::new(Plan { hosts: 2, ..Plan::default() }).await;
    world.release_verified("production", "1").await;
    let first = world.of("production");
    world.merge("bob", "2").await;
    world.until_told("Needs approval: release 2").await;
    world.say("alice", "approve production").await;
    let restored = Restored::Previous { release: first.release, content: first.content.clone() };
    let report = failed(&world, restored);
    world.host_says("web-1", report.clone()).await;
    world.until("git went back", || world.version("production") == "web:1").await;
    // It was the network, somebody finds, and releases the same content anew.
    world.say("alice", "resume shop production").await;
    let words = world.say("alice", "approve production").await;
    assert!(words.starts_with("Release 5 (shop) of production is released"), "{words}");
    // The second host was away and tells only now how release 2 went there.
    world.host_says("web-2", report).await;
    world.settled().await;
    assert_eq!((world.version("production"), world.lock("production").unwrap().release.0), ("web:2".to_owned(), 5));
    world.stop().await;
}
