//! The command line: arguments in, data to stdout, talk to stderr, a documented exit code out.

mod agent;
mod calendar;
mod client;
mod demo;
mod doctor;
mod exit;
mod folder;
mod history;
mod import;
mod papers;
mod plan;
mod render;
mod rollback;
mod schema;
mod source;
mod status;
mod trust;
mod validate;

pub use exit::Exit;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Releases container stacks from a git repository, inside release windows, and back.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, after_help = EXIT_CODES, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 unexpected, 2 the plan has changes (with --detailed-exitcode), \
                          3 findings, 4 waiting or blocked, 64 usage.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent of this host
    Agent(agent::AgentArgs),
    /// Check a config repo and show every finding
    Validate(validate::ValidateArgs),
    /// Show what a change would do, host by host, and when it would go out
    Plan(plan::PlanArgs),
    /// Print what a host is to run, as plain Compose files
    Render(render::RenderArgs),
    /// Make a stack of an existing Compose project
    Import(import::ImportArgs),
    /// Show what runs on this host and what waits
    Status(status::StatusArgs),
    /// Say why a stack is not where git wants it
    Why(status::WhyArgs),
    /// Show when releases may start: openings, freezes, changes of the clock
    Calendar(calendar::CalendarArgs),
    /// Show the rollouts of this host
    History(history::HistoryArgs),
    /// Put an earlier release back on this host, without git, registry or bot
    Rollback(rollback::RollbackArgs),
    /// Let git decide again: after a rollback by hand, a failure, or a held removal
    Resume(rollback::ResumeArgs),
    /// Say who may change the config repo: begin a signer policy, pin it, check commits by it
    Trust(trust::TrustArgs),
    /// Create things to start from
    Init(demo::InitArgs),
    /// Look for what could be wrong on this host, and say how to mend it
    Doctor(doctor::DoctorArgs),
    /// Write JSON Schemas of the config repo's files, for editors
    Schema(schema::SchemaArgs),
    /// Write shell completions to stdout
    Completions(papers::CompletionsArgs),
    /// Write man pages to a folder
    Man(papers::ManArgs),
}

/// Which settings file.
#[derive(Debug, Clone, Args)]
struct ConfigArgs {
    /// Settings file of the agent [default: /etc/tidegate/agent.toml; also TIDEGATE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    fn load(&self) -> Result<crate::settings::Settings, crate::settings::SettingsError> {
        let variables = variables();
        let named = self.config.clone().or_else(|| variables.get("TIDEGATE_CONFIG").map(PathBuf::from));
        crate::settings::Settings::load(named.as_deref(), &variables)
    }
}

/// How data is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Human,
    /// For programs; carries `"format": 1`.
    Json,
}

/// The environment, as far as it is text.
fn variables() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Parses the arguments and does what they say.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors. A closed stdout is nobody's concern here.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Fine }.into();
        }
    };
    match run(cli.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            tell(&format!("error: {}", in_one_line(&error)));
            exit::of_error(&error).into()
        }
    }
}

fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Agent(args) => agent::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Why(args) => status::why(&args),
        Command::Calendar(args) => calendar::run(&args),
        Command::History(args) => history::run(&args),
        Command::Trust(args) => trust::run(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Resume(args) => rollback::resume(&args),
        Command::Init(args) => demo::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => papers::completions(&args, Cli::command()),
        Command::Man(args) => papers::man(&args, Cli::command()),
    }
}

/// Data: to stdout. A reader that went away (`| head`) is no error.
fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
}

/// Keys in order: whether a map keeps its own is another crate's choice of features.
fn print_json(value: &serde_json::Value) {
    let mut value = value.clone();
    value.sort_all_objects();
    print(&serde_json::to_string_pretty(&value).unwrap_or_default());
}

/// Talk: to stderr.
fn tell(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

fn in_one_line(error: &anyhow::Error) -> String {
    let error: &(dyn std::error::Error + 'static) = error.as_ref();
    crate::words::chain(error)
}

/// Columns for people: each as wide as its widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A runtime for one command.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(table(&rows), "a    bb\nccc  d\n");
    }
}
