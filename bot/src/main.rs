//! Entry point: settings, logs, signals.

use clap::Parser;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tidegate_bot::run::run;
use tidegate_bot::settings::{DEFAULT_PATH, Settings};
use tidegate_bot::tips::chain;
use tidegate_bot::words::doctor;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Exit code when the settings cannot be used.
const EXIT_SETTINGS: u8 = 3;
/// Exit code for everything unexpected.
const EXIT_UNEXPECTED: u8 = 1;

/// Announces releases in chat and turns commands into signed commits on the config repo.
#[derive(Debug, Parser)]
#[command(name = "tidegate-bot", version)]
struct Arguments {
    /// The settings file.
    #[arg(long, value_name = "FILE", help = format!("The settings file [default: {DEFAULT_PATH}]"))]
    config: Option<PathBuf>,
    #[command(subcommand)]
    task: Option<Task>,
}

/// What else it can do than to run.
#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Looks at the token, the config repo and everything that is needed on Discord, and says how to mend what is wrong.
    Doctor,
}

fn main() -> ExitCode {
    tidegate_git::child::run_if_asked();
    let arguments = Arguments::parse();
    start_logs();
    let variables: BTreeMap<String, String> =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
    let config = arguments.config.or_else(|| variables.get("TIDEGATE_BOT_CONFIG").map(PathBuf::from));
    let settings = match Settings::load(config.as_deref(), &variables) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            return ExitCode::from(EXIT_SETTINGS);
        }
    };
    let done = match arguments.task {
        Some(Task::Doctor) => return examine(&settings),
        None => serve(settings),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(EXIT_UNEXPECTED)
        }
    }
}

/// One line for each thing; exit code 1 if something does not work.
fn examine(settings: &Settings) -> ExitCode {
    use std::io::Write as _;
    tidegate_git::init();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::from(EXIT_UNEXPECTED);
    };
    let checks = runtime.block_on(tidegate_bot::doctor::examine(settings));
    let mut out = anstream::stdout().lock();
    for check in &checks {
        // Whoever reads it may have gone.
        let _ = writeln!(out, "{}", check.words());
    }
    let _ = writeln!(out, "{}", doctor::verdict(&checks));
    if checks.iter().any(|check| check.verdict == doctor::Verdict::Bad) { ExitCode::from(EXIT_UNEXPECTED) } else { ExitCode::SUCCESS }
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    tidegate_git::init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let told = stop.clone();
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
            tracing::info!("told to stop: finishing what is in hand");
            told.cancel();
        });
        Ok(run(settings, stop).await?)
    })
}

/// `TIDEGATE_BOT_LOG` is `error`, `warn`, `info`, `debug` or `trace`; `TIDEGATE_BOT_LOG_FORMAT=json` for machines.
fn start_logs() {
    let level = std::env::var("TIDEGATE_BOT_LOG").ok().and_then(|text| text.parse().ok()).unwrap_or(tracing::Level::INFO);
    let filter = log_filter(level);
    let logs = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    if std::env::var("TIDEGATE_BOT_LOG_FORMAT").is_ok_and(|format| format == "json") {
        logs.json().finish().with(filter).init();
    } else {
        logs.finish().with(filter).init();
    }
}

/// serenity logs whole events that it cannot read, and an interaction's event holds a token that answers in the bot's
/// name: it is not heard at any level. What its connection does is told in our own words.
fn log_filter(level: tracing::Level) -> Targets {
    Targets::new().with_default(level).with_target("serenity", LevelFilter::OFF)
}

#[cfg(test)]
mod tests {
    use super::log_filter;
    use tracing::Level;

    #[test]
    fn serenity_writes_no_tokens_into_the_log() {
        let filter = log_filter(Level::TRACE);
        for target in ["serenity", "serenity::gateway::shard", "serenity::gateway::ws"] {
            assert!(!filter.would_enable(target, &Level::ERROR), "{target}");
        }
        assert!(filter.would_enable("tidegate_bot::platforms::discord::gateway", &Level::WARN));
    }
}
