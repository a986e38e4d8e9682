//! From a form to a `Request`: parsed once, at the door, with the exact commit and plan that the button meant.

use crate::command::{Command, clean_reason};
use crate::platforms::local::Asked;
use crate::request::{Ask, Reply};
use crate::view::Tone;
use crate::words;
use serde::Deserialize;
use tidegate_core::ids::ReleaseNumber;
use tidegate_core::policy::Subject;
use tokio::sync::mpsc;

/// Where requests go.
pub type Desk = mpsc::Sender<Asked>;

/// What the page says after a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For the person who sent it.
    pub words: String,
    /// How to take it.
    pub tone: Tone,
}

impl Answer {
    /// Nothing was done, and why.
    pub fn nothing_done(words: &str) -> Answer {
        Answer { words: words.to_owned(), tone: Tone::Warning }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Answer {
        let tone = words::outcome_tone(&reply.outcome);
        Answer { words: reply.words, tone }
    }
}

/// A pressed button, as the browser sends it. Each form has some of the fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pressed {
    /// Which button.
    #[serde(rename = "do")]
    pub action: String,
    /// Hidden fields of its form.
    pub environment: String,
    /// Hidden.
    pub commit: String,
    /// Hidden.
    pub plan: String,
    /// Hidden.
    pub stack: String,
    /// Chosen.
    pub to: String,
    /// Typed.
    pub reason: String,
}

/// The form says something that no form of this page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the form lacks a field or holds what is no name, number or id")]
pub struct BrokenForm;

impl TryFrom<Pressed> for Ask {
    type Error = BrokenForm;
    fn try_from(form: Pressed) -> Result<Ask, BrokenForm> {
        let environment = Some(parse(&form.environment)?);
        let expected = || Ok(Some(Subject { commit: parse(&form.commit)?, plan: parse(&form.plan)? }));
        let reason = clean_reason(&form.reason);
        match form.action.as_str() {
            "approve" => Ok(Ask::Command { command: Command::Approve { environment, candidate: None }, expected: expected()? }),
            "reject" => {
                let reason = reason.ok_or(BrokenForm)?;
                Ok(Ask::Command { command: Command::Reject { environment, candidate: None, reason }, expected: expected()? })
            }
            "rollback" => {
                let to = Some(ReleaseNumber(parse(&form.to)?));
                Ok(Ask::Command { command: Command::Rollback { stack: parse(&form.stack)?, environment, to, reason }, expected: None })
            }
            _ => Err(BrokenForm),
        }
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, BrokenForm> {
    text.parse().map_err(|_| BrokenForm)
}

/// A command as typed, on one line; none: nothing was typed.
pub fn typed(text: &str) -> Option<Ask> {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    (!line.trim().is_empty()).then(|| Ask::Line(line.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approve() -> Pressed {
        Pressed {
            action: "approve".into(),
            environment: "production".into(),
            commit: "e".repeat(40),
            plan: "a".repeat(64),
            ..Pressed::default()
        }
    }

    #[test]
    fn a_button_means_the_exact_commit_and_plan_it_stood_on() {
        let expected = Some(Subject { commit: "e".repeat(40).parse().unwrap(), plan: "a".repeat(64).parse().unwrap() });
        let command = Command::Approve { environment: Some("production".parse().unwrap()), candidate: None };
        assert_eq!(Ask::try_from(approve()), Ok(Ask::Command { command, expected }));
        assert_eq!(Ask::try_from(Pressed { plan: String::new(), ..approve() }), Err(BrokenForm));
        assert_eq!(Ask::try_from(Pressed { commit: "e".repeat(7), ..approve() }), Err(BrokenForm));
        assert_eq!(Ask::try_from(Pressed { environment: "../x".into(), ..approve() }), Err(BrokenForm));
        assert_eq!(Ask::try_from(Pressed { action: "drop".into(), ..approve() }), Err(BrokenForm));
    }

    #[test]
    fn a_reason_is_one_line_and_a_no_needs_one() {
        let reject = |reason: &str| Ask::try_from(Pressed { action: "reject".into(), reason: reason.into(), ..approve() });
        assert_eq!(reject(" \n "), Err(BrokenForm));
        let Ok(Ask::Command { command: Command::Reject { reason, .. }, .. }) = reject("bad\nTidegate-Kind: release") else { panic!() };
        assert_eq!(reason, "bad Tidegate-Kind: release");
        assert_eq!(typed(" status\nproduction\r\n"), Some(Ask::Line("status production".into())));
        assert_eq!(typed("\t"), None);
    }
}
