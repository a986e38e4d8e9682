//! What a lock says beside its content: freezes and overrides. (Holds stand with the lock itself.)
//!
//! Each says who, why and until when, and ends by itself. An override is bound to a *stack's* release number, which is
//! the number of the lock that brought the content: it survives the commit that carries it, and dies with any other content.

use super::Lock;
use crate::calendar::{AddedFreeze, Gated};
use crate::findings::Place;
use crate::ids::{PersonName, ReleaseNumber, StackName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How long an override holds when nobody says, in seconds.
pub const OVERRIDE_DEFAULT_SECS: i64 = 60 * 60;
/// How long an override may hold, in seconds.
pub const OVERRIDE_MAX_SECS: i64 = 24 * 60 * 60;
/// How much earlier than its writing an override counts, in seconds: the writer's clock may be ahead of the host's.
pub const OVERRIDE_SKEW_SECS: i64 = 120;
/// Most freezes, holds and overrides in one file, of each.
pub const STANDING_MAX: usize = 64;

/// A freeze that was asked for in chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFreeze {
    /// Owner; none: automation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonName>,
    /// Why.
    pub reason: String,
    /// When it was asked for.
    pub at: Timestamp,
    /// Begins then; none: when it was asked for. Counts from the minute that it lies in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Ends by itself then, rounded up to the minute; none: somebody lifts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What it stops.
    #[serde(default = "releases_only", skip_serializing_if = "is_releases_only")]
    pub blocks: BTreeSet<Gated>,
}

/// What a freeze stops unless it says more.
pub fn releases_only() -> BTreeSet<Gated> {
    BTreeSet::from([Gated::Release])
}

fn is_releases_only(blocks: &BTreeSet<Gated>) -> bool {
    *blocks == releases_only()
}

impl LockedFreeze {
    /// When it begins.
    pub fn begins(&self) -> Timestamp {
        self.from.unwrap_or(self.at)
    }

    /// Is it over at that moment?
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// What people call it.
    pub fn name(&self) -> String {
        match &self.by {
            Some(by) => format!("freeze by {by}"),
            None => "freeze by automation".to_owned(),
        }
    }

    /// As the calendar takes it.
    pub fn added(&self, place: Option<Place>) -> AddedFreeze {
        let (at, from, until, blocks) = (self.at, self.from, self.until, self.blocks.clone());
        AddedFreeze { name: self.name(), reason: Some(self.reason.clone()), at, from, until, blocks, place }
    }
}

impl Lock {
    /// The freezes that are not over: what the next lock carries on.
    pub fn freezes_left(&self, now: Timestamp) -> Vec<LockedFreeze> {
        self.freezes.iter().filter(|freeze| !freeze.is_over(now)).cloned().collect()
    }

    /// The overrides that are not over and whose release some stack still has: what the next lock carries on.
    pub fn overrides_left(&self, now: Timestamp) -> Vec<Override> {
        let is_there = |given: &Override| self.stacks.values().any(|stack| stack.release == given.release);
        self.overrides.iter().filter(|given| now < given.until && is_there(given)).cloned().collect()
    }
}

/// A one-time pass through windows, freezes and holds: for one release, with a reason and an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The release that brought the content ([`LockedStack::release`](super::LockedStack)).
    pub release: ReleaseNumber,
    /// The stack; none: every stack that this release brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackName>,
    /// Who.
    pub by: PersonName,
    /// Why.
    pub reason: String,
    /// When it was given.
    pub at: Timestamp,
    /// Ends by itself then; at most [`OVERRIDE_MAX_SECS`] after `at`.
    pub until: Timestamp,
}

impl Override {
    /// Does it let this release of this stack start at that moment?
    pub fn passes(&self, stack: &StackName, release: Option<ReleaseNumber>, now: Timestamp) -> bool {
        release == Some(self.release) && self.stack.as_ref().is_none_or(|own| own == stack) && self.is_in_force(now)
    }

    /// Is it in force at that moment? Also a little before it was given, by a clock that is behind.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        now.as_second() >= self.at.as_second() - OVERRIDE_SKEW_SECS && now < self.until
    }
}
