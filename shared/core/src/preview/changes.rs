//! A stack's steps in the words of a reviewer: this service is replaced, because of these fields, without a gap.

use crate::desired::{DesiredService, DesiredStack, StopFirstBecause};
use crate::ids::ServiceName;
use crate::plan::{Action, Reason, StackPlan, Step};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What happens to a service, network or volume on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happens.
    #[serde(flatten)]
    pub kind: ChangeKind,
    /// The service, or the engine name of the network or volume.
    pub name: String,
    /// What differs, field by field; values that may be secret are not in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// The image that runs afterwards, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Is there a gap? None where the question has no meaning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime: Option<Downtime>,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum ChangeKind {
    /// The service is new here.
    Create {
        /// How many copies.
        copies: usize,
    },
    /// Its containers give way to others.
    Replace {
        /// How many copies afterwards.
        copies: usize,
    },
    /// It is started again as it is.
    Restart,
    /// Only the number of copies differs.
    Scale {
        /// Until now.
        from: usize,
        /// Afterwards.
        to: usize,
    },
    /// It goes; named volumes stay.
    Remove {
        /// How many copies go.
        copies: usize,
    },
    /// It runs once for this release and ends.
    RunOnce,
    /// A network is created.
    CreateNetwork,
    /// A network goes.
    RemoveNetwork,
    /// A volume is created.
    CreateVolume,
    /// No container changes, only how the stack is released (order, times, dependencies).
    Settings,
}

/// Is the service away for a while?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Downtime {
    /// No: the new containers are ready before the old ones stop.
    None,
    /// No, but one copy after the other is away for a while.
    Fewer {
        /// How many copies there are.
        of: usize,
        /// Why both cannot stand side by side.
        because: StopFirstBecause,
    },
    /// Yes: the old container stops before the new one starts.
    Expected {
        /// Why both cannot stand side by side.
        because: StopFirstBecause,
    },
    /// Yes: it is not running and starts.
    Restart,
}

/// How many services something happens to, host by host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Hosts with a change.
    pub hosts: usize,
    /// Services created.
    pub create: usize,
    /// Services replaced.
    pub replace: usize,
    /// Services started again.
    pub restart: usize,
    /// Services scaled.
    pub scale: usize,
    /// Services removed.
    pub remove: usize,
    /// Services run once.
    pub run_once: usize,
    /// Of these, services with a gap.
    pub with_downtime: usize,
}

impl Totals {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: &Totals) -> Totals {
        Totals {
            hosts: self.hosts + other.hosts,
            create: self.create + other.create,
            replace: self.replace + other.replace,
            restart: self.restart + other.restart,
            scale: self.scale + other.scale,
            remove: self.remove + other.remove,
            run_once: self.run_once + other.run_once,
            with_downtime: self.with_downtime + other.with_downtime,
        }
    }

    /// The same on so many hosts.
    #[must_use]
    pub(super) fn times(self, hosts: usize) -> Totals {
        (0..hosts).fold(Totals::default(), |sum, _| sum.plus(&self))
    }

    /// Nothing at all?
    pub fn is_empty(&self) -> bool {
        *self == Totals::default()
    }

    pub(super) fn count(&mut self, change: &Change) {
        let counter = match change.kind {
            ChangeKind::Create { .. } => &mut self.create,
            ChangeKind::Replace { .. } => &mut self.replace,
            ChangeKind::Restart => &mut self.restart,
            ChangeKind::Scale { .. } => &mut self.scale,
            ChangeKind::Remove { .. } => &mut self.remove,
            ChangeKind::RunOnce => &mut self.run_once,
            ChangeKind::CreateNetwork | ChangeKind::RemoveNetwork | ChangeKind::CreateVolume | ChangeKind::Settings => return,
        };
        *counter += 1;
        if matches!(change.downtime, Some(Downtime::Expected { .. } | Downtime::Restart)) {
            self.with_downtime += 1;
        }
    }
}

/// The changes of a stack on a host, services in start order, then what goes, then networks and volumes.
pub fn changes_of(stack: &StackPlan, before: Option<&DesiredStack>) -> Vec<Change> {
    let target: &[DesiredService] = stack.target.as_ref().map_or(&[], |target| &target.services);
    let old: &[DesiredService] = before.map_or(&[], |before| &before.services);
    let mut by_service: BTreeMap<&ServiceName, Vec<&Step>> = BTreeMap::new();
    for step in &stack.steps {
        if let Some(service) = service_of(&step.action) {
            by_service.entry(service).or_default().push(step);
        }
    }
    let ordered = target.iter().map(|service| &service.name).filter(|name| by_service.contains_key(*name));
    let listed: BTreeSet<&ServiceName> = target.iter().map(|service| &service.name).collect();
    let gone = by_service.keys().copied().filter(|name| !listed.contains(*name));
    let find = |services: &'_ [DesiredService], name: &ServiceName| services.iter().position(|service| service.name == *name);
    let mut found: Vec<Change> = ordered
        .chain(gone)
        .map(|name| {
            let sides = Sides { old: find(old, name).map(|at| &old[at]), new: find(target, name).map(|at| &target[at]) };
            service_change(name, &by_service[name], sides)
        })
        .collect();
    found.extend(stack.steps.iter().filter_map(object_change));
    found
}

fn service_of(action: &Action) -> Option<&ServiceName> {
    match action {
        Action::Create { service, .. } | Action::Start { service, .. } | Action::Stop { service, .. } | Action::Remove { service, .. } => {
            Some(service)
        }
        Action::AwaitReady { .. }
        | Action::AwaitExit { .. }
        | Action::Pull { .. }
        | Action::CreateNetwork { .. }
        | Action::CreateVolume { .. }
        | Action::RemoveNetwork { .. } => None,
    }
}

fn object_change(step: &Step) -> Option<Change> {
    let (kind, name) = match &step.action {
        Action::CreateNetwork { name, network } if !network.external => (ChangeKind::CreateNetwork, name),
        Action::CreateVolume { name, volume } if !volume.external => (ChangeKind::CreateVolume, name),
        Action::RemoveNetwork { name } => (ChangeKind::RemoveNetwork, name),
        _ => return None,
    };
    Some(Change { kind, name: name.clone(), fields: Vec::new(), image: None, downtime: None })
}

#[derive(Clone, Copy)]
struct Sides<'a> {
    old: Option<&'a DesiredService>,
    new: Option<&'a DesiredService>,
}

/// What the steps of one service are together.
#[derive(Default)]
struct Found {
    creates: usize,
    removes: usize,
    fields: Option<Vec<String>>,
    makes_room: Option<StopFirstBecause>,
    /// An old container goes because another one takes its place.
    gives_way: bool,
}

fn gather(steps: &[&Step]) -> Found {
    let mut found = Found::default();
    for step in steps {
        match (&step.action, &step.reason) {
            (Action::Create { .. }, reason) => {
                found.creates += 1;
                if let Reason::Changed { fields } = reason {
                    found.fields.get_or_insert_with(|| fields.clone());
                }
            }
            (Action::Stop { .. }, Reason::MakesRoom { because }) => found.makes_room = Some(*because),
            (Action::Remove { .. }, reason) => {
                found.removes += 1;
                found.gives_way |= matches!(reason, Reason::Replaced | Reason::MakesRoom { .. });
            }
            _ => {}
        }
    }
    found
}

fn service_change(name: &ServiceName, steps: &[&Step], sides: Sides<'_>) -> Change {
    let found = gather(steps);
    let copies = |service: Option<&DesiredService>| service.map_or(0, |service| service.containers.len());
    let (from, to) = (copies(sides.old), copies(sides.new));
    let one_shot = sides.new.is_some_and(|service| service.one_shot);
    let replaces = found.fields.is_some() || found.gives_way;
    let kind = match (sides.new, found.creates) {
        (None, _) => ChangeKind::Remove { copies: found.removes.max(from) },
        (Some(_), 1..) if one_shot => ChangeKind::RunOnce,
        (Some(_), 1..) if replaces => ChangeKind::Replace { copies: to },
        (Some(_), 1..) if sides.old.is_none() || from == to => ChangeKind::Create { copies: to },
        (Some(_), 0) if found.removes == 0 => ChangeKind::Restart,
        (Some(_), _) => ChangeKind::Scale { from: if sides.old.is_some() { from } else { to + found.removes }, to },
    };
    let mut fields = found.fields.unwrap_or_default();
    if matches!(kind, ChangeKind::Replace { .. }) && from != to && sides.old.is_some() {
        fields.push(format!("replicas: {from} → {to}"));
    }
    let image = sides.new.and_then(|service| service.containers.first()).map(|container| container.model.image.for_people());
    let downtime = match kind {
        ChangeKind::Replace { .. } => Some(match found.makes_room {
            None => Downtime::None,
            Some(because) if from > 1 && to > 1 => Downtime::Fewer { of: from, because },
            Some(because) => Downtime::Expected { because },
        }),
        ChangeKind::Restart => Some(Downtime::Restart),
        _ => None,
    };
    Change { kind, name: name.to_string(), fields, image, downtime }
}
