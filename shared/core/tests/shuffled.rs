//! The same files in another order are the same plan: keys of mappings, files of the repo, containers that the engine
//! lists, stacks that a host remembers. Each case writes them really in another order.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failing test")]

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;
use tidegate_core::desired::{DesiredStack, Naming, Source, desired_stack};
use tidegate_core::files::RepoFiles;
use tidegate_core::ids::{CommitId, ReleaseNumber};
use tidegate_core::observed::{ContainerState, ObservedContainer, ObservedHost};
use tidegate_core::plan::{Gates, HostInputs, Offer, StackInputs, StackRecord, plan};
use tidegate_core::repo::load;

/// The parts of the inputs, each list in the order of the case.
#[derive(Debug, Clone)]
struct Order {
    files: Vec<usize>,
    stacks: Vec<&'static str>,
    services: Vec<&'static str>,
    keys: Vec<&'static str>,
    variables: Vec<&'static str>,
    hosts: Vec<&'static str>,
    environment: Vec<&'static str>,
    containers: Vec<usize>,
}

const STACKS: [&str; 4] = ["shop", "blog", "mail", "wiki"];
const SERVICES: [&str; 4] = ["web", "api", "db", "worker"];

fn straight() -> Order {
    Order {
        files: (0..9).collect(),
        stacks: STACKS.to_vec(),
        services: SERVICES.to_vec(),
        keys: vec!["image", "environment", "networks", "volumes", "labels", "depends_on", "healthcheck"],
        variables: vec!["A", "B", "C", "D"],
        hosts: vec!["web-1", "web-2", "web-3"],
        environment: vec!["schema", "stacks", "windows", "approvals", "cutoff"],
        containers: (0..16).collect(),
    }
}

fn shuffled() -> impl Strategy<Value = Order> {
    let of = straight();
    let names = (Just(of.stacks).prop_shuffle(), Just(of.services).prop_shuffle(), Just(of.keys).prop_shuffle());
    let more = (Just(of.variables).prop_shuffle(), Just(of.hosts).prop_shuffle(), Just(of.environment).prop_shuffle());
    (Just(of.files).prop_shuffle(), names, more, Just(of.containers).prop_shuffle()).prop_map(
        |(files, (stacks, services, keys), (variables, hosts, environment), containers)| Order {
            files,
            stacks,
            services,
            keys,
            variables,
            hosts,
            environment,
            containers,
        },
    )
}

fn service(order: &Order, name: &str, tag: u32) -> String {
    let mut text = format!("  {name}:\n");
    for key in &order.keys {
        text.push_str(&match *key {
            "image" => format!("    image: registry.example/{name}:{tag}\n"),
            "environment" => {
                let lines: Vec<String> = order.variables.iter().map(|variable| format!("      {variable}: \"{name}\"\n")).collect();
                format!("    environment:\n{}", lines.concat())
            }
            "networks" => "    networks: [front, back]\n".to_owned(),
            "volumes" => format!("    volumes: [\"{name}:/data\"]\n"),
            "labels" => "    labels: { one: \"1\", two: \"2\" }\n".to_owned(),
            "depends_on" if name == "web" => "    depends_on: [api]\n".to_owned(),
            "depends_on" if name == "api" => "    depends_on: { db: { condition: service_healthy } }\n".to_owned(),
            "healthcheck" => "    healthcheck: { test: [CMD, check], interval: 1s }\n".to_owned(),
            _ => String::new(),
        });
    }
    text
}

fn compose(order: &Order, tag: u32) -> String {
    let services: Vec<String> = order.services.iter().map(|name| service(order, name, tag)).collect();
    let volumes: Vec<String> = order.services.iter().map(|name| format!("  {name}: {{}}\n")).collect();
    format!("services:\n{}networks: {{ front: {{}}, back: {{}} }}\nvolumes:\n{}", services.concat(), volumes.concat())
}

fn environment(order: &Order) -> String {
    let part = |key: &&'static str| match *key {
        "schema" => "schema: 1\n".to_owned(),
        "stacks" => format!("stacks:\n{}", order.stacks.iter().map(|stack| format!("  {stack}: {{}}\n")).collect::<String>()),
        "windows" => "windows: [{ cron: \"0 0 * * *\", duration: 1d, tz: UTC }]\n".to_owned(),
        "approvals" => "approvals: none\n".to_owned(),
        _ => "cutoff: 5m\n".to_owned(),
    };
    order.environment.iter().map(part).collect()
}

/// The repo's files, put in one after the other in the order of the case.
fn files(order: &Order, tag: u32) -> RepoFiles {
    let host = |name: &str| (format!("hosts/{name}.yaml"), "schema: 1\nenvironment: production\n".to_owned());
    let mut listed = vec![
        ("tidegate.yaml".to_owned(), "schema: 1\nenvironments: [production]\n".to_owned()),
        ("environments/production.yaml".to_owned(), environment(order)),
    ];
    listed.extend(order.hosts.iter().map(|name| host(name)));
    listed.extend(STACKS.iter().map(|stack| (format!("stacks/{stack}/compose.yaml"), compose(order, tag))));
    let mut files = RepoFiles::default();
    for place in &order.files {
        let (path, text) = &listed[*place];
        files.insert_text(path.parse().unwrap(), text);
    }
    files
}

fn desired(order: &Order, tag: u32) -> Vec<DesiredStack> {
    let loaded = load(&files(order, tag));
    let repo = loaded.repo.unwrap_or_else(|| panic!("{:?}", loaded.findings));
    let commit = CommitId::try_from("c".repeat(40).as_str()).unwrap();
    let source = Source { commit, release: Some(ReleaseNumber(u64::from(tag))) };
    let naming = Naming { prefix: String::new() };
    order
        .stacks
        .iter()
        .map(|name| {
            let key = ("production".parse().unwrap(), name.parse().unwrap());
            desired_stack(&repo.stacks[&key], &source, &naming, &BTreeMap::new())
        })
        .collect()
}

/// What the engine lists: version 1 of everything, some of it dead.
fn observed(order: &Order) -> ObservedHost {
    let mut stacks = desired(&straight(), 1);
    stacks.sort_by(|a, b| a.stack.cmp(&b.stack));
    let mut all = Vec::new();
    for (stack, service) in stacks.iter().flat_map(|stack| stack.services.iter().map(move |service| (stack, service))) {
        for container in &service.containers {
            let number = all.len();
            all.push(ObservedContainer {
                id: container.name.clone(),
                stack: stack.stack.clone(),
                service: service.name.clone(),
                replica: container.replica,
                hash: container.hash.clone(),
                release: None,
                commit: None,
                state: if number % 3 == 0 { ContainerState::Exited(137) } else { ContainerState::Running },
                health: None,
                started_at: None,
                image: container.model.image.for_engine(),
                held_ports: Default::default(),
            });
        }
    }
    let mut host = ObservedHost::default();
    for place in &order.containers {
        let container = all[*place].clone();
        host.containers.insert(container.id.clone(), container);
    }
    host
}

/// The whole plan as text, and its hash.
fn planned(order: &Order) -> (String, String) {
    let observed = observed(order);
    let inputs = desired(order, 2).into_iter().map(|desired| {
        let name = desired.stack.clone();
        (name.clone(), StackInputs { name, offer: Offer::Stack(Box::new(desired)), record: StackRecord::default() })
    });
    let gates = Gates::default();
    let plan = plan(&HostInputs { stacks: inputs.collect(), observed: &observed, gates }, "2026-11-21T12:00:00Z".parse().unwrap());
    (serde_json::to_string_pretty(&plan).unwrap(), plan.hash.to_string())
}

#[test]
fn the_same_plan_for_shuffled_input() {
    let expected = planned(&straight());
    assert!(expected.0.len() > 10_000, "the plan has something to get wrong");
    let plain = compose(&straight(), 2);
    let mut others = 0;
    let mut runner = TestRunner::new(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() });
    runner
        .run(&shuffled(), |order| {
            prop_assert_eq!(&planned(&order), &expected);
            Ok(())
        })
        .unwrap();
    let mut sampler = TestRunner::deterministic();
    for _ in 0..50 {
        let order = shuffled().new_tree(&mut sampler).unwrap().current();
        others += usize::from(compose(&order, 2) != plain);
    }
    assert!(others > 45, "the texts really differ");
}
