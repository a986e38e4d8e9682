//! Going back: by a person's command, by itself after a failure, or because somebody did it on a host.

use super::commit::{Draft, Landed, TRIES_MAX};
use super::{Room, store_trouble};
use crate::history::LockRecord;
use crate::notice::News;
use crate::releases::{self, Told, WayBack, person_identity, signed_off};
use crate::request::{Outcome, Refusal, RolledBack, Shown, Trouble};
use std::collections::BTreeMap;
use tidegate_core::candidate::{self, StackChange};
use tidegate_core::events::ReleaseOf;
use tidegate_core::ids::{ContentId, ReleaseNumber, StackName};
use tidegate_core::lock::{Lock, LockedStack, ReleaseKind};
use tidegate_core::repo::Person;

/// The reason in git when a person gave none.
const NO_REASON: &str = "no reason given";

/// What a person asks for.
pub(super) struct Wish<'a> {
    pub(super) stack: &'a StackName,
    /// What the person was shown as current.
    pub(super) from: Option<&'a Shown>,
    pub(super) to: Option<ReleaseNumber>,
    pub(super) reason: Option<&'a str>,
}

/// Who goes back, and in which words.
pub(super) struct Doing<'a> {
    pub(super) stack: &'a StackName,
    pub(super) target: &'a LockedStack,
    pub(super) kind: ReleaseKind,
    pub(super) by: Option<&'a Person>,
    /// In the words of a host, where no person is known.
    pub(super) by_words: Option<String>,
    pub(super) reason: &'a str,
}

impl Room {
    /// A person goes back. Anyone known may: the target passed its checks here before.
    pub(super) async fn roll_back(&mut self, person: &Person, wish: &Wish<'_>) -> Outcome {
        let reason = wish.reason.unwrap_or(NO_REASON);
        for _ in 0..TRIES_MAX {
            if let Some(refusal) = self.moved_on(wish) {
                return Outcome::Refused(refusal);
            }
            let target = match self.choose_target(wish) {
                Ok(target) => target,
                Err(refusal) => return Outcome::Refused(refusal),
            };
            let doing = Doing { stack: wish.stack, target: &target, kind: ReleaseKind::Rollback, by: Some(person), by_words: None, reason };
            match self.go_back(&doing).await {
                Ok(Some((record, change, from))) => return self.rolled_back(&doing, &record, change, from),
                Ok(None) => {}
                Err(cause) => return Outcome::Refused(Refusal::Failed { command: "rollback", cause }),
            }
        }
        let cause = Trouble::Git { cause: format!("the branch moved {TRIES_MAX} times in a row") };
        Outcome::Refused(Refusal::Failed { command: "rollback", cause })
    }

    fn rolled_back(&mut self, doing: &Doing<'_>, record: &LockRecord, change: StackChange, from: ReleaseNumber) -> Outcome {
        let to = doing.target.release;
        let news = News::RolledBack {
            stack: doing.stack.clone(),
            from,
            to,
            by: doing.by.map(|person| person.name.clone()),
            reason: doing.reason.to_owned(),
        };
        self.tell(format!("rolled-back:{}", record.lock.release), news);
        Outcome::RolledBack(RolledBack {
            environment: self.picture.name.clone(),
            stack: doing.stack.clone(),
            release: record.lock.release,
            from,
            to,
            lock_commit: record.commit.clone(),
            change,
        })
    }

    /// Looked at here, where nothing else can change the lock between the look and the commit.
    fn moved_on(&self, wish: &Wish<'_>) -> Option<Refusal> {
        let shown = wish.from?;
        let current = self.picture.lock().and_then(|lock| lock.stacks.get(wish.stack));
        let moved = Refusal::MovedOn {
            stack: wish.stack.clone(),
            environment: self.picture.name.clone(),
            shown: shown.release,
            current: current.map(|locked| locked.release),
        };
        (!current.is_some_and(|locked| shown.is(locked))).then_some(moved)
    }

    fn choose_target(&self, wish: &Wish<'_>) -> Result<LockedStack, Refusal> {
        self.picture.way_back(wish.stack, wish.to, self.now())
    }

    /// One try at the lock of a way back; none: the branch moved, decide again.
    async fn go_back(&mut self, doing: &Doing<'_>) -> Result<Option<(LockRecord, StackChange, ReleaseNumber)>, Trouble> {
        let Some(locked) = self.picture.locked.clone() else { return Err(Trouble::Git { cause: "there is no lock".into() }) };
        let base = &locked.lock;
        let Some(left) = base.stacks.get(doing.stack).cloned() else {
            return Err(Trouble::Git { cause: "the stack is not locked".into() });
        };
        let restored = self.model_at(&doing.target.commit, doing.stack).await?;
        let mut models = locked.models.clone();
        let old = match restored.clone() {
            Some(model) => models.insert(doing.stack.clone(), model),
            None => models.remove(doing.stack),
        };
        // A lock by hand may name a commit that nobody has. Placement is read there, so the way back must leave that, too.
        let readable = if locked.missing.contains(&base.commit) { self.last_readable().await? } else { None };
        let (commit, environment) = match &readable {
            Some((commit, environment)) => (commit, Some(environment)),
            None => (&base.commit, locked.environment.as_ref()),
        };
        let plan = environment.map_or_else(|| base.plan.clone(), |environment| candidate::plan_of(environment, &models));
        let by = doing.by.map(|person| &person.name);
        let way = WayBack { base, stack: doing.stack, target: doing.target, kind: doing.kind, by, reason: doing.reason, commit, plan };
        let lock = releases::rollback(&way, self.now());
        let change = candidate::content_change(Some(left.release), old.as_ref(), restored.as_ref());
        let told = Told {
            subject: format!("{} ({} back to release {})", rollback_words(doing.kind, &lock), doing.stack, doing.target.release),
            changes: BTreeMap::from([(doing.stack.clone(), change.clone())]),
            approved_by: Vec::new(),
            requested_by: doing.by.map(|person| signed_off(&person_identity(person))).or_else(|| doing.by_words.clone()),
            went_back: Some((doing.stack, left.release, doing.target.release)),
        };
        let author = doing.by.map_or_else(|| self.bot_identity(), person_identity);
        let draft = Draft { message: releases::message(&lock, &told), lock, author };
        Ok(match self.commit(draft).await? {
            Landed::Yes(record) => Some((*record, change, left.release)),
            Landed::Moved => None,
        })
    }

    /// Makes git true after hosts said that a content failed: back to the last verified release, or a hold where there is none.
    ///
    /// A late report of an earlier release says nothing of a later one with the same content: somebody released that anew.
    pub(super) async fn undo_failed(&mut self, failed: &ReleaseOf, reason: &str) -> Result<(), Trouble> {
        let (stack, content) = (&failed.stack, &failed.content);
        for _ in 0..TRIES_MAX {
            let Some(lock) = self.picture.lock().cloned() else { return Ok(()) };
            let is_meant =
                |locked: &LockedStack| locked.content == *content && failed.release.is_none_or(|number| number == locked.release);
            let is_locked = lock.stacks.get(stack).is_some_and(is_meant);
            let is_held = lock.holds.iter().any(|hold| hold.stack.as_ref() == Some(stack) && hold.content.as_ref() == Some(content));
            if !is_locked || is_held {
                return Ok(());
            }
            let target = self.picture.ways_back(stack, self.now()).and_then(|ways| ways.last_verified());
            let landed = match target.filter(|_| !self.came_by_way_back(stack)) {
                Some(target) => {
                    let doing =
                        Doing { stack, target: &target.locked, kind: ReleaseKind::AutomaticRollback, by: None, by_words: None, reason };
                    self.go_back(&doing).await?.is_some()
                }
                None => self.hold_failed(&lock, stack, reason).await?,
            };
            if landed {
                return Ok(());
            }
        }
        Err(Trouble::Git { cause: format!("the branch moved {TRIES_MAX} times in a row") })
    }

    /// Was the locked content of this stack itself put there by a way back?
    pub(super) fn came_by_way_back(&self, stack: &StackName) -> bool {
        self.picture.way_back_to(stack).is_some()
    }

    async fn hold_failed(&mut self, base: &Lock, stack: &StackName, reason: &str) -> Result<bool, Trouble> {
        let lock = releases::hold(base, stack, reason, self.now());
        let told = Told { subject: format!("hold {stack}, which failed"), ..Told::default() };
        let draft = Draft { message: releases::message(&lock, &told), lock, author: self.bot_identity() };
        Ok(matches!(self.commit(draft).await?, Landed::Yes(_)))
    }

    /// Somebody went back on a host: git follows, if it has not moved on since.
    pub(super) async fn follow_host(&mut self, doing: &Doing<'_>, left: &ContentId) -> Result<Followed, Trouble> {
        for _ in 0..TRIES_MAX {
            let Some(current) = self.picture.lock().and_then(|lock| lock.stacks.get(doing.stack)).cloned() else {
                return Ok(Followed::MovedOn);
            };
            if current.content == doing.target.content {
                return Ok(Followed::ThereAlready);
            }
            if current.content != *left {
                return Ok(Followed::MovedOn);
            }
            if let Some((record, change, from)) = self.go_back(doing).await? {
                let _ = self.rolled_back(doing, &record, change, from);
                self.context.store.note(self.followed(doing, &record)).await.map_err(|error| store_trouble(&error))?;
                return Ok(Followed::Now);
            }
        }
        Err(Trouble::Git { cause: format!("the branch moved {TRIES_MAX} times in a row") })
    }

    fn followed(&self, doing: &Doing<'_>, record: &LockRecord) -> crate::store::Activity {
        let who = doing.by_words.clone().unwrap_or_default();
        let what =
            format!("rolled {} in {} back to release {} on the host; git follows", doing.stack, self.picture.name, doing.target.release);
        crate::store::Activity { at: self.now(), who, actor: None, what, commit: Some(record.commit.clone()), refused: false }
    }
}

/// What became of a rollback on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    /// Git went back as well.
    Now,
    /// Git was there.
    ThereAlready,
    /// Git holds something else by now.
    MovedOn,
}

fn rollback_words(kind: ReleaseKind, lock: &Lock) -> String {
    match kind {
        ReleaseKind::AutomaticRollback => format!("release {}, automatic rollback", lock.release),
        _ => format!("release {}, rollback", lock.release),
    }
}
