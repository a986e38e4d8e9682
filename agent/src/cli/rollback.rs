//! `tidegate rollback` and `tidegate resume`: asked of the running agent, or done here while it is down.
//!
//! The lock file decides which: whoever holds it is the one that acts on the engine.

use super::exit::UsageError;
use super::{ConfigArgs, Exit, Output, agent, client, print, print_json, runtime, tell};
use crate::clock::WallClock;
use crate::config::ConfigView;
use crate::docker::Docker;
use crate::driver::{Board, Command, Driver, Parts, REASON_MAX_BYTES, Refusal, Rolled, Wakes, Way, way};
use crate::settings::Settings;
use crate::store::{Memory, News, Store};
use crate::words;
use clap::Args;
use jiff::Timestamp;
use std::io::{BufRead, IsTerminal};
use std::sync::Arc;
use tidegate_core::ids::{EnvironmentName, StackName};
use tidegate_git::Mirror;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The stack
    stack: StackName,
    /// A release number or the beginning of a content id; the newest verified one if not given
    #[arg(long, value_name = "RELEASE")]
    to: Option<String>,
    /// Why; goes into git
    #[arg(long)]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The stack
    stack: StackName,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &RollbackArgs) -> anyhow::Result<Exit> {
    let settings = args.config.load()?;
    if args.reason.trim().is_empty() || args.reason.len() > REASON_MAX_BYTES {
        return Err(UsageError(format!("--reason: give one, of at most {REASON_MAX_BYTES} bytes")).into());
    }
    let runtime = runtime()?;
    let memory = runtime.block_on(memory(&settings))?;
    let shown = match shown(&memory, args) {
        Ok(shown) => shown,
        Err(refusal) => return Ok(refused(&refusal, args.output)),
    };
    tell(&words::rollback_shown(&shown));
    if !args.yes && !agrees()? {
        tell(words::NOTHING_DONE);
        return Ok(Exit::Waiting);
    }
    // What was shown is what is done, even if something else was verified meanwhile.
    let to = Some(shown.to.content.to_string());
    let command = Command::Rollback { stack: args.stack.clone(), to, reason: args.reason.clone(), by: user() };
    let result = runtime.block_on(command_done(settings, command))?;
    Ok(show(&result, args.output))
}

pub(super) fn resume(args: &ResumeArgs) -> anyhow::Result<Exit> {
    let settings = args.config.load()?;
    let command = Command::Resume { stack: args.stack.clone() };
    let result = runtime()?.block_on(command_done(settings, command))?;
    Ok(show(&result, args.output))
}

/// What the database says now; read beside a running agent.
async fn memory(settings: &Settings) -> anyhow::Result<Memory> {
    Ok(Store::open_to_read(&settings.database())?.memory().await?)
}

fn shown(memory: &Memory, args: &RollbackArgs) -> Result<Way, Refusal> {
    let environment = memory.environment.clone().ok_or(Refusal::Failed { cause: words::NO_CONFIG_YET.to_owned() })?;
    let known = || memory.stacks.keys().map(ToString::to_string).collect();
    let stack = memory.stacks.get(&args.stack).ok_or_else(|| Refusal::UnknownStack { stack: args.stack.clone(), known: known() })?;
    way(&environment, &args.stack, &stack.record, args.to.as_deref())
}

/// Asks on a terminal; without one, `--yes` is needed.
fn agrees() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(UsageError("there is no terminal to ask on; say --yes".into()).into());
    }
    tell("Go on? [y/N]");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The person: whoever became root is named too.
fn user() -> String {
    let named = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    named("SUDO_USER").or_else(|| named("USER")).or_else(|| named("LOGNAME")).unwrap_or_else(|| "somebody".to_owned())
}

/// By the running agent, or here.
async fn command_done(settings: Settings, command: Command) -> anyhow::Result<Result<Rolled, Refusal>> {
    match agent::lock(&settings)? {
        None => client::command(&settings, &command).await,
        Some(_lock) => here(settings, command).await,
    }
}

/// The agent is down: one command by its own machinery, without git.
async fn here(settings: Settings, command: Command) -> anyhow::Result<Result<Rolled, Refusal>> {
    tell(words::AGENT_IS_DOWN);
    let news = if settings.bot.is_some() { News::Kept } else { News::NobodyListens };
    let store = Store::open(&settings.database(), Timestamp::now(), news)?;
    let mirror = Mirror::open(&settings.mirror(), agent::remote(&settings)).await?;
    let parts = Parts {
        connect: agent::connect(&settings),
        settings,
        store,
        mirror,
        wakes: Arc::new(Wakes::default()),
        clock: WallClock::default(),
        board: watch::channel(Board::default()).0,
    };
    alone(parts, command).await
}

async fn alone<C: Fn(&EnvironmentName) -> Docker>(parts: Parts<C>, command: Command) -> anyhow::Result<Result<Rolled, Refusal>> {
    let mut driver = Driver::new(parts).await?;
    let stop = CancellationToken::new();
    Ok(driver.once(command, &stop, ConfigView::unusable).await?)
}

fn show(result: &Result<Rolled, Refusal>, output: Output) -> Exit {
    match result {
        Err(refusal) => refused(refusal, output),
        Ok(done) => {
            match output {
                Output::Json => print_json(&serde_json::json!({ "format": 1, "result": done })),
                Output::Human => print(&words::rolled(done)),
            }
            if matches!(done, Rolled::UnderWay { .. }) { Exit::Waiting } else { Exit::Fine }
        }
    }
}

fn refused(refusal: &Refusal, output: Output) -> Exit {
    match output {
        Output::Json => print_json(&serde_json::json!({ "format": 1, "refused": refusal, "message": refusal.to_string() })),
        Output::Human => tell(&format!("refused: {refusal}")),
    }
    Exit::Waiting
}
