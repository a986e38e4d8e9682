//! `tidegate plan`: what a change would do once it is merged, by environment and host, and when it would go out.
//!
//! Offline, the hosts are taken to run what git says is released to them (or what a recorded observation says), and the
//! calendar is shown beside the steps instead of stopping them: before a merge the question is *what*, then *when*.
//! Neither an engine nor a credential is needed.

mod before;
mod human;
mod live;
mod machine;
mod markdown;

use super::exit::UsageError;
use super::{ConfigArgs, Exit, Output, print, print_json, runtime, source, tell};
use crate::zones;
use anyhow::Context;
use before::{Base, Before};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use std::path::PathBuf;
use tidegate_core::desired::Naming;
use tidegate_core::findings::{Finding, Style, annotations, render};
use tidegate_core::ids::{CommitId, EnvironmentName, HostName};
use tidegate_core::observed::ObservedHost;
use tidegate_core::preview::{Input, Preview, preview_of};
use tidegate_core::repo::{Repo, load_with};

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// A folder, a git repository (bare or not), or its URL; `@COMMIT` names a commit
    #[arg(default_value = ".", conflicts_with = "live")]
    path: String,
    /// Compare with what is released at this commit (`main`, `HEAD~1`, an id, …)
    #[arg(long, value_name = "COMMIT", conflicts_with_all = ["live", "empty"])]
    from: Option<String>,
    /// Plan this commit instead of the files in the folder
    #[arg(long, value_name = "COMMIT", conflicts_with = "live")]
    to: Option<String>,
    /// The branch, in a bare repository or behind a URL
    #[arg(long, default_value = "main")]
    branch: String,
    /// Only this host
    #[arg(long)]
    host: Option<HostName>,
    /// Only the hosts of this environment
    #[arg(long)]
    environment: Option<EnvironmentName>,
    /// What the host has: a recorded observation (JSON); needs --host
    #[arg(long, value_name = "FILE", requires = "host")]
    observed: Option<PathBuf>,
    /// Take the hosts to be empty instead of running what is released to them
    #[arg(long, conflicts_with = "observed")]
    empty: bool,
    /// Put before each stack's name, as in the agent's settings
    #[arg(long, default_value = "")]
    name_prefix: String,
    /// This host, as it is: its agent's config and engine
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// Plan for this moment instead of now, e.g. 2026-11-23T09:00:00Z
    #[arg(long, value_name = "RFC3339")]
    now: Option<Timestamp>,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    output: Form,
    /// Exit with 2 when there are changes
    #[arg(long)]
    detailed_exitcode: bool,
}

/// How a plan is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people, with colour on a terminal.
    #[default]
    Human,
    /// For programs; carries `"format": 1`.
    Json,
    /// A comment in a pull request.
    Markdown,
    /// Annotations in a GitHub pull request.
    Github,
}

impl Form {
    /// The forms that every command has.
    fn plain(self) -> Option<Output> {
        match self {
            Form::Human => Some(Output::Human),
            Form::Json => Some(Output::Json),
            Form::Markdown | Form::Github => None,
        }
    }
}

pub(super) fn run(args: &PlanArgs) -> anyhow::Result<Exit> {
    tidegate_git::init();
    let runtime = runtime()?;
    if args.live { runtime.block_on(live::run(args)) } else { runtime.block_on(offline(args)) }
}

async fn offline(args: &PlanArgs) -> anyhow::Result<Exit> {
    let mut source = source::read(&args.path, &args.branch).await?;
    if let Some(name) = &args.to {
        let (commit, files) = source.history.named(name).await?;
        (source.commit, source.files) = (Some(commit), files);
    }
    let loaded = load_with(&source.files, &zones::newest());
    let Some(repo) = loaded.repo else {
        refuse(args, &loaded.findings, &source);
        return Ok(Exit::Findings);
    };
    check_names(args, &repo)?;
    let base = match &args.from {
        Some(name) => Some(source.history.named(name).await.map(|(commit, files)| Base { commit, files })?),
        None => None,
    };
    let from = base.as_ref().map(|base| base.commit.clone());
    let before = if args.empty { Before::default() } else { before::before(&mut source, base, &repo).await? };
    before.notes.iter().for_each(|note| tell(&format!("note: {note}")));
    let preview = made(args, &repo, &before, source.commit.as_ref())?;
    let about = serde_json::json!({ "from": from, "to": source.commit });
    match args.output {
        Form::Human => {
            tell_warnings(&loaded.findings, &source);
            print(&human::text(&preview));
        }
        Form::Json => print_json(&machine::json(&preview, &about, &loaded.findings)),
        Form::Markdown => print(&markdown::text(&preview, &loaded.findings)),
        Form::Github => print(&machine::github(&preview, &loaded.findings)),
    }
    let changes = preview.totals.hosts > 0;
    Ok(if changes && args.detailed_exitcode { Exit::Changes } else { Exit::Fine })
}

fn tell_warnings(warnings: &[Finding], source: &source::Source) {
    if !warnings.is_empty() {
        tell(&render(warnings, &source.files, Style::Plain));
    }
}

/// The config cannot be used: its findings, in the form that was asked for.
fn refuse(args: &PlanArgs, findings: &[Finding], source: &source::Source) {
    match args.output {
        Form::Human => tell(&render(findings, &source.files, Style::Plain)),
        Form::Json => print_json(&machine::refused(findings)),
        Form::Markdown => print(&markdown::refused(findings)),
        Form::Github => print(&annotations(findings)),
    }
}

fn check_names(args: &PlanArgs, repo: &Repo) -> anyhow::Result<()> {
    if let Some(name) = args.environment.as_ref().filter(|name| repo.environment(name).is_none()) {
        let known: Vec<&str> = repo.environments.iter().map(|environment| environment.name.as_str()).collect();
        return Err(UsageError(format!("there is no environment {name}; there are: {}", known.join(", "))).into());
    }
    let Some(name) = &args.host else { return Ok(()) };
    let Some(host) = repo.hosts.get(name) else {
        let known: Vec<&str> = repo.hosts.keys().map(HostName::as_str).collect();
        return Err(UsageError(format!("there is no hosts/{name}.yaml; there are: {}", known.join(", "))).into());
    };
    match args.environment.as_ref().filter(|asked| **asked != host.environment) {
        Some(asked) => Err(UsageError(format!("the host {name} belongs to {}, not to {asked}", host.environment)).into()),
        None => Ok(()),
    }
}

fn made(args: &PlanArgs, repo: &Repo, before: &Before, commit: Option<&CommitId>) -> anyhow::Result<Preview> {
    let commit = commit.cloned().map_or_else(|| "0".repeat(40).parse::<CommitId>(), Ok)?;
    let observed = match &args.observed {
        Some(path) => Some(read_observed(path)?),
        None => None,
    };
    let naming = Naming { prefix: args.name_prefix.clone() };
    let input = Input {
        repo,
        commit: &commit,
        running: &before.running,
        hosts_before: before.hosts.as_ref(),
        observed: args.host.as_ref().zip(observed.as_ref()),
        naming: &naming,
        now: args.now.unwrap_or_else(Timestamp::now),
    };
    let of_host = args.host.as_ref().and_then(|name| repo.hosts.get(name)).map(|host| &host.environment);
    let asked = args.environment.as_ref().or(of_host);
    Ok(preview_of(&input, |name| asked.is_none_or(|asked| asked == name), |name| args.host.as_ref().is_none_or(|asked| asked == name)))
}

fn read_observed(path: &PathBuf) -> anyhow::Result<ObservedHost> {
    let text = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not a recorded observation", path.display()))
}
