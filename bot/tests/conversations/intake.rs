//! What hosts send: who may, once each, durable before it is answered.

use crate::world::{Plan, World};
use jiff::{SignedDuration, Timestamp};
use tidegate_bot::intake::NotTaken;
use tidegate_core::events::{Event, Trouble};

fn trouble(code: &str) -> Event {
    Event::Trouble(Trouble { code: code.into(), cause: "the engine does not answer".into() })
}

#[tokio::test]
async fn unknown_stale_altered_and_foreign_batches_are_refused() {
    let mut world = World::new(Plan { hosts: 2, ..Plan::default() }).await;
    let (headers, body) = world.batch("web-1", 1, vec![(1, trouble("engine_unreachable"))]);
    let mut other = body.clone();
    *other.last_mut().unwrap() = b' ';
    assert!(matches!(world.send(&headers, &other).await, Err(NotTaken::Signature(_))), "altered");
    let mut claims = headers.clone();
    claims.host = "web-2".into();
    assert!(matches!(world.send(&claims, &body).await, Err(NotTaken::Signature(_))), "another host's name");
    claims.host = "web-9".into();
    assert!(matches!(world.send(&claims, &body).await, Err(NotTaken::UnknownHost(_))));
    for minutes in [-3, 3] {
        let at = Timestamp::now() + SignedDuration::from_mins(minutes);
        let stale = world.signed("web-1", at, &body);
        assert!(matches!(world.send(&stale, &body).await, Err(NotTaken::Stale { .. })), "{minutes}");
    }
    let headers = world.signed("web-1", Timestamp::now(), b"{}");
    assert!(matches!(world.send(&headers, b"{}").await, Err(NotTaken::Malformed(_))));
    let (headers, body) = world.batch("web-1", 1, vec![(2, trouble("a")), (1, trouble("b"))]);
    assert!(matches!(world.send(&headers, &body).await, Err(NotTaken::Malformed(_))), "numbers fall");
    assert!(world.told().await.iter().all(|text| !text.contains("engine")), "nothing of it was believed");
    world.stop().await;
}

#[tokio::test]
async fn what_is_sent_again_is_acknowledged_and_told_once() {
    let mut world = World::new(Plan::default()).await;
    let (headers, body) = world.batch("web-1", 7, vec![(1, trouble("engine_unreachable")), (2, trouble("git_unreachable"))]);
    assert_eq!(world.send(&headers, &body).await.unwrap(), 2);
    assert_eq!(world.send(&headers, &body).await.unwrap(), 2);
    world.until_told("web-1: the engine does not answer").await;
    world.settled().await;
    world.stop().await;
    world.start().await;
    assert_eq!(world.send(&headers, &body).await.unwrap(), 2);
    world.settled().await;
    assert_eq!(world.told().await.iter().filter(|text| text.starts_with("web-1: ")).count(), 2, "one for each cause");
    // A new outbox may count from the start; the old one is over.
    let (newer, body_newer) =
        world.batch("web-1", 8, vec![(1, Event::Recovered(tidegate_core::events::Recovered { code: "git_unreachable".into() }))]);
    assert_eq!(world.send(&newer, &body_newer).await.unwrap(), 1);
    assert!(matches!(world.send(&headers, &body).await, Err(NotTaken::EpochOver { current: 8, .. })));
    world.until_told("git unreachable is over").await;
    world.stop().await;
}
