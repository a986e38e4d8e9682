//! Folders that appear whole or not at all: written aside, in the same file system, and renamed into place. What is
//! there already is never written over.
//!
//! A folder that is new comes by one rename: a crash leaves it out or whole. Into a folder that exists, entries are
//! renamed one after the other; a crash in between leaves the folder aside behind, by which it is known afterwards.

use super::exit::UsageError;
use anyhow::Context;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tidegate_core::files::File;

/// How the name of a folder aside begins.
const ASIDE: &str = ".tidegate-";

/// A folder aside, for what shall stand in `target`; gone with its value.
pub(super) struct Aside {
    target: PathBuf,
    folder: PathBuf,
    place: Place,
}

/// What is renamed in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The folder aside becomes the target.
    Whole,
    /// Each entry goes into the target, which is there.
    Entries,
}

/// What an interrupted run left behind in a folder, if one did.
pub(super) fn left_behind(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(ASIDE)).map(|entry| entry.path()).next()
}

impl Aside {
    /// A hidden folder in `target`, or beside it where there is none yet.
    pub(super) fn new(target: &Path) -> anyhow::Result<Aside> {
        let (place, parent) = match (target.exists(), target.parent()) {
            (false, Some(parent)) if parent.as_os_str().is_empty() => (Place::Whole, Path::new(".")),
            (false, Some(parent)) => (Place::Whole, parent),
            (true, _) | (false, None) => (Place::Entries, target),
        };
        fs::create_dir_all(parent).with_context(|| format!("could not create {}", parent.display()))?;
        let random: [u8; 8] = rand::random();
        let folder = parent.join(format!("{ASIDE}{}", hex::encode(random)));
        fs::create_dir(&folder).with_context(|| format!("could not create {}", folder.display()))?;
        Ok(Aside { target: target.to_owned(), folder, place })
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

    /// Renames everything into place: at once, or these entries (which are all that was written) in this order. When one
    /// cannot be placed, those before it are taken back.
    pub(super) fn place<'a>(self, entries: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
        if self.place == Place::Whole {
            // Somebody may have made it meanwhile: a folder with something in it is never replaced by a rename.
            return fs::rename(&self.folder, &self.target)
                .with_context(|| format!("could not place {}; nothing was written", self.target.display()));
        }
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
        Ok(())
    }
}

/// What was just placed goes again; a failure leaves it, and the error that led here is told anyway.
fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

impl Drop for Aside {
    fn drop(&mut self) {
        // After a whole one was placed there is none.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_folder_is_not_there_until_it_is_there_whole() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("deep/repo");
        let aside = Aside::new(&target).unwrap();
        aside.write(Path::new("stacks/shop/compose.yaml"), b"a").unwrap();
        aside.write(Path::new("tidegate.yaml"), b"b").unwrap();
        assert!(!target.exists(), "a crash here leaves nothing by that name");
        aside.place(["stacks", "tidegate.yaml"].into_iter()).unwrap();
        assert_eq!(names(&target), ["stacks", "tidegate.yaml"]);
        assert_eq!(names(target.parent().unwrap()), ["repo"], "nothing is left aside");

        let given_up = Aside::new(&place.path().join("other")).unwrap();
        given_up.write(Path::new("a"), b"a").unwrap();
        drop(given_up);
        assert_eq!(names(place.path()), ["deep"]);
    }

    #[test]
    fn a_folder_that_came_meanwhile_is_not_replaced() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("repo");
        let aside = Aside::new(&target).unwrap();
        aside.write(Path::new("tidegate.yaml"), b"ours").unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(target.join("theirs"), "x").unwrap();
        assert!(aside.place(["tidegate.yaml"].into_iter()).is_err());
        assert_eq!(names(&target), ["theirs"]);
    }

    #[test]
    fn what_a_crash_between_two_renames_leaves_behind_is_known_by_it() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(left_behind(place.path()), None);
        let aside = Aside::new(place.path()).unwrap();
        aside.write(Path::new("hosts/a.yaml"), b"a").unwrap();
        // As a kill would: nothing that goes with a value is run.
        let folder = aside.folder.clone();
        std::mem::forget(aside);
        assert_eq!(left_behind(place.path()), Some(folder));
    }
}
