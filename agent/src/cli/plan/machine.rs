//! A preview for programs: JSON, and GitHub's annotations.

use super::human::names;
use crate::words::preview as say;
use serde_json::{Value, json};
use tidegate_core::findings::{Finding, annotations, notice};
use tidegate_core::preview::{EnvironmentPreview, HostPreview, Preview};

/// Longest text of an annotation, in characters; GitHub cuts at 64 KB.
const NOTICE_MAX_CHARS: usize = 4_000;
/// Most names of hosts in an annotation.
const HOSTS_SHOWN_MAX: usize = 6;

/// The preview with its steps. Values of variables are not in it: a step names a container by its identity.
pub(super) fn json(preview: &Preview, about: &Value, warnings: &[Finding]) -> Value {
    let environments: Vec<Value> = preview.environments.iter().map(environment).collect();
    let mut whole = json!({ "format": 1, "valid": true, "findings": warnings, "environments": environments, "totals": preview.totals });
    if let (Value::Object(whole), Value::Object(about)) = (&mut whole, about) {
        whole.extend(about.clone());
    }
    whole
}

fn environment(found: &EnvironmentPreview) -> Value {
    let mut value = json!(found);
    value["hosts"] = found.hosts.iter().map(hosts).collect();
    value
}

/// A group of hosts: every container in a step is named, not spelled out, because its variables may be secret.
pub(super) fn hosts(group: &HostPreview) -> Value {
    let mut value = json!(group);
    let steps = value["plan"]["stacks"].as_array_mut().into_iter().flatten().filter_map(|stack| stack["steps"].as_array_mut()).flatten();
    for step in steps {
        if let Some(container) = step.pointer_mut("/action/container").filter(|container| container.is_object()) {
            let model = container.as_object_mut().and_then(|fields| fields.remove("model"));
            container["image"] = model.and_then(|model| model.get("image").cloned()).unwrap_or_default();
        }
    }
    value
}

/// What is refused, as JSON.
pub(super) fn refused(findings: &[Finding]) -> Value {
    json!({ "format": 1, "valid": false, "findings": findings })
}

/// Warnings at their lines, and a notice per environment.
pub(super) fn github(preview: &Preview, warnings: &[Finding]) -> String {
    let mut text = annotations(warnings);
    for environment in preview.environments.iter().filter(|environment| environment.totals.hosts > 0) {
        let mut body = String::new();
        for group in &environment.hosts {
            body.push_str(&format!("{}\n", names(&group.hosts, HOSTS_SHOWN_MAX)));
            for stack in &group.stacks {
                stack.changes.iter().for_each(|change| body.push_str(&format!("  {}: {}\n", stack.stack, say::in_short(change))));
            }
        }
        body.push_str(&format!("goes out {}\n", say::starts(&environment.when)));
        if let Some(needed) = &environment.when.approvals {
            body.push_str(&format!("needs {}\n", say::approvals(needed)));
        }
        let body: String = body.chars().take(NOTICE_MAX_CHARS).collect();
        let title = format!("{} {}: {}", environment.environment, say::becomes(&environment.becomes), say::totals(&environment.totals));
        text.push_str(&notice(&format!("environments/{}.yaml", environment.environment), &title, body.trim_end()));
    }
    if text.is_empty() {
        text.push_str(&notice("tidegate.yaml", &format!("Tidegate plan: {}", say::NOTHING_CHANGES), say::NOTHING_CHANGES));
    }
    text
}
