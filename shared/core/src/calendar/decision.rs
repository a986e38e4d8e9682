//! What the calendar answers: the state of an instant, until when, the next start, and the rule that decided.

use super::error::Item;
use crate::findings::Place;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// What stops rollbacks too; none: rollbacks may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Blocked>,
}

/// A freeze that stops rollbacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// When rollbacks may start again; none: not within the horizon.
    pub until: Option<Timestamp>,
    /// The freeze.
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
    /// Which item of the calendar it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
    /// Where the item is written, if the reader knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Why a freeze is there, if somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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

impl Rule {
    /// A rule that is no item of a calendar.
    pub fn named(kind: RuleKind, name: impl Into<String>) -> Rule {
        Rule { kind, name: name.into(), item: None, place: None, reason: None }
    }
}
