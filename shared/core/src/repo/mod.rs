//! The config repo: files → raw → model, with every finding collected. See `model` for the result.

mod calendar;
mod check;
mod keys;
mod load;
mod model;
mod raw;

pub use load::{Loaded, SETTINGS_FILE, load, load_with};
pub use model::*;
