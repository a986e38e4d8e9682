//! What `tidegate plan` says: what happens to a service, whether there is a gap, which release it becomes, when it goes
//! out. Sentences only; how they are laid out is the command's business.

use super::{because_of, count, moment};
use tidegate_core::calendar::{FrozenStretch, State};
use tidegate_core::ids::{CommitId, EnvironmentName, StackName};
use tidegate_core::lock::Hold;
use tidegate_core::preview::{ApprovalsNeeded, Becomes, Change, ChangeKind, Downtime, Totals, Unmanaged, UnmanagedBecause, When};

/// Nothing at all.
pub const NOTHING_CHANGES: &str = "nothing changes";

/// A lock without the history it points into.
pub fn no_history(environment: &EnvironmentName) -> String {
    format!("what {environment} runs cannot be told without the git history that its lock points to: its hosts are taken to be empty")
}

/// An earlier state that cannot be used.
pub fn unusable_before(commit: &CommitId, cause: &str) -> String {
    format!("the config repo cannot be used at {} ({cause}): hosts that run it are taken to be empty", commit.short())
}

/// Which release it becomes.
pub fn becomes(becomes: &Becomes) -> String {
    match becomes {
        Becomes::Release { number, after: Some(after), .. } => format!("becomes release {number}, after {after}"),
        Becomes::Release { number, after: None, .. } => format!("becomes release {number}, its first"),
        Becomes::Nothing { stays: Some(stays) } => format!("stays at release {stays}"),
        Becomes::Nothing { stays: None } => "has no release and gets none".into(),
        Becomes::Branch => "follows the branch, without release numbers".into(),
    }
}

/// A sign for a change.
pub fn mark(kind: &ChangeKind) -> char {
    match kind {
        ChangeKind::Create { .. } | ChangeKind::CreateNetwork | ChangeKind::CreateVolume => '+',
        ChangeKind::Remove { .. } | ChangeKind::RemoveNetwork => '-',
        ChangeKind::Replace { .. } | ChangeKind::Restart | ChangeKind::Scale { .. } | ChangeKind::Settings => '~',
        ChangeKind::RunOnce => '>',
    }
}

/// What happens, without the name.
pub fn verb(change: &Change) -> String {
    let copies = |number: usize| if number == 1 { String::new() } else { format!(" {number} copies") };
    let image = change.image.as_ref().map_or(String::new(), |image| format!(" ({image})"));
    match change.kind {
        ChangeKind::Create { copies: 0 } => "create, without a copy on this host".into(),
        ChangeKind::Create { copies: number } => format!("create{}{image}", copies(number)),
        ChangeKind::Replace { copies: number } => format!("replace{}", copies(number)),
        ChangeKind::Restart => "start again".into(),
        ChangeKind::Scale { from, to } => format!("scale {from} → {to}"),
        ChangeKind::Remove { copies: number } => format!("remove{}; named volumes stay", copies(number)),
        ChangeKind::RunOnce => format!("run once{image}"),
        ChangeKind::CreateNetwork => "create the network".into(),
        ChangeKind::RemoveNetwork => "remove the network".into(),
        ChangeKind::CreateVolume => "create the volume".into(),
        ChangeKind::Settings => "no container changes: only how it is released".into(),
    }
}

/// Whether there is a gap, and why.
pub fn downtime(downtime: Downtime) -> String {
    match downtime {
        Downtime::None => "no downtime: the new one is ready before the old one stops".into(),
        Downtime::Fewer { of, because } => {
            format!("no downtime expected: one of {of} copies after the other is away ({})", because_of(because))
        }
        Downtime::Expected { because } => format!("downtime: the old one stops before the new one starts ({})", because_of(because)),
        Downtime::Restart => "downtime until it runs: it does not run now".into(),
    }
}

/// Everything together: `1 to create, 2 to replace on 3 hosts`.
pub fn totals(totals: &Totals) -> String {
    let parts: Vec<String> = [
        (totals.create, "create"),
        (totals.replace, "replace"),
        (totals.restart, "start again"),
        (totals.scale, "scale"),
        (totals.remove, "remove"),
        (totals.run_once, "run once"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, verb)| format!("{number} to {verb}"))
    .collect();
    let hosts = count(totals.hosts, "host");
    match (parts.is_empty(), totals.hosts) {
        (true, 0) => NOTHING_CHANGES.into(),
        (true, _) => format!("only settings, networks or volumes on {hosts}"),
        (false, _) => {
            let gap = match totals.with_downtime {
                0 => String::new(),
                number => format!(", {number} with downtime"),
            };
            format!("{} on {hosts}{gap}", parts.join(", "))
        }
    }
}

/// When it goes out. The rule's name is foreign text.
pub fn starts(when: &When) -> String {
    let rule = &when.calendar.rule.name;
    if let (Some(until), Some(given)) =
        (when.starts_until, when.overrides.first().filter(|_| when.starts_at.is_some() && when.stopped.is_empty()))
    {
        return format!("at once, until {}: {} overrides what stands in the way ({})", moment(until), given.by, given.reason);
    }
    match (when.starts_at, when.calendar.state) {
        (None, _) if !when.stopped.is_empty() => {
            let stacks: Vec<&str> = when.stopped.iter().map(StackName::as_str).collect();
            format!("not while {} is held", stacks.join(", "))
        }
        (None, _) => format!("no opening within the horizon has room for it (it needs {})", seconds(when.needs_secs)),
        (Some(_), State::Open) if when.starts_at.is_some_and(|at| is_now(when, at)) => match when.starts_until {
            None => "at once".into(),
            Some(until) => format!("at once, until {} ({rule})", moment(until)),
        },
        (Some(at), State::Open | State::Closing) => format!("{}: what is left of {rule} is too short", moment(at)),
        (Some(at), State::Closed) => format!("{}: no window is open before", moment(at)),
        (Some(at), State::Frozen) => format!("{}: frozen now ({rule})", moment(at)),
    }
}

fn is_now(when: &When, at: jiff::Timestamp) -> bool {
    when.calendar.next_start.is_some_and(|next| next == at)
}

fn seconds(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} s"),
        _ => format!("{} min", secs.div_ceil(60)),
    }
}

/// Who must agree first.
pub fn approvals(needed: &ApprovalsNeeded) -> String {
    let roles: Vec<&str> = needed.roles.iter().map(tidegate_core::ids::RoleName::as_str).collect();
    let by = if roles.is_empty() { String::new() } else { format!(" by {}", roles.join(" or ")) };
    let authors = if needed.authors { "" } else { "; not by who wrote it" };
    format!("{}{by}{authors}", count(usize::try_from(needed.count).unwrap_or(usize::MAX), "approval"))
}

/// A freeze on the way. Name and reason are foreign text.
pub fn freeze(freeze: &FrozenStretch) -> String {
    let from = freeze.from.map_or(String::new(), |from| format!(" from {}", moment(from)));
    let until = freeze.until.map_or(String::new(), |until| format!(" until {}", moment(until)));
    let reason = freeze.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    format!("{}{from}{until}{reason}", freeze.name)
}

/// A hold. The reason is foreign text.
pub fn hold(hold: &Hold) -> String {
    let what = hold.stack.as_ref().map_or("the environment".to_owned(), ToString::to_string);
    let what = match (&hold.content, hold.release) {
        (Some(_), Some(release)) => format!("release {release} of {what}"),
        (Some(content), None) => format!("content {} of {what}", content.short()),
        (None, _) => what,
    };
    let by = hold.by.as_ref().map_or("automation".to_owned(), ToString::to_string);
    let until = hold.until.map_or(String::new(), |until| format!(" until {}", moment(until)));
    format!("{what} by {by}{until}: {}", hold.reason)
}

/// A host that no longer takes part.
pub fn unmanaged(host: &Unmanaged) -> String {
    match &host.because {
        UnmanagedBecause::Removed => "its file is gone; what runs there stays until somebody removes it".into(),
        UnmanagedBecause::Moved { from } => format!("came from {from}; its agent keeps what it made there until somebody looks"),
    }
}

/// Hosts of which nothing is asked.
pub fn unchanged(hosts: usize) -> String {
    format!("{}: {NOTHING_CHANGES}", count(hosts, "host"))
}

/// A comment that would be too long.
pub fn left_out(lines: usize) -> String {
    format!("… {lines} lines are left out: the whole plan is in the output of `tidegate plan`")
}

/// What happens to a stack, for an annotation: `replace web (image: 1 → 2)`.
pub fn in_short(change: &Change) -> String {
    let fields = if change.fields.is_empty() { String::new() } else { format!(": {}", change.fields.join("; ")) };
    format!("{} {} {}{fields}", mark(&change.kind), change.name, verb(change))
}
