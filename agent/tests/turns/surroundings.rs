//! Broken configs, rewritten history, git, engine, clock or database away.

use crate::world::{ENVIRONMENT, LOCK, LOCKED, SHOP, World, after, shop, story};
use std::time::Duration;
use tidegate_agent::engine::simulated::Fault;

#[test]
fn a_broken_config_is_told_once_and_the_last_good_one_keeps_running() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(SHOP, "services:\n  web: { image: 7, nonsense: true }\n")]).await;
                agent.until("the errors are shown", |agent| !agent.board.borrow().config.errors.is_empty()).await;
                agent.never("something else runs", Duration::from_secs(300), |agent| agent.running() != ["1"]).await;
                let name = agent.engine.look().containers.keys().next().unwrap().clone();
                agent.engine.vanish(&name);
                agent.until_at(&["1"]).await;
                let news = agent.news().await;
                assert_eq!(news.iter().filter(|line| line.starts_with("refused")).count(), 1, "{news:?}");
            })
            .await;
        // After a restart it is still the same story, not a new one.
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                tokio::time::sleep(Duration::from_secs(60)).await;
                assert_eq!(agent.news().await.iter().filter(|line| line.starts_with("refused")).count(), 1);
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
            })
            .await;
    });
}

#[test]
fn a_new_lock_is_followed_even_where_the_rest_of_the_tip_is_broken() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
        world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
                world.lock(2, &[("shop", 2, &second)], Vec::new()).await;
                agent.until_at(&["2"]).await;
                let back = world.lock_of(3, &[("shop", 1, &first)], Vec::new()).await;
                world.commit(&[(SHOP, "nonsense"), (LOCK, &back.to_yaml())]).await;
                agent.until_at(&["1"]).await;
                assert!(!agent.board.borrow().config.errors.is_empty());
            })
            .await;
    });
}

#[test]
fn a_rewritten_history_is_not_followed_and_told_once() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.rewrite_history(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(2, ""))]).await;
                agent.until("it is told", |agent| agent.board.borrow().troubles.contains_key("history_rewritten")).await;
                agent.never("it is followed", Duration::from_secs(300), |agent| agent.running() != ["1"]).await;
                let name = agent.engine.look().containers.keys().next().unwrap().clone();
                agent.engine.vanish(&name);
                agent.until_at(&["1"]).await;
                world.restore_history().await;
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
                let news = agent.news().await;
                let told: Vec<_> = news.iter().filter(|line| line.contains("history_rewritten")).collect();
                assert_eq!(told, ["trouble history_rewritten", "recovered history_rewritten"]);
            })
            .await;
    });
}

#[test]
fn with_git_away_repairs_go_on_and_it_is_told_once() {
    story(async {
        let world = World::new().await;
        let away = world.folder.path().join("away.git");
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                std::fs::rename(world.repo(), &away).unwrap();
                agent.until("it is told", |agent| agent.board.borrow().troubles.contains_key("git_unreachable")).await;
                let name = agent.engine.look().containers.keys().next().unwrap().clone();
                agent.engine.vanish(&name);
                agent.until_at(&["1"]).await;
            })
            .await;
        // A restart without git: the mirror is enough.
        world
            .agent(async |agent| {
                let name = agent.engine.look().containers.keys().next().unwrap().clone();
                agent.engine.vanish(&name);
                agent.until_at(&["1"]).await;
                std::fs::rename(&away, world.repo()).unwrap();
                agent.until("it is over", |agent| !agent.board.borrow().troubles.contains_key("git_unreachable")).await;
                let news = agent.news().await;
                let told: Vec<_> = news.iter().filter(|line| line.contains("git_unreachable")).collect();
                assert_eq!(told, ["trouble git_unreachable", "recovered git_unreachable"]);
            })
            .await;
    });
}

#[test]
fn with_the_engine_away_it_waits_and_says_so() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.engine.fault(Fault::Away);
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                agent.until("it is told", |agent| agent.board.borrow().troubles.contains_key("engine_unreachable")).await;
                assert!(!agent.board.borrow().engine_answers);
                tokio::time::sleep(Duration::from_secs(300)).await;
                world.engine.fault(Fault::None);
                agent.until_at(&["2"]).await;
                let news = agent.news().await;
                let told: Vec<_> = news.iter().filter(|line| line.contains("engine_unreachable")).collect();
                assert_eq!(told, ["trouble engine_unreachable", "recovered engine_unreachable"]);
                assert!(!news.iter().any(|line| line.starts_with("failed")), "no verdict: {news:?}");
            })
            .await;
    });
}

#[test]
fn without_its_database_it_adopts_what_runs() {
    story(async {
        let world = World::new().await;
        world.agent(async |agent| agent.until_at(&["1"]).await).await;
        let before = world.engine.look();
        std::fs::remove_dir_all(world.settings().state_dir).unwrap();
        world
            .agent(async |agent| {
                agent.until("it is released again", |agent| agent.stack("shop").is_some_and(|shop| shop.released.is_some())).await;
                tokio::time::sleep(Duration::from_secs(120)).await;
                assert_eq!(world.engine.look(), before, "nothing was restarted");
                assert_eq!(agent.news().await, Vec::<String>::new(), "nothing was rolled out");
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
            })
            .await;
    });
}

#[test]
fn without_its_database_a_bad_release_does_not_take_down_what_ran() {
    story(async {
        for locked in [false, true] {
            let world = World::with(&[(ENVIRONMENT, if locked { LOCKED } else { crate::world::FOLLOWS_TIP }), (SHOP, &shop(1, ""))]).await;
            let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
            if locked {
                world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
            }
            world.agent(async |agent| agent.until_at(&["1"]).await).await;
            std::fs::remove_dir_all(world.settings().state_dir).unwrap();
            let third = world.commit(&[(SHOP, &shop(3, ""))]).await;
            if locked {
                world.lock(2, &[("shop", 2, &third)], Vec::new()).await;
            }
            world
                .agent(async |agent| {
                    agent.until_code("shop", "failed_here").await;
                    agent.until_at(&["1"]).await;
                    assert_eq!(agent.news().await, ["started release", "failed, the one before restored"]);
                })
                .await;
        }
    });
}

#[test]
fn a_clock_that_goes_back_stops_releases_for_a_while_and_nothing_else() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.clock.set_by(-3_600);
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                agent.until_code("shop", "clock_untrusted").await;
                let name = agent.engine.look().containers.keys().next().unwrap().clone();
                agent.engine.vanish(&name);
                agent.until_at(&["1"]).await;
                agent.until_at(&["2"]).await;
                assert!(world.clock.now() > after(-3_600 + 600), "it waited until the clock was steady");
            })
            .await;
    });
}

#[test]
fn a_host_that_the_repo_does_not_know_keeps_what_runs() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[("hosts/web-1.yaml", ""), (SHOP, &shop(2, ""))]).await;
                agent.until_code("shop", "config_refused").await;
                agent.until("it is told", |agent| agent.board.borrow().troubles.contains_key("host_unknown")).await;
                agent.never("something else runs", Duration::from_secs(100), |agent| agent.running() != ["1"]).await;
            })
            .await;
    });
}
