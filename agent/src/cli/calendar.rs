//! `tidegate calendar`: when releases may start. For people: the next openings of an environment, its freezes, what changes
//! of the clock do to it, and one window explained. For programs: the decision for one instant.

use super::exit::UsageError;
use super::{Exit, Output, print, print_json, runtime, source, tell};
use crate::words::{self, calendar as said};
use anyhow::Context;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use tidegate_core::calendar::{Calendar, Decision};
use tidegate_core::files::{FILE_MAX_BYTES, File, RepoFiles};
use tidegate_core::findings::{Finding, Style, has_errors, render};
use tidegate_core::ids::{EnvironmentName, RepoPath};
use tidegate_core::repo::{calendar_file, load_with};

/// How far ahead freezes and changes of the clock are listed, in days.
const AHEAD_DAYS: i64 = 180;
/// Most freezes that are listed.
const FREEZES_LISTED: usize = 20;
/// Most openings that are listed.
const OPENINGS_MAX: i64 = 1_000;

#[derive(Debug, Args)]
pub(super) struct CalendarArgs {
    /// A folder, a git repository (bare or not), or its URL; `@COMMIT` names a commit
    #[arg(default_value = ".", conflicts_with = "file")]
    path: String,
    /// The branch, in a git repository
    #[arg(long, default_value = "main")]
    branch: String,
    /// Whose calendar; needed when the repo has several
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    environment: Option<String>,
    /// A file with `windows`, `freezes` and `cutoff` in place of a repo; `-` is stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The instant, in RFC 3339 [default: now]
    #[arg(long, value_name = "RFC3339")]
    at: Option<String>,
    /// Explain one window, by its name or its number from 1
    #[arg(long, value_name = "WINDOW")]
    explain: Option<String>,
    /// How many openings to list
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=OPENINGS_MAX))]
    count: u16,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// A calendar, and what it is called.
struct Found {
    name: String,
    calendar: Calendar,
}

pub(super) fn run(args: &CalendarArgs) -> anyhow::Result<Exit> {
    let at = match &args.at {
        None => Timestamp::now(),
        Some(text) => text.parse().map_err(|_| UsageError(format!("--at: `{text}` is no instant; write it as 2026-11-21T10:00:00Z")))?,
    };
    let found = match &args.file {
        Some(file) => from_file(file, args.output)?,
        None => from_repo(args)?,
    };
    let Some(found) = found else { return Ok(Exit::Findings) };
    match (&args.explain, args.output) {
        (Some(window), _) => explain(&found.calendar, window, (at, args))?,
        (None, Output::Json) => print_json(&decision(&found.calendar.decide(at))),
        (None, Output::Human) => print(&shown(&found, at, usize::from(args.count))),
    }
    Ok(Exit::Fine)
}

/// The decision: what programs ask for.
fn decision(decision: &Decision) -> Value {
    json!({
        "state": decision.state,
        "open_until": decision.open_until,
        "next_start": decision.next_start,
        "rule": decision.rule,
    })
}

fn from_file(file: &Path, output: Output) -> anyhow::Result<Option<Found>> {
    let mut bytes = Vec::new();
    let limit = FILE_MAX_BYTES + 1;
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().take(limit).read_to_end(&mut bytes),
        false => std::fs::File::open(file).and_then(|open| open.take(limit).read_to_end(&mut bytes)),
    };
    read.map_err(|error| UsageError(format!("could not read {}: {error}", file.display())))?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(UsageError(format!("{} is larger than {FILE_MAX_BYTES} bytes", file.display())).into());
    }
    let name = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<RepoPath>().ok());
    let path = name.map_or_else(|| "calendar.yaml".parse(), Ok).context("a constant path")?;
    match calendar_file(&path, &bytes, &crate::zones::newest()) {
        Ok(calendar) => Ok(Some(Found { name: path.to_string(), calendar })),
        Err(findings) => {
            let files = std::iter::once((path, File { bytes: bytes.into(), executable: false })).collect();
            refuse(&findings, &files, output);
            Ok(None)
        }
    }
}

fn refuse(findings: &[Finding], files: &RepoFiles, output: Output) {
    match output {
        Output::Json => print_json(&json!({ "findings": findings })),
        Output::Human => print(&render(findings, files, Style::Plain)),
    }
    tell(&format!("refused: {}", words::count(findings.len(), "finding")));
}

fn from_repo(args: &CalendarArgs) -> anyhow::Result<Option<Found>> {
    tidegate_git::init();
    let source = runtime()?.block_on(source::read(&args.path, &args.branch))?;
    let loaded = load_with(&source.files, &crate::zones::newest());
    let Some(repo) = loaded.repo.filter(|_| !has_errors(&loaded.findings)) else {
        refuse(&loaded.findings, &source.files, args.output);
        return Ok(None);
    };
    let known: Vec<&str> = repo.environments.iter().map(|environment| environment.name.as_str()).collect();
    let wanted = match (&args.environment, known.as_slice()) {
        (Some(name), _) => name.as_str(),
        (None, [only]) => only,
        (None, _) => return Err(UsageError(format!("name one with --environment: {}", known.join(", "))).into()),
    };
    let name = wanted.parse::<EnvironmentName>().ok();
    let Some(environment) = name.and_then(|name| repo.environment(&name)) else {
        return Err(UsageError(format!("there is no environment `{wanted}`; there are: {}", known.join(", "))).into());
    };
    let calendar = environment.standing(repo.locks.get(&environment.name)).calendar;
    Ok(Some(Found { name: environment.name.to_string(), calendar }))
}

fn explain(calendar: &Calendar, window: &str, (at, args): (Timestamp, &CalendarArgs)) -> anyhow::Result<()> {
    let names = calendar.window_labels();
    let by_number = window.parse::<usize>().ok().and_then(|number| number.checked_sub(1)).filter(|index| *index < names.len());
    let Some(index) = names.iter().position(|name| name == window).or(by_number) else {
        return Err(UsageError(match names.is_empty() {
            true => "this calendar has no windows: releases may start at any time, except in freezes".to_owned(),
            false => format!("there is no window `{window}`; there are: {}", names.join(", ")),
        })
        .into());
    };
    let Some(explanation) = calendar.explain(index, at, usize::from(args.count)) else { return Ok(()) };
    match args.output {
        Output::Json => print_json(&serde_json::to_value(explanation)?),
        Output::Human => print(&said::explanation(&explanation, calendar)),
    }
    Ok(())
}

/// For people: now, the next openings, freezes, changes of the clock.
fn shown(found: &Found, at: Timestamp, count: usize) -> String {
    let calendar = &found.calendar;
    let mut text = format!("{}: {}\n", found.name, words::calendar(&calendar.decide(at)));
    let until = at.checked_add(SignedDuration::from_hours(24 * AHEAD_DAYS)).unwrap_or(Timestamp::MAX);
    let zones = said::zones_of(calendar);
    let openings = calendar.next_openings(at, count);
    if openings.iter().any(|opening| opening.opens.is_some() || opening.closes.is_some()) {
        text.push_str("\nopenings\n");
        openings.iter().for_each(|opening| text.push_str(&format!("  {}\n", said::opening(opening, &zones))));
    }
    let freezes: Vec<_> = calendar.frozen_stretches(at, until).take(FREEZES_LISTED + 1).collect();
    if !freezes.is_empty() {
        text.push_str(&format!("\nfreezes in the next {AHEAD_DAYS} days\n"));
        freezes.iter().take(FREEZES_LISTED).for_each(|freeze| text.push_str(&format!("  {}\n", said::frozen_stretch(freeze, &zones))));
        if freezes.len() > FREEZES_LISTED {
            text.push_str("  … and more\n");
        }
    }
    let changes: Vec<_> = calendar.clock_changes(at, until).into_iter().filter(|change| !change.windows.is_empty()).collect();
    if !changes.is_empty() {
        text.push_str("\nthe clock changes\n");
        changes.iter().for_each(|change| text.push_str(&format!("  {}\n", said::clock_change(change, calendar))));
    }
    text
}
