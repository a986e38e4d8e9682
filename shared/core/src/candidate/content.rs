//! What differs between two contents of a stack, service by service and field by field.

use super::{ChangeKind, ServiceChange, StackChange};
use crate::compose::{Service, StackModel};
use crate::ids::{ReleaseNumber, ServiceName};
use crate::plan;
use std::collections::{BTreeMap, BTreeSet};

/// What happens to a stack that goes from one content to another, both without digests; none: it was or will not be there.
pub fn content_change(from_release: Option<ReleaseNumber>, old: Option<&StackModel>, new: Option<&StackModel>) -> StackChange {
    let kind = match (old, new) {
        (None, Some(_)) => ChangeKind::Added,
        (_, None) => ChangeKind::Removed,
        (Some(_), Some(_)) => ChangeKind::Changed,
    };
    StackChange { kind, from_release, services: service_changes(old, new), placement: None }
}

pub(super) fn service_changes(old: Option<&StackModel>, new: Option<&StackModel>) -> BTreeMap<ServiceName, ServiceChange> {
    let empty = BTreeMap::new();
    let old = old.map_or(&empty, |model| &model.services);
    let new = new.map_or(&empty, |model| &model.services);
    let names: BTreeSet<&ServiceName> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter_map(|name| Some((name.clone(), service_change(old.get(name), new.get(name))?))).collect()
}

fn service_change(old: Option<&Service>, new: Option<&Service>) -> Option<ServiceChange> {
    if old == new {
        return None;
    }
    let image = |service: &Service| service.container.image.for_people();
    let fields = match (old, new) {
        (Some(old), Some(new)) => changed_fields(old, new),
        _ => Vec::new(),
    };
    Some(ServiceChange { from: old.map(image), to: new.map(image), fields })
}

fn changed_fields(old: &Service, new: &Service) -> Vec<String> {
    let mut fields = plan::changes(&old.container, &new.container);
    if old.replicas != new.replicas {
        fields.push(format!("replicas: {} → {}", old.replicas, new.replicas));
    }
    let differs = [
        ("depends_on", old.depends_on != new.depends_on),
        ("pull_policy", old.pull_policy != new.pull_policy),
        ("deploy.update_config", old.update != new.update),
        ("deploy.placement.constraints", old.constraints != new.constraints),
        ("x-tidegate", old.release != new.release),
    ];
    fields.extend(differs.iter().filter(|(_, differs)| *differs).map(|(field, _)| format!("{field}: (changed)")));
    fields
}
