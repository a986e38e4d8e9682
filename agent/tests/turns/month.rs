//! A month of an agent's life on a clock of its own: openings, closings, commits, restarts, sleeps, clock jumps, slow and
//! failing rollouts, over the night in which the clock changes. By a seed, so that a failure comes again.
//!
//! No release ever starts outside; an opening with something to do acts within the poll interval and the spread; and
//! nothing is ever left half way.

use crate::world::{Agent, ENVIRONMENT, LOCKED, SHOP, World, image, shop, story};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tidegate_agent::engine::simulated::{Behaviour, Image};
use tidegate_core::calendar::{Calendar, State, Zones};
use tidegate_core::events::{Event, Sequenced};
use tidegate_core::plan::OperationClass;
use tidegate_core::repo::calendar_file;

const CALENDAR: &str = "windows:
  - { name: night, cron: \"30 2 * * *\", duration: 1h, tz: Europe/Berlin }
  - { name: noon, cron: \"0 12 * * MON-FRI\", duration: 90m, tz: America/New_York }
freezes:
  - { name: friday, cron: \"0 15 * * FRI\", duration: 2d16h, tz: Europe/Berlin }
  - { name: audit, from: 2027-03-17T00:00, until: 2027-03-19T00:00, tz: Europe/Berlin }
cutoff: 10m
";
const BEGINS: &str = "2027-03-08T00:00:00Z";
const DAYS: i64 = 30;
const POLL_SECS: i64 = 60;
const SPLAY_SECS: i64 = 30;

/// What happens around one opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    Plain,
    TwoReleases,
    KilledBeforeTheOpening,
    KilledMidway,
    SleptThrough,
    WokeInTheMiddle,
    ClockSetBack,
    Unhealthy,
    SlowPull,
    Vanished,
}

const STORIES: [Story; 10] = [
    Story::Plain,
    Story::TwoReleases,
    Story::KilledBeforeTheOpening,
    Story::KilledMidway,
    Story::SleptThrough,
    Story::WokeInTheMiddle,
    Story::ClockSetBack,
    Story::Unhealthy,
    Story::SlowPull,
    Story::Vanished,
];

/// xorshift: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// All stories in another order.
    fn shuffled(&mut self) -> Vec<Story> {
        let mut stories = STORIES.to_vec();
        for place in (1..stories.len()).rev() {
            stories.swap(place, usize::try_from(self.below(u64::try_from(place + 1).unwrap())).unwrap());
        }
        stories
    }

    fn secs(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.below(u64::try_from(high - low).unwrap())).unwrap()
    }
}

struct Month<'a> {
    world: &'a World,
    calendar: Calendar,
    chance: Chance,
    /// Every lock has a new number, every image a new tag.
    number: u64,
    /// What runs by right.
    running: String,
    starts: usize,
    acted: usize,
}

impl Month<'_> {
    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    /// Time passes while the machine sleeps, or nothing runs.
    fn sleep_until(&self, at: Timestamp) {
        let secs = at.duration_since(self.now()).as_secs();
        if secs > 0 {
            self.world.clock.set_by(secs);
        }
    }

    /// A new version is released; returns its tag.
    async fn release(&mut self, behaviour: Behaviour) -> String {
        self.number += 1;
        let tag = u32::try_from(self.number + 100).unwrap();
        self.world.engine.behave(&image(tag), behaviour);
        let text = shop(tag, "").replace("    pull_policy: never\n", "");
        let commit = self.world.commit(&[(SHOP, &text)]).await;
        self.world.lock(self.number, &[("shop", self.number, &commit)], Vec::new()).await;
        tag.to_string()
    }

    /// Every start of a release that was told lies inside.
    fn check(&mut self, events: &[Sequenced]) {
        for event in events {
            let Event::Started(started) = &event.event else { continue };
            if started.class == OperationClass::Release {
                self.starts += 1;
                let decision = self.calendar.decide(event.at);
                assert_eq!(decision.state, State::Open, "a release started outside, {}: {decision:?}", event.at);
            }
        }
    }

    async fn settled(&mut self, agent: &Agent, version: &str) {
        agent.until(&format!("only {version} runs"), |agent| agent.is_at(&[version])).await;
        self.running = version.to_owned();
        let events = agent.taken().await;
        self.check(&events);
    }

    /// A rollout of the newest release begins within poll and spread, counted from the opening or from when the agent is
    /// there. By the time of its news, as a quick rollout is over before anybody looks.
    async fn acts(&mut self, agent: &Agent, since: Timestamp) {
        let wanted = |event: &Sequenced| match &event.event {
            Event::Started(started) if started.class == OperationClass::Release => started.of.release.is_some_and(|of| of.0 == self.number),
            _ => false,
        };
        let patience = tokio::time::Instant::now() + Duration::from_secs(7_200);
        let began = loop {
            let events = agent.store.undelivered(5_000).await.unwrap().events;
            if let Some(event) = events.iter().find(|event| wanted(event)) {
                break event.at;
            }
            assert!(tokio::time::Instant::now() < patience, "release {} never began\n{:#?}", self.number, agent.board.borrow().clone());
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let late = began.duration_since(since).as_secs();
        assert!((0..=POLL_SECS * 11 / 10 + SPLAY_SECS + 5).contains(&late), "{late} s after {since}");
        self.acted += 1;
    }

    /// A rollout from now on would have time enough, until this moment.
    fn opening(&self) -> (Timestamp, Timestamp) {
        let at = self.calendar.next_fit(self.now(), SignedDuration::from_mins(25)).unwrap();
        (at, self.calendar.decide(at).open_until.unwrap())
    }

    async fn tell(&mut self, kind: Story) {
        // Never in the midst of an interval: each story has an opening of its own.
        if let Some(until) = self.calendar.decide(self.now()).open_until {
            self.sleep_until(until);
        }
        let (opens, closes) = self.opening();
        let lead = self.chance.secs(200, 1_500);
        self.sleep_until(opens.checked_sub(SignedDuration::from_secs(lead)).unwrap());
        let ready = Duration::from_secs(self.chance.below(20));
        let good = Behaviour::healthy_after(ready);
        match kind {
            Story::Plain | Story::TwoReleases | Story::Unhealthy | Story::SlowPull | Story::Vanished => {
                self.one_sitting(kind, (opens, closes), good).await;
            }
            Story::KilledBeforeTheOpening | Story::KilledMidway => self.killed(kind, opens, good).await,
            Story::SleptThrough | Story::WokeInTheMiddle => self.slept(kind, (opens, closes), good).await,
            Story::ClockSetBack => self.set_back(opens, good).await,
        }
    }

    async fn one_sitting(&mut self, kind: Story, (opens, closes): (Timestamp, Timestamp), good: Behaviour) {
        let world = self.world;
        let before = self.running.clone();
        world
            .agent(async |agent| {
                if kind == Story::TwoReleases {
                    self.release(good.clone()).await;
                }
                let behaviour = match kind {
                    Story::Unhealthy => Behaviour::unhealthy_after(Duration::from_secs(self.chance.below(9))),
                    Story::SlowPull => Behaviour { image: Image::AtRegistry(Duration::from_secs(20_000)), ..good },
                    _ => good,
                };
                let version = self.release(behaviour).await;
                if kind == Story::Vanished {
                    let name = agent.engine.look().containers.keys().next().unwrap().clone();
                    agent.engine.vanish(&name);
                    agent.until_at(&[&before]).await;
                }
                self.acts(agent, opens.max(self.now())).await;
                match kind {
                    Story::Unhealthy => {
                        agent.until_code("shop", "failed_here").await;
                        self.settled(agent, &before).await;
                    }
                    Story::SlowPull => {
                        self.settled(agent, &before).await;
                        let late = self.now().duration_since(closes).as_secs();
                        assert!((0..60).contains(&late), "taken back {late} s after the close");
                    }
                    _ => self.settled(agent, &version).await,
                }
            })
            .await;
    }

    async fn killed(&mut self, kind: Story, opens: Timestamp, good: Behaviour) {
        let world = self.world;
        let mut version = String::new();
        world
            .agent(async |agent| {
                version = self.release(good).await;
                if kind == Story::KilledMidway {
                    self.acts(agent, opens.max(self.now())).await;
                    tokio::time::sleep(Duration::from_millis(self.chance.below(9_000))).await;
                }
                let events = agent.taken().await;
                self.check(&events);
            })
            .await;
        let again = opens.checked_add(SignedDuration::from_secs(self.chance.secs(0, 120))).unwrap();
        self.sleep_until(again);
        let since = self.now();
        world
            .agent(async |agent| {
                if kind == Story::KilledBeforeTheOpening {
                    self.acts(agent, since).await;
                }
                self.settled(agent, &version).await;
            })
            .await;
    }

    async fn slept(&mut self, kind: Story, (opens, closes): (Timestamp, Timestamp), good: Behaviour) {
        let world = self.world;
        let before = self.running.clone();
        world
            .agent(async |agent| {
                let version = self.release(good).await;
                agent
                    .until("it waits", |agent| {
                        agent.stack("shop").and_then(|stack| stack.offered?.release).is_some_and(|number| number.0 == self.number)
                    })
                    .await;
                if kind == Story::WokeInTheMiddle {
                    let later = SignedDuration::from_secs(self.chance.secs(0, 300));
                    self.sleep_until(opens.checked_add(later).unwrap());
                    let since = self.now();
                    self.acts(agent, since).await;
                    self.settled(agent, &version).await;
                    return;
                }
                let later = SignedDuration::from_secs(self.chance.secs(0, 300));
                self.sleep_until(closes.checked_add(later).unwrap());
                agent.until_code("shop", "missed_window").await;
                agent.never("it starts outside", Duration::from_secs(300), |agent| agent.running() != [before.clone()]).await;
                let events = agent.taken().await;
                self.check(&events);
            })
            .await;
    }

    /// Back by twenty minutes before anything is released: nothing starts until the clock has been steady for a while.
    async fn set_back(&mut self, opens: Timestamp, good: Behaviour) {
        let world = self.world;
        let before = self.running.clone();
        self.sleep_until(opens.checked_add(SignedDuration::from_secs(120)).unwrap());
        world
            .agent(async |agent| {
                agent.until("it looked", |agent| agent.board.borrow().status.is_some()).await;
                tokio::time::sleep(Duration::from_secs(90)).await;
                world.clock.set_by(-100);
                let since = tokio::time::Instant::now();
                agent.until("it is noticed", |agent| agent.board.borrow().status.is_some()).await;
                tokio::time::sleep(Duration::from_secs(70)).await;
                let version = self.release(good).await;
                agent.until_code("shop", "clock_untrusted").await;
                agent
                    .never("it starts by a clock that went back", Duration::from_secs(300), |agent| agent.running() != [before.clone()])
                    .await;
                self.settled(agent, &version).await;
                assert!(since.elapsed() >= Duration::from_secs(600), "{:?}", since.elapsed());
            })
            .await;
    }
}

#[test]
fn a_month_of_openings_restarts_sleeps_and_clock_jumps() {
    month(seed(7));
}

#[test]
fn another_month_of_openings_restarts_sleeps_and_clock_jumps() {
    month(seed(20_270_328));
}

/// `TIDEGATE_TEST_SEED` tells another month.
fn seed(usual: u64) -> u64 {
    std::env::var("TIDEGATE_TEST_SEED").map_or(usual, |seed| seed.parse::<u64>().unwrap().wrapping_add(usual).max(1))
}

fn month(seed: u64) {
    story(async {
        let environment = format!("schema: 1\nstacks:\n  shop: {{ hosts: {{}} }}\napprovals: none\n{CALENDAR}");
        let world = World::with(&[(ENVIRONMENT, LOCKED), (SHOP, &shop(1, ""))]).await;
        *world.more.borrow_mut() = format!("calendar.splay_secs = {SPLAY_SECS}\npoll_interval_secs = {POLL_SECS}");
        let begins: Timestamp = BEGINS.parse().unwrap();
        world.clock.set_by(begins.duration_since(world.clock.now()).as_secs());
        let calendar = calendar_file(&"calendar.yaml".parse().unwrap(), CALENDAR.as_bytes(), &Zones::bundled()).unwrap();
        let first = world.commit(&[(SHOP, &shop(1, "    command: [a]\n"))]).await;
        world.lock(1, &[("shop", 1, &first)], Vec::new()).await;
        world
            .agent(async |agent| {
                agent.until_at(&["1"]).await;
                agent.taken().await;
            })
            .await;
        world.commit(&[(ENVIRONMENT, &environment)]).await;
        let chance = Chance(seed);
        let mut month = Month { world: &world, calendar, chance, number: 1, running: "1".into(), starts: 0, acted: 0 };
        let ends = begins.checked_add(SignedDuration::from_hours(24 * DAYS)).unwrap();
        let (mut told, mut deck): (Vec<(Timestamp, Story)>, Vec<Story>) = (Vec::new(), Vec::new());
        while month.now() < ends {
            if deck.is_empty() {
                deck = month.chance.shuffled();
            }
            let kind = deck.pop().unwrap();
            told.push((month.now(), kind));
            println!("{} {kind:?}, seed {seed}", month.now());
            month.tell(kind).await;
        }
        assert!(told.len() >= 20 && month.starts >= 15 && month.acted >= 12, "{} starts, {} acted: {told:?}", month.starts, month.acted);
    });
}
