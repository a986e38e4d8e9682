//! Helpers for what listens: serving with time-outs and limits, headers and checks that keep browsers safe,
//! server-sent events from a snapshot. No routes here; the composition root joins the routers.

pub mod guard;
mod serve;
pub mod sse;

pub use serve::{Limits, serve};
