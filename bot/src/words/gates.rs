//! Freezes, holds, overrides and the calendar, in words.

use super::{all, count, time, waits};
use crate::moments::NoMoment;
use crate::releases::stack_list;
use crate::request::{EnvironmentCalendar, FrozenNow, GateRefusal, HeldNow, HoldHome, OverriddenNow, Planned, PlannedState, Unfrozen};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tidegate_core::calendar::{FrozenStretch, Gated, Opening};
use tidegate_core::findings::Place;
use tidegate_core::ids::{ReleaseNumber, StackName};
use tidegate_core::lock::{Hold, LockedFreeze, Override};

/// A freeze that was made.
pub(super) fn frozen(frozen: &FrozenNow, now: Timestamp) -> String {
    let FrozenNow { environment, freeze, zone, lock_commit } = frozen;
    let stops = if freeze.blocks.contains(&Gated::Rollback) { "No release and no rollback starts" } else { "No release starts" };
    let free = if freeze.blocks.contains(&Gated::Rollback) { "Repair goes on." } else { "Going back and repair stay possible." };
    format!(
        "{environment} is frozen{} (commit {}): {}.\n{stops} in that time. {free} `unfreeze {environment}` ends it earlier.",
        stretch(freeze, zone, now),
        lock_commit.short(),
        freeze.reason.trim_end_matches('.')
    )
}

/// ` from … until …`.
fn stretch(freeze: &LockedFreeze, zone: &str, now: Timestamp) -> String {
    let from = freeze.from.map(|from| format!(" from {}", time::full(from, zone, now))).unwrap_or_default();
    let until =
        freeze.until.map_or_else(|| " until somebody ends it".to_owned(), |until| format!(" until {}", time::full(until, zone, now)));
    format!("{from}{until}")
}

/// Freezes that were ended.
pub(super) fn unfrozen(unfrozen: &Unfrozen, now: Timestamp) -> String {
    let what = match unfrozen.freezes.as_slice() {
        [one] => format!("The freeze {}", by(one.by.as_ref())),
        several => format!("{} freezes", several.len()),
    };
    let then = match &unfrozen.waiting {
        None => "Releases may start now.".to_owned(),
        Some(waiting) => super::waiting(waiting, now),
    };
    format!("{what} in {} ended (commit {}). {then}", unfrozen.environment, unfrozen.lock_commit.short())
}

fn by(person: Option<&impl std::fmt::Display>) -> String {
    person.map_or_else(|| "by the bot".to_owned(), |person| format!("by {person}"))
}

/// A hold that was made.
pub(super) fn held(held: &HeldNow, now: Timestamp) -> String {
    let HeldNow { environment, hold, zone, lock_commit } = held;
    let what = hold.stack.as_ref().map_or_else(|| "Everything".to_owned(), ToString::to_string);
    let until = match hold.until {
        Some(until) => format!("until {}", time::full(until, zone, now)),
        None => "until somebody lifts it; you are reminded once a day".to_owned(),
    };
    let target = hold.stack.as_ref().map_or_else(|| environment.to_string(), |stack| format!("{stack} {environment}"));
    format!(
        "{what} in {environment} is held {until} (commit {}): {}.\nNothing new of it starts. What runs stays, and going back stays possible. `resume {target}` lifts it.",
        lock_commit.short(),
        hold.reason.trim_end_matches('.')
    )
}

/// An override that was given.
pub(super) fn overridden(overridden: &OverriddenNow, now: Timestamp) -> String {
    let OverriddenNow { environment, given, stacks, zone, lock_commit } = overridden;
    format!(
        "Release {} ({}) of {environment} may start now, whatever window, freeze or hold says, until {} (commit {}): {}.\nIt counts for this release alone; one that failed does not start by it.",
        given.release,
        stack_list(stacks.iter()),
        time::full(given.until, zone, now),
        lock_commit.short(),
        given.reason.trim_end_matches('.')
    )
}

/// Why nothing was done.
pub(super) fn refusal(refusal: &GateRefusal, now: Timestamp) -> String {
    match refusal {
        GateRefusal::BadMoment { why, zone } => no_moment(why, zone, now),
        GateRefusal::NoLock { environment, command } => format!(
            "{environment} has no release yet, so there is nothing that `{command}` could be written into. Write it in environments/{environment}.yaml, or release something first."
        ),
        GateRefusal::AlreadyFrozen { environment, freeze, zone } => format!(
            "{environment} is already frozen{}, {}: {}. Nothing was done. A later end makes a longer one; `unfreeze {environment}` ends it.",
            stretch(freeze, zone, now),
            by(freeze.by.as_ref()),
            freeze.reason.trim_end_matches('.')
        ),
        GateRefusal::NotFrozen { environment, written } => not_frozen(environment, written),
        GateRefusal::AlreadyHeld { hold, .. } => {
            let target = hold.stack.as_ref().map_or_else(|| "the environment".to_owned(), ToString::to_string);
            format!("{} Nothing was done. `resume` of {target} lifts it.", waits::held(hold, now))
        }
        GateRefusal::EnvironmentNotHeld { environment, held } => {
            let held =
                if held.is_empty() { "Nothing is held.".to_owned() } else { format!("Held: {}; say `resume {}`.", all(held), held[0]) };
            format!("No hold stops all of {environment}. {held}")
        }
        GateRefusal::HoldIsWritten { environment, hold } => {
            format!("{} It is written in environments/{environment}.yaml: remove it there with a commit.", waits::held(hold, now))
        }
        GateRefusal::CandidateHeld { candidate, hold, home } => format!(
            "{} cannot be released now. {} Lift it first: {}",
            waits::capital(&waits::candidate(candidate)),
            waits::held(hold, now),
            lift(hold, *home, candidate.environment.as_str())
        ),
        GateRefusal::TooMany { command, max } => {
            format!("There are {max} already, which is the most that are kept. End some before the next `{command}`.")
        }
        other => no_override(other, now),
    }
}

/// A card that is offered while a hold stops it.
pub fn held_card(hold: &Hold, home: HoldHome) -> String {
    // Without a moment: a card must not differ every minute.
    let file = if home == HoldHome::File { " It stands in the environment's file." } else { "" };
    format!("Held {}: {}.{file}", by(hold.by.as_ref()), hold.reason.trim_end_matches('.'))
}

/// How a hold is lifted.
fn lift(hold: &Hold, home: HoldHome, environment: &str) -> String {
    match (home, &hold.stack) {
        (HoldHome::File, _) => format!("remove it from environments/{environment}.yaml with a commit."),
        (HoldHome::Lock, Some(stack)) => format!("`resume {stack} {environment}`."),
        (HoldHome::Lock, None) => format!("`resume {environment}`."),
    }
}

/// Why no override was given.
fn no_override(refusal: &GateRefusal, now: Timestamp) -> String {
    match refusal {
        GateRefusal::NotCurrent { environment, asked, stack, current } => not_current(environment, (*asked, stack.as_ref()), current),
        GateRefusal::LiveEverywhere { environment, release } => {
            format!("Release {release} runs on every host of {environment} already. Nothing was done.")
        }
        GateRefusal::ReleaseFailed { environment, release, stack } => format!(
            "Release {release} of {stack} failed in {environment}, and an override passes what people decided, not what checks said. Merge a change, or `resume {stack} {environment}` to have it offered again."
        ),
        GateRefusal::NothingStops { environment, release } => format!(
            "Nothing that an override could pass stands in the way of release {release} in {environment}: no closed window, no freeze, no hold. `why {environment}` says what it waits for."
        ),
        GateRefusal::AlreadyOverridden { environment, given, zone } => format!(
            "Release {} of {environment} has an override already, by {} until {}: {}. Nothing was done.",
            given.release,
            given.by,
            time::full(given.until, zone, now),
            given.reason.trim_end_matches('.')
        ),
        GateRefusal::OverrideTooLong { hours_max } => {
            format!("An override holds for at most {hours_max} hours. Say a shorter time, or change the calendar with a commit.")
        }
        _ => String::new(),
    }
}

fn no_moment(why: &NoMoment, zone: &str, now: Timestamp) -> String {
    match why {
        NoMoment::WhichZone { zones, said } => {
            let example = zones.first().map(String::as_str).unwrap_or("UTC");
            format!("The windows there are in {}: in which is {said} meant? Say for example `{said} {example}`.", all(zones))
        }
        NoMoment::UnknownZone { zone } => {
            format!(
                "There is no time zone `{zone}`. Write it as in the IANA list, capital letters too: `Europe/Berlin`, `UTC`; or an offset: `+01:00`."
            )
        }
        NoMoment::Past { at } => {
            format!("{} is over. Say a moment ahead; times without a zone are in {zone}.", time::full(*at, zone, now))
        }
        NoMoment::TooFar { days_max } => {
            format!("That is more than {days_max} days ahead. Say an earlier end, or write it in the environment's file.")
        }
        NoMoment::EndsFirst => "It would end before it begins. Say an `until` that is later than `from`.".to_owned(),
    }
}

fn not_frozen(environment: &impl std::fmt::Display, written: &[(String, Option<Place>)]) -> String {
    if written.is_empty() {
        return format!("{environment} is not frozen. `calendar {environment}` shows what is ahead.");
    }
    let place = |(name, place): &(String, Option<Place>)| match place {
        Some(place) => format!("`{name}` at {}:{}", place.file, place.line),
        None => format!("`{name}`"),
    };
    let written: Vec<String> = written.iter().map(place).collect();
    format!(
        "No freeze of {environment} was made by command. In force: {}. Change the file with a commit, or let one release pass: `override {environment} release NUMBER REASON`.",
        all(written)
    )
}

fn not_current(
    environment: &impl std::fmt::Display,
    (asked, stack): (ReleaseNumber, Option<&StackName>),
    current: &BTreeMap<StackName, ReleaseNumber>,
) -> String {
    let stack = stack.map(|stack| format!(" {stack} of")).unwrap_or_default();
    let current: Vec<String> = current.iter().map(|(stack, release)| format!("{stack} at release {release}")).collect();
    format!(
        "Release {asked} is not what{stack} {environment} is to run: there is {}. An override is for a release that waits.",
        if current.is_empty() { "nothing".to_owned() } else { all(current) }
    )
}

/// Everything about when releases may start.
pub(super) fn calendar(calendars: &[EnvironmentCalendar], now: Timestamp) -> String {
    let blocks: Vec<String> = calendars.iter().map(|calendar| environment_calendar(calendar, now)).collect();
    if blocks.is_empty() { "There is no environment yet.".to_owned() } else { blocks.join("\n") }
}

fn environment_calendar(calendar: &EnvironmentCalendar, now: Timestamp) -> String {
    let zone = calendar.zone.as_str();
    let mut lines = vec![format!("{}: {} (times in {zone})", calendar.environment, waits::window(&calendar.decision, now))];
    lines.extend(calendar.planned.iter().map(|planned| format!("  {}", self::planned(planned, zone, now))));
    lines.extend(calendar.freezes.iter().map(|freeze| format!("  {}", frozen_stretch(freeze, zone))));
    lines.extend(calendar.holds.iter().map(|hold: &Hold| format!("  {}", waits::held(hold, now))));
    lines.extend(calendar.overrides.iter().map(|given| format!("  {}", given_override(given, zone, now))));
    lines.extend(calendar.openings.iter().map(|opening| format!("  open {}", opening_words(opening, zone))));
    lines.join("\n")
}

/// `release 3 (shop) may start …`.
fn planned(planned: &Planned, zone: &str, now: Timestamp) -> String {
    let what = format!("release {} ({})", planned.release, stack_list(planned.stacks.iter()));
    let when = match planned.starts_at {
        Some(at) if at <= now => "may start now".to_owned(),
        Some(at) => format!("may start {}", time::full(at, zone, now)),
        None => "has no opening in sight".to_owned(),
    };
    match planned.state {
        PlannedState::Released => format!("planned: {what} {when}"),
        PlannedState::NeedsApproval => format!("planned: {what} needs approval, then {when}"),
    }
}

/// `frozen until … : reason`.
fn frozen_stretch(stretch: &FrozenStretch, zone: &str) -> String {
    let from = stretch.from.map(|from| format!(" from {}", time::civil(from, zone))).unwrap_or_default();
    let until = stretch.until.map_or_else(|| " until somebody ends it".to_owned(), |until| format!(" until {}", time::civil(until, zone)));
    let reason = stretch.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let rollback = if stretch.blocks_rollback { ", rollbacks too" } else { "" };
    format!("frozen{from}{until} ({}{rollback}){reason}", stretch.name)
}

fn given_override(given: &Override, zone: &str, now: Timestamp) -> String {
    format!("override for release {} by {} until {}: {}", given.release, given.by, time::full(given.until, zone, now), given.reason)
}

/// `Mon 23 Nov 2026, 09:00 to 17:00`.
fn opening_words(opening: &Opening, zone: &str) -> String {
    match (opening.opens, opening.closes) {
        (Some(opens), Some(closes)) => format!("{} to {}", time::civil(opens, zone), time::civil_end(opens, closes, zone)),
        (Some(opens), None) => format!("from {} on", time::civil(opens, zone)),
        (None, Some(closes)) => format!("until {}", time::civil(closes, zone)),
        (None, None) => "always".to_owned(),
    }
}

/// News: a hold that may be forgotten.
pub(super) fn reminder(hold: &Hold, days: i64, place: &str) -> String {
    let by = hold.by.as_ref().map_or_else(|| "Somebody".to_owned(), ToString::to_string);
    let (what, target) = match (&hold.stack, hold.release) {
        (Some(stack), Some(release)) => (format!("release {release} of {stack}"), format!("{stack} {place}")),
        (Some(stack), None) => (stack.to_string(), format!("{stack} {place}")),
        (None, _) => ("everything".to_owned(), place.to_owned()),
    };
    let days = count(u32::try_from(days).unwrap_or(u32::MAX), "day");
    format!(
        "{by}: you have held {what} in {place} for {days}: {}.\nStill needed? `resume {target}` lifts it.",
        hold.reason.trim_end_matches('.')
    )
}
