//! What is mounted into a container: `volumes` (short and long), `tmpfs`, `configs`, `secrets`.
//! One mount per target: a later file's replaces an earlier one's, and twice in one file is a mistake.

use super::forms::listed;
use super::model::{ContainerModel, Mount, MountSource};
use super::objects::repo_source;
use super::service::{Context, absolute, by_unit, cut, word};
use super::support::{Section, judge};
use super::targets::clash;
use super::units::size_bytes;
use crate::yaml::{Fields, Node, Sink, Span, Value, hint_among, items, text};
use std::collections::{BTreeMap, BTreeSet};

/// For a path that is not in the config repo.
const MISSING_HINT: &str = "add it; for data that a container writes, use a named volume";
/// Mount options that memory has unless others are given.
const TMPFS_DEFAULTS: [&str; 4] = ["rw", "noexec", "nosuid", "nodev"];
/// Mount options that may be given.
const TMPFS_FLAGS: [&str; 5] = ["exec", "suid", "dev", "noatime", "sync"];
/// Most mounts of one service.
const MOUNTS_MAX: usize = 500;

/// Reads everything that is mounted.
pub(super) fn read(context: &Context<'_>, fields: &mut Fields<'_>, container: &mut ContainerModel, sink: &mut Sink) {
    let mut found: BTreeMap<String, (Mount, Span)> = BTreeMap::new();
    let mut add = |node: &Node, mount: Option<Mount>, sink: &mut Sink| {
        let Some(mount) = mount else { return };
        let what = format!("`{}` is mounted", mount.target);
        if let Some((_, earlier)) = found.insert(mount.target.clone(), (mount, node.span.clone())) {
            clash(&what, (&earlier, &node.span), sink);
        }
    };
    if let Some(node) = fields.some("volumes") {
        for item in items(node, sink) {
            let mount = match item.value {
                Value::Mapping(_) => long(context, item, sink),
                _ => short(context, item, sink),
            };
            add(item, mount, sink);
        }
    }
    if let Some(node) = fields.some("tmpfs") {
        for item in listed(node) {
            let mount = tmpfs(&item, sink);
            add(&item, mount, sink);
        }
    }
    for kind in [FileKind::Config, FileKind::Secret] {
        if let Some(node) = fields.some(kind.key()) {
            for item in items(node, sink) {
                let mount = file_mount(context, kind, item, sink);
                add(item, mount, sink);
            }
        }
    }
    if found.len() > MOUNTS_MAX {
        sink.push(fields.span.error("too_many", format!("more than {MOUNTS_MAX} mounts")));
    }
    container.mounts = found.into_values().map(|(mount, _)| mount).collect();
}

/// `/a//b/` and `/a/b` are one target.
fn normal_target(target: &str) -> String {
    let parts: Vec<&str> = target.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    format!("/{}", parts.join("/"))
}

fn target_of(node: &Node, written: &str, sink: &mut Sink) -> Option<String> {
    if !written.starts_with('/') || written.split('/').any(|part| part == "..") {
        let finding = node.span.error("bad_volume", format!("the target `{}` is not an absolute path", cut(written)));
        sink.push(finding.hint("write the path inside the container, beginning with `/`"));
        return None;
    }
    let target = normal_target(written);
    if target == "/" {
        sink.push(node.span.error("bad_volume", "the root of a container cannot be mounted over"));
        return None;
    }
    Some(target)
}

/// `[SOURCE:]TARGET[:MODE]`.
fn short(context: &Context<'_>, node: &Node, sink: &mut Sink) -> Option<Mount> {
    let written = text(node, sink)?;
    let parts: Vec<&str> = written.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some(*source), *target, ""),
        [source, target, mode] => (Some(*source), *target, *mode),
        _ => {
            let finding = node.span.error("bad_volume", format!("`{}` is not a volume", cut(written)));
            sink.push(finding.hint("write `name:/path`, `./file:/path`, `/host/path:/path`, with `:ro` at the end if it is only read"));
            return None;
        }
    };
    let access = access(node, mode, sink)?;
    let target = target_of(node, target, sink)?;
    let source = match source {
        None => MountSource::Anonymous,
        Some(source) => source_of(context, node, source, sink)?,
    };
    finished(node, Mount { target, source, read_only: access == Access::ReadOnly }, access, sink)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Default,
    ReadWrite,
    ReadOnly,
}

fn access(node: &Node, mode: &str, sink: &mut Sink) -> Option<Access> {
    let mut access = Access::Default;
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => access = Access::ReadOnly,
            "rw" => access = Access::ReadWrite,
            // Hints for Docker Desktop: without effect on Linux.
            "cached" | "delegated" | "consistent" => {}
            "z" | "Z" => {
                let finding = node.span.error("bad_volume", format!("the option `{option}` (SELinux labels) is not supported"));
                sink.push(finding.hint("remove it, and label the folder on the host"));
                return None;
            }
            other => {
                let finding = node.span.error("bad_volume", format!("the option `{}` is not supported", cut(other)));
                sink.push(finding.hint("use `ro` or `rw`"));
                return None;
            }
        }
    }
    Some(access)
}

/// Files of the repo are always read-only: they are materialised once per content and shared.
fn finished(node: &Node, mount: Mount, access: Access, sink: &mut Sink) -> Option<Mount> {
    if let MountSource::Repo { path, .. } = &mount.source {
        if access == Access::ReadWrite {
            let finding = node.span.error("bad_volume", format!("`{path}` is a file of the config repo and cannot be written"));
            sink.push(finding.hint("use `:ro`; for data that a container writes, use a named volume"));
            return None;
        }
        return Some(Mount { read_only: true, ..mount });
    }
    Some(mount)
}

fn source_of(context: &Context<'_>, node: &Node, source: &str, sink: &mut Sink) -> Option<MountSource> {
    if source.starts_with('/') {
        return host_path(node, source, sink);
    }
    if source.starts_with('~') {
        let finding = node.span.error("bad_volume", "`~` names somebody's home folder, but nobody is logged in");
        sink.push(finding.hint("write an absolute path, or use a named volume"));
        return None;
    }
    if source.starts_with('.') {
        return repo_source(context.scope, (node, source), MISSING_HINT, sink);
    }
    named_volume(context, node, source, sink)
}

fn host_path(node: &Node, source: &str, sink: &mut Sink) -> Option<MountSource> {
    let path = normal_target(source);
    if source.split('/').any(|part| part == "..") {
        sink.push(node.span.error("bad_volume", "a path on the host may not hold `..`").hint("write the path without `..`"));
        return None;
    }
    if path == "/" || ["/var/run/docker.sock", "/run/docker.sock", "/run", "/var/run", "/var"].contains(&path.as_str()) {
        let finding = node.span.error("refused_mount", format!("mounting `{path}` gives the engine, and so the host, to the container"));
        sink.push(finding.hint("mount only the folder that the container needs"));
        return None;
    }
    Some(MountSource::Bind { path })
}

fn named_volume(context: &Context<'_>, node: &Node, name: &str, sink: &mut Sink) -> Option<MountSource> {
    let declared = &context.objects.volumes;
    if declared.contains_key(name) {
        return Some(MountSource::Volume { key: name.to_owned() });
    }
    let finding = node.span.error("unknown_volume", format!("the volume `{}` is not declared", cut(name)));
    sink.push(finding.hint(match (name.contains('/'), declared.is_empty()) {
        (true, _) => format!("for a file of the stack write `./{name}`"),
        (false, true) => format!("add `volumes: {{ {name}: {{}} }}` at the top of the file"),
        (false, false) => hint_among(name, declared.keys().map(String::as_str), "volume"),
    }));
    None
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Volume,
    Bind,
    Tmpfs,
}

fn long(context: &Context<'_>, node: &Node, sink: &mut Sink) -> Option<Mount> {
    let before = sink.len();
    let mut fields = Fields::of(node, Section::Mount.title(), sink)?;
    let kind = fields.require("type", sink).and_then(|node| {
        let refused = matches!(node.scalar(), Some("npipe" | "cluster" | "image"));
        if refused {
            let finding = node.span.error("refused_attribute", "this type of volume is refused: plain engines of Linux do not have it");
            sink.push(finding.hint("use `volume`, `bind` or `tmpfs`"));
            return None;
        }
        word(node, &[("volume", Kind::Volume), ("bind", Kind::Bind), ("tmpfs", Kind::Tmpfs)], sink)
    });
    let target = fields.require("target", sink).and_then(|node| target_of(node, text(node, sink)?, sink));
    let read_only = fields.boolean("read_only", sink);
    fields.some("consistency");
    let source_node = fields.some("source");
    let tmpfs = fields.some("tmpfs").and_then(|node| tmpfs_options(node, sink));
    sub_options(&mut fields, sink);
    fields.finish_with(|entry| judge(Section::Mount, entry), sink);
    let source = match (kind?, source_node) {
        (Kind::Tmpfs, None) => tmpfs.unwrap_or(MountSource::Tmpfs { size_bytes: None, mode: None, options: BTreeSet::new() }),
        (Kind::Tmpfs, Some(node)) => {
            sink.push(node.span.error("conflict", "memory has no `source`").hint("remove `source`"));
            return None;
        }
        (Kind::Volume, None) => MountSource::Anonymous,
        (Kind::Volume, Some(node)) => named_volume(context, node, text(node, sink)?, sink)?,
        (Kind::Bind, Some(node)) => match text(node, sink)? {
            path if path.starts_with(['/', '~', '.']) => source_of(context, node, path, sink)?,
            path => repo_source(context.scope, (node, path), MISSING_HINT, sink)?,
        },
        (Kind::Bind, None) => {
            sink.push(node.span.error("missing_key", "a bind needs a `source`"));
            return None;
        }
    };
    let access = match read_only {
        None => Access::Default,
        Some(true) => Access::ReadOnly,
        Some(false) => Access::ReadWrite,
    };
    let mount = Mount { target: target?, source, read_only: access == Access::ReadOnly };
    finished(node, mount, access, sink).filter(|_| sink.len() == before)
}

/// `bind`, `volume`: what may stand there without changing anything.
fn sub_options(fields: &mut Fields<'_>, sink: &mut Sink) {
    for (key, option) in [("bind", "create_host_path"), ("volume", "nocopy")] {
        let Some(node) = fields.some(key) else { continue };
        for (name, value) in crate::yaml::entries(node, sink) {
            if name.text != option || value.scalar() != Some("false") {
                let finding = name.span.error("refused_attribute", format!("`{}` of `{key}` is refused", cut(&name.text)));
                sink.push(
                    finding.hint(format!("only `{option}: false` is taken: a missing path is an error, and nothing is copied by halves")),
                );
            }
        }
    }
}

fn tmpfs_options(node: &Node, sink: &mut Sink) -> Option<MountSource> {
    let mut fields = Fields::of(node, "`tmpfs`", sink)?;
    let size_bytes = fields.with("size", sink, |node, sink| by_unit(node, size_bytes, sink));
    let mode = fields.with("mode", sink, |node, sink| octal(node, text(node, sink)?, sink));
    fields.finish(sink);
    Some(MountSource::Tmpfs { size_bytes, mode, options: BTreeSet::new() })
}

/// A mode in octal digits, as people write it: `1777`, `0755`, `0o755`.
fn octal(node: &Node, written: &str, sink: &mut Sink) -> Option<u32> {
    let digits = written.strip_prefix("0o").unwrap_or(written);
    match u32::from_str_radix(digits, 8).ok().filter(|&mode| mode <= 0o7777 && digits.bytes().all(|b| b.is_ascii_digit())) {
        Some(mode) => Some(mode),
        None => {
            sink.push(node.span.error("bad_value", format!("`{}` is not a mode", cut(written))).hint("write octal digits, such as `1777`"));
            None
        }
    }
}

/// `/run`, `/run:size=64m,mode=1777,uid=1000,exec`.
fn tmpfs(node: &Node, sink: &mut Sink) -> Option<Mount> {
    let written = text(node, sink)?;
    let (target, written) = written.split_once(':').unwrap_or((written, ""));
    let target = target_of(node, target, sink)?;
    let (mut size_bytes, mut mode, mut options, mut read_only) = (None, None, BTreeSet::new(), false);
    for option in written.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", value)) => match super::units::size_bytes(value) {
                Ok(bytes) => size_bytes = Some(bytes),
                Err(error) => sink.push(node.span.error("bad_value", error.to_string())),
            },
            Some(("mode", value)) => mode = octal(node, value, sink),
            Some(("uid" | "gid" | "nr_inodes" | "nr_blocks", value)) if value.parse::<u32>().is_ok() => drop(options.insert(option.into())),
            None if option == "ro" => read_only = true,
            // What the engine does anyway.
            None if TMPFS_DEFAULTS.contains(&option) => {}
            None if TMPFS_FLAGS.contains(&option) => drop(options.insert(option.to_owned())),
            _ => {
                let finding = node.span.error("bad_volume", format!("the option `{}` of `tmpfs` is not supported", cut(option)));
                let flags = TMPFS_FLAGS.map(|flag| format!("`{flag}`")).join(", ");
                sink.push(finding.hint(format!("use `size`, `mode`, `uid`, `gid`, `nr_inodes`, `nr_blocks` with a value, `ro`, {flags}")));
                return None;
            }
        }
    }
    Some(Mount { target, source: MountSource::Tmpfs { size_bytes, mode, options }, read_only })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    Config,
    Secret,
}

impl FileKind {
    fn key(self) -> &'static str {
        match self {
            FileKind::Config => "configs",
            FileKind::Secret => "secrets",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            FileKind::Config => "",
            FileKind::Secret => "/run/secrets",
        }
    }
}

/// A config or secret: its name, or `{ source, target }`.
fn file_mount(context: &Context<'_>, kind: FileKind, node: &Node, sink: &mut Sink) -> Option<Mount> {
    let (name_node, target) = match node.value {
        Value::Mapping(_) => {
            let mut fields = Fields::of(node, Section::FileMount.title(), sink)?;
            let source = fields.require("source", sink);
            let target = fields.some("target");
            fields.finish_with(|entry| judge(Section::FileMount, entry), sink);
            (source?, target)
        }
        _ => (node, None),
    };
    let name = text(name_node, sink)?;
    let declared = match kind {
        FileKind::Config => &context.objects.configs,
        FileKind::Secret => &context.objects.secrets,
    };
    let Some(source) = declared.get(name) else {
        let what = kind.key().trim_end_matches('s');
        let finding = name_node.span.error("unknown_file", format!("the {what} `{}` is not declared", cut(name)));
        sink.push(finding.hint(hint_among(name, declared.keys().map(String::as_str), what)));
        return None;
    };
    let target = match target {
        None => format!("{}/{name}", kind.folder()),
        Some(node) => match text(node, sink)? {
            path if path.starts_with('/') => absolute(node, sink)?,
            path => format!("{}/{path}", kind.folder()),
        },
    };
    let target = target_of(target_node(node), &target, sink)?;
    Some(Mount { target, source: source.clone()?, read_only: true })
}

fn target_node(node: &Node) -> &Node {
    node.get("target").unwrap_or(node)
}
