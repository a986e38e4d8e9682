//! Discord's rate limits as its answers tell them: when a route may be used again. Pure; the clock is an argument.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Refused requests in [`INVALID_WINDOW`] after which nothing but answers to people is sent. Discord bans an address
/// after 10,000 of them in ten minutes.
const INVALID_MAX: usize = 500;
/// The time in which they count.
const INVALID_WINDOW: Duration = Duration::from_secs(600);
/// A channel that said no is left alone this long.
const QUARANTINE: Duration = Duration::from_secs(600);
/// Longest pause that an answer may ask for; more is taken for a mistake of ours and tried then.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// What shares a limit before Discord has said so: a route and the id in it that counts.
pub type RouteKey = (&'static str, u64);

/// What an answer says of limits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// The name of the shared limit.
    pub bucket: Option<String>,
    /// Requests left.
    pub remaining: Option<u64>,
    /// Until it is full again.
    pub reset_after: Option<Duration>,
}

/// How far a 429 reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This limit.
    Route,
    /// Everything of this bot.
    Global,
}

/// What is known.
#[derive(Debug, Default)]
pub struct Limits {
    buckets: BTreeMap<RouteKey, String>,
    waits: BTreeMap<(String, u64), Wait>,
    global_until: Option<Instant>,
    invalid: VecDeque<Instant>,
    quarantined: BTreeMap<u64, Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    remaining: u64,
    resets_at: Instant,
}

impl Limits {
    /// Takes a place; or says when to ask again.
    pub fn take(&mut self, route: RouteKey, now: Instant) -> Result<(), Instant> {
        if let Some(until) = self.global_until.filter(|until| *until > now) {
            return Err(until);
        }
        let key = self.key(route);
        match self.waits.get_mut(&key) {
            Some(wait) if wait.resets_at <= now => drop(self.waits.remove(&key)),
            Some(wait) if wait.remaining == 0 => return Err(wait.resets_at),
            Some(wait) => wait.remaining -= 1,
            None => {}
        }
        Ok(())
    }

    /// Learns from an answer.
    pub fn learn(&mut self, route: RouteKey, told: &Told, now: Instant) {
        if let Some(bucket) = &told.bucket {
            self.buckets.insert(route, bucket.clone());
        }
        if let (Some(remaining), Some(reset_after)) = (told.remaining, told.reset_after) {
            let resets_at = now + reset_after.min(PAUSE_MAX);
            let key = self.key(route);
            // Answers of requests that ran at once come in any order: the fewest places left is the truth.
            let known = self.waits.get(&key).filter(|wait| wait.resets_at > now).map_or(u64::MAX, |wait| wait.remaining);
            self.waits.insert(key, Wait { remaining: remaining.min(known), resets_at });
        }
        self.waits.retain(|_, wait| wait.resets_at > now);
    }

    /// Was told to wait.
    pub fn limited(&mut self, route: RouteKey, reach: Reach, pause: Duration, now: Instant) {
        let until = now + pause.min(PAUSE_MAX);
        match reach {
            Reach::Global => self.global_until = Some(until),
            Reach::Route => drop(self.waits.insert(self.key(route), Wait { remaining: 0, resets_at: until })),
        }
    }

    /// Counts a request that Discord counts against us: 401, 403, 429.
    pub fn count_invalid(&mut self, now: Instant) {
        self.invalid.push_back(now);
        while self.invalid.front().is_some_and(|at| now.duration_since(*at) > INVALID_WINDOW) || self.invalid.len() > INVALID_MAX {
            self.invalid.pop_front();
        }
    }

    /// Were there so many that only answers to people go out?
    pub fn near_ban(&self, now: Instant) -> bool {
        self.invalid.iter().filter(|at| now.duration_since(**at) <= INVALID_WINDOW).count() >= INVALID_MAX
    }

    /// Leaves a channel alone for a while. True: it was not left alone before.
    pub fn quarantine(&mut self, channel: u64, now: Instant) -> bool {
        self.quarantined.insert(channel, now + QUARANTINE).is_none_or(|until| until <= now)
    }

    /// Is this channel left alone?
    pub fn is_quarantined(&self, channel: u64, now: Instant) -> bool {
        self.quarantined.get(&channel).is_some_and(|until| *until > now)
    }

    fn key(&self, route: RouteKey) -> (String, u64) {
        (self.buckets.get(&route).cloned().unwrap_or_else(|| route.0.to_owned()), route.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: RouteKey = ("POST /messages", 7);

    fn told(remaining: u64, secs: u64) -> Told {
        Told { bucket: Some("abc".into()), remaining: Some(remaining), reset_after: Some(Duration::from_secs(secs)) }
    }

    #[test]
    fn a_used_up_limit_is_waited_for_and_others_are_not() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        limits.take(POST, now).unwrap();
        limits.learn(POST, &told(1, 5), now);
        limits.take(POST, now).unwrap();
        assert_eq!(limits.take(POST, now), Err(now + Duration::from_secs(5)));
        assert_eq!(limits.take(("POST /messages", 8), now), Ok(()), "another channel has its own");
        assert_eq!(limits.take(POST, now + Duration::from_secs(6)), Ok(()));
    }

    #[test]
    fn routes_that_share_a_limit_wait_together_and_a_global_one_stops_all() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        limits.learn(POST, &told(0, 5), now);
        limits.learn(("PATCH /messages", 7), &told(0, 5), now);
        limits.limited(POST, Reach::Route, Duration::from_secs(9), now);
        assert!(limits.take(("PATCH /messages", 7), now).is_err());
        limits.limited(("GET /x", 0), Reach::Global, Duration::from_secs(3), now);
        assert_eq!(limits.take(("GET /y", 0), now), Err(now + Duration::from_secs(3)));
    }

    #[test]
    fn refusals_are_counted_long_before_they_become_a_ban() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        for _ in 0..INVALID_MAX {
            limits.count_invalid(now);
        }
        assert!(limits.near_ban(now));
        assert!(!limits.near_ban(now + INVALID_WINDOW + Duration::from_secs(1)));
        assert!(limits.quarantine(7, now) && !limits.quarantine(7, now));
        assert!(limits.is_quarantined(7, now) && !limits.is_quarantined(7, now + QUARANTINE));
    }
}
