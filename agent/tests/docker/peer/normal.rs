//! What `inspect` says, made comparable: what differs between any two containers is left out, names that hold the run
//! are replaced, and every leaf has a path such as `container.Config.Env.LOG_LEVEL`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

type ByName<T> = BTreeMap<String, T>;

/// Objects by kind and name (`container web.1`), each as leaves by path.
pub(super) type Inspected = ByName<ByName<Value>>;

/// Different for any two containers, networks or volumes, or not a setting but what happened since.
const VOLATILE: [&str; 18] = [
    "container.Id",
    "container.Created",
    "container.State",
    "container.ResolvConfPath",
    "container.HostnamePath",
    "container.HostsPath",
    "container.LogPath",
    "container.GraphDriver",
    "container.ExecIDs",
    "container.NetworkSettings",
    "network.Id",
    "network.Created",
    "network.Containers",
    "network.IPAM.Config",
    "volume.CreatedAt",
    "volume.Mountpoint",
    // Paths and arguments repeat entrypoint and command.
    "container.Path",
    "container.Args",
];

/// Lists whose order means something.
const ORDERED: [&str; 5] = [
    "container.Config.Cmd",
    "container.Config.Entrypoint",
    "container.Config.Healthcheck.Test",
    "container.HostConfig.Dns",
    "container.Config.Shell",
];

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    pub(super) case: String,
    /// `container web.1`.
    pub(super) object: String,
    /// `container.HostConfig.Binds`.
    pub(super) field: String,
    pub(super) peer: Option<Value>,
    pub(super) ours: Option<Value>,
}

impl Difference {
    /// A side could not make it at all.
    pub(super) fn whole(case: &str, peer: Option<String>, ours: Option<String>) -> Difference {
        let why = |cause: Option<String>| cause.map(|cause| Value::String(format!("could not make it: {cause}")));
        Difference { case: case.to_owned(), object: "everything".into(), field: "everything".into(), peer: why(peer), ours: why(ours) }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        let Difference { case, object, field, peer, ours } = self;
        write!(f, "{case}: {object}: {field}: docker-compose has {}, we have {}", shown(peer), shown(ours))
    }
}

/// Every field that differs.
pub(super) fn differences(case: &str, peer: &Inspected, ours: &Inspected) -> Vec<Difference> {
    let mut found = Vec::new();
    let empty = ByName::new();
    for object in peer.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
        let (left, right) = (peer.get(object).unwrap_or(&empty), ours.get(object).unwrap_or(&empty));
        for field in left.keys().chain(right.keys()).collect::<BTreeSet<_>>() {
            if left.get(field) != right.get(field) {
                let (peer, ours) = (left.get(field).cloned(), right.get(field).cloned());
                found.push(Difference { case: case.to_owned(), object: object.clone(), field: field.clone(), peer, ours });
            }
        }
    }
    found
}

/// What stands for names that hold the run; longer ones first.
pub(super) struct Words {
    words: Vec<(String, String)>,
}

impl Words {
    pub(super) fn new(words: impl IntoIterator<Item = (String, String)>) -> Words {
        let mut words: Vec<_> = words.into_iter().collect();
        words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        Words { words }
    }

    /// Everything that `look` in drive.py found.
    pub(super) fn normal(&self, found: &Value) -> Inspected {
        let mut all = Inspected::new();
        for container in found["containers"].as_array().unwrap() {
            let label = |name: &str| container["Config"]["Labels"][name].as_str().unwrap_or("?").to_owned();
            let name = format!("container {}.{}", label("com.docker.compose.service"), label("com.docker.compose.container-number"));
            all.insert(name, self.container(container));
        }
        for (kind, list) in [("network", "networks"), ("volume", "volumes")] {
            for object in found[list].as_array().unwrap() {
                let mut leaves = ByName::new();
                self.leaves(kind, object, &mut leaves);
                all.insert(self.text(&format!("{kind} {}", object["Name"].as_str().unwrap())), leaves);
            }
        }
        all
    }

    fn container(&self, found: &Value) -> ByName<Value> {
        let mut leaves = ByName::new();
        self.leaves("container", found, &mut leaves);
        tmpfs(found, &mut leaves);
        let id = found["Id"].as_str().unwrap();
        let own = |text: &str| text.len() >= 12 && id.starts_with(text);
        if leaves.get("container.Config.Hostname").and_then(Value::as_str).is_some_and(own) {
            leaves.insert("container.Config.Hostname".into(), "<short id>".into());
        }
        for (network, settings) in found["NetworkSettings"]["Networks"].as_object().unwrap() {
            let path = self.text(&format!("container.NetworkSettings.Networks.{network}"));
            leaves.insert(path.clone(), "joined".into());
            for key in ["Links", "IPAMConfig", "DriverOpts"] {
                self.leaves(&format!("{path}.{key}"), &settings[key], &mut leaves);
            }
            // The engine adds the container's short id to its names.
            let mut aliases: Vec<&str> = settings["Aliases"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            aliases.retain(|alias| !own(alias));
            aliases.sort_unstable();
            aliases.dedup();
            leaves.insert(format!("{path}.Aliases"), aliases.into());
        }
        leaves
    }

    fn leaves(&self, path: &str, value: &Value, into: &mut ByName<Value>) {
        if VOLATILE.contains(&path) {
            return;
        }
        match value {
            // "Nothing" has many forms, and they all mean that nothing was asked for.
            Value::Null => {}
            Value::String(text) if text.is_empty() => {}
            Value::Array(items) if items.is_empty() => {}
            Value::Object(fields) => fields.iter().for_each(|(key, value)| self.leaves(&self.text(&format!("{path}.{key}")), value, into)),
            Value::Array(items) => self.list(path, items, into),
            Value::String(text) => drop(into.insert(path.to_owned(), self.text(text).into())),
            other => drop(into.insert(path.to_owned(), other.clone())),
        }
        if value.as_object().is_some_and(serde_json::Map::is_empty) && path.contains("ExposedPorts.") {
            into.insert(path.to_owned(), "exposed".into());
        }
    }

    fn list(&self, path: &str, items: &[Value], into: &mut ByName<Value>) {
        let key = match path {
            "container.Mounts" => Some("Destination"),
            "container.HostConfig.Mounts" => Some("Target"),
            "container.HostConfig.Devices" => Some("PathInContainer"),
            "container.HostConfig.Ulimits" => Some("Name"),
            _ => None,
        };
        if path == "container.Config.Env" {
            for line in items.iter().filter_map(Value::as_str) {
                let (name, value) = line.split_once('=').unwrap_or((line, "<no value>"));
                into.insert(format!("{path}.{name}"), self.text(value).into());
            }
        } else if let Some(key) = key {
            for item in items {
                self.leaves(&format!("{path}.{}", item[key].as_str().unwrap()), item, into);
            }
        } else {
            let mut texts: Vec<String> = items.iter().map(|item| self.text(item.as_str().unwrap_or(&item.to_string()))).collect();
            if !ORDERED.contains(&path) {
                texts.sort();
            }
            into.insert(path.to_owned(), texts.into());
        }
    }

    /// With the run's names replaced, and what the engine makes up by chance too.
    fn text(&self, text: &str) -> String {
        let replaced = self.words.iter().fold(text.to_owned(), |text, (word, stands)| text.replace(word.as_str(), stands));
        replaced.split('/').map(|part| if is_long_hash(part) { "<hash>" } else { part }).collect::<Vec<_>>().join("/")
    }
}

/// Memory is asked for in two ways that mean the same to the engine: one form for both.
fn tmpfs(found: &Value, leaves: &mut ByName<Value>) {
    let mut seen: ByName<BTreeSet<String>> = ByName::new();
    for (target, options) in found["HostConfig"]["Tmpfs"].as_object().into_iter().flatten() {
        let options = options.as_str().unwrap().split(',').filter(|option| !matches!(*option, "" | "rw" | "nosuid" | "nodev" | "noexec"));
        seen.insert(target.clone(), options.map(|option| option.replace("size=64m", "size=67108864")).collect());
    }
    for mount in found["HostConfig"]["Mounts"].as_array().into_iter().flatten().filter(|mount| mount["Type"] == "tmpfs") {
        let options = &mount["TmpfsOptions"];
        let size = options["SizeBytes"].as_u64().map(|size| format!("size={size}"));
        let mode = options["Mode"].as_u64().map(|mode| format!("mode={mode:o}"));
        let read_only = mount["ReadOnly"].as_bool().filter(|read_only| *read_only).map(|_| "ro".to_owned());
        seen.insert(mount["Target"].as_str().unwrap().to_owned(), [size, mode, read_only].into_iter().flatten().collect());
    }
    for (target, options) in seen {
        leaves.retain(|path, _| !["HostConfig.Mounts", "HostConfig.Tmpfs", "Mounts"].iter().any(|at| is_at(path, at, &target)));
        leaves.insert(format!("container.tmpfs.{target}"), options.into_iter().collect::<Vec<_>>().into());
    }
}

fn is_at(path: &str, list: &str, target: &str) -> bool {
    let whole = format!("container.{list}.{target}");
    path.strip_prefix(&whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A content id, or the name of an anonymous volume.
fn is_long_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
