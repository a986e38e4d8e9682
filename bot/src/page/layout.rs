//! The document: head, header with who you are and how fresh this is, the sections, the footer.

use super::parts::{commit, icon, prose, sprite};
use super::words::{self, Shown};
use super::{activity, assets, cards, console, fleet, time, waits};
use crate::view::{ChatPerson, Tone, View};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

/// What a document is made from.
pub struct Document<'a> {
    /// The snapshot.
    pub view: &'a View,
    /// Who looks at it, if chosen.
    pub speaker: Option<&'a ChatPerson>,
    /// The outcome of the form that led here.
    pub outcome: Option<Markup>,
    /// The clock.
    pub now: Timestamp,
}

/// The whole document.
pub fn document(page: &Document<'_>) -> Markup {
    let view = page.view;
    self::page(
        "Tidegate",
        html! {
            header.top {
                h1 { (icon("tide")) "Tidegate" }
                (source(view, page.now))
                nav aria-label="Pages" { a href="/calendar" { "Calendar" } }
                (freshness(page))
                @if let Some(console) = &view.console { (console::who_you_are(console, page.speaker)) }
            }
            (outcome_region(page.outcome.as_ref()))
            main #main {
                (waits::section(view, page.now))
                (fleet::section(view, page.now))
                div.columns {
                    (cards::section(view, page.now))
                    div.side {
                        @if let Some(console) = &view.console { (console::section(console, page.speaker)) }
                        (activity::section(view, page.now))
                    }
                }
            }
            footer { "All authority travels through git. What you see here is what the bot knows; the hosts decide for themselves." }
        },
    )
}

/// What every document has around its own.
pub fn page(title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href=(assets::FAVICON);
                link rel="stylesheet" href=(assets::style().path);
                script src=(assets::script().path) defer {}
            }
            body {
                (sprite())
                a.skip href="#main" { "Skip to the content" }
                (body)
            }
        }
    }
}

/// The regions that everybody sees alike, in one string: what the event stream carries, beside the transcript.
pub fn regions(view: &View, now: Timestamp) -> Markup {
    html! { (source(view, now)) (waits::section(view, now)) (fleet::section(view, now)) (cards::section(view, now)) (activity::section(view, now)) }
}

fn source(view: &View, now: Timestamp) -> Markup {
    html! {
        p #source {
            code { (view.source.branch) }
            @if let Some(tip) = &view.source.tip {
                " at " (commit(&tip.commit)) " " span.subject { (tip.subject) } " " span.quiet { (tip.author) }
            }
            @if let Some(polled) = view.source.polled_at { " " span.quiet { "asked " (time::relative(polled, now)) } }
        }
    }
}

/// Without the script: when this was made. With it: live, or cut off. The script only sets an attribute of the root.
fn freshness(page: &Document<'_>) -> Markup {
    html! {
        p.freshness role="status" {
            span.snapshot { "Snapshot of " (time::clock(page.now)) " UTC" }
            span.live { (icon("dot")) "Live" }
            span.lost { (icon("question")) "Cut off from the bot; trying again" }
        }
    }
}

fn outcome_region(outcome: Option<&Markup>) -> Markup {
    html! {
        div #outcome role="status" { @if let Some(outcome) = outcome { (outcome) } }
        template #lost { (self::outcome(words::tone(Tone::Bad), words::NOT_SENT)) }
        template #early { (self::outcome(words::tone(Tone::Warning), words::TOO_EARLY)) }
    }
}

/// What came of a form.
pub fn outcome(shown: Shown, text: &str) -> Markup {
    html! {
        div.outcome.(shown.class) {
            (icon(shown.icon))
            p { (prose(text)) }
            a href="/" data-dismiss { "Dismiss" }
        }
    }
}
