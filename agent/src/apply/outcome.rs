//! How a run ended, and what is told while it runs. The words for people about failing containers are here.

use crate::engine::{EngineError, LastWords};
use tidegate_core::ids::ServiceName;
use tidegate_core::observed::{ContainerState, Health};
use tidegate_core::plan::{StackPlan, Step};

/// How a run ended.
#[derive(Debug)]
pub enum ApplyOutcome {
    /// Every step succeeded.
    Done,
    /// A check said no: a verdict on what was rolled out.
    Failed(Failure),
    /// It could not be done or checked now; says nothing about what was rolled out.
    Error {
        /// The step.
        step: u32,
        /// The service it was for, if it was for one.
        service: Option<ServiceName>,
        /// The cause.
        error: EngineError,
    },
    /// Ended early because it was told to.
    Stopped,
}

/// What went wrong.
#[derive(Debug)]
pub struct Failure {
    /// The step.
    pub step: u32,
    /// The service to blame, if one is.
    pub service: Option<ServiceName>,
    /// The cause.
    pub cause: Cause,
    /// What its container said last.
    pub last_words: LastWords,
}

/// Why a check said no. Its `Display` is one sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The health check failed as often as it may.
    #[error("{container} is unhealthy")]
    Unhealthy {
        /// Engine name.
        container: String,
    },
    /// It ended and should run.
    #[error("{container} exited with {code}")]
    Exited {
        /// Engine name.
        container: String,
        /// Exit code.
        code: i64,
    },
    /// It ends again and again.
    #[error("{container} keeps restarting ({restarts} so far)")]
    Restarts {
        /// Engine name.
        container: String,
        /// How often the engine started it again.
        restarts: u32,
    },
    /// Its time is up.
    #[error("{container} was not ready after {} s ({})", timeout_ms.div_ceil(1000), in_words(*state, *health))]
    NotReady {
        /// Engine name.
        container: String,
        /// The time it had, in milliseconds.
        timeout_ms: u64,
        /// The state it was in.
        state: ContainerState,
        /// Its health.
        health: Option<Health>,
    },
    /// A one-shot container's time is up.
    #[error("{container} had not finished after {} s", timeout_ms.div_ceil(1000))]
    NotFinished {
        /// Engine name.
        container: String,
        /// The time it had, in milliseconds.
        timeout_ms: u64,
    },
    /// Somebody removed it meanwhile.
    #[error("{container} disappeared while it was being started")]
    Disappeared {
        /// Engine name.
        container: String,
    },
    /// The engine or the registry said no.
    #[error(transparent)]
    Refused(EngineError),
}

fn in_words(state: ContainerState, health: Option<Health>) -> String {
    match (state, health) {
        (ContainerState::Running, Some(Health::Starting)) => "its health check has not passed yet".to_owned(),
        (ContainerState::Running, Some(Health::Unhealthy)) => "its health check fails".to_owned(),
        (ContainerState::Running, _) => "it has not run for long enough".to_owned(),
        (ContainerState::Created, _) => "it never started".to_owned(),
        (ContainerState::Paused, _) => "it is paused".to_owned(),
        (ContainerState::Restarting, _) => "it is being restarted".to_owned(),
        (ContainerState::Exited(code), _) => format!("it exited with {code}"),
        (ContainerState::Gone, _) => "it is dead".to_owned(),
    }
}

/// What happens while a plan is carried out.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// This step begins.
    Began {
        /// The step.
        step: &'a Step,
    },
    /// This step succeeded.
    Ended {
        /// The step.
        step: &'a Step,
    },
}

/// Who is told. Called from the run itself: must not block.
pub trait ProgressSink: Send + Sync {
    /// Told of each step.
    fn tell(&self, plan: &StackPlan, progress: Progress<'_>);
}

/// For those who do not care.
impl ProgressSink for () {
    fn tell(&self, _plan: &StackPlan, _progress: Progress<'_>) {}
}
