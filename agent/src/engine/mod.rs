//! The engine as the agent needs it: a trait with two implementations, a real Docker Engine and a simulated one.
//!
//! Every call is idempotent: it says what must be so afterwards, and succeeds when it already is. Names are engine
//! names. Every call has a deadline of its own; none blocks the runtime.

pub mod simulated;

use jiff::Timestamp;
use std::future::Future;
use tidegate_core::compose::{ImageRef, NetworkModel, PullPolicy, VolumeModel};
use tidegate_core::desired::DesiredContainer;
use tidegate_core::ids::{CommitId, ReleaseNumber, ServiceName, StackName};
use tidegate_core::observed::{ContainerState, Health, ObservedHost};
use tidegate_core::plan::External;

/// What a container belongs to; becomes labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Belongs {
    /// Stack.
    pub stack: StackName,
    /// Compose project.
    pub project: String,
    /// Service.
    pub service: ServiceName,
    /// Release, if a lock named one.
    pub release: Option<ReleaseNumber>,
    /// Commit its files come from.
    pub commit: CommitId,
}

/// One container, looked at closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView {
    /// State.
    pub state: ContainerState,
    /// Health, if it has a check.
    pub health: Option<Health>,
    /// How often the engine restarted it.
    pub restarts: u32,
    /// When it was started last.
    pub started_at: Option<Timestamp>,
}

/// What a failing container left behind, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastWords {
    /// Last lines of its output (at most 20, each at most 400 bytes, control characters replaced), then of its health log.
    pub lines: Vec<String>,
}

/// The engine itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// e.g. `20.10.24`.
    pub version: String,
    /// API version that was agreed on, e.g. `1.41`.
    pub api: String,
}

/// Why the engine did not do it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No answer: not a verdict on what was asked; try again later.
    #[error("the container engine does not answer while trying to {tried}")]
    Unreachable {
        /// e.g. `list containers`.
        tried: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("the container engine took longer than {limit_secs} s to {tried}")]
    TimedOut {
        /// e.g. `start shop-web-1`.
        tried: String,
        /// The limit, in seconds.
        limit_secs: u64,
    },
    /// A registry could not be asked: not a verdict on the image; try again later.
    #[error("could not pull {image}: {cause}")]
    Pull {
        /// The image.
        image: String,
        /// The registry's or engine's words.
        cause: String,
        /// The registry answered that there is no such image (or no right to it): trying again does not help.
        is_verdict: bool,
    },
    /// It tried and could not, for a cause that says nothing about what was asked (disk full, shutting down, our own
    /// files missing): try again later.
    #[error("the container engine could not {tried}: {cause}")]
    Unable {
        /// e.g. `create shop-web-1`.
        tried: String,
        /// The engine's words, or ours.
        cause: String,
    },
    /// An external network or volume is not on the host: says nothing about the release, somebody has to make it.
    #[error("the external {} {} is not on this host; create it with `docker {} create {}`", .0.kind.word(), .0.name, .0.kind.word(), .0.name)]
    Missing(External),
    /// The engine said no: trying the same again does not help.
    #[error("the container engine refused to {tried}: {cause}")]
    Refused {
        /// e.g. `create shop-web-1`.
        tried: String,
        /// The engine's words.
        cause: String,
    },
}

impl EngineError {
    /// Does it say something about the release (`failed`), or only that it could not be done now (`error`)?
    pub fn is_verdict(&self) -> bool {
        match self {
            EngineError::Refused { .. } => true,
            EngineError::Pull { is_verdict, .. } => *is_verdict,
            EngineError::Unreachable { .. } | EngineError::TimedOut { .. } | EngineError::Unable { .. } | EngineError::Missing(_) => false,
        }
    }
}

/// A container engine, seen through one agent's scope: it lists and touches only what carries the scope's label.
pub trait Engine: Send + Sync + 'static {
    /// Version; also the cheapest way to know whether it answers.
    fn info(&self) -> impl Future<Output = Result<EngineInfo, EngineError>> + Send;
    /// Everything of ours, in one or few list calls.
    fn observe(&self) -> impl Future<Output = Result<ObservedHost, EngineError>> + Send;
    /// Has the image on the host, by digest where there is one; asks the registry only if the policy needs it.
    fn pull(&self, image: &ImageRef, policy: PullPolicy) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Is this on the host, whoever made it?
    fn has(&self, external: &External) -> impl Future<Output = Result<bool, EngineError>> + Send;
    /// Creates a network of ours; checks that an external one exists.
    fn create_network(&self, name: &str, network: &NetworkModel, stack: &StackName)
    -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Creates a volume of ours; checks that an external one exists.
    fn create_volume(&self, name: &str, volume: &VolumeModel, stack: &StackName) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Creates a container, not started.
    fn create(&self, container: &DesiredContainer, belongs: &Belongs) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Starts a container.
    fn start(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Stops a container: its signal, its grace period, then kill.
    fn stop(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Removes a container with its anonymous volumes.
    fn remove(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Removes a network; retries while the engine still sees endpoints.
    fn remove_network(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Looks at one container; none: it is not there.
    fn inspect(&self, name: &str) -> impl Future<Output = Result<Option<ContainerView>, EngineError>> + Send;
    /// What a failing container said last.
    fn last_words(&self, name: &str) -> impl Future<Output = LastWords> + Send;
    /// Waits until something of ours changed (a container died, became healthy or unhealthy, was removed, …).
    /// Carries no data: the turn looks again. Ends with an error when the engine's event stream breaks; the next call
    /// opens it again.
    ///
    /// Everything that happens after this *call* counts, even before the future is first polled. So call it, then
    /// look, then await it: nothing is missed in between.
    fn changed(&self) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// The same for one container.
    fn container_changed(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
}
