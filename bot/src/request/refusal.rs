//! Why nothing was done. Each has a sentence in `words` that names the next step.

use super::{ApprovalCounted, CandidateRef, GateRefusal, HistoryLine};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tidegate_core::ids::{EnvironmentName, PersonName, ReleaseNumber, StackName};
use tidegate_core::lock::Hold;
use tidegate_core::policy::NotCounted;

/// Why nothing was done. Each has a sentence that names the next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Refusal {
    /// The identity belongs to nobody in the released config.
    UnknownPerson {
        /// The platform.
        platform: String,
        /// The identity, cut.
        user: String,
        /// It is known at the tip, but that is not released yet.
        known_at_tip: Standing,
    },
    /// The person may not.
    MayNot {
        /// Why.
        why: NotCounted,
        /// What was asked for.
        command: &'static str,
    },
    /// The bot has not read the config repo yet.
    NotReady,
    /// No such environment.
    UnknownEnvironment {
        /// What was asked for.
        asked: EnvironmentName,
        /// What there is.
        known: Vec<EnvironmentName>,
    },
    /// Several environments fit.
    WhichEnvironment {
        /// What was asked for.
        command: &'static str,
        /// The stack that was named, if one was.
        stack: Option<StackName>,
        /// What fits.
        choices: Vec<EnvironmentName>,
    },
    /// Nothing waits for an approval.
    NothingToDecide {
        /// Where; none: anywhere.
        environment: Option<EnvironmentName>,
        /// The release that is current, and who agreed to it.
        current: Option<Box<HistoryLine>>,
    },
    /// The candidate is not this one any more.
    Superseded {
        /// The one that is.
        now: CandidateRef,
    },
    /// Something else was offered here a moment ago: who typed the command may not have seen what is offered now.
    ChangedJustNow {
        /// What is offered now.
        now: CandidateRef,
        /// Since when.
        at: Timestamp,
        /// What was asked for.
        command: &'static str,
    },
    /// The button's candidate is released.
    AlreadyReleased {
        /// The release.
        release: Box<HistoryLine>,
        /// Where.
        environment: EnvironmentName,
    },
    /// The person agreed before.
    AlreadyApproved {
        /// Of what, and how far consent has come.
        counted: Box<ApprovalCounted>,
    },
    /// Somebody turned it down.
    RejectedBefore {
        /// Of what.
        candidate: CandidateRef,
        /// Who.
        by: PersonName,
        /// Why.
        reason: String,
    },
    /// No release of the environment has this stack.
    UnknownStack {
        /// Where; none: anywhere.
        environment: Option<EnvironmentName>,
        /// What was asked for.
        stack: StackName,
        /// What there is.
        known: BTreeSet<StackName>,
    },
    /// Something else is current than what was shown to who confirmed.
    MovedOn {
        /// Which stack.
        stack: StackName,
        /// Where.
        environment: EnvironmentName,
        /// What was shown.
        shown: ReleaseNumber,
        /// What is current; none: nothing.
        current: Option<ReleaseNumber>,
    },
    /// The environment has no release yet.
    NoRelease {
        /// Where.
        environment: EnvironmentName,
    },
    /// What is asked for is what is released.
    AlreadyThere {
        /// Where.
        environment: EnvironmentName,
        /// Which stack.
        stack: StackName,
        /// The release whose content it has.
        release: ReleaseNumber,
    },
    /// The stack is where the last way back put it; a second bare `rollback` does not go further by accident.
    BackAlready {
        /// Where.
        environment: EnvironmentName,
        /// Which stack.
        stack: StackName,
        /// The release whose content it is back at.
        at: ReleaseNumber,
        /// Who went back; none: it happened by itself, or on a host.
        by: Option<PersonName>,
        /// The next release to go back to, if there is one.
        further: Option<ReleaseNumber>,
    },
    /// No such release of this stack.
    UnknownRelease {
        /// Where.
        environment: EnvironmentName,
        /// Which stack.
        stack: StackName,
        /// What was asked for.
        asked: ReleaseNumber,
        /// Where it can go, the newest first.
        targets: Vec<ReleaseNumber>,
    },
    /// The target never passed its checks on a host.
    NeverVerified {
        /// Where.
        environment: EnvironmentName,
        /// Which stack.
        stack: StackName,
        /// What was asked for.
        asked: ReleaseNumber,
        /// Where it can go, the newest first.
        targets: Vec<ReleaseNumber>,
    },
    /// The target is held: it failed or was left before.
    TargetHeld {
        /// Which stack.
        stack: StackName,
        /// What was asked for.
        asked: ReleaseNumber,
        /// What holds it.
        hold: Box<Hold>,
    },
    /// There is no earlier verified release.
    NothingEarlier {
        /// Where.
        environment: EnvironmentName,
        /// Which stack.
        stack: StackName,
    },
    /// No hold stops this stack.
    NotHeld {
        /// Where; none: anywhere.
        environment: Option<EnvironmentName>,
        /// Which stack.
        stack: StackName,
        /// Stacks with holds.
        held: BTreeSet<StackName>,
    },
    /// A freeze, a hold or an override was not made.
    Gate(GateRefusal),
    /// The approval is kept, and the release could not be made.
    KeptButNotReleased {
        /// Of what.
        candidate: CandidateRef,
        /// What went wrong.
        cause: Trouble,
    },
    /// It could not be done; nothing changed.
    Failed {
        /// What was asked for.
        command: &'static str,
        /// What went wrong.
        cause: Trouble,
    },
}

/// Where somebody stands with the tip of the branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Named there, but that is not released yet.
    AtTipOnly,
    /// Not named at all.
    Nowhere,
}

/// What keeps the bot from making a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "trouble")]
pub enum Trouble {
    /// An image's tag could not be resolved to a digest.
    Image {
        /// The image.
        image: String,
        /// Why.
        cause: String,
    },
    /// The repo could not be read or written.
    Git {
        /// Why.
        cause: String,
    },
    /// The tip cannot be used.
    BrokenTip {
        /// The first finding.
        finding: String,
    },
    /// The content with its digests is one that is held.
    Held {
        /// What holds it.
        hold: Box<Hold>,
    },
    /// The bot's own store failed.
    Store {
        /// Why.
        cause: String,
    },
    /// The bot is stopping.
    Stopping,
}
