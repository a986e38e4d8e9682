//! The `tidegate` program: the agent and the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: this program also serves as its own transfer process.
    tidegate_git::child::run_if_asked();
    tidegate_agent::cli::main(std::env::args_os())
}
