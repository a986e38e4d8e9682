//! The fleet: a row per service, a column per environment, in each cell its hosts. Environments side by side show
//! at a glance what is not promoted yet.

use super::parts::{self, badge, commit, count, icon, lamp, prose};
use super::{time, words};
use crate::view::{EnvironmentView, HoldView, HostView, StackView, View};
use jiff::Timestamp;
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::events::ServiceStatus;
use tidegate_core::ids::{ServiceName, StackName};

/// A cell lists this many hosts one by one; more are grouped by what they run.
const HOSTS_LISTED_MAX: usize = 6;
/// An opened list shows this many hosts, those in trouble first, and counts the rest.
const HOSTS_OPENED_MAX: usize = 60;

/// The grid.
pub fn section(view: &View, now: Timestamp) -> Markup {
    html! {
        section #fleet aria-labelledby="fleet-title" {
            h2 #fleet-title { "Fleet" }
            @if view.environments.is_empty() {
                p.calm { (words::NOTHING_YET) }
            } @else {
                // The roles say again what the elements are: on a phone the style makes blocks of them.
                table.fleet role="table" aria-labelledby="fleet-title" {
                    thead role="rowgroup" { tr role="row" {
                        th role="columnheader" scope="col" { "Service" }
                        @for environment in &view.environments { th role="columnheader" scope="col" { (heading(environment, now)) } }
                    } }
                    tbody role="rowgroup" {
                        @for (stack, service) in rows(view) { (row(view, &stack, &service, now)) }
                        (hosts_row(view, now))
                    }
                }
            }
        }
    }
}

fn rows(view: &View) -> BTreeSet<(StackName, ServiceName)> {
    let stacks = view.environments.iter().flat_map(|environment| &environment.hosts).flat_map(|host| &host.stacks);
    stacks.flat_map(|(stack, on_host)| on_host.services.keys().map(|service| (stack.clone(), service.clone()))).collect()
}

fn heading(environment: &EnvironmentView, now: Timestamp) -> Markup {
    html! {
        span.name { (environment.name) }
        @if let Some(release) = environment.release { " " a.release href={ "#card-" (environment.name) "-" (release) } { "release " (release) } }
        @else { " " span.quiet { "no release yet" } }
        span.window { (parts::window(&environment.window)) }
        @for hold in &environment.holds { span.hold { (icon("pause")) span { (prose(&hold_words(hold))) ", " (time::relative(hold.at, now)) } } }
    }
}

fn hold_words(hold: &HoldView) -> String {
    let stack = hold.stack.as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string);
    let release = hold.release.map(|number| format!(" release {number}")).unwrap_or_default();
    let by = hold.by.as_deref().unwrap_or("the bot");
    format!("{stack}{release} held by {by}: {}", hold.reason)
}

fn row(view: &View, stack: &StackName, service: &ServiceName, now: Timestamp) -> Markup {
    html! {
        tr role="row" #{ "row-" (stack) "--" (service) } {
            th role="rowheader" scope="row" { span.stack { (stack) } span.service { (service) } }
            @for environment in &view.environments {
                td role="cell" data-environment=(environment.name) { (cell(&entries(environment, stack, service), now)) }
            }
        }
    }
}

/// A service on a host.
struct Entry<'a> {
    host: &'a HostView,
    stack: &'a StackView,
    service: &'a ServiceStatus,
}

fn entries<'a>(environment: &'a EnvironmentView, stack: &StackName, service: &ServiceName) -> Vec<Entry<'a>> {
    let on = |host: &'a HostView| {
        let stack = host.stacks.get(stack)?;
        Some(Entry { host, stack, service: stack.services.get(service)? })
    };
    environment.hosts.iter().filter_map(on).collect()
}

fn cell(entries: &[Entry<'_>], now: Timestamp) -> Markup {
    match entries {
        [] => html! { span.quiet.nowhere { span aria-hidden="true" { "–" } span.unseen { "not placed here" } } },
        few if few.len() <= HOSTS_LISTED_MAX => html! { ul.entries { @for entry in few { li { (single(entry, now)) } } } },
        many => html! { ul.entries { @for (_, group) in groups(many) { li { (grouped(&group, now)) } } } },
    }
}

fn single(entry: &Entry<'_>, now: Timestamp) -> Markup {
    let service = entry.service;
    html! {
        (lamp(words::service(service.wanted, service.running, service.health)))
        span.version { (service.image) }
        span.copies title={ (service.running) " of " (service.wanted) " copies run" } { (service.running) "/" (service.wanted) }
        span.host { (entry.host.name) @if entry.host.silent { " " (badge(words::SILENT)) } }
        span.since {
            @if let Some(since) = service.since.or(entry.stack.since) { (time::lasting(since, now)) }
        }
    }
}

type Group<'a> = Vec<&'a Entry<'a>>;

/// Hosts that run the same version in the same state, the largest group first.
fn groups<'a>(entries: &'a [Entry<'a>]) -> Vec<((&'a str, &'static str), Group<'a>)> {
    let mut found: BTreeMap<(&str, &'static str), Group<'a>> = BTreeMap::new();
    for entry in entries {
        let state = words::service(entry.service.wanted, entry.service.running, entry.service.health);
        found.entry((entry.service.image.as_str(), state.words)).or_default().push(entry);
    }
    let mut groups: Vec<_> = found.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
    groups
}

fn grouped(group: &Group<'_>, now: Timestamp) -> Markup {
    let Some(first) = group.first() else { return html! {} };
    let service = first.service;
    let sum = |of: fn(&ServiceStatus) -> u32| group.iter().map(|entry| u64::from(of(entry.service))).sum::<u64>();
    html! {
        (lamp(words::service(service.wanted, service.running, service.health)))
        span.version { (service.image) }
        span.copies title="copies that run, of those wanted" { (sum(|s| s.running)) "/" (sum(|s| s.wanted)) }
        details.host {
            summary { (count(group.len(), "host", "hosts")) }
            ul.entries {
                @for entry in group.iter().take(HOSTS_OPENED_MAX) { li { (single(entry, now)) } }
                (not_listed(group.len()))
            }
        }
    }
}

fn not_listed(all: usize) -> Markup {
    html! { @if all > HOSTS_OPENED_MAX { li.quiet { "and " (count(all - HOSTS_OPENED_MAX, "more host", "more hosts")) } } }
}

fn hosts_row(view: &View, now: Timestamp) -> Markup {
    html! {
        tr.hosts role="row" {
            th role="rowheader" scope="row" { span.service { "Hosts" } }
            @for environment in &view.environments {
                td role="cell" data-environment=(environment.name) {
                    @if environment.hosts.len() <= HOSTS_LISTED_MAX { (host_list(environment, now)) }
                    @else { details { summary { (host_summary(environment)) } (host_list(environment, now)) } }
                }
            }
        }
    }
}

fn host_summary(environment: &EnvironmentView) -> String {
    let in_trouble = environment.hosts.iter().filter(|host| needs_a_look(host)).count();
    let all = count(environment.hosts.len(), "host", "hosts");
    if in_trouble == 0 { all } else { format!("{all}, {in_trouble} silent or in trouble") }
}

fn host_list(environment: &EnvironmentView, now: Timestamp) -> Markup {
    let mut hosts: Vec<&HostView> = environment.hosts.iter().collect();
    hosts.sort_by_key(|host| !needs_a_look(host));
    html! {
        ul.hosts {
            @for host in hosts.into_iter().take(HOSTS_OPENED_MAX) {
                li {
                    span.host { (host.name) } " "
                    @match host.heard_at {
                        None => span.quiet { "never heard" },
                        Some(at) => span.quiet { "heard " (time::relative(at, now)) },
                    }
                    @if host.silent { " " (badge(words::SILENT)) }
                    @if let Some(seen) = &host.observed_commit { " " span.quiet { "at " (commit(seen)) } }
                    @if let Some(version) = &host.agent_version { " " span.quiet { "agent " (version) } }
                    @for trouble in &host.troubles { p.trouble { (icon("question")) span { (prose(trouble)) } } }
                }
            }
            (not_listed(environment.hosts.len()))
        }
    }
}

fn needs_a_look(host: &HostView) -> bool {
    host.silent || host.heard_at.is_none() || !host.troubles.is_empty()
}
