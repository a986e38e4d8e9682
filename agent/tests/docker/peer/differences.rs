//! The written list of what we mean to do otherwise than docker-compose 1.29, and the page that shows it.

use super::normal::Difference;
use serde::Deserialize;
use serde_json::Value;

/// The list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Differences {
    differences: Vec<Entry>,
}

/// One field, or several of one meaning.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Paths; `*` stands for anything.
    fields: Vec<String>,
    /// Cases in which it shows; `*` at an end stands for anything. Left out: any.
    #[serde(default)]
    cases: Vec<String>,
    /// What docker-compose's value must look like: `nothing`, or text in which `*` stands for anything.
    #[serde(default)]
    peer_is: Option<String>,
    /// Likewise ours; where both have a `*`, it must stand for the same.
    #[serde(default)]
    ours_is: Option<String>,
    /// What docker-compose does.
    peer: String,
    /// What Tidegate does.
    ours: String,
    /// Why.
    why: String,
}

/// What is to be said about what was found.
pub(super) struct Judged {
    pub(super) unexpected: Vec<String>,
    pub(super) unused: Vec<String>,
}

impl Differences {
    pub(super) fn read() -> Differences {
        let path = super::folder().join("differences.yaml");
        serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    pub(super) fn judge(&self, found: &[Difference]) -> Judged {
        let unexpected = found.iter().filter(|one| !self.differences.iter().any(|entry| entry.covers(one)));
        let unused = self.differences.iter().flat_map(|entry| {
            let fields = entry.fields.iter().filter(|field| !found.iter().any(|one| entry.covers(one) && matches(field, &one.field)));
            let cases = entry.cases.iter().filter(|case| !found.iter().any(|one| entry.covers(one) && matches(case, &one.case)));
            fields.chain(cases).cloned().collect::<Vec<_>>()
        });
        Judged { unexpected: unexpected.map(ToString::to_string).collect(), unused: unused.collect() }
    }

    pub(super) fn page(&self, cases: usize) -> String {
        let mut page = format!("{HEAD}\nCompared: {cases} files, in `agent/tests/docker/peer/cases`.\n");
        for entry in &self.differences {
            let fields: Vec<String> = entry.fields.iter().map(|field| format!("`{field}`")).collect();
            page.push_str(&format!(
                "\n## {}\n\n- docker-compose 1.29: {}\n- Tidegate: {}\n- Why: {}\n",
                fields.join(", "),
                entry.peer,
                entry.ours,
                entry.why
            ));
        }
        page
    }
}

impl Entry {
    fn covers(&self, found: &Difference) -> bool {
        self.names(found) && self.is_in_case(found) && self.fits(found)
    }

    fn fits(&self, found: &Difference) -> bool {
        let rest = |pattern: &Option<String>, value: &Option<Value>| match (pattern.as_deref(), value) {
            (None, _) => Some(None),
            (Some("nothing"), None) => Some(None),
            (Some(pattern), Some(value)) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
                let rest = text.strip_prefix(before)?.strip_suffix(after)?.to_owned();
                pattern.contains('*').then_some(Some(rest.clone())).or_else(|| rest.is_empty().then_some(None))
            }
            (Some(_), None) => None,
        };
        match (rest(&self.peer_is, &found.peer), rest(&self.ours_is, &found.ours)) {
            (Some(Some(left)), Some(Some(right))) => left == right,
            (Some(_), Some(_)) => true,
            _ => false,
        }
    }

    fn names(&self, found: &Difference) -> bool {
        self.fields.iter().any(|field| matches(field, &found.field))
    }

    fn is_in_case(&self, found: &Difference) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|case| matches(case, &found.case))
    }
}

/// A pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text
            .strip_prefix(before)
            .is_some_and(|rest| (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(after, &rest[at..]))),
    }
}

const HEAD: &str = "\
# Differences from docker-compose

<!-- Generated from agent/tests/docker/peer/differences.yaml; a test compares. Do not edit. -->

What Tidegate makes of a Compose file is compared, field by field as the engine tells it, with what `docker-compose` 1.29
makes of the same file. This is the whole list of what differs: a test makes both and fails on anything else.
Paths are those of `docker inspect`, behind the kind of object.
";
