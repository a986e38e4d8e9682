//! Whether everything between two commits may be followed, by the signer policy that the repo itself carries.
//!
//! The branch's own line, first parent by first parent, is walked from the commit that was trusted to the new tip. Each
//! commit on it is judged by the policy of its first parent. What a merge brings in is judged commit by commit too, by
//! the policy on the branch at the merge and not by that of the side branch: a key that was taken out after somebody
//! forked counts no more. A commit that only looks at the tip would be laundered by the next honest signature.

use crate::error::{self, GitError};
use crate::keys::PublicKey;
use crate::store::{self, Store};
use crate::verify::verify_commit;
use git2::{Commit, ErrorCode, Oid, Repository};
use jiff::Timestamp;
use std::path::Path;
use tidegate_core::ids::CommitId;
use tidegate_core::trust::{CommitFacts, Merges, PATHS_MAX, Refusal, Rule, TRUST_FILE, TrustPolicy};

/// Most commits that are judged at once; more are judged from the last good one on at the next look.
const COMMITS_MAX: usize = 20_000;
/// Largest policy file, in bytes.
const POLICY_MAX_BYTES: u64 = 256 * 1024;
/// Before all others that the object database has, so that a trial merge is written to memory only.
const MEMORY_FIRST: i32 = 1_000;

/// How far a range may be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The newest commit that may be followed; the range's beginning when its first commit may not.
    pub good: CommitId,
    /// The first commit that may not, and why.
    pub refused: Option<Refusal>,
    /// The policy's version at the newest good commit; none: the repo has no policy.
    pub policy_version: Option<u64>,
}

/// Judges every commit after `from` up to `to`, which must descend from it. `None`: it meets a merge, or the edge of
/// what is here, and the history is cut; what a merge brings in, and from where, is only known with all of it.
pub(crate) fn judge(store: &Store, from: Oid, to: Oid, now: Timestamp) -> Result<Option<Judged>, GitError> {
    let repository = store.repository()?;
    let judge = Judge { repository: &repository, dir: &store.dir, now };
    let line = judge.line(from, to)?;
    if !store.shallow()?.is_empty() && judge.needs_history(line.as_deref())? {
        return Ok(None);
    }
    judge.range(from, to, line).map(Some)
}

impl Judge<'_> {
    fn needs_history(&self, line: Option<&[Oid]>) -> Result<bool, GitError> {
        let Some(line) = line else { return Ok(true) };
        for id in line {
            if self.repository.find_commit(*id).map_err(self.failed())?.parent_count() != 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn range(&self, from: Oid, to: Oid, line: Option<Vec<Oid>>) -> Result<Judged, GitError> {
        let judge = self;
        let mut policy = judge.policy_at(from)?;
        let mut good = from;
        let end = |good, refused: Option<(Oid, Rule)>, policy: Option<&Trusted>| Judged {
            good: store::commit_id(good),
            refused: refused.map(|(commit, rule)| Refusal { commit: store::commit_id(commit), rule }),
            policy_version: policy.map(|trusted| trusted.policy.version),
        };
        if let Some(cause) = policy.as_ref().and_then(|trusted| trusted.broken.clone()) {
            return Ok(end(from, Some((from, Rule::PolicyBroken(cause))), None));
        }
        let Some(line) = line else {
            // Without a policy anybody may push anything that descends from what was trusted.
            let refused = policy.is_some().then_some((to, Rule::NotFirstParent));
            return Ok(end(if refused.is_some() { from } else { to }, refused, policy.as_ref()));
        };
        for commit in line {
            match judge.step(commit, policy.as_ref())? {
                Ok(next) => {
                    policy = next;
                    good = commit;
                }
                Err(refused) => return Ok(end(good, Some(refused), policy.as_ref())),
            }
        }
        Ok(end(good, None, policy.as_ref()))
    }
}

/// The policy at a commit, whatever led there: for pinning it. `None`: there is none.
pub(crate) fn policy_at(store: &Store, commit: Oid) -> Result<Option<Result<TrustPolicy, String>>, GitError> {
    let repository = store.repository()?;
    let judge = Judge { repository: &repository, dir: &store.dir, now: Timestamp::UNIX_EPOCH };
    let trusted = judge.policy_at(commit)?;
    Ok(trusted.map(|trusted| match trusted.broken {
        Some(cause) => Err(cause),
        None => Ok(trusted.policy),
    }))
}

/// A policy with the file that it was read from.
#[derive(Debug, Clone)]
struct Trusted {
    file: Oid,
    policy: TrustPolicy,
    keys: Vec<PublicKey>,
    /// Set when the file cannot be used; the policy then allows nothing.
    broken: Option<String>,
}

type Verdict<T> = Result<T, (Oid, Rule)>;

struct Judge<'a> {
    repository: &'a Repository,
    dir: &'a Path,
    now: Timestamp,
}

impl Judge<'_> {
    fn failed(&self) -> impl Fn(git2::Error) -> GitError {
        error::mirror("judging a commit", self.dir)
    }

    /// The commits after `from` on the branch's own line, the oldest first; none: `from` is not on that line.
    fn line(&self, from: Oid, to: Oid) -> Result<Option<Vec<Oid>>, GitError> {
        let mut line = Vec::new();
        let mut at = to;
        while at != from {
            if line.len() >= COMMITS_MAX {
                return Err(GitError::TooBig { what: format!("the way from {from} to {to}"), limit: format!("{COMMITS_MAX} commits") });
            }
            line.push(at);
            match self.repository.find_commit(at).map_err(self.failed())?.parent_id(0) {
                Ok(parent) => at = parent,
                Err(_) => return Ok(None),
            }
        }
        line.reverse();
        Ok(Some(line))
    }

    /// Judges one commit of the line; the answer is the policy after it.
    fn step(&self, id: Oid, policy: Option<&Trusted>) -> Result<Verdict<Option<Trusted>>, GitError> {
        let commit = self.repository.find_commit(id).map_err(self.failed())?;
        if let Some(trusted) = policy
            && let Err(refusal) = self.commit(&commit, trusted)?
        {
            return Ok(Err(refusal));
        }
        Ok(self.policy_after(&commit, policy)?.map_err(|rule| (id, rule)))
    }

    fn policy_after(&self, commit: &Commit<'_>, before: Option<&Trusted>) -> Result<Result<Option<Trusted>, Rule>, GitError> {
        let file = self.policy_file(commit)?;
        let (policy, file) = match (before, file) {
            (None, None) => return Ok(Ok(None)),
            (Some(before), Some((file, _))) if file == before.file => return Ok(Ok(Some(before.clone()))),
            (None, Some((file, bytes))) => (TrustPolicy::begun_with(&bytes, self.now), file),
            (Some(before), Some((file, bytes))) => (before.policy.followed_by(Some(&bytes), self.now), file),
            (Some(_), None) => return Ok(Err(Rule::PolicyRemoved)),
        };
        Ok(policy.map(|policy| Some(Trusted { file, keys: keys(&policy), policy, broken: None })))
    }

    fn policy_at(&self, commit: Oid) -> Result<Option<Trusted>, GitError> {
        let commit = self.repository.find_commit(commit).map_err(self.failed())?;
        let Some((file, bytes)) = self.policy_file(&commit)? else { return Ok(None) };
        // What is pinned may have keys that have ended since: whether anybody is left is asked when it changes.
        Ok(Some(match TrustPolicy::begun_with(&bytes, Timestamp::MIN) {
            Ok(policy) => Trusted { file, keys: keys(&policy), policy, broken: None },
            Err(rule) => Trusted { file, policy: nobody(), keys: Vec::new(), broken: Some(rule.to_string()) },
        }))
    }

    /// The policy's blob at a commit; its size is looked at before it is read.
    fn policy_file(&self, commit: &Commit<'_>) -> Result<Option<(Oid, Vec<u8>)>, GitError> {
        let tree = commit.tree().map_err(self.failed())?;
        let Some(entry) = tree.get_name(TRUST_FILE) else { return Ok(None) };
        let odb = self.repository.odb().map_err(self.failed())?;
        let (size, kind) = odb.read_header(entry.id()).map_err(self.failed())?;
        if kind != git2::ObjectType::Blob || !matches!(entry.filemode(), 0o100_644 | 0o100_755) || size as u64 > POLICY_MAX_BYTES {
            // Not a policy that anybody could read: an empty one is refused with a reason.
            return Ok(Some((entry.id(), Vec::new())));
        }
        Ok(Some((entry.id(), odb.read(entry.id()).map_err(self.failed())?.data().to_vec())))
    }

    fn commit(&self, commit: &Commit<'_>, trusted: &Trusted) -> Result<Verdict<()>, GitError> {
        let id = commit.id();
        match commit.parent_count() {
            1 => Ok(self.signed(commit, trusted)?.map_err(|rule| (id, rule))),
            2 => self.merge(commit, trusted),
            count => Ok(Err((id, Rule::Parents(count)))),
        }
    }

    /// Signed by somebody who may change everything that differs from the first parent.
    fn signed(&self, commit: &Commit<'_>, trusted: &Trusted) -> Result<Result<(), Rule>, GitError> {
        let odb = self.repository.odb().map_err(self.failed())?;
        let raw = odb.read(commit.id()).map_err(self.failed())?;
        let verified = verify_commit(raw.data(), &trusted.keys);
        let (signed_by, committed_at_secs) = match &verified {
            // Nothing may come between what was signed and what is walked.
            Ok(verified) if verified.parents.len() != commit.parent_count() => {
                (Err("its parents are not those that were signed".into()), 0)
            }
            Ok(verified) => (Ok(verified.key.to_string()), verified.committed_at_secs),
            Err(refusal) => (Err(refusal.to_string()), 0),
        };
        let paths = self.changed_paths(commit)?;
        let facts = CommitFacts { signed_by: signed_by.as_deref().map_err(Clone::clone), paths: &paths, committed_at_secs };
        Ok(trusted.policy.judge(&facts, self.now).map(|_| ()))
    }

    /// Both sides of what differs from the first parent; one more than the limit is enough to know.
    fn changed_paths(&self, commit: &Commit<'_>) -> Result<Vec<String>, GitError> {
        let after = commit.tree().map_err(self.failed())?;
        let before = commit.parent(0).and_then(|parent| parent.tree()).map_err(self.failed())?;
        let diff = self.repository.diff_tree_to_tree(Some(&before), Some(&after), None).map_err(self.failed())?;
        let mut paths = Vec::new();
        for delta in diff.deltas().take(PATHS_MAX + 1) {
            let both = [delta.old_file().path_bytes(), delta.new_file().path_bytes()];
            paths.extend(both.into_iter().flatten().map(|path| String::from_utf8_lossy(path).into_owned()));
        }
        paths.dedup();
        Ok(paths)
    }

    /// A merge that a signer answers for; or, where the policy allows it, one that is exactly its two parents.
    fn merge(&self, commit: &Commit<'_>, trusted: &Trusted) -> Result<Verdict<()>, GitError> {
        let id = commit.id();
        let unsigned = match self.signed(commit, trusted)? {
            Ok(()) => return Ok(Ok(())),
            Err(rule) => rule,
        };
        if trusted.policy.merges == Merges::Signed {
            return Ok(Err((id, Rule::MergeUnsigned(unsigned.to_string()))));
        }
        if !self.is_exact(commit)? {
            return Ok(Err((id, Rule::MergeNotExact)));
        }
        self.side(commit, trusted)
    }

    /// Each commit that a merge brings in.
    fn side(&self, merge: &Commit<'_>, trusted: &Trusted) -> Result<Verdict<()>, GitError> {
        let (ours, theirs) = (merge.parent_id(0).map_err(self.failed())?, merge.parent_id(1).map_err(self.failed())?);
        let mut walk = self.repository.revwalk().map_err(self.failed())?;
        walk.push(theirs).and_then(|()| walk.hide(ours)).map_err(self.failed())?;
        for (count, id) in walk.enumerate() {
            let id = id.map_err(self.failed())?;
            if count >= COMMITS_MAX {
                return Err(GitError::TooBig { what: format!("what {} merges", merge.id()), limit: format!("{COMMITS_MAX} commits") });
            }
            let commit = self.repository.find_commit(id).map_err(self.failed())?;
            // A merge inside a side branch (the branch merged back into it) brings in what the walk looks at anyway.
            let verdict = match commit.parent_count() {
                2 => match self.signed(&commit, trusted)? {
                    Err(_) if !self.is_exact(&commit)? => Err((id, Rule::MergeNotExact)),
                    _ => Ok(()),
                },
                _ => self.commit(&commit, trusted)?,
            };
            if verdict.is_err() {
                return Ok(verdict);
            }
        }
        Ok(Ok(()))
    }

    /// Is the merge's tree what merging its parents gives, without a conflict? Tried in memory.
    fn is_exact(&self, merge: &Commit<'_>) -> Result<bool, GitError> {
        let (ours, theirs) = (merge.parent(0).map_err(self.failed())?, merge.parent(1).map_err(self.failed())?);
        self.repository.odb().and_then(|odb| odb.add_new_mempack_backend(MEMORY_FIRST).map(|_| ())).map_err(self.failed())?;
        let mut index = match self.repository.merge_commits(&ours, &theirs, None) {
            Ok(index) => index,
            // Two histories with nothing in common are no merge of this repo.
            Err(failure) if failure.code() == ErrorCode::NotFound => return Ok(false),
            Err(failure) => return Err(self.failed()(failure)),
        };
        if index.has_conflicts() {
            return Ok(false);
        }
        let tree = index.write_tree_to(self.repository).map_err(self.failed())?;
        Ok(tree == merge.tree_id())
    }
}

/// The core has checked that each of them is a key.
fn keys(policy: &TrustPolicy) -> Vec<PublicKey> {
    policy.keys().filter_map(|key| key.parse().ok()).collect()
}

fn nobody() -> TrustPolicy {
    TrustPolicy { version: 0, signers: Default::default(), roles: Default::default(), merges: Merges::Signed }
}
