//! Freezes, holds, overrides and the calendar: who may, what stands in git, how each ends.

use crate::world::{Plan, World, refused};
use jiff::{Timestamp, ToSpan as _};
use tidegate_bot::request::{EnvironmentCalendar, GateRefusal, Outcome, PlannedState, Refusal};
use tidegate_core::calendar::{Gated, State};
use tidegate_core::events::{Event, Failure, Outcome as Ended, Restored, RolloutFinished};
use tidegate_core::lock::ReleaseKind;
use tidegate_core::plan::OperationClass;
use tidegate_git::message;

const HOUR_SECS: i64 = 3_600;
const DAY_SECS: i64 = 24 * HOUR_SECS;
const BERLIN: &str = "\n  - { cron: \"0 9 * * 1-5\", duration: 8h, tz: Europe/Berlin, name: office hours }";

/// What a freeze, a hold or an override was refused for.
fn gate(reply: &tidegate_bot::request::Reply) -> &GateRefusal {
    let found = match &reply.outcome {
        Outcome::Refused(Refusal::Gate(gate)) => Ok(gate),
        _ => Err(&reply.words),
    };
    found.unwrap()
}

fn calendar_of(reply: &tidegate_bot::request::Reply) -> &EnvironmentCalendar {
    let found = match &reply.outcome {
        Outcome::Calendar(calendars) => calendars.first(),
        _ => None,
    };
    found.unwrap()
}

/// Production at a verified release 1.
async fn released(plan: Plan) -> World {
    let world = World::new(plan).await;
    world.release_verified("production", "1").await;
    world
}

/// Production frozen by alice for two days, and version 2 released: it waits.
async fn frozen_with_release_3() -> World {
    let world = released(Plan::default()).await;
    world.say("alice", "freeze production for 2d the books are closed").await;
    world.merge("bob", "2").await;
    world.until_told("Needs approval: release 3 (shop) for production").await;
    let words = world.say("alice", &world.approve("production")).await;
    assert!(words.contains("is released") && words.contains("It waits: A freeze is in force"), "{words}");
    world
}

#[tokio::test]
async fn a_freeze_is_a_commit_of_the_person_and_ends_by_itself() {
    let mut world = released(Plan { windows: BERLIN, ..Plan::default() }).await;
    let day = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().checked_add(40.days()).unwrap();
    let reply = world.reply("greta", &format!("/freeze production until {day} 09:00 reason: year end")).await;
    assert!(reply.words.starts_with("production is frozen until "), "{}", reply.words);
    assert!(
        reply.words.contains("09:00 Europe/Berlin (0") && reply.words.contains(" UTC, in 39 days"),
        "the zone of the windows: {}",
        reply.words
    );
    let Outcome::Frozen(frozen) = &reply.outcome else { panic!() };
    let commit = world.log().await.remove(0);
    assert_eq!((commit.author.name(), commit.committer.name(), commit.id == frozen.lock_commit), ("Greta Guest", "tidegate-bot", true));
    let trailer = |key| message::find_trailer(&commit.message, key).map(str::to_owned);
    assert_eq!((trailer("Tidegate-Kind").as_deref(), trailer("Reason").as_deref()), (Some("freeze"), Some("year end")));
    assert_eq!(trailer("Requested-by").as_deref(), Some("Greta Guest <greta@example.org>"));
    let lock = world.lock("production").unwrap();
    assert_eq!((lock.kind, lock.release.0, lock.stacks["shop"].release.0), (ReleaseKind::Freeze, 2, 1));
    let shown = world.reply("bob", "calendar production").await;
    let calendar = calendar_of(&shown);
    assert_eq!((calendar.decision.state, calendar.zone.as_str()), (State::Frozen, "Europe/Berlin"));
    assert_eq!(calendar.freezes[0].until, lock.freezes[0].until, "instants are data");
    assert!(shown.words.contains("freeze by greta") && shown.words.contains("year end"), "{}", shown.words);
    // It ends by itself, and the next lock has forgotten it.
    world.clock.move_on(41 * DAY_SECS);
    let shown = world.reply("bob", "calendar production").await;
    assert_ne!(calendar_of(&shown).decision.state, State::Frozen);
    world.say("alice", "hold shop production x").await;
    assert!(world.lock("production").unwrap().freezes.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_freeze_that_says_nothing_new_is_not_made_and_overlapping_ones_are() {
    let mut world = released(Plan::default()).await;
    world.say("alice", "freeze production for 2h audit").await;
    for line in ["freeze production for 2h audit", "freeze production for 1h lunch"] {
        let reply = world.reply("bob", line).await;
        assert!(matches!(gate(&reply), GateRefusal::AlreadyFrozen { .. }), "{}", reply.words);
        assert!(
            reply.words.starts_with("production is already frozen until ") && reply.words.contains("by alice: audit"),
            "{}",
            reply.words
        );
    }
    let reply = world.reply("bob", "freeze production for 3h long audit blocks: rollback").await;
    assert!(reply.words.contains("No release and no rollback starts"), "{}", reply.words);
    let freezes = world.lock("production").unwrap().freezes;
    assert_eq!(freezes.len(), 2);
    assert!(freezes[1].blocks.contains(&Gated::Rollback));
    // Letting through again needs the right to decide; the freezes of all are ended together.
    assert!(refused(&world.reply("greta", "unfreeze production").await));
    let words = world.say("bob", "unfreeze production").await;
    assert!(words.starts_with("2 freezes in production ended") && words.ends_with("Releases may start now."), "{words}");
    let reply = world.reply("bob", "unfreeze production").await;
    assert!(matches!(gate(&reply), GateRefusal::NotFrozen { .. }), "{}", reply.words);
    assert_eq!(world.lock("production").unwrap().release.0, 4);
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_freeze_is_refused_with_the_way_on_and_changes_nothing() {
    let mut world = World::new(Plan { windows: "\n  - { cron: \"0 9 * * *\", duration: 8h, tz: Europe/Berlin }\n  - { cron: \"0 1 * * *\", duration: 8h, tz: Asia/Tokyo }", ..Plan::default() }).await;
    let reply = world.reply("alice", "freeze production for 2h audit").await;
    assert!(matches!(gate(&reply), GateRefusal::NoLock { .. }) && reply.words.contains("environments/production.yaml"), "{}", reply.words);
    world.say("alice", "approve production").await;
    let before = world.subjects().await;
    let day = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().checked_add(9.days()).unwrap();
    let lines = [
        (format!("freeze production until {day} 09:00 audit"), "in which is"),
        (format!("freeze production until {day} 09:00 Europe/Berln audit"), "no time zone `Europe/Berln`"),
        ("freeze production until 2020-01-01 UTC audit".into(), "is over"),
        ("freeze production until 2999-01-01 UTC audit".into(), "days ahead"),
        (format!("freeze production from {day} UTC until 23:59 UTC audit"), "end before it begins"),
        ("freeze production".into(), "Until when"),
        ("freeze prod for 2h audit".into(), "one of the environments"),
    ];
    for (line, part) in lines {
        let reply = world.reply("alice", &line).await;
        assert!(refused(&reply) && reply.words.contains(part), "{line}: {}", reply.words);
    }
    let words = world.say("mallory", "freeze production for 2h audit").await;
    assert!(words.contains("I do not know `mallory`"), "{words}");
    assert_eq!(world.subjects().await, before);
    world.stop().await;
}

#[tokio::test]
async fn a_freeze_in_the_file_is_not_the_bots_to_end() {
    let mut world = released(Plan::default()).await;
    let now = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let (from, until) = (now.date().checked_sub(1.day()).unwrap(), now.date().checked_add(2.days()).unwrap());
    let file = format!(
        "schema: 1\nstacks:\n  shop: {{ hosts: {{}} }}\nwindows: always\nfreezes:\n  - {{ name: stocktaking, from: {from}T00:00, until: {until}T00:00, tz: UTC, reason: counting }}\napprovals: {{ count: 1, roles: [engineer] }}\n"
    );
    world.push("bob", "stocktaking", &[("environments/production.yaml", &file)]).await;
    world.settled().await;
    let reply = world.reply("alice", "unfreeze production").await;
    assert!(matches!(gate(&reply), GateRefusal::NotFrozen { written, .. } if written.len() == 1), "{}", reply.words);
    assert!(
        reply.words.contains("`stocktaking` at environments/production.yaml:6") && reply.words.contains("override production"),
        "{}",
        reply.words
    );
    world.stop().await;
}

#[tokio::test]
async fn freezes_at_once_and_a_release_at_the_same_time_are_all_kept() {
    let mut world = released(Plan::default()).await;
    world.merge("bob", "2").await;
    world.until_told("Needs approval: release 2 (shop) for production").await;
    let approve = world.approve("production");
    let (a, b, released) = tokio::join!(
        world.reply("alice", "freeze production for 2h audit"),
        world.reply("bob", "freeze production for 5h books"),
        world.reply("carol", &approve)
    );
    let frozen = [&a, &b].iter().filter(|reply| matches!(reply.outcome, Outcome::Frozen(_))).count();
    assert!(matches!(released.outcome, Outcome::Released(_)), "{}", released.words);
    let lock = world.lock("production").unwrap();
    // The shorter one says nothing new if the longer came first.
    assert_eq!((lock.freezes.len(), frozen), (frozen, frozen), "{} / {}", a.words, b.words);
    assert!(frozen >= 1 && lock.freezes.iter().any(|freeze| freeze.reason == "books"));
    assert_eq!(world.version("production"), "web:2");
    let ours = world.subjects().await.iter().filter(|subject| subject.starts_with("production:")).count();
    assert_eq!(ours, 2 + frozen, "one commit each");
    world.stop().await;
}

#[tokio::test]
async fn a_hold_keeps_what_was_agreed_and_ends_by_itself_or_by_resume() {
    let mut world = World::new(Plan { approvals: "{ count: 2, roles: [engineer] }", ..Plan::default() }).await;
    world.until_told("Needs approval: release 1").await;
    world.say("alice", "approve production").await;
    world.say("bob", "approve production").await;
    world.merge("carol", "2").await;
    world.until_told("Needs approval: release 2 (shop) for production").await;
    world.say("alice", &world.approve("production")).await;
    let words = world.say("greta", "/hold shop reason: carts are slow for: 2h").await;
    assert!(words.starts_with("shop in production is held until ") && words.contains("`resume shop production` lifts it"), "{words}");
    let reply = world.reply("bob", "approve production").await;
    assert!(
        matches!(gate(&reply), GateRefusal::CandidateHeld { .. }) && reply.words.contains("`resume shop production`"),
        "{}",
        reply.words
    );
    let why = world.say("bob", "why production").await;
    assert!(why.contains("Everything new for shop is held by greta") && why.contains("Cleared by: resume shop"), "{why}");
    let reply = world.reply("carol", "hold shop for 1h me too").await;
    assert!(matches!(gate(&reply), GateRefusal::AlreadyHeld { .. }), "{}", reply.words);
    assert!(refused(&world.reply("greta", "resume shop").await), "guests may stop, and not let through");
    // Two hours later it is over, and alice's word of before still counts.
    world.clock.move_on(2 * HOUR_SECS + 1);
    let words = world.say("bob", "approve production").await;
    assert!(words.starts_with("Release 3 (shop) of production is released"), "{words}");
    // The whole environment, until somebody resumes.
    world.say("bob", "hold production the network is being changed").await;
    world.merge("carol", "3").await;
    world.settled().await;
    let reply = world.reply("alice", "resume shop production").await;
    assert!(refused(&reply) && reply.words.contains("resume"), "{}", reply.words);
    let words = world.say("alice", "resume production").await;
    assert!(words.starts_with("The hold on everything in production lifted"), "{words}");
    let reply = world.reply("alice", "resume production").await;
    assert!(matches!(gate(&reply), GateRefusal::EnvironmentNotHeld { .. }), "{}", reply.words);
    let reply = world.reply("alice", "hold blog production x").await;
    assert!(matches!(reply.outcome, Outcome::Refused(Refusal::UnknownStack { .. })), "{}", reply.words);
    world.until_told("Needs approval: release 6 (shop) for production").await;
    world.stop().await;
}

#[tokio::test]
async fn a_forgotten_hold_reminds_its_owner_once_a_day_and_not_after_it_ends() {
    let mut world = released(Plan::default()).await;
    world.say("carol", "hold shop production until we know more").await;
    let reminders = async |world: &World| {
        world.settled().await;
        world.told().await.into_iter().filter(|text| text.starts_with("carol: you have held shop in production for ")).collect::<Vec<_>>()
    };
    assert!(reminders(&world).await.is_empty());
    world.clock.move_on(DAY_SECS + 60);
    let told = world.until_told("carol: you have held shop in production for 1 day: until we know more").await;
    assert!(told.contains("`resume shop production`"), "{told}");
    // A restart, and more looks within the day, say nothing twice.
    world.stop().await;
    world.start().await;
    world.clock.move_on(20 * HOUR_SECS);
    world.push("bob", "words", &[("README.md", "x")]).await;
    assert_eq!(reminders(&world).await.len(), 1);
    world.clock.move_on(4 * HOUR_SECS);
    world.push("bob", "more words", &[("README.md", "y")]).await;
    world.until_told("for 2 days").await;
    world.say("alice", "resume shop").await;
    world.clock.move_on(3 * DAY_SECS);
    world.push("bob", "words again", &[("README.md", "z")]).await;
    assert_eq!(reminders(&world).await.len(), 2);
    // One with an end does not remind after it.
    world.say("carol", "hold shop production for 90m x").await;
    world.clock.move_on(2 * DAY_SECS);
    world.push("bob", "and again", &[("README.md", "w")]).await;
    assert_eq!(reminders(&world).await.len(), 2);
    world.stop().await;
}

#[tokio::test]
async fn what_a_rollback_left_reminds_only_while_the_branch_still_holds_it() {
    let mut world = released(Plan::default()).await;
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    world.say("carol", "rollback shop production it loses carts").await;
    world.clock.move_on(DAY_SECS + 60);
    world.until_told("carol: you have held release 2 of shop in production for 1 day").await;
    world.merge("bob", "3").await;
    world.settled().await;
    world.clock.move_on(3 * DAY_SECS);
    world.push("bob", "words", &[("README.md", "x")]).await;
    world.settled().await;
    assert_eq!(world.told().await.iter().filter(|text| text.contains("you have held")).count(), 1);
    world.stop().await;
}

#[tokio::test]
async fn an_override_lets_one_release_pass_and_dies_with_any_other_content() {
    let mut world = frozen_with_release_3().await;
    let shown = world.reply("bob", "calendar production").await;
    let planned = &calendar_of(&shown).planned[0];
    assert_eq!((planned.release.0, planned.state), (3, PlannedState::Released));
    assert_eq!(planned.starts_at, world.lock("production").unwrap().freezes[0].until.map(|at| planned.starts_at.unwrap().max(at)));
    let words = world.say("greta", "override production release 3 the fix").await;
    assert!(words.contains("needs the role engineer"), "{words}");
    let reply = world.reply("alice", "/override production release: 3 reason: the fix for the fix").await;
    assert!(
        reply.words.starts_with("Release 3 (shop) of production may start now") && reply.words.contains("in 59 min")
            || reply.words.contains("in 1 h"),
        "{}",
        reply.words
    );
    let lock = world.lock("production").unwrap();
    let given = &lock.overrides[0];
    assert_eq!((lock.kind, lock.release.0, given.release.0, given.by.as_str()), (ReleaseKind::Override, 4, 3, "alice"));
    assert_eq!(given.until.as_second() - given.at.as_second(), HOUR_SECS);
    assert_eq!(lock.stacks["shop"].release.0, 3, "it survives the commit that carries it");
    let commit = world.log().await.remove(0);
    assert_eq!((commit.author.name(), message::find_trailer(&commit.message, "Tidegate-Kind")), ("Alice Example", Some("override")));
    let reply = world.reply("bob", "override production release 3 me too").await;
    assert!(matches!(gate(&reply), GateRefusal::AlreadyOverridden { .. }), "{}", reply.words);
    // Another content: it is void.
    world.merge("carol", "3").await;
    world.until_told("Needs approval: release 5 (shop) for production").await;
    world.say("alice", &world.approve("production")).await;
    assert!(world.lock("production").unwrap().overrides.is_empty());
    let reply = world.reply("alice", "override production release 3 the fix").await;
    assert!(matches!(gate(&reply), GateRefusal::NotCurrent { .. }) && reply.words.contains("shop at release 5"), "{}", reply.words);
    world.stop().await;
}

#[tokio::test]
async fn a_hold_or_a_freeze_ends_the_overrides_that_were_given_before() {
    for stop in ["hold shop production prices are wrong", "hold production prices are wrong", "freeze production for 9d books"] {
        let mut world = frozen_with_release_3().await;
        world.say("alice", "override production release 3 the fix").await;
        assert_eq!(world.lock("production").unwrap().overrides.len(), 1);
        world.clock.move_on(60);
        let words = world.say("bob", stop).await;
        assert!(world.lock("production").unwrap().overrides.is_empty(), "{stop}: {words}");
        world.stop().await;
    }
}

#[tokio::test]
async fn an_override_that_has_ended_can_be_given_again_and_one_that_was_used_not() {
    let mut world = frozen_with_release_3().await;
    let reply = world.reply("alice", "override production release 3 for 25h the fix").await;
    assert!(matches!(gate(&reply), GateRefusal::OverrideTooLong { .. }), "{}", reply.words);
    world.say("alice", "override production release 3 for 30m the fix").await;
    world.clock.move_on(31 * 60);
    let reply = world.reply("bob", "override production release 3 it did not start in time").await;
    assert!(matches!(reply.outcome, Outcome::Overridden(_)), "{}", reply.words);
    assert_eq!(world.lock("production").unwrap().overrides.len(), 1, "the one that ended is forgotten");
    // The host took it: the override is used, and there is nothing more to pass.
    world.host_describes("web-1", Some(world.of("production")), None).await;
    let reply = world.reply("bob", "override production release 3 again").await;
    assert!(matches!(gate(&reply), GateRefusal::LiveEverywhere { .. }), "{}", reply.words);
    world.stop().await;
}

#[tokio::test]
async fn two_overrides_at_once_are_one_and_two_holds_at_once_are_one() {
    let mut world = frozen_with_release_3().await;
    let (a, b) = tokio::join!(
        world.reply("alice", "override production release 3 the fix"),
        world.reply("bob", "override production release 3 the same fix")
    );
    let given = [&a, &b].iter().filter(|reply| matches!(reply.outcome, Outcome::Overridden(_))).count();
    let known = [&a, &b].iter().filter(|reply| refused(reply) && matches!(gate(reply), GateRefusal::AlreadyOverridden { .. })).count();
    assert_eq!((given, known), (1, 1), "{} / {}", a.words, b.words);
    let lock = world.lock("production").unwrap();
    assert_eq!((lock.overrides.len(), lock.release.0), (1, 4), "one commit");
    let (a, b) = tokio::join!(world.reply("carol", "hold shop production slow"), world.reply("greta", "hold shop production odd"));
    let held = [&a, &b].iter().filter(|reply| matches!(reply.outcome, Outcome::Held(_))).count();
    let known = [&a, &b].iter().filter(|reply| refused(reply) && matches!(gate(reply), GateRefusal::AlreadyHeld { .. })).count();
    assert_eq!((held, known), (1, 1), "{} / {}", a.words, b.words);
    let lock = world.lock("production").unwrap();
    assert_eq!((lock.holds.len(), lock.release.0), (1, 5));
    // Of the stack and of the environment: both say something new.
    let words = world.say("bob", "hold production the network").await;
    assert!(words.starts_with("Everything in production is held"), "{words}");
    world.stop().await;
}

#[tokio::test]
async fn neither_a_guest_nor_ci_nor_a_stranger_overrides() {
    let mut world = frozen_with_release_3().await;
    let before = world.subjects().await.len();
    // CI commits in the repo; it is a person there, without a place to speak from.
    world.add_silent_person("ci").await;
    world.settled().await;
    let line = "override production release 3 the pipeline is green";
    let reply = world.reply("greta", line).await;
    assert!(matches!(reply.outcome, Outcome::Refused(Refusal::MayNot { .. })), "{}", reply.words);
    for user in ["ci", "mallory", ""] {
        let reply = world.reply(user, line).await;
        assert!(matches!(reply.outcome, Outcome::Refused(Refusal::UnknownPerson { .. })), "{user}: {}", reply.words);
    }
    assert!(world.lock("production").unwrap().overrides.is_empty());
    assert_eq!(world.subjects().await.len(), before + 1, "the person's own commit alone");
    world.stop().await;
}

#[tokio::test]
async fn no_override_for_what_nothing_stops_or_what_failed() {
    let mut world = World::new(Plan::default()).await;
    world.say("alice", "approve production").await;
    let reply = world.reply("alice", "override production release 1 hurry").await;
    assert!(matches!(gate(&reply), GateRefusal::NothingStops { .. }), "{}", reply.words);
    // A host says that the window is too short: that can be passed.
    let waiting = tidegate_core::plan::Waiting::DoesNotFit { needs_secs: 600, closes_at: Timestamp::now(), opens_at: None };
    world.host_describes("web-1", None, Some(waiting)).await;
    let reply = world.reply("alice", "override production shop release 1 hurry").await;
    assert!(matches!(reply.outcome, Outcome::Overridden(_)), "{}", reply.words);
    let failure = Failure { service: None, cause: "no".into(), log: Vec::new(), restored: Restored::Nothing };
    let of = world.of("production");
    let failed = RolloutFinished { of, class: OperationClass::Release, outcome: Ended::Failed(failure), took_ms: 1 };
    world.host_says("web-1", Event::Finished(failed)).await;
    world.until_told("Failed: release 1 of shop").await;
    let reply = world.reply("alice", "override production release 1 it was the network").await;
    assert!(matches!(gate(&reply), GateRefusal::ReleaseFailed { .. }), "{}", reply.words);
    world.stop().await;
}

#[tokio::test]
async fn the_calendar_gives_openings_as_instants_and_words_in_the_zone_of_the_windows() {
    let mut world = World::new(Plan { windows: BERLIN, ..Plan::default() }).await;
    let shown = world.reply("greta", "calendar").await;
    let Outcome::Calendar(calendars) = &shown.outcome else { panic!() };
    assert_eq!(calendars.iter().map(|calendar| calendar.environment.as_str()).collect::<Vec<_>>(), ["staging", "production"]);
    assert!(calendars[0].openings.is_empty() && shown.words.starts_with("staging: always open"), "{}", shown.words);
    assert_eq!(calendars[1].openings.len(), 5);
    assert_eq!(calendars[1].planned[0].state, PlannedState::NeedsApproval);
    assert!(shown.words.contains(" to 17:00") && shown.words.contains("(times in Europe/Berlin)"), "{}", shown.words);
    let json = serde_json::to_value(&shown).unwrap();
    assert!(json["outcome"]["detail"][1]["openings"][1]["opens"].as_str().unwrap().ends_with('Z'));
    world.stop().await;
}

#[tokio::test]
async fn under_a_freeze_the_release_keeps_its_card_and_its_ways_back_also_when_the_store_is_lost() {
    let mut world = released(Plan::default()).await;
    world.merge("bob", "2").await;
    world.release_verified("production", "2").await;
    world.say("alice", "freeze production for 2h audit").await;
    for round in ["as it was", "after everything was lost"] {
        let shown = |view: &tidegate_bot::view::View| {
            let card = view.cards.iter().find(|card| card.environment.as_str() == "production" && card.release.0 == 2);
            card.is_some_and(|card| !card.actions.rollbacks.is_empty())
        };
        world.host_describes("web-1", Some(world.of("production")), None).await;
        if round != "as it was" {
            // What was verified before is told by the host again.
            world.until("the card is there", || world.picture("production").cards.iter().any(|card| card.release.0 == 2)).await;
        } else {
            world.until(round, || shown(&world.bot().view.borrow())).await;
            world.stop().await;
            world.forget();
            world.start().await;
        }
    }
    world.stop().await;
}
