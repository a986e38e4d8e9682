//! What a fleet costs from cold: `cargo bench -p tidegate-core --bench fleet`.
//!
//! A config repo of 50, 500 and 5,000 hosts with 20 services each (four stacks of five) is read and checked, and then a
//! change of every image is planned for every host, on one core. Once as fleets are, with hosts of a few kinds; and once
//! with labels of its own on every host, so that no plan is shared. The target is one second for 500 hosts.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use divan::{Bencher, black_box};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use tidegate_core::desired::Naming;
use tidegate_core::files::RepoFiles;
use tidegate_core::ids::CommitId;
use tidegate_core::preview::{Input, Running, preview};
use tidegate_core::repo::{Repo, load};

const HOSTS: [usize; 3] = [50, 500, 5000];
const STACKS: usize = 4;
const SERVICES: usize = 5;

fn main() {
    divan::main();
}

/// The labels of a host: of twelve kinds, or all its own.
#[derive(Clone, Copy)]
enum Labels {
    Kinds,
    Own,
}

fn files(hosts: usize, labels: Labels, tag: u32) -> RepoFiles {
    let mut files = RepoFiles::default();
    let mut add = |path: String, text: &str| files.insert_text(path.parse().unwrap(), text);
    add("tidegate.yaml".into(), "schema: 1\nenvironments: [production]\n");
    let mut environment = String::from("schema: 1\nwindows:\n  - { cron: \"0 9 * * 1-5\", duration: 7h, tz: Europe/Berlin }\nstacks:\n");
    for stack in 0..STACKS {
        writeln!(environment, "  stack-{stack}: {{ hosts: {{ role: app }} }}").unwrap();
        add(format!("stacks/stack-{stack}/compose.yaml"), &compose(stack));
        add(format!("stacks/stack-{stack}/.env"), &format!("TAG={tag}\nLEVEL=info\n"));
    }
    add("environments/production.yaml".into(), &environment);
    for host in 0..hosts {
        let own = match labels {
            Labels::Kinds => String::new(),
            Labels::Own => format!(", name: host-{host}"),
        };
        let text = format!("schema: 1\nenvironment: production\nlabels: {{ role: app, zone: z{}{own} }}\n", host % 12);
        add(format!("hosts/host-{host:04}.yaml"), &text);
    }
    files
}

fn compose(stack: usize) -> String {
    let mut text = String::from(
        "x-common: &common\n  restart: unless-stopped\n  logging: { driver: json-file, options: { max-size: 10m } }\nservices:\n",
    );
    for service in 0..SERVICES {
        write!(
            text,
            "  service-{service}:\n    <<: *common\n    image: registry.example/stack-{stack}/service-{service}:${{TAG:-1}}\n    \
             environment: {{ LEVEL: \"${{LEVEL}}\", NUMBER: \"{service}\", ZONE: a }}\n    ports: [\"{}:80\"]\n    \
             volumes: [\"data-{service}:/data\"]\n    healthcheck: {{ test: [CMD, /healthy], interval: 5s }}\n    \
             deploy: {{ resources: {{ limits: {{ memory: 256m, cpus: \"0.5\" }} }} }}\n",
            8000 + stack * 100 + service
        )
        .unwrap();
    }
    text.push_str("volumes:\n");
    (0..SERVICES).for_each(|service| writeln!(text, "  data-{service}: {{}}").unwrap());
    text
}

fn loaded(files: &RepoFiles) -> Repo {
    load(files).repo.unwrap()
}

fn running(hosts: usize, labels: Labels) -> BTreeMap<tidegate_core::ids::EnvironmentName, Running> {
    let commit: CommitId = "1".repeat(40).parse().unwrap();
    let repo = Arc::new(loaded(&files(hosts, labels, 1)));
    [("production".parse().unwrap(), Running::Branch { commit, repo })].into()
}

fn planned(repo: &Repo, running: &BTreeMap<tidegate_core::ids::EnvironmentName, Running>) -> usize {
    let commit: CommitId = "2".repeat(40).parse().unwrap();
    let naming = Naming { prefix: String::new() };
    let now = "2026-11-21T10:00:00Z".parse().unwrap();
    let input = Input { repo, commit: &commit, running, hosts_before: None, observed: None, naming: &naming, now };
    preview(&input).totals.replace
}

#[divan::bench(args = HOSTS, sample_count = 5, sample_size = 1)]
fn validate(bencher: Bencher<'_, '_>, hosts: usize) {
    let files = files(hosts, Labels::Kinds, 2);
    bencher.bench(|| black_box(load(&files)).findings.len());
}

#[divan::bench(args = HOSTS, sample_count = 5, sample_size = 1)]
fn validate_and_plan(bencher: Bencher<'_, '_>, hosts: usize) {
    whole(bencher, hosts, Labels::Kinds);
}

#[divan::bench(args = HOSTS, sample_count = 5, sample_size = 1)]
fn validate_and_plan_no_two_hosts_alike(bencher: Bencher<'_, '_>, hosts: usize) {
    whole(bencher, hosts, Labels::Own);
}

fn whole(bencher: Bencher<'_, '_>, hosts: usize, labels: Labels) {
    let (files, running) = (files(hosts, labels, 2), running(hosts, labels));
    bencher.bench(|| {
        let replaced = planned(&loaded(black_box(&files)), &running);
        assert_eq!(replaced, hosts * STACKS * SERVICES);
    });
}
