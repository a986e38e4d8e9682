//! The config repo: files → raw → model, with every finding collected. See `model` for the result.

mod model;
pub use model::*;
