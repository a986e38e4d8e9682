//! The bot as people meet it: conversations, on a real repository.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod by_hand;
mod consent;
mod crash;
mod failure;
mod images;
mod intake;
mod release;
mod repo;
mod rollback;
mod standing;
mod world;
