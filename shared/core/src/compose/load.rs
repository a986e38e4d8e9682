//! Stage one: the files of a stack as one untyped tree: read, interpolated, `extends` and `include` carried out, the
//! environment's override merged on top. Every node keeps the file and place it came from.

use super::dotenv;
use super::interpolate::{TOTAL_MAX_BYTES, Variables, interpolate_tree};
use super::merge::{clean, merge};
use crate::files::{File, RepoFiles};
use crate::findings::{Finding, Place};
use crate::ids::{EnvironmentName, RepoPath, StackName};
use crate::yaml::{COMPOSE_LIMITS, Node, Sink, Span, Value, hint_among, read, text};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most times that `include` and `extends` of one stack may read a file.
const FILES_MAX: usize = 500;
/// Longest chain of `include` or `extends`.
const CHAIN_MAX: usize = 16;
/// Most values of all files of a stack, what `include` and `extends` bring counted each time.
const NODES_MAX: usize = 150_000;

/// What a stack is read from.
pub(super) struct Scope<'a> {
    pub(super) files: &'a RepoFiles,
    pub(super) folder: RepoPath,
    pub(super) environment: &'a EnvironmentName,
    pub(super) name: &'a StackName,
    pub(super) variables: Variables,
    /// Every file that was read.
    pub(super) used: RefCell<BTreeSet<RepoPath>>,
}

impl<'a> Scope<'a> {
    /// The folder of a stack and its variables.
    pub(super) fn new(files: &'a RepoFiles, environment: &'a EnvironmentName, name: &'a StackName, sink: &mut Sink) -> Option<Scope<'a>> {
        let folder = format!("stacks/{name}").parse().ok()?;
        let mut scope = Scope { files, folder, environment, name, variables: Variables::default(), used: RefCell::default() };
        scope.variables = scope.read_variables(sink);
        Some(scope)
    }

    /// A file of the config repo; that it was asked for is remembered.
    pub(super) fn file(&self, path: &RepoPath) -> Option<&'a File> {
        let file = self.files.get(path);
        if file.is_some() {
            self.used.borrow_mut().insert(path.clone());
        }
        file
    }

    /// `.env`, then `.env.<environment>` over it; `COMPOSE_PROJECT_NAME` is the stack's name.
    fn read_variables(&self, sink: &mut Sink) -> Variables {
        let names = [".env".to_owned(), format!(".env.{}", self.environment)];
        let paths: Vec<RepoPath> = names.iter().filter_map(|name| self.folder.join(name).ok()).collect();
        let project = ("COMPOSE_PROJECT_NAME".to_owned(), self.name.to_string());
        let mut variables = Variables { values: BTreeMap::from([project.clone()]), files: paths.iter().map(ToString::to_string).collect() };
        for path in &paths {
            if let Some(file) = self.file(path) {
                let found = dotenv::read(path, &file.bytes, &variables, dotenv::Format::Compose, sink);
                variables.values.extend(found);
            }
        }
        variables.values.extend([project]);
        variables
    }
}

/// The merged tree of a stack; `None` when there is a finding that makes it useless.
pub(super) fn load(scope: &Scope<'_>, sink: &mut Sink) -> Option<Node> {
    let mut loader = Loader { scope, sink, trees: BTreeMap::new(), reads: 0, nodes: 0, interpolated_left: TOTAL_MAX_BYTES };
    let base_path = scope.folder.join("compose.yaml").ok()?;
    let Some(base) = loader.compose_file(&base_path)? else {
        let finding = Finding::error("empty_file", Place::file(base_path), "this Compose file is empty");
        loader.sink.push(finding.hint("a stack needs `services:` with at least one service"));
        return None;
    };
    let over_path = scope.folder.join(&format!("compose.{}.yaml", scope.environment)).ok()?;
    let merged = match scope.file(&over_path).is_some() {
        true => match loader.compose_file(&over_path)? {
            Some(over) => merge(base, over, &[], loader.sink)?,
            None => base,
        },
        false => base,
    };
    clean(merged)
}

struct Loader<'a, 'b> {
    scope: &'a Scope<'a>,
    sink: &'b mut Sink,
    /// Files as written, each read once; none: empty or unusable, which is in the findings.
    trees: BTreeMap<RepoPath, Option<Node>>,
    reads: usize,
    nodes: usize,
    interpolated_left: usize,
}

impl Loader<'_, '_> {
    /// A Compose file with its `extends` and `include` carried out. Outer `None`: unusable; inner: empty.
    fn compose_file(&mut self, path: &RepoPath) -> Option<Option<Node>> {
        let variables = self.scope.variables.clone();
        self.project_file(path, &variables, &mut vec![path.clone()])
    }

    fn project_file(&mut self, path: &RepoPath, variables: &Variables, chain: &mut Vec<RepoPath>) -> Option<Option<Node>> {
        let Some(mut tree) = self.raw_file(path, variables)? else { return Some(None) };
        self.extend_services(&mut tree, variables);
        Some(Some(self.include(tree, variables, chain)?))
    }

    /// A file as written, with variables filled in. Outer `None`: unusable; inner: empty.
    fn raw_file(&mut self, path: &RepoPath, variables: &Variables) -> Option<Option<Node>> {
        self.reads += 1;
        if self.reads > FILES_MAX {
            let message = format!("`include` and `extends` of a stack may read files {FILES_MAX} times");
            self.sink.push(Finding::error("too_many_files", Place::file(path.clone()), message));
            return None;
        }
        if !self.trees.contains_key(path) {
            let tree = self.read_tree(path)?;
            self.trees.insert(path.clone(), tree);
        }
        let Some(tree) = self.trees.get(path).and_then(Option::as_ref) else { return Some(None) };
        let (count, place) = (size(tree), tree.span.clone());
        self.spend(count, &place)?;
        let mut tree = self.trees.get(path).cloned().flatten()?;
        interpolate_tree(&mut tree, variables, &mut self.interpolated_left, self.sink);
        Some(Some(tree))
    }

    fn spend(&mut self, nodes: usize, span: &Span) -> Option<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Some(());
        }
        let message = format!("with what `include` and `extends` bring, this stack has more than {NODES_MAX} values");
        self.sink.push(span.error("too_many_nodes", message));
        None
    }

    fn read_tree(&mut self, path: &RepoPath) -> Option<Option<Node>> {
        let Some(file) = self.scope.file(path) else {
            self.sink.push(Finding::error("missing_file", Place::file(path.clone()), format!("there is no file `{path}`")));
            return None;
        };
        match read(path, &file.bytes, &COMPOSE_LIMITS) {
            Ok(Some(tree)) if !matches!(tree.value, Value::Mapping(_)) => {
                self.sink.push(tree.span.error("wrong_type", format!("a Compose file is a mapping, found {}", tree.kind())));
                None
            }
            Ok(tree) => Some(tree),
            Err(findings) => {
                self.sink.extend(findings);
                None
            }
        }
    }

    /// A path that a file names, relative to that file, inside the stack's folder, and there.
    fn local_file(&mut self, node: &Node) -> Option<RepoPath> {
        let written = text(node, self.sink)?;
        if written.contains("://") || written.contains('@') || written.starts_with("oci:") {
            let finding = node.span.error("remote_file", "files from elsewhere are not read");
            self.sink.push(finding.hint("put the file into the stack's folder and name it from there"));
            return None;
        }
        let path = match inside(&self.scope.folder, &node.span, written) {
            Ok(path) => path,
            Err(finding) => {
                self.sink.push(*finding);
                return None;
            }
        };
        if self.scope.file(&path).is_none() {
            self.sink.push(node.span.error("missing_file", format!("there is no file `{path}`")));
            return None;
        }
        Some(path)
    }

    fn extend_services(&mut self, tree: &mut Node, variables: &Variables) {
        let Some(services) = tree.get("services").cloned() else { return };
        let Value::Mapping(entries) = &services.value else { return };
        if !entries.iter().any(|(_, service)| service.get("extends").is_some()) {
            return;
        }
        let mut done = Vec::with_capacity(entries.len());
        for (key, _) in entries {
            let mut chain = Vec::new();
            if let Some(service) = self.extended(&services, &key.text, variables, &mut chain) {
                done.push((key.clone(), service));
            }
        }
        if let Value::Mapping(top) = &mut tree.value
            && let Some((_, node)) = top.iter_mut().find(|(key, _)| key.text == "services")
        {
            *node = Node::made(services.span, Value::Mapping(done));
        }
    }

    /// A service on top of what it extends. `chain` holds the places passed on the way here.
    fn extended(&mut self, services: &Node, name: &str, variables: &Variables, chain: &mut Vec<Span>) -> Option<Node> {
        let service = services.get(name)?.clone();
        let Some(extends) = service.get("extends").cloned() else { return Some(service) };
        if chain.contains(&extends.span) || chain.len() >= CHAIN_MAX {
            self.sink.push(extends.span.error("extends_cycle", format!("`{name}` extends itself, directly or through others")));
            return None;
        }
        chain.push(extends.span.clone());
        let (target, file) = self.extends_target(&extends)?;
        let base = match file {
            Some(file) => {
                let path = self.local_file(&file)?;
                let tree = self.raw_file(&path, variables)??;
                let there = tree.get("services").cloned().unwrap_or_else(|| Node::made_text(tree.span.clone(), ""));
                self.base_service(&there, &target, variables, chain)?
            }
            None => self.base_service(services, &target, variables, chain)?,
        };
        let own = without(service, "extends");
        merge(base, own, &["services", name], self.sink)
    }

    fn base_service(&mut self, services: &Node, target: &Node, variables: &Variables, chain: &mut Vec<Span>) -> Option<Node> {
        let name = text(target, self.sink)?;
        if services.get(name).is_none() {
            let known: Vec<&str> = match &services.value {
                Value::Mapping(entries) => entries.iter().map(|(key, _)| key.text.as_str()).collect(),
                _ => Vec::new(),
            };
            let finding = target.span.error("unknown_service", format!("there is no service `{name}` in `{}`", services.span.file));
            self.sink.push(finding.hint(hint_among(name, known, "service")));
            return None;
        }
        let base = self.extended(services, name, variables, chain)?;
        self.spend(size(&base), &target.span)?;
        Some(base)
    }

    /// `extends: name` or `extends: { service: name, file: path }`.
    fn extends_target(&mut self, extends: &Node) -> Option<(Node, Option<Node>)> {
        if let Value::Scalar(..) = extends.value {
            return Some((extends.clone(), None));
        }
        let mut fields = crate::yaml::Fields::of(extends, "`extends`", self.sink)?;
        let service = fields.require("service", self.sink).cloned();
        let file = fields.some("file").cloned();
        fields.finish(self.sink);
        Some((service?, file))
    }

    /// `include`: other files of the stack as projects of their own; what this file says wins.
    fn include(&mut self, mut tree: Node, variables: &Variables, chain: &mut Vec<RepoPath>) -> Option<Node> {
        let Some(include) = tree.get("include").cloned() else { return Some(tree) };
        tree = without(tree, "include");
        for item in crate::yaml::items(&include, self.sink) {
            let Some(imported) = self.included(item, variables, chain) else { continue };
            for section in ["services", "networks", "volumes", "configs", "secrets"] {
                if let Some(theirs) = imported.get(section) {
                    tree = merge_section(tree, section, theirs.clone(), self.sink);
                }
            }
        }
        Some(tree)
    }

    /// One item of `include`: a path, or paths of which later ones override earlier ones.
    fn included(&mut self, item: &Node, variables: &Variables, chain: &mut Vec<RepoPath>) -> Option<Node> {
        let paths = match &item.value {
            Value::Mapping(_) => {
                let mut fields = crate::yaml::Fields::of(item, "an item of `include`", self.sink)?;
                let path = fields.require("path", self.sink).cloned();
                for key in ["project_directory", "env_file"] {
                    if let Some(node) = fields.some(key) {
                        let finding = node.span.error("refused_attribute", format!("`{key}` of `include` is not supported"));
                        self.sink.push(finding.hint("paths count from the included file; variables come from `.env` files"));
                    }
                }
                fields.finish(self.sink);
                super::forms::listed(&path?)
            }
            _ => vec![item.clone()],
        };
        let mut whole: Option<Node> = None;
        for node in &paths {
            let path = self.local_file(node)?;
            if chain.contains(&path) || chain.len() >= CHAIN_MAX {
                self.sink.push(node.span.error("include_cycle", format!("`{path}` includes itself, directly or through others")));
                return None;
            }
            let variables = self.included_variables(&path, variables);
            chain.push(path.clone());
            let tree = self.project_file(&path, &variables, chain);
            chain.pop();
            if let Some(tree) = tree? {
                whole = match whole {
                    Some(earlier) => merge(earlier, tree, &[], self.sink),
                    None => Some(tree),
                };
            }
        }
        whole
    }

    /// The variables of an included file: its folder's own `.env` below those of the stack.
    fn included_variables(&mut self, path: &RepoPath, outer: &Variables) -> Variables {
        let env = path.parent().and_then(|folder| folder.join(".env").ok()).filter(|env| env.parent().as_ref() != Some(&self.scope.folder));
        let Some((env, file)) = env.and_then(|env| self.scope.file(&env).map(|file| (env, file))) else {
            return outer.clone();
        };
        let mut variables = outer.clone();
        let found = dotenv::read(&env, &file.bytes, outer, dotenv::Format::Compose, self.sink);
        for (name, value) in found {
            variables.values.entry(name).or_insert(value);
        }
        variables.files.insert(0, env.to_string());
        variables
    }
}

/// The path that a node names, relative to its own file; inside the stack's folder or a finding.
pub(super) fn inside(folder: &RepoPath, span: &Span, written: &str) -> Result<RepoPath, Box<Finding>> {
    let outside = |reason: String| {
        let hint = format!("files of a stack lie below `{folder}`; write the path relative to the Compose file");
        Box::new(span.error("outside_stack", reason).hint(hint))
    };
    if written.starts_with('/') || written.starts_with('~') {
        return Err(outside(format!("`{written}` is not a path inside the stack's folder")));
    }
    let base = span.file.parent().unwrap_or_else(|| folder.clone());
    let path = base.join(written).map_err(|error| outside(error.to_string()))?;
    if path.is_within(folder) { Ok(path) } else { Err(outside(format!("`{written}` leaves the stack's folder"))) }
}

fn merge_section(tree: Node, section: &'static str, theirs: Node, sink: &mut Sink) -> Node {
    let Node { span, value: Value::Mapping(mut entries), tag, verbatim_column } = tree else { return tree };
    match entries.iter().position(|(key, _)| key.text == section) {
        Some(at) => {
            let (key, ours) = entries.remove(at);
            if let Some(merged) = merge(theirs, ours, &[section], sink) {
                entries.insert(at, (key, merged));
            }
        }
        None => {
            let key = crate::yaml::Key { text: section.to_owned(), span: Span::start(Arc::clone(&theirs.span.file)) };
            entries.push((key, theirs));
        }
    }
    Node { span, value: Value::Mapping(entries), tag, verbatim_column }
}

fn without(mut node: Node, name: &str) -> Node {
    if let Value::Mapping(entries) = &mut node.value {
        entries.retain(|(key, _)| key.text != name);
    }
    node
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(..) => 1,
        Value::Sequence(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Mapping(entries) => 1 + entries.iter().map(|(_, node)| size(node)).sum::<usize>(),
    }
}
