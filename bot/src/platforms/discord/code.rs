//! Discord's codes that mean something here, and how far a refusal reaches.

/// The route that begins a thread on a message.
pub const THREADS: &str = "POST /threads";

/// The message is gone.
pub const UNKNOWN_MESSAGE: u64 = 10_008;
/// The channel or thread is gone.
pub const UNKNOWN_CHANNEL: u64 = 10_003;
/// The channel cannot be seen.
pub const NO_ACCESS: u64 = 50_001;
/// Another author wrote the message.
pub const FOREIGN: u64 = 50_005;
/// A permission is missing.
pub const NO_PERMISSION: u64 = 50_013;
/// The thread is locked.
pub const LOCKED: u64 = 160_005;
/// There are as many threads as there may be.
pub const THREADS_MAX: u64 = 160_006;
/// It has had its first answer.
pub const ACKNOWLEDGED: u64 = 40_060;
/// Too many edits of a message that is older than an hour.
pub const OLD_MESSAGE: u64 = 30_046;
/// The message has a thread.
pub const HAS_THREAD: u64 = 160_004;
/// The thread is archived.
pub const ARCHIVED: u64 = 50_083;

/// Does a refusal speak of the whole channel? One of a message, such as one that another author wrote, or of a thread
/// that may not be begun, says nothing about the next message.
pub fn closes_channel(route: &str, status: u16, code: u64) -> bool {
    status == 403 && route != THREADS && matches!(code, NO_ACCESS | NO_PERMISSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_the_channel_closes_the_channel() {
        for code in [NO_ACCESS, NO_PERMISSION] {
            assert!(closes_channel("PATCH /messages", 403, code), "{code}");
            assert!(!closes_channel(THREADS, 403, code), "{code}");
        }
        for (status, code) in [(403, FOREIGN), (403, LOCKED), (403, 0), (400, NO_ACCESS)] {
            assert!(!closes_channel("PATCH /messages", status, code), "{status} {code}");
        }
    }
}
