//! Programs and the engine go away at any moment and come back: everything ends as it should be, with nothing too many.

use crate::support::one_environment;
use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};
use tidegate_tests::daemon::Daemon;
use tidegate_tests::fleet::{Approvals, Environment, Shop, ShopService};
use tidegate_tests::registry::ensure_demo_images;
use tidegate_tests::wait::wait_until;
use tidegate_tests::world::{Plan, ROLLOUT_LIMIT, World};

/// How often the agent is killed.
const KILLS: u32 = 20;
/// Copies of each of the two services.
const COPIES: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_anywhere_in_a_rollout_converges_with_no_container_too_many() -> Result<()> {
    let seed: u64 = rand::random();
    println!("seed: {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = one_environment("staging", Approvals::FollowTip).await?;
    for version in 1..=2 {
        world.registry.push_demo(version, "app", &version.to_string())?;
    }
    world.push_shop(&two_services(&world, 1), "Version 1")?;
    world.agent("staging").program.start()?;
    wait_until(ROLLOUT_LIMIT, "version 1 runs", || settled(&world, 1)).await;

    // How long one rollout takes here and now: the range that the kills are spread over.
    let began = Instant::now();
    world.push_shop(&two_services(&world, 2), "Version 2")?;
    wait_until(ROLLOUT_LIMIT, "version 2 runs", || settled(&world, 2)).await;
    let whole = began.elapsed();

    for kill in 0..KILLS {
        let version = 1 + kill % 2;
        world.push_shop(&two_services(&world, version), &format!("Version {version}, kill {kill}"))?;
        let after = whole.mul_f64(random.random_range(0.05..1.0));
        tokio::time::sleep(after).await;
        world.agent("staging").program.kill()?;
        world.agent("staging").program.start()?;
        let what = format!("version {version} alone runs after kill {kill} at {after:?} of {whole:?}");
        wait_until(ROLLOUT_LIMIT, &what, || settled(&world, version)).await;
    }
    Ok(())
}

fn two_services(world: &World, version: u32) -> Shop {
    let service = |name: &str| ShopService::new(name, &world.image(version)).replicas(COPIES as u32);
    Shop::of(vec![service("api").line("depends_on: [db]"), service("db")])
}

/// `Ok` when exactly the wanted copies exist, run, and answer with this version.
async fn settled(world: &World, version: u32) -> Result<(), String> {
    let found = world.containers("staging").await.map_err(|error| format!("{error:#}"))?;
    let good = found.iter().filter(|container| container.state == "running").count();
    if found.len() != 2 * COPIES || good != found.len() {
        return Err(format!("{found:?}"));
    }
    for container in &found {
        match world.engine.ask(&container.name).await {
            Ok(answer) if answer == version.to_string() => {}
            other => return Err(format!("{} answers {other:?}", container.name)),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_engine_comes_back_the_agent_brings_everything_up_again() -> Result<()> {
    let mut daemon = Daemon::start().await?;
    ensure_demo_images()?;
    for version in 1..=2 {
        daemon.load(&local_image(version))?;
    }
    let environments = vec![Environment::new("staging", Approvals::FollowTip)];
    let mut world = World::new(Plan::new(environments).on_engine(daemon.socket())).await?;
    world.push_shop(&local_shop(1), "Run the shop at version 1")?;
    world.agent("staging").program.start()?;
    wait_until(ROLLOUT_LIMIT, "version 1 runs", || runs(&world, 1)).await;

    daemon.go_away()?;
    world.push_shop(&local_shop(2), "Run the shop at version 2, while the engine is away")?;
    wait_until(ROLLOUT_LIMIT, "the agent says that the engine is away", || async {
        let status = world.status("staging").await.map_err(|error| format!("{error:#}"))?.to_string();
        if status.contains("engine_unreachable") { Ok(()) } else { Err(status) }
    })
    .await;
    daemon.come_back().await?;
    wait_until(ROLLOUT_LIMIT, "version 2 runs", || runs(&world, 2)).await;

    // Only what was stopped from outside: nothing new in git.
    daemon.go_away()?;
    daemon.come_back().await?;
    wait_until(ROLLOUT_LIMIT, "version 2 runs again", || runs(&world, 2)).await;
    Ok(())
}

/// The second engine reaches no registry: its images are loaded.
fn local_image(version: u32) -> String {
    format!("tidegate-demo/app:{version}")
}

fn local_shop(version: u32) -> Shop {
    Shop::of(vec![ShopService::new("web", &local_image(version)).line("pull_policy: never")])
}

/// `Ok` when exactly one container exists and runs this version. It has no address that could be asked from here.
async fn runs(world: &World, version: u32) -> Result<(), String> {
    let found = world.containers("staging").await.map_err(|error| format!("{error:#}"))?;
    match found.as_slice() {
        [one] if one.state == "running" && one.image == local_image(version) => Ok(()),
        _ => Err(format!("{found:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_sigterm_the_agent_ends_soon_and_the_containers_go_on() -> Result<()> {
    let mut world = one_environment("staging", Approvals::FollowTip).await?;
    world.registry.push_demo(1, "app", "1")?;
    world.push_shop(&world.shop(1), "Run the shop at version 1")?;
    world.agent("staging").program.start()?;
    let before = world.wait_serves("staging", 1).await;
    let asked = Instant::now();
    let status = world.agent("staging").program.terminate()?;
    assert!(status.success(), "the agent ended with {status}");
    assert!(asked.elapsed() < Duration::from_secs(10), "an idle agent took {:?} to end", asked.elapsed());
    assert_eq!(world.serves("staging", 1).await.map(|now| now.id), Ok(before.id));
    Ok(())
}
