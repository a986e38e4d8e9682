//! What hosts send: checked, made durable, answered, in this order. Nothing is answered before it is on the disk.

mod http;

pub use http::router;

use crate::metrics::Metrics;
use crate::rooms::Doors;
use crate::store::{Store, Taken};
use crate::tips::Seen;
use jiff::Timestamp;
use std::sync::Arc;
use tidegate_core::events::{
    Accepted, BATCH_MAX_EVENTS, Batch, CLOCK_SKEW_MAX_SECS, FORMAT, HEADER_HOST, HEADER_TIME, NAMESPACE, signed_text,
};
use tidegate_core::ids::{EnvironmentName, HostName};
use tidegate_git::keys::{self, PublicKey, SignatureError};
use tokio::sync::watch;

/// Largest number that the store keeps.
const NUMBER_MAX: u64 = i64::MAX as u64;
/// Width of the base64 lines in an armoured SSH signature, in characters.
const ARMOUR_WIDTH: usize = 70;

/// Why a batch was not taken. The words go to the host, whose operator reads them.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// A header is missing, doubled or not text.
    #[error("the header `{0}` is missing or not what it should be")]
    Header(&'static str),
    /// The bot has not read the branch yet.
    #[error("the bot has not read the config repo yet; send it again later")]
    NotReady,
    /// No such host.
    #[error("the config repo knows no host `{0}`: add hosts/{0}.yaml")]
    UnknownHost(HostName),
    /// The host has no key.
    #[error("hosts/{0}.yaml names no `keys.events`, so nothing that claims to come from there is taken")]
    NoKey(HostName),
    /// The host's key cannot be read.
    #[error("`keys.events` in hosts/{0}.yaml is no public key")]
    BadKey(HostName),
    /// Too old, or from the future.
    #[error("it was signed at {at}, more than {CLOCK_SKEW_MAX_SECS} s from the bot's time: check both clocks")]
    Stale {
        /// When it says that it was signed.
        at: Timestamp,
    },
    /// The signature does not fit.
    #[error("the signature does not fit")]
    Signature(#[source] SignatureError),
    /// The body is no batch.
    #[error("the body is no batch of events: {0}")]
    Malformed(String),
    /// The host has begun a later outbox.
    #[error("this outbox (epoch {epoch}) is over: epoch {current} was begun since")]
    EpochOver {
        /// The one that was sent.
        epoch: u64,
        /// The one in force.
        current: u64,
    },
    /// The store failed.
    #[error("the bot could not store it; send it again later")]
    Store(#[source] crate::store::StoreError),
}

/// What a host says about a batch, beside the batch: as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The host's name.
    pub host: String,
    /// When it was signed, RFC 3339.
    pub time: String,
    /// The signature, base64 without armour.
    pub signature: String,
}

/// The intake.
#[derive(Debug)]
pub struct Intake {
    /// The bot's name in signatures.
    pub audience: String,
    /// Where events are kept.
    pub store: Store,
    /// The branch: whose keys count.
    pub seen: watch::Receiver<Arc<Seen>>,
    /// Whom to tell.
    pub doors: Doors,
    /// Counted here.
    pub metrics: Arc<Metrics>,
}

impl Intake {
    /// Checks a batch, makes it durable and tells the environment.
    pub async fn take(&self, envelope: &Envelope, body: &[u8], now: Timestamp) -> Result<Accepted, NotTaken> {
        let taken = self.try_take(envelope, body, now).await;
        match &taken {
            Ok(_) => self.metrics.batches_taken.add(1),
            Err(refusal) => {
                self.metrics.batches_refused.add(1);
                tracing::warn!(reason = %crate::tips::chain(refusal), "refused news from a host");
            }
        }
        taken.map(|through| Accepted { through })
    }

    async fn try_take(&self, envelope: &Envelope, body: &[u8], now: Timestamp) -> Result<u64, NotTaken> {
        let (environment, host) = self.sender(envelope, body, now)?;
        let batch = read(body)?;
        let count = batch.events.len();
        let taken = self.store.take_events((environment.clone(), host), batch.epoch, batch.events, now).await.map_err(NotTaken::Store)?;
        match taken {
            Taken::EpochOver { current } => Err(NotTaken::EpochOver { epoch: batch.epoch, current }),
            Taken::Through { sequence, new } => {
                self.metrics.events_taken.add(new as u64);
                self.metrics.events_repeated.add(count.saturating_sub(new) as u64);
                if new > 0 {
                    self.doors.events_came(&environment);
                }
                Ok(sequence)
            }
        }
    }

    /// Who signed this, to us, just now.
    fn sender(&self, envelope: &Envelope, body: &[u8], now: Timestamp) -> Result<(EnvironmentName, HostName), NotTaken> {
        let host: HostName = envelope.host.parse().map_err(|_| NotTaken::Header(HEADER_HOST))?;
        let at: Timestamp = envelope.time.parse().map_err(|_| NotTaken::Header(HEADER_TIME))?;
        let signature = armoured(&envelope.signature);
        let seen = self.seen.borrow().clone();
        let tip = seen.tip.as_ref().ok_or(NotTaken::NotReady)?;
        let known = tip.repo.hosts.get(&host).ok_or_else(|| NotTaken::UnknownHost(host.clone()))?;
        let key = known.events_key.as_ref().ok_or_else(|| NotTaken::NoKey(host.clone()))?;
        let key: PublicKey = key.parse().map_err(|_| NotTaken::BadKey(host.clone()))?;
        if now.as_second().abs_diff(at.as_second()) > CLOCK_SKEW_MAX_SECS.unsigned_abs() {
            return Err(NotTaken::Stale { at });
        }
        let text = signed_text(&self.audience, &host, at, body);
        keys::verify(&[key], NAMESPACE, &text, &signature).map_err(NotTaken::Signature)?;
        Ok((known.environment.clone(), host))
    }
}

/// A signature travels as one line of base64; here it gets its armour back.
fn armoured(base64: &str) -> String {
    let mut text = String::from("-----BEGIN SSH SIGNATURE-----\n");
    let chars: Vec<char> = base64.chars().filter(|c| !c.is_whitespace()).collect();
    for line in chars.chunks(ARMOUR_WIDTH) {
        text.extend(line);
        text.push('\n');
    }
    text.push_str("-----END SSH SIGNATURE-----\n");
    text
}

fn read(body: &[u8]) -> Result<Batch, NotTaken> {
    let malformed = |words: String| NotTaken::Malformed(words);
    let batch: Batch = serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    if batch.format != FORMAT {
        return Err(malformed(format!(
            "its format is {}, and this bot understands {FORMAT}: update the older of agent and bot",
            batch.format
        )));
    }
    if batch.events.is_empty() || batch.events.len() > BATCH_MAX_EVENTS {
        return Err(malformed(format!("it holds {} events, not 1 to {BATCH_MAX_EVENTS}", batch.events.len())));
    }
    let rising = batch.events.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
    let in_range = batch.epoch <= NUMBER_MAX && batch.events.last().is_some_and(|last| last.sequence <= NUMBER_MAX);
    if rising && in_range { Ok(batch) } else { Err(malformed("its numbers do not rise, or are too large".into())) }
}
