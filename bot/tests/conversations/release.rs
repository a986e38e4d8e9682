//! From a merge to a release: who is asked, who may, and what stands in git afterwards.

use crate::world::{Plan, World, refused};
use tidegate_git::{message, verify_commit};

#[tokio::test]
async fn a_merge_is_released_where_nobody_is_asked_and_announced_where_somebody_is() {
    let mut world = World::new(Plan::default()).await;
    assert_eq!(world.version("staging"), "web:1");
    assert!(world.lock("production").is_none());
    let told = world.until_told("Needs approval: release 1 (shop) for production").await;
    assert!(told.contains("web:1 (new)") && told.ends_with("approve production"), "{told}");
    let words = world.say("alice", "approve production").await;
    assert!(words.starts_with("Release 1 (shop) of production is released (commit "), "{words}");
    assert_eq!(world.version("production"), "web:1");
    world.stop().await;
}

#[tokio::test]
async fn the_commit_is_the_persons_and_signed_by_the_bot() {
    let mut world = World::new(Plan::default()).await;
    world.say("alice", "approve production").await;
    let commit = world.log().await.remove(0);
    assert_eq!(commit.subject(), "production: release 1 (shop)");
    assert_eq!((commit.author.name(), commit.author.email()), ("Alice Example", "alice@example.org"));
    assert_eq!(commit.committer.name(), "tidegate-bot");
    let trailer = |key| message::find_trailer(&commit.message, key).map(str::to_owned);
    assert_eq!(trailer("Tidegate-Release").as_deref(), Some("1"));
    assert_eq!(trailer("Approved-by").as_deref(), Some("Alice Example <alice@example.org>"));
    assert_eq!(trailer("Tidegate-Plan"), Some(world.lock("production").unwrap().plan.to_string()));
    assert!(verify_commit(&world.raw(&commit.id).await, &[world.bot_public()]).is_ok());
    world.stop().await;
}

#[tokio::test]
async fn those_who_may_not_are_told_why_and_nothing_happens() {
    let mut world = World::new(Plan::default()).await;
    let before = world.subjects().await;
    let words = world.say("greta", "approve production").await;
    assert!(words.contains("needs the role engineer"), "{words}");
    let words = world.say("mallory", "approve production").await;
    assert!(words.contains("I do not know `mallory` on local"), "{words}");
    let words = world.say("alice", "approve staging").await;
    assert!(words.starts_with("Nothing waits for an approval in staging. It is at release 1 (shop)"), "{words}");
    let words = world.say("alice", "approve production 0123456").await;
    assert!(words.contains("That is not what is offered any more"), "{words}");
    assert_eq!(world.subjects().await, before);
    let activity = world.bot().store.activity(10).await.unwrap();
    assert_eq!(activity.iter().filter(|line| line.refused).count(), 4, "refusals are written down: {activity:#?}");
    world.stop().await;
}
