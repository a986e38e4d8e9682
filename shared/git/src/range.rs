//! Whether everything between two commits may be followed, by the signer policy that the repo itself carries.
//!
//! The branch's own line, first parent by first parent, is walked from the commit that was trusted to the new tip. Each
//! commit on it is judged by the policy of its first parent. What an unsigned merge brings in is judged commit by commit,
//! by the policy on the branch at the merge and not by that of the side branch: a key that was taken out after somebody
//! forked counts no more. Looking at the tip alone would let the next honest signature launder what lies below it.
//!
//! A merge counts in two ways. Signed, by somebody who may change all that differs from *each* parent: one that leaves a
//! parent's content behind answers for that too, or that parent could be brought back later as if it had counted. Or
//! exact: what merging its parents gives, over a single base, and without a change of the policy. Nothing is compared
//! before a signature counts, and every walk has a limit: whoever can only push must not be able to keep us busy.

use crate::error::{self, GitError};
use crate::keys::PublicKey;
use crate::store::{self, Store};
use crate::tree_changes::changed_paths;
use crate::verify::verify_commit;
use git2::{Commit, MergeOptions, ObjectType, Oid, Repository, Sort};
use jiff::Timestamp;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tidegate_core::ids::CommitId;
use tidegate_core::trust::{CommitFacts, Merges, Refusal, Rule, TRUST_FILE, TrustPolicy};

/// Longest line that is walked, in commits.
const LINE_MAX: usize = 2_000_000;
/// Most commits that one merge may bring in.
const SIDE_MAX: usize = 5_000;
/// Most merges that are tried out in one look.
const TRIALS_MAX: u32 = 500;
/// How long one look judges; the rest is judged from the last good commit on at the next one.
const LOOK_MAX: Duration = Duration::from_secs(20);
/// Largest policy file, in bytes.
const POLICY_MAX_BYTES: u64 = 256 * 1024;
/// Before all others that the object database has, so that a trial merge is written to memory only.
const MEMORY_FIRST: i32 = 1_000;

/// How far a range may be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The newest commit that may be followed; the range's beginning when its first commit may not.
    pub good: CommitId,
    /// The first commit that may not, and why. Neither refused nor at the end: the look was long enough, go on from `good`.
    pub refused: Option<Refusal>,
    /// The policy's version at the newest good commit; none: the repo has no policy.
    pub policy_version: Option<u64>,
}

/// Judges every commit after `from` up to `to`, which must descend from it. `None`: it meets a merge, or the edge of
/// what is here, and the history is cut; what a merge brings in, and from where, is only known with all of it.
pub(crate) fn judge(store: &Store, from: Oid, to: Oid, now: Timestamp) -> Result<Option<Judged>, GitError> {
    let repository = store.repository()?;
    let judge = Judge::new(&repository, &store.dir, now)?;
    let line = judge.line(from, to)?;
    if judge.policy_at(from)?.is_none() && judge.never_has_a_policy(line.as_deref(), to)? {
        return Ok(Some(Judged { good: store::commit_id(to), refused: None, policy_version: None }));
    }
    if !store.shallow()?.is_empty() && judge.needs_history(line.as_deref())? {
        return Ok(None);
    }
    judge.range(from, to, line).map(Some)
}

/// Is `commit` on the branch's own line that ends at `tip`? `None`: the history is cut before it is met.
pub(crate) fn is_on_line(store: &Store, tip: Oid, commit: Oid) -> Result<Option<bool>, GitError> {
    let repository = store.repository()?;
    let judge = Judge::new(&repository, &store.dir, Timestamp::UNIX_EPOCH)?;
    let found = judge.line(commit, tip)?.is_some();
    Ok(if found || store.shallow()?.is_empty() { Some(found) } else { None })
}

/// The policy at a commit, whatever led there: for pinning it. `None`: there is none.
pub(crate) fn policy_at(store: &Store, commit: Oid) -> Result<Option<Result<TrustPolicy, String>>, GitError> {
    let repository = store.repository()?;
    let judge = Judge::new(&repository, &store.dir, Timestamp::UNIX_EPOCH)?;
    let trusted = judge.policy_at(commit)?;
    Ok(trusted.map(|trusted| match trusted.broken {
        Some(cause) => Err(cause),
        None => Ok(trusted.policy),
    }))
}

/// A policy with the file that it was read from.
#[derive(Debug, Clone)]
struct Trusted {
    file: (Oid, i32),
    policy: TrustPolicy,
    keys: Vec<PublicKey>,
    /// Set when the file cannot be used; the policy then allows nothing.
    broken: Option<String>,
}

/// Blob and mode, and the content; none of it when it is no file that could be a policy.
type PolicyFile = ((Oid, i32), Vec<u8>);
type Verdict<T> = Result<T, (Oid, Rule)>;

struct Judge<'a> {
    repository: &'a Repository,
    dir: &'a Path,
    now: Timestamp,
    trials: Cell<u32>,
}

impl<'a> Judge<'a> {
    fn new(repository: &'a Repository, dir: &'a Path, now: Timestamp) -> Result<Judge<'a>, GitError> {
        // Trial merges write trees: to memory, and it goes with the repository's handle.
        let memory = repository.odb().and_then(|odb| odb.add_new_mempack_backend(MEMORY_FIRST).map(|_| ()));
        memory.map_err(error::mirror("judging a commit", dir))?;
        Ok(Judge { repository, dir, now, trials: Cell::new(0) })
    }

    fn failed(&self) -> impl Fn(git2::Error) -> GitError {
        error::mirror("judging a commit", self.dir)
    }

    fn find(&self, id: Oid) -> Result<Commit<'_>, GitError> {
        self.repository.find_commit(id).map_err(self.failed())
    }

    /// The commits after `from` on the branch's own line, the oldest first; none: `from` is not on that line.
    fn line(&self, from: Oid, to: Oid) -> Result<Option<Vec<Oid>>, GitError> {
        let mut line = Vec::new();
        let mut at = to;
        while at != from {
            if line.len() >= LINE_MAX {
                return Err(GitError::TooBig { what: format!("the way from {from} to {to}"), limit: format!("{LINE_MAX} commits") });
            }
            line.push(at);
            match self.find(at)?.parent_id(0) {
                Ok(parent) => at = parent,
                Err(_) => return Ok(None),
            }
        }
        line.reverse();
        Ok(Some(line))
    }

    /// The usual repo without a policy is followed without a look at its merges. Asked of each commit: a policy that
    /// came and went in between must not go unnoticed.
    fn never_has_a_policy(&self, line: Option<&[Oid]>, to: Oid) -> Result<bool, GitError> {
        for id in line.unwrap_or(&[to]) {
            if self.policy_file(&self.find(*id)?)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn needs_history(&self, line: Option<&[Oid]>) -> Result<bool, GitError> {
        let Some(line) = line else { return Ok(true) };
        for id in line {
            if self.find(*id)?.parent_count() != 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn range(&self, from: Oid, to: Oid, line: Option<Vec<Oid>>) -> Result<Judged, GitError> {
        let began = Instant::now();
        let mut policy = self.policy_at(from)?;
        let mut good = from;
        let end = |good, refused: Option<(Oid, Rule)>, policy: Option<&Trusted>| Judged {
            good: store::commit_id(good),
            refused: refused.map(|(commit, rule)| Refusal { commit: store::commit_id(commit), rule }),
            policy_version: policy.map(|trusted| trusted.policy.version),
        };
        if let Some(cause) = policy.as_ref().and_then(|trusted| trusted.broken.clone()) {
            return Ok(end(from, Some((from, Rule::PolicyBroken(cause))), None));
        }
        let Some(line) = line else { return Ok(end(from, Some((to, Rule::NotFirstParent)), policy.as_ref())) };
        for commit in line {
            if good != from && (began.elapsed() > LOOK_MAX || self.trials.get() >= TRIALS_MAX) {
                break;
            }
            match self.step(commit, policy.as_ref())? {
                Ok(next) => {
                    policy = next;
                    good = commit;
                }
                Err(refused) => return Ok(end(good, Some(refused), policy.as_ref())),
            }
        }
        Ok(end(good, None, policy.as_ref()))
    }

    /// Judges one commit of the line; the answer is the policy after it.
    fn step(&self, id: Oid, policy: Option<&Trusted>) -> Result<Verdict<Option<Trusted>>, GitError> {
        let commit = self.find(id)?;
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
        let Some((file, bytes)) = self.policy_file(&self.find(commit)?)? else { return Ok(None) };
        // What is pinned may have keys that have ended since: whether anybody is left is asked when it changes.
        Ok(Some(match TrustPolicy::begun_with(&bytes, Timestamp::MIN) {
            Ok(policy) => Trusted { file, keys: keys(&policy), policy, broken: None },
            Err(rule) => Trusted { file, policy: nobody(), keys: Vec::new(), broken: Some(rule.to_string()) },
        }))
    }

    /// The policy's blob and mode at a commit; its size is looked at before it is read.
    fn policy_file(&self, commit: &Commit<'_>) -> Result<Option<PolicyFile>, GitError> {
        let tree = commit.tree().map_err(self.failed())?;
        let Some(entry) = tree.get_name(TRUST_FILE) else { return Ok(None) };
        let (file, odb) = ((entry.id(), entry.filemode()), self.repository.odb().map_err(self.failed())?);
        // A submodule's commit is not here; what is no file is no policy that anybody could read: refused with a reason.
        if !matches!(file.1, 0o100_644 | 0o100_755) {
            return Ok(Some((file, Vec::new())));
        }
        let (size, kind) = odb.read_header(entry.id()).map_err(self.failed())?;
        if kind != ObjectType::Blob || size as u64 > POLICY_MAX_BYTES {
            return Ok(Some((file, Vec::new())));
        }
        Ok(Some((file, odb.read(entry.id()).map_err(self.failed())?.data().to_vec())))
    }

    fn commit(&self, commit: &Commit<'_>, trusted: &Trusted) -> Result<Verdict<()>, GitError> {
        let id = commit.id();
        match commit.parent_count() {
            1 => Ok(self.signed(commit, trusted)?.map_err(|rule| (id, rule))),
            2 => self.merge(commit, trusted),
            count => Ok(Err((id, Rule::Parents(count)))),
        }
    }

    /// Signed by somebody who may change everything that differs from each parent.
    fn signed(&self, commit: &Commit<'_>, trusted: &Trusted) -> Result<Result<(), Rule>, GitError> {
        let odb = self.repository.odb().map_err(self.failed())?;
        let raw = odb.read(commit.id()).map_err(self.failed())?;
        let verified = match verify_commit(raw.data(), &trusted.keys) {
            // Nothing may come between what was signed and what is walked.
            Ok(verified) if verified.parents.len() != commit.parent_count() => {
                return Ok(Err(Rule::Signature("its parents are not those that were signed".into())));
            }
            Ok(verified) => verified,
            Err(refusal) => return Ok(Err(Rule::Signature(refusal.to_string()))),
        };
        let key = verified.key.to_string();
        let judge = |paths: &[String]| {
            let facts = CommitFacts { signed_by: Ok(&key), paths, committed_at_secs: verified.committed_at_secs };
            trusted.policy.judge(&facts, self.now).map(|_| ())
        };
        // First who and when, which costs nothing; only then what.
        if let Err(rule) = judge(&[]) {
            return Ok(Err(rule));
        }
        for parent in commit.parents() {
            let paths = match changed_paths(self.repository, &parent, commit).map_err(self.failed())? {
                Some(paths) => paths,
                None => return Ok(Err(Rule::TooManyPaths)),
            };
            if let Err(rule) = judge(&paths) {
                return Ok(Err(rule));
            }
        }
        Ok(Ok(()))
    }

    /// A merge that a signer answers for; or, where the policy allows it, one that is exactly its two parents.
    fn merge(&self, commit: &Commit<'_>, trusted: &Trusted) -> Result<Verdict<()>, GitError> {
        let id = commit.id();
        let refused = match self.signed(commit, trusted)? {
            Ok(()) => return Ok(Ok(())),
            // Time alone decides these: they are told as they are.
            Err(rule) if rule.is_about_time() => return Ok(Err((id, rule))),
            Err(rule) => rule,
        };
        if trusted.policy.merges == Merges::Signed {
            return Ok(Err((id, Rule::MergeUnsigned(refused.to_string()))));
        }
        // The sides first: what is tried out below was then made by signers.
        if let Err(refusal) = self.side(commit, trusted)? {
            return Ok(Err(refusal));
        }
        Ok(self.exact(commit)?.map_err(|rule| (id, rule)))
    }

    /// Each commit that a merge brings in, parents before children.
    fn side(&self, merge: &Commit<'_>, trusted: &Trusted) -> Result<Verdict<()>, GitError> {
        let (ours, theirs) = (merge.parent_id(0).map_err(self.failed())?, merge.parent_id(1).map_err(self.failed())?);
        let mut walk = self.repository.revwalk().map_err(self.failed())?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE).map_err(self.failed())?;
        walk.push(theirs).and_then(|()| walk.hide(ours)).map_err(self.failed())?;
        for (count, id) in walk.enumerate() {
            let id = id.map_err(self.failed())?;
            if count >= SIDE_MAX || self.trials.get() >= TRIALS_MAX {
                return Ok(Err((merge.id(), Rule::MergeTooLarge)));
            }
            let commit = self.find(id)?;
            let verdict = match (commit.parent_count(), self.signed(&commit, trusted)?) {
                // The branch merged back into a side branch: what it brings in is looked at by this same walk.
                (2, Err(rule)) if !rule.is_about_time() => self.exact(&commit)?,
                (1 | 2, verdict) => verdict,
                (count, _) => Err(Rule::Parents(count)),
            };
            if let Err(rule) = verdict {
                return Ok(Err((id, rule)));
            }
        }
        Ok(Ok(()))
    }

    /// Is the merge's tree what merging its parents gives, over a single base, without a conflict, and with the policy
    /// of its first parent? Tried in memory.
    fn exact(&self, merge: &Commit<'_>) -> Result<Result<(), Rule>, GitError> {
        self.trials.set(self.trials.get() + 1);
        let (ours, theirs) = (merge.parent(0).map_err(self.failed())?, merge.parent(1).map_err(self.failed())?);
        if self.policy_file(merge)?.map(|(file, _)| file) != self.policy_file(&ours)?.map(|(file, _)| file) {
            return Ok(Err(Rule::MergeOfPolicy));
        }
        // No base: two histories with nothing in common. Several: their merge is nobody's content.
        let bases = self.repository.merge_bases(ours.id(), theirs.id());
        if !bases.is_ok_and(|bases| bases.len() == 1) {
            return Ok(Err(Rule::MergeNotExact));
        }
        let mut options = MergeOptions::new();
        options.fail_on_conflict(true);
        let Ok(mut index) = self.repository.merge_commits(&ours, &theirs, Some(&options)) else { return Ok(Err(Rule::MergeNotExact)) };
        if index.has_conflicts() {
            return Ok(Err(Rule::MergeNotExact));
        }
        let tree = index.write_tree_to(self.repository).map_err(self.failed())?;
        Ok(if tree == merge.tree_id() { Ok(()) } else { Err(Rule::MergeNotExact) })
    }
}

/// The core has checked that each of them is a key.
fn keys(policy: &TrustPolicy) -> Vec<PublicKey> {
    policy.keys().filter_map(|key| key.parse().ok()).collect()
}

fn nobody() -> TrustPolicy {
    TrustPolicy { version: 0, signers: BTreeMap::new(), roles: BTreeMap::new(), merges: Merges::Signed }
}
