//! What agents tell the bot: signed, in order, at least once. Losing them costs news, not correctness.
//!
//! A batch travels as the JSON of [`Batch`] with a signature over [`signed_text`]; namespace [`NAMESPACE`], so that a
//! commit signature can never be used as an event. The bot accepts an event once per (host, epoch, sequence).

use crate::ids::{CommitId, ContentId, EnvironmentName, HostName, ReleaseNumber, ServiceName, StackName};
use crate::observed::Health;
use crate::plan::{OperationClass, Overridden, Waiting};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the format.
pub const FORMAT: u32 = 1;
/// SSHSIG namespace of event signatures.
pub const NAMESPACE: &str = "tidegate-event";
/// Most events in one batch.
pub const BATCH_MAX_EVENTS: usize = 50;
/// Largest body of a batch, in bytes.
pub const BATCH_MAX_BYTES: usize = 256 * 1024;
/// How far the sender's clock may be off, in seconds.
pub const CLOCK_SKEW_MAX_SECS: i64 = 120;
/// Longest free text (causes, log lines) inside an event, in bytes.
pub const TEXT_MAX_BYTES: usize = 4096;
/// Header: the sending host's name.
pub const HEADER_HOST: &str = "tidegate-host";
/// Header: when the batch was signed, RFC 3339.
pub const HEADER_TIME: &str = "tidegate-time";
/// Header: the SSHSIG, base64 without armour lines.
pub const HEADER_SIGNATURE: &str = "tidegate-signature";

/// The text that a host signs for a batch.
pub fn signed_text(audience: &str, host: &HostName, time: Timestamp, body: &[u8]) -> Vec<u8> {
    let mut text = format!("tidegate-events-v1\n{audience}\n{host}\n{time}\n{}\n", body.len()).into_bytes();
    text.extend_from_slice(body);
    text
}

/// Several events of one host, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Format version.
    pub format: u32,
    /// The host's outbox: grows when the outbox was made anew, so that its numbers may start again.
    pub epoch: u64,
    /// The events, `sequence` strictly rising.
    pub events: Vec<Sequenced>,
}

/// What the bot answers to a batch it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Everything up to this number of this epoch is durable at the bot.
    pub through: u64,
}

/// An event with its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sequenced {
    /// Strictly rising within an epoch.
    pub sequence: u64,
    /// When it happened, by the host's clock.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Event {
    /// The host's whole state; a newer one replaces an older one.
    Status(Box<HostStatus>),
    /// A rollout began.
    Started(RolloutStarted),
    /// A step of a rollout, for people to follow.
    Progress(RolloutProgress),
    /// A rollout ended.
    Finished(RolloutFinished),
    /// A rollout ended after its window had closed: the step in hand was finished or taken back.
    Overran(Overran),
    /// Somebody rolled a stack back on the host itself.
    LocalRollback(LocalRollback),
    /// Drift was found and repaired.
    Repaired(Repaired),
    /// The config at a commit cannot be used; the last good state keeps running.
    ConfigRefused(ConfigRefused),
    /// Something the agent could not do; it keeps trying. One per cause.
    Trouble(Trouble),
    /// The cause of an earlier trouble is gone.
    Recovered(Recovered),
}

/// Which release of which stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseOf {
    /// Environment.
    pub environment: EnvironmentName,
    /// Stack.
    pub stack: StackName,
    /// Release number, if a lock named one.
    pub release: Option<ReleaseNumber>,
    /// Content.
    pub content: ContentId,
    /// Commit.
    pub commit: CommitId,
}

/// A rollout began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutStarted {
    /// Of what.
    pub of: ReleaseOf,
    /// Class.
    pub class: OperationClass,
    /// How many steps.
    pub steps: u32,
    /// The override that let it start, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Overridden>,
    /// Releases that waited here and were never started: this one is newer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<ReleaseNumber>,
}

/// A rollout that ended after its window had closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overran {
    /// Of what.
    pub of: ReleaseOf,
    /// When the window closed.
    pub closed_at: Timestamp,
    /// By how much, in seconds.
    pub overrun_secs: u64,
}

/// A step of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutProgress {
    /// Of what.
    pub of: ReleaseOf,
    /// Steps done.
    pub done: u32,
    /// Steps in all.
    pub steps: u32,
    /// What is being done, one short sentence.
    pub doing: String,
}

/// A rollout ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutFinished {
    /// Of what.
    pub of: ReleaseOf,
    /// Class.
    pub class: OperationClass,
    /// How.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Health and bake passed; it runs.
    Verified,
    /// A check said no.
    Failed(Failure),
    /// It could not be checked or done (registry, engine); not a verdict on the release.
    Error(Failure),
    /// A newer release took its place.
    Superseded,
    /// It was not done when it had to stop: its window closed, or somebody holds it. What was released before runs again.
    TakenBack {
        /// What it waits for now.
        because: Waiting,
    },
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The service, if one is to blame.
    pub service: Option<ServiceName>,
    /// One sentence.
    pub cause: String,
    /// Last log lines of the container, and its health log.
    #[serde(default)]
    pub log: Vec<String>,
    /// What runs now.
    pub restored: Restored,
}

/// What runs after a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Restored {
    /// The release before, put back.
    Previous {
        /// Its number.
        release: Option<ReleaseNumber>,
        /// Its content.
        content: ContentId,
    },
    /// There was nothing before; nothing of the stack runs.
    Nothing,
    /// The way back failed too: a person must look.
    Not {
        /// Why.
        cause: String,
    },
}

/// A rollback on the host itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalRollback {
    /// What was left.
    pub from: ReleaseOf,
    /// What runs now.
    pub to: ReleaseOf,
    /// Who did it: the name of the user on the host.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Drift was repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// The stack.
    pub stack: StackName,
    /// What was found, one short sentence each.
    pub found: Vec<String>,
}

/// A config that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRefused {
    /// The commit.
    pub commit: CommitId,
    /// Why, one line each, with file and line.
    pub findings: Vec<String>,
}

/// Something the agent could not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// A stable code: `git_unreachable`, `engine_unreachable`, `history_rewritten`, ….
    pub code: String,
    /// One sentence.
    pub cause: String,
}

/// The cause of an earlier trouble is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// The code of the trouble.
    pub code: String,
}

/// The whole state of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostStatus {
    /// The host.
    pub host: HostName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Version of the agent.
    pub agent_version: String,
    /// Version of the engine, if reachable.
    pub engine_version: Option<String>,
    /// Zone database in use.
    pub tzdata: String,
    /// The newest commit of the branch that was seen and trusted.
    pub observed_commit: Option<CommitId>,
    /// When the remote answered last.
    pub last_poll: Option<Timestamp>,
    /// Seconds between polls.
    pub poll_interval_secs: u64,
    /// Stacks.
    pub stacks: BTreeMap<StackName, StackStatus>,
}

/// The state of a stack on a host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StackStatus {
    /// What git offers.
    pub offered: Option<ReleaseOf>,
    /// What was tried last and has not ended.
    pub attempted: Option<ReleaseOf>,
    /// What runs by right.
    pub released: Option<ReleaseOf>,
    /// Since when.
    pub released_at: Option<Timestamp>,
    /// Contents verified here that can be restored, newest first.
    pub restorable: Vec<ReleaseOf>,
    /// Why the offer is not released.
    pub waiting: Option<Waiting>,
    /// The content that waits and whose images are here already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<ContentId>,
    /// Services.
    pub services: BTreeMap<ServiceName, ServiceStatus>,
}

/// The state of a service on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Image for people, e.g. `web:1.8.2`.
    pub image: String,
    /// Copies wanted.
    pub wanted: u32,
    /// Copies that run.
    pub running: u32,
    /// The worst health among them; none: no check.
    pub health: Option<Health>,
    /// When the youngest of them was started.
    pub since: Option<Timestamp>,
}
