//! Discord: that the server of the tests is honest, and that the bot is a good guest on it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that fails panics, and long ones say what they saw")]

mod back;
mod consent;
mod line;
mod lost;
mod peers;
mod rules;
mod soak;
mod stranger;
mod talk;
