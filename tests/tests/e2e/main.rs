//! End-to-end tests: the real programs, a real engine, real git, a real registry, a real browser.

mod architecture;
mod harness;
mod page;
