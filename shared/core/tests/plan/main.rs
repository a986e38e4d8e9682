//! The planner: golden plans, and properties on a simulated host.

mod golden;
mod properties;
mod sim;
