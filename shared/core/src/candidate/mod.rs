//! What an environment has not released: its desired state at a commit compared with its lock.
//!
//! A lock pins digests, so contents are compared as people wrote them, without digests: a tag that moved at the
//! registry is no candidate, a changed file is. What failed or was rolled back is held by its content and is not
//! offered again, whatever commit brings it, until somebody resumes it or the content differs.

mod compare;
mod content;
mod identity;
#[cfg(test)]
mod tests;

pub use compare::compare;
pub use content::content_change;
pub use identity::plan_of;

use crate::compose::StackModel;
use crate::ids::{CommitId, ContentId, EnvironmentName, ReleaseNumber, ServiceName, StackName};
use crate::lock::{Hold, Lock};
use crate::repo::{ApprovalPolicy, Environment, Placement, Repo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An environment as the repo has it at a commit.
#[derive(Debug, Clone)]
pub struct Desired<'a> {
    /// The commit.
    pub commit: &'a CommitId,
    /// Placement and policy.
    pub environment: &'a Environment,
    /// The placed stacks without digests of ours.
    pub models: BTreeMap<&'a StackName, &'a StackModel>,
}

impl<'a> Desired<'a> {
    /// The environment at a commit; none: the repo does not name it there.
    pub fn of(repo: &'a Repo, environment: &EnvironmentName, commit: &'a CommitId) -> Option<Desired<'a>> {
        let environment = repo.environment(environment)?;
        let models = repo.stacks.iter().filter(|((of, _), _)| *of == environment.name).map(|((_, stack), model)| (stack, model)).collect();
        Some(Desired { commit, environment, models })
    }
}

/// What an environment has released, with the files that its lock points to.
#[derive(Debug, Clone)]
pub struct Released<'a> {
    /// The lock.
    pub lock: &'a Lock,
    /// Placement and policy at the lock's commit; none: it cannot be read there any more, and counts as different.
    pub environment: Option<&'a Environment>,
    /// The locked stacks as they are at their commits, without digests; one that cannot be read counts as different.
    pub models: &'a BTreeMap<StackName, StackModel>,
    /// The held contents, each as it was when it was released, without digests.
    pub held: &'a BTreeMap<ContentId, StackModel>,
}

/// What differs from the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// What may be released.
    pub candidate: Option<Candidate>,
    /// What differs and is held.
    pub held: BTreeMap<StackName, HeldChange>,
}

/// What the branch holds for an environment and the environment has not released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The environment.
    pub environment: EnvironmentName,
    /// The commit.
    pub commit: CommitId,
    /// Identity of the environment's desired state, the held stacks left as they are.
    pub plan: ContentId,
    /// The stacks that change.
    pub stacks: BTreeMap<StackName, StackChange>,
    /// The approval policy changes with this release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyChange>,
}

/// A new approval policy. It counts once it is released: a change cannot grant itself rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// In force.
    pub from: ApprovalPolicy,
    /// In force after the release.
    pub to: ApprovalPolicy,
}

/// What happens to a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackChange {
    /// Added, removed or changed.
    pub kind: ChangeKind,
    /// The release that brought what is locked now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_release: Option<ReleaseNumber>,
    /// Services that differ.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<ServiceName, ServiceChange>,
    /// Other hosts than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementChange>,
}

/// Kind of a stack's change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is not in the lock.
    Added,
    /// It is not placed any more.
    Removed,
    /// Its content differs.
    Changed,
    /// Only its hosts differ.
    Moved,
}

/// What happens to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// Its image for people; none: it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its new image for people; none: it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What differs, field by field; values that may be secret are not in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// Other hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementChange {
    /// Labels asked for until now.
    pub from: Placement,
    /// Labels asked for from now on.
    pub to: Placement,
}

/// A change that a hold stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldChange {
    /// What would happen.
    pub change: StackChange,
    /// What stops it.
    pub hold: Hold,
}
