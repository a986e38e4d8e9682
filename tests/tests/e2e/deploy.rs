//! From a push to a container, and everything that keeps it so: update, drift, prune.

use crate::support::one_environment;
use anyhow::Result;
use tidegate_core::lock::ReleaseKind;
use tidegate_tests::checkout::ALICE;
use tidegate_tests::client;
use tidegate_tests::fleet::{Approvals, Environment, Shop, ShopService};
use tidegate_tests::wait::{stays, wait_until};
use tidegate_tests::world::{Plan, ROLLOUT_LIMIT, STAY_TIME, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_becomes_a_lock_and_the_lock_a_container_with_the_registrys_digest() -> Result<()> {
    let mut world = one_environment("staging", Approvals::None).await?;
    world.start_with_version_1().await?;
    let container = world.wait_serves("staging", 1).await;

    let lock = world.wait_lock("staging", "a first release", |lock| lock.kind == ReleaseKind::Release).await;
    let locked = lock.stacks.iter().next().expect("one stack").1;
    let in_registry = registry_digest(&world, "1").await?;
    let (_, digest) = locked.images.iter().next().expect("one image");
    assert_eq!(digest.to_string(), in_registry, "the lock names what the registry has");
    assert!(container.image.ends_with(&in_registry), "{} is not run by digest {in_registry}", container.image);

    let label = |key: &str| container.labels.get(key).map(String::as_str);
    assert_eq!((container.stack.as_str(), container.service.as_str()), ("shop", "web"));
    assert_eq!(label("com.docker.compose.service"), Some("web"));
    assert!(label("com.docker.compose.project").is_some_and(|project| project.ends_with("shop")));
    assert_eq!(label("tidegate.commit"), Some(locked.commit.as_str()));
    let newest = world.checkout.history()?.remove(0);
    assert!(newest.ends_with("tidegate-bot"), "the bot is the committer of a lock: {newest}");
    Ok(())
}

/// The digest that the registry has for a tag.
async fn registry_digest(world: &World, tag: &str) -> Result<String> {
    let url = format!("http://{}/v2/app/manifests/{tag}", world.registry.address);
    let accept = "application/vnd.docker.distribution.manifest.v2+json";
    let answer = client::client().head(url).header("accept", accept).send().await?;
    Ok(answer.headers()["docker-content-digest"].to_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_replaces_the_container_without_a_moment_in_which_nothing_serves() -> Result<()> {
    let mut world = one_environment("staging", Approvals::None).await?;
    world.start_with_version_1().await?;
    let before = world.wait_serves("staging", 1).await;
    world.push_shop(&world.shop(2), "Run the shop at version 2")?;
    wait_until(ROLLOUT_LIMIT, "version 2 alone", || async {
        let found = world.containers("staging").await.map_err(|error| format!("{error:#}"))?;
        let running = found.iter().filter(|container| container.state == "running").count();
        // Not a wait: nothing may ever be seen that does not run.
        assert!(running > 0, "nothing ran while the update went on: {found:?}");
        world.serves("staging", 2).await
    })
    .await;
    let after = world.serves("staging", 2).await.expect("it was seen just now");
    assert_ne!(before.id, after.id);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_or_removed_by_hand_comes_back_as_released() -> Result<()> {
    let mut world = one_environment("staging", Approvals::None).await?;
    world.start_with_version_1().await?;
    let first = world.wait_released("staging", 1).await;
    world.engine.kill(&first.name).await?;
    world.wait_released("staging", 1).await;
    world.engine.remove(&first.name).await?;
    let second = world.wait_released("staging", 1).await;
    assert_ne!(first.id, second.id);
    world.engine.stop(&second.name).await?;
    world.wait_released("staging", 1).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_gone_from_git_goes_from_the_host_and_nothing_else_does() -> Result<()> {
    let environments = vec![Environment::new("staging", Approvals::None), Environment::new("other", Approvals::One)];
    let mut world = World::new(Plan::new(environments)).await?;
    for version in 1..=2 {
        world.registry.push_demo(version, "app", &version.to_string())?;
    }
    let both = Shop::of(vec![ShopService::new("web", &world.image(1)), ShopService::new("api", &world.image(2))]);
    world.push_shop(&both, "Run web and api")?;
    world.start_all().await?;
    wait_until(ROLLOUT_LIMIT, "web and api run", || running(&world, "staging", &["api", "web"])).await;
    let web = world.containers("staging").await?.into_iter().find(|container| container.service == "web").expect("web runs");

    world.push_shop(&world.shop(1), "Do without the api")?;
    wait_until(ROLLOUT_LIMIT, "web alone runs", || running(&world, "staging", &["web"])).await;
    assert_eq!(world.containers("staging").await?[0].id, web.id, "what stays is not touched");
    assert!(world.containers("other").await?.is_empty(), "the other environment was never approved");
    Ok(())
}

/// `Ok` when exactly one running container of each of these services exists.
async fn running(world: &World, environment: &str, services: &[&str]) -> Result<(), String> {
    let found = world.containers(environment).await.map_err(|error| format!("{error:#}"))?;
    let mut seen: Vec<&str> = found.iter().filter(|container| container.state == "running").map(|c| c.service.as_str()).collect();
    seen.sort_unstable();
    if seen == services && found.len() == services.len() { Ok(()) } else { Err(format!("{found:?}")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_vanishes_from_git_is_held_and_goes_on_serving() -> Result<()> {
    let mut world = one_environment("staging", Approvals::None).await?;
    world.start_with_version_1().await?;
    world.wait_serves("staging", 1).await;
    world.checkout.write("environments/staging.yaml", "schema: 1\nstacks: {}\nwindows: always\napprovals: none\n")?;
    world.checkout.push(ALICE, "Place nothing at all")?;
    wait_until(ROLLOUT_LIMIT, "the removal waits for a person", || async {
        let status = world.status("staging").await.map_err(|error| format!("{error:#}"))?;
        let code = &status["status"]["stacks"]["shop"]["waiting"]["code"];
        if code == "removal_held" { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    stays(STAY_TIME, "version 1 serves", || async { world.serves("staging", 1).await.map(drop) }).await;
    Ok(())
}
