//! The harness itself: what the other tests stand on.

use anyhow::Result;
use std::path::Path;
use tidegate_tests::checkout::{ALICE, BOB, Checkout};
use tidegate_tests::client;
use tidegate_tests::daemon::Daemon;
use tidegate_tests::engine::Engine;
use tidegate_tests::registry::Registry;

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_has_what_was_pushed_and_comes_back_with_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut registry = Registry::start(folder.path()).await?;
    registry.push_demo(2, "app", "2")?;
    let tags = format!("http://{}/v2/app/tags/list", registry.address);
    assert_eq!(client::get_json(&tags).await?["tags"][0], "2");
    registry.kill()?;
    assert!(client::get(&tags).await.is_err(), "a killed registry does not answer");
    registry.start_again().await?;
    assert_eq!(client::get_json(&tags).await?["tags"][0], "2");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_engine_runs_beside_the_first_and_goes_away() -> Result<()> {
    let mut daemon = Daemon::start().await?;
    let socket = daemon.socket().to_string_lossy().into_owned();
    let engine = Engine::connect(&socket).await?;
    assert!(engine.containers("tidegate.scope").await?.is_empty(), "a fresh engine has nothing");
    daemon.go_away()?;
    assert!(Engine::connect(&socket).await.is_err(), "it is away");
    daemon.come_back().await?;
    Engine::connect(&socket).await?;
    drop(daemon);
    assert!(!Path::new(&socket).exists(), "nothing is left of it");
    Ok(())
}

#[test]
fn two_people_push_and_neither_is_lost() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bare = folder.path().join("config.git");
    let alice = Checkout::of_new_repo(&bare, &folder.path().join("alice"))?;
    alice.write("one", "1")?;
    alice.push(ALICE, "First")?;
    let bob = Checkout::of_new_repo(&bare, &folder.path().join("bob"))?;
    bob.pull()?;
    bob.write("two", "2")?;
    alice.write("three", "3")?;
    alice.push(ALICE, "Third")?;
    bob.push(BOB, "Second")?;
    assert_eq!(
        alice.history()?,
        ["Second\tBob Example\tBob Example", "Third\tAlice Example\tAlice Example", "First\tAlice Example\tAlice Example"]
    );
    Ok(())
}
