//! Cards, in words.

use super::{count, refusals, time, waits};
use crate::card::{Card, Happened, Progress, ProgressState, Stage, Who};
use crate::command::clean_reason;
use jiff::Timestamp;
use tidegate_core::events::{Failure, Outcome, Restored};
use tidegate_core::ids::PersonName;
use tidegate_core::plan::Waiting;
use tidegate_core::policy::Tally;

/// A host that has said nothing about a release yet.
pub const PENDING: &str = "Not begun.";
/// A host that runs what a release names without having had to do anything for it.
pub const RUNS_IT: &str = "Runs it.";

/// A release that hosts do not start yet; what they wait for stands below it.
pub const RELEASED_WAITS: &str = "Released, and waits to start.";

/// Where a card stands, as one sentence. `tally` is for an open card, `live` says that every host has verified it.
pub fn stage(card: &Card, tally: Option<&Tally>, live: bool) -> String {
    match &card.stage {
        Stage::Candidate => match (&card.trouble, tally.map(Tally::missing)) {
            (Some(cause), _) => format!("Agreed, and cannot be made yet: {}", refusals::trouble(cause)),
            (None, Some(missing)) if missing > 0 => format!("Waits for {}.", count(missing, "approval")),
            _ => "Is being released.".to_owned(),
        },
        Stage::Rejected { by, reason } => format!("Turned down by {by}: {reason}"),
        Stage::Withdrawn => "Withdrawn: nothing differs from what is released any more.".to_owned(),
        Stage::Released if live => "Live: it passed its checks on every host.".to_owned(),
        Stage::Released if card.needs_a_person() => "Failed, and the way back failed too: a person must look.".to_owned(),
        Stage::Released if card.progress.is_empty() => "Released. The hosts take it at their next poll.".to_owned(),
        Stage::Released => "On its way to the hosts.".to_owned(),
        Stage::FailedRolledBack { to } => format!("Failed, rolled back to release {to}."),
        Stage::FailedHeld => "Failed and held; there is no earlier release to go back to.".to_owned(),
        Stage::RolledBack { to } => format!("Rolled back to release {to}."),
        Stage::Superseded => "A newer release took its place.".to_owned(),
    }
}

/// Who did something, for people; `name` gives a person's full name.
pub fn who(who: Option<&Who>, name: impl Fn(&PersonName) -> String) -> String {
    match who {
        None => "Tidegate".to_owned(),
        Some(Who::Person { name: person }) => name(person),
        Some(Who::Host { name: host }) => host.to_string(),
    }
}

/// What happened, as one sentence.
pub fn entry(what: &Happened) -> String {
    match what {
        Happened::Offered { commit } => format!("offered it, at {}", commit.short()),
        Happened::Replaced { commit, voided: 0 } => format!("offers {} instead", commit.short()),
        Happened::Replaced { commit, voided } => {
            let approvals = count(u32::try_from(*voided).unwrap_or(u32::MAX), "approval");
            format!("offers {} instead; {approvals} given before no longer count", commit.short())
        }
        Happened::Approved => "approved it".to_owned(),
        Happened::Rejected { reason } => format!("turned it down: {reason}"),
        Happened::Withdrawn => "withdrew it: nothing differs any more".to_owned(),
        Happened::Locked { commit } => format!("committed the release as {}", commit.short()),
        Happened::NotLocked { cause } => format!("could not commit the release: {}", refusals::trouble(cause)),
        Happened::Started { stack } => format!("began with {stack}"),
        Happened::Ended { stack, outcome, took_ms } => ended(stack.as_str(), outcome, *took_ms),
        Happened::Overran { stack, overrun_secs } => {
            format!("ended with {stack} {} after its window had closed", time::took(overrun_secs.saturating_mul(1000)))
        }
        Happened::WentBack { stack, to, reason } => format!("set {stack} back to release {to}: {reason}"),
        Happened::Held { stack, reason } => format!("holds this content of {stack}: {reason}"),
        Happened::Superseded { by } => format!("replaced it by release {by}"),
    }
}

fn ended(stack: &str, outcome: &Outcome, took_ms: u64) -> String {
    match outcome {
        Outcome::Verified => format!("verified {stack}, after {}", time::took(took_ms)),
        Outcome::Failed(failure) => format!("{stack} failed: {}", failed(failure)),
        Outcome::Error(failure) => format!("could not do or check {stack}: {}", one_line(&failure.cause)),
        Outcome::Superseded => format!("stopped {stack}: a newer release took its place"),
        Outcome::TakenBack { because } => format!("took {stack} back before it was done: {}", stopped(because)),
    }
}

/// What stopped a rollout, as part of a sentence; without moments, as the sentence stays while time passes.
fn stopped(because: &Waiting) -> String {
    match because {
        Waiting::WindowClosed { .. } | Waiting::MissedWindow { .. } => "its window closed".to_owned(),
        Waiting::DoesNotFit { .. } | Waiting::Splay { .. } => "its window was about to close".to_owned(),
        Waiting::Frozen { rule, .. } => format!("a freeze began ({})", one_line(rule)),
        Waiting::Held { reason, .. } => format!("it is held: {}", one_line(reason)),
        Waiting::Diverged { .. } => "the host was rolled back by hand".to_owned(),
        other => other.code().replace('_', " "),
    }
}

fn failed(failure: &Failure) -> String {
    let service = failure.service.as_ref().map(|service| format!("{service}: ")).unwrap_or_default();
    let now = match &failure.restored {
        Restored::Previous { release: Some(number), .. } => format!("release {number} serves again"),
        Restored::Previous { release: None, .. } => "the version before serves again".to_owned(),
        Restored::Nothing => "nothing ran there before".to_owned(),
        Restored::Not { cause } => format!("the way back failed too: {}", one_line(cause)),
    };
    format!("{service}{}; {now}", one_line(&failure.cause).trim_end_matches('.'))
}

/// How a host is doing with a stack, as one sentence.
pub fn progress(progress: &Progress) -> String {
    match &progress.state {
        ProgressState::Running { doing, .. } => one_line(doing),
        ProgressState::Ended { outcome, took_ms } => waits::capital(&ended(progress.stack.as_str(), outcome, *took_ms)),
    }
}

/// Who may still agree: `One more, by Alice Example or Bob Example.`
pub fn missing(tally: &Tally, name: impl Fn(&PersonName) -> String) -> String {
    let people: Vec<String> = tally.could.iter().map(name).collect();
    if people.is_empty() {
        return "Nobody is left who could approve.".to_owned();
    }
    format!("{} more, by {}.", if tally.missing() == 1 { "One".to_owned() } else { tally.missing().to_string() }, super::either(people))
}

/// A place to go back to: `web:1.8.1, api:2.0 · 2 days ago · Alice Example`.
pub fn target(images: &[String], at: Timestamp, by: Option<String>, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if !images.is_empty() {
        parts.push(images.join(", "));
    }
    parts.push(format!("verified, released {}", time::ago(at, now)));
    parts.extend(by);
    parts.join(" · ")
}

fn one_line(text: &str) -> String {
    clean_reason(text).unwrap_or_default()
}
