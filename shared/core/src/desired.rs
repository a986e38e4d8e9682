//! What one host must have: stacks as containers, networks and volumes with their engine names.

use crate::compose::{
    Condition, ContainerModel, Mount, MountSource, NetworkModel, PullPolicy, Service, StackModel, Unshown, UpdateOrder, VolumeModel,
};
use crate::ids::{CommitId, ContentId, ReleaseNumber, RepoPath, ServiceName, StackName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How engine names are made on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Put before each stack's name, so that two agents can share an engine; usually empty.
    pub prefix: String,
}

impl Naming {
    /// The Compose project of a stack.
    pub fn project(&self, stack: &StackName) -> String {
        format!("{}{stack}", self.prefix)
    }
}

/// A stack on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredStack {
    /// Its name.
    pub stack: StackName,
    /// Compose project: the prefix of engine names.
    pub project: String,
    /// Identity of the whole stack, the same on every host.
    pub content: ContentId,
    /// Where its files come from.
    pub commit: CommitId,
    /// The release, if a lock named one.
    pub release: Option<ReleaseNumber>,
    /// Services in start order: what is depended on comes first.
    pub services: Vec<DesiredService>,
    /// Networks by engine name.
    pub networks: BTreeMap<String, NetworkModel>,
    /// Volumes by engine name.
    pub volumes: BTreeMap<String, VolumeModel>,
}

/// A service on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredService {
    /// Its name.
    pub name: ServiceName,
    /// Its containers, by replica from 1. All have the same model.
    pub containers: Vec<DesiredContainer>,
    /// What it waits for: services of this stack.
    pub depends_on: BTreeMap<ServiceName, Condition>,
    /// When to pull.
    pub pull_policy: PullPolicy,
    /// Which comes first when a container is replaced, and why.
    pub order: ChosenOrder,
    /// Ends by itself with 0 and is done then: somebody waits for `service_completed_successfully`.
    pub one_shot: bool,
    /// Variables of the containers whose values are never shown; kept here for the comparison with what comes later.
    #[serde(default, skip_serializing_if = "Unshown::is_empty")]
    pub unshown: Unshown,
    /// How long it may take to become ready, in milliseconds.
    pub ready_timeout_ms: u64,
    /// How long it must stay ready before it counts, in milliseconds.
    pub bake_ms: u64,
}

/// One container that must exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredContainer {
    /// Engine name, unlike that of any other version: `<project>-<service>-<replica>-<hash>`, or the fixed one.
    pub name: String,
    /// Which copy, from 1.
    pub replica: u32,
    /// Identity of `model` below.
    pub hash: ContentId,
    /// What it is; network and volume keys are engine names here.
    pub model: ContainerModel,
}

/// Which comes first when a container is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChosenOrder {
    /// The new one beside the old one: no gap.
    StartFirst,
    /// The old one goes first.
    StopFirst(StopFirstBecause),
}

/// Why the new container cannot stand beside the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopFirstBecause {
    /// Both would publish the same port of the host.
    HostPort,
    /// Both would write the same named volume.
    NamedVolume,
    /// Both would have the same fixed name.
    FixedName,
    /// `deploy.update_config.order: stop-first`.
    Asked,
}

/// Without a health check a container must run this long before it counts, in milliseconds.
pub const BAKE_WITHOUT_HEALTHCHECK_MS: u64 = 3_000;
/// With a health check: good for this long, so that one lucky sample does not decide, in milliseconds.
pub const BAKE_WITH_HEALTHCHECK_MS: u64 = 0;
/// Time to become ready beyond what the health check itself needs, in milliseconds.
pub const READY_RESERVE_MS: u64 = 30_000;

/// Builds a stack's desired state for a host, from the pinned model.
///
/// `labels` are the host's: services whose placement constraints do not match are left out.
pub fn desired_stack(model: &StackModel, source: &Source, naming: &Naming, labels: &BTreeMap<String, String>) -> DesiredStack {
    let project = naming.project(&model.name);
    let placed = |service: &&Service| service.constraints.iter().all(|c| (labels.get(&c.label) == Some(&c.value)) == c.equal);
    let here: BTreeMap<&ServiceName, &Service> = model.services.iter().filter(|(_, s)| placed(s)).collect();
    let one_shots: BTreeSet<&ServiceName> = here
        .values()
        .flat_map(|s| &s.depends_on)
        .filter(|(_, d)| d.condition == Condition::ServiceCompletedSuccessfully)
        .map(|(name, _)| name)
        .collect();
    let names = EngineNames { project: &project, model };
    let services = start_order(&here)
        .into_iter()
        .map(|name| desired_service(name, here[name], &names, &here, one_shots.contains(name)))
        .collect::<Vec<_>>();
    let used_networks: BTreeSet<&String> = here.values().flat_map(|s| s.container.networks.keys()).collect();
    let used_volumes: BTreeSet<String> = here
        .values()
        .flat_map(|s| &s.container.mounts)
        .filter_map(|m| match &m.source {
            MountSource::Volume { key } => Some(key.clone()),
            _ => None,
        })
        .collect();
    DesiredStack {
        stack: model.name.clone(),
        content: model.content(),
        commit: source.commit.clone(),
        release: source.release,
        services,
        networks: used_networks.into_iter().map(|k| (names.network(k), model.networks.get(k).cloned().unwrap_or_default())).collect(),
        volumes: used_volumes.iter().map(|k| (names.volume(k), model.volumes.get(k).cloned().unwrap_or_default())).collect(),
        project,
    }
}

/// Where a stack's desired state comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The commit its files are read at.
    pub commit: CommitId,
    /// The release, if a lock named one.
    pub release: Option<ReleaseNumber>,
}

struct EngineNames<'a> {
    project: &'a str,
    model: &'a StackModel,
}

impl EngineNames<'_> {
    fn network(&self, key: &str) -> String {
        let given = self.model.networks.get(key);
        match given.and_then(|n| n.name.clone()) {
            Some(name) => name,
            None if given.is_some_and(|n| n.external) => key.to_owned(),
            None => format!("{}_{key}", self.project),
        }
    }

    fn volume(&self, key: &str) -> String {
        let given = self.model.volumes.get(key);
        match given.and_then(|v| v.name.clone()) {
            Some(name) => name,
            None if given.is_some_and(|v| v.external) => key.to_owned(),
            None => format!("{}_{key}", self.project),
        }
    }
}

/// Services sorted so that each comes after what it depends on; ties by name. Cycles were refused at validation;
/// should one be left, its members come last in name order.
fn start_order<'a>(services: &BTreeMap<&'a ServiceName, &'a Service>) -> Vec<&'a ServiceName> {
    let mut ordered: Vec<&ServiceName> = Vec::with_capacity(services.len());
    let mut open: Vec<&ServiceName> = services.keys().copied().collect();
    while !open.is_empty() {
        let ready =
            open.iter().position(|name| services[name].depends_on.keys().all(|on| ordered.contains(&on) || !services.contains_key(on)));
        ordered.push(open.remove(ready.unwrap_or(0)));
    }
    ordered
}

fn desired_service(
    name: &ServiceName,
    service: &Service,
    names: &EngineNames<'_>,
    here: &BTreeMap<&ServiceName, &Service>,
    one_shot: bool,
) -> DesiredService {
    let model = engine_model(name, &service.container, names);
    // A one-shot runs once per release: its identity holds the release's content.
    let hash = if one_shot { ContentId::of(&(&model, names.model.content())) } else { ContentId::of(&model) };
    let container = |replica: u32| DesiredContainer {
        name: model.container_name.clone().unwrap_or_else(|| format!("{}-{name}-{replica}-{}", names.project, &hash.as_str()[..8])),
        replica,
        hash: hash.clone(),
        model: model.clone(),
    };
    DesiredService {
        name: name.clone(),
        containers: (1..=service.replicas).map(container).collect(),
        depends_on: service.depends_on.iter().filter(|(on, _)| here.contains_key(on)).map(|(on, d)| (on.clone(), d.condition)).collect(),
        pull_policy: service.pull_policy,
        order: chosen_order(service),
        one_shot,
        unshown: service.container.unshown.clone(),
        ready_timeout_ms: service.release.health_timeout_ms.unwrap_or_else(|| ready_timeout_ms(&service.container)),
        bake_ms: service.release.bake_ms.or(service.update.monitor_ms).unwrap_or(match service.container.healthcheck {
            Some(_) => BAKE_WITH_HEALTHCHECK_MS,
            None => BAKE_WITHOUT_HEALTHCHECK_MS,
        }),
    }
}

/// The container's model with engine names in place of Compose keys, and the service's name as an alias.
fn engine_model(service: &ServiceName, model: &ContainerModel, names: &EngineNames<'_>) -> ContainerModel {
    let mut model = model.clone();
    model.networks = std::mem::take(&mut model.networks)
        .into_iter()
        .map(|(key, mut attachment)| {
            attachment.aliases.insert(service.to_string());
            (names.network(&key), attachment)
        })
        .collect();
    for mount in &mut model.mounts {
        if let MountSource::Volume { key } = &mut mount.source {
            *key = names.volume(key);
        }
    }
    model
}

fn ready_timeout_ms(container: &ContainerModel) -> u64 {
    let Some(check) = &container.healthcheck else { return READY_RESERVE_MS };
    let each = check.interval_ms.unwrap_or(30_000).saturating_add(check.timeout_ms.unwrap_or(30_000));
    let tries = u64::from(check.retries.unwrap_or(3)).saturating_add(1);
    check.start_period_ms.unwrap_or(0).saturating_add(each.saturating_mul(tries)).saturating_add(READY_RESERVE_MS)
}

fn chosen_order(service: &Service) -> ChosenOrder {
    let container = &service.container;
    let writes_volume = |m: &Mount| matches!(m.source, MountSource::Volume { .. }) && !m.read_only;
    if service.update.order == Some(UpdateOrder::StopFirst) {
        ChosenOrder::StopFirst(StopFirstBecause::Asked)
    } else if container.container_name.is_some() {
        ChosenOrder::StopFirst(StopFirstBecause::FixedName)
    } else if container.ports.iter().any(|port| port.published.is_some()) {
        ChosenOrder::StopFirst(StopFirstBecause::HostPort)
    } else if container.mounts.iter().any(writes_volume) {
        ChosenOrder::StopFirst(StopFirstBecause::NamedVolume)
    } else {
        ChosenOrder::StartFirst
    }
}

fn nothing_content() -> ContentId {
    ContentId::of_bytes(b"nothing")
}

impl DesiredStack {
    /// A stack of which nothing is left: what a removal aims at.
    pub fn nothing(stack: StackName, project: String, source: &Source) -> DesiredStack {
        DesiredStack {
            content: nothing_content(),
            commit: source.commit.clone(),
            release: source.release,
            services: Vec::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            project,
            stack,
        }
    }

    /// Is this what a removal aims at? A stack of which no service belongs on this host is something else.
    pub fn is_nothing(&self) -> bool {
        self.content == nothing_content()
    }

    /// The repo files and folders that containers mount, with their identity.
    pub fn repo_mounts(&self) -> BTreeSet<(RepoPath, ContentId)> {
        let mounts = self.services.iter().flat_map(|s| &s.containers).flat_map(|c| &c.model.mounts);
        mounts
            .filter_map(|m| match &m.source {
                MountSource::Repo { path, content } => Some((path.clone(), content.clone())),
                _ => None,
            })
            .collect()
    }

    /// The longest time until all of it can be ready, services one after the other, in milliseconds.
    pub fn budget_ms(&self) -> u64 {
        self.services.iter().map(|s| s.ready_timeout_ms.saturating_add(s.bake_ms)).fold(0, u64::saturating_add)
    }
}
