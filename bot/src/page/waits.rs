//! What waits and why: the first thing that is read.

use super::parts::{count, icon, prose};
use super::{time, words};
use crate::view::{SourceView, View, WaitView};
use jiff::Timestamp;
use maud::{Markup, html};

/// Everything that waits, each with its reason, its code, who can clear it and the next moment.
pub fn section(view: &View, now: Timestamp) -> Markup {
    html! {
        section #waits aria-labelledby="waits-title" {
            h2 #waits-title { "Waiting" @if !view.waits.is_empty() { span.count { (view.waits.len()) } } }
            (trouble(&view.source))
            div aria-live="polite" {
                @if view.waits.is_empty() {
                    p.calm { (icon("check")) @if view.source.tip.is_some() { "Nothing waits." } @else { (words::NOTHING_YET) } }
                } @else {
                    ul.waits { @for wait in &view.waits { li { (wait_line(wait, now)) } } }
                }
            }
        }
    }
}

fn trouble(source: &SourceView) -> Markup {
    html! {
        @if let Some(trouble) = &source.trouble {
            div.trouble role="alert" {
                p { (icon("question")) span { (prose(&trouble.words)) } }
                @if !trouble.details.is_empty() { pre tabindex="0" { @for line in &trouble.details { (line) "\n" } } }
            }
        }
    }
}

fn wait_line(wait: &WaitView, now: Timestamp) -> Markup {
    html! {
        (icon("clock"))
        div {
            p {
                strong { (wait.environment) @if let Some(stack) = &wait.stack { " / " (stack) } }
                @if !wait.hosts.is_empty() { " " span.quiet title=(host_names(wait)) { (hosts(wait)) } }
                " " (prose(&wait.words))
            }
            p.detail {
                @if let Some(next) = wait.next { span { "Next moment: " (time::relative(next, now)) " (" (time::absolute(next)) ")" } }
                @if let Some(by) = &wait.cleared_by { span { (prose(by)) } }
                code { (wait.code) }
            }
        }
    }
}

/// A wait inside a card, where environment and often the stack are known.
pub fn short(wait: &WaitView, now: Timestamp) -> Markup {
    html! {
        (icon("clock"))
        span {
            @if let Some(stack) = &wait.stack { strong { (stack) } " " }
            @if !wait.hosts.is_empty() { span.quiet title=(host_names(wait)) { (hosts(wait)) } " " }
            (prose(&wait.words))
            @if let Some(next) = wait.next { " " span.quiet { "(" (time::relative(next, now)) ")" } }
            " " code { (wait.code) }
        }
    }
}

fn hosts(wait: &WaitView) -> String {
    match wait.hosts.as_slice() {
        [one] => format!("on {one}"),
        many => format!("on {}", count(many.len(), "host", "hosts")),
    }
}

fn host_names(wait: &WaitView) -> String {
    wait.hosts.iter().map(|host| host.as_str()).collect::<Vec<_>>().join(", ")
}
