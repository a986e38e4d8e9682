//! Carrying out one stack's plan with its journal: begin, apply, and on a failure the way back at once.
//!
//! Every move is durable before the next one starts, so that after a crash the same planner continues or undoes
//! whatever the journal says was begun.

use super::facts::Settled;
use super::journal::StackState;
use crate::apply::{self, Apply, ApplyOutcome, ProgressSink};
use crate::clock::WallClock;
use crate::engine::{Engine, EngineError};
use crate::materialise::{MaterialiseError, Materialised};
use crate::store::{Change, Store, StoreError};
use crate::words;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tidegate_core::desired::DesiredStack;
use tidegate_core::events::{Event, Failure, ReleaseOf, Restored, RolloutProgress};
use tidegate_core::files::RepoFiles;
use tidegate_core::plan::{External, Gates, HostInputs, OperationClass, Plan, Reason, StackInputs, StackPlan, Waiting, plan, still_goes};
use tidegate_git::Mirror;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// How long a rollout that cannot be done (registry or engine away) is tried, beyond its own budget, in seconds.
pub const ERROR_PATIENCE_SECS: u64 = 600;
/// How soon an external network or volume that is missing is looked for again, in seconds: whoever makes one waits for it.
pub const EXTERNAL_RETRY_SECS: i64 = 15;

/// What every stack's work needs.
pub struct Tools<E> {
    /// The engine.
    pub engine: Arc<E>,
    /// The database.
    pub store: Store,
    /// The config repo, for files that containers mount; none in a command that has no mirror.
    pub mirror: Option<Mirror>,
    /// Where those files lie.
    pub files: Materialised,
    /// The time.
    pub clock: WallClock,
    /// Told when a rollout begins, long before its turn ends.
    pub begun: Begun,
}

/// Who is told when a rollout begins.
pub type Begun = Box<dyn Fn(&ReleaseOf) + Send + Sync>;

/// One stack's work in a turn.
pub struct StackTurn<'a, E> {
    /// What it needs.
    pub tools: &'a Tools<E>,
    /// The gates of this turn.
    pub gates: &'a Gates,
    /// Ends the work early; the journal says where to go on.
    pub interrupt: &'a CancellationToken,
}

/// How a stack's work ended.
#[derive(Debug)]
pub enum StackEnd {
    /// The target is reached, or the attempt was taken back.
    Settled,
    /// A repair was made.
    Repaired,
    /// It could not be done now; try again later.
    TryLater {
        /// Why, one sentence.
        cause: String,
        /// Is it the engine that does not answer? Then nothing else can be done either.
        engine_away: bool,
    },
    /// Nothing was begun: an external network or volume is not on the host.
    ExternalMissing(External),
    /// A check said no where there is nothing to go back to: a repair or a way back.
    Broken {
        /// Why, one sentence.
        cause: String,
    },
    /// Interrupted.
    Stopped,
}

impl<E: Engine> StackTurn<'_, E> {
    /// Carries out a plan; `settled.state` holds what is remembered afterwards.
    pub async fn run(&self, settled: &mut Settled, planned: &StackPlan) -> Result<StackEnd, StoreError> {
        let Some(target) = planned.target.clone() else { return Ok(StackEnd::Settled) };
        match planned.class {
            None | Some(OperationClass::Repair) => self.repair(&mut settled.state, planned, &target).await,
            Some(OperationClass::Abort) => {
                let because = stopped_by(settled, planned);
                self.take_back(&mut settled.state, planned, because).await
            }
            Some(OperationClass::Release | OperationClass::Rollback) => self.roll_out(settled, planned, &target).await,
        }
    }

    async fn roll_out(&self, settled: &mut Settled, planned: &StackPlan, target: &DesiredStack) -> Result<StackEnd, StoreError> {
        // What was begun before goes on: if it cannot, it is taken back in time.
        if settled.state.memory.journal.is_none()
            && let Some(end) = self.missing(planned).await
        {
            return Ok(end);
        }
        let now = self.tools.clock.now();
        if !settled.state.continues(target, now) && !self.may_begin(settled, planned, now) {
            return Ok(StackEnd::Stopped);
        }
        let state = &mut settled.state;
        self.write(state.begin(planned, target, (now, self.gates.calendar.decide(now).open_until))).await?;
        if let Some(journal) = &state.memory.journal {
            (self.tools.begun)(&journal.of);
        }
        let outcome = match self.materialise(target).await {
            Ok(()) => self.apply(state, planned).await?,
            Err(error) => return self.could_not(settled, words::chain(&error), target).await,
        };
        match outcome {
            ApplyOutcome::Done if target.is_nothing() => {
                self.write(state.removed(self.tools.clock.now())).await?;
                Ok(StackEnd::Settled)
            }
            ApplyOutcome::Done => {
                self.write(state.verified(target, self.tools.clock.now())).await?;
                Ok(StackEnd::Settled)
            }
            ApplyOutcome::Failed(failure) => {
                self.write(state.failed(told(failure), self.tools.clock.now())).await?;
                self.go_back(settled).await
            }
            ApplyOutcome::Error { error, .. } if is_away(&error) => Ok(later(&error)),
            ApplyOutcome::Error { error, .. } => self.could_not(settled, words::chain(&error), target).await,
            ApplyOutcome::Stopped => Ok(StackEnd::Stopped),
        }
    }

    /// The first external network or volume that the plan uses and the host does not have: looked for before anything is
    /// begun, so that its absence is neither an outage nor a failed release.
    async fn missing(&self, planned: &StackPlan) -> Option<StackEnd> {
        for external in planned.externals() {
            match self.tools.engine.has(&external).await {
                Ok(true) => {}
                Ok(false) => return Some(StackEnd::ExternalMissing(external)),
                Err(error) => return Some(later(&error)),
            }
        }
        None
    }

    /// A turn decides for all stacks at one moment and works on a few at a time: what waited behind others asks again.
    fn may_begin(&self, settled: &Settled, planned: &StackPlan, now: Timestamp) -> bool {
        !self.interrupt.is_cancelled() && still_goes(planned, &settled.inputs(), self.gates, now)
    }

    /// No verdict. Within its patience the rollout is tried again; then what was begun is taken back.
    async fn could_not(&self, settled: &mut Settled, cause: String, target: &DesiredStack) -> Result<StackEnd, StoreError> {
        let now = self.tools.clock.now();
        let begun = settled.state.memory.journal.as_ref().map_or(now, |journal| journal.started_at);
        let patience_secs = ERROR_PATIENCE_SECS.saturating_add(target.budget_ms() / 1000);
        let waited_secs = u64::try_from(now.as_second() - begun.as_second()).unwrap_or(0);
        if waited_secs < patience_secs {
            return Ok(StackEnd::TryLater { cause, engine_away: false });
        }
        let failure = Failure { service: None, cause: cause.clone(), log: Vec::new(), restored: not_yet() };
        self.write(settled.state.gave_up(failure, now)).await?;
        match self.go_back(settled).await? {
            StackEnd::Settled => Ok(StackEnd::TryLater { cause, engine_away: false }),
            other => Ok(other),
        }
    }

    /// Looks again and plans the way to what is released.
    async fn go_back(&self, settled: &mut Settled) -> Result<StackEnd, StoreError> {
        let observed = match self.tools.engine.observe().await {
            Ok(observed) => observed,
            Err(error) => return Ok(later(&error)),
        };
        let inputs = back(settled);
        let name = settled.state.name.clone();
        let planned = plan(
            &HostInputs { stacks: BTreeMap::from([(name, inputs)]), observed: &observed, gates: self.gates.clone() },
            self.tools.clock.now(),
        );
        match the_only(planned) {
            Some(planned) => self.take_back(&mut settled.state, &planned, None).await,
            None => {
                self.write(settled.state.taken_back(None, self.tools.clock.now())).await?;
                Ok(StackEnd::Settled)
            }
        }
    }

    async fn take_back(&self, state: &mut StackState, planned: &StackPlan, because: Option<Waiting>) -> Result<StackEnd, StoreError> {
        let cause = match self.prepare_and_apply(state, planned).await? {
            Ok(ApplyOutcome::Done) => {
                self.write(state.taken_back(because, self.tools.clock.now())).await?;
                return Ok(StackEnd::Settled);
            }
            Ok(ApplyOutcome::Stopped) => return Ok(StackEnd::Stopped),
            Ok(ApplyOutcome::Error { error, .. }) if is_away(&error) => return Ok(later(&error)),
            Ok(ApplyOutcome::Error { error, .. }) => words::chain(&error),
            Ok(ApplyOutcome::Failed(failure)) => words::chain(&failure.cause),
            Err(error) => words::chain(&error),
        };
        self.write(state.not_taken_back(&cause, self.tools.clock.now())).await?;
        Ok(StackEnd::Broken { cause })
    }

    async fn repair(&self, state: &mut StackState, planned: &StackPlan, target: &DesiredStack) -> Result<StackEnd, StoreError> {
        if let Some(end) = self.missing(planned).await {
            return Ok(end);
        }
        match self.prepare_and_apply(state, planned).await? {
            Ok(ApplyOutcome::Done) => {
                self.write(state.repaired(target, found(planned), self.tools.clock.now())).await?;
                Ok(StackEnd::Repaired)
            }
            Ok(ApplyOutcome::Stopped) => Ok(StackEnd::Stopped),
            Ok(ApplyOutcome::Error { error, .. }) => Ok(later(&error)),
            Ok(ApplyOutcome::Failed(failure)) => Ok(StackEnd::Broken { cause: words::chain(&failure.cause) }),
            Err(error) => Ok(StackEnd::TryLater { cause: words::chain(&error), engine_away: false }),
        }
    }

    async fn prepare_and_apply(
        &self,
        state: &mut StackState,
        planned: &StackPlan,
    ) -> Result<Result<ApplyOutcome, MaterialiseError>, StoreError> {
        if let Some(Err(error)) = match &planned.target {
            Some(target) => Some(self.materialise(target).await),
            None => None,
        } {
            return Ok(Err(error));
        }
        self.apply(state, planned).await.map(Ok)
    }

    /// Puts the repo files that containers mount on disk. What is there already needs no git.
    async fn materialise(&self, target: &DesiredStack) -> Result<(), MaterialiseError> {
        let mounts = target.repo_mounts();
        if mounts.is_empty() {
            return Ok(());
        }
        let files = match &self.tools.mirror {
            Some(mirror) => mirror.files(&target.commit).await.unwrap_or_default(),
            None => Arc::new(RepoFiles::default()),
        };
        self.tools.files.ensure(files, mounts).await
    }

    /// Applies, while progress is written beside it: in order, and all of it before the end is told.
    async fn apply(&self, state: &mut StackState, planned: &StackPlan) -> Result<ApplyOutcome, StoreError> {
        if let Some(change) = state.will_stop(planned, self.tools.clock.now()) {
            self.write(change).await?;
        }
        let (journalist, mut news) = Journalist::new(state, planned, self.tools.clock.clone());
        let run = async move {
            let apply = Apply { engine: &*self.tools.engine, progress: &journalist, stop: self.interrupt };
            apply.run(planned).await
        };
        let write = async {
            while let Some(change) = news.recv().await {
                self.write(change).await?;
            }
            Ok::<(), StoreError>(())
        };
        let (outcome, written) = tokio::join!(run, write);
        written.map(|()| outcome)
    }

    async fn write(&self, change: Change) -> Result<(), StoreError> {
        for event in &change.events {
            words::event(event).into_iter().for_each(|line| tracing::info!("{line}"));
        }
        self.tools.store.commit(change).await
    }
}

/// The inputs that make the planner go back: the content failed, or it is held for as long as we wait.
fn back(settled: &Settled) -> StackInputs {
    let mut inputs = settled.inputs();
    let record = &mut inputs.record;
    if let Some(attempt) = &record.attempt
        && record.failed.iter().all(|failed| failed.content != attempt.content)
    {
        let cause = "it could not be done in time".to_owned();
        record.failed.push(tidegate_core::plan::FailedContent {
            content: attempt.content.clone(),
            release: attempt.release,
            cause,
            at: attempt.started_at,
        });
        record.verified.retain(|verified| verified.desired.content != attempt.content);
    }
    inputs
}

/// What stopped the very release that is taken back, if it is still the one that git offers; else another one took its place.
fn stopped_by(settled: &Settled, planned: &StackPlan) -> Option<Waiting> {
    let attempted = &settled.state.memory.record.attempt.as_ref()?.content;
    let offered = &settled.offered.as_ref()?.content;
    planned.waiting.clone().filter(|_| attempted == offered)
}

fn the_only(planned: Plan) -> Option<StackPlan> {
    planned.stacks.into_iter().next().filter(|stack| stack.target.is_some())
}

/// One call that took too long is not the whole engine: the rollout's own patience decides then.
fn is_away(error: &EngineError) -> bool {
    matches!(error, EngineError::Unreachable { .. })
}

fn later(error: &EngineError) -> StackEnd {
    StackEnd::TryLater { cause: words::chain(error), engine_away: is_away(error) }
}

fn not_yet() -> Restored {
    Restored::Not { cause: words::BEING_TAKEN_BACK.to_owned() }
}

fn told(failure: apply::Failure) -> Failure {
    let cause = words::chain(&failure.cause);
    Failure { service: failure.service, cause, log: failure.last_words.lines, restored: not_yet() }
}

/// What a repair found, for people. Waiting for what starts anyway is no finding.
fn found(planned: &StackPlan) -> Vec<String> {
    let telling = |reason: &Reason| !matches!(reason, Reason::Needed | Reason::MakesRoom { .. } | Reason::Replaced);
    planned.steps.iter().filter(|step| telling(&step.reason)).map(words::step).collect()
}

/// Turns the steps of a run into progress news. A repair has none.
struct Journalist {
    of: Option<ReleaseOf>,
    steps: u32,
    done: AtomicU32,
    news: UnboundedSender<Change>,
    clock: WallClock,
}

impl Journalist {
    /// As many messages as the plan has steps, hence no bound on the channel.
    fn new(state: &StackState, planned: &StackPlan, clock: WallClock) -> (Journalist, UnboundedReceiver<Change>) {
        let (news, receiver) = unbounded_channel();
        let of = state.memory.journal.as_ref().map(|journal| journal.of.clone());
        let steps = u32::try_from(planned.steps.len()).unwrap_or(u32::MAX);
        (Journalist { of, steps, done: AtomicU32::new(0), news, clock }, receiver)
    }
}

impl ProgressSink for Journalist {
    fn tell(&self, _plan: &StackPlan, progress: apply::Progress<'_>) {
        let (Some(of), apply::Progress::Ended { step }) = (&self.of, progress) else { return };
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let event = RolloutProgress { of: of.clone(), done, steps: self.steps, doing: words::step(step) };
        // The receiver lives as long as the run.
        let _ = self.news.send(Change::at(self.clock.now()).tell(Event::Progress(event)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_that_took_too_long_is_not_the_whole_engine() {
        let tried = || "start shop-web-1".to_owned();
        assert!(!is_away(&EngineError::TimedOut { tried: tried(), limit_secs: 60 }));
        assert!(is_away(&EngineError::Unreachable { tried: tried(), source: "connection refused".into() }));
        let StackEnd::TryLater { engine_away: false, .. } = later(&EngineError::TimedOut { tried: tried(), limit_secs: 60 }) else {
            panic!("the whole engine is taken for away");
        };
    }
}
