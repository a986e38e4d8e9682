//! A service: how its containers are run together. Nothing here replaces a container.

use super::{ContainerModel, is_default};
use crate::ids::ServiceName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A service: what its containers are, and how they are run together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// What each container is; the only part that decides whether a container is replaced.
    pub container: ContainerModel,
    /// How many containers.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub replicas: u32,
    /// Services to wait for, with the condition.
    #[serde(default, skip_serializing_if = "is_default")]
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// When to pull.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pull_policy: PullPolicy,
    /// `deploy.update_config`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub update: UpdateModel,
    /// `deploy.rollback_config`: the pace of the way back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollback: UpdateModel,
    /// `deploy.placement.constraints` on host labels, as `label == value` / `label != value`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub constraints: Vec<Constraint>,
    /// `deploy.labels`: of the service, not of its containers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// Our own knobs, `x-tidegate`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub release: ReleaseKnobs,
}

fn one() -> u32 {
    1
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(value: &u32) -> bool {
    *value == 1
}

impl Service {
    /// One copy of a container, everything else as if nothing were said.
    pub fn new(container: ContainerModel) -> Service {
        Service {
            container,
            replicas: 1,
            depends_on: BTreeMap::new(),
            pull_policy: PullPolicy::default(),
            update: UpdateModel::default(),
            rollback: UpdateModel::default(),
            constraints: Vec::new(),
            labels: BTreeMap::new(),
            release: ReleaseKnobs::default(),
        }
    }
}

/// What a service waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The state that the other service must have reached.
    pub condition: Condition,
    /// `required: false`: go on when the other service is not part of the desired state.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub required: bool,
}
fn yes() -> bool {
    true
}

/// `depends_on` conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its containers run.
    ServiceStarted,
    /// Its containers are healthy.
    ServiceHealthy,
    /// It ran once for this release and ended with 0.
    ServiceCompletedSuccessfully,
}

/// `pull_policy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// Pull what is not there (`missing`, `if_not_present`).
    #[default]
    Missing,
    /// Ask the registry each time a container is created.
    Always,
    /// Never: the image is on the host. Not resolved to a digest.
    Never,
}

/// `deploy.update_config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateModel {
    /// Containers replaced at a time; none: one.
    #[serde(skip_serializing_if = "is_default")]
    pub parallelism: Option<u32>,
    /// Pause between them, in milliseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub delay_ms: u64,
    /// `start-first` or `stop-first`; none: chosen by what the service allows.
    #[serde(skip_serializing_if = "is_default")]
    pub order: Option<UpdateOrder>,
    /// `monitor`: how long to watch each, in milliseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub monitor_ms: Option<u64>,
}

/// Which comes first when a container is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// The new one beside the old one.
    StartFirst,
    /// The old one goes before the new one comes.
    StopFirst,
}

/// A placement constraint on a host label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Constraint {
    /// The host label.
    pub label: String,
    /// `==` or `!=`.
    pub equal: bool,
    /// The value.
    pub value: String,
}

/// `x-tidegate` of a service. Times in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReleaseKnobs {
    /// How long a new container must stay healthy (or running, without a health check) before it counts.
    #[serde(skip_serializing_if = "is_default")]
    pub bake_ms: Option<u64>,
    /// How long a new container may take to become healthy.
    #[serde(skip_serializing_if = "is_default")]
    pub health_timeout_ms: Option<u64>,
}
