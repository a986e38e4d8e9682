//! `ports` (short, long, ranges) and `expose`.

use super::forms::listed;
use super::model::{ContainerModel, Port, Protocol};
use super::service::{cut, word};
use super::support::{Section, judge};
use super::targets::clash;
use crate::findings::Finding;
use crate::yaml::{Fields, Node, Sink, Span, Value, integer, items, text};
use core::net::IpAddr;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Most ports of one service, ranges expanded.
const PORTS_MAX: usize = 1_000;

/// Reads `ports` and `expose`; both are sets.
pub(super) fn read(fields: &mut Fields<'_>, container: &mut ContainerModel, sink: &mut Sink) {
    let mut found: BTreeMap<Port, Span> = BTreeMap::new();
    if let Some(node) = fields.some("ports") {
        for item in items(node, sink) {
            let ports = match item.value {
                Value::Mapping(_) => long(item, sink),
                _ => short(item, sink),
            };
            for port in ports {
                let what = format!("the port {} is published the same way", port.target);
                if let Some(earlier) = found.insert(port, item.span.clone()) {
                    clash(&what, (&earlier, &item.span), sink);
                }
            }
            if found.len() > PORTS_MAX {
                sink.push(item.span.error("too_many", format!("more than {PORTS_MAX} ports")));
                break;
            }
        }
    }
    container.ports = found.into_keys().collect();
    if let Some(node) = fields.some("expose") {
        for item in listed(node) {
            container.expose.extend(exposed(&item, sink));
        }
    }
}

const FORMS: &str = "write `8080:80`, `127.0.0.1:8080:80`, `8000-8005:80-85` or `53:53/udp`, in quotes";

fn bad(node: &Node, message: String) -> Finding {
    node.span.error("bad_port", message).hint(FORMS)
}

fn short(node: &Node, sink: &mut Sink) -> Vec<Port> {
    let Some(written) = text(node, sink) else { return Vec::new() };
    match parse_short(written) {
        Ok(ports) => ports,
        Err(reason) => {
            sink.push(bad(node, format!("`{}` is not a port: {reason}", cut(written))));
            Vec::new()
        }
    }
}

fn parse_short(written: &str) -> Result<Vec<Port>, &'static str> {
    let (rest, protocol) = match written.split_once('/') {
        Some((rest, "tcp")) => (rest, Protocol::Tcp),
        Some((rest, "udp")) => (rest, Protocol::Udp),
        Some(_) => return Err("after `/` comes `tcp` or `udp`"),
        None => (written, Protocol::Tcp),
    };
    let (rest, target) = rest.rsplit_once(':').map_or((None, rest), |(rest, target)| (Some(rest), target));
    let (host_ip, published) = match rest {
        None => (None, ""),
        Some(rest) => match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, published)) => (Some(address), published.strip_prefix(':').ok_or("after `]` comes `:`")?),
            None => rest.rsplit_once(':').map_or((None, rest), |(address, published)| (Some(address), published)),
        },
    };
    let host_ip = host_ip.filter(|address| !address.is_empty()).map(address).transpose()?;
    let target = range(target)?;
    if published.is_empty() {
        return Ok(target.map(|target| Port { target, protocol, published: None, host_ip: host_ip.clone() }).collect());
    }
    let published = range(published)?;
    if published.len() != target.len() {
        return Err("the ranges have different lengths");
    }
    Ok(target
        .zip(published)
        .map(|(target, published)| Port { target, protocol, published: Some(published), host_ip: host_ip.clone() })
        .collect())
}

/// An address; "all of IPv4" is written by leaving it out.
fn address(written: &str) -> Result<String, &'static str> {
    written.parse::<IpAddr>().map(|address| address.to_string()).map_err(|_| "the part before the ports is not an IP address")
}

fn range(written: &str) -> Result<RangeInclusive<u16>, &'static str> {
    const RULE: &str = "ports are numbers from 1 to 65535";
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|&port| port > 0 && digits).ok_or(RULE)
    };
    let (low, high) = match written.split_once('-') {
        Some((low, high)) => (number(low)?, number(high)?),
        None => (number(written)?, number(written)?),
    };
    if low > high {
        return Err("the range runs backwards");
    }
    if usize::from(high - low) >= PORTS_MAX {
        return Err("the range has more than 1000 ports");
    }
    Ok(low..=high)
}

fn long(node: &Node, sink: &mut Sink) -> Vec<Port> {
    let before = sink.len();
    let Some(mut fields) = Fields::of(node, Section::Port.title(), sink) else { return Vec::new() };
    let target = fields.require("target", sink).and_then(|node| integer::<u16>(node, 1..=65535, sink));
    let published = fields.some("published").and_then(|node| {
        let written = text(node, sink)?;
        let range = range(written).map_err(|reason| bad(node, format!("`{}` is not a port: {reason}", cut(written))));
        match range {
            Ok(range) if range.len() == 1 => Some(*range.start()),
            Ok(_) => {
                let finding = node.span.error("bad_port", "a range of host ports for one container port");
                sink.push(finding.hint("name one port, or leave `published` out and the engine picks one"));
                None
            }
            Err(finding) => {
                sink.push(finding);
                None
            }
        }
    });
    let host_ip = fields.some("host_ip").and_then(|node| match address(text(node, sink)?) {
        Ok(address) => Some(address),
        Err(reason) => {
            sink.push(bad(node, reason.to_owned()));
            None
        }
    });
    let protocol = fields.with("protocol", sink, |node, sink| word(node, &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)], sink));
    fields.with("mode", sink, |node, sink| word(node, &[("host", ()), ("ingress", ())], sink));
    fields.text("name", sink);
    fields.text("app_protocol", sink);
    fields.finish_with(|entry| judge(Section::Port, entry), sink);
    match target {
        Some(target) if sink.len() == before => vec![Port { target, protocol: protocol.unwrap_or(Protocol::Tcp), published, host_ip }],
        _ => Vec::new(),
    }
}

fn exposed(node: &Node, sink: &mut Sink) -> Vec<String> {
    let Some(written) = text(node, sink) else { return Vec::new() };
    let (ports, protocol) = written.split_once('/').unwrap_or((written, "tcp"));
    match (range(ports), protocol) {
        (Ok(range), "tcp" | "udp") => range.map(|port| format!("{port}/{protocol}")).collect(),
        (Ok(_), _) => {
            sink.push(node.span.error("bad_port", "after `/` comes `tcp` or `udp`"));
            Vec::new()
        }
        (Err(reason), _) => {
            sink.push(
                node.span.error("bad_port", format!("`{}` is not a port: {reason}", cut(written))).hint("write `3000` or `8000-8005`"),
            );
            Vec::new()
        }
    }
}
