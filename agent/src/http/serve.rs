//! Serving with time-outs for headers and requests, which `axum::serve` lacks, and a limit on connections.

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// For the head of a request.
const HEADER_LIMIT: Duration = Duration::from_secs(5);
/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// Largest head of a request, in bytes.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// For connections to end after a stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// Why the interface could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {address}; is another agent running? (setting `listen`)")]
pub struct ServeError {
    /// Where.
    pub address: SocketAddr,
    /// The cause.
    pub source: std::io::Error,
}

/// An open port, not yet served.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    /// Where it listens: the port may have been chosen by the system.
    pub address: SocketAddr,
}

/// Opens the port.
pub async fn bind(address: SocketAddr) -> Result<Bound, ServeError> {
    let failed = |source| ServeError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { listener, address })
}

impl Bound {
    /// Serves until `stop`, then lets the connections end.
    pub async fn serve(self, routes: Router, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let connections = TaskTracker::new();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let stream = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file descriptors, most likely: a moment's rest lets some connections end.
                        tracing::warn!(%error, "a connection could not be taken");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let service = TowerToHyperService::new(routes.clone());
            let stop = stop.clone();
            connections.spawn(async move {
                let _place = place;
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_LIMIT)
                    .max_buf_size(HEAD_MAX_BYTES)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::pin!(connection);
                tokio::select! {
                    // A client that goes away in the midst is no trouble of ours.
                    _ = connection.as_mut() => {}
                    () = stop.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        let _ = tokio::time::timeout(DRAIN_LIMIT, connection).await;
                    }
                }
            });
        }
        connections.close();
        let _ = tokio::time::timeout(DRAIN_LIMIT, connections.wait()).await;
    }
}
