//! What came of a request, in detail: plain data that each platform shows in its own way. Instants are data, so that a
//! platform can show them in the reader's own time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_core::candidate::StackChange;
use tidegate_core::ids::{CommitId, EnvironmentName, HostName, PersonName, ReleaseNumber, StackName};
use tidegate_core::lock::{Hold, ReleaseKind};
use tidegate_core::plan::Waiting;
use tidegate_core::policy::Tally;

/// A candidate, for words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateRef {
    /// Where.
    pub environment: EnvironmentName,
    /// The number it gets or would have got.
    pub release: ReleaseNumber,
    /// Its commit.
    pub commit: CommitId,
    /// The stacks it changes.
    pub stacks: Vec<StackName>,
}

/// An approval that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApprovalCounted {
    /// Of what.
    pub candidate: CandidateRef,
    /// How far consent has come.
    pub tally: Tally,
}

/// A release that is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Committed {
    /// Of what.
    pub candidate: CandidateRef,
    /// The commit of the lock.
    pub lock_commit: CommitId,
    /// Why it does not go out at once, as far as the bot can tell: the calendar.
    pub waiting: Option<Waiting>,
}

/// A rollback that is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RolledBack {
    /// Where.
    pub environment: EnvironmentName,
    /// Which stack.
    pub stack: StackName,
    /// The number of the new release.
    pub release: ReleaseNumber,
    /// The release whose content was left.
    pub from: ReleaseNumber,
    /// The release whose content is back.
    pub to: ReleaseNumber,
    /// The commit of the lock.
    pub lock_commit: CommitId,
    /// From and to, by service.
    pub change: StackChange,
}

/// Holds that are lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resumed {
    /// Where.
    pub environment: EnvironmentName,
    /// Which stack; none: the holds on the whole environment.
    pub stack: Option<StackName>,
    /// What was lifted.
    pub holds: Vec<Hold>,
    /// The commit of the lock.
    pub lock_commit: CommitId,
    /// What is offered now.
    pub candidate: Option<CandidateRef>,
}

/// An environment in a status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvironmentStatus {
    /// Its name.
    pub environment: EnvironmentName,
    /// Its release.
    pub release: Option<ReleaseNumber>,
    /// Its stacks, with where they stand on each host.
    pub stacks: Vec<StackOnHosts>,
    /// What waits to be approved.
    pub candidate: Option<ApprovalCounted>,
    /// Its holds.
    pub holds: Vec<Hold>,
}

/// A stack in a status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StackOnHosts {
    /// Its name.
    pub stack: StackName,
    /// Its locked release; none: agents follow the branch.
    pub release: Option<ReleaseNumber>,
    /// Each host with the release that it runs and its services in words, if it was heard.
    pub hosts: Vec<StackOnHost>,
}

/// A stack on a host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StackOnHost {
    /// The host.
    pub host: HostName,
    /// What runs there by right; none: nothing, or the host was not heard.
    pub release: Option<ReleaseNumber>,
    /// `web:1.8.2` for each service.
    pub images: Vec<String>,
    /// Services that do not run as wanted, in words.
    pub troubles: Vec<String>,
    /// When the host was heard last.
    pub heard_at: Option<Timestamp>,
}

/// The newest releases of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvironmentHistory {
    /// Its name.
    pub environment: EnvironmentName,
    /// Newest first.
    pub releases: Vec<HistoryLine>,
}

/// A release in a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryLine {
    /// Its number.
    pub release: ReleaseNumber,
    /// What made it.
    pub kind: ReleaseKind,
    /// When.
    pub at: Timestamp,
    /// The stacks that it changed.
    pub stacks: Vec<StackName>,
    /// Who asked for it or agreed.
    pub people: Vec<PersonName>,
    /// Why.
    pub reason: Option<String>,
    /// The commit of the lock.
    pub lock_commit: CommitId,
}
