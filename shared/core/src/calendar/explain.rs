//! Why a window opens when it does: its next openings as written and as the clock shows them, what a clock change does to them, and
//! which freezes take from them. Data only; the words are the business of whoever prints them.

use super::error::Item;
use super::model::{Calendar, Recurring, Window};
use super::periods::{Period, Stretch};
use super::zone::{Civil, ceil_secs, floor_secs, timestamp};
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One window, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Its name, or how it is written.
    pub label: String,
    /// The expression.
    pub cron: String,
    /// The zone.
    pub tz: String,
    /// How long it is open.
    pub duration: String,
    /// The running occurrence, if there is one, and the next ones.
    pub occurrences: Vec<Occurrence>,
}

/// One opening of one window, before other windows and freezes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// The civil start that the expression names.
    pub written: DateTime,
    /// When it opens.
    pub opens: Timestamp,
    /// What the clock of its zone shows then.
    pub opens_civil: DateTime,
    /// When it closes.
    pub closes: Timestamp,
    /// What the clock of its zone shows then.
    pub closes_civil: DateTime,
    /// What a change of the clock does to it.
    pub shift: Option<Shift>,
    /// Freezes that take at least a part of it.
    pub frozen_by: Vec<Item>,
}

/// What a change of the clock does to an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Shift {
    /// The clock skips the civil start: it opens at the first moment after the gap.
    Skipped,
    /// The clock shows the civil start twice: it opens the first time only.
    Repeated,
    /// The clock changes while it is open, so that it closes at another civil time than usual.
    Across {
        /// How much later the clock shows at the end than without the change; negative: earlier.
        moved_secs: i64,
    },
}

/// A change of the clock, and the windows whose openings it shifts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockChange {
    /// The zone.
    pub tz: String,
    /// When.
    pub at: Timestamp,
    /// Seconds east of UTC before.
    pub before_secs: i64,
    /// Seconds east of UTC after.
    pub after_secs: i64,
    /// Windows with an opening that is shifted.
    pub windows: Vec<Item>,
}

impl Calendar {
    /// Explains a window with its running and next openings, at most `count`; none: there is no such window.
    pub fn explain(&self, window: usize, at: Timestamp, count: usize) -> Option<Explanation> {
        let found = self.listed().get(window)?;
        let at_secs = floor_secs(at);
        let running = found.covering(at_secs).map(|stretch| stretch.from_secs);
        let starts = running.into_iter().chain(found.recurring.starts(at_secs + 1, at_secs + super::evaluate::HORIZON_SECS));
        Some(Explanation {
            label: found.label(),
            cron: found.cron().to_owned(),
            tz: found.zone_name().to_owned(),
            duration: found.duration().to_string(),
            occurrences: starts.take(count).map(|start| self.occurrence(found, start)).collect(),
        })
    }

    /// Changes of the clock in `[from, until)` in the zones of the windows, in order.
    pub fn clock_changes(&self, from: Timestamp, until: Timestamp) -> Vec<ClockChange> {
        let windows = self.listed();
        let mut changes: Vec<ClockChange> = Vec::new();
        let zones: BTreeSet<&str> = windows.iter().map(Window::zone_name).collect();
        for tz in zones {
            let inside = || windows.iter().enumerate().filter(|(_, window)| window.zone_name() == tz);
            let Some((_, first)) = inside().next() else { continue };
            for change in first.recurring.zone.changes(ceil_secs(from), ceil_secs(until)) {
                let shifted = inside().filter(|(_, window)| window.recurring.is_shifted(change.at_secs));
                changes.push(ClockChange {
                    tz: tz.to_owned(),
                    at: timestamp(change.at_secs),
                    before_secs: change.before_secs,
                    after_secs: change.after_secs,
                    windows: shifted.map(|(index, _)| Item::Window(index)).collect(),
                });
            }
        }
        changes.sort_by(|left, right| (left.at, &left.tz).cmp(&(right.at, &right.tz)));
        changes
    }

    fn occurrence(&self, window: &Window, start: i64) -> Occurrence {
        let recurring = &window.recurring;
        let stretch = Stretch { from_secs: start, until_secs: start + recurring.duration.as_secs() };
        let overlaps = |period: &dyn Period| {
            period.covering(stretch.from_secs).is_some()
                || period.next_from(stretch.from_secs).is_some_and(|next| next.from_secs < stretch.until_secs)
        };
        let frozen = self.freezes.iter().enumerate().filter(|(_, freeze)| overlaps(*freeze));
        Occurrence {
            written: civil_datetime(recurring.written(start)),
            opens: timestamp(start),
            opens_civil: civil_datetime(recurring.zone.civil(start)),
            closes: timestamp(stretch.until_secs),
            closes_civil: civil_datetime(recurring.zone.civil(stretch.until_secs)),
            shift: recurring.shift(start),
            frozen_by: frozen.map(|(index, _)| Item::Freeze(index)).collect(),
        }
    }
}

impl Recurring {
    /// The civil start behind an instant at which it begins; in a gap the first of those that fall together.
    fn written(&self, start: i64) -> Civil {
        self.expression.after(self.zone.last_civil(start - 1)).unwrap_or(self.zone.civil(start))
    }

    fn shift(&self, start: i64) -> Option<Shift> {
        let (written, end) = (self.written(start), start + self.duration.as_secs());
        if self.zone.civil(start) != written {
            return Some(Shift::Skipped);
        }
        if self.zone.start(written) != self.zone.end(written) {
            return Some(Shift::Repeated);
        }
        let moved_secs = self.zone.offset_secs(end) - self.zone.offset_secs(start);
        (moved_secs != 0).then_some(Shift::Across { moved_secs })
    }

    /// Does a change of the clock shift an opening? One that runs into it, one that is repeated by it, or one that it skips.
    fn is_shifted(&self, change_secs: i64) -> bool {
        let near = [self.last_from(change_secs - 1), self.last_from(change_secs)];
        near.into_iter().flatten().any(|stretch| {
            let (start, end) = (stretch.from_secs, stretch.until_secs);
            match self.shift(start) {
                Some(Shift::Skipped) => start == change_secs,
                Some(Shift::Repeated) => self.zone.end(self.zone.civil(start)) >= change_secs,
                Some(Shift::Across { .. }) => start < change_secs && change_secs <= end,
                None => false,
            }
        })
    }
}

fn civil_datetime(civil: Civil) -> DateTime {
    jiff::tz::Offset::UTC.to_datetime(timestamp(civil.0))
}
