//! The question before going back: from → to, what it undoes, another release to choose, and a button that does it. With
//! it a rollback is two steps: ask, confirm; three when another release is chosen.

use super::complete::versions;
use super::records::{Act, Record, Records};
use super::text::{cut, cut_lines, line, plain, relative};
use super::wire::{CHOICE_MAX, CHOICES_MAX, Choosable, Component, Embed, Field, Look, Message, Row, VALUE_MAX};
use crate::card::Card;
use crate::history::Target;
use crate::room::Picture;
use crate::store::StoreError;
use crate::words::{
    self,
    discord::{self as said, AFTER_GOING_BACK, GoingBack, going_back, label, part},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use tidegate_core::compose::Condition;
use tidegate_core::ids::{ContentId, EnvironmentName, ReleaseNumber, ServiceName, StackName};

/// A question is answered within this.
const QUESTION_HOLDS: SignedDuration = SignedDuration::from_mins(10);
/// Commits listed as undone.
const UNDONE_MAX: usize = 12;

/// What is asked, all of it resolved.
#[derive(Debug, Clone)]
pub struct Question {
    /// Which stack.
    pub stack: StackName,
    /// Where.
    pub environment: EnvironmentName,
    /// What runs by right.
    pub from: ReleaseNumber,
    /// Its content.
    pub content: ContentId,
    /// Where to.
    pub to: ReleaseNumber,
    /// Why, if it was said.
    pub reason: Option<String>,
    /// Who asked.
    pub asker: u64,
}

/// The question as a message; its buttons are durable before it is seen.
pub async fn message(question: &Question, picture: &Picture, records: &Records, now: Timestamp) -> Result<Message, StoreError> {
    let Question { stack, environment, from, to, .. } = question;
    let record = |act| Record {
        act,
        environment: environment.clone(),
        only_for: Some(question.asker),
        until: now.checked_add(QUESTION_HOLDS).ok(),
        used: false,
    };
    let now_act = Act::RollBackNow {
        stack: stack.clone(),
        from: *from,
        content: Some(question.content.clone()),
        to: *to,
        reason: question.reason.clone(),
    };
    let go = records.once(record(now_act)).await?;
    let cancel = records.once(record(Act::Cancel)).await?;
    let buttons = vec![
        Component::button(Look::Danger, &format!("Roll back {stack} to {to}"), &go),
        Component::button(Look::Plain, label::CANCEL, &cancel),
    ];
    let mut rows = vec![Row::of(buttons)];
    let targets = picture.targets(stack, now);
    if targets.len() > 1 {
        let choose = records.once(record(Act::ChooseTarget { stack: stack.clone(), reason: question.reason.clone() })).await?;
        let options = targets.iter().take(CHOICES_MAX).map(|target| choosable(picture, stack, target, (*to, now))).collect();
        rows.push(Row::of(vec![Component::select(&choose, label::ANOTHER, options)]));
    }
    let asked = GoingBack { stack: stack.as_str(), environment: environment.as_str(), from: from.to_string(), to: to.to_string() };
    let embed = Embed {
        title: line(&going_back(&asked)),
        description: description(question, picture, &targets),
        color: Some(0x00da_373c),
        fields: vec![
            Field { name: part::WARNING.to_owned(), value: warning(question, picture), inline: false },
            Field { name: part::UNDONE.to_owned(), value: undone(question, picture), inline: false },
        ],
        footer: None,
    };
    Ok(Message { components: rows, ..Message::embed(embed) })
}

fn choosable(picture: &Picture, stack: &StackName, target: &Target, (chosen, now): (ReleaseNumber, Timestamp)) -> Choosable {
    let number = target.locked.release;
    let parts = [number.to_string(), plain(&versions(picture, stack, target)), words::ago(target.at, now), "verified".to_owned()];
    let label = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ");
    Choosable { label: cut(&label, CHOICE_MAX), value: number.to_string(), default: number == chosen }
}

fn description(question: &Question, picture: &Picture, targets: &[Target]) -> String {
    let target = targets.iter().find(|target| target.locked.release == question.to);
    let mut lines = vec![format!("{} → {}", images(question, picture, question.from), images(question, picture, question.to))];
    lines.extend(target.map(|target| format!("Release {} was first released {}.", target.locked.release, relative(target.at))));
    lines.extend(question.reason.as_ref().map(|reason| line(reason)));
    lines.push(AFTER_GOING_BACK.to_owned());
    lines.join("\n")
}

/// The images that a release of the stack brought, as far as its card is remembered.
fn images(question: &Question, picture: &Picture, release: ReleaseNumber) -> String {
    let brought = |card: &&crate::card::Card| card.release == release && card.changes.contains_key(&question.stack);
    let change = picture.cards.iter().rev().find(brought).and_then(|card| card.changes.get(&question.stack));
    let images: Vec<String> = change.iter().flat_map(|change| change.services.values()).filter_map(|service| service.to.clone()).collect();
    line(&if images.is_empty() { format!("release {release}") } else { images.join(", ") })
}

/// The releases of the stack that would be undone, newest first.
fn between<'a>(question: &'a Question, picture: &'a Picture) -> impl Iterator<Item = &'a Card> {
    let is_between = |number: ReleaseNumber| number > question.to && number <= question.from;
    picture.cards.iter().rev().filter(move |card| is_between(card.release) && card.contents.contains_key(&question.stack))
}

/// What going back cannot undo: a job, such as a migration, that a release between changed and that ran once for it.
fn warning(question: &Question, picture: &Picture) -> String {
    let Some(model) = picture.locked.as_ref().and_then(|locked| locked.models.get(&question.stack)) else { return String::new() };
    let conditions = model.services.values().flat_map(|service| &service.depends_on);
    let jobs: BTreeSet<&ServiceName> = conditions
        .filter(|(_, dependency)| dependency.condition == Condition::ServiceCompletedSuccessfully)
        .map(|(name, _)| name)
        .collect();
    let changed = between(question, picture).filter_map(|card| card.changes.get(&question.stack)).flat_map(|change| change.services.keys());
    let ran: BTreeSet<&ServiceName> = changed.filter(|service| jobs.contains(service)).collect();
    if ran.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = ran.into_iter().map(ServiceName::as_str).collect();
    line(&said::job_between(&names.join(", ")))
}

/// The commits of every release of the stack between the two, newest first.
fn undone(question: &Question, picture: &Picture) -> String {
    let cards = between(question, picture);
    let mut seen = BTreeSet::new();
    let commits: Vec<_> = cards.flat_map(|card| &card.commits).filter(|commit| seen.insert(commit.commit.clone())).collect();
    let mut lines: Vec<String> = commits
        .iter()
        .take(UNDONE_MAX)
        .map(|commit| format!("`{}` {} · {}", commit.commit.short(), cut(&line(&commit.subject), 100), cut(&line(&commit.author), 40)))
        .collect();
    if commits.len() > UNDONE_MAX {
        lines.push(format!("and {} more", commits.len() - UNDONE_MAX));
    }
    cut_lines(&lines, VALUE_MAX)
}
