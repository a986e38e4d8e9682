//! The mirror on disk: a bare repository of ours, its references, its shallow edge, and walks over its history.
//!
//! The history may be cut: `shallow` lists commits whose parents are not here. A walk that meets the edge does not know
//! what lies beyond and says so; it never takes "not here" for "not there". All functions block.

use crate::error::{self, GitError};
use git2::{ErrorCode, Oid, Repository};
use std::collections::{BinaryHeap, HashSet};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use tidegate_core::ids::CommitId;

/// What was fetched last.
pub(crate) const TIP_REF: &str = "refs/tidegate/tip";
/// Commits that are kept beside the branch, because a lock names them.
const KEEP_PREFIX: &str = "refs/tidegate/keep/";
/// Folders of transfers under way; left over after a crash, swept at the next open.
const INCOMING_PREFIX: &str = "incoming-";
/// Most commits that one walk looks at.
const WALK_MAX_COMMITS: usize = 2_000_000;

/// The mirror's folder.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    /// Holds `mirror.git` and the folders of transfers under way.
    pub dir: PathBuf,
}

/// Is a commit in another one's history?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Yes,
    No,
    /// The walk met the edge of what is here.
    Unknown,
}

impl Store {
    /// Opens or makes the folder, private to this user, and sweeps what an interrupted transfer left.
    pub fn open(dir: &Path) -> Result<Store, GitError> {
        let store = Store { dir: dir.to_owned() };
        let failed = error::disk("making the folder", dir);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(&failed)?;
        for entry in fs::read_dir(dir).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            if entry.file_name().to_string_lossy().starts_with(INCOMING_PREFIX) {
                fs::remove_dir_all(entry.path()).map_err(&failed)?;
            }
        }
        if !store.git_dir().join("HEAD").exists() {
            store.create(&failed)?;
        }
        store.repository()?;
        Ok(store)
    }

    /// Made aside and renamed, so that a half-made repository is never taken for one.
    fn create(&self, failed: &dyn Fn(std::io::Error) -> GitError) -> Result<(), GitError> {
        let aside = self.dir.join(format!("{INCOMING_PREFIX}new"));
        init_bare(&aside).map_err(error::mirror("making the repository", &self.dir))?;
        if self.git_dir().exists() {
            fs::remove_dir_all(self.git_dir()).map_err(failed)?;
        }
        fs::rename(&aside, self.git_dir()).map_err(failed)?;
        sync_dir(&self.dir).map_err(failed)
    }

    /// The bare repository.
    pub fn git_dir(&self) -> PathBuf {
        self.dir.join("mirror.git")
    }

    /// A new, empty folder for a transfer; removed when the guard goes.
    pub fn incoming(&self) -> Result<Incoming, GitError> {
        let dir = self.dir.join(format!("{INCOMING_PREFIX}{:016x}", rand::random::<u64>()));
        fs::DirBuilder::new().mode(0o700).create(&dir).map_err(error::disk("making a folder for a transfer", &self.dir))?;
        Ok(Incoming { dir })
    }

    /// Opened afresh for each piece of work: a few file reads, and never a stale view of packs or the shallow edge.
    pub fn repository(&self) -> Result<Repository, GitError> {
        open_bare(&self.git_dir()).map_err(error::mirror("opening the repository", &self.dir))
    }

    pub fn tip(&self) -> Result<Option<Oid>, GitError> {
        match self.repository()?.refname_to_id(TIP_REF) {
            Ok(oid) => Ok(Some(oid)),
            Err(failure) if failure.code() == ErrorCode::NotFound => Ok(None),
            Err(failure) => Err(error::mirror("reading the tip", &self.dir)(failure)),
        }
    }

    pub fn set_tip(&self, tip: Oid) -> Result<(), GitError> {
        self.set_reference(TIP_REF, tip)
    }

    /// Keeps a commit beside the branch.
    pub fn keep(&self, commit: Oid) -> Result<(), GitError> {
        self.set_reference(&format!("{KEEP_PREFIX}{commit}"), commit)
    }

    fn set_reference(&self, name: &str, target: Oid) -> Result<(), GitError> {
        let done = self.repository()?.reference(name, target, true, "tidegate").map(|_| ());
        done.map_err(error::mirror("moving a reference", &self.dir))
    }

    /// Is this commit here, with its tree?
    pub fn has_commit(&self, commit: Oid) -> Result<bool, GitError> {
        let repository = self.repository()?;
        Ok(repository.find_commit(commit).is_ok_and(|commit| commit.tree().is_ok()))
    }

    fn shallow_file(&self) -> PathBuf {
        self.git_dir().join("shallow")
    }

    /// The commits whose parents are not here.
    pub fn shallow(&self) -> Result<HashSet<Oid>, GitError> {
        read_shallow(&self.git_dir()).map_err(error::disk("reading the shallow edge", &self.dir))
    }

    /// Replaces the shallow edge, atomically.
    pub fn set_shallow(&self, edge: &HashSet<Oid>) -> Result<(), GitError> {
        let failed = error::disk("writing the shallow edge", &self.dir);
        if edge.is_empty() {
            return match fs::remove_file(self.shallow_file()) {
                Err(failure) if failure.kind() != std::io::ErrorKind::NotFound => Err(failed(failure)),
                _ => Ok(()),
            };
        }
        let mut lines: Vec<String> = edge.iter().map(|oid| format!("{oid}\n")).collect();
        lines.sort();
        let aside = self.git_dir().join("shallow.new");
        fs::write(&aside, lines.concat()).map_err(&failed)?;
        fs::File::open(&aside).and_then(|file| file.sync_all()).map_err(&failed)?;
        fs::rename(&aside, self.shallow_file()).map_err(&failed)
    }

    /// Adds to the shallow edge each commit, reachable from the references, whose parents are not here: true after a
    /// crash between taking in a pack and writing the edge, or after a copy that left out a side branch.
    pub fn mend_edge(&self) -> Result<(), GitError> {
        let repository = self.repository()?;
        let failed = error::mirror("checking the shallow edge", &self.dir);
        let mut edge = self.shallow()?;
        let before = edge.len();
        let mut todo = Vec::new();
        for reference in repository.references().map_err(&failed)? {
            todo.extend(reference.map_err(&failed)?.target());
        }
        let mut seen = HashSet::new();
        while let Some(oid) = todo.pop() {
            if !seen.insert(oid) || edge.contains(&oid) || seen.len() > WALK_MAX_COMMITS {
                continue;
            }
            let Ok(commit) = repository.find_commit(oid) else { continue };
            let parents: Vec<Oid> = commit.parent_ids().collect();
            if parents.iter().any(|parent| repository.find_commit(*parent).is_err()) {
                edge.insert(oid);
            } else {
                todo.extend(parents);
            }
        }
        if edge.len() == before { Ok(()) } else { self.set_shallow(&edge) }
    }

    /// Is `ancestor` the commit `tip` or in its history? Newest commits first, so that the usual question, about a
    /// commit a few steps back, costs a few steps.
    pub fn reaches(&self, tip: Oid, ancestor: Oid) -> Result<Reach, GitError> {
        let repository = self.repository()?;
        let edge = self.shallow()?;
        let mut queue = BinaryHeap::new();
        let mut seen = HashSet::from([tip]);
        let mut met_edge = false;
        queue.push((i64::MAX, tip));
        while let Some((_, oid)) = queue.pop() {
            if oid == ancestor {
                return Ok(Reach::Yes);
            }
            let Ok(commit) = repository.find_commit(oid) else {
                met_edge = true;
                continue;
            };
            met_edge |= edge.contains(&oid);
            for parent in commit.parent_ids() {
                if seen.insert(parent) {
                    queue.push((repository.find_commit(parent).map_or(0, |parent| parent.time().seconds()), parent));
                }
            }
            if seen.len() > WALK_MAX_COMMITS {
                return Err(GitError::TooBig { what: format!("the history of {tip}"), limit: format!("{WALK_MAX_COMMITS} commits") });
            }
        }
        Ok(if met_edge { Reach::Unknown } else { Reach::No })
    }

    /// How many packs there are.
    pub fn pack_count(&self) -> Result<usize, GitError> {
        let entries = fs::read_dir(self.git_dir().join("objects/pack")).map_err(error::disk("listing packs", &self.dir))?;
        Ok(entries.flatten().filter(|entry| entry.path().extension().is_some_and(|ext| ext == "pack")).count())
    }
}

/// A folder for a transfer, removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub dir: PathBuf,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // What cannot be removed now is swept at the next open.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A bare repository without hooks, templates or anything else from outside.
pub(crate) fn init_bare(path: &Path) -> Result<Repository, git2::Error> {
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).external_template(false).mkpath(true);
    Repository::init_opts(path, &options)
}

/// Opens a bare repository. Not with libgit2's `open_bare`, which forgets to read the shallow edge, so that walks run
/// into commits that are not here.
pub(crate) fn open_bare(path: &Path) -> Result<Repository, git2::Error> {
    let flags = git2::RepositoryOpenFlags::NO_SEARCH | git2::RepositoryOpenFlags::BARE | git2::RepositoryOpenFlags::NO_DOTGIT;
    Repository::open_ext(path, flags, std::iter::empty::<&std::ffi::OsStr>())
}

/// Reads a repository's `shallow` file; a line that is no object id is an error, because a forgotten edge makes a walk lie.
pub(crate) fn read_shallow(git_dir: &Path) -> std::io::Result<HashSet<Oid>> {
    let text = match fs::read_to_string(git_dir.join("shallow")) {
        Ok(text) => text,
        Err(failure) if failure.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(failure) => return Err(failure),
    };
    let parse = |line: &str| CommitId::try_from(line).ok().and_then(|id| Oid::from_str(id.as_str()).ok());
    text.lines().map(|line| parse(line).ok_or_else(|| std::io::Error::other(format!("`{line}` is no commit id")))).collect()
}

/// Makes renames and new files in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// Our id as libgit2's. Always 40 digits, so it cannot fail.
pub(crate) fn oid(commit: &CommitId) -> Oid {
    Oid::from_str(commit.as_str()).unwrap_or(Oid::ZERO_SHA1)
}

/// libgit2's id as ours.
pub(crate) fn commit_id(oid: Oid) -> CommitId {
    #[expect(clippy::expect_used, reason = "libgit2 prints exactly 40 lower-case digits")]
    CommitId::try_from(oid.to_string()).expect("an object id is a commit id's text")
}
