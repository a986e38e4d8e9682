//! Helpers for what listens: serving with time-outs and limits, headers and checks that keep browsers safe,
//! server-sent events from a snapshot. The routes of health and metrics; page and intake have their own.

pub mod guard;
pub mod routes;
mod serve;
pub mod sse;

use axum::Router;

pub use serve::{Limits, serve};

/// Several routers as one.
pub fn joined(routers: impl IntoIterator<Item = Router>) -> Router {
    routers.into_iter().fold(Router::new(), Router::merge)
}
