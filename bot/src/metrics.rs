//! Counters and gauges in Prometheus' text form.

use crate::platforms::Health;
use crate::rooms::Doors;
use crate::tips::Seen;
use jiff::Timestamp;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the bot counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Batches of events taken.
    pub batches_taken: Counter,
    /// Batches refused.
    pub batches_refused: Counter,
    /// Events that were new.
    pub events_taken: Counter,
    /// Events that were had before.
    pub events_repeated: Counter,
    /// Commands carried out or answered.
    pub commands_done: Counter,
    /// Commands refused.
    pub commands_refused: Counter,
}

/// The text that Prometheus reads.
pub fn render(metrics: &Metrics, seen: &Seen, doors: &Doors, now: Timestamp) -> String {
    let mut text = String::new();
    let counters = [
        ("tidegate_bot_event_batches_total", "Signed batches of events taken.", &metrics.batches_taken),
        ("tidegate_bot_event_batches_refused_total", "Batches refused: unknown, stale, altered, malformed.", &metrics.batches_refused),
        ("tidegate_bot_events_total", "Events taken that were new.", &metrics.events_taken),
        ("tidegate_bot_events_repeated_total", "Events that were had before.", &metrics.events_repeated),
        ("tidegate_bot_commands_total", "Commands carried out or answered.", &metrics.commands_done),
        ("tidegate_bot_commands_refused_total", "Commands refused.", &metrics.commands_refused),
    ];
    for (name, help, counter) in counters {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {}", counter.get());
    }
    let polled = seen.polled_at.map_or(f64::NAN, |at| now.duration_since(at).as_secs_f64());
    gauge(&mut text, "tidegate_bot_poll_age_seconds", "Since the config repo answered last.");
    let _ = writeln!(text, "tidegate_bot_poll_age_seconds {polled}");
    gauge(&mut text, "tidegate_bot_config_broken", "1 while the tip of the branch cannot be used.");
    let _ = writeln!(text, "tidegate_bot_config_broken {}", u8::from(seen.broken.is_some()));
    environments(&mut text, doors, now);
    text
}

/// The chat platforms by name, as whoever serves metrics holds them: it knows no platform itself.
pub type Platforms = Vec<(&'static str, Arc<Health>)>;

/// How the chat platforms are doing.
pub fn platforms(platforms: &[(&'static str, Arc<Health>)]) -> String {
    let mut text = String::new();
    gauge(&mut text, "tidegate_bot_platform_up", "1 while a chat platform is connected.");
    for (name, health) in platforms {
        let _ = writeln!(text, "tidegate_bot_platform_up{{platform=\"{name}\"}} {}", u8::from(health.is_up()));
    }
    text
}

fn environments(text: &mut String, doors: &Doors, now: Timestamp) {
    let pictures = doors.pictures();
    gauge(text, "tidegate_bot_release", "Number of the current release.");
    for picture in &pictures {
        let release = picture.lock().map_or(0, |lock| lock.release.0);
        let _ = writeln!(text, "tidegate_bot_release{{environment=\"{}\"}} {release}", picture.name);
    }
    gauge(text, "tidegate_bot_approvals_missing", "Approvals that the candidate still needs; 0: none waits.");
    for picture in &pictures {
        let missing = picture.waiting(now).map_or(0, |waiting| waiting.tally.missing());
        let _ = writeln!(text, "tidegate_bot_approvals_missing{{environment=\"{}\"}} {missing}", picture.name);
    }
    gauge(text, "tidegate_bot_holds", "Holds in force.");
    for picture in &pictures {
        let holds = picture.lock().map_or(0, |lock| lock.holds.len());
        let _ = writeln!(text, "tidegate_bot_holds{{environment=\"{}\"}} {holds}", picture.name);
    }
    gauge(text, "tidegate_bot_host_age_seconds", "Since a host was heard last.");
    for picture in &pictures {
        for (host, row) in &picture.hosts {
            let age = now.duration_since(row.heard_at).as_secs_f64();
            let _ = writeln!(text, "tidegate_bot_host_age_seconds{{environment=\"{}\",host=\"{host}\"}} {age}", picture.name);
        }
    }
}

fn gauge(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}
