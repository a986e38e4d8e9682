//! The plan as data: steps, reasons, waits.

use crate::compose::{ImageRef, NetworkModel, PullPolicy, VolumeModel};
use crate::desired::{DesiredContainer, DesiredStack, StopFirstBecause};
use crate::ids::{ContentId, PersonName, ReleaseNumber, ServiceName, StackName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What to do on a host, and what waits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The stacks with something to do or something that waits, by name.
    pub stacks: Vec<StackPlan>,
    /// Identity of the whole plan.
    pub hash: ContentId,
}

impl Plan {
    /// Nothing to do? (Something may still wait.)
    pub fn is_empty(&self) -> bool {
        self.stacks.iter().all(|stack| stack.steps.is_empty() && stack.class.is_none_or(|c| c == OperationClass::Repair))
    }
}

/// The plan of one stack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StackPlan {
    /// The stack.
    pub stack: StackName,
    /// The class of what is done; none: nothing is done.
    pub class: Option<OperationClass>,
    /// The state the steps lead to; none: the stack is left alone.
    #[serde(skip)]
    pub target: Option<DesiredStack>,
    /// Why the newest offer is not (yet) the target.
    pub waiting: Option<Waiting>,
    /// What would have stopped it, had nobody given an override.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Overridden>,
    /// The steps, each after the ones it names.
    pub steps: Vec<Step>,
}

impl StackPlan {
    /// The containers that it stops.
    pub fn stops(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Stop { container, .. } => Some(container.as_str()),
            _ => None,
        })
    }

    /// What its steps use and do not make: it must be on the host before anything begins.
    pub fn externals(&self) -> impl Iterator<Item = External> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::CreateNetwork { name, network } if network.external => {
                Some(External { kind: ExternalKind::Network, name: name.clone() })
            }
            Action::CreateVolume { name, volume } if volume.external => Some(External { kind: ExternalKind::Volume, name: name.clone() }),
            _ => None,
        })
    }

    pub(super) fn is_silent(&self) -> bool {
        self.steps.is_empty() && self.waiting.is_none() && self.class.is_none_or(|class| class == OperationClass::Repair)
    }
}

/// Something on the host that a stack uses and somebody else makes: `external: true`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct External {
    /// What it is.
    pub kind: ExternalKind,
    /// Engine name.
    pub name: String,
}

/// What can be external.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExternalKind {
    /// A network.
    Network,
    /// A volume.
    Volume,
}

impl ExternalKind {
    /// The word for it, also in the engine's own commands.
    pub fn word(self) -> &'static str {
        match self {
            ExternalKind::Network => "network",
            ExternalKind::Volume => "volume",
        }
    }
}

/// An override that was used, and what it passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overridden {
    /// The code of the wait that it passed ([`Waiting::code`]).
    pub code: String,
    /// Who gave it.
    pub by: PersonName,
    /// Why.
    pub reason: String,
    /// When it ends by itself.
    pub until: Timestamp,
}

/// Class of an operation, decided by its content and not by who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationClass {
    /// Content that was never verified on this host.
    Release,
    /// Content that was verified on this host before.
    Rollback,
    /// The host differs from what is released to it.
    Repair,
    /// An attempt that is taken back.
    Abort,
}

/// One exact step. `id` counts from 0 within its stack plan; `after` names smaller ids only, so the list order is a valid order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Number within the stack plan.
    pub id: u32,
    /// Steps that must have succeeded before.
    pub after: Vec<u32>,
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Action {
    /// Have the image on the host.
    Pull {
        /// The image.
        image: ImageRef,
        /// When to ask the registry.
        policy: PullPolicy,
    },
    /// Create a network of ours; an external one must exist.
    CreateNetwork {
        /// Engine name.
        name: String,
        /// What it is.
        network: NetworkModel,
    },
    /// Create a volume of ours if it is missing; an external one must exist.
    CreateVolume {
        /// Engine name.
        name: String,
        /// What it is.
        volume: VolumeModel,
    },
    /// Create a container, not started.
    Create {
        /// The service it belongs to.
        service: ServiceName,
        /// What it is.
        container: Box<DesiredContainer>,
    },
    /// Start a container.
    Start {
        /// Engine name.
        container: String,
        /// The service it belongs to.
        service: ServiceName,
    },
    /// Wait until a container is ready: healthy, or running without a check, and stays so for `bake_ms`.
    AwaitReady {
        /// Engine name.
        container: String,
        /// The service it belongs to.
        service: ServiceName,
        /// Fails after this long, in milliseconds.
        timeout_ms: u64,
        /// Must stay ready this long, in milliseconds.
        bake_ms: u64,
    },
    /// Wait until a one-shot container has ended with 0.
    AwaitExit {
        /// Engine name.
        container: String,
        /// The service it belongs to.
        service: ServiceName,
        /// Fails after this long, in milliseconds.
        timeout_ms: u64,
    },
    /// Stop a container: signal, grace, kill.
    Stop {
        /// Engine name.
        container: String,
        /// The service it belongs to.
        service: ServiceName,
    },
    /// Remove a stopped container; anonymous volumes go with it, named ones never.
    Remove {
        /// Engine name.
        container: String,
        /// The service it belongs to.
        service: ServiceName,
    },
    /// Remove a network of ours.
    RemoveNetwork {
        /// Engine name.
        name: String,
    },
}

/// Why a step is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Reason {
    /// It is desired and missing.
    Missing,
    /// It differs from what is desired in these fields; values of the environment are named only by their keys where they may be secret.
    Changed {
        /// One entry per field, e.g. `image: web:1 → web:2`.
        fields: Vec<String>,
    },
    /// It should run and does not.
    NotRunning {
        /// The state it is in, in words.
        state: String,
    },
    /// Needed by a step that follows.
    Needed,
    /// Makes room for its successor.
    MakesRoom {
        /// Why both cannot stand side by side.
        because: StopFirstBecause,
    },
    /// Its successor is ready.
    Replaced,
    /// It carries our label and is not desired any more.
    NotDesired,
    /// One copy too many.
    ScaledDown,
}

/// Why a stack does not move on, with the next moment where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Waiting {
    /// The environment needs approvals and has no release yet.
    NoRelease,
    /// The config repo cannot be used as it is; what runs stays.
    ConfigRefused {
        /// What is wrong, one sentence with the file.
        cause: String,
    },
    /// No window is open.
    WindowClosed {
        /// The next opening; none: none within the horizon.
        opens_at: Option<Timestamp>,
        /// The rule that decided, by name.
        rule: String,
    },
    /// The window that this release waited for passed while nobody was looking: the host was off or asleep.
    MissedWindow {
        /// When it opened.
        opened_at: Timestamp,
        /// When it closed.
        closed_at: Timestamp,
        /// The next opening; none: none within the horizon.
        opens_at: Option<Timestamp>,
        /// The rule that decided, by name.
        rule: String,
    },
    /// A window has opened; this host starts a little later, so that not all hosts start at once.
    Splay {
        /// When it opened.
        opened_at: Timestamp,
        /// When this host starts.
        until: Timestamp,
    },
    /// A window is open, and what remains of it is too short.
    DoesNotFit {
        /// How long it may take, in seconds.
        needs_secs: u64,
        /// When the window closes.
        closes_at: Timestamp,
        /// The next opening.
        opens_at: Option<Timestamp>,
    },
    /// A freeze is in force.
    Frozen {
        /// The next moment at which a release may start; none: no known end.
        until: Option<Timestamp>,
        /// The freeze, by name.
        rule: String,
    },
    /// A person or the bot holds it.
    Held {
        /// Why.
        reason: String,
        /// Who; none: automation.
        by: Option<String>,
        /// Ends by itself then.
        until: Option<Timestamp>,
    },
    /// This content failed on this host before. It is not tried again until it differs or somebody resumes it.
    FailedHere {
        /// What went wrong then.
        cause: String,
        /// When.
        at: Timestamp,
        /// The release that failed.
        release: Option<ReleaseNumber>,
    },
    /// The host was rolled back by hand and git does not know yet.
    Diverged {
        /// Since when.
        since: Timestamp,
        /// Who or what did it.
        by: String,
    },
    /// Nothing is left of the stack in git; removing it waits for a person.
    RemovalHeld {
        /// How many containers would go.
        containers: u32,
    },
    /// The lock names another content than this agent computes from the same commit and digests.
    ContentMismatch {
        /// What the lock says.
        locked: ContentId,
        /// What this agent computes.
        computed: ContentId,
    },
    /// A repair is repeated; the next try is later.
    Backoff {
        /// When.
        until: Timestamp,
    },
    /// An external network or volume is not on the host. Nothing was begun, nothing failed; it is looked for again.
    ExternalMissing {
        /// What is missing.
        missing: External,
        /// When it is looked for again.
        until: Timestamp,
    },
    /// The clock cannot be trusted: closed for releases, open for repair.
    ClockUntrusted {
        /// What is wrong with it.
        cause: String,
    },
}

impl Waiting {
    /// Is it something that an override passes? Windows, cutoffs, freezes, too little time, holds: what people decided,
    /// not what is broken.
    pub fn can_be_overridden(&self) -> bool {
        match self {
            Waiting::WindowClosed { .. }
            | Waiting::MissedWindow { .. }
            | Waiting::Splay { .. }
            | Waiting::DoesNotFit { .. }
            | Waiting::Frozen { .. }
            | Waiting::Held { .. } => true,
            Waiting::NoRelease
            | Waiting::ConfigRefused { .. }
            | Waiting::FailedHere { .. }
            | Waiting::Diverged { .. }
            | Waiting::RemovalHeld { .. }
            | Waiting::ContentMismatch { .. }
            | Waiting::Backoff { .. }
            | Waiting::ExternalMissing { .. }
            | Waiting::ClockUntrusted { .. } => false,
        }
    }

    /// The stable code, as it stands in JSON, metrics and documents.
    pub fn code(&self) -> &'static str {
        match self {
            Waiting::NoRelease => "no_release",
            Waiting::ConfigRefused { .. } => "config_refused",
            Waiting::WindowClosed { .. } => "window_closed",
            Waiting::MissedWindow { .. } => "missed_window",
            Waiting::Splay { .. } => "splay",
            Waiting::DoesNotFit { .. } => "does_not_fit",
            Waiting::Frozen { .. } => "frozen",
            Waiting::Held { .. } => "held",
            Waiting::FailedHere { .. } => "failed_here",
            Waiting::Diverged { .. } => "diverged",
            Waiting::RemovalHeld { .. } => "removal_held",
            Waiting::ContentMismatch { .. } => "content_mismatch",
            Waiting::Backoff { .. } => "backoff",
            Waiting::ExternalMissing { .. } => "external_missing",
            Waiting::ClockUntrusted { .. } => "clock_untrusted",
        }
    }

    /// The next moment at which it may be different by itself.
    pub fn next_moment(&self) -> Option<Timestamp> {
        match self {
            Waiting::WindowClosed { opens_at, .. } | Waiting::MissedWindow { opens_at, .. } | Waiting::DoesNotFit { opens_at, .. } => {
                *opens_at
            }
            Waiting::Frozen { until, .. } | Waiting::Held { until, .. } => *until,
            Waiting::Backoff { until } | Waiting::Splay { until, .. } | Waiting::ExternalMissing { until, .. } => Some(*until),
            Waiting::NoRelease
            | Waiting::ConfigRefused { .. }
            | Waiting::FailedHere { .. }
            | Waiting::Diverged { .. }
            | Waiting::RemovalHeld { .. }
            | Waiting::ContentMismatch { .. }
            | Waiting::ClockUntrusted { .. } => None,
        }
    }
}
