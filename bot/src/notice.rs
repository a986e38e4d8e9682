//! News that get a message of their own: edits of a card notify nobody. Few on purpose.

use crate::request::{CandidateRef, Trouble};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_core::events::Restored;
use tidegate_core::ids::{CommitId, EnvironmentName, HostName, PersonName, ReleaseNumber, ServiceName, StackName};
use tidegate_core::lock::Hold;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// When.
    pub at: Timestamp,
    /// Where; none: the fleet.
    pub environment: Option<EnvironmentName>,
    /// What.
    pub news: News,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "news")]
pub enum News {
    /// People must agree.
    NeedsApproval {
        /// To what.
        candidate: CandidateRef,
        /// From and to, one line for each service.
        changes: Vec<String>,
        /// How many people.
        needed: u32,
        /// Who could.
        could: Vec<PersonName>,
    },
    /// It went out without asking.
    Released {
        /// What.
        candidate: CandidateRef,
        /// From and to, one line for each service.
        changes: Vec<String>,
    },
    /// A release passed on every host.
    Live {
        /// Its number.
        release: ReleaseNumber,
        /// Which stacks.
        stacks: Vec<StackName>,
    },
    /// A check said no, and git went back by itself.
    FailedRolledBack {
        /// The failure.
        failure: FailureNews,
        /// Where git went back to.
        to: ReleaseNumber,
    },
    /// A check said no; the content is held, and git was not changed otherwise.
    FailedHeld {
        /// The failure.
        failure: FailureNews,
        /// Why git did not go back.
        because: NoWayBack,
    },
    /// A host could not do or check it; it keeps trying.
    CouldNotTell {
        /// The failure.
        failure: FailureNews,
    },
    /// A host ended with a release after the window had closed.
    Overran(LateNews),
    /// A person went back by command.
    RolledBack {
        /// Which stack.
        stack: StackName,
        /// From.
        from: ReleaseNumber,
        /// To.
        to: ReleaseNumber,
        /// Who; none: somebody on a host.
        by: Option<PersonName>,
        /// Why.
        reason: String,
    },
    /// Somebody went back on a host and git has moved on since: a person must decide.
    LocalRollbackAndGitMoved {
        /// Which stack.
        stack: StackName,
        /// Where.
        host: HostName,
        /// Who, on the host.
        by: String,
        /// Why.
        reason: String,
    },
    /// A hold has stood for another day: its owner may have forgotten it.
    HoldReminder {
        /// The hold.
        hold: Hold,
        /// For how many days.
        days: i64,
    },
    /// The bot cannot make a release that is agreed.
    CannotRelease {
        /// What.
        candidate: CandidateRef,
        /// Why.
        cause: Trouble,
    },
    /// The tip cannot be used; everything stays as it is.
    BrokenTip {
        /// The commit.
        commit: CommitId,
        /// The first findings, one line each.
        findings: Vec<String>,
        /// How many more.
        more: usize,
    },
    /// The lock names commits that the config repo does not hold: nobody can tell what it releases.
    LockMissing {
        /// Its release.
        release: ReleaseNumber,
        /// The commits.
        commits: Vec<CommitId>,
        /// Where stacks can go back to.
        ways_back: Vec<(StackName, ReleaseNumber)>,
    },
    /// The tip can be used again.
    TipMended {
        /// The commit.
        commit: CommitId,
    },
    /// A host cannot do something, and keeps trying.
    HostTrouble {
        /// Which host.
        host: HostName,
        /// The cause.
        cause: String,
    },
    /// A host's trouble is over.
    HostRecovered {
        /// Which host.
        host: HostName,
        /// The code of the trouble.
        code: String,
    },
}

impl News {
    /// Whom it is about: a platform may mention them. Everything else mentions nobody.
    pub fn concerns(&self) -> Option<&PersonName> {
        match self {
            News::HoldReminder { hold, .. } => hold.by.as_ref(),
            _ => None,
        }
    }
}

/// What ended too late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateNews {
    /// The release.
    pub release: Option<ReleaseNumber>,
    /// Which stack.
    pub stack: StackName,
    /// The host that said so first.
    pub host: HostName,
    /// When the window closed.
    pub closed_at: Timestamp,
    /// By how much, in seconds.
    pub overrun_secs: u64,
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureNews {
    /// The release.
    pub release: Option<ReleaseNumber>,
    /// Which stack.
    pub stack: StackName,
    /// The host that said so first.
    pub host: HostName,
    /// The service, if one is to blame.
    pub service: Option<ServiceName>,
    /// One sentence.
    pub cause: String,
    /// The last log lines.
    pub log: Vec<String>,
    /// What runs on that host now.
    pub restored: Restored,
}

/// Why git did not go back after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoWayBack {
    /// No earlier release of the stack was ever verified.
    NothingEarlier,
    /// What failed was itself a way back: automation does not undo a rollback.
    WasARollback,
}
