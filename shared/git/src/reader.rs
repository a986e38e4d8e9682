//! Reads a repository that somebody works in: names of commits (`main`, `HEAD~2`, `v1.4`), and the files at a commit.
//!
//! For the command line: a preview of a change reads the clone that it is run in, asks no remote and writes nothing.
//! All functions block.

use crate::error::{self, GitError};
use crate::snapshot::Cache;
use crate::store;
use git2::{ErrorCode, Repository, RepositoryOpenFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_core::files::RepoFiles;
use tidegate_core::ids::{CommitId, RepoPath};

/// Most commits that are walked through for the history of a file.
const COMMITS_MAX: usize = 5_000;
/// Longest name of a commit that is looked up, in characters.
const NAME_MAX_CHARS: usize = 300;

/// A repository on this machine, with or without a work tree.
pub struct Reader {
    repository: Repository,
    dir: PathBuf,
    cache: Cache,
}

impl Reader {
    /// Opens the repository at exactly this folder; none: there is none.
    pub fn open(dir: &Path) -> Result<Option<Reader>, GitError> {
        crate::init();
        match Repository::open_ext(dir, RepositoryOpenFlags::NO_SEARCH, std::iter::empty::<&Path>()) {
            Ok(repository) => Ok(Some(Reader { repository, dir: dir.to_owned(), cache: Cache::default() })),
            Err(failure) if failure.code() == ErrorCode::NotFound => Ok(None),
            Err(failure) => Err(error::mirror("opening the repository", dir)(failure)),
        }
    }

    /// The commit that a name stands for: a branch, a tag, an id or its beginning, `HEAD`, `main~2`.
    pub fn resolve(&self, name: &str) -> Result<CommitId, GitError> {
        let unknown = |reason: &str| GitError::UnknownName { name: name.chars().take(80).collect(), reason: error::foreign(reason) };
        if name.chars().count() > NAME_MAX_CHARS {
            return Err(unknown("it is too long"));
        }
        let found = self.repository.revparse_single(name).and_then(|object| object.peel_to_commit());
        // A clone of a pull request often has only `origin/main`.
        let found = found.or_else(|failure| match failure.code() {
            ErrorCode::NotFound => self.repository.revparse_single(&format!("origin/{name}")).and_then(|object| object.peel_to_commit()),
            _ => Err(failure),
        });
        found.map(|commit| store::commit_id(commit.id())).map_err(|failure| unknown(failure.message()))
    }

    /// Is the commit here?
    pub fn has(&self, commit: &CommitId) -> bool {
        self.repository.find_commit(store::oid(commit)).is_ok_and(|commit| commit.tree().is_ok())
    }

    /// What a file said at `HEAD` and before, newest first, each wording once; along the branch's own line, as far as
    /// it is here.
    pub fn versions(&self, path: &RepoPath, most: usize) -> Result<Vec<Vec<u8>>, GitError> {
        let failed = error::mirror("reading the history of a file", &self.dir);
        let mut next = match self.repository.head().and_then(|head| head.peel_to_commit()) {
            Ok(commit) => Some(commit),
            Err(failure) if matches!(failure.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => None,
            Err(failure) => return Err(failed(failure)),
        };
        let (mut found, mut last) = (Vec::new(), None);
        for _ in 0..COMMITS_MAX {
            let Some(commit) = next.take().filter(|_| found.len() < most) else { break };
            let entry = commit.tree().and_then(|tree| tree.get_path(std::path::Path::new(path.as_str()))).ok();
            let id = entry.map(|entry| entry.id());
            if let Some(blob) = id.filter(|_| id != last).and_then(|id| self.repository.find_blob(id).ok()) {
                found.push(blob.content().to_vec());
            }
            last = id;
            next = commit.parent(0).ok();
        }
        Ok(found)
    }

    /// The files at a commit.
    pub fn files(&mut self, commit: &CommitId) -> Result<Arc<RepoFiles>, GitError> {
        if !self.has(commit) {
            return Err(GitError::MissingCommit { commit: commit.clone(), url: self.dir.display().to_string() });
        }
        self.cache.files_of(&self.repository, &self.dir, store::oid(commit))
    }
}
