//! News, in words.

use super::{all, could, count, gates, refusals, time, waits};
use crate::chat::Tone;
use crate::notice::{FailureNews, LateNews, News, NoWayBack, Notice};
use tidegate_core::events::Restored;
use tidegate_core::ids::{EnvironmentName, ReleaseNumber, StackName};

/// Most log lines in a message.
const LOG_LINES_MAX: usize = 5;

/// The message.
pub fn notice(notice: &Notice) -> String {
    let place = notice.environment.as_ref().map(EnvironmentName::as_str).unwrap_or_default();
    match &notice.news {
        News::NeedsApproval { candidate, changes, needed, could: people } => format!(
            "Needs approval: {} for {place}, commit {}.{}\nNeeds {} by {}: approve {place}",
            waits::candidate(candidate),
            candidate.commit.short(),
            indented(changes),
            count(*needed, "approval"),
            if people.is_empty() { "somebody (nobody has the role at present)".to_owned() } else { could(people) }
        ),
        News::Released { candidate, changes } => {
            format!("Released: {} for {place}, commit {}.{}", waits::candidate(candidate), candidate.commit.short(), indented(changes))
        }
        News::Live { release, stacks } => {
            format!("Live: release {release} ({}) passed its checks on every host of {place}.", crate::releases::stack_list(stacks.iter()))
        }
        News::FailedRolledBack { failure, to } => format!(
            "Failed, rolled back: {} in {place}. {}\nGit is back at release {to} of {}, and what failed is held. A different content is offered again; the same one only after `resume {} {place}`.{}",
            what_failed(failure),
            runs_now(failure),
            failure.stack,
            failure.stack,
            log(failure)
        ),
        News::FailedHeld { failure, because } => format!(
            "Failed: {} in {place}. {}\n{} What failed is held. Fix it forward, or `resume {} {place}` to have it tried again.{}",
            what_failed(failure),
            runs_now(failure),
            no_way_back(*because, failure),
            failure.stack,
            log(failure)
        ),
        News::CouldNotTell { failure } => format!(
            "Could not be done or checked: {} in {place}. {} That is no verdict on the release; the host keeps trying.{}",
            what_failed(failure),
            runs_now(failure),
            log(failure)
        ),
        News::Overran(late) => overran(late, place),
        News::RolledBack { stack, from, to, by, reason } => {
            let by = by.as_ref().map_or_else(|| "somebody on a host".to_owned(), ToString::to_string);
            format!(
                "Rolled back: {stack} in {place} goes from release {from} to release {to}, by {by}: {reason}\nMerging what was left again does not bring it back; a different content does, or `resume {stack} {place}`."
            )
        }
        News::LocalRollbackAndGitMoved { stack, host, by, reason } => format!(
            "{stack} was rolled back on {host} by {by} ({reason}), and git has moved on since. That host stays as it is; decide: `rollback {stack} {place}` for all, or a new release."
        ),
        News::HoldReminder { hold, days } => gates::reminder(hold, *days, place),
        News::CannotRelease { candidate, cause } => format!(
            "{} for {place} is agreed and cannot be made: {} It is tried again by itself.",
            waits::capital(&waits::candidate(candidate)),
            refusals::trouble(cause)
        ),
        News::BrokenTip { commit, findings, more } => {
            let more = if *more == 0 { String::new() } else { format!("\n  and {more} more") };
            format!(
                "The branch cannot be used at {}. Everything stays as it is until it is mended.{}{more}",
                commit.short(),
                indented(findings)
            )
        }
        News::LockMissing { release, commits, ways_back } => lock_missing(&waits::lock_missing(*release, commits), ways_back, place),
        News::TipMended { commit } => format!("The branch can be used again, at {}.", commit.short()),
        News::HostTrouble { host, cause } => format!("{host}: {cause}"),
        News::HostRecovered { host, code } => format!("{host}: {} is over.", code.replace('_', " ")),
    }
}

/// How to take it.
pub fn tone(notice: &Notice) -> Tone {
    match &notice.news {
        News::Live { .. } | News::TipMended { .. } | News::HostRecovered { .. } => Tone::Good,
        News::FailedRolledBack { .. } | News::FailedHeld { .. } => Tone::Bad,
        News::NeedsApproval { .. } | News::Released { .. } => Tone::Plain,
        News::CouldNotTell { .. }
        | News::Overran(_)
        | News::RolledBack { .. }
        | News::LocalRollbackAndGitMoved { .. }
        | News::HoldReminder { .. }
        | News::CannotRelease { .. }
        | News::BrokenTip { .. }
        | News::LockMissing { .. }
        | News::HostTrouble { .. } => Tone::Warning,
    }
}

fn overran(late: &LateNews, place: &str) -> String {
    let release = late.release.map(|number| format!("release {number} of ")).unwrap_or_default();
    format!(
        "Late: {} ended with {release}{} in {place} {} after its window had closed ({}). The card says how it ended; a longer window or `cutoff` leaves more time.",
        late.host,
        late.stack,
        time::took(late.overrun_secs.saturating_mul(1000)),
        time::when(late.closed_at)
    )
}

fn lock_missing(what: &str, ways_back: &[(StackName, ReleaseNumber)], place: &str) -> String {
    format!("{place}: {what} What runs stays as it is, and nothing of it starts anew.\n{}", ways_on(ways_back, place))
}

fn ways_on(ways_back: &[(StackName, ReleaseNumber)], place: &str) -> String {
    let mend = format!("mend or revert releases/{place}.yaml with a commit");
    let back: Vec<String> = ways_back.iter().map(|(stack, number)| format!("`rollback {stack} {place} to {number}`")).collect();
    if back.is_empty() {
        return format!("The way on: release what the branch holds, or {mend}.");
    }
    format!("The way on: {}; or release what the branch holds; or {mend}.", all(&back))
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  {line}")).collect()
}

fn what_failed(failure: &FailureNews) -> String {
    let release = failure.release.map(|number| format!("release {number} of ")).unwrap_or_default();
    let service = failure.service.as_ref().map(|service| format!(", service {service}")).unwrap_or_default();
    format!("{release}{} on {}{service}: {}", failure.stack, failure.host, failure.cause.trim_end_matches('.'))
}

fn runs_now(failure: &FailureNews) -> String {
    match &failure.restored {
        Restored::Previous { release: Some(number), .. } => format!("Release {number} serves there again."),
        Restored::Previous { release: None, .. } => "The version before serves there again.".to_owned(),
        Restored::Nothing => "Nothing ran there before, and nothing runs now.".to_owned(),
        Restored::Not { cause } => format!("The way back failed too ({}): a person must look.", cause.trim_end_matches('.')),
    }
}

fn no_way_back(because: NoWayBack, failure: &FailureNews) -> String {
    match because {
        NoWayBack::NothingEarlier => format!("No earlier release of {} was ever verified, so git stays where it is.", failure.stack),
        NoWayBack::WasARollback => {
            "That was a way back already, and automation does not undo a rollback: git stays where it is.".to_owned()
        }
    }
}

fn log(failure: &FailureNews) -> String {
    let from = failure.log.len().saturating_sub(LOG_LINES_MAX);
    indented(&failure.log[from..])
}
