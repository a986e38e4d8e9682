//! A lock that names commits which nobody has: somebody wrote it by hand, or pushed it from where the commit was alone.
//!
//! That is told once, with the ways on, and keeps nobody from going back or releasing: each makes a lock that can be read.

use super::{Room, git_trouble};
use crate::notice::News;
use crate::request::Trouble;
use std::collections::BTreeSet;
use tidegate_core::ids::{CommitId, StackName};
use tidegate_core::lock::Lock;
use tidegate_core::repo::Environment;
use tidegate_git::GitError;

impl Room {
    /// The commits that a lock names and that are not to be had: it was written by hand. That is no reason to stop working,
    /// for a rollback or a release makes a lock that can be read again.
    pub(super) async fn missing(&self, lock: &Lock) -> Result<BTreeSet<CommitId>, Trouble> {
        let named: BTreeSet<&CommitId> = lock.stacks.values().map(|locked| &locked.commit).chain([&lock.commit]).collect();
        let mut missing = BTreeSet::new();
        for commit in named {
            match self.context.mirror.ensure(commit).await {
                Ok(()) => {}
                Err(GitError::MissingCommit { .. }) => _ = missing.insert(commit.clone()),
                Err(error) => return Err(git_trouble(&error)),
            }
        }
        Ok(missing)
    }

    /// Says once that the lock points to nowhere, and which ways lead on.
    pub(super) fn tell_missing(&mut self) {
        let Some(locked) = self.picture.locked.clone().filter(|locked| !locked.missing.is_empty()) else { return };
        let now = self.now();
        let commits: Vec<CommitId> = locked.missing.iter().cloned().collect();
        let lost = |stack: &&StackName| {
            locked.missing.contains(&locked.lock.commit)
                || locked.lock.stacks.get(*stack).is_some_and(|locked_at| commits.contains(&locked_at.commit))
        };
        let back = |stack: &StackName| Some((stack.clone(), self.picture.targets(stack, now).first()?.locked.release));
        let ways_back = locked.lock.stacks.keys().filter(lost).filter_map(back).collect();
        let named: Vec<&str> = commits.iter().map(CommitId::short).collect();
        let key = format!("lock-missing:{}:{}", locked.lock.release, named.join(","));
        self.tell(key, News::LockMissing { release: locked.lock.release, commits, ways_back });
    }

    /// The newest lock whose commit can be read, with the environment there: where placement is taken from when the lock in
    /// force names a commit that nobody has.
    pub(super) async fn last_readable(&mut self) -> Result<Option<(CommitId, Environment)>, Trouble> {
        let missing = self.picture.locked.as_ref().map(|locked| locked.missing.clone()).unwrap_or_default();
        let commits: Vec<CommitId> = self.picture.history.records().iter().map(|record| record.lock.commit.clone()).collect();
        for commit in commits.into_iter().filter(|commit| !missing.contains(commit)) {
            let repo = self.repo_at(&commit).await?;
            if let Some(environment) = repo.as_ref().and_then(|repo| repo.environment(&self.picture.name)) {
                return Ok(Some((commit, environment.clone())));
            }
        }
        Ok(None)
    }
}
