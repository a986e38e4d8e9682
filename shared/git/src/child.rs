//! The transfer process: this program again, with a hidden argument, an order on its standard input and limits on its
//! memory, CPU time and file sizes. It holds none of the parent's sockets and is killed at the deadline, or when the
//! parent dies.

use crate::remote::{Limits, TransferProgram};
use crate::transfer::{Answer, Failure, Order, perform};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The hidden argument.
const ASKED: &str = "--tidegate-git-transfer";
/// Largest order or answer, in bytes.
const MESSAGE_MAX_BYTES: u64 = 64 * 1024;
/// Most open files of the transfer process.
const OPEN_FILES_MAX: u64 = 256;
/// Variables that the transfer process keeps: where trusted certificates are. Everything else stays behind.
const KEPT_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Did this program's `main` call [`run_if_asked`]? Only then can it be run again for a transfer.
static WIRED: AtomicBool = AtomicBool::new(false);

/// First line of `main`: if this process was started as a transfer process, does its work and exits; else returns at once.
pub fn run_if_asked() {
    WIRED.store(true, Ordering::Relaxed);
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ASKED) {
        std::process::exit(i32::from(run().is_err()));
    }
}

/// The transfer process's whole life.
fn run() -> Result<(), Box<dyn std::error::Error>> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut text = Vec::new();
    std::io::stdin().take(MESSAGE_MAX_BYTES).read_to_end(&mut text)?;
    let order: Order = serde_json::from_slice(&text)?;
    limit_this_process(&order.limits)?;
    let answer = perform(&order);
    std::io::stdout().write_all(&serde_json::to_vec(&answer)?)?;
    Ok(())
}

fn limit_this_process(limits: &Limits) -> rustix::io::Result<()> {
    let at_most = |maximum: u64| Rlimit { current: Some(maximum), maximum: Some(maximum) };
    setrlimit(Resource::As, at_most(limits.memory_max_bytes))?;
    setrlimit(Resource::Cpu, at_most(limits.cpu_max_secs))?;
    setrlimit(Resource::Fsize, at_most(limits.received_max_bytes.saturating_mul(2)))?;
    setrlimit(Resource::Nofile, at_most(OPEN_FILES_MAX))?;
    setrlimit(Resource::Core, at_most(0))
}

/// Where an order is carried out.
#[derive(Debug)]
pub(crate) enum Where {
    /// In a process of its own.
    Process(PathBuf),
    /// In this process: only when its `main` does not know about transfers, as in unit tests.
    Here,
}

/// Chooses by the settings.
pub(crate) fn place(program: &TransferProgram) -> Where {
    match program {
        TransferProgram::At(path) => Where::Process(path.clone()),
        // Also after the file on disk was replaced by a newer version, this is the program that runs now.
        TransferProgram::ThisProgram if WIRED.load(Ordering::Relaxed) => Where::Process("/proc/self/exe".into()),
        TransferProgram::ThisProgram => Where::Here,
    }
}

/// Runs an order in a process of its own. Dropping the future kills the process.
pub(crate) async fn run_process(program: &std::path::Path, order: &Order) -> std::io::Result<Answer> {
    let mut command = tokio::process::Command::new(program);
    command.arg(ASKED).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    // The home holds nothing but, for SSH, the one pinned host key; the user's own files are out of reach.
    command.env_clear().current_dir(&order.incoming).env("HOME", &order.incoming);
    command.envs(KEPT_VARIABLES.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value))));
    let mut process = command.spawn()?;
    let (Some(mut stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
        return Err(std::io::Error::other("the process has no pipes"));
    };
    stdin.write_all(&serde_json::to_vec(order)?).await?;
    drop(stdin);
    let mut text = Vec::new();
    stdout.take(MESSAGE_MAX_BYTES).read_to_end(&mut text).await?;
    let status = process.wait().await?;
    if status.success() {
        return Ok(serde_json::from_slice(&text)?);
    }
    // Killed by the kernel for want of memory or CPU time, or crashed on what the server sent.
    Ok(Answer::Failed(Failure::Away(format!("the transfer process ended with {status}; it may have met its limit of memory or CPU time"))))
}
