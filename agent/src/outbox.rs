//! Delivers news to the bot: signed batches, in order, at least once, with backoff. A dead bot stops nothing here.

use crate::backoff::{Backoff, chance};
use crate::driver::{Board, Wakes};
use crate::settings::BotSettings;
use crate::store::{Store, StoreError, Undelivered};
use crate::words;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::events::{
    Accepted, BATCH_MAX_BYTES, BATCH_MAX_EVENTS, Batch, FORMAT, HEADER_HOST, HEADER_SIGNATURE, HEADER_TIME, NAMESPACE, signed_text,
};
use tidegate_core::ids::HostName;
use tidegate_git::keys::{KeyError, SigningKey};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// For one delivery.
const DELIVERY_LIMIT: Duration = Duration::from_secs(20);
/// After the first failed delivery.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// At most between two tries.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// Largest answer of the bot that is read, in bytes.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Why a batch was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The store.
    #[error("the outbox could not be read or shortened")]
    Store(#[from] StoreError),
    /// The batch could not be signed.
    #[error("the news could not be signed")]
    Key(#[from] KeyError),
    /// No answer.
    #[error("the bot at {url} does not answer")]
    Away {
        /// Where.
        url: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// It answered, and not with yes.
    #[error("the bot at {url} refused the news with {status}: {answer}")]
    Refused {
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Its words, cut.
        answer: String,
    },
    /// Its yes cannot be read.
    #[error("the answer of the bot at {url} cannot be read: {answer}")]
    Unreadable {
        /// Where.
        url: String,
        /// Its words, cut.
        answer: String,
    },
    /// The batch could not be written.
    #[error("the news could not be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl DeliveryError {
    /// Will the bot refuse the same events for ever? (Too large or not understood; not: unknown key or clock.)
    fn is_about_the_content(&self) -> bool {
        matches!(self, DeliveryError::Refused { status: 400 | 413 | 422, .. })
    }
}

/// Delivers until it is told to stop.
pub struct Deliverer {
    /// Who sends.
    pub host: HostName,
    /// Where to.
    pub bot: BotSettings,
    /// Signs.
    pub key: SigningKey,
    /// The outbox.
    pub store: Store,
    /// Wakes when there is news.
    pub wakes: Arc<Wakes>,
    /// Shows how it goes.
    pub board: watch::Sender<Board>,
}

impl Deliverer {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let client = match client() {
            Ok(client) => client,
            Err(error) => return tracing::error!(error = words::chain(&error), "no news can be delivered"),
        };
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        let mut batch_events = BATCH_MAX_EVENTS;
        loop {
            let wait = match self.deliver(&client, &mut batch_events).await {
                Ok(Delivered::All) => {
                    backoff.reset();
                    None
                }
                Ok(Delivered::Some) => {
                    backoff.reset();
                    continue;
                }
                Err(error) => {
                    let cause = words::chain(&error);
                    tracing::debug!(cause, "news could not be delivered");
                    self.show(|delivery| delivery.failing = Some(cause));
                    Some(backoff.next(chance()))
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wakes.news.notified(), if wait.is_none() => {}
                () = tokio::time::sleep(wait.unwrap_or(LONGEST_RETRY)) => {}
            }
        }
    }

    /// One batch.
    async fn deliver(&self, client: &reqwest::Client, batch_events: &mut usize) -> Result<Delivered, DeliveryError> {
        let outbox = self.store.undelivered(*batch_events).await?;
        self.show(|delivery| (delivery.waiting, delivery.dropped) = (outbox.waiting, outbox.dropped));
        let Some(first) = outbox.events.first().map(|event| event.sequence) else {
            self.show(|delivery| delivery.failing = None);
            return Ok(Delivered::All);
        };
        let last = outbox.events.last().map_or(first, |event| event.sequence);
        match self.post(client, outbox).await {
            Ok(accepted) => {
                *batch_events = BATCH_MAX_EVENTS;
                // Never more than was sent, whatever the answer says.
                self.store.delivered(accepted.through.min(last)).await?;
                self.show(|delivery| delivery.failing = None);
                if accepted.through < first { Ok(Delivered::All) } else { Ok(Delivered::Some) }
            }
            Err(error) if error.is_about_the_content() && *batch_events == 1 => {
                tracing::error!(error = words::chain(&error), sequence = first, "one piece of news is dropped: the bot will never take it");
                self.store.drop_undeliverable(first).await?;
                Ok(Delivered::Some)
            }
            Err(error) if error.is_about_the_content() => {
                // One at a time, to find the one that is to blame.
                *batch_events = 1;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn post(&self, client: &reqwest::Client, outbox: Undelivered) -> Result<Accepted, DeliveryError> {
        let body = body(outbox)?;
        let time = Timestamp::now();
        let signature = self.key.sign(NAMESPACE, &signed_text(&self.bot.audience, &self.host, time, &body))?;
        let url = format!("{}/events", self.bot.url);
        let away = |source: reqwest::Error| DeliveryError::Away { url: self.bot.url.clone(), source: source.without_url() };
        let request = client
            .post(&url)
            .header("content-type", "application/json")
            .header(HEADER_HOST, self.host.as_str())
            .header(HEADER_TIME, time.to_string())
            .header(HEADER_SIGNATURE, without_armour(&signature))
            .body(body);
        let mut response = request.send().await.map_err(away)?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            answer.extend_from_slice(&chunk[..chunk.len().min(ANSWER_MAX_BYTES - answer.len())]);
            if answer.len() >= ANSWER_MAX_BYTES {
                break;
            }
        }
        let url = self.bot.url.clone();
        if !status.is_success() {
            return Err(DeliveryError::Refused { url, status: status.as_u16(), answer: cut(&answer) });
        }
        serde_json::from_slice(&answer).map_err(|_| DeliveryError::Unreadable { url, answer: cut(&answer) })
    }

    fn show(&self, change: impl FnOnce(&mut crate::driver::Delivery)) {
        self.board.send_if_modified(|board| {
            let before = board.delivery.clone();
            change(&mut board.delivery);
            before != board.delivery
        });
    }
}

/// How a delivery went.
enum Delivered {
    /// Nothing is left.
    All,
    /// Perhaps there is more.
    Some,
}

/// The client: no redirects (news goes to the bot that the settings name, or nowhere), no proxies from the environment.
fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Another part of the program may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(DELIVERY_LIMIT).redirect(reqwest::redirect::Policy::none()).no_proxy().build()
}

/// The batch as JSON, within its size: the newest events wait for the next batch if need be.
fn body(outbox: Undelivered) -> Result<Vec<u8>, serde_json::Error> {
    let mut batch = Batch { format: FORMAT, epoch: outbox.epoch, events: outbox.events };
    loop {
        let body = serde_json::to_vec(&batch)?;
        if body.len() <= BATCH_MAX_BYTES || batch.events.len() <= 1 {
            return Ok(body);
        }
        let half = batch.events.len() / 2;
        batch.events.truncate(half);
    }
}

/// The base64 of an armoured signature, without its first and last line.
fn without_armour(signature: &str) -> String {
    signature.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect()
}

fn cut(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).chars().filter(|c| !c.is_control()).take(300).collect()
}
