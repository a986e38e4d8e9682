//! Who may change what in the config repo: the signer policy, `trust.yaml`, and the judgement of one commit by it.
//!
//! A commit is judged by the policy of its *parent*, so that no commit grants itself anything, and by the clock of
//! whoever judges, because a commit's own time is whatever its author wrote. Walking history is `tidegate-git`'s part;
//! here one commit is looked at, with the facts as arguments.

mod read;

pub use read::read;

use crate::ids::{CommitId, PersonName, RepoPath, RoleName};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The name of the policy's file, at the top of the config repo.
pub const TRUST_FILE: &str = "trust.yaml";
/// How far a commit's time may be ahead of the clock, in seconds.
pub const AHEAD_MAX_SECS: i64 = 300;
/// Most paths that one commit may change.
pub const PATHS_MAX: usize = 20_000;

/// Who may sign what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    /// One more with every change of the file: an earlier policy never comes back unnoticed.
    pub version: u64,
    /// Who signs, by name; no two have the same key.
    pub signers: BTreeMap<PersonName, Signer>,
    /// What each role may change.
    pub roles: BTreeMap<RoleName, BTreeSet<Scope>>,
    /// What is asked of a merge commit.
    pub merges: Merges,
}

/// Somebody, or something, that signs commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// `ssh-ed25519 AAAA…`, without comment.
    pub key: String,
    /// Its roles.
    pub roles: BTreeSet<RoleName>,
    /// It counts until then; none: until it is taken out.
    pub until: Option<Timestamp>,
}

/// A part of the config repo.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// `/`: all of it, this policy included.
    Everything,
    /// `stacks/shop/`: what is below a folder.
    Folder(RepoPath),
    /// `tidegate.yaml`: one file.
    File(RepoPath),
}

impl Scope {
    /// Does it hold this path?
    pub fn holds(&self, path: &RepoPath) -> bool {
        match self {
            Scope::Everything => true,
            Scope::File(file) => file == path,
            // A bare prefix would let `releases` hold `releases-old/x`.
            Scope::Folder(folder) => path.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/')),
        }
    }
}

/// What is asked of a merge commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Merges {
    /// A signer who may change all that it brings in signs it, like any other commit.
    #[default]
    Signed,
    /// Besides that: whoever made it, it counts when it is exactly what merging its two parents gives, and each commit
    /// that it brings in counts by itself. That is what the merge buttons of forges make.
    Exact,
}

/// What is known of a commit when it is judged.
#[derive(Debug, Clone)]
pub struct CommitFacts<'a> {
    /// The key whose signature fits, as in [`Signer::key`]; or why there is none.
    pub signed_by: Result<&'a str, String>,
    /// The paths that differ from its first parent.
    pub paths: &'a [String],
    /// Its committer's time as written, in seconds since 1970.
    pub committed_at_secs: i64,
}

/// A commit that does not count, and everything after it neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("commit {} is not trusted: {rule}", commit.short())]
pub struct Refusal {
    /// The commit.
    pub commit: CommitId,
    /// The rule that it breaks.
    #[source]
    pub rule: Rule,
}

/// The rule that a commit breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// Not signed, altered, malformed, or by a key that the policy does not name.
    #[error("{0}")]
    Signature(String),
    /// The signer's key has ended.
    #[error("the key of {signer} counted until {until} only; renew it in {TRUST_FILE} with a key that still counts")]
    KeyEnded {
        /// Whose.
        signer: PersonName,
        /// Since then.
        until: Timestamp,
    },
    /// The signer may not change that.
    #[error("{signer} may not change {path}: no role of theirs in {TRUST_FILE} holds it")]
    Path {
        /// Who.
        signer: PersonName,
        /// The first such path.
        path: String,
    },
    /// A name that no file of a config repo has.
    #[error("it changes a path that no config repo has: {0}")]
    OddPath(String),
    /// Too many to look at.
    #[error("it changes more than {PATHS_MAX} paths")]
    TooManyPaths,
    /// Its time lies ahead of the clock.
    #[error("it is dated {0} s ahead of this clock; look at both clocks")]
    FromTheFuture(i64),
    /// The policy is gone.
    #[error("{TRUST_FILE} was removed; put it back, with the next version")]
    PolicyRemoved,
    /// The new policy cannot be read.
    #[error("{TRUST_FILE} cannot be used: {0}")]
    PolicyBroken(String),
    /// The new policy's version is not the next one.
    #[error("{TRUST_FILE} goes from version {from} to {to}; a changed policy has version {}", from + 1)]
    PolicyVersion {
        /// Before.
        from: u64,
        /// After.
        to: u64,
    },
    /// Nobody could change the new policy any more.
    #[error("nobody could change {TRUST_FILE} after it: leave one signer whose key has not ended and whose role holds that file")]
    PolicyLocksOut,
    /// A merge that no signer answers for, where one must.
    #[error("it is a merge that no signer answers for ({0}); sign it, or say `merges: exact` in {TRUST_FILE}")]
    MergeUnsigned(String),
    /// A merge that changes the policy without a signer who may.
    #[error("it is a merge that changes {TRUST_FILE}: change that file by a signed commit on the branch itself, or sign the merge")]
    MergeOfPolicy,
    /// A merge of too much.
    #[error("it is a merge that brings in more than can be looked at: sign it by somebody who may change all of it")]
    MergeTooLarge,
    /// A merge that is not what merging gives.
    #[error(
        "it is a merge that brings in more than its two parents do, or solves a conflict: sign it by somebody who may change all of it"
    )]
    MergeNotExact,
    /// Three parents or more, or an unrelated history.
    #[error("it has {0} parents; a commit of a config repo has one, and a merge two")]
    Parents(usize),
    /// The commit that was trusted is not on the branch's own line.
    #[error("the trusted commit came in through the side of a merge: merge into the branch, not the branch into something else")]
    NotFirstParent,
}

impl Rule {
    /// May the same commit count at another time, or by a clock that was set right?
    pub fn is_about_time(&self) -> bool {
        matches!(self, Rule::KeyEnded { .. } | Rule::FromTheFuture(_) | Rule::PolicyLocksOut)
    }
}

impl TrustPolicy {
    /// May this commit be made, by this policy and at this moment? The answer is who signed it.
    pub fn judge(&self, facts: &CommitFacts<'_>, now: Timestamp) -> Result<&PersonName, Rule> {
        let key = facts.signed_by.as_ref().map_err(|cause| Rule::Signature(cause.clone()))?;
        let found = self.signers.iter().find(|(_, signer)| signer.key == *key);
        let (name, signer) = found.ok_or_else(|| Rule::Signature("its key is not in the policy".to_owned()))?;
        if let Some(until) = signer.until.filter(|until| *until <= now) {
            return Err(Rule::KeyEnded { signer: name.clone(), until });
        }
        let ahead_secs = facts.committed_at_secs.saturating_sub(now.as_second());
        if ahead_secs > AHEAD_MAX_SECS {
            return Err(Rule::FromTheFuture(ahead_secs));
        }
        if facts.paths.len() > PATHS_MAX {
            return Err(Rule::TooManyPaths);
        }
        for path in facts.paths {
            let may = match path.parse::<RepoPath>() {
                Ok(path) => self.may_change(signer, &path),
                // Whoever may change everything may also remove what should never have come.
                Err(_) if self.has(signer, &Scope::Everything) => true,
                Err(_) => return Err(Rule::OddPath(path.chars().take(200).collect())),
            };
            if !may {
                return Err(Rule::Path { signer: name.clone(), path: path.chars().take(200).collect() });
            }
        }
        Ok(name)
    }

    fn has(&self, signer: &Signer, scope: &Scope) -> bool {
        signer.roles.iter().filter_map(|role| self.roles.get(role)).any(|scopes| scopes.contains(scope))
    }

    fn may_change(&self, signer: &Signer, path: &RepoPath) -> bool {
        signer.roles.iter().filter_map(|role| self.roles.get(role)).flatten().any(|scope| scope.holds(path))
    }

    /// The policy after a commit that changed its file: read as a whole, one version on, and not a dead end.
    pub fn followed_by(&self, file: Option<&[u8]>, now: Timestamp) -> Result<TrustPolicy, Rule> {
        let next = TrustPolicy::begun_with(file.ok_or(Rule::PolicyRemoved)?, now)?;
        if Some(next.version) != self.version.checked_add(1) {
            return Err(Rule::PolicyVersion { from: self.version, to: next.version });
        }
        Ok(next)
    }

    /// The first policy of a repo.
    pub fn begun_with(file: &[u8], now: Timestamp) -> Result<TrustPolicy, Rule> {
        let path: RepoPath = TRUST_FILE.parse().map_err(|_| Rule::PolicyRemoved)?;
        let policy = read(&path, file).map_err(|findings| {
            Rule::PolicyBroken(findings.first().map_or_else(String::new, |first| format!("line {}: {}", first.place.line, first.message)))
        })?;
        let can = |signer: &Signer| signer.until.is_none_or(|until| now < until) && policy.may_change(signer, &path);
        if policy.signers.values().any(can) { Ok(policy) } else { Err(Rule::PolicyLocksOut) }
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.signers.values().map(|signer| signer.key.as_str())
    }
}
