//! A stack as a plain Compose file: variables filled in, overrides merged, digests pinned. What is read back from it is
//! the same model, and `docker compose` takes it as it is.

mod parts;
mod yaml;

use super::model::{ContainerModel, MountSource, Service, StackModel};
use crate::ids::ServiceName;
use std::collections::{BTreeMap, BTreeSet};
use yaml::{Out, document};

/// The Compose file of a stack. Files of the config repo are named relative to the stack's folder.
pub fn render(stack: &StackModel) -> String {
    let mut top = Entries::default();
    let services = stack.services.iter().map(|(name, service)| (name.to_string(), parts::service(stack, service)));
    top.add("services", Out::Map(services.collect()));
    let networks = stack.networks.iter().filter(|(key, network)| *key != "default" || **network != Default::default());
    top.map("networks", networks.map(|(key, network)| (key.clone(), parts::network(network))));
    top.map("volumes", stack.volumes.iter().map(|(key, volume)| (key.clone(), parts::volume(volume))));
    document(&top.finish())
}

/// What of a stack belongs on a host with these labels: the services whose constraints it fits, and what they use.
#[must_use]
pub fn placed(stack: &StackModel, labels: &BTreeMap<String, String>) -> StackModel {
    let fits = |service: &Service| service.constraints.iter().all(|rule| (labels.get(&rule.label) == Some(&rule.value)) == rule.equal);
    let here: BTreeSet<ServiceName> = stack.services.iter().filter(|(_, service)| fits(service)).map(|(name, _)| name.clone()).collect();
    let mut stack = stack.clone();
    stack.services.retain(|name, _| here.contains(name));
    for service in stack.services.values_mut() {
        service.depends_on.retain(|name, _| here.contains(name));
    }
    let containers = || stack.services.values().map(|service| &service.container);
    let networks: BTreeSet<String> = containers().flat_map(|container| container.networks.keys().cloned()).collect();
    let volumes: BTreeSet<String> = containers().flat_map(named_volumes).collect();
    stack.networks.retain(|key, _| networks.contains(key));
    stack.volumes.retain(|key, _| volumes.contains(key));
    stack
}

fn named_volumes(container: &ContainerModel) -> impl Iterator<Item = String> {
    container.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume { key } => Some(key.clone()),
        MountSource::Anonymous | MountSource::Bind { .. } | MountSource::Repo { .. } | MountSource::Tmpfs { .. } => None,
    })
}

/// A mapping under construction; what says nothing is left out.
#[derive(Default)]
struct Entries(Vec<(String, Out)>);

impl Entries {
    fn add(&mut self, key: &str, value: Out) {
        self.0.push((key.to_owned(), value));
    }

    fn some(&mut self, key: &str, value: Option<Out>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }

    fn text(&mut self, key: &str, value: Option<&String>) {
        self.some(key, value.map(Out::text));
    }

    fn list(&mut self, key: &str, items: impl IntoIterator<Item = Out>) {
        let items: Vec<Out> = items.into_iter().collect();
        if !items.is_empty() {
            self.add(key, Out::List(items));
        }
    }

    fn map(&mut self, key: &str, entries: impl IntoIterator<Item = (String, Out)>) {
        let entries: Vec<(String, Out)> = entries.into_iter().collect();
        if !entries.is_empty() {
            self.add(key, Out::Map(entries));
        }
    }

    fn texts(&mut self, key: &str, entries: &BTreeMap<String, String>) {
        self.map(key, entries.iter().map(|(key, value)| (key.clone(), Out::text(value))));
    }

    fn finish(self) -> Out {
        Out::Map(self.0)
    }

    fn finish_some(self) -> Option<Out> {
        (!self.0.is_empty()).then_some(Out::Map(self.0))
    }
}
