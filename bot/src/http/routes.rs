//! The routes beside the page and the intake: waking, health, metrics, and the chat for scripts.

use crate::handle::Asked;
use crate::http::guard;
use crate::metrics::{self, Metrics};
use crate::people::Actor;
use crate::platforms::local;
use crate::request::{Ask, Reply, Request};
use crate::rooms::Doors;
use crate::tips::{Seen, Waker};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tower_http::timeout::TimeoutLayer;

/// Largest body of these routes, in bytes. Webhooks send long ones; what is in them is not read.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// A command and the commit that comes of it get this long.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// What the routes share.
#[derive(Debug)]
pub struct Shared {
    /// The branch.
    pub seen: watch::Receiver<Arc<Seen>>,
    /// Wakes the watcher.
    pub waker: Waker,
    /// The workers.
    pub doors: Doors,
    /// Where the local platform takes requests; none: it is off.
    pub desk: Option<mpsc::Sender<Asked>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Names that browsers may use.
    pub hosts: guard::AllowedHosts,
}

/// `/wake`, `/healthz`, `/readyz`, `/metrics`, `/api/chat`.
pub fn router(shared: Arc<Shared>) -> Router {
    let allowed = Arc::new(shared.hosts.clone());
    let guarded = Router::new().route("/api/chat", post(chat)).layer(axum::middleware::from_fn_with_state(allowed, guard::guard));
    Router::new()
        .route("/wake", post(wake))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(prometheus))
        .merge(guarded)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, COMMAND_TIMEOUT))
        .with_state(shared)
}

/// Anybody may wake the poll: it carries no data, and many wake-ups are one poll.
async fn wake(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.waker.wake();
    StatusCode::ACCEPTED
}

/// Ready once the branch was read and every environment has its worker.
async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    let seen = shared.seen.borrow().clone();
    match (&seen.tip, &seen.trouble) {
        (Some(tip), _) if shared.doors.pictures().len() >= tip.repo.environments.len() => (StatusCode::OK, "ready\n".into()),
        (_, Some(trouble)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the config repo was not read yet\n".into()),
    }
}

async fn prometheus(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let seen = shared.seen.borrow().clone();
    let text = metrics::render(&shared.metrics, &seen, &shared.doors, Timestamp::now());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// A line, and who says it: the key in `people`, or the identity on the local platform.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "as")]
    speaker: String,
    text: String,
}

async fn chat(State(shared): State<Arc<Shared>>, Json(line): Json<Line>) -> Result<Json<Reply>, (StatusCode, &'static str)> {
    let desk = shared.desk.as_ref().ok_or((StatusCode::NOT_FOUND, "the local platform is off: set `local.enabled`\n"))?;
    let tip = shared.seen.borrow().tip.clone();
    let identity = tip.and_then(|tip| tip.repo.settings.people.get(line.speaker.as_str())?.chat.get(local::NAME).cloned());
    let actor = Actor { platform: local::NAME.to_owned(), user: identity.unwrap_or(line.speaker) };
    let (answer, answered) = oneshot::channel();
    let busy = (StatusCode::SERVICE_UNAVAILABLE, "too much is asked at once: try again\n");
    desk.try_send((Request { actor, ask: Ask::Line(line.text) }, answer)).map_err(|_| busy)?;
    answered.await.map(Json).map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "the bot is stopping\n"))
}
