//! The one reader for YAML that people write: a positioned, untyped tree, built within strict limits, and a small
//! typed layer above it that collects findings instead of stopping at the first.
//!
//! Built on the events of `granit-parser`, the parser below `serde-saphyr`, because three things are needed at once
//! that serde cannot carry: a place for every node after files were merged, tags (`!reset`, `!override`), and all
//! findings of a file instead of the first. See `docs/decisions/0004-yaml-reader.md`.

mod decode;
mod node;
mod read;
mod suggest;

pub use decode::{FINDINGS_MAX, Fields, SCHEMA, Sink, boolean, entries, integer, items, parsed, schema, text};
pub use node::{Key, Node, Span, Style, Tag, Value};
pub use read::{COMPOSE_LIMITS, Limits, OWN_LIMITS, read};
pub use suggest::{did_you_mean, hint_among};
