//! The Tidegate bot: announces releases in chat and turns commands into signed commits.

pub mod command;
pub mod http;
pub mod page;
pub mod people;
pub mod request;
pub mod view;
