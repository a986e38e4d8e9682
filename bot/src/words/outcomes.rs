//! What came of a request, in words.

use super::{all, could, count, gates, refusals, time, waits};
use crate::chat::Tone;
use crate::command::USAGES;
use crate::releases::{change_lines, stack_list};
use crate::request::{
    ApprovalCounted, Committed, EnvironmentHistory, EnvironmentStatus, HistoryLine, Outcome, Resumed, RolledBack, StackOnHost,
    StackOnHosts, WaitLine,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tidegate_core::ids::StackName;
use tidegate_core::lock::ReleaseKind;

/// The answer.
pub fn outcome(outcome: &Outcome, now: Timestamp) -> String {
    match outcome {
        Outcome::Approved(counted) => approved(counted),
        Outcome::Released(committed) => released(committed, now),
        Outcome::Rejected(candidate) => format!(
            "{} of {} is turned down. It is not offered again until its content differs.",
            waits::capital(&waits::candidate(candidate)),
            candidate.environment
        ),
        Outcome::RolledBack(back) => rolled_back(back),
        Outcome::Resumed(resumed) => self::resumed(resumed),
        Outcome::Frozen(frozen) => gates::frozen(frozen, now),
        Outcome::Unfrozen(unfrozen) => gates::unfrozen(unfrozen, now),
        Outcome::Held(held) => gates::held(held, now),
        Outcome::Overridden(overridden) => gates::overridden(overridden, now),
        Outcome::Calendar(calendars) => gates::calendar(calendars, now),
        Outcome::Status(environments) => status(environments, now),
        Outcome::Why(lines) => why(lines, now),
        Outcome::History(histories) => history(histories, now),
        Outcome::Help => help(),
        Outcome::Refused(refusal) => refusals::refusal(refusal, now),
        Outcome::NotUnderstood(error) => refusals::not_understood(error),
    }
}

/// How to take it.
pub fn tone(outcome: &Outcome) -> Tone {
    match outcome {
        Outcome::Released(_) | Outcome::Approved(_) => Tone::Good,
        Outcome::Frozen(_) | Outcome::Held(_) | Outcome::Overridden(_) => Tone::Warning,
        Outcome::Rejected(_) | Outcome::RolledBack(_) | Outcome::Refused(_) | Outcome::NotUnderstood(_) => Tone::Warning,
        _ => Tone::Plain,
    }
}

fn approved(counted: &ApprovalCounted) -> String {
    let tally = &counted.tally;
    format!(
        "{} of {} has {} of {}. Still missing: {} by {}.",
        waits::capital(&waits::candidate(&counted.candidate)),
        counted.candidate.environment,
        tally.counted.len(),
        count(tally.needed, "approval"),
        tally.missing(),
        could(&tally.could)
    )
}

fn released(committed: &Committed, now: Timestamp) -> String {
    let goes = match &committed.waiting {
        None => "The hosts take it at their next poll.".to_owned(),
        Some(waiting) => waits_for(&super::waiting(waiting, now)),
    };
    format!(
        "{} of {} is released (commit {}). {goes}",
        waits::capital(&waits::candidate(&committed.candidate)),
        committed.candidate.environment,
        committed.lock_commit.short()
    )
}

fn waits_for(reason: &str) -> String {
    format!("It waits: {reason}")
}

fn rolled_back(back: &RolledBack) -> String {
    let RolledBack { environment, stack, release, from, to, lock_commit, change } = back;
    let lines = change_lines(&BTreeMap::from([(stack.clone(), change.clone())]));
    let mut text = format!(
        "{stack} in {environment} goes back from release {from} to release {to}, as release {release} (commit {}).",
        lock_commit.short()
    );
    lines.iter().for_each(|line| text.push_str(&format!("\n  {line}")));
    text.push_str(&format!(
        "\nWhat it left is held: merging it again does not bring it back. A different content does, or `resume {stack} {environment}`."
    ));
    text
}

fn resumed(resumed: &Resumed) -> String {
    let next = match &resumed.candidate {
        Some(candidate) => format!("{} is offered now.", waits::capital(&waits::candidate(candidate))),
        None => "Nothing else waits for it.".to_owned(),
    };
    format!(
        "{} on {} in {} lifted (commit {}). {next}",
        if resumed.holds.len() == 1 { "The hold".to_owned() } else { format!("{} holds", resumed.holds.len()) },
        resumed.stack.as_ref().map_or("everything", StackName::as_str),
        resumed.environment,
        resumed.lock_commit.short()
    )
}

fn status(environments: &[EnvironmentStatus], now: Timestamp) -> String {
    let blocks: Vec<String> = environments.iter().map(|environment| environment_status(environment, now)).collect();
    if blocks.is_empty() { "There is no environment yet.".to_owned() } else { blocks.join("\n") }
}

fn environment_status(status: &EnvironmentStatus, now: Timestamp) -> String {
    let mut lines = vec![match status.release {
        Some(release) => format!("{}: release {release}", status.environment),
        None => format!("{}: no release yet", status.environment),
    }];
    lines.extend(status.stacks.iter().flat_map(|stack| stack_status(stack, now)).map(|line| format!("  {line}")));
    if let Some(waiting) = &status.candidate {
        let missing = waiting.tally.missing();
        lines.push(format!("  waiting: {}, {} missing", waits::candidate(&waiting.candidate), count(missing, "approval")));
    }
    lines.extend(status.holds.iter().map(|hold| format!("  {}", waits::held(hold, now))));
    lines.join("\n")
}

fn stack_status(stack: &StackOnHosts, now: Timestamp) -> Vec<String> {
    let release = stack.release.map(|number| format!(" (release {number})")).unwrap_or_default();
    if stack.hosts.is_empty() {
        return vec![format!("{}{release}: on no host", stack.stack)];
    }
    stack.hosts.iter().map(|host| format!("{}{release} on {}", stack.stack, on_host(host, stack, now))).collect()
}

fn on_host(host: &StackOnHost, stack: &StackOnHosts, now: Timestamp) -> String {
    let Some(heard_at) = host.heard_at else { return format!("{}: not heard yet", host.host) };
    let images = if host.images.is_empty() { "nothing runs".to_owned() } else { host.images.join(", ") };
    let behind = match (host.release, stack.release) {
        (Some(has), Some(wants)) if has != wants => format!(", still at release {has}"),
        (None, Some(_)) => ", not there yet".to_owned(),
        _ => String::new(),
    };
    let troubles = if host.troubles.is_empty() { String::new() } else { format!(", {}", host.troubles.join(", ")) };
    format!("{}: {images}{behind}{troubles} ({})", host.host, time::ago(heard_at, now))
}

fn why(lines: &[WaitLine], now: Timestamp) -> String {
    if lines.is_empty() {
        return "Nothing waits: what is released is what is wanted.".to_owned();
    }
    lines.iter().map(|line| wait_line(line, now)).collect::<Vec<_>>().join("\n")
}

fn wait_line(line: &WaitLine, now: Timestamp) -> String {
    let stack = line.stack.as_ref().map(|stack| format!(" {stack}")).unwrap_or_default();
    let hosts = if line.hosts.is_empty() { String::new() } else { format!(" on {}", all(&line.hosts)) };
    let cleared = super::cleared_by(&line.why).map(|words| format!("\n  Cleared by: {words}")).unwrap_or_default();
    format!("{}{stack}{hosts}: {}{cleared}", line.environment, super::wait_reason(&line.why, now))
}

fn history(histories: &[EnvironmentHistory], now: Timestamp) -> String {
    let blocks: Vec<String> = histories.iter().map(|history| environment_history(history, now)).collect();
    if blocks.is_empty() { "There is no environment yet.".to_owned() } else { blocks.join("\n") }
}

fn environment_history(history: &EnvironmentHistory, now: Timestamp) -> String {
    if history.releases.is_empty() {
        return format!("{}: no release yet", history.environment);
    }
    let lines: Vec<String> = history.releases.iter().map(|line| format!("  {}", history_line(line, now))).collect();
    format!("{}\n{}", history.environment, lines.join("\n"))
}

fn history_line(line: &HistoryLine, now: Timestamp) -> String {
    let what = match line.kind {
        ReleaseKind::Release => stack_list(line.stacks.iter()),
        ReleaseKind::Rollback => format!("rollback of {}", stack_list(line.stacks.iter())),
        ReleaseKind::AutomaticRollback => format!("failed, {} rolled back by itself", stack_list(line.stacks.iter())),
        ReleaseKind::Hold => "holds changed".to_owned(),
        ReleaseKind::Freeze => "freezes changed".to_owned(),
        ReleaseKind::Override => "overrides changed".to_owned(),
    };
    let people = if line.people.is_empty() { String::new() } else { format!(" · {}", all(&line.people)) };
    let reason = line.reason.as_ref().map(|reason| format!(" · {reason}")).unwrap_or_default();
    format!("{} · {what} · {}{people}{reason} · {}", line.release, time::ago(line.at, now), line.lock_commit.short())
}

fn help() -> String {
    let width = USAGES.iter().map(|(_, usage, _)| usage.len()).max().unwrap_or_default();
    USAGES.iter().map(|(_, usage, what)| format!("{usage:width$}  {what}")).collect::<Vec<_>>().join("\n")
}
