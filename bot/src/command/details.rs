//! What follows the target of a freeze, a hold or an override: `until 2027-01-02 09:00 the holidays`, or with labels in any
//! order, as a form makes them: `reason: the holidays until: 2027-01-02 09:00`.

use super::parse::{cut, usage};
use super::when::{self, End, Minutes, Moment};
use super::{NotUnderstood, clean_reason};
use std::collections::{BTreeSet, VecDeque};
use tidegate_core::calendar::Gated;
use tidegate_core::ids::ReleaseNumber;

/// What a part of the rest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// `from WHEN`.
    From,
    /// `until WHEN`.
    Until,
    /// `for 2h`.
    For,
    /// `release 43`.
    Release,
    /// `blocks: rollback`.
    Blocks,
    /// `reason: …`, up to the next label with a colon.
    Reason,
}

impl Label {
    /// The label that a word is, with its colon or without.
    pub(super) fn of(word: &str) -> Option<Label> {
        Some(match word.trim_end_matches(':').to_ascii_lowercase().as_str() {
            "from" => Label::From,
            "until" => Label::Until,
            "for" => Label::For,
            "release" => Label::Release,
            "blocks" => Label::Blocks,
            "reason" => Label::Reason,
            _ => return None,
        })
    }

    /// Can only be a label: it has its colon.
    fn is_written(word: &str, allowed: &[Label]) -> Option<Label> {
        Label::of(word).filter(|label| word.ends_with(':') && allowed.contains(label))
    }
}

/// What was said.
#[derive(Debug, Default)]
pub(super) struct Details {
    command: &'static str,
    pub(super) from: Option<Moment>,
    pub(super) end: Option<End>,
    pub(super) release: Option<ReleaseNumber>,
    pub(super) blocks: BTreeSet<Gated>,
    reason: Option<String>,
}

impl Details {
    /// Reads all that is left of a line.
    pub(super) fn read(words: &mut VecDeque<&str>, command: &'static str, allowed: &[Label]) -> Result<Details, NotUnderstood> {
        let mut details = Details { command, blocks: BTreeSet::from([Gated::Release]), ..Details::default() };
        while let Some(word) = words.front().copied() {
            let label = Label::of(word).filter(|label| allowed.contains(label));
            let has_colon = word.ends_with(':');
            match label {
                Some(label) if has_colon || details.begins(label, words) => {
                    words.pop_front();
                    details.take(label, words, allowed)?;
                }
                _ => details.take(Label::Reason, words, allowed)?,
            }
        }
        Ok(details)
    }

    /// Is this word, without a colon, the label and not the first word of a reason? `hold shop for the weekend`,
    /// `hold shop until we know more`.
    fn begins(&self, label: Label, words: &VecDeque<&str>) -> bool {
        let next = words.get(1).copied().unwrap_or_default();
        let begins_with_digit = next.starts_with(|c: char| c.is_ascii_digit() || c == '#');
        self.reason.is_none() && (begins_with_digit || words.len() == 1 && label != Label::Reason)
    }

    fn take(&mut self, label: Label, words: &mut VecDeque<&str>, allowed: &[Label]) -> Result<(), NotUnderstood> {
        match label {
            Label::Reason => self.take_reason(words, allowed),
            Label::From => set(self.command, &mut self.from, moment(self.command, words)?),
            Label::Until => set(self.command, &mut self.end, End::At(moment(self.command, words)?)),
            Label::For => set(self.command, &mut self.end, End::After(span(self.command, words)?)),
            Label::Release => set(self.command, &mut self.release, release(self.command, words)?),
            Label::Blocks => self.take_blocks(words),
        }
    }

    fn take_reason(&mut self, words: &mut VecDeque<&str>, allowed: &[Label]) -> Result<(), NotUnderstood> {
        let length = words.iter().position(|word| Label::is_written(word, allowed).is_some()).unwrap_or(words.len());
        let said: Vec<&str> = words.drain(..length).collect();
        match clean_reason(&said.join(" ")) {
            Some(reason) => set(self.command, &mut self.reason, reason),
            None => Ok(()),
        }
    }

    fn take_blocks(&mut self, words: &mut VecDeque<&str>) -> Result<(), NotUnderstood> {
        let expected = "`release` or `rollback` after `blocks:`";
        let word = words.pop_front().unwrap_or_default();
        for part in word.split(',').filter(|part| !part.is_empty()) {
            match part {
                "release" => {}
                "rollback" | "rollbacks" => drop(self.blocks.insert(Gated::Rollback)),
                _ => return Err(bad(self.command, part, expected)),
            }
        }
        if word.is_empty() { Err(bad(self.command, "blocks:", expected)) } else { Ok(()) }
    }

    /// The reason, which is always needed: it is what others read.
    pub(super) fn reason(self) -> Result<String, NotUnderstood> {
        self.reason.ok_or(NotUnderstood::Missing { usage: usage(self.command), what: "a reason" })
    }
}

fn bad(command: &str, word: &str, expected: &'static str) -> NotUnderstood {
    NotUnderstood::BadWord { usage: usage(command), word: cut(word), expected }
}

/// Said once: two ends are one too many, and nobody guesses which was meant.
fn set<T>(command: &str, place: &mut Option<T>, value: T) -> Result<(), NotUnderstood> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(bad(command, "again", "each of until, for, from, release and reason at most once, and either until or for")),
    }
}

fn moment(command: &str, words: &mut VecDeque<&str>) -> Result<Moment, NotUnderstood> {
    let found = when::take(words);
    found.ok_or_else(|| bad(command, words.front().copied().unwrap_or("nothing"), "a moment like `2027-01-02 09:00` or `18:00`"))
}

fn span(command: &str, words: &mut VecDeque<&str>) -> Result<Minutes, NotUnderstood> {
    let word = words.pop_front().unwrap_or("nothing");
    Minutes::parse(word.trim_end_matches([',', ';', '.']))
        .ok_or_else(|| bad(command, word, "a time like `2h`, `90m` or `1d12h` after `for`"))
}

fn release(command: &str, words: &mut VecDeque<&str>) -> Result<ReleaseNumber, NotUnderstood> {
    let word = words.pop_front().unwrap_or("nothing");
    let number = word.trim_start_matches('#').trim_end_matches([',', ';', '.', ':']).parse();
    number.map(ReleaseNumber).map_err(|_| bad(command, word, "the number of a release after `release`"))
}
