//! The bot ends at the worst moment, or loses what it keeps: the next start goes on from git.

use crate::world::{Plan, World};
use tidegate_bot::card::Stage;
use tidegate_core::events::{Event, Failure, Outcome, Restored, RolloutFinished};
use tidegate_core::plan::OperationClass;

#[tokio::test]
async fn an_approval_survives_a_restart_and_the_next_one_releases() {
    let mut world = World::new(Plan { approvals: "{ count: 2, roles: [engineer] }", ..Plan::default() }).await;
    world.until_told("Needs approval").await;
    world.say("alice", "approve production").await;
    world.stop().await;
    world.start().await;
    let words = world.say("bob", "approve production").await;
    assert!(words.starts_with("Release 1 (shop) of production is released"), "{words}");
    assert_eq!(world.told().await.iter().filter(|text| text.starts_with("Needs approval: release 1")).count(), 1, "asked once");
    world.stop().await;
}

#[tokio::test]
async fn a_commit_whose_note_was_lost_is_found_again_and_not_made_twice() {
    let mut world = World::new(Plan::default()).await;
    world.until_told("Needs approval").await;
    let before = world.copy_store().await;
    world.say("alice", "approve production").await;
    world.stop().await;
    // As if the program had ended between the push and the write: git has the release, the store has the open card.
    world.restore_store(&before);
    world.start().await;
    world.settled().await;
    let picture = world.picture("production");
    let card = picture.cards.iter().find(|card| card.release.0 == 1).unwrap();
    assert_eq!(card.stage, Stage::Released);
    assert_eq!(card.approvals[0].by.as_str(), "alice");
    assert_eq!(world.subjects().await.iter().filter(|subject| subject.starts_with("production:")).count(), 1);
    world.stop().await;
}

#[tokio::test]
async fn everything_it_keeps_can_be_deleted() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    world.say("carol", "rollback shop production slow").await;
    world.until("staging follows by itself", || world.version("staging") == "web:2").await;
    let before = (world.lock("staging"), world.lock("production"), world.subjects().await);
    world.stop().await;
    world.forget();
    world.start().await;
    world.settled().await;
    assert_eq!((world.lock("staging"), world.lock("production"), world.subjects().await), before, "nothing was done again");
    let words = world.say("alice", "history production").await;
    assert!(words.contains("3 · rollback of shop") && words.contains("1 · shop"), "{words}");
    let words = world.say("alice", "approve production").await;
    assert!(words.starts_with("Nothing waits"), "the hold stands: {words}");
    world.merge("bob", "3").await;
    world.release_verified("production", "3").await;
    world.stop().await;
}

#[tokio::test]
async fn a_failure_that_was_undone_and_not_noted_is_told_once_and_undone_once() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    let first = world.of("production");
    world.merge("bob", "2").await;
    world.until_told("Needs approval: release 2").await;
    world.say("alice", "approve production").await;
    let restored = Restored::Previous { release: first.release, content: first.content.clone() };
    let failure = Failure { service: None, cause: "no".into(), log: Vec::new(), restored };
    let of = world.of("production");
    let event = Event::Finished(RolloutFinished { of, class: OperationClass::Release, outcome: Outcome::Failed(failure), took_ms: 1 });
    let (headers, body) = world.batch("web-1", 99, vec![(1, event)]);
    let before = world.copy_store().await;
    world.send(&headers, &body).await.unwrap();
    world.until_told("Failed, rolled back").await;
    world.stop().await;
    // As if nothing of it had been written: the host sends it again, git is reverted already.
    world.restore_store(&before);
    world.start().await;
    world.send(&headers, &body).await.unwrap();
    let told = world.until_told("Failed, rolled back").await;
    assert!(told.contains("back at release 1"), "{told}");
    assert_eq!(world.subjects().await.iter().filter(|subject| subject.contains("automatic rollback")).count(), 1);
    world.stop().await;
}
