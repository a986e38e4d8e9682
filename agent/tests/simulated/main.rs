//! Plans carried out on a simulated engine, in virtual time: converging from anything, cut off anywhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

mod properties;
mod waits;
mod world;
