//! Deciding: `plan(desired, observed, gates, now) -> Plan`. Pure, deterministic, and empty once it has been applied.
//!
//! `decide` says for each stack which state to aim at and why not another one; `steps` says how to get there.
//! The executor is left no choice: a plan is a list of exact steps, each with the steps it comes after.

mod changes;
mod decide;
mod gates;
mod inputs;
mod model;
mod steps;

pub use changes::changes;
pub use gates::{Gates, PULL_ALLOWANCE_SECS, Splay, Unwatched};
pub use inputs::{Attempt, Diverged, FailedContent, HostInputs, Offer, Released, StackInputs, StackRecord};
pub use model::*;

use crate::desired::DesiredStack;
use crate::ids::ContentId;
use gates::Gate;
use jiff::Timestamp;

/// Plans one host: for each stack what to aim at, the steps, and what waits.
pub fn plan(inputs: &HostInputs<'_>, now: Timestamp) -> Plan {
    let gate = Gate::at(&inputs.gates, now);
    let mut stacks: Vec<StackPlan> = inputs.stacks.values().map(|stack| plan_stack(inputs, stack, &gate)).collect();
    stacks.retain(|stack| !stack.is_silent());
    let hash = ContentId::of(&stacks);
    Plan { stacks, hash }
}

/// Would a stack still go where a plan of a moment ago leads? Asked before something new begins: a stack that waited for
/// its turn behind others must not start on gates that have closed meanwhile.
pub fn still_goes(planned: &StackPlan, stack: &StackInputs, gates: &Gates, now: Timestamp) -> bool {
    let decision = decide::decide(stack, &Gate::at(gates, now));
    let content = match &decision.target {
        decide::Target::Stack(desired) | decide::Target::Nothing(desired) => Some(&desired.content),
        decide::Target::Leave => None,
    };
    let same_target = content == planned.target.as_ref().map(|target| &target.content);
    same_target && decision.class == planned.class && decision.overridden == planned.overridden
}

fn plan_stack(inputs: &HostInputs<'_>, stack: &StackInputs, gate: &Gate<'_>) -> StackPlan {
    let decision = decide::decide(stack, gate);
    let nothing: DesiredStack;
    let target = match &decision.target {
        decide::Target::Stack(desired) => desired,
        decide::Target::Leave => {
            let (stack, waiting) = (stack.name.clone(), decision.waiting);
            return StackPlan { stack, class: None, target: None, waiting, overridden: None, steps: Vec::new() };
        }
        decide::Target::Nothing(desired) => {
            nothing = desired.clone();
            &nothing
        }
    };
    let from = stack.record.released.as_ref().map(|released| &released.desired);
    let start = steps::Start { from, observed: inputs.observed, class: decision.class, stopping: &stack.record.stopping };
    let steps = steps::steps(target, &start);
    let class = decision.class.or_else(|| (!steps.is_empty()).then_some(OperationClass::Repair));
    let (waiting, overridden) = (decision.waiting, decision.overridden);
    StackPlan { stack: stack.name.clone(), class, target: Some(target.clone()), waiting, overridden, steps }
}
