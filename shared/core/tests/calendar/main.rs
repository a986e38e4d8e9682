//! The release calendar against its vectors, against a brute-force evaluator, and its edges.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a test may stop at the first surprise and say what it skipped"
)]

mod brute;
mod checks;
mod feed;
mod policies;
mod properties;
mod vectors;
mod views;
