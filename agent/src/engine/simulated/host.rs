//! The simulated host: containers whose state is a function of when they were started and of the time now.

use super::behaviour::{Behaviour, Checks};
use crate::engine::{Belongs, ContainerView, EngineError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tidegate_core::compose::{HealthTest, Restart};
use tidegate_core::desired::DesiredContainer;
use tidegate_core::observed::{ContainerState, Health, HeldPort, ObservedContainer, ObservedHost, ObservedNetwork};
use tidegate_core::plan::{External, ExternalKind};
use tokio::time::Instant;

/// Between the end of a container and its restart by the engine.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// All that the engine has.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) networks: BTreeMap<String, ObservedNetwork>,
    pub(super) volumes: BTreeSet<String>,
    /// What others made, that stacks may use.
    pub(super) externals: BTreeSet<External>,
    /// Images that were pulled.
    pub(super) images: BTreeSet<String>,
    pub(super) behaviours: BTreeMap<String, Behaviour>,
}

#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: u64,
    pub(super) desired: DesiredContainer,
    pub(super) belongs: Belongs,
    pub(super) phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Created,
    /// Started then; what happened since follows from its behaviour.
    Started(Instant),
    Paused,
    Stopped(i64),
}

/// What a container is at a moment, and when that changes by itself.
pub(super) struct Now {
    pub(super) view: ContainerView,
    pub(super) changes_at: Option<Instant>,
}

impl Container {
    pub(super) fn at(&self, now: Instant, behaviour: &Behaviour) -> Now {
        let still = |state| Now { view: ContainerView { state, health: None, restarts: 0, started_at: None }, changes_at: None };
        match self.phase {
            Phase::Created => still(ContainerState::Created),
            Phase::Paused => still(ContainerState::Paused),
            Phase::Stopped(code) => still(ContainerState::Exited(code)),
            Phase::Started(since) => self.running(since, now, behaviour),
        }
    }

    /// Plays its ends and restarts from the start until now.
    fn running(&self, mut since: Instant, now: Instant, behaviour: &Behaviour) -> Now {
        let mut restarts = 0;
        while let Some((after, code)) = behaviour.ends.filter(|(after, _)| since + *after <= now) {
            let ended = since + after;
            let view = |state| ContainerView { state, health: None, restarts, started_at: None };
            if !self.starts_again(code, restarts) {
                return Now { view: view(ContainerState::Exited(code)), changes_at: None };
            }
            since = ended + RESTART_PAUSE;
            if since > now {
                return Now { view: view(ContainerState::Restarting), changes_at: Some(since) };
            }
            restarts += 1;
        }
        let (health, decided_at) = self.health(since, now, behaviour);
        let ends_at = behaviour.ends.map(|(after, _)| since + after);
        let changes_at = [decided_at, ends_at].into_iter().flatten().min();
        Now { view: ContainerView { state: ContainerState::Running, health, restarts, started_at: None }, changes_at }
    }

    fn starts_again(&self, code: i64, restarts: u32) -> bool {
        match self.desired.model.restart {
            Restart::No => false,
            Restart::Always | Restart::UnlessStopped => true,
            Restart::OnFailure(most) => code != 0 && most.is_none_or(|most| restarts < most),
        }
    }

    fn health(&self, since: Instant, now: Instant, behaviour: &Behaviour) -> (Option<Health>, Option<Instant>) {
        if self.desired.model.healthcheck.as_ref().is_none_or(|check| check.test == HealthTest::Disabled) {
            return (None, None);
        }
        let (after, decided) = match behaviour.health {
            Checks::NeverDecide => return (Some(Health::Starting), None),
            Checks::PassAfter(after) => (after, Health::Healthy),
            Checks::FailAfter(after) => (after, Health::Unhealthy),
        };
        if since + after <= now { (Some(decided), None) } else { (Some(Health::Starting), Some(since + after)) }
    }

    pub(super) fn ports(&self) -> impl Iterator<Item = HeldPort> {
        self.desired.model.ports.iter().filter_map(|p| p.published.map(|port| HeldPort { port, protocol: p.protocol }))
    }
}

impl Host {
    pub(super) fn behaviour(&self, container: &Container) -> Behaviour {
        self.behaviours.get(&container.desired.model.image.for_engine()).cloned().unwrap_or_default()
    }

    pub(super) fn now_of(&self, container: &Container, now: Instant) -> Now {
        container.at(now, &self.behaviour(container))
    }

    pub(super) fn observe(&self, now: Instant) -> ObservedHost {
        let containers = self.containers.iter().map(|(name, container)| (name.clone(), self.observed(container, now))).collect();
        ObservedHost { containers, networks: self.networks.clone(), volumes: self.volumes.clone() }
    }

    fn observed(&self, container: &Container, now: Instant) -> ObservedContainer {
        let view = self.now_of(container, now).view;
        let holds = matches!(view.state, ContainerState::Running | ContainerState::Restarting | ContainerState::Paused);
        ObservedContainer {
            id: format!("{:064x}", container.id),
            stack: container.belongs.stack.clone(),
            service: container.belongs.service.clone(),
            replica: container.desired.replica,
            hash: container.desired.hash.clone(),
            release: container.belongs.release,
            commit: Some(container.belongs.commit.clone()),
            state: view.state,
            health: view.health,
            started_at: None,
            image: container.desired.model.image.for_engine(),
            held_ports: if holds { container.ports().collect() } else { BTreeSet::new() },
        }
    }

    /// Is it here, whoever made it?
    pub(super) fn has(&self, external: &External) -> bool {
        let ours = match external.kind {
            ExternalKind::Network => self.networks.contains_key(&external.name),
            ExternalKind::Volume => self.volumes.contains(&external.name),
        };
        ours || self.externals.contains(external)
    }

    pub(super) fn must_have(&self, external: External) -> Result<(), EngineError> {
        if self.has(&external) { Ok(()) } else { Err(EngineError::Missing(external)) }
    }

    /// The next moment at which a container (or this one) changes by itself.
    pub(super) fn next_change(&self, of: Option<&str>, now: Instant) -> Option<Instant> {
        let about = self.containers.iter().filter(|(name, _)| of.is_none_or(|of| of == name.as_str()));
        about.filter_map(|(_, container)| self.now_of(container, now).changes_at).min()
    }

    pub(super) fn create(&mut self, desired: &DesiredContainer, belongs: &Belongs, id: u64) -> Result<(), EngineError> {
        let refused = |cause: String| Err(EngineError::Refused { tried: format!("create {}", desired.name), cause });
        match self.containers.get(&desired.name) {
            Some(found) if found.desired.hash == desired.hash => return Ok(()),
            Some(_) => return refused("the name is taken".to_owned()),
            None => {}
        }
        if let Some(network) =
            desired.model.networks.keys().find(|name| !self.has(&External { kind: ExternalKind::Network, name: (*name).clone() }))
        {
            return refused(format!("there is no network {network}"));
        }
        if !self.images.contains(&desired.model.image.for_engine()) {
            return refused("there is no such image".to_owned());
        }
        let container = Container { id, desired: desired.clone(), belongs: belongs.clone(), phase: Phase::Created };
        self.containers.insert(desired.name.clone(), container);
        Ok(())
    }

    pub(super) fn start(&mut self, name: &str, now: Instant) -> Result<(), EngineError> {
        let refused = |cause: &str| EngineError::Refused { tried: format!("start {name}"), cause: cause.to_owned() };
        let container = self.containers.get(name).ok_or_else(|| refused("there is no such container"))?;
        match self.now_of(container, now).view.state {
            ContainerState::Running | ContainerState::Restarting => return Ok(()),
            ContainerState::Paused => return Err(refused("it is paused: unpause it instead of starting it")),
            ContainerState::Created | ContainerState::Exited(_) | ContainerState::Gone => {}
        }
        let wanted: BTreeSet<HeldPort> = container.ports().collect();
        let is_taken =
            |(other, c): (&String, &Container)| other != name && self.observed(c, now).held_ports.intersection(&wanted).count() > 0;
        if self.containers.iter().any(is_taken) {
            return Err(refused("port is already allocated"));
        }
        if let Some(container) = self.containers.get_mut(name) {
            container.phase = Phase::Started(now);
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, name: &str, now: Instant) {
        let Some(container) = self.containers.get(name) else { return };
        let stopped = match self.now_of(container, now).view.state {
            ContainerState::Running | ContainerState::Restarting | ContainerState::Paused => {
                let behaviour = self.behaviour(container);
                Phase::Stopped(if behaviour.ignores_stop { 137 } else { behaviour.stop_code })
            }
            ContainerState::Exited(code) => Phase::Stopped(code),
            ContainerState::Created | ContainerState::Gone => return,
        };
        if let Some(container) = self.containers.get_mut(name) {
            container.phase = stopped;
        }
    }

    pub(super) fn remove_network(&mut self, name: &str) -> Result<(), EngineError> {
        if self.containers.values().any(|c| c.desired.model.networks.contains_key(name)) {
            let cause = "it has active endpoints".to_owned();
            return Err(EngineError::Refused { tried: format!("remove network {name}"), cause });
        }
        self.networks.remove(name);
        Ok(())
    }
}
