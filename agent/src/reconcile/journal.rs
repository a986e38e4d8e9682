//! What becomes of a stack's memory when a rollout begins, ends well, fails, or is taken back. Pure: each move gives the
//! [`Change`] that makes it durable together with its news.
//!
//! `observed`, `offered`, `attempted` and `released` are four facts. `attempted` moves when a rollout begins,
//! `released` only when it was verified; a failure moves neither until the way back is done.

use crate::store::{Change, HistoryEntry, JournalEntry, Removal, StackMemory, Write, outcome_word};
use crate::words;
use jiff::Timestamp;
use tidegate_core::desired::DesiredStack;
use tidegate_core::events::{
    Event, Failure, LocalRollback, Outcome, Overran, ReleaseOf, Repaired, Restored, RolloutFinished, RolloutStarted,
};
use tidegate_core::ids::{EnvironmentName, ReleaseNumber, StackName};
use tidegate_core::plan::{Attempt, FailedContent, OperationClass, Released, StackPlan, Waiting};

/// How many verified releases are kept for the way back, the one that runs not counted.
pub const VERIFIED_KEPT: usize = 3;
/// How many contents are known as verified here, also when they cannot be restored without git any more.
pub const KNOWN_GOOD_KEPT: usize = 200;
/// How many releases that wait are remembered per stack.
pub const WAITED_KEPT: usize = 20;
/// How many failed contents are remembered per stack.
pub const FAILED_KEPT: usize = 20;

/// A stack with its memory, on its way through a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct StackState {
    /// The environment, for news.
    pub environment: EnvironmentName,
    /// The stack.
    pub name: StackName,
    /// Its memory.
    pub memory: StackMemory,
}

/// Names a state for news.
pub fn release_of(environment: &EnvironmentName, desired: &DesiredStack) -> ReleaseOf {
    ReleaseOf {
        environment: environment.clone(),
        stack: desired.stack.clone(),
        release: desired.release,
        content: desired.content.clone(),
        commit: desired.commit.clone(),
    }
}

impl StackState {
    fn of(&self, desired: &DesiredStack) -> ReleaseOf {
        release_of(&self.environment, desired)
    }

    fn released(&self) -> Option<ReleaseOf> {
        self.memory.record.released.as_ref().map(|released| self.of(&released.desired))
    }

    fn change(&self, now: Timestamp) -> Change {
        Change::at(now).stack(&self.name, &self.memory)
    }

    /// Another release is offered and waits; the ones before it were never started.
    pub fn waits(&mut self, release: ReleaseNumber) {
        let waited = &mut self.memory.waited;
        if waited.last() != Some(&release) {
            waited.retain(|other| *other != release);
            waited.push(release);
            let excess = waited.len().saturating_sub(WAITED_KEPT);
            waited.drain(..excess);
        }
    }

    /// Has a rollout to this content begun that has not ended?
    pub fn goes_on(&self, target: &DesiredStack) -> bool {
        self.memory.journal.is_some() && self.memory.record.attempt.as_ref().is_some_and(|attempt| attempt.content == target.content)
    }

    /// The same, and within its time: nothing asks again whether it may begin.
    pub fn continues(&self, target: &DesiredStack, now: Timestamp) -> bool {
        self.goes_on(target) && self.memory.record.attempt.as_ref().is_some_and(|attempt| attempt.may_still_end(target, now))
    }

    /// It was cut off for longer than it may take, and was let in again: its time counts anew. Its news was told already.
    fn begin_anew(&mut self, closes_at: Option<Timestamp>, now: Timestamp) -> Change {
        if let (Some(attempt), Some(journal)) = (&mut self.memory.record.attempt, &mut self.memory.journal) {
            attempt.started_at = now;
            journal.closes_at = closes_at.filter(|_| journal.class == OperationClass::Release && journal.overridden.is_none());
        }
        self.change(now)
    }

    /// A rollout to `target` begins, or goes on after a crash or an error. The one before it, if any, is superseded.
    /// `closes_at` is when the window closes in which it begins.
    pub fn begin(&mut self, plan: &StackPlan, target: &DesiredStack, (now, closes_at): (Timestamp, Option<Timestamp>)) -> Change {
        let class = plan.class.unwrap_or(OperationClass::Release);
        if self.goes_on(target) {
            return if self.continues(target, now) { Change::at(now) } else { self.begin_anew(closes_at, now) };
        }
        let before = self.memory.journal.take();
        let of = self.of(target);
        let mut skipped = std::mem::take(&mut self.memory.waited);
        skipped.retain(|release| Some(*release) != target.release);
        self.memory.record.attempt = Some(Attempt { content: target.content.clone(), release: target.release, started_at: now, class });
        self.memory.journal = Some(JournalEntry {
            overridden: plan.overridden.clone(),
            skipped: skipped.clone(),
            closes_at: closes_at.filter(|_| class == OperationClass::Release && plan.overridden.is_none()),
            ..JournalEntry::new(of.clone(), self.released(), (class, now))
        });
        let steps = u32::try_from(plan.steps.len()).unwrap_or(u32::MAX);
        let mut change = self.change(now);
        if let Some(before) = before.filter(|before| !before.told) {
            change = ended(change, &before, (now, None));
        }
        change.tell(Event::Started(RolloutStarted { of, class, steps, overridden: plan.overridden.clone(), skipped }))
    }

    /// A plan is about to be carried out that stops containers; none: that is written already.
    pub fn will_stop(&mut self, plan: &StackPlan, now: Timestamp) -> Option<Change> {
        self.memory.record.will_stop(plan).then(|| self.change(now))
    }

    /// The rollout reached `target` and it is good.
    pub fn verified(&mut self, target: &DesiredStack, now: Timestamp) -> Change {
        let journal = self.memory.journal.take();
        let record = &mut self.memory.record;
        record.attempt = None;
        record.stopping.clear();
        record.failed.retain(|failed| failed.content != target.content);
        let new = Released { release: target.release, desired: target.clone(), verified_at: now };
        let old = record.released.replace(new);
        if let Some(old) = old.filter(|old| old.desired.content != target.content) {
            record.verified.insert(0, old);
        }
        record.verified.retain(|verified| verified.desired.content != target.content);
        record.verified.truncate(VERIFIED_KEPT);
        record.known_good.retain(|content| *content != target.content);
        record.known_good.insert(0, target.content.clone());
        record.known_good.truncate(KNOWN_GOOD_KEPT);
        let change = match self.arrived_by_hand(target, journal.as_ref()) {
            Some(news) => self.change(now).tell(Event::LocalRollback(news)),
            None => self.change(now),
        };
        match journal {
            Some(journal) => finished(change, &journal, Outcome::Verified, now),
            None => change,
        }
    }

    /// The news that a rollback by hand is where it wanted to go.
    fn arrived_by_hand(&self, target: &DesiredStack, journal: Option<&JournalEntry>) -> Option<LocalRollback> {
        let diverged = self.memory.record.diverged.as_ref().filter(|diverged| diverged.to == target.content)?;
        let mut from = journal?.from.clone()?;
        // Left in the midst of a rollout: what was left is that release, not the one before it.
        if from.content != diverged.from {
            from.content = diverged.from.clone();
            from.release = None;
        }
        Some(LocalRollback { from, to: self.of(target), by: diverged.by.clone(), reason: diverged.reason.clone() })
    }

    /// Nothing is left of the stack, as wanted.
    pub fn removed(&mut self, now: Timestamp) -> Change {
        let journal = self.memory.journal.take();
        self.memory = StackMemory::default();
        let change = Change::at(now).write(Write::Forget(self.name.clone()));
        match journal {
            Some(journal) => finished(change, &journal, Outcome::Verified, now),
            None => change,
        }
    }

    /// A check said no. The content is not tried again here; what was released before is put back next.
    pub fn failed(&mut self, failure: Failure, now: Timestamp) -> Change {
        let record = &mut self.memory.record;
        if let Some(attempt) = &record.attempt {
            record.verified.retain(|verified| verified.desired.content != attempt.content);
            record.known_good.retain(|content| *content != attempt.content);
            record.failed.retain(|failed| failed.content != attempt.content);
            let failed =
                FailedContent { content: attempt.content.clone(), release: attempt.release, cause: failure.cause.clone(), at: now };
            record.failed.insert(0, failed);
            record.failed.truncate(FAILED_KEPT);
            // A rollback by hand to something that does not work any more is over.
            if record.diverged.as_ref().is_some_and(|diverged| diverged.to == attempt.content) {
                record.diverged = None;
            }
        }
        if let Some(journal) = &mut self.memory.journal {
            journal.failure = Some(failure);
        }
        self.change(now)
    }

    /// It could not be done within its deadline; that is no verdict, but what was begun is taken back.
    pub fn gave_up(&mut self, failure: Failure, now: Timestamp) -> Change {
        if let Some(journal) = &mut self.memory.journal {
            journal.error = Some(failure);
        }
        self.change(now)
    }

    /// The way back is done: the attempt is over. `because` is what stopped it, if neither a failure nor another release did.
    pub fn taken_back(&mut self, because: Option<Waiting>, now: Timestamp) -> Change {
        self.memory.record.attempt = None;
        self.memory.record.stopping.clear();
        let restored = match &self.memory.record.released {
            Some(released) => Restored::Previous { release: released.release, content: released.desired.content.clone() },
            None => Restored::Nothing,
        };
        let Some(mut journal) = self.memory.journal.take() else { return self.change(now) };
        for failure in [&mut journal.failure, &mut journal.error].into_iter().flatten() {
            failure.restored = restored.clone();
        }
        if journal.told { self.change(now) } else { ended(self.change(now), &journal, (now, because)) }
    }

    /// The way back failed too. Told once; it is tried again.
    pub fn not_taken_back(&mut self, cause: &str, now: Timestamp) -> Change {
        let Some(journal) = self.memory.journal.as_mut().filter(|journal| !journal.told) else { return Change::at(now) };
        journal.told = true;
        let mut told = journal.clone();
        if told.failure.is_none() && told.error.is_none() {
            let cause = words::WAS_TO_BE_TAKEN_BACK.to_owned();
            told.error = Some(Failure { service: None, cause, log: Vec::new(), restored: Restored::Nothing });
        }
        for failure in [&mut told.failure, &mut told.error].into_iter().flatten() {
            failure.restored = Restored::Not { cause: cause.to_owned() };
        }
        ended(self.change(now), &told, (now, None))
    }

    /// Drift was repaired, or the released content is placed a little differently now.
    pub fn repaired(&mut self, target: &DesiredStack, found: Vec<String>, now: Timestamp) -> Change {
        self.take_over(target);
        self.memory.record.stopping.clear();
        let change = self.change(now);
        if found.is_empty() { change } else { change.tell(Event::Repaired(Repaired { stack: self.name.clone(), found })) }
    }

    /// What runs already is what is offered: it is released without doing anything to it.
    pub fn adopted(&mut self, target: &DesiredStack, now: Timestamp) -> Change {
        let change = self.verified(target, now);
        let entry = HistoryEntry {
            at: now,
            of: self.of(target),
            from: None,
            class: OperationClass::Repair,
            outcome: "adopted".into(),
            cause: None,
            took_ms: 0,
            overridden: None,
            skipped: Vec::new(),
        };
        change.write(Write::History(Box::new(entry)))
    }

    /// The same content under another number, commit or placement.
    pub fn take_over(&mut self, target: &DesiredStack) {
        if let Some(released) = self.memory.record.released.as_mut().filter(|r| r.desired.content == target.content) {
            released.release = target.release;
            released.desired = target.clone();
        }
    }

    /// Git places the stack here: what somebody once said about its removal is over.
    pub fn placed(&mut self) {
        self.memory.removal = Removal::NotAsked;
    }
}

/// Tells the end of a rollout that did not reach its target.
fn ended(change: Change, journal: &JournalEntry, (now, because): (Timestamp, Option<Waiting>)) -> Change {
    let outcome = match (&journal.failure, &journal.error, because) {
        (Some(failure), _, _) => Outcome::Failed(failure.clone()),
        (None, Some(error), _) => Outcome::Error(error.clone()),
        (None, None, Some(because)) => Outcome::TakenBack { because },
        (None, None, None) => Outcome::Superseded,
    };
    finished(change, journal, outcome, now)
}

fn finished(change: Change, journal: &JournalEntry, outcome: Outcome, now: Timestamp) -> Change {
    let took_ms = u64::try_from(now.as_millisecond() - journal.started_at.as_millisecond()).unwrap_or(0);
    let cause = match &outcome {
        Outcome::Verified | Outcome::Superseded => None,
        Outcome::TakenBack { because } => Some(words::waiting(because)),
        Outcome::Failed(failure) | Outcome::Error(failure) => Some(failure.cause.clone()),
    };
    let entry = HistoryEntry {
        at: now,
        of: journal.of.clone(),
        from: journal.from.clone(),
        class: journal.class,
        outcome: outcome_word(&outcome).to_owned(),
        cause,
        took_ms,
        overridden: journal.overridden.clone(),
        skipped: journal.skipped.clone(),
    };
    let change = match journal.closes_at.filter(|closed_at| *closed_at < now) {
        Some(closed_at) => {
            let overrun_secs = u64::try_from(now.duration_since(closed_at).as_secs()).unwrap_or(0);
            change.tell(Event::Overran(Overran { of: journal.of.clone(), closed_at, overrun_secs }))
        }
        None => change,
    };
    change.write(Write::History(Box::new(entry))).tell(Event::Finished(RolloutFinished {
        of: journal.of.clone(),
        class: journal.class,
        outcome,
        took_ms,
    }))
}
