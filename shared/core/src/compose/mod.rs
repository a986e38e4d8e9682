//! Compose files: untyped interpolation and merge, then typed and checked. See `model` for the result.

mod model;
pub use model::*;
