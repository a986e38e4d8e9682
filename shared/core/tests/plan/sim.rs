//! A host made of data: applies the steps of a plan to an observed host, as an engine would.

use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::calendar::{Calendar, RawCalendar, RawWindow, RawWindows, Zones};
use tidegate_core::compose::{Condition, ContainerModel, Dependency, Mount, MountSource, Port, Protocol, Service, StackModel};
use tidegate_core::desired::{DesiredStack, Naming, Source, desired_stack};
use tidegate_core::ids::{CommitId, ReleaseNumber, ServiceName, StackName};
use tidegate_core::observed::{ContainerState, Health, HeldPort, ObservedContainer, ObservedHost, ObservedNetwork};
use tidegate_core::plan::{Action, Gates, HostInputs, Offer, Plan, Released, StackInputs, StackPlan, StackRecord, plan};

pub(crate) fn now() -> jiff::Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

pub(crate) fn commit() -> CommitId {
    CommitId::try_from("c".repeat(40).as_str()).unwrap()
}

/// A stack written as a builder.
#[derive(Clone, Debug)]
pub(crate) struct StackOf(pub(crate) StackModel);

pub(crate) fn stack(name: &str) -> StackOf {
    StackOf(StackModel { name: name.try_into().unwrap(), services: BTreeMap::new(), networks: BTreeMap::new(), volumes: BTreeMap::new() })
}

pub(crate) fn service(version: u32) -> Service {
    let image = tidegate_core::compose::ImageRef {
        registry: "registry.example".into(),
        repository: "app".into(),
        tag: Some(version.to_string()),
        digest: None,
    };
    let mut container = ContainerModel::new(image);
    container.networks.insert("default".into(), Default::default());
    Service::new(container)
}

impl StackOf {
    pub(crate) fn with(mut self, name: &str, service: Service) -> Self {
        self.0.services.insert(ServiceName::try_from(name).unwrap(), service);
        self.0.networks.entry("default".into()).or_default();
        self
    }

    pub(crate) fn desired(&self, release: u64) -> DesiredStack {
        let source = Source { commit: commit(), release: Some(ReleaseNumber(release)) };
        desired_stack(&self.0, &source, &Naming { prefix: String::new() }, &BTreeMap::new())
    }
}

pub(crate) fn port(published: u16) -> Port {
    Port { target: 80, protocol: Protocol::Tcp, published: Some(published), host_ip: None }
}

pub(crate) fn volume(key: &str) -> Mount {
    Mount { target: "/data".into(), source: MountSource::Volume { key: key.into() }, read_only: false }
}

pub(crate) fn after(services: &[(&str, Condition)]) -> BTreeMap<ServiceName, Dependency> {
    services
        .iter()
        .map(|(name, condition)| (ServiceName::try_from(*name).unwrap(), Dependency { condition: *condition, required: true }))
        .collect()
}

pub(crate) fn open() -> Gates {
    Gates::default()
}

/// Closed until a moment, which lies on a whole minute.
pub(crate) fn closed(opens_at: jiff::Timestamp) -> Gates {
    let at = opens_at.to_zoned(jiff::tz::TimeZone::UTC);
    let cron = format!("{} {} {} {} *", at.minute(), at.hour(), at.day(), at.month());
    Gates { calendar: calendar(&cron, "1h", None), ..Gates::default() }
}

/// One window in UTC, named `nights`.
pub(crate) fn calendar(cron: &str, duration: &str, cutoff: Option<&str>) -> Calendar {
    let own = |text: &str| Some(text.to_owned());
    let window = RawWindow { name: own("nights"), cron: own(cron), duration: own(duration), tz: own("UTC"), ..RawWindow::default() };
    let raw = RawCalendar { windows: RawWindows::List(vec![window]), freezes: Vec::new(), cutoff: cutoff.map(str::to_owned) };
    Calendar::new(&raw, &Zones::bundled()).unwrap()
}

/// One host with one stack and what it remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) observed: ObservedHost,
    pub(crate) record: StackRecord,
    /// What each container publishes once it runs.
    ports: BTreeMap<String, BTreeSet<HeldPort>>,
}

impl Host {
    pub(crate) fn plan_for(&self, offer: Offer, gates: Gates) -> Plan {
        let name: StackName = "shop".try_into().unwrap();
        let stacks = BTreeMap::from([(name.clone(), StackInputs { name, offer, record: self.record.clone() })]);
        plan(&HostInputs { stacks, observed: &self.observed, gates }, now())
    }

    pub(crate) fn plan(&self, offered: &DesiredStack) -> StackPlan {
        self.plan_for(Offer::Stack(Box::new(offered.clone())), open()).stacks.into_iter().next().unwrap_or_else(|| silent(offered))
    }

    /// Applies the first `count` steps in list order.
    pub(crate) fn apply_some(&mut self, plan: &StackPlan, count: usize) {
        for step in plan.steps.iter().take(count) {
            self.act(&plan.stack, &step.action);
        }
    }

    /// Applies all steps and remembers the target as released.
    pub(crate) fn apply(&mut self, plan: &StackPlan) {
        self.record.will_stop(plan);
        self.apply_some(plan, plan.steps.len());
        if let Some(target) = &plan.target {
            let released = Released { release: target.release, desired: target.clone(), verified_at: now() };
            if let Some(before) = self.record.released.replace(released) {
                self.record.verified.insert(0, before);
            }
        }
        self.record.attempt = None;
        self.record.stopping.clear();
    }

    fn act(&mut self, stack: &StackName, action: &Action) {
        let observed = &mut self.observed;
        match action {
            Action::Pull { .. } => {}
            Action::CreateNetwork { name, .. } => {
                observed.networks.insert(name.clone(), ObservedNetwork { stack: stack.clone() });
            }
            Action::CreateVolume { name, .. } => {
                observed.volumes.insert(name.clone());
            }
            Action::Create { service, container } => {
                assert!(!observed.containers.contains_key(&container.name), "the name {} is taken", container.name);
                let made = ObservedContainer {
                    id: container.name.clone(),
                    stack: stack.clone(),
                    service: service.clone(),
                    replica: container.replica,
                    hash: container.hash.clone(),
                    release: None,
                    commit: None,
                    state: ContainerState::Created,
                    health: None,
                    started_at: None,
                    image: container.model.image.for_engine(),
                    held_ports: BTreeSet::new(),
                };
                observed.containers.insert(container.name.clone(), made);
                let held = container.model.ports.iter().filter_map(|p| p.published.map(|port| HeldPort { port, protocol: p.protocol }));
                self.ports.insert(container.name.clone(), held.collect());
            }
            Action::Start { container, .. } => {
                let found = observed.containers.get_mut(container).unwrap_or_else(|| panic!("no container {container} to start"));
                found.state = ContainerState::Running;
                found.held_ports = self.ports.get(container).cloned().unwrap_or_default();
            }
            Action::AwaitReady { container, .. } => {
                let found = observed.containers.get_mut(container).unwrap();
                assert!(matches!(found.state, ContainerState::Running | ContainerState::Restarting), "{container} is awaited and not up");
                found.state = ContainerState::Running;
                found.health = found.health.map(|_| Health::Healthy);
            }
            Action::AwaitExit { container, .. } => observed.containers.get_mut(container).unwrap().state = ContainerState::Exited(0),
            Action::Stop { container, .. } => {
                let found = observed.containers.get_mut(container).unwrap_or_else(|| panic!("no container {container} to stop"));
                // A good program ends with 0 when it is asked to.
                found.state = ContainerState::Exited(0);
                found.held_ports.clear();
            }
            Action::Remove { container, .. } => {
                let gone = observed.containers.remove(container).unwrap_or_else(|| panic!("no container {container} to remove"));
                assert!(!gone.is_running(), "{container} is removed while running");
            }
            Action::RemoveNetwork { name } => {
                observed.networks.remove(name).unwrap();
            }
        }
    }

    /// A published port may be held by one running container.
    pub(crate) fn check_ports(&self) {
        let mut taken = BTreeMap::new();
        for (name, container) in self.observed.containers.iter().filter(|(_, c)| c.is_running()) {
            for port in &container.held_ports {
                assert_eq!(taken.insert(*port, name.clone()), None, "port {port:?} is held twice");
            }
        }
    }
}

fn silent(offered: &DesiredStack) -> StackPlan {
    StackPlan {
        stack: offered.stack.clone(),
        class: None,
        target: Some(offered.clone()),
        waiting: None,
        overridden: None,
        steps: Vec::new(),
    }
}

/// The plan as lines of text, for golden comparison.
pub(crate) fn text(plan: &StackPlan) -> String {
    let mut lines = vec![match (plan.class, &plan.waiting) {
        (Some(class), _) => format!("{}: {}", plan.stack, serde_json::to_value(class).unwrap().as_str().unwrap()),
        (None, Some(waiting)) => format!("{}: waits, {}", plan.stack, waiting.code()),
        (None, None) => format!("{}: nothing to do", plan.stack),
    }];
    if let Some(used) = &plan.overridden {
        lines[0].push_str(&format!(", {} overridden by {}: {}", used.code, used.by, used.reason));
    }
    for step in &plan.steps {
        let (verb, what) = match &step.action {
            Action::Pull { image, .. } => ("pull", image.for_people()),
            Action::CreateNetwork { name, .. } => ("create network", name.clone()),
            Action::CreateVolume { name, .. } => ("create volume", name.clone()),
            Action::Create { container, .. } => ("create", short(&container.name)),
            Action::Start { container, .. } => ("start", short(container)),
            Action::AwaitReady { container, .. } => ("await ready", short(container)),
            Action::AwaitExit { container, .. } => ("await exit", short(container)),
            Action::Stop { container, .. } => ("stop", short(container)),
            Action::Remove { container, .. } => ("remove", short(container)),
            Action::RemoveNetwork { name } => ("remove network", name.clone()),
        };
        let reason = serde_json::to_value(&step.reason).unwrap();
        let detail = reason.get("fields").or(reason.get("because")).or(reason.get("state")).map(|d| format!(" {d}")).unwrap_or_default();
        lines.push(format!("{:>2} {verb} {what} after {:?}: {}{detail}", step.id, step.after, reason["code"].as_str().unwrap()));
    }
    lines.join("\n")
}

/// Hashes differ from version to version of the product; replica and service are enough for a golden text.
fn short(name: &str) -> String {
    name.rsplit_once('-').filter(|(_, hash)| hash.len() == 8).map_or(name.to_owned(), |(rest, _)| rest.to_owned())
}
