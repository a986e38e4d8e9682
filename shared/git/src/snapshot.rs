//! A commit's files, read from the object database: nothing is ever checked out, so no link is followed and no name is
//! given to the file system. Sizes are read from object headers before any content is inflated.

use crate::error::{self, GitError};
use crate::store::Store;
use git2::{ObjectType, Odb, Oid, Repository};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Weak};
use tidegate_core::files::{FILE_MAX_BYTES, FILES_MAX, File, RepoFiles, TOTAL_MAX_BYTES};
use tidegate_core::ids::RepoPath;

/// How many whole snapshots are kept in memory: the tip, and the commits that locks name.
const SNAPSHOTS_KEPT: usize = 8;
/// Most folders of one commit; without this, nested empty folders could keep a walk busy for ever.
const FOLDERS_MAX: usize = 50_000;
/// Largest folder listing, in bytes.
const FOLDER_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Most entries of one commit that are noted as refused; with more, the commit as a whole is.
const REFUSED_MAX: usize = 1_000;

/// What an entry of a folder may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File { executable: bool },
    Link,
    Submodule,
    Other(i32),
}

#[derive(Debug)]
struct Entry {
    name: Box<[u8]>,
    kind: Kind,
    id: Oid,
}

type Listing = Arc<[Entry]>;

/// Remembers the last snapshots and what they are made of, so that the next commit costs only what it changed. Blobs
/// and folders live exactly as long as a remembered snapshot, or a caller, holds them.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Newest last.
    snapshots: VecDeque<(Oid, Snapshot)>,
    blobs: HashMap<Oid, Weak<[u8]>>,
    folders: HashMap<Oid, Weak<[Entry]>>,
}

/// Files, and the folder listings that keep the cache warm.
#[derive(Debug, Clone)]
struct Snapshot {
    files: Arc<RepoFiles>,
    _folders: Arc<Vec<Listing>>,
}

impl Cache {
    /// The files at a commit that is in the mirror.
    pub fn files(&mut self, store: &Store, commit: Oid) -> Result<Arc<RepoFiles>, GitError> {
        if let Some(files) = self.remembered(commit) {
            return Ok(files);
        }
        let snapshot = self.read(&store.repository()?, &store.dir, commit)?;
        Ok(self.keep(commit, snapshot))
    }

    /// The files at a commit of a repository that is not ours.
    pub fn files_of(&mut self, repository: &Repository, dir: &Path, commit: Oid) -> Result<Arc<RepoFiles>, GitError> {
        if let Some(files) = self.remembered(commit) {
            return Ok(files);
        }
        let snapshot = self.read(repository, dir, commit)?;
        Ok(self.keep(commit, snapshot))
    }

    fn keep(&mut self, commit: Oid, snapshot: Snapshot) -> Arc<RepoFiles> {
        let files = snapshot.files.clone();
        self.snapshots.push_back((commit, snapshot));
        if self.snapshots.len() > SNAPSHOTS_KEPT {
            self.snapshots.pop_front();
        }
        self.blobs.retain(|_, blob| blob.strong_count() > 0);
        self.folders.retain(|_, folder| folder.strong_count() > 0);
        files
    }

    /// The files at a commit, if they are in memory already; it then counts as used last.
    pub fn remembered(&mut self, commit: Oid) -> Option<Arc<RepoFiles>> {
        let at = self.snapshots.iter().position(|(id, _)| *id == commit)?;
        let found = self.snapshots.remove(at)?;
        let files = found.1.files.clone();
        self.snapshots.push_back(found);
        Some(files)
    }

    fn read(&mut self, repository: &Repository, dir: &Path, commit: Oid) -> Result<Snapshot, GitError> {
        let failed = error::mirror("reading a commit", dir);
        let root = repository.find_commit(commit).map_err(&failed)?.tree_id();
        let odb = repository.odb().map_err(&failed)?;
        let mut walk =
            Walk { cache: self, odb: &odb, dir, commit, files: RepoFiles::default(), folders: Vec::new(), total_bytes: 0, refused: 0 };
        let listing = walk.listing(root, "")?;
        walk.folder(listing, "")?;
        Ok(Snapshot { files: Arc::new(walk.files), _folders: Arc::new(walk.folders) })
    }
}

/// One walk over a commit's tree.
struct Walk<'a> {
    cache: &'a mut Cache,
    odb: &'a Odb<'a>,
    dir: &'a Path,
    commit: Oid,
    files: RepoFiles,
    folders: Vec<Listing>,
    total_bytes: u64,
    /// How many entries are refused so far.
    refused: usize,
}

impl Walk<'_> {
    /// Depth is bounded by the longest path that `RepoPath` takes. What cannot be read is noted with its reason: it
    /// concerns whoever uses it, and must not stand in the way of a rollback.
    fn folder(&mut self, listing: Listing, prefix: &str) -> Result<(), GitError> {
        if self.folders.len() >= FOLDERS_MAX {
            return Err(self.too_big("folders", format!("{FOLDERS_MAX} folders")));
        }
        self.folders.push(listing.clone());
        for entry in listing.iter() {
            match self.entry(entry, prefix) {
                Err(GitError::BadFile { path, reason, .. }) if self.refused < REFUSED_MAX => {
                    self.refused += 1;
                    // The path itself, unless it is the name that is wrong: then it is escaped for people.
                    let name = std::str::from_utf8(&entry.name).ok().map(|name| format!("{prefix}{name}"));
                    self.files.refuse(&name.filter(|name| name.parse::<RepoPath>().is_ok()).unwrap_or(path), &reason);
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, prefix: &str) -> Result<(), GitError> {
        let name = std::str::from_utf8(&entry.name)
            .map_err(|_| self.bad(&format!("{prefix}{}", entry.name.escape_ascii()), "its name is not UTF-8; rename it"))?;
        let text = format!("{prefix}{name}");
        let path: RepoPath = text.parse().map_err(|refused: tidegate_core::ids::InvalidId| self.bad(&text, refused.rule))?;
        match entry.kind {
            Kind::Folder => {
                let prefix = format!("{text}/");
                let listing = self.listing(entry.id, &prefix)?;
                self.folder(listing, &prefix)
            }
            Kind::File { executable } => self.file(entry.id, path, executable),
            Kind::Link => Err(self.bad(&text, "it is a symbolic link; put the file itself there")),
            Kind::Submodule => Err(self.bad(&text, "it is a submodule; commit the files themselves")),
            Kind::Other(mode) => Err(self.bad(&text, &format!("its mode {mode:o} is not 100644, 100755 or 40000"))),
        }
    }

    fn listing(&mut self, id: Oid, prefix: &str) -> Result<Listing, GitError> {
        if let Some(known) = self.cache.folders.get(&id).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let entries = parse_tree(self.object(id, ObjectType::Tree, prefix)?.data());
        let listing: Listing = entries.ok_or_else(|| self.bad(prefix, "the folder is damaged"))?.into();
        self.cache.folders.insert(id, Arc::downgrade(&listing));
        Ok(listing)
    }

    fn file(&mut self, id: Oid, path: RepoPath, executable: bool) -> Result<(), GitError> {
        if self.files.len() >= FILES_MAX {
            return Err(self.too_big("files", format!("{FILES_MAX} files")));
        }
        let known = self.cache.blobs.get(&id).and_then(Weak::upgrade);
        let bytes: Arc<[u8]> = match known {
            Some(bytes) => bytes,
            None => {
                let bytes: Arc<[u8]> = self.object(id, ObjectType::Blob, path.as_str())?.data().into();
                self.cache.blobs.insert(id, Arc::downgrade(&bytes));
                bytes
            }
        };
        self.total_bytes += bytes.len() as u64;
        if self.total_bytes > TOTAL_MAX_BYTES {
            return Err(self.too_big("all files together", format!("{TOTAL_MAX_BYTES} bytes")));
        }
        self.files.insert(path, File { bytes, executable });
        Ok(())
    }

    /// Reads an object after its header said that its kind and size are right.
    fn object(&self, id: Oid, kind: ObjectType, path: &str) -> Result<git2::OdbObject<'_>, GitError> {
        let failed = error::mirror("reading an object", self.dir);
        let max_bytes = if kind == ObjectType::Tree { FOLDER_MAX_BYTES } else { FILE_MAX_BYTES };
        let (size, found) = self.odb.read_header(id).map_err(&failed)?;
        if found != kind {
            return Err(self.bad(path, &format!("its mode says {kind}, the object is a {found}")));
        }
        if size as u64 > max_bytes {
            return Err(self.bad(path, &format!("it has {size} bytes, more than the {max_bytes} that are read")));
        }
        self.odb.read(id).map_err(failed)
    }

    fn bad(&self, path: &str, reason: &str) -> GitError {
        let path: String = path.chars().take(200).flat_map(char::escape_debug).collect();
        GitError::BadFile { commit: self.commit.to_string()[..10].to_owned(), path, reason: reason.to_owned() }
    }

    fn too_big(&self, what: &str, limit: String) -> GitError {
        GitError::TooBig { what: format!("{what} at {}", &self.commit.to_string()[..10]), limit }
    }
}

/// Reads a tree object: `mode SP name NUL id(20)`, again and again. libgit2's own reader would normalise odd modes.
fn parse_tree(mut raw: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !raw.is_empty() {
        let space = raw.iter().position(|&b| b == b' ')?;
        let nul = raw.iter().position(|&b| b == 0)?;
        let mode = std::str::from_utf8(&raw[..space]).ok().filter(|mode| mode.len() <= 6)?;
        let name = raw.get(space + 1..nul).filter(|name| !name.is_empty() && !name.contains(&b'/'))?;
        let id = Oid::from_bytes(raw.get(nul + 1..nul + 21)?).ok()?;
        let kind = match mode {
            "40000" => Kind::Folder,
            "100644" => Kind::File { executable: false },
            "100755" => Kind::File { executable: true },
            "120000" => Kind::Link,
            "160000" => Kind::Submodule,
            other => Kind::Other(i32::from_str_radix(other, 8).ok()?),
        };
        entries.push(Entry { name: name.into(), kind, id });
        raw = &raw[nul + 21..];
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_trees_are_no_panic_and_no_entry() {
        let good = [b"100644 a\0".as_slice(), &[7; 20], b"40000 b\0", &[8; 20]].concat();
        assert_eq!(parse_tree(&good).unwrap().len(), 2);
        for cut in 1..good.len() {
            let whole = cut == 29;
            assert_eq!(parse_tree(&good[..cut]).is_some(), whole, "{cut}");
        }
        assert!(parse_tree(&[b"100644 a/b\0".as_slice(), &[7; 20]].concat()).is_none());
        assert!(parse_tree(&[b"100644 \0".as_slice(), &[7; 20]].concat()).is_none());
    }
}
