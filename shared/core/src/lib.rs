//! Tidegate's pure core: parses, validates and decides. No clock, no I/O, no async; time and randomness are arguments.
//!
//! Direction of imports: ids ← findings, files ← yaml ← keys ← calendar, compose, lock, observed, trust ← repo, desired ← plan ← events, preview; schema beside them.

pub mod advice;
pub mod calendar;
pub mod candidate;
pub mod compose;
pub mod desired;
pub mod events;
pub mod files;
pub mod findings;
pub mod ids;
mod keys;
pub mod lock;
pub mod logins;
pub mod observed;
pub mod offers;
pub mod plan;
pub mod policy;
pub mod preview;
pub mod repo;
pub mod schema;
pub mod trust;
pub mod yaml;
