//! Committing a lock: built on exactly the commit that was looked at, and again from the start when the branch moved.

use super::{Room, git_trouble};
use crate::history::LockRecord;
use crate::releases::{self, lock_path};
use crate::request::Trouble;
use tidegate_core::ids::CommitId;
use tidegate_core::lock::Lock;
use tidegate_git::{Change, CommitError, Committed, Committer, Identity};

/// How often a lock is built anew because the branch moved.
pub(super) const TRIES_MAX: u32 = 10;

/// A lock ready to be committed.
#[derive(Debug)]
pub(super) struct Draft {
    /// The lock.
    pub lock: Lock,
    /// The message.
    pub message: String,
    /// Who wanted it.
    pub author: Identity,
}

/// What became of a draft.
#[derive(Debug)]
pub(super) enum Landed {
    /// It is in git.
    Yes(Box<LockRecord>),
    /// The branch moved; the room has looked again, and the draft must be built anew.
    Moved,
}

/// The branch is not where the draft was built.
#[derive(Debug)]
struct BranchMoved;

impl Room {
    /// Commits a draft on top of the head that was looked at. Anything else found there means: decide again.
    pub(super) async fn commit(&mut self, draft: Draft) -> Result<Landed, Trouble> {
        let Draft { lock, message, author } = draft;
        let Some(head) = self.picture.seen.head_id().cloned() else {
            return Err(Trouble::Git { cause: "the branch was not read yet".into() });
        };
        let path = lock_path(&self.picture.name).map_err(|error| git_trouble(&error))?;
        let yaml = lock.to_yaml();
        let committer = self.committer()?;
        let make = |tip: &CommitId, _: &tidegate_core::files::RepoFiles| {
            if *tip != head {
                return Err(BranchMoved);
            }
            let writes = [(path.clone(), Some(yaml.clone().into_bytes()))].into();
            Ok(Some(Change { writes, message: message.clone(), author: author.clone() }))
        };
        match self.context.mirror.commit(&committer, make).await {
            Ok(Committed::Pushed { commit, .. }) => {
                let record = LockRecord { commit, lock };
                self.look_again().await?;
                Ok(Landed::Yes(Box::new(record)))
            }
            Ok(Committed::Nothing { tip }) => Ok(Landed::Yes(Box::new(LockRecord { commit: tip, lock }))),
            Err(CommitError::Make(BranchMoved)) => {
                self.look_again().await?;
                Ok(Landed::Moved)
            }
            Err(error) => Err(Trouble::Git { cause: commit_words(&error) }),
        }
    }

    fn committer(&self) -> Result<Committer, Trouble> {
        let at_tip = self.picture.seen.tip.as_ref().map(|tip| &tip.repo.settings.bot);
        let bot = at_tip.or_else(|| self.picture.settings().map(|settings| &settings.bot));
        let bot = bot.ok_or_else(|| Trouble::Git { cause: "tidegate.yaml was not read yet".into() })?;
        Ok(Committer { identity: releases::bot_identity(bot), key: self.context.key.clone() })
    }

    /// Polls and looks, so that what follows stands on the newest commit. Half a look is no ground for a commit: the try ends.
    pub(super) async fn look_again(&mut self) -> Result<(), Trouble> {
        self.context.waker.poll_now().await;
        self.look().await
    }
}

fn commit_words(error: &CommitError<BranchMoved>) -> String {
    match error {
        CommitError::Make(BranchMoved) => "the branch moved".to_owned(),
        CommitError::Git(git) => crate::tips::chain(git),
        CommitError::Change { reason } => reason.clone(),
        CommitError::Raced { tries, .. } => format!("others pushed {tries} times in a row before us"),
    }
}
