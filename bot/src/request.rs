//! What platforms hand in and get back: the domain in both directions, no widgets, no text.
//!
//! A platform turns a line, a button or a slash command into a [`Request`] and shows the [`Outcome`] in its own way;
//! the sentences for both are in `words`.

use crate::command::{Command, NotUnderstood};
use crate::people::Actor;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tidegate_core::candidate::StackChange;
use tidegate_core::ids::{CommitId, EnvironmentName, HostName, PersonName, ReleaseNumber, StackName};
use tidegate_core::lock::{Hold, ReleaseKind};
use tidegate_core::plan::Waiting;
use tidegate_core::policy::{NotCounted, Subject, Tally};

/// A person asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who, on which platform.
    pub actor: Actor,
    /// What.
    pub ask: Ask,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A typed line.
    Line(String),
    /// A button or a slash command; with the candidate that the button stood on, if it stood on one.
    Command {
        /// What.
        command: Command,
        /// The button means exactly this; refused when it is not this any more.
        expected: Option<Subject>,
    },
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reply {
    /// What came of it.
    pub outcome: Outcome,
    /// The same in words, several lines perhaps.
    pub words: String,
    /// Who spoke, if the config repo knows.
    pub person: Option<PersonName>,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "detail")]
pub enum Outcome {
    /// The approval counts, and more are needed.
    Approved(ApprovalCounted),
    /// The policy is satisfied and the release is committed.
    Released(Committed),
    /// The candidate is turned down.
    Rejected(CandidateRef),
    /// The stack's lock is back at an earlier release, and what it left is held.
    RolledBack(RolledBack),
    /// Holds are lifted.
    Resumed(Resumed),
    /// What runs where.
    Status(Vec<EnvironmentStatus>),
    /// What waits.
    Why(Vec<WaitLine>),
    /// The newest releases.
    History(Vec<EnvironmentHistory>),
    /// What can be asked.
    Help,
    /// Nothing was done, and why.
    Refused(Refusal),
    /// The line is no command.
    NotUnderstood(NotUnderstood),
}

impl Outcome {
    /// Does everybody in the room see the answer? What changes state is public; the rest is for the person.
    pub fn is_public(&self) -> bool {
        matches!(self, Outcome::Approved(_) | Outcome::Released(_) | Outcome::Rejected(_) | Outcome::RolledBack(_) | Outcome::Resumed(_))
    }

    /// Was nothing done?
    pub fn is_refusal(&self) -> bool {
        matches!(self, Outcome::Refused(_) | Outcome::NotUnderstood(_))
    }
}

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
    /// Which stack.
    pub stack: StackName,
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
            WaitReason::Silent { .. } => "silent",
        }
    }

    /// The next moment at which it may be different by itself.
    pub fn next_moment(&self) -> Option<Timestamp> {
        match self {
            WaitReason::Held { hold } => hold.until,
            WaitReason::OnHost { waiting } => waiting.next_moment(),
            _ => None,
        }
    }
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
