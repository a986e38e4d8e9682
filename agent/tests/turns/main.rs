//! The agent's loop as stories: a real git repository, a real database, a simulated engine, virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop loudly, and say what it did before"
)]

mod by_hand;
mod calendar;
mod crashes;
mod external;
mod gates;
mod month;
mod releases;
mod surroundings;
mod trust;
mod way_back;
mod world;
