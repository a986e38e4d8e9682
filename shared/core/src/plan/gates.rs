//! What gates releases: calendar, holds, overrides, and the faults that close everything.

use super::model::{OperationClass, Overridden, Waiting};
use crate::calendar::{Calendar, Decision, State};
use crate::compose::PullPolicy;
use crate::desired::DesiredStack;
use crate::ids::{ContentId, StackName};
use crate::lock::{Hold, Override};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// What the budget of a rollout has for the pull of images that are not on the host yet, in seconds.
pub const PULL_ALLOWANCE_SECS: u64 = 300;
/// Longest reason of a freeze that a wait repeats, in characters.
const REASON_SHOWN_CHARS: usize = 200;

/// What gates releases in this turn. The default is open.
#[derive(Debug, Clone, Default)]
pub struct Gates {
    /// Windows and freezes.
    pub calendar: Calendar,
    /// Holds, of the lock and of the environment's file.
    pub holds: Vec<Hold>,
    /// Overrides, likewise.
    pub overrides: Vec<Override>,
    /// The clock cannot be trusted, and why.
    pub clock_fault: Option<String>,
    /// The newest calendar cannot be read, and why: the last valid one is in force, and closed for releases.
    pub calendar_fault: Option<String>,
    /// How hosts spread out after an opening.
    pub splay: Splay,
    /// A stretch of time in which nobody looked at this host.
    pub unwatched: Option<Unwatched>,
    /// Contents whose images are known to be on the host: their rollouts need no time for a pull.
    pub pulled: BTreeSet<ContentId>,
}

/// How hosts spread out after an opening: each starts a little later, by its name and the instant of the opening.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Splay {
    /// At most this much later, in seconds.
    pub max_secs: u64,
    /// The host's name.
    pub seed: String,
}

/// A stretch of time in which nobody looked: the host was off, asleep, or the agent did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwatched {
    /// The last look before it.
    pub from: Timestamp,
    /// The first look after it.
    pub until: Timestamp,
    /// When what is offered was released; none: not known.
    pub offered_at: Option<Timestamp>,
}

impl Splay {
    /// How much later than an opening, at most `room_secs`.
    fn after(&self, opened_at: Timestamp, room_secs: u64) -> SignedDuration {
        // Half of the room stays: whoever starts last may be held up a little, too.
        let bound = self.max_secs.min(room_secs / 2);
        let seed = ContentId::of(&(&self.seed, opened_at.as_second()));
        let number = u64::from_str_radix(seed.as_str().get(..15).unwrap_or("0"), 16).unwrap_or(0);
        SignedDuration::from_secs(i64::try_from(number % (bound.saturating_add(1))).unwrap_or(0))
    }
}

/// The gates at an instant: the calendar is asked once for all stacks.
pub(super) struct Gate<'a> {
    pub(super) gates: &'a Gates,
    pub(super) calendar: Decision,
    pub(super) now: Timestamp,
}

/// What an override is asked for.
pub(super) struct Asked {
    /// When the start was, or is, asked for.
    pub(super) at: Timestamp,
    pub(super) class: OperationClass,
    /// It has begun already.
    pub(super) continues: bool,
}

impl Gate<'_> {
    pub(super) fn at(gates: &Gates, now: Timestamp) -> Gate<'_> {
        Gate { gates, calendar: gates.calendar.decide(now), now }
    }

    /// The hold on this content, if any.
    pub(super) fn held(&self, stack: &StackName, content: &ContentId) -> Option<Waiting> {
        self.gates.holds.iter().find(|hold| hold.stops(stack, content, self.now)).map(held)
    }

    /// What no override passes: without a clock or a calendar nobody can say what it would pass, or whether it is over.
    pub(super) fn fault(&self) -> Option<Waiting> {
        let clock = self.gates.clock_fault.as_ref().map(|cause| Waiting::ClockUntrusted { cause: cause.clone() });
        clock.or_else(|| self.gates.calendar_fault.as_ref().map(|cause| Waiting::ConfigRefused { cause: cause.clone() }))
    }

    /// Windows never stop a rollback, and a freeze only if it says so.
    pub(super) fn rollback_frozen(&self) -> Option<Waiting> {
        let blocked = self.calendar.rollback.as_ref()?;
        Some(Waiting::Frozen { until: blocked.until, rule: rule(&blocked.rule) })
    }

    /// Is the calendar against a start now?
    pub(super) fn closed(&self, offered: &DesiredStack) -> Option<Waiting> {
        let calendar = &self.calendar;
        match calendar.state {
            State::Frozen => Some(Waiting::Frozen { until: calendar.next_start, rule: rule(&calendar.rule) }),
            State::Closed | State::Closing => Some(self.window_closed()),
            State::Open => self.does_not_fit(offered).or_else(|| self.splayed(offered)),
        }
    }

    /// No window is open; or one was, and nobody looked.
    fn window_closed(&self) -> Waiting {
        let (opens_at, rule) = (self.calendar.next_start, self.calendar.rule.name.clone());
        let missed = self.gates.unwatched.and_then(|unwatched| {
            let last = self.gates.calendar.last_opening(self.now)?;
            let (opened_at, closed_at) = (last.opens?, last.closes?);
            let waited = unwatched.offered_at.is_none_or(|offered_at| offered_at < closed_at);
            (waited && unwatched.from < opened_at && closed_at <= unwatched.until).then_some((opened_at, closed_at))
        });
        match missed {
            Some((opened_at, closed_at)) => Waiting::MissedWindow { opened_at, closed_at, opens_at, rule },
            None => Waiting::WindowClosed { opens_at, rule },
        }
    }

    /// Fit before start: the way there and the way back must both end before the window does.
    fn does_not_fit(&self, offered: &DesiredStack) -> Option<Waiting> {
        let closes_at = self.calendar.open_until?;
        let needs_secs = self.needs_secs(offered);
        let left_secs = u64::try_from(closes_at.as_second().saturating_sub(self.now.as_second())).unwrap_or(0);
        if needs_secs <= left_secs {
            return None;
        }
        let needs = SignedDuration::from_secs(i64::try_from(needs_secs).unwrap_or(i64::MAX));
        Some(Waiting::DoesNotFit { needs_secs, closes_at, opens_at: self.gates.calendar.next_fit(self.now, needs) })
    }

    /// The way there and the way back, in seconds, and the pull before it. The way back needs none: its images ran here.
    fn needs_secs(&self, offered: &DesiredStack) -> u64 {
        let pulls = offered.services.iter().any(|service| !service.containers.is_empty() && service.pull_policy != PullPolicy::Never);
        let is_here = self.gates.pulled.contains(&offered.content);
        let pull_secs = if pulls && !is_here { PULL_ALLOWANCE_SECS } else { 0 };
        offered.budget_ms().saturating_mul(2).div_ceil(1000).saturating_add(pull_secs)
    }

    /// A little later than the opening; never so late that it would not fit any more.
    fn splayed(&self, offered: &DesiredStack) -> Option<Waiting> {
        if self.gates.splay.max_secs == 0 {
            return None;
        }
        let longest = SignedDuration::from_secs(i64::try_from(self.gates.splay.max_secs).unwrap_or(i64::MAX));
        let opened_at = self.gates.calendar.opened_within(self.now, longest)?;
        let until = opened_at.checked_add(self.gates.splay.after(opened_at, self.room_secs(offered, opened_at))).ok()?;
        (self.now < until).then_some(Waiting::Splay { opened_at, until })
    }

    /// How long after an opening it can still start, in seconds.
    fn room_secs(&self, offered: &DesiredStack, opened_at: Timestamp) -> u64 {
        let Some(closes_at) = self.calendar.open_until else { return u64::MAX };
        let length = closes_at.as_second() - opened_at.as_second();
        // Starting exactly at the cutoff is too late, hence one second less.
        let by_cutoff = length - self.gates.calendar.cutoff().map_or(0, |cutoff| cutoff.as_secs()) - 1;
        let by_needs = length - i64::try_from(self.needs_secs(offered)).unwrap_or(i64::MAX);
        u64::try_from(by_cutoff.min(by_needs)).unwrap_or(0)
    }

    /// Lets a stop pass if somebody gave an override for this release that is in force at that moment; else it stays a stop.
    /// What somebody asked for after the override was given is what that person did not know: it stays a stop, too.
    pub(super) fn pass(&self, stop: Waiting, offered: &DesiredStack, asked: &Asked) -> Result<Overridden, Waiting> {
        if !stop.can_be_overridden() || self.fault().is_some() {
            return Err(stop);
        }
        let mut stop = stop;
        for given in self.gates.overrides.iter().filter(|given| given.passes(&offered.stack, offered.release, asked.at)) {
            match self.asked_later(given, offered, asked) {
                Some(later) => stop = later,
                None => {
                    let code = stop.code().to_owned();
                    return Ok(Overridden { code, by: given.by.clone(), reason: given.reason.clone(), until: given.until });
                }
            }
        }
        Err(stop)
    }

    /// The hold or the freeze in force that is younger than an override.
    fn asked_later(&self, given: &Override, offered: &DesiredStack, asked: &Asked) -> Option<Waiting> {
        let is_later = |hold: &&Hold| hold.at.as_second() > given.at.as_second();
        let stops = |hold: &&Hold| hold.stops(&offered.stack, &offered.content, self.now);
        if asked.class != OperationClass::Rollback
            && let Some(hold) = self.gates.holds.iter().filter(is_later).find(stops)
        {
            return Some(held(hold));
        }
        // What has begun may end during a freeze, with or without an override.
        if asked.continues {
            return None;
        }
        let decision = self.gates.calendar.freezes_asked_after(given.at).decide(self.now);
        match asked.class {
            OperationClass::Rollback => decision.rollback.map(|by| Waiting::Frozen { until: by.until, rule: rule(&by.rule) }),
            _ => (decision.state == State::Frozen).then(|| Waiting::Frozen { until: decision.next_start, rule: rule(&decision.rule) }),
        }
    }
}

fn held(hold: &Hold) -> Waiting {
    Waiting::Held { reason: hold.reason.clone(), by: hold.by.as_ref().map(ToString::to_string), until: hold.until }
}

/// A freeze's name with its reason: whoever waits wants to know both.
fn rule(rule: &crate::calendar::Rule) -> String {
    match &rule.reason {
        Some(reason) => format!("{}: {}", rule.name, reason.chars().take(REASON_SHOWN_CHARS).collect::<String>()),
        None => rule.name.clone(),
    }
}
