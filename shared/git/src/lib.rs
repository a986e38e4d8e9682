//! The one git adapter: the only importer of git2, ssh-key and whatever else speaks git.
//!
//! A [`Mirror`] is a bare repository of ours beside a remote. `poll` asks the remote for its tip and fetches nothing;
//! `fetch` brings its objects; everything else reads the mirror. Nothing is ever checked out, no user's git
//! configuration is read, no redirect is followed, every call has a deadline and runs off the async threads. Network
//! transfers run in a process of their own ([`child`]) with limits on memory, time and size.

pub mod child;
mod commit;
mod compact;
mod error;
mod hostkey;
pub mod keys;
mod local;
pub mod message;
mod mirror;
mod network;
mod pkt;
mod poll;
mod range;
mod reader;
mod remote;
mod snapshot;
mod store;
mod transfer;
mod tree_changes;
mod verify;

pub use commit::{Change, Committed, Committer, FirstCommit, Identity, create_bare};
pub use error::{CommitError, GitError};
pub use mirror::{CommitInfo, Mirror};
pub use range::Judged;
pub use reader::Reader;
pub use remote::{Credentials, Limits, RemoteSettings, Secret, SshCredentials, TransferProgram};
pub use verify::{CommitRefusal, Verified, verify_commit};

use std::sync::Once;

/// Longest wait of libgit2 for a connection and for each single read, in milliseconds. The whole transfer has a deadline
/// of its own; this one ends a dead connection earlier.
const LIBGIT2_TIMEOUT_MS: i32 = 20_000;
/// Most memory for mapped packs, in bytes.
const MAPPED_MAX_BYTES: usize = 256 * 1024 * 1024;
/// Size of one mapped piece of a pack, in bytes.
const MAPPED_WINDOW_BYTES: usize = 32 * 1024 * 1024;
/// Most memory for libgit2's cache of objects; we keep our own of what we use.
const OBJECT_CACHE_BYTES: isize = 4 * 1024 * 1024;

/// Sets libgit2's global options, once per process; called by everything that uses it, and harmless to call again.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(failure) = set_options() {
            tracing::error!(reason = failure.message(), "libgit2 refused its global options");
        }
        // A second provider (another crate was first) is as good as ours.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

#[expect(unsafe_code, reason = "libgit2's global options; set once, before anything else uses libgit2")]
fn set_options() -> Result<(), git2::Error> {
    use git2::{ConfigLevel, opts};
    opts::strict_hash_verification(true);
    opts::strict_object_creation(true);
    // SAFETY: `Once` orders these writes, and every user of libgit2 in this crate comes after it.
    unsafe {
        for level in [ConfigLevel::System, ConfigLevel::Global, ConfigLevel::XDG, ConfigLevel::ProgramData] {
            opts::set_search_path(level, "")?;
        }
        opts::set_server_connect_timeout_in_milliseconds(LIBGIT2_TIMEOUT_MS)?;
        opts::set_server_timeout_in_milliseconds(LIBGIT2_TIMEOUT_MS)?;
        opts::set_mwindow_size(MAPPED_WINDOW_BYTES)?;
        opts::set_mwindow_mapped_limit(MAPPED_MAX_BYTES)?;
        opts::set_cache_max_size(OBJECT_CACHE_BYTES)?;
        // The path comes from the host's own settings and nothing in a repository is executed: who owns it is not our
        // question (an agent as root reads a repository that belongs to the user `git`).
        opts::set_verify_owner_validation(false)?;
    }
    Ok(())
}
