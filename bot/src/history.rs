//! The locks of an environment as git remembers them: what was released, when, by whom, and where one can go back to.

use crate::request::HistoryLine;
use jiff::Timestamp;
use std::collections::BTreeSet;
use tidegate_core::ids::{CommitId, ContentId, EnvironmentName, PersonName, ReleaseNumber, RepoPath, StackName};
use tidegate_core::lock::{self, Hold, Lock, LockedStack, ReleaseKind};
use tidegate_git::{CommitInfo, GitError, Mirror, message};

/// Most locks remembered of an environment.
pub const LOCKS_MAX: usize = 200;
/// Most commits looked through at once.
const COMMITS_MAX: usize = 5_000;

/// A lock and the commit that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockRecord {
    /// The commit.
    pub commit: CommitId,
    /// What it says.
    pub lock: Lock,
}

/// The locks of an environment, newest first.
#[derive(Debug, Clone, Default)]
pub struct History {
    head: Option<CommitId>,
    records: Vec<LockRecord>,
}

impl History {
    /// The locks, newest first.
    pub fn records(&self) -> &[LockRecord] {
        &self.records
    }

    /// Adds what the branch has beyond what was read before.
    pub async fn read_up_to(&mut self, mirror: &Mirror, environment: &EnvironmentName, head: &CommitId) -> Result<(), GitError> {
        if self.head.as_ref() == Some(head) {
            return Ok(());
        }
        let Ok(path) = crate::releases::lock_path(environment) else { return Ok(()) };
        if self.head.is_none() {
            // A mirror that was made anew holds little; old releases are where one goes back to.
            mirror.whole_history().await?;
        }
        let commits = mirror.log(self.head.as_ref(), head, COMMITS_MAX).await?;
        let mut fresh = Vec::new();
        for commit in commits.iter().filter(|commit| names(commit, environment)).take(LOCKS_MAX) {
            if let Some(lock) = lock_at(mirror, &path, &commit.id).await? {
                fresh.push(LockRecord { commit: commit.id.clone(), lock });
            }
        }
        fresh.append(&mut self.records);
        self.records = fresh;
        self.records.truncate(LOCKS_MAX);
        self.head = Some(head.clone());
        Ok(())
    }

    /// The record of a release.
    pub fn release(&self, number: ReleaseNumber) -> Option<&LockRecord> {
        self.records.iter().find(|record| record.lock.release == number)
    }

    /// The lock that a release took the place of.
    pub fn before(&self, number: ReleaseNumber) -> Option<&LockRecord> {
        self.records.iter().find(|record| record.lock.release < number)
    }

    /// The locked stack that had this content.
    pub fn content(&self, stack: &StackName, content: &ContentId) -> Option<&LockedStack> {
        self.records.iter().filter_map(|record| record.lock.stacks.get(stack)).find(|locked| locked.content == *content)
    }

    /// For people, newest first.
    pub fn lines(&self, limit: usize) -> Vec<HistoryLine> {
        self.records.iter().take(limit).map(|record| self.line(record)).collect()
    }

    /// A release for people.
    pub fn line(&self, record: &LockRecord) -> HistoryLine {
        let lock = &record.lock;
        let mut people: Vec<PersonName> = lock.requested_by.iter().cloned().collect();
        people.extend(lock.approvals.iter().map(|approval| approval.by.clone()).filter(|by| Some(by) != lock.requested_by.as_ref()));
        HistoryLine {
            release: lock.release,
            kind: lock.kind,
            at: lock.created_at,
            stacks: changed_stacks(self.before(lock.release).map(|before| &before.lock), lock),
            people,
            reason: lock.reason.clone(),
            lock_commit: record.commit.clone(),
        }
    }
}

/// The trailer only says where to look; what counts is the file at that commit.
fn names(commit: &CommitInfo, environment: &EnvironmentName) -> bool {
    message::find_trailer(&commit.message, "Tidegate-Environment") == Some(environment.as_str())
}

async fn lock_at(mirror: &Mirror, path: &RepoPath, commit: &CommitId) -> Result<Option<Lock>, GitError> {
    let files = mirror.files(commit).await?;
    let read = files.get(path).map(|file| lock::read(path, &file.bytes));
    Ok(match read {
        Some(Ok(lock)) => Some(lock),
        Some(Err(_)) => {
            tracing::warn!(%commit, %path, "an old lock cannot be read and is left out");
            None
        }
        None => None,
    })
}

/// The stacks whose locked content differs, added and removed ones among them.
pub fn changed_stacks(before: Option<&Lock>, after: &Lock) -> Vec<StackName> {
    let names: BTreeSet<&StackName> = before.iter().flat_map(|lock| lock.stacks.keys()).chain(after.stacks.keys()).collect();
    let content = |lock: Option<&Lock>, name: &StackName| lock.and_then(|lock| lock.stacks.get(name)).map(|stack| stack.content.clone());
    names.into_iter().filter(|name| content(before, name) != content(Some(after), name)).cloned().collect()
}

/// A place to go back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What would be locked.
    pub locked: LockedStack,
    /// When that content was released first.
    pub at: Timestamp,
    /// Did it pass its checks on a host?
    pub verified: bool,
    /// What holds it.
    pub hold: Option<Hold>,
}

impl Target {
    /// May one go there?
    pub fn is_open(&self) -> bool {
        self.verified && self.hold.is_none()
    }
}

/// What decides about a way back.
#[derive(Debug)]
pub struct WaysBack<'a> {
    /// What git remembers.
    pub history: &'a History,
    /// The lock in force.
    pub lock: &'a Lock,
    /// The stack.
    pub stack: &'a StackName,
    /// The contents that passed on a host.
    pub verified: &'a BTreeSet<(StackName, ContentId)>,
    /// Now.
    pub now: Timestamp,
}

impl WaysBack<'_> {
    /// Every other content of the stack, each once, newest first.
    pub fn targets(&self) -> Vec<Target> {
        let current = self.lock.stacks.get(self.stack).map(|locked| &locked.content);
        let mut targets: Vec<Target> = Vec::new();
        for record in self.history.records() {
            let Some(locked) = record.lock.stacks.get(self.stack).filter(|locked| Some(&locked.content) != current) else { continue };
            match targets.iter_mut().find(|target| target.locked.content == locked.content) {
                Some(known) if locked.release == record.lock.release => known.at = record.lock.created_at,
                Some(_) => {}
                None => targets.push(self.target(locked, record.lock.created_at)),
            }
        }
        targets.sort_by_key(|target| std::cmp::Reverse(target.locked.release));
        targets
    }

    fn target(&self, locked: &LockedStack, at: Timestamp) -> Target {
        let hold = self.lock.holds.iter().find(|hold| hold.content.is_some() && hold.stops(self.stack, &locked.content, self.now));
        let verified = self.verified.contains(&(self.stack.clone(), locked.content.clone()));
        Target { locked: locked.clone(), at, verified, hold: hold.cloned() }
    }

    /// The last verified release before the current one.
    pub fn last_verified(&self) -> Option<Target> {
        let current = self.lock.stacks.get(self.stack)?.release;
        self.targets().into_iter().find(|target| target.is_open() && target.locked.release < current)
    }

    /// Where one may go, newest first.
    pub fn open_numbers(&self) -> Vec<ReleaseNumber> {
        self.targets().iter().filter(|target| target.is_open()).map(|target| target.locked.release).collect()
    }

    /// What a release had of the stack: by the number of the release, or of the one that brought the content.
    pub fn at_release(&self, number: ReleaseNumber) -> Option<LockedStack> {
        let named = self.history.release(number).and_then(|record| record.lock.stacks.get(self.stack));
        named.cloned().or_else(|| {
            let mut all = self.history.records().iter().filter_map(|record| record.lock.stacks.get(self.stack));
            all.find(|locked| locked.release == number).cloned()
        })
    }
}

/// Is this lock itself a way back? Automation does not undo those.
pub fn is_way_back(kind: ReleaseKind) -> bool {
    matches!(kind, ReleaseKind::Rollback | ReleaseKind::AutomaticRollback)
}
