//! The way out to Discord: requests with a deadline, limits obeyed, faults told apart.
//!
//! serenity's own client loses `Retry-After` behind a proxy and sends for ever on a header that it cannot read, so it
//! only opens the gateway; what is sent goes through here. No error of this file ever repeats a URL: they hold tokens.

pub(super) use super::code;
pub use super::code::THREADS;
use super::limits::{Limits, Reach, RouteKey, Told};
use reqwest_for_serenity as reqwest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The official address.
pub const DISCORD: &str = "https://discord.com";
/// A connection must stand after this.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// An answer must be complete after this.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Largest answer that is read, in bytes.
const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;
/// First pause before a fault is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// Longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// As Discord wants it of its clients.
const USER_AGENT: &str = concat!("DiscordBot (https://github.com/tidegate, ", env!("CARGO_PKG_VERSION"), ") tidegate-bot");

/// The bot's token. It cannot be printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// From the text of its file.
    pub fn read(text: &str) -> Option<Token> {
        let token = text.trim().trim_start_matches("Bot ").trim();
        let fine = (20..=200).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        fine.then(|| Token(token.to_owned()))
    }

    /// For the one who speaks to Discord.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Tells one token from another without telling anything of it.
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest as _, Sha256};
        hex::encode(&Sha256::digest(format!("tidegate token {}", self.0))[..8])
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// Discord says no.
    #[error("Discord says no ({status}, code {code}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Discord's code; 0: none.
        code: u64,
        /// Discord's words, cut.
        message: String,
    },
    /// It is known not to work, and is not tried.
    #[error("not sent: {0}")]
    NotSent(&'static str),
    /// Discord could not be reached, or did not answer, or has trouble, for as long as the request could wait.
    #[error("Discord cannot be reached: {0}")]
    Away(String),
}

impl RestError {
    /// Discord's code; 0: none.
    pub fn code(&self) -> u64 {
        match self {
            RestError::Refused { code, .. } => *code,
            _ => 0,
        }
    }

    /// Is trying again later of any use?
    pub fn is_passing(&self) -> bool {
        match self {
            RestError::Away(_) => true,
            RestError::NotSent(why) => *why != HALTED,
            RestError::Refused { .. } => false,
        }
    }
}

const HALTED: &str = "Discord refused the token";

/// What is asked of Discord.
#[derive(Debug)]
pub struct Call {
    method: reqwest::Method,
    /// For limits and logs: without ids and tokens.
    route: &'static str,
    /// The id in it that has limits of its own.
    major: u64,
    path: String,
    body: Option<Value>,
    kind: Kind,
    repeat: Repeat,
    patience: Duration,
}

/// How a request shows who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// With the bot's token.
    Bot,
    /// With the token of an interaction, which is in the path.
    Interaction,
}

/// What may be sent a second time when nobody knows what came of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// Doing it twice is doing it once.
    Safe,
    /// Only when it certainly was not done.
    OnlyIfNotDone,
}

impl Call {
    fn new(method: reqwest::Method, route: &'static str, path: String) -> Call {
        Call { method, route, major: 0, path, body: None, kind: Kind::Bot, repeat: Repeat::Safe, patience: Duration::from_secs(60) }
    }

    /// Reads something.
    pub fn get(route: &'static str, path: String) -> Call {
        Call { patience: Duration::from_secs(20), ..Call::new(reqwest::Method::GET, route, path) }
    }

    /// Sets something to a value.
    pub fn put(route: &'static str, path: String, body: Value) -> Call {
        Call { body: Some(body), ..Call::new(reqwest::Method::PUT, route, path) }
    }

    /// Posts a message with a nonce, or anything else that can be said twice.
    pub fn post(route: &'static str, channel: u64, path: String, body: Value) -> Call {
        Call { body: Some(body), major: channel, ..Call::new(reqwest::Method::POST, route, path) }
    }

    /// Edits a message.
    pub fn patch(route: &'static str, channel: u64, path: String, body: Value) -> Call {
        Call { body: Some(body), major: channel, ..Call::new(reqwest::Method::PATCH, route, path) }
    }

    /// Something with the token of an interaction.
    pub fn of_interaction(self, id: u64) -> Call {
        Call { kind: Kind::Interaction, major: id, ..self }
    }

    /// Not sent again unless it certainly was not done.
    pub fn unrepeatable(self) -> Call {
        Call { repeat: Repeat::OnlyIfNotDone, ..self }
    }

    /// Given up after this.
    pub fn within(self, patience: Duration) -> Call {
        Call { patience, ..self }
    }
}

/// Where Discord is.
#[derive(Debug, Clone)]
pub struct Address {
    /// `https://discord.com`, or a proxy that speaks for it.
    pub base: String,
    /// An authority beside the public ones, in PEM.
    pub authority: Option<Vec<u8>>,
}

/// Sends requests. Shared by everything that speaks to Discord.
#[derive(Debug)]
pub struct Rest {
    client: reqwest::Client,
    base: String,
    token: Token,
    limits: Mutex<Limits>,
    halted: AtomicBool,
}

/// An answer that was not a refusal for good.
enum Tried {
    Done(Value),
    Again { pause: Duration, why: String },
    No(RestError),
}

impl Rest {
    /// A way to Discord at this address.
    pub fn new(address: &Address, token: Token) -> Result<Rest, RestError> {
        let client = client(address).map_err(|error| RestError::Away(words(error)))?;
        let base = address.base.trim_end_matches('/').to_owned();
        Ok(Rest { client, base, token, limits: Mutex::default(), halted: AtomicBool::new(false) })
    }

    /// The same connections, for serenity.
    pub(super) fn client(&self) -> reqwest::Client {
        self.client.clone()
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    /// Was the token refused?
    pub fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed)
    }

    /// Sends nothing with this token any more.
    pub fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }

    /// Sends and reads the answer.
    pub async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, RestError> {
        let value = self.send(call).await?;
        serde_json::from_value(value).map_err(|error| RestError::Away(format!("its answer cannot be read: {error}")))
    }

    /// Sends until there is an answer, or no patience is left.
    pub async fn send(&self, call: Call) -> Result<Value, RestError> {
        let deadline = Instant::now() + call.patience;
        let mut pause = RETRY_FIRST;
        loop {
            self.place(&call, deadline).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            match self.once(&call, left.min(ANSWER_MAX)).await {
                Tried::Done(value) => return Ok(value),
                Tried::No(error) => return Err(error),
                Tried::Again { pause: asked, why } => {
                    let wait = asked.max(pause);
                    if Instant::now() + wait >= deadline {
                        return Err(RestError::Away(why));
                    }
                    tokio::time::sleep(wait).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Waits for a place under the limits.
    async fn place(&self, call: &Call, deadline: Instant) -> Result<(), RestError> {
        loop {
            let now = Instant::now();
            let taken = {
                let mut limits = self.limits();
                self.allowed(call, &limits, now)?;
                // Answers to people count under no shared limit, and must not wait for one.
                if call.kind == Kind::Interaction { Ok(()) } else { limits.take(call.key(), now) }
            };
            match taken {
                Ok(()) => return Ok(()),
                Err(at) if at >= deadline => return Err(RestError::Away("the rate limit is used up".into())),
                Err(at) => tokio::time::sleep_until(at.into()).await,
            }
        }
    }

    fn allowed(&self, call: &Call, limits: &Limits, now: Instant) -> Result<(), RestError> {
        if call.kind == Kind::Interaction {
            return Ok(());
        }
        if self.is_halted() {
            return Err(RestError::NotSent(HALTED));
        }
        if limits.is_quarantined(call.major, now) {
            return Err(RestError::NotSent("the channel refused the bot a short while ago"));
        }
        if limits.near_ban(now) {
            return Err(RestError::NotSent("too many requests were refused lately"));
        }
        Ok(())
    }

    async fn once(&self, call: &Call, patience: Duration) -> Tried {
        let url = format!("{}/api/v10{}", self.base, call.path);
        let mut request = self.client.request(call.method.clone(), url).timeout(patience).header("User-Agent", USER_AGENT);
        if call.kind == Kind::Bot {
            request = request.header("Authorization", format!("Bot {}", self.token.expose()));
        }
        request = match &call.body {
            Some(body) => request.header("Content-Type", "application/json").body(body.to_string()),
            None => request,
        };
        match request.send().await {
            Err(error) if call.repeat == Repeat::OnlyIfNotDone && !error.is_connect() => Tried::No(RestError::Away(words(error))),
            Err(error) => Tried::Again { pause: Duration::ZERO, why: words(error) },
            Ok(response) => self.answered(call, response).await,
        }
    }

    async fn answered(&self, call: &Call, response: reqwest::Response) -> Tried {
        let (status, now) = (response.status().as_u16(), Instant::now());
        let told = told(&response);
        let header_pause = number(&response, "retry-after");
        let is_global = response.headers().contains_key("x-ratelimit-global");
        self.limits().learn(call.key(), &told, now);
        let body = read(response).await;
        match status {
            200..=299 => match body {
                Ok(bytes) if bytes.is_empty() => Tried::Done(Value::Null),
                Ok(bytes) => {
                    serde_json::from_slice(&bytes).map_or_else(|_| Tried::No(RestError::Away("its answer is not JSON".into())), Tried::Done)
                }
                // It was done; what it said is lost.
                Err(why) if call.repeat == Repeat::Safe => Tried::Again { pause: Duration::ZERO, why },
                Err(why) => Tried::No(RestError::Away(why)),
            },
            429 => self.limited(call, &body.unwrap_or_default(), (header_pause, is_global)),
            500..=599 if call.repeat == Repeat::Safe => {
                Tried::Again { pause: Duration::ZERO, why: format!("it answers with status {status}") }
            }
            500..=599 => Tried::No(RestError::Away(format!("it answers with status {status}"))),
            _ => Tried::No(self.refused(call, status, &body.unwrap_or_default())),
        }
    }

    fn limited(&self, call: &Call, body: &[u8], (header, is_global): (Option<f64>, bool)) -> Tried {
        #[derive(Deserialize, Default)]
        struct Limited {
            retry_after: Option<f64>,
            #[serde(default)]
            global: bool,
            #[serde(default)]
            code: u64,
        }
        let said: Limited = serde_json::from_slice(body).unwrap_or_default();
        // No limit of a route: this one message takes no more edits, and is to be continued by another.
        if said.code == code::OLD_MESSAGE {
            return Tried::No(self.refused(call, 429, body));
        }
        let secs = said.retry_after.or(header).filter(|secs| secs.is_finite()).unwrap_or(5.0).clamp(0.05, 3_600.0);
        let (pause, now) = (Duration::from_secs_f64(secs), Instant::now());
        let reach = if said.global || is_global { Reach::Global } else { Reach::Route };
        let mut limits = self.limits();
        limits.count_invalid(now);
        limits.limited(call.key(), reach, pause, now);
        tracing::debug!(route = call.route, ?reach, secs, "Discord asks to wait");
        Tried::Again { pause, why: "the rate limit is used up".into() }
    }

    /// A 401 with our token stops everything; a 403 about a channel closes it for a while. Neither is tried against a wall.
    fn refused(&self, call: &Call, status: u16, body: &[u8]) -> RestError {
        #[derive(Deserialize, Default)]
        struct Said {
            #[serde(default)]
            code: u64,
            #[serde(default)]
            message: String,
            errors: Option<Value>,
        }
        let said: Said = serde_json::from_slice(body).unwrap_or_default();
        let now = Instant::now();
        if matches!(status, 401 | 403) {
            self.limits().count_invalid(now);
        }
        if status == 401 && call.kind == Kind::Bot {
            self.halt();
            tracing::error!("Discord refuses the token: nothing more is sent with it until the bot starts with another one");
        }
        let is_closed = call.kind == Kind::Bot && call.major != 0 && code::closes_channel(call.route, status, said.code);
        if is_closed && self.limits().quarantine(call.major, now) {
            tracing::error!(
                channel = call.major,
                code = said.code,
                "Discord lets the bot not write there; `tidegate-bot doctor` says what is missing"
            );
        }
        let errors = said.errors.map(|errors| format!(" {errors}")).unwrap_or_default();
        let message = tidegate_git::message::one_line(&format!("{}{errors}", said.message), 400);
        if status == 400 {
            tracing::error!(route = call.route, code = said.code, message, "Discord refuses what the bot wrote: please report this");
        }
        RestError::Refused { status, code: said.code, message }
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    fn key(&self) -> RouteKey {
        (self.route, self.major)
    }
}

fn client(address: &Address) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_MAX)
        .timeout(ANSWER_MAX)
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .no_proxy();
    if let Some(pem) = &address.authority {
        for certificate in reqwest::Certificate::from_pem_bundle(pem)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build()
}

/// Reads the file of an authority.
pub fn authority(path: &Path) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(pem),
        _ => Err(format!("{} holds no certificate in PEM", path.display())),
    }
}

fn words(error: reqwest::Error) -> String {
    crate::tips::chain(&error.without_url())
}

/// Headers that cannot be read say nothing: a request is never sent again because of one.
fn told(response: &reqwest::Response) -> Told {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let reset_after = number(response, "x-ratelimit-reset-after").filter(|secs| (0.0..=86_400.0).contains(secs));
    Told {
        bucket: header("x-ratelimit-bucket").map(|text| text.chars().take(100).collect()),
        remaining: number(response, "x-ratelimit-remaining").filter(|n| *n >= 0.0).map(|n| n as u64),
        reset_after: reset_after.map(Duration::from_secs_f64),
    }
}

fn number(response: &reqwest::Response, name: &str) -> Option<f64> {
    response.headers().get(name)?.to_str().ok()?.trim().parse().ok()
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(words)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > BODY_MAX_BYTES {
            return Err("its answer is too large".into());
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cannot_be_printed_and_rubbish_is_none() {
        let token = Token::read("  Bot MTIzNDU2Nzg5.abc-_d.efghijklmnop \n").unwrap();
        assert!(!format!("{token:?}").contains("MTIz"));
        assert_eq!(token.expose(), "MTIzNDU2Nzg5.abc-_d.efghijklmnop");
        assert_eq!(token.fingerprint().len(), 16);
        for bad in ["", "short", "has space in the middle of it", "line\nbreak-line-break-line"] {
            assert!(Token::read(bad).is_none(), "{bad}");
        }
    }
}
