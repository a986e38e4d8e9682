//! Attributes that Compose lets people write in two ways, brought to one, with places kept.

use crate::yaml::{Key, Node, Sink, Style, Value, text};
use std::collections::HashSet;

/// What stands between key and value in the list form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    /// `KEY=value`.
    Equals,
    /// `name=address` or `name:address` (extra hosts).
    EqualsOrColon,
}

/// `KEY=value` lists and mappings as entries. A key without a value has a null node.
pub(super) fn pairs(node: &Node, separator: Separator, sink: &mut Sink) -> Vec<(Key, Node)> {
    match &node.value {
        Value::Mapping(entries) => entries.clone(),
        Value::Sequence(items) => {
            let mut seen = HashSet::new();
            let mut found = Vec::new();
            for item in items {
                let Some((key, value)) = pair(item, separator, sink) else { continue };
                if seen.insert(key.text.clone()) {
                    found.push((key, value));
                } else if separator == Separator::EqualsOrColon {
                    append_value(&mut found, &key, value);
                } else {
                    sink.push(key.span.error("duplicate_key", format!("`{}` stands in this list a second time", key.text)));
                }
            }
            found
        }
        _ if node.is_null() => Vec::new(),
        _ => {
            sink.wrong_type(node, "a mapping or a list of `KEY=value`");
            Vec::new()
        }
    }
}

/// A name with several values (a host with several addresses) becomes a list.
fn append_value(found: &mut [(Key, Node)], key: &Key, value: Node) {
    if let Some((_, earlier)) = found.iter_mut().find(|(name, _)| name.text == key.text) {
        if let Value::Sequence(values) = &mut earlier.value {
            values.push(value);
        } else {
            let span = earlier.span.clone();
            let first = std::mem::replace(earlier, Node::made(span.clone(), Value::Sequence(Vec::new())));
            earlier.value = Value::Sequence(vec![first, value]);
        }
    }
}

fn pair(item: &Node, separator: Separator, sink: &mut Sink) -> Option<(Key, Node)> {
    let written = text(item, sink)?;
    let split = match separator {
        Separator::Equals => written.split_once('='),
        Separator::EqualsOrColon => written.split_once(['=', ':']),
    };
    let name = split.map_or(written, |(name, _)| name);
    let key = Key { text: name.to_owned(), span: item.span_within(0, name.chars().count()) };
    let value = match split {
        Some((_, value)) => Node::made_text(item.span.clone(), value),
        None => Node::made(item.span.clone(), Value::Scalar(String::new(), Style::Plain)),
    };
    Some((key, value))
}

/// A list of names, or a mapping by name. Names of the list form have a null node.
pub(super) fn named(node: &Node, sink: &mut Sink) -> Vec<(Key, Node)> {
    match &node.value {
        Value::Mapping(entries) => entries.clone(),
        Value::Sequence(items) => {
            let mut seen = HashSet::new();
            let mut found = Vec::new();
            for item in items {
                let Some(name) = text(item, sink) else { continue };
                if seen.insert(name) {
                    let key = Key { text: name.to_owned(), span: item.span.clone() };
                    found.push((key, Node::made(item.span.clone(), Value::Scalar(String::new(), Style::Plain))));
                } else {
                    sink.push(item.span.error("duplicate_key", format!("`{name}` stands in this list a second time")));
                }
            }
            found
        }
        _ if node.is_null() => Vec::new(),
        _ => {
            sink.wrong_type(node, "a list of names or a mapping");
            Vec::new()
        }
    }
}

/// One text, or a list.
pub(super) fn listed(node: &Node) -> Vec<Node> {
    match &node.value {
        Value::Sequence(items) => items.clone(),
        _ if node.is_null() => Vec::new(),
        _ => vec![node.clone()],
    }
}
