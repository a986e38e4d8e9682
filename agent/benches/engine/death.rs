//! From a container's death to the decision, and to the container running again.

use crate::harness::World;
use crate::{Samples, containers, number};
use bollard::query_parameters::{EventsOptions, KillContainerOptions, StartContainerOptions};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidegate_agent::engine::Engine;
use tidegate_core::compose::Service;
use tidegate_core::desired::DesiredStack;

pub(crate) async fn run() {
    let (count, trials) = (containers(), number("TIDEGATE_BENCH_TRIALS", 30));
    let mut world = World::new().await;
    let names: Vec<String> = (0..count).map(|number| format!("s{number}")).collect();
    let services: Vec<(&str, Service)> = names.iter().map(|name| (name.as_str(), world.service(1))).collect();
    let stack = world.desired(&world.stack(&services), 1);
    world.deploy(&stack).await;
    let [mut told, mut decided, mut ours, mut bare] = [const { Samples(Vec::new()) }; 4];
    for trial in 0..trials {
        let name = stack.services[trial % count].containers[0].name.clone();
        let [news, decision, running] = by_agent(&mut world, &stack, &name).await;
        told.add(news);
        decided.add(decision);
        ours.add(running);
        bare.add(by_bare_start(&world, &name).await);
    }
    println!("\n| a death among {count}, from the engine's own time of it | median ms | p95 ms |\n|---|---|---|");
    for (title, samples) in [
        ("told", &told),
        ("looked at and decided (until then the engine keeps the container locked)", &decided),
        ("running again", &ours),
        ("a bare start on its event, running again", &bare),
    ] {
        println!("| {title} | {:.2} | {:.2} |", samples.median(), samples.at(0.95));
    }
    println!("running again, ours / bare: {:.2}", ours.median() / bare.median());
}

/// As the agent's loop does it: asked before the look, then look, plan and apply.
async fn by_agent(world: &mut World, stack: &DesiredStack, name: &str) -> [Duration; 3] {
    world.observe().await;
    let change = world.docker.changed();
    let since = now();
    // The killer's own answer comes later than the news, and nobody waits for it.
    let killer = kill(world, name);
    change.await.unwrap();
    let told = now();
    let plan = loop {
        if let Some(plan) = world.plan_to(stack).await {
            break plan;
        }
        world.docker.changed().await.unwrap();
    };
    let decided = now();
    let start = plan.steps.iter().find(|step| matches!(step.action, tidegate_core::plan::Action::Start { .. }));
    assert!(start.is_some(), "{plan:?}");
    world.docker.start(name).await.unwrap();
    let running = now();
    killer.await.unwrap();
    let died = died_at(world, name, since).await;
    [told, decided, running].map(|at| at.saturating_sub(died))
}

/// The least that anybody can do: start it again on its event.
async fn by_bare_start(world: &World, name: &str) -> Duration {
    let filters = HashMap::from([("container".to_owned(), vec![name.to_owned()]), ("event".to_owned(), vec!["die".to_owned()])]);
    let since = now();
    let options = EventsOptions { since: Some(seconds(since)), filters: Some(filters), ..Default::default() };
    let mut events = std::pin::pin!(world.raw.events(Some(options)));
    let killer = kill(world, name);
    let event = events.next().await;
    world.raw.start_container(name, None::<StartContainerOptions>).await.unwrap();
    let running = now();
    killer.await.unwrap();
    running.saturating_sub(Duration::from_nanos(u64::try_from(event.unwrap().unwrap().time_nano.unwrap()).unwrap()))
}

fn kill(world: &World, name: &str) -> tokio::task::JoinHandle<()> {
    let (raw, name) = (world.raw.clone(), name.to_owned());
    tokio::spawn(async move { raw.kill_container(&name, None::<KillContainerOptions>).await.unwrap() })
}

/// When the engine says that it died.
async fn died_at(world: &World, name: &str, since: Duration) -> Duration {
    let filters = HashMap::from([("container".to_owned(), vec![name.to_owned()]), ("event".to_owned(), vec!["die".to_owned()])]);
    let options = EventsOptions { since: Some(seconds(since)), until: Some(seconds(now())), filters: Some(filters) };
    let event = std::pin::pin!(world.raw.events(Some(options))).next().await.unwrap().unwrap();
    Duration::from_nanos(u64::try_from(event.time_nano.unwrap()).unwrap())
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn seconds(at: Duration) -> String {
    format!("{}.{:09}", at.as_secs(), at.subsec_nanos())
}
