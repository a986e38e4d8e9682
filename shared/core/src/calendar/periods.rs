//! Recurring and one-off stretches of time, asked for what lies around an instant. All instants are whole seconds.

use super::model::{Freeze, Once, Recurring, When, Window};
use super::zone::Civil;

/// A half-open stretch of time, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stretch {
    pub(super) from_secs: i64,
    pub(super) until_secs: i64,
}

/// Something that is in force now and then.
pub(super) trait Period {
    /// The last time that it began at or before an instant.
    fn last_from(&self, at_secs: i64) -> Option<Stretch>;

    /// The first time that it begins at or after an instant.
    fn next_from(&self, at_secs: i64) -> Option<Stretch>;

    /// The stretch that covers an instant and ends last.
    fn covering(&self, at_secs: i64) -> Option<Stretch> {
        self.last_from(at_secs).filter(|stretch| stretch.until_secs > at_secs)
    }
}

impl Recurring {
    fn stretch(&self, from_secs: i64) -> Stretch {
        Stretch { from_secs, until_secs: from_secs + self.duration.as_secs() }
    }

    /// Every instant at which it begins in `[from, until)`, in order; equal instants are one start.
    pub(super) fn starts(&self, from_secs: i64, until_secs: i64) -> impl Iterator<Item = i64> {
        let first = self.next_from(from_secs).map(|stretch| stretch.from_secs);
        std::iter::successors(first, |start| self.next_from(start + 1).map(|stretch| stretch.from_secs))
            .take_while(move |start| *start < until_secs)
    }
}

impl Period for Recurring {
    fn last_from(&self, at_secs: i64) -> Option<Stretch> {
        let civil = self.expression.at_or_before(self.zone.last_civil(at_secs))?;
        Some(self.stretch(self.zone.start(civil)))
    }

    /// Looks on from the civil time one second before the instant, not from one second before its civil time: right after a gap the
    /// latter is a civil time that never was, and starts inside the gap would be missed.
    fn next_from(&self, at_secs: i64) -> Option<Stretch> {
        let Civil(before) = self.zone.last_civil(at_secs - 1);
        let mut civil = Civil(before);
        loop {
            civil = self.expression.after(civil)?;
            let start = self.zone.start(civil);
            if start >= at_secs {
                return Some(self.stretch(start));
            }
        }
    }
}

impl Period for Once {
    fn last_from(&self, at_secs: i64) -> Option<Stretch> {
        (self.from_secs <= at_secs).then_some(Stretch { from_secs: self.from_secs, until_secs: self.until_secs })
    }

    fn next_from(&self, at_secs: i64) -> Option<Stretch> {
        (self.from_secs >= at_secs).then_some(Stretch { from_secs: self.from_secs, until_secs: self.until_secs })
    }
}

impl Period for When {
    fn last_from(&self, at_secs: i64) -> Option<Stretch> {
        match self {
            When::Once(once) => once.last_from(at_secs),
            When::Recurring(recurring) => recurring.last_from(at_secs),
        }
    }

    fn next_from(&self, at_secs: i64) -> Option<Stretch> {
        match self {
            When::Once(once) => once.next_from(at_secs),
            When::Recurring(recurring) => recurring.next_from(at_secs),
        }
    }
}

impl Period for Window {
    fn last_from(&self, at_secs: i64) -> Option<Stretch> {
        self.recurring.last_from(at_secs)
    }

    fn next_from(&self, at_secs: i64) -> Option<Stretch> {
        self.recurring.next_from(at_secs)
    }
}

impl Period for Freeze {
    fn last_from(&self, at_secs: i64) -> Option<Stretch> {
        self.when.last_from(at_secs)
    }

    fn next_from(&self, at_secs: i64) -> Option<Stretch> {
        self.when.next_from(at_secs)
    }
}
