//! Serving a router over HTTP/1.1 with limits that `axum::serve` lacks: a time-out for the request head, so that a
//! client that drips bytes is cut, and a bound on open connections. Stops when told, within a deadline.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Limits of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The head of a request must be complete after this long.
    pub header_timeout: Duration,
    /// Connections open at once; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Requests in flight get this long when the program stops.
    pub stop_timeout: Duration,
    /// Pause after the system refused a new connection (file descriptors used up).
    pub accept_backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            header_timeout: Duration::from_secs(5),
            connections_max: 2_048,
            stop_timeout: Duration::from_secs(5),
            accept_backoff: Duration::from_millis(100),
        }
    }
}

/// Serves until `stop`, then lets requests in flight end and returns at the latest after `limits.stop_timeout`.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let connections = TaskTracker::new();
    // Cancelled when the deadline for requests in flight has passed.
    let cut = CancellationToken::new();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone(), limits.header_timeout, stop.clone());
                let cut = cut.clone();
                connections.spawn(async move {
                    let _slot = slot;
                    tokio::select! { () = cut.cancelled() => {} () = connection => {} }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(limits.accept_backoff).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.stop_timeout, connections.wait()).await.is_err() {
        cut.cancel();
        connections.wait().await;
    }
}

async fn connection(stream: TcpStream, router: Router, header_timeout: Duration, stop: CancellationToken) {
    let _ = stream.set_nodelay(true); // events are small and must not wait for more
    let service = TowerToHyperService::new(router);
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(header_timeout).serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn listening(limits: Limits, stop: CancellationToken) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "hello" })).route("/never", get(std::future::pending::<&'static str>));
        (address, tokio::spawn(serve(listener, router, limits, stop)))
    }

    #[tokio::test]
    async fn a_dripping_head_is_cut_and_others_are_answered() {
        let limits = Limits { header_timeout: Duration::from_millis(200), ..Limits::default() };
        let stop = CancellationToken::new();
        let (address, server) = listening(limits, stop.clone()).await;
        let mut drip = TcpStream::connect(address).await.unwrap();
        drip.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
        let mut good = TcpStream::connect(address).await.unwrap();
        good.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        good.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(5), drip.read_to_end(&mut rest)).await.expect("cut by the server").unwrap();
        stop.cancel();
        server.await.unwrap();
    }

    #[tokio::test]
    async fn stopping_does_not_wait_for_ever() {
        let limits = Limits { stop_timeout: Duration::from_millis(100), ..Limits::default() };
        let stop = CancellationToken::new();
        let (address, server) = listening(limits, stop.clone()).await;
        let mut hanging = TcpStream::connect(address).await.unwrap();
        hanging.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), server).await.expect("stopped by its deadline").unwrap();
    }
}
