//! The pure renderers, and the routes with their limits.

use super::*;
use crate::driver::{ConfigBoard, Delivery};
use crate::store::{Counts, TroubleMemory};
use std::collections::BTreeMap;
use tidegate_core::events::{HostStatus, ReleaseOf, ServiceStatus, StackStatus};
use tidegate_core::ids::{CommitId, ContentId, ReleaseNumber};
use tidegate_core::plan::Waiting;
use tower::ServiceExt;

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn commit() -> CommitId {
    "a".repeat(40).parse().unwrap()
}

fn release(number: u64) -> ReleaseOf {
    ReleaseOf {
        environment: "production".try_into().unwrap(),
        stack: "shop".try_into().unwrap(),
        release: Some(ReleaseNumber(number)),
        content: ContentId::of_bytes(&number.to_be_bytes()),
        commit: commit(),
    }
}

fn board() -> Board {
    let waiting = Waiting::WindowClosed { opens_at: None, rule: "nights".into() };
    let service = ServiceStatus { image: "app:1".into(), wanted: 2, running: 1, health: None, since: None };
    let stack = StackStatus {
        offered: Some(release(2)),
        attempted: None,
        released: Some(release(1)),
        released_at: Some(now()),
        restorable: Vec::new(),
        waiting: Some(waiting),
        prepared: None,
        services: BTreeMap::from([("web".try_into().unwrap(), service)]),
    };
    let status = HostStatus {
        host: "web-1".try_into().unwrap(),
        environment: "production".try_into().unwrap(),
        agent_version: "0.1.0".into(),
        engine_version: Some("20.10".into()),
        tzdata: "2026a".into(),
        observed_commit: Some(commit()),
        last_poll: Some(now()),
        poll_interval_secs: 30,
        stacks: BTreeMap::from([("shop".try_into().unwrap(), stack)]),
    };
    Board {
        status: Some(status),
        engine_answers: true,
        config: ConfigBoard { commit: Some(commit()), valid: Some(commit()), errors: Vec::new() },
        troubles: BTreeMap::from([("stack_broken:shop".into(), TroubleMemory { cause: "x".into(), since: now() })]),
        waiting_since: BTreeMap::from([("shop".try_into().unwrap(), now() - jiff::SignedDuration::from_secs(90))]),
        delivery: Delivery { waiting: 3, dropped: 1, failing: None },
        counts: Counts { rollouts: BTreeMap::from([("failed".into(), 2)]), repairs: 4 },
    }
}

#[test]
fn metrics_say_what_alerts_need() {
    let text = metrics(&board(), now());
    for line in [
        "tidegate_ready 1",
        "tidegate_last_successful_poll_timestamp_seconds 1795262400",
        "tidegate_waiting_seconds{stack=\"shop\",code=\"window_closed\"} 90",
        "tidegate_releases_total{outcome=\"failed\"} 2",
        "tidegate_releases_total{outcome=\"verified\"} 0",
        "tidegate_repairs_total 4",
        "tidegate_events_undelivered 3",
        "tidegate_held{stack=\"shop\"} 0",
        "tidegate_converged{stack=\"shop\"} 0",
        "tidegate_containers_running{stack=\"shop\",service=\"web\"} 1",
        "tidegate_trouble{code=\"stack_broken\",stack=\"shop\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    let names: Vec<&str> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
    let unique: std::collections::BTreeSet<&&str> = names.iter().collect();
    assert_eq!(names.len(), unique.len(), "each metric has one head");
}

#[test]
fn readiness_needs_a_usable_config_and_an_engine() {
    assert!(not_ready(&board()).is_empty());
    assert_eq!(not_ready(&Board::default()).len(), 2);
    let json = status_json(&board());
    assert_eq!(json["ready"], true);
    assert_eq!(json["format"], 1);
    assert_eq!(json["status"]["stacks"]["shop"]["waiting"]["code"], "window_closed");
}

fn asked(request: axum::http::Request<axum::body::Body>, board: Board) -> (StatusCode, String) {
    let (requests, mut receiver) = mpsc::channel::<Request>(1);
    let shared = Shared { board: watch::channel(board).1, wakes: Arc::default(), requests, token: Arc::new(ControlToken::new("secret\n")) };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
        tokio::spawn(async move {
            while let Some(request) = receiver.recv().await {
                let _ = request.answer.send(Ok(Rolled::Resumed { lifted: Vec::new() }));
            }
        });
        let response = routes(shared).oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1_000_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    })
}

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    axum::http::Request::builder().method(method).uri(path)
}

#[test]
fn anyone_may_look_and_wake() {
    for (method, path, status) in [
        ("GET", "/healthz", StatusCode::OK),
        ("GET", "/readyz", StatusCode::OK),
        ("GET", "/status", StatusCode::OK),
        ("GET", "/metrics", StatusCode::OK),
        ("POST", "/wake", StatusCode::ACCEPTED),
        ("GET", "/wake", StatusCode::METHOD_NOT_ALLOWED),
        ("GET", "/nothing", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(asked(request(method, path).body(axum::body::Body::empty()).unwrap(), board()).0, status, "{method} {path}");
    }
    let starting = asked(request("GET", "/readyz").body(axum::body::Body::empty()).unwrap(), Board::default());
    assert_eq!(starting.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn only_who_can_read_the_state_folder_may_command() {
    let body = || axum::body::Body::from(r#"{"do":"resume","stack":"shop"}"#);
    assert_eq!(asked(request("POST", "/command").body(body()).unwrap(), board()).0, StatusCode::FORBIDDEN);
    let with = |token: &str| request("POST", "/command").header("authorization", format!("Bearer {token}"));
    assert_eq!(asked(with("wrong").body(body()).unwrap(), board()).0, StatusCode::FORBIDDEN);
    assert_eq!(asked(with("secret").body(body()).unwrap(), board()).0, StatusCode::OK);
    assert_eq!(asked(with("secret").body(axum::body::Body::from("{}")).unwrap(), board()).0, StatusCode::BAD_REQUEST);
    let large = axum::body::Body::from(" ".repeat(BODY_MAX_BYTES + 1));
    assert_eq!(asked(with("secret").body(large).unwrap(), board()).0, StatusCode::PAYLOAD_TOO_LARGE);
}
