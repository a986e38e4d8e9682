//! `POST /events`: headers and body to the intake, its verdict to a status.

use super::{Envelope, Intake, NotTaken};
use crate::tips::chain;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::events::{Accepted, BATCH_MAX_BYTES, HEADER_HOST, HEADER_SIGNATURE, HEADER_TIME};
use tower_http::timeout::TimeoutLayer;

/// A batch gets this long, from its first byte to the answer.
const BATCH_TIMEOUT: Duration = Duration::from_secs(20);

/// The route.
pub fn router(intake: Arc<Intake>) -> Router {
    Router::new()
        .route("/events", post(take))
        .layer(DefaultBodyLimit::max(BATCH_MAX_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, BATCH_TIMEOUT))
        .with_state(intake)
}

async fn take(State(intake): State<Arc<Intake>>, headers: HeaderMap, body: Bytes) -> Result<Json<Accepted>, NotTaken> {
    let envelope = Envelope {
        host: header(&headers, HEADER_HOST)?,
        time: header(&headers, HEADER_TIME)?,
        signature: header(&headers, HEADER_SIGNATURE)?,
    };
    intake.take(&envelope, &body, Timestamp::now()).await.map(Json)
}

fn header(headers: &HeaderMap, name: &'static str) -> Result<String, NotTaken> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map(str::to_owned).map_err(|_| NotTaken::Header(name)),
        _ => Err(NotTaken::Header(name)),
    }
}

impl IntoResponse for NotTaken {
    fn into_response(self) -> Response {
        (status(&self), format!("{}\n", chain(&self))).into_response()
    }
}

/// 400 is for what will never be taken: the host drops it. Everything else it keeps and sends again.
fn status(refusal: &NotTaken) -> StatusCode {
    match refusal {
        NotTaken::NotReady | NotTaken::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        NotTaken::Malformed(_) => StatusCode::BAD_REQUEST,
        NotTaken::Header(_)
        | NotTaken::UnknownHost(_)
        | NotTaken::NoKey(_)
        | NotTaken::BadKey(_)
        | NotTaken::Stale { .. }
        | NotTaken::Signature(_) => StatusCode::UNAUTHORIZED,
        NotTaken::EpochOver { .. } => StatusCode::CONFLICT,
    }
}
