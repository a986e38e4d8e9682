//! End-to-end tests: the real programs, a real engine, real git, a real registry, a real browser.

mod architecture;
mod chat;
mod deploy;
mod failure;
mod harness;
mod local_rollback;
mod page;
mod restart;
mod support;
mod whole_way;
