//! A snapshot of the config repo's files at one commit (or of a folder), as plain data.
//!
//! The core never reads a disk or an object database: the edges read, check modes and sizes, and hand over this map.
//! Blobs are shared, so that a second snapshot costs only what changed.

use crate::ids::{ContentId, RepoPath};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most files a snapshot may hold.
pub const FILES_MAX: usize = 50_000;
/// Largest single file, in bytes.
pub const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// Largest sum of all files, in bytes.
pub const TOTAL_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The content.
    pub bytes: Arc<[u8]>,
    /// Mode 100755 instead of 100644.
    pub executable: bool,
}

/// All files of a snapshot by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepoFiles {
    files: BTreeMap<RepoPath, File>,
    refused: BTreeMap<String, String>,
}

impl RepoFiles {
    /// Adds or replaces a file. The caller has checked the limits above.
    pub fn insert(&mut self, path: RepoPath, file: File) {
        self.files.insert(path, file);
    }

    /// Adds a plain text file (examples, tests, generated repos).
    pub fn insert_text(&mut self, path: RepoPath, text: &str) {
        self.insert(path, File { bytes: text.as_bytes().into(), executable: false });
    }

    /// Notes that something at a path is not read: a link, a submodule, a file that is too large. The path is text,
    /// because an odd name may be what is wrong with it.
    pub fn refuse(&mut self, path: &str, reason: &str) {
        self.refused.insert(path.to_owned(), reason.to_owned());
    }

    /// What is at the commit and is not read, with the reason, in path order.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &str)> {
        self.refused.iter().map(|(path, reason)| (path.as_str(), reason.as_str()))
    }

    /// What is not read at or below a path, or is a folder above it: the first one, with the reason. Nobody may take
    /// such a path for missing, or a folder for complete.
    pub fn refused_around(&self, path: &RepoPath) -> Option<(&str, &str)> {
        let is_within = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.refused().find(|(refused, _)| is_within(refused, path.as_str()) || is_within(path.as_str(), refused))
    }

    /// The file at a path.
    pub fn get(&self, path: &RepoPath) -> Option<&File> {
        self.files.get(path)
    }

    /// All files in path order.
    pub fn iter(&self) -> impl Iterator<Item = (&RepoPath, &File)> {
        self.files.iter()
    }

    /// The files at or below a folder, in path order.
    pub fn below<'a>(&'a self, folder: &'a RepoPath) -> impl Iterator<Item = (&'a RepoPath, &'a File)> {
        self.files
            .range(folder.clone()..)
            .take_while(move |(p, _)| p.as_str().starts_with(folder.as_str()))
            .filter(move |(path, _)| path.is_within(folder))
    }

    /// How many files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// No file at all?
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// The identity of a file or folder of the repo, as a container that mounts it sees it: every relative path, whether
/// it is executable, and its bytes. None: there is nothing at this path, or not all of it is read.
pub fn repo_content(files: &RepoFiles, path: &RepoPath) -> Option<ContentId> {
    if files.refused_around(path).is_some() {
        return None;
    }
    let entries: Vec<(&str, bool, ContentId)> = files
        .below(path)
        .map(|(found, file)| (&found.as_str()[path.as_str().len()..], file.executable, ContentId::of_bytes(&file.bytes)))
        .collect();
    (!entries.is_empty()).then(|| ContentId::of(&entries))
}

impl FromIterator<(RepoPath, File)> for RepoFiles {
    fn from_iter<I: IntoIterator<Item = (RepoPath, File)>>(iter: I) -> Self {
        Self { files: iter.into_iter().collect(), refused: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(entries: &[(&str, &str)]) -> RepoFiles {
        let mut files = RepoFiles::default();
        for (path, text) in entries {
            files.insert_text(path.parse().unwrap(), text);
        }
        files
    }

    #[test]
    fn what_is_refused_is_known_from_above_and_from_below() {
        let mut files = files(&[("a/b/x", "1")]);
        files.refuse("a/b/link", "it is a link");
        let around = |path: &str| files.refused_around(&path.parse().unwrap()).map(|(path, _)| path);
        for path in ["a", "a/b", "a/b/link", "a/b/link/inside"] {
            assert_eq!(around(path), Some("a/b/link"), "{path}");
        }
        for path in ["a/b/x", "a/b/link2", "a/b/lin", "b"] {
            assert_eq!(around(path), None, "{path}");
        }
    }

    #[test]
    fn content_is_that_of_the_mount_and_not_of_its_place() {
        let at = |files: &RepoFiles, path: &str| repo_content(files, &path.parse().unwrap());
        let here = files(&[("a/conf/x", "1"), ("a/conf/y/z", "2"), ("a/conf2", "3")]);
        let there = files(&[("b/x", "1"), ("b/y/z", "2")]);
        assert_eq!(at(&here, "a/conf"), at(&there, "b"));
        assert_ne!(at(&here, "a/conf"), at(&files(&[("b/x", "1"), ("b/y/z", "!")]), "b"));
        assert_ne!(at(&here, "a/conf"), at(&files(&[("b/x", "1"), ("b/z", "2")]), "b"));
        assert_eq!(at(&here, "a/conf/x"), at(&there, "b/x"));
        assert_eq!(at(&here, "a/con"), None);
        let mut executable = there.clone();
        executable.insert("b/x".parse().unwrap(), File { bytes: b"1".as_slice().into(), executable: true });
        assert_ne!(at(&executable, "b"), at(&there, "b"));
    }
}
