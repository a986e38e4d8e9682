//! IDENTIFYs are rationed: one in five seconds, a thousand a day. Who uses up the day's loses its token.

use serde_json::{Value, json};
use std::time::Duration;

/// The day of the budget.
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Clocks and networks may bring two IDENTIFYs this much nearer.
const GRACE: Duration = Duration::from_millis(200);

/// How many IDENTIFYs there still are.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    pub total: u32,
    used: u32,
    began: Duration,
    last: Option<Duration>,
    pub pace: Duration,
}

/// What an IDENTIFY met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    Fine,
    /// Too soon after the last.
    TooSoon,
    /// The day's are used up.
    Nothing,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { total: 1_000, used: 0, began: Duration::ZERO, last: None, pace: Duration::from_secs(5) }
    }
}

impl Budget {
    fn renew(&mut self, now: Duration) {
        if now > self.began + DAY {
            (self.began, self.used) = (now, 0);
        }
    }

    pub(super) fn spend(&mut self, now: Duration) -> Spent {
        self.renew(now);
        if self.used >= self.total {
            return Spent::Nothing;
        }
        self.used += 1;
        let soon = self.last.is_some_and(|last| now + GRACE < last + self.pace);
        self.last = Some(now);
        if soon { Spent::TooSoon } else { Spent::Fine }
    }

    /// Leaves so many for the rest of the day.
    pub fn leave(&mut self, now: Duration, left: u32) {
        self.renew(now);
        self.used = self.total.saturating_sub(left);
    }

    pub fn show(&mut self, now: Duration) -> Value {
        self.renew(now);
        let reset = u64::try_from((self.began + DAY).saturating_sub(now).as_millis()).unwrap_or_default();
        json!({ "total": self.total, "remaining": self.total - self.used, "reset_after": reset, "max_concurrency": 1 })
    }
}
