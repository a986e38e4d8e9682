//! Chat platforms: adapters between what people press or type and the domain's requests, and back. They never import
//! each other, and nothing outside knows their types.

pub mod discord;
pub mod local;
