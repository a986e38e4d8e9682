//! Findings as text: for a terminal in the manner of rustc, and as annotations for GitHub's checks.

use super::{Finding, Severity, shown, with_excerpts};
use crate::files::RepoFiles;
use std::fmt::Write as _;

/// How text is dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// No escape codes.
    Plain,
    /// ANSI colours.
    Colour,
}

const RESET: &str = "\u{1b}[0m";
const BOLD: &str = "\u{1b}[1m";
const RED: &str = "\u{1b}[1;31m";
const YELLOW: &str = "\u{1b}[1;33m";
const BLUE: &str = "\u{1b}[1;34m";
const CYAN: &str = "\u{1b}[1;36m";

impl Style {
    fn dress(self, colour: &str, text: &str) -> String {
        match self {
            Style::Plain => text.to_owned(),
            Style::Colour => format!("{colour}{text}{RESET}"),
        }
    }
}

/// Every finding with its place, the line, a caret and the hint. Lines come from the finding's own excerpt, or else
/// from `files`.
pub fn render(findings: &[Finding], files: &RepoFiles, style: Style) -> String {
    let findings = with_excerpts(findings.to_vec(), files);
    let mut out = String::new();
    for (index, finding) in findings.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        one(&mut out, &visible(finding), style);
    }
    out
}

/// Names of files and words from files may hold anything.
fn visible(finding: &Finding) -> Finding {
    let lines = |text: &str| text.lines().map(shown).collect::<Vec<_>>().join(" ");
    Finding {
        message: lines(&finding.message),
        hint: finding.hint.as_deref().map(lines),
        excerpt: finding.excerpt.as_deref().map(lines),
        ..finding.clone()
    }
}

fn one(out: &mut String, finding: &Finding, style: Style) {
    let (word, colour) = match finding.severity {
        Severity::Error => ("error", RED),
        Severity::Warning => ("warning", YELLOW),
    };
    let place = &finding.place;
    let head = style.dress(colour, &format!("{word}[{}]", finding.code));
    let file = shown(place.file.as_str());
    let position = if place.line == 0 { file } else { format!("{file}:{}:{}", place.line, place.column) };
    let margin = " ".repeat(place.line.max(1).to_string().len());
    let bar = style.dress(BLUE, "|");
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{head}{}", style.dress(BOLD, &format!(": {}", finding.message)));
    let _ = writeln!(out, "{margin}{} {position}", style.dress(BLUE, "-->"));
    if let Some(excerpt) = finding.excerpt.as_deref().filter(|_| place.line > 0) {
        let _ = writeln!(out, "{margin} {bar}");
        let _ = writeln!(out, "{} {bar} {excerpt}", style.dress(BLUE, &place.line.to_string()));
        if let Some(caret) = caret(place.column, place.length, excerpt.chars().count()) {
            let _ = writeln!(out, "{margin} {bar} {}", style.dress(colour, &caret));
        }
    }
    if let Some(hint) = &finding.hint {
        let _ = writeln!(out, "{margin} {} {hint}", style.dress(CYAN, "= hint:"));
    }
}

/// The carets under the place, cut to the line; none when the place lies beyond the excerpt.
fn caret(column: u32, length: u32, line_chars: usize) -> Option<String> {
    let before = usize::try_from(column).ok()?.checked_sub(1)?;
    if before > line_chars {
        return None;
    }
    let length = usize::try_from(length).ok()?.min(line_chars.saturating_sub(before)).max(1);
    Some(format!("{}{}", " ".repeat(before), "^".repeat(length)))
}

/// GitHub's workflow commands: one annotation per finding, shown in the pull request at its line.
pub fn annotations(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = &finding.place;
        let mut text = finding.message.clone();
        if let Some(hint) = &finding.hint {
            let _ = write!(text, "\nhint: {hint}");
        }
        let file = escape_property(place.file.as_str());
        let at = match place.line {
            0 => String::new(),
            line => format!(",line={line},col={},endColumn={}", place.column, place.column.saturating_add(place.length)),
        };
        let _ = writeln!(out, "::{command} file={file}{at},title={}::{}", escape_property(&finding.code), escape_data(&text));
    }
    out
}

/// A notice of GitHub's workflow commands: shown beside a file of the pull request, and in the run's summary.
pub fn notice(file: &str, title: &str, text: &str) -> String {
    format!("::notice file={},title={}::{}\n", escape_property(file), escape_property(title), escape_data(text))
}

fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Place;

    fn sample() -> (Vec<Finding>, RepoFiles) {
        let mut files = RepoFiles::default();
        files.insert_text("hosts/web-1.yaml".parse().unwrap(), "schema: 1\nenvironment: prodution\n");
        files.insert_text("stacks/a/.env".parse().unwrap(), "TOKEN=hunter2\n");
        let at = |file: &str, line, column, length| Place { file: file.parse().unwrap(), line, column, length };
        let findings = vec![
            Finding::error("unknown_environment", at("hosts/web-1.yaml", 2, 14, 9), "there is no environment `prodution`")
                .hint("did you mean `production`?"),
            Finding::warning("empty_file", Place::file("stacks/b/compose.yaml".parse().unwrap()), "100% empty"),
            Finding::error("env_file", at("stacks/a/.env", 1, 1, 1), "odd"),
        ];
        (findings, files)
    }

    #[test]
    fn text_shows_the_line_a_caret_and_the_hint() {
        let (findings, files) = sample();
        let expected = "\
error[unknown_environment]: there is no environment `prodution`
 --> hosts/web-1.yaml:2:14
  |
2 | environment: prodution
  |              ^^^^^^^^^
  = hint: did you mean `production`?

warning[empty_file]: 100% empty
 --> stacks/b/compose.yaml

error[env_file]: odd
 --> stacks/a/.env:1:1
  |
1 | TOKEN=…
  | ^
";
        assert_eq!(render(&findings, &files, Style::Plain), expected);
        let coloured = render(&findings, &files, Style::Colour);
        assert!(coloured.starts_with("\u{1b}[1;31merror[unknown_environment]\u{1b}[0m"));
        assert!(!coloured.contains("hunter2"), "values of .env files are never shown");
    }

    #[test]
    fn annotations_cannot_be_broken_out_of() {
        let (mut findings, _) = sample();
        findings[1].message = "50%\n::error::forged".into();
        let text = annotations(&findings);
        assert_eq!(text.lines().count(), 3);
        assert!(text.starts_with("::error file=hosts/web-1.yaml,line=2,col=14,endColumn=23,title=unknown_environment::there is"));
        assert!(text.contains("::warning file=stacks/b/compose.yaml,title=empty_file::50%25%0A::error::forged"));
    }
}
