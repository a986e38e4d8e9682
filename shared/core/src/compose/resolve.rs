//! Stage two: the merged tree as a [`StackModel`], every service checked alone and all of them together.

use super::load::{Scope, load};
use super::model::{Condition, HealthTest, MountSource, Service, StackModel};
use super::service::{self, Context, cut};
use super::support::{Section, judge};
use super::{networks, objects};
use crate::files::RepoFiles;
use crate::findings::{Finding, Place, has_errors, with_excerpts};
use crate::ids::{EnvironmentName, RepoPath, ServiceName, StackName};
use crate::yaml::{Fields, Key, Node, Sink, Span, Value, entries, hint_among, text};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Most services of a stack.
const SERVICES_MAX: usize = 200;

/// A stack as an environment sees it: the model, or everything that is wrong with it. Warnings alone do not stop it;
/// [`resolve_with_warnings`] tells them too.
pub fn resolve_stack(files: &RepoFiles, environment: &EnvironmentName, stack: &StackName) -> Result<StackModel, Vec<Finding>> {
    let refused = refused_in(files, stack);
    if !refused.is_empty() {
        return Err(refused);
    }
    let (model, findings) = resolve_with_warnings(files, environment, stack);
    model.ok_or(findings)
}

/// What is not read of a stack's folder: it may be an override or a `.env` that would be missed in silence.
fn refused_in(files: &RepoFiles, stack: &StackName) -> Vec<Finding> {
    let Ok(folder) = format!("stacks/{stack}").parse::<RepoPath>() else { return Vec::new() };
    let place = Place::file(folder.clone());
    let found = files.refused_around(&folder);
    found.map(|(path, reason)| Finding::error("unreadable_file", place, format!("`{path}` cannot be read: {reason}"))).into_iter().collect()
}

/// As [`resolve_stack`], with the warnings of a good stack.
pub fn resolve_with_warnings(files: &RepoFiles, environment: &EnvironmentName, stack: &StackName) -> (Option<StackModel>, Vec<Finding>) {
    let resolved = resolve_with_files(files, environment, stack);
    (resolved.model, resolved.findings)
}

/// A stack, what there is to say about it, and the files that it is made of.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The model; only without errors.
    pub model: Option<StackModel>,
    /// Errors and warnings.
    pub findings: Vec<Finding>,
    /// Every file that was read or is mounted.
    pub used: BTreeSet<RepoPath>,
}

/// As [`resolve_with_warnings`], with the files that the stack is made of.
pub fn resolve_with_files(files: &RepoFiles, environment: &EnvironmentName, stack: &StackName) -> Resolved {
    let mut sink = Sink::default();
    let mut used = BTreeSet::new();
    let model = Scope::new(files, environment, stack, &mut sink).and_then(|scope| {
        let model = resolve(&scope, &mut sink);
        used = scope.used.take();
        model
    });
    let findings = with_excerpts(sink.into_findings(), files);
    Resolved { model: model.filter(|_| !has_errors(&findings)), findings, used }
}

fn resolve(scope: &Scope<'_>, sink: &mut Sink) -> Option<StackModel> {
    let tree = load(scope, sink)?;
    let mut top = Fields::of(&tree, Section::Top.title(), sink)?;
    top.some("version");
    project_name(scope, &mut top, sink);
    let objects = objects::read(scope, &mut top, sink);
    let services_node = top.some("services");
    top.finish_with(|entry| judge(Section::Top, entry), sink);
    let Some(services_node) = services_node else {
        let finding = Finding::error("missing_key", Place::file((*tree.span.file).clone()), "there are no `services`");
        sink.push(finding.hint("a stack needs at least one service"));
        return None;
    };
    let found: Vec<&(Key, Node)> = entries(services_node, sink).iter().filter(|(key, _)| !key.text.starts_with("x-")).collect();
    if found.len() > SERVICES_MAX {
        sink.push(services_node.span.error("too_many", format!("more than {SERVICES_MAX} services in one stack")));
        return None;
    }
    let profiles = active_profiles(scope);
    let mut stack = StackModel { name: scope.name.clone(), services: BTreeMap::new(), networks: BTreeMap::new(), volumes: BTreeMap::new() };
    let mut places = Places::default();
    let mut inactive = BTreeSet::new();
    let env_files = RefCell::default();
    for (key, node) in found {
        let name = match ServiceName::try_from(key.text.as_str()) {
            Ok(name) => name,
            Err(error) => {
                sink.push(key.span.error("bad_name", error.to_string()));
                continue;
            }
        };
        let service = service::read(&Context { scope, objects: &objects, name: &name, env_files: &env_files }, (key, node), sink);
        if !is_active(node, &profiles, sink) {
            inactive.insert(name);
            continue;
        }
        places.add(&name, key, node);
        stack.services.extend(service.map(|service| (name, service)));
    }
    if !sink.has_errors() {
        used_objects(&mut stack, objects);
        together(&stack, &places, &inactive, sink);
    }
    Some(stack)
}

/// `name` is the stack's name or absent: the folder decides.
fn project_name(scope: &Scope<'_>, top: &mut Fields<'_>, sink: &mut Sink) {
    if let Some(node) = top.some("name")
        && let Some(name) = text(node, sink)
        && name != scope.name.as_str()
    {
        let finding = node.span.error("conflict", format!("`name: {}` differs from the stack's name `{}`", cut(name), scope.name));
        sink.push(finding.hint("remove `name`: the folder's name is the project's name"));
    }
}

fn active_profiles(scope: &Scope<'_>) -> BTreeSet<String> {
    let listed = scope.variables.get("COMPOSE_PROFILES").unwrap_or_default();
    listed.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn is_active(node: &Node, profiles: &BTreeSet<String>, sink: &mut Sink) -> bool {
    let Some(wanted) = node.get("profiles").filter(|node| !node.is_null()) else { return true };
    let names = service::text_set(wanted, sink);
    names.is_empty() || profiles.contains("*") || names.iter().any(|name| profiles.contains(name))
}

/// Keeps the networks and volumes that services use.
fn used_objects(stack: &mut StackModel, mut objects: objects::Objects) {
    for service in stack.services.values() {
        for key in service.container.networks.keys() {
            let declared = objects.networks.remove(key);
            if declared.is_some() || key == networks::DEFAULT {
                stack.networks.entry(key.clone()).or_insert_with(|| declared.unwrap_or_default());
            }
        }
        for mount in &service.container.mounts {
            if let MountSource::Volume { key } = &mount.source
                && let Some(volume) = objects.volumes.remove(key)
            {
                stack.volumes.insert(key.clone(), volume);
            }
        }
    }
}

/// Where services stand, for findings about several of them.
#[derive(Default)]
struct Places {
    keys: BTreeMap<ServiceName, Span>,
    attributes: HashMap<(ServiceName, &'static str), Node>,
}

impl Places {
    fn add(&mut self, name: &ServiceName, key: &Key, node: &Node) {
        self.keys.insert(name.clone(), key.span.clone());
        for attribute in ["ports", "depends_on", "container_name"] {
            if let Some(node) = node.get(attribute) {
                self.attributes.insert((name.clone(), attribute), node.clone());
            }
        }
    }

    /// The key or item of a service's attribute that says `part`, or as near to it as can be told.
    fn of(&self, service: &ServiceName, attribute: &'static str, part: &str) -> Span {
        let exact = self.attributes.get(&(service.clone(), attribute)).map(|node| match &node.value {
            Value::Mapping(entries) => entries.iter().find(|(key, _)| key.text == part).map_or(&node.span, |(key, _)| &key.span),
            Value::Sequence(items) => items.iter().find(|item| says(item, part)).map_or(&node.span, |item| &item.span),
            Value::Scalar(..) => &node.span,
        });
        // Every service that is asked for was added; the fallback keeps this total.
        exact.or_else(|| self.keys.get(service)).cloned().unwrap_or_else(|| Span::start(std::sync::Arc::new(fallback_path())))
    }
}

/// Does an item name `part`: as a whole, between colons, or as the `published` of a long form?
fn says(item: &Node, part: &str) -> bool {
    match item.get("published").unwrap_or(item).scalar() {
        Some(text) => text.split([':', '/']).any(|piece| piece == part),
        None => false,
    }
}

fn fallback_path() -> crate::ids::RepoPath {
    #[expect(clippy::expect_used, reason = "a constant that is a path")]
    "stacks".parse().expect("`stacks` is a path")
}

/// What only shows when services are seen together.
fn together(stack: &StackModel, places: &Places, inactive: &BTreeSet<ServiceName>, sink: &mut Sink) {
    if stack.services.is_empty() {
        if let Some(name) = inactive.first() {
            let message = format!("no service is active: `{name}` and the others wait for a profile");
            let place = Place::file(format!("stacks/{}/compose.yaml", stack.name).parse().unwrap_or_else(|_| fallback_path()));
            sink.push(Finding::error("no_services", place, message).hint("set `COMPOSE_PROFILES` in a `.env` file of the stack"));
        }
        return;
    }
    for (name, service) in &stack.services {
        dependencies(stack, (name, service), places, inactive, sink);
    }
    cycles(stack, places, sink);
    host_ports(stack, places, sink);
    container_names(stack, places, sink);
}

fn dependencies(
    stack: &StackModel,
    (name, service): (&ServiceName, &Service),
    places: &Places,
    inactive: &BTreeSet<ServiceName>,
    sink: &mut Sink,
) {
    for (wanted, dependency) in &service.depends_on {
        let span = places.of(name, "depends_on", wanted.as_str());
        match stack.services.get(wanted) {
            None if !dependency.required => {}
            None if inactive.contains(wanted) => {
                let finding = span.error("unknown_service", format!("`{name}` depends on `{wanted}`, which waits for a profile"));
                sink.push(finding.hint("write `required: false`, or activate the profile by `COMPOSE_PROFILES` in a `.env` file"));
            }
            None => {
                let known = stack.services.keys().map(ServiceName::as_str);
                let finding = span.error("unknown_service", format!("`{name}` depends on `{wanted}`, which is no service of this stack"));
                sink.push(finding.hint(hint_among(wanted.as_str(), known, "service")));
            }
            Some(other) => {
                let disabled = other.container.healthcheck.as_ref().is_some_and(|health| health.test == HealthTest::Disabled);
                if dependency.condition == Condition::ServiceHealthy && disabled {
                    let finding =
                        span.error("conflict", format!("`{name}` waits until `{wanted}` is healthy, but its health check is disabled"));
                    sink.push(finding.hint("use `service_started`, or give it a health check"));
                }
            }
        }
    }
}

/// Walks the dependencies from each service; a service on the way to itself is a cycle, reported once.
fn cycles(stack: &StackModel, places: &Places, sink: &mut Sink) {
    let mut done: BTreeSet<&ServiceName> = BTreeSet::new();
    for start in stack.services.keys() {
        let mut way: Vec<(&ServiceName, Vec<&ServiceName>)> = vec![(start, next(stack, start))];
        while let Some((at, left)) = way.last_mut() {
            let at = *at;
            let Some(to) = left.pop() else {
                done.insert(at);
                way.pop();
                continue;
            };
            if done.contains(to) {
                continue;
            }
            if let Some(from) = way.iter().position(|(name, _)| *name == to) {
                let names: Vec<String> = way[from..].iter().map(|(name, _)| format!("`{name}`")).collect();
                let message = format!("services wait for each other in a circle: {} → `{to}`", names.join(" → "));
                sink.push(
                    places.of(at, "depends_on", to.as_str()).error("dependency_cycle", message).hint("remove one of these dependencies"),
                );
                done.insert(to);
                return;
            }
            way.push((to, next(stack, to)));
        }
    }
}

fn next<'a>(stack: &'a StackModel, name: &ServiceName) -> Vec<&'a ServiceName> {
    let wanted = stack.services.get(name).map(|service| service.depends_on.keys().rev().collect::<Vec<_>>()).unwrap_or_default();
    wanted.into_iter().filter(|name| stack.services.contains_key(*name)).collect()
}

/// One host port belongs to one container.
fn host_ports(stack: &StackModel, places: &Places, sink: &mut Sink) {
    /// Who publishes a port, and at which address.
    type Owners<'a> = Vec<(&'a ServiceName, Option<&'a str>)>;
    let mut taken: HashMap<(u16, super::Protocol), Owners<'_>> = HashMap::new();
    for (name, service) in &stack.services {
        for port in &service.container.ports {
            let Some(published) = port.published else { continue };
            if service.replicas > 1 {
                let finding = places
                    .of(name, "ports", &published.to_string())
                    .error("port_conflict", format!("{} copies cannot share the host port {published}", service.replicas));
                sink.push(finding.hint("let the engine pick a port (`80` instead of `8080:80`), or run one copy"));
            }
            let owners = taken.entry((published, port.protocol)).or_default();
            let address = port.host_ip.as_deref().filter(|address| !matches!(*address, "0.0.0.0" | "::"));
            let clash = owners.iter().find(|(_, other)| other.is_none() || address.is_none() || *other == address);
            if let Some((other, _)) = clash {
                let message = match *other == name {
                    true => format!("`{name}` publishes the host port {published} twice"),
                    false => format!("`{name}` and `{other}` both publish the host port {published}"),
                };
                sink.push(
                    places
                        .of(name, "ports", &published.to_string())
                        .error("port_conflict", message)
                        .hint("publish on different ports or addresses"),
                );
            }
            owners.push((name, address));
        }
    }
}

fn container_names(stack: &StackModel, places: &Places, sink: &mut Sink) {
    let mut taken: HashMap<&str, &ServiceName> = HashMap::new();
    for (name, service) in &stack.services {
        let Some(fixed) = service.container.container_name.as_deref() else { continue };
        if let Some(other) = taken.insert(fixed, name) {
            let message = format!("`{other}` and `{name}` have the same container name");
            sink.push(places.of(name, "container_name", fixed).error("conflict", message).hint("remove `container_name`"));
        }
    }
}
