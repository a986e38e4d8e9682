//! The Tidegate agent: one per host; reconciles its containers to the released state, inside release windows.

pub mod backoff;
pub mod clock;
pub mod engine;
pub mod settings;
pub mod store;
