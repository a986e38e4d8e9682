//! `tidegate schema`: JSON Schemas of the files that people write, for their editors.

use super::{Exit, tell};
use crate::words;
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;
use tidegate_core::schema::schemas;

/// Where a config repo keeps its schemas.
const FOLDER: &str = ".schema";
/// What editors look for in the first line.
const HEAD: &str = "# yaml-language-server: $schema=";

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Folder to write to; a file of a config repo names it in its first line, for example
    /// `# yaml-language-server: $schema=../.schema/environment.json`
    #[arg(default_value = ".schema")]
    folder: PathBuf,
}

/// Writes them anew: they are generated, and nobody edits them.
pub(super) fn run(args: &SchemaArgs) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(&args.folder).with_context(|| format!("could not create {}", args.folder.display()))?;
    let schemas = schemas();
    for (name, text) in &schemas {
        let path = args.folder.join(format!("{name}.json"));
        std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    }
    tell(&format!("{} written to {}", words::count(schemas.len(), "schema"), args.folder.display()));
    Ok(Exit::Fine)
}

/// The schemas as files of a config repo.
pub(super) fn files() -> Vec<(String, String)> {
    schemas().into_iter().map(|(name, text)| (format!("{FOLDER}/{name}.json"), text)).collect()
}

/// A file of a config repo with the line that tells an editor its schema; files that have none stay as they are.
pub(super) fn headed(path: &str, text: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let schema = match path.split('/').next() {
        Some("tidegate.yaml") => "tidegate",
        Some("trust.yaml") => "trust",
        Some("environments") => "environment",
        Some("hosts") => "host",
        Some("stacks") if name.starts_with("compose.") => "compose",
        _ => return text.to_owned(),
    };
    if text.starts_with(HEAD) {
        return text.to_owned();
    }
    let up = "../".repeat(path.matches('/').count());
    format!("{HEAD}{up}{FOLDER}/{schema}.json\n{text}")
}
