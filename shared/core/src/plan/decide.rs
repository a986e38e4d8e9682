//! For each stack: which state to aim at, and why not another one.

use super::gates::{Asked, Gate};
use super::inputs::{Attempt, Offer, StackInputs};
use super::model::{OperationClass, Overridden, Waiting};
use crate::desired::DesiredStack;
use jiff::Timestamp;

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
    pub(super) overridden: Option<Overridden>,
}

/// Aim at the offer if it is new and nothing stops it, else at what is released.
pub(super) fn decide(stack: &StackInputs, gate: &Gate<'_>) -> Decision {
    match &stack.offer {
        Offer::Unknown(waiting) => stay(stack, waiting.clone()),
        Offer::Nothing(nothing) => decide_removal(stack, nothing, gate),
        Offer::Stack(offered) => decide_offer(stack, offered, gate),
    }
}

fn decide_offer(stack: &StackInputs, offered: &DesiredStack, gate: &Gate<'_>) -> Decision {
    let record = &stack.record;
    if record.released.as_ref().is_some_and(|released| released.desired.content == offered.content) {
        return on_released_content(stack, offered);
    }
    let was_good = record.verified.iter().any(|v| v.desired.content == offered.content) || record.known_good.contains(&offered.content);
    let class = if was_good { OperationClass::Rollback } else { OperationClass::Release };
    match passable(stack, offered, class, gate) {
        Err(waiting) => stay(stack, Some(waiting)),
        Ok(overridden) => Decision { target: Target::Stack(offered.clone()), class: Some(class), waiting: None, overridden },
    }
}

/// The content is the released one. Its placement on this host or its number may still differ: that is no release.
fn on_released_content(stack: &StackInputs, offered: &DesiredStack) -> Decision {
    let class = stack.record.attempt.as_ref().map(|_| OperationClass::Abort);
    Decision { target: Target::Stack(offered.clone()), class, waiting: None, overridden: None }
}

fn decide_removal(stack: &StackInputs, nothing: &DesiredStack, gate: &Gate<'_>) -> Decision {
    let class = OperationClass::Release;
    match passable(stack, nothing, class, gate) {
        Err(waiting) => stay(stack, Some(waiting)),
        Ok(overridden) => Decision { target: Target::Nothing(nothing.clone()), class: Some(class), waiting: None, overridden },
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
    Decision { target, class, waiting, overridden: None }
}

/// May this offer start now? Ok: it may, and which override let it. Err: what stops it.
fn passable(stack: &StackInputs, offered: &DesiredStack, class: OperationClass, gate: &Gate<'_>) -> Result<Option<Overridden>, Waiting> {
    let record = &stack.record;
    if let Some(diverged) = record.diverged.as_ref().filter(|d| d.to != offered.content) {
        return Err(Waiting::Diverged { since: diverged.since, by: diverged.by.clone() });
    }
    let continues =
        record.attempt.as_ref().is_some_and(|attempt| attempt.content == offered.content && attempt.may_still_end(offered, gate.now));
    let stop = match class {
        OperationClass::Rollback if continues => None,
        OperationClass::Rollback => gate.rollback_frozen(),
        OperationClass::Release | OperationClass::Repair | OperationClass::Abort => {
            if let Some(failed) = record.failed.iter().find(|failed| failed.content == offered.content) {
                return Err(Waiting::FailedHere { cause: failed.cause.clone(), at: failed.at, release: failed.release });
            }
            let held = gate.held(&stack.name, &offered.content);
            // A rollout that began may end after the window closed, but not against a hold.
            if continues { held } else { held.or_else(|| gate.fault()).or_else(|| gate.closed(offered)) }
        }
    };
    // What began under an override ends under it.
    let asked_at = record.attempt.as_ref().filter(|_| continues).map_or(gate.now, |attempt| attempt.started_at);
    stop.map(|stop| gate.pass(stop, offered, &Asked { at: asked_at, class, continues })).transpose()
}

impl Attempt {
    /// Is a rollout that began still within its budget? One that was cut off for longer, or that by this clock has not
    /// begun yet, asks the calendar again.
    pub fn may_still_end(&self, offered: &DesiredStack, now: Timestamp) -> bool {
        let budget_secs = i64::try_from(offered.budget_ms().saturating_mul(2).div_ceil(1000)).unwrap_or(i64::MAX);
        let ends_before = self.started_at.as_second().saturating_add(budget_secs);
        (self.started_at.as_second()..ends_before).contains(&now.as_second())
    }
}
