//! Merging of untyped trees by Compose's rules: an override file over a base, a service over what it extends.
//!
//! Mappings merge key by key, lists append, single values replace; the exceptions are in [`rule`]. Lists whose items
//! are unique by target (volumes, devices, …) append without what the later file has a target of; see `targets`.

use super::forms::{Separator, listed, named, pairs};
use super::targets::replaced;
use crate::yaml::{Key, Node, Sink, Style, Tag, Value};
use std::collections::HashMap;

/// How two values of an attribute become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// By kind: mappings merge, lists append, text replaces.
    ByKind,
    /// The later one replaces the earlier one whatever it is.
    Replace,
    /// List and mapping form mean the same; merge by key.
    Pairs(Separator),
    /// A list of names is a mapping; merge by name.
    Named,
    /// The same, and a name of the list form says what it stands for: `service_started`, required.
    Dependencies,
    /// One text is a list of one; append.
    Listed,
    /// Options merge only when the driver stays the same.
    Logging,
}

fn rule(path: &[&str]) -> Rule {
    match path {
        ["services", _, "command" | "entrypoint"]
        | ["services", _, "healthcheck", "test"]
        | ["services", _, "ulimits" | "extra_hosts", _] => Rule::Replace,
        ["services", _, "environment" | "labels" | "sysctls" | "annotations"] => Rule::Pairs(Separator::Equals),
        ["services", _, "deploy", "labels"] | ["networks" | "volumes" | "configs" | "secrets", _, "labels"] => {
            Rule::Pairs(Separator::Equals)
        }
        ["services", _, "extra_hosts"] => Rule::Pairs(Separator::EqualsOrColon),
        ["services", _, "networks"] => Rule::Named,
        ["services", _, "depends_on"] => Rule::Dependencies,
        ["services", _, "env_file" | "dns" | "dns_search" | "dns_opt" | "tmpfs"] => Rule::Listed,
        ["services", _, "logging"] => Rule::Logging,
        _ => Rule::ByKind,
    }
}

/// `over` on top of `base`, at a path from the root of a Compose file.
pub(super) fn merge(base: Node, over: Node, path: &[&str], sink: &mut Sink) -> Option<Node> {
    match over.tag {
        Some(Tag::Reset) => return None,
        Some(Tag::Override) => return clean(Node { tag: None, ..over }),
        None => {}
    }
    if over.is_null() {
        return Some(base);
    }
    if base.is_null() || base.tag == Some(Tag::Reset) {
        return clean(over);
    }
    let span = over.span.clone();
    let merged = match rule(path) {
        Rule::Replace => return clean(over),
        Rule::Pairs(separator) => {
            let (base, over) = (pairs(&base, separator, sink), pairs(&over, separator, sink));
            Value::Mapping(entries(base, over, path, sink))
        }
        Rule::Named => Value::Mapping(entries(named(&base, sink), named(&over, sink), path, sink)),
        Rule::Dependencies => Value::Mapping(entries(dependencies(&base, sink), dependencies(&over, sink), path, sink)),
        Rule::Listed => {
            let over = listed(&over);
            Value::Sequence(replaced(path, listed(&base), &over).into_iter().chain(over).filter_map(clean).collect())
        }
        Rule::Logging if driver(&base).is_some() && driver(&over).is_some() && driver(&base) != driver(&over) => return clean(over),
        Rule::Logging | Rule::ByKind => return by_kind(base, over, path, sink),
    };
    Some(Node { tag: None, ..Node::made(span, merged) })
}

/// The list form written out: otherwise a later file could not go back to it.
fn dependencies(node: &Node, sink: &mut Sink) -> Vec<(Key, Node)> {
    let is_list = matches!(node.value, Value::Sequence(_));
    let mut found = named(node, sink);
    for (name, node) in found.iter_mut().filter(|_| is_list) {
        let said = |key: &str, value: &str| {
            (
                Key { text: key.to_owned(), span: name.span.clone() },
                Node::made(name.span.clone(), Value::Scalar(value.to_owned(), Style::Plain)),
            )
        };
        node.value = Value::Mapping(vec![said("condition", "service_started"), said("required", "true")]);
    }
    found
}

fn driver(logging: &Node) -> Option<&str> {
    logging.get("driver").and_then(Node::scalar)
}

fn by_kind(base: Node, over: Node, path: &[&str], sink: &mut Sink) -> Option<Node> {
    let kinds = (base.kind(), over.kind());
    let place = over.span.clone();
    match (base.value, over.value) {
        (Value::Mapping(base_entries), Value::Mapping(over_entries)) => {
            Some(Node::made(base.span, Value::Mapping(entries(base_entries, over_entries, path, sink))))
        }
        (Value::Sequence(base_items), Value::Sequence(over_items)) => {
            let items = replaced(path, base_items, &over_items).into_iter().chain(over_items).filter_map(clean).collect();
            Some(Node::made(base.span, Value::Sequence(items)))
        }
        (Value::Scalar(..), value @ Value::Scalar(..)) => Some(Node { value, ..over_scalar(place, over.verbatim_column) }),
        // A short and a long form of the same thing: the typed stage knows both, the later one counts.
        (Value::Scalar(..), value) => clean(Node::made(place, value)),
        (base_value, _) => {
            let message = format!("this is {}, but what it overrides is {}", kinds.1, kinds.0);
            let hint = "use the same form in both files, or replace the whole with `!override`";
            sink.push(place.error("merge_conflict", message).hint(hint));
            Some(Node::made(base.span, base_value))
        }
    }
}

fn over_scalar(span: crate::yaml::Span, verbatim_column: Option<u32>) -> Node {
    Node { verbatim_column, ..Node::made_text(span, "") }
}

fn entries(base: Vec<(Key, Node)>, over: Vec<(Key, Node)>, path: &[&str], sink: &mut Sink) -> Vec<(Key, Node)> {
    let mut merged: Vec<Option<(Key, Node)>> = base.into_iter().map(Some).collect();
    let index: HashMap<String, usize> =
        merged.iter().enumerate().filter_map(|(at, entry)| entry.as_ref().map(|(key, _)| (key.text.clone(), at))).collect();
    for (key, node) in over {
        let Some(&at) = index.get(&key.text) else {
            merged.extend(clean(node).map(|node| Some((key, node))));
            continue;
        };
        if let Some((earlier_key, earlier)) = merged[at].take() {
            let below: Vec<&str> = path.iter().copied().chain([key.text.as_str()]).collect();
            let earlier_span = earlier.span.clone();
            // What still stands where it stood keeps its key: a mistake in it is not the override's.
            merged[at] = merge(earlier, node, &below, sink).map(|node| (if node.span == earlier_span { earlier_key } else { key }, node));
        }
    }
    merged.into_iter().flatten().filter_map(|(key, node)| clean(node).map(|node| (key, node))).collect()
}

/// Carries out the tags that are left where there is nothing to merge with: what is `!reset` is not there.
pub(super) fn clean(node: Node) -> Option<Node> {
    if node.tag == Some(Tag::Reset) {
        return None;
    }
    let value = match node.value {
        Value::Sequence(items) => Value::Sequence(items.into_iter().filter_map(clean).collect()),
        Value::Mapping(entries) => {
            Value::Mapping(entries.into_iter().filter_map(|(key, node)| clean(node).map(|node| (key, node))).collect())
        }
        scalar => scalar,
    };
    Some(Node { value, tag: None, ..node })
}
