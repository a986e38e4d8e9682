//! `tidegate import`: an existing Compose project becomes a stack in a config repo.
//!
//! The files stay as people wrote them, with variables, anchors and comments; what Tidegate does otherwise is put into
//! comments and said. What it cannot take is refused, with its place in the project's own files, and then nothing is
//! written at all.

mod edits;
mod project;

use super::exit::UsageError;
use super::folder::{Aside, left_behind};
use super::{Exit, print, schema, source, tell};
use crate::words::import as say;
use crate::zones;
use clap::Args;
use project::Project;
use std::path::{Path, PathBuf};
use tidegate_core::compose::{MountSource, Resolved, resolve_with_files};
use tidegate_core::files::RepoFiles;
use tidegate_core::findings::{Finding, Severity, Style, has_errors, render};
use tidegate_core::ids::{EnvironmentName, HostName, StackName};
use tidegate_core::repo::load_with;

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The Compose file; `.env`, the override beside it and every file that it names are taken too
    #[arg(default_value = "compose.yaml")]
    file: PathBuf,
    /// A config repo to add the stack to, or a new folder to make one in
    #[arg(long, value_name = "DIR", default_value = "config-repo")]
    output_dir: PathBuf,
    /// The stack's name [default: the project's name, or its folder's]
    #[arg(long)]
    stack: Option<StackName>,
    /// The environment of a new config repo, and of what an override file says
    #[arg(long, default_value = "production")]
    environment: EnvironmentName,
    /// The host of a new config repo
    #[arg(long, default_value = "host-1")]
    host: HostName,
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<Exit> {
    let mut project = Project::read(&args.file, args.stack.as_ref(), &args.environment)?;
    let mut notes = project.names();
    notes.extend(edits::edit(&mut project));
    let resolved = resolve_with_files(&project.files, &args.environment, &project.stack);
    if has_errors(&resolved.findings) {
        return Ok(refuse(&project, &resolved.findings));
    }
    let existing = args.output_dir.join("tidegate.yaml").is_file();
    let made = files(args, &project, &resolved, existing)?;
    let all = whole(args, &made, existing)?;
    let loaded = load_with(&all, &zones::newest());
    if loaded.repo.is_none() {
        return Ok(refuse(&project, &loaded.findings));
    }
    write(args, &made, existing)?;
    notes.extend(differences(&project, &resolved));
    print(&say::report(&args.output_dir, &project.stack, &notes, existing));
    Ok(Exit::Fine)
}

/// Nothing was written: what is wrong, by the names that the project's files have.
fn refuse(project: &Project, findings: &[Finding]) -> Exit {
    let errors: Vec<Finding> =
        findings.iter().filter(|finding| finding.severity == Severity::Error).map(|finding| project.told(finding)).collect();
    print(&render(&errors, &RepoFiles::default(), Style::Plain));
    tell(&say::refused(errors.len()));
    Exit::Findings
}

/// The files of the stack, and of a new config repo around it.
fn files(args: &ImportArgs, project: &Project, resolved: &Resolved, existing: bool) -> anyhow::Result<RepoFiles> {
    let mut made = RepoFiles::default();
    for path in &resolved.used {
        if let Some(file) = project.files.get(path) {
            made.insert(path.clone(), file.clone());
        }
    }
    // A config repo that has schemas, or gets them, names them in each file.
    if !existing || args.output_dir.join(".schema").is_dir() {
        for path in project.compose_files() {
            let Some(text) = made.get(&path).and_then(|file| std::str::from_utf8(&file.bytes).ok()).map(str::to_owned) else { continue };
            made.insert_text(path.clone(), &schema::headed(path.as_str(), &text));
        }
    }
    if !existing {
        for (path, text) in say::new_repo(&args.environment, &args.host, &project.stack) {
            made.insert_text(path.parse()?, &schema::headed(&path, &text));
        }
        for (path, text) in schema::files() {
            made.insert_text(path.parse()?, &text);
        }
    }
    Ok(made)
}

/// The config repo as it will be.
fn whole(args: &ImportArgs, made: &RepoFiles, existing: bool) -> anyhow::Result<RepoFiles> {
    let mut all = if existing { source::walk(&args.output_dir)? } else { RepoFiles::default() };
    for (path, file) in made.iter() {
        all.insert(path.clone(), file.clone());
    }
    Ok(all)
}

fn write(args: &ImportArgs, made: &RepoFiles, existing: bool) -> anyhow::Result<()> {
    let folder = &args.output_dir;
    if let Some(left) = left_behind(folder) {
        return Err(UsageError(say::interrupted(folder, &left)).into());
    }
    if !existing && !is_free(folder) {
        let text =
            format!("{} is neither empty nor a config repo; name a new folder, or the folder with `tidegate.yaml`", folder.display());
        return Err(UsageError(text).into());
    }
    let aside = Aside::new(folder)?;
    for (path, file) in made.iter() {
        aside.write_file(Path::new(path.as_str()), file)?;
    }
    // The stack's folder in an existing repo; else everything, and the file that makes it a config repo last.
    let mut entries: Vec<String> = match existing {
        true => Vec::new(),
        false => [".schema", "environments", "hosts"].map(str::to_owned).into(),
    };
    let stacks =
        made.iter().filter_map(|(path, _)| path.as_str().strip_prefix("stacks/")?.split('/').next().map(|name| format!("stacks/{name}")));
    entries.extend(stacks.collect::<std::collections::BTreeSet<_>>());
    if !existing {
        entries.push("tidegate.yaml".to_owned());
    }
    aside.place(entries.iter().map(String::as_str))
}

/// Missing, or without anything but git's own folder in it.
fn is_free(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == ".git")),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// What is not as it was under `docker compose`.
fn differences(project: &Project, resolved: &Resolved) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(model) = &resolved.model else { return notes };
    for (name, service) in &model.services {
        for mount in &service.container.mounts {
            match &mount.source {
                MountSource::Repo { path, .. } => notes.push(say::read_only(name, &project.own_name(path.as_str()), &mount.target)),
                MountSource::Bind { path } => notes.push(say::host_path(name, path)),
                MountSource::Volume { .. } | MountSource::Anonymous | MountSource::Tmpfs { .. } => {}
            }
        }
        if service.container.image.digest.is_none() && service.container.image.tag.as_deref() == Some("latest") {
            notes.push(say::latest(name, &service.container.image.for_people()));
        }
        notes.extend(service.container.container_name.as_ref().map(|fixed| say::fixed_name(name, fixed)));
    }
    let env_files = resolved.used.iter().filter(|path| path.file_name().contains("env"));
    notes.extend(env_files.map(|path| say::values_in_git(&project.own_name(path.as_str()))));
    let warnings = resolved.findings.iter().filter(|finding| finding.severity == Severity::Warning);
    notes.extend(warnings.map(|warning| project.told(warning)).map(|warning| say::warning(&warning)));
    notes
}
