//! Waiting for a container: ready for long enough, or ended with 0. Moved by the engine's events; a slow look beside
//! them, for events can be lost, and a quicker one while there are none.

use super::{Cause, Trouble};
use crate::engine::{ContainerView, Engine, EngineError};
use std::time::Duration;
use tidegate_core::compose::{ContainerModel, Restart};
use tidegate_core::observed::{ContainerState, Health};
use tokio::time::Instant;

/// Between looks while events arrive.
const LOOK_WITH_EVENTS: Duration = Duration::from_secs(2);
/// Between looks while the event stream is broken or the engine does not answer.
const LOOK_WITHOUT_EVENTS: Duration = Duration::from_millis(250);

/// What is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    timeout_ms: u64,
    goal: Goal,
}

#[derive(Debug, Clone, Copy)]
enum Goal {
    Ready { bake: Duration },
    Exit,
}

/// Of which container.
pub(super) struct WatchOf<'a> {
    watch: Watch,
    container: &'a str,
    /// An end with 0 is an end.
    may_end: bool,
    /// It is started again whatever it ends with.
    restarts_for_ever: bool,
    /// How often it had been restarted before; none: told by the first look.
    restarts_before: Option<u32>,
}

/// What a look says.
enum Verdict {
    /// It is as it should be, and must stay so for the bake time.
    Good,
    /// It is settled for good.
    Done,
    /// Not yet.
    NotYet,
    No(Cause),
}

impl Watch {
    pub(super) fn ready(timeout_ms: u64, bake_ms: u64) -> Watch {
        Watch { timeout_ms, goal: Goal::Ready { bake: Duration::from_millis(bake_ms) } }
    }

    pub(super) fn exit(timeout_ms: u64) -> Watch {
        Watch { timeout_ms, goal: Goal::Exit }
    }

    /// A container that was started in this run has no restarts behind it.
    pub(super) fn of<'a>(self, container: &'a str, model: Option<&ContainerModel>, is_fresh: bool) -> WatchOf<'a> {
        let may_end = model.is_some_and(ContainerModel::may_end);
        let restarts_for_ever = model.is_some_and(|m| matches!(m.restart, Restart::Always | Restart::UnlessStopped));
        WatchOf { watch: self, container, may_end, restarts_for_ever, restarts_before: is_fresh.then_some(0) }
    }
}

impl WatchOf<'_> {
    pub(super) async fn until_settled<E: Engine>(mut self, engine: &E) -> Result<(), Trouble> {
        let deadline = Instant::now() + Duration::from_millis(self.watch.timeout_ms) + self.bake();
        let mut good_since: Option<Instant> = None;
        let mut last: Option<Result<ContainerView, EngineError>>;
        loop {
            // Before the look, so that nothing is missed between the look and the wait.
            let change = engine.container_changed(self.container);
            let looked = engine.inspect(self.container).await;
            let now = Instant::now();
            match &looked {
                Ok(None) => return Err(Trouble::Verdict(Cause::Disappeared { container: self.container.to_owned() })),
                Ok(Some(view)) => match self.judge(view) {
                    Verdict::Done => return Ok(()),
                    Verdict::No(cause) => return Err(Trouble::Verdict(cause)),
                    Verdict::NotYet => good_since = None,
                    Verdict::Good if now - *good_since.get_or_insert(now) >= self.bake() => return Ok(()),
                    Verdict::Good => {}
                },
                Err(_) => {}
            }
            let no_answer = looked.is_err();
            last = looked.transpose();
            if now >= deadline {
                return Err(self.too_late(last));
            }
            let good_at = good_since.map_or(deadline, |since| since + self.bake());
            pause(change, Pause { until: good_at.min(deadline), no_answer }).await;
        }
    }

    fn bake(&self) -> Duration {
        match self.watch.goal {
            Goal::Ready { bake } => bake,
            Goal::Exit => Duration::ZERO,
        }
    }

    fn judge(&mut self, view: &ContainerView) -> Verdict {
        let before = *self.restarts_before.get_or_insert(view.restarts);
        match self.watch.goal {
            Goal::Ready { .. } => self.judge_ready(view, before),
            Goal::Exit => self.judge_exit(view),
        }
    }

    fn judge_ready(&self, view: &ContainerView, restarts_before: u32) -> Verdict {
        let container = self.container.to_owned();
        if view.restarts > restarts_before || view.state == ContainerState::Restarting {
            return Verdict::No(Cause::Restarts { container, restarts: view.restarts.max(1) });
        }
        match (view.state, view.health) {
            (ContainerState::Running, Some(Health::Unhealthy)) => Verdict::No(Cause::Unhealthy { container }),
            (ContainerState::Running, Some(Health::Starting)) => Verdict::NotYet,
            (ContainerState::Running, Some(Health::Healthy) | None) => Verdict::Good,
            (ContainerState::Exited(0), _) if self.may_end => Verdict::Done,
            (ContainerState::Exited(code), _) => Verdict::No(Cause::Exited { container, code }),
            (ContainerState::Gone, _) => Verdict::No(Cause::Disappeared { container }),
            (ContainerState::Created | ContainerState::Paused | ContainerState::Restarting, _) => Verdict::NotYet,
        }
    }

    fn judge_exit(&self, view: &ContainerView) -> Verdict {
        let container = self.container.to_owned();
        match view.state {
            ContainerState::Exited(0) => Verdict::Done,
            ContainerState::Exited(code) => Verdict::No(Cause::Exited { container, code }),
            // It ended and was started again, which will go on for ever.
            _ if view.restarts > 0 && self.restarts_for_ever => Verdict::No(Cause::Restarts { container, restarts: view.restarts }),
            ContainerState::Gone => Verdict::No(Cause::Disappeared { container }),
            ContainerState::Running | ContainerState::Created | ContainerState::Paused | ContainerState::Restarting => Verdict::NotYet,
        }
    }

    /// Not ready in time is a verdict; not known in time is none.
    fn too_late(&self, last: Option<Result<ContainerView, EngineError>>) -> Trouble {
        let (container, timeout_ms) = (self.container.to_owned(), self.watch.timeout_ms);
        match (last, self.watch.goal) {
            (Some(Err(error)), _) => Trouble::Error(error),
            (Some(Ok(view)), Goal::Ready { .. }) => {
                Trouble::Verdict(Cause::NotReady { container, timeout_ms, state: view.state, health: view.health })
            }
            (Some(Ok(_)), Goal::Exit) => Trouble::Verdict(Cause::NotFinished { container, timeout_ms }),
            (None, _) => Trouble::Verdict(Cause::Disappeared { container }),
        }
    }
}

struct Pause {
    until: Instant,
    no_answer: bool,
}

/// Until something changed, or it is time for a look.
async fn pause(change: impl Future<Output = Result<(), EngineError>>, pause: Pause) {
    let looks_at = |every: Duration| tokio::time::sleep_until((Instant::now() + every).min(pause.until));
    if pause.no_answer {
        return looks_at(LOOK_WITHOUT_EVENTS).await;
    }
    tokio::select! {
        told = change => if told.is_err() { looks_at(LOOK_WITHOUT_EVENTS).await },
        () = looks_at(LOOK_WITH_EVENTS) => {}
    }
}
