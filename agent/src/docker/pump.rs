//! The engine's event stream, shared by all who wait: one task reads it, each waiter has its own place in the news.
//!
//! The stream is opened by the first who wants to know and ends with its first error, which everybody who waits is
//! told; the next who asks opens it again. It is opened "since" the moment of the asking, so that nothing falls into
//! the gap before the engine has subscribed us.

use super::{Docker, Inner, labels};
use crate::engine::EngineError;
use bollard::query_parameters::EventsOptions;
use futures_util::StreamExt;
use jiff::Timestamp;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// News that a slow waiter may be behind by; one that is further behind just looks.
const NEWS_MAX: usize = 1024;
/// What can change what a plan says. Health checks also make an `exec_*` event each: those are left at the engine.
const EVENTS: [&str; 9] = ["create", "start", "die", "destroy", "health_status", "pause", "unpause", "rename", "oom"];
/// A stream that has not failed for this long after its start is taken for open: bollard does not tell.
const OPEN_AFTER: Duration = Duration::from_secs(1);

/// The reading task; ends when dropped.
pub(super) struct Pump {
    sender: broadcast::WeakSender<Arc<str>>,
    cause: Cause,
    started: Instant,
    _task: AbortOnDropHandle<()>,
}

/// Why the stream ended.
type Cause = Arc<OnceLock<String>>;

/// Which stream it was: another one after a break may have missed something in between.
pub(super) struct Stream(Cause);

impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A place in the news: names of containers that something happened to.
pub(super) struct News {
    receiver: broadcast::Receiver<Arc<str>>,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
#[error("its event stream ended: {0}")]
struct StreamEnded(String);

impl Pump {
    pub(super) fn start(engine: Weak<Inner>) -> (Pump, News) {
        let (sender, receiver) = broadcast::channel(NEWS_MAX);
        let cause = Cause::default();
        let (weak, since) = (sender.downgrade(), Timestamp::now());
        let told = Arc::clone(&cause);
        let task = tokio::spawn(async move {
            let why = read(engine, since, &sender).await;
            // Set before the sender is dropped: that is what wakes the waiters.
            told.set(why).ok();
        });
        let pump = Pump { sender: weak, cause: Arc::clone(&cause), started: Instant::now(), _task: AbortOnDropHandle::new(task) };
        (pump, News { receiver, cause })
    }

    /// The stream, if it surely reads: then what it has not told has not happened.
    pub(super) fn open_stream(&self) -> Option<Stream> {
        let is_open = self.cause.get().is_none() && self.started.elapsed() >= OPEN_AFTER;
        is_open.then(|| Stream(Arc::clone(&self.cause)))
    }

    /// A place in the news from now on; none: the stream has ended.
    pub(super) fn news(&self) -> Option<News> {
        let sender = self.sender.upgrade()?;
        self.cause.get().is_none().then(|| News { receiver: sender.subscribe(), cause: Arc::clone(&self.cause) })
    }
}

impl News {
    /// Waits for anything.
    pub(super) async fn any(mut self) -> Result<(), EngineError> {
        self.next().await.map(|_| ())
    }

    /// Waits for something about this container.
    pub(super) async fn of(mut self, name: &str) -> Result<(), EngineError> {
        loop {
            match self.next().await? {
                Some(about) if &*about != name => {}
                _ => return Ok(()),
            }
        }
    }

    /// The next news; none: some were missed.
    async fn next(&mut self) -> Result<Option<Arc<str>>, EngineError> {
        match self.receiver.recv().await {
            Ok(about) => Ok(Some(about)),
            Err(broadcast::error::RecvError::Lagged(_)) => Ok(None),
            Err(broadcast::error::RecvError::Closed) => {
                let cause = self.cause.get().cloned().unwrap_or_else(|| "the agent stops".to_owned());
                Err(EngineError::Unreachable { tried: "watch its events".to_owned(), source: Box::new(StreamEnded(cause)) })
            }
        }
    }
}

/// Reads until the stream ends; returns why.
async fn read(engine: Weak<Inner>, since: Timestamp, sender: &broadcast::Sender<Arc<str>>) -> String {
    let (client, filters) = {
        let Some(inner) = engine.upgrade() else { return "the agent stops".to_owned() };
        let docker = Docker { inner };
        let mut filters = labels::filter(docker.scope());
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert("event".to_owned(), EVENTS.map(str::to_owned).to_vec());
        match docker.client().await {
            Ok(client) => (client, filters),
            Err(error) => return error.to_string(),
        }
    };
    let since = format!("{}.{:09}", since.as_second(), since.subsec_nanosecond());
    let options = EventsOptions { since: Some(since), filters: Some(filters), ..Default::default() };
    let mut events = std::pin::pin!(client.events(Some(options)));
    loop {
        match events.next().await {
            None => break forget(&engine, "the engine closed it").await,
            Some(Err(error)) => break forget(&engine, &error.to_string()).await,
            Some(Ok(event)) => {
                let mut attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
                let Some(inner) = engine.upgrade() else { break "the agent stops".to_owned() };
                for key in ["oldName", "name"] {
                    let Some(name) = attributes.remove(key) else { continue };
                    // A rename tells the old name with its slash.
                    let name = name.trim_start_matches('/');
                    inner.stale.container(name);
                    // Nobody may be waiting just now.
                    sender.send(name.into()).ok();
                }
            }
        }
    }
}

/// After a broken stream the next call negotiates the version again.
async fn forget(engine: &Weak<Inner>, why: &str) -> String {
    if let Some(inner) = engine.upgrade() {
        Docker { inner }.forget().await;
    }
    why.to_owned()
}
