//! The other layer's door: names are looked up, and what only shows when all files are seen together is found.

use super::calendar;
use super::load::RawRepo;
use super::model::{ApprovalPolicy, Environment, Host};
use super::raw::{RawEnvironment, RawHost, RawPlacement};
use crate::calendar::{REASON_CHARS_MAX, Zones};
use crate::compose::StackModel;
use crate::files::RepoFiles;
use crate::findings::{Finding, Place};
use crate::ids::{EnvironmentName, HostName, PersonName, RepoPath, RoleName, StackName};
use crate::yaml::{Node, Sink, Span, hint_among};
use std::collections::{BTreeMap, BTreeSet};

/// What came through.
pub(super) struct Checked {
    /// In promotion order.
    pub(super) environments: Vec<Environment>,
    pub(super) hosts: BTreeMap<HostName, Host>,
}

/// Looks every name up.
pub(super) fn check(files: &RepoFiles, raw: &RawRepo, zones: &Zones, sink: &mut Sink) -> Checked {
    listed_and_there(raw, sink);
    people(raw, sink);
    let hosts = hosts(raw, sink);
    let mut environments = Vec::new();
    for (name, _) in &raw.settings.environments {
        if let Some(found) = raw.environments.get(name) {
            environments.push(environment(raw, (name, found), zones, sink));
        }
    }
    stack_files(files, raw, sink);
    if !sink.has_errors() {
        unplaced(raw, sink);
    }
    Checked { environments, hosts }
}

fn environment_names(raw: &RawRepo) -> impl Iterator<Item = &str> {
    raw.settings.environments.iter().map(|(name, _)| name.as_str())
}

fn path(folder: &str, name: &str) -> Option<RepoPath> {
    format!("{folder}/{name}.yaml").parse().ok()
}

/// Every environment is listed in `tidegate.yaml` and has its file.
fn listed_and_there(raw: &RawRepo, sink: &mut Sink) {
    let listed: BTreeSet<&str> = environment_names(raw).collect();
    for (name, span) in &raw.settings.environments {
        let Some(path) = path("environments", name.as_str()) else { continue };
        if !raw.environments.contains_key(name) && !raw.broken.contains(&path) {
            let finding = span.error("unknown_environment", format!("the environment `{name}` has no file `{path}`"));
            sink.push(finding.hint("add the file, or remove the name"));
        }
    }
    let unlisted = |name: &&EnvironmentName| !listed.contains(name.as_str());
    for name in raw.environments.keys().filter(unlisted) {
        let Some(path) = path("environments", name.as_str()) else { continue };
        let finding =
            Finding::error("unknown_environment", Place::file(path), format!("the environment `{name}` is not listed in `tidegate.yaml`"));
        sink.push(finding.hint(format!("add `{name}` to `environments`, in its place in the order of promotion")));
    }
    for name in raw.locks.keys().filter(unlisted) {
        let Some(path) = path("releases", name.as_str()) else { continue };
        let message = format!("this lock is of the environment `{name}`, which is not listed in `tidegate.yaml`");
        sink.push(Finding::warning("unknown_environment", Place::file(path), message).hint("remove the file once nothing of it runs"));
    }
}

/// One account on a platform is one person.
fn people(raw: &RawRepo, sink: &mut Sink) {
    let mut taken = BTreeMap::new();
    for person in raw.settings.people.values() {
        for (platform, id) in &person.chat {
            if let Some(other) = taken.insert((platform, id), &person.name) {
                let message = format!("`{other}` and `{}` are the same `{id}` on `{platform}`", person.name);
                let place = "tidegate.yaml".parse().map(Place::file);
                sink.extend(place.map(|place| Finding::error("duplicate_key", place, message).hint("each account belongs to one person")));
            }
        }
    }
}

fn hosts(raw: &RawRepo, sink: &mut Sink) -> BTreeMap<HostName, Host> {
    let mut found = BTreeMap::new();
    for (name, host) in &raw.hosts {
        let Some((environment, span)) = &host.environment else { continue };
        if !environment_names(raw).any(|known| known == environment.as_str()) {
            let finding = span.error("unknown_environment", format!("there is no environment `{environment}`"));
            sink.push(finding.hint(hint_among(environment.as_str(), environment_names(raw), "environment")));
        }
        let host =
            Host { name: name.clone(), environment: environment.clone(), labels: host.labels.clone(), events_key: host.events_key.clone() };
        found.insert(name.clone(), host);
    }
    found
}

fn hosts_of<'a>(raw: &'a RawRepo, environment: &EnvironmentName) -> Vec<&'a RawHost> {
    let here = |host: &&RawHost| host.environment.as_ref().is_some_and(|(name, _)| name == environment);
    raw.hosts.values().filter(here).collect()
}

/// Is every host file usable and in an environment that exists? If not, nothing can be said about who matches what.
fn hosts_are_known(raw: &RawRepo) -> bool {
    let here =
        |host: &RawHost| host.environment.as_ref().is_some_and(|(name, _)| environment_names(raw).any(|known| known == name.as_str()));
    !raw.broken.iter().any(|path| path.as_str().starts_with("hosts/")) && raw.hosts.values().all(here)
}

fn environment(raw: &RawRepo, (name, found): (&EnvironmentName, &RawEnvironment), zones: &Zones, sink: &mut Sink) -> Environment {
    let hosts = hosts_of(raw, name);
    let hosts = Some(hosts.as_slice()).filter(|_| hosts_are_known(raw));
    let mut stacks = BTreeMap::new();
    for (stack, span, placement) in &found.stacks {
        if !raw.stacks.contains(stack) {
            let finding = span.error("unknown_stack", format!("there is no stack `{stack}`"));
            let known = raw.stacks.iter().map(StackName::as_str);
            sink.push(finding.hint(hint_among(stack.as_str(), known, "folder in `stacks`")));
        }
        if let Some(hosts) = hosts {
            placed(name, (span, placement), hosts, sink);
        }
        stacks.insert(stack.clone(), placement.placement.clone());
    }
    approvals(raw, found, sink);
    standing(raw, found, sink);
    overrides(raw, (name, found), sink);
    let quiet = found.calendar_places.windows.is_none() && !sink.has_errors();
    if quiet && matches!(name.as_str(), "production" | "prod") {
        let place = path("environments", name.as_str()).map(Place::file);
        let message = "no `windows`: releases may start at any time";
        sink.extend(place.map(|place| Finding::warning("always_open", place, message).hint("write `windows: always` if this is meant")));
    }
    let calendar = found.calendar.as_ref().map(|raw| calendar::checked(raw, &found.calendar_places, zones, sink)).unwrap_or_default();
    let holds = found.holds.iter().map(|(hold, _)| hold.clone()).collect();
    let overrides = found.overrides.iter().map(|(given, _)| given.clone()).collect();
    Environment { name: name.clone(), stacks, calendar, approvals: found.approvals.clone(), holds, overrides }
}

/// What people write by hand names somebody who is known, a stack that is there, and a reason.
fn standing(raw: &RawRepo, found: &RawEnvironment, sink: &mut Sink) {
    for (hold, node) in &found.holds {
        if hold.by.is_none() {
            let finding = node.span.error("missing_key", "`by` is missing in a hold");
            sink.push(finding.hint("whoever holds a stack is named, with the key of `people` in `tidegate.yaml`"));
        }
        one_standing(raw, (node, hold.stack.as_ref(), hold.reason.as_str()), sink);
        if hold.until.is_some_and(|until| until <= hold.at) {
            let span = node.get("until").map_or(&node.span, |node| &node.span);
            sink.push(span.error("hold_empty", "the hold ends before it begins").hint("`until` lies after `at`"));
        }
    }
    for (given, node) in &found.overrides {
        one_standing(raw, (node, given.stack.as_ref(), given.reason.as_str()), sink);
    }
}

/// A pass is given by whoever may approve, and for a release that is there: one that nobody has seen yet passes nothing.
fn overrides(raw: &RawRepo, (name, found): (&EnvironmentName, &RawEnvironment), sink: &mut Sink) {
    for (given, node) in &found.overrides {
        if let Some(lock) = raw.locks.get(name).filter(|lock| given.release > lock.release) {
            let span = node.get("release").map_or(&node.span, |node| &node.span);
            let finding = span.error("override_of_the_future", format!("there is no release {} yet", given.release));
            sink.push(finding.hint(format!("the newest release of `{name}` is {}", lock.release)));
        }
        let ApprovalPolicy::Required(rule) = &found.approvals else { continue };
        if let Some(person) = raw.settings.people.get(&given.by)
            && !rule.roles.is_empty()
            && rule.roles.is_disjoint(&person.roles)
        {
            let roles: Vec<&str> = rule.roles.iter().map(RoleName::as_str).collect();
            let span = node.get("by").map_or(&node.span, |node| &node.span);
            let finding = span.error("not_an_approver", format!("`{}` may not override here", given.by));
            sink.push(finding.hint(format!("an override is given by somebody with one of the roles {}", roles.join(", "))));
        }
    }
}

fn one_standing(raw: &RawRepo, (node, stack, reason): (&Node, Option<&StackName>, &str), sink: &mut Sink) {
    let people = &raw.settings.people;
    if let Some(by) = node.get("by").filter(|by| by.scalar().is_some_and(|name| !people.keys().any(|person| person.as_str() == name))) {
        let name = by.scalar().unwrap_or_default();
        let finding = by.span.error("unknown_person", format!("there is no person `{name}`"));
        sink.push(finding.hint(hint_among(name, people.keys().map(PersonName::as_str), "name in `people`")));
    }
    if let (Some(stack), Some(node)) = (stack.filter(|stack| !raw.stacks.contains(*stack)), node.get("stack")) {
        let finding = node.span.error("unknown_stack", format!("there is no stack `{stack}`"));
        sink.push(finding.hint(hint_among(stack.as_str(), raw.stacks.iter().map(StackName::as_str), "folder in `stacks`")));
    }
    let chars = reason.trim().chars().count();
    if let Some(node) = node.get("reason").filter(|_| !(1..=REASON_CHARS_MAX).contains(&chars)) {
        let finding = node.span.error("bad_value", format!("a reason has 1 to {REASON_CHARS_MAX} characters"));
        sink.push(finding.hint("say in a sentence why"));
    }
}

/// A placement must match a host, label by label, or the stack would run nowhere without a word.
fn placed(environment: &EnvironmentName, (span, placement): (&Span, &RawPlacement), hosts: &[&RawHost], sink: &mut Sink) {
    if hosts.is_empty() {
        let message = format!("the environment `{environment}` has no host yet: this stack runs nowhere");
        sink.push(span.warning("no_hosts", message).hint("add a file to `hosts`"));
        return;
    }
    let mut known = true;
    for (key, node) in &placement.labels {
        let values: BTreeSet<&str> = hosts.iter().filter_map(|host| host.labels.get(&key.text)).map(String::as_str).collect();
        if values.is_empty() {
            let names: BTreeSet<&str> = hosts.iter().flat_map(|host| host.labels.keys()).map(String::as_str).collect();
            let finding = key.span.error("unknown_label", format!("no host of `{environment}` has a label `{}`", key.text));
            sink.push(finding.hint(hint_among(&key.text, names, "label on these hosts")));
            known = false;
        } else if let Some(value) = node.scalar()
            && !values.contains(value)
        {
            let finding = node.span.error("unknown_label", format!("no host of `{environment}` has the label `{}: {value}`", key.text));
            sink.push(finding.hint(hint_among(value, values, "value")));
            known = false;
        }
    }
    if known && !hosts.iter().any(|host| placement.placement.matches(&host.labels)) {
        let finding = span.error("unknown_label", format!("no host of `{environment}` has all these labels at once"));
        sink.push(finding.hint("each label alone matches a host; together they match none"));
    }
}

fn approvals(raw: &RawRepo, found: &RawEnvironment, sink: &mut Sink) {
    let ApprovalPolicy::Required(rule) = &found.approvals else { return };
    let people = &raw.settings.people;
    let known: BTreeSet<&RoleName> = people.values().flat_map(|person| &person.roles).collect();
    let before = sink.len();
    for (role, span) in found.approval_roles.iter().filter(|(role, _)| !known.contains(role)) {
        let finding = span.error("unknown_role", format!("nobody has the role `{role}`"));
        sink.push(finding.hint(hint_among(role.as_str(), known.iter().map(|role| role.as_str()), "role in `people`")));
    }
    let able = people.values().filter(|person| rule.roles.is_empty() || !person.roles.is_disjoint(&rule.roles)).count();
    let wanted = usize::try_from(rule.count).unwrap_or(usize::MAX);
    if let Some(span) = found.approvals_span.as_ref().filter(|_| sink.len() == before && able < wanted) {
        let message = format!("{wanted} approvals are needed, but only {able} of the people may give one");
        sink.push(span.error("unreachable_approvals", message).hint("add people or roles in `tidegate.yaml`, or lower `count`"));
    }
}

/// `compose.<environment>.yaml` and `.env.<environment>` of an unknown environment would be forgotten in silence.
fn stack_files(files: &RepoFiles, raw: &RawRepo, sink: &mut Sink) {
    for stack in &raw.stacks {
        let Ok(folder) = format!("stacks/{stack}").parse::<RepoPath>() else { continue };
        for (path, _) in files.below(&folder).filter(|(path, _)| path.parent().as_ref() == Some(&folder)) {
            let name = path.file_name();
            let environment = match name.strip_prefix("compose.").and_then(|rest| rest.strip_suffix(".yaml")) {
                Some(environment) => environment,
                None => match name.strip_prefix(".env.") {
                    Some(environment) => environment,
                    None => continue,
                },
            };
            let for_people = matches!(environment, "override" | "example" | "sample" | "template" | "local");
            if !for_people && !environment_names(raw).any(|known| known == environment) {
                let message = format!("there is no environment `{environment}`: this file would never be read");
                let finding = Finding::error("unknown_environment", Place::file(path.clone()), message);
                sink.push(finding.hint(hint_among(environment, environment_names(raw), "environment")));
            }
        }
    }
}

fn unplaced(raw: &RawRepo, sink: &mut Sink) {
    let placed: BTreeSet<&StackName> =
        raw.environments.values().flat_map(|environment| &environment.stacks).map(|(name, ..)| name).collect();
    for stack in raw.stacks.iter().filter(|stack| !placed.contains(stack)) {
        let Ok(file) = format!("stacks/{stack}/compose.yaml").parse() else { continue };
        let finding = Finding::warning("unplaced_stack", Place::file(file), format!("no environment places the stack `{stack}`"));
        sink.push(finding.hint(format!("add `{stack}: {{}}` to `stacks` in a file of `environments`")));
    }
}

/// Placement constraints of services must leave a host among those that the stack is placed on.
pub(super) fn constraints(raw: &RawRepo, stacks: &BTreeMap<(EnvironmentName, StackName), StackModel>, sink: &mut Sink) {
    for ((environment, stack), model) in stacks {
        let Some(found) = raw.environments.get(environment) else { continue };
        let Some((_, _, placement)) = found.stacks.iter().find(|(name, ..)| name == stack) else { continue };
        let hosts: Vec<&RawHost> =
            hosts_of(raw, environment).into_iter().filter(|host| placement.placement.matches(&host.labels)).collect();
        if hosts.is_empty() {
            continue;
        }
        for (name, service) in model.services.iter().filter(|(_, service)| !service.constraints.is_empty()) {
            let fits =
                |host: &&RawHost| service.constraints.iter().all(|rule| (host.labels.get(&rule.label) == Some(&rule.value)) == rule.equal);
            if !hosts.iter().any(fits) {
                let Ok(file) = format!("stacks/{stack}/compose.yaml").parse() else { continue };
                let message = format!("no host of `{environment}` that `{stack}` is placed on fits the constraints of `{name}`");
                sink.push(
                    Finding::error("unknown_label", Place::file(file), message)
                        .hint("compare `deploy.placement.constraints` with the labels in `hosts`"),
                );
            }
        }
    }
}
