//! Typed decoding over the tree: each function says what it wanted, where, and goes on.

use super::node::{Key, Node, Span, Value};
use super::suggest::hint_among;
use crate::findings::{Finding, has_errors};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The version of the format of our own files that this program reads.
pub const SCHEMA: u32 = 1;

/// Most findings kept: a broken file of thousands of lines needs no thousand sentences.
pub const FINDINGS_MAX: usize = 500;

/// Collects findings.
#[derive(Debug, Default)]
pub struct Sink {
    findings: Vec<Finding>,
}

impl Sink {
    /// Adds one, up to [`FINDINGS_MAX`]; the same finding at the same place is kept once (aliases repeat nodes).
    pub fn push(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Adds several.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }

    /// A value of another kind than it should be, unless something was said about it already.
    pub fn wrong_type(&mut self, node: &Node, wanted: &str) {
        self.wrong_value(node, wanted, None);
    }

    fn wrong_value(&mut self, node: &Node, wanted: &str, hint: Option<String>) {
        if node.is_broken() {
            return;
        }
        let found = node.scalar().map_or_else(|| node.kind().to_owned(), |text| format!("`{}`", short(text)));
        self.push(node.span.error("wrong_type", format!("expected {wanted}, found {found}")).hint_if(hint));
    }

    /// Is there an error so far?
    pub fn has_errors(&self) -> bool {
        has_errors(&self.findings)
    }

    /// How many so far; compare before and after to see whether a step complained.
    pub fn len(&self) -> usize {
        self.findings.len()
    }

    /// None so far?
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// All of them in order of place.
    pub fn into_findings(self) -> Vec<Finding> {
        let mut findings = self.findings;
        findings.sort_by(|a, b| a.place.cmp(&b.place));
        findings
    }
}

/// Text.
pub fn text<'a>(node: &'a Node, sink: &mut Sink) -> Option<&'a str> {
    let text = node.scalar();
    if text.is_none() {
        sink.wrong_type(node, "text");
    }
    text
}

/// `true` or `false`.
pub fn boolean(node: &Node, sink: &mut Sink) -> Option<bool> {
    match node.scalar() {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => {
            let near = matches!(node.scalar(), Some("yes" | "no" | "on" | "off" | "True" | "False" | "TRUE" | "FALSE"));
            sink.wrong_value(node, "`true` or `false`", near.then(|| "write exactly `true` or `false`".to_owned()));
            None
        }
    }
}

/// A whole number within a range.
pub fn integer<T: TryFrom<i64>>(node: &Node, range: RangeInclusive<i64>, sink: &mut Sink) -> Option<T> {
    let wanted = || match (range.start(), range.end()) {
        (&low, &high) if high >= i64::from(u32::MAX) => format!("a whole number from {low} up"),
        (low, high) => format!("a whole number from {low} to {high}"),
    };
    let Some(text) = node.scalar() else {
        sink.wrong_type(node, &wanted());
        return None;
    };
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let value = if plain { text.parse::<i64>().ok() } else { None };
    match value.filter(|value| range.contains(value)).and_then(|value| T::try_from(value).ok()) {
        Some(value) => Some(value),
        None if plain => {
            sink.push(node.span.error("out_of_range", format!("`{}` is out of range", short(text))).hint(format!("use {}", wanted())));
            None
        }
        None => {
            sink.wrong_type(node, &wanted());
            None
        }
    }
}

/// Anything that parses from text; its error becomes the message.
pub fn parsed<T>(node: &Node, code: &str, sink: &mut Sink) -> Option<T>
where
    T: FromStr,
    T::Err: Display,
{
    match text(node, sink)?.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            sink.push(node.span.error(code, error.to_string()));
            None
        }
    }
}

/// The items of a list.
pub fn items<'a>(node: &'a Node, sink: &mut Sink) -> &'a [Node] {
    if let Value::Sequence(items) = &node.value {
        return items;
    }
    sink.wrong_type(node, "a list");
    &[]
}

/// The entries of a mapping.
pub fn entries<'a>(node: &'a Node, sink: &mut Sink) -> &'a [(Key, Node)] {
    if let Value::Mapping(entries) = &node.value {
        return entries;
    }
    sink.wrong_type(node, "a mapping");
    &[]
}

/// At most 60 characters of a text, for messages.
fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A mapping with a fixed set of keys. Each key that is asked for becomes a known one; what is left over at the
/// end is unknown, with the nearest known one as the hint.
#[derive(Debug)]
pub struct Fields<'a> {
    what: &'a str,
    /// Where the mapping stands.
    pub span: &'a Span,
    entries: &'a [(Key, Node)],
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// A mapping, or a finding that it is none.
    pub fn of(node: &'a Node, what: &'a str, sink: &mut Sink) -> Option<Fields<'a>> {
        let Value::Mapping(entries) = &node.value else {
            sink.wrong_type(node, &format!("{what} (a mapping)"));
            return None;
        };
        Some(Fields { what, span: &node.span, entries, known: Vec::new() })
    }

    /// The value of a key, also when it is nothing.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// The value of a key, unless it is nothing.
    pub fn some(&mut self, key: &'static str) -> Option<&'a Node> {
        self.get(key).filter(|node| !node.is_null())
    }

    /// Key and value.
    pub fn entry(&mut self, key: &'static str) -> Option<&'a (Key, Node)> {
        self.known.push(key);
        self.entries.iter().find(|(name, _)| name.text == key)
    }

    /// The value of a key that must be there.
    pub fn require(&mut self, key: &'static str, sink: &mut Sink) -> Option<&'a Node> {
        let found = self.get(key);
        if found.is_none() {
            sink.push(self.span.error("missing_key", format!("`{key}` is missing in {}", self.what)));
        }
        found
    }

    /// The value of a key, read by a function; absent and empty keys are none.
    pub fn with<T>(&mut self, key: &'static str, sink: &mut Sink, read: impl FnOnce(&'a Node, &mut Sink) -> Option<T>) -> Option<T> {
        self.some(key).and_then(|node| read(node, sink))
    }

    /// Text at a key.
    pub fn text(&mut self, key: &'static str, sink: &mut Sink) -> Option<String> {
        self.with(key, sink, |node, sink| text(node, sink).map(str::to_owned))
    }

    /// `true` or `false` at a key.
    pub fn boolean(&mut self, key: &'static str, sink: &mut Sink) -> Option<bool> {
        self.with(key, sink, boolean)
    }

    /// The names asked for so far.
    pub fn known(&self) -> &[&'static str] {
        &self.known
    }

    /// Reports every key that was not asked for.
    pub fn finish(self, sink: &mut Sink) {
        self.finish_with(|_| None, sink);
    }

    /// As [`Fields::finish`], but asks first whether the key is `Some(reason)` to refuse with reason and hint, or
    /// fine: `Some(Ok(()))`.
    pub fn finish_with(self, judge: impl Fn(&(Key, Node)) -> Option<Result<(), Finding>>, sink: &mut Sink) {
        for entry in self.entries.iter().filter(|(key, _)| !self.known.contains(&key.text.as_str())) {
            match judge(entry) {
                Some(Ok(())) => {}
                Some(Err(finding)) => sink.push(finding),
                None => {
                    let key = &entry.0;
                    let message = format!("unknown key `{}` in {}", short(&key.text), self.what);
                    let hint = hint_among(&key.text, self.known.iter().copied(), "key");
                    sink.push(key.span.error("unknown_key", message).hint(hint));
                }
            }
        }
    }
}

/// `schema`, the first key of each of our files.
pub fn schema(fields: &mut Fields<'_>, sink: &mut Sink) {
    let Some(node) = fields.get("schema") else {
        let finding = fields.span.error("missing_schema", "`schema` is missing");
        sink.push(finding.hint(format!("write `schema: {SCHEMA}` as the first line: it says which version of the format this is")));
        return;
    };
    if let Some(version) = integer::<u32>(node, 0..=1_000_000, sink)
        && version != SCHEMA
    {
        let finding = node.span.error("unknown_schema", format!("this program reads schema {SCHEMA}, not {version}"));
        sink.push(finding.hint(format!("write `schema: {SCHEMA}`, or use a version of Tidegate that reads {version}")));
    }
}
