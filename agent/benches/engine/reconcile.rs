//! Bringing up, replacing, and finding nothing to do.

use crate::harness::World;
use crate::peers::{Bare, Compose, RawList, children_cpu_ms};
use crate::{Samples, containers, cpu, rounds};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tidegate_agent::apply::ApplyOutcome;
use tidegate_core::compose::Service;
use tidegate_core::desired::DesiredStack;

/// How often nothing is found to do.
const AUDITS: usize = 60;

/// Samples by contender and work.
#[derive(Default)]
struct Table(BTreeMap<(&'static str, &'static str), Samples>);

impl Table {
    fn add(&mut self, work: &'static str, who: &'static str, took: Duration) {
        self.0.entry((work, who)).or_default().add(took);
    }

    fn median(&self, work: &'static str, who: &'static str) -> f64 {
        self.0.get(&(work, who)).map_or(f64::NAN, Samples::median)
    }

    async fn time<T>(&mut self, (work, who): (&'static str, &'static str), doing: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let value = doing.await;
        self.add(work, who, began.elapsed());
        value
    }

    fn print(&self, count: usize) {
        println!("\n| work | ours ms | bare API ms | docker-compose ms | ours / bare | ours / compose |\n|---|---|---|---|---|---|");
        for (work, title) in
            [("zero", format!("0 → {count}")), ("one", format!("1 of {count} replaced")), ("all", format!("{count} of {count} replaced"))]
        {
            let (ours, bare, compose) = (self.median(work, "ours"), self.median(work, "bare"), self.median(work, "compose"));
            println!("| {title} | {ours:.0} | {bare:.0} | {compose:.0} | {:.2} | {:.2} |", ours / bare, ours / compose);
        }
    }
}

pub(crate) async fn run() {
    let (count, mut table, mut rest) = (containers(), Table::default(), AtRest::default());
    for _ in 0..rounds() {
        ours(&mut table, &mut rest, count).await;
        bare(&mut table, count).await;
        compose(&mut table, &mut rest, count).await;
    }
    table.print(count);
    rest.print(count);
}

fn stack(world: &World, count: usize, changed: usize) -> DesiredStack {
    let service = |version| {
        let mut service = world.service(version);
        service.release.bake_ms = Some(0);
        service
    };
    let names: Vec<String> = (0..count).map(|number| format!("s{number}")).collect();
    let services: Vec<(&str, Service)> =
        names.iter().enumerate().map(|(number, name)| (name.as_str(), service(if number < changed { 2 } else { 1 }))).collect();
    world.desired(&world.stack(&services), u64::try_from(changed).unwrap())
}

async fn ours(table: &mut Table, rest: &mut AtRest, count: usize) {
    let mut world = World::new().await;
    let done = |outcome: ApplyOutcome| assert!(matches!(outcome, ApplyOutcome::Done), "{outcome:?}");
    let zero = stack(&world, count, 0);
    done(table.time(("zero", "ours"), world.deploy(&zero)).await);
    rest.ours(&mut world, &zero).await;
    let one = stack(&world, count, 1);
    done(table.time(("one", "ours"), world.deploy(&one)).await);
    let all = stack(&world, count, count);
    // The one that is new already goes back, so that all of them are replaced.
    done(world.deploy(&zero).await);
    done(table.time(("all", "ours"), world.deploy(&all)).await);
}

async fn bare(table: &mut Table, count: usize) {
    let world = World::new().await;
    let bare = Bare { world: &world, count };
    table.time(("zero", "bare"), bare.bring_up()).await;
    table.time(("one", "bare"), bare.replace(1, 2)).await;
    table.time(("all", "bare"), bare.replace(count, 1)).await;
}

async fn compose(table: &mut Table, rest: &mut AtRest, count: usize) {
    let world = World::new().await;
    let Some(compose) = Compose::new(&world) else { return };
    table.time(("zero", "compose"), async { compose.up(count, 0) }).await;
    rest.compose(&compose, count);
    table.time(("one", "compose"), async { compose.up(count, 1) }).await;
    compose.up(count, 0);
    table.time(("all", "compose"), async { compose.up(count, count) }).await;
}

/// Nothing to do: wall and CPU time.
#[derive(Default)]
struct AtRest {
    wall: BTreeMap<&'static str, Samples>,
    cpu: BTreeMap<&'static str, Samples>,
}

impl AtRest {
    async fn ours(&mut self, world: &mut World, stack: &DesiredStack) {
        let mut raw = RawList::new(&world.scope).await;
        crate::harness::until("the stream is open", async || {
            let began = Instant::now();
            world.observe().await;
            began.elapsed() < Duration::from_micros(500)
        })
        .await;
        // Wall times taking turns; CPU times by the batch, for the kernel books them by the tick.
        for _ in 0..AUDITS {
            self.wall("audit", async { drop(world.docker.audit().await.unwrap()) }).await;
            self.wall("raw list", async { assert!(raw.ask().await > 1000) }).await;
        }
        self.cpu("audit", async || drop(world.docker.audit().await.unwrap())).await;
        self.cpu("raw list", async || assert!(raw.ask().await > 1000)).await;
        for _ in 0..AUDITS {
            self.wall("turn at rest", async { assert!(world.plan_to(stack).await.is_none()) }).await;
        }
        self.cpu("turn at rest", async || assert!(world.plan_to(stack).await.is_none())).await;
    }

    fn compose(&mut self, compose: &Compose<'_>, count: usize) {
        let (began, before) = (Instant::now(), children_cpu_ms());
        compose.up(count, 0);
        self.wall.entry("compose").or_default().add(began.elapsed());
        self.cpu.entry("compose").or_default().0.push(children_cpu_ms() - before);
    }

    async fn wall(&mut self, what: &'static str, work: impl Future<Output = ()>) {
        let began = Instant::now();
        work.await;
        self.wall.entry(what).or_default().add(began.elapsed());
    }

    async fn cpu(&mut self, what: &'static str, mut work: impl AsyncFnMut()) {
        let before = cpu();
        for _ in 0..AUDITS {
            work().await;
        }
        self.cpu.entry(what).or_default().add(cpu().saturating_sub(before) / u32::try_from(AUDITS).unwrap());
    }

    fn print(&self, count: usize) {
        println!("\n| nothing to do, {count} containers | wall ms | client CPU ms |\n|---|---|---|");
        for (key, title) in [
            ("turn at rest", "a turn at rest: known state, plan"),
            ("audit", "an audit: all containers listed"),
            ("raw list", "one raw list call, bytes not parsed"),
            ("compose", "docker-compose up -d"),
        ] {
            let median = |map: &BTreeMap<&str, Samples>| map.get(key).map_or(f64::NAN, Samples::median);
            println!("| {title} | {:.2} | {:.3} |", median(&self.wall), median(&self.cpu));
        }
    }
}
