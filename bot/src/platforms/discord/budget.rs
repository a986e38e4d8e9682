//! How often the bot may introduce itself to Discord. A loop of crashes that identifies a thousand times a day has its
//! token reset by Discord; so every attempt is written down before it is made, and pauses grow. Pure; times are arguments.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Attempts in a day. Discord allows 1,000.
const A_DAY_MAX: usize = 200;
/// Attempts in [`A_WHILE`].
const A_WHILE_MAX: usize = 12;
const A_WHILE: SignedDuration = SignedDuration::from_mins(10);
const A_DAY: SignedDuration = SignedDuration::from_hours(24);
/// First pause after a failure.
const PAUSE_FIRST: SignedDuration = SignedDuration::from_secs(5);
/// Longest.
const PAUSE_MAX: SignedDuration = SignedDuration::from_secs(900);
/// A connection that held this long was a success.
const HELD: SignedDuration = SignedDuration::from_mins(5);

/// What is remembered between two starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// When the bot identified, oldest first.
    pub identified: Vec<Timestamp>,
    /// Failures in a row.
    pub failures: u32,
    /// The end of the last attempt.
    pub ended_at: Option<Timestamp>,
    /// Discord refused for good.
    pub refused: Option<Verdict>,
}

/// A refusal that holds until something is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which token.
    pub token: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

impl Budget {
    /// When the next attempt may be made; now: at once.
    pub fn next(&self, now: Timestamp) -> Timestamp {
        let free_at = |max: usize, span: SignedDuration| {
            let at = self.identified.len().checked_sub(max).and_then(|index| self.identified.get(index));
            at.map_or(Timestamp::MIN, |at| *at + span)
        };
        let pause = self.ended_at.map_or(Timestamp::MIN, |at| at + self.pause());
        // A clock that was set back must not keep the bot away for ever.
        free_at(A_DAY_MAX, A_DAY).max(free_at(A_WHILE_MAX, A_WHILE)).max(pause).clamp(now, now + A_DAY)
    }

    fn pause(&self) -> SignedDuration {
        if self.failures == 0 {
            return SignedDuration::ZERO;
        }
        let doubled = PAUSE_FIRST.checked_mul(1 << self.failures.saturating_sub(1).min(10)).unwrap_or(PAUSE_MAX);
        doubled.min(PAUSE_MAX)
    }

    /// The bot identifies now.
    pub fn identify(&mut self, now: Timestamp) {
        self.identified.retain(|at| *at <= now && now.duration_since(*at) < A_DAY);
        self.identified.push(now);
        let over = self.identified.len().saturating_sub(A_DAY_MAX);
        self.identified.drain(..over);
    }

    /// The connection is over after so long.
    pub fn ended(&mut self, held: SignedDuration, now: Timestamp) {
        self.ended_at = Some(now);
        self.failures = if held >= HELD { 1 } else { self.failures.saturating_add(1) };
    }

    /// Discord refused this token for good.
    pub fn refuse(&mut self, token: String, why: String, now: Timestamp) {
        self.refused = Some(Verdict { token, why, at: now });
    }

    /// The refusal that holds for this token.
    pub fn refusal(&self, token: &str) -> Option<&Verdict> {
        self.refused.as_ref().filter(|verdict| verdict.token == token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    /// A service manager that starts the bot anew every two seconds, for a day.
    #[test]
    fn a_loop_of_crashes_never_burns_the_token() {
        let mut budget = Budget::default();
        let mut attempts = 0;
        for secs in (0..86_400).step_by(2) {
            // Each start reads what the one before wrote.
            budget = serde_json::from_str(&serde_json::to_string(&budget).unwrap()).unwrap();
            if budget.next(at(secs)) <= at(secs) {
                budget.identify(at(secs));
                budget.ended(SignedDuration::from_secs(1), at(secs + 1));
                attempts += 1;
            }
        }
        assert!((20..=A_DAY_MAX).contains(&attempts), "{attempts}");
    }

    #[test]
    fn connections_that_die_late_are_bounded_too() {
        let mut budget = Budget::default();
        let mut attempts = 0;
        for secs in (0..86_400).step_by(301) {
            if budget.next(at(secs)) <= at(secs) {
                budget.identify(at(secs));
                budget.ended(HELD, at(secs + 300));
                attempts += 1;
            }
        }
        assert!(attempts <= A_DAY_MAX, "{attempts}");
    }

    #[test]
    fn the_first_attempt_is_made_at_once_and_a_refusal_belongs_to_its_token() {
        let mut budget = Budget::default();
        assert_eq!(budget.next(at(0)), at(0));
        budget.refuse("abc".into(), "4004".into(), at(0));
        assert!(budget.refusal("abc").is_some() && budget.refusal("def").is_none());
        budget.identify(at(1_000_000));
        assert!(budget.next(at(0)) <= at(0) + A_DAY, "a clock that was set back");
    }
}
