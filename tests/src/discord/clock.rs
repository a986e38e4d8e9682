//! The server's clock: the real one and a lead that a test may add to, so that nobody waits fifteen minutes for a token
//! to grow old. Ids carry its time, as Discord's do.

use super::Id;
use jiff::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first moment of Discord's ids, in milliseconds since 1970.
const DISCORD_EPOCH_MS: u64 = 1_420_070_400_000;
/// Bits below the time in an id.
const ID_TIME_SHIFT: u32 = 22;

/// Tells the time to the server.
#[derive(Debug, Default)]
pub struct Clock {
    ahead_ms: AtomicU64,
    ids: AtomicU64,
}

impl Clock {
    /// Time since 1970, with the lead.
    pub fn now(&self) -> Duration {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        real + Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst))
    }

    /// Puts the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_add(by, Ordering::SeqCst);
    }

    /// A new id, unique and rising.
    pub fn id(&self) -> Id {
        let now = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        let number = self.ids.fetch_add(1, Ordering::SeqCst) & ((1 << ID_TIME_SHIFT) - 1);
        Id(((now - DISCORD_EPOCH_MS) << ID_TIME_SHIFT) | number)
    }
}

/// As Discord writes a moment.
pub(super) fn written(at: Duration) -> String {
    let at = Timestamp::from_microsecond(i64::try_from(at.as_micros()).unwrap_or_default()).unwrap_or_default();
    format!("{}+00:00", at.strftime("%Y-%m-%dT%H:%M:%S%.6f"))
}
