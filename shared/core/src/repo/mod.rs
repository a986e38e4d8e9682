//! The config repo: files → raw → model, with every finding collected. See `model` for the result.

mod calendar;
mod chat;
mod check;
mod load;
mod model;
mod raw;

pub use calendar::calendar_file;
pub use chat::{Chat, Digest, DiscordChat, Snowflake};
pub use load::{Loaded, SETTINGS_FILE, load, load_with};
pub use model::*;
