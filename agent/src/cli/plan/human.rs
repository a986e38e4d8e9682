//! A preview for a terminal. Colours are always written: stdout takes them out where nobody wants them.

use crate::words::preview as say;
use anstyle::{AnsiColor, Style};
use tidegate_core::findings::is_harmless;
use tidegate_core::ids::HostName;
use tidegate_core::preview::{Change, Downtime, EnvironmentPreview, HostPreview, Preview, StackPreview};

/// Most names of hosts in one line.
const HOSTS_SHOWN_MAX: usize = 8;
/// Most fields of one change.
const FIELDS_SHOWN_MAX: usize = 20;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// The whole preview.
pub(super) fn text(preview: &Preview) -> String {
    let environments: Vec<String> = preview.environments.iter().map(environment).collect();
    format!("{}\n{}\n", environments.join("\n"), dress(BOLD, &format!("Plan: {}.", say::totals(&preview.totals))))
}

fn dress(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Text from the config repo: nothing in it moves the cursor or hides what follows.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if is_harmless(c) && !matches!(c, '\n' | '\r' | '\t') { c } else { ' ' }).collect()
}

fn environment(environment: &EnvironmentPreview) -> String {
    let mut text = format!("{} {}\n", dress(BOLD, environment.environment.as_str()), say::becomes(&environment.becomes));
    for group in &environment.hosts {
        text.push_str(&hosts(group));
    }
    if !environment.unchanged.is_empty() {
        text.push_str(&format!("  {}\n", dress(DIM, &say::unchanged(environment.unchanged.len()))));
    }
    for host in &environment.unmanaged {
        text.push_str(&format!("  {}: {}\n", host.host, dress(YELLOW, &say::unmanaged(host))));
    }
    if environment.hosts.iter().any(|group| group.stacks.iter().any(|stack| !stack.changes.is_empty())) {
        text.push_str(&when(environment));
    }
    text
}

fn when(environment: &EnvironmentPreview) -> String {
    let when = &environment.when;
    let mut text = format!("  goes out: {}\n", plain(&say::starts(when)));
    for freeze in &when.freezes {
        text.push_str(&format!("  frozen: {}\n", dress(YELLOW, &plain(&say::freeze(freeze)))));
    }
    if let Some(approvals) = &when.approvals {
        text.push_str(&format!("  needs: {}\n", dress(YELLOW, &say::approvals(approvals))));
    }
    for hold in &when.holds {
        text.push_str(&format!("  held: {}\n", dress(RED, &plain(&say::hold(hold)))));
    }
    text
}

/// Some names, and how many more.
pub(super) fn names(hosts: &[HostName], max: usize) -> String {
    let shown: Vec<&str> = hosts.iter().take(max).map(HostName::as_str).collect();
    match hosts.len().saturating_sub(max) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The hosts of a group with their changes.
pub(super) fn hosts(group: &HostPreview) -> String {
    let mut text = format!("  {}\n", dress(BOLD, &names(&group.hosts, HOSTS_SHOWN_MAX)));
    for found in &group.stacks {
        text.push_str(&stack(found));
    }
    text
}

fn stack(stack: &StackPreview) -> String {
    let mut text = format!("    {}\n", stack.stack);
    if let Some(waiting) = &stack.waiting {
        text.push_str(&format!("      {}\n", dress(YELLOW, &plain(&format!("waits: {}", crate::words::waiting(waiting))))));
    }
    let width = stack.changes.iter().map(|change| change.name.chars().count()).max().unwrap_or(0);
    for found in &stack.changes {
        text.push_str(&change(found, width));
    }
    text
}

fn change(change: &Change, width: usize) -> String {
    let mark = say::mark(&change.kind);
    let style = match mark {
        '+' => GREEN,
        '-' => RED,
        '>' => CYAN,
        _ => YELLOW,
    };
    let name = plain(&change.name);
    let mut text = format!("      {} {name:<width$}  {}\n", dress(style, &mark.to_string()), say::verb(change));
    let margin = " ".repeat(10 + width);
    for field in change.fields.iter().take(FIELDS_SHOWN_MAX) {
        text.push_str(&format!("{margin}{}\n", plain(field)));
    }
    if let Some(more) = change.fields.len().checked_sub(FIELDS_SHOWN_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("{margin}{}\n", crate::words::more_findings(more)));
    }
    if let Some(downtime) = change.downtime {
        let style = if matches!(downtime, Downtime::Expected { .. } | Downtime::Restart) { RED } else { DIM };
        text.push_str(&format!("{margin}{}\n", dress(style, &say::downtime(downtime))));
    }
    text
}
