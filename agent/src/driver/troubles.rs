//! What is wrong with the agent's surroundings: one piece of news per cause, and one when it is over.

use super::{Driver, DriverError};
use crate::engine::Engine;
use crate::reconcile::TurnEnd;
use crate::store::{Change, StoreError, TroubleMemory, Write};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::events::{Event, Recovered, Trouble};
use tidegate_core::ids::{EnvironmentName, StackName};

/// The config repo cannot be asked.
pub(super) const GIT_UNREACHABLE: &str = "git_unreachable";
/// The engine cannot be asked.
pub(super) const ENGINE_UNREACHABLE: &str = "engine_unreachable";
/// The branch does not descend from what was trusted.
pub(super) const HISTORY_REWRITTEN: &str = "history_rewritten";
/// A commit does not count by the signer policy.
pub(super) const TRUST_REFUSED: &str = "trust_refused";
/// The repo has a signer policy, and no usable pin says where it begins.
pub(super) const TRUST_UNPINNED: &str = "trust_unpinned";
/// The host's file names another environment than before.
pub(super) const ENVIRONMENT_CHANGED: &str = "environment_changed";
/// The host has no file in the config repo.
pub(super) const HOST_UNKNOWN: &str = "host_unknown";
/// A stack cannot be brought to what is released; one per stack.
const STACK_BROKEN: &str = "stack_broken";
/// A rollout cannot be done for now; one per stack.
const ROLLOUT_DELAYED: &str = "rollout_delayed";

fn of_stack(code: &str, stack: &StackName) -> String {
    format!("{code}:{stack}")
}

impl<E: Engine, C: Fn(&EnvironmentName) -> E> Driver<E, C> {
    /// Something is wrong: remembered, and told unless it was told already.
    pub(super) async fn trouble(&mut self, code: &str, cause: String) -> Result<(), StoreError> {
        if self.memory.troubles.contains_key(code) {
            return Ok(());
        }
        let now = self.parts.clock.now();
        let trouble = TroubleMemory { cause: cause.clone(), since: now };
        tracing::warn!(code, cause, "trouble");
        let event = Event::Trouble(Trouble { code: code.to_owned(), cause });
        self.commit(Change::at(now).write(Write::Trouble(code.to_owned(), trouble.clone())).tell(event)).await?;
        self.memory.troubles.insert(code.to_owned(), trouble);
        Ok(())
    }

    /// It is not wrong any more.
    pub(super) async fn recovered(&mut self, code: &str) -> Result<(), StoreError> {
        if !self.memory.troubles.contains_key(code) {
            return Ok(());
        }
        tracing::info!(code, "recovered");
        let event = Event::Recovered(Recovered { code: code.to_owned() });
        self.commit(Change::at(self.parts.clock.now()).write(Write::TroubleOver(code.to_owned())).tell(event)).await?;
        self.memory.troubles.remove(code);
        Ok(())
    }

    /// Troubles of single stacks, as the turn found them.
    pub(super) async fn stack_troubles(&mut self, end: &TurnEnd) -> Result<(), DriverError> {
        let mut now: BTreeMap<String, String> = BTreeMap::new();
        now.extend(end.broken.iter().map(|(stack, cause)| (of_stack(STACK_BROKEN, stack), cause.clone())));
        now.extend(end.delayed.iter().map(|(stack, cause)| (of_stack(ROLLOUT_DELAYED, stack), cause.clone())));
        for (code, cause) in now {
            self.trouble(&code, cause).await?;
        }
        // Only what was worked on and went well is over: a stack that waits for its next try is still in trouble.
        let over: BTreeSet<String> = end.settled.iter().flat_map(|s| [of_stack(STACK_BROKEN, s), of_stack(ROLLOUT_DELAYED, s)]).collect();
        for code in over {
            self.recovered(&code).await?;
        }
        Ok(())
    }
}
