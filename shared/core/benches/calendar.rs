//! What a decision of the calendar costs: `cargo bench -p tidegate-core --bench calendar`.
//!
//! Each line is the median and the worst over instants spread over two years. The targets are 50 µs for a realistic environment and
//! 5 ms for the nastiest expression that is accepted; the program ends with an error if one is missed.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints its figures and may stop at the first surprise")]

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tidegate_core::calendar::{Calendar, RECURRING_MAX, Zones};

const REALISTIC: Duration = Duration::from_micros(50);
const NASTIEST: Duration = Duration::from_millis(5);
/// How many instants are asked for in each calendar.
const INSTANTS: i64 = 200;

fn main() -> ExitCode {
    let mut met = true;
    println!("{:<44} {:>12} {:>12} {:>12}", "calendar", "median", "worst", "target");
    for (name, target, policy) in calendars() {
        let calendar = Calendar::new(&serde_json::from_value(policy).unwrap(), &Zones::bundled()).unwrap();
        let mut costs: Vec<Duration> = instants().map(|at| cost(&calendar, at)).collect();
        costs.sort_unstable();
        let (median, worst) = (costs[costs.len() / 2], costs[costs.len() - 1]);
        println!("{name:<44} {median:>12.1?} {worst:>12.1?} {target:>12.1?}");
        met &= worst < target;
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn instants() -> impl Iterator<Item = Timestamp> {
    let first: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    (0..INSTANTS).map(move |index| first + SignedDuration::from_mins(index * 2 * 365 * 24 * 60 / INSTANTS + index))
}

/// The cheapest of five, so that the machine's other work does not count.
fn cost(calendar: &Calendar, at: Timestamp) -> Duration {
    let once = || {
        let begin = Instant::now();
        black_box(calendar.decide(black_box(at)));
        begin.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

fn calendars() -> Vec<(&'static str, Duration, Value)> {
    let window = |cron: &str, duration: &str| json!({ "cron": cron, "duration": duration, "tz": "Europe/Berlin" });
    let freeze = json!({ "from": "2027-12-20T00:00", "until": "2028-01-03T00:00", "tz": "Europe/Berlin" });
    let nights = window("0 22 * * MON-THU", "6h");
    let days = window("0 10 * * MON-THU", "6h");
    let weekend = json!({ "cron": "0 16 * * FRI", "duration": "2d16h", "tz": "Europe/Berlin" });
    let zone = |index: usize| ZONES[index % ZONES.len()];
    let rare: Vec<Value> = (0..RULES)
        .map(|index| json!({ "cron": format!("{index} 0 29 2 {}", index % 7), "duration": "1m", "tz": zone(index), "day_match": "all" }))
        .collect();
    let long: Vec<Value> = (0..RULES / 2)
        .map(|index| json!({ "cron": format!("*/{} * 1-{} * *", 1 + index % 3, 1 + index % 28), "duration": "31d", "tz": zone(index) }))
        .collect();
    vec![
        ("always", REALISTIC, json!({ "windows": "always" })),
        ("office hours, cutoff", REALISTIC, json!({ "windows": [days], "cutoff": "30m" })),
        (
            "3 windows, 3 freezes, cutoff",
            REALISTIC,
            json!({ "windows": [days, nights, window("0 6 * * SAT", "4h")], "freezes": [freeze, freeze, weekend], "cutoff": "30m" }),
        ),
        ("29 February", REALISTIC, json!({ "windows": [window("0 10 29 2 *", "4h")] })),
        ("every minute for 31 days", NASTIEST, json!({ "windows": [window("* * * * *", "31d")] })),
        ("every minute for 1 minute", NASTIEST, json!({ "windows": [window("* * * * *", "1m")] })),
        ("every other minute, never startable", NASTIEST, json!({ "windows": [window("*/2 * * * *", "1m")], "cutoff": "1m" })),
        ("daily, never startable", NASTIEST, json!({ "windows": [window("0 10 * * *", "30m")], "cutoff": "30m" })),
        ("two interleaved", NASTIEST, json!({ "windows": [window("*/2 * * * *", "1m"), window("1-59/2 * * * *", "1m")] })),
        ("always frozen, minute by minute", NASTIEST, json!({ "freezes": [window("* * * * *", "1m")] })),
        ("frozen every other minute", NASTIEST, json!({ "freezes": [window("*/2 * * * *", "1m")], "cutoff": "1m" })),
        (
            "never in this life: Monday 29 February",
            NASTIEST,
            json!({ "windows": [{
            "cron": "0 0 29 2 MON", "duration": "1m", "tz": "Europe/Berlin", "day_match": "all" }], "cutoff": "1m" }),
        ),
        ("as many windows as allowed, never startable", NASTIEST, json!({ "windows": odd(RULES), "cutoff": "1m" })),
        (
            "the same, half of them freezes that stop rollbacks",
            NASTIEST,
            json!({ "windows": odd(RULES / 2), "freezes": blocking(hourly())[..RULES / 2], "cutoff": "1m" }),
        ),
        ("always frozen by as many freezes as allowed", NASTIEST, json!({ "freezes": blocking(hourly()), "cutoff": "2h" })),
        ("as many rare days as allowed", NASTIEST, json!({ "windows": rare, "cutoff": "2h" })),
        ("windows of 31 days, each begun by the minute", NASTIEST, json!({ "windows": long, "freezes": blocking(hourly())[..RULES / 2] })),
    ]
}

/// Rules that open in every even minute and never for long enough; each is written differently, in zones that change their clocks.
fn odd(count: usize) -> Vec<Value> {
    let rule = |index: usize| json!({ "cron": format!("{}-58/2 * {}-31 * *", index % 16 * 2, 1 + index % 2), "duration": "1m", "tz": ZONES[index % ZONES.len()] });
    (0..count).map(rule).collect()
}

/// One minute of every two, each of them for another one.
fn hourly() -> Vec<Value> {
    (0..RULES)
        .map(|index| json!({ "cron": format!("{}-59/15 * * * *", index % 15), "duration": "1m", "tz": ZONES[index % ZONES.len()] }))
        .collect()
}

fn blocking(mut freezes: Vec<Value>) -> Vec<Value> {
    freezes.iter_mut().for_each(|freeze| freeze["blocks"] = json!(["release", "rollback"]));
    freezes
}

/// As many windows and recurring freezes as an environment may have.
const RULES: usize = RECURRING_MAX;
const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"];
