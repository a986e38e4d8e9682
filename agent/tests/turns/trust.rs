//! Repos with a signer policy: what does not count by it changes nothing, whatever else is away.

use crate::world::{ENVIRONMENT, FOLLOWS_TIP, SHOP, World, shop, story};
use jiff::Timestamp;
use std::process::Command;
use std::time::Duration;
use tidegate_agent::clock::WallClock;
use tidegate_core::ids::CommitId;
use tidegate_git::keys::SigningKey;

const POLICY: &str = "trust.yaml";

/// A repo whose policy names one key, and that key.
async fn guarded() -> (World, SigningKey, CommitId) {
    let owner = SigningKey::generate().unwrap();
    let mut world = World::with(&[(ENVIRONMENT, FOLLOWS_TIP), (SHOP, &shop(1, ""))]).await;
    // Commits carry the real time, and a policy is held against it.
    world.clock = WallClock::simulated(Timestamp::now());
    let first = world.commit_by(&owner, &[(POLICY, &policy(1, &owner))]).await;
    (world, owner, first)
}

fn policy(version: u32, owner: &SigningKey) -> String {
    let key = owner.public_openssh();
    format!("schema: 1\nversion: {version}\nsigners:\n  owner: {{ key: \"{key}\", roles: [owner] }}\nroles:\n  owner: {{ paths: [/] }}\n")
}

/// The branch is put back by hand.
fn reset(world: &World, to: &CommitId) {
    let done = Command::new("git").arg("--git-dir").arg(world.repo()).args(["update-ref", "refs/heads/main", to.as_str()]).status();
    assert!(done.unwrap().success());
}

#[test]
fn a_repo_with_a_policy_is_not_followed_before_it_is_pinned() {
    story(async {
        let (world, owner, first) = guarded().await;
        world
            .agent(async |agent| {
                agent.until("it is told", |agent| agent.board.borrow().troubles.contains_key("trust_unpinned")).await;
                agent.never("anything runs", Duration::from_secs(120), |agent| !agent.running().is_empty()).await;
            })
            .await;
        for wrong in [(first.clone(), 2), ("0123456789abcdef0123456789abcdef01234567".try_into().unwrap(), 1)] {
            world.pin.replace(Some(wrong));
            let runs = async |agent: &crate::world::Agent| {
                agent.never("anything runs", Duration::from_secs(120), |agent| !agent.running().is_empty()).await;
            };
            world.agent(runs).await;
        }
        world.pin.replace(Some((first, 1)));
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit_by(&owner, &[(SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
                let news = agent.news().await;
                let told: Vec<_> = news.iter().filter(|line| line.contains("trust_")).collect();
                assert_eq!(told, ["trouble trust_unpinned", "recovered trust_unpinned"]);
            })
            .await;
    });
}

#[test]
fn what_a_stranger_signs_changes_nothing_and_is_told_once() {
    story(async {
        let (world, owner, first) = guarded().await;
        world.pin.replace(Some((first, 1)));
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                let good = world.commit_by(&owner, &[(SHOP, &shop(2, ""))]).await;
                world.commit_by(&SigningKey::generate().unwrap(), &[(SHOP, &shop(4, ""))]).await;
                // An honest signature on top of it does not help, and what came before it counts.
                world.commit_by(&owner, &[("README.md", "honest")]).await;
                agent.until("it is told", |agent| agent.board.borrow().troubles.contains_key("trust_refused")).await;
                agent.until_at(&["2"]).await;
                let name = agent.engine.look().containers.keys().next().unwrap().clone();
                agent.engine.vanish(&name);
                agent.until_at(&["2"]).await;
                agent.never("it is followed", Duration::from_secs(300), |agent| agent.running() == ["4"]).await;
                reset(&world, &good);
                world.commit_by(&owner, &[(SHOP, &shop(5, ""))]).await;
                agent.until_at(&["5"]).await;
                let news = agent.news().await;
                let told: Vec<_> = news.iter().filter(|line| line.contains("trust_")).collect();
                assert_eq!(told, ["trouble trust_refused", "recovered trust_refused"]);
            })
            .await;
    });
}

#[test]
fn with_the_memory_lost_and_git_away_a_stranger_is_still_a_stranger() {
    story(async {
        let (world, owner, first) = guarded().await;
        world.pin.replace(Some((first, 1)));
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                world.commit_by(&owner, &[(SHOP, &shop(2, ""))]).await;
                agent.until_at(&["2"]).await;
                world.commit_by(&SigningKey::generate().unwrap(), &[(SHOP, &shop(4, ""))]).await;
                agent.until("it is told", |agent| agent.board.borrow().troubles.contains_key("trust_refused")).await;
            })
            .await;
        std::fs::remove_file(world.settings().database()).unwrap();
        std::fs::rename(world.repo(), world.folder.path().join("away.git")).unwrap();
        world
            .agent(async |agent| {
                agent.until("it is told again", |agent| agent.board.borrow().troubles.contains_key("trust_refused")).await;
                agent.never("it is followed", Duration::from_secs(300), |agent| agent.running() == ["4"]).await;
                assert_eq!(agent.running(), ["2"], "what runs goes on");
            })
            .await;
    });
}
