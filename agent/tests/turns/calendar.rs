//! The calendar around a host: spread, pulls ahead of time, skipped releases, closes, missed windows, clocks adrift.

use crate::world::{ENVIRONMENT, LOCK, LOCKED, SHOP, World, after, image, shop, story};
use std::time::Duration;
use tidegate_agent::clock::Sync;
use tidegate_agent::engine::simulated::{Behaviour, Image};
use tidegate_core::events::Event;
use tidegate_core::ids::CommitId;
use tidegate_core::lock::LockedFreeze;
use tidegate_core::plan::Waiting;

/// Open on Saturdays from 14:00 UTC for an hour: two hours after every story begins.
const AFTERNOON: &str = "schema: 1\nstacks:\n  shop: { hosts: {} }\nwindows: [{ name: afternoon, cron: \"0 14 * * SAT\", duration: 1h, tz: UTC }]\napprovals: none\n";

/// As `shop`, from a registry.
fn pulled(version: u32) -> String {
    shop(version, "").replace("    pull_policy: never\n", "")
}

/// Version 1 runs, released by number; then the window of the afternoon.
async fn released() -> (World, CommitId) {
    let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
    let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
    world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
    world.agent(async |agent| agent.until_at(&["1"]).await).await;
    world.commit(&[(ENVIRONMENT, AFTERNOON)]).await;
    (world, first)
}

#[test]
fn a_host_starts_a_little_after_the_opening_and_says_when() {
    story(async {
        let (world, _) = released().await;
        *world.more.borrow_mut() = "calendar.splay_secs = 600\npoll_interval_secs = 5".into();
        let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
        world.lock(2, &[("shop", 2, &second)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_code("shop", "splay").await;
                let Some(Waiting::Splay { opened_at, until }) = agent.stack("shop").unwrap().waiting else { panic!("no splay") };
                assert_eq!(opened_at, after(7_200));
                assert!(until > opened_at && until <= after(7_800), "{until}");
                agent.until_at(&["2"]).await;
                let started = agent.stack("shop").unwrap().released_at.unwrap();
                assert!(started >= until && started.duration_since(until).as_secs() < 20, "{started} and {until}");
            })
            .await;
    });
}

#[test]
fn images_are_there_before_the_opening_also_when_the_registry_was_away_for_a_while() {
    story(async {
        let (world, _) = released().await;
        world.engine.behave(&image(5), Behaviour { image: Image::RegistryAway, ..Behaviour::default() });
        let fifth = world.commit(&[(SHOP, &pulled(5))]).await;
        world.lock(2, &[("shop", 2, &fifth)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_code("shop", "window_closed").await;
                tokio::time::sleep(Duration::from_secs(300)).await;
                assert_eq!(agent.stack("shop").unwrap().prepared, None);
                world.engine.behave(&image(5), Behaviour { image: Image::AtRegistry(Duration::from_secs(600)), ..Behaviour::default() });
                agent.until("its images are here", |agent| agent.stack("shop").unwrap().prepared.is_some()).await;
                assert!(world.clock.now() < after(7_200) && agent.running() == ["1"]);
                agent.until_at(&["5"]).await;
                let late = world.clock.now().duration_since(after(7_200));
                assert!(late.as_secs() < 60, "the opening was not spent on the registry: {late}");
            })
            .await;
    });
}

#[test]
fn a_pull_counts_for_the_fit_and_what_was_pulled_ahead_does_not() {
    story(async {
        let (world, _) = released().await;
        world.engine.behave(&image(5), Behaviour { image: Image::AtRegistry(Duration::from_secs(30)), ..Behaviour::default() });
        world.engine.behave(&image(6), Behaviour { image: Image::AtRegistry(Duration::from_secs(20_000)), ..Behaviour::default() });
        let fifth = world.commit(&[(SHOP, &pulled(5))]).await;
        let sixth = world.commit(&[(SHOP, &pulled(6))]).await;
        world
            .agent(async |agent| {
                // Four minutes are left: enough for the rollout, and not for a pull that takes five.
                tokio::time::sleep(Duration::from_secs(7_200 + 3_600 - 240)).await;
                world.lock(2, &[("shop", 2, &fifth)], Vec::new()).await;
                agent.until_code("shop", "does_not_fit").await;
                agent.until_at(&["5"]).await;
                assert!(world.clock.now() < after(10_800), "pulled first, then released in the same window");
                world.lock(3, &[("shop", 3, &sixth)], Vec::new()).await;
                agent.until_code("shop", "does_not_fit").await;
                let wait = Duration::from_secs(600);
                agent.never("it begins", wait, |agent| agent.stack("shop").is_some_and(|stack| stack.attempted.is_some())).await;
                assert_eq!(agent.running(), ["5"]);
            })
            .await;
    });
}

#[test]
fn the_newest_release_wins_and_the_skipped_ones_are_named() {
    story(async {
        let (world, _) = released().await;
        world
            .agent(async |agent| {
                for (release, version) in [(2, 2), (3, 4), (4, 5)] {
                    let commit = world.commit(&[(SHOP, &shop(version, ""))]).await;
                    world.lock(release, &[("shop", release, &commit)], Vec::new()).await;
                    agent
                        .until("it is offered", |agent| {
                            agent.stack("shop").and_then(|stack| stack.offered?.release).is_some_and(|number| number.0 == release)
                        })
                        .await;
                }
                agent.until_at(&["5"]).await;
                let events = agent.store.undelivered(5_000).await.unwrap().events;
                let skipped: Vec<Vec<u64>> = events
                    .iter()
                    .filter_map(|event| match &event.event {
                        Event::Started(started) => Some(started.skipped.iter().map(|release| release.0).collect()),
                        _ => None,
                    })
                    .collect();
                assert_eq!(skipped, [vec![], vec![2, 3]]);
                let history = agent.store.history(10).await.unwrap();
                assert_eq!(history[0].skipped.len(), 2);
            })
            .await;
    });
}

#[test]
fn what_is_not_done_at_the_close_is_taken_back_and_said() {
    story(async {
        let (world, _) = released().await;
        world.engine.behave(&image(5), Behaviour { image: Image::AtRegistry(Duration::from_secs(5_000)), ..Behaviour::default() });
        let fifth = world.commit(&[(SHOP, &pulled(5))]).await;
        world
            .agent(async |agent| {
                tokio::time::sleep(Duration::from_secs(7_230)).await;
                world.lock(2, &[("shop", 2, &fifth)], Vec::new()).await;
                agent.until("it began", |agent| agent.stack("shop").is_some_and(|stack| stack.attempted.is_some())).await;
                agent.until("it is over", |agent| agent.stack("shop").is_some_and(|stack| stack.attempted.is_none())).await;
                let late = world.clock.now().duration_since(after(10_800)).as_secs();
                assert!((0..30).contains(&late), "{late} s after the close");
                assert!(agent.is_at(&["1"]), "{:?}", agent.running());
                agent.until_code("shop", "window_closed").await;
                let news = agent.news().await;
                assert_eq!(news.iter().filter(|line| *line == "taken back, window_closed").count(), 1, "{news:?}");
                assert!(!news.contains(&"superseded".to_owned()), "{news:?}");
                let last = agent.store.history(1).await.unwrap().remove(0);
                assert_eq!(last.outcome, "taken_back");
                assert!(last.cause.is_some_and(|cause| cause.contains("window")), "why it was taken back");
                agent.never("it goes on", Duration::from_secs(4_000), |agent| agent.running() != ["1"]).await;
            })
            .await;
    });
}

#[test]
fn what_waits_behind_others_does_not_begin_under_a_freeze_that_came_meanwhile() {
    story(async {
        let names = ["a", "b", "c", "d", "e", "f"];
        let stacks: String = names.iter().map(|name| format!("  {name}: {{ hosts: {{}} }}\n")).collect();
        let environment = format!("schema: 1\nstacks:\n{stacks}windows: always\napprovals: none\n");
        let paths: Vec<String> = names.iter().map(|name| format!("stacks/{name}/compose.yaml")).collect();
        let compose = pulled(5);
        let mut files = vec![(ENVIRONMENT, environment.as_str())];
        files.extend(paths.iter().map(|path| (path.as_str(), compose.as_str())));
        let world = World::with(&files).await;
        world.engine.behave(&image(5), Behaviour { image: Image::AtRegistry(Duration::from_secs(100)), ..Behaviour::default() });
        let commit = world.commit(&[(SHOP, "")]).await;
        let locked: Vec<_> = names.iter().map(|name| (*name, 1, &commit)).collect();
        let mut lock = world.lock_of(1, &locked, Vec::new()).await;
        world.commit(&[(LOCK, &lock.to_yaml())]).await;
        world
            .agent(async |agent| {
                let begun = |agent: &crate::world::Agent| {
                    names.iter().filter(|name| agent.stack(name).is_some_and(|s| s.attempted.is_some())).count()
                };
                let started = async || agent.news().await.iter().filter(|line| line.starts_with("started")).count();
                while started().await < 4 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                lock.release = tidegate_core::ids::ReleaseNumber(2);
                lock.freezes = vec![LockedFreeze {
                    by: None,
                    reason: "the annual report".into(),
                    at: world.clock.now(),
                    from: None,
                    until: None,
                    blocks: tidegate_core::lock::releases_only(),
                }];
                world.commit(&[(LOCK, &lock.to_yaml())]).await;
                agent.until("the others wait", |agent| names.iter().filter(|name| agent.code(name) == Some("frozen")).count() == 2).await;
                agent.until("what began ends", |agent| agent.running().len() == 4 && begun(agent) == 0).await;
                assert_eq!(started().await, 4);
            })
            .await;
    });
}

#[test]
fn one_stack_whose_images_are_here_lets_the_next_one_pull() {
    story(async {
        let closed = AFTERNOON.replace("stacks:\n", "stacks:\n  blog: { hosts: {} }\n  wiki: { hosts: {} }\n");
        let files = [
            (ENVIRONMENT, closed.as_str()),
            (SHOP, &pulled(5)),
            ("stacks/blog/compose.yaml", &pulled(5)),
            ("stacks/wiki/compose.yaml", &pulled(5)),
        ];
        let world = World::with(&files).await;
        world.engine.behave(&image(5), Behaviour { image: Image::AtRegistry(Duration::from_secs(100)), ..Behaviour::default() });
        let commit = world.commit(&[("README.md", "three stacks")]).await;
        world.lock(1, &[("blog", 1, &commit), ("shop", 1, &commit), ("wiki", 1, &commit)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_code("shop", "window_closed").await;
                // One of them waits no longer for its time alone, and nobody asks for its images any more.
                tokio::time::sleep(Duration::from_secs(90)).await;
                let blog = world.content("blog", &commit).await;
                let hold = tidegate_core::lock::Hold {
                    stack: Some(crate::world::name("blog")),
                    content: Some(blog),
                    release: None,
                    by: None,
                    reason: "wait".into(),
                    at: world.clock.now(),
                    until: None,
                };
                world.lock(2, &[("blog", 1, &commit), ("shop", 1, &commit), ("wiki", 1, &commit)], vec![hold]).await;
                agent.until_code("blog", "held").await;
                let prepared = |agent: &crate::world::Agent, name: &str| agent.stack(name).is_some_and(|stack| stack.prepared.is_some());
                agent.until("the others are prepared", |agent| prepared(agent, "shop") && prepared(agent, "wiki")).await;
                assert!(world.clock.now() < after(7_200));
            })
            .await;
    });
}

#[test]
fn a_restart_does_not_make_a_clock_trusted_that_went_back() {
    story(async {
        let (world, _) = released().await;
        let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
        world.lock(2, &[("shop", 2, &second)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_code("shop", "window_closed").await;
                tokio::time::sleep(Duration::from_secs(120)).await;
                world.clock.set_by(-3_600);
                agent.until_code("shop", "clock_untrusted").await;
                // Long enough for a status with the earlier time, too short to settle.
                tokio::time::sleep(Duration::from_secs(400)).await;
            })
            .await;
        world
            .agent(async |agent| {
                agent.until("it decided", |agent| agent.code("shop").is_some()).await;
                assert_eq!(agent.code("shop"), Some("clock_untrusted"));
                agent.until_code("shop", "window_closed").await;
            })
            .await;
    });
}

#[test]
fn an_opening_does_not_wait_for_a_repair_in_hand() {
    story(async {
        let both = AFTERNOON.replace("stacks:\n", "stacks:\n  blog: { hosts: {} }\n");
        let open = both.replace(&both[both.find("windows").unwrap()..], "windows: always\napprovals: none\n");
        let slow = shop(5, "").replace("interval: 1s", "start_period: 90m, interval: 1s");
        let world = World::with(&[(ENVIRONMENT, &open), (SHOP, &shop(1, "")), ("stacks/blog/compose.yaml", &slow)]).await;
        world.engine.behave(&image(5), Behaviour::healthy_after(Duration::from_secs(5)));
        let first = world.commit(&[("README.md", "two stacks")]).await;
        let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
        world.lock(1, &[("blog", 1, &first), ("shop", 1, &first)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent
                    .until("both run", |agent| {
                        agent.running().len() == 2 && agent.is_at(&agent.running().iter().map(String::as_str).collect::<Vec<_>>())
                    })
                    .await;
                world.commit(&[(ENVIRONMENT, &both)]).await;
                world.lock(2, &[("blog", 1, &first), ("shop", 2, &second)], Vec::new()).await;
                agent.until_code("shop", "window_closed").await;
                tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(6_600)).await;
                // A repair that takes from before the opening until after the close.
                world.engine.behave(&image(5), Behaviour::healthy_after(Duration::from_secs(5_000)));
                let name = agent.engine.look().containers.keys().find(|name| name.starts_with("blog")).unwrap().clone();
                agent.engine.vanish(&name);
                agent.until("the new one runs", |agent| agent.running().contains(&"2".to_owned())).await;
                let late = world.clock.now().duration_since(after(7_200));
                assert!((0..30).contains(&late.as_secs()), "{late} after the opening");
            })
            .await;
    });
}

#[test]
fn a_way_back_that_ends_after_the_close_is_told_as_an_overrun() {
    story(async {
        let (world, _) = released().await;
        // Pulled just before the close, up at the close, and slow to go.
        let slow = Behaviour {
            image: Image::AtRegistry(Duration::from_secs(3_555)),
            ignores_stop: true,
            ..Behaviour::healthy_after(Duration::from_secs(60))
        };
        world.engine.behave(&image(5), slow);
        let fifth = world.commit(&[(SHOP, &pulled(5).replace("interval: 1s", "start_period: 80s, interval: 1s"))]).await;
        world
            .agent(async |agent| {
                tokio::time::sleep(Duration::from_secs(7_230)).await;
                world.lock(2, &[("shop", 2, &fifth)], Vec::new()).await;
                agent.until("the new one is up", |agent| agent.running().contains(&"5".to_owned())).await;
                assert!(world.clock.now() < after(10_800));
                agent.until_at(&["1"]).await;
                let news = agent.news().await;
                let told = news.iter().find_map(|line| line.strip_prefix("overran by ")?.strip_suffix(" s")?.parse::<u64>().ok());
                assert!(told.is_some_and(|secs| (1..30).contains(&secs)), "{news:?}");
            })
            .await;
    });
}

#[test]
fn a_host_that_slept_through_its_window_says_so_and_waits_for_the_next() {
    for was_off in [true, false] {
        story(async {
            let (world, _) = released().await;
            let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
            world.lock(2, &[("shop", 2, &second)], Vec::new()).await;
            world
                .agent(async |agent| {
                    agent.until_code("shop", "window_closed").await;
                    if !was_off {
                        world.clock.set_by(14_400);
                        agent.until_code("shop", "missed_window").await;
                    }
                })
                .await;
            if was_off {
                world.clock.set_by(14_400);
            }
            world
                .agent(async |agent| {
                    agent.until("it knows", |agent| agent.code("shop").is_some()).await;
                    if was_off {
                        let Some(Waiting::MissedWindow { opened_at, closed_at, opens_at, .. }) = agent.stack("shop").unwrap().waiting
                        else {
                            panic!("{:?}", agent.stack("shop"))
                        };
                        assert_eq!((opened_at, closed_at, opens_at), (after(7_200), after(10_800), Some(after(7_200 + 7 * 86_400))));
                    }
                    assert_eq!(agent.running(), ["1"]);
                })
                .await;
        });
    }
}

#[test]
fn a_clock_that_nothing_keeps_right_closes_releases_and_nothing_else() {
    story(async {
        let (world, _) = released().await;
        world.clock.set_sync(Sync::No);
        let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
        world.lock(2, &[("shop", 2, &second)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_code("shop", "clock_untrusted").await;
                tokio::time::sleep(Duration::from_secs(7_500)).await;
                assert_eq!(agent.running(), ["1"], "the window is open, the clock adrift");
                let container = agent.engine.look().containers.keys().next().unwrap().clone();
                agent.engine.vanish(&container);
                agent.until_at(&["1"]).await;
                world.clock.set_sync(Sync::Yes);
                agent.until_at(&["2"]).await;
            })
            .await;
    });
    story(async {
        // Switched off, and where nothing is ever closed, it makes no difference.
        let (world, _) = released().await;
        world.clock.set_sync(Sync::No);
        world.more.borrow_mut().push_str("\ncalendar.check_sync = false");
        let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
        world.lock(2, &[("shop", 2, &second)], Vec::new()).await;
        world.agent(async |agent| agent.until_at(&["2"]).await).await;
        let always = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        always.clock.set_sync(Sync::No);
        let first = always.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
        let lock = always.lock_of(1, &[("shop", 1, &first)], Vec::new()).await;
        always.commit(&[(LOCK, &lock.to_yaml())]).await;
        always.agent(async |agent| agent.until_at(&["1"]).await).await;
    });
}
