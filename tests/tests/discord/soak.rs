//! Ten thousand interactions while requests and lines break at random: every approval becomes exactly one commit, nobody
//! waits without an answer, no rule of Discord is broken, and the bot's memory stays where it was.

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tidegate_tests::discord::{Chaos, Doing, Fault, Slash};
use tidegate_tests::ops_room::{OpsRoom, Wish};

/// Interactions unless `TIDEGATE_TEST_SOAK` says otherwise.
const INTERACTIONS: u64 = 10_000;
/// Where randomness begins unless `TIDEGATE_TEST_SEED` says otherwise.
const SEED: u64 = 20_261_121;
/// People at their keyboards at once.
const PEOPLE_AT_ONCE: u64 = 12;
/// Of a thousand requests of the bot, so many go wrong.
const FAULTS_PER_THOUSAND: u32 = 20;
/// The bot may have grown by this much between the first tenth and the end.
const GROWTH_MAX_BYTES: u64 = 24 * 1024 * 1024;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What all of them share.
struct Counters {
    wanted: u64,
    done: AtomicU64,
    over: AtomicBool,
    unanswered: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_interactions_among_faults_lose_and_double_nothing() -> Result<()> {
    let (wanted, seed) = (number("TIDEGATE_TEST_SOAK", INTERACTIONS), number("TIDEGATE_TEST_SEED", SEED));
    let room = Arc::new(OpsRoom::new(Wish::default()).await?);
    room.two_verified().await?;
    room.discord.without_rate_limits();
    let faults = vec![
        Fault::Answer(502),
        Fault::Answer(503),
        Fault::AppliedThen(500),
        Fault::AppliedThenCut,
        Fault::Cut,
        Fault::Late(Duration::from_millis(300)),
        Fault::RouteLimited(1),
        Fault::SharedLimited(1),
        Fault::Garbage,
        Fault::BadHeaders,
    ];
    room.discord.chaos(Chaos { seed, per_thousand: FAULTS_PER_THOUSAND, faults });
    let counters = Arc::new(Counters { wanted, done: AtomicU64::new(0), over: AtomicBool::new(false), unanswered: AtomicU64::new(0) });
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..PEOPLE_AT_ONCE {
        tasks.spawn(person(room.clone(), counters.clone(), StdRng::seed_from_u64(seed + number)));
    }
    tasks.spawn(breaks_lines(room.clone(), counters.clone(), StdRng::seed_from_u64(seed + 1_000)));
    tasks.spawn(remembers_memory(room.clone(), counters.clone()));
    let releases = releases(&room, &counters).await;
    counters.over.store(true, Ordering::SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let releases = releases?;
    room.discord.mend();
    check(&room, &counters, releases).await
}

/// One person after the other, who does something and waits for what comes of it.
async fn person(room: Arc<OpsRoom>, counters: Arc<Counters>, mut random: StdRng) -> Result<()> {
    while counters.done.fetch_add(1, Ordering::SeqCst) < counters.wanted {
        let who = room.person(["alice", "bob", "carol", "dave", "greta"].choose(&mut random).copied().unwrap_or("alice"));
        let doing = match random.random_range(0..10) {
            0 => who.says("/status")?,
            1 => who.says("/why")?,
            2 => who.says("/history environment:production")?,
            3 => who.says("/help")?,
            4 => who.says("/diff environment:production")?,
            5 => who.says("/approve environment:staging")?,
            6 => who.says("/rollback stack:blog")?,
            7 => who.forge_slash(&json!({ "id": "1", "name": "x", "type": 1 }))?,
            _ => {
                let typing = who.types(&Slash::of("/rollback").with("stack", "s"), "stack")?;
                settled(&typing, Duration::from_secs(4)).await;
                continue;
            }
        };
        if !settled(&doing, Duration::from_secs(15)).await && doing.acked().is_some() {
            counters.unanswered.fetch_add(1, Ordering::SeqCst);
        }
    }
    Ok(())
}

/// Waits for an answer, or until it is clear that none comes.
async fn settled(doing: &Doing<'_>, limit: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < limit {
        match doing.acked() {
            Some(ack) if ack.kind == 8 || ack.kind == 9 => return true,
            Some(_) if doing.answered().is_some() => return true,
            // Nobody hears it, or nobody could answer it in time: Discord tells the person so.
            None if began.elapsed() > Duration::from_secs(4) => return false,
            _ => tokio::time::sleep(Duration::from_millis(3)).await,
        }
    }
    false
}

/// Lines to Discord break every now and then.
async fn breaks_lines(room: Arc<OpsRoom>, counters: Arc<Counters>, mut random: StdRng) -> Result<()> {
    while !counters.over.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(random.random_range(4_000..9_000))).await;
        match random.random_range(0..4) {
            0 => room.discord.gateway().reconnect(),
            1 => room.discord.gateway().cut(),
            2 => room.discord.gateway().close(4000),
            _ => room.discord.gateway().send_event("SOMETHING_NEW", &json!({ "x": 1 })),
        }
    }
    Ok(())
}

/// Looks at the bot's memory once a tenth is done, and at the end.
async fn remembers_memory(room: Arc<OpsRoom>, counters: Arc<Counters>) -> Result<()> {
    while counters.done.load(Ordering::SeqCst) < counters.wanted / 10 && !counters.over.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let early = room.memory()?;
    while !counters.over.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        room.discord.forget_calls();
    }
    let late = room.memory()?;
    ensure!(late < early + GROWTH_MAX_BYTES, "the bot grew from {early} to {late} bytes");
    println!("memory of the bot: {early} bytes after a tenth, {late} at the end");
    Ok(())
}

/// While people talk, one version after the other is merged and approved by three people at once. How many.
async fn releases(room: &OpsRoom, counters: &Counters) -> Result<u64> {
    let mut release = 2;
    while counters.done.load(Ordering::SeqCst) < counters.wanted {
        release += 1;
        room.merge(&release.to_string())?;
        let card = room.wait_candidate(release).await?;
        let began = Instant::now();
        while room.release()? != release {
            ensure!(began.elapsed() < Duration::from_secs(60), "release {release} does not come");
            let label = card.buttons().into_iter().find(|button| button.label == "Approve").and_then(|button| button.custom_id);
            let id = label.context("no Approve")?;
            for name in ["alice", "bob", "carol"] {
                let pressed = room.person(name).forge_press(card.id, &id)?;
                counters.done.fetch_add(1, Ordering::SeqCst);
                settled(&pressed, Duration::from_secs(5)).await;
            }
        }
    }
    Ok(release)
}

async fn check(room: &OpsRoom, counters: &Counters, releases: u64) -> Result<()> {
    let commits = room.commits_of_bot()?;
    assert_eq!(commits.len() as u64, releases, "one commit for each release: {commits:#?}");
    assert_eq!(room.release()?, releases);
    assert_eq!(counters.unanswered.load(Ordering::SeqCst), 0, "acknowledged, and never answered");
    let answer = room.person("alice").says("/status")?.answer().await?;
    assert!(answer.text().contains(&format!("release {releases}")), "{}", answer.text());
    let times = room.discord.ack_times();
    println!("{} interactions acknowledged, {} faults, {releases} releases", times.len(), room.discord.faults_done());
    assert!(room.discord.faults_done() > counters.wanted / 100, "the faults were there");
    room.discord.assert_obeyed();
    Ok(())
}
