//! From a merge to a release: who is asked, who may, and what stands in git afterwards.

use crate::world::{Plan, World};
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

#[tokio::test]
async fn a_broken_tip_is_told_once_and_changes_nothing_and_a_mended_one_goes_on() {
    let mut world = World::new(Plan::default()).await;
    world.say("alice", "approve production").await;
    let locks = (world.lock("staging"), world.lock("production"));
    world.push("bob", "oops", &[("stacks/shop/compose.yaml", "services:\n  web:\n    imag: web:2\n")]).await;
    let told = world.until_told("The branch cannot be used").await;
    assert!(told.contains("stacks/shop/compose.yaml:3"), "{told}");
    world.push("bob", "more", &[("README.md", "still broken")]).await;
    assert_eq!((world.lock("staging"), world.lock("production")), locks);
    let words = world.say("alice", "why staging").await;
    assert!(words.contains("cannot be used") && words.contains("tidegate validate"), "{words}");
    world.merge("bob", "2").await;
    world.until_told("The branch can be used again").await;
    world.until("staging has the next release", || world.version("staging") == "web:2").await;
    let notices = world.told().await.iter().filter(|text| text.starts_with("The branch cannot")).count();
    assert_eq!(notices, 2, "one for each broken commit");
    world.stop().await;
}

#[tokio::test]
async fn going_back_works_while_the_tip_is_broken() {
    let mut world = World::new(Plan::default()).await;
    world.release_verified("production", "1").await;
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    world.push("bob", "oops", &[("environments/staging.yaml", "schema: [")]).await;
    let words = world.say("alice", "rollback shop production it loses carts").await;
    assert!(words.starts_with("shop in production goes back from release 2 to release 1"), "{words}");
    let words = world.say("alice", "approve production").await;
    assert!(words.starts_with("Nothing waits for an approval in production"), "{words}");
    world.stop().await;
}

#[tokio::test]
async fn a_rewritten_branch_is_not_followed() {
    let mut world = World::new(Plan::default()).await;
    world.say("alice", "approve production").await;
    let good = world.bot().seen.borrow().head_id().cloned().unwrap();
    world.rewrite_branch();
    world.until("the rewrite is seen", || world.bot().seen.borrow().trouble.is_some()).await;
    assert_eq!(world.bot().seen.borrow().head_id(), Some(&good));
    let reply = world.reply("alice", "rollback shop").await;
    assert!(crate::world::refused(&reply), "{}", reply.words);
    assert_eq!(world.version("production"), "web:1");
    world.stop().await;
}

#[tokio::test]
async fn a_branch_that_was_rewritten_while_the_bot_was_down_is_not_followed_either() {
    let mut world = World::new(Plan::default()).await;
    world.say("alice", "approve production").await;
    world.stop().await;
    world.rewrite_branch();
    world.start().await;
    world.until("the rewrite is seen", || world.bot().seen.borrow().trouble.is_some()).await;
    let trouble = world.bot().seen.borrow().trouble.clone().unwrap();
    assert!(trouble.contains("does not descend from") && trouble.contains("delete `bot.db`"), "{trouble}");
    assert!(world.bot().seen.borrow().tip.is_none());
    world.stop().await;
}

#[tokio::test]
async fn status_history_why_and_help_say_what_is() {
    let mut world = World::new(Plan::default()).await;
    let why = world.say("greta", "why shop").await;
    assert!(why.contains("Release 1 (shop) needs one more approval") && why.contains("alice, bob or carol: approve production"), "{why}");
    world.say("alice", "approve production").await;
    let status = world.say("greta", "status production").await;
    assert!(status.contains("production: release 1") && status.contains("shop (release 1) on web-1: not heard yet"), "{status}");
    let history = world.say("greta", "history production").await;
    assert!(history.contains("1 · shop · ") && history.contains("alice"), "{history}");
    assert_eq!(world.say("greta", "why production").await, "Nothing waits: what is released is what is wanted.");
    let help = world.say("greta", "help").await;
    assert!(help.contains("rollback STACK [ENVIRONMENT] [to RELEASE] [REASON]"), "{help}");
    for line in ["status", "why", "history", "help", "dance", "approve"] {
        let reply = world.reply("greta", line).await;
        let json = serde_json::to_value(&reply).unwrap();
        assert_eq!(json["words"], reply.words, "every answer can be read by machines: {line}");
    }
    assert!(world.say("greta", "aprove").await.contains("Did you mean `approve`?"));
    world.stop().await;
}

#[tokio::test]
async fn a_new_policy_counts_only_once_it_is_released() {
    let mut world = World::new(Plan::default()).await;
    world.say("alice", "approve production").await;
    let file = "schema: 1\nstacks:\n  shop: { hosts: {} }\nwindows: always\napprovals: none\n";
    world.push("mallory", "no questions", &[("environments/production.yaml", file)]).await;
    world.until_told("Needs approval: release 2 (settings) for production").await;
    world.merge("mallory", "2").await;
    let told = world.until_told("Needs approval: release 2 (shop) for production").await;
    assert!(told.contains("web:1 → web:2"), "{told}");
    assert_eq!(world.version("production"), "web:1");
    world.stop().await;
}

#[tokio::test]
async fn a_person_who_is_only_at_the_tip_has_no_rights_yet_and_is_told_so() {
    let mut world = World::new(Plan::default()).await;
    world.say("alice", "approve production").await;
    world.add_person("mallory").await;
    world.merge("mallory", "2").await;
    world.until_told("Needs approval: release 2 (shop)").await;
    let words = world.say("mallory", "approve production").await;
    assert!(words.contains("not yet in the released version"), "{words}");
    world.say("alice", "approve production").await;
    world.merge("alice", "3").await;
    world.until_told("Needs approval: release 3 (shop)").await;
    let words = world.say("mallory", &world.approve("production")).await;
    assert!(words.starts_with("Release 3 (shop) of production is released"), "{words}");
    world.stop().await;
}

#[tokio::test]
async fn the_page_shows_what_waits_what_runs_and_where_one_can_go_back_to() {
    use tidegate_bot::view::{Decide, Stage, View};
    let mut world = World::new(Plan::default()).await;
    let view = || -> std::sync::Arc<View> { world.bot().view.borrow().clone() };
    let card = |release: u64| {
        let cards = view().cards.clone();
        cards.into_iter().find(|card| card.environment.as_str() == "production" && card.release.0 == release)
    };
    world.until("the candidate is shown", || card(1).is_some_and(|card| card.stage == Stage::NeedsApproval)).await;
    let first = card(1).unwrap();
    assert_eq!((first.actions.decide, first.approvals.needed), (Decide::Asked, 1));
    assert_eq!(first.approvals.missing.as_deref(), Some("One more, by Alice Example, Bob Example or Carol Example."));
    assert!(view().waits.iter().any(|wait| wait.code == "needs_approval" && wait.cleared_by.is_some()));
    world.release_verified("production", "1").await;
    world.until("it is shown as live", || card(1).is_some_and(|card| card.stage == Stage::Live)).await;
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    world.until("the way back is shown", || card(2).is_some_and(|card| !card.actions.rollbacks.is_empty())).await;
    let target = card(2).unwrap().actions.rollbacks[0].targets[0].clone();
    assert_eq!(target.release.0, 1);
    assert!(target.label.contains("web:1"), "{}", target.label);
    world.say("alice", "rollback shop production slow").await;
    world.until("the one that was left says so", || card(2).is_some_and(|card| card.stage == Stage::Held)).await;
    assert_eq!(view().console.as_ref().unwrap().people.len(), 4);
    assert!(
        view().activity.iter().any(|line| line.who == "Alice Example" && line.what.starts_with("rollback shop production slow: shop in"))
    );
    world.stop().await;
}
