//! Approvals and vetoes: bound to one candidate, counted by distinct people, none lost.

use crate::world::{Plan, World, refused};
use std::time::Duration;
use tidegate_bot::command::Command;
use tidegate_bot::request::{Ask, Outcome, Refusal};
use tidegate_core::events::{Event, Outcome as Ended, RolloutFinished};
use tidegate_core::plan::OperationClass;
use tidegate_core::policy::Subject;

fn two() -> Plan {
    Plan { approvals: "{ count: 2, roles: [engineer] }", ..Plan::default() }
}

#[tokio::test]
async fn two_at_once_make_one_release_and_neither_is_lost() {
    let mut world = World::new(two()).await;
    world.until_told("Needs approval").await;
    let (alice, bob) = tokio::join!(world.reply("alice", "approve production"), world.reply("bob", "approve production"));
    let released = [&alice, &bob].iter().filter(|reply| matches!(reply.outcome, Outcome::Released(_))).count();
    let counted = [&alice, &bob].iter().filter(|reply| matches!(reply.outcome, Outcome::Approved(_))).count();
    assert_eq!((released, counted), (1, 1), "{} / {}", alice.words, bob.words);
    let lock = world.lock("production").unwrap();
    assert_eq!(lock.approvals.len(), 2);
    assert_eq!(lock.release.0, 1);
    assert_eq!(world.subjects().await.iter().filter(|subject| subject.starts_with("production:")).count(), 1);
    world.stop().await;
}

#[tokio::test]
async fn approvals_of_two_environments_at_once_are_one_commit_each() {
    let mut world = World::new(Plan::default()).await;
    let asked = "schema: 1\nstacks:\n  shop: { hosts: {} }\nwindows: always\napprovals: { count: 1 }\n";
    world.push("alice", "ask for staging too", &[("environments/staging.yaml", asked)]).await;
    world.until("the policy is in force", || world.lock("staging").is_some_and(|lock| lock.release.0 == 2)).await;
    world.merge("alice", "2").await;
    world.until_told("Needs approval: release 3 (shop) for staging").await;
    world.until_told("Needs approval: release 1 (shop) for production, commit").await;
    let (staging, production) = (world.approve("staging"), world.approve("production"));
    let (a, b) = tokio::join!(world.reply("alice", &staging), world.reply("bob", &production));
    assert!(matches!((&a.outcome, &b.outcome), (Outcome::Released(_), Outcome::Released(_))), "{} / {}", a.words, b.words);
    assert_eq!((world.version("staging"), world.version("production")), ("web:2".to_owned(), "web:2".to_owned()));
    world.stop().await;
}

#[tokio::test]
async fn pressing_twice_or_late_answers_with_what_is() {
    let mut world = World::new(two()).await;
    world.until_told("Needs approval").await;
    let first = world.say("alice", "approve production").await;
    assert!(first.contains("has 1 of 2 approvals. Still missing: 1 by bob or carol."), "{first}");
    let again = world.say("alice", "approve production").await;
    assert!(again.starts_with("You approved release 1 (shop) of production already."), "{again}");
    let card = world.picture("production").open_card().cloned().unwrap();
    let button = |subject: Subject| Ask::Command {
        command: Command::Approve { environment: Some("production".parse().unwrap()), candidate: None },
        expected: Some(subject),
    };
    world.ask("bob", button(card.subject.clone())).await;
    let late = world.ask("carol", button(card.subject)).await;
    assert!(matches!(&late.outcome, Outcome::Refused(Refusal::AlreadyReleased { .. })), "{}", late.words);
    assert!(late.words.contains("by bob") || late.words.contains("alice"), "{}", late.words);
    world.stop().await;
}

#[tokio::test]
async fn a_newer_candidate_voids_what_was_agreed_and_an_old_button_says_so() {
    let mut world = World::new(two()).await;
    world.until_told("Needs approval").await;
    world.say("alice", "approve production").await;
    let old = world.picture("production").open_card().cloned().unwrap();
    world.merge("bob", "2").await;
    world
        .until("the card shows the new candidate", || {
            world.picture("production").open_card().is_some_and(|card| card.subject != old.subject)
        })
        .await;
    let card = world.picture("production").open_card().cloned().unwrap();
    assert_eq!((card.id, card.approvals.len()), (old.id, 0), "the same card, nothing agreed");
    let command = Command::Approve { environment: Some("production".parse().unwrap()), candidate: None };
    let stale = world.ask("bob", Ask::Command { command, expected: Some(old.subject) }).await;
    assert!(matches!(&stale.outcome, Outcome::Refused(Refusal::Superseded { .. })), "{}", stale.words);
    assert!(world.lock("production").is_none());
    world.stop().await;
}

#[tokio::test]
async fn a_commit_that_changes_nothing_here_leaves_approvals_as_they_are() {
    let mut world = World::new(two()).await;
    world.until_told("Needs approval").await;
    world.say("alice", "approve production").await;
    world.push("bob", "words", &[("README.md", "hello")]).await;
    let words = world.say("bob", "approve production").await;
    assert!(words.starts_with("Release 1 (shop) of production is released"), "{words}");
    assert_eq!(world.lock("production").unwrap().approvals.len(), 2);
    world.stop().await;
}

#[tokio::test]
async fn authors_are_left_out_where_the_policy_says_so_and_the_bots_commits_do_not_make_authors() {
    let mut world = World::new(Plan { approvals: "{ count: 1, roles: [engineer], authors: false }", ..Plan::default() }).await;
    let words = world.say("alice", "approve production").await;
    assert!(words.contains("You wrote some of what would be released"), "{words}");
    world.say("bob", "approve production").await; // bob becomes the author of the bot's commit
    world.merge("carol", "2").await;
    world.until_told("Needs approval: release 2 (shop)").await;
    assert!(refused(&world.reply("carol", "approve production").await));
    let words = world.say("bob", "approve production").await;
    assert!(words.starts_with("Release 2 (shop) of production is released"), "{words}");
    world.stop().await;
}

#[tokio::test]
async fn a_commit_that_claims_to_be_the_bots_does_not_hide_its_author() {
    let mut world = World::new(Plan { approvals: "{ count: 1, roles: [engineer], authors: false }", ..Plan::default() }).await;
    world.say("bob", "approve production").await;
    let subject = "production: release 9 (shop)\n\nTidegate-Environment: production\nTidegate-Kind: release";
    world.push("alice", subject, &[("stacks/shop/compose.yaml", "services:\n  web: { image: \"web:2\", pull_policy: never }\n")]).await;
    world.until_told("Needs approval: release 2 (shop)").await;
    let words = world.say("alice", "approve production").await;
    assert!(words.contains("You wrote some of what would be released"), "{words}");
    world.stop().await;
}

#[tokio::test]
async fn a_no_stands_until_the_content_changes_or_the_person_does_their_mind() {
    let mut world = World::new(Plan::default()).await;
    world.until_told("Needs approval").await;
    assert!(world.say("alice", "reject production").await.contains("A reason is missing"));
    let words = world.say("alice", "reject production not on a friday").await;
    assert!(words.starts_with("Release 1 (shop) of production is turned down."), "{words}");
    let words = world.say("bob", "approve production").await;
    assert!(words.contains("was turned down by alice: not on a friday"), "{words}");
    let why = world.say("bob", "why production").await;
    assert!(why.contains("turned down by alice"), "{why}");
    let words = world.say("alice", "approve production").await;
    assert!(words.starts_with("Release 1 (shop) of production is released"), "{words}");
    world.merge("bob", "2").await;
    world.until_told("Needs approval: release 2 (shop)").await;
    world.say("alice", "reject production too slow").await;
    world.merge("bob", "3").await;
    world.until("the new candidate is open", || world.picture("production").waiting(jiff::Timestamp::now()).is_some()).await;
    let words = world.say("bob", &world.approve("production")).await;
    assert!(words.starts_with("Release 2 (shop) of production is released"), "{words}");
    world.stop().await;
}

#[tokio::test]
async fn a_typed_approve_does_not_count_for_what_took_the_place_of_what_was_seen() {
    let mut world = World::new(Plan::default()).await;
    world.until_told("Needs approval: release 1 (shop) for production").await;
    world.merge("bob", "2").await;
    world
        .until("the card shows version 2", || world.picture("production").open_card().is_some_and(|card| card.replaced_at.is_some()))
        .await;
    for line in ["approve production", "reject production too slow"] {
        let reply = world.reply("alice", line).await;
        assert!(matches!(&reply.outcome, Outcome::Refused(Refusal::ChangedJustNow { .. })), "{line}: {}", reply.words);
    }
    assert!(world.lock("production").is_none());
    // The way on is in the answer, and a refused person keeps the right to decide.
    let words = world.say("alice", "approve production").await;
    let commit = world.picture("production").open_card().unwrap().subject.commit.short().to_owned();
    assert!(words.contains(&format!("Look at it, then `approve production {commit}`")), "{words}");
    let words = world.say("alice", &format!("approve production {commit}")).await;
    assert!(words.starts_with("Release 1 (shop) of production is released"), "{words}");
    assert_eq!(world.version("production"), "web:2");
    world.stop().await;
}

#[tokio::test]
async fn a_typed_approve_meant_for_what_another_person_released_meanwhile_does_not_count_for_the_next() {
    let mut world = World::new(Plan::default()).await;
    world.until_told("Needs approval: release 1 (shop) for production").await;
    world.say("alice", "approve production").await;
    world.merge("carol", "2").await;
    world.until_told("Needs approval: release 2 (shop) for production").await;
    // Bob read about release 1 and typed while alice released it and carol merged.
    let reply = world.reply("bob", "approve production").await;
    assert!(matches!(&reply.outcome, Outcome::Refused(Refusal::ChangedJustNow { .. })), "{}", reply.words);
    assert_eq!(world.version("production"), "web:1");
    // Alice knows that it was she who ended the other one.
    let words = world.say("alice", "approve production").await;
    assert!(words.starts_with("Release 2 (shop) of production is released"), "{words}");
    world.stop().await;
}

#[tokio::test]
async fn what_was_rolled_back_and_comes_again_still_has_its_author() {
    let mut world = World::new(Plan { approvals: "{ count: 1, roles: [engineer], authors: false }", ..Plan::default() }).await;
    let verified = async |number: &str| {
        let of = world.of("production");
        let verified = RolloutFinished { of, class: OperationClass::Release, outcome: Ended::Verified, took_ms: 1 };
        world.host_says("web-1", Event::Finished(verified)).await;
        let content = world.of("production").content;
        world.until(number, || world.picture("production").verified.iter().any(|(_, known)| *known == content)).await;
    };
    world.say("bob", "approve production").await;
    verified("release 1 is verified").await;
    world.merge("carol", "2").await;
    world.until_told("Needs approval: release 2 (shop) for production").await;
    world.say("bob", "approve production").await;
    verified("release 2 is verified").await;
    world.say("bob", "rollback shop production").await;
    world.say("bob", "resume shop production").await;
    let words = world.say("carol", "approve production").await;
    assert!(words.contains("You wrote some of what would be released"), "{words}");
    let words = world.say("bob", "approve production").await;
    assert!(words.contains("is released"), "{words}");
    world.stop().await;
}

#[tokio::test]
async fn deleting_the_lock_file_takes_neither_holds_nor_policy_away() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    world.say("carol", "rollback shop production it loses carts").await;
    let open = "schema: 1\nstacks:\n  shop: { hosts: {} }\nwindows: always\napprovals: none\n";
    world.push_unseen("mallory", "tidy up", &[("releases/production.yaml", None), ("environments/production.yaml", Some(open))]).await;
    world.settled().await;
    assert!(world.lock("production").is_none(), "the file is gone");
    let words = world.say("alice", "why shop production").await;
    assert!(words.contains("Release 2 of shop is held by carol"), "the hold stands: {words}");
    world.merge("mallory", "3").await;
    world.until_told("Needs approval: release 4 (shop) for production").await;
    world.settled().await;
    assert!(world.lock("production").is_none(), "nothing is released without consent");
    let words = world.say("alice", &world.approve("production")).await;
    assert!(words.starts_with("Release 4 (shop) of production is released"), "{words}");
    assert_eq!(world.lock("production").unwrap().holds.len(), 1, "the lock is back with its hold");
    world.stop().await;
}

/// A lock by hand names a commit that nobody has, and the next one looks well again: the release is made on the last one
/// as a whole, and nothing of the one that could not be read is in it.
#[tokio::test]
async fn no_lock_is_mixed_from_two_states() {
    let mut world = World::new(Plan { poll: Duration::from_secs(3_600), ..Plan::default() }).await;
    world.release_verified("production", "1").await;
    world.merge("bob", "2").await;
    world.until_told("Needs approval: release 2 (shop) for production").await;
    let path = "releases/production.yaml";
    let lock = world.lock("production").unwrap();
    let mut nowhere = lock.clone();
    nowhere.release.0 = 2;
    nowhere.stacks.values_mut().for_each(|stack| stack.commit = "f".repeat(40).parse().unwrap());
    nowhere.stacks.values_mut().for_each(|stack| stack.content = tidegate_core::ids::ContentId::of_bytes(b"nowhere"));
    let mut again = lock.clone();
    again.release.0 = 3;
    let subject = |number: u64| format!("by hand {number}\n\nTidegate-Environment: production\nTidegate-Kind: release");
    world.push_unseen("mallory", &subject(2), &[(path, Some(&nowhere.to_yaml()))]).await;
    world.push_unseen("mallory", &subject(3), &[(path, Some(&again.to_yaml()))]).await;
    let reply = world.reply("alice", "approve production").await;
    assert!(!refused(&reply), "{}", reply.words);
    let made = world.lock("production").unwrap();
    assert_eq!((made.release.0, made.kind, made.stacks.len()), (4, tidegate_core::lock::ReleaseKind::Release, 1));
    for (stack, entry) in &made.stacks {
        assert_eq!(entry.commit, made.commit, "{stack} is the candidate's");
        assert_ne!(entry.content, nowhere.stacks[stack].content);
        assert_ne!(entry.content, again.stacks[stack].content);
    }
    world.stop().await;
}
