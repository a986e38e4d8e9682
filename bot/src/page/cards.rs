//! Cards: a candidate or a release, what it changes, who agreed, what it waits for, how it goes, and the buttons.

use super::parts::{self, badge, commit, count, icon, lamp, prose};
use super::{time, waits, words};
use crate::command::REASON_MAX_CHARS;
use crate::view::{
    Card, CommitLine, Decide, HostProgress, ResultView, RollbackChoice, ServiceChange, StackChange, Stage, TimelineEntry, View,
    WindowState, WindowView,
};
use jiff::Timestamp;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// All cards.
pub fn section(view: &View, now: Timestamp) -> Markup {
    html! {
        section #releases aria-labelledby="releases-title" {
            h2 #releases-title { "Releases" }
            @if view.cards.is_empty() { p.calm { "Nothing was released yet, and nothing asks to be." } }
            @for (card, id) in view.cards.iter().zip(ids(&view.cards)) { (self::card(view, card, &id, now)) }
        }
    }
}

/// What elements of each card are called. A number that was given twice (a candidate that came to nothing) is told
/// apart by its age, so that the older card keeps its name when a newer one comes.
fn ids(cards: &[Card]) -> Vec<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let named = cards.iter().rev().map(|card| {
        let id = format!("card-{}-{}", card.environment, card.release);
        let count = seen.entry(id.clone()).or_default();
        *count += 1;
        if *count == 1 { id } else { format!("{id}-{count}") }
    });
    let mut ids: Vec<String> = named.collect();
    ids.reverse();
    ids
}

/// A card. Its id holds what it is about, so that a newer candidate is another card and never the same button.
fn card(view: &View, card: &Card, id: &str, now: Timestamp) -> Markup {
    let shown = words::stage(card.stage);
    let is_told_by_result = card.result.as_ref().is_some_and(|result| result.words == card.words);
    let about = format!("{id}-{}", card.expected.plan.short());
    html! {
        article.card.(shown.class) #(about) tabindex="-1" aria-labelledby={ (id) "-title" } {
            header #(id) {
                h3 #{ (id) "-title" } {
                    span.environment { (card.environment) } " " (words::kind(card.kind)) " " (card.release)
                }
                (badge(shown))
            }
            @if !is_told_by_result && card.stage != Stage::Superseded { p.words { (prose(&card.words)) } }
            @if card.stage == Stage::Superseded {
                details.past { summary { (in_short(&card.changes)) } (body(card, now)) }
            } @else {
                (body(card, now))
            }
            @if view.console.is_some() { (actions(card, id)) }
        }
    }
}

fn body(card: &Card, now: Timestamp) -> Markup {
    html! {
        (origin(card, now))
        @if let Some(result) = &card.result { (self::result(result)) }
        @if !card.waits.is_empty() { ul.card-waits { @for wait in &card.waits { li { (waits::short(wait, now)) } } } }
        @for change in &card.changes { (self::change(change)) }
        (approvals(card, now))
        (rollout(&card.rollout))
        (more(card, now))
    }
}

/// What changed, on one line: `shop: web app:1 → app:2`.
fn in_short(changes: &[StackChange]) -> String {
    let service = |service: &ServiceChange| match (&service.from, &service.to) {
        (Some(from), Some(to)) => format!("{} {from} → {to}", service.service),
        (None, Some(to)) => format!("{} new, {to}", service.service),
        (_, None) => format!("{} removed", service.service),
    };
    let stack = |change: &StackChange| {
        let services: Vec<String> = change.services.iter().map(service).collect();
        format!("{}: {}", change.stack, services.join(", "))
    };
    if changes.is_empty() { "What it was".to_owned() } else { changes.iter().map(stack).collect::<Vec<_>>().join("; ") }
}

fn origin(card: &Card, now: Timestamp) -> Markup {
    html! {
        p.detail {
            span { "commit " (commit(&card.commit)) }
            @if !card.authors.is_empty() { span { "by " (card.authors.join(", ")) } }
            @if let Some(by) = &card.requested_by { span { "asked for by " (by) } }
            @if let Some(reason) = &card.reason { span { "reason: " (reason) } }
            @if let Some(window) = &card.window { (parts::window(window)) (opening(window, now)) }
        }
    }
}

/// Counts down to the next opening while nothing may start.
fn opening(window: &WindowView, now: Timestamp) -> Markup {
    let at = window.changes_at.filter(|at| window.state.is_shut() && window.state != WindowState::Closing && *at > now);
    html! { @if let Some(at) = at { (time::countdown(at, now)) } }
}

fn result(result: &ResultView) -> Markup {
    let shown = words::tone(result.tone);
    html! {
        div.result.(shown.class) {
            p { (icon(shown.icon)) span { (prose(&result.words)) } }
            @if !result.log.is_empty() {
                details open { summary { "Last log lines" } pre tabindex="0" { @for line in &result.log { (line) "\n" } } }
            }
        }
    }
}

fn change(change: &StackChange) -> Markup {
    html! {
        div.change {
            p.stack {
                strong { (change.stack) } " "
                @if let Some(release) = change.from_release { span.quiet { "from release " (release) } } @else { span.quiet { "new" } }
            }
            dl {
                @for service in &change.services {
                    dt { (service.service) }
                    dd {
                        (version(service.from.as_deref())) " " span.arrow aria-label="becomes" role="img" { "→" } " " (version(service.to.as_deref()))
                        (fields(service))
                    }
                }
            }
        }
    }
}

/// Field by field; the image is left out where its versions are told already.
fn fields(service: &ServiceChange) -> Markup {
    let is_told = |field: &&String| service.from != service.to && field.starts_with("image:");
    let fields: Vec<&String> = service.details.iter().filter(|field| !is_told(field)).collect();
    html! { @if !fields.is_empty() { ul.fields { @for field in fields { li { code { (field) } } } } } }
}

fn version(version: Option<&str>) -> Markup {
    html! { @match version { Some(version) => span.version { (version) }, None => span.quiet { "nothing" } } }
}

fn approvals(card: &Card, now: Timestamp) -> Markup {
    let approvals = &card.approvals;
    html! {
        @if approvals.needed > 0 || !approvals.given.is_empty() {
            p.approvals {
                (icon("hand")) strong { (approvals.given.len()) " of " (count(approvals.needed as usize, "approval", "approvals")) }
                @for (by, at) in &approvals.given { span { (by) " " span.quiet { (time::relative(*at, now)) } } }
                @if let Some(missing) = &approvals.missing { span.quiet { (prose(missing)) } }
            }
        }
    }
}

fn rollout(rollout: &[HostProgress]) -> Markup {
    html! {
        @if !rollout.is_empty() {
            ul.rollout aria-label="Rollout by host" {
                @for host in rollout {
                    li {
                        (lamp(words::progress(host.state)))
                        span.host { (host.host) " / " (host.stack) }
                        @if host.steps > 0 {
                            progress max=(host.steps) value=(host.done) aria-label={ (host.host) ": steps done" } {}
                            span.copies { (host.done) "/" (host.steps) }
                        }
                        span.words { (prose(&host.words)) }
                    }
                }
            }
        }
    }
}

fn more(card: &Card, now: Timestamp) -> Markup {
    let commits = card.commits.len() + card.commits_not_listed;
    html! {
        div.more {
            @if commits > 0 {
                details {
                    summary { (count(commits, "commit", "commits")) }
                    ul.commits {
                        @for line in &card.commits { li { (commit_line(line, now)) } }
                        @if card.commits_not_listed > 0 { li.quiet { "and " (card.commits_not_listed) " more" } }
                    }
                }
            }
            @if !card.timeline.is_empty() {
                details open[is_in_hand(card.stage)] {
                    summary { "Timeline" }
                    ol.timeline {
                        @for entry in in_order(&card.timeline) {
                            li.(words::tone(entry.tone).class) { (icon(words::tone(entry.tone).icon)) (time::clock(entry.at)) span { strong { (entry.who) } " " (prose(&entry.what)) } }
                        }
                    }
                }
            }
        }
    }
}

/// By the clock: what hosts say comes in later than it happened.
fn in_order(timeline: &[TimelineEntry]) -> Vec<&TimelineEntry> {
    let mut entries: Vec<&TimelineEntry> = timeline.iter().collect();
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn is_in_hand(stage: Stage) -> bool {
    matches!(stage, Stage::RollingOut | Stage::Failed | Stage::FailedRolledBack | Stage::Error)
}

/// A commit on one line.
pub fn commit_line(line: &CommitLine, now: Timestamp) -> Markup {
    html! { (commit(&line.commit)) " " span.subject { (line.subject) } " " span.quiet { (line.author) ", " (time::relative(line.at, now)) } }
}

fn actions(card: &Card, id: &str) -> Markup {
    html! {
        @if card.actions.decide == Decide::Asked || !card.actions.rollbacks.is_empty() {
            div.actions {
                @if card.actions.decide == Decide::Asked { (decide(card, id)) }
                @for choice in &card.actions.rollbacks { (rollback(card, choice, id)) }
            }
        }
    }
}

fn decide(card: &Card, id: &str) -> Markup {
    let reason = format!("{id}-reason");
    html! {
        form method="post" action="/act" data-live {
            (exactly(card))
            button.primary type="submit" name="do" value="approve" { (icon("check")) "Approve " (card.environment) " release " (card.release) }
        }
        details.act {
            summary { "Reject…" }
            form method="post" action="/act" data-live {
                (exactly(card))
                label for=(reason) { "Why not" }
                input #(reason) type="text" name="reason" required maxlength=(REASON_MAX_CHARS) autocomplete="off";
                button.danger type="submit" name="do" value="reject" { (icon("cross")) "Reject release " (card.release) }
            }
        }
    }
}

/// What the press means. The bot refuses when the candidate is another one by then.
fn exactly(card: &Card) -> Markup {
    html! {
        input type="hidden" name="environment" value=(card.environment);
        input type="hidden" name="commit" value=(card.expected.commit);
        input type="hidden" name="plan" value=(card.expected.plan);
    }
}

fn rollback(card: &Card, choice: &RollbackChoice, id: &str) -> Markup {
    let id = format!("{id}-{}", choice.stack);
    html! {
        details.act {
            summary { "Roll back " (choice.stack) "…" }
            form method="post" action="/act" data-live {
                input type="hidden" name="environment" value=(card.environment);
                input type="hidden" name="stack" value=(choice.stack);
                p { "Restores " strong { (choice.stack) } " in " strong { (card.environment) }
                    " and holds what runs now until somebody resumes it. Other stacks stay as they are." }
                label for={ "to-" (id) } { "Back to" }
                select #{ "to-" (id) } name="to" {
                    @for target in &choice.targets { option value=(target.release) { "Release " (target.release) ": " (target.label) } }
                }
                label for={ "why-" (id) } { "Why" }
                input #{ "why-" (id) } type="text" name="reason" maxlength=(REASON_MAX_CHARS) autocomplete="off";
                button.danger type="submit" name="do" value="rollback" { (icon("back")) "Roll back " (choice.stack) " now" }
            }
        }
    }
}
