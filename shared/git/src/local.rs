//! Remotes that are a path on this machine: read in process, one reference per poll, objects copied pack by pack.
//!
//! libgit2's own local transport lists and peels every reference, cannot fetch a part of the history, and moves the
//! remote's branch without comparing it first; so we read and write the other repository directly. All functions block.

use crate::error::{self, GitError};
use crate::remote::Remote;
use crate::store::{self, Store};
use git2::{ErrorCode, ObjectType, Oid, Repository};
use std::path::Path;

/// How much to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Amount {
    /// What is new; the first time, the tip without its history.
    New,
    /// At least this many commits of history.
    Depth(i32),
    /// The whole history.
    All,
}

/// What is to be pushed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Push {
    /// Where the branch must still be.
    pub base: Oid,
    /// Where it shall be.
    pub commit: Oid,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Pushed {
    Yes,
    /// The branch is not, or may not be, where we thought.
    No {
        reason: String,
    },
}

fn open(remote: &Remote, path: &Path) -> Result<Repository, GitError> {
    Repository::open(path).map_err(|failure| match failure.code() {
        ErrorCode::NotFound => remote.away("opening the repository", &format!("there is no git repository ({})", failure.message())),
        _ => remote.away("opening the repository", failure.message()),
    })
}

fn tip_of(remote: &Remote, theirs: &Repository) -> Result<Oid, GitError> {
    theirs.refname_to_id(&remote.branch_ref()).map_err(|failure| match failure.code() {
        ErrorCode::NotFound => remote.no_branch(),
        _ => remote.away("reading the branch", failure.message()),
    })
}

/// Reads the one reference.
pub(crate) fn poll(remote: &Remote, path: &Path) -> Result<Oid, GitError> {
    tip_of(remote, &open(remote, path)?)
}

/// Copies the branch's objects into the mirror and moves the mirror's tip.
pub(crate) fn fetch(remote: &Remote, path: &Path, store: &Store, amount: Amount) -> Result<Oid, GitError> {
    let theirs = open(remote, path)?;
    let tip = tip_of(remote, &theirs)?;
    let ours = store.tip()?.filter(|ours| theirs.find_commit(*ours).is_ok());
    let mut edge = store.shallow()?;
    let their_edge = store::read_shallow(theirs.path()).map_err(|failure| remote.away("reading its shallow edge", &failure.to_string()))?;
    let away = |failure: git2::Error| remote.away("reading objects", failure.message());
    let mut builder = theirs.packbuilder().map_err(away)?;
    match (amount, ours) {
        (Amount::New, _) if store.has_commit(tip)? => {}
        (Amount::New, None) => {
            builder.insert_commit(tip).map_err(away)?;
            if theirs.find_commit(tip).map_err(away)?.parent_count() > 0 {
                edge.insert(tip);
            }
        }
        (amount, ours) => {
            let mut walk = theirs.revwalk().map_err(away)?;
            walk.push(tip).map_err(away)?;
            if let (Amount::New, Some(ours)) = (amount, ours) {
                walk.hide(ours).map_err(away)?;
            } else {
                edge.clear();
            }
            builder.insert_walk(&mut walk).map_err(away)?;
            edge.extend(their_edge);
        }
    }
    take_in(store, &mut builder)?;
    store.set_shallow(&edge)?;
    store.set_tip(tip)?;
    if amount != Amount::New {
        store.mend_edge()?;
    }
    Ok(tip)
}

/// Copies one commit without its history; false when the remote does not have it.
pub(crate) fn fetch_commit(remote: &Remote, path: &Path, store: &Store, commit: Oid) -> Result<bool, GitError> {
    let theirs = open(remote, path)?;
    if theirs.find_commit(commit).is_err() {
        return Ok(false);
    }
    let away = |failure: git2::Error| remote.away("reading objects", failure.message());
    let mut builder = theirs.packbuilder().map_err(away)?;
    builder.insert_commit(commit).map_err(away)?;
    take_in(store, &mut builder)?;
    store.keep(commit)?;
    store.mend_edge()?;
    Ok(true)
}

/// Writes a pack into the mirror.
pub(crate) fn take_in(store: &Store, builder: &mut git2::PackBuilder<'_>) -> Result<(), GitError> {
    if builder.object_count() == 0 {
        return Ok(());
    }
    let packs = store.git_dir().join("objects/pack");
    builder.write(&packs, 0).map_err(error::mirror("writing a pack", &store.dir))?;
    sync_packs(&packs, builder.name().ok().flatten()).map_err(error::disk("writing a pack", &store.dir))
}

fn sync_packs(packs: &Path, name: Option<&str>) -> std::io::Result<()> {
    for extension in name.map(|_| ["pack", "idx"]).into_iter().flatten() {
        let file = packs.join(format!("pack-{}.{extension}", name.unwrap_or_default()));
        std::fs::File::open(file)?.sync_all()?;
    }
    store::sync_dir(packs)
}

/// Gives the remote a commit made on top of `base`, and moves its branch if it is still at `base`. Runs no hooks of the
/// other repository: no process is ever started with a repository's data.
pub(crate) fn push(remote: &Remote, path: &Path, store: &Store, push: Push) -> Result<Pushed, GitError> {
    let Push { base, commit } = push;
    let theirs = open(remote, path)?;
    let ours = store.repository()?;
    let away = |failure: git2::Error| remote.away("writing objects", failure.message());
    if theirs.find_reference("HEAD").is_ok_and(|head| head.symbolic_target_bytes() == Some(remote.branch_ref().as_bytes()))
        && !theirs.is_bare()
    {
        let reason = "the branch is checked out in a work tree there; use a bare repository".to_owned();
        return Err(GitError::Rejected { url: remote.shown(), branch: remote.branch.clone(), reason });
    }
    let failed = error::mirror("reading the new commit", &store.dir);
    let tree = ours.find_commit(commit).map_err(&failed)?.tree_id();
    let copy = Copy { repository: &ours, ours: &ours.odb().map_err(&failed)?, theirs: &theirs.odb().map_err(away)? };
    copy.object(tree).and_then(|()| copy.one(commit)).map_err(away)?;
    match theirs.reference_matching(&remote.branch_ref(), commit, true, base, "push: tidegate") {
        Ok(_) => Ok(Pushed::Yes),
        Err(failure) if matches!(failure.code(), ErrorCode::Modified | ErrorCode::Locked | ErrorCode::NotFound) => {
            Ok(Pushed::No { reason: error::foreign(failure.message()) })
        }
        Err(failure) => Err(remote.away("moving the branch", failure.message())),
    }
}

/// Copies what the other side lacks, as loose objects: a commit of ours is a handful of them.
struct Copy<'a> {
    repository: &'a Repository,
    ours: &'a git2::Odb<'a>,
    theirs: &'a git2::Odb<'a>,
}

impl Copy<'_> {
    /// An object and what it holds, leaves first, so that the other repository never has a tree without its content.
    fn object(&self, id: Oid) -> Result<(), git2::Error> {
        if self.theirs.exists(id) {
            return Ok(());
        }
        if self.ours.read_header(id)?.1 == ObjectType::Tree {
            // A submodule names a commit of another repository, which is in neither of the two.
            for entry in self.repository.find_tree(id)?.iter().filter(|entry| entry.kind() != Some(ObjectType::Commit)) {
                self.object(entry.id())?;
            }
        }
        self.one(id)
    }

    fn one(&self, id: Oid) -> Result<(), git2::Error> {
        let object = self.ours.read(id)?;
        self.theirs.write(object.kind(), object.data()).map(|_| ())
    }
}
