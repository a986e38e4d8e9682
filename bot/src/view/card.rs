//! A release, or what may become one, as the page shows it.

use super::{Tone, WaitView, WindowView};
use jiff::Timestamp;
use serde::Serialize;
use tidegate_core::ids::{CommitId, EnvironmentName, HostName, ReleaseNumber, ServiceName, StackName};
use tidegate_core::lock::ReleaseKind;

/// A release or a candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Card {
    /// Where.
    pub environment: EnvironmentName,
    /// Its number; for a candidate the number it will get.
    pub release: ReleaseNumber,
    /// What made it.
    pub kind: ReleaseKind,
    /// Where it stands.
    pub stage: Stage,
    /// One sentence on where it stands, e.g. `Waits for one approval by an engineer.`
    pub words: String,
    /// What a button press says that it means; the bot refuses when it is not this any more.
    pub expected: Expected,
    /// The commit the candidate is at.
    pub commit: CommitId,
    /// Who asked for it, as shown to people; none: automation.
    pub requested_by: Option<String>,
    /// Why, in the person's words.
    pub reason: Option<String>,
    /// What changes, per stack.
    pub changes: Vec<StackChange>,
    /// Authors of the commits, as shown to people.
    pub authors: Vec<String>,
    /// Commits since the last released state, newest first.
    pub commits: Vec<CommitLine>,
    /// How many more commits there are than are listed.
    pub commits_not_listed: usize,
    /// Consent.
    pub approvals: ApprovalsView,
    /// What the calendar says about it.
    pub window: Option<WindowView>,
    /// What it waits for.
    pub waits: Vec<WaitView>,
    /// How it goes on the hosts.
    pub rollout: Vec<HostProgress>,
    /// How it ended; none: it has not.
    pub result: Option<ResultView>,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// What a person may do now.
    pub actions: Actions,
}

/// Where a card stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// People must agree.
    NeedsApproval,
    /// Released in git; hosts wait for a window, a freeze or the like.
    Waiting,
    /// Hosts are at it.
    RollingOut,
    /// Verified on every host.
    Live,
    /// A check said no and the release before serves again.
    FailedRolledBack,
    /// A check said no, and a person must look.
    Failed,
    /// It could not be checked; not a verdict on the release.
    Error,
    /// Stopped by a person or the bot.
    Held,
    /// A person said no.
    Rejected,
    /// A newer one took its place.
    Superseded,
}

/// What a button press means: exactly this commit and this desired state of the environment.
pub type Expected = tidegate_core::policy::Subject;

/// What changes in a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StackChange {
    /// The stack.
    pub stack: StackName,
    /// The release it has now; none: it is new.
    pub from_release: Option<ReleaseNumber>,
    /// Services that change.
    pub services: Vec<ServiceChange>,
}

/// What changes in a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceChange {
    /// The service.
    pub service: ServiceName,
    /// Version for people, now; none: it is new.
    pub from: Option<String>,
    /// Version for people, then; none: it goes.
    pub to: Option<String>,
    /// Field by field, in words (`tidegate_core::plan::changes`).
    pub details: Vec<String>,
}

/// A commit in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitLine {
    /// Its id.
    pub commit: CommitId,
    /// Who wrote it.
    pub author: String,
    /// Its first line.
    pub subject: String,
    /// When.
    pub at: Timestamp,
}

/// Consent to a candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ApprovalsView {
    /// How many are needed; 0: none.
    pub needed: u32,
    /// Who agreed, as shown to people, and when.
    pub given: Vec<(String, Timestamp)>,
    /// Who may still agree, one sentence; none: nobody needs to.
    pub missing: Option<String>,
}

/// How a release goes on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostProgress {
    /// The host.
    pub host: HostName,
    /// The stack.
    pub stack: StackName,
    /// Where it stands.
    pub state: ProgressState,
    /// Steps done.
    pub done: u32,
    /// Steps in all; 0: not known.
    pub steps: u32,
    /// What is being done, or why it waits, or how it ended: one sentence.
    pub words: String,
    /// When that was said.
    pub at: Option<Timestamp>,
}

/// Where a host stands with a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressState {
    /// Not begun.
    Pending,
    /// Under way.
    Running,
    /// It runs and was verified.
    Verified,
    /// A check said no.
    Failed,
    /// It could not be done.
    Error,
}

/// How a release ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResultView {
    /// Good or bad.
    pub tone: Tone,
    /// One sentence, e.g. `failed on web-1, rolled back to release 6`.
    pub words: String,
    /// The last log lines, where it failed.
    pub log: Vec<String>,
}

/// Something that happened to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// Who or what did it, as shown to people.
    pub who: String,
    /// What, one sentence.
    pub what: String,
    /// How to take it.
    pub tone: Tone,
}

/// What a person may do with a card. The bot decides again when it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Actions {
    /// May it be approved or rejected?
    pub decide: Decide,
    /// Stacks that can go back, and to what.
    pub rollbacks: Vec<RollbackChoice>,
}

/// Is a decision asked for?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decide {
    /// Yes: approve or reject.
    Asked,
    /// No.
    #[default]
    NotAsked,
}

/// A stack that can go back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RollbackChoice {
    /// The stack.
    pub stack: StackName,
    /// Where it can go, the last good one first.
    pub targets: Vec<RollbackTarget>,
}

/// A release to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RollbackTarget {
    /// Its number.
    pub release: ReleaseNumber,
    /// For people: versions and age, e.g. `web:1.8.1, api:2.0 · verified 2 days ago`.
    pub label: String,
}
