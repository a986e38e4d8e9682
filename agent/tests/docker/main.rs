//! The Docker adapter and the executor on a real engine, and on a fake one where a real one would not misbehave.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod attributes;
mod fake;
mod harness;
mod lifecycle;
mod loops;
mod peer;
mod private;
mod quiet;
