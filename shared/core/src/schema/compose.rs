//! Compose files as we take them, from the support table: what is refused is not offered, and each attribute says how
//! it differs. Values are left open where Compose has many forms; the reader knows them all.

use crate::compose::{Attribute, Section, Support, attributes};
use serde_json::{Map, Value, json};

const DURATION: &str = "^([0-9]+(\\.[0-9]+)?(w|d|h|m|s|ms|us|ns))+$|^0$|\\$";

pub(super) fn schema() -> Value {
    let mut whole = section(Section::Top);
    let definitions: Map<String, Value> =
        Section::ALL.into_iter().filter(|found| *found != Section::Top).map(|found| (name(found).to_owned(), section(found))).collect();
    whole["title"] = json!("stacks/<name>/compose.yaml");
    whole["definitions"] = Value::Object(definitions);
    whole
}

fn name(section: Section) -> &'static str {
    match section {
        Section::Top => "top",
        Section::Service => "service",
        Section::Healthcheck => "healthcheck",
        Section::Deploy => "deploy",
        Section::Limits => "limits",
        Section::Reservations => "reservations",
        Section::RestartPolicy => "restart_policy",
        Section::UpdateConfig => "update_config",
        Section::Port => "port",
        Section::Mount => "mount",
        Section::Attachment => "attachment",
        Section::Network => "network",
        Section::Volume => "volume",
        Section::FileObject => "file_object",
        Section::FileMount => "file_mount",
        Section::Knobs => "x-tidegate",
    }
}

fn reference(section: Section) -> Value {
    json!({ "$ref": format!("#/definitions/{}", name(section)) })
}

fn section(section: Section) -> Value {
    let rows = attributes().iter().filter(|row| row.section == section);
    let properties: Map<String, Value> = rows.filter_map(|row| Some((row.name.to_owned(), attribute(row)?))).collect();
    // Our own knobs take no extensions, and `x-tidegate` elsewhere has no meaning.
    match section {
        Section::Knobs => json!({ "type": "object", "properties": properties, "additionalProperties": false }),
        _ => json!({
            "type": "object", "properties": properties, "patternProperties": { "^x-": {} }, "additionalProperties": false
        }),
    }
}

/// None: it is refused.
fn attribute(row: &Attribute) -> Option<Value> {
    let mut schema = value(row);
    match row.support {
        Support::Works => {}
        Support::Differs(how) => schema["description"] = json!(how),
        Support::OnlyAs(only, reason, hint) => {
            schema = json!({ "enum": [only, serde_json::from_str(only).unwrap_or(json!(only)), null] });
            schema["description"] = json!(format!("only `{only}`: {reason}; {hint}"));
        }
        Support::Refused(..) => return None,
    }
    Some(schema)
}

/// What may stand there, as far as it has one form.
fn value(row: &Attribute) -> Value {
    let map_of = |value: Value| json!({ "type": ["object", "null"], "additionalProperties": value });
    let or_null = |section: Section| json!({ "anyOf": [reference(section), { "type": "null" }] });
    let list_of =
        |section: Section| json!({ "type": "array", "items": { "anyOf": [{ "type": ["string", "number"] }, reference(section)] } });
    let named_or_map =
        |section: Section| json!({ "anyOf": [{ "type": "array", "items": { "type": "string" } }, map_of(or_null(section))] });
    match (row.section, row.name) {
        (Section::Top, "services") => map_of(reference(Section::Service)),
        (Section::Top, "networks") => map_of(or_null(Section::Network)),
        (Section::Top, "volumes") => map_of(or_null(Section::Volume)),
        (Section::Top, "configs" | "secrets") => map_of(reference(Section::FileObject)),
        (Section::Service, "healthcheck") => or_null(Section::Healthcheck),
        (Section::Service, "deploy") => or_null(Section::Deploy),
        (Section::Service, "ports") => list_of(Section::Port),
        (Section::Service, "volumes") => list_of(Section::Mount),
        (Section::Service, "configs" | "secrets") => list_of(Section::FileMount),
        (Section::Service, "networks") => named_or_map(Section::Attachment),
        (Section::Service, "x-tidegate") => reference(Section::Knobs),
        (Section::Service, "image") => json!({ "type": "string" }),
        (Section::Deploy, "resources") => json!({
            "type": "object",
            "properties": { "limits": reference(Section::Limits), "reservations": reference(Section::Reservations) },
            "additionalProperties": false,
        }),
        (Section::Deploy, "restart_policy") => reference(Section::RestartPolicy),
        (Section::Deploy, "update_config" | "rollback_config") => reference(Section::UpdateConfig),
        (Section::Knobs, _) | (Section::Healthcheck, "interval" | "timeout" | "start_period" | "start_interval") => {
            json!({ "type": ["string", "number"], "pattern": DURATION })
        }
        _ => json!({}),
    }
}
