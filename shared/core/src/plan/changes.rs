//! What differs between two versions of a container, field by field, in words that may be shown to anyone.
//!
//! Fields have the names that people write. What may be secret is named and never shown: every value that comes from an
//! env file; values under names that mark a secret; values that look like one; and any text that holds such a value.

use crate::compose::{ContainerModel, ImageRef, Mount, MountSource, Port, Protocol};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Longest value shown, in characters.
const VALUE_MAX_CHARS: usize = 60;
/// Shorter secrets are not looked for in other texts: they would be found everywhere.
const SECRET_MIN_CHARS: usize = 6;
/// A run of mixed letters and digits from this length on is taken for a key or token, in characters.
const TOKEN_MIN_CHARS: usize = 24;

/// Parts of a name that mark its value as one that is never shown.
const SECRET_MARKS: [&str; 9] = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH", "DSN", "PRIVATE", "_URL"];
/// Fields whose keys are names that people choose.
const NAMED_BY_PEOPLE: [&str; 3] = ["environment.", "labels.", "logging."];
/// Names in a Compose file that differ from ours by more than a unit.
const NAMES: [(&str, &str); 3] = [("memory_bytes", "mem_limit"), ("memory_reservation_bytes", "mem_reservation"), ("nano_cpus", "cpus")];

/// The fields that differ, e.g. `environment.LOG_LEVEL: info → debug`, the image first.
pub fn changes(old: &ContainerModel, new: &ContainerModel) -> Vec<String> {
    let mut found = Found { secrets: Secrets::of(old, new), lines: Vec::new() };
    if old.image != new.image {
        found.lines.push(images(&old.image, &new.image));
    }
    let (left, right) = (fields(old), fields(new));
    for key in left.keys().chain(right.keys()).collect::<BTreeSet<_>>() {
        found.compare(key, left.get(key), right.get(key));
    }
    found.lines
}

/// The other fields by name; those with a form of their own are in words already.
fn fields(model: &ContainerModel) -> BTreeMap<String, Value> {
    let Ok(Value::Object(plain)) = serde_json::to_value(model) else { return BTreeMap::new() };
    let mut fields: BTreeMap<String, Value> =
        plain.into_iter().filter(|(key, _)| !matches!(key.as_str(), "image" | "ports" | "mounts")).collect();
    if !model.ports.is_empty() {
        fields.insert("ports".into(), Value::from(model.ports.iter().map(port).collect::<Vec<_>>().join(", ")));
    }
    fields.extend(model.mounts.iter().map(|mount| (format!("volumes.{}", mount.target), Value::from(mounted(mount)))));
    fields
}

/// `1.8.1 (sha256:ab…)`; with the whole name where that differs too.
fn images(old: &ImageRef, new: &ImageRef) -> String {
    let same_name = old.registry == new.registry && old.repository == new.repository;
    let one = |image: &ImageRef| {
        let digest = image.digest.as_ref().map(|digest| format!("{}…", digest.short()));
        let name = match &image.tag {
            Some(tag) if same_name => tag.clone(),
            _ if same_name => String::new(),
            _ => ImageRef { digest: None, ..image.clone() }.for_engine(),
        };
        match digest {
            Some(digest) if name.is_empty() => digest,
            Some(digest) => format!("{name} ({digest})"),
            None => name,
        }
    };
    format!("image: {} → {}", one(old), one(new))
}

fn port(port: &Port) -> String {
    let published = port.published.map(|published| format!("{published}:")).unwrap_or_default();
    let host = port.host_ip.as_ref().map(|address| format!("{address}:")).unwrap_or_default();
    let protocol = if port.protocol == Protocol::Udp { "/udp" } else { "" };
    format!("{host}{published}{}{protocol}", port.target)
}

fn mounted(mount: &Mount) -> String {
    let what = match &mount.source {
        MountSource::Volume { key } => key.clone(),
        MountSource::Anonymous => "anonymous".into(),
        MountSource::Bind { path } => path.clone(),
        // The file is the same one, so its content must tell.
        MountSource::Repo { path, content } => return format!("{} ({}…)", path.file_name(), content.short()),
        MountSource::Tmpfs { .. } => "tmpfs".into(),
    };
    let options = match &mount.source {
        MountSource::Tmpfs { size_bytes, mode, options } => {
            let size = size_bytes.map(|size| format!(" size={}", size_in_words(size)));
            let mode = mode.map(|mode| format!(" mode={mode:o}"));
            let more: String = options.iter().map(|option| format!(" {option}")).collect();
            size.unwrap_or_default() + &mode.unwrap_or_default() + &more
        }
        _ => String::new(),
    };
    format!("{what}{options}{}", if mount.read_only { " read-only" } else { "" })
}

struct Found {
    secrets: Secrets,
    lines: Vec<String>,
}

impl Found {
    /// Mappings are opened, so that the variable and not the whole environment is named.
    fn compare(&mut self, path: &str, old: Option<&Value>, new: Option<&Value>) {
        if old == new {
            return;
        }
        let opens = |value: Option<&Value>| value.is_none_or(Value::is_object);
        if opens(old) && opens(new) && path != "healthcheck.test" {
            let empty = serde_json::Map::new();
            let (old, new) = (old.and_then(Value::as_object).unwrap_or(&empty), new.and_then(Value::as_object).unwrap_or(&empty));
            if old.is_empty() && new.is_empty() {
                self.lines.push(format!("{path}: (changed)"));
            }
            for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                self.compare(&format!("{path}.{key}"), old.get(key), new.get(key));
            }
            return;
        }
        let (name, texts) = (name(path), [old, new].map(|value| value.map(|value| in_words(path, value))));
        let hidden = self.secrets.marks(path) || texts.iter().flatten().any(|text| self.secrets.stand_in(text));
        let line = match (hidden, old.is_some(), new.is_some()) {
            (true, false, _) => format!("{name}: (added)"),
            (true, _, false) => format!("{name}: (removed)"),
            (true, true, true) => format!("{name}: (changed)"),
            (false, ..) => {
                let [old, new] = texts.map(|text| text.map_or_else(|| "(none)".to_owned(), |text| cut(&text)));
                format!("{name}: {old} → {new}")
            }
        };
        self.lines.push(line);
    }
}

/// What is never shown.
struct Secrets {
    variables: BTreeSet<String>,
    values: BTreeSet<String>,
}

impl Secrets {
    fn of(old: &ContainerModel, new: &ContainerModel) -> Secrets {
        let variables: BTreeSet<String> = old.unshown.0.iter().chain(&new.unshown.0).cloned().collect();
        let hidden = |name: &String| variables.contains(name) || is_marked(name);
        let all = old.environment.iter().chain(&new.environment);
        let values = all.filter(|(name, value)| hidden(name) && value.chars().count() >= SECRET_MIN_CHARS).map(|(_, value)| value.clone());
        Secrets { values: values.collect(), variables }
    }

    /// Does the field's name say so?
    fn marks(&self, path: &str) -> bool {
        path.strip_prefix("environment.").is_some_and(|variable| self.variables.contains(variable))
            || NAMED_BY_PEOPLE.iter().any(|prefix| path.strip_prefix(prefix).is_some_and(is_marked))
    }

    /// Is there a secret in this text?
    fn stand_in(&self, text: &str) -> bool {
        self.values.iter().any(|value| text.contains(value.as_str())) || looks_secret(text)
    }
}

fn is_marked(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    SECRET_MARKS.iter().any(|mark| upper.contains(mark))
}

/// A private key, an address with a password in it, an option that names a secret, or a long run as keys have it.
fn looks_secret(text: &str) -> bool {
    let with_login =
        |rest: &str| rest.split(['/', ' ']).next().is_some_and(|host| host.split_once('@').is_some_and(|(login, _)| login.contains(':')));
    let is_option = |word: &str| word.split_once('=').map_or(word.starts_with('-') && is_marked(word), |(name, _)| is_marked(name));
    text.contains("-----BEGIN ")
        || text.split("://").skip(1).any(with_login)
        || text.split_whitespace().any(is_option)
        || text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '_' | '-' | '=')).any(is_token)
}

fn is_token(run: &str) -> bool {
    let has = |what: fn(&char) -> bool| run.chars().any(|c| what(&c));
    run.len() >= TOKEN_MIN_CHARS && has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase) && has(char::is_ascii_digit)
}

/// As a Compose file names it.
fn name(path: &str) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(ours, _)| *ours == path) {
        return (*name).to_owned();
    }
    let ours = !NAMED_BY_PEOPLE.iter().any(|prefix| path.starts_with(prefix));
    let bare = path.strip_suffix("_ms").or_else(|| path.strip_suffix("_bytes")).filter(|_| ours);
    bare.unwrap_or(path).to_owned()
}

/// A value as people write it.
fn in_words(path: &str, value: &Value) -> String {
    let unit = |suffix: &str| path.ends_with(suffix) && !NAMED_BY_PEOPLE.iter().any(|prefix| path.starts_with(prefix));
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_u64() {
            Some(ms) if unit("_ms") => duration_in_words(ms),
            Some(bytes) if unit("_bytes") => size_in_words(bytes),
            Some(nano) if path == "nano_cpus" => {
                let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            _ => number.to_string(),
        },
        Value::Array(items) => items.iter().map(|item| in_words("", item)).collect::<Vec<_>>().join(" "),
        // A test, a policy, a device: what it says is in its values.
        Value::Object(fields) => fields.values().map(|field| in_words("", field)).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn duration_in_words(ms: u64) -> String {
    let (seconds, rest) = (ms / 1000, ms % 1000);
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (rest, "ms")];
    let text: String = parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".into() } else { text }
}

fn size_in_words(bytes: u64) -> String {
    let units: [(u64, &str); 3] = [(1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")];
    match units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, letter)) => format!("{}{letter}", bytes / unit),
        None => bytes.to_string(),
    }
}

fn cut(text: &str) -> String {
    let shown: String = text.chars().take(VALUE_MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::Logging;

    fn model(tag: &str) -> ContainerModel {
        ContainerModel::new(format!("r.example.org/shop/web:{tag}").parse().unwrap())
    }

    fn with(environment: &[(&str, &str)]) -> ContainerModel {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ContainerModel { environment, ..model("1") }
    }

    #[test]
    fn fields_are_named_as_people_write_them() {
        let mut new = ContainerModel {
            stop_grace_period_ms: Some(90_000),
            memory_bytes: Some(512 << 20),
            nano_cpus: Some(1_250_000_000),
            command: Some(vec!["serve".into(), "--fast".into()]),
            ports: vec![Port { target: 80, protocol: Protocol::Tcp, published: Some(8080), host_ip: Some("127.0.0.1".into()) }],
            mounts: vec![Mount { target: "/data".into(), source: MountSource::Volume { key: "data".into() }, read_only: true }],
            ..with(&[("LOG_LEVEL", "debug")])
        };
        new.image.tag = Some("1.8.2".into());
        new.image.digest = Some(format!("sha256:cd{}", "0".repeat(62)).parse().unwrap());
        let mut old = ContainerModel { stop_grace_period_ms: Some(10_000), nano_cpus: Some(500_000_000), ..with(&[("LOG_LEVEL", "info")]) };
        old.image.tag = Some("1.8.1".into());
        old.image.digest = Some(format!("sha256:ab{}", "0".repeat(62)).parse().unwrap());
        assert_eq!(
            changes(&old, &new),
            [
                "image: 1.8.1 (sha256:ab0000000000…) → 1.8.2 (sha256:cd0000000000…)",
                "command: (none) → serve --fast",
                "environment.LOG_LEVEL: info → debug",
                "mem_limit: (none) → 512m",
                "cpus: 0.5 → 1.25",
                "ports: (none) → 127.0.0.1:8080:80",
                "stop_grace_period: 10s → 1m30s",
                "volumes./data: (none) → data read-only",
            ]
        );
        let elsewhere = ContainerModel::new("r.example.org/shop/other:1".parse().unwrap());
        assert_eq!(changes(&model("1"), &elsewhere), ["image: r.example.org/shop/web:1 → r.example.org/shop/other:1"]);
    }

    #[test]
    fn what_may_be_secret_is_named_and_never_shown() {
        let secret = "hunter2-hunter2";
        let token = "AbCdEf0123456789AbCdEf0123456789";
        type Variables<'a> = &'a [(&'a str, &'a str)];
        let pairs: [(Variables<'_>, Variables<'_>, &str); 6] = [
            (&[("DB_PASSWORD", secret)], &[("DB_PASSWORD", "x")], "environment.DB_PASSWORD: (changed)"),
            (&[("API_TOKEN", secret)], &[], "environment.API_TOKEN: (removed)"),
            (&[], &[("api_key", secret)], "environment.api_key: (added)"),
            (&[("DB", "postgres://me:hunter2-hunter2@db/x")], &[("DB", "x")], "environment.DB: (changed)"),
            (&[("LICENCE", token)], &[("LICENCE", "x")], "environment.LICENCE: (changed)"),
            (&[("ARGS", "--password=hunter2-hunter2")], &[("ARGS", "x")], "environment.ARGS: (changed)"),
        ];
        for (old, new, line) in pairs {
            assert_eq!(changes(&with(old), &with(new)), [line]);
        }
        let mut from_file = with(&[("PLAIN", secret), ("SHOWN", "a")]);
        from_file.unshown.0.insert("PLAIN".into());
        // Once from a file, it stays unshown, also where it goes on as something else.
        let inline = ContainerModel { command: Some(vec![format!("x{secret}")]), ..with(&[("PLAIN", "other"), ("SHOWN", "b")]) };
        let lines = ["command: (added)", "environment.PLAIN: (changed)", "environment.SHOWN: a → b"];
        assert_eq!(changes(&from_file, &inline), lines);
        let logging = |value: &str| {
            let options = BTreeMap::from([("splunk-token".to_owned(), value.to_owned())]);
            ContainerModel { logging: Some(Logging { driver: "splunk".into(), options }), ..model("1") }
        };
        assert_eq!(changes(&logging("a"), &logging("b")), ["logging.options.splunk-token: (changed)"]);
    }
}
