//! `.env` files, by the rules of Compose: `KEY=value`, quotes, comments, `export`, values that use earlier ones.

use super::interpolate::{Variables, interpolate};
use crate::findings::{Finding, Place, strange_characters};
use crate::ids::RepoPath;
use crate::yaml::{COMPOSE_LIMITS, Sink};
use std::collections::BTreeMap;

/// Most variables in one file.
const VARIABLES_MAX: usize = 2_000;

/// How values are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Format {
    /// Quotes, escapes, comments and variables.
    Compose,
    /// `format: raw`: everything after `=` as it stands.
    Raw,
}

/// Reads a file. `known` are variables that values may use, beside earlier ones of the same file.
pub(super) fn read(file: &RepoPath, bytes: &[u8], known: &Variables, format: Format, sink: &mut Sink) -> BTreeMap<String, String> {
    let limit = COMPOSE_LIMITS.file_bytes;
    if bytes.len() > limit {
        let message = format!("the file has {} bytes; the limit is {limit}", bytes.len());
        sink.push(Finding::error("too_large", Place::file(file.clone()), message));
        return BTreeMap::new();
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        sink.push(Finding::error("not_utf8", Place::file(file.clone()), "the file is not UTF-8 text").hint("save it as UTF-8"));
        return BTreeMap::new();
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let strange = strange_characters(file, text);
    if !strange.is_empty() {
        sink.extend(strange);
        return BTreeMap::new();
    }
    let mut reader =
        Reader { file, lines: text.split('\n').collect(), rest: text, line: 0, known: known.clone(), found: BTreeMap::new(), format };
    while let Some((number, line)) = reader.next_line() {
        if let Err(finding) = reader.entry(number, line) {
            sink.push(*finding);
        }
        if reader.found.len() > VARIABLES_MAX {
            sink.push(*reader.error(number, format!("more than {VARIABLES_MAX} variables in one file")));
            break;
        }
    }
    reader.found
}

struct Reader<'a> {
    file: &'a RepoPath,
    lines: Vec<&'a str>,
    rest: &'a str,
    line: u32,
    known: Variables,
    found: BTreeMap<String, String>,
    format: Format,
}

impl<'a> Reader<'a> {
    fn next_line(&mut self) -> Option<(u32, &'a str)> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.line += 1;
        Some((self.line, line.strip_suffix('\r').unwrap_or(line)))
    }

    fn error(&self, line: u32, message: impl Into<String>) -> Box<Finding> {
        let place = Place { file: self.file.clone(), line, column: 1, length: 1 };
        // Never the value: it may be secret, whatever the file is called.
        let written = self.lines.get(line as usize - 1).copied().unwrap_or_default();
        let excerpt =
            written.split_once('=').map_or_else(|| "…".to_owned(), |(name, _)| format!("{}=…", name.chars().take(60).collect::<String>()));
        Box::new(Finding { excerpt: Some(excerpt), ..Finding::error("env_file", place, message) })
    }

    fn entry(&mut self, number: u32, line: &'a str) -> Result<(), Box<Finding>> {
        let line = line.trim_start();
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let Some((key, value)) = line.split_once('=') else {
            let name = line.trim();
            let finding = *self.error(number, "this line has no `=`");
            let hint = is_key(name).then(|| format!("write `{name}=value`: there is no shell to take it from"));
            return Err(Box::new(finding.hint_if(hint)));
        };
        let key = key.trim_end();
        if !is_key(key) {
            let finding = self.error(number, "the name before `=` is not a variable name");
            return Err(Box::new(finding.hint("use letters, digits, `_`, `.` and `-`")));
        }
        let value = match self.format {
            Format::Raw => value.to_owned(),
            Format::Compose => self.value(number, value)?,
        };
        self.known.values.insert(key.to_owned(), value.clone());
        self.found.insert(key.to_owned(), value);
        Ok(())
    }

    fn value(&mut self, number: u32, written: &'a str) -> Result<String, Box<Finding>> {
        let written = written.trim_start();
        match written.chars().next() {
            Some('\'') => self.quoted(number, &written[1..], '\''),
            Some('"') => {
                let inside = self.quoted(number, &written[1..], '"')?;
                self.expand(number, &inside).map(|text| unescape(&text))
            }
            _ => {
                let end = comment_start(written).unwrap_or(written.len());
                self.expand(number, written[..end].trim_end())
            }
        }
    }

    /// Up to the closing quote, over several lines if need be.
    fn quoted(&mut self, number: u32, first: &'a str, quote: char) -> Result<String, Box<Finding>> {
        let mut inside = String::new();
        let mut line = first;
        loop {
            let mut escaped = false;
            for (at, c) in line.char_indices() {
                if c == quote && !escaped {
                    inside.push_str(&line[..at]);
                    let after = line[at + 1..].trim_start();
                    let fine = after.is_empty() || after.starts_with('#');
                    return if fine { Ok(inside) } else { Err(self.error(number, "there is text after the closing quote")) };
                }
                escaped = quote == '"' && c == '\\' && !escaped;
            }
            inside.push_str(line);
            inside.push('\n');
            match self.next_line() {
                Some((_, next)) => line = next,
                None => return Err(self.error(number, "the quote is never closed")),
            }
        }
    }

    fn expand(&self, number: u32, text: &str) -> Result<String, Box<Finding>> {
        if !text.contains('$') {
            return Ok(text.to_owned());
        }
        interpolate(text, &self.known).map_err(|fault| {
            let finding = Finding { code: fault.code.into(), ..*self.error(number, fault.message) };
            Box::new(finding.hint_if(fault.hint))
        })
    }
}

/// A `#` after a blank begins a comment.
fn comment_start(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find(|&at| bytes[at] == b'#' && (at == 0 || matches!(bytes[at - 1], b' ' | b'\t')))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some(other @ ('"' | '\\' | '$' | '\''))) => out.push(other),
            ('\\', Some(other)) => out.extend(['\\', other]),
            (c, _) => out.push(c),
        }
    }
    out
}

/// A name that can stand before `=`.
pub(super) fn is_key(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (BTreeMap<String, String>, Vec<Finding>) {
        let mut sink = Sink::default();
        let file = "stacks/shop/.env".parse().unwrap();
        let known = Variables { values: BTreeMap::from([("OUTER".into(), "o".into())]), files: vec!["stacks/shop/.env".into()] };
        let found = read(&file, text.as_bytes(), &known, Format::Compose, &mut sink);
        (found, sink.into_findings())
    }

    #[test]
    fn values_are_read_as_compose_reads_them() {
        for (written, expected) in [
            ("K=v", "v"),
            ("K = v ", "v"),
            ("export K=v", "v"),
            ("K=", ""),
            ("K=a b # comment", "a b"),
            ("K=a#b", "a#b"),
            ("K=# all comment", ""),
            ("K='a $OUTER # b'", "a $OUTER # b"),
            ("K=\"a ${OUTER} # b\" # c", "a o # b"),
            ("K=\"a\\nb\\t\\\"c\\\"\"", "a\nb\t\"c\""),
            ("K=\"two\nlines\"", "two\nlines"),
            ("K='two\nlines'", "two\nlines"),
            ("K=$OUTER/${NOPE:-x}", "o/x"),
            ("A=1\nK=${A}2", "12"),
            ("K=a=b", "a=b"),
            ("\u{feff}K=v\r\n", "v"),
            ("K=$$5", "$5"),
        ] {
            let (found, findings) = parse(written);
            assert_eq!(findings, [], "{written}");
            assert_eq!(found["K"], expected, "{written}");
        }
    }

    #[test]
    fn wrong_lines_are_named_and_never_quoted() {
        for (written, line, message) in [
            ("A=1\nSECRET hunter2", 2, "this line has no `=`"),
            ("1A=x", 1, "the name before `=` is not a variable name"),
            ("A='x", 1, "the quote is never closed"),
            ("A=\"x\" y", 1, "there is text after the closing quote"),
            ("\n\nA=${NOPE}", 3, "the variable `NOPE` is not set"),
        ] {
            let (_, findings) = parse(written);
            assert_eq!((findings[0].place.line, findings[0].message.as_str()), (line, message), "{written}");
            assert!(!format!("{findings:?}").contains("hunter2"));
        }
    }
}
