//! When a change would go out: the calendar as it would be after the merge, the people who must agree, the holds.

use super::{Input, Running};
use crate::calendar::{Decision, FrozenStretch, Opening};
use crate::candidate::Candidate;
use crate::ids::RoleName;
use crate::lock::Hold;
use crate::repo::{ApprovalPolicy, Environment};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::BTreeSet;

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
    /// The holds that stop some of it.
    pub holds: Vec<Hold>,
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
    pub(super) candidate: Option<&'a Candidate>,
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
    let (starts_at, starts_until) = match place {
        Some((start, opening)) => (Some(start), opening.starts_until),
        None => (None, None),
    };
    let until = starts_at.unwrap_or_else(|| after_days(now, 31));
    let freezes = calendar.frozen_stretches(now, until.max(now + SignedDuration::from_secs(1))).take(FREEZES_MAX).collect();
    let policy = match running {
        Some(Running::Locked(locked)) => locked.repo.environment(&environment.name).unwrap_or(environment),
        Some(Running::Branch { .. }) | None => environment,
    };
    let approvals = extent.candidate.and_then(|_| approvals(policy));
    let holds = standing.holds.iter().filter(|hold| hold.until.is_none_or(|until| now < until)).cloned().collect();
    When { calendar: calendar.decide(now), starts_at, starts_until, needs_secs, freezes, approvals, holds }
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
