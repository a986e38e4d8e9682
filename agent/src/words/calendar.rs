//! Words of `tidegate calendar`: openings, freezes, changes of the clock, one window explained.

use super::moment;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tidegate_core::calendar::{Calendar, ClockChange, Explanation, FrozenStretch, Item, Occurrence, Opening, Shift};

/// The zones that a calendar's windows are written in; UTC where there are none.
pub fn zones_of(calendar: &Calendar) -> Vec<TimeZone> {
    let zones: Vec<TimeZone> = calendar.zone_names().iter().filter_map(|name| TimeZone::get(name).ok()).collect();
    if zones.is_empty() { vec![TimeZone::UTC] } else { zones }
}

/// `Mon 2026-11-23 10:00 Europe/Berlin`, in the first of these zones, and in UTC when that is another one.
fn at(at: Timestamp, zones: &[TimeZone]) -> String {
    let zone = zones.first().cloned().unwrap_or(TimeZone::UTC);
    let name = zone.iana_name().unwrap_or("UTC").to_owned();
    let there = at.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M").to_string();
    if name == "UTC" { format!("{there} UTC") } else { format!("{there} {name} ({})", at.strftime("%a %H:%M UTC")) }
}

/// From when until when; what lies beyond what is looked at is open.
fn stretch((from, until): (Option<Timestamp>, Option<Timestamp>), zones: &[TimeZone]) -> String {
    match (from, until) {
        (Some(from), Some(until)) => format!("{} until {}", at(from, zones), at(until, zones)),
        (Some(from), None) => format!("{} until further notice", at(from, zones)),
        (None, Some(until)) => format!("since long ago until {}", at(until, zones)),
        (None, None) => "always".to_owned(),
    }
}

/// One opening.
pub fn opening(opening: &Opening, zones: &[TimeZone]) -> String {
    let when = stretch((opening.opens, opening.closes), zones);
    match opening.starts_until {
        _ if !opening.is_startable() => format!("{when}; too short for its cutoff, nothing starts in it"),
        Some(until) if Some(until) != opening.closes => format!("{when}; nothing starts from {} on", until.strftime("%H:%M UTC")),
        _ => when,
    }
}

/// One stretch of a freeze.
pub fn frozen_stretch(freeze: &FrozenStretch, zones: &[TimeZone]) -> String {
    let reason = freeze.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let more = if freeze.blocks_rollback { "; stops rollbacks too" } else { "" };
    format!("{} ({}{reason}){more}", stretch((freeze.from, freeze.until), zones), freeze.name)
}

/// One change of the clock, with the windows that it shifts.
pub fn clock_change(change: &ClockChange, calendar: &Calendar) -> String {
    let moved = change.after_secs - change.before_secs;
    let way = if moved > 0 { "forward" } else { "back" };
    let labels = calendar.window_labels();
    let label = |item: &Item| match item {
        Item::Window(index) => labels.get(*index).cloned(),
        _ => None,
    };
    let shifted: Vec<String> = change.windows.iter().filter_map(label).collect();
    format!("{} {}: {way} by {}; shifts {}", moment(change.at), change.tz, minutes(moved.abs() / 60), shifted.join(", "))
}

/// One window, with its next openings and what happens to each.
pub fn explanation(window: &Explanation, calendar: &Calendar) -> String {
    let mut text = format!("{}: `{}` in {}, open for {}\n", window.label, window.cron, window.tz, window.duration);
    for occurrence in &window.occurrences {
        text.push_str(&format!("  {}\n", self::occurrence(occurrence, calendar)));
    }
    text
}

fn occurrence(found: &Occurrence, calendar: &Calendar) -> String {
    let shown = |civil: jiff::civil::DateTime| civil.strftime("%a %Y-%m-%d %H:%M").to_string();
    let mut text = format!("{} until {} ({})", shown(found.opens_civil), shown(found.closes_civil), found.opens.strftime("%a %H:%M UTC"));
    match found.shift {
        Some(Shift::Skipped) => text.push_str(&format!("; written for {}, which the clock skips", shown(found.written))),
        Some(Shift::Repeated) => text.push_str("; the clock shows this start twice, it opens the first time only"),
        Some(Shift::Across { moved_secs }) => {
            let way = if moved_secs > 0 { "later" } else { "earlier" };
            text.push_str(&format!("; the clock changes meanwhile, so it shows {} {way} at the end", minutes(moved_secs.abs() / 60)));
        }
        None => {}
    }
    let names = found.frozen_by.iter().filter_map(|item| match item {
        Item::Freeze(index) => calendar.freezes().get(*index).map(|freeze| freeze.label()),
        _ => None,
    });
    let names: Vec<String> = names.collect();
    if !names.is_empty() {
        text.push_str(&format!("; at least partly frozen by {}", names.join(", ")));
    }
    text
}

fn minutes(minutes: i64) -> String {
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
