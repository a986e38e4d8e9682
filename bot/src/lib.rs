//! The Tidegate bot: announces releases in chat and turns commands into signed commits.

pub mod view;
