//! Waiting longer after each failure, with jitter, so that many hosts do not come back at the same instant. Pure.

use std::time::Duration;

/// Exponential backoff.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// The first wait and the longest one.
    pub const fn new(first: Duration, most: Duration) -> Backoff {
        Backoff { first, most, failures: 0 }
    }

    /// One more failure: how long to wait now. `chance` in `0.0..1.0` spreads the wait over its upper half.
    pub fn next(&mut self, chance: f64) -> Duration {
        let whole = self.first.saturating_mul(1_u32.checked_shl(self.failures.min(20)).unwrap_or(u32::MAX)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// A number in `0.0..1.0`, for [`Backoff::next`] and intervals.
pub fn chance() -> f64 {
    rand::random()
}

/// An interval, spread by up to a tenth in both directions.
pub fn jittered(interval: Duration, chance: f64) -> Duration {
    interval.mul_f64(0.9 + chance.clamp(0.0, 1.0) / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let waits: Vec<u64> = (0..9).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.failures(), 9);
        backoff.reset();
        assert_eq!(backoff.next(0.0), Duration::from_millis(500));
        let mut many = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let _: Duration = (0..100).map(|_| many.next(0.5)).sum();
        assert_eq!(many.next(1.0), Duration::from_secs(60));
    }

    #[test]
    fn intervals_stay_within_a_tenth() {
        assert_eq!(jittered(Duration::from_secs(10), 0.0), Duration::from_secs(9));
        assert_eq!(jittered(Duration::from_secs(10), 1.0), Duration::from_secs(11));
    }
}
