//! Rollback on the host itself, with git and the registry away: remembered, not undone, and told to git afterwards.

use crate::support::one_environment;
use anyhow::Result;
use tidegate_core::lock::ReleaseKind;
use tidegate_tests::fleet::Approvals;
use tidegate_tests::git_server::Mode;
use tidegate_tests::programs;
use tidegate_tests::wait::stays;
use tidegate_tests::world::STAY_TIME;

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_on_the_host_works_without_git_lasts_and_becomes_a_commit() -> Result<()> {
    let mut world = one_environment("production", Approvals::None).await?;
    world.start_with_version_1().await?;
    world.wait_serves("production", 1).await;
    world.push_shop(&world.shop(2), "Run the shop at version 2")?;
    world.wait_serves("production", 2).await;
    world.wait_card("production", "live").await;

    world.git.set_mode(Mode::Unreachable);
    world.registry.kill()?;
    let settings = world.agent("production").settings.to_string_lossy().into_owned();
    let said =
        programs::run("tidegate", &["rollback", "shop", "--yes", "--config", &settings, "--reason", "the prices are wrong"], &[]).await?;
    assert_eq!(said.code, 0, "{said:?}");
    world.wait_serves("production", 1).await;
    world.agent("production").program.kill()?;
    world.agent("production").program.start()?;
    stays(STAY_TIME, "version 1 serves, also after a restart", || async { world.serves("production", 1).await.map(drop) }).await;

    world.registry.start_again().await?;
    world.git.set_mode(Mode::Normal);
    let lock = world.wait_lock("production", "the rollback", |lock| lock.kind != ReleaseKind::Release).await;
    assert_eq!(lock.holds.len(), 1, "the bad content is held: {lock:?}");
    assert!(lock.reason.as_deref().is_some_and(|reason| reason.contains("the prices are wrong")), "{lock:?}");
    stays(STAY_TIME, "version 1 serves, now by git", || async { world.serves("production", 1).await.map(drop) }).await;
    Ok(())
}
