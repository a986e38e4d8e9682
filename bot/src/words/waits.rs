//! Why something waits, and who or what can clear it.

use super::{all, could, count, time};
use crate::releases::stack_list;
use crate::request::{CandidateRef, HoldHome, WaitReason};
use jiff::Timestamp;
use tidegate_core::calendar::{Decision, State};
use tidegate_core::ids::{CommitId, ReleaseNumber};
use tidegate_core::lock::Hold;
use tidegate_core::plan::Waiting;

fn moment(at: Option<Timestamp>, now: Timestamp, otherwise: &str) -> String {
    at.map_or_else(|| otherwise.to_owned(), |at| format!("{}, {}", time::when(at), time::until(at, now)))
}

/// `release 3 (shop)`.
pub(super) fn candidate(candidate: &CandidateRef) -> String {
    format!("release {} ({})", candidate.release, stack_list(candidate.stacks.iter()))
}

/// What a host says, as one sentence.
pub fn waiting(waiting: &Waiting, now: Timestamp) -> String {
    match waiting {
        Waiting::NoRelease => "The environment needs approvals and has no release yet.".to_owned(),
        Waiting::WindowClosed { opens_at, rule } => {
            format!("No release window is open ({rule}). Next opening: {}.", moment(*opens_at, now, "none in sight"))
        }
        Waiting::DoesNotFit { needs_secs, closes_at, opens_at } => format!(
            "It may take {} and the window closes {}. Next opening: {}.",
            count(u32::try_from(needs_secs.div_ceil(60)).unwrap_or(u32::MAX), "minute"),
            time::until(*closes_at, now),
            moment(*opens_at, now, "the next window")
        ),
        Waiting::Frozen { until, rule } => format!("A freeze is in force ({rule}). It ends: {}.", moment(*until, now, "no known end")),
        Waiting::Held { reason, by, until } => {
            let by = by.as_ref().map_or_else(|| "by the bot".to_owned(), |by| format!("by {by}"));
            let until = until.map(|at| format!(" It ends {}.", time::until(at, now))).unwrap_or_default();
            format!("Held {by}: {reason}.{until}")
        }
        Waiting::FailedHere { cause, at, release } => {
            let release = release.map(|number| format!("Release {number}")).unwrap_or_else(|| "This content".to_owned());
            format!("{release} failed on this host {}: {}.", time::ago(*at, now), cause.trim_end_matches('.'))
        }
        Waiting::Diverged { since, by } => {
            format!("It was rolled back on the host itself by {by}, {}. Git does not know yet.", time::ago(*since, now))
        }
        Waiting::RemovalHeld { containers } => {
            format!("Nothing is left of it in git. Removing {} waits for a person.", count(*containers, "container"))
        }
        Waiting::ContentMismatch { locked, computed } => format!(
            "The lock names content {}, and this host computes {} from the same commit: agent and bot may be of different versions.",
            locked.short(),
            computed.short()
        ),
        Waiting::Backoff { until } => format!("A repair is tried again {}.", time::until(*until, now)),
        Waiting::ExternalMissing { missing, .. } => {
            format!(
                "The external {} {} is not on the host. Nothing was begun; it is looked for again and again.",
                missing.kind.word(),
                missing.name
            )
        }
        Waiting::ClockUntrusted { cause } => format!("The host's clock cannot be trusted: {}.", cause.trim_end_matches('.')),
        other => format!("{}.", other.code().replace('_', " ")),
    }
}

/// The reason, as one sentence.
pub fn reason(why: &WaitReason, now: Timestamp) -> String {
    match why {
        WaitReason::NeedsApproval { candidate: of, tally } => {
            format!("{} needs {}.", capital(&candidate(of)), count(tally.missing(), "more approval").replacen("1 more", "one more", 1))
        }
        WaitReason::Rejected { candidate: of, by, reason } => format!("{} was turned down by {by}: {reason}", capital(&candidate(of))),
        WaitReason::Held { hold, .. } => held(hold, now),
        WaitReason::NotReleasable { candidate: of, cause } => {
            format!("{} is agreed and cannot be made: {} It is tried again.", capital(&candidate(of)), super::trouble(cause))
        }
        WaitReason::OnHost { waiting: says } => waiting(says, now),
        WaitReason::BrokenTip { commit, finding } => {
            format!("The branch cannot be used at {}: {finding}. Everything stays as it is.", commit.short())
        }
        WaitReason::LockMissing { release, commits } => lock_missing(*release, commits),
        WaitReason::Silent { heard_at: Some(at) } => format!("It was heard last {}.", time::ago(*at, now)),
        WaitReason::Silent { heard_at: None } => "It was never heard.".to_owned(),
    }
}

/// `Release 2 of shop is held since 3 min ago by alice: it loses carts.`
pub(super) fn held(hold: &Hold, now: Timestamp) -> String {
    let what = match (&hold.stack, hold.release) {
        (Some(stack), Some(release)) => format!("Release {release} of {stack}"),
        (Some(stack), None) => format!("Everything new for {stack}"),
        (None, _) => "Everything new".to_owned(),
    };
    let by = hold.by.as_ref().map_or_else(|| "the bot".to_owned(), ToString::to_string);
    let until = hold.until.map(|at| format!(" It ends {}.", time::until(at, now))).unwrap_or_default();
    format!("{what} is held by {by}, {}: {}.{until}", time::ago(hold.at, now), hold.reason.trim_end_matches('.'))
}

/// `The lock (release 3) names commit 4f1c0de, which the config repo does not hold.`
pub(super) fn lock_missing(release: ReleaseNumber, commits: &[CommitId]) -> String {
    let named: Vec<&str> = commits.iter().map(CommitId::short).collect();
    let (commits, which) = if named.len() == 1 { ("commit", "which") } else { ("commits", "none of which") };
    let does = if named.len() == 1 { "does not hold" } else { "holds" };
    format!("The lock (release {release}) names {commits} {}, {which} the config repo {does}.", all(&named))
}

/// Who or what can clear it, as one sentence; none: time alone.
pub fn cleared_by(why: &WaitReason) -> Option<String> {
    Some(match why {
        WaitReason::NeedsApproval { candidate, tally } if tally.could.is_empty() => format!(
            "Nobody is left who could approve: give the role to somebody in tidegate.yaml, or lower `approvals` in environments/{}.yaml.",
            candidate.environment
        ),
        WaitReason::NeedsApproval { candidate, tally } => {
            format!("{}: approve {}", could(&tally.could), candidate.environment)
        }
        WaitReason::Rejected { candidate, by, .. } => {
            format!("A change of its content, or {by}: approve {}", candidate.environment)
        }
        WaitReason::Held { home: HoldHome::File, .. } => "A commit that removes it from the environment's file.".to_owned(),
        WaitReason::Held { hold, home: HoldHome::Lock } => match &hold.stack {
            Some(stack) if hold.content.is_some() => format!("resume {stack}, or a different content."),
            Some(stack) => format!("resume {stack}"),
            None => "resume of the environment, or an override for what is released.".to_owned(),
        },
        WaitReason::NotReleasable { .. } => return None,
        WaitReason::OnHost { waiting } => return host_cleared_by(waiting),
        WaitReason::BrokenTip { .. } => "A commit that mends it: run `tidegate validate` before the push.".to_owned(),
        WaitReason::LockMissing { .. } => "A rollback or a release, or a commit that mends the file in `releases`.".to_owned(),
        WaitReason::Silent { .. } => "Look at the agent on the host: `tidegate doctor`.".to_owned(),
    })
}

fn host_cleared_by(waiting: &Waiting) -> Option<String> {
    Some(match waiting {
        Waiting::NoRelease => "The first approval.".to_owned(),
        Waiting::Held { .. } | Waiting::FailedHere { .. } => "A different content, or `resume` of the stack.".to_owned(),
        Waiting::RemovalHeld { .. } => "A person on the host.".to_owned(),
        Waiting::ContentMismatch { .. } => "The same version of agent and bot.".to_owned(),
        Waiting::ExternalMissing { missing, .. } => format!("On the host: `docker {} create {}`.", missing.kind.word(), missing.name),
        Waiting::ClockUntrusted { .. } => "Time synchronisation on the host.".to_owned(),
        Waiting::Diverged { .. } => "The bot, as soon as it hears of it.".to_owned(),
        _ => return None,
    })
}

/// What a calendar says, shortly.
pub fn window(decision: &Decision, now: Timestamp) -> String {
    let next = |next: Option<Timestamp>| {
        let next = next.filter(|at| *at > now);
        next.map_or_else(|| "no opening in sight".to_owned(), |at| format!("opens {}", time::until(at, now)))
    };
    let rule = &decision.rule.name;
    match (decision.state, decision.open_until) {
        (State::Open, None) => "always open".to_owned(),
        (State::Open, Some(until)) => format!("open until {} ({rule})", time::when(until)),
        (State::Closing, _) => format!("closing: what runs may finish, nothing starts ({rule}); {}", next(decision.next_start)),
        (State::Closed, _) => format!("closed; {}", next(decision.next_start)),
        (State::Frozen, _) => format!("frozen ({rule}); {}", next(decision.next_start)),
    }
}

pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
