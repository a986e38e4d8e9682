//! `deploy`: copies, resources, restart policy, updates, placement.

use super::limits::cpus;
use super::model::{Constraint, ContainerModel, Restart, UpdateModel, UpdateOrder};
use super::service::{REPLICAS_MAX, by_unit, cut, duration, labels, word};
use super::support::{Section, judge};
use super::units::size_bytes;
use crate::yaml::{Fields, Node, Sink, integer, items, text};
use std::collections::BTreeMap;

/// What `deploy` says beside the container.
#[derive(Default)]
pub(super) struct Deployed {
    pub(super) replicas: Option<u32>,
    pub(super) update: UpdateModel,
    pub(super) rollback: UpdateModel,
    pub(super) constraints: Vec<Constraint>,
    pub(super) labels: BTreeMap<String, String>,
}

/// Reads `deploy`; resources and restart policy go over what the service says itself, as Compose does it.
pub(super) fn read(outer: &mut Fields<'_>, container: &mut ContainerModel, sink: &mut Sink) -> Deployed {
    let Some(node) = outer.some("deploy") else { return Deployed::default() };
    let Some(mut fields) = Fields::of(node, Section::Deploy.title(), sink) else { return Deployed::default() };
    let deployed = Deployed {
        replicas: fields.with("replicas", sink, |node, sink| integer(node, 0..=REPLICAS_MAX, sink)),
        labels: labels(&mut fields, sink),
        update: fields.with("update_config", sink, update).unwrap_or_default(),
        rollback: fields.with("rollback_config", sink, update).unwrap_or_default(),
        constraints: fields.with("placement", sink, placement).unwrap_or_default(),
    };
    if let Some(node) = fields.some("resources") {
        resources(node, container, sink);
    }
    if let Some(restart) = fields.with("restart_policy", sink, restart_policy) {
        container.restart = restart;
    }
    fields.finish_with(|entry| judge(Section::Deploy, entry), sink);
    deployed
}

fn resources(node: &Node, container: &mut ContainerModel, sink: &mut Sink) {
    let Some(mut fields) = Fields::of(node, "`deploy.resources`", sink) else { return };
    if let Some(mut limits) = fields.some("limits").and_then(|node| Fields::of(node, Section::Limits.title(), sink)) {
        if let Some(value) = limits.with("cpus", sink, cpus) {
            container.nano_cpus = Some(value);
        }
        if let Some(value) = limits.with("memory", sink, |node, sink| by_unit(node, size_bytes, sink)) {
            container.memory_bytes = Some(value);
        }
        if let Some(value) = limits.with("pids", sink, |node, sink| integer(node, -1..=4_194_304, sink)) {
            container.pids_limit = Some(value);
        }
        limits.finish_with(|entry| judge(Section::Limits, entry), sink);
    }
    if let Some(mut reserved) = fields.some("reservations").and_then(|node| Fields::of(node, Section::Reservations.title(), sink)) {
        if let Some(value) = reserved.with("memory", sink, |node, sink| by_unit(node, size_bytes, sink)) {
            container.memory_reservation_bytes = Some(value);
        }
        if let Some(node) = reserved.some("cpus") {
            cpus(node, sink);
            sink.push(node.span.warning("no_effect", "a plain engine cannot reserve CPUs: this has no effect"));
        }
        reserved.finish_with(|entry| judge(Section::Reservations, entry), sink);
    }
    fields.finish(sink);
}

fn restart_policy(node: &Node, sink: &mut Sink) -> Option<Restart> {
    let mut fields = Fields::of(node, Section::RestartPolicy.title(), sink)?;
    let words = [("none", Restart::No), ("on-failure", Restart::OnFailure(None)), ("any", Restart::Always)];
    let condition = fields.with("condition", sink, |node, sink| word(node, &words, sink)).unwrap_or(Restart::Always);
    let attempts = fields.some("max_attempts").and_then(|node| Some((node, integer::<u32>(node, 0..=1_000_000, sink)?)));
    for key in ["delay", "window"] {
        if let Some(node) = fields.some(key) {
            duration(node, sink);
            sink.push(node.span.warning("no_effect", format!("a plain engine has no `{key}` for restarts: this has no effect")));
        }
    }
    fields.finish_with(|entry| judge(Section::RestartPolicy, entry), sink);
    match (condition, attempts) {
        (Restart::OnFailure(_), Some((_, attempts))) => Some(Restart::OnFailure(Some(attempts))),
        (Restart::No, _) | (_, None) => Some(condition),
        (_, Some((node, _))) => {
            let finding = node.span.error("conflict", "the engine counts attempts with `condition: on-failure` only");
            sink.push(finding.hint("write `condition: on-failure`, or remove `max_attempts`"));
            None
        }
    }
}

fn update(node: &Node, sink: &mut Sink) -> Option<UpdateModel> {
    let mut fields = Fields::of(node, Section::UpdateConfig.title(), sink)?;
    let words = [("start-first", UpdateOrder::StartFirst), ("stop-first", UpdateOrder::StopFirst)];
    let update = UpdateModel {
        parallelism: fields.with("parallelism", sink, |node, sink| integer(node, 0..=REPLICAS_MAX, sink)),
        delay_ms: fields.with("delay", sink, duration).unwrap_or_default(),
        order: fields.with("order", sink, |node, sink| word(node, &words, sink)),
        monitor_ms: fields.with("monitor", sink, duration),
    };
    fields.finish_with(|entry| judge(Section::UpdateConfig, entry), sink);
    Some(update)
}

fn placement(node: &Node, sink: &mut Sink) -> Option<Vec<Constraint>> {
    let mut fields = Fields::of(node, "`deploy.placement`", sink)?;
    let mut found = Vec::new();
    if let Some(node) = fields.some("constraints") {
        for item in items(node, sink) {
            found.extend(constraint(item, sink));
        }
    }
    for key in ["preferences", "max_replicas_per_node"] {
        if let Some(node) = fields.some(key) {
            let finding = node.span.error("refused_attribute", format!("`{key}` is refused: it belongs to Swarm"));
            sink.push(finding.hint("place the stack on hosts by label, and set `replicas`"));
        }
    }
    fields.finish(sink);
    found.sort();
    found.dedup();
    Some(found)
}

/// `node.labels.zone == a`, `node.labels.zone != b`.
fn constraint(node: &Node, sink: &mut Sink) -> Option<Constraint> {
    let written = text(node, sink)?;
    let (left, equal, value) = match (written.split_once("=="), written.split_once("!=")) {
        (Some((left, value)), None) => (left.trim(), true, value.trim()),
        (None, Some((left, value))) => (left.trim(), false, value.trim()),
        _ => ("", true, ""),
    };
    let label = left.strip_prefix("node.labels.").unwrap_or_default();
    if label.is_empty() || value.is_empty() {
        let finding = node.span.error("bad_value", format!("`{}` is not a constraint on a host label", cut(written)));
        sink.push(finding.hint("write `node.labels.zone == a` or `node.labels.zone != a`; labels stand in `hosts/*.yaml`"));
        return None;
    }
    Some(Constraint { label: label.to_owned(), equal, value: value.to_owned() })
}
