//! The process that talks to network remotes.

/// If this process was started as a transfer process, does that and exits; else returns at once.
pub fn run_if_asked() {}
