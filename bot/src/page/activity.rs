//! Who did what: commits of the bot, commands, news of the hosts.

use super::parts::{commit, icon, prose};
use super::{time, words};
use crate::view::View;
use jiff::Timestamp;
use maud::{Markup, html};

/// The newest lines.
pub fn section(view: &View, now: Timestamp) -> Markup {
    html! {
        section #activity aria-labelledby="activity-title" {
            h2 #activity-title { "Activity" }
            @if view.activity.is_empty() { p.calm { "Nothing has happened yet." } }
            @else {
                // Scrolls when it is long, so a keyboard must get into it.
                ol.activity tabindex="0" {
                    @for line in &view.activity {
                        li.(words::tone(line.tone).class) {
                            (icon(words::tone(line.tone).icon))
                            span { strong { (line.who) } " " (prose(&line.what)) @if let Some(id) = &line.commit { " " (commit(id)) } }
                            span.quiet { (time::relative(line.at, now)) }
                        }
                    }
                }
            }
        }
    }
}
