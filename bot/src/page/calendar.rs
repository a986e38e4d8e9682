//! The calendar: a month with each environment's open time, and a list with freezes, their reasons, and what is planned.

use super::layout;
use super::month::{LISTED_MAX, Month, Part, Plan};
use super::parts::{self, icon};
use super::{time, words as page_words};
use crate::releases::stack_list;
use crate::request::{Planned, PlannedState};
use crate::view::{CalendarView, EnvironmentView, View, WindowState};
use crate::words;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde::Deserialize;
use tidegate_core::calendar::{FrozenStretch, Opening, Windows};
use tidegate_core::ids::StackName;

const WEEKDAYS: [(&str, &str); 7] = [
    ("Mon", "Monday"),
    ("Tue", "Tuesday"),
    ("Wed", "Wednesday"),
    ("Thu", "Thursday"),
    ("Fri", "Friday"),
    ("Sat", "Saturday"),
    ("Sun", "Sunday"),
];

/// What is asked for: `?month=2026-12`.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    month: Option<String>,
}

/// An environment with what its calendar does in the month.
struct Row<'a> {
    environment: &'a EnvironmentView,
    calendar: &'a CalendarView,
    plan: Plan,
}

/// The document.
pub fn document(view: &View, asked: &Asked, now: Timestamp) -> Markup {
    let zone = zone(view);
    let month = Month::asked(asked.month.as_deref(), TimeZone::get(&zone).unwrap_or(TimeZone::UTC), now);
    let row = |environment: &'_ EnvironmentView| environment.calendar.clone().map(|calendar| month.plan(&calendar.rules));
    let plans: Vec<Option<Plan>> = view.environments.iter().map(row).collect();
    let rows = view.environments.iter().zip(plans);
    let rows: Vec<Row<'_>> =
        rows.filter_map(|(environment, plan)| Some(Row { environment, calendar: environment.calendar.as_ref()?, plan: plan? })).collect();
    layout::page(
        "Tidegate: release calendar",
        html! {
            header.top {
                h1 { (icon("tide")) "Tidegate" }
                nav aria-label="Pages" { a href="/" { "Fleet and releases" } " " a href="/calendar" aria-current="page" { "Calendar" } }
            }
            main #main {
                @if rows.is_empty() { p.calm { (page_words::NOTHING_YET) } } @else {
                    (grid(&month, &rows, (&zone, now)))
                    (list(&month, &rows, now))
                }
            }
            footer { "Windows and freezes are written in the config repo, or said in chat. The hosts decide for themselves, by the same rules." }
        },
    )
}

/// The zone whose days are shown: that of the last environment in promotion order whose windows have one.
fn zone(view: &View) -> String {
    let zones = view.environments.iter().rev().filter_map(|environment| environment.calendar.as_ref()).map(|calendar| &calendar.zone);
    zones.clone().find(|zone| *zone != "UTC").or_else(|| zones.clone().next()).cloned().unwrap_or_else(|| "UTC".to_owned())
}

fn grid(month: &Month, rows: &[Row<'_>], (zone, now): (&str, Timestamp)) -> Markup {
    let today = month.zone.to_datetime(now).date();
    let link = |months: i64| month.neighbour(months).map(|first| first.strftime("/calendar?month=%Y-%m").to_string());
    html! {
        section #month aria-labelledby="month-title" {
            div.month-head {
                h2 #month-title { (month.first.strftime("%B %Y")) }
                nav aria-label="Months" {
                    @if let Some(link) = link(-1) { a href=(link) rel="prev" { "Earlier" } }
                    a href="/calendar" { "This month" }
                    @if let Some(link) = link(1) { a href=(link) rel="next" { "Later" } }
                }
            }
            p.quiet.legend {
                "Days of " (zone) ". "
                span.key.open {} " a release may start "
                span.key.frozen {} " frozen"
            }
            table.month role="table" aria-labelledby="month-title" {
                thead { tr { @for (short, long) in WEEKDAYS { th scope="col" abbr=(long) { (short) } } } }
                tbody { @for week in month.weeks() { tr { @for day in week { (cell(month, rows, (day, today))) } } } }
            }
        }
    }
}

fn cell(month: &Month, rows: &[Row<'_>], (day, today): (Option<Date>, Date)) -> Markup {
    let Some(day) = day else { return html! { td.other {} } };
    html! {
        td.today[day == today] {
            span.day { (day.day()) @if day == today { span.unseen { " today" } } }
            @for row in rows { (bar(month, row, day)) }
        }
    }
}

/// A day of an environment, from midnight to midnight.
fn bar(month: &Month, row: &Row<'_>, day: Date) -> Markup {
    let open = month.parts(day, row.plan.openings.iter().map(|opening| (opening.opens, opening.closes)));
    let frozen = month.parts(day, row.plan.freezes.iter().map(|stretch| (stretch.from, stretch.until)));
    let begins = month.begins(day);
    let ends = day.tomorrow().map_or(Timestamp::MAX, |next| month.begins(next));
    let starts = |at: Option<Timestamp>| at.is_some_and(|at| begins <= at && at < ends);
    let planned: Vec<String> =
        row.calendar.planned.iter().filter(|planned| starts(planned.starts_at)).map(|planned| planned.release.to_string()).collect();
    html! {
        div.bar {
            span.name aria-hidden="true" { (row.environment.name) }
            svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                rect.ground width="1000" height="10" {}
                @for part in &open { (rect("open", *part)) }
                @for part in &frozen { (rect("frozen", *part)) }
            }
            span.unseen { (row.environment.name) ": " (said(&open, &frozen)) }
            @for release in &planned { span.planned { (icon("arrow")) "release " (release) } }
        }
    }
}

fn rect(class: &str, part: Part) -> Markup {
    html! { rect class=(class) x=(part.from) width=(part.until - part.from) height="10" {} }
}

/// The same for who does not see the bar.
fn said(open: &[Part], frozen: &[Part]) -> String {
    let whole = |parts: &[Part]| parts.iter().any(|part| part.from == 0 && part.until == 1_000);
    match (open, frozen) {
        (_, frozen) if whole(frozen) => "frozen all day".to_owned(),
        ([], []) => "closed".to_owned(),
        ([], _) => "frozen for a part of the day, else closed".to_owned(),
        (open, []) if whole(open) => "open all day".to_owned(),
        (_, []) => "open for a part of the day".to_owned(),
        _ => "open and frozen for a part of the day".to_owned(),
    }
}

fn list(month: &Month, rows: &[Row<'_>], now: Timestamp) -> Markup {
    html! {
        section #list aria-labelledby="list-title" {
            h2 #list-title { "In words" }
            p.quiet data-zone-note="Times below are in your own time zone: " { "Times below are as the clock of each environment shows them." }
            div.lists { @for row in rows { (environment(month, row, now)) } }
        }
    }
}

fn environment(month: &Month, row: &Row<'_>, now: Timestamp) -> Markup {
    let Row { environment, calendar, plan } = row;
    let zone = calendar.zone.as_str();
    let ahead: Vec<&Opening> = plan.openings.iter().filter(|opening| opening.closes.is_none_or(|closes| closes > now)).collect();
    let is_shut = matches!(environment.window.state, WindowState::Closed | WindowState::Frozen);
    let next = environment.window.changes_at.filter(|at| is_shut && *at > now);
    let is_always = !matches!(calendar.rules.windows(), Windows::Listed(_));
    html! {
        article.card #{ "calendar-" (environment.name) } {
            header {
                h3 { (environment.name) " " span.quiet { (zone) } }
                (parts::window(&environment.window))
            }
            @if let Some(at) = next { p { (time::countdown(at, now)) } }
            ul.plain {
                @for planned in &calendar.planned {
                    li.planned { (icon("arrow")) span { (self::planned(planned, (zone, now))) } }
                }
                @for stretch in plan.freezes.iter().filter(|stretch| stretch.until.is_none_or(|until| until > now)).take(LISTED_MAX) { (frozen(stretch, zone)) }
                @for hold in environment.holds.iter().filter(|hold| hold.release.is_none()) {
                    li.attention { (icon("pause")) span {
                        (hold.stack.as_ref().map_or("everything", StackName::as_str)) " held by " (hold.by.as_deref().unwrap_or("the bot"))
                        @if let Some(until) = hold.until { " until " (moment(until, zone)) } ": " (hold.reason)
                    } }
                }
                @for given in &calendar.overrides {
                    li.attention { (icon("arrow")) span { "override for release " (given.release) " by " (given.by) " until " (moment(given.until, zone)) ": " (given.reason) } }
                }
                @if is_always { li { (icon("check")) span { "Open at any time" @if !plan.freezes.is_empty() { ", except in freezes" } "." } } }
                @else if ahead.is_empty() { li.quiet { (icon("clock")) span { "No opening is left in " (month.first.strftime("%B")) "." } } }
                @else { @for opening in ahead.iter().take(LISTED_MAX) { (self::opening(opening, zone)) } }
                @if ahead.len() > LISTED_MAX { li.quiet { "and more" } }
            }
            p.quiet { a href={ "/calendar/" (environment.name) ".ics" } { "Subscribe (iCalendar)" } }
        }
    }
}

fn planned(planned: &Planned, (zone, now): (&str, Timestamp)) -> Markup {
    html! {
        "release " (planned.release) " (" (stack_list(planned.stacks.iter())) ") "
        @if planned.state == PlannedState::NeedsApproval { "needs approval, then " }
        @match planned.starts_at {
            Some(at) if at <= now => "may start now",
            Some(at) => { "may start " (moment(at, zone)) },
            None => "has no opening in sight",
        }
    }
}

fn frozen(stretch: &FrozenStretch, zone: &str) -> Markup {
    html! {
        li.attention {
            (icon("freeze"))
            span {
                "frozen"
                @if let Some(from) = stretch.from { " from " (moment(from, zone)) }
                @match stretch.until { Some(until) => { " until " (moment(until, zone)) }, None => " until somebody ends it" }
                " (" (stretch.name) @if stretch.blocks_rollback { ", rollbacks too" } ")"
                @if let Some(reason) = &stretch.reason { ": " (reason) }
            }
        }
    }
}

fn opening(opening: &Opening, zone: &str) -> Markup {
    html! {
        li {
            (icon("check"))
            span {
                @if let Some(opens) = opening.opens { (moment(opens, zone)) } @else { "open" }
                @match (opening.opens, opening.closes) {
                    (Some(opens), Some(closes)) => { " to " (time::local(closes, &words::civil_end(opens, closes, zone))) },
                    (None, Some(closes)) => { " until " (moment(closes, zone)) },
                    (_, None) => " on",
                }
                @if !opening.is_startable() { span.quiet { " (too short for its cutoff: nothing starts)" } }
            }
        }
    }
}

fn moment(at: Timestamp, zone: &str) -> Markup {
    time::local(at, &words::civil(at, zone))
}
