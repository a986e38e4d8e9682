//! The local HTTP interface: health, status, metrics, wake, and what somebody on the host asks for.
//!
//! Reading needs no secret; asking for a rollback needs the token in the state folder, so that a web page in somebody's
//! browser or another user of the host cannot.

mod metrics;
mod serve;

pub use metrics::metrics;
pub use serve::{Bound, ServeError, bind};

use crate::driver::{Board, Command, Refusal, Request, Rolled, Wakes};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Version of the JSON answers.
pub const FORMAT: u32 = 1;
/// Largest body, in bytes.
pub const BODY_MAX_BYTES: usize = 16 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub struct Shared {
    /// What the loop knows.
    pub board: watch::Receiver<Board>,
    /// Wakes the loop.
    pub wakes: Arc<Wakes>,
    /// Asks the loop.
    pub requests: mpsc::Sender<Request>,
    /// What a local caller must show.
    pub token: Arc<ControlToken>,
}

/// The secret in the state folder.
pub struct ControlToken(String);

impl ControlToken {
    /// Wraps the text of the file.
    pub fn new(text: &str) -> ControlToken {
        ControlToken(text.trim().to_owned())
    }

    /// Does the header carry it? Compared by hash, so that the time tells nothing.
    fn is_shown_by(&self, headers: &HeaderMap) -> bool {
        use sha2::{Digest, Sha256};
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|text| text.strip_prefix("Bearer "));
        shown.is_some_and(|shown| !self.0.is_empty() && Sha256::digest(shown.as_bytes()) == Sha256::digest(self.0.as_bytes()))
    }
}

impl std::fmt::Debug for ControlToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ControlToken(…)")
    }
}

/// The routes.
pub fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .route("/metrics", get(show_metrics))
        .route("/wake", post(wake))
        .route("/command", post(command))
        .layer(tower_http::limit::RequestBodyLimitLayer::new(BODY_MAX_BYTES))
        .with_state(shared)
}

/// What is missing until the agent is ready; empty: it is.
pub fn not_ready(board: &Board) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if board.config.valid.is_none() {
        missing.push("no usable config has been read yet");
    }
    if !board.engine_answers {
        missing.push("the container engine does not answer");
    }
    missing
}

async fn ready(State(shared): State<Shared>) -> Response {
    let missing = not_ready(&shared.board.borrow());
    match missing.is_empty() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", missing.join("\n"))).into_response(),
    }
}

async fn status(State(shared): State<Shared>) -> Response {
    Json(status_json(&shared.board.borrow())).into_response()
}

/// The status as JSON.
pub fn status_json(board: &Board) -> serde_json::Value {
    let mut value = serde_json::to_value(board).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("format".into(), FORMAT.into());
        object.insert("ready".into(), not_ready(board).is_empty().into());
        object.insert("not_ready".into(), not_ready(board).into());
    }
    value
}

async fn show_metrics(State(shared): State<Shared>) -> Response {
    let text = metrics(&shared.board.borrow(), Timestamp::now());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn wake(State(shared): State<Shared>) -> Response {
    shared.wakes.poll.notify_one();
    (StatusCode::ACCEPTED, "the agent looks now\n").into_response()
}

async fn command(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    if !shared.token.is_shown_by(&headers) {
        return (StatusCode::FORBIDDEN, "show the token in the agent's state folder (control.token)\n").into_response();
    }
    let command: Command = match serde_json::from_slice(&body) {
        Ok(command) => command,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("not a command: {error}\n")).into_response(),
    };
    let (answer, answered) = oneshot::channel();
    let result = match shared.requests.send(Request { command, answer }).await {
        Ok(()) => answered.await.unwrap_or(Err(Refusal::Stopping)),
        Err(_) => Err(Refusal::Stopping),
    };
    respond(result)
}

fn respond(result: Result<Rolled, Refusal>) -> Response {
    match result {
        Ok(done) => Json(done).into_response(),
        Err(refusal) => (StatusCode::CONFLICT, Json(refusal)).into_response(),
    }
}

#[cfg(test)]
mod tests;
