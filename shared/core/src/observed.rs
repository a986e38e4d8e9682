//! What an engine has, as far as it is ours: the input that the planner compares with what is desired.

use crate::compose::Protocol;
use crate::ids::{CommitId, ContentId, ReleaseNumber, ServiceName, StackName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything of ours on one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedHost {
    /// Containers that carry our label and this host's scope, by engine name.
    pub containers: BTreeMap<String, ObservedContainer>,
    /// Networks that carry our label and this host's scope, by engine name.
    pub networks: BTreeMap<String, ObservedNetwork>,
    /// Named volumes that carry our label and this host's scope, by engine name.
    pub volumes: BTreeSet<String>,
}

/// A container of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedContainer {
    /// Engine id.
    pub id: String,
    /// Stack it belongs to.
    pub stack: StackName,
    /// Service it belongs to.
    pub service: ServiceName,
    /// Which copy, from 1.
    pub replica: u32,
    /// Identity of what it was made from.
    pub hash: ContentId,
    /// The release that made it, if any.
    #[serde(default)]
    pub release: Option<ReleaseNumber>,
    /// The commit that its files come from.
    #[serde(default)]
    pub commit: Option<CommitId>,
    /// State.
    pub state: ContainerState,
    /// Health, if it has a check.
    #[serde(default)]
    pub health: Option<Health>,
    /// When it was started last.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// Image reference it runs.
    #[serde(default)]
    pub image: String,
    /// Ports of the host that it holds now.
    #[serde(default)]
    pub held_ports: BTreeSet<HeldPort>,
}

/// A port of the host that a running container holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeldPort {
    /// Port on the host.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

impl ObservedContainer {
    /// Is its main process running?
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running)
    }
}

/// State of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Running.
    Running,
    /// Frozen by somebody.
    Paused,
    /// The engine starts it again.
    Restarting,
    /// Ended with this code.
    Exited(i64),
    /// Being removed, or dead: only a removal helps.
    Gone,
}

/// Health of a container with a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not known yet.
    Starting,
    /// Good.
    Healthy,
    /// Bad.
    Unhealthy,
}

/// A network of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedNetwork {
    /// Stack it belongs to.
    pub stack: StackName,
}
