//! What validation has to say: every finding with its place, its reason and a hint; all of them collected.

mod render;

pub use render::{Style, annotations, notice, render};

use crate::files::RepoFiles;
use crate::ids::RepoPath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a look; changes nothing.
    Warning,
    /// The config cannot be used.
    Error,
}

/// A place in a file. Lines and columns count from 1; columns count characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file, relative to the config repo's root.
    pub file: RepoPath,
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// Column, from 1; 0 when the file as a whole is meant.
    pub column: u32,
    /// How many characters the caret line covers, at least 1.
    pub length: u32,
}

impl Place {
    /// The file as a whole.
    pub fn file(file: RepoPath) -> Place {
        Place { file, line: 0, column: 0, length: 1 }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// A stable code in snake case, e.g. `unknown_stack`.
    pub code: String,
    /// Where.
    pub place: Place,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
    /// The source line the place names (cut to 200 characters), for carets where the file is not at hand.
    pub excerpt: Option<String>,
}

impl Finding {
    /// An error without hint; add one with [`Finding::hint`].
    pub fn error(code: &str, place: Place, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Error, code: code.into(), place, message: message.into(), hint: None, excerpt: None }
    }

    /// A warning without hint.
    pub fn warning(code: &str, place: Place, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(code, place, message) }
    }

    /// Adds the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.hint = Some(hint.into());
        self
    }

    /// Sets or leaves out the hint.
    #[must_use]
    pub fn hint_if(self, hint: Option<String>) -> Finding {
        Finding { hint, ..self }
    }
}

/// Is there an error among them?
pub fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// Longest excerpt kept, in characters.
pub const EXCERPT_MAX_CHARS: usize = 200;

/// Adds to each finding the line it names. Lines of `.env` files are cut to the variable's name: values may be secret.
pub fn with_excerpts(mut findings: Vec<Finding>, files: &RepoFiles) -> Vec<Finding> {
    let mut lines_of: BTreeMap<RepoPath, Vec<&[u8]>> = BTreeMap::new();
    for finding in findings.iter_mut().filter(|finding| finding.excerpt.is_none() && finding.place.line > 0) {
        let path = &finding.place.file;
        let Some(file) = files.get(path) else { continue };
        if !lines_of.contains_key(path) {
            lines_of.insert(path.clone(), file.bytes.split(|&b| b == b'\n').collect());
        }
        let index = usize::try_from(finding.place.line - 1).unwrap_or(usize::MAX);
        finding.excerpt = lines_of.get(path).and_then(|lines| lines.get(index)).map(|line| excerpt(path, line));
    }
    findings
}

fn excerpt(path: &RepoPath, line: &[u8]) -> String {
    /// Bytes that hold the characters of an excerpt, whatever they are.
    const LINE_MAX_BYTES: usize = 4 * EXCERPT_MAX_CHARS + 3;
    let text = String::from_utf8_lossy(line.get(..LINE_MAX_BYTES).unwrap_or(line));
    let text = text.trim_end_matches('\r').trim_start_matches('\u{feff}');
    let visible = match (is_env_file(path), text.split_once('=')) {
        (true, Some((name, _))) => format!("{name}=…"),
        (true, None) => "…".to_owned(),
        (false, _) => text.chars().take(EXCERPT_MAX_CHARS).collect(),
    };
    // One column per character, and nothing that could rearrange the line on a screen.
    shown(&visible)
}

fn is_env_file(path: &RepoPath) -> bool {
    let name = path.file_name();
    name == ".env" || name.starts_with(".env.") || name.ends_with(".env")
}

/// May this character stand in a config file? Controls other than tab and line ends, and the marks that reorder or
/// hide text on a screen, may not: what a reviewer sees must be what runs.
pub fn is_harmless(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => true,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => false,
        '\u{61c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{2028}' | '\u{2029}' => false,
        c => !c.is_control(),
    }
}

/// A finding for each character of a text that [`is_harmless`] refuses, up to a limit.
pub(crate) fn strange_characters(file: &RepoPath, source: &str) -> Vec<Finding> {
    const SHOWN_MAX: usize = 20;
    if source.chars().all(is_harmless) {
        return Vec::new();
    }
    let places =
        (1_u32..).zip(source.split('\n')).flat_map(|(line, text)| (1_u32..).zip(text.chars()).map(move |(column, c)| (line, column, c)));
    let strange = places.filter(|&(_, _, c)| !is_harmless(c)).take(SHOWN_MAX);
    strange.map(|(line, column, c)| strange_character(Place { file: file.clone(), line, column, length: 1 }, c)).collect()
}

/// The finding for a character that [`is_harmless`] refuses.
pub(crate) fn strange_character(place: Place, c: char) -> Finding {
    Finding::error("strange_character", place, format!("the invisible character U+{:04X} is not allowed", u32::from(c)))
        .hint("remove it: it can make a file look different from what it says")
}

/// A line as it may be shown: nothing in it moves the cursor or reorders the text.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).map(|c| if is_harmless(c) && c != '\r' { c } else { '\u{fffd}' }).collect()
}
