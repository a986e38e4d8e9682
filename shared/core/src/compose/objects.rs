//! What stands at the top of a Compose file beside the services: networks, volumes, configs and secrets.

use super::forms::{Separator, pairs};
use super::load::{Scope, inside};
use super::model::{MountSource, NetworkModel, VolumeModel};
use super::service::{cut, labels};
use super::support::{Section, judge};
use crate::files::repo_content;
use crate::yaml::{Fields, Key, Node, Sink, Value, boolean, entries, text};
use std::collections::BTreeMap;

/// Everything that services may name.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) networks: BTreeMap<String, NetworkModel>,
    pub(super) volumes: BTreeMap<String, VolumeModel>,
    /// None: declared, but wrong, which is in the findings.
    pub(super) configs: BTreeMap<String, Option<MountSource>>,
    /// Likewise.
    pub(super) secrets: BTreeMap<String, Option<MountSource>>,
}

/// Reads the four sections.
pub(super) fn read(scope: &Scope<'_>, top: &mut Fields<'_>, sink: &mut Sink) -> Objects {
    let mut objects = Objects::default();
    for (key, node) in section(top, "networks", sink) {
        objects.networks.extend(network(node, sink).map(|network| (key.text.clone(), network)));
    }
    for (key, node) in section(top, "volumes", sink) {
        objects.volumes.extend(volume(node, sink).map(|volume| (key.text.clone(), volume)));
    }
    for (key, node) in section(top, "configs", sink) {
        objects.configs.insert(key.text.clone(), file_object(scope, (key, node), sink));
    }
    for (key, node) in section(top, "secrets", sink) {
        objects.secrets.insert(key.text.clone(), file_object(scope, (key, node), sink));
    }
    objects
}

/// The entries of a section with sensible names.
fn section<'a>(top: &mut Fields<'a>, name: &'static str, sink: &mut Sink) -> Vec<&'a (Key, Node)> {
    let Some(node) = top.some(name) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries(node, sink) {
        let text = &entry.0.text;
        if is_object_name(text) {
            found.push(entry);
        } else if !text.starts_with("x-") {
            let finding = entry.0.span.error("bad_name", format!("`{}` is not a name", cut(text)));
            sink.push(finding.hint("use 1 to 63 letters, digits, `-`, `_` or `.`, starting with a letter or digit"));
        }
    }
    found
}

/// Names become parts of engine names.
fn is_object_name(text: &str) -> bool {
    text.len() <= 63
        && !text.starts_with("x-")
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn network(node: &Node, sink: &mut Sink) -> Option<NetworkModel> {
    if node.is_null() {
        return Some(NetworkModel::default());
    }
    let mut fields = Fields::of(node, Section::Network.title(), sink)?;
    let (external, name) = identity(&mut fields, sink);
    let network = NetworkModel {
        name,
        external,
        driver: fields.text("driver", sink).filter(|driver| driver != "bridge"),
        driver_opts: options(&mut fields, sink),
        internal: fields.boolean("internal", sink).unwrap_or_default(),
        labels: labels(&mut fields, sink),
    };
    fields.boolean("attachable", sink);
    if network.driver.as_deref().is_some_and(|driver| matches!(driver, "host" | "none")) {
        sink.push(
            fields
                .span
                .error("refused_attribute", "the networks `host` and `none` are refused")
                .hint("publish `ports`, or use `internal: true`"),
        );
    }
    let only_named = NetworkModel { name: network.name.clone(), external: true, ..NetworkModel::default() };
    external_is_alone(external && network != only_named, &fields, sink);
    fields.finish_with(|entry| judge(Section::Network, entry), sink);
    Some(network)
}

fn volume(node: &Node, sink: &mut Sink) -> Option<VolumeModel> {
    if node.is_null() {
        return Some(VolumeModel::default());
    }
    let mut fields = Fields::of(node, Section::Volume.title(), sink)?;
    let (external, name) = identity(&mut fields, sink);
    let volume = VolumeModel {
        name,
        external,
        driver: fields.text("driver", sink).filter(|driver| driver != "local"),
        driver_opts: options(&mut fields, sink),
        labels: labels(&mut fields, sink),
    };
    let only_named = VolumeModel { name: volume.name.clone(), external: true, ..VolumeModel::default() };
    external_is_alone(external && volume != only_named, &fields, sink);
    fields.finish_with(|entry| judge(Section::Volume, entry), sink);
    Some(volume)
}

/// `external: true` (or the old form `external: { name: … }`) and `name`.
fn identity(fields: &mut Fields<'_>, sink: &mut Sink) -> (bool, Option<String>) {
    let name = fields.with("name", sink, engine_name);
    let Some(node) = fields.some("external") else { return (false, name) };
    if let Value::Mapping(_) = node.value {
        let old = Fields::of(node, "`external`", sink).and_then(|mut fields| {
            let name = fields.with("name", sink, engine_name);
            fields.finish(sink);
            name
        });
        return (true, name.or(old));
    }
    (boolean(node, sink).unwrap_or_default(), name)
}

fn engine_name(node: &Node, sink: &mut Sink) -> Option<String> {
    let name = text(node, sink)?;
    let fine = (1..=128).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fine {
        return Some(name.to_owned());
    }
    let finding = node.span.error("bad_name", format!("`{}` is not a name for the engine", cut(name)));
    sink.push(finding.hint("use letters, digits, `-`, `_` and `.`, starting with a letter or digit"));
    None
}

fn external_is_alone(more: bool, fields: &Fields<'_>, sink: &mut Sink) {
    if more {
        let finding = fields.span.error("conflict", "what is `external` exists already and cannot be configured here");
        sink.push(finding.hint("keep `external` and `name` only"));
    }
}

fn options(fields: &mut Fields<'_>, sink: &mut Sink) -> BTreeMap<String, String> {
    let Some(node) = fields.some("driver_opts") else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for (key, value) in pairs(node, Separator::Equals, sink) {
        found.extend(text(&value, sink).map(|value| (key.text, value.to_owned())));
    }
    found
}

fn file_object(scope: &Scope<'_>, (key, node): (&Key, &Node), sink: &mut Sink) -> Option<MountSource> {
    if node.is_null() {
        sink.push(key.span.error("missing_key", format!("`{}` needs a `file`", key.text)));
        return None;
    }
    let mut fields = Fields::of(node, Section::FileObject.title(), sink)?;
    let file = fields.some("file");
    let before = sink.len();
    fields.finish_with(|entry| judge(Section::FileObject, entry), sink);
    match file {
        Some(node) => repo_source(scope, (node, text(node, sink)?), "add it", sink),
        None => {
            if sink.len() == before {
                sink.push(key.span.error("missing_key", format!("`{}` needs a `file`", key.text)));
            }
            None
        }
    }
}

/// A file or folder of the stack, by the path in a node's text, with the identity of its content.
pub(super) fn repo_source(scope: &Scope<'_>, (node, written): (&Node, &str), hint: &str, sink: &mut Sink) -> Option<MountSource> {
    let path = match inside(&scope.folder, &node.span, written) {
        Ok(path) => path,
        Err(finding) => {
            sink.push(*finding);
            return None;
        }
    };
    if let Some((refused, reason)) = scope.files.refused_around(&path) {
        sink.push(node.span.error("unreadable_file", format!("`{refused}` cannot be read: {reason}")));
        return None;
    }
    match repo_content(scope.files, &path) {
        Some(content) => {
            scope.used.borrow_mut().extend(scope.files.below(&path).map(|(found, _)| found.clone()));
            Some(MountSource::Repo { path, content })
        }
        None => {
            let finding = node.span.error("missing_file", format!("there is no file or folder `{path}` in the config repo"));
            sink.push(finding.hint(hint));
            None
        }
    }
}
