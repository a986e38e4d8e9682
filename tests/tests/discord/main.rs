//! Discord: that the server of the tests is honest, and that the bot is a good guest on it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

mod back;
mod consent;
mod line;
mod lost;
mod peers;
mod rules;
mod soak;
mod stranger;
mod talk;
