//! A Compose project on disk, under the names that its files will have in a config repo.

use crate::cli::exit::UsageError;
use crate::words::import as say;
use anyhow::Context;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tidegate_core::files::{FILE_MAX_BYTES, FILES_MAX, File, RepoFiles, TOTAL_MAX_BYTES};
use tidegate_core::findings::Finding;
use tidegate_core::ids::{EnvironmentName, RepoPath, StackName};
use tidegate_core::yaml::{COMPOSE_LIMITS, read};

/// The names that Compose looks for by itself; only beside these it merges an override.
const DEFAULT_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const OVERRIDE_NAMES: [&str; 4] =
    ["compose.override.yaml", "compose.override.yml", "docker-compose.override.yml", "docker-compose.override.yaml"];
/// Folders that are never part of a project.
const SKIPPED: [&str; 3] = [".git", "node_modules", "target"];

/// A project.
pub(super) struct Project {
    /// The stack's name.
    pub(super) stack: StackName,
    /// Every file of the project's folder, below `stacks/<name>/`.
    pub(super) files: RepoFiles,
    /// The Compose file's own name, and its override's.
    main: String,
    override_name: Option<String>,
    environment: EnvironmentName,
}

impl Project {
    /// Reads the folder of a Compose file.
    pub(super) fn read(file: &Path, stack: Option<&StackName>, environment: &EnvironmentName) -> anyhow::Result<Project> {
        let missing = || UsageError(format!("{} is not there; name a Compose file", file.display()));
        let absolute = std::fs::canonicalize(file).map_err(|_| missing())?;
        if !absolute.is_file() {
            return Err(missing().into());
        }
        let (Some(folder), Some(main)) = (absolute.parent(), absolute.file_name().and_then(|name| name.to_str())) else {
            return Err(missing().into());
        };
        let bytes = std::fs::read(&absolute).with_context(|| format!("could not read {}", file.display()))?;
        let stack = match stack {
            Some(stack) => stack.clone(),
            None => name_of(folder, &bytes)?,
        };
        let override_name = OVERRIDE_NAMES.into_iter().find(|name| DEFAULT_NAMES.contains(&main) && folder.join(name).is_file());
        let mut project = Project {
            stack,
            files: RepoFiles::default(),
            main: main.to_owned(),
            override_name: override_name.map(str::to_owned),
            environment: environment.clone(),
        };
        project.walk(folder)?;
        Ok(project)
    }

    /// The Compose file and the override, as paths of the config repo.
    pub(super) fn compose_files(&self) -> Vec<RepoPath> {
        let over = self.override_name.as_ref().map(|_| format!("compose.{}.yaml", self.environment));
        let names = std::iter::once("compose.yaml".to_owned()).chain(over);
        names.filter_map(|name| format!("stacks/{}/{name}", self.stack).parse().ok()).collect()
    }

    /// What is called otherwise now.
    pub(super) fn names(&self) -> Vec<String> {
        let renamed = |from: &str, to: String| (from != to).then(|| say::renamed(from, &format!("stacks/{}/{to}", self.stack)));
        let over = self.override_name.as_ref().and_then(|name| renamed(name, format!("compose.{}.yaml", self.environment)));
        renamed(&self.main, "compose.yaml".to_owned()).into_iter().chain(over).collect()
    }

    /// The name that a file has in the project.
    pub(super) fn own_name(&self, path: &str) -> String {
        let Some(name) = path.strip_prefix(&format!("stacks/{}/", self.stack)) else { return path.to_owned() };
        match &self.override_name {
            _ if name == "compose.yaml" => self.main.clone(),
            Some(over) if name == format!("compose.{}.yaml", self.environment) => over.clone(),
            _ => name.to_owned(),
        }
    }

    /// A finding in the project's own names.
    pub(super) fn told(&self, finding: &Finding) -> Finding {
        let folder = format!("stacks/{}", self.stack);
        let own = |text: &str| text.replace(&format!("{folder}/"), "").replace(&format!("`{folder}`"), "the project's folder");
        let mut told = finding.clone();
        if let Ok(file) = self.own_name(finding.place.file.as_str()).parse() {
            told.place.file = file;
        }
        told.message = own(&finding.message);
        told.hint = Some(finding.hint.as_deref().map_or_else(|| say::GENERAL_HINT.to_owned(), own));
        told
    }

    /// Regular files that a config repo may hold; links are not followed, and what is too large is not there.
    fn walk(&mut self, root: &Path) -> anyhow::Result<()> {
        let mut total = 0_u64;
        let mut open: Vec<PathBuf> = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.collect::<Result<Vec<_>, _>>()? {
                let (path, about) = (entry.path(), entry.metadata()?);
                let skipped = entry.file_name().to_str().is_none_or(|name| SKIPPED.contains(&name));
                if about.is_dir() && !skipped {
                    open.push(path);
                } else if about.is_file() && about.len() <= FILE_MAX_BYTES {
                    total = total.saturating_add(about.len());
                    if total > TOTAL_MAX_BYTES || self.files.len() >= FILES_MAX {
                        let text = format!(
                            "{} holds too much to look through; put the Compose file into a folder with its own files only",
                            root.display()
                        );
                        return Err(UsageError(text).into());
                    }
                    self.take(root, &path, about.permissions().mode() & 0o100 != 0);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, root: &Path, path: &Path, executable: bool) {
        let Some(relative) = path.strip_prefix(root).ok().and_then(Path::to_str) else { return };
        let name = match relative {
            name if name == self.main => "compose.yaml".to_owned(),
            name if self.override_name.as_deref() == Some(name) => format!("compose.{}.yaml", self.environment),
            // It would be taken for the Compose file, or for an override that was not meant.
            "compose.yaml" => return,
            name if name == format!("compose.{}.yaml", self.environment) => return,
            name => name.to_owned(),
        };
        let (Ok(path_there), Ok(bytes)) = (format!("stacks/{}/{name}", self.stack).parse(), std::fs::read(path)) else { return };
        self.files.insert(path_there, File { bytes: bytes.into(), executable });
    }
}

/// The project's `name`, or its folder's in the letters that a stack's name has.
fn name_of(folder: &Path, compose: &[u8]) -> anyhow::Result<StackName> {
    let file: RepoPath = "compose.yaml".parse()?;
    let tree = read(&file, compose, &COMPOSE_LIMITS).ok().flatten();
    let named = tree.as_ref().and_then(|tree| tree.get("name")).and_then(|node| node.scalar());
    if let Some(name) = named.and_then(|name| name.parse().ok()) {
        return Ok(name);
    }
    let own = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
    let letters: String = own.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }).collect();
    let name = letters.trim_matches('-').chars().take(40).collect::<String>();
    name.parse().map_err(|_| UsageError("the project's folder has no name that a stack could have; give one with --stack".into()).into())
}
