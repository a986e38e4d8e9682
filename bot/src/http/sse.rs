//! Server-sent events from a snapshot: a reader that is slow gets the newest state only, never a queue of old ones.

use async_stream::stream;
use futures_util::Stream;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// When a stream looks at its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Changes within this time become one.
    pub gap: Duration,
    /// Looked at anew after this long even without a change, because texts such as "3 min ago" age.
    pub refresh: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { gap: Duration::from_millis(100), refresh: Duration::from_secs(15) }
    }
}

/// Yields what `show` makes of the snapshot: at once, after each change, and when texts have aged; equal neighbours
/// are left out. Ends at `stop` or when the writer of the snapshot is gone.
pub fn snapshots<V, T, F>(mut changes: watch::Receiver<V>, pace: Pace, stop: CancellationToken, show: F) -> impl Stream<Item = T>
where
    V: Clone,
    T: PartialEq + Clone,
    F: Fn(V) -> T,
{
    stream! {
        let mut last: Option<T> = None;
        loop {
            let newest = changes.borrow_and_update().clone();
            let shown = show(newest);
            if last.as_ref() != Some(&shown) {
                last = Some(shown.clone());
                yield shown;
                tokio::time::sleep(pace.gap).await;
            }
            let goes_on = tokio::select! {
                () = stop.cancelled() => false,
                changed = changes.changed() => changed.is_ok(),
                () = tokio::time::sleep(pace.refresh) => true,
            };
            if !goes_on {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    fn quick() -> Pace {
        Pace { gap: Duration::ZERO, refresh: Duration::from_secs(3_600) }
    }

    #[tokio::test]
    async fn a_slow_reader_gets_the_newest_state_and_no_queue() {
        let (writer, reader) = watch::channel(0_u32);
        let mut stream = std::pin::pin!(snapshots(reader, quick(), CancellationToken::new(), |n| n));
        assert_eq!(stream.next().await, Some(0));
        for number in 1..=500 {
            writer.send_replace(number);
        }
        assert_eq!(stream.next().await, Some(500));
        writer.send_replace(501);
        assert_eq!(stream.next().await, Some(501));
    }

    #[tokio::test]
    async fn a_change_that_shows_nothing_new_sends_nothing() {
        let (writer, reader) = watch::channel(10_u32);
        let mut stream = std::pin::pin!(snapshots(reader, quick(), CancellationToken::new(), |n| n / 10));
        assert_eq!(stream.next().await, Some(1));
        writer.send_replace(11);
        let silent = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
        assert!(silent.is_err(), "{silent:?}");
        writer.send_replace(20);
        assert_eq!(stream.next().await, Some(2));
    }

    #[tokio::test]
    async fn it_ends_when_the_program_stops_or_the_writer_is_gone() {
        let (writer, reader) = watch::channel(0_u32);
        let stop = CancellationToken::new();
        let mut stopped = std::pin::pin!(snapshots(reader.clone(), quick(), stop.clone(), |n| n));
        let mut orphaned = std::pin::pin!(snapshots(reader, quick(), CancellationToken::new(), |n| n));
        assert_eq!((stopped.next().await, orphaned.next().await), (Some(0), Some(0)));
        stop.cancel();
        drop(writer);
        assert_eq!((stopped.next().await, orphaned.next().await), (None, None));
    }
}
