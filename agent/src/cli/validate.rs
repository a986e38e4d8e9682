//! `tidegate validate`: every finding, with its place, its reason and a hint.

use super::{Exit, print, print_json, runtime, source, tell};
use crate::words;
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use tidegate_core::advice::calendar_warnings;
use tidegate_core::findings::{Severity, Style, annotations, has_errors, render};
use tidegate_core::repo::load_with;

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// A folder, a git repository (bare or not), or its URL; `@COMMIT` names a commit
    #[arg(default_value = ".")]
    path: String,
    /// The branch, in a git repository
    #[arg(long, default_value = "main")]
    branch: String,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people, with a caret under the place.
    #[default]
    Human,
    /// For programs; carries `"format": 1`.
    Json,
    /// Annotations in a GitHub pull request.
    Github,
}

pub(super) fn run(args: &ValidateArgs) -> anyhow::Result<Exit> {
    tidegate_git::init();
    let source = runtime()?.block_on(source::read(&args.path, &args.branch))?;
    let mut loaded = load_with(&source.files, &crate::zones::newest());
    if let Some(repo) = &loaded.repo {
        loaded.findings.extend(calendar_warnings(repo, &source.files, jiff::Timestamp::now()));
        loaded.findings.sort_by(|a, b| a.place.cmp(&b.place));
    }
    let failed = has_errors(&loaded.findings) || loaded.repo.is_none();
    match args.output {
        Form::Human if !loaded.findings.is_empty() => print(&render(&loaded.findings, &source.files, style())),
        Form::Human => {}
        Form::Json => print_json(&serde_json::json!({ "format": 1, "valid": !failed, "findings": loaded.findings })),
        Form::Github => print(&annotations(&loaded.findings)),
    }
    let errors = loaded.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = loaded.findings.len() - errors;
    let verdict = if failed { "refused" } else { "valid" };
    tell(&format!("{verdict}: {}, {}", words::count(errors, "error"), words::count(warnings, "warning")));
    Ok(if failed { Exit::Findings } else { Exit::Fine })
}

/// Colour only on a terminal, and not against the person's wish.
fn style() -> Style {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if std::io::stdout().is_terminal() && !unwanted { Style::Colour } else { Style::Plain }
}
