//! What the engine costs us, beside the floor (the same work by the bare API, eight calls at a time) and docker-compose,
//! all in one run and taking turns, for figures on a busy machine mean nothing alone.
//!
//! `cargo bench --profile quick -p tidegate-agent --bench engine [-- reconcile] [-- death]`; `TIDEGATE_BENCH_CONTAINERS`
//! (50) and `TIDEGATE_BENCH_ROUNDS` (3) say how much. Prints tables of medians for docs/performance.md.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a benchmark prints, and stops loudly when it cannot go on")]

#[path = "../tests/docker/harness.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod harness;

#[path = "engine/death.rs"]
mod death;
#[path = "engine/peers.rs"]
mod peers;
#[path = "engine/reconcile.rs"]
mod reconcile;

use std::time::Duration;

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wants = |name: &str| asked.is_empty() || asked.iter().any(|word| word == name);
    // One thread, as the agent has it: its CPU time is then that of this thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if wants("reconcile") {
        runtime.block_on(reconcile::run());
    }
    if wants("death") {
        runtime.block_on(death::run());
    }
}

/// How many containers.
fn containers() -> usize {
    number("TIDEGATE_BENCH_CONTAINERS", 50)
}

/// How many rounds, of which the median counts.
fn rounds() -> usize {
    number("TIDEGATE_BENCH_ROUNDS", 3)
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// CPU time of this thread so far.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// Samples of one thing, in milliseconds.
#[derive(Default, Clone)]
struct Samples(Vec<f64>);

impl Samples {
    fn add(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1000.0);
    }

    /// The value that this share of the samples does not exceed.
    fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let index = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    fn median(&self) -> f64 {
        self.at(0.5)
    }
}
