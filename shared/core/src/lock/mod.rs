//! `releases/<environment>.yaml`: the current release of an environment, written by the bot alone.
//!
//! A lock is a statement: this environment runs these stacks, each as it is at its commit, with these image digests.
//! A stack carries its own commit, because a rollback restores only the stacks it names.

mod read;
mod standing;

pub use read::{REASON_MAX_CHARS, read};
pub(crate) use read::{hold as read_hold, override_ as read_override};
pub use standing::{LockedFreeze, OVERRIDE_DEFAULT_SECS, OVERRIDE_MAX_SECS, OVERRIDE_SKEW_SECS, Override, STANDING_MAX, releases_only};

use crate::ids::{CommitId, ContentId, Digest, EnvironmentName, PersonName, ReleaseNumber, StackName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the format that this program writes.
pub const SCHEMA: u32 = 1;

/// The lock of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Format version.
    pub schema: u32,
    /// The environment; equals the file's name.
    pub environment: EnvironmentName,
    /// Counted from 1, never reused.
    pub release: ReleaseNumber,
    /// What made this release.
    pub kind: ReleaseKind,
    /// The commit that placement and policy are read at.
    pub commit: CommitId,
    /// Identity of the whole environment's desired state: what people approved.
    pub plan: ContentId,
    /// When the bot made it.
    pub created_at: Timestamp,
    /// Who asked for it; none: automation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<PersonName>,
    /// Why, in the person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The stacks.
    pub stacks: BTreeMap<StackName, LockedStack>,
    /// Who agreed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// Stops on stacks or the environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// Freezes that were asked for in chat; those in the environment's file are not repeated here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<LockedFreeze>,
    /// Passes for one release each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

/// What made a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseKind {
    /// A candidate was released.
    Release,
    /// A person asked for an earlier release.
    Rollback,
    /// A host reported a failed release and the bot made git true again.
    AutomaticRollback,
    /// Only holds changed.
    Hold,
    /// Only freezes changed.
    Freeze,
    /// Only overrides changed.
    Override,
}

/// A stack inside a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedStack {
    /// The release that brought this content here.
    pub release: ReleaseNumber,
    /// The commit its files are read at.
    pub commit: CommitId,
    /// Its identity with digests ([`crate::compose::StackModel::content`]); an agent that computes another one does not start.
    pub content: ContentId,
    /// Digests by image name ([`crate::compose::ImageRef::name`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Digest>,
}

/// A named person's consent to exactly this release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who.
    pub by: PersonName,
    /// When.
    pub at: Timestamp,
}

/// A stop, until somebody resumes it or it expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The stack; none: the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackName>,
    /// Only this content is held (a bad release); none: every new release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentId>,
    /// Number of the held release, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseNumber>,
    /// Owner; none: automation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonName>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// Ends by itself then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Hold {
    /// Does this hold stop that content of that stack at that moment?
    pub fn stops(&self, stack: &StackName, content: &ContentId, now: Timestamp) -> bool {
        self.stack.as_ref().is_none_or(|held| held == stack)
            && self.content.as_ref().is_none_or(|held| held == content)
            && self.until.is_none_or(|until| now < until)
    }
}
