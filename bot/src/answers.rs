//! Answers that need no worker: status, why, history. They are made from what the workers last showed, so that a
//! registry that hangs never keeps anybody from asking what is going on.

use crate::card::Stage;
use crate::moments;
use crate::request::{
    CandidateRef, EnvironmentCalendar, EnvironmentHistory, EnvironmentStatus, Planned, PlannedState, StackOnHost, StackOnHosts, WaitLine,
    WaitReason,
};
use crate::room::{Picture, candidate_ref};
use crate::store::HostRow;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::calendar::{Calendar, FrozenStretch, Windows};
use tidegate_core::events::{ServiceStatus, StackStatus};
use tidegate_core::ids::{HostName, ReleaseNumber, ServiceName, StackName};
use tidegate_core::lock::Hold;
use tidegate_core::observed::Health;
use tidegate_core::plan::Waiting;
use tidegate_core::repo::Standing;

/// A host that has not been heard for this long is called silent, in seconds.
pub const SILENT_AFTER_SECS: i64 = 300;
/// Releases in a history.
const HISTORY_LINES_MAX: usize = 10;
/// Openings in an answer about the calendar.
const OPENINGS_SHOWN: usize = 5;
/// Freezes in it.
const FREEZES_SHOWN_MAX: usize = 10;
/// How far ahead freezes are looked for, in days.
const FREEZES_AHEAD_DAYS: i64 = 90;
/// Stretches of freezes looked at; a recurring one has many.
const FREEZES_MAX: usize = 1_000;

/// What runs where.
pub fn status(pictures: &[Arc<Picture>], now: Timestamp) -> Vec<EnvironmentStatus> {
    pictures.iter().map(|picture| environment_status(picture, now)).collect()
}

fn environment_status(picture: &Picture, now: Timestamp) -> EnvironmentStatus {
    EnvironmentStatus {
        environment: picture.name.clone(),
        release: picture.lock().map(|lock| lock.release),
        stacks: picture.stacks().into_iter().map(|(stack, release)| stack_status(picture, stack, release)).collect(),
        candidate: picture.waiting(now),
        holds: picture.holds(),
    }
}

fn stack_status(picture: &Picture, stack: StackName, release: Option<ReleaseNumber>) -> StackOnHosts {
    let on_host = |host: HostName| stack_on_host(&host, picture.hosts.get(&host), &stack);
    let hosts = picture.hosts_of(&stack).into_iter().map(on_host).collect();
    StackOnHosts { stack, release, hosts }
}

fn stack_on_host(host: &HostName, row: Option<&HostRow>, stack: &StackName) -> StackOnHost {
    let status = row.and_then(|row| row.report.status.as_ref()).and_then(|status| status.stacks.get(stack));
    StackOnHost {
        host: host.clone(),
        release: status.and_then(|status| status.released.as_ref()).and_then(|of| of.release),
        images: status.map(images).unwrap_or_default(),
        troubles: status.map(troubles).unwrap_or_default(),
        heard_at: row.map(|row| row.heard_at),
    }
}

fn images(status: &StackStatus) -> Vec<String> {
    status.services.values().filter(|service| service.running > 0).map(|service| service.image.clone()).collect()
}

fn troubles(status: &StackStatus) -> Vec<String> {
    status.services.iter().filter_map(|(name, service)| service_trouble(name, service)).collect()
}

fn service_trouble(name: &ServiceName, service: &ServiceStatus) -> Option<String> {
    match service.health {
        Some(Health::Unhealthy) => Some(format!("{name} is unhealthy")),
        _ if service.running < service.wanted => Some(format!("{name} runs {} of {}", service.running, service.wanted)),
        Some(Health::Starting) => Some(format!("{name} starts")),
        _ => None,
    }
}

/// When releases may start.
pub fn calendar(pictures: &[Arc<Picture>], now: Timestamp) -> Vec<EnvironmentCalendar> {
    pictures.iter().filter_map(|picture| environment_calendar(picture, now)).collect()
}

fn environment_calendar(picture: &Picture, now: Timestamp) -> Option<EnvironmentCalendar> {
    let Standing { calendar, holds, overrides } = picture.standing()?;
    let horizon = now.checked_add(SignedDuration::from_secs(FREEZES_AHEAD_DAYS * 24 * 3_600)).unwrap_or(now);
    let mut freezes: Vec<FrozenStretch> = calendar.frozen_stretches(now, horizon).take(FREEZES_MAX).collect();
    freezes.sort_by_key(|stretch| stretch.from);
    freezes.truncate(FREEZES_SHOWN_MAX);
    let decision = calendar.decide(now);
    let openings = if calendar_is_always_open(&calendar, &freezes) { Vec::new() } else { calendar.next_openings(now, OPENINGS_SHOWN) };
    let is_on = |hold: &Hold| hold.content.is_none() && hold.until.is_none_or(|until| now < until);
    Some(EnvironmentCalendar {
        environment: picture.name.clone(),
        zone: moments::zone(&calendar),
        planned: planned(picture, decision.next_start, now),
        decision,
        openings,
        freezes,
        holds: holds.into_iter().filter(is_on).collect(),
        overrides: overrides.into_iter().filter(|given| given.is_in_force(now)).collect(),
    })
}

fn calendar_is_always_open(calendar: &Calendar, freezes: &[FrozenStretch]) -> bool {
    !matches!(calendar.windows(), Windows::Listed(_)) && freezes.is_empty()
}

/// What waits to start: the candidate, and what is released and not on every host.
pub fn planned(picture: &Picture, next_start: Option<Timestamp>, now: Timestamp) -> Vec<Planned> {
    let mut planned = Vec::new();
    if let Some(lock) = picture.lock() {
        let mut waiting: BTreeMap<ReleaseNumber, Vec<StackName>> = BTreeMap::new();
        let open = |stack: &StackName, locked| !picture.hosts_of(stack).is_empty() && !picture.is_everywhere(stack, locked);
        for (stack, locked) in lock.stacks.iter().filter(|(stack, locked)| open(stack, locked) && !picture.has_failed(stack, locked)) {
            waiting.entry(locked.release).or_default().push(stack.clone());
        }
        let released = |(release, stacks)| Planned { release, stacks, state: PlannedState::Released, starts_at: next_start };
        planned.extend(waiting.into_iter().map(released));
    }
    if let Some(waiting) = picture.waiting(now) {
        let CandidateRef { release, stacks, .. } = waiting.candidate;
        planned.push(Planned { release, stacks, state: PlannedState::NeedsApproval, starts_at: next_start });
    }
    planned
}

/// The newest releases.
pub fn history(pictures: &[Arc<Picture>]) -> Vec<EnvironmentHistory> {
    let lines = |picture: &Arc<Picture>| EnvironmentHistory {
        environment: picture.name.clone(),
        releases: picture.history.lines(HISTORY_LINES_MAX),
    };
    pictures.iter().map(lines).collect()
}

/// What waits, what a person can clear first.
pub fn why(pictures: &[Arc<Picture>], stack: Option<&StackName>, now: Timestamp) -> Vec<WaitLine> {
    let mut lines: Vec<WaitLine> = pictures.iter().flat_map(|picture| waits(picture, now)).collect();
    lines.retain(|line| stack.is_none_or(|wanted| concerns(line, wanted)));
    lines
}

fn concerns(line: &WaitLine, stack: &StackName) -> bool {
    match &line.why {
        WaitReason::NeedsApproval { candidate, .. }
        | WaitReason::Rejected { candidate, .. }
        | WaitReason::NotReleasable { candidate, .. } => candidate.stacks.contains(stack),
        _ => line.stack.as_ref().is_none_or(|of| of == stack),
    }
}

/// What waits in an environment.
pub fn waits(picture: &Picture, now: Timestamp) -> Vec<WaitLine> {
    let line = |stack: Option<StackName>, why| WaitLine { environment: picture.name.clone(), stack, hosts: Vec::new(), why };
    let mut lines = Vec::new();
    if let Some(broken) = &picture.seen.broken {
        let finding = broken.findings.first().cloned().unwrap_or_default();
        lines.push(line(None, WaitReason::BrokenTip { commit: broken.commit.clone(), finding }));
    }
    if let Some(waiting) = picture.waiting(now) {
        lines.push(line(None, WaitReason::NeedsApproval { candidate: waiting.candidate, tally: waiting.tally }));
    }
    if let Some(card) = picture.open_card()
        && let Stage::Rejected { by, reason } = &card.stage
    {
        let (by, reason) = (by.clone(), reason.clone());
        lines.push(line(None, WaitReason::Rejected { candidate: candidate_ref(card), by, reason }));
    }
    if let Some((card, trouble)) = picture.trouble() {
        lines.push(line(None, WaitReason::NotReleasable { candidate: candidate_ref(card), cause: trouble.clone() }));
    }
    if let Some(locked) = picture.locked.as_ref().filter(|locked| !locked.missing.is_empty()) {
        let commits = locked.missing.iter().cloned().collect();
        lines.push(line(None, WaitReason::LockMissing { release: locked.lock.release, commits }));
    }
    lines.extend(picture.comparison.held.iter().map(|(stack, held)| line(Some(stack.clone()), held_by(picture, held.hold.clone()))));
    lines.extend(held_in_force(picture, now));
    lines.extend(standing_holds(picture, now));
    lines.extend(on_hosts(picture));
    lines.extend(silent(picture, now));
    lines
}

fn held_by(picture: &Picture, hold: Hold) -> WaitReason {
    WaitReason::Held { home: picture.home_of(&hold), hold }
}

/// A locked content that is itself held: it failed and there was nothing to go back to.
fn held_in_force(picture: &Picture, now: Timestamp) -> Vec<WaitLine> {
    let Some(lock) = picture.lock() else { return Vec::new() };
    let held = |(stack, locked): (&StackName, &tidegate_core::lock::LockedStack)| {
        let hold = lock.holds.iter().find(|hold| hold.content.is_some() && hold.stops(stack, &locked.content, now))?;
        let why = held_by(picture, hold.clone());
        Some(WaitLine { environment: picture.name.clone(), stack: Some(stack.clone()), hosts: Vec::new(), why })
    };
    lock.stacks.iter().filter_map(held).collect()
}

/// Holds on everything new, also while nothing new is there: whoever asks why wants to know.
fn standing_holds(picture: &Picture, now: Timestamp) -> Vec<WaitLine> {
    let told = |hold: &Hold| picture.comparison.held.values().any(|held| held.hold == *hold);
    let is_on = |hold: &Hold| hold.content.is_none() && hold.until.is_none_or(|until| now < until) && !told(hold);
    let line = |hold: Hold| WaitLine {
        environment: picture.name.clone(),
        stack: hold.stack.clone(),
        hosts: Vec::new(),
        why: held_by(picture, hold),
    };
    picture.holds().into_iter().filter(is_on).map(line).collect()
}

/// What hosts say; several that say the same are one line. What the lock says already is left out.
fn on_hosts(picture: &Picture) -> Vec<WaitLine> {
    let mut lines: Vec<WaitLine> = Vec::new();
    for (host, row) in &picture.hosts {
        let stacks = row.report.status.iter().flat_map(|status| &status.stacks);
        for (stack, waiting) in stacks.filter_map(|(stack, status)| Some((stack, status.waiting.as_ref()?))) {
            if matches!(waiting, Waiting::Held { .. }) {
                continue;
            }
            let same = |line: &&mut WaitLine| {
                line.stack.as_ref() == Some(stack) && matches!(&line.why, WaitReason::OnHost { waiting: known } if known == waiting)
            };
            match lines.iter_mut().find(same) {
                Some(line) => line.hosts.push(host.clone()),
                None => lines.push(WaitLine {
                    environment: picture.name.clone(),
                    stack: Some(stack.clone()),
                    hosts: vec![host.clone()],
                    why: WaitReason::OnHost { waiting: waiting.clone() },
                }),
            }
        }
    }
    lines
}

/// Is this host silent?
pub fn is_silent(heard_at: Timestamp, now: Timestamp) -> bool {
    now.as_second().saturating_sub(heard_at.as_second()) > SILENT_AFTER_SECS
}

fn silent(picture: &Picture, now: Timestamp) -> Vec<WaitLine> {
    let placed: BTreeSet<HostName> = picture.stacks().keys().flat_map(|stack| picture.hosts_of(stack)).collect();
    let rows = placed.iter().filter_map(|host| picture.hosts.get(host));
    rows.filter(|row| is_silent(row.heard_at, now))
        .map(|row| WaitLine {
            environment: picture.name.clone(),
            stack: None,
            hosts: vec![row.host.clone()],
            why: WaitReason::Silent { heard_at: Some(row.heard_at) },
        })
        .collect()
}
