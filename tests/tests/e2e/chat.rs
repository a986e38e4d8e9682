//! What people say in chat becomes commits, exactly once each; what agents say reaches people, exactly once each.

use crate::support::one_environment;
use anyhow::Result;
use tidegate_core::ids::ReleaseNumber;
use tidegate_core::lock::{Lock, ReleaseKind};
use tidegate_tests::checkout::ALICE;
use tidegate_tests::fleet::{Approvals, Environment};
use tidegate_tests::wait::{stays, wait_until};
use tidegate_tests::world::{Plan, ROLLOUT_LIMIT, STAY_TIME, World};

#[tokio::test(flavor = "multi_thread")]
async fn two_approvals_that_race_become_one_commit_each_and_none_is_lost() -> Result<()> {
    let environments = vec![Environment::new("east", Approvals::One), Environment::new("west", Approvals::One)];
    let mut world = World::new(Plan::new(environments)).await?;
    world.start_with_version_1().await?;
    world.wait_card("east", "needs_approval").await;
    world.wait_card("west", "needs_approval").await;

    // Three writers at once: two approvals and an engineer who pushes something else.
    let (east, west) = tokio::join!(world.say("alice", "approve east"), world.say("bob", "approve west"));
    east?;
    west?;
    world.checkout.write("README.md", "something else\n")?;
    world.checkout.push(ALICE, "Write a readme")?;
    world.wait_serves("east", 1).await;
    world.wait_serves("west", 1).await;

    let (east, west) = (approved(&world, "east")?, approved(&world, "west")?);
    assert_eq!((east.release, west.release), (ReleaseNumber(1), ReleaseNumber(1)));
    assert_eq!((approvers(&east), approvers(&west)), (vec!["alice".to_owned()], vec!["bob".to_owned()]));
    let by_bot = world.checkout.history()?.iter().filter(|line| line.ends_with("\ttidegate-bot")).count();
    assert_eq!(by_bot, 2, "one commit for each approval: {:?}", world.checkout.history()?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_who_approve_the_same_candidate_make_one_release() -> Result<()> {
    let mut world = one_environment("production", Approvals::Two).await?;
    world.start_with_version_1().await?;
    world.wait_card("production", "needs_approval").await;
    let (alice, bob) = tokio::join!(world.say("alice", "approve production"), world.say("bob", "approve production"));
    alice?;
    bob?;
    world.wait_serves("production", 1).await;
    let lock = approved(&world, "production")?;
    assert_eq!(lock.release, ReleaseNumber(1));
    let mut both = approvers(&lock);
    both.sort();
    assert_eq!(both, ["alice", "bob"]);
    let by_bot = world.checkout.history()?.iter().filter(|line| line.ends_with("\ttidegate-bot")).count();
    assert_eq!(by_bot, 1, "one release: {:?}", world.checkout.history()?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_right_to_approve_is_told_so_and_nothing_moves() -> Result<()> {
    let mut world = one_environment("production", Approvals::One).await?;
    world.start_with_version_1().await?;
    world.wait_card("production", "needs_approval").await;
    let answer = world.say("carol", "approve production").await?;
    assert!(answer.contains("engineer"), "the refusal names who may: {answer}");
    stays(STAY_TIME, "nothing is released", || async {
        match world.lock("production").map_err(|error| format!("{error:#}"))? {
            None => Ok(()),
            Some(lock) => Err(format!("{lock:?}")),
        }
    })
    .await;
    assert!(world.containers("production").await?.is_empty());
    Ok(())
}

fn approved(world: &World, environment: &str) -> Result<Lock> {
    world.lock(environment)?.ok_or_else(|| anyhow::anyhow!("no lock of {environment}"))
}

fn approvers(lock: &Lock) -> Vec<String> {
    lock.approvals.iter().map(|approval| approval.by.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_in_chat_restores_holds_and_stays_until_somebody_resumes() -> Result<()> {
    let mut world = one_environment("production", Approvals::None).await?;
    world.start_with_version_1().await?;
    world.wait_serves("production", 1).await;
    world.push_shop(&world.shop(2), "Run the shop at version 2")?;
    world.wait_serves("production", 2).await;
    world.wait_card("production", "live").await;

    world.say("bob", "rollback shop production the prices are wrong").await?;
    world.wait_serves("production", 1).await;
    let lock = world.wait_lock("production", "a rollback", |lock| lock.kind == ReleaseKind::Rollback).await;
    assert_eq!(lock.requested_by.as_ref().map(ToString::to_string).as_deref(), Some("bob"));
    assert_eq!(lock.reason.as_deref(), Some("the prices are wrong"));
    assert_eq!(lock.holds.len(), 1, "the bad content is held: {lock:?}");
    let newest = world.checkout.history()?.remove(0);
    assert!(newest.ends_with("\tBob Example\ttidegate-bot"), "the person is the author, the bot the committer: {newest}");

    stays(STAY_TIME, "version 1 serves and release 3 is the newest", || async {
        let now = world.lock("production").map_err(|error| format!("{error:#}"))?.ok_or("no lock")?;
        if now.release == lock.release { world.serves("production", 1).await.map(drop) } else { Err(format!("{now:?}")) }
    })
    .await;
    world.say("bob", "resume shop production").await?;
    world.wait_serves("production", 2).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn news_that_piled_up_while_the_bot_was_down_arrives_once_and_in_order() -> Result<()> {
    let mut world = one_environment("staging", Approvals::None).await?;
    world.start_with_version_1().await?;
    world.wait_serves("staging", 1).await;
    world.wait_card("staging", "live").await;

    // The bot releases and goes away at once: the whole rollout is told to nobody. Then something dies twice while the
    // agent is away, too; it repairs that when it is back.
    world.push_shop(&world.shop(2), "Run the shop at version 2")?;
    world.wait_lock("staging", "release 2", |lock| lock.release == ReleaseNumber(2)).await;
    world.bot.program.kill()?;
    for _repair in 0..2 {
        let serving = world.wait_released("staging", 2).await;
        // What was repaired last is written down by now.
        stays(STAY_TIME, "version 2 serves", || async { world.serves("staging", 2).await.map(drop) }).await;
        world.agent("staging").program.kill()?;
        world.engine.kill(&serving.name).await?;
        world.agent("staging").program.start()?;
    }
    world.wait_released("staging", 2).await;

    world.bot.program.start()?;
    world.wait_card("staging", "live").await;
    wait_until(ROLLOUT_LIMIT, "both repairs are told", || async { told_once(&world, 2).await }).await;
    stays(STAY_TIME, "nothing is told twice", || async { told_once(&world, 2).await }).await;
    Ok(())
}

/// `Ok` when the bot tells of so many repairs, of one beginning and one end of release 2, each line once, in order.
async fn told_once(world: &World, repairs: usize) -> Result<(), String> {
    let view = world.view().await.map_err(|error| format!("{error:#}"))?;
    let activity: Vec<&str> = view["activity"].as_array().into_iter().flatten().filter_map(|line| line["what"].as_str()).collect();
    let repaired = activity.iter().filter(|what| what.contains("repaired shop")).count();
    let card = world.card("staging", "live").await?;
    let timeline: Vec<(&str, &str)> = card["timeline"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|line| line["who"].as_str().is_some_and(|who| who.starts_with("staging-")))
        .filter_map(|line| Some((line["at"].as_str()?, line["what"].as_str()?)))
        .collect();
    let in_order = timeline.is_sorted_by_key(|(at, _)| at.parse::<jiff::Timestamp>().ok());
    if repaired == repairs && card["release"] == 2 && timeline.len() == 2 && in_order {
        Ok(())
    } else {
        Err(format!("{activity:#?}\n{timeline:#?}"))
    }
}
