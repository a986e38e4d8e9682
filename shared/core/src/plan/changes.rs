//! What differs between two versions of a container, field by field, in words that may be shown to anyone.

use crate::compose::ContainerModel;
use serde_json::Value;

/// Longest value shown, in characters.
const VALUE_MAX_CHARS: usize = 60;

/// Parts of a variable's name that mark its value as one that is never shown.
const SECRET_MARKS: [&str; 9] = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH", "DSN", "PRIVATE", "_URL"];

/// The fields that differ, e.g. `environment.LOG_LEVEL: info → debug`, in field order.
pub fn changes(old: &ContainerModel, new: &ContainerModel) -> Vec<String> {
    let mut found = Vec::new();
    if old.image != new.image {
        found.push(format!("image: {} → {}", image(old), image(new)));
    }
    if let (Ok(Value::Object(old)), Ok(Value::Object(new))) = (serde_json::to_value(old), serde_json::to_value(new)) {
        let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).filter(|key| *key != "image").collect();
        for key in keys {
            compare(key, old.get(key), new.get(key), &mut found);
        }
    }
    found
}

fn image(model: &ContainerModel) -> String {
    match (&model.image.tag, &model.image.digest) {
        (Some(tag), Some(digest)) => format!("{tag} ({}…)", digest.short()),
        _ => model.image.tag.clone().or_else(|| model.image.digest.as_ref().map(|d| format!("{}…", d.short()))).unwrap_or_default(),
    }
}

/// One level of maps is opened, so that the variable and not the whole environment is named.
fn compare(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<String>) {
    if old == new {
        return;
    }
    let opens = |v: Option<&Value>| v.is_none_or(Value::is_object);
    if opens(old) && opens(new) && !path.contains('.') {
        let empty = serde_json::Map::new();
        let old = old.and_then(Value::as_object).unwrap_or(&empty);
        let new = new.and_then(Value::as_object).unwrap_or(&empty);
        for key in old.keys().chain(new.keys()).collect::<std::collections::BTreeSet<_>>() {
            compare(&format!("{path}.{key}"), old.get(key), new.get(key), found);
        }
    } else if is_secret(path) {
        found.push(format!("{path}: (changed)"));
    } else {
        found.push(format!("{path}: {} → {}", shown(old), shown(new)));
    }
}

fn is_secret(path: &str) -> bool {
    let name = path.strip_prefix("environment.").map(str::to_ascii_uppercase);
    name.is_some_and(|name| SECRET_MARKS.iter().any(|mark| name.contains(mark)))
}

fn shown(value: Option<&Value>) -> String {
    let text = match value {
        None => "(none)".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let cut: String = text.chars().take(VALUE_MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}
