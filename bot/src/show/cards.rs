//! Cards for the page.

use super::{wait, window};
use crate::answers;
use crate::card::{Card, Happened, Progress, ProgressState, Stage};
use crate::history::Target;
use crate::room::Picture;
use crate::view::{
    self, Actions, ApprovalsView, CommitLine, Decide, Expected, HostProgress, ResultView, RollbackChoice, RollbackTarget, Tone,
};
use crate::words;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::candidate::StackChange;
use tidegate_core::events::Outcome;
use tidegate_core::ids::{HostName, StackName};
use tidegate_core::lock::Hold;
use tidegate_core::plan::Waiting;
use tidegate_core::policy::Tally;

/// Cards of an environment on the page.
const CARDS_SHOWN_MAX: usize = 8;
/// Ways back offered for a stack.
const TARGETS_MAX: usize = 10;

/// What needs a person first, then the newest.
pub(super) fn cards(pictures: &[Arc<Picture>], now: Timestamp) -> Vec<view::Card> {
    let mut cards: Vec<(u8, std::cmp::Reverse<Timestamp>, view::Card)> = Vec::new();
    for picture in pictures {
        let shown = picture.cards.iter().rev().filter(|card| card.stage != Stage::Withdrawn).take(CARDS_SHOWN_MAX);
        for card in shown {
            let view = view_of(picture, card, now);
            cards.push((rank(view.stage), std::cmp::Reverse(card.created_at), view));
        }
    }
    cards.sort_by_key(|(rank, newest, _)| (*rank, *newest));
    cards.into_iter().map(|(_, _, card)| card).collect()
}

fn rank(stage: view::Stage) -> u8 {
    match stage {
        view::Stage::NeedsApproval => 0,
        view::Stage::Failed | view::Stage::Error => 1,
        view::Stage::RollingOut | view::Stage::Waiting => 2,
        _ => 3,
    }
}

/// A card as it is shown; platforms show the same.
pub fn view_of(picture: &Picture, card: &Card, now: Timestamp) -> view::Card {
    let tally = card.is_open().then(|| picture.tally(card, now)).flatten();
    let live = card.stage == Stage::Released && picture.is_live(card);
    let stage = stage(picture, card, tally.as_ref());
    let waits = if matches!(stage, view::Stage::NeedsApproval | view::Stage::Waiting | view::Stage::RollingOut | view::Stage::Error) {
        waits(picture, card, now)
    } else {
        Vec::new()
    };
    let says_a_host = |wait: &view::WaitView| !wait.hosts.is_empty();
    let words = match open_hold(picture, card) {
        Some(hold) => words::held_card(hold, picture.home_of(hold)),
        // Who reads that hosts take it should not read below that they wait.
        None if card.stage == Stage::Released && stage == view::Stage::Waiting && waits.iter().any(says_a_host) => {
            words::RELEASED_WAITS.to_owned()
        }
        None => words::stage(card, tally.as_ref(), live),
    };
    view::Card {
        environment: card.environment.clone(),
        release: card.release,
        kind: card.kind,
        stage,
        words,
        expected: Expected { commit: card.subject.commit.clone(), plan: card.subject.plan.clone() },
        commit: card.subject.commit.clone(),
        requested_by: card.requested_by.as_ref().map(|by| picture.full_name(by)),
        reason: card.reason.clone(),
        changes: card.changes.iter().map(change).collect(),
        authors: authors(card),
        commits: card.commits.iter().map(commit).collect(),
        commits_not_listed: card.commits_not_listed,
        approvals: approvals(picture, card, tally.as_ref()),
        window: (card.is_open() || stage == view::Stage::Waiting).then(|| window(picture, now)),
        waits,
        rollout: rollout(picture, card, now),
        result: result(card, live),
        timeline: card.timeline.iter().map(|entry| timeline(picture, entry)).collect(),
        actions: actions(picture, card, stage, now),
    }
}

fn stage(picture: &Picture, card: &Card, tally: Option<&Tally>) -> view::Stage {
    match &card.stage {
        Stage::Candidate if card.trouble.is_some() => view::Stage::Error,
        // Nobody is asked about what could not be released; what was agreed is kept.
        Stage::Candidate if picture.hold_of(card).is_some() => view::Stage::Waiting,
        Stage::Candidate if tally.is_some_and(|tally| tally.missing() > 0) => view::Stage::NeedsApproval,
        Stage::Candidate => view::Stage::Waiting,
        Stage::Rejected { .. } => view::Stage::Rejected,
        Stage::FailedRolledBack { .. } => view::Stage::FailedRolledBack,
        Stage::FailedHeld => view::Stage::Failed,
        Stage::RolledBack { .. } => view::Stage::Held,
        Stage::Superseded | Stage::Withdrawn => view::Stage::Superseded,
        Stage::Released => released_stage(picture, card),
    }
}

/// What holds a card that is offered and has no worse trouble.
fn open_hold<'a>(picture: &'a Picture, card: &Card) -> Option<&'a Hold> {
    (card.stage == Stage::Candidate && card.trouble.is_none()).then(|| picture.hold_of(card)).flatten()
}

fn released_stage(picture: &Picture, card: &Card) -> view::Stage {
    let ended = |wanted: fn(&Outcome) -> bool| {
        card.progress.iter().any(|progress| matches!(&progress.state, ProgressState::Ended { outcome, .. } if wanted(outcome)))
    };
    if picture.is_live(card) {
        view::Stage::Live
    } else if ended(|outcome| matches!(outcome, Outcome::Failed(_))) {
        view::Stage::Failed
    } else if ended(|outcome| matches!(outcome, Outcome::Error(_))) {
        view::Stage::Error
    } else if card.contents.is_empty() {
        view::Stage::Live // nothing to do for any host: a policy or a placement changed
    } else if card.progress.is_empty() {
        view::Stage::Waiting
    } else {
        view::Stage::RollingOut
    }
}

fn waits(picture: &Picture, card: &Card, now: Timestamp) -> Vec<view::WaitView> {
    let lines = answers::waits(picture, now).into_iter();
    let concerns = |stack: &Option<StackName>| stack.as_ref().is_none_or(|stack| card.changes.contains_key(stack));
    lines.filter(|line| concerns(&line.stack)).map(|line| wait(line, now)).collect()
}

fn change((stack, change): (&StackName, &StackChange)) -> view::StackChange {
    let services = change.services.iter().map(|(service, change)| view::ServiceChange {
        service: service.clone(),
        from: change.from.clone(),
        to: change.to.clone(),
        details: change.fields.clone(),
    });
    view::StackChange { stack: stack.clone(), from_release: change.from_release, services: services.collect() }
}

fn authors(card: &Card) -> Vec<String> {
    let mut authors: Vec<String> = Vec::new();
    for commit in &card.commits {
        if !authors.contains(&commit.author) {
            authors.push(commit.author.clone());
        }
    }
    authors
}

fn commit(line: &crate::card::CommitLine) -> CommitLine {
    CommitLine { commit: line.commit.clone(), author: line.author.clone(), subject: line.subject.clone(), at: line.at }
}

fn approvals(picture: &Picture, card: &Card, tally: Option<&Tally>) -> ApprovalsView {
    let given = match tally {
        Some(tally) => tally.counted.iter().map(|approval| (picture.full_name(&approval.by), approval.at)).collect(),
        None => card.approvals.iter().map(|approval| (picture.full_name(&approval.by), approval.at)).collect(),
    };
    let needed = tally.map_or_else(|| u32::try_from(card.approvals.len()).unwrap_or(u32::MAX), |tally| tally.needed);
    let missing = tally.filter(|tally| tally.missing() > 0).map(|tally| words::missing(tally, |name| picture.full_name(name)));
    ApprovalsView { needed, given, missing }
}

/// Every host of every changed stack has a line, heard or not.
fn rollout(picture: &Picture, card: &Card, now: Timestamp) -> Vec<HostProgress> {
    if card.is_open() {
        return Vec::new();
    }
    let mut lines: BTreeMap<(HostName, StackName), HostProgress> = BTreeMap::new();
    for (stack, content) in card.contents.iter().filter(|_| card.stage == Stage::Released) {
        for host in picture.hosts_of(stack) {
            let line =
                if picture.runs(&host, stack, content) { running(host.clone(), stack) } else { pending(picture, host.clone(), stack, now) };
            lines.insert((host, stack.clone()), line);
        }
    }
    for progress in &card.progress {
        lines.insert((progress.host.clone(), progress.stack.clone()), host_progress(progress));
    }
    lines.into_values().collect()
}

fn running(host: HostName, stack: &StackName) -> HostProgress {
    let (state, words) = (view::ProgressState::Verified, words::RUNS_IT.to_owned());
    HostProgress { host, stack: stack.clone(), state, done: 0, steps: 0, words, at: None }
}

fn pending(picture: &Picture, host: HostName, stack: &StackName, now: Timestamp) -> HostProgress {
    let status = picture.hosts.get(&host).and_then(|row| row.report.status.as_ref()).and_then(|status| status.stacks.get(stack));
    let waiting: Option<&Waiting> = status.and_then(|status| status.waiting.as_ref());
    let words = waiting.map_or_else(|| words::PENDING.to_owned(), |waiting| words::waiting(waiting, now));
    HostProgress { host, stack: stack.clone(), state: view::ProgressState::Pending, done: 0, steps: 0, words, at: None }
}

fn host_progress(progress: &Progress) -> HostProgress {
    let (state, done, steps) = match &progress.state {
        ProgressState::Running { done, steps, .. } => (view::ProgressState::Running, *done, *steps),
        ProgressState::Ended { outcome: Outcome::Verified, .. } => (view::ProgressState::Verified, 0, 0),
        ProgressState::Ended { outcome: Outcome::Failed(_), .. } => (view::ProgressState::Failed, 0, 0),
        ProgressState::Ended { outcome: Outcome::Error(_), .. } => (view::ProgressState::Error, 0, 0),
        ProgressState::Ended { outcome: Outcome::Superseded | Outcome::TakenBack { .. }, .. } => (view::ProgressState::Pending, 0, 0),
    };
    let (host, stack) = (progress.host.clone(), progress.stack.clone());
    HostProgress { host, stack, state, done, steps, words: words::progress(progress), at: Some(progress.at) }
}

fn result(card: &Card, live: bool) -> Option<ResultView> {
    let log = || card.failures().flat_map(|(_, _, failure)| failure.log.iter().cloned()).collect();
    let view = |tone, log| Some(ResultView { tone, words: words::stage(card, None, live), log });
    match &card.stage {
        Stage::Released if live => view(Tone::Good, Vec::new()),
        Stage::Released if card.failures().next().is_some() => view(Tone::Bad, log()),
        Stage::FailedRolledBack { .. } | Stage::FailedHeld => view(Tone::Bad, log()),
        Stage::RolledBack { .. } => view(Tone::Warning, Vec::new()),
        Stage::Candidate | Stage::Rejected { .. } | Stage::Withdrawn | Stage::Released | Stage::Superseded => None,
    }
}

fn timeline(picture: &Picture, entry: &crate::card::Entry) -> view::TimelineEntry {
    let tone = match &entry.what {
        Happened::Approved | Happened::Locked { .. } => Tone::Good,
        Happened::Ended { outcome: Outcome::Verified, .. } => Tone::Good,
        Happened::Ended { outcome: Outcome::Failed(_), .. } | Happened::Held { .. } => Tone::Bad,
        Happened::Ended { .. }
        | Happened::Overran { .. }
        | Happened::Rejected { .. }
        | Happened::NotLocked { .. }
        | Happened::WentBack { .. } => Tone::Warning,
        _ => Tone::Plain,
    };
    let who = words::who(entry.who.as_ref(), |name| picture.full_name(name));
    view::TimelineEntry { at: entry.at, who, what: words::entry(&entry.what), tone }
}

fn actions(picture: &Picture, card: &Card, stage: view::Stage, now: Timestamp) -> Actions {
    let decide = if stage == view::Stage::NeedsApproval { Decide::Asked } else { Decide::NotAsked };
    // Not by the lock's number: a hold or a freeze is a lock of its own, and has no card.
    let newest = picture.cards.iter().filter(|known| known.lock_commit.is_some()).max_by_key(|known| known.release);
    let is_current = newest.is_some_and(|newest| newest.id == card.id) && !card.is_open();
    let stacks = if is_current { picture.stacks() } else { BTreeMap::new() };
    let rollbacks = stacks.into_keys().filter_map(|stack| {
        let targets: Vec<RollbackTarget> =
            picture.targets(&stack, now).iter().take(TARGETS_MAX).map(|target| rollback_target(picture, &stack, target, now)).collect();
        (!targets.is_empty()).then_some(RollbackChoice { stack, targets })
    });
    Actions { decide, rollbacks: rollbacks.collect() }
}

fn rollback_target(picture: &Picture, stack: &StackName, target: &Target, now: Timestamp) -> RollbackTarget {
    // The card that brought it knows the versions; an old one may be forgotten.
    let card = picture.cards.iter().rev().find(|card| card.contents.get(stack) == Some(&target.locked.content));
    let change = card.and_then(|card| card.changes.get(stack));
    let images: Vec<String> = change.iter().flat_map(|change| change.services.values()).filter_map(|service| service.to.clone()).collect();
    let by = picture.history.release(target.locked.release).and_then(|record| record.lock.requested_by.clone());
    RollbackTarget {
        release: target.locked.release,
        label: words::target(&images, target.at, by.as_ref().map(|by| picture.full_name(by)), now),
    }
}
