//! The networks of a service: names, aliases, or the stack's default one.

use super::forms::named;
use super::model::{Attachment, ContainerModel};
use super::service::{Context, text_set};
use super::support::{Section, judge};
use crate::yaml::{Fields, Node, Sink, hint_among};
use std::collections::BTreeMap;

/// The network that services join when they name none.
pub(super) const DEFAULT: &str = "default";

/// Reads `networks` of a service.
pub(super) fn attach(context: &Context<'_>, fields: &mut Fields<'_>, container: &mut ContainerModel, sink: &mut Sink) {
    let found = fields.some("networks").map(|node| named(node, sink)).unwrap_or_default();
    if found.is_empty() {
        container.networks = BTreeMap::from([(DEFAULT.to_owned(), Attachment::default())]);
        return;
    }
    for (key, node) in found {
        let declared = &context.objects.networks;
        if key.text != DEFAULT && !declared.contains_key(&key.text) {
            let finding = key.span.error("unknown_network", format!("the network `{}` is not declared", key.text));
            let hint = match declared.is_empty() {
                true => format!("add `networks: {{ {}: {{}} }}` at the top of the file", key.text),
                false => hint_among(&key.text, declared.keys().map(String::as_str), "network"),
            };
            sink.push(finding.hint(hint));
            continue;
        }
        let attachment = attachment(&node, sink);
        container.networks.insert(key.text, attachment);
    }
}

fn attachment(node: &Node, sink: &mut Sink) -> Attachment {
    if node.is_null() {
        return Attachment::default();
    }
    let Some(mut fields) = Fields::of(node, Section::Attachment.title(), sink) else { return Attachment::default() };
    let aliases = fields.some("aliases").map(|node| text_set(node, sink)).unwrap_or_default();
    fields.finish_with(|entry| judge(Section::Attachment, entry), sink);
    Attachment { aliases }
}
