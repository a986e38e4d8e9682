//! What can go wrong with git, as one type: what was tried, on what, and whether trying again can help.

use std::path::PathBuf;
use tidegate_core::ids::CommitId;

/// Longest text of a foreign program or server repeated in an error, in characters.
pub(crate) const FOREIGN_TEXT_MAX_CHARS: usize = 300;

/// A failure of the git adapter. Texts never hold a password or token: URLs in them are shortened to what may be shown.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GitError {
    /// A setting cannot be used.
    #[error("{setting}: {reason}; {hint}")]
    Setting {
        /// Which one, e.g. `repo.url`.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
        /// How to mend it.
        hint: &'static str,
    },
    /// The remote could not be asked: network, name, TLS, a broken answer. Trying again later may help.
    #[error("{doing} at {url}: {reason}")]
    Away {
        /// What was tried.
        doing: &'static str,
        /// Where, without secrets.
        url: String,
        /// What the network, the server or the disk said.
        reason: String,
    },
    /// The remote refused our credentials or has no such repository.
    #[error("{url} refused access: {reason}; check that the repository exists and that the key or token may use it")]
    Denied {
        /// Where, without secrets.
        url: String,
        /// What it said.
        reason: String,
    },
    /// The SSH server's key is not the pinned one.
    #[error(
        "the SSH host key of {url} is {got}, not the pinned {pinned}; nothing was sent. If the server's key was changed on purpose, set repo.ssh_host_key"
    )]
    HostKey {
        /// Where.
        url: String,
        /// The key that was shown, as `SHA256:…`.
        got: String,
        /// The key that was expected.
        pinned: String,
    },
    /// The remote answered with a redirect, which is never followed.
    #[error(
        "{url} redirects elsewhere; redirects are not followed, because credentials would follow them: set repo.url to the final address"
    )]
    Redirected {
        /// Where, without secrets.
        url: String,
    },
    /// The remote has no such branch.
    #[error("{url} has no branch `{branch}`; push it first or set repo.branch")]
    NoBranch {
        /// Where.
        url: String,
        /// The branch.
        branch: String,
    },
    /// It took longer than it may.
    #[error("{doing} at {url} took longer than {limit_secs} s and was stopped")]
    Deadline {
        /// What was tried.
        doing: &'static str,
        /// Where, without secrets.
        url: String,
        /// The limit.
        limit_secs: u64,
    },
    /// Something is larger than its limit.
    #[error("{what} is over the limit of {limit}")]
    TooBig {
        /// What, with its name.
        what: String,
        /// The limit with its unit.
        limit: String,
    },
    /// A file in the config repo cannot be used at this commit.
    #[error("{path} at {commit}: {reason}")]
    BadFile {
        /// The commit, shortened.
        commit: String,
        /// Path inside the repo, control characters escaped.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The commit is neither here nor at the remote.
    #[error("commit {commit} is not to be had from {url}")]
    MissingCommit {
        /// Which.
        commit: CommitId,
        /// Where it was looked for.
        url: String,
    },
    /// No commit has this name.
    #[error("`{name}` names no commit here: {reason}")]
    UnknownName {
        /// The name, shortened.
        name: String,
        /// What libgit2 said.
        reason: String,
    },
    /// The remote does not take our push, and nobody else moved the branch.
    #[error("{url} rejects the push to `{branch}`: {reason}; check branch protection, hooks and the rights of the key or token")]
    Rejected {
        /// Where.
        url: String,
        /// The branch.
        branch: String,
        /// What it said.
        reason: String,
    },
    /// The local mirror could not be read or written.
    #[error("{doing} in the mirror {}: {reason}", dir.display())]
    Mirror {
        /// What was tried.
        doing: &'static str,
        /// The mirror's folder.
        dir: PathBuf,
        /// What the disk or libgit2 said.
        reason: String,
    },
    /// The program that talks to the remote could not be run or died.
    #[error("the transfer process for {url} {reason}")]
    Transfer {
        /// Where.
        url: String,
        /// What became of it.
        reason: String,
    },
    /// A key could not be used.
    #[error(transparent)]
    Key(#[from] crate::keys::KeyError),
}

impl GitError {
    /// May the same call succeed later without anybody changing the config repo or the settings?
    pub fn is_away(&self) -> bool {
        matches!(self, GitError::Away { .. } | GitError::Deadline { .. } | GitError::Transfer { .. } | GitError::Mirror { .. })
    }
}

/// Why a commit was not made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError<E> {
    /// The caller's function failed.
    #[error("the change could not be made")]
    Make(#[source] E),
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Others were faster each time.
    #[error("{url}: the branch moved during each of {tries} tries to push")]
    Raced {
        /// Where.
        url: String,
        /// How many tries.
        tries: u32,
    },
    /// The change cannot be written: a path that is a folder, a file too large, an identity without a name.
    #[error("the change cannot be committed: {reason}")]
    Change {
        /// Why.
        reason: String,
    },
}

/// Foreign text in one line, without control characters, cut.
pub(crate) fn foreign(text: &str) -> String {
    crate::message::one_line(text, FOREIGN_TEXT_MAX_CHARS)
}

/// A libgit2 failure inside the mirror.
pub(crate) fn mirror(doing: &'static str, dir: &std::path::Path) -> impl Fn(git2::Error) -> GitError {
    let dir = dir.to_owned();
    move |error| GitError::Mirror { doing, dir: dir.clone(), reason: foreign(error.message()) }
}

/// A disk failure inside the mirror.
pub(crate) fn disk(doing: &'static str, dir: &std::path::Path) -> impl Fn(std::io::Error) -> GitError {
    let dir = dir.to_owned();
    move |error| GitError::Mirror { doing, dir: dir.clone(), reason: error.to_string() }
}
