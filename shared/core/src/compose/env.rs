//! The environment of a container: `env_file` in order, then `environment` over it.

use super::dotenv::{self, Format};
use super::forms::{Separator, listed, pairs};
use super::load::inside;
use super::service::{Context, cut, word};
use crate::ids::RepoPath;
use crate::yaml::{Fields, Node, Sink, Value, text};
use std::collections::BTreeMap;

/// Largest environment that files may make for all services of a stack together, in bytes.
const ENVIRONMENT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The env files of a stack, each read once, and what their uses add up to.
#[derive(Debug, Default)]
pub(super) struct EnvFiles {
    read: BTreeMap<(RepoPath, Format), BTreeMap<String, String>>,
    used_bytes: usize,
}

/// The variables of all `env_file`s; later files win.
pub(super) fn files(context: &Context<'_>, node: &Node, sink: &mut Sink) -> BTreeMap<String, String> {
    let mut merged = BTreeMap::new();
    let mut known = context.env_files.borrow_mut();
    for item in listed(node) {
        let Some((path, required, format)) = entry(&item, sink) else { continue };
        let Some(written) = text(&path, sink) else { continue };
        let file = match inside(&context.scope.folder, &path.span, written) {
            Ok(file) => file,
            Err(finding) => {
                sink.push(*finding);
                continue;
            }
        };
        match context.scope.file(&file) {
            Some(content) => {
                known.used_bytes = known.used_bytes.saturating_add(content.bytes.len());
                if known.used_bytes > ENVIRONMENT_MAX_BYTES {
                    let message = format!("the `env_file`s of this stack's services have more than {ENVIRONMENT_MAX_BYTES} bytes together");
                    sink.push(path.span.error("too_large", message));
                    return merged;
                }
                let read = || dotenv::read(&file, &content.bytes, &context.scope.variables, format, sink);
                merged.extend(known.read.entry((file.clone(), format)).or_insert_with(read).clone());
            }
            None if required => {
                let finding = path.span.error("missing_file", format!("there is no file `{file}`"));
                sink.push(finding.hint("add it, or write `required: false` if it may be missing"));
            }
            None => {}
        }
    }
    merged
}

/// A path, or `{ path, required, format }`.
fn entry(item: &Node, sink: &mut Sink) -> Option<(Node, bool, Format)> {
    if !matches!(item.value, Value::Mapping(_)) {
        return Some((item.clone(), true, Format::Compose));
    }
    let mut fields = Fields::of(item, "an `env_file`", sink)?;
    let path = fields.require("path", sink).cloned();
    let required = fields.boolean("required", sink).unwrap_or(true);
    let format = fields.with("format", sink, |node, sink| word(node, &[("raw", Format::Raw)], sink));
    fields.finish(sink);
    Some((path?, required, format.unwrap_or(Format::Compose)))
}

/// `environment` as a list or mapping.
pub(super) fn inline(context: &Context<'_>, node: &Node, sink: &mut Sink) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (key, value) in pairs(node, Separator::Equals, sink) {
        let name = key.text;
        if name.is_empty() || name.contains(['=', '\0', '\n']) {
            sink.push(key.span.error("bad_value", format!("`{}` is not the name of a variable", cut(&name))));
        } else if !value.is_null() {
            found.extend(text(&value, sink).map(|value| (name, value.to_owned())));
        } else if let Some(value) = context.scope.variables.get(&name) {
            found.insert(name, value.to_owned());
        } else {
            let finding = key.span.error("unset_variable", format!("`{}` has no value, and no `.env` file sets it", cut(&name)));
            let files = context.scope.variables.files.join(" or ");
            sink.push(finding.hint(format!("give it a value here, or set it in {files}; an empty one is written `\"\"`")));
        }
    }
    found
}
