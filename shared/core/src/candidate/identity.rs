//! The identity of what an environment wants: what people approve, and what a lock names as its plan.

use super::{Desired, Released};
use crate::compose::StackModel;
use crate::ids::{ContentId, EnvironmentName, StackName};
use crate::repo::{ApprovalPolicy, Environment, Placement};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Serialize)]
struct PlannedStack<'a> {
    placement: Option<&'a Placement>,
    content: Option<ContentId>,
}

#[derive(Serialize)]
struct Planned<'a> {
    environment: &'a EnvironmentName,
    approvals: &'a ApprovalPolicy,
    stacks: BTreeMap<&'a StackName, PlannedStack<'a>>,
}

/// The identity of the environment's desired state if everything but the stacks in `stays` moves to `desired`.
pub(super) fn plan_after<'a>(desired: &Desired<'a>, released: Option<&Released<'a>>, stays: &BTreeSet<&StackName>) -> ContentId {
    let mut models: BTreeMap<&StackName, Option<&StackModel>> =
        desired.models.iter().filter(|(name, _)| !stays.contains(*name)).map(|(name, model)| (*name, Some(*model))).collect();
    if let Some(released) = released {
        let kept = released.lock.stacks.keys().filter(|name| stays.contains(*name));
        models.extend(kept.map(|name| (name, released.models.get(name))));
    }
    plan_id(desired.environment, &models)
}

/// The identity of what a lock says, in the same terms as a candidate's plan; `environment` is as it is at the lock's commit.
pub fn plan_of(environment: &Environment, models: &BTreeMap<StackName, StackModel>) -> ContentId {
    plan_id(environment, &models.iter().map(|(name, model)| (name, Some(model))).collect())
}

fn plan_id(environment: &Environment, models: &BTreeMap<&StackName, Option<&StackModel>>) -> ContentId {
    let stacks = models
        .iter()
        .map(|(name, model)| (*name, PlannedStack { placement: environment.stacks.get(*name), content: model.map(StackModel::content) }))
        .collect();
    ContentId::of(&Planned { environment: &environment.name, approvals: &environment.approvals, stacks })
}
