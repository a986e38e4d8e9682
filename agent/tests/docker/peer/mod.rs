//! What our planner and adapter make of a Compose file, compared field by field with what docker-compose 1.29 makes of
//! the same file: one folder below `cases` per file, both on the real engine.
//!
//! Anything that differs and is not in `differences.yaml` fails, and so does a line there that nothing needs any more.
//! A case is a stack's folder. `peer.yaml` stands in for files that docker-compose 1.29 cannot read; a case whose name
//! ends in `-started` is started on both sides, because only then are containers joined to all of their networks.

mod case;
mod differences;
mod driver;
mod normal;

use case::Case;
use differences::Differences;
use driver::Driver;
use normal::Difference;
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Mutex;

/// docker-compose processes, each with one case in hand. The engine has 31 networks to give away by default, and there
/// are other tests.
const WORKERS: usize = 3;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/docker/peer")
}

#[test]
fn containers_are_what_docker_compose_makes_of_the_same_files() {
    let only = std::env::var("TIDEGATE_TEST_CASES").ok().map(|names| names.split(',').map(str::to_owned).collect::<BTreeSet<_>>());
    let mut cases = Case::all();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    cases.retain(|case| only.as_ref().is_none_or(|names| names.contains(&case.name)));
    let differences = Differences::read();
    let queue: Mutex<VecDeque<Case>> = Mutex::new(cases.into());
    let found: Vec<Difference> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| work(&queue))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let judged = differences.judge(&found);
    assert!(judged.unexpected.is_empty(), "{} differences that nobody wants:\n{}", judged.unexpected.len(), judged.unexpected.join("\n"));
    if only.is_none() {
        assert!(judged.unused.is_empty(), "differences in the list that are none any more:\n{}", judged.unused.join("\n"));
    }
}

/// One docker-compose, case after case.
fn work(queue: &Mutex<VecDeque<Case>>) -> Vec<Difference> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut driver = Driver::start();
    let mut found = Vec::new();
    loop {
        let Some(case) = queue.lock().unwrap().pop_front() else { return found };
        found.extend(runtime.block_on(case.compare(&mut driver)));
    }
}

#[test]
fn the_page_of_differences_is_made_from_the_list() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/compose-differences.md");
    let page = Differences::read().page(Case::all().len());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "docs/compose-differences.md is out of date; UPDATE_DOCS=1 writes it");
}
