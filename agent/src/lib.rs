//! The Tidegate agent: one per host; reconciles its containers to the released state, inside release windows.

pub mod apply;
pub mod backoff;
pub mod cli;
pub mod clock;
pub mod config;
pub mod docker;
pub mod driver;
pub mod earlier;
pub mod engine;
pub mod http;
pub mod materialise;
pub mod outbox;
pub mod reconcile;
pub mod report;
pub mod settings;
pub mod store;
pub mod words;
pub mod zones;
