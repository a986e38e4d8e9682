//! What the planner is given: for each stack what git offers and what the host remembers.

use super::gates::Gates;
use super::model::{OperationClass, StackPlan, Waiting};
use crate::desired::DesiredStack;
use crate::ids::{ContentId, ReleaseNumber, StackName};
use crate::observed::ObservedHost;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a turn knows.
#[derive(Debug, Clone)]
pub struct HostInputs<'a> {
    /// Every stack that is offered, recorded or observed here.
    pub stacks: BTreeMap<StackName, StackInputs>,
    /// What the engine has.
    pub observed: &'a ObservedHost,
    /// What gates releases.
    pub gates: Gates,
}

/// What is known of one stack.
#[derive(Debug, Clone)]
pub struct StackInputs {
    /// The stack.
    pub name: StackName,
    /// What git offers.
    pub offer: Offer,
    /// What this host remembers.
    pub record: StackRecord,
}

/// What git offers for a stack on this host.
#[derive(Debug, Clone)]
pub enum Offer {
    /// This state.
    Stack(Box<DesiredStack>),
    /// The stack is not placed here (any more).
    Nothing(Box<DesiredStack>),
    /// It cannot be told (no release yet, broken config, lock not understood): stay as you are.
    Unknown(Option<Waiting>),
}

/// What a host remembers of a stack.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StackRecord {
    /// What runs here by right.
    pub released: Option<Released>,
    /// Earlier verified releases, newest first, without the one above.
    pub verified: Vec<Released>,
    /// Contents that were verified here, newest first, also those of which nothing else is kept any more: going back to
    /// one of them is no release.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub known_good: Vec<ContentId>,
    /// A rollout that began and has not ended.
    pub attempt: Option<Attempt>,
    /// Contents that failed here.
    pub failed: Vec<FailedContent>,
    /// Rolled back by hand, git does not know yet.
    pub diverged: Option<Diverged>,
    /// Containers that operations under way stop, by engine name. Without it an end with 0 that we caused could not be
    /// told from the end of a job, and what was stopped to make room would never come back.
    pub stopping: BTreeSet<String>,
}

impl StackRecord {
    /// Notes what a plan stops. Must be durable before the plan is carried out, and is cleared once nothing is left to
    /// do. Returns whether there is anything new to write.
    pub fn will_stop(&mut self, plan: &StackPlan) -> bool {
        let before = self.stopping.len();
        self.stopping.extend(plan.stops().map(str::to_owned));
        self.stopping.len() > before
    }
}

/// A release on this host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Released {
    /// Its number, if a lock named one.
    pub release: Option<ReleaseNumber>,
    /// All of it, so that it can be restored without git.
    pub desired: DesiredStack,
    /// When it was verified here.
    pub verified_at: Timestamp,
}

/// A rollout that began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its content.
    pub content: ContentId,
    /// Its release number.
    pub release: Option<ReleaseNumber>,
    /// When it began.
    pub started_at: Timestamp,
    /// Its class.
    pub class: OperationClass,
}

/// A content that failed here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedContent {
    /// The content.
    pub content: ContentId,
    /// Its release number.
    pub release: Option<ReleaseNumber>,
    /// What went wrong.
    pub cause: String,
    /// When.
    pub at: Timestamp,
}

/// A rollback by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diverged {
    /// The content that was left.
    pub from: ContentId,
    /// What runs instead.
    pub to: ContentId,
    /// What was left by hand before that, one rollback after the other: no further one leads there by itself.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left: BTreeSet<ContentId>,
    /// Since when.
    pub since: Timestamp,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
}
