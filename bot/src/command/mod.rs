//! What people type, as data: a pure parser with errors that say how to write it.
//!
//! One grammar for every platform. Buttons and slash commands make the same [`Command`] without going through text.

mod details;
mod parse;
pub mod when;

pub use parse::parse;

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use tidegate_core::calendar::Gated;
use tidegate_core::ids::{EnvironmentName, ReleaseNumber, StackName};
use when::{End, Moment};

/// Longest line that is read, in characters.
pub const LINE_MAX_CHARS: usize = 1000;
/// Longest reason that is kept, in characters.
pub const REASON_MAX_CHARS: usize = 300;

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Command {
    /// Agree to a candidate.
    Approve {
        /// Where; none: the only environment with a candidate.
        environment: Option<EnvironmentName>,
        /// The candidate's commit as the person named it; none: the current one.
        candidate: Option<CandidateHint>,
    },
    /// Say no to a candidate.
    Reject {
        /// Where; none: the only environment with a candidate.
        environment: Option<EnvironmentName>,
        /// The candidate's commit as the person named it; none: the current one.
        candidate: Option<CandidateHint>,
        /// Why.
        reason: String,
    },
    /// Go back to an earlier release of a stack.
    Rollback {
        /// The stack.
        stack: StackName,
        /// Where; none: the last environment in promotion order that runs it.
        environment: Option<EnvironmentName>,
        /// Which release; none: the last verified one before the current one.
        to: Option<ReleaseNumber>,
        /// Why; none: not said.
        reason: Option<String>,
    },
    /// Stop new releases of a stack, or of an environment, until somebody resumes or it ends.
    Hold {
        /// The stack; none: the environment.
        stack: Option<StackName>,
        /// Where; none: the last environment in promotion order that runs the stack.
        environment: Option<EnvironmentName>,
        /// Until when; none: until somebody resumes.
        until: Option<End>,
        /// Why.
        reason: String,
    },
    /// Lift the holds on a stack, or those on the whole environment.
    Resume {
        /// The stack; none: the environment's own holds.
        stack: Option<StackName>,
        /// Where; none: the only environment that holds it.
        environment: Option<EnvironmentName>,
    },
    /// No release starts in an environment until a moment.
    Freeze {
        /// Where.
        environment: EnvironmentName,
        /// From when; none: from now.
        from: Option<Moment>,
        /// Until when.
        until: End,
        /// What it stops.
        blocks: BTreeSet<Gated>,
        /// Why.
        reason: String,
    },
    /// End the freezes that were made by command.
    Unfreeze {
        /// Where.
        environment: EnvironmentName,
    },
    /// Let one release that waits pass window, freeze and hold.
    Override {
        /// Where.
        environment: EnvironmentName,
        /// The stack; none: every stack that the release brought.
        stack: Option<StackName>,
        /// Which release.
        release: ReleaseNumber,
        /// Until when; none: for an hour.
        until: Option<End>,
        /// Why.
        reason: String,
    },
    /// When releases may start.
    Calendar {
        /// Where; none: everywhere.
        environment: Option<EnvironmentName>,
    },
    /// What runs where.
    Status {
        /// Where; none: everywhere.
        environment: Option<EnvironmentName>,
    },
    /// What waits, and why.
    Why {
        /// Which stack; none: everything.
        stack: Option<StackName>,
        /// Where; none: everywhere.
        environment: Option<EnvironmentName>,
    },
    /// The newest releases.
    History {
        /// Where; none: everywhere.
        environment: Option<EnvironmentName>,
    },
    /// What can be asked.
    Help,
}

impl Command {
    /// The word that starts it.
    pub fn word(&self) -> &'static str {
        match self {
            Command::Approve { .. } => "approve",
            Command::Reject { .. } => "reject",
            Command::Rollback { .. } => "rollback",
            Command::Hold { .. } => "hold",
            Command::Resume { .. } => "resume",
            Command::Freeze { .. } => "freeze",
            Command::Unfreeze { .. } => "unfreeze",
            Command::Override { .. } => "override",
            Command::Calendar { .. } => "calendar",
            Command::Status { .. } => "status",
            Command::Why { .. } => "why",
            Command::History { .. } => "history",
            Command::Help => "help",
        }
    }
}

/// As it can be typed: the same command comes out when it is read again.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        self.parts().into_iter().flatten().try_for_each(|part| write!(f, " {part}"))
    }
}

impl Command {
    /// What follows the word.
    fn parts(&self) -> Vec<Option<String>> {
        let labelled = |label: &str, text: &dyn fmt::Display| Some(format!("{label} {text}"));
        match self {
            Command::Approve { environment, candidate } => vec![text(environment), hint(candidate)],
            Command::Reject { environment, candidate, reason } => vec![text(environment), hint(candidate), Some(reason.clone())],
            Command::Rollback { stack, environment, to, reason } => {
                let to = to.as_ref().and_then(|number| labelled("to", number));
                vec![Some(stack.to_string()), text(environment), to, reason.clone()]
            }
            Command::Hold { stack, environment, until, reason } => {
                vec![text(stack), text(environment), text(until), labelled("reason:", reason)]
            }
            Command::Resume { stack, environment } | Command::Why { stack, environment } => vec![text(stack), text(environment)],
            Command::Freeze { environment, from, until, blocks, reason } => vec![
                Some(environment.to_string()),
                from.as_ref().and_then(|from| labelled("from", from)),
                Some(until.to_string()),
                blocks.contains(&Gated::Rollback).then(|| "blocks: rollback".to_owned()),
                labelled("reason:", reason),
            ],
            Command::Override { environment, stack, release, until, reason } => {
                vec![Some(environment.to_string()), text(stack), labelled("release", release), text(until), labelled("reason:", reason)]
            }
            Command::Unfreeze { environment } => vec![Some(environment.to_string())],
            Command::Status { environment } | Command::History { environment } | Command::Calendar { environment } => {
                vec![text(environment)]
            }
            Command::Help => Vec::new(),
        }
    }
}

fn text<T: fmt::Display>(part: &Option<T>) -> Option<String> {
    part.as_ref().map(T::to_string)
}

fn hint(candidate: &Option<CandidateHint>) -> Option<String> {
    candidate.as_ref().map(|hint| hint.0.clone())
}

/// The first digits of a candidate's commit, at least seven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CandidateHint(pub String);

/// Why a line is no command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum NotUnderstood {
    /// Nothing was said.
    Empty,
    /// It is longer than [`LINE_MAX_CHARS`].
    TooLong,
    /// The first word is no command.
    UnknownCommand {
        /// The word, cut.
        word: String,
        /// The command that is nearest, if one is near.
        nearest: Option<String>,
    },
    /// Something that is needed is not there.
    Missing {
        /// How the command is written.
        usage: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// A word does not fit.
    BadWord {
        /// How the command is written.
        usage: &'static str,
        /// The word, cut.
        word: String,
        /// What should be there.
        expected: &'static str,
    },
}

/// The names that the parser tells from other words.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// The environments.
    pub environments: Vec<EnvironmentName>,
}

/// How each command is written, in the order of the help text, with what it does.
pub const USAGES: [(&str, &str, &str); 13] = [
    ("approve", "approve [ENVIRONMENT] [COMMIT]", "agree to the candidate that waits"),
    ("reject", "reject [ENVIRONMENT] [COMMIT] REASON", "say no to it; it is not offered again until its content differs"),
    ("rollback", "rollback STACK [ENVIRONMENT] [to RELEASE] [REASON]", "go back to the last verified release, and hold the bad one"),
    ("hold", "hold STACK|ENVIRONMENT [for 2h] REASON", "stop new releases of it until `resume`, or for a time"),
    ("resume", "resume STACK|ENVIRONMENT", "lift the holds on it"),
    ("freeze", "freeze ENVIRONMENT [from WHEN] until WHEN REASON", "no release starts there until then; going back stays possible"),
    ("unfreeze", "unfreeze ENVIRONMENT", "end the freezes that were made by command"),
    (
        "override",
        "override ENVIRONMENT [STACK] release NUMBER [for 1h] REASON",
        "let one release that waits pass window, freeze and hold, once",
    ),
    ("calendar", "calendar [ENVIRONMENT]", "when releases may start, and what stands in the way"),
    ("status", "status [ENVIRONMENT]", "what runs where"),
    ("why", "why [STACK] [ENVIRONMENT]", "what waits, for what, and who can clear it"),
    ("history", "history [ENVIRONMENT]", "the newest releases and who made them"),
    ("help", "help", "this list"),
];

/// A reason on one line, without control or direction characters, cut; none: nothing is left of it.
///
/// It stands in commit trailers and cards: a line break in it could forge a trailer.
pub fn clean_reason(text: &str) -> Option<String> {
    let is_trick = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{061c}')
    };
    let spaced: String = text.chars().map(|c| if c.is_whitespace() || is_trick(c) { ' ' } else { c }).collect();
    let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.trim_matches(['"', ' ']).to_owned();
    let cut: String = line.chars().take(REASON_MAX_CHARS).collect();
    (!cut.is_empty()).then_some(cut)
}

#[cfg(test)]
mod tests;
