//! The listening side: its own thread and runtime, so that a bot that freezes its runtime does not freeze the server
//! that must see it, and HTTP by hand where a connection has to be cut without an answer.

use super::gateway;
use super::refusal::Broken;
use super::rest;
use super::state::State;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::{any, get};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tower::ServiceExt as _;

/// Threads of the server's runtime.
const WORKERS: usize = 2;

/// Marks an answer that is not given: the connection is cut instead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut;

/// What all connections and the test share.
pub(super) struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Shared {
    pub fn new(state: State) -> Shared {
        Shared { state: Mutex::new(state), changed: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state, or changes what nobody waits for.
    pub fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        what(&mut self.lock())
    }

    /// Changes the state and wakes who waits for a change.
    pub fn changing<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        let result = what(&mut self.lock());
        self.changed.send_modify(|changes| *changes += 1);
        result
    }

    /// Told at every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What was broken so far, late acknowledgements included.
    pub fn broken(&self) -> Vec<Broken> {
        self.with(|state| {
            state.note_late();
            state.broken.clone()
        })
    }
}

/// Serves until told to stop; everything that is open ends with the runtime.
pub(super) fn run(listener: std::net::TcpListener, shared: Arc<Shared>, stop: oneshot::Receiver<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().thread_name("discord").build()?;
    let result = runtime.block_on(async move {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        tokio::select! {
            () = accept(listener, shared) => {}
            _ = stop => {}
        }
        Ok(())
    });
    runtime.shutdown_background();
    result
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new()
        .route("/", get(gateway::connect))
        .route("/gateway", get(gateway::connect))
        .route("/api/{*path}", any(rest::answer))
        .with_state(shared);
    loop {
        // An accept that fails is a client that went away.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, router.clone()));
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    // Without this every small frame waits 40 ms for more.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let answer: Response<Body> = match router.oneshot(request.map(Body::new)).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            };
            // An error here makes hyper close the connection without a word.
            if answer.extensions().get::<Cut>().is_some() { Err(io::Error::other("cut")) } else { Ok(answer) }
        }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}
