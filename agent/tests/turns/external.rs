//! Networks and volumes that are `external`: looked for before anything is begun, waited for, and never a failed release.

use crate::world::{SHOP, World, shop, story};
use std::time::Duration;
use tidegate_core::plan::{External, ExternalKind, Waiting};

fn network() -> External {
    External { kind: ExternalKind::Network, name: "shared".into() }
}

fn volume() -> External {
    External { kind: ExternalKind::Volume, name: "data".into() }
}

/// The shop on a network of somebody else.
fn networked(version: u32) -> String {
    shop(version, "    networks: [shared]\nnetworks: { shared: { external: true } }\n")
}

/// The shop with a volume of somebody else.
fn with_volume(version: u32) -> String {
    shop(version, "    volumes: ['data:/data']\nvolumes: { data: { external: true } }\n")
}

fn missing(waiting: Option<Waiting>) -> Option<External> {
    match waiting {
        Some(Waiting::ExternalMissing { missing, .. }) => Some(missing),
        _ => None,
    }
}

#[test]
fn a_release_waits_for_an_external_object_and_goes_on_by_itself() {
    for (file, external) in [(networked(2), network()), (with_volume(2), volume())] {
        story(async {
            let world = World::new().await;
            world
                .agent(async |agent| {
                    agent.until_at(&["1"]).await;
                    let before = agent.engine.look();
                    world.commit(&[(SHOP, &file)]).await;
                    agent.until_code("shop", "external_missing").await;
                    assert_eq!(missing(agent.stack("shop").unwrap().waiting), Some(external.clone()));
                    agent.never("something is touched", Duration::from_secs(1_800), |agent| agent.engine.look() != before).await;
                    assert_eq!(agent.news().await, ["started release", "verified"], "nothing was begun, hence nothing failed");

                    agent.engine.provide(external.clone());
                    let begun = tokio::time::Instant::now();
                    agent.until_at(&["2"]).await;
                    assert!(begun.elapsed() < Duration::from_secs(30), "it was looked for after {:?}", begun.elapsed());
                    assert_eq!(agent.stack("shop").unwrap().waiting, None);
                })
                .await;
        });
    }
}

#[test]
fn a_repair_waits_for_an_external_object_too() {
    story(async {
        let world = World::with(&[(crate::world::ENVIRONMENT, crate::world::FOLLOWS_TIP), (SHOP, &networked(1))]).await;
        world.engine.provide(network());
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                agent.engine.withdraw(&network());
                let name = agent.engine.look().containers.keys().next().unwrap().clone();
                agent.engine.vanish(&name);
                agent.until_code("shop", "external_missing").await;
                assert_eq!(missing(agent.stack("shop").unwrap().waiting), Some(network()));
                agent.engine.provide(network());
                agent.until_at(&["1"]).await;
                assert_eq!(agent.news().await, ["started release", "verified", "repaired shop"]);
            })
            .await;
    });
}
