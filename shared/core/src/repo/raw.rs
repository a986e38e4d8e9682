//! One layer: each of our files as it is written, typed, every value with its place. References to other files are
//! only names here; `check` looks them up.

use super::chat::{self, Chat};
use super::model::{ApprovalPolicy, ApprovalsRequired, BotIdentity, Person, Placement};
use crate::calendar::{RawCalendar, RawFreeze, RawWindow, RawWindows};
use crate::compose::duration_ms;
use crate::ids::{EnvironmentName, PersonName, RoleName, StackName};
use crate::keys::check_public_key;
use crate::lock::{self, Hold, Override};
use crate::yaml::{Fields, Key, Node, Sink, Span, Value, boolean, entries, integer, items, parsed, schema, text};
use std::collections::{BTreeMap, BTreeSet};

/// Longest name of a person in commits, in characters.
const FULL_NAME_MAX_CHARS: usize = 200;
/// Most approvals that an environment may ask for.
const APPROVALS_MAX: i64 = 20;

/// `tidegate.yaml`.
pub(super) struct RawSettings {
    pub(super) environments: Vec<(EnvironmentName, Span)>,
    pub(super) people: BTreeMap<PersonName, Person>,
    pub(super) bot: BotIdentity,
    pub(super) chat: Chat,
}

/// `environments/<name>.yaml`.
pub(super) struct RawEnvironment {
    pub(super) stacks: Vec<(StackName, Span, RawPlacement)>,
    /// None: its form is wrong already, which is in the findings.
    pub(super) calendar: Option<RawCalendar>,
    /// Where the calendar's parts are written.
    pub(super) calendar_places: CalendarPlaces,
    pub(super) approvals: ApprovalPolicy,
    /// Where each role of `approvals.roles` is written.
    pub(super) approval_roles: Vec<(RoleName, Span)>,
    /// Where `approvals` is written; none: absent.
    pub(super) approvals_span: Option<Span>,
    /// Stops, each with its node.
    pub(super) holds: Vec<(Hold, Node)>,
    /// Passes, each with its node.
    pub(super) overrides: Vec<(Override, Node)>,
}

/// A placement with the places of its labels.
pub(super) struct RawPlacement {
    pub(super) placement: Placement,
    pub(super) labels: Vec<(Key, Node)>,
}

/// The nodes of a calendar, to find the place of a mistake again.
#[derive(Default)]
pub(super) struct CalendarPlaces {
    pub(super) windows: Option<Node>,
    pub(super) freezes: Option<Node>,
    pub(super) cutoff: Option<Node>,
}

/// `hosts/<name>.yaml`.
pub(super) struct RawHost {
    pub(super) environment: Option<(EnvironmentName, Span)>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) events_key: Option<String>,
}

pub(super) fn settings(node: &Node, sink: &mut Sink) -> Option<RawSettings> {
    let mut fields = Fields::of(node, "`tidegate.yaml`", sink)?;
    schema(&mut fields, sink);
    let environments = fields.require("environments", sink).map(|node| environments(node, sink)).unwrap_or_default();
    let mut people = BTreeMap::new();
    if let Some(node) = fields.some("people") {
        for (key, node) in entries(node, sink) {
            match PersonName::try_from(key.text.as_str()) {
                Ok(name) => people.extend(person(&name, node, sink).map(|person| (name, person))),
                Err(error) => sink.push(key.span.error("bad_name", error.to_string())),
            }
        }
    }
    let bot = fields.with("bot", sink, bot).unwrap_or_else(|| BotIdentity {
        name: BOT_NAME.to_owned(),
        email: BOT_EMAIL.to_owned(),
        keys: Vec::new(),
    });
    let chat = fields.with("chat", sink, chat::chat).unwrap_or_default();
    fields.finish(sink);
    Some(RawSettings { environments, people, bot, chat })
}

/// The bot's name in commits unless the config repo gives another one.
const BOT_NAME: &str = "tidegate-bot";
/// Its address, likewise.
const BOT_EMAIL: &str = "tidegate-bot@localhost";

fn environments(node: &Node, sink: &mut Sink) -> Vec<(EnvironmentName, Span)> {
    let mut found: Vec<(EnvironmentName, Span)> = Vec::new();
    for item in items(node, sink) {
        let Some(name) = parsed::<EnvironmentName>(item, "bad_name", sink) else { continue };
        if name.as_str() == "override" {
            let finding = item.span.error("bad_name", "an environment cannot be called `override`");
            sink.push(finding.hint("`compose.override.yaml` is for laptops; use another name"));
        } else if found.iter().any(|(other, _)| *other == name) {
            sink.push(item.span.error("duplicate_key", format!("the environment `{name}` stands in this list a second time")));
        } else {
            found.push((name, item.span.clone()));
        }
    }
    if found.is_empty() && matches!(&node.value, Value::Sequence(items) if items.is_empty()) {
        sink.push(
            node.span.error("missing_value", "there is no environment").hint("write, for example, `environments: [staging, production]`"),
        );
    }
    found
}

fn person(name: &PersonName, node: &Node, sink: &mut Sink) -> Option<Person> {
    let title = format!("the person `{name}`");
    let mut fields = Fields::of(node, &title, sink)?;
    let full_name = fields.require("name", sink).and_then(|node| commit_name(node, sink));
    let email = fields.require("email", sink).and_then(|node| email(node, sink));
    let roles = fields.some("roles").map(|node| roles(node, sink)).unwrap_or_default();
    let mut chat = BTreeMap::new();
    if let Some(node) = fields.some("chat") {
        for (key, value) in entries(node, sink) {
            let id = if key.text == "discord" {
                chat::snowflake(value, sink).map(|id| id.to_string())
            } else {
                text(value, sink).map(str::to_owned)
            };
            chat.extend(id.map(|id| (key.text.clone(), id)));
        }
    }
    fields.finish(sink);
    let roles = roles.into_iter().map(|(role, _)| role).collect();
    Some(Person { name: name.clone(), full_name: full_name?, email: email?, roles, chat })
}

/// A name that can stand in a commit's header.
fn commit_name(node: &Node, sink: &mut Sink) -> Option<String> {
    let name = text(node, sink)?.trim();
    if !name.is_empty() && name.chars().count() <= FULL_NAME_MAX_CHARS && !name.contains(['<', '>', '\n', '\r']) {
        return Some(name.to_owned());
    }
    sink.push(
        node.span.error("bad_value", "this name cannot stand in a commit").hint("use one line without `<` and `>`, up to 200 characters"),
    );
    None
}

fn email(node: &Node, sink: &mut Sink) -> Option<String> {
    let address = text(node, sink)?;
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',');
    let parts = address.split_once('@');
    if parts.is_some_and(|(user, domain)| !user.is_empty() && !domain.is_empty()) && address.len() <= 254 && !address.contains(strange) {
        return Some(address.to_owned());
    }
    sink.push(node.span.error("bad_value", "this is not an e-mail address").hint("write it as `name@example.org`"));
    None
}

fn roles(node: &Node, sink: &mut Sink) -> Vec<(RoleName, Span)> {
    items(node, sink).iter().filter_map(|item| Some((parsed(item, "bad_name", sink)?, item.span.clone()))).collect()
}

fn bot(node: &Node, sink: &mut Sink) -> Option<BotIdentity> {
    let mut fields = Fields::of(node, "`bot`", sink)?;
    let name = fields.with("name", sink, commit_name).unwrap_or_else(|| BOT_NAME.to_owned());
    let email = fields.with("email", sink, email).unwrap_or_else(|| BOT_EMAIL.to_owned());
    let mut keys = Vec::new();
    if let Some(node) = fields.some("keys") {
        keys.extend(items(node, sink).iter().filter_map(|item| check_public_key(item, sink)));
    }
    fields.finish(sink);
    Some(BotIdentity { name, email, keys })
}

pub(super) fn environment(node: &Node, sink: &mut Sink) -> Option<RawEnvironment> {
    let mut fields = Fields::of(node, "an environment", sink)?;
    schema(&mut fields, sink);
    let mut stacks = Vec::new();
    if let Some(node) = fields.some("stacks") {
        for (key, node) in entries(node, sink) {
            match StackName::try_from(key.text.as_str()) {
                Ok(name) => stacks.extend(placement(node, sink).map(|placement| (name, key.span.clone(), placement))),
                Err(error) => sink.push(key.span.error("bad_name", error.to_string())),
            }
        }
    }
    let places = CalendarPlaces {
        windows: fields.get("windows").cloned(),
        freezes: fields.some("freezes").cloned(),
        cutoff: fields.get("cutoff").cloned(),
    };
    let before = sink.len();
    let calendar = Some(calendar(&places, sink)).filter(|_| sink.len() == before);
    let mut approval_roles = Vec::new();
    let approvals_span = fields.entry("approvals").map(|(key, _)| key.span.clone());
    let approvals = match fields.get("approvals") {
        Some(node) => approvals(node, &mut approval_roles, sink),
        None => ApprovalPolicy::FollowTip,
    };
    let holds = by_hand(fields.some("holds"), lock::read_hold, sink);
    let overrides = by_hand(fields.some("overrides"), lock::read_override, sink);
    fields.finish(sink);
    Some(RawEnvironment { stacks, calendar, calendar_places: places, approvals, approval_roles, approvals_span, holds, overrides })
}

/// Holds or overrides, in the shape that they have in a lock.
fn by_hand<T>(node: Option<&Node>, read: fn(&Node, &mut Sink) -> Option<T>, sink: &mut Sink) -> Vec<(T, Node)> {
    let Some(node) = node else { return Vec::new() };
    let items = items(node, sink);
    if items.len() > lock::STANDING_MAX {
        let finding = node.span.error("too_many", format!("{} entries, at most {} are allowed", items.len(), lock::STANDING_MAX));
        sink.push(finding.hint("remove those that are over"));
    }
    items.iter().take(lock::STANDING_MAX).filter_map(|item| Some((read(item, sink)?, item.clone()))).collect()
}

/// A file with only a calendar, or an environment's file of which only the calendar is asked for.
pub(super) fn calendar_file(node: &Node, sink: &mut Sink) -> Option<(RawCalendar, CalendarPlaces)> {
    let mut fields = Fields::of(node, "a calendar", sink)?;
    for other in ["schema", "stacks", "approvals", "holds", "overrides"] {
        fields.get(other);
    }
    let places = CalendarPlaces {
        windows: fields.get("windows").cloned(),
        freezes: fields.some("freezes").cloned(),
        cutoff: fields.get("cutoff").cloned(),
    };
    let before = sink.len();
    let calendar = calendar(&places, sink);
    let is_whole = sink.len() == before;
    fields.finish(sink);
    is_whole.then_some((calendar, places))
}

fn placement(node: &Node, sink: &mut Sink) -> Option<RawPlacement> {
    if node.is_null() {
        return Some(RawPlacement { placement: Placement::default(), labels: Vec::new() });
    }
    let mut fields = Fields::of(node, "a placement", sink)?;
    let labels: Vec<(Key, Node)> = fields.some("hosts").map(|node| entries(node, sink).to_vec()).unwrap_or_default();
    let hosts = label_map(&labels, sink);
    fields.finish(sink);
    Some(RawPlacement { placement: Placement { hosts }, labels })
}

fn label_map(labels: &[(Key, Node)], sink: &mut Sink) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (key, node) in labels {
        let fine = (1..=63).contains(&key.text.len())
            && key.text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'));
        if !fine {
            let finding = key.span.error("bad_name", "this is not the name of a label");
            sink.push(finding.hint("use 1 to 63 letters, digits, `-`, `_`, `.` or `/`"));
        } else if let Some(value) = text(node, sink) {
            found.insert(key.text.clone(), value.to_owned());
        }
    }
    found
}

fn approvals(node: &Node, role_places: &mut Vec<(RoleName, Span)>, sink: &mut Sink) -> ApprovalPolicy {
    if node.scalar() == Some("none") {
        return ApprovalPolicy::None;
    }
    if !matches!(node.value, Value::Mapping(_)) {
        let finding = node.span.error("wrong_type", "`approvals` is neither `none` nor a rule");
        sink.push(
            finding.hint("write `approvals: none`, or `approvals: { count: 1, roles: [engineer] }`; without the key agents follow the tip"),
        );
        return ApprovalPolicy::FollowTip;
    }
    let Some(mut fields) = Fields::of(node, "`approvals`", sink) else { return ApprovalPolicy::FollowTip };
    let count = fields.some("count").map_or(Some(1), |node| integer(node, 1..=APPROVALS_MAX, sink));
    role_places.extend(fields.some("roles").map(|node| roles(node, sink)).unwrap_or_default());
    let authors_may_approve = fields.with("authors", sink, boolean).unwrap_or(true);
    let expires_after_secs = fields.with("expires", sink, seconds);
    fields.finish(sink);
    let roles: BTreeSet<RoleName> = role_places.iter().map(|(role, _)| role.clone()).collect();
    ApprovalPolicy::Required(ApprovalsRequired { count: count.unwrap_or(1), roles, authors_may_approve, expires_after_secs })
}

fn seconds(node: &Node, sink: &mut Sink) -> Option<u64> {
    match duration_ms(text(node, sink)?) {
        Ok(ms) if ms >= 60_000 => Some(ms / 1_000),
        Ok(_) => {
            sink.push(node.span.error("out_of_range", "an approval must hold for at least a minute"));
            None
        }
        Err(error) => {
            sink.push(node.span.error("bad_value", error.to_string()));
            None
        }
    }
}

fn calendar(places: &CalendarPlaces, sink: &mut Sink) -> RawCalendar {
    let windows = match &places.windows {
        None => RawWindows::Absent,
        Some(node) => match &node.value {
            Value::Sequence(items) => RawWindows::List(items.iter().filter_map(|item| window(item, sink)).collect()),
            _ => text(node, sink).map_or(RawWindows::Absent, |word| RawWindows::Word(word.to_owned())),
        },
    };
    let freezes = match &places.freezes {
        None => Vec::new(),
        Some(node) => items(node, sink).iter().filter_map(|item| freeze(item, sink)).collect(),
    };
    let cutoff = places.cutoff.as_ref().and_then(|node| text(node, sink).map(str::to_owned));
    RawCalendar { windows, freezes, cutoff }
}

fn window(node: &Node, sink: &mut Sink) -> Option<RawWindow> {
    let mut fields = Fields::of(node, "a window", sink)?;
    let window = RawWindow {
        name: fields.text("name", sink),
        cron: fields.text("cron", sink),
        duration: fields.text("duration", sink),
        tz: fields.text("tz", sink),
        day_match: fields.text("day_match", sink),
        place: Some(node.span.place()),
    };
    fields.finish(sink);
    Some(window)
}

fn freeze(node: &Node, sink: &mut Sink) -> Option<RawFreeze> {
    let mut fields = Fields::of(node, "a freeze", sink)?;
    let freeze = RawFreeze {
        name: fields.text("name", sink),
        reason: fields.text("reason", sink),
        from: fields.text("from", sink),
        until: fields.text("until", sink),
        tz: fields.text("tz", sink),
        cron: fields.text("cron", sink),
        duration: fields.text("duration", sink),
        day_match: fields.text("day_match", sink),
        blocks: fields.some("blocks").map(|node| items(node, sink).iter().filter_map(|item| text(item, sink).map(str::to_owned)).collect()),
        place: Some(node.span.place()),
    };
    fields.finish(sink);
    Some(freeze)
}

pub(super) fn host(node: &Node, sink: &mut Sink) -> Option<RawHost> {
    let mut fields = Fields::of(node, "a host", sink)?;
    schema(&mut fields, sink);
    let environment =
        fields.require("environment", sink).and_then(|node| Some((parsed::<EnvironmentName>(node, "bad_name", sink)?, node.span.clone())));
    let labels: Vec<(Key, Node)> = fields.some("labels").map(|node| entries(node, sink).to_vec()).unwrap_or_default();
    let labels = label_map(&labels, sink);
    let mut events_key = None;
    if let Some(mut keys) = fields.some("keys").and_then(|node| Fields::of(node, "`keys`", sink)) {
        events_key = keys.with("events", sink, check_public_key);
        keys.finish(sink);
    }
    fields.finish(sink);
    Some(RawHost { environment, labels, events_key })
}
