//! The wall clock, and whether it can be trusted.
//!
//! Can the wall clock be trusted? Windows are civil times: a clock that went back could open one twice.
//!
//! Pure: both clocks are arguments. A jump back closes the host for releases until the clock has been steady for
//! [`SETTLE_SECS`]; repairs go on. A jump forward (a suspended machine, a correction) is only a reason to look again.

use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// Says what time it is. Given to whoever needs it, so that simulations run on a time of their own.
#[derive(Debug, Clone, Default)]
pub struct WallClock {
    simulated: Option<Arc<Simulated>>,
}

#[derive(Debug)]
struct Simulated {
    start: Timestamp,
    from: tokio::time::Instant,
    moved_ms: AtomicI64,
    adrift: AtomicBool,
}

/// Does something keep the wall clock right?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// The kernel says so.
    Yes,
    /// The kernel says that nothing does.
    No,
    /// The kernel does not say, as in some containers.
    Unknown,
}

impl WallClock {
    /// A clock that begins at a moment and goes as tokio's time goes, which simulations can pause.
    pub fn simulated(start: Timestamp) -> WallClock {
        let simulated = Simulated { start, from: tokio::time::Instant::now(), moved_ms: AtomicI64::new(0), adrift: AtomicBool::new(false) };
        WallClock { simulated: Some(Arc::new(simulated)) }
    }

    /// Somebody sets a simulated clock forward or back.
    pub fn set_by(&self, secs: i64) {
        if let Some(simulated) = &self.simulated {
            simulated.moved_ms.fetch_add(secs.saturating_mul(1000), Ordering::Relaxed);
        }
    }

    /// A simulated clock loses its time server, or finds it again.
    pub fn set_sync(&self, sync: Sync) {
        if let Some(simulated) = &self.simulated {
            simulated.adrift.store(sync == Sync::No, Ordering::Relaxed);
        }
    }

    /// Is it synchronised?
    pub fn sync(&self) -> Sync {
        match &self.simulated {
            Some(simulated) if simulated.adrift.load(Ordering::Relaxed) => Sync::No,
            Some(_) => Sync::Yes,
            None => kernel_sync(),
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        let Some(simulated) = &self.simulated else { return Timestamp::now() };
        let passed = i64::try_from(simulated.from.elapsed().as_millis()).unwrap_or(i64::MAX);
        let total = simulated.start.as_millisecond().saturating_add(passed).saturating_add(simulated.moved_ms.load(Ordering::Relaxed));
        Timestamp::from_millisecond(total).unwrap_or(Timestamp::MAX)
    }
}

/// What the kernel knows (adjtimex(2)); asking needs no right and changes nothing.
#[expect(unsafe_code, reason = "adjtimex has no safe wrapper in a crate that is maintained")]
fn kernel_sync() -> Sync {
    // SAFETY: `timex` is a plain struct of numbers, for which zeros are valid.
    let mut asked: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole `timex` that lives through the call; `modes` is 0, so nothing is set.
    let state = unsafe { libc::adjtimex(&raw mut asked) };
    match state {
        -1 => Sync::Unknown,
        _ if asked.status & libc::STA_UNSYNC != 0 => Sync::No,
        _ => Sync::Yes,
    }
}

/// Smaller differences between the two clocks are slewing and rounding, in seconds.
pub const JUMP_MIN_SECS: i64 = 10;
/// After a jump back, this long without another one makes the clock trusted again, in seconds.
pub const SETTLE_SECS: u64 = 600;

/// What both clocks say at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock.
    pub wall: Timestamp,
    /// Time since the program's start by a clock that only goes forward.
    pub steady: Duration,
}

/// Compares the clocks from one moment to the next.
#[derive(Debug, Clone)]
pub struct ClockWatch {
    last: Moment,
    fault: Option<Fault>,
}

#[derive(Debug, Clone)]
struct Fault {
    back_secs: i64,
    since: Duration,
}

impl ClockWatch {
    /// Begins at a moment; `remembered` is the latest wall time that an earlier run wrote down.
    pub fn new(first: Moment, remembered: Option<Timestamp>) -> ClockWatch {
        let back_secs = remembered.map_or(0, |before| before.as_second() - first.wall.as_second());
        let fault = (back_secs >= JUMP_MIN_SECS).then_some(Fault { back_secs, since: first.steady });
        ClockWatch { last: first, fault }
    }

    /// Takes the next moment in; returns why the clock cannot be trusted, if so.
    pub fn check(&mut self, now: Moment) -> Option<String> {
        let wall_ms = now.wall.as_millisecond() - self.last.wall.as_millisecond();
        let steady_ms = i64::try_from(now.steady.saturating_sub(self.last.steady).as_millis()).unwrap_or(i64::MAX);
        let back_secs = steady_ms.saturating_sub(wall_ms) / 1000;
        self.last = now;
        if back_secs >= JUMP_MIN_SECS {
            self.fault = Some(Fault { back_secs, since: now.steady });
        }
        if self.fault.as_ref().is_some_and(|fault| now.steady.saturating_sub(fault.since) >= Duration::from_secs(SETTLE_SECS)) {
            self.fault = None;
        }
        self.fault.as_ref().map(|fault| format!("it went back by {} s", fault.back_secs))
    }

    /// When the clock will be trusted again if it stays steady, as time from `now`.
    pub fn settles_in(&self, now: Moment) -> Option<Duration> {
        let fault = self.fault.as_ref()?;
        Some(Duration::from_secs(SETTLE_SECS).saturating_sub(now.steady.saturating_sub(fault.since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(wall_secs: i64, steady_secs: u64) -> Moment {
        Moment { wall: Timestamp::from_second(1_800_000_000 + wall_secs).unwrap(), steady: Duration::from_secs(steady_secs) }
    }

    #[test]
    fn a_jump_back_closes_until_the_clock_was_steady_for_a_while() {
        let mut watch = ClockWatch::new(moment(0, 0), None);
        assert_eq!(watch.check(moment(30, 30)), None);
        assert_eq!(watch.check(moment(-3540, 60)), Some("it went back by 3600 s".into()));
        assert_eq!(watch.settles_in(moment(-3540, 60)), Some(Duration::from_secs(SETTLE_SECS)));
        assert!(watch.check(moment(-3540 + 599, 60 + 599)).is_some());
        assert_eq!(watch.check(moment(-3540 + 600, 60 + 600)), None);
    }

    #[test]
    fn small_corrections_and_jumps_forward_are_trusted() {
        let mut watch = ClockWatch::new(moment(0, 0), None);
        assert_eq!(watch.check(moment(21, 30)), None, "9 s back is slewing");
        assert_eq!(watch.check(moment(7_300, 31)), None, "a suspended machine");
    }

    #[test]
    fn a_restart_with_an_earlier_clock_is_a_jump_back() {
        let before = moment(500, 0).wall;
        assert!(ClockWatch::new(moment(0, 0), Some(before)).check(moment(1, 1)).is_some());
        assert!(ClockWatch::new(moment(600, 0), Some(before)).check(moment(601, 1)).is_none());
    }
}
