//! What somebody on the host itself asks for: roll a stack back, let it go on. Works without git, registry and bot.

use super::board::HeldRemoval;
use super::{Driver, DriverError};
use crate::config::ConfigView;
use crate::engine::Engine;
use crate::reconcile::journal::release_of;
use crate::store::{Change, Removal, StackMemory};
use serde::{Deserialize, Serialize};
use tidegate_core::events::{Event, LocalRollback, ReleaseOf};
use tidegate_core::ids::{CommitId, EnvironmentName, StackName};
use tidegate_core::plan::{Diverged, StackRecord};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Longest reason, in bytes.
pub const REASON_MAX_BYTES: usize = 1_000;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do", deny_unknown_fields)]
pub enum Command {
    /// Put an earlier release back.
    Rollback {
        /// The stack.
        stack: StackName,
        /// A release number, or the beginning of a content id; none: the newest one that was verified before.
        #[serde(default)]
        to: Option<String>,
        /// Why.
        reason: String,
        /// The name of the user on the host.
        by: String,
    },
    /// Let git decide again: after a rollback by hand, a failure, or a held removal.
    Resume {
        /// The stack.
        stack: StackName,
    },
}

/// A command with the one who waits for its end.
pub struct Request {
    /// What is asked for.
    pub command: Command,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Rolled, Refusal>>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "done")]
pub enum Rolled {
    /// The earlier release runs.
    Back {
        /// What was left; none: nothing was released.
        from: Option<ReleaseOf>,
        /// What runs.
        to: ReleaseOf,
    },
    /// It ran already.
    AlreadyThere {
        /// What runs.
        to: ReleaseOf,
    },
    /// It is remembered and under way, but not there yet.
    UnderWay {
        /// What will run.
        to: ReleaseOf,
        /// Why not yet.
        cause: String,
    },
    /// The stack goes on.
    Resumed {
        /// What was lifted, one short sentence each.
        lifted: Vec<String>,
    },
}

/// Why it is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "refused")]
pub enum Refusal {
    /// No such stack here.
    #[error("there is no stack {stack} on this host; there are: {}", known.join(", "))]
    UnknownStack {
        /// What was asked for.
        stack: StackName,
        /// What is here.
        known: Vec<String>,
    },
    /// Nothing to go back to.
    #[error("no earlier release of {stack} was verified on this host, so there is nothing to go back to")]
    NothingBefore {
        /// The stack.
        stack: StackName,
    },
    /// That one was never verified here.
    #[error("{to} was not verified on this host; it can go back to: {}", choices.join(", "))]
    NotVerified {
        /// What was asked for.
        to: String,
        /// What there is.
        choices: Vec<String>,
    },
    /// The new release failed on the way back.
    #[error("{cause}")]
    Failed {
        /// Why.
        cause: String,
    },
    /// The agent is stopping.
    #[error("the agent is stopping; ask again when it runs")]
    Stopping,
}

/// Where a rollback leads.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// What is left.
    pub from: Option<ReleaseOf>,
    /// Where to.
    pub to: ReleaseOf,
}

/// Where would a rollback lead? Pure.
pub fn way(environment: &EnvironmentName, stack: &StackName, record: &StackRecord, to: Option<&str>) -> Result<Way, Refusal> {
    let name = |desired| release_of(environment, desired);
    let released = record.released.as_ref().map(|released| name(&released.desired));
    // A rollout in hand is what somebody wants to leave; where it came from is then the nearest good state.
    let in_hand = record.attempt.as_ref().filter(|attempt| released.as_ref().is_none_or(|r| r.content != attempt.content));
    let from = match (in_hand, &released) {
        (Some(attempt), Some(released)) => {
            Some(ReleaseOf { content: attempt.content.clone(), release: attempt.release, ..released.clone() })
        }
        _ => released.clone(),
    };
    let mut choices: Vec<ReleaseOf> = record.verified.iter().map(|verified| name(&verified.desired)).collect();
    if let (true, Some(released)) = (in_hand.is_some() || to.is_some(), released) {
        choices.insert(0, released);
    }
    let chosen = match to {
        // What was left by hand is not where a second rollback leads.
        None => choices
            .iter()
            .find(|choice| {
                record.diverged.as_ref().is_none_or(|diverged| diverged.from != choice.content && !diverged.left.contains(&choice.content))
            })
            .cloned()
            .ok_or_else(|| Refusal::NothingBefore { stack: stack.clone() })?,
        Some(wanted) => choices
            .iter()
            .find(|choice| is_meant(choice, wanted))
            .cloned()
            .ok_or_else(|| Refusal::NotVerified { to: wanted.to_owned(), choices: choices.iter().map(crate::words::release).collect() })?,
    };
    Ok(Way { from, to: chosen })
}

/// `7`, `#7`, or at least six digits of the content id.
fn is_meant(choice: &ReleaseOf, wanted: &str) -> bool {
    let number = wanted.strip_prefix('#').unwrap_or(wanted).parse::<u64>().ok();
    let by_number = number.is_some_and(|number| choice.release.is_some_and(|release| release.0 == number));
    by_number || wanted.len() >= 6 && choice.content.as_str().starts_with(wanted)
}

impl<E: Engine, C: Fn(&EnvironmentName) -> E> Driver<E, C> {
    /// Does what is asked and answers; a request that came meanwhile is handed back.
    pub(super) async fn answer(
        &mut self,
        request: Request,
        requests: &mut mpsc::Receiver<Request>,
        stop: &CancellationToken,
    ) -> Result<Option<Request>, DriverError> {
        let Request { command, answer } = request;
        let (result, pending) = match command {
            Command::Resume { stack } => (self.resume(&stack).await?, None),
            Command::Rollback { ref stack, ref to, .. } => match self.begin_rollback(&command, stack, to.as_deref()).await? {
                Err(refusal) => (Err(refusal), None),
                Ok(way) => {
                    let pending = self.work(requests, stop).await?;
                    (self.arrived(stack, way), pending)
                }
            },
        };
        // Whoever asked may be gone; what was done stays done.
        let _ = answer.send(result);
        Ok(pending)
    }

    /// One command while no loop runs: the config as it was fetched last, or `unusable` if there is none; no git.
    pub async fn once(
        &mut self,
        command: Command,
        stop: &CancellationToken,
        unusable: fn(CommitId, &str) -> ConfigView,
    ) -> Result<Result<Rolled, Refusal>, DriverError> {
        self.view_without_git().await?;
        if self.view.is_none()
            && let Some(trusted) = self.memory.trusted.clone()
        {
            self.view = Some(unusable(trusted, crate::words::NO_GIT_HERE));
        }
        let (answer, mut answered) = oneshot::channel();
        let (_nobody, mut requests) = mpsc::channel(1);
        self.answer(Request { command, answer }, &mut requests, stop).await?;
        Ok(answered.try_recv().unwrap_or(Err(Refusal::Stopping)))
    }

    fn environment(&self) -> Result<EnvironmentName, Refusal> {
        self.memory.environment.clone().ok_or(Refusal::Failed { cause: crate::words::NO_CONFIG_YET.to_owned() })
    }

    fn known(&self, stack: &StackName) -> Result<StackMemory, Refusal> {
        self.memory.stacks.get(stack).cloned().ok_or_else(|| Refusal::UnknownStack {
            stack: stack.clone(),
            known: self.memory.stacks.keys().map(ToString::to_string).collect(),
        })
    }

    /// Remembers where the rollback leads: from then on every turn goes there, also after a crash.
    async fn begin_rollback(
        &mut self,
        command: &Command,
        stack: &StackName,
        to: Option<&str>,
    ) -> Result<Result<Way, Refusal>, DriverError> {
        let Command::Rollback { reason, by, .. } = command else { return Ok(Err(Refusal::Stopping)) };
        let found = self.environment().and_then(|environment| {
            let memory = self.known(stack)?;
            Ok((way(&environment, stack, &memory.record, to)?, memory))
        });
        let (way, mut memory) = match found {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(from) = way.from.clone().filter(|from| from.content != way.to.content) else { return Ok(Ok(way)) };
        let now = self.parts.clock.now();
        let mut left =
            memory.record.diverged.take().map(|before| before.left.into_iter().chain([before.from]).collect()).unwrap_or_default();
        // Somebody who names what was left before wants it after all.
        std::collections::BTreeSet::remove(&mut left, &way.to.content);
        let (from_content, to) = (from.content.clone(), way.to.content.clone());
        memory.record.diverged = Some(Diverged { from: from_content, to, left, since: now, by: by.clone(), reason: reason.clone() });
        // Somebody decided for it: an earlier failure of that content does not count any more.
        memory.record.failed.retain(|failed| failed.content != way.to.content);
        let mut change = Change::at(now).stack(stack, &memory);
        if memory.record.released.as_ref().is_some_and(|released| released.desired.content == way.to.content) {
            let news = LocalRollback { from, to: way.to.clone(), by: by.clone(), reason: reason.clone() };
            change = change.tell(Event::LocalRollback(news));
        }
        self.commit(change).await?;
        self.memory.stacks.insert(stack.clone(), memory);
        self.hurry(stack);
        Ok(Ok(way))
    }

    /// How the rollback went.
    fn arrived(&self, stack: &StackName, way: Way) -> Result<Rolled, Refusal> {
        let Way { from, to } = way;
        if from.as_ref().is_some_and(|from| from.content == to.content) {
            return Ok(Rolled::AlreadyThere { to });
        }
        let Some(memory) = self.memory.stacks.get(stack) else { return Err(Refusal::NothingBefore { stack: stack.clone() }) };
        let record = &memory.record;
        if let Some(failed) = record.failed.iter().find(|failed| failed.content == to.content) {
            return Err(Refusal::Failed { cause: crate::words::rollback_failed(&to, &failed.cause) });
        }
        let there = record.released.as_ref().is_some_and(|released| released.desired.content == to.content) && record.attempt.is_none();
        if there { Ok(Rolled::Back { from, to }) } else { Ok(Rolled::UnderWay { to, cause: crate::words::GOES_ON.to_owned() }) }
    }

    async fn resume(&mut self, stack: &StackName) -> Result<Result<Rolled, Refusal>, DriverError> {
        let mut memory = match self.known(stack) {
            Ok(memory) => memory,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let lifted = lift(&mut memory, self.reporter.holds_removal(stack));
        self.commit(Change::at(self.parts.clock.now()).stack(stack, &memory)).await?;
        self.memory.stacks.insert(stack.clone(), memory);
        self.hurry(stack);
        self.look = true;
        Ok(Ok(Rolled::Resumed { lifted }))
    }

    fn hurry(&mut self, stack: &StackName) {
        if let Some(reconciler) = &mut self.reconciler {
            reconciler.hurry(stack);
        }
    }
}

/// Lifts what stands between git and the stack on this host. Pure.
fn lift(memory: &mut StackMemory, removal: HeldRemoval) -> Vec<String> {
    let mut lifted = Vec::new();
    if let Some(diverged) = memory.record.diverged.take() {
        lifted.push(crate::words::lifted_rollback(&diverged.by));
    }
    if !memory.record.failed.is_empty() {
        lifted.push(crate::words::lifted_failures(memory.record.failed.len()));
        memory.record.failed.clear();
    }
    if removal == HeldRemoval::Waits {
        memory.removal = Removal::Confirmed;
        lifted.push(crate::words::LIFTED_REMOVAL.to_owned());
    }
    lifted
}
