//! Reading `trust.yaml`, as strictly as anything people write. A key that counts for two, a role that nobody wrote, a
//! scope that was meant otherwise: all of these are errors, because each is somebody's right.

use super::{Merges, Scope, Signer, TRUST_FILE, TrustPolicy};
use crate::findings::{Finding, Place, with_excerpts};
use crate::ids::{PersonName, RepoPath, RoleName};
use crate::keys::check_public_key;
use crate::yaml::{Fields, Node, OWN_LIMITS, Sink, entries, hint_among, integer, items, parsed, read as read_tree, text};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Reads a policy. Findings carry their excerpt.
pub fn read(file: &RepoPath, bytes: &[u8]) -> Result<TrustPolicy, Vec<Finding>> {
    let mut sink = Sink::default();
    let policy = match read_tree(file, bytes, &OWN_LIMITS) {
        Ok(Some(node)) => policy(&node, &mut sink),
        Ok(None) => {
            let finding = Finding::error("empty_file", Place::file(file.clone()), format!("{TRUST_FILE} is empty"));
            sink.push(finding.hint("remove it before the first agent pins it, or name at least one signer"));
            None
        }
        Err(findings) => {
            sink.extend(findings);
            None
        }
    };
    match policy.filter(|_| !sink.has_errors()) {
        Some(policy) => Ok(policy),
        None => {
            let files = std::iter::once((file.clone(), crate::files::File { bytes: bytes.into(), executable: false })).collect();
            Err(with_excerpts(sink.into_findings(), &files))
        }
    }
}

fn policy(node: &Node, sink: &mut Sink) -> Option<TrustPolicy> {
    let mut fields = Fields::of(node, "the signer policy", sink)?;
    crate::yaml::schema(&mut fields, sink);
    let version = fields.require("version", sink).and_then(|node| integer::<u64>(node, 1..=i64::MAX, sink));
    let roles = fields.require("roles", sink).map(|node| roles(node, sink)).unwrap_or_default();
    let signers = fields.require("signers", sink).map(|node| signers(node, &roles, sink)).unwrap_or_default();
    let merges = fields.with("merges", sink, merges).unwrap_or_default();
    fields.finish(sink);
    Some(TrustPolicy { version: version?, signers, roles, merges })
}

fn roles(node: &Node, sink: &mut Sink) -> BTreeMap<RoleName, BTreeSet<Scope>> {
    let mut found = BTreeMap::new();
    for (key, node) in entries(node, sink) {
        let Some(mut fields) = Fields::of(node, "a role of the signer policy", sink) else { continue };
        let scopes = fields.require("paths", sink).map(|node| items(node, sink).iter().filter_map(|item| scope(item, sink)).collect());
        fields.finish(sink);
        match RoleName::try_from(key.text.as_str()) {
            Ok(name) => drop(found.insert(name, scopes.unwrap_or_default())),
            Err(error) => sink.push(key.span.error("bad_name", error.to_string())),
        }
    }
    found
}

/// `/`, a folder with a slash at its end, or a file.
fn scope(node: &Node, sink: &mut Sink) -> Option<Scope> {
    let written = text(node, sink)?;
    if written == "/" {
        return Some(Scope::Everything);
    }
    let (path, make): (&str, fn(RepoPath) -> Scope) = match written.strip_suffix('/') {
        Some(folder) => (folder, Scope::Folder),
        None => (written, Scope::File),
    };
    match path.parse::<RepoPath>() {
        Ok(path) => Some(make(path)),
        Err(error) => {
            let finding = node.span.error("bad_path", error.to_string());
            sink.push(finding.hint("write a folder as `stacks/`, a file as `tidegate.yaml`, all of it as `/`; there are no patterns"));
            None
        }
    }
}

fn signers(node: &Node, roles: &BTreeMap<RoleName, BTreeSet<Scope>>, sink: &mut Sink) -> BTreeMap<PersonName, Signer> {
    let mut found: BTreeMap<PersonName, Signer> = BTreeMap::new();
    for (key, node) in entries(node, sink) {
        let name = match PersonName::try_from(key.text.as_str()) {
            Ok(name) => name,
            Err(error) => {
                sink.push(key.span.error("bad_name", error.to_string()));
                continue;
            }
        };
        let Some(signer) = signer(node, roles, sink) else { continue };
        if let Some((other, _)) = found.iter().find(|(_, other)| other.key == signer.key) {
            let finding = node.span.error("conflict", format!("{name} has the same key as {other}: nobody could tell who signed"));
            sink.push(finding.hint("give each signer a key of their own"));
        }
        found.insert(name, signer);
    }
    if found.is_empty() && !sink.has_errors() {
        sink.push(node.span.error("no_signers", "no signer is named, so nothing could ever be changed").hint("name at least one"));
    }
    found
}

fn signer(node: &Node, roles: &BTreeMap<RoleName, BTreeSet<Scope>>, sink: &mut Sink) -> Option<Signer> {
    let mut fields = Fields::of(node, "a signer", sink)?;
    let key = fields.require("key", sink).and_then(|node| check_public_key(node, sink));
    let theirs = fields.require("roles", sink).map(|node| role_names(node, roles, sink)).unwrap_or_default();
    let until = fields.with("until", sink, moment);
    fields.finish(sink);
    Some(Signer { key: key?, roles: theirs, until })
}

fn role_names(node: &Node, roles: &BTreeMap<RoleName, BTreeSet<Scope>>, sink: &mut Sink) -> BTreeSet<RoleName> {
    let mut found = BTreeSet::new();
    for item in items(node, sink) {
        let Some(name) = parsed::<RoleName>(item, "bad_name", sink) else { continue };
        if roles.contains_key(&name) {
            found.insert(name);
        } else {
            let finding = item.span.error("unknown_role", format!("there is no role `{name}` in this policy"));
            sink.push(finding.hint(hint_among(name.as_str(), roles.keys().map(RoleName::as_str), "role")));
        }
    }
    found
}

fn moment(node: &Node, sink: &mut Sink) -> Option<Timestamp> {
    let moment = text(node, sink)?.parse().ok();
    if moment.is_none() {
        sink.push(node.span.error("bad_value", "this is no moment").hint("write it as `2027-06-01T00:00:00Z`"));
    }
    moment
}

fn merges(node: &Node, sink: &mut Sink) -> Option<Merges> {
    match text(node, sink)? {
        "signed" => Some(Merges::Signed),
        "exact" => Some(Merges::Exact),
        _ => {
            sink.push(node.span.error("bad_value", "this says nothing about merges").hint("write `signed` or `exact`"));
            None
        }
    }
}
