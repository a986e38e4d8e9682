//! Entry point: settings, logs, signals.

use clap::Parser;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tidegate_bot::run::{StartError, run};
use tidegate_bot::settings::{DEFAULT_PATH, Settings};
use tidegate_bot::tips::chain;
use tidegate_bot::words::doctor;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

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
            let is_settings = matches!(error.downcast_ref(), Some(StartError::Discord(_)));
            ExitCode::from(if is_settings { EXIT_SETTINGS } else { EXIT_UNEXPECTED })
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
    let logs = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    if std::env::var("TIDEGATE_BOT_LOG_FORMAT").is_ok_and(|format| format == "json") {
        logs.json().init();
    } else {
        logs.init();
    }
}
