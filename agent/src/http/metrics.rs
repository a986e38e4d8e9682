//! The metrics as Prometheus text. Pure.

use super::not_ready;
use crate::driver::Board;
use jiff::Timestamp;
use std::fmt::Write as _;
use tidegate_core::events::StackStatus;
use tidegate_core::plan::Waiting;

/// All metrics of an agent.
pub fn metrics(board: &Board, now: Timestamp) -> String {
    let mut page = Page(String::new());
    page.one("tidegate_ready", "gauge", "1 when the engine answers and a usable config is known.", flag(not_ready(board).is_empty()));
    page.one("tidegate_engine_up", "gauge", "1 when the container engine answered the last time.", flag(board.engine_answers));
    let version = board.status.as_ref().map_or(crate::report::VERSION, |status| &status.agent_version);
    page.head("tidegate_agent_info", "gauge", "Always 1; carries the version.");
    page.line("tidegate_agent_info", &[("version", version)], 1.0);
    config(&mut page, board);
    stacks(&mut page, board, now);
    counts(&mut page, board);
    page.one("tidegate_events_undelivered", "gauge", "News that the bot does not have yet.", float(board.delivery.waiting));
    page.one("tidegate_events_dropped_total", "counter", "News dropped because nobody took it.", float(board.delivery.dropped));
    page.head("tidegate_trouble", "gauge", "1 for each trouble in force.");
    for code in board.troubles.keys() {
        let (code, stack) = code.split_once(':').unwrap_or((code, ""));
        page.line("tidegate_trouble", &[("code", code), ("stack", stack)], 1.0);
    }
    page.0
}

fn config(page: &mut Page, board: &Board) {
    page.one(
        "tidegate_config_errors",
        "gauge",
        "Errors in the config at the newest commit; the last good one is in force.",
        float(board.config.errors.len() as u64),
    );
    let polled = board.status.as_ref().and_then(|status| status.last_poll);
    if let Some(at) = polled {
        let help = "When the config repo answered last, in seconds since 1970.";
        page.one("tidegate_last_successful_poll_timestamp_seconds", "gauge", help, at.as_second() as f64);
    }
}

fn stacks(page: &mut Page, board: &Board, now: Timestamp) {
    let stacks: Vec<_> = board.status.iter().flat_map(|status| &status.stacks).collect();
    page.head("tidegate_waiting_seconds", "gauge", "How long a stack has been waiting, by the reason's code.");
    for (name, stack) in &stacks {
        if let (Some(waiting), Some(since)) = (&stack.waiting, board.waiting_since.get(*name)) {
            let secs = (now.as_second() - since.as_second()).max(0) as f64;
            page.line("tidegate_waiting_seconds", &[("stack", name.as_str()), ("code", waiting.code())], secs);
        }
    }
    page.head("tidegate_held", "gauge", "1 when a stack is held.");
    for (name, stack) in &stacks {
        let held = matches!(stack.waiting, Some(Waiting::Held { .. } | Waiting::RemovalHeld { .. }));
        page.line("tidegate_held", &[("stack", name.as_str())], flag(held));
    }
    page.head("tidegate_converged", "gauge", "1 when a stack runs what git offers.");
    for (name, stack) in &stacks {
        page.line("tidegate_converged", &[("stack", name.as_str())], flag(is_converged(stack)));
    }
    page.head("tidegate_released", "gauge", "The number of the release that runs.");
    for (name, stack) in &stacks {
        if let Some(number) = stack.released.as_ref().and_then(|released| released.release) {
            page.line("tidegate_released", &[("stack", name.as_str())], float(number.0));
        }
    }
    for (metric, help) in
        [("tidegate_containers_wanted", "Containers that should run."), ("tidegate_containers_running", "Containers that run.")]
    {
        page.head(metric, "gauge", help);
        for (name, stack) in &stacks {
            for (service, status) in &stack.services {
                let value = if metric.ends_with("wanted") { status.wanted } else { status.running };
                page.line(metric, &[("stack", name.as_str()), ("service", service.as_str())], f64::from(value));
            }
        }
    }
}

fn is_converged(stack: &StackStatus) -> bool {
    let content = |of: &Option<tidegate_core::events::ReleaseOf>| of.as_ref().map(|of| of.content.clone());
    stack.attempted.is_none() && stack.waiting.is_none() && content(&stack.offered) == content(&stack.released)
}

fn counts(page: &mut Page, board: &Board) {
    page.head("tidegate_releases_total", "counter", "Ended rollouts by outcome, since the agent started.");
    for outcome in ["verified", "failed", "error", "superseded", "taken_back"] {
        let count = board.counts.rollouts.get(outcome).copied().unwrap_or(0);
        page.line("tidegate_releases_total", &[("outcome", outcome)], float(count));
    }
    page.one("tidegate_repairs_total", "counter", "Repairs of drift, since the agent started.", float(board.counts.repairs));
}

fn flag(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 do not occur")]
fn float(count: u64) -> f64 {
    count as f64
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
