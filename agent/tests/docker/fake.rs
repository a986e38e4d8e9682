//! Engines and registries that behave as we cannot make real ones behave.

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tidegate_agent::docker::{Docker, Settings};
use tidegate_agent::engine::{Engine, EngineError};

/// Minor API versions that a fake engine speaks.
struct Speaks {
    from: AtomicU32,
    to: AtomicU32,
    asked: Mutex<Vec<String>>,
    /// Event streams tell nothing and stay open until `hang_up`.
    keep_open: std::sync::atomic::AtomicBool,
    hang_up: tokio::sync::Notify,
}

impl Speaks {
    fn new(from: u32, to: u32) -> Arc<Speaks> {
        Arc::new(Speaks {
            from: from.into(),
            to: to.into(),
            asked: Mutex::default(),
            keep_open: false.into(),
            hang_up: tokio::sync::Notify::new(),
        })
    }

    fn upgrade(&self, from: u32, to: u32) {
        self.from.store(from, Ordering::SeqCst);
        self.to.store(to, Ordering::SeqCst);
    }

    async fn answer(&self, path: &str) -> Response {
        self.asked.lock().unwrap().push(path.to_owned());
        let (from, to) = (self.from.load(Ordering::SeqCst), self.to.load(Ordering::SeqCst));
        let (version, rest) = match path.strip_prefix("/v1.").and_then(|p| p.split_once('/')) {
            Some((minor, rest)) => (minor.parse().unwrap(), format!("/{rest}")),
            None => (to, path.to_owned()),
        };
        let refuse = |words: String| (StatusCode::BAD_REQUEST, serde_json::json!({ "message": words }).to_string()).into_response();
        if version < from {
            return refuse(format!("client version 1.{version} is too old. Minimum supported API version is 1.{from}"));
        }
        if version > to {
            return refuse(format!("client version 1.{version} is too new. Maximum supported API version is 1.{to}"));
        }
        match rest.as_str() {
            "/version" => serde_json::json!({ "Version": "fake", "ApiVersion": format!("1.{to}") }).to_string().into_response(),
            "/containers/json" | "/networks" => "[]".into_response(),
            "/volumes" => "{}".into_response(),
            "/events" if self.keep_open.load(Ordering::SeqCst) => {
                // Headers only after the hang-up: to a reader it is a stream that tells nothing and then ends.
                self.hang_up.notified().await;
                "".into_response()
            }
            // One event, and the end.
            "/events" => format!(
                "{}\n",
                serde_json::json!({ "Type": "container", "Action": "die", "Actor": { "ID": "1", "Attributes": { "name": "web" } } })
            )
            .into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

struct FakeEngine {
    speaks: Arc<Speaks>,
    docker: Docker,
    _folder: tempfile::TempDir,
}

async fn engine(from: u32, to: u32) -> FakeEngine {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let speaks = Speaks::new(from, to);
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let answers = Arc::clone(&speaks);
    let app = axum::Router::new().fallback(move |request: Request<Body>| async move { answers.answer(request.uri().path()).await });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let socket = format!("unix://{}", socket.display());
    let docker =
        Docker::new(Settings { socket, scope: "test/fake".into(), state_dir: folder.path().to_owned(), registry_credentials: None });
    FakeEngine { speaks, docker, _folder: folder }
}

#[tokio::test]
async fn the_version_is_negotiated_and_then_spoken_in_every_request() {
    for (from, to, agreed) in [(12, 41, "1.41"), (44, 52, "1.52"), (44, 99, "1.53")] {
        let fake = engine(from, to).await;
        fake.speaks.keep_open.store(true, Ordering::SeqCst);
        fake.docker.observe().await.unwrap();
        assert_eq!(fake.docker.info().await.unwrap().api, agreed);
        let asked = fake.speaks.asked.lock().unwrap().clone();
        let (first, rest) = asked.split_first().unwrap();
        assert_eq!(first, "/version");
        assert!(rest.iter().all(|path| path.starts_with(&format!("/v{agreed}/"))), "{rest:?}");
    }
}

#[tokio::test]
async fn an_engine_that_was_upgraded_under_us_is_asked_for_its_version_again() {
    let fake = engine(12, 41).await;
    // An upgrade that even the event stream survives.
    fake.speaks.keep_open.store(true, Ordering::SeqCst);
    fake.docker.observe().await.unwrap();
    fake.speaks.upgrade(44, 52);
    let first = fake.docker.observe().await.unwrap_err();
    assert!(!first.is_verdict(), "{first:?}");
    fake.docker.observe().await.unwrap();
    assert_eq!(fake.docker.info().await.unwrap().api, "1.52");
}

#[tokio::test]
async fn a_broken_event_stream_is_an_error_and_the_next_call_opens_a_new_one() {
    let fake = engine(44, 52).await;
    for _ in 0..2 {
        fake.docker.changed().await.unwrap();
        // The stream has ended by now, or does so before the next event.
        let mut told = fake.docker.changed().await;
        for _ in 0..10 {
            if told.is_err() {
                break;
            }
            told = fake.docker.changed().await;
        }
        let streams = fake.speaks.asked.lock().unwrap().iter().filter(|path| path.ends_with("/events")).count();
        assert!(told.is_err() || streams > 1, "{told:?}");
    }
    let waiting = fake.docker.container_changed("somebody else");
    assert!(matches!(waiting.await, Err(EngineError::Unreachable { .. })));
}

#[tokio::test]
async fn an_engine_that_is_away_is_unreachable_and_found_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let docker = Docker::new(Settings {
        socket: socket.display().to_string(),
        scope: "test/fake".into(),
        state_dir: folder.path().to_owned(),
        registry_credentials: None,
    });
    assert!(matches!(docker.observe().await, Err(EngineError::Unreachable { .. })));
    assert!(matches!(docker.changed().await, Err(EngineError::Unreachable { .. })));
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let speaks = Speaks::new(12, 41);
    let app = axum::Router::new().fallback(move |request: Request<Body>| async move { speaks.answer(request.uri().path()).await });
    tokio::spawn(async move { axum::serve(listener, app).await });
    docker.observe().await.unwrap();
}

#[tokio::test]
async fn at_rest_the_engine_is_not_asked_and_after_a_break_everything_is_listed_again() {
    let fake = engine(44, 52).await;
    let lists = |fake: &FakeEngine| fake.speaks.asked.lock().unwrap().iter().filter(|path| path.ends_with("/containers/json")).count();
    fake.speaks.keep_open.store(true, Ordering::SeqCst);
    // A stream that has told nothing is taken for open after a while.
    crate::harness::until("nothing is listed any more", async || {
        let before = lists(&fake);
        fake.docker.observe().await.unwrap();
        lists(&fake) == before
    })
    .await;
    let before = lists(&fake);
    for _ in 0..5 {
        fake.docker.observe().await.unwrap();
    }
    assert_eq!(lists(&fake), before, "at rest nothing is asked");
    let asked = fake.speaks.asked.lock().unwrap().len();
    fake.docker.audit().await.unwrap();
    assert_eq!((lists(&fake), fake.speaks.asked.lock().unwrap().len()), (before + 1, asked + 1), "an audit is one list call");
    let told = fake.docker.changed();
    fake.speaks.hang_up.notify_waiters();
    assert!(told.await.is_err());
    fake.docker.observe().await.unwrap();
    assert_eq!(lists(&fake), before + 2);
}

/// A registry on loopback that has no image at all; returns its `host:port`.
pub(crate) async fn registry() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |request: Request<Body>| async move {
        if request.uri().path() == "/v2/" {
            return StatusCode::OK.into_response();
        }
        let words = serde_json::json!({ "errors": [{ "code": "MANIFEST_UNKNOWN", "message": "manifest unknown" }] });
        (StatusCode::NOT_FOUND, [("content-type", "application/json")], words.to_string()).into_response()
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    address.to_string()
}
