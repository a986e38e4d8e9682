//! Rate limits: a bucket for each route and major parameter, one for the whole bot, and the count of refused requests
//! that bans an address. Limits are not Discord's secret real ones but of their kind; clients must read the headers.

use super::refusal::{Broken, Refusal, Rule};
use serde_json::json;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Requests a second of one bot, interactions not counted.
const GLOBAL_LIMIT: u32 = 50;
/// The window of the limit above.
const GLOBAL_WINDOW: Duration = Duration::from_secs(1);
/// Refused requests that ban the address.
const INVALID_MAX: usize = 10_000;
/// Within this time.
const INVALID_WINDOW: Duration = Duration::from_secs(600);
/// A request that was on its way when the client was told to wait is forgiven for this long.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// A limit: so many requests in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests.
    pub requests: u32,
    /// In this time.
    pub window: Duration,
}

#[derive(Debug)]
struct Bucket {
    limit: RateLimit,
    used: u32,
    ends: Duration,
    /// When the client was told that nothing is left.
    told_empty: Option<Duration>,
    /// Closed by a 429 until then, told at.
    closed: Option<(Duration, Duration)>,
}

/// All buckets.
#[derive(Debug)]
pub(super) struct Buckets {
    limits: Option<HashMap<String, RateLimit>>,
    buckets: HashMap<String, Bucket>,
    global: Bucket,
    invalid: VecDeque<Duration>,
    pub invalid_max: usize,
    pub limited: u64,
}

/// What a request is to the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// Method and path with ids taken out: names the limit.
    pub template: String,
    /// Template and major parameter: names the bucket.
    pub bucket: String,
    /// Does it count for the whole bot?
    pub counts_globally: bool,
    /// Has it no limit of its own?
    pub unlimited: bool,
}

impl Route {
    pub fn of(method: &str, segments: &[&str]) -> Route {
        let is_id = |part: &&str| part.len() > 14 && part.bytes().all(|byte| byte.is_ascii_digit());
        let webhook = segments.first() == Some(&"webhooks");
        let callback = segments.first() == Some(&"interactions");
        let parts: Vec<&str> =
            segments.iter().enumerate().map(|(at, part)| if is_id(part) || (webhook && at == 2) { ":id" } else { part }).collect();
        let template = format!("{method} /{}", parts.join("/"));
        let major = if webhook {
            segments.iter().take(3).copied().collect::<Vec<_>>().join("/")
        } else {
            segments.get(1).unwrap_or(&"").to_string()
        };
        Route { bucket: format!("{template} {major}"), template, counts_globally: !webhook && !callback, unlimited: callback }
    }
}

fn default_limit(template: &str) -> RateLimit {
    let (requests, millis) = match template {
        "POST /channels/:id/messages" | "PATCH /channels/:id/messages/:id" => (5, 5_000),
        "DELETE /channels/:id/messages/:id" => (5, 1_000),
        "POST /channels/:id/messages/:id/threads" | "POST /channels/:id/threads" => (10, 10_000),
        "PUT /applications/:id/guilds/:id/commands" | "PUT /applications/:id/commands" => (2, 1_000),
        _ if template.contains("/webhooks/") => (5, 2_000),
        _ => (20, 1_000),
    };
    RateLimit { requests, window: Duration::from_millis(millis) }
}

impl Bucket {
    fn new(limit: RateLimit, now: Duration) -> Bucket {
        Bucket { limit, used: 0, ends: now + limit.window, told_empty: None, closed: None }
    }

    fn renew(&mut self, now: Duration) {
        if now >= self.ends {
            *self = Bucket { closed: self.closed, ..Bucket::new(self.limit, now) };
        }
        self.closed = self.closed.filter(|(until, _)| now < *until);
    }

    /// How long to wait and which rule a request breaks that comes too early; `None`: it may pass.
    fn refuses(&self, now: Duration) -> Option<(Duration, Option<Rule>)> {
        if let Some((until, told)) = self.closed {
            return Some((until - now, (now > told + ON_ITS_WAY).then_some(Rule::RetryAfter)));
        }
        let knew = self.told_empty.is_some_and(|told| now > told + ON_ITS_WAY);
        (self.used >= self.limit.requests).then(|| (self.ends - now, knew.then_some(Rule::RateLimit)))
    }

    fn close(&mut self, now: Duration, wait: Duration) {
        self.closed = Some((now + wait, now));
    }
}

impl Buckets {
    pub fn new(now: Duration) -> Buckets {
        let global = Bucket::new(RateLimit { requests: GLOBAL_LIMIT, window: GLOBAL_WINDOW }, now);
        Buckets {
            limits: Some(HashMap::new()),
            buckets: HashMap::new(),
            global,
            invalid: VecDeque::new(),
            invalid_max: INVALID_MAX,
            limited: 0,
        }
    }

    /// No limits any more but those that faults impose.
    pub fn off(&mut self) {
        self.limits = None;
    }

    /// Another limit for a route, named like `POST /channels/:id/messages`.
    pub fn set(&mut self, template: &str, limit: RateLimit) {
        self.limits.get_or_insert_default().insert(template.to_owned(), limit);
        self.buckets.retain(|key, _| !key.starts_with(template));
    }

    /// Counts a request: the headers of its answer, or the refusal.
    pub fn take(&mut self, route: &Route, now: Duration) -> Result<Vec<(&'static str, String)>, Box<Refusal>> {
        self.banned(now)?;
        if route.counts_globally {
            self.global.renew(now);
            if let Some((wait, rule)) = self.global.refuses(now).filter(|_| self.limits.is_some() || self.global.closed.is_some()) {
                self.global.close(now, wait);
                return Err(Box::new(self.refuse(wait, Scope::Global, rule)));
            }
            self.global.used += 1;
        }
        if route.unlimited {
            return Ok(Vec::new());
        }
        let off = self.limits.is_none();
        let limit = self.limits.as_ref().and_then(|limits| limits.get(&route.template)).copied();
        let limit = limit.unwrap_or_else(|| default_limit(&route.template));
        let bucket = self.buckets.entry(route.bucket.clone()).or_insert_with(|| Bucket::new(limit, now));
        bucket.renew(now);
        if let Some((wait, rule)) = bucket.refuses(now).filter(|_| !off || bucket.closed.is_some()) {
            if bucket.closed.is_none() {
                bucket.close(now, wait);
            }
            return Err(Box::new(self.refuse(wait, Scope::Route, rule)));
        }
        if off {
            return Ok(Vec::new());
        }
        bucket.used += 1;
        let remaining = bucket.limit.requests - bucket.used;
        if remaining == 0 {
            bucket.told_empty = Some(now);
        }
        let (limit, left, ends) = (bucket.limit.requests, bucket.ends - now, bucket.ends);
        Ok(vec![
            ("x-ratelimit-limit", limit.to_string()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-reset", format!("{:.3}", ends.as_secs_f64())),
            ("x-ratelimit-reset-after", format!("{:.3}", left.as_secs_f64())),
            ("x-ratelimit-bucket", name(&route.template)),
        ])
    }

    /// Closes a bucket as a fault does.
    pub fn close(&mut self, route: &Route, scope: Scope, (now, wait): (Duration, Duration)) -> Refusal {
        match scope {
            Scope::Global => self.global.close(now, wait),
            Scope::Route | Scope::Shared => {
                let fresh = || Bucket::new(default_limit(&route.template), now);
                self.buckets.entry(route.bucket.clone()).or_insert_with(fresh).close(now, wait);
            }
        }
        self.refuse(wait, scope, None)
    }

    fn refuse(&mut self, wait: Duration, scope: Scope, rule: Option<Rule>) -> Refusal {
        self.limited += 1;
        let mut refusal = Refusal::new(429, 0, "You are being rate limited.");
        let seconds = wait.as_secs_f64().max(0.001);
        refusal.more = vec![("retry_after", json!((seconds * 1000.0).ceil() / 1000.0)), ("global", json!(scope == Scope::Global))];
        refusal.headers = vec![("retry-after", format!("{}", seconds.ceil())), ("x-ratelimit-scope", scope.word().to_owned())];
        if scope == Scope::Global {
            refusal.headers.push(("x-ratelimit-global", "true".to_owned()));
        }
        refusal.rule = rule;
        refusal
    }

    /// Counts an answer that Discord counts as invalid.
    pub fn count_invalid(&mut self, now: Duration) -> Option<Broken> {
        self.invalid.push_back(now);
        self.forget(now);
        let how = format!("{} refused requests in ten minutes", self.invalid.len());
        (self.invalid.len() == self.invalid_max).then_some(Broken { rule: Rule::InvalidRequests, how })
    }

    /// Refused requests in the last ten minutes.
    pub fn invalid(&mut self, now: Duration) -> usize {
        self.forget(now);
        self.invalid.len()
    }

    fn forget(&mut self, now: Duration) {
        while self.invalid.front().is_some_and(|at| *at + INVALID_WINDOW < now) {
            self.invalid.pop_front();
        }
    }

    fn banned(&mut self, now: Duration) -> Result<(), Box<Refusal>> {
        if self.invalid(now) < self.invalid_max {
            return Ok(());
        }
        let mut refusal = Refusal::new(429, 0, "Access denied: error 1015");
        refusal.headers = vec![("retry-after", "600".to_owned())];
        Err(Box::new(refusal))
    }
}

/// Whom a limit holds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Route,
    Global,
    Shared,
}

impl Scope {
    fn word(self) -> &'static str {
        match self {
            Scope::Route => "user",
            Scope::Global => "global",
            Scope::Shared => "shared",
        }
    }
}

/// A bucket's name in the headers: opaque, and the same for one route.
fn name(template: &str) -> String {
    let hash = template.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}
