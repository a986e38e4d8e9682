//! For each stack: which state to aim at, and why not another one.

use super::model::{OperationClass, StackPlan, Waiting};
use crate::calendar::{Decision as CalendarDecision, State as CalendarState};
use crate::desired::DesiredStack;
use crate::ids::{ContentId, ReleaseNumber, StackName};
use crate::lock::Hold;
use crate::observed::ObservedHost;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a turn knows.
#[derive(Debug, Clone)]
pub struct HostInputs<'a> {
    /// Every stack that is offered, recorded or observed here.
    pub stacks: BTreeMap<StackName, StackInputs>,
    /// What the engine has.
    pub observed: &'a ObservedHost,
    /// What gates releases.
    pub gates: Gates,
}

/// What is known of one stack.
#[derive(Debug, Clone)]
pub struct StackInputs {
    /// The stack.
    pub name: StackName,
    /// What git offers.
    pub offer: Offer,
    /// What this host remembers.
    pub record: StackRecord,
}

/// What git offers for a stack on this host.
#[derive(Debug, Clone)]
pub enum Offer {
    /// This state.
    Stack(Box<DesiredStack>),
    /// The stack is not placed here (any more).
    Nothing(Box<DesiredStack>),
    /// It cannot be told (no release yet, broken config, lock not understood): stay as you are.
    Unknown(Option<Waiting>),
}

/// What gates releases in this turn.
#[derive(Debug, Clone)]
pub struct Gates {
    /// What the calendar says now.
    pub calendar: CalendarDecision,
    /// Holds in the lock.
    pub holds: Vec<Hold>,
    /// The clock cannot be trusted, and why.
    pub clock_fault: Option<String>,
    /// The newest calendar cannot be read, and why: the last valid one is in force, and closed for releases.
    pub calendar_fault: Option<String>,
}

/// What a host remembers of a stack.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StackRecord {
    /// What runs here by right.
    pub released: Option<Released>,
    /// Earlier verified releases, newest first, without the one above.
    pub verified: Vec<Released>,
    /// A rollout that began and has not ended.
    pub attempt: Option<Attempt>,
    /// Contents that failed here.
    pub failed: Vec<FailedContent>,
    /// Rolled back by hand, git does not know yet.
    pub diverged: Option<Diverged>,
    /// Containers that operations under way stop, by engine name. Without it an end with 0 that we caused could not be
    /// told from the end of a job, and what was stopped to make room would never come back.
    pub stopping: BTreeSet<String>,
}

impl StackRecord {
    /// Notes what a plan stops. Must be durable before the plan is carried out, and is cleared once nothing is left to
    /// do. Returns whether there is anything new to write.
    pub fn will_stop(&mut self, plan: &StackPlan) -> bool {
        let before = self.stopping.len();
        self.stopping.extend(plan.stops().map(str::to_owned));
        self.stopping.len() > before
    }
}

/// A release on this host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Released {
    /// Its number, if a lock named one.
    pub release: Option<ReleaseNumber>,
    /// All of it, so that it can be restored without git.
    pub desired: DesiredStack,
    /// When it was verified here.
    pub verified_at: Timestamp,
}

/// A rollout that began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its content.
    pub content: ContentId,
    /// Its release number.
    pub release: Option<ReleaseNumber>,
    /// When it began.
    pub started_at: Timestamp,
    /// Its class.
    pub class: OperationClass,
}

/// A content that failed here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedContent {
    /// The content.
    pub content: ContentId,
    /// Its release number.
    pub release: Option<ReleaseNumber>,
    /// What went wrong.
    pub cause: String,
    /// When.
    pub at: Timestamp,
}

/// A rollback by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diverged {
    /// The content that was left.
    pub from: ContentId,
    /// What runs instead.
    pub to: ContentId,
    /// Since when.
    pub since: Timestamp,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Where to go.
#[derive(Debug)]
pub(super) enum Target {
    /// To this state.
    Stack(DesiredStack),
    /// To nothing.
    Nothing(DesiredStack),
    /// Touch nothing.
    Leave,
}

/// The decision for a stack.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) target: Target,
    pub(super) class: Option<OperationClass>,
    pub(super) waiting: Option<Waiting>,
}

/// Aim at the offer if it is new and nothing stops it, else at what is released.
pub(super) fn decide(stack: &StackInputs, gates: &Gates, now: Timestamp) -> Decision {
    match &stack.offer {
        Offer::Unknown(waiting) => stay(stack, waiting.clone()),
        Offer::Nothing(nothing) => decide_removal(stack, nothing, gates, now),
        Offer::Stack(offered) => decide_offer(stack, offered, gates, now),
    }
}

fn decide_offer(stack: &StackInputs, offered: &DesiredStack, gates: &Gates, now: Timestamp) -> Decision {
    let record = &stack.record;
    if record.released.as_ref().is_some_and(|released| released.desired.content == offered.content) {
        return on_released_content(stack, offered);
    }
    let class = if record.verified.iter().any(|v| v.desired.content == offered.content) {
        OperationClass::Rollback
    } else {
        OperationClass::Release
    };
    match blocked(stack, offered, class, gates, now) {
        Some(waiting) => stay(stack, Some(waiting)),
        None => Decision { target: Target::Stack(offered.clone()), class: Some(class), waiting: None },
    }
}

/// The content is the released one. Its placement on this host or its number may still differ: that is no release.
fn on_released_content(stack: &StackInputs, offered: &DesiredStack) -> Decision {
    let class = stack.record.attempt.as_ref().map(|_| OperationClass::Abort);
    Decision { target: Target::Stack(offered.clone()), class, waiting: None }
}

fn decide_removal(stack: &StackInputs, nothing: &DesiredStack, gates: &Gates, now: Timestamp) -> Decision {
    match blocked(stack, nothing, OperationClass::Release, gates, now) {
        Some(waiting) => stay(stack, Some(waiting)),
        None => Decision { target: Target::Nothing(nothing.clone()), class: Some(OperationClass::Release), waiting: None },
    }
}

/// Stay at (or go back to) what is released; with nothing released, an attempt that began is taken back.
fn stay(stack: &StackInputs, waiting: Option<Waiting>) -> Decision {
    let record = &stack.record;
    let class = record.attempt.as_ref().map(|_| OperationClass::Abort);
    let target = match (&record.released, &record.attempt, &stack.offer) {
        (Some(released), _, _) => Target::Stack(released.desired.clone()),
        (None, Some(_), Offer::Stack(offered)) => {
            let source = crate::desired::Source { commit: offered.commit.clone(), release: offered.release };
            Target::Nothing(DesiredStack::nothing(offered.stack.clone(), offered.project.clone(), &source))
        }
        (None, _, _) => Target::Leave,
    };
    Decision { target, class, waiting }
}

/// What stops this offer now, if anything.
fn blocked(stack: &StackInputs, offered: &DesiredStack, class: OperationClass, gates: &Gates, now: Timestamp) -> Option<Waiting> {
    let record = &stack.record;
    if let Some(diverged) = record.diverged.as_ref().filter(|d| d.to != offered.content) {
        return Some(Waiting::Diverged { since: diverged.since, by: diverged.by.clone() });
    }
    let continues =
        record.attempt.as_ref().is_some_and(|attempt| attempt.content == offered.content && may_still_end(attempt, offered, now));
    if class == OperationClass::Rollback {
        return if continues { None } else { rollback_frozen(gates) };
    }
    if let Some(failed) = record.failed.iter().find(|failed| failed.content == offered.content) {
        return Some(Waiting::FailedHere { cause: failed.cause.clone(), at: failed.at, release: failed.release });
    }
    if let Some(hold) = gates.holds.iter().find(|hold| hold.stops(&stack.name, &offered.content, now)) {
        return Some(Waiting::Held { reason: hold.reason.clone(), by: hold.by.as_ref().map(ToString::to_string), until: hold.until });
    }
    if continues { None } else { closed(offered, gates, now) }
}

/// Windows never stop a rollback, and a freeze only if it says so.
fn rollback_frozen(gates: &Gates) -> Option<Waiting> {
    let blocked = gates.calendar.rollback.as_ref()?;
    Some(Waiting::Frozen { until: blocked.until, rule: blocked.rule.name.clone() })
}

/// Is a rollout that began still within its budget? One that was cut off for longer asks the calendar again.
fn may_still_end(attempt: &Attempt, offered: &DesiredStack, now: Timestamp) -> bool {
    let budget_secs = i64::try_from(offered.budget_ms().saturating_mul(2).div_ceil(1000)).unwrap_or(i64::MAX);
    now.as_second() < attempt.started_at.as_second().saturating_add(budget_secs)
}

/// Is the calendar against a start now? A rollout that began may end.
fn closed(offered: &DesiredStack, gates: &Gates, now: Timestamp) -> Option<Waiting> {
    if let Some(cause) = &gates.clock_fault {
        return Some(Waiting::ClockUntrusted { cause: cause.clone() });
    }
    if let Some(cause) = &gates.calendar_fault {
        return Some(Waiting::ConfigRefused { cause: cause.clone() });
    }
    let calendar = &gates.calendar;
    match calendar.state {
        CalendarState::Frozen => Some(Waiting::Frozen { until: calendar.next_start, rule: calendar.rule.name.clone() }),
        CalendarState::Closed | CalendarState::Closing => {
            Some(Waiting::WindowClosed { opens_at: calendar.next_start, rule: calendar.rule.name.clone() })
        }
        CalendarState::Open => does_not_fit(offered, calendar, now),
    }
}

/// Fit before start: the way there and the way back must both end before the window does.
fn does_not_fit(offered: &DesiredStack, calendar: &CalendarDecision, now: Timestamp) -> Option<Waiting> {
    let closes_at = calendar.open_until?;
    let needs_secs = offered.budget_ms().saturating_mul(2).div_ceil(1000);
    let left_secs = u64::try_from(closes_at.as_second().saturating_sub(now.as_second())).unwrap_or(0);
    (needs_secs > left_secs).then_some(Waiting::DoesNotFit { needs_secs, closes_at, opens_at: None })
}
