//! The planner: golden plans, and properties on a simulated host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

mod golden;
mod overrides;
mod properties;
mod sim;
