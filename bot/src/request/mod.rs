//! What platforms hand in and get back: the domain in both directions, no widgets, no text.
//!
//! A platform turns a line, a button or a slash command into a [`Request`] and shows the [`Outcome`] in its own way;
//! the sentences for both are in `words`.

mod outcomes;
mod refusal;
mod standing;
mod waits;

pub use outcomes::{
    ApprovalCounted, CandidateRef, Committed, EnvironmentHistory, EnvironmentStatus, HistoryLine, Resumed, RolledBack, StackOnHost,
    StackOnHosts,
};
pub use refusal::{Refusal, Standing, Trouble};
pub use standing::{EnvironmentCalendar, FrozenNow, GateRefusal, HeldNow, HoldHome, OverriddenNow, Planned, PlannedState, Unfrozen};
pub use waits::{WaitLine, WaitReason};

use crate::command::{Command, NotUnderstood};
use crate::people::Actor;
use serde::Serialize;
use tidegate_core::ids::{ContentId, PersonName, ReleaseNumber};
use tidegate_core::lock::LockedStack;
use tidegate_core::policy::Subject;

/// A person asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who, on which platform.
    pub actor: Actor,
    /// What.
    pub ask: Ask,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A typed line.
    Line(String),
    /// A button or a slash command; with the candidate that the button stood on, if it stood on one.
    Command {
        /// What.
        command: Command,
        /// The button means exactly this; refused when it is not this any more.
        expected: Option<Subject>,
    },
    /// A confirmed way back: it undoes what the person was shown, and nothing else.
    Confirmed {
        /// What.
        command: Command,
        /// What ran by right when it was asked.
        shown: Shown,
    },
}

/// What a person was shown as current, for a command that undoes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The release.
    pub release: ReleaseNumber,
    /// Its content; none: only the number was kept.
    pub content: Option<ContentId>,
}

impl Shown {
    /// Is this what was shown?
    pub fn is(&self, locked: &LockedStack) -> bool {
        self.release == locked.release && self.content.as_ref().is_none_or(|content| *content == locked.content)
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reply {
    /// What came of it.
    pub outcome: Outcome,
    /// The same in words, several lines perhaps.
    pub words: String,
    /// Who spoke, if the config repo knows.
    pub person: Option<PersonName>,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "detail")]
pub enum Outcome {
    /// The approval counts, and more are needed.
    Approved(ApprovalCounted),
    /// The policy is satisfied and the release is committed.
    Released(Committed),
    /// The candidate is turned down.
    Rejected(CandidateRef),
    /// The stack's lock is back at an earlier release, and what it left is held.
    RolledBack(RolledBack),
    /// Holds are lifted.
    Resumed(Resumed),
    /// A freeze is made.
    Frozen(FrozenNow),
    /// Freezes are ended.
    Unfrozen(Unfrozen),
    /// A hold is made.
    Held(HeldNow),
    /// An override is given.
    Overridden(OverriddenNow),
    /// When releases may start.
    Calendar(Vec<EnvironmentCalendar>),
    /// What runs where.
    Status(Vec<EnvironmentStatus>),
    /// What waits.
    Why(Vec<WaitLine>),
    /// The newest releases.
    History(Vec<EnvironmentHistory>),
    /// What can be asked.
    Help,
    /// Nothing was done, and why.
    Refused(Refusal),
    /// The line is no command.
    NotUnderstood(NotUnderstood),
}

impl Outcome {
    /// Does everybody in the room see the answer? What changes state is public; the rest is for the person.
    pub fn is_public(&self) -> bool {
        match self {
            Outcome::Approved(_)
            | Outcome::Released(_)
            | Outcome::Rejected(_)
            | Outcome::RolledBack(_)
            | Outcome::Resumed(_)
            | Outcome::Frozen(_)
            | Outcome::Unfrozen(_)
            | Outcome::Held(_)
            | Outcome::Overridden(_) => true,
            Outcome::Calendar(_)
            | Outcome::Status(_)
            | Outcome::Why(_)
            | Outcome::History(_)
            | Outcome::Help
            | Outcome::Refused(_)
            | Outcome::NotUnderstood(_) => false,
        }
    }

    /// Was nothing done?
    pub fn is_refusal(&self) -> bool {
        matches!(self, Outcome::Refused(_) | Outcome::NotUnderstood(_))
    }
}
