//! How soon a stack may be worked on again: at once after a success, later and later after failures and repeated repairs.

use crate::backoff::Backoff;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tidegate_core::ids::{ContentId, StackName};
use tidegate_core::plan::{OperationClass, StackPlan};

/// After the first failure.
pub const FIRST_RETRY: Duration = Duration::from_secs(2);
/// At most.
pub const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// Repairs further apart than this are unrelated.
pub const REPAIRS_UNRELATED: Duration = Duration::from_secs(600);

/// What is paced: one kind of work towards one state of a stack. A way back is not delayed by what it leaves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PaceKey {
    /// The stack.
    pub stack: StackName,
    /// Where the work leads.
    pub content: ContentId,
    /// Its class.
    pub class: OperationClass,
}

impl PaceKey {
    /// Of a plan; none: it leads nowhere.
    pub fn of(plan: &StackPlan) -> Option<PaceKey> {
        let content = plan.target.as_ref()?.content.clone();
        Some(PaceKey { stack: plan.stack.clone(), content, class: plan.class.unwrap_or(OperationClass::Repair) })
    }
}

/// When a stack may be worked on again.
#[derive(Debug, Clone)]
pub struct Pace {
    failures: Backoff,
    repairs: Backoff,
    repaired_at: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Default for Pace {
    fn default() -> Pace {
        let backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        Pace { failures: backoff.clone(), repairs: backoff, repaired_at: None, until: None }
    }
}

impl Pace {
    /// Until when to wait, if at all.
    pub fn waits(&self, now: Timestamp) -> Option<Timestamp> {
        self.until.filter(|until| now < *until)
    }

    /// Can it still delay anything? What is older is forgotten.
    pub fn still_counts(&self, now: Timestamp) -> bool {
        let latest = self.until.into_iter().chain(self.repaired_at).max();
        latest.is_some_and(|at| since(at, now) < REPAIRS_UNRELATED + LONGEST_RETRY)
    }

    /// A repair succeeded. The first is free; the next ones are further and further apart, so that a container that
    /// dies again and again does not keep host and engine busy.
    pub fn repaired(&mut self, now: Timestamp, chance: f64) {
        self.failures.reset();
        let is_related = |at: Timestamp| since(at, now) < REPAIRS_UNRELATED + LONGEST_RETRY;
        if !self.repaired_at.is_some_and(is_related) {
            self.repairs.reset();
        }
        let first = self.repairs.failures() == 0;
        let wait = self.repairs.next(chance);
        self.repaired_at = Some(now);
        self.until = (!first).then(|| later(now, wait));
    }

    /// It did not work; returns when it is tried again.
    pub fn failed(&mut self, now: Timestamp, chance: f64) -> Timestamp {
        let until = later(now, self.failures.next(chance));
        self.until = Some(until);
        until
    }
}

fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(now.as_millisecond() - at.as_millisecond()).unwrap_or(0))
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    #[test]
    fn the_first_repair_is_free_and_repeated_ones_are_spread() {
        let mut pace = Pace::default();
        pace.repaired(at(0), 1.0);
        assert_eq!(pace.waits(at(0)), None);
        pace.repaired(at(1), 1.0);
        assert_eq!(pace.waits(at(1)), Some(at(5)));
        assert_eq!(pace.waits(at(5)), None);
        pace.repaired(at(5), 1.0);
        assert_eq!(pace.waits(at(5)), Some(at(13)));
        pace.repaired(at(2_000), 1.0);
        assert_eq!(pace.waits(at(2_000)), None, "long ago is another story");
    }

    #[test]
    fn failures_wait_longer_and_are_forgotten_after_a_while() {
        let mut pace = Pace::default();
        assert_eq!(pace.failed(at(0), 1.0), at(2));
        assert_eq!(pace.failed(at(2), 1.0), at(6));
        assert!(pace.still_counts(at(800)) && !pace.still_counts(at(2_000)));
    }
}
