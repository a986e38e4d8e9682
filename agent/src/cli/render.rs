//! `tidegate render`: what a host is to run, as plain Compose files: variables filled in, overrides merged, digests of
//! the lock pinned. `docker compose` takes them as they are.

use super::exit::UsageError;
use super::folder::Aside;
use super::{Exit, print, runtime, source, tell};
use crate::{words, zones};
use clap::Args;
use std::path::{Path, PathBuf};
use tidegate_core::compose::{MountSource, StackModel, placed, render};
use tidegate_core::files::RepoFiles;
use tidegate_core::findings::{Style, render as rendered};
use tidegate_core::ids::{EnvironmentName, HostName, StackName};
use tidegate_core::repo::{Host, Repo, load_with};

#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    /// A folder, a git repository (bare or not), or its URL; `@COMMIT` names a commit
    #[arg(default_value = ".")]
    path: String,
    /// The host
    #[arg(long)]
    host: HostName,
    /// The environment that the host must belong to
    #[arg(long)]
    environment: Option<EnvironmentName>,
    /// Only this stack
    #[arg(long)]
    stack: Option<StackName>,
    /// Write a folder per stack, with the files that containers mount, instead of printing
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// The branch, in a bare repository or behind a URL
    #[arg(long, default_value = "main")]
    branch: String,
}

pub(super) fn run(args: &RenderArgs) -> anyhow::Result<Exit> {
    tidegate_git::init();
    let source = runtime()?.block_on(source::read(&args.path, &args.branch))?;
    let loaded = load_with(&source.files, &zones::newest());
    let Some(repo) = loaded.repo else {
        tell(&rendered(&loaded.findings, &source.files, Style::Plain));
        return Ok(Exit::Findings);
    };
    let host = host(args, &repo)?;
    let stacks = stacks(&repo, host, args.stack.as_ref());
    if stacks.is_empty() {
        let asked = args.stack.as_ref().map_or(String::new(), |stack| format!(" called {stack}"));
        return Err(UsageError(format!("no stack{asked} is placed on {}", host.name)).into());
    }
    match &args.output_dir {
        None => print(&printed(&stacks, host)),
        Some(folder) => {
            write(&stacks, host, &source.files, folder)?;
            tell(&format!("{} written to {}", words::count(stacks.len(), "stack"), folder.display()));
        }
    }
    Ok(Exit::Fine)
}

fn host<'a>(args: &RenderArgs, repo: &'a Repo) -> anyhow::Result<&'a Host> {
    let Some(host) = repo.hosts.get(&args.host) else {
        let known: Vec<&str> = repo.hosts.keys().map(HostName::as_str).collect();
        return Err(UsageError(format!("there is no hosts/{}.yaml; there are: {}", args.host, known.join(", "))).into());
    };
    match args.environment.as_ref().filter(|asked| **asked != host.environment) {
        Some(asked) => Err(UsageError(format!("the host {} belongs to {}, not to {asked}", host.name, host.environment)).into()),
        None => Ok(host),
    }
}

/// The stacks of a host, each as far as it belongs there, with the lock's digests.
fn stacks(repo: &Repo, host: &Host, asked: Option<&StackName>) -> Vec<StackModel> {
    let Some(environment) = repo.environment(&host.environment) else { return Vec::new() };
    let lock = repo.locks.get(&environment.name);
    let wanted =
        environment.stacks.iter().filter(|(name, placement)| placement.matches(&host.labels) && asked.is_none_or(|asked| asked == *name));
    wanted
        .filter_map(|(name, _)| repo.stacks.get(&(environment.name.clone(), name.clone())))
        .map(|model| match lock.and_then(|lock| lock.stacks.get(&model.name)) {
            Some(locked) => model.clone().pinned(&locked.images),
            None => model.clone(),
        })
        .map(|model| placed(&model, &host.labels))
        .filter(|model| !model.services.is_empty())
        .collect()
}

fn head(stack: &StackModel, host: &Host) -> String {
    format!("# The stack {} on {} ({}), by `tidegate render`.\n", stack.name, host.name, host.environment)
}

/// One document per stack.
fn printed(stacks: &[StackModel], host: &Host) -> String {
    let documents: Vec<String> = stacks.iter().map(|stack| format!("{}{}", head(stack, host), render(stack))).collect();
    documents.join("---\n")
}

/// A folder per stack, made aside and renamed: all of them or none.
fn write(stacks: &[StackModel], host: &Host, files: &RepoFiles, folder: &Path) -> anyhow::Result<()> {
    let aside = Aside::new(folder)?;
    for stack in stacks {
        let below = PathBuf::from(stack.name.as_str());
        aside.write(&below.join("compose.yaml"), format!("{}{}", head(stack, host), render(stack)).as_bytes())?;
        let own = format!("stacks/{}/", stack.name);
        let mounts = stack.services.values().flat_map(|service| &service.container.mounts);
        for mount in mounts {
            let MountSource::Repo { path, .. } = &mount.source else { continue };
            for (found, file) in files.below(path) {
                let relative = found.as_str().strip_prefix(&own).unwrap_or(found.as_str());
                aside.write_file(&below.join(relative), file)?;
            }
        }
    }
    aside.place(stacks.iter().map(|stack| stack.name.as_str()))
}
