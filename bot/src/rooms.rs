//! The workers of all environments: opened when an environment appears on the branch, closed when it goes.

use crate::notice::{News, Notice};
use crate::room::{Context, Door, NotTaken, Order, Picture, Room};
use crate::store::StoreError;
use crate::tips::{Seen, Tip, chain};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::ids::{CommitId, EnvironmentName};
use tidegate_git::keys::PublicKey;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Findings of a broken tip that are told; the rest is on the page.
const FINDINGS_TOLD_MAX: usize = 5;

type DoorMap = BTreeMap<EnvironmentName, Door>;

/// The ways to all workers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Doors(watch::Receiver<Arc<DoorMap>>);

impl Doors {
    /// Hands an order to an environment's worker, unless there is none or it has too much to do.
    pub fn order(&self, environment: &EnvironmentName, order: Order) -> Result<(), NotTaken> {
        let doors = self.0.borrow().clone();
        match doors.get(environment) {
            Some(door) => door.order(order),
            None => Err(NotTaken),
        }
    }

    /// Says that events of an environment's hosts are in the store.
    pub fn events_came(&self, environment: &EnvironmentName) {
        if let Some(door) = self.0.borrow().get(environment) {
            door.events_came();
        }
    }

    /// What each environment's worker knows, in promotion order.
    pub fn pictures(&self) -> Vec<Arc<Picture>> {
        let mut pictures: Vec<Arc<Picture>> = self.0.borrow().values().map(|door| door.picture.borrow().clone()).collect();
        let order = pictures.iter().find_map(|picture| picture.seen.tip.clone());
        let rank = |name: &EnvironmentName| order.as_ref().and_then(|tip| tip.repo.settings.environments.iter().position(|e| e == name));
        pictures.sort_by_key(|picture| (rank(&picture.name), picture.name.clone()));
        pictures
    }
}

/// Opens and closes workers.
#[derive(Debug)]
pub struct Rooms {
    context: Arc<Context>,
    seen: watch::Receiver<Arc<Seen>>,
    doors: watch::Sender<Arc<DoorMap>>,
    stops: BTreeMap<EnvironmentName, CancellationToken>,
    tasks: TaskTracker,
    told_broken: Option<CommitId>,
    warned_of_key: bool,
}

impl Rooms {
    /// None is open yet.
    pub fn new(context: Arc<Context>, seen: watch::Receiver<Arc<Seen>>) -> (Rooms, Doors) {
        let (doors, receiver) = watch::channel(Arc::default());
        (
            Rooms { context, seen, doors, stops: BTreeMap::new(), tasks: TaskTracker::new(), told_broken: None, warned_of_key: false },
            Doors(receiver),
        )
    }

    /// Follows the branch until told to stop; returns when every worker has finished what it had in hand.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let seen = self.seen.borrow_and_update().clone();
            if let Some(tip) = &seen.tip
                && let Err(error) = self.follow(tip, &stop).await
            {
                tracing::error!(error = %chain(&error), "an environment's worker could not be opened");
            }
            self.tell_broken(&seen).await;
            tokio::select! {
                () = stop.cancelled() => break,
                changed = self.seen.changed() => if changed.is_err() { break },
            }
        }
        self.stops.values().for_each(CancellationToken::cancel);
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Agents and people check the bot's commits against the keys that the repo names.
    fn check_key(&mut self, tip: &Tip) {
        let key = self.context.key.public();
        let is_named = tip.repo.settings.bot.keys.iter().any(|named| named.parse::<PublicKey>().is_ok_and(|named| named == key));
        if !is_named && !self.warned_of_key {
            tracing::warn!(public_key = %key, "tidegate.yaml does not name this bot's key under `bot.keys`: its commits will not be trusted");
        }
        self.warned_of_key = !is_named;
    }

    async fn follow(&mut self, tip: &Tip, stop: &CancellationToken) -> Result<(), StoreError> {
        self.check_key(tip);
        let wanted: Vec<EnvironmentName> = tip.repo.environments.iter().map(|environment| environment.name.clone()).collect();
        let gone: Vec<EnvironmentName> = self.stops.keys().filter(|name| !wanted.contains(name)).cloned().collect();
        let mut doors = (**self.doors.borrow()).clone();
        for name in gone {
            if let Some(stop) = self.stops.remove(&name) {
                stop.cancel();
            }
            doors.remove(&name);
        }
        for name in wanted {
            if self.stops.contains_key(&name) {
                continue;
            }
            let (room, door) = Room::open(name.clone(), self.context.clone(), self.seen.clone()).await?;
            let stop = stop.child_token();
            self.tasks.spawn(room.run(stop.clone()));
            self.stops.insert(name.clone(), stop);
            doors.insert(name, door);
        }
        self.doors.send_replace(Arc::new(doors));
        Ok(())
    }

    /// One notice for a broken tip, and one when it is mended.
    async fn tell_broken(&mut self, seen: &Seen) {
        let (key, news) = match (&seen.broken, &self.told_broken) {
            (Some(broken), told) if told.as_ref() != Some(&broken.commit) => {
                self.told_broken = Some(broken.commit.clone());
                let findings: Vec<String> = broken.findings.iter().take(FINDINGS_TOLD_MAX).cloned().collect();
                let more = broken.findings.len().saturating_sub(findings.len());
                (format!("broken:{}", broken.commit), News::BrokenTip { commit: broken.commit.clone(), findings, more })
            }
            (None, Some(told)) => {
                let Some(commit) = seen.head_id().cloned() else { return };
                let key = format!("mended:{told}");
                self.told_broken = None;
                (key, News::TipMended { commit })
            }
            _ => return,
        };
        let notice = Notice { at: Timestamp::now(), environment: None, news };
        if let Err(error) = self.context.store.notify(key, notice).await {
            tracing::error!(error = %chain(&error), "news could not be stored");
        }
        self.context.changed.notify_one();
    }
}
