//! A server that speaks Discord: REST version 10 and the gateway on loopback, for the bot's real client.
//!
//! It enforces what Discord enforces and writes down what a bot broke ([`Discord::broken`]); time can be put forward
//! ([`Discord::advance`]), and things go wrong on demand ([`Discord::fail`], [`Discord::gateway`]). People are
//! [`Person`]s: they give commands, press buttons, fill modals, and see what a person would see. The real Discord cannot
//! be had in a test; two independent clients keep this one honest (`tests/tests/discord/peers.rs`).

mod buckets;
mod clock;
mod commands;
mod faults;
mod gateway;
mod interaction;
mod limits;
mod mentions;
mod messages;
mod people;
pub mod permissions;
mod refusal;
mod rest;
mod server;
mod setup;
mod state;
mod trouble;
mod views;

pub use buckets::RateLimit;
pub use clock::Clock;
pub use faults::{Chaos, Fault};
pub use interaction::{ACK_LIMIT, Ack, Kind, TOKEN_LIFE};
pub use people::{Person, Place, Slash};
pub use refusal::{Broken, Rule};
pub use setup::Room;
pub use state::{Call, Pinged};
pub use trouble::Gateway;
pub use views::{Button, Doing, Modal, Seen};

use serde::{Serialize, Serializer};
use server::Shared;
use state::State;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// The bot's token, unless another is set. Shaped like a real one, so that checks of the shape pass.
pub const TOKEN: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OQ.GabcdE.tidegate-test-token-0123456789abcdefghijkl";

/// An id as Discord makes them: rising with time, and written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Id {
    type Err = ();

    fn from_str(text: &str) -> Result<Id, ()> {
        text.parse().map(Id).map_err(drop)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A running server. Stops when dropped.
pub struct Discord {
    shared: Arc<Shared>,
    clock: Arc<Clock>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Discord {
    /// Starts on a free port of the loopback interface, with nothing in it but the bot's application.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start() -> Discord {
        Discord::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), TOKEN).expect("a free port on loopback")
    }

    /// Starts at an address of one's own, with a token of one's own.
    pub fn start_at(address: SocketAddr, token: &str) -> io::Result<Discord> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let clock = Arc::new(Clock::default());
        let state = State::new(clock.clone(), token.to_owned(), format!("ws://{address}"));
        let shared = Arc::new(Shared::new(state));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("discord-server".to_owned()).spawn({
            let shared = shared.clone();
            move || {
                // A server that cannot run makes every test fail by itself.
                let _ = server::run(listener, shared, stopped);
            }
        })?;
        Ok(Discord { shared, clock, address, stop: Some(stop), thread: Some(thread) })
    }

    /// What stands in place of `https://discord.com`.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the gateway is.
    pub fn gateway_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The bot's token.
    pub fn token(&self) -> String {
        self.shared.with(|state| state.token.clone())
    }

    /// The bot's application, which is also its user.
    pub fn application(&self) -> Id {
        self.shared.with(|state| state.application)
    }

    /// The server's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Puts the server's clock forward.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// The rules that the bot broke so far.
    pub fn broken(&self) -> Vec<Broken> {
        self.shared.broken()
    }

    /// What Discord allows and our bot promises not to do: leaving the mention policy open, posting without an enforced
    /// nonce, replacing a deferred answer by a follow-up.
    pub fn careless(&self) -> Vec<String> {
        self.shared.with(|state| state.careless.clone())
    }

    /// Fails the test when a rule was broken or a promise not kept.
    ///
    /// # Panics
    /// When one was.
    #[track_caller]
    pub fn assert_obeyed(&self) {
        let broken: Vec<String> = self.broken().iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "broken rules of Discord:\n{}", broken.join("\n"));
        let careless = self.careless();
        assert!(careless.is_empty(), "promises of the bot not kept:\n{}", careless.join("\n"));
    }

    /// Forgets what was broken so far, as after a mended mistake.
    pub fn forgive(&self) {
        self.shared.with(|state| {
            state.broken.clear();
            state.careless.clear();
            state.sessions.fatal = None;
            state.refused_at = None;
        });
    }

    /// Every request so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.with(|state| state.calls.clone())
    }

    /// Requests with this method whose path has this part.
    pub fn calls_of(&self, method: &str, part: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.method == method && call.path.contains(part)).collect()
    }

    /// Forgets the requests so far; for long runs.
    pub fn forget_calls(&self) {
        self.shared.with(|state| state.calls.clear());
    }

    /// The commands of a guild, as registered.
    pub fn commands(&self, guild: Id) -> Vec<serde_json::Value> {
        self.shared.with(|state| state.commands_in(Some(guild)))
    }

    /// Refused requests (401, 403, 429) in the last ten minutes.
    pub fn invalid_requests(&self) -> usize {
        self.shared.with(|state| {
            let now = state.now();
            state.buckets.invalid(now)
        })
    }

    /// Waits until `look` finds something; looks again at every change and every 50 ms.
    ///
    /// # Errors
    /// When the time is over, with what was waited for.
    pub async fn wait<T>(&self, limit: Duration, what: &str, look: impl Fn(&Discord) -> Option<T>) -> anyhow::Result<T> {
        let mut changes = self.shared.changes();
        let found = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = look(self) {
                    return found;
                }
                let _ = tokio::time::timeout(Duration::from_millis(50), changes.changed()).await;
            }
        };
        tokio::time::timeout(limit, found).await.map_err(|_| anyhow::anyhow!("waited {limit:?} for: {what}"))
    }
}

impl Drop for Discord {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
