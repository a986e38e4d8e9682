//! `tidegate status` and `tidegate why`: what runs, what waits, and for what.

use super::{ConfigArgs, Exit, Output, client, print, print_json, runtime, table};
use crate::driver::Board;
use crate::http::status_json;
use crate::words;
use anyhow::bail;
use clap::Args;
use tidegate_core::events::{ReleaseOf, StackStatus};
use tidegate_core::ids::StackName;
use tidegate_core::observed::Health;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// The stack; all that wait if not given
    stack: Option<StackName>,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &StatusArgs) -> anyhow::Result<Exit> {
    let board = runtime()?.block_on(client::board(&args.config.load()?))?;
    match args.output {
        Output::Json => print_json(&status_json(&board)),
        Output::Human => print(&status(&board)),
    }
    Ok(Exit::Fine)
}

/// The status for people. Pure.
fn status(board: &Board) -> String {
    let mut text = String::new();
    let Some(status) = &board.status else { return format!("{}\n", words::NO_CONFIG_YET) };
    let engine = status.engine_version.as_deref().unwrap_or("does not answer");
    text.push_str(&format!("host {} in {}, agent {}, engine {engine}\n", status.host, status.environment, status.agent_version));
    let commit = status.observed_commit.as_ref().map_or("none", |commit| commit.short());
    let polled = status.last_poll.map_or("never".to_owned(), words::moment);
    text.push_str(&format!("config at {commit}, last answer of git {polled}\n"));
    for error in &board.config.errors {
        text.push_str(&format!("refused: {error}\n"));
    }
    for (code, trouble) in &board.troubles {
        text.push_str(&format!("trouble {code} since {}: {}\n", words::moment(trouble.since), trouble.cause));
    }
    text.push('\n');
    let head = ["STACK", "RELEASED", "OFFERED", "SERVICES", "STATE"].map(str::to_owned).to_vec();
    let rows = status.stacks.iter().map(|(name, stack)| row(name, stack));
    text.push_str(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
    text
}

fn row(name: &StackName, stack: &StackStatus) -> Vec<String> {
    vec![name.to_string(), short(stack.released.as_ref()), short(stack.offered.as_ref()), services(stack), state(stack)]
}

fn short(of: Option<&ReleaseOf>) -> String {
    of.map_or("-".to_owned(), |of| match of.release {
        Some(number) => format!("#{number} {}", of.content.short()),
        None => of.content.short().to_owned(),
    })
}

fn services(stack: &StackStatus) -> String {
    let one = |(name, service): (&tidegate_core::ids::ServiceName, &tidegate_core::events::ServiceStatus)| {
        let health = match service.health {
            Some(Health::Unhealthy) => " unhealthy",
            Some(Health::Starting) => " starting",
            Some(Health::Healthy) | None => "",
        };
        format!("{name} {} {}/{}{health}", service.image, service.running, service.wanted)
    };
    stack.services.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn state(stack: &StackStatus) -> String {
    match (&stack.attempted, &stack.waiting) {
        (Some(of), _) => format!("rolling out {}", words::release(of)),
        (None, Some(waiting)) => format!("waits ({})", waiting.code()),
        (None, None) if stack.released.is_some() => "runs".to_owned(),
        (None, None) => "nothing released".to_owned(),
    }
}

pub(super) fn why(args: &WhyArgs) -> anyhow::Result<Exit> {
    let board = runtime()?.block_on(client::board(&args.config.load()?))?;
    let Some(status) = &board.status else { bail!("{}", words::NO_CONFIG_YET) };
    if let Some(stack) = &args.stack
        && !status.stacks.contains_key(stack)
    {
        let known: Vec<String> = status.stacks.keys().map(ToString::to_string).collect();
        bail!("there is no stack {stack} on this host; there are: {}", known.join(", "));
    }
    let asked = |name: &StackName| args.stack.as_ref().is_none_or(|stack| stack == name);
    let waits: Vec<_> = status.stacks.iter().filter(|(name, stack)| asked(name) && stack.waiting.is_some()).collect();
    match args.output {
        Output::Json => print_json(&why_json(&board, &waits)),
        Output::Human if waits.is_empty() => print("nothing waits"),
        Output::Human => print(&waits.iter().map(|(name, stack)| why_line(&board, name, stack)).collect::<String>()),
    }
    Ok(if waits.is_empty() { Exit::Fine } else { Exit::Waiting })
}

fn why_line(board: &Board, name: &StackName, stack: &StackStatus) -> String {
    let Some(waiting) = &stack.waiting else { return String::new() };
    let since = board.waiting_since.get(name).map_or(String::new(), |since| format!(", since {}", words::moment(*since)));
    let offered = stack.offered.as_ref().map_or(String::new(), |of| format!("  offered: {}\n", words::release(of)));
    format!("{name}: {}\n  code: {}{since}\n{offered}", words::waiting(waiting), waiting.code())
}

fn why_json(board: &Board, waits: &[(&StackName, &StackStatus)]) -> serde_json::Value {
    let one = |(name, stack): &(&StackName, &StackStatus)| {
        let waiting = stack.waiting.as_ref();
        serde_json::json!({
            "stack": name,
            "code": waiting.map(tidegate_core::plan::Waiting::code),
            "reason": waiting.map(words::waiting),
            "next_moment": waiting.and_then(tidegate_core::plan::Waiting::next_moment),
            "since": board.waiting_since.get(*name),
            "waiting": waiting,
            "offered": stack.offered,
        })
    };
    serde_json::json!({ "format": 1, "waits": waits.iter().map(one).collect::<Vec<_>>() })
}
