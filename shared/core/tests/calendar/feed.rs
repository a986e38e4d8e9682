//! The feed as another program reads it: the `icalendar` package of Python, which shares no code with the crate that writes it.

use crate::checks::parse;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use tidegate_core::calendar::{Calendar, FEED_DAYS, FeedInputs};

#[derive(Debug, Deserialize)]
struct Read {
    version: String,
    others: Vec<String>,
    events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Event {
    from: i64,
    until: i64,
    summary: String,
    uid: String,
    description: String,
}

fn read(feed: &str) -> Read {
    let packages = std::env::var_os("TIDEGATE_TEST_ICALENDAR").expect("TIDEGATE_TEST_ICALENDAR; run the tests with tests/run.sh");
    let mut python = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/calendar/feed.py"))
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(feed.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the other program refuses the feed:\n{feed}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the feed of a moment has to say: begin, end and title of every interval and freeze that touches its range.
fn wanted(calendar: &Calendar, name: &str, now: Timestamp) -> Vec<(i64, i64, String)> {
    let begin = now.as_second().div_euclid(86_400) * 86_400;
    let until = Timestamp::from_second(begin + (FEED_DAYS + 1) * 86_400).unwrap();
    let open = calendar.openings(now, until).filter(|opening| opening.opens.is_some() || opening.closes.is_some());
    let open = open.map(|opening| (opening.opens, opening.closes, format!("{name}: open for releases")));
    let frozen = calendar.frozen_stretches(now, until);
    let frozen = frozen.map(|stretch| (stretch.from, stretch.until, format!("{name}: frozen ({})", stretch.name)));
    let edge = |at: Option<Timestamp>, edge: i64| at.map_or(edge, Timestamp::as_second);
    let mut all: Vec<_> = open.chain(frozen).map(|(from, end, title)| (edge(from, begin), edge(end, until.as_second()), title)).collect();
    all.sort();
    all
}

fn calendars() -> Vec<Value> {
    let rule = |name: &str, cron: &str, duration: &str, tz: &str| json!({ "name": name, "cron": cron, "duration": duration, "tz": tz });
    let long = "a name that is so long that its line must be folded, über 75 Bytes – ✔ ☂ ☃ ☄";
    let once = |name: &str, from: &str, until: &str, tz: &str| json!({ "name": name, "from": from, "until": until, "tz": tz, "reason": "back; soon, \\really\\: yes", "blocks": ["release", "rollback"] });
    vec![
        json!({ "windows": [rule("early", "30 2 * * *", "1h", "Europe/Berlin"), rule("late", "0 22 * * FRI", "8h", "America/New_York")], "cutoff": "30m" }),
        json!({ "windows": [rule("half", "45 1 * * SUN", "45m", "Australia/Lord_Howe"), rule("ramadan", "15 2 * * *", "20m", "Africa/Casablanca")],
            "freezes": [rule("weekend, \"every\" one; really", "0 16 * * FRI", "2d16h", "Europe/Berlin")] }),
        json!({ "windows": [rule("office", "0 10 * * MON-THU", "6h", "Europe/Berlin")],
            "freezes": [once(long, "2027-03-10T00:00", "2027-03-28T02:30", "Europe/Berlin"), once("fold", "2027-10-31T02:30", "2027-10-31T02:30", "Europe/Berlin")] }),
        json!({ "windows": "always", "freezes": [once("now", "2020-01-01T00:00", "2040-01-01T00:00", "Asia/Kathmandu")] }),
        json!({ "freezes": [rule("nights", "0 22 * * *", "9h", "America/St_Johns")] }),
        json!({ "windows": [rule("all of it", "* * * * *", "31d", "UTC")] }),
        json!({ "windows": "always" }),
    ]
}

#[test]
fn another_program_reads_the_same_events_at_the_same_instants() {
    let mut events_count = 0;
    // The nights in which clocks change in Europe, America and Australia, and a moment inside an open window.
    for now in ["2027-03-01T12:00:00Z", "2027-03-28T01:15:30.5Z", "2027-09-15T00:00:00Z", "2027-10-31T00:45:00Z"] {
        let now: Timestamp = now.parse().unwrap();
        for (index, policy) in calendars().into_iter().enumerate() {
            let calendar = parse(policy).unwrap();
            let name = if index == 0 { "prod, \"eu\"; 1" } else { "production" };
            let found = read(&calendar.feed(&FeedInputs { environment: name, now }));
            assert_eq!((found.version.as_str(), found.others.len()), ("2.0", 0), "{:?}", found.others);
            let mut seen: Vec<_> = found.events.iter().map(|event| (event.from, event.until, event.summary.clone())).collect();
            seen.sort();
            assert_eq!(seen, wanted(&calendar, name, now), "calendar {index} at {now}");
            let ids: BTreeSet<_> = found.events.iter().map(|event| &event.uid).collect();
            assert_eq!(ids.len(), found.events.len(), "an id comes twice");
            events_count += seen.len();
        }
    }
    assert!(events_count > 1_000, "{events_count}");
}

#[test]
fn another_program_reads_texts_as_they_were_written_and_the_night_of_a_clock_change() {
    let now: Timestamp = "2027-03-26T00:00:00Z".parse().unwrap();
    let of = |index: usize, now: Timestamp| {
        let calendar = parse(calendars().swap_remove(index)).unwrap();
        read(&calendar.feed(&FeedInputs { environment: "production", now })).events
    };
    let early: Vec<_> = of(0, now).into_iter().map(|event| (event.from, event.until)).collect();
    let begins = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
    // 02:30 in Berlin: at 01:30Z in winter, at 01:00Z in the night without that hour, at 00:30Z in summer.
    for open in ["2027-03-26T01:30:00Z", "2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"] {
        assert!(early.contains(&(begins(open), begins(open) + 3_600)), "{open}: {early:?}");
    }
    let frozen = of(2, now);
    let freeze = frozen.iter().find(|event| event.summary.contains("frozen")).unwrap();
    assert!(freeze.summary.ends_with("über 75 Bytes – ✔ ☂ ☃ ☄)"), "{}", freeze.summary);
    assert_eq!(freeze.description, "back; soon, \\really\\: yes. No releases and no rollbacks.");
    assert_eq!(freeze.until, begins("2027-03-28T01:00:00Z"));
}
