//! The Tidegate agent: one per host; reconciles its containers to the released state, inside release windows.

pub mod engine;
