//! What is suggested while somebody types: telling labels for people, plain values for us.

use super::text::{length, plain};
use super::wire::{CHOICE_MAX, CHOICES_MAX, Choice};
use crate::room::Picture;
use crate::words;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::ids::{EnvironmentName, StackName};

/// Releases looked through for suggestions.
const RELEASES_MAX: usize = 60;

/// What somebody is typing.
#[derive(Debug, Clone, Copy)]
pub struct Typing<'a> {
    /// The command.
    pub command: &'a str,
    /// The option.
    pub focused: &'a str,
    /// What stands there so far.
    pub typed: &'a str,
    /// The other options.
    pub options: &'a BTreeMap<String, String>,
}

/// The suggestions, the likeliest first.
pub fn choices(typing: &Typing<'_>, pictures: &[Arc<Picture>], now: Timestamp) -> Vec<Choice> {
    let all = match typing.focused {
        "environment" => environments(pictures, now),
        "stack" => stacks(typing.command, pictures, now),
        "release" => releases(typing, pictures, now),
        "blocks" => {
            vec![choice("release", &["new releases".to_owned()]), choice("rollback", &["new releases, and going back too".to_owned()])]
        }
        _ => Vec::new(),
    };
    let typed = typing.typed.trim().to_lowercase();
    let fits =
        |choice: &Choice| typed.is_empty() || choice.value.to_lowercase().contains(&typed) || choice.name.to_lowercase().contains(&typed);
    all.into_iter().filter(|choice| length(&choice.value) <= CHOICE_MAX && fits(choice)).take(CHOICES_MAX).collect()
}

fn choice(value: &str, parts: &[String]) -> Choice {
    let name = std::iter::once(value.to_owned()).chain(parts.iter().filter(|part| !part.is_empty()).map(|part| plain(part)));
    Choice { name: name.collect::<Vec<_>>().join(" · "), value: value.to_owned() }
}

fn environments(pictures: &[Arc<Picture>], now: Timestamp) -> Vec<Choice> {
    let of = |picture: &Arc<Picture>| {
        let release = picture.lock().map_or_else(|| "no release yet".to_owned(), |lock| format!("release {}", lock.release));
        let waits = if picture.waiting(now).is_some() { "needs approval".to_owned() } else { String::new() };
        choice(picture.name.as_str(), &[release, waits])
    };
    pictures.iter().map(of).collect()
}

/// Stacks in trouble or on hold come first.
fn stacks(command: &str, pictures: &[Arc<Picture>], now: Timestamp) -> Vec<Choice> {
    let mut found: BTreeMap<StackName, Vec<String>> = BTreeMap::new();
    let mut urgent: BTreeSet<StackName> = BTreeSet::new();
    for picture in pictures {
        let holds = picture.lock().map(|lock| lock.holds.as_slice()).unwrap_or_default();
        for (stack, release) in picture.stacks() {
            let is_held = holds.iter().any(|hold| hold.stack.as_ref() == Some(&stack) && hold.until.is_none_or(|until| until > now));
            let release = release.map(|number| format!(" {number}")).unwrap_or_default();
            let held = if is_held { " (held)" } else { "" };
            if is_held || is_in_trouble(picture, &stack) {
                urgent.insert(stack.clone());
            }
            if command != "resume" || is_held {
                found.entry(stack).or_default().push(format!("{}{release}{held}", picture.name));
            }
        }
    }
    let mut choices: Vec<(bool, Choice)> =
        found.iter().map(|(stack, parts)| (!urgent.contains(stack), choice(stack.as_str(), parts))).collect();
    choices.sort_by_key(|(calm, choice)| (*calm, choice.value.clone()));
    choices.into_iter().map(|(_, choice)| choice).collect()
}

fn is_in_trouble(picture: &Picture, stack: &StackName) -> bool {
    picture.cards.iter().rev().find(|card| card.contents.contains_key(stack)).is_some_and(|card| card.failures().next().is_some())
}

/// `43 · 1.8.2 · 3 h ago · alice · verified`.
fn releases(typing: &Typing<'_>, pictures: &[Arc<Picture>], now: Timestamp) -> Vec<Choice> {
    let named: Option<EnvironmentName> = typing.options.get("environment").and_then(|text| text.parse().ok());
    let stack: Option<StackName> = typing.options.get("stack").and_then(|text| text.parse().ok());
    let runs = |picture: &&Arc<Picture>| stack.as_ref().is_none_or(|stack| picture.stacks().contains_key(stack));
    let picture = match named {
        Some(name) => pictures.iter().find(|picture| picture.name == name),
        None => pictures.iter().rev().find(runs),
    };
    match (picture, stack) {
        (Some(picture), Some(stack)) if typing.command == "rollback" => ways_back(picture, &stack, now),
        (Some(picture), _) => newest(picture, now),
        (None, _) => Vec::new(),
    }
}

fn ways_back(picture: &Picture, stack: &StackName, now: Timestamp) -> Vec<Choice> {
    let targets = picture.targets(stack, now);
    let of = |target: &crate::history::Target| {
        let number = target.locked.release;
        let by = picture.history.release(number).and_then(|record| person_of(&record.lock));
        let verified = if target.verified { "verified" } else { "never verified" };
        choice(
            &number.to_string(),
            &[versions(picture, stack, target), words::ago(target.at, now), by.unwrap_or_default(), verified.to_owned()],
        )
    };
    targets.iter().map(of).collect()
}

/// The versions that a release of a stack brought, as far as its card is remembered.
pub fn versions(picture: &Picture, stack: &StackName, target: &crate::history::Target) -> String {
    let card = picture.cards.iter().rev().find(|card| card.contents.get(stack) == Some(&target.locked.content));
    let change = card.and_then(|card| card.changes.get(stack));
    let tags: BTreeSet<String> = change
        .iter()
        .flat_map(|change| change.services.values())
        .filter_map(|service| Some(tag(service.to.as_ref()?).to_owned()))
        .collect();
    tags.into_iter().take(3).collect::<Vec<_>>().join(", ")
}

/// `web:1.8.2` is 1.8.2 for people who know the stack.
fn tag(image: &str) -> &str {
    image.rsplit_once(':').map_or(image, |(_, tag)| tag)
}

fn person_of(lock: &tidegate_core::lock::Lock) -> Option<String> {
    let by = lock.requested_by.as_ref().or_else(|| lock.approvals.first().map(|approval| &approval.by));
    by.map(ToString::to_string)
}

fn newest(picture: &Picture, now: Timestamp) -> Vec<Choice> {
    let of = |line: crate::request::HistoryLine| {
        let people: Vec<String> = line.people.iter().map(ToString::to_string).collect();
        let stacks = crate::releases::stack_list(line.stacks.iter());
        choice(&line.release.to_string(), &[stacks, words::ago(line.at, now), people.join(", ")])
    };
    picture.history.lines(RELEASES_MAX).into_iter().map(of).collect()
}
