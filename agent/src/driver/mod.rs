//! The loop: look at git when it is time or when woken, look at the engine when something moved, act, tell, wait.
//!
//! Wake-ups carry no data. At rest there is no call to the engine but its event stream and an audit now and then.

mod board;
mod by_hand;
mod git;
mod troubles;
mod trust;

pub use board::{Board, ConfigBoard, Delivery};
pub use by_hand::{Command, REASON_MAX_BYTES, Refusal, Request, Rolled, Way, way};

use crate::backoff::{Backoff, chance};
use crate::clock::{ClockWatch, Moment, Sync, WallClock};
use crate::config::{ConfigView, Surroundings};
use crate::engine::Engine;
use crate::materialise::Materialised;
use crate::reconcile::{Identity, Reconciler, Tools, TurnEnd, TurnError, TurnInput};
use crate::settings::Settings;
use crate::store::{Change, Memory, Store, StoreError};
use crate::words;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::calendar::Zones;
use tidegate_core::desired::Naming;
use tidegate_core::ids::{CommitId, EnvironmentName};
use tidegate_core::plan::Splay;
use tidegate_git::Mirror;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two looks at the engine when nothing moves.
pub const AUDIT_EVERY: Duration = Duration::from_secs(60);
/// Longer without a look than this counts as a pause: the loop looks at least once in [`AUDIT_EVERY`].
const PAUSE_MIN: SignedDuration = SignedDuration::from_secs(180);
/// After the first failed call to git or the engine.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// At most between two tries when the engine or git is away.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// Failed polls in a row before it is news.
const GIT_ALERT_AFTER: u32 = 3;
/// Failed looks at the engine in a row before it is news.
const ENGINE_ALERT_AFTER: u32 = 2;
/// Errors in a config that are told; the rest is counted.
const FINDINGS_TOLD: usize = 20;

/// What wakes the loop.
#[derive(Debug, Default)]
pub struct Wakes {
    /// Somebody says that git moved.
    pub poll: Notify,
    /// The engine says that something of ours changed.
    pub engine: Notify,
    /// There is news in the outbox.
    pub news: Notify,
}

/// What the loop is made of. `connect` makes the engine once the environment is known.
pub struct Parts<C> {
    /// Settings.
    pub settings: Settings,
    /// The database.
    pub store: Store,
    /// The config repo.
    pub mirror: Mirror,
    /// Makes the engine for an environment.
    pub connect: C,
    /// Wakes.
    pub wakes: Arc<Wakes>,
    /// The time.
    pub clock: WallClock,
    /// What others see.
    pub board: watch::Sender<Board>,
}

/// Why the loop ended other than by a stop.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Without its memory the agent must not act.
    #[error("the agent cannot go on without its database")]
    Store(#[from] StoreError),
}

/// The loop.
pub struct Driver<E, C> {
    parts: Parts<C>,
    memory: Memory,
    started: Instant,
    clock: ClockWatch,
    view: Option<ConfigView>,
    reconciler: Option<Reconciler<E>>,
    engine_watch: Option<tokio::task::JoinHandle<()>>,
    /// A tip that was refused: not fetched again.
    refused_tip: Option<CommitId>,
    git: Pulse,
    engine: Pulse,
    look: bool,
    next_moment: Option<Timestamp>,
    /// When the loop looked last; at first, when the one before it was known to live.
    last_look: Option<Timestamp>,
    /// The last stretch of time in which nobody looked.
    unwatched: Option<(Timestamp, Timestamp)>,
    reporter: board::Reporter,
    zones: Zones,
}

/// When something is asked next, and how it went.
struct Pulse {
    next: Instant,
    backoff: Backoff,
}

impl Pulse {
    fn new() -> Pulse {
        Pulse { next: Instant::now(), backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY) }
    }

    fn answered(&mut self, again_in: Duration) {
        self.backoff.reset();
        self.next = Instant::now() + again_in;
    }

    fn silent(&mut self) {
        self.next = Instant::now() + self.backoff.next(chance());
    }
}

impl<E: Engine, C: Fn(&EnvironmentName) -> E> Driver<E, C> {
    /// Reads what is remembered.
    pub async fn new(parts: Parts<C>) -> Result<Driver<E, C>, DriverError> {
        let memory = parts.store.memory().await?;
        let first = Moment { wall: parts.clock.now(), steady: Duration::ZERO };
        let clock = ClockWatch::new(first, memory.clock_seen);
        let zones = crate::zones::newest();
        Ok(Driver {
            parts,
            clock,
            started: Instant::now(),
            view: None,
            reconciler: None,
            engine_watch: None,
            refused_tip: None,
            git: Pulse::new(),
            engine: Pulse::new(),
            look: true,
            next_moment: None,
            last_look: memory.clock_seen,
            unwatched: None,
            reporter: board::Reporter::new(crate::zones::in_words(&zones)),
            memory,
            zones,
        })
    }

    /// Runs until `stop`. The step in hand ends first.
    pub async fn run(mut self, mut requests: mpsc::Receiver<Request>, stop: &CancellationToken) -> Result<(), DriverError> {
        let mut pending: Option<Request> = None;
        while !stop.is_cancelled() {
            if let Some(request) = pending.take() {
                pending = self.answer(request, &mut requests, stop).await?;
                continue;
            }
            if self.git.next <= Instant::now() {
                self.poll().await?;
            }
            if self.is_due() {
                pending = self.work(&mut requests, stop).await?;
            }
            self.report(None).await?;
            if pending.is_none() && !stop.is_cancelled() && !self.is_due() {
                pending = self.rest(&mut requests, stop).await;
            }
        }
        if let Some(watch) = self.engine_watch.take() {
            watch.abort();
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        let now = Instant::now();
        let opened = self.next_moment.is_some_and(|moment| moment <= self.parts.clock.now());
        let able = self.engine.backoff.failures() == 0 || self.engine.next <= now;
        able && (self.look || opened || self.engine.next <= now)
    }

    /// Waits for whatever comes first. A request is handed back.
    async fn rest(&mut self, requests: &mut mpsc::Receiver<Request>, stop: &CancellationToken) -> Option<Request> {
        let until = self.next_wake();
        let wakes = Arc::clone(&self.parts.wakes);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep_until(until) => {}
            () = wakes.poll.notified() => { self.git.next = Instant::now(); self.look = true; }
            () = wakes.engine.notified() => self.look = true,
            Some(request) = requests.recv() => return Some(request),
        }
        None
    }

    fn next_wake(&self) -> Instant {
        let mut next = self.git.next.min(self.engine.next).min(self.reporter.heartbeat_due(self.parts.settings.heartbeat));
        if let Some(moment) = self.next_moment {
            let wait = Duration::try_from(moment.duration_since(self.parts.clock.now())).unwrap_or(Duration::ZERO);
            next = next.min(Instant::now() + wait);
        }
        next
    }

    /// Connects to the engine once the environment is known.
    fn ensure_reconciler(&mut self) -> bool {
        if self.reconciler.is_some() {
            return true;
        }
        let Some(environment) = self.memory.environment.clone() else { return false };
        let engine = Arc::new((self.parts.connect)(&environment));
        self.engine_watch = Some(tokio::spawn(watch_engine(Arc::clone(&engine), Arc::clone(&self.parts.wakes))));
        let tools = Tools {
            engine,
            store: self.parts.store.clone(),
            mirror: Some(self.parts.mirror.clone()),
            files: Materialised::new(&self.parts.settings.state_dir),
            clock: self.parts.clock.clone(),
            begun: board::shows_beginnings(self.parts.board.clone()),
        };
        let naming = Naming { prefix: self.parts.settings.name_prefix.clone() };
        let identity = Identity { host: self.parts.settings.host.clone(), environment, naming };
        self.reconciler = Some(Reconciler::new(tools, identity));
        true
    }

    /// One turn, while requests are heard: a request ends the turn early and is handed back.
    async fn work(&mut self, requests: &mut mpsc::Receiver<Request>, stop: &CancellationToken) -> Result<Option<Request>, DriverError> {
        self.look = false;
        self.next_moment = None;
        if !self.ensure_reconciler() {
            self.engine.answered(AUDIT_EVERY);
            return Ok(None);
        }
        let around = self.around();
        let (Some(reconciler), Some(view)) = (&mut self.reconciler, &self.view) else {
            self.engine.answered(AUDIT_EVERY);
            return Ok(None);
        };
        let interrupt = stop.child_token();
        let (next, mut next_told) = watch::channel(None);
        let input = TurnInput { view, around, interrupt: &interrupt, next: &next };
        let mut memory = std::mem::take(&mut self.memory);
        let mut pending = None;
        let newer =
            git::Newer { mirror: &self.parts.mirror, view, settings: &self.parts.settings, zones: &self.zones, clock: &self.parts.clock };
        let result = {
            let turn = reconciler.turn(&input, &mut memory);
            tokio::pin!(turn);
            let supersede = newer.supersedes();
            tokio::pin!(supersede);
            let mut superseded = false;
            // At close nothing goes on by itself: the step in hand ends, and the next turn finishes or takes back.
            let close = until_close(&self.parts.clock, view);
            tokio::pin!(close);
            let mut closed = false;
            // At an opening, what waited for it does not wait for the end of other work.
            let open = until_told(&self.parts.clock, &mut next_told);
            tokio::pin!(open);
            let mut opened = false;
            loop {
                tokio::select! {
                    biased;
                    result = &mut turn => break result,
                    Some(request) = requests.recv(), if pending.is_none() => { pending = Some(request); interrupt.cancel(); }
                    () = &mut supersede, if !superseded => { superseded = true; interrupt.cancel(); }
                    () = &mut close, if !closed => { closed = true; interrupt.cancel(); }
                    () = &mut open, if !opened => { opened = true; interrupt.cancel(); }
                    // Somebody is watching, however long the turn takes.
                    () = tokio::time::sleep(AUDIT_EVERY) => note_pause(&mut self.last_look, &mut self.unwatched, self.parts.clock.now()),
                }
            }
        };
        self.memory = memory;
        if interrupt.is_cancelled() {
            self.git.next = Instant::now();
            self.look = true;
        }
        self.after_turn(result).await?;
        Ok(pending)
    }

    /// What the host itself says at this moment.
    fn around(&mut self) -> Surroundings {
        let moment = self.moment();
        let clock_fault = self.clock.check(moment);
        note_pause(&mut self.last_look, &mut self.unwatched, moment.wall);
        let settings = &self.parts.settings;
        let adrift = (settings.check_sync && self.parts.clock.sync() == Sync::No).then(|| words::CLOCK_ADRIFT.to_owned());
        let splay = Splay { max_secs: settings.splay.as_secs(), seed: settings.host.to_string() };
        Surroundings { clock_fault, adrift, unwatched: self.unwatched, splay }
    }

    fn moment(&self) -> Moment {
        Moment { wall: self.parts.clock.now(), steady: self.started.elapsed() }
    }

    async fn after_turn(&mut self, result: Result<TurnEnd, TurnError>) -> Result<(), DriverError> {
        self.parts.wakes.news.notify_one();
        match result {
            Err(TurnError::Store(error)) => {
                // What is in memory may be ahead of the store: read it again before anything else is decided.
                tracing::error!(error = words::chain(&error), "the database did not take a change");
                self.memory = self.parts.store.memory().await?;
                self.engine.silent();
            }
            Err(TurnError::Engine(error)) => self.engine_silent(words::chain(&error)).await?,
            Ok(end) => {
                match &end.engine_away {
                    Some(cause) => self.engine_silent(cause.clone()).await?,
                    None => {
                        self.engine.answered(AUDIT_EVERY);
                        self.recovered(troubles::ENGINE_UNREACHABLE).await?;
                    }
                }
                self.look |= end.acted;
                self.next_moment = self.next_moment_of(&end);
                self.stack_troubles(&end).await?;
                self.ask_version().await;
                self.report(Some(end)).await?;
            }
        }
        Ok(())
    }

    fn next_moment_of(&self, end: &TurnEnd) -> Option<Timestamp> {
        let settles = self.clock.settles_in(self.moment()).and_then(|wait| {
            let wait = SignedDuration::try_from(wait).ok()?;
            self.parts.clock.now().checked_add(wait).ok()
        });
        [end.next_moment(), settles].into_iter().flatten().min()
    }

    async fn engine_silent(&mut self, cause: String) -> Result<(), DriverError> {
        self.engine.silent();
        self.look = true;
        self.reporter.engine_version = None;
        tracing::warn!(cause, "the engine cannot be asked");
        if self.engine.backoff.failures() >= ENGINE_ALERT_AFTER {
            self.trouble(troubles::ENGINE_UNREACHABLE, cause).await?;
        }
        Ok(())
    }

    /// Asked once after each connection, not in every turn.
    async fn ask_version(&mut self) {
        if let (None, Some(reconciler)) = (&self.reporter.engine_version, &self.reconciler) {
            self.reporter.engine_version = reconciler.tools.engine.info().await.ok().map(|info| info.version);
        }
    }

    /// Writes a change and wakes the delivery if there is news in it.
    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let has_news = !change.events.is_empty();
        self.parts.store.commit(change).await?;
        if has_news {
            self.parts.wakes.news.notify_one();
        }
        Ok(())
    }
}

/// Notes a stretch of time in which nobody looked: the agent did not run, or the machine slept.
fn note_pause(last_look: &mut Option<Timestamp>, unwatched: &mut Option<(Timestamp, Timestamp)>, now: Timestamp) {
    if let Some(before) = last_look.replace(now)
        && now.duration_since(before) > PAUSE_MIN
    {
        *unwatched = Some((before, now));
    }
}

/// Until the moment that the turn tells, at which something that waits may start; for ever if it tells none.
async fn until_told(clock: &WallClock, told: &mut watch::Receiver<Option<Timestamp>>) {
    let moment = told.wait_for(Option::is_some).await.ok().and_then(|moment| *moment);
    match moment.and_then(|at| Duration::try_from(at.duration_since(clock.now())).ok()) {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

/// Until the window closes that is open now; for ever if none is, or none ends.
async fn until_close(clock: &WallClock, view: &ConfigView) {
    let now = clock.now();
    match view.decide(now).open_until.and_then(|at| Duration::try_from(at.duration_since(now)).ok()) {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

/// Turns the engine's events into wake-ups. A broken stream is a reason to look, too.
async fn watch_engine<E: Engine>(engine: Arc<E>, wakes: Arc<Wakes>) {
    let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
    loop {
        // Called before the look that follows, so that nothing is missed in between.
        match engine.changed().await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::debug!(error = words::chain(&error), "the engine's event stream ended");
                tokio::time::sleep(backoff.next(chance())).await;
            }
        }
        wakes.engine.notify_one();
    }
}
