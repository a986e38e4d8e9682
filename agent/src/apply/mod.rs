//! Carrying out a stack's plan: every step after the ones it names, several at a time, and nothing decided here.
//!
//! The first failure ends the run: no step begins any more, calls in hand end, waits and pulls are cut short (the way back
//! must not wait for them). The same goes for a stop from outside. What was done stays: the next plan starts from it.

mod outcome;
mod wait;

pub use outcome::{ApplyOutcome, Cause, Failure, Progress, ProgressSink};

use crate::engine::{Belongs, Engine, EngineError};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::collections::BTreeSet;
use tidegate_core::desired::{DesiredContainer, DesiredStack};
use tidegate_core::ids::ServiceName;
use tidegate_core::plan::{Action, StackPlan, Step};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Calls to the engine at a time: on two cores more bought nothing, and an engine has other work too.
pub const CALLS_MAX: usize = 8;

/// What a run needs.
pub struct Apply<'a, E> {
    /// The engine.
    pub engine: &'a E,
    /// Who is told of each step.
    pub progress: &'a dyn ProgressSink,
    /// Ends the run early: the agent stops, or another plan takes this one's place.
    pub stop: &'a CancellationToken,
}

/// Why a step did not end well.
enum Trouble {
    Verdict(Cause),
    Error(EngineError),
    Stopped,
}

impl<E: Engine> Apply<'_, E> {
    /// Carries out a plan.
    pub async fn run(&self, plan: &StackPlan) -> ApplyOutcome {
        let Some(target) = &plan.target else { return ApplyOutcome::Done };
        let run = Run { apply: self, target, plan, calls: Semaphore::new(CALLS_MAX), waits: self.stop.child_token() };
        run.all().await
    }
}

struct Run<'a, E> {
    apply: &'a Apply<'a, E>,
    target: &'a DesiredStack,
    plan: &'a StackPlan,
    calls: Semaphore,
    /// Cuts waits short: cancelled by a stop from outside and by the first failure.
    waits: CancellationToken,
}

impl<E: Engine> Run<'_, E> {
    async fn all(&self) -> ApplyOutcome {
        let mut open: Vec<&Step> = self.plan.steps.iter().collect();
        let mut done: BTreeSet<u32> = BTreeSet::new();
        let mut running: FuturesUnordered<BoxFuture<'_, (&Step, Result<(), Trouble>)>> = FuturesUnordered::new();
        let mut ended: Option<(&Step, Trouble)> = None;
        loop {
            if ended.is_none() && !self.waits.is_cancelled() {
                let (ready, later) = open.into_iter().partition(|step| step.after.iter().all(|id| done.contains(id)));
                open = later;
                let ready: Vec<&Step> = ready;
                running.extend(ready.into_iter().map(|step| Box::pin(self.step(step)) as BoxFuture<'_, _>));
            }
            let Some((step, result)) = running.next().await else { break };
            match result {
                Ok(()) => drop(done.insert(step.id)),
                Err(trouble) => {
                    self.waits.cancel();
                    ended = worse(ended, (step, trouble));
                }
            }
        }
        match ended {
            None if open.is_empty() && done.len() == self.plan.steps.len() => ApplyOutcome::Done,
            None | Some((_, Trouble::Stopped)) => ApplyOutcome::Stopped,
            Some((step, Trouble::Verdict(cause))) => ApplyOutcome::Failed(self.failure(step, cause).await),
            Some((step, Trouble::Error(error))) => ApplyOutcome::Error { step: step.id, service: self.service(step), error },
        }
    }

    async fn step<'s>(&self, step: &'s Step) -> (&'s Step, Result<(), Trouble>) {
        let result = match &step.action {
            Action::AwaitReady { .. } | Action::AwaitExit { .. } => {
                self.tell(Progress::Began { step });
                self.wait(step).await
            }
            _ => self.call(step).await,
        };
        if result.is_ok() {
            self.tell(Progress::Ended { step });
        }
        (step, result)
    }

    /// A call to the engine. Once begun it is not interrupted, but for a pull: half a call helps nobody.
    async fn call(&self, step: &Step) -> Result<(), Trouble> {
        let Ok(_permit) = self.calls.acquire().await else { return Err(Trouble::Stopped) };
        if self.waits.is_cancelled() {
            return Err(Trouble::Stopped);
        }
        self.tell(Progress::Began { step });
        if !matches!(step.action, Action::Pull { .. }) {
            return self.ask(step).await.map_err(Trouble::from);
        }
        // A pull may take many minutes and changes nothing that runs: a way back does not wait for it.
        tokio::select! {
            biased;
            result = self.ask(step) => result.map_err(Trouble::from),
            () = self.waits.cancelled() => Err(Trouble::Stopped),
        }
    }

    async fn ask(&self, step: &Step) -> Result<(), EngineError> {
        let engine = self.apply.engine;
        match &step.action {
            Action::Pull { image, policy } => engine.pull(image, *policy).await,
            Action::CreateNetwork { name, network } => engine.create_network(name, network, &self.target.stack).await,
            Action::CreateVolume { name, volume } => engine.create_volume(name, volume, &self.target.stack).await,
            Action::Create { service, container } => engine.create(container, &self.belongs(service)).await,
            Action::Start { container, .. } => engine.start(container).await,
            Action::Stop { container, .. } => engine.stop(container).await,
            Action::Remove { container, .. } => engine.remove(container).await,
            Action::RemoveNetwork { name } => engine.remove_network(name).await,
            // Waits are no calls; they go another way, above.
            Action::AwaitReady { .. } | Action::AwaitExit { .. } => Ok(()),
        }
    }

    async fn wait(&self, step: &Step) -> Result<(), Trouble> {
        let (container, watch) = match &step.action {
            Action::AwaitReady { container, timeout_ms, bake_ms, .. } => (container, wait::Watch::ready(*timeout_ms, *bake_ms)),
            Action::AwaitExit { container, timeout_ms, .. } => (container, wait::Watch::exit(*timeout_ms)),
            _ => return Ok(()),
        };
        let model = self.desired(container).map(|desired| &desired.model);
        let is_fresh =
            self.plan.steps.iter().any(|s| matches!(&s.action, Action::Start { container: started, .. } if started == container));
        let watch = watch.of(container, model, is_fresh);
        tokio::select! {
            biased;
            result = watch.until_settled(self.apply.engine) => result,
            () = self.waits.cancelled() => Err(Trouble::Stopped),
        }
    }

    fn tell(&self, progress: Progress<'_>) {
        self.apply.progress.tell(self.plan, progress);
    }

    fn belongs(&self, service: &ServiceName) -> Belongs {
        Belongs {
            stack: self.target.stack.clone(),
            project: self.target.project.clone(),
            service: service.clone(),
            release: self.target.release,
            commit: self.target.commit.clone(),
        }
    }

    fn desired(&self, container: &str) -> Option<&DesiredContainer> {
        self.target.services.iter().flat_map(|s| &s.containers).find(|c| c.name == container)
    }

    /// The service to blame: the step's own, or the one whose image it is.
    fn service(&self, step: &Step) -> Option<ServiceName> {
        match &step.action {
            Action::Pull { image, .. } => {
                let uses = |c: &DesiredContainer| c.model.image == *image;
                self.target.services.iter().find(|s| s.containers.iter().any(uses)).map(|s| s.name.clone())
            }
            Action::CreateNetwork { .. } | Action::CreateVolume { .. } | Action::RemoveNetwork { .. } => None,
            Action::Create { service, .. }
            | Action::Start { service, .. }
            | Action::AwaitReady { service, .. }
            | Action::AwaitExit { service, .. }
            | Action::Stop { service, .. }
            | Action::Remove { service, .. } => Some(service.clone()),
        }
    }

    async fn failure(&self, step: &Step, cause: Cause) -> Failure {
        let last_words = match &step.action {
            Action::Start { container, .. } | Action::AwaitReady { container, .. } | Action::AwaitExit { container, .. } => {
                self.apply.engine.last_words(container).await
            }
            _ => Default::default(),
        };
        Failure { step: step.id, service: self.service(step), cause, last_words }
    }
}

/// Of two troubles the one that says more: a verdict before an error before a stop, the earlier one among equals.
fn worse<'s>(first: Option<(&'s Step, Trouble)>, second: (&'s Step, Trouble)) -> Option<(&'s Step, Trouble)> {
    let weight = |trouble: &Trouble| match trouble {
        Trouble::Verdict(_) => 2,
        Trouble::Error(_) => 1,
        Trouble::Stopped => 0,
    };
    match first {
        Some(first) if weight(&first.1) >= weight(&second.1) => Some(first),
        _ => Some(second),
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Trouble {
        if error.is_verdict() { Trouble::Verdict(Cause::Refused(error)) } else { Trouble::Error(error) }
    }
}
