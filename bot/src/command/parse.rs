//! From a line to a command: word by word, with errors that say how to write it.

use super::details::{Details, Label};
use super::{CandidateHint, Command, LINE_MAX_CHARS, NotUnderstood, USAGES, Vocabulary, clean_reason};
use std::collections::VecDeque;
use tidegate_core::ids::{EnvironmentName, ReleaseNumber, StackName};

/// Fewest digits by which a candidate may be named.
const CANDIDATE_MIN_DIGITS: usize = 7;

pub(super) fn usage(command: &str) -> &'static str {
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
        "hold" => parse_hold(words),
        "resume" => {
            let Target { stack, environment } = words.target("resume")?;
            words.end("resume", "one of the environments")?;
            Ok(Command::Resume { stack, environment })
        }
        "freeze" => parse_freeze(words),
        "unfreeze" => {
            let environment = words.needed_environment("unfreeze")?;
            words.end("unfreeze", "nothing more")?;
            Ok(Command::Unfreeze { environment })
        }
        "override" => parse_override(words),
        "status" => Ok(Command::Status { environment: words.only_environment("status")? }),
        "history" => Ok(Command::History { environment: words.only_environment("history")? }),
        "calendar" => Ok(Command::Calendar { environment: words.only_environment("calendar")? }),
        "why" => parse_why(words),
        "help" | "?" => Ok(Command::Help),
        other => Err(NotUnderstood::UnknownCommand { word: cut(other), nearest: nearest(other) }),
    }
}

fn parse_hold(mut words: Words<'_>) -> Result<Command, NotUnderstood> {
    let Target { stack, environment } = words.target("hold")?;
    let details = Details::read(&mut words.rest, "hold", &[Label::Until, Label::For, Label::Reason])?;
    let (until, reason) = (details.end.clone(), details.reason()?);
    Ok(Command::Hold { stack, environment, until, reason })
}

fn parse_freeze(mut words: Words<'_>) -> Result<Command, NotUnderstood> {
    let environment = words.needed_environment("freeze")?;
    let labels = [Label::From, Label::Until, Label::For, Label::Blocks, Label::Reason];
    let details = Details::read(&mut words.rest, "freeze", &labels)?;
    let missing = NotUnderstood::Missing { usage: usage("freeze"), what: "until when (`until 2027-01-02 09:00`, or `for 2h`)" };
    let until = details.end.clone().ok_or(missing)?;
    let (from, blocks, reason) = (details.from.clone(), details.blocks.clone(), details.reason()?);
    Ok(Command::Freeze { environment, from, until, blocks, reason })
}

fn parse_override(mut words: Words<'_>) -> Result<Command, NotUnderstood> {
    let environment = words.needed_environment("override")?;
    let is_label = words.rest.front().is_none_or(|word| Label::of(word).is_some());
    let stack = if is_label { None } else { Some(words.stack("override")?) };
    let labels = [Label::Release, Label::Until, Label::For, Label::Reason];
    let details = Details::read(&mut words.rest, "override", &labels)?;
    let missing = NotUnderstood::Missing { usage: usage("override"), what: "the number of the release (`release 43`)" };
    let release = details.release.ok_or(missing)?;
    let (until, reason) = (details.end.clone(), details.reason()?);
    Ok(Command::Override { environment, stack, release, until, reason })
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

/// What a hold or a resume is about: a stack, perhaps with its environment, or an environment as a whole.
struct Target {
    stack: Option<StackName>,
    environment: Option<EnvironmentName>,
}

struct Words<'a> {
    rest: VecDeque<&'a str>,
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

    /// A command about one environment.
    fn needed_environment(&mut self, command: &str) -> Result<EnvironmentName, NotUnderstood> {
        if let Some(environment) = self.environment() {
            return Ok(environment);
        }
        let usage = usage(command);
        Err(match self.take() {
            None => NotUnderstood::Missing { usage, what: "the environment" },
            Some(word) => NotUnderstood::BadWord { usage, word: cut(word), expected: "one of the environments" },
        })
    }

    /// A command that takes an environment and nothing else.
    fn only_environment(&mut self, command: &str) -> Result<Option<EnvironmentName>, NotUnderstood> {
        let environment = self.environment();
        self.end(command, "one of the environments")?;
        Ok(environment)
    }

    /// An environment, or a stack and perhaps an environment.
    fn target(&mut self, command: &str) -> Result<Target, NotUnderstood> {
        if let Some(environment) = self.environment() {
            // `hold production shop` is just as clear as `hold shop production`, but a reason may begin with any word.
            return Ok(Target { stack: None, environment: Some(environment) });
        }
        let stack = self.stack(command)?;
        Ok(Target { stack: Some(stack), environment: self.environment() })
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

pub(super) fn cut(word: &str) -> String {
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
