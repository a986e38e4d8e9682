//! A snapshot of the config repo's files at one commit (or of a folder), as plain data.
//!
//! The core never reads a disk or an object database: the edges read, check modes and sizes, and hand over this map.
//! Blobs are shared, so that a second snapshot costs only what changed.

use crate::ids::RepoPath;
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

impl FromIterator<(RepoPath, File)> for RepoFiles {
    fn from_iter<I: IntoIterator<Item = (RepoPath, File)>>(iter: I) -> Self {
        Self { files: iter.into_iter().collect() }
    }
}
