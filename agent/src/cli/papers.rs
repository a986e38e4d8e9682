//! `tidegate completions` and `tidegate man`: made from the same definition as the help.

use super::{Exit, print};
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Folder to write to
    folder: PathBuf,
}

pub(super) fn completions(args: &CompletionsArgs, mut command: clap::Command) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "tidegate", &mut script);
    print(&String::from_utf8_lossy(&script));
    Ok(Exit::Fine)
}

pub(super) fn man(args: &ManArgs, mut command: clap::Command) -> anyhow::Result<Exit> {
    // Gives the subcommands their full names.
    command.build();
    std::fs::create_dir_all(&args.folder).with_context(|| format!("could not create {}", args.folder.display()))?;
    page(&args.folder, command.clone(), "tidegate")?;
    for sub in command.get_subcommands() {
        let name = format!("tidegate-{}", sub.get_name());
        page(&args.folder, sub.clone(), &name)?;
    }
    Ok(Exit::Fine)
}

fn page(folder: &Path, command: clap::Command, name: &str) -> anyhow::Result<()> {
    let path = folder.join(format!("{name}.1"));
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))
}
