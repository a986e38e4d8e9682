//! Waiting for something to become true: polled, with a deadline, and with what was seen last in the failure.

use std::future::Future;
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Looks until `look` says `Ok`; panics at the deadline with `what` and the last `Err`.
///
/// # Panics
/// When the deadline passes: that is a failed test.
#[expect(clippy::panic, reason = "a deadline that passes is a failed test")]
pub async fn wait_until<T, F, Fut>(limit: Duration, what: &str, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let began = Instant::now();
    loop {
        let seen = match look().await {
            Ok(value) => return value,
            Err(seen) => seen,
        };
        if began.elapsed() >= limit {
            panic!("waited {limit:?} for: {what}\nseen last: {seen}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Looks for the whole time, and panics as soon as `look` says `Err`: something must stay as it is.
///
/// # Panics
/// When it does not stay so: that is a failed test.
#[expect(clippy::panic, reason = "what does not stay is a failed test")]
pub async fn stays<F, Fut>(time: Duration, what: &str, mut look: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<(), String>>,
{
    let began = Instant::now();
    while began.elapsed() < time {
        if let Err(seen) = look().await {
            panic!("after {:?} it was not so any more: {what}\nseen: {seen}", began.elapsed());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
