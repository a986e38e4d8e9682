//! Exit codes, as documented.

use crate::settings::SettingsError;
use std::process::ExitCode;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Fine.
    Fine,
    /// Unexpected.
    Unexpected,
    /// The plan has changes.
    Changes,
    /// There are findings.
    Findings,
    /// Something waits or is blocked.
    Waiting,
    /// Wrong arguments or settings.
    Usage,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Unexpected => 1,
            Exit::Changes => 2,
            Exit::Findings => 3,
            Exit::Waiting => 4,
            Exit::Usage => 64,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// An error that people can mend by other arguments or settings.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

/// The exit code of an error.
pub(super) fn of_error(error: &anyhow::Error) -> Exit {
    if error.is::<UsageError>() || error.is::<SettingsError>() { Exit::Usage } else { Exit::Unexpected }
}
