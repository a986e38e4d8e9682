//! Rollouts: the good, the bad, the newer one.

use crate::world::{ENVIRONMENT, LOCKED, SHOP, World, shop, story};
use std::time::Duration;
use tidegate_agent::engine::simulated::Behaviour;

#[test]
fn a_merge_is_the_whole_deploy() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
                assert_eq!(agent.news().await, ["started release", "verified", "started release", "verified"]);
                let shop = agent.stack("shop").unwrap();
                assert_eq!(shop.restorable.len(), 1, "version 1 can be put back");
                assert_eq!(shop.released.map(|of| of.content), shop.offered.map(|of| of.content));
            })
            .await;
    });
}

#[test]
fn a_wake_is_as_good_as_a_poll() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                for version in [2, 5, 6, 7] {
                    let begun = tokio::time::Instant::now();
                    world.commit(&[(SHOP, &shop(version, ""))]).await;
                    agent.wakes.poll.notify_one();
                    agent.until("it begins", |agent| agent.running().contains(&version.to_string())).await;
                    assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
                    agent.until_at(&[&version.to_string()]).await;
                }
            })
            .await;
    });
}

#[test]
fn a_failing_release_is_taken_back_and_not_tried_again() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                let before = agent.engine.look();
                world.commit(&[(SHOP, &shop(3, ""))]).await;
                agent.until_code("shop", "failed_here").await;
                agent.until_at(&["1"]).await;
                assert_eq!(agent.engine.look(), before, "the same container serves as before");
                agent.never("it is tried again", Duration::from_secs(600), |agent| agent.running() != ["1"]).await;
                let news = ["started release", "verified", "started release", "failed, the one before restored"];
                assert_eq!(agent.news().await, news);
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
            })
            .await;
    });
}

#[test]
fn a_first_release_that_fails_leaves_nothing_behind() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(3, ""))]).await;
        let commit = world.commit(&[(SHOP, &shop(3, "    command: [x]\n"))]).await;
        world.lock(1, &[("shop", 1, &commit)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_code("shop", "failed_here").await;
                agent.until_at(&[]).await;
                assert_eq!(agent.news().await, ["started release", "failed, nothing before"]);
            })
            .await;
    });
}

#[test]
fn a_host_port_goes_over_without_two_at_once_and_comes_back_on_failure() {
    story(async {
        let world = World::new().await;
        let port = "    ports: [\"8080:80\"]\n";
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(SHOP, &shop(2, port))]).await;
                agent.until_at(&["2"]).await;
                world.commit(&[(SHOP, &shop(3, port))]).await;
                agent.until_code("shop", "failed_here").await;
                agent.until_at(&["2"]).await;
            })
            .await;
    });
}

#[test]
fn a_newer_commit_takes_the_place_of_a_rollout_in_hand() {
    story(async {
        let world = World::new().await;
        world.engine.behave(
            &crate::world::image(4),
            Behaviour { health: tidegate_agent::engine::simulated::Checks::NeverDecide, ..Behaviour::default() },
        );
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(SHOP, &shop(4, "    x-tidegate: { health_timeout: 30m }\n"))]).await;
                agent.until("version 4 is coming up", |agent| agent.running().contains(&"4".to_owned())).await;
                assert!(agent.stack("shop").unwrap().attempted.is_some(), "it is shown while it goes on");
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                let begun = tokio::time::Instant::now();
                agent.until_at(&["2"]).await;
                assert!(begun.elapsed() < Duration::from_secs(60), "it did not wait for the health check of version 4");
                assert_eq!(
                    agent.news().await,
                    ["started release", "verified", "started release", "superseded", "started release", "verified"]
                );
            })
            .await;
    });
}

#[test]
fn what_died_is_started_again_and_repairs_that_repeat_are_spread() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                let name = agent.engine.look().containers.keys().next().unwrap().clone();
                agent.engine.vanish(&name);
                agent.until_at(&["1"]).await;
                agent.until("the repair is told", |agent| agent.board.borrow().counts.repairs == 1).await;
                assert_eq!(agent.news().await.last().unwrap(), "repaired shop");
                for _ in 0..3 {
                    agent.engine.end(&name, 1);
                    agent.until_at(&["1"]).await;
                }
                let begun = tokio::time::Instant::now();
                agent.engine.end(&name, 1);
                agent.until_at(&["1"]).await;
                assert!(begun.elapsed() >= Duration::from_secs(3), "took {:?}", begun.elapsed());
            })
            .await;
    });
}

#[test]
fn a_job_that_ended_is_not_repeated_by_repairs() {
    story(async {
        let migrate = "  migrate:\n    image: registry.example/job:1\n    pull_policy: never\n";
        let more = format!("    depends_on: {{ migrate: {{ condition: service_completed_successfully }} }}\n{migrate}");
        let world = World::new().await;
        let job = "registry.example/job:1".parse().unwrap();
        world.engine.behave(&job, Behaviour::ends_after(Duration::from_secs(2), 0));
        world.commit(&[(SHOP, &shop(1, &more))]).await;
        world
            .agent(async |agent| {
                agent
                    .until("web runs", |agent| agent.running() == ["1"] && agent.stack("shop").is_some_and(|s| s.released.is_some()))
                    .await;
                let job = |agent: &crate::world::Agent| {
                    agent
                        .engine
                        .look()
                        .containers
                        .iter()
                        .find(|(_, c)| c.service.as_str() == "migrate")
                        .map(|(name, c)| (name.clone(), c.id.clone()))
                };
                let (name, _) = job(agent).unwrap();
                agent.engine.vanish(&name);
                let web = agent.engine.look().containers.keys().next().unwrap().clone();
                agent.engine.vanish(&web);
                agent.until("web runs again", |agent| agent.running() == ["1"]).await;
                agent.never("the job runs again", Duration::from_secs(300), |agent| job(agent).is_some()).await;
            })
            .await;
    });
}
