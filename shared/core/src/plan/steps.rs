//! The way from what is observed to a target, for one stack: exact steps, each with the steps it comes after.
//!
//! The new comes up completely before anything old is removed, so that the way back is short at every instant:
//! a service that may stand beside its predecessor starts first; one that may not (host port, volume, fixed name)
//! stops its predecessor, which stays on the host, stopped, until the whole stack is ready. Taking an attempt back
//! is therefore nothing special: it is the plan to the released state.

use super::changes::changes;
use super::model::{Action, OperationClass, Reason, Step};
use crate::compose::{Condition, ContainerModel};
use crate::desired::{ChosenOrder, DesiredContainer, DesiredService, DesiredStack, StopFirstBecause};
use crate::ids::ServiceName;
use crate::observed::{ContainerState, Health, HeldPort, ObservedContainer, ObservedHost};
use std::collections::{BTreeMap, BTreeSet};

/// What the way starts from.
pub(super) struct Start<'a> {
    /// What was released before, for reasons and to know what is new.
    pub(super) from: Option<&'a DesiredStack>,
    /// What the engine has.
    pub(super) observed: &'a ObservedHost,
    /// Only a release runs one-shot services that are missing; a repair or a way back never repeats them.
    pub(super) class: Option<OperationClass>,
    /// Containers that an operation under way stopped: their end with 0 was not the end of a job.
    pub(super) stopping: &'a BTreeSet<String>,
}

/// The steps to `target`. Empty when nothing differs.
pub(super) fn steps(target: &DesiredStack, start: &Start<'_>) -> Vec<Step> {
    let mut builder = Builder::new(target, start);
    builder.prepare();
    for service in &target.services {
        builder.bring_up(service);
    }
    builder.retire();
    builder.steps
}

struct Builder<'a> {
    target: &'a DesiredStack,
    start: &'a Start<'a>,
    /// Containers of this stack by engine name.
    mine: BTreeMap<&'a str, &'a ObservedContainer>,
    steps: Vec<Step>,
    /// Pulls and other preparations: what creates and stops come after.
    prepared: Vec<u32>,
    /// What must have succeeded before anything old is removed.
    barrier: Vec<u32>,
    /// Started and ready steps by service.
    started: BTreeMap<&'a ServiceName, Vec<u32>>,
    ready: BTreeMap<&'a ServiceName, Vec<u32>>,
    /// Containers that already have a stop step, with it.
    stopped: BTreeMap<&'a str, u32>,
    /// Containers that already have a remove step.
    removed: BTreeSet<&'a str>,
}

/// Is this desired container there, and in which way?
enum Presence<'a> {
    /// With the right content.
    Same(&'a ObservedContainer),
    /// The name is taken by another content, or the container is beyond use.
    InTheWay(&'a ObservedContainer),
    Missing,
}

impl<'a> Builder<'a> {
    fn new(target: &'a DesiredStack, start: &'a Start<'a>) -> Self {
        let mine = start.observed.containers.iter().filter(|(_, c)| c.stack == target.stack).map(|(name, c)| (name.as_str(), c)).collect();
        Builder {
            target,
            start,
            mine,
            steps: Vec::new(),
            prepared: Vec::new(),
            barrier: Vec::new(),
            started: BTreeMap::new(),
            ready: BTreeMap::new(),
            stopped: BTreeMap::new(),
            removed: BTreeSet::new(),
        }
    }

    fn push(&mut self, mut after: Vec<u32>, action: Action, reason: Reason) -> u32 {
        after.sort_unstable();
        after.dedup();
        let id = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        self.steps.push(Step { id, after, action, reason });
        id
    }

    fn presence(&self, wanted: &DesiredContainer) -> Presence<'a> {
        match self.mine.get(wanted.name.as_str()) {
            None => Presence::Missing,
            Some(found) if found.hash == wanted.hash && found.state != ContainerState::Gone => Presence::Same(found),
            Some(found) => Presence::InTheWay(found),
        }
    }

    fn creates(&self, service: &DesiredService, wanted: &DesiredContainer) -> bool {
        let skip = service.one_shot && self.start.class != Some(OperationClass::Release);
        !skip && !matches!(self.presence(wanted), Presence::Same(_))
    }

    /// Images, networks and volumes, so that nothing is stopped before its successor can be made.
    fn prepare(&mut self) {
        let target = self.target;
        let mut images = BTreeMap::new();
        for service in &target.services {
            for wanted in service.containers.iter().filter(|c| self.creates(service, c)) {
                images.insert(wanted.model.image.for_engine(), (wanted.model.image.clone(), service.pull_policy));
            }
        }
        let creating = !images.is_empty();
        for (image, policy) in images.into_values() {
            let id = self.push(Vec::new(), Action::Pull { image, policy }, Reason::Needed);
            self.prepared.push(id);
        }
        for (name, network) in &target.networks {
            let needed = if network.external { creating } else { !self.start.observed.networks.contains_key(name) };
            if needed {
                let action = Action::CreateNetwork { name: name.clone(), network: network.clone() };
                let id = self.push(Vec::new(), action, Reason::Missing);
                self.prepared.push(id);
            }
        }
        for (name, volume) in &target.volumes {
            let needed = if volume.external { creating } else { !self.start.observed.volumes.contains(name) };
            if needed {
                let action = Action::CreateVolume { name: name.clone(), volume: volume.clone() };
                let id = self.push(Vec::new(), action, Reason::Missing);
                self.prepared.push(id);
            }
        }
        self.barrier.clone_from(&self.prepared);
    }

    fn bring_up(&mut self, service: &'a DesiredService) {
        let waits_for = self.waits_for(service);
        let replaces = self.mine.values().any(|c| c.service == service.name);
        let mut turn: Vec<u32> = Vec::new();
        for wanted in &service.containers {
            let ready = self.bring_up_one(service, wanted, [waits_for.clone(), turn.clone()].concat());
            // Copies that replace others go one after the other, so that most of them serve at any time.
            if replaces {
                turn.extend(ready);
            }
        }
    }

    /// The steps of other services that this service's start comes after.
    fn waits_for(&self, service: &DesiredService) -> Vec<u32> {
        let mut after = Vec::new();
        for (on, condition) in &service.depends_on {
            let steps = match condition {
                Condition::ServiceStarted => self.started.get(on),
                Condition::ServiceHealthy | Condition::ServiceCompletedSuccessfully => self.ready.get(on),
            };
            after.extend(steps.into_iter().flatten());
        }
        after
    }

    /// Brings up one container; returns the step after which it is ready, if there is anything to do.
    fn bring_up_one(&mut self, service: &'a DesiredService, wanted: &'a DesiredContainer, waits_for: Vec<u32>) -> Option<u32> {
        match self.presence(wanted) {
            Presence::Same(found) => self.existing(service, wanted, found, waits_for),
            _ if !self.creates(service, wanted) => None,
            Presence::InTheWay(found) => {
                let removed = self.clear_name(wanted, found);
                self.create(service, wanted, &[waits_for, vec![removed]].concat())
            }
            Presence::Missing => self.create(service, wanted, &waits_for),
        }
    }

    fn existing(
        &mut self,
        service: &'a DesiredService,
        wanted: &'a DesiredContainer,
        found: &'a ObservedContainer,
        waits_for: Vec<u32>,
    ) -> Option<u32> {
        if self.is_done(service, wanted, found) {
            return None;
        }
        if is_up(found) {
            return Some(self.await_ready(service, wanted, waits_for));
        }
        let mut after = waits_for;
        after.extend(self.make_room(service, wanted, &after));
        if found.state == ContainerState::Paused {
            after.push(self.stop(&wanted.name, Vec::new(), Reason::NotRunning { state: state_in_words(found.state) }));
        }
        Some(self.start_container(service, wanted, after, Reason::NotRunning { state: state_in_words(found.state) }))
    }

    fn create(&mut self, service: &'a DesiredService, wanted: &'a DesiredContainer, after: &[u32]) -> Option<u32> {
        let reason = self.creation_reason(service, wanted);
        // Names must be free and images there; the order among services only binds the start.
        let clearing: Vec<u32> = after.iter().copied().filter(|id| self.removes(*id)).collect();
        let action = Action::Create { service: service.name.clone(), container: Box::new(wanted.clone()) };
        let created = self.push([self.prepared.clone(), clearing].concat(), action, reason);
        let mut after = [after.to_vec(), vec![created]].concat();
        after.extend(self.make_room(service, wanted, &after));
        Some(self.start_container(service, wanted, after, Reason::Needed))
    }

    fn removes(&self, id: u32) -> bool {
        self.steps.iter().any(|step| step.id == id && matches!(step.action, Action::Remove { .. }))
    }

    fn creation_reason(&self, service: &DesiredService, wanted: &DesiredContainer) -> Reason {
        let before = self.start.from.and_then(|from| from.services.iter().find(|s| s.name == service.name));
        match before.and_then(|before| Some((before, before.containers.first()?))) {
            Some((before, container)) if container.hash != wanted.hash => {
                // What was remembered on disk knows it beside the model only.
                let old = ContainerModel { unshown: before.unshown.clone(), ..container.model.clone() };
                Reason::Changed { fields: changes(&old, &wanted.model) }
            }
            _ => Reason::Missing,
        }
    }

    fn start_container(&mut self, service: &'a DesiredService, wanted: &'a DesiredContainer, after: Vec<u32>, reason: Reason) -> u32 {
        let action = Action::Start { container: wanted.name.clone(), service: service.name.clone() };
        let started = self.push(after, action, reason);
        self.started.entry(&service.name).or_default().push(started);
        self.await_ready(service, wanted, vec![started])
    }

    fn await_ready(&mut self, service: &'a DesiredService, wanted: &'a DesiredContainer, after: Vec<u32>) -> u32 {
        let (container, name) = (wanted.name.clone(), service.name.clone());
        let action = if service.one_shot {
            Action::AwaitExit { container, service: name, timeout_ms: service.ready_timeout_ms }
        } else {
            Action::AwaitReady { container, service: name, timeout_ms: service.ready_timeout_ms, bake_ms: service.bake_ms }
        };
        let ready = self.push(after, action, Reason::Needed);
        self.ready.entry(&service.name).or_default().push(ready);
        self.barrier.push(ready);
        ready
    }

    /// Is nothing left to do for a container with the right content?
    fn is_done(&self, service: &DesiredService, wanted: &DesiredContainer, found: &ObservedContainer) -> bool {
        // What a way back brings up must prove itself as well, also when the way back was interrupted; only jobs are not done again.
        let proves_itself = match self.start.class {
            Some(OperationClass::Release) => true,
            Some(OperationClass::Rollback) => !service.one_shot,
            Some(OperationClass::Repair | OperationClass::Abort) | None => false,
        };
        let is_new = proves_itself && !self.was_released(service, wanted);
        match found.state {
            ContainerState::Running => !is_new && (service.one_shot || found.health != Some(Health::Starting)),
            ContainerState::Restarting => !is_new,
            ContainerState::Exited(0) => (service.one_shot || wanted.model.may_end()) && !self.start.stopping.contains(&wanted.name),
            ContainerState::Exited(_) => service.one_shot && !is_new,
            ContainerState::Created | ContainerState::Paused | ContainerState::Gone => false,
        }
    }

    fn was_released(&self, service: &DesiredService, wanted: &DesiredContainer) -> bool {
        self.start.from.is_some_and(|from| {
            from.services
                .iter()
                .any(|s| s.name == service.name && s.containers.iter().any(|c| c.name == wanted.name && c.hash == wanted.hash))
        })
    }

    /// Stops what cannot stand beside `wanted`, once everything else that its start waits for is done; returns those steps.
    fn make_room(&mut self, service: &'a DesiredService, wanted: &'a DesiredContainer, after: &[u32]) -> Vec<u32> {
        let last = service.containers.last().is_some_and(|c| c.name == wanted.name);
        let predecessor = |found: &ObservedContainer| {
            found.service == service.name && (found.replica == wanted.replica || last && found.replica > wanted.replica)
        };
        let mut in_the_way: Vec<(&'a str, StopFirstBecause)> = Vec::new();
        for (name, found) in self.mine.iter().filter(|(name, c)| takes_resources(c.state) && !self.is_desired(name, c)) {
            match service.order {
                ChosenOrder::StopFirst(because) if predecessor(found) => in_the_way.push((name, because)),
                _ if holds_port_of(found, &wanted.model) => in_the_way.push((name, StopFirstBecause::HostPort)),
                ChosenOrder::StopFirst(_) | ChosenOrder::StartFirst => {}
            }
        }
        let after = [self.prepared.clone(), after.to_vec()].concat();
        in_the_way.into_iter().map(|(name, because)| self.stop(name, after.clone(), Reason::MakesRoom { because })).collect()
    }

    fn is_desired(&self, name: &str, found: &ObservedContainer) -> bool {
        self.target.services.iter().flat_map(|s| &s.containers).any(|c| c.name == name && c.hash == found.hash)
    }

    /// Frees the name for a container whose name is fixed.
    fn clear_name(&mut self, wanted: &'a DesiredContainer, found: &'a ObservedContainer) -> u32 {
        let mut after = self.prepared.clone();
        let reason = Reason::MakesRoom { because: StopFirstBecause::FixedName };
        if takes_resources(found.state) {
            after = vec![self.stop(&wanted.name, after, reason.clone())];
        }
        self.remove(&wanted.name, &found.service, after, reason)
    }

    fn stop(&mut self, name: &'a str, after: Vec<u32>, reason: Reason) -> u32 {
        if let Some(id) = self.stopped.get(name) {
            return *id;
        }
        #[expect(clippy::expect_used, reason = "only containers out of `mine` are stopped")]
        let service = self.mine.get(name).expect("only observed containers are stopped").service.clone();
        let action = Action::Stop { container: name.to_owned(), service };
        let id = self.push(after, action, reason);
        self.stopped.insert(name, id);
        id
    }

    fn remove(&mut self, name: &'a str, service: &ServiceName, after: Vec<u32>, reason: Reason) -> u32 {
        self.removed.insert(name);
        self.push(after, Action::Remove { container: name.to_owned(), service: service.clone() }, reason)
    }

    /// Once everything is ready: stop and remove what is not desired, then the networks.
    fn retire(&mut self) {
        let desired: BTreeSet<&str> = self.target.services.iter().flat_map(|s| &s.containers).map(|c| c.name.as_str()).collect();
        let old: Vec<(&'a str, &'a ObservedContainer)> = self
            .mine
            .iter()
            .filter(|(name, _)| !desired.contains(**name) && !self.removed.contains(**name))
            .map(|(name, c)| (*name, *c))
            .collect();
        let mut last: Vec<u32> = Vec::new();
        for (name, found) in old {
            let reason = self.retire_reason(found);
            let mut after = self.barrier.clone();
            if let Some(stopped) = self.stopped.get(name) {
                after.push(*stopped);
            } else if takes_resources(found.state) {
                after = vec![self.stop(name, after, reason.clone())];
            }
            last.push(self.remove(name, &found.service, after, reason));
        }
        let networks: Vec<String> = self
            .start
            .observed
            .networks
            .iter()
            .filter(|(name, n)| n.stack == self.target.stack && !self.target.networks.contains_key(*name))
            .map(|(name, _)| name.clone())
            .collect();
        for name in networks {
            self.push([last.clone(), self.barrier.clone()].concat(), Action::RemoveNetwork { name }, Reason::NotDesired);
        }
    }

    fn retire_reason(&self, found: &ObservedContainer) -> Reason {
        match self.target.services.iter().find(|s| s.name == found.service) {
            None => Reason::NotDesired,
            Some(service) if service.containers.iter().any(|c| c.hash == found.hash) => Reason::ScaledDown,
            Some(service) if service.containers.is_empty() => Reason::ScaledDown,
            Some(_) => Reason::Replaced,
        }
    }
}

/// Running, or about to: only its readiness is open.
fn is_up(found: &ObservedContainer) -> bool {
    matches!(found.state, ContainerState::Running | ContainerState::Restarting)
}

fn takes_resources(state: ContainerState) -> bool {
    matches!(state, ContainerState::Running | ContainerState::Restarting | ContainerState::Paused)
}

/// Does a running container hold a port of the host that this model publishes?
fn holds_port_of(found: &ObservedContainer, model: &ContainerModel) -> bool {
    let wants = |held: &HeldPort| model.ports.iter().any(|port| port.published == Some(held.port) && port.protocol == held.protocol);
    found.held_ports.iter().any(wants)
}

fn state_in_words(state: ContainerState) -> String {
    match state {
        ContainerState::Created => "created, never started".into(),
        ContainerState::Running => "running".into(),
        ContainerState::Paused => "paused".into(),
        ContainerState::Restarting => "restarting".into(),
        ContainerState::Exited(code) => format!("exited with {code}"),
        ContainerState::Gone => "dead".into(),
    }
}
