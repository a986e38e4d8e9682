//! What a container is: the only part of a service that decides whether a container is replaced.

use super::{Attachment, Device, HealthTest, Healthcheck, ImageRef, Logging, Mount, Port, Restart, Ulimit, is_default};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that makes a container what it is. Two equal values need no replacement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerModel {
    /// The image.
    pub image: ImageRef,
    /// Arguments (or the command), one element each.
    #[serde(default, skip_serializing_if = "is_default")]
    pub command: Option<Vec<String>>,
    /// The entry point; an empty list clears the image's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub entrypoint: Option<Vec<String>>,
    /// Environment variables, env files already merged in. A value may be secret: never print it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub environment: BTreeMap<String, String>,
    /// Working directory.
    #[serde(default, skip_serializing_if = "is_default")]
    pub working_dir: Option<String>,
    /// User, with or without group.
    #[serde(default, skip_serializing_if = "is_default")]
    pub user: Option<String>,
    /// Host name inside.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hostname: Option<String>,
    /// A fixed name instead of ours.
    #[serde(default, skip_serializing_if = "is_default")]
    pub container_name: Option<String>,
    /// The user's labels (`labels`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// An init as PID 1.
    #[serde(default, skip_serializing_if = "is_default")]
    pub init: Option<bool>,
    /// A read-only root.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Signal to stop with; none: the image's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop_signal: Option<String>,
    /// Time from stop signal to kill, in milliseconds; none: 10 s.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop_grace_period_ms: Option<u64>,
    /// Health check; none: the image's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub healthcheck: Option<Healthcheck>,
    /// Restart policy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restart: Restart,
    /// Published ports, ranges expanded, sorted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ports: Vec<Port>,
    /// Exposed ports, `port/protocol`, sorted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expose: BTreeSet<String>,
    /// Networks by Compose key.
    #[serde(default, skip_serializing_if = "is_default")]
    pub networks: BTreeMap<String, Attachment>,
    /// Mounts, sorted by target.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mounts: Vec<Mount>,
    /// Extra entries for `/etc/hosts`, `name:address`, sorted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub extra_hosts: BTreeSet<String>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dns: Vec<String>,
    /// Limits by name: soft, hard.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Capabilities added.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cap_add: BTreeSet<String>,
    /// Capabilities dropped.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cap_drop: BTreeSet<String>,
    /// Security options.
    #[serde(default, skip_serializing_if = "is_default")]
    pub security_opt: BTreeSet<String>,
    /// Devices.
    #[serde(default, skip_serializing_if = "is_default")]
    pub devices: Vec<Device>,
    /// Size of `/dev/shm`, in bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shm_size_bytes: Option<u64>,
    /// Kernel parameters.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sysctls: BTreeMap<String, String>,
    /// Logging driver and its options.
    #[serde(default, skip_serializing_if = "is_default")]
    pub logging: Option<Logging>,
    /// Memory limit, in bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory_bytes: Option<u64>,
    /// Memory reservation, in bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory_reservation_bytes: Option<u64>,
    /// CPU limit, in billionths of a core.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nano_cpus: Option<u64>,
    /// Most processes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pids_limit: Option<i64>,
    /// Variables above that come from env files.
    #[serde(skip)]
    pub unshown: Unshown,
}

/// Names of variables whose values are never shown to anyone. Where a value stands is no part of what a container is, so
/// any two of these are equal.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unshown(pub BTreeSet<String>);

impl Unshown {
    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Unshown {
    fn eq(&self, _other: &Unshown) -> bool {
        true
    }
}

impl Eq for Unshown {}

impl ContainerModel {
    /// A container with an image and nothing else.
    pub fn new(image: ImageRef) -> ContainerModel {
        ContainerModel {
            image,
            command: None,
            entrypoint: None,
            environment: BTreeMap::new(),
            working_dir: None,
            user: None,
            hostname: None,
            container_name: None,
            labels: BTreeMap::new(),
            init: None,
            read_only: false,
            stop_signal: None,
            stop_grace_period_ms: None,
            healthcheck: None,
            restart: Restart::No,
            ports: Vec::new(),
            expose: BTreeSet::new(),
            networks: BTreeMap::new(),
            mounts: Vec::new(),
            extra_hosts: BTreeSet::new(),
            dns: Vec::new(),
            ulimits: BTreeMap::new(),
            cap_add: BTreeSet::new(),
            cap_drop: BTreeSet::new(),
            security_opt: BTreeSet::new(),
            devices: Vec::new(),
            shm_size_bytes: None,
            sysctls: BTreeMap::new(),
            logging: None,
            memory_bytes: None,
            memory_reservation_bytes: None,
            nano_cpus: None,
            pids_limit: None,
            unshown: Unshown::default(),
        }
    }
}

impl ContainerModel {
    /// May an end with 0 be its end, and not a reason to start it again? Not when its restart policy says otherwise,
    /// and not when it serves something: a server that was stopped ends with 0 too.
    pub fn may_end(&self) -> bool {
        let serves = !self.ports.is_empty()
            || !self.expose.is_empty()
            || self.healthcheck.as_ref().is_some_and(|check| check.test != HealthTest::Disabled);
        matches!(self.restart, Restart::No | Restart::OnFailure(_)) && !serves
    }
}
