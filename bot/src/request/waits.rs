//! What waits, and why.

use super::{CandidateRef, HoldHome, Trouble};
use jiff::Timestamp;
use serde::Serialize;
use tidegate_core::ids::{CommitId, EnvironmentName, HostName, PersonName, ReleaseNumber, StackName};
use tidegate_core::lock::Hold;
use tidegate_core::plan::Waiting;
use tidegate_core::policy::Tally;

/// Something that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitLine {
    /// Where.
    pub environment: EnvironmentName,
    /// Which stack; none: the environment.
    pub stack: Option<StackName>,
    /// On which hosts; none: everywhere.
    pub hosts: Vec<HostName>,
    /// Why.
    pub why: WaitReason,
}

/// Why something waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum WaitReason {
    /// People must agree.
    NeedsApproval {
        /// The candidate.
        candidate: CandidateRef,
        /// How far consent has come.
        tally: Tally,
    },
    /// A person said no.
    Rejected {
        /// The candidate.
        candidate: CandidateRef,
        /// Who.
        by: PersonName,
        /// Why.
        reason: String,
    },
    /// A hold stops it.
    Held {
        /// The hold.
        hold: Hold,
        /// Where it stands.
        home: HoldHome,
    },
    /// The bot cannot make the release.
    NotReleasable {
        /// The candidate.
        candidate: CandidateRef,
        /// What went wrong.
        cause: Trouble,
    },
    /// A host says so.
    OnHost {
        /// What it says.
        waiting: Waiting,
    },
    /// The tip of the branch cannot be used.
    BrokenTip {
        /// The commit.
        commit: CommitId,
        /// The first finding.
        finding: String,
    },
    /// The lock names commits that the config repo does not hold.
    LockMissing {
        /// Its release.
        release: ReleaseNumber,
        /// The commits.
        commits: Vec<CommitId>,
    },
    /// Hosts have not reported since long ago.
    Silent {
        /// The last report; none: never.
        heard_at: Option<Timestamp>,
    },
}

impl WaitReason {
    /// The stable code: that of [`Waiting`] where a host says so.
    pub fn code(&self) -> &'static str {
        match self {
            WaitReason::NeedsApproval { .. } => "needs_approval",
            WaitReason::Rejected { .. } => "rejected",
            WaitReason::Held { .. } => "held",
            WaitReason::NotReleasable { .. } => "not_releasable",
            WaitReason::OnHost { waiting } => waiting.code(),
            WaitReason::BrokenTip { .. } => "broken_tip",
            WaitReason::LockMissing { .. } => "lock_missing",
            WaitReason::Silent { .. } => "silent",
        }
    }

    /// The next moment at which it may be different by itself.
    pub fn next_moment(&self) -> Option<Timestamp> {
        match self {
            WaitReason::Held { hold, .. } => hold.until,
            WaitReason::OnHost { waiting } => waiting.next_moment(),
            _ => None,
        }
    }
}
