//! An engine made of data, in virtual time: nothing waits for real when tokio's clock is paused, everything that
//! happens follows from a seed, and what a real engine only does on a bad day is a setting here.
//!
//! Time is tokio's: a call takes as long as it is told to, a container gets healthy or ends when its behaviour says
//! so, and whoever waits for a change is woken then. There is no task behind it.

mod behaviour;
mod host;

pub use behaviour::{Behaviour, Checks, CutOff, Fault, Image};

use super::{Belongs, ContainerView, Engine, EngineError, EngineInfo, LastWords};
use behaviour::no_answer;
use host::{Host, Phase};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidegate_core::compose::{ImageRef, NetworkModel, PullPolicy, VolumeModel};
use tidegate_core::desired::DesiredContainer;
use tidegate_core::ids::StackName;
use tidegate_core::observed::{ObservedHost, ObservedNetwork};
use tidegate_core::plan::{External, ExternalKind};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

/// News kept for slow waiters.
const NEWS_MAX: usize = 256;
/// The grace period of a container that names none, in milliseconds.
const GRACE_DEFAULT_MS: u64 = 10_000;

/// A simulated engine. Cheap to clone: all clones are one engine.
#[derive(Debug, Clone)]
pub struct Simulated {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    news: broadcast::Sender<Arc<str>>,
    halted: Notify,
}

#[derive(Debug)]
struct State {
    host: Host,
    fault: Fault,
    random: StdRng,
    /// A call takes up to this long.
    slowest: Duration,
    changes: u32,
    at_once: u32,
    most_at_once: u32,
    last_id: u64,
}

/// What becomes of a call that changes something.
enum Fate {
    Done,
    /// Never returns; was the change made?
    Halted(CutOff),
    /// No answer; was the change made?
    NoAnswer(CutOff),
}

impl Simulated {
    /// An empty engine. The same seed gives the same story.
    pub fn new(seed: u64) -> Simulated {
        let state = State {
            host: Host::default(),
            fault: Fault::None,
            random: StdRng::seed_from_u64(seed),
            slowest: Duration::ZERO,
            changes: 0,
            at_once: 0,
            most_at_once: 0,
            last_id: 0,
        };
        let inner = Inner { state: Mutex::new(state), news: broadcast::channel(NEWS_MAX).0, halted: Notify::new() };
        Simulated { inner: Arc::new(inner) }
    }

    /// How containers of an image behave, from now on.
    pub fn behave(&self, image: &ImageRef, behaviour: Behaviour) {
        self.state().host.behaviours.insert(image.for_engine(), behaviour);
    }

    /// What goes wrong from now on. Changes are counted from 0 again.
    pub fn fault(&self, fault: Fault) {
        let mut state = self.state();
        state.fault = fault;
        state.changes = 0;
    }

    /// Each call takes a random time up to this.
    pub fn slow(&self, slowest: Duration) {
        self.state().slowest = slowest;
    }

    /// How many calls changed something since the last [`Simulated::fault`].
    pub fn changes(&self) -> u32 {
        self.state().changes
    }

    /// The most changes that were under way at once.
    pub fn most_at_once(&self) -> u32 {
        self.state().most_at_once
    }

    /// Returns once a [`Fault::HaltAt`] was met: whoever waits for that call waits for ever.
    pub async fn halted(&self) {
        self.inner.halted.notified().await;
    }

    /// Behind the agent's back: its main process ends with this code, and no policy restarts it.
    pub fn end(&self, name: &str, code: i64) {
        self.meddle(name, Some(Phase::Stopped(code)));
    }

    /// Behind the agent's back: frozen.
    pub fn pause(&self, name: &str) {
        self.meddle(name, Some(Phase::Paused));
    }

    /// Behind the agent's back: removed.
    pub fn vanish(&self, name: &str) {
        self.meddle(name, None);
    }

    fn meddle(&self, name: &str, phase: Option<Phase>) {
        let mut state = self.state();
        match (phase, state.host.containers.get_mut(name)) {
            (Some(phase), Some(container)) => container.phase = phase,
            (None, _) => drop(state.host.containers.remove(name)),
            (Some(_), None) => {}
        }
        drop(state);
        self.tell(name);
    }

    /// Somebody made this on the host, for all stacks to use.
    pub fn provide(&self, external: External) {
        self.state().host.externals.insert(external);
    }

    /// Somebody removed it.
    pub fn withdraw(&self, external: &External) {
        self.state().host.externals.remove(external);
    }

    /// What it has, without a call: for checks.
    pub fn look(&self) -> ObservedHost {
        self.state().host.observe(Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, name: &str) {
        // Nobody may be waiting.
        self.inner.news.send(name.into()).ok();
    }

    /// A call that only asks.
    async fn ask<T>(&self, tried: &str, answer: impl FnOnce(&mut State) -> T) -> Result<T, EngineError> {
        let (pause, answered) = {
            let mut state = self.state();
            (state.pause(), state.is_answered())
        };
        tokio::time::sleep(pause).await;
        if answered { Ok(answer(&mut self.state())) } else { Err(no_answer(tried)) }
    }

    /// A call that changes something about `name`.
    async fn change<T>(&self, name: &str, make: impl FnOnce(&mut State) -> Result<T, EngineError>) -> Result<T, EngineError> {
        let (pause, fate) = {
            let mut state = self.state();
            let fate = state.fate();
            state.at_once += 1;
            state.most_at_once = state.most_at_once.max(state.at_once);
            (state.pause(), fate)
        };
        let _under_way = UnderWay(self);
        tokio::time::sleep(pause).await;
        let made = match fate {
            Fate::Halted(CutOff::Before) | Fate::NoAnswer(CutOff::Before) => None,
            Fate::Done | Fate::Halted(CutOff::After) | Fate::NoAnswer(CutOff::After) => Some(make(&mut self.state())),
        };
        if made.is_some() {
            self.tell(name);
        }
        match (fate, made) {
            (Fate::Done, Some(made)) => made,
            (Fate::Halted(_), _) => {
                self.inner.halted.notify_one();
                std::future::pending().await
            }
            (Fate::Done | Fate::NoAnswer(_), _) => Err(no_answer("change something")),
        }
    }

    /// Waits for news, or for a container to change by itself. The place in the news is taken at the call.
    fn wait(&self, of: Option<String>) -> impl Future<Output = Result<(), EngineError>> + Send + use<> {
        let (mut news, this, asked_at) = (self.inner.news.subscribe(), self.clone(), Instant::now());
        async move {
            if this.state().fault == Fault::Away {
                return Err(no_answer("watch its events"));
            }
            loop {
                // From the moment of the asking: what changed by itself since then counts.
                let next = this.state().host.next_change(of.as_deref(), asked_at);
                let by_itself = async {
                    match next {
                        Some(at) => tokio::time::sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    told = news.recv() => match told {
                        Ok(about) if of.as_deref().is_some_and(|of| of != &*about) => {}
                        _ => return Ok(()),
                    },
                    () = by_itself => return Ok(()),
                }
            }
        }
    }
}

struct UnderWay<'a>(&'a Simulated);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().at_once -= 1;
    }
}

impl State {
    fn pause(&mut self) -> Duration {
        if self.slowest.is_zero() { Duration::ZERO } else { self.slowest.mul_f64(self.random.random()) }
    }

    fn is_answered(&mut self) -> bool {
        match self.fault {
            Fault::Away => false,
            Fault::Flaky { per_mille } => self.random.random_range(0..1000) >= per_mille,
            Fault::None | Fault::HaltAt(..) => true,
        }
    }

    fn fate(&mut self) -> Fate {
        let number = self.changes;
        self.changes += 1;
        let fault = self.fault;
        match fault {
            Fault::HaltAt(at, cut_off) if at == number => Fate::Halted(cut_off),
            // Dead is dead: whatever else was under way is not begun any more.
            Fault::HaltAt(at, _) if number > at => Fate::Halted(CutOff::Before),
            Fault::Away => Fate::NoAnswer(CutOff::Before),
            Fault::Flaky { .. } if self.is_answered() => Fate::Done,
            Fault::Flaky { .. } => Fate::NoAnswer(if self.random.random() { CutOff::Before } else { CutOff::After }),
            Fault::None | Fault::HaltAt(..) => Fate::Done,
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

impl Engine for Simulated {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.ask("tell its version", |_| EngineInfo { version: "simulated".to_owned(), api: "1.41".to_owned() }).await
    }

    async fn observe(&self) -> Result<ObservedHost, EngineError> {
        self.ask("list containers", |state| state.host.observe(Instant::now())).await
    }

    async fn pull(&self, image: &ImageRef, policy: PullPolicy) -> Result<(), EngineError> {
        let name = image.for_engine();
        let found = self.state().host.behaviours.get(&name).map_or(Image::Here, |b| b.image);
        let no = |cause: &str, is_verdict| Err(EngineError::Pull { image: name.clone(), cause: cause.to_owned(), is_verdict });
        let is_here = found == Image::Here || self.state().host.images.contains(&name);
        match found {
            _ if is_here => {}
            _ if policy == PullPolicy::Never => return no("it is not on this host", true),
            Image::Missing => return no("manifest unknown", true),
            Image::RegistryAway => return no("connection refused", false),
            Image::AtRegistry(takes) => tokio::time::sleep(takes).await,
            Image::Here => {}
        }
        self.change("", |state| {
            state.host.images.insert(name.clone());
            Ok(())
        })
        .await
    }

    async fn has(&self, external: &External) -> Result<bool, EngineError> {
        self.ask(&format!("look for {} {}", external.kind.word(), external.name), |state| state.host.has(external)).await
    }

    async fn create_network(&self, name: &str, network: &NetworkModel, stack: &StackName) -> Result<(), EngineError> {
        let make = |state: &mut State| {
            if network.external {
                return state.host.must_have(External { kind: ExternalKind::Network, name: name.to_owned() });
            }
            state.host.networks.insert(name.to_owned(), ObservedNetwork { stack: stack.clone() });
            Ok(())
        };
        self.change("", make).await
    }

    async fn create_volume(&self, name: &str, volume: &VolumeModel, _stack: &StackName) -> Result<(), EngineError> {
        let make = |state: &mut State| {
            if volume.external {
                return state.host.must_have(External { kind: ExternalKind::Volume, name: name.to_owned() });
            }
            state.host.volumes.insert(name.to_owned());
            Ok(())
        };
        self.change("", make).await
    }

    async fn create(&self, container: &DesiredContainer, belongs: &Belongs) -> Result<(), EngineError> {
        let make = |state: &mut State| {
            let id = state.next_id();
            state.host.create(container, belongs, id)
        };
        self.change(&container.name, make).await
    }

    async fn start(&self, name: &str) -> Result<(), EngineError> {
        self.change(name, |state| state.host.start(name, Instant::now())).await
    }

    async fn stop(&self, name: &str) -> Result<(), EngineError> {
        let takes = {
            let state = self.state();
            let container = state.host.containers.get(name);
            let ignores = container.filter(|c| state.host.behaviour(c).ignores_stop);
            ignores.map(|c| Duration::from_millis(c.desired.model.stop_grace_period_ms.unwrap_or(GRACE_DEFAULT_MS)))
        };
        tokio::time::sleep(takes.unwrap_or_default()).await;
        self.change(name, |state| {
            state.host.stop(name, Instant::now());
            Ok(())
        })
        .await
    }

    async fn remove(&self, name: &str) -> Result<(), EngineError> {
        self.change(name, |state| {
            state.host.containers.remove(name);
            Ok(())
        })
        .await
    }

    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.change("", |state| state.host.remove_network(name)).await
    }

    async fn inspect(&self, name: &str) -> Result<Option<ContainerView>, EngineError> {
        let view = |state: &mut State| {
            let container = state.host.containers.get(name)?;
            Some(state.host.now_of(container, Instant::now()).view)
        };
        self.ask(&format!("look at {name}"), view).await
    }

    async fn last_words(&self, name: &str) -> LastWords {
        LastWords { lines: vec![format!("{name}: simulated")] }
    }

    fn changed(&self) -> impl Future<Output = Result<(), EngineError>> + Send {
        self.wait(None)
    }

    fn container_changed(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send {
        self.wait(Some(name.to_owned()))
    }
}
