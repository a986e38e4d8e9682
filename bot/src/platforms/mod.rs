//! Chat platforms: adapters between what people press or type and the domain's requests, and back. They never import
//! each other, and nothing outside knows their types.

pub mod discord;
mod health;
pub mod local;

pub use health::{Health, Link};

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A platform as the composition root sees it: at the level of the domain, not of widgets. Between `run` and its end it
/// hands what people ask to the domain and shows them the outcome, shows each release as one thing that changes, and
/// tells news to its audiences from the store's outbox. How that looks is its own business.
pub trait Platform: Send {
    /// The key in `people.*.chat`.
    fn name(&self) -> &'static str;

    /// How it is doing, also while it runs.
    fn health(&self) -> Arc<Health>;

    /// Works until told to stop; what people handed in before is finished.
    fn run(self: Box<Self>, stop: CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}
