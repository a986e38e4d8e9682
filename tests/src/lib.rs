//! The harness: real programs, a real engine, real git and a real registry, made for one test and removed after it.

pub mod browser;
pub mod checkout;
pub mod client;
pub mod daemon;
pub mod discord;
pub mod engine;
pub mod fleet;
pub mod git_server;
pub mod ops_room;
pub mod ports;
pub mod programs;
pub mod registry;
pub mod wait;
pub mod world;
