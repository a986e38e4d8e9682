//! The routes beside the page and the intake: waking, health, metrics.

use crate::metrics::{self, Metrics, Platforms};
use crate::rooms::Doors;
use crate::tips::{Seen, Waker};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tower_http::timeout::TimeoutLayer;

/// Largest body of these routes, in bytes. Webhooks send long ones; what is in them is not read.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// A request gets this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// What the routes share.
#[derive(Debug)]
pub struct Shared {
    /// The branch.
    pub seen: watch::Receiver<Arc<Seen>>,
    /// Wakes the watcher.
    pub waker: Waker,
    /// The workers.
    pub doors: Doors,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// How the chat platforms are doing.
    pub platforms: Platforms,
}

/// `/wake`, `/healthz`, `/readyz`, `/metrics`.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/wake", post(wake))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(prometheus))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
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
    let mut text = metrics::render(&shared.metrics, &seen, &shared.doors, Timestamp::now());
    text.push_str(&metrics::platforms(&shared.platforms));
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
