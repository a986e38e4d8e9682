//! Discord: the domain's requests and outcomes, cards and news, on a platform with rules of its own.
//!
//! serenity holds the gateway, on a thread by itself; everything that is sent goes through `rest`. Both live outside the
//! runtime of git, agents and the page, so that a Discord that hangs, refuses or spins makes nothing else late. What was
//! told is in the store: a restart and a long silence lose and double nothing.

mod budget;
mod card;
mod code;
mod commands;
mod complete;
mod doctor;
mod gate;
mod gateway;
mod incoming;
mod keeper;
mod limits;
mod news;
mod permissions;
mod posts;
mod records;
mod rest;
mod rollback;
mod serve;
mod session;
mod sync;
mod text;
mod wire;
mod work;

pub use doctor::examine;
pub use rest::{Address, DISCORD, Token, authority};
pub use serve::NAME;

use crate::handle::Asked;
use crate::platforms::{Health, Platform};
use crate::rooms::Doors;
use crate::store::{Store, StoreError};
use crate::tips::{Seen, chain};
use crate::view::View;
use gateway::Gateway;
use keeper::RoomKeeper;
use records::Records;
use rest::Rest;
use serve::Desk;
use std::sync::Arc;
use std::time::Duration;
use sync::Sync;
use tidegate_git::Mirror;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What comes in from Discord and waits; more is not answered.
const INCOMING_MAX: usize = 1_000;
/// After a fault of this platform it begins again after this.
const BEGIN_AGAIN: Duration = Duration::from_secs(10);
/// What is in hand when the bot stops gets so long.
const STOP_MAX: Duration = Duration::from_secs(5);

/// The platform's ends. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Discord {
    /// Where Discord is.
    pub address: Address,
    /// Who the bot is.
    pub token: Token,
    /// What decides.
    pub domain: mpsc::Sender<Asked>,
    /// What is known of each environment.
    pub doors: Doors,
    /// The branch.
    pub seen: watch::Receiver<Arc<Seen>>,
    /// Tells that something changed.
    pub view: watch::Receiver<Arc<View>>,
    /// The memory.
    pub store: Store,
    /// Reads runbooks.
    pub mirror: Mirror,
    /// Told how it goes.
    pub health: Arc<Health>,
}

impl Platform for Discord {
    fn name(&self) -> &'static str {
        NAME
    }

    fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    fn run(self: Box<Self>, stop: CancellationToken) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(Discord::run(*self, stop))
    }
}

impl Discord {
    /// Sets the marks of a first start, before anything can happen that is to be told.
    pub async fn begin(store: &Store) -> Result<(), StoreError> {
        RoomKeeper::begin(store).await
    }

    /// Works until told to stop, on a thread of its own that is watched and begun again.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let (ended_in, ended) = oneshot::channel();
            let (discord, told) = (self.clone(), stop.clone());
            let thread = std::thread::Builder::new().name("discord".into()).spawn(move || {
                discord.on_this_thread(told);
                let _ = ended_in.send(()); // nobody waits any more: the bot stops
            });
            match thread {
                Ok(_) => drop(ended.await),
                Err(error) => tracing::error!(%error, "there is no thread for Discord"),
            }
            if stop.is_cancelled() {
                return;
            }
            tracing::error!("the part that speaks to Discord ended; it begins again");
            tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(BEGIN_AGAIN) => {} }
        }
    }

    fn on_this_thread(self, stop: CancellationToken) {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                runtime.block_on(self.work(stop));
                runtime.shutdown_background();
            }
            Err(error) => tracing::error!(%error, "there is no runtime for Discord"),
        }
    }

    async fn work(self, stop: CancellationToken) {
        if !self.has_rooms(&stop).await {
            return;
        }
        let rest = match Rest::new(&self.address, self.token.clone()) {
            Ok(rest) => Arc::new(rest),
            Err(error) => return tracing::error!(error = %chain(&error), "there is no way to Discord"),
        };
        let records = match Records::open(self.store.clone()).await {
            Ok(records) => Arc::new(records),
            Err(error) => return tracing::error!(error = %chain(&error), "what buttons mean cannot be read"),
        };
        let (incoming, comes_in) = mpsc::channel(INCOMING_MAX);
        let (identity_in, identity) = watch::channel(None);
        let gateway =
            Gateway { rest: rest.clone(), store: self.store.clone(), incoming, identity: identity_in, health: self.health.clone() };
        let desk = Desk {
            rest: rest.clone(),
            domain: self.domain,
            doors: self.doors.clone(),
            seen: self.seen.clone(),
            store: self.store.clone(),
            mirror: self.mirror,
            records: records.clone(),
            identity: identity.clone(),
        };
        let sync = Sync { rest: rest.clone(), store: self.store.clone(), identity, seen: self.seen.clone() };
        let keeper = RoomKeeper { rest, doors: self.doors, seen: self.seen, view: self.view, store: self.store, records };
        let tasks = TaskTracker::new();
        tasks.spawn(gateway.run(stop.clone()));
        tasks.spawn(Arc::new(desk).run(comes_in, stop.clone()));
        tasks.spawn(sync.run(stop.clone()));
        tasks.spawn(keeper.run(stop.clone()));
        stop.cancelled().await;
        tasks.close();
        if tokio::time::timeout(STOP_MAX, tasks.wait()).await.is_err() {
            tracing::warn!("what Discord was about to be told did not go out in time; it is told after the next start");
        }
    }

    /// The bot goes to Discord only once the config repo has been read and names a room: a loop of crashes before that
    /// costs no introduction.
    async fn has_rooms(&self, stop: &CancellationToken) -> bool {
        let mut seen = self.seen.clone();
        let named = |seen: &Arc<Seen>| seen.tip.as_ref().is_some_and(|tip| tip.repo.settings.chat.discord.is_some());
        if !named(&seen.borrow()) {
            tracing::info!("tidegate.yaml names no room on Discord yet (`chat.discord`)");
        }
        tokio::select! {
            () = stop.cancelled() => false,
            found = seen.wait_for(named) => found.is_ok(),
        }
    }
}
