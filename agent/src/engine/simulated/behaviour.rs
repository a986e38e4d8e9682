//! How simulated images behave, and what goes wrong on purpose.

use crate::engine::EngineError;
use std::time::Duration;

/// How containers of one image behave. The default: an image that is there, healthy at once, and runs until stopped.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// What a pull finds.
    pub image: Image,
    /// Its health check, if the model has one.
    pub health: Checks,
    /// It ends by itself after running this long, with this code.
    pub ends: Option<(Duration, i64)>,
    /// It ignores its stop signal, so that a stop costs its whole grace period.
    pub ignores_stop: bool,
    /// What it ends with after its stop signal.
    pub stop_code: i64,
}

/// What a pull finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// On the host.
    Here,
    /// At the registry; a pull takes this long.
    AtRegistry(Duration),
    /// Nowhere: the registry says no.
    Missing,
    /// The registry does not answer.
    RegistryAway,
}

/// What a health check sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// Good from this long after the start.
    PassAfter(Duration),
    /// Never good: unhealthy this long after the start.
    FailAfter(Duration),
    /// Never decided.
    NeverDecide,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour { image: Image::Here, health: Checks::PassAfter(Duration::ZERO), ends: None, ignores_stop: false, stop_code: 0 }
    }
}

impl Behaviour {
    /// Healthy this long after the start.
    pub fn healthy_after(after: Duration) -> Self {
        Behaviour { health: Checks::PassAfter(after), ..Default::default() }
    }

    /// Unhealthy this long after the start.
    pub fn unhealthy_after(after: Duration) -> Self {
        Behaviour { health: Checks::FailAfter(after), ..Default::default() }
    }

    /// Ends by itself.
    pub fn ends_after(after: Duration, code: i64) -> Self {
        Behaviour { ends: Some((after, code)), ..Default::default() }
    }
}

/// Where in a call that changes something the agent is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutOff {
    /// The engine never got it.
    Before,
    /// The engine did it, and the answer was never heard.
    After,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The agent is cut off at the change with this number, counted from 0: that call never returns.
    HaltAt(u32, CutOff),
    /// The engine does not answer.
    Away,
    /// Of a thousand calls so many are not answered, half of them done nevertheless.
    Flaky {
        /// Of a thousand.
        per_mille: u32,
    },
}

#[derive(Debug, thiserror::Error)]
#[error("simulated: no answer")]
struct NoAnswer;

pub(super) fn no_answer(tried: &str) -> EngineError {
    EngineError::Unreachable { tried: tried.to_owned(), source: Box::new(NoAnswer) }
}
