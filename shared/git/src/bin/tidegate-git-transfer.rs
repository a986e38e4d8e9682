//! The transfer process alone, for this crate's tests: a test binary's `main` is not ours.

fn main() -> std::process::ExitCode {
    tidegate_git::child::run_if_asked();
    std::process::ExitCode::from(64)
}
