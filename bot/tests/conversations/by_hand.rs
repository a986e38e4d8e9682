//! What people write into the repo by hand: holds and overrides in an environment's file, and locks that point to nowhere.

use crate::world::{Plan, World, refused};
use jiff::{SignedDuration, Timestamp};
use tidegate_bot::request::{GateRefusal, HoldHome, Outcome, Refusal, Reply};

fn gate(reply: &Reply) -> &GateRefusal {
    let found = match &reply.outcome {
        Outcome::Refused(Refusal::Gate(gate)) => Ok(gate),
        _ => Err(&reply.words),
    };
    found.unwrap()
}

/// The file of production with something more.
fn production(more: &str) -> String {
    format!("schema: 1\nstacks:\n  shop: {{ hosts: {{}} }}\nwindows: always\napprovals: {{ count: 1, roles: [engineer] }}\n{more}")
}

async fn write(world: &World, more: &str) {
    world.push("bob", "by hand", &[("environments/production.yaml", &production(more))]).await;
    world.settled().await;
}

#[tokio::test]
async fn a_hold_by_hand_keeps_the_candidate_back_the_card_says_so_and_only_a_commit_lifts_it() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    world.merge("bob", "2").await;
    world.until_told("Needs approval: release 2 (shop) for production").await;
    write(&world, &format!("holds:\n  - {{ stack: shop, by: carol, reason: carts are slow, at: {} }}\n", Timestamp::now())).await;
    let shown = |part: &str| {
        let view = world.bot().view.borrow().clone();
        view.cards.iter().any(|card| card.environment.as_str() == "production" && card.release.0 == 2 && card.words.contains(part))
    };
    world.until("the card says so", || shown("Held by carol: carts are slow") && shown("in the environment's file")).await;
    let reply = world.reply("alice", &world.approve("production")).await;
    assert!(matches!(gate(&reply), GateRefusal::CandidateHeld { home: HoldHome::File, .. }), "{}", reply.words);
    assert!(reply.words.contains("remove it from environments/production.yaml"), "{}", reply.words);
    for line in ["resume shop production", "hold shop production for 1h me too"] {
        let reply = world.reply("alice", line).await;
        assert!(matches!(gate(&reply), GateRefusal::HoldIsWritten { .. }), "{line}: {}", reply.words);
    }
    let why = world.say("bob", "why production").await;
    assert!(why.contains("Everything new for shop is held by carol") && why.contains("A commit that removes it"), "{why}");
    // Another version is held no less, and nobody is asked about it.
    world.merge("carol", "3").await;
    world.settled().await;
    assert!(refused(&world.reply("alice", "approve production").await));
    assert_eq!(world.version("production"), "web:1");
    write(&world, "").await;
    world.until("it is offered again", || world.picture("production").waiting(Timestamp::now()).is_some()).await;
    let reply = world.reply("alice", &world.approve("production")).await;
    assert!(matches!(reply.outcome, Outcome::Released(_)), "{}", reply.words);
    world.stop().await;
}

#[tokio::test]
async fn an_override_by_hand_is_known_and_not_given_twice() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    world.say("alice", "freeze production for 2d the books are closed").await;
    world.merge("bob", "2").await;
    world.until_told("Needs approval: release 3 (shop) for production").await;
    world.say("alice", &world.approve("production")).await;
    let (at, until) = (Timestamp::now(), Timestamp::now() + SignedDuration::from_hours(2));
    write(&world, &format!("overrides:\n  - {{ release: 3, by: carol, reason: the fix, at: {at}, until: {until} }}\n")).await;
    let shown = world.reply("bob", "calendar production").await;
    assert!(shown.words.contains("override for release 3 by carol"), "{}", shown.words);
    let reply = world.reply("bob", "override production release 3 me too").await;
    assert!(matches!(gate(&reply), GateRefusal::AlreadyOverridden { given, .. } if given.by.as_str() == "carol"), "{}", reply.words);
    // A longer one says something new.
    let reply = world.reply("bob", "override production release 3 for 5h it takes long").await;
    assert!(matches!(reply.outcome, Outcome::Overridden(_)), "{}", reply.words);
    world.stop().await;
}

#[tokio::test]
async fn a_lock_that_names_a_missing_commit_is_told_once_and_a_rollback_leads_on() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    let mut lock = world.lock("production").unwrap();
    let nobody_has: tidegate_core::ids::CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    lock.release = lock.release.next();
    lock.commit = nobody_has.clone();
    for locked in lock.stacks.values_mut() {
        (locked.commit, locked.release) = (nobody_has.clone(), lock.release);
        locked.content = tidegate_core::ids::ContentId::of_bytes(b"typed by hand");
    }
    world.push("bob", "a lock by hand", &[("releases/production.yaml", &lock.to_yaml())]).await;
    let told = world.until_told("names commit 0123456").await;
    assert!(told.contains("`rollback shop production to 2`") && told.contains("releases/production.yaml"), "{told}");
    let why = world.say("bob", "why production").await;
    assert!(why.contains("The lock (release 3) names commit 0123456"), "{why}");
    // More looks and a restart say nothing twice.
    world.push("bob", "words", &[("README.md", "x")]).await;
    world.stop().await;
    world.start().await;
    world.settled().await;
    assert_eq!(world.told().await.iter().filter(|text| text.contains("names commit 0123456")).count(), 1);
    let reply = world.reply("greta", "rollback shop production to 1 somebody typed a lock").await;
    assert!(matches!(reply.outcome, Outcome::RolledBack(_)), "{}", reply.words);
    assert_eq!(world.version("production"), "web:1");
    let after = world.lock("production").unwrap();
    assert!(after.release.0 == 4 && after.commit != nobody_has && after.stacks.values().all(|locked| locked.commit != nobody_has));
    world.settled().await;
    assert!(!world.say("bob", "why production").await.contains("0123456"));
    world.stop().await;
}

#[tokio::test]
async fn a_release_leads_on_from_a_lock_that_names_a_missing_commit_too() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    let mut lock = world.lock("production").unwrap();
    lock.release = lock.release.next();
    lock.commit = "0123456789012345678901234567890123456789".parse().unwrap();
    world.push("bob", "a lock by hand", &[("releases/production.yaml", &lock.to_yaml())]).await;
    world.until_told("names commit 0123456").await;
    world.merge("bob", "2").await;
    world.until_told("Needs approval: release 3 (shop) for production").await;
    let reply = world.reply("alice", &world.approve("production")).await;
    assert!(matches!(reply.outcome, Outcome::Released(_)), "{}", reply.words);
    assert_eq!(world.version("production"), "web:2");
    world.stop().await;
}
