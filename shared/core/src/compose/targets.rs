//! Lists whose items are unique by where they end up in a container: which of two items mean the same place.
//!
//! A later file replaces the item of an earlier one at its target. Within one file two items for one target are a
//! mistake: one of them would vanish without a word.

use super::service::cut;
use crate::yaml::{Node, Sink, Span, Value};
use std::borrow::Cow;

/// Where an item of such a list ends up, as far as it can be told from its text.
fn target<'a>(attribute: &str, item: &'a Node) -> Option<Cow<'a, str>> {
    let field = |names: &[&str]| names.iter().find_map(|name| item.get(name)?.scalar()).map(Cow::from);
    let scalar = || item.scalar();
    let found = match (attribute, &item.value) {
        ("volumes", Value::Mapping(_)) => field(&["target"])?,
        ("volumes", _) => Cow::from(scalar()?.split(':').take(2).last()?),
        ("tmpfs", _) => Cow::from(scalar()?.split(':').next()?),
        ("configs" | "secrets" | "devices", Value::Mapping(_)) => field(&["target", "source"])?,
        ("configs" | "secrets" | "ports", _) => Cow::from(scalar()?),
        ("devices", _) => {
            let mut parts = scalar()?.split(':');
            let host = parts.next()?;
            Cow::from(parts.next().filter(|part| part.starts_with('/')).unwrap_or(host))
        }
        _ => return None,
    };
    Some(Cow::from(found.trim_end_matches('/').to_owned()))
}

/// The earlier items without those that a later one replaces.
pub(super) fn replaced(path: &[&str], earlier: Vec<Node>, later: &[Node]) -> Vec<Node> {
    let ["services", _, attribute] = path else { return earlier };
    let taken: std::collections::HashSet<Cow<'_, str>> = later.iter().filter_map(|item| target(attribute, item)).collect();
    earlier.into_iter().filter(|item| target(attribute, item).is_none_or(|target| !taken.contains(&target))).collect()
}

/// Says that two items of one file mean the same place; those of different files replace each other.
pub(super) fn clash(what: &str, (earlier, later): (&Span, &Span), sink: &mut Sink) {
    if earlier.file == later.file {
        let finding = later.error("duplicate_target", format!("{} twice in this service, first on line {}", cut(what), earlier.line));
        sink.push(finding.hint("remove one of the two: only one can be in force"));
    }
}
