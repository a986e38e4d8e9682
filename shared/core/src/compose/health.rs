//! `healthcheck` in all its forms.

use super::model::{HealthTest, Healthcheck};
use super::service::{duration, scalar_or_empty};
use super::support::{Section, judge};
use crate::yaml::{Fields, Node, Sink, Value, integer};

/// Reads a health check.
pub(super) fn read(node: &Node, sink: &mut Sink) -> Option<Healthcheck> {
    let mut fields = Fields::of(node, "`healthcheck`", sink)?;
    let disabled = fields.boolean("disable", sink).unwrap_or_default();
    let test = fields.some("test");
    let written = test.and_then(|node| test_of(node, sink));
    let health = Healthcheck {
        test: match (disabled, written) {
            (true, Some(HealthTest::Disabled) | None) => HealthTest::Disabled,
            (true, Some(_)) => {
                if let Some(node) = test {
                    sink.push(node.span.error("conflict", "there is a test, and `disable: true`").hint("keep one of them"));
                }
                HealthTest::Disabled
            }
            (false, Some(test)) => test,
            (false, None) => HealthTest::Inherit,
        },
        interval_ms: fields.with("interval", sink, duration),
        timeout_ms: fields.with("timeout", sink, duration),
        retries: fields.with("retries", sink, |node, sink| integer(node, 0..=1_000_000, sink)),
        start_period_ms: fields.with("start_period", sink, duration),
        start_interval_ms: fields.with("start_interval", sink, duration),
    };
    fields.finish_with(|entry| judge(Section::Healthcheck, entry), sink);
    // Timings of a disabled check have no effect: equal meaning is equal value.
    Some(match health.test {
        HealthTest::Disabled => Healthcheck { test: HealthTest::Disabled, ..timeless() },
        _ => health,
    })
}

fn timeless() -> Healthcheck {
    Healthcheck {
        test: HealthTest::Inherit,
        interval_ms: None,
        timeout_ms: None,
        retries: None,
        start_period_ms: None,
        start_interval_ms: None,
    }
}

fn test_of(node: &Node, sink: &mut Sink) -> Option<HealthTest> {
    let Value::Sequence(parts) = &node.value else {
        return scalar_or_empty(node, sink).map(HealthTest::Shell);
    };
    let words: Vec<String> = parts.iter().filter_map(|part| scalar_or_empty(part, sink)).collect();
    if words.len() < parts.len() {
        return None;
    }
    let mut rest = words.into_iter();
    match rest.next().as_deref() {
        Some("NONE") => Some(HealthTest::Disabled),
        Some("CMD") if parts.len() > 1 => Some(HealthTest::Cmd(rest.collect())),
        Some("CMD-SHELL") if parts.len() == 2 => rest.next().map(HealthTest::Shell),
        _ => {
            let hint = "write `[\"CMD\", \"program\", \"argument\"]`, `[\"CMD-SHELL\", \"one line\"]`, `[\"NONE\"]`, or one line of text";
            sink.push(node.span.error("bad_value", "a test in list form begins with `CMD`, `CMD-SHELL` or `NONE`").hint(hint));
            None
        }
    }
}
