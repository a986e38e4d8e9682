//! The Tidegate agent: one per host; reconciles its containers to the released state, inside release windows.

pub mod apply;
pub mod backoff;
pub mod clock;
pub mod docker;
pub mod engine;
pub mod materialise;
pub mod settings;
pub mod store;
