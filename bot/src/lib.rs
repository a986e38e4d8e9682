//! The Tidegate bot: announces releases in chat and turns commands into signed commits.

pub mod card;
pub mod chat;
pub mod command;
pub mod http;
pub mod notice;
pub mod page;
pub mod people;
pub mod platforms;
pub mod registry;
pub mod releases;
pub mod request;
pub mod store;
pub mod view;
pub mod words;
