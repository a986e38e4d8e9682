//! Making commits: a change on top of a tip, authored by a person, committed and signed by the bot.

use crate::error::{self, CommitError, GitError};
use crate::keys::{GIT_NAMESPACE, KeyError, SigningKey};
use crate::message::one_line;
use crate::store::{self, Store};
use git2::{FileMode, Oid, Repository, Signature};
use std::collections::BTreeMap;
use std::path::Path;
use tidegate_core::files::{FILE_MAX_BYTES, RepoFiles};
use tidegate_core::ids::{CommitId, RepoPath};

/// Longest name or mail address in a commit, in characters.
const IDENTITY_MAX_CHARS: usize = 200;

/// A name and a mail address in a commit. What could end them early (`<`, `>`, controls) is taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    name: String,
    email: String,
}

impl Identity {
    /// Cleans both texts; an empty one becomes `unknown`.
    pub fn new(name: &str, email: &str) -> Identity {
        Identity { name: clean(name), email: clean(email) }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The mail address.
    pub fn email(&self) -> &str {
        &self.email
    }

    fn now(&self) -> Result<Signature<'static>, git2::Error> {
        Signature::now(&self.name, &self.email)
    }
}

/// As git: no angle brackets, and nothing at the ends that git would strip away.
fn clean(text: &str) -> String {
    let bare = one_line(&text.replace(['<', '>'], ""), IDENTITY_MAX_CHARS);
    let trimmed = bare.trim_matches(|c: char| c.is_whitespace() || ".,:;\"\\'".contains(c));
    if trimmed.is_empty() { "unknown".to_owned() } else { trimmed.to_owned() }
}

/// Who commits, and the key that signs.
#[derive(Debug, Clone)]
pub struct Committer {
    /// Name and mail of the committer.
    pub identity: Identity,
    /// Signs each commit.
    pub key: SigningKey,
}

/// What a commit is to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// New contents by path; `None` removes the file. Modes stay as they are; a new file is not executable.
    pub writes: BTreeMap<RepoPath, Option<Vec<u8>>>,
    /// The whole message; make it with [`crate::message::compose`] when foreign text is in it.
    pub message: String,
    /// Who wanted it.
    pub author: Identity,
}

/// What became of [`crate::Mirror::commit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// The commit is the remote's tip, or in its history.
    Pushed {
        /// The new commit.
        commit: CommitId,
        /// Its parent.
        onto: CommitId,
        /// How many tries it took, from 1.
        tries: u32,
    },
    /// There was nothing to do on top of this tip.
    Nothing {
        /// The remote's tip.
        tip: CommitId,
    },
}

impl Committed {
    /// The commit that holds the change: the new one, or the tip that needed none.
    pub fn commit(&self) -> &CommitId {
        match self {
            Committed::Pushed { commit, .. } => commit,
            Committed::Nothing { tip } => tip,
        }
    }
}

/// Writes the objects of a signed commit on top of `base` into the mirror; `None` when the change changes nothing.
pub(crate) fn build(store: &Store, base: Oid, change: &Change, committer: &Committer) -> Result<Option<Oid>, BuildError> {
    let repository = store.repository()?;
    let failed = error::mirror("writing a commit", &store.dir);
    let parent = repository.find_commit(base).map_err(&failed)?;
    let before = parent.tree().map_err(&failed)?;
    let after = write_tree(&repository, &before, &change.writes)?;
    if after == before.id() {
        return Ok(None);
    }
    let tree = repository.find_tree(after).map_err(&failed)?;
    let author = change.author.now().map_err(&failed)?;
    let bot = committer.identity.now().map_err(&failed)?;
    let content = repository.commit_create_buffer(&author, &bot, &tidy(&change.message), &tree, &[&parent]).map_err(&failed)?;
    sign_and_write(&repository, &content, &committer.key).map(Some).map_err(|problem| match problem {
        SignError::Key(key) => BuildError::Git(key.into()),
        SignError::Write(failure) => BuildError::Git(failed(failure)),
    })
}

/// Why a commit could not be built.
pub(crate) enum BuildError {
    Git(GitError),
    Change(String),
}

impl From<GitError> for BuildError {
    fn from(failure: GitError) -> BuildError {
        BuildError::Git(failure)
    }
}

impl<E> From<BuildError> for CommitError<E> {
    fn from(problem: BuildError) -> CommitError<E> {
        match problem {
            BuildError::Git(failure) => CommitError::Git(failure),
            BuildError::Change(reason) => CommitError::Change { reason },
        }
    }
}

/// A message ends with one line end and holds no NUL, which would cut the object short.
fn tidy(message: &str) -> String {
    format!("{}\n", message.replace('\0', " ").trim_end())
}

enum SignError {
    Key(KeyError),
    Write(git2::Error),
}

fn sign_and_write(repository: &Repository, content: &[u8], key: &SigningKey) -> Result<Oid, SignError> {
    let signature = key.sign(GIT_NAMESPACE, content).map_err(SignError::Key)?;
    let text = std::str::from_utf8(content).map_err(|_| SignError::Write(git2::Error::from_str("the commit is not UTF-8")))?;
    repository.commit_signed(text, signature.trim_end(), Some("gpgsig")).map_err(SignError::Write)
}

fn write_tree(repository: &Repository, base: &git2::Tree<'_>, writes: &BTreeMap<RepoPath, Option<Vec<u8>>>) -> Result<Oid, BuildError> {
    let refuse = |path: &RepoPath, failure: git2::Error| BuildError::Change(format!("{path}: {}", error::foreign(failure.message())));
    let mut update = git2::build::TreeUpdateBuilder::new();
    for (path, content) in writes {
        let existing = base.get_path(Path::new(path.as_str())).ok();
        match content {
            Some(bytes) if bytes.len() as u64 > FILE_MAX_BYTES => {
                return Err(BuildError::Change(format!("{path}: {} bytes are more than the {FILE_MAX_BYTES} that are read", bytes.len())));
            }
            Some(bytes) => {
                let blob = repository.blob(bytes).map_err(|failure| refuse(path, failure))?;
                let executable = existing.is_some_and(|entry| entry.filemode() == i32::from(FileMode::BlobExecutable));
                update.upsert(path.as_str(), blob, if executable { FileMode::BlobExecutable } else { FileMode::Blob });
            }
            None if existing.is_some() => {
                update.remove(path.as_str());
            }
            None => {}
        }
    }
    update.create_updated(repository, base).map_err(|failure| BuildError::Change(error::foreign(failure.message())))
}

/// A first commit for [`create_bare`].
#[derive(Debug, Clone)]
pub struct FirstCommit<'a> {
    /// The branch that is made, and that `HEAD` names.
    pub branch: &'a str,
    /// All files.
    pub files: &'a RepoFiles,
    /// The whole message.
    pub message: &'a str,
    /// Author and committer.
    pub identity: &'a Identity,
    /// Signs the commit, if given.
    pub key: Option<&'a SigningKey>,
}

/// Makes a bare repository in a new or empty folder, with one commit. Blocks; local disk only.
pub fn create_bare(path: &Path, first: &FirstCommit<'_>) -> Result<CommitId, GitError> {
    crate::init();
    let failed = error::mirror("creating a repository", path);
    if path.exists() && std::fs::read_dir(path).map_err(error::disk("looking into the folder", path))?.next().is_some() {
        return Err(GitError::Mirror { doing: "creating a repository", dir: path.to_owned(), reason: "the folder is not empty".into() });
    }
    let repository = store::init_bare(path).map_err(&failed)?;
    let tree = tree_of(&repository, first.files).map_err(&failed)?;
    let person = first.identity.now().map_err(&failed)?;
    let tree = repository.find_tree(tree).map_err(&failed)?;
    let content = repository.commit_create_buffer(&person, &person, &tidy(first.message), &tree, &[]).map_err(&failed)?;
    let commit = match first.key {
        Some(key) => sign_and_write(&repository, &content, key).map_err(|problem| match problem {
            SignError::Key(key) => GitError::Key(key),
            SignError::Write(failure) => failed(failure),
        })?,
        None => repository.odb().and_then(|odb| odb.write(git2::ObjectType::Commit, &content)).map_err(&failed)?,
    };
    let branch = format!("refs/heads/{}", first.branch);
    repository.reference(&branch, commit, false, "first commit").map_err(&failed)?;
    repository.set_head(&branch).map_err(&failed)?;
    Ok(store::commit_id(commit))
}

fn tree_of(repository: &Repository, files: &RepoFiles) -> Result<Oid, git2::Error> {
    let empty = repository.find_tree(repository.treebuilder(None)?.write()?)?;
    let mut update = git2::build::TreeUpdateBuilder::new();
    for (path, file) in files.iter() {
        let mode = if file.executable { FileMode::BlobExecutable } else { FileMode::Blob };
        update.upsert(path.as_str(), repository.blob(&file.bytes)?, mode);
    }
    update.create_updated(repository, &empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_cannot_end_early() {
        let evil = Identity::new("Bob\nparent 0000 <x>", "<a@b>\n");
        assert_eq!((evil.name(), evil.email()), ("Bob parent 0000 x", "a@b"));
        assert_eq!(Identity::new("", "<>").name(), "unknown");
    }
}
