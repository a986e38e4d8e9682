//! What an agent costs at rest, and how long a push takes to become a container; on the machine it is run on.
//!
//! ```sh
//! cargo build --release -p tidegate-agent -p tidegate-bot
//! TIDEGATE_TEST_BIN_DIR=target/release cargo run --release -p tidegate-tests --example measure
//! ```
//!
//! Needs what the tests need (`tests/run.sh` sets it up). Beside each of our figures stands a floor that was measured in
//! the same run, because figures of different machines say little: the same containers made with nothing but the
//! engine's own command line. Prints a table for `docs/performance.md`. No figure is asserted.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use anyhow::{Context, Result};
use std::time::{Duration, Instant};
use tidegate_tests::fleet::{Approvals, Environment, Shop, ShopService};
use tidegate_tests::programs::helper;
use tidegate_tests::wait::wait_until;
use tidegate_tests::world::{Plan, World};

/// Containers at rest.
const CONTAINERS: u32 = 50;
/// Between two polls, in seconds.
const POLL_SECS: f64 = 5.0;
/// How long the agent is watched.
const WATCHED: Duration = Duration::from_secs(60);
/// How long it may take to become quiet after the start of all containers.
const SETTLE: Duration = Duration::from_secs(15);
/// How often the time from a push to a container is taken.
const PUSHES: usize = 7;
/// Longest time for all containers to run.
const UP_LIMIT: Duration = Duration::from_secs(180);

#[tokio::main]
async fn main() -> Result<()> {
    println!("| what | ours | floor |\n|---|---|---|");
    at_rest().await?;
    from_push_to_container().await
}

/// An agent with many containers and nothing to do.
async fn at_rest() -> Result<()> {
    let mut world = one_host(POLL_SECS).await?;
    let service = ShopService::new("web", &world.image(1)).replicas(CONTAINERS).without_healthcheck();
    world.push_shop(&Shop { services: vec![service] }, "Run many")?;
    let began = Instant::now();
    world.agent("bench").program.start()?;
    wait_until(UP_LIMIT, "all containers run", || async {
        let running = world.containers("bench").await.map_err(|error| format!("{error:#}"))?;
        let running = running.iter().filter(|container| container.state == "running").count();
        if running == CONTAINERS as usize { Ok(()) } else { Err(format!("{running} run")) }
    })
    .await;
    println!("| {CONTAINERS} containers, from the start of the agent until all run | {} | |", secs(began.elapsed()));
    tokio::time::sleep(SETTLE).await;
    let id = world.agent("bench").program.id().context("the agent runs")?;
    let (before, requests) = (cpu_time(id)?, world.git.requests().len());
    tokio::time::sleep(WATCHED).await;
    let used = cpu_time(id)?.saturating_sub(before);
    let polls = world.git.requests().len() - requests;
    let memory = resident(id)?;
    println!(
        "| agent at rest, {CONTAINERS} containers, a poll every {POLL_SECS} s: resident memory | {:.1} MiB (of it anonymous {:.1}) | |",
        memory.0, memory.1
    );
    println!(
        "| … processor time over {} s, {polls} requests to git | {:.3} % of a core | |",
        WATCHED.as_secs(),
        100.0 * used.as_secs_f64() / WATCHED.as_secs_f64()
    );
    Ok(())
}

/// From `git push` to the answer of the new version.
async fn from_push_to_container() -> Result<()> {
    let mut world = one_host(0.2).await?;
    world.push_shop(&plain_shop(&world, 1), "Version 1")?;
    world.agent("bench").program.start()?;
    world.wait_serves("bench", 1).await;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 0..PUSHES {
        let version = 2 - u32::try_from(round % 2)?;
        world.push_shop(&plain_shop(&world, version), &format!("Version {version}, round {round}"))?;
        let pushed = Instant::now();
        wait_until(UP_LIMIT, "the new version answers", || answers(&world, version)).await;
        ours.push(pushed.elapsed());
        world.wait_serves("bench", version).await;
        floor.push(by_hand(&world, version).await?);
    }
    println!(
        "| from the end of `git push` to the new version's first answer, image on the host, a poll every 0.2 s: median of {PUSHES} | {} | `docker run` to its first answer: {} |",
        secs(median(ours)),
        secs(median(floor))
    );
    Ok(())
}

/// The floor: one container made and started with the engine's own command line, until it answers.
async fn by_hand(world: &World, version: u32) -> Result<Duration> {
    let name = format!("{}-floor", world.run);
    let label = format!("tidegate.test={}", world.run);
    let began = Instant::now();
    helper("docker", &["run", "--detach", "--name", &name, "--label", &label, &world.image(version)], world.folder())?;
    wait_until(UP_LIMIT, "it answers", || async { world.engine.ask(&name).await.map_err(|error| format!("{error:#}")) }).await;
    let took = began.elapsed();
    world.engine.remove(&name).await?;
    Ok(took)
}

/// `Ok` when one of the containers answers with this version.
async fn answers(world: &World, version: u32) -> Result<(), String> {
    for container in world.containers("bench").await.map_err(|error| format!("{error:#}"))? {
        if container.state == "running" && world.engine.ask(&container.name).await.is_ok_and(|answer| answer == version.to_string()) {
            return Ok(());
        }
    }
    Err("not yet".into())
}

fn plain_shop(world: &World, version: u32) -> Shop {
    Shop { services: vec![ShopService::new("web", &world.image(version)).without_healthcheck()] }
}

async fn one_host(poll_secs: f64) -> Result<World> {
    let environments = vec![Environment::new("bench", Approvals::FollowTip)];
    let world = World::new(Plan { poll_secs, ..Plan::new(environments) }).await?;
    for version in 1..=2 {
        world.registry.push_demo(version, "app", &version.to_string())?;
        helper("docker", &["pull", "--quiet", &world.image(version)], world.folder())?;
    }
    Ok(world)
}

/// User and system time of a process and of the children it waited for.
fn cpu_time(id: u32) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The second field is the name in parentheses, which may hold blanks.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11..15].iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SEC))
}

/// `USER_HZ`: 100 on every Linux that Rust's standard library supports.
const TICKS_PER_SEC: u64 = 100;

/// Resident memory, and how much of it is anonymous, in MiB.
fn resident(id: u32) -> Result<(f64, f64)> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<f64>().ok());
    let (all, anonymous) = (field("VmRSS:").context("VmRSS")?, field("RssAnon:").context("RssAnon")?);
    Ok((all / 1024.0, anonymous / 1024.0))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn secs(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
