//! What is asked of each host. Names of containers do not hold the host's name, so hosts with the same labels before
//! and after are asked the same, and are planned once.

use super::changes::{Change, ChangeKind, Totals, changes_of};
use super::{Input, Running};
use crate::compose::StackModel;
use crate::desired::DesiredStack;
use crate::ids::{ContentId, EnvironmentName, HostName, StackName};
use crate::observed::{ContainerState, HeldPort, ObservedContainer, ObservedHost, ObservedNetwork};
use crate::offers::{Basis, ForHost, LockBasis, Present, offers};
use crate::plan::{Gates, HostInputs, Offer, Plan, Released, StackInputs, StackPlan, StackRecord, Waiting, plan};
use crate::repo::{Environment, Host, Repo};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// Hosts of which the same is asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostPreview {
    /// The hosts.
    pub hosts: Vec<HostName>,
    /// The stacks with something to do or to wait for.
    pub stacks: Vec<StackPreview>,
    /// The plan with every step.
    pub plan: Plan,
}

/// What happens to a stack on a host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StackPreview {
    /// The stack.
    pub stack: StackName,
    /// What happens.
    pub changes: Vec<Change>,
    /// Why nothing happens though something differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

/// A host that no longer takes part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmanaged {
    /// The host.
    pub host: HostName,
    /// Why.
    pub because: UnmanagedBecause,
}

/// Why a host no longer takes part. Its agent leaves everything as it is and says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum UnmanagedBecause {
    /// Its file is gone.
    Removed,
    /// Its file names another environment than the one that its containers were made for.
    Moved {
        /// The environment it came from.
        from: EnvironmentName,
    },
}

impl HostPreview {
    /// The longest time that one of its stacks may take, in milliseconds.
    pub(super) fn budget_ms(&self) -> u64 {
        let moving = self.plan.stacks.iter().filter(|stack| !stack.steps.is_empty());
        moving.filter_map(|stack| stack.target.as_ref()).map(DesiredStack::budget_ms).max().unwrap_or(0)
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.stacks.iter().flat_map(|stack| &stack.changes).for_each(|change| totals.count(change));
        totals.hosts = usize::from(self.stacks.iter().any(|stack| !stack.changes.is_empty()));
        totals.times(self.hosts.len())
    }
}

pub(super) struct Hosts {
    pub(super) groups: Vec<HostPreview>,
    pub(super) unchanged: Vec<HostName>,
    pub(super) unmanaged: Vec<Unmanaged>,
    /// The groups by their plan's identity.
    by_plan: BTreeMap<ContentId, Vec<usize>>,
}

impl Hosts {
    /// Labels that make no difference make no group of their own.
    fn add(&mut self, preview: HostPreview) {
        let alike = self.by_plan.entry(preview.plan.hash.clone()).or_default();
        match alike.iter().find(|at| self.groups[**at].stacks == preview.stacks) {
            Some(at) => self.groups[*at].hosts.extend(preview.hosts),
            None => {
                alike.push(self.groups.len());
                self.groups.push(preview);
            }
        }
    }
}

/// What decides what is asked of a host.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind<'a> {
    labels: &'a BTreeMap<String, String>,
    labels_before: Option<&'a BTreeMap<String, String>>,
    /// Only one host is observed, so its kind is its own.
    observed: Option<&'a HostName>,
}

pub(super) fn hosts(input: &Input<'_>, environment: &Environment, running: Option<&Running>, asked: &impl Fn(&HostName) -> bool) -> Hosts {
    let mut kinds: BTreeMap<Kind<'_>, Vec<&Host>> = BTreeMap::new();
    let mut unmanaged = removed(input, environment, asked);
    for host in input.repo.hosts_of(&environment.name).filter(|host| asked(&host.name)) {
        let before = input.hosts_before.and_then(|hosts| hosts.get(&host.name));
        if let Some(from) = before.filter(|from| **from != environment.name) {
            unmanaged.push(Unmanaged { host: host.name.clone(), because: UnmanagedBecause::Moved { from: from.clone() } });
            continue;
        }
        let was_there = input.hosts_before.is_none() || before.is_some();
        let labels_before = was_there.then(|| labels_before(running, host)).flatten();
        let observed = input.observed.map(|(name, _)| name).filter(|name| **name == host.name);
        kinds.entry(Kind { labels: &host.labels, labels_before, observed }).or_default().push(host);
    }
    let pinned = pinned(input.repo, environment, running);
    let mut found = Hosts { groups: Vec::new(), unchanged: Vec::new(), unmanaged, by_plan: BTreeMap::new() };
    for (kind, members) in kinds {
        let names: Vec<HostName> = members.iter().map(|host| host.name.clone()).collect();
        let group = Group { input, environment, running, host: members[0], repo: &pinned };
        match group.preview(&kind, names) {
            Ok(preview) => found.add(preview),
            Err(mut names) => found.unchanged.append(&mut names),
        }
    }
    found.groups.iter_mut().for_each(|group| group.hosts.sort());
    found.groups.sort_by(|a, b| a.hosts.cmp(&b.hosts));
    found.unchanged.sort();
    found
}

/// Hosts of this environment until now whose files are gone.
fn removed(input: &Input<'_>, environment: &Environment, asked: &impl Fn(&HostName) -> bool) -> Vec<Unmanaged> {
    let before = input.hosts_before.into_iter().flatten().filter(|(name, of)| **of == environment.name && asked(name));
    let gone = before.filter(|(name, _)| !input.repo.hosts.contains_key(*name));
    gone.map(|(name, _)| Unmanaged { host: name.clone(), because: UnmanagedBecause::Removed }).collect()
}

/// The labels by which this host got what it runs; none: it runs nothing.
fn labels_before<'a>(running: Option<&'a Running>, host: &'a Host) -> Option<&'a BTreeMap<String, String>> {
    let repo = match running? {
        Running::Locked(locked) => &locked.repo,
        Running::Branch { repo, .. } => repo,
    };
    // A host that came after the lock was placed by its own file.
    Some(repo.hosts.get(&host.name).filter(|before| before.environment == host.environment).map_or(&host.labels, |before| &before.labels))
}

/// The proposal of one environment with the lock's digests filled in, as far as image names are the same: an unchanged
/// tag is then no change.
fn pinned(repo: &Repo, environment: &Environment, running: Option<&Running>) -> Repo {
    let mut own = Repo {
        settings: repo.settings.clone(),
        environments: vec![environment.clone()],
        hosts: BTreeMap::new(),
        stacks: BTreeMap::new(),
        locks: BTreeMap::new(),
    };
    let models = repo.stacks.iter().filter(|((of, _), _)| *of == environment.name);
    own.stacks = models.map(|(key, model)| (key.clone(), with_digests(model, running))).collect();
    own
}

pub(super) fn with_digests(model: &StackModel, running: Option<&Running>) -> StackModel {
    let locked = match running {
        Some(Running::Locked(locked)) => locked.lock.stacks.get(&model.name),
        Some(Running::Branch { .. }) | None => None,
    };
    match locked {
        Some(locked) => model.clone().pinned(&locked.images),
        None => model.clone(),
    }
}

/// Hosts of one kind, by the example of one of them.
struct Group<'a> {
    input: &'a Input<'a>,
    environment: &'a Environment,
    running: Option<&'a Running>,
    host: &'a Host,
    repo: &'a Repo,
}

impl Group<'_> {
    /// The names come back when nothing is asked of these hosts.
    fn preview(&self, kind: &Kind<'_>, hosts: Vec<HostName>) -> Result<HostPreview, Vec<HostName>> {
        let before = if kind.labels_before.is_some() { self.released() } else { BTreeMap::new() };
        let released: BTreeMap<StackName, DesiredStack> = before
            .iter()
            .filter_map(|(name, offer)| match offer {
                Offer::Stack(desired) => Some((name.clone(), (**desired).clone())),
                Offer::Nothing(_) | Offer::Unknown(_) => None,
            })
            .collect();
        let plan = self.plan(&released);
        let stacks: Vec<StackPreview> = plan.stacks.iter().map(|stack| stack_preview(stack, released.get(&stack.stack))).collect();
        let unreadable = before.into_iter().filter_map(|(stack, offer)| match offer {
            Offer::Unknown(Some(waiting)) => Some(StackPreview { stack, changes: Vec::new(), waiting: Some(waiting) }),
            _ => None,
        });
        let mut stacks: Vec<StackPreview> = unreadable.chain(stacks).collect();
        stacks.retain(|stack| !stack.changes.is_empty() || stack.waiting.is_some());
        if stacks.is_empty() { Err(hosts) } else { Ok(HostPreview { hosts, stacks, plan }) }
    }

    /// What its agent was offered last.
    fn released(&self) -> BTreeMap<StackName, Offer> {
        let host = self.for_host(&BTREE_OF_NOTHING);
        match self.running {
            Some(Running::Locked(locked)) => {
                let basis = LockBasis { lock: &locked.lock, repo: &locked.repo, models: &locked.models, newcomer: Some(self.host) };
                offers(&Basis::Lock(basis), &host)
            }
            Some(Running::Branch { commit, repo }) => offers(&Basis::Tip { commit, repo }, &host),
            None => BTreeMap::new(),
        }
    }

    fn for_host<'b>(&'b self, present: &'b BTreeMap<StackName, Present>) -> ForHost<'b> {
        ForHost { host: &self.host.name, environment: &self.environment.name, naming: self.input.naming, present }
    }

    fn plan(&self, released: &BTreeMap<StackName, DesiredStack>) -> Plan {
        let input = self.input;
        let observed = match input.observed.filter(|(name, _)| **name == self.host.name) {
            Some((_, observed)) => observed.clone(),
            None => as_released(released),
        };
        let present = present(released);
        let mut repo = self.repo.clone();
        repo.hosts.insert(self.host.name.clone(), self.host.clone());
        let offered = offers(&Basis::Tip { commit: input.commit, repo: &repo }, &self.for_host(&present));
        let stacks = offered.into_iter().map(|(name, offer)| (name.clone(), inputs(name, offer, released, input.now))).collect();
        plan(&HostInputs { stacks, observed: &observed, gates: open() }, input.now)
    }
}

static BTREE_OF_NOTHING: BTreeMap<StackName, Present> = BTreeMap::new();

fn present(released: &BTreeMap<StackName, DesiredStack>) -> BTreeMap<StackName, Present> {
    let containers = |desired: &DesiredStack| desired.services.iter().map(|service| service.containers.len()).sum::<usize>();
    let counted = released.iter().map(|(name, desired)| (name.clone(), u32::try_from(containers(desired)).unwrap_or(u32::MAX)));
    counted.map(|(name, containers)| (name, Present { containers, ..Present::default() })).collect()
}

fn stack_preview(stack: &StackPlan, before: Option<&DesiredStack>) -> StackPreview {
    let mut changes = changes_of(stack, before);
    let differs = stack.target.as_ref().is_some_and(|target| before.is_some_and(|before| before.content != target.content));
    if changes.is_empty() && differs {
        let name = stack.stack.to_string();
        changes.push(Change { kind: ChangeKind::Settings, name, fields: Vec::new(), image: None, downtime: None });
    }
    StackPreview { stack: stack.stack.clone(), changes, waiting: stack.waiting.clone() }
}

fn inputs(name: StackName, offer: Offer, released: &BTreeMap<StackName, DesiredStack>, now: Timestamp) -> StackInputs {
    let released = released.get(&name).map(|desired| Released { release: desired.release, desired: desired.clone(), verified_at: now });
    StackInputs { name, offer, record: StackRecord { released, ..StackRecord::default() } }
}

/// The gates are shown, not applied: a calendar without windows is always open.
fn open() -> Gates {
    Gates::default()
}

/// A host that has exactly what is released to it.
pub fn as_released(released: &BTreeMap<StackName, DesiredStack>) -> ObservedHost {
    let mut host = ObservedHost::default();
    for desired in released.values() {
        for (name, _) in desired.networks.iter().filter(|(_, network)| !network.external) {
            host.networks.insert(name.clone(), ObservedNetwork { stack: desired.stack.clone() });
        }
        host.volumes.extend(desired.volumes.iter().filter(|(_, volume)| !volume.external).map(|(name, _)| name.clone()));
        for (service, container) in desired.services.iter().flat_map(|service| service.containers.iter().map(move |c| (service, c))) {
            let ports = &container.model.ports;
            let held = ports.iter().filter_map(|port| Some(HeldPort { port: port.published?, protocol: port.protocol }));
            let observed = ObservedContainer {
                id: container.name.clone(),
                stack: desired.stack.clone(),
                service: service.name.clone(),
                replica: container.replica,
                hash: container.hash.clone(),
                release: desired.release,
                commit: Some(desired.commit.clone()),
                state: if service.one_shot { ContainerState::Exited(0) } else { ContainerState::Running },
                health: None,
                started_at: None,
                image: container.model.image.for_engine(),
                held_ports: if service.one_shot { Default::default() } else { held.collect() },
            };
            host.containers.insert(container.name.clone(), observed);
        }
    }
    host
}
