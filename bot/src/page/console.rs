//! The chat console: what was said, and a line to say something. Who speaks is chosen once, at the top of the page.

use super::parts::prose;
use super::time;
use super::words::tone;
use crate::command::LINE_MAX_CHARS;
use crate::view::{ChatLine, ChatPerson, ConsoleView, Speaker};
use maud::{Markup, html};
use tidegate_core::ids::PersonName;

/// The console as a whole; only its transcript changes by itself.
pub fn section(console: &ConsoleView, speaker: Option<&ChatPerson>) -> Markup {
    let person = speaker.map(|speaker| &speaker.person);
    html! {
        section #console aria-labelledby="console-title" {
            h2 #console-title { "Chat" }
            (transcript(console, person))
            form.say method="post" action="/say" data-live {
                label for="said" { @match speaker { Some(speaker) => { "As " (speaker.full_name) }, None => "Command" } }
                input #said type="text" name="text" required maxlength=(LINE_MAX_CHARS) autocomplete="off" autocapitalize="none"
                    spellcheck="false" placeholder="status, why shop, approve production, rollback shop, help";
                button type="submit" { "Send" }
            }
        }
    }
}

/// What was said, as far as this person sees it.
pub fn transcript(console: &ConsoleView, person: Option<&PersonName>) -> Markup {
    html! {
        // Upside down, so that it starts and stays at its end without a script; the list inside is in order.
        div #transcript.transcript role="log" aria-label="What was said" tabindex="0" {
            ol { @for line in console.lines.iter().filter(|line| is_seen(line, person)) { (self::line(line)) } }
        }
    }
}

/// Does this person see the line?
pub fn is_seen(line: &ChatLine, person: Option<&PersonName>) -> bool {
    line.private_to.as_ref().is_none_or(|to| Some(to) == person)
}

fn line(line: &ChatLine) -> Markup {
    let (who, class) = match &line.speaker {
        Speaker::Person(name) => (name.as_str(), "from-person"),
        Speaker::Bot => ("Tidegate", "from-bot"),
    };
    html! {
        li.(class).(tone(line.tone).class) #{ "line-" (line.number) } {
            p.speaker { strong { (who) } " " (time::clock(line.at)) @if line.private_to.is_some() { " " span.quiet { "only you see this" } } }
            p.said { (prose(&line.text)) }
        }
    }
}

/// Who acts: chosen once, kept in a cookie.
pub fn who_you_are(console: &ConsoleView, speaker: Option<&ChatPerson>) -> Markup {
    html! {
        form.person method="post" action="/person" {
            label for="person" { "You are" }
            select #person name="person" {
                @if speaker.is_none() { option value="" { "nobody yet" } }
                @for person in &console.people {
                    option value=(person.person) selected[speaker == Some(person)] { (person.full_name) @if !person.roles.is_empty() { " (" (person.roles.join(", ")) ")" } }
                }
            }
            button type="submit" { "Choose" }
        }
    }
}
