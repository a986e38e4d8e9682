//! The Tidegate bot: announces releases in chat and turns commands into signed commits.

pub mod answers;
pub mod card;
pub mod chat;
pub mod command;
pub mod handle;
pub mod history;
pub mod http;
pub mod intake;
pub mod metrics;
pub mod notice;
pub mod page;
pub mod people;
pub mod platforms;
pub mod registry;
pub mod releases;
pub mod request;
pub mod room;
pub mod rooms;
pub mod run;
pub mod settings;
pub mod show;
pub mod store;
pub mod tips;
pub mod view;
pub mod words;
