//! A stack after interpolation, merge and checks: the layer that cannot be wrong.
//!
//! Equal meaning is equal value: durations are milliseconds, sizes are bytes, lists that are sets are sorted, and
//! list and map forms have become one. Fields at their default are left out when serialised, so that the
//! identity of what exists does not change when the product learns a new attribute.

use crate::ids::{ContentId, Digest, RepoPath, ServiceName, StackName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Shorthand for `skip_serializing_if`.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A stack as one environment sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackModel {
    /// The stack's name: its folder below `stacks/`.
    pub name: StackName,
    /// Its services.
    pub services: BTreeMap<ServiceName, Service>,
    /// The networks that services use, by Compose key; always holds `default` when a service uses it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub networks: BTreeMap<String, NetworkModel>,
    /// The named volumes that services use, by Compose key.
    #[serde(default, skip_serializing_if = "is_default")]
    pub volumes: BTreeMap<String, VolumeModel>,
}

/// A network of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkModel {
    /// A fixed engine name instead of `<project>_<key>`.
    #[serde(skip_serializing_if = "is_default")]
    pub name: Option<String>,
    /// Exists already and is not ours.
    #[serde(skip_serializing_if = "is_default")]
    pub external: bool,
    /// `bridge` unless given.
    #[serde(skip_serializing_if = "is_default")]
    pub driver: Option<String>,
    /// Options for the driver.
    #[serde(skip_serializing_if = "is_default")]
    pub driver_opts: BTreeMap<String, String>,
    /// No way out.
    #[serde(skip_serializing_if = "is_default")]
    pub internal: bool,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
}

/// A named volume of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeModel {
    /// A fixed engine name instead of `<project>_<key>`.
    #[serde(skip_serializing_if = "is_default")]
    pub name: Option<String>,
    /// Exists already and is not ours.
    #[serde(skip_serializing_if = "is_default")]
    pub external: bool,
    /// `local` unless given.
    #[serde(skip_serializing_if = "is_default")]
    pub driver: Option<String>,
    /// Options for the driver. With the local driver these can be a bind mount in disguise.
    #[serde(skip_serializing_if = "is_default")]
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
}

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

/// An image reference as a person wrote it, with the digest once it is known.
///
/// Parsed and normalised: `nginx` is `docker.io/library/nginx:latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageRef {
    /// Registry host with port, e.g. `docker.io`, `127.0.0.1:5000`.
    pub registry: String,
    /// Repository, e.g. `library/nginx`.
    pub repository: String,
    /// Tag; `latest` when neither tag nor digest was written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tag: Option<String>,
    /// Digest, written by the person or filled in from the lock.
    #[serde(default, skip_serializing_if = "is_default")]
    pub digest: Option<Digest>,
}

impl ImageRef {
    /// The reference without digest, as the lock's `images` names it: `registry/repository:tag`.
    pub fn name(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{}/{}:{tag}", self.registry, self.repository),
            None => format!("{}/{}", self.registry, self.repository),
        }
    }

    /// What the engine is asked for: by digest when there is one, else by tag; Docker Hub in its short form.
    pub fn for_engine(&self) -> String {
        let repository = match self.registry.as_str() {
            "docker.io" => self.repository.strip_prefix("library/").unwrap_or(&self.repository).to_owned(),
            registry => format!("{registry}/{}", self.repository),
        };
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("{repository}@{digest}"),
            (None, Some(tag)) => format!("{repository}:{tag}"),
            (None, None) => format!("{repository}:latest"),
        }
    }

    /// Short form for people: last part of the repository, tag, shortened digest.
    pub fn for_people(&self) -> String {
        let last = self.repository.rsplit('/').next().unwrap_or(&self.repository);
        match (&self.tag, &self.digest) {
            (Some(tag), _) => format!("{last}:{tag}"),
            (None, Some(digest)) => format!("{last}@{}", digest.short()),
            (None, None) => last.to_owned(),
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

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

impl StackModel {
    /// The identity of the stack: everything that was decided, with the digests filled in so far.
    pub fn content(&self) -> ContentId {
        ContentId::of(self)
    }

    /// Fills in digests from a lock's `images` (by [`ImageRef::name`]); images already pinned stay as they are.
    #[must_use]
    pub fn pinned(mut self, images: &BTreeMap<String, Digest>) -> StackModel {
        for service in self.services.values_mut() {
            let image = &mut service.container.image;
            if image.digest.is_none() && service.pull_policy != PullPolicy::Never {
                image.digest = images.get(&image.name()).cloned();
            }
        }
        self
    }

    /// The images that a registry must resolve before this stack can be released, by [`ImageRef::name`].
    pub fn unresolved_images(&self) -> BTreeMap<String, ImageRef> {
        let open = |s: &&Service| s.container.image.digest.is_none() && s.pull_policy != PullPolicy::Never;
        self.services.values().filter(open).map(|s| (s.container.image.name(), s.container.image.clone())).collect()
    }
}
