//! What lies in a range of time: the effective intervals and the freezes, for the page, the command line and the feed.
//!
//! Read off the map of minutes, so that a range costs the same for every calendar; lists are lazy, callers take what they show.

use super::error::Item;
use super::minutes::{self, Range, Runs};
use super::model::{Calendar, ENDLESS_SECS, Gated, When};
use super::zone::{ceil_secs, floor_secs, timestamp};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// An effective interval: windows united, freezes subtracted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// When it opens; none: more than [`MERGE_DAYS`](super::MERGE_DAYS) before the range that was asked for.
    pub opens: Option<Timestamp>,
    /// When it closes, exclusive; none: more than [`MERGE_DAYS`](super::MERGE_DAYS) after the range.
    pub closes: Option<Timestamp>,
    /// From this instant on nothing starts any more; none: `closes` is none. Not after `opens`: nothing ever starts in it.
    pub starts_until: Option<Timestamp>,
}

/// A stretch of time in which a freeze is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenStretch {
    /// Which freeze.
    pub item: Item,
    /// Its name, or how it is written.
    pub name: String,
    /// Why, if somebody said so.
    pub reason: Option<String>,
    /// Whether it stops rollbacks too.
    pub blocks_rollback: bool,
    /// When it begins; none: long before the range that was asked for.
    pub from: Option<Timestamp>,
    /// When it ends, exclusive; none: long after the range.
    pub until: Option<Timestamp>,
}

impl Opening {
    /// Can anything start in it at all?
    pub fn is_startable(&self) -> bool {
        match (self.opens, self.starts_until) {
            (Some(opens), Some(starts_until)) => opens < starts_until,
            _ => true,
        }
    }
}

impl Calendar {
    /// The effective intervals that have a part in `[from, until)`, in order. Ranges longer than the horizon are cut to it.
    pub fn openings(&self, from: Timestamp, until: Timestamp) -> impl Iterator<Item = Opening> + use<> {
        let cutoff_secs = self.cutoff_secs();
        let part = Part::of(from, until);
        let runs = minutes::open_minutes(self, part.around()).into_runs();
        part.within(runs).map(move |(opens, closes)| Opening {
            opens: opens.map(timestamp),
            closes: closes.map(timestamp),
            starts_until: closes.map(|closes| timestamp(closes - cutoff_secs)),
        })
    }

    /// The interval around an instant and the ones after it, at most `count`, within the horizon.
    pub fn next_openings(&self, at: Timestamp, count: usize) -> Vec<Opening> {
        let near: Vec<Opening> = self.openings(at, timestamp(floor_secs(at) + super::evaluate::MERGE_SECS)).take(count).collect();
        if near.len() == count {
            return near;
        }
        self.openings(at, timestamp(floor_secs(at) + super::evaluate::HORIZON_SECS)).take(count).collect()
    }

    /// When the effective interval around an instant opened, if that was at most this long ago.
    pub fn opened_within(&self, at: Timestamp, longest: SignedDuration) -> Option<Timestamp> {
        let at_secs = floor_secs(at);
        let opened_secs = minutes::opened_at(self, at_secs.saturating_sub(longest.as_secs()), at_secs)?;
        (opened_secs >= at_secs.saturating_sub(longest.as_secs())).then(|| timestamp(opened_secs))
    }

    /// The last effective interval that was over at an instant and in which something could start, within
    /// [`MERGE_DAYS`](super::MERGE_DAYS).
    pub fn last_opening(&self, at: Timestamp) -> Option<Opening> {
        let from = timestamp(floor_secs(at) - super::evaluate::MERGE_SECS);
        self.openings(from, at).filter(|opening| opening.is_startable() && opening.closes.is_some_and(|closes| closes <= at)).last()
    }

    /// When each freeze is in force in `[from, until)`, freeze by freeze.
    pub fn frozen_stretches(&self, from: Timestamp, until: Timestamp) -> impl Iterator<Item = FrozenStretch> {
        let part = Part::of(from, until);
        self.freezes.iter().enumerate().flat_map(move |(index, freeze)| {
            let stretches: Vec<(Option<i64>, Option<i64>)> = match &freeze.when {
                When::Once(once) if part.touches(once.from_secs, once.until_secs) => {
                    vec![(Some(once.from_secs), Some(once.until_secs).filter(|until| *until < ENDLESS_SECS))]
                }
                When::Once(_) => Vec::new(),
                When::Recurring(recurring) => part.within(minutes::recurring_minutes(recurring, part.around()).into_runs()).collect(),
            };
            stretches.into_iter().map(move |(from, until)| FrozenStretch {
                item: Item::Freeze(index),
                name: freeze.label(),
                reason: freeze.reason.clone(),
                blocks_rollback: freeze.stops(Gated::Rollback),
                from: from.map(timestamp),
                until: until.map(timestamp),
            })
        })
    }
}

/// The range that was asked for, in seconds.
#[derive(Debug, Clone, Copy)]
struct Part {
    from_secs: i64,
    until_secs: i64,
}

impl Part {
    fn of(from: Timestamp, until: Timestamp) -> Part {
        let from_secs = floor_secs(from);
        Part { from_secs, until_secs: ceil_secs(until).clamp(from_secs, from_secs + super::evaluate::HORIZON_SECS) }
    }

    /// The minutes to look at, so that what is cut at the edges is seen whole.
    fn around(self) -> Range {
        Range::covering(self.from_secs - super::evaluate::MERGE_SECS, self.until_secs + super::evaluate::MERGE_SECS)
    }

    fn touches(self, from_secs: i64, until_secs: i64) -> bool {
        from_secs < self.until_secs && until_secs > self.from_secs
    }

    /// The runs that have a part in the range, in seconds.
    fn within(self, runs: Runs) -> impl Iterator<Item = (Option<i64>, Option<i64>)> {
        runs.map(|run| run.as_secs())
            .skip_while(move |(_, until)| until.is_some_and(|until| until <= self.from_secs))
            .take_while(move |(from, _)| from.is_none_or(|from| from < self.until_secs))
    }
}
