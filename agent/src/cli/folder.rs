//! Folders that appear whole or not at all: written aside, in the same file system, and renamed into place. What is
//! there already is never written over.

use super::exit::UsageError;
use anyhow::Context;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tidegate_core::files::File;

/// A folder aside, for what shall stand in `target`; gone with its value.
pub(super) struct Aside {
    target: PathBuf,
    folder: PathBuf,
    made_target: bool,
}

impl Aside {
    /// Makes `target` if it is missing, and a hidden folder in it.
    pub(super) fn new(target: &Path) -> anyhow::Result<Aside> {
        let made_target = !target.exists();
        fs::create_dir_all(target).with_context(|| format!("could not create {}", target.display()))?;
        let random: [u8; 8] = rand::random();
        let folder = target.join(format!(".tidegate-{}", hex::encode(random)));
        fs::create_dir(&folder).with_context(|| format!("could not create {}", folder.display()))?;
        Ok(Aside { target: target.to_owned(), folder, made_target })
    }

    /// Writes a file aside.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("could not create {}", parent.display()))?;
        }
        fs::write(&path, bytes).with_context(|| format!("could not write {}", path.display()))
    }

    /// Writes a file of a config repo aside, with its mode.
    pub(super) fn write_file(&self, path: &Path, file: &File) -> anyhow::Result<()> {
        self.write(path, &file.bytes)?;
        if file.executable {
            let path = self.folder.join(path);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("could not set the mode of {}", path.display()))?;
        }
        Ok(())
    }

    /// Renames these entries into place, in this order. When one cannot be placed, those before it are taken back.
    pub(super) fn place<'a>(mut self, entries: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
        let entries: Vec<&str> = entries.collect();
        for entry in &entries {
            let path = self.target.join(entry);
            if path.symlink_metadata().is_ok() {
                return Err(UsageError(format!("{} is there already; nothing was written", path.display())).into());
            }
        }
        let mut placed: Vec<PathBuf> = Vec::new();
        for entry in entries {
            let path = self.target.join(entry);
            let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
            if let Err(error) = parent.and_then(|()| fs::rename(self.folder.join(entry), &path)) {
                placed.iter().rev().for_each(|path| remove(path));
                return Err(error).with_context(|| format!("could not place {}; nothing was written", path.display()));
            }
            placed.push(path);
        }
        self.made_target = false;
        Ok(())
    }
}

/// What was just placed goes again; a failure leaves it, and the error that led here is told anyway.
fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        if self.made_target {
            // Only if nothing else came into it meanwhile.
            let _ = fs::remove_dir(&self.target);
        }
    }
}
