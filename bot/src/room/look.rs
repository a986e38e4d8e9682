//! Looking at git: the lock and what it points to, what differs from it, and the cards that follow from both.
//!
//! This is also how a commit of our own becomes known: a crash between the push and the store is mended by the next look.

use super::{Locked, Room, git_trouble};
use crate::card::{Card, CommitLine, Entry, Happened, Stage};
use crate::history::{LockRecord, changed_stacks};
use crate::notice::News;
use crate::releases::change_lines;
use crate::request::Trouble;
use crate::room::picture::candidate_ref;
use crate::tips::Seen;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::candidate::{self, Candidate, Desired, Released, StackChange};
use tidegate_core::compose::{self, StackModel};
use tidegate_core::ids::{CommitId, ContentId, ReleaseNumber, StackName};
use tidegate_core::lock::{Lock, ReleaseKind};
use tidegate_core::policy::Subject;
use tidegate_core::repo::{self, ApprovalPolicy, Repo};
use tidegate_git::{CommitInfo, GitError, keys::PublicKey, message, verify_commit};

/// Commits listed on a card.
const COMMITS_LISTED_MAX: usize = 20;
/// Commits looked through for authors; more than that and authors are not told apart from approvers any more.
const COMMITS_READ_MAX: usize = 2_000;
/// Models kept between looks.
const MODELS_MAX: usize = 1_000;
/// Repos kept between looks.
const REPOS_MAX: usize = 8;

/// What is kept between looks: commits never change.
#[derive(Debug, Default)]
pub(super) struct Memory {
    models: BTreeMap<(CommitId, StackName), Option<StackModel>>,
    repos: BTreeMap<CommitId, Option<Arc<Repo>>>,
}

impl Room {
    /// Brings the picture up to the newest snapshot of the branch.
    pub(super) async fn look(&mut self) -> Result<(), Trouble> {
        let seen = self.seen.borrow_and_update().clone();
        let Some(head) = seen.head_id().cloned() else {
            self.picture.seen = seen;
            return Ok(());
        };
        let mut history = (*self.picture.history).clone();
        history.read_up_to(&self.context.mirror, &self.picture.name, &head).await.map_err(|error| git_trouble(&error))?;
        self.picture.history = Arc::new(history);
        // A lock whose file was removed stays in force: its holds and its policy do not end by a deletion.
        let last = || self.picture.history.records().first().map(|record| record.lock.clone());
        let lock = seen.locks.get(&self.picture.name).cloned().or_else(last);
        let locked = match lock {
            Some(lock) => Some(self.locked(lock, &seen).await?),
            None => None,
        };
        self.picture.seen = seen;
        self.picture.locked = locked;
        self.tell_missing();
        self.reconcile_lock().await?;
        self.offer().await
    }

    /// The lock with what it points to; what is known already is not read again, and what was missing only when the branch
    /// has moved: somebody may have pushed it.
    async fn locked(&mut self, lock: Lock, seen: &Seen) -> Result<Arc<Locked>, Trouble> {
        let held = self.held_models(&lock, seen).await?;
        let has_moved = self.picture.seen.head_id() != seen.head_id();
        let is_same =
            |known: &&Arc<Locked>| known.lock == lock && known.held.keys().eq(held.keys()) && (known.missing.is_empty() || !has_moved);
        if let Some(known) = self.picture.locked.as_ref().filter(is_same) {
            return Ok(known.clone());
        }
        let missing = self.missing(&lock).await?;
        let repo = if missing.contains(&lock.commit) { None } else { self.repo_at(&lock.commit).await? };
        let tip = seen.tip.as_ref();
        // A released commit that this version of the program cannot read any more must not lock everybody out.
        let settings = repo.as_ref().map(|repo| &repo.settings).or(tip.map(|tip| &tip.repo.settings));
        let settings = settings.cloned().ok_or_else(|| broken_words(seen))?;
        let mut models = BTreeMap::new();
        for (name, locked) in lock.stacks.iter().filter(|(_, locked)| !missing.contains(&locked.commit)) {
            if let Some(model) = self.model_at(&locked.commit, name).await? {
                models.insert(name.clone(), model);
            }
        }
        let environment = repo.and_then(|repo| repo.environment(&self.picture.name).cloned());
        Ok(Arc::new(Locked { lock, environment, settings, models, held, missing }))
    }

    /// The contents that are held in the lock or by hand, as far as they were ever released.
    async fn held_models(&mut self, lock: &Lock, seen: &Seen) -> Result<BTreeMap<ContentId, StackModel>, Trouble> {
        let mut held = BTreeMap::new();
        let at_tip = seen.tip.as_ref().and_then(|tip| tip.repo.environment(&self.picture.name));
        let written = at_tip.into_iter().flat_map(|environment| &environment.holds);
        for hold in lock.holds.iter().chain(written) {
            let (Some(stack), Some(content)) = (&hold.stack, &hold.content) else { continue };
            let Some(commit) = self.picture.history.content(stack, content).map(|locked| locked.commit.clone()) else { continue };
            if let Some(model) = self.model_at(&commit, stack).await? {
                held.insert(content.clone(), model);
            }
        }
        Ok(held)
    }

    pub(super) async fn repo_at(&mut self, commit: &CommitId) -> Result<Option<Arc<Repo>>, Trouble> {
        if let Some(known) = self.look.repos.get(commit) {
            return Ok(known.clone());
        }
        let files = match self.context.mirror.files(commit).await {
            Err(GitError::MissingCommit { .. }) => return Ok(None),
            files => files.map_err(|error| git_trouble(&error))?,
        };
        let loaded = tokio::task::spawn_blocking(move || repo::load(&files)).await;
        let repo = loaded.map_err(|error| git_trouble(&error))?.repo.map(Arc::new);
        if self.look.repos.len() >= REPOS_MAX {
            self.look.repos.clear();
        }
        self.look.repos.insert(commit.clone(), repo.clone());
        Ok(repo)
    }

    /// A stack at a commit, without digests; none: it cannot be read there.
    pub(super) async fn model_at(&mut self, commit: &CommitId, stack: &StackName) -> Result<Option<StackModel>, Trouble> {
        let key = (commit.clone(), stack.clone());
        if let Some(known) = self.look.models.get(&key) {
            return Ok(known.clone());
        }
        let files = match self.context.mirror.files(commit).await {
            // An old lock may name it: what it had cannot be told. Not remembered, for it may turn up.
            Err(GitError::MissingCommit { .. }) => return Ok(None),
            files => files.map_err(|error| git_trouble(&error))?,
        };
        let (name, wanted) = (self.picture.name.clone(), stack.clone());
        let resolved = tokio::task::spawn_blocking(move || compose::resolve_stack(&files, &name, &wanted).ok()).await;
        let model = resolved.map_err(|error| git_trouble(&error))?;
        if self.look.models.len() >= MODELS_MAX {
            self.look.models.clear();
        }
        self.look.models.insert(key, model.clone());
        Ok(model)
    }

    /// The card of the lock in force exists and says so, whoever made the lock and whatever happened in between.
    async fn reconcile_lock(&mut self) -> Result<(), Trouble> {
        let Some(locked) = self.picture.locked.clone() else { return Ok(()) };
        let lock = &locked.lock;
        let Some(record) = self.picture.history.release(lock.release).filter(|record| record.lock == *lock).cloned() else {
            return Ok(()); // written by hand, without our trailers: it counts, and there is nothing to tell about it
        };
        if lock.kind == ReleaseKind::Hold {
            let before = self.picture.history.before(lock.release).map(|before| before.lock.clone());
            self.reconcile_hold(before.as_ref(), &record);
        }
        // A lock that changes only what stands beside the content has no card: the one that brought the content has.
        let brings = |record: &&LockRecord| !matches!(record.lock.kind, ReleaseKind::Hold | ReleaseKind::Freeze | ReleaseKind::Override);
        let Some(record) = self.picture.history.records().iter().find(brings).cloned() else { return Ok(()) };
        if self.picture.cards.iter().any(|card| card.lock_commit.as_ref() == Some(&record.commit)) {
            return Ok(());
        }
        let before = self.picture.history.before(record.lock.release).map(|before| before.lock.clone());
        self.supersede(before.as_ref(), &record.lock);
        self.reconcile_release(before.as_ref(), &record).await
    }

    /// A content that failed and has no earlier release: its card says so.
    fn reconcile_hold(&mut self, before: Option<&Lock>, record: &LockRecord) {
        let now = self.now();
        for hold in record.lock.holds.iter().filter(|hold| before.is_none_or(|before| !before.holds.contains(hold))) {
            let (Some(stack), Some(content), None) = (&hold.stack, &hold.content, &hold.by) else { continue };
            let Some(id) = self.picture.card_of(stack, content).filter(|card| card.stage == Stage::Released).map(|card| card.id) else {
                continue;
            };
            let what = Happened::Held { stack: stack.clone(), reason: hold.reason.clone() };
            self.change(id, |card| {
                card.stage = Stage::FailedHeld;
                card.tell(now, None, what);
            });
        }
    }

    /// Releases before this lock are over: gone back from, or replaced.
    fn supersede(&mut self, before: Option<&Lock>, lock: &Lock) {
        let now = self.now();
        let left = before.iter().flat_map(|before| &before.stacks).filter_map(|(stack, old)| {
            let new = lock.stacks.get(stack)?;
            (new.content != old.content).then(|| (stack.clone(), old.content.clone(), new.release))
        });
        let left: Vec<(StackName, ContentId, ReleaseNumber)> = left.collect();
        let released: Vec<u64> = self.picture.cards.iter().filter(|card| card.stage == Stage::Released).map(|card| card.id).collect();
        for id in released {
            let reason = lock.reason.clone().unwrap_or_default();
            let (kind, number, left) = (lock.kind, lock.release, left.clone());
            self.change(id, |card| {
                let gone = left.iter().find(|(stack, content, _)| card.contents.get(stack) == Some(content));
                let went_back = |to| match kind {
                    ReleaseKind::AutomaticRollback => Stage::FailedRolledBack { to },
                    _ => Stage::RolledBack { to },
                };
                match gone {
                    Some((stack, _, to)) if crate::history::is_way_back(kind) => {
                        card.stage = went_back(*to);
                        card.tell(now, None, Happened::WentBack { stack: stack.clone(), to: *to, reason });
                    }
                    _ => {
                        card.stage = Stage::Superseded;
                        card.tell(now, None, Happened::Superseded { by: number });
                    }
                }
            });
        }
    }

    async fn reconcile_release(&mut self, before: Option<&Lock>, record: &LockRecord) -> Result<(), Trouble> {
        let lock = &record.lock;
        let now = self.now();
        let subject = Subject { commit: lock.commit.clone(), plan: lock.plan.clone() };
        let open = self.picture.open_card().filter(|card| lock.kind == ReleaseKind::Release && card.subject == subject).map(|card| card.id);
        let id = match open {
            Some(id) => id,
            None => self.card_from_lock(before, record).await?,
        };
        let changed = changed_stacks(before, lock);
        let contents = changed.iter().filter_map(|stack| Some((stack.clone(), lock.stacks.get(stack)?.content.clone()))).collect();
        self.change(id, |card| {
            card.release = lock.release;
            card.contents = contents;
            card.requested_by = lock.requested_by.clone();
            card.reason = lock.reason.clone();
            card.locked(record.commit.clone(), &lock.approvals, now);
        });
        Ok(())
    }

    /// A card for a lock that had none: a rollback, or a store that was lost.
    async fn card_from_lock(&mut self, before: Option<&Lock>, record: &LockRecord) -> Result<u64, Trouble> {
        let lock = &record.lock;
        let changes = self.lock_changes(before, lock).await?;
        let candidate = Candidate {
            environment: lock.environment.clone(),
            commit: lock.commit.clone(),
            plan: lock.plan.clone(),
            stacks: changes,
            policy: None,
        };
        let mut card = Card::offered(self.next_id(), lock.release, &candidate, lock.created_at);
        card.kind = lock.kind;
        card.timeline.retain(|entry: &Entry| !matches!(entry.what, Happened::Offered { .. }));
        let id = card.id;
        let is_readable = self.picture.locked.as_ref().is_none_or(|locked| locked.missing.is_empty());
        if lock.kind == ReleaseKind::Release && is_readable {
            (card.commits, card.commits_not_listed) = self.commits(before.map(|lock| &lock.commit), &lock.commit).await?;
        }
        self.picture.cards.push(card);
        self.changed.insert(id);
        Ok(id)
    }

    /// What a lock changed, compared with the one before it.
    pub(super) async fn lock_changes(&mut self, before: Option<&Lock>, lock: &Lock) -> Result<BTreeMap<StackName, StackChange>, Trouble> {
        let mut changes = BTreeMap::new();
        for stack in changed_stacks(before, lock) {
            let old = before.and_then(|before| before.stacks.get(&stack)).cloned();
            let new = lock.stacks.get(&stack).cloned();
            let old_model = match &old {
                Some(locked) => self.model_at(&locked.commit, &stack).await?,
                None => None,
            };
            let new_model = match &new {
                Some(locked) => self.model_at(&locked.commit, &stack).await?,
                None => None,
            };
            let change = candidate::content_change(old.map(|locked| locked.release), old_model.as_ref(), new_model.as_ref());
            changes.insert(stack, change);
        }
        Ok(changes)
    }

    fn next_id(&self) -> u64 {
        self.picture.cards.iter().map(|card| card.id).max().unwrap_or(0).saturating_add(1)
    }

    /// Finds the candidate and keeps its card. A broken tip offers nothing new and takes nothing away.
    async fn offer(&mut self) -> Result<(), Trouble> {
        if self.picture.seen.broken.is_some() {
            return Ok(());
        }
        let Some(tip) = self.picture.seen.tip.clone() else { return Ok(()) };
        let Some(desired) = Desired::of(&tip.repo, &self.picture.name, &tip.commit) else { return Ok(()) };
        let locked = self.picture.locked.clone();
        let released = locked.as_ref().map(|locked| locked.released());
        self.picture.comparison = candidate::compare(&desired, released.as_ref(), self.now());
        let open = self.picture.open_card().map(|card| (card.id, card.subject.clone()));
        match (self.picture.comparison.candidate.clone(), open) {
            (None, None) => {}
            // What is held is offered no less: what people agreed to stays agreed until the hold ends.
            (None, Some(_)) if self.picture.open_card().is_some_and(|card| self.picture.hold_of(card).is_some()) => {}
            (None, Some((id, _))) => {
                let now = self.now();
                self.change(id, |card| {
                    card.stage = Stage::Withdrawn;
                    card.tell(now, None, Happened::Withdrawn);
                });
            }
            // The same plan at a later commit is the same candidate: what was agreed stays agreed, to the commit that was named.
            (Some(candidate), Some((id, subject))) if candidate.plan == subject.plan => self.renumber(id),
            (Some(candidate), open) => self.offer_anew(&candidate, open.map(|(id, _)| id)).await?,
        }
        Ok(())
    }

    fn renumber(&mut self, id: u64) {
        let number = self.picture.next_number();
        if self.picture.cards.iter().any(|card| card.id == id && card.release != number) {
            self.change(id, |card| card.release = number);
        }
    }

    async fn offer_anew(&mut self, candidate: &Candidate, open: Option<u64>) -> Result<(), Trouble> {
        let (commits, not_listed) = self.commits_of(candidate).await?;
        let now = self.now();
        let number = self.picture.next_number();
        let id = match open {
            Some(id) => {
                self.change(id, |card| card.replace(candidate, now));
                id
            }
            None => {
                let card = Card::offered(self.next_id(), number, candidate, now);
                let id = card.id;
                self.picture.cards.push(card);
                id
            }
        };
        self.change(id, |card| {
            card.release = number;
            card.commits = commits;
            card.commits_not_listed = not_listed;
        });
        self.forget_old_cards();
        self.announce(id);
        Ok(())
    }

    fn forget_old_cards(&mut self) {
        let keep = usize::try_from(crate::store::CARDS_MAX).unwrap_or(usize::MAX);
        let over = self.picture.cards.len().saturating_sub(keep);
        self.picture.cards.drain(..over);
    }

    /// Asks people, where people are asked.
    fn announce(&mut self, id: u64) {
        if !matches!(self.picture.policy(), Some(ApprovalPolicy::Required(_))) {
            return;
        }
        let Some(card) = self.picture.cards.iter().find(|card| card.id == id) else { return };
        let Some(tally) = self.picture.tally(card, self.now()) else { return };
        let key = format!("needs:{}:{}", card.subject.commit, card.subject.plan);
        let news = News::NeedsApproval {
            candidate: candidate_ref(card),
            changes: change_lines(&card.changes),
            needed: tally.needed,
            could: tally.could.into_iter().collect(),
        };
        self.tell(key, news);
    }

    /// The commits that a candidate brings: since the lock's commit, or since an older one at which a stack that changes
    /// stands. Otherwise who wrote what was rolled back and comes again would not count as its author.
    async fn commits_of(&mut self, candidate: &Candidate) -> Result<(Vec<CommitLine>, usize), Trouble> {
        let Some(lock) = self.picture.lock().cloned() else { return self.commits(None, &candidate.commit).await };
        let changing = candidate.stacks.keys().filter_map(|stack| lock.stacks.get(stack)).map(|locked| &locked.commit);
        let mut since: BTreeSet<CommitId> = changing.chain([&lock.commit]).cloned().collect();
        let missing = self.picture.locked.as_ref().map(|locked| locked.missing.clone()).unwrap_or_default();
        since.retain(|commit| !missing.contains(commit));
        if !missing.is_empty() {
            since.extend(self.last_readable().await?.map(|(commit, _)| commit));
        }
        let mut longest = (Vec::new(), 0);
        for commit in since {
            let found = self.commits(Some(&commit), &candidate.commit).await?;
            if found.0.len() + found.1 >= longest.0.len() + longest.1 {
                longest = found;
            }
        }
        Ok(longest)
    }

    /// The commits between two states, ours left out; how many are not listed.
    async fn commits(&mut self, since: Option<&CommitId>, until: &CommitId) -> Result<(Vec<CommitLine>, usize), Trouble> {
        let log = self.context.mirror.log(since, until, COMMITS_READ_MAX).await.map_err(|error| git_trouble(&error))?;
        let keys: Vec<PublicKey> = self.bot_keys();
        let mut lines = Vec::new();
        for commit in log {
            if !self.is_ours(&commit, &keys).await? {
                lines.push(line(&commit));
            }
        }
        // Everybody who wrote something counts as an author, listed or not.
        let not_listed = lines.len().saturating_sub(COMMITS_LISTED_MAX);
        let more_emails: Vec<String> = lines.iter().skip(COMMITS_LISTED_MAX).flat_map(|line| line.emails.clone()).collect();
        lines.truncate(COMMITS_LISTED_MAX);
        if let Some(last) = lines.last_mut() {
            last.emails.extend(more_emails);
        }
        Ok((lines, not_listed))
    }

    fn bot_keys(&self) -> Vec<PublicKey> {
        let mut keys: Vec<PublicKey> = vec![self.context.key.public()];
        if let Some(settings) = self.picture.settings() {
            keys.extend(settings.bot.keys.iter().filter_map(|key| key.parse().ok()));
        }
        keys
    }

    /// Made by the bot? Its trailers can be written by anybody, so its signature must be there too.
    async fn is_ours(&self, commit: &CommitInfo, keys: &[PublicKey]) -> Result<bool, Trouble> {
        if message::find_trailer(&commit.message, "Tidegate-Kind").is_none() {
            return Ok(false);
        }
        let raw = self.context.mirror.raw_commit(&commit.id).await.map_err(|error| git_trouble(&error))?;
        Ok(verify_commit(&raw, keys).is_ok())
    }
}

impl Locked {
    /// For comparing.
    pub(super) fn released(&self) -> Released<'_> {
        Released { lock: &self.lock, environment: self.environment.as_ref(), models: &self.models, held: &self.held }
    }
}

impl super::Picture {
    /// The newest card that put this content in place.
    pub(super) fn card_of(&self, stack: &StackName, content: &ContentId) -> Option<&Card> {
        self.cards.iter().rev().find(|card| card.contents.get(stack) == Some(content))
    }
}

fn line(commit: &CommitInfo) -> CommitLine {
    let mut emails = vec![commit.author.email().to_owned()];
    emails.extend(message::trailers(&commit.message).filter(|(key, _)| key.eq_ignore_ascii_case("Co-authored-by")).filter_map(email));
    CommitLine {
        commit: commit.id.clone(),
        author: commit.author.name().to_owned(),
        emails,
        subject: commit.subject(),
        at: commit.committed_at,
    }
}

fn email((_, value): (&str, &str)) -> Option<String> {
    Some(value.rsplit_once('<')?.1.split_once('>')?.0.to_owned())
}

fn broken_words(seen: &Seen) -> Trouble {
    let finding = seen.broken.as_ref().and_then(|broken| broken.findings.first()).cloned();
    Trouble::BrokenTip { finding: finding.unwrap_or_else(|| "it was not read yet".to_owned()) }
}
