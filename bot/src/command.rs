//! What people type, as data: a pure parser with errors that say how to write it.
//!
//! One grammar for every platform. Buttons and slash commands make the same [`Command`] without going through text.

use serde::{Deserialize, Serialize};
use std::fmt;
use tidegate_core::ids::{EnvironmentName, ReleaseNumber, StackName};

/// Longest line that is read, in characters.
pub const LINE_MAX_CHARS: usize = 1000;
/// Longest reason that is kept, in characters.
pub const REASON_MAX_CHARS: usize = 300;
/// Fewest digits by which a candidate may be named.
const CANDIDATE_MIN_DIGITS: usize = 7;

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
    /// Lift the holds on a stack.
    Resume {
        /// The stack.
        stack: StackName,
        /// Where; none: the only environment that holds it.
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
            Command::Resume { .. } => "resume",
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
        let mut part = |lead: &str, text: Option<&str>| text.map_or(Ok(()), |text| write!(f, " {lead}{text}"));
        let name = |environment: &'_ Option<EnvironmentName>| environment.as_ref().map(|name| name.as_str().to_owned());
        match self {
            Command::Approve { environment, candidate } => {
                part("", name(environment).as_deref())?;
                part("", candidate.as_ref().map(|hint| hint.0.as_str()))
            }
            Command::Reject { environment, candidate, reason } => {
                part("", name(environment).as_deref())?;
                part("", candidate.as_ref().map(|hint| hint.0.as_str()))?;
                part("", Some(reason))
            }
            Command::Rollback { stack, environment, to, reason } => {
                part("", Some(stack.as_str()))?;
                part("", name(environment).as_deref())?;
                part("to ", to.map(|number| number.to_string()).as_deref())?;
                part("", reason.as_deref())
            }
            Command::Resume { stack, environment } => {
                part("", Some(stack.as_str()))?;
                part("", name(environment).as_deref())
            }
            Command::Why { stack, environment } => {
                part("", stack.as_ref().map(StackName::as_str))?;
                part("", name(environment).as_deref())
            }
            Command::Status { environment } | Command::History { environment } => part("", name(environment).as_deref()),
            Command::Help => Ok(()),
        }
    }
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
pub const USAGES: [(&str, &str, &str); 8] = [
    ("approve", "approve [ENVIRONMENT] [COMMIT]", "agree to the candidate that waits"),
    ("reject", "reject [ENVIRONMENT] [COMMIT] REASON", "say no to it; it is not offered again until its content differs"),
    ("rollback", "rollback STACK [ENVIRONMENT] [to RELEASE] [REASON]", "go back to the last verified release, and hold the bad one"),
    ("resume", "resume STACK [ENVIRONMENT]", "lift the holds on a stack"),
    ("status", "status [ENVIRONMENT]", "what runs where"),
    ("why", "why [STACK] [ENVIRONMENT]", "what waits, for what, and who can clear it"),
    ("history", "history [ENVIRONMENT]", "the newest releases and who made them"),
    ("help", "help", "this list"),
];

fn usage(command: &str) -> &'static str {
    USAGES.iter().find(|(word, _, _)| *word == command).map_or("help", |(_, usage, _)| usage)
}

/// Reads a line. A leading `/` is fine, the first word may be written in any case.
pub fn parse(line: &str, vocabulary: &Vocabulary) -> Result<Command, NotUnderstood> {
    if line.chars().nth(LINE_MAX_CHARS).is_some() {
        return Err(NotUnderstood::TooLong);
    }
    let mut words = Words { rest: line.split_whitespace().collect(), vocabulary };
    let first = words.take().ok_or(NotUnderstood::Empty)?;
    let command = first.trim_start_matches('/').to_lowercase();
    match command.as_str() {
        "approve" => {
            let (environment, candidate) = (words.environment(), words.candidate());
            words.end("approve", "an environment and the first digits of the candidate's commit")?;
            Ok(Command::Approve { environment, candidate })
        }
        "reject" => parse_reject(words),
        "rollback" => parse_rollback(words),
        "resume" => {
            let stack = words.stack("resume")?;
            let environment = words.environment();
            words.end("resume", "one of the environments")?;
            Ok(Command::Resume { stack, environment })
        }
        "status" | "history" => {
            let environment = words.environment();
            words.end(if command == "status" { "status" } else { "history" }, "one of the environments")?;
            Ok(if command == "status" { Command::Status { environment } } else { Command::History { environment } })
        }
        "why" => parse_why(words),
        "help" | "?" => Ok(Command::Help),
        other => Err(NotUnderstood::UnknownCommand { word: cut(other), nearest: nearest(other) }),
    }
}

fn parse_reject(mut words: Words<'_>) -> Result<Command, NotUnderstood> {
    let (environment, candidate) = (words.environment(), words.candidate());
    let reason = words.reason().ok_or(NotUnderstood::Missing { usage: usage("reject"), what: "a reason" })?;
    Ok(Command::Reject { environment, candidate, reason })
}

fn parse_rollback(mut words: Words<'_>) -> Result<Command, NotUnderstood> {
    let stack = words.stack("rollback")?;
    let environment = words.environment();
    let to = words.release()?;
    // `rollback shop to 3 production …` is just as clear.
    let environment = environment.or_else(|| if to.is_some() { words.environment() } else { None });
    Ok(Command::Rollback { stack, environment, to, reason: words.reason() })
}

fn parse_why(mut words: Words<'_>) -> Result<Command, NotUnderstood> {
    let environment = words.environment();
    let stack = if words.rest.is_empty() { None } else { Some(words.stack("why")?) };
    let environment = environment.or_else(|| words.environment());
    words.end("why", "a stack and an environment")?;
    Ok(Command::Why { stack, environment })
}

struct Words<'a> {
    rest: std::collections::VecDeque<&'a str>,
    vocabulary: &'a Vocabulary,
}

impl<'a> Words<'a> {
    fn take(&mut self) -> Option<&'a str> {
        self.rest.pop_front()
    }

    /// The next word, if it names an environment.
    fn environment(&mut self) -> Option<EnvironmentName> {
        let word = self.rest.front()?.trim_end_matches([':', ',']);
        let known = self.vocabulary.environments.iter().find(|known| known.as_str() == word)?.clone();
        self.rest.pop_front();
        Some(known)
    }

    /// The next word, if it looks like the first digits of a commit.
    fn candidate(&mut self) -> Option<CandidateHint> {
        let word = *self.rest.front()?;
        let is_hex = word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !is_hex || !(CANDIDATE_MIN_DIGITS..=40).contains(&word.len()) {
            return None;
        }
        self.rest.pop_front();
        Some(CandidateHint(word.to_owned()))
    }

    fn stack(&mut self, command: &str) -> Result<StackName, NotUnderstood> {
        let usage = usage(command);
        let word = self.take().ok_or(NotUnderstood::Missing { usage, what: "the stack" })?;
        word.trim_end_matches([':', ',']).parse().map_err(|_| NotUnderstood::BadWord {
            usage,
            word: cut(word),
            expected: "the name of a stack",
        })
    }

    /// `to 3`, `to release 3`, `to #3`.
    fn release(&mut self) -> Result<Option<ReleaseNumber>, NotUnderstood> {
        let mut ahead = self.rest.iter().copied();
        if !ahead.next().is_some_and(|word| word.eq_ignore_ascii_case("to")) {
            return Ok(None);
        }
        let mut used = 2;
        let mut word = ahead.next();
        if word.is_some_and(|word| word.eq_ignore_ascii_case("release")) {
            used += 1;
            word = ahead.next();
        }
        let usage = usage("rollback");
        let word = word.ok_or(NotUnderstood::Missing { usage, what: "the number of the release after `to`" })?;
        let number = word.trim_start_matches('#').trim_end_matches([':', ',']).parse();
        let number =
            number.map_err(|_| NotUnderstood::BadWord { usage, word: cut(word), expected: "the number of a release after `to`" })?;
        self.rest.drain(..used);
        Ok(Some(ReleaseNumber(number)))
    }

    /// All that is left, as one line, cut.
    fn reason(&mut self) -> Option<String> {
        let words: Vec<&str> = self.rest.drain(..).collect();
        clean_reason(&words.join(" "))
    }

    fn end(&mut self, command: &str, expected: &'static str) -> Result<(), NotUnderstood> {
        match self.take() {
            None => Ok(()),
            Some(word) => Err(NotUnderstood::BadWord { usage: usage(command), word: cut(word), expected }),
        }
    }
}

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

fn cut(word: &str) -> String {
    clean_reason(word).unwrap_or_default().chars().take(40).collect()
}

/// The command that differs least from a word, if by no more than two letters.
fn nearest(word: &str) -> Option<String> {
    let near = USAGES.iter().map(|(command, _, _)| (distance(word, command), *command)).min()?;
    (near.0 <= 2).then(|| near.1.to_owned())
}

/// Letters to insert, drop or replace between two short words.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 20 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        Vocabulary { environments: vec!["staging".parse().unwrap(), "production".parse().unwrap()] }
    }

    fn read(line: &str) -> Result<Command, NotUnderstood> {
        parse(line, &vocabulary())
    }

    fn rollback(environment: Option<&str>, to: Option<u64>, reason: Option<&str>) -> Command {
        Command::Rollback {
            stack: "shop".parse().unwrap(),
            environment: environment.map(|e| e.parse().unwrap()),
            to: to.map(ReleaseNumber),
            reason: reason.map(str::to_owned),
        }
    }

    #[test]
    fn approve_takes_an_environment_and_a_commit_in_that_order() {
        let approve = |environment: Option<&str>, candidate: Option<&str>| Command::Approve {
            environment: environment.map(|e| e.parse().unwrap()),
            candidate: candidate.map(|c| CandidateHint(c.to_owned())),
        };
        assert_eq!(read("approve"), Ok(approve(None, None)));
        assert_eq!(read("  /Approve   production "), Ok(approve(Some("production"), None)));
        assert_eq!(read("approve production 0a1b2c3"), Ok(approve(Some("production"), Some("0a1b2c3"))));
        assert_eq!(read("approve 0a1b2c3"), Ok(approve(None, Some("0a1b2c3"))));
        for bad in ["approve prod", "approve production 0a1b", "approve production 0a1b2c3 please"] {
            assert!(matches!(read(bad), Err(NotUnderstood::BadWord { .. })), "{bad}");
        }
    }

    #[test]
    fn rollback_needs_only_the_stack_and_takes_the_rest_as_the_reason() {
        assert_eq!(read("rollback shop"), Ok(rollback(None, None, None)));
        assert_eq!(read("/rollback shop production"), Ok(rollback(Some("production"), None, None)));
        assert_eq!(read("rollback shop to 3"), Ok(rollback(None, Some(3), None)));
        assert_eq!(
            read("rollback shop production to release #3 it loses carts"),
            Ok(rollback(Some("production"), Some(3), Some("it loses carts")))
        );
        assert_eq!(read("rollback shop to 3 production late"), Ok(rollback(Some("production"), Some(3), Some("late"))));
        assert_eq!(read("rollback shop production: is slow"), Ok(rollback(Some("production"), None, Some("is slow"))));
        assert_eq!(read("rollback shop it loses carts"), Ok(rollback(None, None, Some("it loses carts"))));
    }

    #[test]
    fn a_command_written_out_reads_as_the_same_command() {
        let lines = [
            "approve production 0a1b2c3",
            "reject staging too slow",
            "rollback shop production to 3 it loses carts",
            "resume shop staging",
        ];
        for line in lines.into_iter().chain(["status", "why shop production", "history staging", "help"]) {
            assert_eq!(read(line).unwrap().to_string(), line);
        }
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_named_with_the_usage() {
        assert_eq!(read("rollback"), Err(NotUnderstood::Missing { usage: usage("rollback"), what: "the stack" }));
        assert!(matches!(read("rollback Shop!"), Err(NotUnderstood::BadWord { .. })));
        assert!(matches!(read("rollback shop to yesterday"), Err(NotUnderstood::BadWord { .. })));
        assert!(matches!(read("rollback shop to"), Err(NotUnderstood::Missing { .. })));
        assert_eq!(read("reject production"), Err(NotUnderstood::Missing { usage: usage("reject"), what: "a reason" }));
        assert_eq!(read(" \n"), Err(NotUnderstood::Empty));
        assert_eq!(read(&"a".repeat(LINE_MAX_CHARS + 1)), Err(NotUnderstood::TooLong));
    }

    #[test]
    fn why_takes_stack_and_environment_in_either_order() {
        let both = Command::Why { stack: Some("shop".parse().unwrap()), environment: Some("staging".parse().unwrap()) };
        assert_eq!(read("why shop staging"), Ok(both.clone()));
        assert_eq!(read("why staging shop"), Ok(both));
        assert_eq!(read("why"), Ok(Command::Why { stack: None, environment: None }));
    }

    #[test]
    fn a_command_is_written_as_it_is_read() {
        let lines = [
            "approve",
            "approve production 3f2a1c9",
            "reject staging 3f2a1c9 wrong prices",
            "rollback shop",
            "rollback shop production to 3 prices are wrong",
            "resume shop staging",
            "status",
            "why shop production",
            "history staging",
            "help",
        ];
        for line in lines {
            assert_eq!(read(line).unwrap().to_string(), line);
        }
    }

    #[test]
    fn a_mistyped_command_gets_the_nearest_one() {
        assert_eq!(read("aprove"), Err(NotUnderstood::UnknownCommand { word: "aprove".into(), nearest: Some("approve".into()) }));
        assert_eq!(read("dance"), Err(NotUnderstood::UnknownCommand { word: "dance".into(), nearest: None }));
    }

    #[test]
    fn a_reason_cannot_smuggle_lines_or_direction_marks() {
        let command = read("reject production bad\nApproved-by: \u{202e}mallory\u{200b} <m@x>").unwrap();
        let Command::Reject { reason, .. } = command else { panic!("{command:?}") };
        assert_eq!(reason, "bad Approved-by: mallory <m@x>");
        assert_eq!(clean_reason(&"x".repeat(1000)).unwrap().len(), REASON_MAX_CHARS);
        assert_eq!(clean_reason("\u{200b} \n"), None);
    }
}
