//! The Docker adapter and the executor on a real engine, and on a fake one where a real one would not misbehave.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod attributes;
mod fake;
mod harness;
mod lifecycle;

use tidegate_core::calendar::{Decision, Rule, RuleKind, State};
use tidegate_core::plan::Gates;

/// Nothing stops a release.
fn open() -> Gates {
    let rule = Rule::named(RuleKind::Always, "always");
    let value = serde_json::json!({ "state": State::Open, "open_until": null, "next_start": null, "rule": rule });
    let calendar: Decision = serde_json::from_value(value).unwrap();
    Gates { calendar, holds: Vec::new(), clock_fault: None, calendar_fault: None }
}
