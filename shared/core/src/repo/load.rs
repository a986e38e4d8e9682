//! From files to the model: reads every file of ours, then checks all of them against each other, and collects every
//! finding on the way.

use super::check;
use super::model::{Repo, Settings};
use super::raw::{self, RawEnvironment, RawHost, RawSettings};
use crate::calendar::Zones;
use crate::compose::resolve_with_warnings;
use crate::files::RepoFiles;
use crate::findings::{Finding, Place, has_errors, with_excerpts};
use crate::ids::{EnvironmentName, HostName, RepoPath, StackName};
use crate::lock::{self, Lock};
use crate::trust;
use crate::yaml::{Node, OWN_LIMITS, Sink, read};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// The name of the file at the top.
pub const SETTINGS_FILE: &str = "tidegate.yaml";

/// What loading says.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The model; only without errors.
    pub repo: Option<Repo>,
    /// Errors and warnings, in order of place, with excerpts.
    pub findings: Vec<Finding>,
}

/// Everything of ours as it is written.
pub(super) struct RawRepo {
    pub(super) settings: RawSettings,
    pub(super) environments: BTreeMap<EnvironmentName, RawEnvironment>,
    pub(super) hosts: BTreeMap<HostName, RawHost>,
    /// Folders below `stacks/`.
    pub(super) stacks: BTreeSet<StackName>,
    pub(super) locks: BTreeMap<EnvironmentName, Lock>,
    /// Environments and hosts whose files are there but cannot be used: no reason for a second finding.
    pub(super) broken: BTreeSet<RepoPath>,
}

/// Loads a config repo, with the zones that this program carries.
pub fn load(files: &RepoFiles) -> Loaded {
    load_with(files, &Zones::bundled())
}

/// Loads a config repo with a zone database of the caller's choice.
pub fn load_with(files: &RepoFiles, zones: &Zones) -> Loaded {
    let mut sink = Sink::default();
    let repo = raw_repo(files, &mut sink).and_then(|raw| model(files, raw, zones, &mut sink));
    let findings = with_excerpts(sink.into_findings(), files);
    Loaded { repo: repo.filter(|_| !has_errors(&findings)), findings }
}

/// The parts of a config repo that are read; what else lies in it concerns nobody.
const PARTS: [&str; 5] = [SETTINGS_FILE, "environments", "hosts", "releases", "stacks"];

/// Links, submodules and files that are too large: errors where they could be used, else warnings.
fn refused(files: &RepoFiles, sink: &mut Sink) {
    for (path, reason) in files.refused() {
        let mut place: Option<RepoPath> = path.parse().ok();
        let mut shorter = path;
        while let (None, Some((folder, _))) = (&place, shorter.rsplit_once('/')) {
            (place, shorter) = (folder.parse().ok(), folder);
        }
        let Some(place) = place.or_else(|| SETTINGS_FILE.parse().ok()).map(Place::file) else { continue };
        let message = format!("`{path}` cannot be read: {reason}");
        let is_ours = PARTS.iter().any(|part| path.split('/').next() == Some(part));
        sink.push(match is_ours {
            true => Finding::error("unreadable_file", place, message),
            false => Finding::warning("unreadable_file", place, message).hint("nothing uses it"),
        });
    }
}

fn raw_repo(files: &RepoFiles, sink: &mut Sink) -> Option<RawRepo> {
    refused(files, sink);
    let path: RepoPath = SETTINGS_FILE.parse().ok()?;
    let mut broken = BTreeSet::new();
    let settings = match files.get(&path) {
        None if files.refused_around(&path).is_some() => None,
        None => {
            let finding = Finding::error("missing_file", Place::file(path), "there is no `tidegate.yaml`: this is no config repo");
            sink.push(finding.hint("begin with `schema: 1` and `environments: [staging, production]`"));
            None
        }
        Some(_) => own_file(files, &path, sink).and_then(|node| raw::settings(&node, sink)),
    };
    let mut environments = BTreeMap::new();
    for (name, path) in folder_files::<EnvironmentName>(files, "environments", sink) {
        match own_file(files, &path, sink).and_then(|node| raw::environment(&node, sink)) {
            Some(environment) => drop(environments.insert(name, environment)),
            None => drop(broken.insert(path)),
        }
    }
    let mut hosts = BTreeMap::new();
    for (name, path) in folder_files::<HostName>(files, "hosts", sink) {
        match own_file(files, &path, sink).and_then(|node| raw::host(&node, sink)) {
            Some(host) => drop(hosts.insert(name, host)),
            None => drop(broken.insert(path)),
        }
    }
    let mut locks = BTreeMap::new();
    for (name, path) in folder_files::<EnvironmentName>(files, "releases", sink) {
        let Some(file) = files.get(&path) else { continue };
        match lock::read(&path, &file.bytes) {
            Ok(lock) => drop(locks.insert(name, lock)),
            Err(findings) => sink.extend(findings),
        }
    }
    trust_file(files, sink);
    let stacks = stack_folders(files, sink);
    Some(RawRepo { settings: settings?, environments, hosts, stacks, locks, broken })
}

/// The signer policy decides nothing here, but a broken one would stop every agent that has it pinned.
fn trust_file(files: &RepoFiles, sink: &mut Sink) {
    let Ok(path) = trust::TRUST_FILE.parse::<RepoPath>() else { return };
    if let Some(Err(findings)) = files.get(&path).map(|file| trust::read(&path, &file.bytes)) {
        sink.extend(findings);
    }
}

/// A file of ours as a tree; an empty one is an error.
fn own_file(files: &RepoFiles, path: &RepoPath, sink: &mut Sink) -> Option<Node> {
    match read(path, &files.get(path)?.bytes, &OWN_LIMITS) {
        Ok(Some(node)) => Some(node),
        Ok(None) => {
            sink.push(Finding::error("empty_file", Place::file(path.clone()), "this file is empty").hint("begin with `schema: 1`"));
            None
        }
        Err(findings) => {
            sink.extend(findings);
            None
        }
    }
}

/// The `<name>.yaml` files directly in a folder. Other YAML files there would be forgotten in silence: findings.
fn folder_files<T: FromStr<Err = crate::ids::InvalidId> + Ord>(files: &RepoFiles, folder: &str, sink: &mut Sink) -> Vec<(T, RepoPath)> {
    let Ok(folder) = folder.parse::<RepoPath>() else { return Vec::new() };
    let mut found = Vec::new();
    for (path, _) in files.below(&folder) {
        let name = path.file_name();
        let direct = path.parent().as_ref() == Some(&folder);
        match (name.strip_suffix(".yaml"), direct) {
            (Some(stem), true) => match stem.parse::<T>() {
                Ok(stem) => found.push((stem, path.clone())),
                Err(error) => sink.push(Finding::error("bad_name", Place::file(path.clone()), error.to_string())),
            },
            (Some(_), false) => {
                let finding =
                    Finding::error("stray_file", Place::file(path.clone()), format!("`{folder}` has no folders: this file is not read"));
                sink.push(finding.hint(format!("move it directly into `{folder}`")));
            }
            (None, _) if name.ends_with(".yml") || name.ends_with(".json") => {
                let finding = Finding::error("stray_file", Place::file(path.clone()), format!("files in `{folder}` end in `.yaml`"));
                sink.push(finding.hint("rename it"));
            }
            (None, _) => {}
        }
    }
    found
}

/// The folders below `stacks/`, each with its `compose.yaml`.
fn stack_folders(files: &RepoFiles, sink: &mut Sink) -> BTreeSet<StackName> {
    let Ok(top) = "stacks".parse::<RepoPath>() else { return BTreeSet::new() };
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for (path, _) in files.below(&top) {
        if let Some((name, _)) = path.as_str().strip_prefix("stacks/").and_then(|rest| rest.split_once('/')) {
            names.insert(name);
        }
    }
    let mut stacks = BTreeSet::new();
    for name in names {
        let Ok(folder) = top.join(name) else { continue };
        match StackName::try_from(name) {
            Ok(stack) => {
                if has_compose_file(files, &folder, sink) {
                    stacks.insert(stack);
                }
            }
            Err(error) => sink.push(Finding::error("bad_name", Place::file(folder), error.to_string())),
        }
    }
    stacks
}

fn has_compose_file(files: &RepoFiles, folder: &RepoPath, sink: &mut Sink) -> bool {
    let is_there = |name: &str| folder.join(name).is_ok_and(|path| files.get(&path).is_some());
    if is_there("compose.yaml") {
        return true;
    }
    if folder.join("compose.yaml").is_ok_and(|path| files.refused_around(&path).is_some()) {
        return false;
    }
    let other = ["compose.yml", "docker-compose.yaml", "docker-compose.yml"].into_iter().find(|name| is_there(name));
    let finding = Finding::error("missing_file", Place::file(folder.clone()), format!("there is no `{folder}/compose.yaml`"));
    sink.push(match other {
        Some(other) => finding.hint(format!("rename `{other}` to `compose.yaml`")),
        None => finding.hint("every folder in `stacks` is a stack with a Compose file"),
    });
    false
}

fn model(files: &RepoFiles, raw: RawRepo, zones: &Zones, sink: &mut Sink) -> Option<Repo> {
    let checked = check::check(files, &raw, zones, sink);
    let mut stacks = BTreeMap::new();
    for (name, environment) in &raw.environments {
        for (stack, ..) in environment.stacks.iter().filter(|(stack, ..)| raw.stacks.contains(stack)) {
            let (model, findings) = resolve_with_warnings(files, name, stack);
            sink.extend(findings);
            stacks.extend(model.map(|model| ((name.clone(), stack.clone()), model)));
        }
    }
    check::constraints(&raw, &stacks, sink);
    if sink.has_errors() {
        return None;
    }
    let RawSettings { environments, people, bot, chat } = raw.settings;
    let settings = Settings { environments: environments.into_iter().map(|(name, _)| name).collect(), people, bot, chat };
    Some(Repo { settings, environments: checked.environments, hosts: checked.hosts, stacks, locks: raw.locks })
}
