//! The slash commands: how they are registered, and how what comes in becomes a command of the domain. Values are read
//! again here whatever Discord suggested: what comes in is confined to nothing.

use super::wire::{SlashCommand, SlashOption};
use crate::command::{CandidateHint, Command, clean_reason};
use std::collections::BTreeMap;
use tidegate_core::ids::{EnvironmentName, ReleaseNumber, StackName};

const ENVIRONMENT: SlashOption = SlashOption::suggested("environment", "Which environment");
const STACK: SlashOption = SlashOption::suggested("stack", "Which stack");
const RELEASE: SlashOption = SlashOption::suggested("release", "Which release");
const REASON: SlashOption = SlashOption::free("reason", "Why, for the record");

/// What a slash command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Something of the domain.
    Domain(Command),
    /// To go back: asked for confirmation first.
    RollBack {
        /// Which stack.
        stack: StackName,
        /// Where.
        environment: Option<EnvironmentName>,
        /// To which release.
        to: Option<ReleaseNumber>,
        /// Why.
        reason: Option<String>,
    },
    /// What changes from live to new.
    Diff {
        /// Where; none: wherever something is offered.
        environment: Option<EnvironmentName>,
        /// Which release; none: the newest.
        release: Option<ReleaseNumber>,
    },
    /// What to do when a stack is in trouble.
    Runbook {
        /// Which stack.
        stack: StackName,
    },
    /// What there is.
    Help,
}

/// Why it is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRead {
    /// No such command.
    Unknown,
    /// Something that is needed is not there.
    Missing(&'static str),
    /// A value is not what it should be.
    Bad {
        /// Of which option.
        option: &'static str,
        /// What came.
        value: String,
    },
}

/// Every command, as it is registered in the guild.
pub fn all() -> Vec<SlashCommand> {
    vec![
        SlashCommand::new("status", "What runs where", vec![ENVIRONMENT]),
        SlashCommand::new("why", "What waits, for what, and who can clear it", vec![STACK, ENVIRONMENT]),
        SlashCommand::new("releases", "The newest releases and who made them", vec![ENVIRONMENT]),
        SlashCommand::new("history", "The newest releases and who made them", vec![ENVIRONMENT]),
        SlashCommand::new("diff", "What changes from live to new", vec![ENVIRONMENT, RELEASE]),
        SlashCommand::new(
            "approve",
            "Agree to the candidate that waits",
            vec![ENVIRONMENT, SlashOption::free("commit", "The first digits of its commit")],
        ),
        SlashCommand::new("reject", "Say no to the candidate that waits", vec![REASON.required(), ENVIRONMENT]),
        SlashCommand::new(
            "rollback",
            "Go back to the last verified release, and hold the bad one",
            vec![STACK.required(), ENVIRONMENT, RELEASE, REASON],
        ),
        SlashCommand::new("resume", "Lift the holds on a stack", vec![STACK.required(), ENVIRONMENT]),
        SlashCommand::new("runbook", "What to do when a stack is in trouble", vec![STACK.required()]),
        SlashCommand::new("help", "What can be asked", Vec::new()),
    ]
}

/// Reads a slash command.
pub fn read(name: &str, options: &BTreeMap<String, String>) -> Result<Wanted, NotRead> {
    let environment = option(options, "environment");
    let stack = || option(options, "stack");
    let reason = options.get("reason").and_then(|text| clean_reason(text));
    Ok(match name {
        "status" => Wanted::Domain(Command::Status { environment: environment? }),
        "why" => Wanted::Domain(Command::Why { stack: stack()?, environment: environment? }),
        "releases" | "history" => Wanted::Domain(Command::History { environment: environment? }),
        "diff" => Wanted::Diff { environment: environment?, release: release(options)? },
        "approve" => Wanted::Domain(Command::Approve { environment: environment?, candidate: candidate(options)? }),
        "reject" => {
            let reason = reason.ok_or(NotRead::Missing("reason"))?;
            Wanted::Domain(Command::Reject { environment: environment?, candidate: None, reason })
        }
        "rollback" => {
            let stack = stack()?.ok_or(NotRead::Missing("stack"))?;
            Wanted::RollBack { stack, environment: environment?, to: release(options)?, reason }
        }
        "resume" => {
            let stack = stack()?.ok_or(NotRead::Missing("stack"))?;
            Wanted::Domain(Command::Resume { stack: Some(stack), environment: environment? })
        }
        "runbook" => Wanted::Runbook { stack: stack()?.ok_or(NotRead::Missing("stack"))? },
        "help" => Wanted::Help,
        _ => return Err(NotRead::Unknown),
    })
}

fn option<T: std::str::FromStr>(options: &BTreeMap<String, String>, name: &'static str) -> Result<Option<T>, NotRead> {
    let Some(text) = options.get(name).map(|text| text.trim()).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| NotRead::Bad { option: name, value: text.chars().take(80).collect() })
}

fn release(options: &BTreeMap<String, String>) -> Result<Option<ReleaseNumber>, NotRead> {
    let numbers = options.get("release").map(|text| text.trim().trim_start_matches('#').to_owned());
    let only: BTreeMap<String, String> = numbers.map(|text| ("release".to_owned(), text)).into_iter().collect();
    Ok(option::<u64>(&only, "release")?.map(ReleaseNumber))
}

fn candidate(options: &BTreeMap<String, String>) -> Result<Option<CandidateHint>, NotRead> {
    let Some(text) = options.get("commit").map(|text| text.trim()).filter(|text| !text.is_empty()) else { return Ok(None) };
    let is_hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if is_hex && (7..=40).contains(&text.len()) {
        return Ok(Some(CandidateHint(text.to_owned())));
    }
    Err(NotRead::Bad { option: "commit", value: text.chars().take(80).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_registered_command_is_read_and_keeps_to_the_limits_of_discord() {
        let given =
            options(&[("stack", "shop"), ("environment", "production"), ("release", "3"), ("reason", "broken"), ("commit", "abcdef0")]);
        let mut total = 0;
        for command in all() {
            assert!(read(command.name, &given).is_ok(), "{}", command.name);
            assert!((1..=32).contains(&command.name.len()) && command.name.bytes().all(|b| b.is_ascii_lowercase()));
            assert!((1..=100).contains(&command.description.chars().count()) && command.options.len() <= 25);
            let required: Vec<bool> = command.options.iter().map(|option| option.required).collect();
            assert!(required.is_sorted_by(|a, b| a >= b), "{}: required options come first", command.name);
            total += command.name.len()
                + command.description.len()
                + command.options.iter().map(|o| o.name.len() + o.description.len()).sum::<usize>();
        }
        assert!(total < 8_000);
    }

    #[test]
    fn what_discord_would_never_send_is_refused() {
        assert_eq!(read("deploy", &options(&[])), Err(NotRead::Unknown));
        assert_eq!(read("rollback", &options(&[])), Err(NotRead::Missing("stack")));
        assert_eq!(read("reject", &options(&[("reason", " \u{202e} ")])), Err(NotRead::Missing("reason")));
        for (name, value) in [("stack", "../../etc"), ("environment", "a b"), ("release", "-1")] {
            let given = options(&[("stack", "shop"), (name, value)]);
            assert!(matches!(read("rollback", &given), Err(NotRead::Bad { option, .. }) if option == name), "{name} {value}");
        }
    }

    #[test]
    fn a_reason_is_one_line_and_forges_no_trailer() {
        let given = options(&[("stack", "shop"), ("reason", "slow\nApproved-by: mallory")]);
        let Ok(Wanted::RollBack { reason: Some(reason), .. }) = read("rollback", &given) else { panic!("not read") };
        assert_eq!(reason, "slow Approved-by: mallory");
    }
}
