//! One host on a simulated engine, remembered as an agent would.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tidegate_agent::apply::{Apply, ApplyOutcome};
use tidegate_agent::engine::Engine;
use tidegate_agent::engine::simulated::Simulated;
use tidegate_core::compose::{
    Condition, ContainerModel, Dependency, HealthTest, Healthcheck, ImageRef, Mount, MountSource, Port, Protocol, ReleaseKnobs, Service,
    StackModel,
};
use tidegate_core::desired::{DesiredStack, Naming, Source, desired_stack};
use tidegate_core::ids::{CommitId, ReleaseNumber, ServiceName, StackName};
use tidegate_core::observed::{ContainerState, HeldPort, ObservedHost};
use tidegate_core::plan::{Action, Attempt, Gates, HostInputs, Offer, OperationClass, Released, StackInputs, StackPlan, StackRecord, plan};
use tokio_util::sync::CancellationToken;

/// Runs in virtual time: sleeping costs nothing.
pub(crate) fn virtual_time<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(24 * 3600), story).await.expect("it ends within a virtual day") })
}

pub(crate) fn image(version: u32) -> ImageRef {
    ImageRef { registry: "registry.example".into(), repository: "app".into(), tag: Some(version.to_string()), digest: None }
}

/// With a health check, on the stack's network.
pub(crate) fn service(version: u32) -> Service {
    let mut container = ContainerModel::new(image(version));
    container.networks.insert("default".into(), Default::default());
    container.healthcheck = Some(Healthcheck {
        test: HealthTest::Cmd(vec!["check".into()]),
        interval_ms: Some(1_000),
        timeout_ms: Some(1_000),
        retries: Some(3),
        start_period_ms: None,
        start_interval_ms: None,
    });
    Service { release: ReleaseKnobs { bake_ms: Some(2_000), health_timeout_ms: Some(30_000) }, ..Service::new(container) }
}

pub(crate) fn port(published: u16) -> Port {
    Port { target: 80, protocol: Protocol::Tcp, published: Some(published), host_ip: None }
}

pub(crate) fn volume(key: &str) -> Mount {
    Mount { target: "/data".into(), source: MountSource::Volume { key: key.into() }, read_only: false }
}

pub(crate) fn depends(service: &mut Service, on: &str, condition: Condition) {
    service.depends_on.insert(ServiceName::try_from(on).unwrap(), Dependency { condition, required: true });
}

pub(crate) fn desired(services: &[(&str, Service)], release: u64) -> DesiredStack {
    let model = StackModel {
        name: StackName::try_from("shop").unwrap(),
        services: services.iter().map(|(name, s)| (ServiceName::try_from(*name).unwrap(), s.clone())).collect(),
        networks: BTreeMap::from([("default".to_owned(), Default::default())]),
        volumes: BTreeMap::new(),
    };
    let source = Source { commit: CommitId::try_from("c".repeat(40).as_str()).unwrap(), release: Some(ReleaseNumber(release)) };
    desired_stack(&model, &source, &Naming { prefix: String::new() }, &BTreeMap::new())
}

fn open() -> Gates {
    Gates::default()
}

pub(crate) struct Host {
    pub(crate) engine: Simulated,
    pub(crate) record: StackRecord,
}

impl Host {
    pub(crate) fn new(seed: u64) -> Host {
        Host { engine: Simulated::new(seed), record: StackRecord::default() }
    }

    pub(crate) fn plan_on(&self, observed: &ObservedHost, target: &DesiredStack) -> Option<StackPlan> {
        let (name, offer) = (target.stack.clone(), Offer::Stack(Box::new(target.clone())));
        let stacks = BTreeMap::from([(name.clone(), StackInputs { name, offer, record: self.record.clone() })]);
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        plan(&HostInputs { stacks, observed, gates: open() }, now).stacks.into_iter().next()
    }

    /// Plans on what is there now, and remembers that an attempt began.
    pub(crate) fn begin(&mut self, target: &DesiredStack) -> Option<StackPlan> {
        let plan = self.plan_on(&self.engine.look(), target)?;
        self.record.will_stop(&plan);
        let class = plan.class?;
        if class == OperationClass::Release {
            let started_at = "2026-11-21T12:00:00Z".parse().unwrap();
            self.record.attempt = Some(Attempt { content: target.content.clone(), release: target.release, started_at, class });
        }
        Some(plan)
    }

    pub(crate) async fn apply(&self, plan: &StackPlan) -> ApplyOutcome {
        Apply { engine: &self.engine, progress: &(), stop: &CancellationToken::new() }.run(plan).await
    }

    /// One turn of an agent.
    pub(crate) async fn turn(&mut self, target: &DesiredStack) -> ApplyOutcome {
        let Some(plan) = self.begin(target) else { return ApplyOutcome::Done };
        let outcome = self.apply(&plan).await;
        if matches!(outcome, ApplyOutcome::Done) {
            self.remember(target);
        }
        outcome
    }

    fn remember(&mut self, target: &DesiredStack) {
        let verified_at = "2026-11-21T12:00:00Z".parse().unwrap();
        let released = Released { release: target.release, desired: target.clone(), verified_at };
        if let Some(before) = self.record.released.replace(released) {
            self.record.verified.insert(0, before);
        }
        self.record.attempt = None;
        self.record.stopping.clear();
    }

    pub(crate) async fn deploy(&mut self, target: &DesiredStack) {
        let outcome = self.turn(target).await;
        assert!(matches!(outcome, ApplyOutcome::Done), "{outcome:?}");
    }

    /// Nothing left to do, exactly the wanted containers, all of them up.
    pub(crate) fn assert_converged(&self, target: &DesiredStack) {
        let observed = self.engine.look();
        let left = self.plan_on(&observed, target).map(|plan| plan.steps).unwrap_or_default();
        assert!(left.iter().all(|s| matches!(s.action, Action::AwaitReady { .. })), "planned again: {left:#?}");
        let wanted: BTreeSet<&String> = target.services.iter().flat_map(|s| &s.containers).map(|c| &c.name).collect();
        assert_eq!(observed.containers.keys().collect::<BTreeSet<_>>(), wanted);
        assert_eq!(observed.networks.len(), target.networks.len());
        for (name, found) in &observed.containers {
            assert_eq!(found.state, ContainerState::Running, "{name}");
        }
        self.assert_ports();
    }

    pub(crate) fn assert_ports(&self) {
        let mut taken: BTreeMap<HeldPort, String> = BTreeMap::new();
        for (name, found) in self.engine.look().containers {
            for port in found.held_ports {
                assert_eq!(taken.insert(port, name.clone()), None, "{port:?} is held twice");
            }
        }
    }

    pub(crate) fn id_of(&self, service: &str) -> String {
        let found = self.engine.look().containers.into_values().find(|c| c.service.as_str() == service && c.is_running());
        found.unwrap_or_else(|| panic!("{service} runs")).id
    }

    pub(crate) async fn answers(&self) -> bool {
        self.engine.info().await.is_ok()
    }
}
