//! Nothing that was tried before delays the way back: no pause after failures, no pull in hand.

use crate::world::{ENVIRONMENT, FOLLOWS_TIP, SHOP, World, image, shop, story};
use std::time::Duration;
use tidegate_agent::driver::Rolled;
use tidegate_agent::engine::simulated::{Behaviour, Image};

/// As `shop`, from a registry.
fn pulled(version: u32) -> String {
    shop(version, "").replace("    pull_policy: never\n", "")
}

#[test]
fn a_pull_in_hand_is_cut_by_a_commit_that_goes_back() {
    story(async {
        let world = World::new().await;
        world.engine.behave(&image(5), Behaviour { image: Image::AtRegistry(Duration::from_secs(3_000)), ..Behaviour::default() });
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(SHOP, &pulled(5))]).await;
                agent.until("it is pulled", |agent| agent.stack("shop").is_some_and(|stack| stack.attempted.is_some())).await;
                let begun = tokio::time::Instant::now();
                world.commit(&[(SHOP, &shop(1, ""))]).await;
                agent.until_at(&["1"]).await;
                assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
            })
            .await;
    });
}

#[test]
fn a_pull_in_hand_is_cut_by_a_rollback_by_hand() {
    story(async {
        let world = World::new().await;
        world.engine.behave(&image(5), Behaviour { image: Image::AtRegistry(Duration::from_secs(3_000)), ..Behaviour::default() });
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
                world.commit(&[(SHOP, &pulled(5))]).await;
                agent.until("it is pulled", |agent| agent.stack("shop").is_some_and(|stack| stack.attempted.is_some())).await;
                let begun = tokio::time::Instant::now();
                let done = agent.rollback("shop", None).await;
                assert!(matches!(done, Ok(Rolled::Back { .. })), "{done:?}");
                assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
            })
            .await;
    });
}

#[test]
fn failed_tries_do_not_delay_the_way_back() {
    for by_hand in [false, true] {
        story(async {
            let world = World::new().await;
            world.engine.behave(&image(5), Behaviour { image: Image::RegistryAway, ..Behaviour::default() });
            world
                .agent(async |agent| {
                    agent.until_at(&["1"]).await;
                    world.commit(&[(SHOP, &shop(2, ""))]).await;
                    agent.until_at(&["2"]).await;
                    world.commit(&[(SHOP, &pulled(5))]).await;
                    agent.until_code("shop", "backoff").await;
                    // The pauses between the tries are minutes by now.
                    tokio::time::sleep(Duration::from_secs(400)).await;
                    agent.until_code("shop", "backoff").await;
                    let begun = tokio::time::Instant::now();
                    if by_hand {
                        agent.rollback("shop", Some("#0")).await.unwrap_err();
                        agent.rollback("shop", None).await.unwrap();
                        agent.until_at(&["2"]).await;
                    } else {
                        world.commit(&[(SHOP, &shop(1, "")), (ENVIRONMENT, FOLLOWS_TIP)]).await;
                        agent.until_at(&["1"]).await;
                    }
                    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
                })
                .await;
        });
    }
}

#[test]
fn a_stack_without_a_service_for_this_host_is_released_and_not_removed() {
    story(async {
        let elsewhere = "    deploy: { placement: { constraints: [node.labels.role == db] } }\n";
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                let host = "schema: 1\nenvironment: production\nlabels: { role: db }\n";
                world.commit(&[(SHOP, &shop(2, elsewhere)), ("hosts/db-1.yaml", host)]).await;
                agent.until("nothing of it runs here", |agent| agent.running().is_empty()).await;
                agent
                    .until("it is released", |agent| {
                        agent.stack("shop").is_some_and(|stack| stack.released.is_some() && stack.attempted.is_none())
                    })
                    .await;
                assert!(!agent.news().await.iter().any(|line| line.contains("removed")));
                agent.never("it is forgotten", Duration::from_secs(200), |agent| agent.stack("shop").is_none()).await;
                world.commit(&[(SHOP, &shop(1, ""))]).await;
                agent.until_at(&["1"]).await;
            })
            .await;
    });
}
