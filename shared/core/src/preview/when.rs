//! When a change would go out: the calendar as it would be after the merge, the people who must agree, the holds.

use super::{Input, Running};
use crate::calendar::{Decision, FrozenStretch, Opening};
use crate::candidate::Comparison;
use crate::ids::{ContentId, ReleaseNumber, RoleName, StackName};
use crate::lock::{Hold, Override};
use crate::repo::{ApprovalPolicy, Environment, Standing};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How far ahead a place in the calendar is looked for, in openings.
const OPENINGS_MAX: usize = 60;
/// Most freezes that are named.
const FREEZES_MAX: usize = 5;

/// When a change would go out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct When {
    /// What the calendar says now.
    pub calendar: Decision,
    /// The earliest moment at which it may start and has time to finish; none: none within the horizon.
    pub starts_at: Option<Timestamp>,
    /// Until when it may start in that window; none: it does not close within the horizon.
    pub starts_until: Option<Timestamp>,
    /// How long the longest rollout may take, the way back included, in seconds.
    pub needs_secs: u64,
    /// The freezes between now and then.
    pub freezes: Vec<FrozenStretch>,
    /// Who must agree first; none: nobody.
    pub approvals: Option<ApprovalsNeeded>,
    /// The holds that stop some of it: on everything, on a stack that changes, or on exactly what it changes to.
    pub holds: Vec<Hold>,
    /// The stacks that these stop; when they are all that changes, nothing starts.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub stopped: BTreeSet<StackName>,
    /// The overrides that let it pass windows, freezes and holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

/// Who must agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApprovalsNeeded {
    /// How many distinct people.
    pub count: u32,
    /// With one of these roles; none: anyone in `people`.
    pub roles: BTreeSet<RoleName>,
    /// May those who wrote the change be among them?
    pub authors: bool,
}

/// What is to go out.
pub(super) struct Extent<'a> {
    /// The longest time a stack may take, in milliseconds.
    pub(super) budget_ms: u64,
    /// What differs from what is released, and what of it is held.
    pub(super) comparison: &'a Comparison,
    /// The number that it would get.
    pub(super) number: Option<ReleaseNumber>,
    /// The contents that each stack would have, as far as they are known: as proposed with the lock's digests, and those
    /// of earlier releases that were written the same.
    pub(super) contents: BTreeMap<StackName, BTreeSet<ContentId>>,
}

impl Extent<'_> {
    fn changed(&self) -> BTreeSet<&StackName> {
        let open = self.comparison.candidate.iter().flat_map(|candidate| candidate.stacks.keys());
        open.chain(self.comparison.held.keys()).collect()
    }

    /// Does the hold stop a change of this stack?
    fn is_held(&self, hold: &Hold, stack: &StackName) -> bool {
        let is_it = |content: &ContentId| self.contents.get(stack).is_some_and(|contents| contents.contains(content));
        hold.stack.as_ref().is_none_or(|held| held == stack) && hold.content.as_ref().is_none_or(is_it)
    }
}

pub(super) fn when(input: &Input<'_>, environment: &Environment, running: Option<&Running>, extent: &Extent<'_>) -> When {
    let now = input.now;
    let lock = match running {
        Some(Running::Locked(locked)) => Some(&locked.lock),
        Some(Running::Branch { .. }) | None => None,
    };
    let standing = environment.standing(lock);
    let calendar = &standing.calendar;
    let needs_secs = extent.budget_ms.saturating_mul(2).div_ceil(1000);
    let openings = calendar.next_openings(now, OPENINGS_MAX);
    let place = openings.iter().find_map(|opening| Some((start_in(opening, now, needs_secs)?, opening)));
    let way = way(&standing, extent, now);
    let (starts_at, starts_until) = match place {
        _ if way.is_passed => (Some(now), way.overrides.iter().map(|given| given.until).min()),
        _ if way.is_stopped => (None, None),
        Some((start, opening)) => (Some(start), opening.starts_until),
        None => (None, None),
    };
    let until = starts_at.unwrap_or_else(|| after_days(now, 31));
    let freezes = calendar.frozen_stretches(now, until.max(now + SignedDuration::from_secs(1))).take(FREEZES_MAX).collect();
    let policy = match running {
        Some(Running::Locked(locked)) => locked.repo.environment(&environment.name).unwrap_or(environment),
        Some(Running::Branch { .. }) | None => environment,
    };
    let approvals = extent.comparison.candidate.as_ref().and_then(|_| approvals(policy));
    let (holds, stopped, overrides) = (way.holds, way.stopped, way.overrides);
    When { calendar: calendar.decide(now), starts_at, starts_until, needs_secs, freezes, approvals, holds, stopped, overrides }
}

/// What people put in the way, and what they let through.
struct Way {
    holds: Vec<Hold>,
    stopped: BTreeSet<StackName>,
    overrides: Vec<Override>,
    /// Everything that changes is let through.
    is_passed: bool,
    /// Everything that changes is held.
    is_stopped: bool,
}

fn way(standing: &Standing, extent: &Extent<'_>, now: Timestamp) -> Way {
    let changed = extent.changed();
    let in_force = standing.holds.iter().filter(|hold| hold.until.is_none_or(|until| now < until));
    // Where nothing changes, what holds everything is worth a word too.
    let holds: Vec<Hold> = in_force
        .filter(|hold| hold.stack.is_none() && hold.content.is_none() || changed.iter().any(|stack| extent.is_held(hold, stack)))
        .cloned()
        .collect();
    let passes = |given: &Override, stack: &StackName| extent.number.is_some() && given.passes(stack, extent.number, now);
    let overrides: Vec<Override> =
        standing.overrides.iter().filter(|given| changed.iter().any(|stack| passes(given, stack))).cloned().collect();
    let is_let = |stack: &StackName| overrides.iter().any(|given| passes(given, stack));
    let is_held = |stack: &StackName| {
        extent.comparison.held.contains_key(stack) || (!is_let(stack) && holds.iter().any(|hold| extent.is_held(hold, stack)))
    };
    let stopped: BTreeSet<StackName> = changed.iter().filter(|stack| is_held(stack)).map(|stack| (*stack).clone()).collect();
    let some = !changed.is_empty();
    Way {
        is_passed: some && changed.iter().all(|stack| is_let(stack) && !stopped.contains(*stack)),
        is_stopped: some && stopped.len() == changed.len(),
        holds,
        stopped,
        overrides,
    }
}

fn after_days(now: Timestamp, days: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MAX)
}

/// The earliest start in an opening that leaves time to finish, and to go back.
fn start_in(opening: &Opening, now: Timestamp, needs_secs: u64) -> Option<Timestamp> {
    let start = opening.opens.map_or(now, |opens| opens.max(now));
    let in_time = opening.starts_until.is_none_or(|until| start < until);
    let needs = i64::try_from(needs_secs).unwrap_or(i64::MAX);
    let fits = opening.closes.is_none_or(|closes| closes.as_second().saturating_sub(start.as_second()) >= needs);
    (in_time && fits).then_some(start)
}

/// The policy that is in force: a change cannot grant itself rights.
fn approvals(environment: &Environment) -> Option<ApprovalsNeeded> {
    match &environment.approvals {
        ApprovalPolicy::FollowTip | ApprovalPolicy::None => None,
        ApprovalPolicy::Required(rule) => {
            Some(ApprovalsNeeded { count: rule.count.max(1), roles: rule.roles.clone(), authors: rule.authors_may_approve })
        }
    }
}
