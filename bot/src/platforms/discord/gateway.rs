//! The connection on which Discord speaks: serenity, on a thread and a runtime of its own.
//!
//! A close frame without a code makes serenity spin until its next heartbeat, with the whole runtime; nothing else of
//! the bot lives there. Whoever watches sees that its clock stands still, gives the connection up (it can then reach
//! nobody and is heard by nobody), and makes another one. Every introduction to Discord is written down before it is
//! made: see `budget`.

use super::budget::Budget;
use super::incoming::Incoming;
use super::rest::{Call, Rest, RestError};
use super::session::Session;
use crate::platforms::{Health, Link};
use crate::store::{Store, StoreError};
use crate::tips::chain;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serenity::all::{
    ClientBuilder, ConnectionStage, Context, EventHandler, GatewayError, GatewayIntents, HttpBuilder, Interaction, Ready,
    ShardStageUpdateEvent,
};
use serenity::prelude::SerenityError;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// The connection's own clock ticks this often.
const BEAT: Duration = Duration::from_millis(200);
/// A connection whose clock stood still this long is frozen.
const FROZEN: Duration = Duration::from_secs(3);
/// It must have introduced itself by then.
const CONNECT_MAX: Duration = Duration::from_secs(60);
/// An address that could not be asked for is asked for again after this.
const UNREACHED: Duration = Duration::from_secs(10);
/// Reconnections in a minute that are no longer bad luck.
const STORM_MAX: usize = 8;
/// What the connection says that may wait to be heard.
const SIGNS_MAX: usize = 64;
/// How often the state of serenity's session is looked at. Its introductions are at least five seconds apart.
const SESSION_LOOK: Duration = Duration::from_millis(50);
const BUDGET_SPACE: &str = "discord";
const BUDGET_KEY: &str = "budget";
/// Nobody listens there: where a connection that was given up is sent if it ever tries again.
const NOWHERE: &str = "ws://127.0.0.1:9";

/// Who the bot is on Discord, as Discord says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The application.
    pub application: u64,
    /// The bot as a user.
    pub user: u64,
}

/// Keeps the connection.
#[derive(Debug)]
pub struct Gateway {
    /// The way out.
    pub rest: Arc<Rest>,
    /// Remembers the budget.
    pub store: Store,
    /// Takes what comes in.
    pub incoming: mpsc::Sender<Incoming>,
    /// Told who the bot is.
    pub identity: watch::Sender<Option<Identity>>,
    /// Told how it goes.
    pub health: Arc<Health>,
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// Discord refuses this bot for good.
    Refused(String),
    /// Anything else: another try, later.
    Lost(String),
    /// The bot stops.
    Stopped,
}

/// What a connection says of itself.
#[derive(Debug)]
enum Sign {
    Ready(Identity),
    Stage(ConnectionStage),
}

#[derive(Deserialize)]
struct GatewayAnswer {
    url: String,
    session_start_limit: Option<StartLimit>,
}

#[derive(Deserialize)]
struct StartLimit {
    remaining: u64,
    reset_after: u64,
}

impl Gateway {
    /// Keeps a connection until told to stop, or until Discord refuses the bot for good.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            match self.connect(&stop).await {
                Ok(End::Stopped) => return,
                Ok(End::Lost(why)) => tracing::warn!(%why, "the connection to Discord is lost; another one is made"),
                Ok(End::Refused(why)) => {
                    self.rest.halt();
                    self.health.link(Link::Refused(why));
                    return;
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), "the bot does not introduce itself to Discord without writing it down first");
                    if sleep(Duration::from_secs(30), &stop).await.is_break() {
                        return;
                    }
                }
            }
        }
    }

    /// One connection, from its place in the budget to its end.
    async fn connect(&self, stop: &CancellationToken) -> Result<End, StoreError> {
        let fingerprint = self.rest.token().fingerprint();
        let mut budget = self.budget().await?;
        if let Some(verdict) = budget.refusal(&fingerprint) {
            tracing::error!(why = verdict.why, since = %verdict.at, "Discord refused this token or this bot before: put a new token in its file, or run `tidegate-bot doctor`");
            return Ok(End::Refused(verdict.why.clone()));
        }
        let wait = budget.next(Timestamp::now()).duration_since(Timestamp::now());
        if wait > SignedDuration::ZERO {
            self.health.link(Link::Waiting);
            if sleep(wait.unsigned_abs(), stop).await.is_break() {
                return Ok(End::Stopped);
            }
        }
        self.health.link(Link::Connecting);
        let url = match self.url(stop).await {
            Ok(Some(url)) => url,
            Ok(None) => return Ok(End::Stopped),
            Err(End::Refused(why)) => return self.refuse(budget, why).await,
            // No introduction was spent, so the pauses between introductions do not grow.
            Err(end) => return Ok(if sleep(UNREACHED, stop).await.is_break() { End::Stopped } else { end }),
        };
        let begun = Instant::now();
        self.identify(&mut budget).await?;
        let end = self.hold(&url, &mut budget, stop).await?;
        let held = SignedDuration::try_from(begun.elapsed()).unwrap_or(SignedDuration::MAX);
        budget.ended(held, Timestamp::now());
        match end {
            End::Refused(why) => self.refuse(budget, why).await,
            end => {
                self.keep(&budget).await?;
                Ok(end)
            }
        }
    }

    /// Written down before it is done.
    async fn identify(&self, budget: &mut Budget) -> Result<(), StoreError> {
        budget.identify(Timestamp::now());
        self.keep(budget).await
    }

    async fn refuse(&self, mut budget: Budget, why: String) -> Result<End, StoreError> {
        tracing::error!(%why, "Discord refuses this bot for good: it is not tried again until its token is another one; `tidegate-bot doctor` says what to do");
        budget.refuse(self.rest.token().fingerprint(), why.clone(), Timestamp::now());
        self.keep(&budget).await?;
        Ok(End::Refused(why))
    }

    /// Where to connect: asked by ourselves, because serenity falls back to the real Discord when it cannot ask.
    async fn url(&self, stop: &CancellationToken) -> Result<Option<String>, End> {
        let asked = self.rest.call::<GatewayAnswer>(Call::get("GET /gateway/bot", "/gateway/bot".into()));
        let answer = tokio::select! {
            () = stop.cancelled() => return Ok(None),
            answer = asked => answer,
        };
        let answer = answer.map_err(|error| match &error {
            RestError::Refused { status: 401, .. } => End::Refused("Discord does not know the token".into()),
            error => End::Lost(error.to_string()),
        })?;
        if let Some(limit) = answer.session_start_limit.filter(|limit| limit.remaining == 0) {
            let pause = Duration::from_millis(limit.reset_after).clamp(Duration::from_secs(60), Duration::from_secs(86_400));
            tracing::error!(secs = pause.as_secs(), "Discord lets this bot connect no more for now");
            if sleep(pause, stop).await.is_break() {
                return Ok(None);
            }
        }
        if !(answer.url.starts_with("wss://") || answer.url.starts_with("ws://")) {
            return Err(End::Lost("Discord names no address for its gateway".into()));
        }
        Ok(Some(answer.url))
    }

    /// A connection on its own thread, watched from here.
    async fn hold(&self, url: &str, budget: &mut Budget, stop: &CancellationToken) -> Result<End, StoreError> {
        let given_up = CancellationToken::new();
        let (signs_in, mut signs) = mpsc::channel(SIGNS_MAX);
        let (ended_in, mut ended) = oneshot::channel();
        let beat = Arc::new(Beat::new());
        let address = Arc::new(Mutex::new(url.to_owned()));
        let line = Line {
            rest: self.rest.clone(),
            beat: beat.clone(),
            address: address.clone(),
            ears: Ears { signs: signs_in, incoming: self.incoming.clone(), given_up: given_up.clone() },
        };
        let spawned = std::thread::Builder::new().name("discord-gateway".into()).spawn(move || {
            let _ = ended_in.send(line.run());
        });
        if let Err(error) = spawned {
            return Ok(End::Lost(format!("no thread for it: {error}")));
        }
        let mut watch = Watch::new();
        let end = loop {
            tokio::select! {
                () = stop.cancelled() => break End::Stopped,
                end = &mut ended => break end.unwrap_or_else(|_| End::Lost("its thread ended".into())),
                sign = signs.recv() => if let Some(sign) = sign {
                    // A second greeting on one connection: serenity introduced itself again before anybody saw it.
                    let again = watch.was_ready && matches!(sign, Sign::Ready(_));
                    self.heard(sign, &mut watch);
                    if again {
                        self.identify(budget).await?;
                        if budget.next(Timestamp::now()) > Timestamp::now() {
                            break End::Lost("it introduced itself too often".into());
                        }
                    }
                },
                () = tokio::time::sleep(BEAT) => {}
            }
            if let Some(why) = watch.verdict(beat.age()) {
                break End::Lost(why);
            }
        };
        given_up.cancel();
        // Whatever still runs there can reach nobody.
        if let Ok(mut address) = tokio::time::timeout(Duration::from_secs(1), address.lock()).await {
            NOWHERE.clone_into(&mut address);
        }
        self.health.link(Link::Lost);
        if matches!(end, End::Lost(_)) && watch.was_ready {
            // It may just have introduced itself once more: counted, lest a loop of it goes unseen.
            self.identify(budget).await?;
        }
        Ok(end)
    }

    fn heard(&self, sign: Sign, watch: &mut Watch) {
        match sign {
            Sign::Ready(identity) => {
                watch.was_ready = true;
                watch.connected_at = None;
                self.identity.send_replace(Some(identity));
                self.health.link(Link::Up);
                tracing::info!(application = identity.application, "connected to Discord");
            }
            Sign::Stage(stage) => {
                watch.stage(stage);
                self.health.link(if stage == ConnectionStage::Connected && watch.was_ready { Link::Up } else { Link::Connecting });
            }
        }
    }

    async fn budget(&self) -> Result<Budget, StoreError> {
        Ok(self.store.kept(BUDGET_SPACE, BUDGET_KEY).await?.unwrap_or_default())
    }

    async fn keep(&self, budget: &Budget) -> Result<(), StoreError> {
        self.store.keep(BUDGET_SPACE, BUDGET_KEY, budget).await
    }
}

async fn sleep(pause: Duration, stop: &CancellationToken) -> std::ops::ControlFlow<()> {
    tokio::select! {
        () = stop.cancelled() => std::ops::ControlFlow::Break(()),
        () = tokio::time::sleep(pause) => std::ops::ControlFlow::Continue(()),
    }
}

/// What is known of a connection from outside.
struct Watch {
    was_ready: bool,
    /// Since when it is not connected.
    connected_at: Option<Instant>,
    reconnected: VecDeque<Instant>,
}

impl Watch {
    fn new() -> Watch {
        Watch { was_ready: false, connected_at: Some(Instant::now()), reconnected: VecDeque::new() }
    }

    fn stage(&mut self, stage: ConnectionStage) {
        let now = Instant::now();
        match stage {
            ConnectionStage::Connected => self.connected_at = None,
            ConnectionStage::Resuming | ConnectionStage::Identifying => {
                self.reconnected.push_back(now);
                self.connected_at.get_or_insert(now);
            }
            _ => drop(self.connected_at.get_or_insert(now)),
        }
        while self.reconnected.front().is_some_and(|at| now.duration_since(*at) > Duration::from_secs(60)) {
            self.reconnected.pop_front();
        }
    }

    /// Why the connection is to be given up.
    fn verdict(&self, beat_age: Duration) -> Option<String> {
        if beat_age > FROZEN {
            return Some("it stands still".into());
        }
        if self.reconnected.len() > STORM_MAX {
            return Some("it reconnects again and again".into());
        }
        self.connected_at.filter(|since| since.elapsed() > CONNECT_MAX).map(|_| "it does not come up".into())
    }
}

/// The connection's own clock, read from outside.
#[derive(Debug)]
struct Beat {
    begun: Instant,
    last_ms: AtomicU64,
}

impl Beat {
    fn new() -> Beat {
        Beat { begun: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn tick(&self) {
        self.last_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    fn age(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.last_ms.load(Ordering::Relaxed)))
    }
}

/// A connection on its own thread.
struct Line {
    rest: Arc<Rest>,
    beat: Arc<Beat>,
    address: Arc<Mutex<String>>,
    ears: Ears,
}

impl Line {
    fn run(self) -> End {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return End::Lost(format!("no runtime for it: {error}")),
        };
        let end = runtime.block_on(self.speak());
        runtime.shutdown_background();
        end
    }

    async fn speak(self) -> End {
        let Line { rest, beat, address, ears } = self;
        let given_up = ears.given_up.clone();
        let ticking = beat.clone();
        tokio::spawn(async move {
            loop {
                ticking.tick();
                tokio::time::sleep(BEAT).await;
            }
        });
        // With serenity's own limiter the address of a proxy would be ignored; what is sent goes another way anyway.
        let http = HttpBuilder::new(rest.token().expose()).client(rest.client()).proxy(rest.base()).ratelimiter_disabled(true).build();
        // Interactions belong to no intent: none is asked for.
        let built = ClientBuilder::new_with_http(http, GatewayIntents::empty()).event_handler(ears).await;
        let mut client = match built {
            Ok(client) => client,
            Err(error) => return End::Lost(error.to_string()),
        };
        // What serenity found by itself, or made up, is replaced by what Discord told us.
        let url = address.lock().await.clone();
        client.ws_url.lock().await.clone_from(&url);
        let serenity_address = client.ws_url.clone();
        let nowhere = async {
            given_up.cancelled().await;
            NOWHERE.clone_into(&mut *serenity_address.lock().await);
        };
        let shards = client.shard_manager.clone();
        let anew = async {
            let mut session = Session::default();
            loop {
                let stage = shards.runners.lock().await.values().next().map(|runner| runner.stage);
                if session.begins_anew(stage) {
                    return;
                }
                tokio::time::sleep(SESSION_LOOK).await;
            }
        };
        tokio::select! {
            ended = client.start() => end_of(ended),
            // serenity would introduce itself every five seconds for as long as Discord says that the session is over,
            // and tell nobody. A new introduction is made by us, at the pace of the budget.
            () = anew => End::Lost("its session is over".into()),
            () = nowhere => End::Stopped,
        }
    }
}

fn end_of(ended: Result<(), SerenityError>) -> End {
    match ended {
        Err(SerenityError::Gateway(error)) => match error {
            GatewayError::InvalidAuthentication => End::Refused("Discord does not know the token (4004)".into()),
            GatewayError::InvalidGatewayIntents | GatewayError::DisallowedGatewayIntents => {
                End::Refused("Discord does not allow what the bot asks to hear (4013 or 4014)".into())
            }
            GatewayError::InvalidShardData | GatewayError::OverloadedShard => {
                End::Refused("Discord wants the bot in parts (4010 or 4011), which it does not do".into())
            }
            other => End::Lost(other.to_string()),
        },
        Err(other) => End::Lost(other.to_string()),
        Ok(()) => End::Lost("it ended".into()),
    }
}

/// What serenity tells.
struct Ears {
    signs: mpsc::Sender<Sign>,
    incoming: mpsc::Sender<Incoming>,
    given_up: CancellationToken,
}

impl Ears {
    fn tell(&self, sign: Sign) {
        // Nobody hears it: it is given up, or so busy that the watch ends it.
        let _ = self.signs.try_send(sign);
    }
}

#[serenity::async_trait]
impl EventHandler for Ears {
    async fn ready(&self, _: Context, ready: Ready) {
        self.tell(Sign::Ready(Identity { application: ready.application.id.get(), user: ready.user.id.get() }));
    }

    async fn shard_stage_update(&self, _: Context, update: ShardStageUpdateEvent) {
        self.tell(Sign::Stage(update.new));
    }

    async fn interaction_create(&self, _: Context, interaction: Interaction) {
        if self.given_up.is_cancelled() {
            return;
        }
        let Some(incoming) = Incoming::read(interaction) else { return };
        if self.incoming.try_send(incoming).is_err() {
            // Not answered: Discord tells the person that the application did not respond.
            tracing::error!("more comes in from Discord than can be taken");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_stands_still_storms_or_never_comes_up_is_given_up() {
        let mut watch = Watch::new();
        assert_eq!(watch.verdict(Duration::ZERO), None);
        assert!(watch.verdict(FROZEN + BEAT).is_some());
        watch.stage(ConnectionStage::Connected);
        for _ in 0..=STORM_MAX {
            watch.stage(ConnectionStage::Resuming);
            watch.stage(ConnectionStage::Connected);
        }
        assert!(watch.verdict(Duration::ZERO).is_some());
    }

    #[test]
    fn what_discord_means_for_good_is_told_from_bad_luck() {
        let refused = |error| matches!(end_of(Err(SerenityError::Gateway(error))), End::Refused(_));
        assert!(refused(GatewayError::InvalidAuthentication) && refused(GatewayError::DisallowedGatewayIntents));
        assert!(!refused(GatewayError::HeartbeatFailed) && !refused(GatewayError::ReconnectFailure));
        assert!(matches!(end_of(Ok(())), End::Lost(_)));
    }
}
