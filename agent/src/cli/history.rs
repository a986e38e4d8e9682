//! `tidegate history`: the ended rollouts of this host, from its own database.

use super::{ConfigArgs, Exit, Output, print, print_json, runtime, table};
use crate::store::{HistoryEntry, Store};
use crate::words;
use clap::Args;
use tidegate_core::ids::StackName;

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Only this stack
    stack: Option<StackName>,
    /// How many, newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &HistoryArgs) -> anyhow::Result<Exit> {
    let settings = args.config.load()?;
    let store = Store::open_to_read(&settings.database())?;
    let mut entries = runtime()?.block_on(store.history(500))?;
    entries.retain(|entry| args.stack.as_ref().is_none_or(|stack| *stack == entry.of.stack));
    entries.truncate(args.limit as usize);
    match args.output {
        Output::Json => print_json(&serde_json::json!({ "format": 1, "history": entries })),
        Output::Human => print(&history(&entries)),
    }
    Ok(Exit::Fine)
}

fn history(entries: &[HistoryEntry]) -> String {
    let head = ["WHEN", "STACK", "WHAT", "RELEASE", "CONTENT", "OUTCOME", "TOOK", "CAUSE"].map(str::to_owned).to_vec();
    let row = |entry: &HistoryEntry| {
        vec![
            words::moment(entry.at),
            entry.of.stack.to_string(),
            words::class(entry.class).to_owned(),
            entry.of.release.map_or("-".to_owned(), |number| format!("#{number}")),
            entry.of.content.short().to_owned(),
            entry.outcome.clone(),
            format!("{:.1} s", std::time::Duration::from_millis(entry.took_ms).as_secs_f64()),
            entry.cause.clone().unwrap_or_default(),
        ]
    };
    table(&std::iter::once(head).chain(entries.iter().map(row)).collect::<Vec<_>>())
}
