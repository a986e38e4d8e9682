//! Which paths differ between two commits, with a limit on how much is looked at.
//!
//! Our own walk, because libgit2 builds the whole list before it hands out the first entry: ten small trees that name each
//! other ten times over are a list of ten thousand million files. Folders that are the same are not entered, an empty
//! folder counts as a path, and two entries of one name are an error: no two readers agree on which of them counts.

use git2::{Commit, Error, ErrorClass, ErrorCode, Oid, Repository, Tree};
use std::collections::BTreeMap;
use tidegate_core::trust::PATHS_MAX;

/// Deepest folder that is looked into; a path of the config repo has fewer parts.
const DEPTH_MAX: usize = 64;

/// The paths that differ; none: there are more than [`PATHS_MAX`], or too deep.
pub(crate) fn changed_paths(repository: &Repository, before: &Commit<'_>, after: &Commit<'_>) -> Result<Option<Vec<String>>, Error> {
    let mut walk = Walk { repository, paths: Vec::new(), looked_at: 0 };
    let inside = walk.folders(Some(before.tree()?), Some(after.tree()?), &Place { path: String::new(), depth: 0 })?;
    Ok(inside.then_some(walk.paths))
}

struct Place {
    path: String,
    depth: usize,
}

struct Walk<'a> {
    repository: &'a Repository,
    paths: Vec<String>,
    /// Entries of folders that differ; bounded like the paths, so that a bomb of nothing but folders ends too.
    looked_at: usize,
}

type Entries = BTreeMap<Vec<u8>, (Oid, i32)>;

impl<'a> Walk<'a> {
    /// False: it is too much.
    fn folders(&mut self, before: Option<Tree<'_>>, after: Option<Tree<'_>>, place: &Place) -> Result<bool, Error> {
        if place.depth > DEPTH_MAX {
            return Ok(false);
        }
        let (before, after) = (entries(before.as_ref())?, entries(after.as_ref())?);
        let names = before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>();
        self.looked_at += names.len();
        if self.looked_at > PATHS_MAX * 10 {
            return Ok(false);
        }
        if names.is_empty() && place.depth > 0 {
            self.paths.push(place.path.clone());
        }
        for name in names {
            let (was, is) = (before.get(name), after.get(name));
            if was != is && !self.entry(was.copied(), is.copied(), &below(place, name))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn entry(&mut self, was: Option<(Oid, i32)>, is: Option<(Oid, i32)>, place: &Place) -> Result<bool, Error> {
        let (folder_before, folder_after) = (self.folder(was)?, self.folder(is)?);
        let is_file = |entry: Option<(Oid, i32)>, folder: &Option<Tree<'_>>| entry.is_some() && folder.is_none();
        if is_file(was, &folder_before) || is_file(is, &folder_after) {
            self.paths.push(place.path.clone());
        }
        if self.paths.len() > PATHS_MAX {
            return Ok(false);
        }
        if folder_before.is_none() && folder_after.is_none() {
            return Ok(true);
        }
        self.folders(folder_before, folder_after, place)
    }

    fn folder(&self, entry: Option<(Oid, i32)>) -> Result<Option<Tree<'a>>, Error> {
        match entry {
            Some((id, 0o040_000)) => self.repository.find_tree(id).map(Some),
            _ => Ok(None),
        }
    }
}

fn below(place: &Place, name: &[u8]) -> Place {
    let name = String::from_utf8_lossy(name);
    let path = if place.path.is_empty() { name.into_owned() } else { format!("{}/{name}", place.path) };
    Place { path, depth: place.depth + 1 }
}

fn entries(tree: Option<&Tree<'_>>) -> Result<Entries, Error> {
    let mut found = Entries::new();
    for entry in tree.into_iter().flat_map(Tree::iter) {
        let kind = (entry.id(), entry.filemode());
        if found.insert(entry.name_bytes().to_vec(), kind).is_some() {
            return Err(Error::new(ErrorCode::Invalid, ErrorClass::Tree, "a folder has two entries of one name"));
        }
    }
    Ok(found)
}
