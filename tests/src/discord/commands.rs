//! Commands as bots register them: their form, and finding the one that a person means.

use super::Id;
use super::refusal::{Findings, Refusal};
use super::state::State;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Commands of one kind in one place.
const COMMANDS_MAX: usize = 100;
/// Text of a command with all its options and choices.
const TEXT_MAX: usize = 8_000;
/// Kinds of options that hold others: a subcommand and a group of them.
const NESTED: [u64; 2] = [1, 2];

/// Where a command lives: in a guild or everywhere.
pub(super) type Scope = Option<Id>;

/// A registered command.
#[derive(Debug, Clone)]
pub(super) struct Registered {
    pub id: Id,
    pub scope: Scope,
    /// As the interface shows it.
    pub shown: Value,
}

impl State {
    /// All commands of a place.
    pub(super) fn commands_in(&self, scope: Scope) -> Vec<Value> {
        self.commands.iter().filter(|command| command.scope == scope).map(|command| command.shown.clone()).collect()
    }

    /// Replaces all commands of a place; a command keeps its id when its name stays.
    pub(super) fn overwrite_commands(&mut self, scope: Scope, bodies: &[Value]) -> Result<Vec<Value>, Refusal> {
        let mut findings = Findings::default();
        let mut names = BTreeSet::new();
        if bodies.len() > COMMANDS_MAX {
            findings.add("_", "APPLICATION_COMMANDS_MAX", "too many commands");
        }
        for (number, body) in bodies.iter().enumerate() {
            check(&mut findings, &number.to_string(), body);
            if !names.insert(body["name"].as_str().unwrap_or_default().to_owned()) {
                findings.add(&number.to_string(), "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique");
            }
        }
        findings.done()?;
        self.commands.retain(|command| command.scope != scope || names.contains(name_of(&command.shown)));
        Ok(bodies.iter().map(|body| self.put_command(scope, body)).collect())
    }

    /// Adds a command, or replaces the one of the same name.
    pub(super) fn upsert_command(&mut self, scope: Scope, body: &Value) -> Result<(u16, Value), Refusal> {
        let mut findings = Findings::default();
        check_top(&mut findings, body);
        findings.done()?;
        let existed = self.commands.iter().any(|command| command.scope == scope && name_of(&command.shown) == name_of(body));
        Ok((if existed { 200 } else { 201 }, self.put_command(scope, body)))
    }

    fn put_command(&mut self, scope: Scope, body: &Value) -> Value {
        let at = self.commands.iter().position(|command| command.scope == scope && name_of(&command.shown) == name_of(body));
        let id = at.map_or_else(|| self.clock.id(), |at| self.commands[at].id);
        let mut shown = body.clone();
        shown["id"] = json!(id);
        shown["application_id"] = json!(self.application);
        // A version is an id, new whenever the content is.
        shown["version"] = match at.map(|at| &self.commands[at].shown) {
            Some(old) if same(old, body) => old["version"].clone(),
            _ => json!(self.clock.id()),
        };
        for (key, default) in
            [("type", json!(1)), ("description", json!("")), ("default_member_permissions", json!(null)), ("nsfw", json!(false))]
        {
            if shown[key].is_null() {
                shown[key] = default;
            }
        }
        if let Some(guild) = scope {
            shown["guild_id"] = json!(guild);
        }
        let registered = Registered { id, scope, shown: shown.clone() };
        match at {
            Some(at) => self.commands[at] = registered,
            None => self.commands.push(registered),
        }
        shown
    }

    /// The command that a person in a guild sees under a name: the guild's own before the one of everywhere.
    pub(super) fn find_command(&self, guild: Scope, name: &str) -> Option<&Registered> {
        let named = |scope: Scope| self.commands.iter().find(|command| command.scope == scope && name_of(&command.shown) == name);
        guild.and_then(|guild| named(Some(guild))).or_else(|| named(None))
    }
}

fn name_of(command: &Value) -> &str {
    command["name"].as_str().unwrap_or_default()
}

fn same(old: &Value, new: &Value) -> bool {
    new.as_object().is_some_and(|new| new.iter().all(|(key, value)| old[key] == *value))
}

fn check_top(findings: &mut Findings, body: &Value) {
    check(findings, "_", body);
}

fn check(findings: &mut Findings, at: &str, body: &Value) {
    let kind = body["type"].as_u64().unwrap_or(1);
    name(findings, &format!("{at}.name"), body, kind == 1);
    if kind == 1 {
        findings.text(&format!("{at}.description"), body.get("description"), (1, 100));
    }
    options(findings, at, body, 0);
    if text_of(body) > TEXT_MAX {
        findings.add(at, "APPLICATION_COMMAND_TOO_LARGE", format!("Command exceeds maximum size ({TEXT_MAX})"));
    }
}

fn name(findings: &mut Findings, at: &str, body: &Value, lower: bool) {
    findings.text(at, body.get("name"), (1, 32));
    let name = name_of(body);
    let allowed = |c: char| c == '-' || c == '_' || c == '\'' || c.is_alphanumeric();
    if lower && (!name.chars().all(allowed) || name.to_lowercase() != name) {
        findings.add(at, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid");
    }
}

fn options(findings: &mut Findings, at: &str, body: &Value, depth: usize) {
    let mut names = BTreeSet::new();
    let mut optional_before = false;
    for (number, option) in findings.list(&format!("{at}.options"), body.get("options"), (0, 25)).iter().enumerate() {
        let at = format!("{at}.options.{number}");
        let kind = option["type"].as_u64().unwrap_or_default();
        if !(1..=11).contains(&kind) || depth > 2 {
            findings.add(&format!("{at}.type"), "BASE_TYPE_CHOICES", "no such type of option");
        }
        name(findings, &format!("{at}.name"), option, true);
        findings.text(&format!("{at}.description"), option.get("description"), (1, 100));
        if !names.insert(name_of(option).to_owned()) {
            findings.add(&at, "APPLICATION_COMMAND_OPTIONS_NAME_INVALID", "Option names must be unique");
        }
        let required = option["required"] == true;
        if required && optional_before {
            findings.add(
                &at,
                "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
                "Required options must be placed before non-required options",
            );
        }
        optional_before |= !required && !NESTED.contains(&kind);
        choices_of(findings, &at, option, kind);
        options(findings, &at, option, depth + 1);
    }
}

fn choices_of(findings: &mut Findings, at: &str, option: &Value, kind: u64) {
    let choices = findings.list(&format!("{at}.choices"), option.get("choices"), (0, 25));
    for (number, choice) in choices.iter().enumerate() {
        findings.text(&format!("{at}.choices.{number}.name"), choice.get("name"), (1, 100));
        if kind == 3 {
            findings.text(&format!("{at}.choices.{number}.value"), choice.get("value"), (1, 100));
        }
    }
    if option["autocomplete"] == true && (!choices.is_empty() || ![3, 4, 10].contains(&kind)) {
        findings.add(at, "APPLICATION_COMMAND_AUTOCOMPLETE_INVALID", "autocomplete stands with no choices, on text and numbers only");
    }
}

fn text_of(body: &Value) -> usize {
    let own = |key: &str| body[key].as_str().map_or(0, |text| text.chars().count());
    let below = |key: &str| body[key].as_array().into_iter().flatten().map(text_of).sum::<usize>();
    own("name") + own("description") + own("value") + below("options") + below("choices")
}
