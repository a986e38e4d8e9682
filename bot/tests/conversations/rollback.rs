//! Going back: what is a target, what is held, how it comes back.

use crate::world::{Plan, World, refused};
use tidegate_bot::command::Command;
use tidegate_bot::request::{Ask, Outcome, Refusal, Shown};
use tidegate_core::events::{Event, LocalRollback};
use tidegate_core::lock::ReleaseKind;
use tidegate_git::message;

#[tokio::test]
async fn a_rollback_is_a_commit_and_a_hold_and_the_same_content_does_not_come_back() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    let reply = world.reply("carol", "rollback shop it loses carts").await;
    assert!(reply.words.contains("shop in production goes back from release 2 to release 1, as release 3"), "{}", reply.words);
    assert!(reply.words.contains("shop: web web:2 → web:1"), "{}", reply.words);
    let lock = world.lock("production").unwrap();
    assert_eq!((lock.kind, lock.stacks["shop"].release.0, lock.holds.len()), (ReleaseKind::Rollback, 1, 1));
    assert_eq!(lock.holds[0].reason, "it loses carts");
    let commit = world.log().await.remove(0);
    assert_eq!((commit.author.name(), commit.committer.name()), ("Carol Example", "tidegate-bot"));
    let trailer = |key| message::find_trailer(&commit.message, key).map(str::to_owned);
    assert_eq!(trailer("Rolled-back-from").as_deref(), Some("shop release 2"));
    assert_eq!(trailer("Restores").as_deref(), Some("shop release 1"));
    assert_eq!(trailer("Reason").as_deref(), Some("it loses carts"));
    // The tip still holds version 2: not offered. Another commit with the same content: not offered either.
    world.push("bob", "words", &[("README.md", "x")]).await;
    let words = world.say("alice", "approve production").await;
    assert!(words.starts_with("Nothing waits for an approval in production"), "{words}");
    let why = world.say("alice", "why shop production").await;
    assert!(why.contains("Release 2 of shop is held by carol") && why.contains("resume shop"), "{why}");
    world.merge("bob", "3").await;
    world.until_told("Needs approval: release 4 (shop) for production").await;
    world.stop().await;
}

#[tokio::test]
async fn a_confirmed_rollback_undoes_what_was_shown_and_nothing_else() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    let shown = world.lock("production").unwrap().stacks["shop"].clone();
    let confirmed = |shown: Shown| Ask::Confirmed {
        command: Command::Rollback {
            stack: "shop".parse().unwrap(),
            environment: Some("production".parse().unwrap()),
            to: Some(tidegate_core::ids::ReleaseNumber(1)),
            reason: None,
        },
        shown,
    };
    let older = Shown { release: tidegate_core::ids::ReleaseNumber(1), content: None };
    let other = Shown { release: shown.release, content: Some("f".repeat(64).parse().unwrap()) };
    for wrong in [older, other] {
        let reply = world.ask("carol", confirmed(wrong)).await;
        assert!(matches!(&reply.outcome, Outcome::Refused(Refusal::MovedOn { .. })), "{}", reply.words);
        assert!(reply.words.contains("at release 2 now"), "{}", reply.words);
        assert_eq!(world.lock("production").unwrap().release.0, 2, "nothing was done");
    }
    let right = Shown { release: shown.release, content: Some(shown.content) };
    let reply = world.ask("carol", confirmed(right)).await;
    assert!(matches!(&reply.outcome, Outcome::RolledBack(_)), "{}", reply.words);
    world.stop().await;
}

#[tokio::test]
async fn resume_offers_the_held_content_again() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    world.say("carol", "rollback shop").await;
    assert!(refused(&world.reply("greta", "resume shop").await), "guests may not");
    let words = world.say("alice", "resume shop").await;
    assert!(words.starts_with("The hold on shop in production lifted") && words.contains("offered now"), "{words}");
    assert!(world.lock("production").unwrap().holds.is_empty());
    let words = world.say("alice", "approve production").await;
    assert!(words.contains("is released"), "{words}");
    assert_eq!(world.version("production"), "web:2");
    let words = world.say("alice", "resume shop").await;
    assert!(words.starts_with("shop is not held"), "{words}");
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_gone_back_to_is_refused_with_what_can() {
    let mut world = World::new(Plan::default()).await;
    let words = world.say("alice", "rollback shop production").await;
    assert!(words.contains("production has no release yet"), "{words}");
    world.say("alice", "approve production").await;
    let words = world.say("alice", "rollback shop production").await;
    assert!(words.contains("nothing to go back to") && words.contains("merge a change"), "{words}");
    world.merge("bob", "2").await;
    world.until_told("Needs approval: release 2").await;
    world.say("alice", "approve production").await;
    let reply = world.reply("alice", "rollback shop production to 1").await;
    assert!(matches!(reply.outcome, Outcome::Refused(Refusal::NeverVerified { .. })), "{}", reply.words);
    let reply = world.reply("alice", "rollback shop production to 7").await;
    assert!(matches!(reply.outcome, Outcome::Refused(Refusal::UnknownRelease { .. })), "{}", reply.words);
    let reply = world.reply("alice", "rollback shop production to 2").await;
    assert!(matches!(reply.outcome, Outcome::Refused(Refusal::AlreadyThere { .. })), "{}", reply.words);
    let reply = world.reply("alice", "rollback blog production").await;
    assert!(matches!(reply.outcome, Outcome::Refused(Refusal::UnknownStack { .. })), "{}", reply.words);
    world.stop().await;
}

#[tokio::test]
async fn only_the_named_stack_goes_back() {
    let mut world = World::new(Plan::default()).await;
    let both =
        "schema: 1\nstacks:\n  shop: { hosts: {} }\n  blog: { hosts: {} }\nwindows: always\napprovals: { count: 1, roles: [engineer] }\n";
    let blog = |version: &str| format!("services:\n  web: {{ image: \"blog:{version}\", pull_policy: never }}\n");
    world.push("bob", "blog", &[("environments/production.yaml", both), ("stacks/blog/compose.yaml", &blog("1"))]).await;
    world.release_verified("production", "1").await;
    world
        .push(
            "bob",
            "both",
            &[
                ("stacks/blog/compose.yaml", &blog("2")),
                ("stacks/shop/compose.yaml", "services:\n  web: { image: \"web:2\", pull_policy: never }\n"),
            ],
        )
        .await;
    world.release_verified("production", "2").await;
    world.say("alice", "rollback shop production").await;
    let lock = world.lock("production").unwrap();
    assert_eq!((lock.stacks["shop"].release.0, lock.stacks["blog"].release.0), (1, 2));
    world.stop().await;
}

#[tokio::test]
async fn a_rollback_on_a_host_becomes_a_commit() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    let to = world.of("production");
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    let from = world.of("production");
    let back = LocalRollback { from, to: to.clone(), by: "root".into(), reason: "git is down".into() };
    world.host_says("web-1", Event::LocalRollback(back.clone())).await;
    world.until("git follows", || world.version("production") == "web:1").await;
    let lock = world.lock("production").unwrap();
    assert_eq!(lock.stacks["shop"].content, to.content);
    assert_eq!(lock.reason.as_deref(), Some("rolled back on web-1 by root: git is down"));
    let commit = world.log().await.remove(0);
    assert_eq!(message::find_trailer(&commit.message, "Requested-by"), Some("root@web-1"));
    // The same said again changes nothing.
    world.host_says("web-1", Event::LocalRollback(back)).await;
    world.settled().await;
    assert_eq!(world.lock("production").unwrap(), lock);
    world.stop().await;
}

#[tokio::test]
async fn a_rollback_on_a_host_becomes_a_commit_also_while_new_releases_are_held() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    let to = world.of("production");
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    let from = world.of("production");
    world.say("bob", "hold shop production carts are slow").await;
    let back = LocalRollback { from, to: to.clone(), by: "root".into(), reason: "git is down".into() };
    world.host_says("web-1", Event::LocalRollback(back)).await;
    world.until("git follows", || world.version("production") == "web:1").await;
    world.stop().await;
}

#[tokio::test]
async fn a_rollback_on_a_host_that_git_has_passed_is_a_question_to_people() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    let to = world.of("production");
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    let from = world.of("production");
    world.merge("bob", "3").await;
    world.release_verified("production", "3").await;
    let back = LocalRollback { from, to, by: "root".into(), reason: "git was down".into() };
    world.host_says("web-1", Event::LocalRollback(back)).await;
    world.until_told("git has moved on since").await;
    assert_eq!(world.version("production"), "web:3");
    world.stop().await;
}

#[tokio::test]
async fn a_hosts_own_way_back_to_held_content_is_not_followed() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    let bad = world.of("production");
    world.say("carol", "rollback shop production it loses carts").await;
    let back = LocalRollback { from: world.of("production"), to: bad, by: "root".into(), reason: "I like it".into() };
    world.host_says("web-1", Event::LocalRollback(back)).await;
    world.until_told("git has moved on since").await;
    assert_eq!((world.version("production"), world.lock("production").unwrap().release.0), ("web:1".to_owned(), 3));
    world.stop().await;
}

#[tokio::test]
async fn a_second_bare_rollback_goes_no_further_and_says_how_to() {
    let mut world = World::new(Plan::default()).await;
    for version in ["1", "2", "3"] {
        if version != "1" {
            world.merge("bob", version).await;
        }
        world.release_verified("production", version).await;
    }
    // Two people on call at once: one way back.
    let (first, second) = tokio::join!(world.reply("alice", "rollback shop"), world.reply("bob", "rollback shop"));
    let refusals: Vec<&str> = [&first, &second].iter().filter(|reply| refused(reply)).map(|reply| reply.words.as_str()).collect();
    assert_eq!(refusals.len(), 1, "{} / {}", first.words, second.words);
    assert!(refusals[0].starts_with("shop in production is back on release 2 already, by "), "{}", refusals[0]);
    assert!(refusals[0].ends_with("To go further: `rollback shop production to 1`."), "{}", refusals[0]);
    let lock = world.lock("production").unwrap();
    let reply = world.reply("carol", "rollback shop production").await;
    assert!(matches!(reply.outcome, Outcome::Refused(Refusal::BackAlready { .. })), "{}", reply.words);
    assert_eq!(world.lock("production").unwrap(), lock);
    let words = world.say("carol", "rollback shop production to 1").await;
    assert!(words.contains("goes back from release 2 to release 1"), "{words}");
    let words = world.say("carol", "rollback shop production").await;
    assert!(words.contains("is back on release 1 already, by carol") && words.contains("no earlier verified release"), "{words}");
    world.stop().await;
}
