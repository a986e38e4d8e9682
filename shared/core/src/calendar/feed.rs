//! The calendar feed (RFC 5545) that mail and phone calendars subscribe to: one event for each effective interval of the next 90 days,
//! in UTC, and the freezes as events of their own.
//!
//! No recurrence rule can say "cron united with cron without freezes in a zone", so every interval is written out. The id of an event
//! comes from the environment and the instant at which it begins: the same interval has the same id in every feed.

use super::duration::Minutes;
use super::model::{Calendar, Windows};
use super::view::{FrozenStretch, Opening};
use super::zone::{floor_secs, timestamp};
use icalendar::{Component, Event, EventLike, Property};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// How far ahead the feed looks, in days.
pub const FEED_DAYS: i64 = 90;
/// Most events of each kind; a calendar that opens more often is cut off there, and says so.
pub const FEED_EVENTS_MAX: usize = 1000;

const SECS_PER_DAY: i64 = 24 * 60 * 60;
/// How often readers should ask again, in seconds.
const REFRESH_SECS: i64 = 60 * 60;

/// What the feed is about.
#[derive(Debug, Clone, Copy)]
pub struct FeedInputs<'a> {
    /// The environment's name.
    pub environment: &'a str,
    /// The moment at which the feed is made.
    pub now: Timestamp,
}

impl Calendar {
    /// The feed as text.
    pub fn feed(&self, inputs: &FeedInputs<'_>) -> String {
        let begin = floor_secs(inputs.now).div_euclid(SECS_PER_DAY) * SECS_PER_DAY;
        let feed = Feed { calendar: self, inputs, from: timestamp(begin), until: timestamp(begin + (FEED_DAYS + 1) * SECS_PER_DAY) };
        let openings: Vec<Opening> = self.openings(inputs.now, feed.until).take(FEED_EVENTS_MAX + 1).collect();
        let freezes: Vec<FrozenStretch> = self.frozen_stretches(inputs.now, feed.until).take(FEED_EVENTS_MAX + 1).collect();
        let is_cut = openings.len() > FEED_EVENTS_MAX || freezes.len() > FEED_EVENTS_MAX;
        let opening_events = openings.iter().take(FEED_EVENTS_MAX).filter_map(|opening| feed.opening(opening));
        let freeze_events = freezes.iter().take(FEED_EVENTS_MAX).map(|stretch| feed.freeze(stretch));
        let mut text = feed.head(is_cut);
        // Two freezes of one name that begin together are one event: readers take the same id for the same event.
        let mut seen = BTreeSet::new();
        text.extend(opening_events.chain(freeze_events).filter(|event| seen.insert(event.get_uid().map(str::to_owned))));
        text.to_string()
    }
}

struct Feed<'a> {
    calendar: &'a Calendar,
    inputs: &'a FeedInputs<'a>,
    from: Timestamp,
    until: Timestamp,
}

impl Feed<'_> {
    fn head(&self, is_cut: bool) -> icalendar::Calendar {
        let mut head = icalendar::Calendar::empty();
        head.append_property(Property::new("VERSION", "2.0"))
            .append_property(Property::new("PRODID", "-//Tidegate//Release calendar//EN"))
            .append_property(Property::new("CALSCALE", "GREGORIAN"))
            .append_property(Property::new("METHOD", "PUBLISH"))
            .name(&words::calendar_name(self.inputs.environment))
            .description(&self.description(is_cut));
        if let Some(refresh) = chrono::TimeDelta::try_seconds(REFRESH_SECS) {
            head.ttl(&refresh);
        }
        head
    }

    fn description(&self, is_cut: bool) -> String {
        let windows = match self.calendar.windows() {
            Windows::None | Windows::Always => words::ALWAYS.to_owned(),
            Windows::Listed(windows) => words::windows(windows.iter().map(super::Window::label)),
        };
        if is_cut { format!("{windows} {}", words::CUT) } else { windows }
    }

    /// An interval without any end says nothing that the description does not.
    fn opening(&self, opening: &Opening) -> Option<Event> {
        let anchor = match (opening.opens, opening.closes) {
            (Some(opens), _) => format!("open-{}", stamp(opens)),
            (None, Some(closes)) => format!("open-until-{}", stamp(closes)),
            (None, None) => return None,
        };
        let mut event = self.event(&anchor, (opening.opens, opening.closes));
        event.summary(&words::open(self.inputs.environment)).description(&words::opening(opening, self.calendar.cutoff()));
        Some(event)
    }

    fn freeze(&self, stretch: &FrozenStretch) -> Event {
        let anchor = match (stretch.from, stretch.until) {
            (Some(from), _) => format!("freeze-{}", stamp(from)),
            (None, Some(until)) => format!("freeze-until-{}", stamp(until)),
            (None, None) => "freeze".to_owned(),
        };
        let mut event = self.event(&format!("{anchor}-{}", identifier(&stretch.name)), (stretch.from, stretch.until));
        event.summary(&words::frozen(self.inputs.environment, &stretch.name)).description(&words::freeze(stretch));
        event
    }

    fn event(&self, anchor: &str, (from, until): (Option<Timestamp>, Option<Timestamp>)) -> Event {
        let mut event = Event::new();
        event
            .uid(&format!("{anchor}-{}@tidegate", identifier(self.inputs.environment)))
            .timestamp(utc(self.inputs.now))
            .starts(utc(from.unwrap_or(self.from)))
            .ends(utc(until.unwrap_or(self.until)))
            .add_property("TRANSP", "TRANSPARENT");
        event.done()
    }
}

/// `20270104T090000Z`.
fn stamp(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn utc(at: Timestamp) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(floor_secs(at), 0).unwrap_or_default()
}

/// A name as part of an id: letters and digits as they are, every other byte in hexadecimal, so that no two names fall together.
fn identifier(name: &str) -> String {
    let byte = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("-{byte:02x}") };
    name.bytes().map(byte).collect()
}

/// Every word of the feed.
mod words {
    use super::{FrozenStretch, Minutes, Opening};

    pub(super) const ALWAYS: &str = "Releases may start at any time, except in freezes.";
    pub(super) const CUT: &str = "There is more than this feed shows.";

    pub(super) fn calendar_name(environment: &str) -> String {
        format!("Releases to {environment}")
    }

    pub(super) fn windows(labels: impl Iterator<Item = String>) -> String {
        format!("Releases may start in these windows, except in freezes: {}.", labels.collect::<Vec<_>>().join("; "))
    }

    pub(super) fn open(environment: &str) -> String {
        format!("{environment}: open for releases")
    }

    pub(super) fn opening(opening: &Opening, cutoff: Option<Minutes>) -> String {
        match (opening.is_startable(), cutoff, opening.starts_until) {
            (false, _, _) => "Too short for its cutoff: nothing starts in it.".to_owned(),
            (true, Some(cutoff), Some(until)) => {
                format!("Nothing starts in the last {cutoff}, from {} on.", until.strftime("%H:%M UTC"))
            }
            _ => "Releases may start until the end.".to_owned(),
        }
    }

    pub(super) fn frozen(environment: &str, name: &str) -> String {
        format!("{environment}: frozen ({name})")
    }

    pub(super) fn freeze(stretch: &FrozenStretch) -> String {
        let blocks = if stretch.blocks_rollback { "No releases and no rollbacks." } else { "No releases; rollbacks are allowed." };
        match &stretch.reason {
            Some(reason) => format!("{}. {blocks}", reason.trim_end_matches('.')),
            None => blocks.to_owned(),
        }
    }
}
