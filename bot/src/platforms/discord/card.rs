//! A release as a message: one for engineers with everything, one for stakeholders in plain words. Pure: from what the
//! workers know to what is sent; foreign text is escaped here.

use super::text::{block, cut, cut_lines, line, plain, relative};
use super::wire::{Embed, Field, Footer, Message, VALUE_MAX};
use crate::view::{Card, HoldView, HostProgress, ProgressState, Stage, Tone, WaitView};
use crate::words::discord::{Plainly, part, plainly};
use crate::words::timeless;
use std::collections::BTreeMap;
use tidegate_core::ids::StackName;

/// Commits listed on a card; the thread has the rest.
const COMMITS_MAX: usize = 8;
/// Hosts listed one by one; more are counted.
const HOSTS_MAX: usize = 8;
/// Lines of a log on a card.
const LOG_LINES_MAX: usize = 8;
/// Digits of a commit.
const SHORT: usize = 10;

/// Colours of the stages.
fn color(stage: Stage) -> u32 {
    match stage {
        Stage::NeedsApproval => 0x00f0_b232,
        Stage::Waiting | Stage::RollingOut => 0x003b_82f6,
        Stage::Live => 0x0022_a559,
        Stage::Failed | Stage::FailedRolledBack => 0x00da_373c,
        Stage::Error | Stage::Held => 0x00e0_7b1a,
        Stage::Rejected | Stage::Superseded => 0x0080_848e,
    }
}

/// The stacks of a card, for people.
pub fn stacks(card: &Card) -> String {
    let names: Vec<&StackName> = card.changes.iter().map(|change| &change.stack).collect();
    crate::releases::stack_list(names.into_iter())
}

/// `production · release 43 · shop`, without markup.
pub fn title(card: &Card) -> String {
    format!("{} · release {} · {}", card.environment, card.release, stacks(card))
}

/// For engineers, without its buttons.
pub fn engineers(card: &Card, holds: &[HoldView], before: Option<&str>) -> Message {
    let mut fields = vec![field(part::CHANGES, changes(card)), field(part::COMMITS, commits(card))];
    fields.push(field(part::NOT_INCLUDED, not_included(card, holds)));
    fields.push(Field { inline: true, ..field(part::APPROVALS, approvals(card)) });
    fields.push(Field { inline: true, ..field(part::WINDOW, window(card)) });
    fields.push(field(part::WAITS, waits(&card.waits)));
    fields.push(field(part::ROLLOUT, rollout(&card.rollout)));
    fields.push(field(part::RESULT, result(card)));
    fields.retain(|field| !field.value.is_empty());
    let reason = card.reason.as_ref().map(|reason| format!("\n{}", line(reason))).unwrap_or_default();
    let before = before.map(|link| format!("\nContinues {link}")).unwrap_or_default();
    let embed = Embed {
        title: line(&title(card)),
        description: format!("{}{reason}{before}", line(&card.words)),
        color: Some(color(card.stage)),
        fields,
        footer: Some(Footer { text: format!("commit {}", short(card.commit.as_str())) }),
    };
    Message { content: format!("**{}** · {}", line(&title(card)), line(&card.words)), ..Message::embed(embed) }
}

fn field(name: &str, value: String) -> Field {
    Field { name: name.to_owned(), value, inline: false }
}

fn short(commit: &str) -> &str {
    commit.get(..SHORT).unwrap_or(commit)
}

/// From live to new, one line for each service, with what differs in it.
fn changes(card: &Card) -> String {
    let mut lines = Vec::new();
    for stack in &card.changes {
        if stack.services.is_empty() {
            lines.push(format!("**{}**", line(stack.stack.as_str())));
        }
        for service in &stack.services {
            let to = match (&service.from, &service.to) {
                (Some(from), Some(to)) if from == to => service.details.first().map(|detail| line(detail)).unwrap_or_default(),
                (Some(from), Some(to)) => format!("{} → {}", line(from), line(to)),
                (None, Some(to)) => format!("{} (new)", line(to)),
                (Some(from), None) => format!("{} (goes)", line(from)),
                (None, None) => String::new(),
            };
            lines.push(format!("**{}** {}: {to}", line(stack.stack.as_str()), line(service.service.as_str())));
        }
    }
    cut_lines(&lines, VALUE_MAX)
}

/// Everything that differs, field by field.
pub fn diff(card: &Card) -> Message {
    let mut lines = Vec::new();
    for stack in &card.changes {
        let from = stack.from_release.map(|number| format!(" (from release {number})")).unwrap_or_default();
        lines.push(format!("{}{from}", stack.stack));
        for service in &stack.services {
            let none = "(none)".to_owned();
            lines.push(format!(
                "  {}: {} → {}",
                service.service,
                service.from.as_ref().unwrap_or(&none),
                service.to.as_ref().unwrap_or(&none)
            ));
            lines.extend(service.details.iter().map(|detail| format!("    {}", plain(detail))));
        }
    }
    let text = block(&cut_lines(&lines, 3_500));
    Message::embed(Embed { title: line(&title(card)), description: text, color: Some(color(card.stage)), ..Embed::default() })
}

fn commits(card: &Card) -> String {
    let listed = card.commits.iter().take(COMMITS_MAX);
    let mut lines: Vec<String> = listed
        .map(|commit| {
            format!("`{}` {} · {}", short(commit.commit.as_str()), cut(&line(&commit.subject), 120), cut(&line(&commit.author), 60))
        })
        .collect();
    let more = card.commits.len().saturating_sub(COMMITS_MAX) + card.commits_not_listed;
    let text = cut_lines(&lines, VALUE_MAX - 40);
    lines.clear();
    if more > 0 { format!("{text}\nand {more} more") } else { text }
}

/// What waits behind holds while this goes out.
fn not_included(card: &Card, holds: &[HoldView]) -> String {
    if !matches!(card.stage, Stage::NeedsApproval | Stage::Waiting) {
        return String::new();
    }
    let lines: Vec<String> = holds
        .iter()
        .map(|hold| {
            let what = hold.stack.as_ref().map_or("everything", |stack| stack.as_str());
            let release = hold.release.map(|number| format!(" (release {number})")).unwrap_or_default();
            let until = hold.until.map(|until| format!(", until {}", relative(until))).unwrap_or_default();
            format!("{}{release}: held, {}{until}", line(what), line(&hold.reason))
        })
        .collect();
    cut_lines(&lines, VALUE_MAX)
}

fn approvals(card: &Card) -> String {
    let approvals = &card.approvals;
    if approvals.needed == 0 && approvals.given.is_empty() {
        return String::new();
    }
    let mut lines = vec![format!("{} of {}", approvals.given.len(), approvals.needed)];
    lines.extend(approvals.given.iter().map(|(name, at)| format!("✓ {} {}", line(name), relative(*at))));
    lines.extend(approvals.missing.iter().map(|missing| line(missing)));
    cut_lines(&lines, VALUE_MAX)
}

fn window(card: &Card) -> String {
    let Some(window) = &card.window else { return String::new() };
    let then = window.changes_at.map(|at| format!("\n{} ({})", super::text::moment(at), relative(at))).unwrap_or_default();
    format!("{}{then}", line(&timeless(&window.words)))
}

fn waits(waits: &[WaitView]) -> String {
    // What people have to do stands under the approvals.
    let others = waits.iter().filter(|wait| wait.code != "needs_approval");
    let lines: Vec<String> = others
        .map(|wait| {
            let next = wait.next.map(|at| format!(" ({})", relative(at))).unwrap_or_default();
            let cleared = wait.cleared_by.as_ref().map(|words| format!(" — {}", line(words))).unwrap_or_default();
            format!("{}{next}{cleared}", line(&timeless(&wait.words)))
        })
        .collect();
    cut_lines(&lines, VALUE_MAX)
}

/// Few hosts one by one; of many only those that are not simply done or pending.
fn rollout(hosts: &[HostProgress]) -> String {
    if hosts.len() <= HOSTS_MAX {
        return cut_lines(&hosts.iter().map(host).collect::<Vec<_>>(), VALUE_MAX);
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for progress in hosts {
        *counts.entry(mark(progress.state)).or_default() += 1;
    }
    let counted: Vec<String> = counts.iter().map(|(mark, count)| format!("{mark} {count}")).collect();
    let mut lines = vec![counted.join(" · ")];
    let telling =
        |progress: &&HostProgress| matches!(progress.state, ProgressState::Failed | ProgressState::Error | ProgressState::Running);
    lines.extend(hosts.iter().filter(telling).map(host));
    cut_lines(&lines, VALUE_MAX)
}

fn mark(state: ProgressState) -> &'static str {
    match state {
        ProgressState::Pending => "○ waiting",
        ProgressState::Running => "◐ under way",
        ProgressState::Verified => "● verified",
        ProgressState::Failed => "✗ failed",
        ProgressState::Error => "! error",
    }
}

fn host(progress: &HostProgress) -> String {
    let steps = if progress.steps > 0 { format!(" {}/{}", progress.done, progress.steps) } else { String::new() };
    let words = cut(&line(&timeless(&progress.words)), 160);
    format!("{} **{}** {}{steps}: {words}", mark(progress.state), line(progress.host.as_str()), line(progress.stack.as_str()))
}

fn result(card: &Card) -> String {
    let Some(result) = &card.result else { return String::new() };
    let sign = match result.tone {
        Tone::Good => "✓ ",
        Tone::Bad => "✗ ",
        Tone::Warning => "! ",
        Tone::Plain => "",
    };
    let from = result.log.len().saturating_sub(LOG_LINES_MAX);
    let lines: Vec<String> = result.log[from..].iter().map(|text| cut(&plain(text), 150)).collect();
    let log = if lines.is_empty() { String::new() } else { block(&cut_lines(&lines, VALUE_MAX - 260)) };
    format!("{sign}{}\n{log}", cut(&line(&result.words), 200)).trim_end().to_owned()
}

/// For stakeholders; none: not for them.
pub fn stakeholders(card: &Card, before: Option<&str>) -> Option<Message> {
    // A way back brings nothing new: the message of what it left says so.
    if card.kind != tidegate_core::lock::ReleaseKind::Release {
        return None;
    }
    let how = match card.stage {
        Stage::NeedsApproval => Plainly::Coming,
        Stage::Waiting | Stage::RollingOut => Plainly::Going,
        Stage::Live => Plainly::There,
        Stage::FailedRolledBack | Stage::Held => Plainly::WentBack,
        Stage::Failed | Stage::Error => Plainly::Trouble,
        Stage::Rejected => Plainly::NotComing,
        Stage::Superseded => return None,
    };
    let what = stacks(card);
    let mut text = line(&plainly(how, &what, card.environment.as_str()));
    if matches!(how, Plainly::Coming | Plainly::Going)
        && let Some(at) =
            card.window.as_ref().filter(|window| window.state != crate::view::WindowState::Open).and_then(|window| window.changes_at)
    {
        text.push_str(&format!(" It can begin {} ({}).", super::text::moment(at), relative(at)));
    }
    let subjects: Vec<String> =
        card.commits.iter().take(COMMITS_MAX).map(|commit| format!("• {}", cut(&line(&commit.subject), 150))).collect();
    let before = before.map(|link| format!("\nContinues {link}")).unwrap_or_default();
    let description = format!("{text}\n\n{}{before}", cut_lines(&subjects, 1_500)).trim_end().to_owned();
    Some(Message::embed(Embed { description, color: Some(color(card.stage)), ..Embed::default() }))
}
