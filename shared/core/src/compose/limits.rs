//! What a container may use, and what of the host it may touch.

use super::forms::{Separator, listed, pairs};
use super::model::{ContainerModel, Device, Logging, Ulimit};
use super::service::{by_unit, cut, scalar_or_empty, text_list, text_set};
use super::targets::clash;
use super::units::{nano_cpus, size_bytes};
use crate::yaml::{Fields, Node, Sink, Span, Value, entries, integer, items, text};
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

/// Reads limits, capabilities, devices, kernel parameters, names and logging.
pub(super) fn read(fields: &mut Fields<'_>, container: &mut ContainerModel, sink: &mut Sink) {
    container.memory_bytes = fields.with("mem_limit", sink, |node, sink| by_unit(node, size_bytes, sink));
    container.memory_reservation_bytes = fields.with("mem_reservation", sink, |node, sink| by_unit(node, size_bytes, sink));
    container.shm_size_bytes = fields.with("shm_size", sink, |node, sink| by_unit(node, size_bytes, sink));
    container.nano_cpus = fields.with("cpus", sink, cpus);
    container.pids_limit = fields.with("pids_limit", sink, |node, sink| integer(node, -1..=4_194_304, sink));
    container.cap_add = fields.some("cap_add").map(|node| capabilities(node, sink)).unwrap_or_default();
    container.cap_drop = fields.some("cap_drop").map(|node| capabilities(node, sink)).unwrap_or_default();
    container.security_opt = fields.some("security_opt").map(|node| text_set(node, sink)).unwrap_or_default();
    container.devices = fields.some("devices").map(|node| devices(node, sink)).unwrap_or_default();
    container.ulimits = fields.some("ulimits").map(|node| ulimits(node, sink)).unwrap_or_default();
    container.sysctls = fields.some("sysctls").map(|node| sysctls(node, sink)).unwrap_or_default();
    container.dns = fields.some("dns").map(|node| dns(node, sink)).unwrap_or_default();
    container.extra_hosts = fields.some("extra_hosts").map(|node| extra_hosts(node, sink)).unwrap_or_default();
    container.logging = fields.with("logging", sink, logging);
}

/// A number of CPUs; 0 means no limit, as for the engine.
pub(super) fn cpus(node: &Node, sink: &mut Sink) -> Option<u64> {
    if matches!(node.scalar(), Some("0" | "0.0")) {
        return None;
    }
    by_unit(node, nano_cpus, sink)
}

/// `NET_ADMIN` and `CAP_NET_ADMIN` are the same.
fn capabilities(node: &Node, sink: &mut Sink) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for item in items(node, sink) {
        let Some(written) = text(item, sink) else { continue };
        let upper = written.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
            found.insert(name.to_owned());
        } else {
            sink.push(
                item.span.error("bad_value", format!("`{}` is not a capability", cut(written))).hint("use a name such as `NET_ADMIN`"),
            );
        }
    }
    found
}

fn devices(node: &Node, sink: &mut Sink) -> Vec<Device> {
    let mut found: BTreeMap<String, (Device, Span)> = BTreeMap::new();
    for item in items(node, sink) {
        let Some(device) = device(item, sink) else { continue };
        let what = format!("the device `{}` is given", device.container);
        if let Some((_, earlier)) = found.insert(device.container.clone(), (device, item.span.clone())) {
            clash(&what, (&earlier, &item.span), sink);
        }
    }
    found.into_values().map(|(device, _)| device).collect()
}

fn device(node: &Node, sink: &mut Sink) -> Option<Device> {
    let device = if let Value::Mapping(_) = node.value {
        let mut fields = Fields::of(node, "a device", sink)?;
        let host = fields.require("source", sink).and_then(|node| scalar_or_empty(node, sink));
        let container = fields.text("target", sink);
        let permissions = fields.text("permissions", sink).unwrap_or_else(|| "rwm".to_owned());
        fields.finish(sink);
        let host = host?;
        Device { container: container.unwrap_or_else(|| host.clone()), host, permissions }
    } else {
        let written = text(node, sink)?;
        let parts: Vec<&str> = written.split(':').collect();
        let is_permissions = |text: &str| !text.is_empty() && text.bytes().all(|b| matches!(b, b'r' | b'w' | b'm'));
        let (host, container, permissions) = match parts.as_slice() {
            [host] => (*host, *host, "rwm"),
            [host, permissions] if is_permissions(permissions) => (*host, *host, *permissions),
            [host, container] => (*host, *container, "rwm"),
            [host, container, permissions] => (*host, *container, *permissions),
            _ => ("", "", ""),
        };
        Device { host: host.to_owned(), container: container.to_owned(), permissions: permissions.to_owned() }
    };
    let right = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| matches!(b, b'r' | b'w' | b'm'));
    if device.host.starts_with('/') && device.container.starts_with('/') && right(&device.permissions) {
        return Some(Device { permissions: ordered(&device.permissions), ..device });
    }
    let finding = node.span.error("bad_value", "this is not a device");
    sink.push(finding.hint("write `/dev/host:/dev/container:rwm`, or the first part alone"));
    None
}

/// `wr` is `rw`.
fn ordered(permissions: &str) -> String {
    "rwm".chars().filter(|&c| permissions.contains(c)).collect()
}

fn ulimits(node: &Node, sink: &mut Sink) -> BTreeMap<String, Ulimit> {
    let mut found = BTreeMap::new();
    for (key, value) in entries(node, sink) {
        let known = !key.text.is_empty() && key.text.bytes().all(|b| b.is_ascii_lowercase());
        if !known {
            sink.push(key.span.error("bad_value", format!("`{}` is not the name of a limit", cut(&key.text))));
            continue;
        }
        found.extend(ulimit(value, sink).map(|limit| (key.text.clone(), limit)));
    }
    found
}

fn ulimit(node: &Node, sink: &mut Sink) -> Option<Ulimit> {
    let number = |node: &Node, sink: &mut Sink| integer::<i64>(node, -1..=i64::MAX, sink);
    let Value::Mapping(_) = node.value else {
        return number(node, sink).map(|limit| Ulimit { soft: limit, hard: limit });
    };
    let mut fields = Fields::of(node, "a limit", sink)?;
    let soft = fields.require("soft", sink).and_then(|node| number(node, sink));
    let hard = fields.require("hard", sink).and_then(|node| number(node, sink));
    fields.finish(sink);
    let limit = Ulimit { soft: soft?, hard: hard? };
    if limit.hard >= 0 && (limit.soft < 0 || limit.soft > limit.hard) {
        sink.push(node.span.error("out_of_range", "the soft limit is above the hard one"));
        return None;
    }
    Some(limit)
}

fn sysctls(node: &Node, sink: &mut Sink) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (key, value) in pairs(node, Separator::Equals, sink) {
        if value.is_null() {
            sink.push(key.span.error("missing_value", format!("`{}` has no value", cut(&key.text))));
        } else if let Some(value) = text(&value, sink) {
            found.insert(key.text, value.to_owned());
        }
    }
    found
}

fn dns(node: &Node, sink: &mut Sink) -> Vec<String> {
    for item in listed(node).iter().filter(|item| item.scalar().is_some_and(|address| address.parse::<IpAddr>().is_err())) {
        sink.push(item.span.error("bad_value", format!("`{}` is not an IP address", cut(item.scalar().unwrap_or_default()))));
    }
    text_list(node, sink)
}

fn extra_hosts(node: &Node, sink: &mut Sink) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in pairs(node, Separator::EqualsOrColon, sink) {
        let addresses = match &value.value {
            Value::Sequence(addresses) => addresses.as_slice(),
            _ => std::slice::from_ref(&value),
        };
        for node in addresses.iter().filter(|node| !node.is_broken()) {
            let address = node.scalar().unwrap_or_default();
            let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
            if key.text.is_empty() || (bare != "host-gateway" && bare.parse::<IpAddr>().is_err()) {
                let finding = node.span.error("bad_value", "an extra host is a name and an IP address");
                sink.push(finding.hint("write `name:192.0.2.1` or `name=192.0.2.1`; `host-gateway` stands for the host"));
            } else {
                found.insert(format!("{}:{bare}", key.text));
            }
        }
    }
    found
}

fn logging(node: &Node, sink: &mut Sink) -> Option<Logging> {
    let mut fields = Fields::of(node, "`logging`", sink)?;
    let driver = fields.text("driver", sink);
    let mut options = BTreeMap::new();
    if let Some(node) = fields.some("options") {
        for (key, value) in entries(node, sink).iter().filter(|(_, value)| !value.is_null()) {
            options.extend(text(value, sink).map(|value| (key.text.clone(), value.to_owned())));
        }
    }
    fields.finish_with(|(key, _)| key.text.starts_with("x-").then_some(Ok(())), sink);
    match driver {
        Some(driver) => Some(Logging { driver, options }),
        None if options.is_empty() => None,
        None => {
            let finding = node.span.error("missing_key", "`logging.options` without `logging.driver`");
            sink.push(finding.hint("which options are right depends on the driver: name it, such as `driver: json-file`"));
            None
        }
    }
}
