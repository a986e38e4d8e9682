//! The host's status, made from what is remembered, offered and observed. Pure.

use crate::reconcile::StackReport;
use crate::reconcile::journal::release_of;
use crate::settings::Settings;
use crate::store::{Memory, StackMemory};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::desired::{DesiredContainer, DesiredService, DesiredStack};
use tidegate_core::events::{HostStatus, ServiceStatus, StackStatus};
use tidegate_core::ids::{EnvironmentName, ServiceName, StackName};
use tidegate_core::observed::{ContainerState, Health, ObservedContainer, ObservedHost};

/// The agent's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a status is made from.
pub struct Facts<'a> {
    /// Settings.
    pub settings: &'a Settings,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// What is remembered.
    pub memory: &'a Memory,
    /// The engine's version, while it answers.
    pub engine_version: Option<&'a str>,
    /// The zone database in use.
    pub tzdata: &'a str,
    /// When git answered last.
    pub last_poll: Option<Timestamp>,
    /// What the engine had last.
    pub observed: &'a ObservedHost,
    /// Offers and waits.
    pub stacks: &'a BTreeMap<StackName, StackReport>,
}

/// The whole state of the host.
pub fn host_status(facts: &Facts<'_>) -> HostStatus {
    let observed = facts.observed.containers.values().map(|container| &container.stack);
    let names: BTreeSet<&StackName> = facts.memory.stacks.keys().chain(facts.stacks.keys()).chain(observed).collect();
    HostStatus {
        host: facts.settings.host.clone(),
        environment: facts.environment.clone(),
        agent_version: VERSION.to_owned(),
        engine_version: facts.engine_version.map(str::to_owned),
        tzdata: facts.tzdata.to_owned(),
        observed_commit: facts.memory.trusted.clone(),
        last_poll: facts.last_poll,
        poll_interval_secs: facts.settings.poll_interval.as_secs().max(1),
        stacks: names.into_iter().map(|name| (name.clone(), stack_status(facts, name))).collect(),
    }
}

fn stack_status(facts: &Facts<'_>, name: &StackName) -> StackStatus {
    let empty = StackMemory::default();
    let memory = facts.memory.stacks.get(name).unwrap_or(&empty);
    let report = facts.stacks.get(name).cloned().unwrap_or_default();
    let record = &memory.record;
    let of = |desired: &DesiredStack| release_of(facts.environment, desired);
    StackStatus {
        offered: report.offered,
        attempted: memory.journal.as_ref().map(|journal| journal.of.clone()),
        released: record.released.as_ref().map(|released| of(&released.desired)),
        released_at: record.released.as_ref().map(|released| released.verified_at),
        restorable: record.verified.iter().map(|verified| of(&verified.desired)).collect(),
        waiting: report.waiting,
        prepared: report.prepared,
        services: services(record.released.as_ref().map(|released| &released.desired), name, facts.observed),
    }
}

fn services(released: Option<&DesiredStack>, stack: &StackName, observed: &ObservedHost) -> BTreeMap<ServiceName, ServiceStatus> {
    let mut services: BTreeMap<ServiceName, ServiceStatus> = BTreeMap::new();
    for service in released.into_iter().flat_map(|desired| &desired.services) {
        services.insert(service.name.clone(), wanted(service, observed));
    }
    for container in observed.containers.values().filter(|container| container.stack == *stack) {
        let status = services.entry(container.service.clone()).or_insert_with(|| unknown(container));
        add(status, container);
    }
    services
}

fn wanted(service: &DesiredService, observed: &ObservedHost) -> ServiceStatus {
    let image = service.containers.first().map(|container| container.model.image.for_people()).unwrap_or_default();
    // A job that has ended is done, not missing.
    let has_ended = |container: &&DesiredContainer| {
        let state = observed.containers.get(&container.name).map(|found| found.state);
        container.model.may_end() && state == Some(ContainerState::Exited(0))
    };
    let lasting = if service.one_shot { 0 } else { service.containers.iter().filter(|container| !has_ended(container)).count() };
    ServiceStatus { image, wanted: u32::try_from(lasting).unwrap_or(u32::MAX), running: 0, health: None, since: None }
}

fn unknown(container: &ObservedContainer) -> ServiceStatus {
    ServiceStatus { image: container.image.clone(), wanted: 0, running: 0, health: None, since: None }
}

fn add(status: &mut ServiceStatus, container: &ObservedContainer) {
    if container.is_running() {
        status.running += 1;
        status.since = status.since.max(container.started_at);
        status.health = worse(status.health, container.health);
    }
}

fn worse(one: Option<Health>, other: Option<Health>) -> Option<Health> {
    let rank = |health: &Health| match health {
        Health::Healthy => 0,
        Health::Starting => 1,
        Health::Unhealthy => 2,
    };
    one.into_iter().chain(other).max_by_key(rank)
}
