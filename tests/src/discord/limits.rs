//! The form of what bots send: lengths, counts, and what may not stand together. Numbers are those of Discord's
//! documentation, version 10 of the interface.

use super::refusal::{Findings, Refusal};
use serde_json::Value;
use std::collections::BTreeSet;

/// A message's text, in characters.
pub const CONTENT_MAX: usize = 2_000;
/// Embeds on a message.
pub const EMBEDS_MAX: usize = 10;
/// Text in all embeds of a message together.
pub const EMBEDS_TEXT_MAX: usize = 6_000;
/// A nonce.
pub const NONCE_MAX: usize = 25;
/// Choices of an autocompletion.
pub const CHOICES_MAX: usize = 25;
/// Layout "components, version 2", which this server does not speak.
const FLAG_COMPONENTS_V2: u64 = 1 << 15;

/// Everything about a message's form. `partial`: an edit, which may leave things as they are.
pub(super) fn message(body: &Value, partial: bool) -> Result<(), Refusal> {
    let mut findings = Findings::default();
    message_into(&mut findings, body);
    findings.done()?;
    let empty = |key: &str| body[key].as_str().is_none_or(str::is_empty) && body[key].as_array().is_none_or(Vec::is_empty);
    if !partial && ["content", "embeds", "components", "attachments", "sticker_ids"].into_iter().all(empty) {
        return Err(Refusal::new(400, 50006, "Cannot send an empty message").breaks(super::Rule::Form));
    }
    Ok(())
}

pub(super) fn message_into(findings: &mut Findings, body: &Value) {
    findings.text("content", body.get("content"), (0, CONTENT_MAX));
    if body["flags"].as_u64().unwrap_or_default() & FLAG_COMPONENTS_V2 != 0 {
        findings.add("flags", "UNSUPPORTED", "this test server speaks no components of version 2");
    }
    match body.get("nonce") {
        Some(Value::String(nonce)) if nonce.chars().count() > NONCE_MAX => {
            findings.add("nonce", "NONCE_TYPE_TOO_LONG", format!("Nonce must be {NONCE_MAX} or fewer in length."));
        }
        _ => {}
    }
    embeds(findings, body.get("embeds"));
    mentions(findings, body.get("allowed_mentions"));
    let mut ids = BTreeSet::new();
    for (row, item) in findings.list("components", body.get("components"), (0, 5)).iter().enumerate() {
        action_row(findings, &format!("components.{row}"), item, &mut ids);
    }
}

fn embeds(findings: &mut Findings, list: Option<&Value>) {
    let list = findings.list("embeds", list, (0, EMBEDS_MAX));
    let mut total = 0;
    let mut count = |value: &Value| total += value.as_str().map_or(0, |text| text.chars().count());
    for (number, embed) in list.iter().enumerate() {
        let at = format!("embeds.{number}");
        let texts = [("title", 256), ("description", 4_096)];
        for (key, max) in texts {
            findings.text(&format!("{at}.{key}"), embed.get(key), (0, max));
            count(&embed[key]);
        }
        for (outer, inner, max) in [("footer", "text", 2_048), ("author", "name", 256)] {
            if embed[outer].is_object() {
                findings.text(&format!("{at}.{outer}.{inner}"), embed[outer].get(inner), (1, max));
                count(&embed[outer][inner]);
            }
        }
        for (number, field) in findings.list(&format!("{at}.fields"), embed.get("fields"), (0, 25)).iter().enumerate() {
            for (key, max) in [("name", 256), ("value", 1_024)] {
                findings.text(&format!("{at}.fields.{number}.{key}"), field.get(key), (1, max));
                count(&field[key]);
            }
        }
        if let Some(url) = embed["url"].as_str().filter(|url| !is_url(url)) {
            findings.add(&format!("{at}.url"), "URL_TYPE_INVALID_URL", format!("Not a well formed URL: {url}"));
        }
        if embed["color"].as_u64().is_some_and(|color| color > 0xFF_FFFF) {
            findings.add(&format!("{at}.color"), "NUMBER_TYPE_MAX", "int value should be less than or equal to 16777215.");
        }
    }
    if total > EMBEDS_TEXT_MAX {
        findings.add("embeds", "MAX_EMBED_SIZE_EXCEEDED", format!("Embed size exceeds maximum size of {EMBEDS_TEXT_MAX}"));
    }
}

fn is_url(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn mentions(findings: &mut Findings, allowed: Option<&Value>) {
    let Some(allowed) = allowed.filter(|allowed| !allowed.is_null()) else { return };
    let parsed: Vec<&str> = allowed["parse"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for kind in ["users", "roles"] {
        let named = findings.list(&format!("allowed_mentions.{kind}"), allowed.get(kind), (0, 100));
        if !named.is_empty() && parsed.contains(&kind) {
            findings.add(&format!("allowed_mentions.{kind}"), "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", "either parse, or ids");
        }
    }
    if let Some(strange) = parsed.iter().find(|kind| !["users", "roles", "everyone"].contains(kind)) {
        findings.add("allowed_mentions.parse", "BASE_TYPE_CHOICES", format!("no such kind of mention: {strange}"));
    }
}

fn action_row(findings: &mut Findings, at: &str, row: &Value, ids: &mut BTreeSet<String>) {
    if row["type"] != 1 {
        return findings.add(&format!("{at}.type"), "UNION_TYPE_CHOICES", "Value of field \"type\" must be one of (1,).");
    }
    let items = findings.list(&format!("{at}.components"), row.get("components"), (1, 5));
    let selects = items.iter().filter(|item| item["type"] != 2).count();
    if selects > 0 && items.len() > 1 {
        findings.add(&format!("{at}.components"), "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "a select fills a row by itself");
    }
    for (number, item) in items.iter().enumerate() {
        let at = format!("{at}.components.{number}");
        match item["type"].as_u64() {
            Some(2) => button(findings, &at, item, ids),
            Some(3 | 5..=8) => select(findings, &at, item, ids),
            _ => findings.add(&format!("{at}.type"), "UNION_TYPE_CHOICES", "neither button nor select"),
        }
    }
}

fn custom_id(findings: &mut Findings, at: &str, item: &Value, ids: &mut BTreeSet<String>) {
    let place = format!("{at}.custom_id");
    findings.text(&place, item.get("custom_id"), (1, 100));
    if let Some(id) = item["custom_id"].as_str()
        && !ids.insert(id.to_owned())
    {
        findings.add(&place, "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated");
    }
}

fn button(findings: &mut Findings, at: &str, item: &Value, ids: &mut BTreeSet<String>) {
    findings.text(&format!("{at}.label"), item.get("label"), (0, 80));
    if item["label"].as_str().is_none_or(str::is_empty) && !item["emoji"].is_object() {
        findings.add(at, "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED", "a button needs a label or an emoji");
    }
    match item["style"].as_u64() {
        Some(1..=4) => {
            custom_id(findings, at, item, ids);
            if item["url"].is_string() {
                findings.add(at, "BUTTON_COMPONENT_CUSTOM_ID_AND_URL", "A custom id and url cannot both be specified");
            }
        }
        Some(5) => {
            findings.text(&format!("{at}.url"), item.get("url"), (1, 512));
            if item["url"].as_str().is_some_and(|url| !is_url(url) && !url.starts_with("discord://")) {
                findings.add(&format!("{at}.url"), "URL_TYPE_INVALID_SCHEME", "Scheme must be one of ('discord', 'http', 'https').");
            }
            if item["custom_id"].is_string() {
                findings.add(at, "BUTTON_COMPONENT_CUSTOM_ID_AND_URL", "A custom id and url cannot both be specified");
            }
        }
        _ => findings.add(&format!("{at}.style"), "BASE_TYPE_CHOICES", "Value must be one of {1, 2, 3, 4, 5}."),
    }
}

fn select(findings: &mut Findings, at: &str, item: &Value, ids: &mut BTreeSet<String>) {
    custom_id(findings, at, item, ids);
    findings.text(&format!("{at}.placeholder"), item.get("placeholder"), (0, 150));
    if item["type"] != 3 {
        return;
    }
    let mut values = BTreeSet::new();
    for (number, option) in findings.list(&format!("{at}.options"), item.get("options"), (1, 25)).iter().enumerate() {
        let at = format!("{at}.options.{number}");
        findings.text(&format!("{at}.label"), option.get("label"), (1, 100));
        findings.text(&format!("{at}.value"), option.get("value"), (1, 100));
        findings.text(&format!("{at}.description"), option.get("description"), (0, 100));
        if option["value"].as_str().is_some_and(|value| !values.insert(value.to_owned())) {
            findings.add(&format!("{at}.value"), "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", "The specified option value is already used");
        }
    }
}

/// A modal: title, id, one to five fields.
pub(super) fn modal(data: &Value) -> Result<(), Refusal> {
    let mut findings = Findings::default();
    findings.text("data.title", data.get("title"), (1, 45));
    findings.text("data.custom_id", data.get("custom_id"), (1, 100));
    let mut ids = BTreeSet::new();
    for (number, row) in findings.list("data.components", data.get("components"), (1, 5)).iter().enumerate() {
        let at = format!("data.components.{number}");
        let (label, input, at) = match row["type"].as_u64() {
            Some(18) => (row.get("label"), &row["component"], format!("{at}.component")),
            _ => {
                findings.list(&format!("{at}.components"), row.get("components"), (1, 1));
                (row["components"][0].get("label"), &row["components"][0], format!("{at}.components.0"))
            }
        };
        findings.text(&format!("{at}.label"), label, (1, 45));
        text_input(&mut findings, &at, input, &mut ids);
    }
    findings.done()
}

fn text_input(findings: &mut Findings, at: &str, input: &Value, ids: &mut BTreeSet<String>) {
    if input["type"] != 4 {
        return findings.add(&format!("{at}.type"), "UNION_TYPE_CHOICES", "only text inputs stand in a modal here");
    }
    custom_id(findings, at, input, ids);
    findings.text(&format!("{at}.placeholder"), input.get("placeholder"), (0, 100));
    findings.text(&format!("{at}.value"), input.get("value"), (0, 4_000));
    if !matches!(input["style"].as_u64().or_else(|| input["label"].is_null().then_some(1)), Some(1 | 2)) {
        findings.add(&format!("{at}.style"), "BASE_TYPE_CHOICES", "Value must be one of {1, 2}.");
    }
    let (min, max) = (input["min_length"].as_u64().unwrap_or(0), input["max_length"].as_u64().unwrap_or(4_000));
    if min > 4_000 || !(1..=4_000).contains(&max) || min > max {
        findings.add(&format!("{at}.max_length"), "NUMBER_TYPE_MAX", "lengths are from 0 and 1 up to 4000");
    }
}

/// The choices of an autocompletion; `kind` is the option's type.
pub(super) fn choices(data: &Value, kind: u64) -> Result<(), Refusal> {
    let mut findings = Findings::default();
    for (number, choice) in findings.list("data.choices", data.get("choices"), (0, CHOICES_MAX)).iter().enumerate() {
        let at = format!("data.choices.{number}");
        findings.text(&format!("{at}.name"), choice.get("name"), (1, 100));
        let value = &choice["value"];
        match kind {
            3 => findings.text(&format!("{at}.value"), choice.get("value"), (1, 100)),
            4 if !value.is_i64() && !value.is_u64() => findings.add(&format!("{at}.value"), "NUMBER_TYPE_COERCE", "not an integer"),
            10 if !value.is_number() => findings.add(&format!("{at}.value"), "NUMBER_TYPE_COERCE", "not a number"),
            _ => {}
        }
    }
    if !data["choices"].is_array() {
        findings.add("data.choices", "BASE_TYPE_REQUIRED", "This field is required");
    }
    findings.done()
}
