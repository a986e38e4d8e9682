//! What time it is, as an argument: the workers ask here, and a test moves it on by days.

use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The system's clock, and how far it is moved. Cheap to clone; all clones move together.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    moved_secs: Arc<AtomicI64>,
}

impl Clock {
    /// Now.
    pub fn now(&self) -> Timestamp {
        let moved = SignedDuration::from_secs(self.moved_secs.load(Ordering::SeqCst));
        let now = Timestamp::now();
        now.checked_add(moved).unwrap_or(now)
    }

    /// Moves it on.
    pub fn move_on(&self, secs: i64) {
        self.moved_secs.fetch_add(secs, Ordering::SeqCst);
    }
}
