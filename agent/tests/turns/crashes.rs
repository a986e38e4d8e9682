//! Killed at every point of a rollout, the next start ends where an undisturbed one would have, with nothing too many.

use crate::world::{SHOP, World, shop, story};
use tidegate_agent::engine::simulated::{CutOff, Fault};

/// Kills the agent at its `point`-th change of a rollout to `version`, starts it again, and expects `end`.
async fn killed_at(point: u32, cut_off: CutOff, version: u32, end: &str) -> bool {
    let world = World::new().await;
    let ports = "    ports: [\"8080:80\"]\n  api:\n    image: registry.example/app:1\n    pull_policy: never\n";
    world.commit(&[(SHOP, &shop(1, ports))]).await;
    world.agent(async |agent| agent.until_at(&["1", "1"]).await).await;
    world.engine.fault(Fault::HaltAt(point, cut_off));
    let met = world
        .agent(async |agent| {
            world.commit(&[(SHOP, &shop(version, ports))]).await;
            tokio::select! {
                biased;
                () = world.engine.halted() => true,
                () = agent.until("the rollout ended", |agent| agent.stack("shop").is_some_and(|shop| shop.attempted.is_none() && shop.offered.map(|of| of.content) != shop.restorable.first().map(|of| of.content.clone())) && agent.is_at(&["1", end])) => false,
            }
        })
        .await;
    world.engine.fault(Fault::None);
    world
        .agent(async |agent| {
            agent
                .until(&format!("converged after a kill at {point} {cut_off:?}"), |agent| {
                    let mut running = agent.running();
                    running.sort();
                    running == ["1", end]
                        && agent.engine.look().containers.len() == 2
                        && agent.stack("shop").is_some_and(|s| s.attempted.is_none())
                })
                .await;
        })
        .await;
    met
}

#[test]
fn killed_anywhere_in_a_good_rollout_it_arrives() {
    for point in 0..12 {
        for cut_off in [CutOff::Before, CutOff::After] {
            story(killed_at(point, cut_off, 2, "2"));
        }
    }
}

#[test]
fn killed_anywhere_in_a_bad_rollout_it_comes_back() {
    for point in 0..12 {
        for cut_off in [CutOff::Before, CutOff::After] {
            story(killed_at(point, cut_off, 3, "1"));
        }
    }
}
