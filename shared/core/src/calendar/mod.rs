//! Windows and freezes: when a release may start. One evaluation function for every program; time is an argument.

mod error;
mod raw;

pub use error::{CalendarError, Item};
pub use raw::{RawCalendar, RawFreeze, RawWindow, RawWindows};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Checked windows, freezes and cutoff of an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendar {}

/// What the calendar says at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The state.
    pub state: State,
    /// End of the effective interval while open or closing; none: beyond the horizon, or not open.
    pub open_until: Option<Timestamp>,
    /// The earliest instant, from now on, at which a rollout may start; none: none within the horizon.
    pub next_start: Option<Timestamp>,
    /// The rule that decided.
    pub rule: Rule,
}

/// State at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A freeze is in force.
    Frozen,
    /// A rollout may start.
    Open,
    /// Inside a window, but past its cutoff: may finish, may not start.
    Closing,
    /// No window is open.
    Closed,
}

/// The rule that decided, by its name and place in the config repo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// `always`, `window`, `freeze`, `cutoff` or `none`.
    pub kind: RuleKind,
    /// Its name, or how it is written.
    pub name: String,
}

/// Kind of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// No windows are configured, or `windows: always`.
    Always,
    /// A window.
    Window,
    /// A freeze.
    Freeze,
    /// The cutoff before the end of a window.
    Cutoff,
    /// Windows exist, none is open.
    None,
}

impl Calendar {
    /// The decision for an instant.
    pub fn decide(&self, at: Timestamp) -> Decision {
        Decision {
            state: State::Open,
            open_until: None,
            next_start: Some(at),
            rule: Rule { kind: RuleKind::Always, name: "always".into() },
        }
    }
}
