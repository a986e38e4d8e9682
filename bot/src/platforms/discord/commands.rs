//! The slash commands: how they are registered, and how what comes in becomes a command of the domain. Values are read
//! again here whatever Discord suggested: what comes in is confined to nothing.

use super::wire::{SlashCommand, SlashOption};
use crate::command::when::{self, End, Minutes, Moment};
use crate::command::{CandidateHint, Command, clean_reason};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::calendar::Gated;
use tidegate_core::ids::{EnvironmentName, ReleaseNumber, StackName};

const ENVIRONMENT: SlashOption = SlashOption::suggested("environment", "Which environment");
const STACK: SlashOption = SlashOption::suggested("stack", "Which stack");
const RELEASE: SlashOption = SlashOption::suggested("release", "Which release");
const HELD_STACK: SlashOption = SlashOption::suggested("stack", "Which stack; none: the whole environment");
const UNTIL: SlashOption = SlashOption::free("until", "For 2h or 1d, or until 2027-01-02 09:00, or 09:00");
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
        SlashCommand::new("hold", "Stop new releases until somebody resumes", vec![REASON.required(), HELD_STACK, ENVIRONMENT, UNTIL]),
        SlashCommand::new("resume", "Lift the holds on a stack, or on the whole environment", vec![HELD_STACK, ENVIRONMENT]),
        SlashCommand::new(
            "freeze",
            "No release starts in an environment until a moment",
            vec![
                ENVIRONMENT.required(),
                UNTIL.required(),
                REASON.required(),
                SlashOption::free("from", "From when; now unless given"),
                SlashOption::suggested("blocks", "What else it stops"),
            ],
        ),
        SlashCommand::new("unfreeze", "End the freezes that were made by command", vec![ENVIRONMENT.required()]),
        SlashCommand::new(
            "override",
            "Let one release that waits pass window, freeze and hold",
            vec![ENVIRONMENT.required(), RELEASE.required(), REASON.required(), STACK, UNTIL],
        ),
        SlashCommand::new("calendar", "When releases may start", vec![ENVIRONMENT]),
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
        "hold" | "freeze" | "override" => gate(name, options, reason.ok_or(NotRead::Missing("reason"))?)?,
        "resume" => Wanted::Domain(Command::Resume { stack: stack()?, environment: environment? }),
        "unfreeze" => Wanted::Domain(Command::Unfreeze { environment: environment?.ok_or(NotRead::Missing("environment"))? }),
        "calendar" => Wanted::Domain(Command::Calendar { environment: environment? }),
        "runbook" => Wanted::Runbook { stack: stack()?.ok_or(NotRead::Missing("stack"))? },
        "help" => Wanted::Help,
        _ => return Err(NotRead::Unknown),
    })
}

/// What stops releases, or lets one pass.
fn gate(name: &str, options: &BTreeMap<String, String>, reason: String) -> Result<Wanted, NotRead> {
    let environment: Option<EnvironmentName> = option(options, "environment")?;
    let (stack, until) = (option(options, "stack")?, end(options)?);
    if name == "hold" {
        return Ok(Wanted::Domain(Command::Hold { stack, environment, until, reason }));
    }
    let environment = environment.ok_or(NotRead::Missing("environment"))?;
    Ok(Wanted::Domain(if name == "freeze" {
        let until = until.ok_or(NotRead::Missing("until"))?;
        Command::Freeze { environment, from: from(options)?, until, blocks: blocks(options)?, reason }
    } else {
        let release = release(options)?.ok_or(NotRead::Missing("release"))?;
        Command::Override { environment, stack, release, until, reason }
    }))
}

fn text<'a>(options: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    options.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn bad(option: &'static str, text: &str) -> NotRead {
    NotRead::Bad { option, value: text.chars().take(80).collect() }
}

/// `2h`, or a moment.
fn end(options: &BTreeMap<String, String>) -> Result<Option<End>, NotRead> {
    let Some(text) = text(options, "until") else { return Ok(None) };
    let text = text.trim_start_matches("for ").trim_start_matches("until ").trim();
    match Minutes::parse(text) {
        Some(minutes) => Ok(Some(End::After(minutes))),
        None => moment("until", text).map(|moment| Some(End::At(moment))),
    }
}

fn from(options: &BTreeMap<String, String>) -> Result<Option<Moment>, NotRead> {
    text(options, "from").map(|text| moment("from", text)).transpose()
}

/// All of the text, not only its beginning.
fn moment(option: &'static str, text: &str) -> Result<Moment, NotRead> {
    let mut words = text.split_whitespace().collect();
    when::take(&mut words).filter(|_| words.is_empty()).ok_or_else(|| bad(option, text))
}

fn blocks(options: &BTreeMap<String, String>) -> Result<BTreeSet<Gated>, NotRead> {
    match text(options, "blocks") {
        // A freeze that stops no release is none, and no lock may hold one.
        None | Some("release") => Ok([Gated::Release].into()),
        Some("rollback") => Ok([Gated::Release, Gated::Rollback].into()),
        Some(other) => Err(bad("blocks", other)),
    }
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
        let given = options(&[
            ("stack", "shop"),
            ("environment", "production"),
            ("release", "3"),
            ("reason", "broken"),
            ("commit", "abcdef0"),
            ("until", "2h"),
        ]);
        let names: BTreeSet<&str> = all().iter().map(|command| command.name).collect();
        assert_eq!(names.len(), all().len(), "a name stands once");
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
        for (name, value) in [("until", "soon"), ("until", "2h or so"), ("from", "never"), ("blocks", "everything")] {
            let mut given = options(&[("environment", "production"), ("reason", "x"), ("until", "2h")]);
            given.insert(name.into(), value.into());
            assert!(matches!(read("freeze", &given), Err(NotRead::Bad { option, .. }) if option == name), "{name} {value}");
        }
        for (name, value) in [("stack", "../../etc"), ("environment", "a b"), ("release", "-1")] {
            let given = options(&[("stack", "shop"), (name, value)]);
            assert!(matches!(read("rollback", &given), Err(NotRead::Bad { option, .. }) if option == name), "{name} {value}");
        }
    }

    #[test]
    fn a_freeze_says_the_same_as_the_typed_one() {
        use crate::command::{Vocabulary, parse};
        let vocabulary = Vocabulary { environments: vec!["production".parse().unwrap()] };
        for (given, line) in [
            (options(&[("until", "2h")]), "freeze production for 2h the fair"),
            (
                options(&[("until", "2027-01-02 09:00"), ("blocks", "rollback")]),
                "freeze production until 2027-01-02 09:00 blocks: rollback reason: the fair",
            ),
        ] {
            let mut given = given;
            given.extend(options(&[("environment", "production"), ("reason", "the fair")]));
            assert_eq!(read("freeze", &given), Ok(Wanted::Domain(parse(line, &vocabulary).unwrap())), "{line}");
        }
    }

    #[test]
    fn a_reason_is_one_line_and_forges_no_trailer() {
        let given = options(&[("stack", "shop"), ("reason", "slow\nApproved-by: mallory")]);
        let Ok(Wanted::RollBack { reason: Some(reason), .. }) = read("rollback", &given) else { panic!("not read") };
        assert_eq!(reason, "slow Approved-by: mallory");
    }
}
