//! Rollback by somebody on the host: at once, without git, remembered until git says the same.

use crate::world::{ENVIRONMENT, LOCKED, SHOP, World, name, shop, story};
use std::time::Duration;
use tidegate_agent::driver::{Command, Refusal, Rolled};
use tidegate_agent::engine::simulated::{Behaviour, Checks};

#[test]
fn a_rollback_by_hand_stays_until_git_says_the_same() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
        let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
        world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.lock(2, &[("shop", 2, &second)], Vec::new()).await;
                agent.until_at(&["2"]).await;
                std::fs::rename(world.repo(), world.folder.path().join("away.git")).unwrap();
                let done = agent.rollback("shop", None).await.unwrap();
                assert!(matches!(done, Rolled::Back { to, .. } if to.release.unwrap().0 == 1));
                assert!(agent.is_at(&["1"]), "it runs when the answer comes");
                agent.until_code("shop", "diverged").await;
            })
            .await;
        world
            .agent(async |agent| {
                agent.until_code("shop", "diverged").await;
                agent.never("it is undone", Duration::from_secs(300), |agent| agent.running() != ["1"]).await;
                std::fs::rename(world.folder.path().join("away.git"), world.repo()).unwrap();
                world.lock(3, &[("shop", 1, &first)], Vec::new()).await;
                agent.until("git says the same", |agent| agent.code("shop").is_none()).await;
                let news = agent.news().await;
                assert_eq!(news.iter().filter(|line| *line == "rolled back by carol").count(), 1, "{news:?}");
                world.lock(4, &[("shop", 4, &second)], Vec::new()).await;
                agent.until_at(&["2"]).await;
            })
            .await;
    });
}

#[test]
fn resume_lets_git_decide_again() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
                agent.rollback("shop", None).await.unwrap();
                agent.ask(Command::Resume { stack: name("shop") }).await.unwrap();
                agent.until_at(&["2"]).await;
            })
            .await;
    });
}

#[test]
fn what_cannot_be_restored_is_refused_with_what_can() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                assert_eq!(agent.rollback("shop", None).await, Err(Refusal::NothingBefore { stack: name("shop") }));
                assert!(matches!(agent.rollback("blog", None).await, Err(Refusal::UnknownStack { known, .. }) if known == ["shop"]));
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
                assert!(matches!(agent.rollback("shop", Some("ffffffff")).await, Err(Refusal::NotVerified { choices, .. }) if choices.len() == 2));
                let now = agent.stack("shop").unwrap().released.unwrap().content;
                assert!(matches!(agent.rollback("shop", Some(now.short())).await, Ok(Rolled::AlreadyThere { .. })));
            })
            .await;
    });
}

#[test]
fn a_rollback_during_a_rollout_ends_it_at_once() {
    story(async {
        let world = World::new().await;
        let never = Behaviour { health: Checks::NeverDecide, ..Behaviour::default() };
        world.engine.behave(&crate::world::image(4), never);
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                let fourth = world.commit(&[(SHOP, &shop(4, "    x-tidegate: { health_timeout: 30m }\n"))]).await;
                agent.until("version 4 is coming up", |agent| agent.running().contains(&"4".to_owned())).await;
                let begun = tokio::time::Instant::now();
                let done = agent.rollback("shop", None).await;
                let Ok(Rolled::Back { from: Some(from), to }) = done else { panic!("{done:?}") };
                assert_eq!(from.content, world.content("shop", &fourth).await, "what is left is the rollout in hand");
                assert_ne!(to.content, from.content);
                assert_eq!(agent.left_by_hand().await, [from.content]);
                assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
                agent.until_at(&["1"]).await;
                agent.never("it is tried again", Duration::from_secs(300), |agent| agent.running() != ["1"]).await;
            })
            .await;
    });
}

#[test]
fn a_rollback_to_what_no_longer_works_is_taken_back_and_said() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
                world.engine.behave(&crate::world::image(1), Behaviour::unhealthy_after(Duration::from_secs(3)));
                assert!(matches!(agent.rollback("shop", None).await, Err(Refusal::Failed { .. })));
                agent.until_at(&["2"]).await;
                agent.never("it wanders", Duration::from_secs(300), |agent| agent.running() != ["2"]).await;
            })
            .await;
    });
}

#[test]
fn further_rollbacks_by_hand_go_further_back_and_never_to_what_was_left() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                for version in [1, 2, 5] {
                    world.commit(&[(SHOP, &shop(version, ""))]).await;
                    agent.until_at(&[&version.to_string()]).await;
                }
                for version in ["2", "1"] {
                    assert!(matches!(agent.rollback("shop", None).await, Ok(Rolled::Back { .. })));
                    assert!(agent.is_at(&[version]), "{:?}", agent.running());
                }
                assert_eq!(agent.rollback("shop", None).await, Err(Refusal::NothingBefore { stack: name("shop") }));
                assert!(agent.is_at(&["1"]));
            })
            .await;
    });
}
