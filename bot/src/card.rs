//! One card per release: what is known of it from the day it is a candidate until something takes its place.
//!
//! Plain data with the moves that are allowed; it travels to the store as it is. A newer candidate edits the open card
//! and voids its approvals, so that people see one card and not a row of them.

use crate::request::Trouble;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_core::candidate::{Candidate, PolicyChange, StackChange};
use tidegate_core::events::{Failure, Outcome, Restored};
use tidegate_core::ids::{CommitId, ContentId, EnvironmentName, HostName, PersonName, ReleaseNumber, StackName};
use tidegate_core::lock::{Approval, ReleaseKind};
use tidegate_core::policy::{GivenApproval, Subject};

/// Most entries of a timeline; the oldest go first.
const TIMELINE_MAX: usize = 200;
/// Most approvals kept on a card, so that nobody can fill it.
const APPROVALS_MAX: usize = 100;

/// A release, or what may become one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Counted within the environment; survives a change of the number below.
    pub id: u64,
    /// Where.
    pub environment: EnvironmentName,
    /// Its number, or the one it will get.
    pub release: ReleaseNumber,
    /// What made it.
    pub kind: ReleaseKind,
    /// The commit and plan that people agree to.
    pub subject: Subject,
    /// What changes.
    pub changes: BTreeMap<StackName, StackChange>,
    /// The approval policy changes with it.
    pub policy: Option<PolicyChange>,
    /// Commits since the last released state, newest first.
    pub commits: Vec<CommitLine>,
    /// How many more there are.
    pub commits_not_listed: usize,
    /// Approvals of this and of earlier candidates of the card.
    pub approvals: Vec<GivenApproval>,
    /// Who asked for it.
    pub requested_by: Option<PersonName>,
    /// Why, in the person's words.
    pub reason: Option<String>,
    /// Where it stands.
    pub stage: Stage,
    /// Why the bot cannot make the release, if it tried.
    pub trouble: Option<Trouble>,
    /// The commit of its lock.
    pub lock_commit: Option<CommitId>,
    /// The contents that it put in place.
    pub contents: BTreeMap<StackName, ContentId>,
    /// How it goes on the hosts.
    pub progress: Vec<Progress>,
    /// What happened, oldest first.
    pub timeline: Vec<Entry>,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// When a newer candidate took the place of what it offered; none: it offers what it always did.
    #[serde(default)]
    pub replaced_at: Option<Timestamp>,
}

/// A commit in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitLine {
    /// Its id.
    pub commit: CommitId,
    /// Who wrote it.
    pub author: String,
    /// E-mail of the author and of co-authors.
    pub emails: Vec<String>,
    /// Its first line.
    pub subject: String,
    /// When.
    pub at: Timestamp,
}

/// Where a card stands in git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "stage")]
pub enum Stage {
    /// Offered; people must agree, or the bot is about to commit it.
    Candidate,
    /// A person said no.
    Rejected {
        /// Who.
        by: PersonName,
        /// Why.
        reason: String,
    },
    /// Nothing differs any more, before it was released.
    Withdrawn,
    /// It is, or was, the lock.
    Released,
    /// A check said no on a host, and git went back.
    FailedRolledBack {
        /// To this release.
        to: ReleaseNumber,
    },
    /// A check said no on a host, and there is nothing to go back to.
    FailedHeld,
    /// A person went back.
    RolledBack {
        /// To this release.
        to: ReleaseNumber,
    },
    /// A newer release took its place.
    Superseded,
}

/// How a release goes for a stack on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The host.
    pub host: HostName,
    /// The stack.
    pub stack: StackName,
    /// Where it stands.
    pub state: ProgressState,
    /// When that was said.
    pub at: Timestamp,
}

/// Where a host stands with a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ProgressState {
    /// Under way.
    Running {
        /// Steps done.
        done: u32,
        /// Steps in all.
        steps: u32,
        /// What is being done.
        doing: String,
    },
    /// Over.
    Ended {
        /// How.
        outcome: Outcome,
        /// How long it took, in milliseconds.
        took_ms: u64,
    },
}

/// Something that happened to a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who; none: the bot.
    pub who: Option<Who>,
    /// What.
    pub what: Happened,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "who")]
pub enum Who {
    /// A person.
    Person {
        /// Who.
        name: PersonName,
    },
    /// A host's agent.
    Host {
        /// Which.
        name: HostName,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Happened {
    /// The candidate appeared.
    Offered {
        /// Its commit.
        commit: CommitId,
    },
    /// A newer candidate took its place on the card.
    Replaced {
        /// Its commit.
        commit: CommitId,
        /// How many approvals that voided.
        voided: usize,
    },
    /// A person agreed.
    Approved,
    /// A person said no.
    Rejected {
        /// Why.
        reason: String,
    },
    /// Nothing differs any more.
    Withdrawn,
    /// The lock was committed.
    Locked {
        /// Its commit.
        commit: CommitId,
    },
    /// The lock could not be committed; it is tried again.
    NotLocked {
        /// Why.
        cause: Trouble,
    },
    /// A host began.
    Started {
        /// Which stack.
        stack: StackName,
    },
    /// A host is done, well or not.
    Ended {
        /// Which stack.
        stack: StackName,
        /// How.
        outcome: Outcome,
        /// How long it took, in milliseconds.
        took_ms: u64,
    },
    /// A host ended with it after the window had closed.
    Overran {
        /// With which stack.
        stack: StackName,
        /// By how much, in seconds.
        overrun_secs: u64,
    },
    /// Git went back to an earlier release.
    WentBack {
        /// Which stack.
        stack: StackName,
        /// To this release.
        to: ReleaseNumber,
        /// Why.
        reason: String,
    },
    /// The content is held.
    Held {
        /// Which stack.
        stack: StackName,
        /// Why.
        reason: String,
    },
    /// A newer release took its place.
    Superseded {
        /// Its number.
        by: ReleaseNumber,
    },
}

impl Card {
    /// The card of a candidate.
    pub fn offered(id: u64, release: ReleaseNumber, candidate: &Candidate, now: Timestamp) -> Card {
        let mut card = Card {
            id,
            environment: candidate.environment.clone(),
            release,
            kind: ReleaseKind::Release,
            subject: Subject { commit: candidate.commit.clone(), plan: candidate.plan.clone() },
            changes: candidate.stacks.clone(),
            policy: candidate.policy.clone(),
            commits: Vec::new(),
            commits_not_listed: 0,
            approvals: Vec::new(),
            requested_by: None,
            reason: None,
            stage: Stage::Candidate,
            trouble: None,
            lock_commit: None,
            contents: BTreeMap::new(),
            progress: Vec::new(),
            timeline: Vec::new(),
            created_at: now,
            replaced_at: None,
        };
        card.tell(now, None, Happened::Offered { commit: candidate.commit.clone() });
        card
    }

    /// Is it offered, or turned down, and not in git?
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Candidate | Stage::Rejected { .. })
    }

    /// When a candidate that people saw stopped being offered, released or withdrawn; none: it is open, or was never offered.
    pub fn ended_at(&self) -> Option<Timestamp> {
        let was_offered = self.timeline.iter().any(|entry| matches!(entry.what, Happened::Offered { .. } | Happened::Replaced { .. }));
        let ends = |entry: &&Entry| matches!(entry.what, Happened::Locked { .. } | Happened::Withdrawn);
        let end = self.timeline.iter().rev().find(ends).map(|entry| entry.at);
        end.filter(|_| was_offered && !self.is_open())
    }

    /// Had this person a hand in what became of it?
    pub fn knows(&self, person: &PersonName) -> bool {
        let is_theirs = |entry: &Entry| matches!(&entry.who, Some(Who::Person { name }) if name == person);
        self.approvals.iter().any(|approval| approval.by == *person) || self.timeline.iter().any(is_theirs)
    }

    /// A newer candidate takes the card: what people said about the earlier one is void.
    pub fn replace(&mut self, candidate: &Candidate, now: Timestamp) {
        let voided = self.approvals.iter().filter(|approval| approval.subject == self.subject).count();
        self.subject = Subject { commit: candidate.commit.clone(), plan: candidate.plan.clone() };
        self.changes = candidate.stacks.clone();
        self.policy = candidate.policy.clone();
        self.stage = Stage::Candidate;
        self.trouble = None;
        self.approvals.clear();
        self.replaced_at = Some(now);
        self.tell(now, None, Happened::Replaced { commit: candidate.commit.clone(), voided });
    }

    /// A person agrees; an earlier approval of theirs is replaced.
    pub fn approve(&mut self, by: &PersonName, now: Timestamp) {
        self.approvals.retain(|approval| approval.by != *by);
        self.approvals.push(GivenApproval { by: by.clone(), at: now, subject: self.subject.clone() });
        let over = self.approvals.len().saturating_sub(APPROVALS_MAX);
        self.approvals.drain(..over);
        self.stage = Stage::Candidate;
        self.tell(now, Some(Who::Person { name: by.clone() }), Happened::Approved);
    }

    /// A person says no; what was agreed before is void.
    pub fn reject(&mut self, by: &PersonName, reason: &str, now: Timestamp) {
        self.approvals.clear();
        self.stage = Stage::Rejected { by: by.clone(), reason: reason.to_owned() };
        self.tell(now, Some(Who::Person { name: by.clone() }), Happened::Rejected { reason: reason.to_owned() });
    }

    /// The lock is committed with these approvals.
    pub fn locked(&mut self, commit: CommitId, approvals: &[Approval], now: Timestamp) {
        let subject = self.subject.clone();
        self.approvals = approvals.iter().map(|a| GivenApproval { by: a.by.clone(), at: a.at, subject: subject.clone() }).collect();
        self.stage = Stage::Released;
        self.trouble = None;
        self.lock_commit = Some(commit.clone());
        self.tell(now, None, Happened::Locked { commit });
    }

    /// Sets where a host stands with a stack; one entry for each.
    pub fn progress(&mut self, host: &HostName, stack: &StackName, state: ProgressState, at: Timestamp) {
        let progress = Progress { host: host.clone(), stack: stack.clone(), state, at };
        match self.progress.iter_mut().find(|known| known.host == *host && known.stack == *stack) {
            Some(known) => *known = progress,
            None => self.progress.push(progress),
        }
    }

    /// Adds to the timeline.
    pub fn tell(&mut self, at: Timestamp, who: Option<Who>, what: Happened) {
        self.timeline.push(Entry { at, who, what });
        let over = self.timeline.len().saturating_sub(TIMELINE_MAX);
        self.timeline.drain(..over);
    }

    /// The failures that hosts reported, with the host and the stack.
    pub fn failures(&self) -> impl Iterator<Item = (&HostName, &StackName, &Failure)> {
        self.progress.iter().filter_map(|progress| match &progress.state {
            ProgressState::Ended { outcome: Outcome::Failed(failure), .. } => Some((&progress.host, &progress.stack, failure)),
            _ => None,
        })
    }

    /// Does some host say that the way back failed too?
    pub fn needs_a_person(&self) -> bool {
        self.failures().any(|(_, _, failure)| matches!(failure.restored, Restored::Not { .. }))
    }
}
