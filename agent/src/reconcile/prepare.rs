//! Images of what waits only for its time are pulled before it comes, so that an opening is not spent on the registry.
//!
//! One pull at a time and per content, beside the turns: a turn never waits for it. What failed is tried again later and
//! later. Nothing depends on it: the rollout's own plan has its pulls.

use super::facts::{Seen, Settled};
use crate::backoff::{Backoff, chance};
use crate::engine::Engine;
use crate::words;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::compose::PullPolicy;
use tidegate_core::desired::DesiredStack;
use tidegate_core::ids::{ContentId, StackName};
use tidegate_core::plan::Waiting;
use tokio::task::JoinHandle;

/// After the first failed pull.
const FIRST_RETRY: Duration = Duration::from_secs(30);
/// At most between two tries.
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// Does it wait for nothing but its time?
pub(super) fn is_worth_it(waiting: &Waiting) -> bool {
    matches!(
        waiting,
        Waiting::WindowClosed { .. }
            | Waiting::MissedWindow { .. }
            | Waiting::DoesNotFit { .. }
            | Waiting::Frozen { .. }
            | Waiting::Splay { .. }
    )
}

/// What is pulled ahead, by stack.
#[derive(Debug, Default)]
pub(super) struct Preparations(BTreeMap<StackName, Preparation>);

#[derive(Debug)]
struct Preparation {
    content: ContentId,
    pull: Option<JoinHandle<Result<(), String>>>,
    done: Option<ContentId>,
    backoff: Backoff,
    again_at: Option<Timestamp>,
}

impl Drop for Preparation {
    fn drop(&mut self) {
        if let Some(pull) = &self.pull {
            pull.abort();
        }
    }
}

impl Preparations {
    /// Forgets, and ends, what is not offered any more; notes what has ended, so that the next pull can begin.
    pub(super) fn keep(&mut self, settled: &BTreeMap<StackName, Settled>, now: Timestamp) {
        self.0.retain(|name, preparation| {
            let offered = settled.get(name).and_then(|one| one.offered.as_ref());
            offered.is_some_and(|offered| offered.content == preparation.content)
        });
        self.0.values_mut().for_each(|preparation| preparation.settle(now));
    }

    /// The contents whose images are here: pulled ahead, or those of containers that are here already.
    pub(super) fn pulled(&mut self, settled: &BTreeMap<StackName, Settled>, seen: &Seen<'_>) -> BTreeSet<ContentId> {
        let images: BTreeSet<&str> = seen.observed.containers.values().map(|container| container.image.as_str()).collect();
        let is_here = |offered: &&DesiredStack| {
            let mut services = offered.services.iter().filter(|service| service.pull_policy == PullPolicy::Missing);
            let all_may_be = offered.services.iter().all(|service| service.pull_policy != PullPolicy::Always);
            all_may_be && services.all(|service| service.containers.iter().all(|c| images.contains(c.model.image.for_engine().as_str())))
        };
        let offered = settled.values().filter_map(|one| one.offered.as_ref()).filter(is_here);
        offered.map(|offered| offered.content.clone()).chain(self.0.values().filter_map(|one| one.done.clone())).collect()
    }

    /// Begins or goes on; the content, once its images are here.
    pub(super) fn look<E: Engine>(&mut self, engine: &Arc<E>, offered: &DesiredStack, now: Timestamp) -> Option<ContentId> {
        let is_busy = self.0.values().any(|other| other.content != offered.content && other.pull.is_some());
        let one = self.0.entry(offered.stack.clone()).or_insert_with(|| Preparation {
            content: offered.content.clone(),
            pull: None,
            done: None,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            again_at: None,
        });
        let is_due = one.again_at.is_none_or(|at| at <= now);
        if one.done.is_none() && one.pull.is_none() && is_due && !is_busy {
            one.pull = Some(tokio::spawn(pull(Arc::clone(engine), offered.clone())));
        }
        one.done.clone()
    }
}

impl Preparation {
    /// Notes the end of a pull.
    fn settle(&mut self, now: Timestamp) {
        use futures_util::FutureExt;
        let Some(mut pull) = self.pull.take() else { return };
        if !pull.is_finished() {
            self.pull = Some(pull);
            return;
        }
        match (&mut pull).now_or_never() {
            Some(Ok(Ok(()))) => self.done = Some(self.content.clone()),
            ended => {
                let cause = match ended {
                    Some(Ok(Err(cause))) => cause,
                    _ => "the pull was ended".to_owned(),
                };
                let wait = SignedDuration::try_from(self.backoff.next(chance())).unwrap_or(SignedDuration::MAX);
                self.again_at = now.checked_add(wait).ok();
                tracing::warn!(cause, "images could not be pulled ahead; it is tried again");
            }
        }
    }
}

async fn pull<E: Engine>(engine: Arc<E>, offered: DesiredStack) -> Result<(), String> {
    let mut pulled = BTreeSet::new();
    for service in &offered.services {
        let Some(container) = service.containers.first() else { continue };
        let image = &container.model.image;
        if pulled.insert(image.to_string()) {
            engine.pull(image, service.pull_policy).await.map_err(|error| words::chain(&error))?;
        }
    }
    tracing::info!(stack = offered.stack.as_str(), content = offered.content.short(), "its images are here ahead of its time");
    Ok(())
}
