//! A preview, or findings, as a comment in a pull request. What comes from the config repo was written by anyone who may
//! open one: it stands in code spans, where it can mention nobody, link nothing and close nothing. The length is
//! bounded below what forges take, and what is left out is said.

use super::human;
use crate::words::{count, preview as say};
use tidegate_core::findings::{Finding, Severity};
use tidegate_core::preview::{Change, EnvironmentPreview, HostPreview, Preview};

/// Longest comment, in bytes; GitHub takes 65,536 characters.
const COMMENT_MAX_BYTES: usize = 60_000;
/// Kept free for what closes a comment, in bytes.
const TAIL_BYTES: usize = 1_000;
/// Longest piece of foreign text, in characters.
const FOREIGN_MAX_CHARS: usize = 300;
/// Most names of hosts in one line.
const HOSTS_SHOWN_MAX: usize = 12;
/// Most fields of one change.
const FIELDS_SHOWN_MAX: usize = 20;
/// By this line a pipeline finds its earlier comment and edits it.
const MARKER: &str = "<!-- tidegate plan -->";

/// The comment for a preview.
pub(super) fn text(preview: &Preview, warnings: &[Finding]) -> String {
    let mut page = Page::new(&format!("### Tidegate plan: {}", say::totals(&preview.totals)));
    for environment in &preview.environments {
        environment_section(&mut page, environment);
    }
    if !warnings.is_empty() {
        page.line("");
        page.line(&format!("**{}**", count(warnings.len(), "warning")));
        page.line("");
        finding_lines(&mut page, warnings);
    }
    page.finish()
}

/// The comment for a config that is refused.
pub(super) fn refused(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let mut page = Page::new(&format!("### Tidegate plan: refused, {}", count(errors, "error")));
    page.line("");
    finding_lines(&mut page, findings);
    page.finish()
}

fn finding_lines(page: &mut Page, findings: &[Finding]) {
    for finding in findings {
        let place = &finding.place;
        let at = if place.line == 0 { place.file.to_string() } else { format!("{}:{}:{}", place.file, place.line, place.column) };
        page.line(&format!("- {} {}", code(&at), code(&finding.message)));
        if let Some(hint) = &finding.hint {
            page.line(&format!("  - hint: {}", code(hint)));
        }
    }
}

fn environment_section(page: &mut Page, environment: &EnvironmentPreview) {
    page.line("");
    page.line(&format!("#### {} {}", code(environment.environment.as_str()), say::becomes(&environment.becomes)));
    page.line("");
    let when = &environment.when;
    if environment.totals.hosts > 0 {
        page.line(&format!("- goes out {}", code(&say::starts(when))));
        when.freezes.iter().for_each(|freeze| page.line(&format!("- frozen: {}", code(&say::freeze(freeze)))));
        when.approvals.iter().for_each(|needed| page.line(&format!("- needs {}", code(&say::approvals(needed)))));
        when.holds.iter().for_each(|hold| page.line(&format!("- held: {}", code(&say::hold(hold)))));
    }
    for host in &environment.unmanaged {
        page.line(&format!("- {}: {}", code(host.host.as_str()), say::unmanaged(host)));
    }
    if !environment.unchanged.is_empty() {
        page.line(&format!("- {}", say::unchanged(environment.unchanged.len())));
    }
    for group in &environment.hosts {
        hosts_section(page, group);
    }
}

fn hosts_section(page: &mut Page, group: &HostPreview) {
    let names = html(&human::names(&group.hosts, HOSTS_SHOWN_MAX));
    let number: usize = group.stacks.iter().map(|stack| stack.changes.len()).sum();
    let opened = page.open(&format!("<details><summary><code>{names}</code>: {}</summary>", count(number, "change")));
    if !opened {
        return;
    }
    for stack in &group.stacks {
        page.line("");
        page.line(&format!("**{}**", code(stack.stack.as_str())));
        page.line("");
        if let Some(waiting) = &stack.waiting {
            page.line(&format!("- waits: {}", code(&crate::words::waiting(waiting))));
        }
        stack.changes.iter().for_each(|change| change_lines(page, change));
    }
    page.close("</details>");
}

fn change_lines(page: &mut Page, change: &Change) {
    page.line(&format!("- {} {}", code(&format!("{} {}", say::mark(&change.kind), change.name)), code(&say::verb(change))));
    change.fields.iter().take(FIELDS_SHOWN_MAX).for_each(|field| page.line(&format!("  - {}", code(field))));
    if let Some(more) = change.fields.len().checked_sub(FIELDS_SHOWN_MAX).filter(|more| *more > 0) {
        page.line(&format!("  - {}", crate::words::more_findings(more)));
    }
    if let Some(downtime) = change.downtime {
        page.line(&format!("  - {}", say::downtime(downtime)));
    }
}

/// Foreign text as a code span: the fence is longer than any run of backticks inside, and nothing in it starts a line.
pub(super) fn code(text: &str) -> String {
    let clean = human::plain(text);
    let mut cut: String = clean.chars().take(FOREIGN_MAX_CHARS).collect();
    if cut.len() < clean.len() {
        cut.push('…');
    }
    if cut.trim().is_empty() {
        return "` `".to_owned();
    }
    let longest = cut.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let room = if longest > 0 { " " } else { "" };
    format!("{fence}{room}{cut}{room}{fence}")
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A text that knows when it is full. A line is written whole or not at all, and after one that was left out no other
/// follows, save what closes.
struct Page {
    text: String,
    left_out: usize,
}

impl Page {
    fn new(head: &str) -> Page {
        Page { text: format!("{MARKER}\n{head}\n"), left_out: 0 }
    }

    fn line(&mut self, line: &str) {
        if self.left_out > 0 || self.text.len() + line.len() + 1 > COMMENT_MAX_BYTES - TAIL_BYTES {
            self.left_out += usize::from(!line.is_empty());
            return;
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Opens a block with an empty line before; false: it is left out.
    fn open(&mut self, line: &str) -> bool {
        self.line("");
        self.line(line);
        self.left_out == 0
    }

    fn close(&mut self, line: &str) {
        self.text.push('\n');
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn finish(mut self) -> String {
        if self.left_out > 0 {
            self.text.push_str(&format!("\n{}\n", say::left_out(self.left_out)));
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_leave_its_code_span() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("`a` ``b"), "``` `a` ``b ```");
        assert_eq!(code("a\n</details>\n@all"), "`a </details> @all`");
        assert_eq!(code(""), "` `");
        assert_eq!(code("\u{202e}x"), "` x`");
        assert_eq!(code(&"x".repeat(1000)).chars().count(), FOREIGN_MAX_CHARS + 3);
    }

    #[test]
    fn a_full_page_says_what_is_left_out_and_closes_what_it_opened() {
        let mut page = Page::new("### head");
        assert!(page.open("<details><summary>x</summary>"));
        (0..10_000).for_each(|number| page.line(&format!("- line {number}")));
        page.close("</details>");
        assert!(!page.open("<details>"));
        let text = page.finish();
        assert!(text.len() <= COMMENT_MAX_BYTES, "{}", text.len());
        assert_eq!((text.matches("<details>").count(), text.matches("</details>").count()), (1, 1));
        assert!(text.trim_end().ends_with("lines are left out: the whole plan is in the output of `tidegate plan`"), "{text}");
    }
}
