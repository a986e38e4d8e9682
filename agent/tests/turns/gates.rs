//! Locks, windows, holds, removals: what waits, with its code, and when it goes on.

use crate::world::{ENVIRONMENT, LOCK, LOCKED, SHOP, World, after, name, shop, story};
use std::time::Duration;
use tidegate_agent::driver::{Command, Rolled};
use tidegate_core::calendar::Gated;
use tidegate_core::ids::ReleaseNumber;
use tidegate_core::lock::{Hold, LockedFreeze, OVERRIDE_DEFAULT_SECS, Override, ReleaseKind};

/// Open on Saturdays from 14:00 UTC for an hour: two hours after every story begins.
const AFTERNOON: &str =
    "schema: 1\nstacks:\n  shop: { hosts: {} }\nwindows: [{ name: afternoon, cron: \"0 14 * * SAT\", duration: 1h, tz: UTC }]\n";

#[test]
fn nothing_runs_before_the_first_release() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        world
            .agent(async |agent| {
                agent.never("something runs", Duration::from_secs(60), |agent| !agent.running().is_empty()).await;
                let commit = world.commit(&[(SHOP, &shop(2, ""))]).await;
                world.lock(1, &[("shop", 1, &commit)], Vec::new()).await;
                agent.until_at(&["2"]).await;
                assert_eq!(agent.stack("shop").unwrap().released.unwrap().release.unwrap().0, 1);
                world.commit(&[(SHOP, &shop(1, ""))]).await;
                agent.never("the tip is followed", Duration::from_secs(60), |agent| agent.running() != ["2"]).await;
            })
            .await;
    });
}

#[test]
fn another_content_than_the_locked_one_does_not_start() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        let commit = world.commit(&[(SHOP, &shop(2, ""))]).await;
        let mut lock = world.lock_of(1, &[("shop", 1, &commit)], Vec::new()).await;
        lock.stacks.get_mut(&name("shop")).unwrap().content = tidegate_core::ids::ContentId::of_bytes(b"other");
        world.commit(&[(LOCK, &lock.to_yaml())]).await;
        world
            .agent(async |agent| {
                agent.until_code("shop", "content_mismatch").await;
                assert!(agent.running().is_empty());
            })
            .await;
    });
}

#[test]
fn the_opening_itself_is_a_trigger_also_after_a_restart() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, AFTERNOON), (SHOP, &shop(1, ""))]).await;
        world
            .agent(async |agent| {
                agent.until_code("shop", "window_closed").await;
                let next = agent.stack("shop").unwrap().waiting.unwrap().next_moment();
                assert_eq!(next, Some(after(7_200)));
                tokio::time::sleep(Duration::from_secs(3_600)).await;
                assert!(agent.running().is_empty());
            })
            .await;
        world
            .agent(async |agent| {
                agent.until_code("shop", "window_closed").await;
                tokio::time::sleep(Duration::from_secs(3_590)).await;
                assert!(agent.running().is_empty() && world.clock.now() < after(7_200), "{}", world.clock.now());
                agent.until("it starts", |agent| !agent.running().is_empty()).await;
                let late = world.clock.now().duration_since(after(7_200));
                assert!(!late.is_negative() && late.as_secs() <= 2, "the opening itself started it, {late} after");
                agent.until_at(&["1"]).await;
            })
            .await;
    });
}

#[test]
fn a_closed_window_stops_neither_repair_nor_a_way_back() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
                world.commit(&[(ENVIRONMENT, AFTERNOON), (SHOP, &shop(1, ""))]).await;
                agent.until_at(&["1"]).await;
                let container = agent.engine.look().containers.keys().next().unwrap().clone();
                agent.engine.vanish(&container);
                agent.until_at(&["1"]).await;
                world.commit(&[(SHOP, &shop(5, ""))]).await;
                agent.until_code("shop", "window_closed").await;
            })
            .await;
    });
}

#[test]
fn a_broken_calendar_closes_releases_and_leaves_the_way_back_open() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
        let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
        let fifth = world.commit(&[(SHOP, &shop(5, ""))]).await;
        world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.lock(2, &[("shop", 2, &second)], Vec::new()).await;
                agent.until_at(&["2"]).await;
                let broken = LOCKED.replace("always", "[{ cron: \"99 * * * *\", duration: 1h, tz: UTC }]");
                let lock = world.lock_of(3, &[("shop", 3, &fifth)], Vec::new()).await;
                world.commit(&[(ENVIRONMENT, &broken), (LOCK, &lock.to_yaml())]).await;
                agent.until_code("shop", "config_refused").await;
                agent.never("it goes out", Duration::from_secs(100), |agent| agent.running() != ["2"]).await;
                world.lock(4, &[("shop", 1, &first)], Vec::new()).await;
                agent.until_at(&["1"]).await;
                world.commit(&[(ENVIRONMENT, LOCKED)]).await;
                world.lock(5, &[("shop", 5, &fifth)], Vec::new()).await;
                agent.until_at(&["5"]).await;
            })
            .await;
    });
}

#[test]
fn a_held_content_waits_until_it_is_released_anew() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
        let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
        world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                let hold = Hold {
                    stack: Some(name("shop")),
                    content: Some(world.content("shop", &second).await),
                    release: None,
                    by: None,
                    reason: "it loses orders".into(),
                    at: world.clock.now(),
                    until: Some(after(600)),
                };
                world.lock(2, &[("shop", 2, &second)], vec![hold]).await;
                agent.until_code("shop", "held").await;
                agent.until_at(&["2"]).await;
                assert!(world.clock.now() >= after(600), "the hold ended by itself");
            })
            .await;
    });
}

#[test]
fn a_content_that_failed_is_tried_again_when_somebody_releases_it_anew() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
        let third = world.commit(&[(SHOP, &shop(3, ""))]).await;
        world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.lock(2, &[("shop", 2, &third)], Vec::new()).await;
                agent.until_code("shop", "failed_here").await;
                // What was wrong with its surroundings was mended.
                world.engine.behave(&crate::world::image(3), Default::default());
                world.lock(3, &[("shop", 1, &first)], Vec::new()).await;
                agent.until("it no longer waits", |agent| agent.code("shop").is_none()).await;
                world.lock(4, &[("shop", 4, &third)], Vec::new()).await;
                agent.until_at(&["3"]).await;
            })
            .await;
    });
}

#[test]
fn removing_everything_waits_for_a_person() {
    story(async {
        let world = World::new().await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(ENVIRONMENT, "schema: 1\nstacks: {}\nwindows: always\n")]).await;
                agent.until_code("shop", "removal_held").await;
                agent.never("it is removed", Duration::from_secs(300), |agent| agent.running() != ["1"]).await;
                let resumed = agent.ask(Command::Resume { stack: name("shop") }).await.unwrap();
                assert!(matches!(resumed, Rolled::Resumed { lifted } if lifted.len() == 1));
                agent.until("nothing is left", |agent| agent.engine.look().containers.is_empty()).await;
                agent.until("nothing is remembered", |agent| agent.stack("shop").is_none()).await;
            })
            .await;
    });
}

#[test]
fn one_of_several_stacks_goes_without_asking() {
    story(async {
        let both = "schema: 1\nstacks:\n  shop: { hosts: {} }\n  blog: { hosts: {} }\nwindows: always\n";
        let world = World::with(&[(ENVIRONMENT, both), (SHOP, &shop(1, "")), ("stacks/blog/compose.yaml", &shop(1, ""))]).await;
        world
            .agent(async |agent| {
                agent.until_at(&["1", "1"]).await;
                world.commit(&[(ENVIRONMENT, "schema: 1\nstacks:\n  shop: { hosts: { role: web } }\nwindows: always\n")]).await;
                agent.until_at(&["1"]).await;
                agent.until("blog is forgotten", |agent| agent.stack("blog").is_none()).await;
                assert!(agent.engine.look().networks.keys().all(|name| name.starts_with("shop")));
            })
            .await;
    });
}

/// A hold, a freeze and an override as the bot writes them.
fn freeze(world: &World, blocks: &[Gated]) -> LockedFreeze {
    LockedFreeze {
        by: None,
        reason: "the annual report".into(),
        at: world.clock.now(),
        from: None,
        until: None,
        blocks: blocks.iter().copied().collect(),
    }
}

fn override_of(world: &World, release: u64) -> Override {
    Override {
        release: ReleaseNumber(release),
        stack: None,
        by: "alice".try_into().unwrap(),
        reason: "the report needs it".into(),
        at: world.clock.now(),
        until: world.clock.now() + jiff::SignedDuration::from_secs(OVERRIDE_DEFAULT_SECS),
    }
}

#[test]
fn a_freeze_in_the_lock_stops_releases_and_only_what_it_names_more() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
        let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
        let fifth = world.commit(&[(SHOP, &shop(5, ""))]).await;
        world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.lock(2, &[("shop", 2, &second)], Vec::new()).await;
                agent.until_at(&["2"]).await;
                let mut frozen = world.lock_of(3, &[("shop", 3, &fifth)], Vec::new()).await;
                frozen.freezes = vec![freeze(&world, &[Gated::Release])];
                world.commit(&[(LOCK, &frozen.to_yaml())]).await;
                agent.until_code("shop", "frozen").await;
                let mut back = world.lock_of(4, &[("shop", 1, &first)], Vec::new()).await;
                back.freezes = vec![freeze(&world, &[Gated::Release, Gated::Rollback])];
                world.commit(&[(LOCK, &back.to_yaml())]).await;
                agent.never("it goes back", Duration::from_secs(100), |agent| agent.running() != ["2"]).await;
                back.freezes = frozen.freezes;
                world.commit(&[(LOCK, &back.to_yaml())]).await;
                agent.until_at(&["1"]).await;
            })
            .await;
    });
}

#[test]
fn an_override_in_a_later_lock_lets_exactly_that_release_through() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
        let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
        let fifth = world.commit(&[(SHOP, &shop(5, ""))]).await;
        world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                let mut lock = world.lock_of(2, &[("shop", 2, &second)], Vec::new()).await;
                lock.freezes = vec![freeze(&world, &[Gated::Release])];
                world.commit(&[(LOCK, &lock.to_yaml())]).await;
                agent.until_code("shop", "frozen").await;
                // Every lock has a new number; the stack's own number stays.
                (lock.release, lock.kind) = (ReleaseNumber(3), ReleaseKind::Override);
                lock.overrides = vec![override_of(&world, 2)];
                world.commit(&[(LOCK, &lock.to_yaml())]).await;
                agent.until_at(&["2"]).await;
                assert_eq!(agent.overrides().await, ["frozen was overridden by alice: the report needs it"]);
                let mut next = world.lock_of(4, &[("shop", 4, &fifth)], Vec::new()).await;
                (next.freezes, next.overrides) = (lock.freezes, lock.overrides);
                world.commit(&[(LOCK, &next.to_yaml())]).await;
                agent.until_code("shop", "frozen").await;
                agent.never("it goes out", Duration::from_secs(100), |agent| agent.running() != ["2"]).await;
            })
            .await;
    });
}

#[test]
fn holds_and_overrides_by_hand_count_like_those_of_the_lock() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        let people = "schema: 1\nenvironments: [production]\npeople:\n  alice: { name: Alice, email: alice@example.org }\n\
                      bot: { name: bot, email: bot@example.org }\n";
        let hold = format!("{LOCKED}holds: [{{ stack: shop, by: alice, reason: wait, at: {} }}]\n", after(-60));
        let pass = format!("{hold}overrides: [{{ release: 2, by: alice, reason: now, at: {}, until: {} }}]\n", after(-60), after(3_600));
        let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n")), ("tidegate.yaml", people)]).await;
        let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
        world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(ENVIRONMENT, &hold)]).await;
                world.lock(2, &[("shop", 2, &second)], Vec::new()).await;
                agent.until_code("shop", "held").await;
                world.commit(&[(ENVIRONMENT, &pass)]).await;
                agent.until_at(&["2"]).await;
                assert_eq!(agent.overrides().await, ["held was overridden by alice: now"]);
            })
            .await;
    });
}

/// The same environment, frozen for a month.
fn frozen_file() -> String {
    format!("{LOCKED}freezes: [{{ name: audit, from: 2026-11-20T00:00, until: 2026-12-20T00:00, tz: UTC, reason: the audit }}]\n")
}

#[test]
fn a_freeze_is_in_force_also_when_something_else_in_the_repo_is_broken() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
        let second = world.commit(&[(SHOP, &shop(2, ""))]).await;
        world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(ENVIRONMENT, &frozen_file()), (SHOP, "services: [")]).await;
                world.lock(2, &[("shop", 2, &second)], Vec::new()).await;
                agent.until_code("shop", "frozen").await;
                agent.never("it goes out", Duration::from_secs(100), |agent| agent.running() != ["1"]).await;
                // Nobody can say what a file says that is gone.
                world.commit(&[(ENVIRONMENT, "")]).await;
                agent.until_code("shop", "config_refused").await;
                agent.never("it goes out", Duration::from_secs(100), |agent| agent.running() != ["1"]).await;
                world.commit(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
            })
            .await;
    });
}

#[test]
fn a_lock_that_is_removed_keeps_what_it_held_and_froze() {
    story(async {
        let world = World::new().await;
        let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
        let mut lock = world.lock_of(1, &[("shop", 1, &first)], Vec::new()).await;
        lock.freezes = vec![freeze(&world, &[Gated::Release])];
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit(&[(LOCK, &lock.to_yaml())]).await;
                agent.until("it is known", |agent| agent.stack("shop").and_then(|s| s.released?.release).is_some()).await;
                world.commit(&[(SHOP, &shop(2, ""))]).await;
                world.commit(&[(LOCK, "")]).await;
                agent.never("the tip is followed", Duration::from_secs(100), |agent| agent.running() != ["1"]).await;
                let board = agent.board.borrow().clone();
                assert!(board.config.errors.iter().any(|error| error.contains("was removed")), "{:?}", board.config);
            })
            .await;
        // Nor is it forgotten by a restart.
        world
            .agent(async |agent| agent.never("the tip is followed", Duration::from_secs(100), |agent| agent.running() != ["1"]).await)
            .await;
    });
}

#[test]
fn the_way_back_to_what_was_good_long_ago_is_no_release() {
    story(async {
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
        world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                for version in [2, 4, 5, 6, 7] {
                    let commit = world.commit(&[(SHOP, &shop(version, ""))]).await;
                    world.lock(u64::from(version), &[("shop", u64::from(version), &commit)], Vec::new()).await;
                    agent.until_at(&[&version.to_string()]).await;
                }
                world.commit(&[(ENVIRONMENT, &AFTERNOON.replace("windows", "approvals: none\nwindows"))]).await;
                world.lock(8, &[("shop", 1, &first)], Vec::new()).await;
                agent.until_at(&["1"]).await;
                assert!(world.clock.now() < after(7_200), "it did not wait for the window");
            })
            .await;
    });
}
