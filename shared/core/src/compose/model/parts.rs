//! What a container is made of: its health check, ports, mounts and limits.

use super::is_default;
use crate::ids::{ContentId, RepoPath};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Health check. Times in milliseconds; none: the engine's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// What to run.
    pub test: HealthTest,
    /// Between checks; the engine's default is 30 s.
    #[serde(default, skip_serializing_if = "is_default")]
    pub interval_ms: Option<u64>,
    /// For one check; the engine's default is 30 s.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timeout_ms: Option<u64>,
    /// Failures in a row before it counts as unhealthy; the engine's default is 3.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retries: Option<u32>,
    /// Failures in this time after the start do not count.
    #[serde(default, skip_serializing_if = "is_default")]
    pub start_period_ms: Option<u64>,
    /// Between checks during the start period (newer engines only).
    #[serde(default, skip_serializing_if = "is_default")]
    pub start_interval_ms: Option<u64>,
}

/// What a health check runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthTest {
    /// `disable: true` or `test: NONE`.
    Disabled,
    /// The image's test with our timings.
    Inherit,
    /// `CMD`: a program with arguments.
    Cmd(Vec<String>),
    /// `CMD-SHELL`: one line for the shell.
    Shell(String),
}

/// Restart policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// `no`.
    #[default]
    No,
    /// `always`.
    Always,
    /// `unless-stopped`.
    UnlessStopped,
    /// `on-failure`, with the most attempts if given.
    OnFailure(Option<u32>),
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port {
    /// Port inside.
    pub target: u16,
    /// `tcp` or `udp`.
    pub protocol: Protocol,
    /// Port on the host; none: the engine picks one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub published: Option<u16>,
    /// Address on the host; none: all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub host_ip: Option<String>,
}

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// How a container is attached to a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// More names, beside the service's.
    #[serde(skip_serializing_if = "is_default")]
    pub aliases: BTreeSet<String>,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mount {
    /// Where, inside the container.
    pub target: String,
    /// What.
    pub source: MountSource,
    /// Not writable.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A named volume, by Compose key.
    Volume {
        /// Key in the stack's `volumes`.
        key: String,
    },
    /// A volume without a name, one per container.
    Anonymous,
    /// A path on the host. Outside the repo; the host's policy must allow it.
    Bind {
        /// Absolute path.
        path: String,
    },
    /// A file or folder of the config repo (relative binds, configs, file secrets): materialised by content.
    Repo {
        /// The file or folder.
        path: RepoPath,
        /// Identity of what is there: a change of content is a change of the container.
        content: ContentId,
    },
    /// Memory.
    Tmpfs {
        /// Size limit, in bytes.
        #[serde(default, skip_serializing_if = "is_default")]
        size_bytes: Option<u64>,
        /// Mode, e.g. 0o1777.
        #[serde(default, skip_serializing_if = "is_default")]
        mode: Option<u32>,
        /// More mount options: `exec`, `uid=1000`.
        #[serde(default, skip_serializing_if = "is_default")]
        options: BTreeSet<String>,
    },
}

/// A limit pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host.
    pub host: String,
    /// Path inside.
    pub container: String,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// Driver, e.g. `json-file`.
    pub driver: String,
    /// Its options.
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: BTreeMap<String, String>,
}
