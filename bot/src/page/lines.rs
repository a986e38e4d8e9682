//! `POST /api/chat`: a line for the console, from scripts and tests. The same as typing it there.

use super::desk::Desk;
use crate::http::guard::{self, AllowedHosts};
use crate::people::Actor;
use crate::platforms::local;
use crate::request::{Ask, Reply, Request};
use crate::tips::Seen;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tower_http::timeout::TimeoutLayer;

/// Largest body, in bytes.
const BODY_MAX_BYTES: usize = 16 * 1024;
/// A command and the commit that comes of it get this long.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Where lines go.
#[derive(Debug, Clone)]
pub struct Lines {
    /// Where the local platform takes requests.
    pub desk: Desk,
    /// Who is who.
    pub seen: watch::Receiver<Arc<Seen>>,
}

/// The route; without a console it says so.
pub fn router(lines: Option<Lines>, hosts: AllowedHosts) -> Router {
    Router::new()
        .route("/api/chat", post(chat))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, COMMAND_TIMEOUT))
        .layer(axum::middleware::from_fn_with_state(Arc::new(hosts), guard::guard))
        .with_state(lines)
}

/// A line, and who says it: the key in `people`, or the identity on the local platform.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "as")]
    speaker: String,
    text: String,
}

async fn chat(State(lines): State<Option<Lines>>, Json(line): Json<Line>) -> Result<Json<Reply>, (StatusCode, &'static str)> {
    let lines = lines.ok_or((StatusCode::NOT_FOUND, "the local platform is off: set `local.enabled`\n"))?;
    let tip = lines.seen.borrow().tip.clone();
    let identity = tip.and_then(|tip| tip.repo.settings.people.get(line.speaker.as_str())?.chat.get(local::NAME).cloned());
    let actor = Actor { platform: local::NAME.to_owned(), user: identity.unwrap_or(line.speaker) };
    let (answer, answered) = oneshot::channel();
    let busy = (StatusCode::SERVICE_UNAVAILABLE, "too much is asked at once: try again\n");
    lines.desk.try_send((Request { actor, ask: Ask::Line(line.text) }, answer)).map_err(|_| busy)?;
    answered.await.map(Json).map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "the bot is stopping\n"))
}
