//! What goes wrong leaves the last good state running, and says so once.

use crate::support::one_environment;
use anyhow::Result;
use std::time::Duration;
use tidegate_core::lock::ReleaseKind;
use tidegate_tests::checkout::ALICE;
use tidegate_tests::fleet::Approvals;
use tidegate_tests::wait::{stays, wait_until};
use tidegate_tests::world::{ROLLOUT_LIMIT, STAY_TIME, World};

/// An unhealthy release takes as long as its checks, and then the way back.
const FAILURE_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn an_unhealthy_release_is_rolled_back_reported_as_failed_and_not_tried_again() -> Result<()> {
    let mut world = one_environment("staging", Approvals::None).await?;
    world.start_with_version_1().await?;
    world.wait_serves("staging", 1).await;
    let bad_commit = world.push_shop(&world.shop(3), "Run the shop at version 3")?;

    let lock = wait_until(FAILURE_LIMIT, "the bot takes the release back", || async {
        let lock = world.lock("staging").map_err(|error| format!("{error:#}"))?.ok_or("no lock")?;
        let found = world.containers("staging").await.map_err(|error| format!("{error:#}"))?;
        // Not a wait: the old version serves through all of it.
        assert!(found.iter().any(|c| c.state == "running" && c.labels["tidegate.commit"] != bad_commit), "the old one is gone: {found:?}");
        if lock.kind == ReleaseKind::AutomaticRollback { Ok(lock) } else { Err(format!("{lock:?}")) }
    })
    .await;
    assert_eq!(lock.holds.len(), 1, "the bad content is held: {lock:?}");
    world.wait_serves("staging", 1).await;
    let card = world.wait_card("staging", "failed_rolled_back").await;
    assert!(card["result"]["words"].as_str().is_some_and(|words| words.to_lowercase().starts_with("failed, rolled back")), "{card}");

    let release = lock.release;
    stays(STAY_TIME, "nothing tries version 3 again", || async {
        let now = world.lock("staging").map_err(|error| format!("{error:#}"))?.ok_or("no lock")?;
        if now.release != release {
            return Err(format!("release {} came after {release}", now.release));
        }
        world.serves("staging", 1).await.map(drop)
    })
    .await;
    // Other content is not held.
    world.push_shop(&world.shop(2), "Run the shop at version 2")?;
    world.wait_serves("staging", 2).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_config_changes_nothing_and_is_told_once() -> Result<()> {
    let mut world = one_environment("staging", Approvals::None).await?;
    world.start_with_version_1().await?;
    let before = world.wait_serves("staging", 1).await;
    world.checkout.write("stacks/shop/compose.yaml", "services:\n  web:\n    imagge: demo\n")?;
    world.checkout.push(ALICE, "Break the shop")?;
    wait_until(ROLLOUT_LIMIT, "the bot names the finding", || async {
        let view = world.view().await.map_err(|error| format!("{error:#}"))?;
        let trouble = view["source"]["trouble"].to_string();
        if trouble.contains("compose.yaml:3") { Ok(()) } else { Err(trouble) }
    })
    .await;
    stays(STAY_TIME, "version 1 serves", || async {
        let now = world.serves("staging", 1).await?;
        if now.id == before.id { Ok(()) } else { Err("it was replaced".into()) }
    })
    .await;
    world.push_shop(&world.shop(2), "Mend the shop")?;
    world.wait_serves("staging", 2).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_push_is_not_followed_until_the_branch_moves_forward_again() -> Result<()> {
    let mut world = one_environment("staging", Approvals::FollowTip).await?;
    world.start_with_version_1().await?;
    world.wait_serves("staging", 1).await;
    world.push_shop(&world.shop(2), "Run the shop at version 2")?;
    world.wait_serves("staging", 2).await;
    let trusted = world.checkout.git(&["rev-parse", "HEAD"])?;

    world.checkout.git(&["reset", "--quiet", "--hard", "HEAD~1"])?;
    world.checkout.write("README.md", "another history\n")?;
    world.checkout.commit(ALICE, "Rewrite history")?;
    world.checkout.git(&["push", "--quiet", "--force", "origin", "main"])?;
    wait_until(ROLLOUT_LIMIT, "the agent says that history was rewritten", || troubled(&world, "history_rewritten")).await;
    stays(STAY_TIME, "version 2 serves", || async { world.serves("staging", 2).await.map(drop) }).await;

    world.checkout.git(&["push", "--quiet", "--force", "origin", &format!("{trusted}:main")])?;
    world.checkout.git(&["reset", "--quiet", "--hard", &trusted])?;
    world.push_shop(&world.shop(1), "Back to version 1, the honest way")?;
    world.wait_serves("staging", 1).await;
    Ok(())
}

async fn troubled(world: &World, code: &str) -> Result<(), String> {
    let status = world.status("staging").await.map_err(|error| format!("{error:#}"))?;
    if status.to_string().contains(code) { Ok(()) } else { Err(status.to_string()) }
}
