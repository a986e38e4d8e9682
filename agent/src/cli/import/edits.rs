//! Lines that an imported file does without: put into comments, so that every other line keeps its number and its look.
//! An edit counts only if the file then says exactly what it said before, without that key; otherwise the reader's
//! finding is left to stand.

use super::project::Project;
use crate::words::import as say;
use tidegate_core::files::File;
use tidegate_core::ids::RepoPath;
use tidegate_core::yaml::{COMPOSE_LIMITS, Key, Node, Value, read};

/// Edits the Compose files of a project; returns what was done, for people.
pub(super) fn edit(project: &mut Project) -> Vec<String> {
    let mut notes = Vec::new();
    for path in project.compose_files() {
        // One key after the other: every edit is checked against the file as it is then.
        while let Some((text, note)) = next(project, &path) {
            let executable = project.files.get(&path).is_some_and(|file| file.executable);
            project.files.insert(path.clone(), File { bytes: text.into_bytes().into(), executable });
            notes.push(note);
        }
    }
    notes
}

/// The file after the next edit, and what it was.
fn next(project: &Project, path: &RepoPath) -> Option<(String, String)> {
    let text = std::str::from_utf8(&project.files.get(path)?.bytes).ok()?.to_owned();
    let tree = read(path, text.as_bytes(), &COMPOSE_LIMITS).ok()??;
    let own = project.own_name(path.as_str());
    let at_top = ["name", "version"].into_iter().filter_map(|key| {
        let (key, node) = entry(&tree, key)?;
        let keeps = key.text == "name" && node.scalar() == Some(project.stack.as_str());
        (!keeps).then(|| (vec![], key.clone(), say::unneeded(&own, key.span.line, &key.text)))
    });
    let services = match tree.get("services").map(|node| &node.value) {
        Some(Value::Mapping(services)) => services.as_slice(),
        _ => &[],
    };
    let in_services = services.iter().flat_map(|(service, node)| {
        let build = entry(node, "build").filter(|_| node.get("image").is_some_and(|image| !image.is_null()));
        let name = entry(node, "container_name").filter(|(_, name)| name.scalar() == Some(service.text.as_str()));
        let build = build.map(|(key, _)| (key, say::build(&own, key.span.line, &service.text)));
        let name = name.map(|(key, _)| (key, say::own_name(&own, key.span.line, &service.text)));
        let way = vec!["services".to_owned(), service.text.clone()];
        build.into_iter().chain(name).map(move |(key, note)| (way.clone(), key.clone(), note))
    });
    at_top.chain(in_services).find_map(|(way, key, note)| Some((without(path, &text, &tree, (&way, &key))?, note)))
}

fn entry<'a>(node: &'a Node, key: &str) -> Option<&'a (Key, Node)> {
    match &node.value {
        Value::Mapping(entries) => entries.iter().find(|(name, _)| name.text == key),
        _ => None,
    }
}

/// The text with a key and its value in comments; none: it cannot be told apart from its surroundings.
fn without(path: &RepoPath, text: &str, tree: &Node, (way, key): (&[String], &Key)) -> Option<String> {
    let first = usize::try_from(key.span.line).ok()?.checked_sub(1)?;
    let indent = usize::try_from(key.span.column).ok()?.checked_sub(1)?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    if !lines.get(first)?.chars().take(indent).all(|c| c == ' ') {
        return None;
    }
    let deeper = |line: &str| {
        let content = line.trim_start_matches(' ');
        let is_list_item = content.starts_with("- ") || content.trim_end() == "-";
        let depth = line.len() - content.len();
        content.trim().is_empty() || depth > indent || (depth == indent && is_list_item)
    };
    let mut end = first + 1;
    while lines.get(end).is_some_and(|line| deeper(line)) {
        end += 1;
    }
    while end > first + 1 && lines[end - 1].trim().is_empty() {
        end -= 1;
    }
    let edited: String = (0..)
        .zip(&lines)
        .map(|(number, line)| match (first..end).contains(&number) && !line.trim().is_empty() {
            true => format!("{}# {}", &line[..indent.min(line.len())], &line[indent.min(line.len())..]),
            false => (*line).to_owned(),
        })
        .collect();
    let after = read(path, edited.as_bytes(), &COMPOSE_LIMITS).ok()??;
    let mut expected = tree.clone();
    take_out(&mut expected, way, &key.text);
    says_the_same(&expected, &after).then_some(edited)
}

fn take_out(node: &mut Node, way: &[String], key: &str) {
    let Value::Mapping(entries) = &mut node.value else { return };
    match way.split_first() {
        None => entries.retain(|(name, _)| name.text != key),
        Some((first, rest)) => entries.iter_mut().filter(|(name, _)| name.text == *first).for_each(|(_, node)| take_out(node, rest, key)),
    }
}

fn says_the_same(left: &Node, right: &Node) -> bool {
    left.tag == right.tag
        && match (&left.value, &right.value) {
            (Value::Scalar(a, style), Value::Scalar(b, other)) => a == b && style == other,
            (Value::Sequence(a), Value::Sequence(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| says_the_same(a, b)),
            (Value::Mapping(a), Value::Mapping(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k.text == l.text && says_the_same(a, b))
            }
            _ => false,
        }
}
