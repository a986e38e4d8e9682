//! What came of freezes, holds, overrides and questions about the calendar, and why some are refused.

use super::CandidateRef;
use crate::moments::NoMoment;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use tidegate_core::calendar::{Decision, FrozenStretch, Opening};
use tidegate_core::findings::Place;
use tidegate_core::ids::{CommitId, EnvironmentName, ReleaseNumber, StackName};
use tidegate_core::lock::{Hold, LockedFreeze, Override};
use tidegate_core::plan::Waiting;

/// A freeze that is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FrozenNow {
    /// Where.
    pub environment: EnvironmentName,
    /// The freeze.
    pub freeze: LockedFreeze,
    /// The zone in which the environment is spoken of.
    pub zone: String,
    /// The commit of the lock.
    pub lock_commit: CommitId,
}

/// Freezes that are ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unfrozen {
    /// Where.
    pub environment: EnvironmentName,
    /// What was ended.
    pub freezes: Vec<LockedFreeze>,
    /// What keeps releases from starting all the same.
    pub waiting: Option<Waiting>,
    /// The commit of the lock.
    pub lock_commit: CommitId,
}

/// Where a hold stands, which decides who lifts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldHome {
    /// In the lock: `resume` lifts it.
    Lock,
    /// In the environment's file: a commit of people's lifts it.
    File,
}

/// A hold that is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldNow {
    /// Where.
    pub environment: EnvironmentName,
    /// The hold.
    pub hold: Hold,
    /// The zone in which the environment is spoken of.
    pub zone: String,
    /// The commit of the lock.
    pub lock_commit: CommitId,
}

/// An override that is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OverriddenNow {
    /// Where.
    pub environment: EnvironmentName,
    /// The override.
    pub given: Override,
    /// The stacks that may start now.
    pub stacks: Vec<StackName>,
    /// The zone in which the environment is spoken of.
    pub zone: String,
    /// The commit of the lock.
    pub lock_commit: CommitId,
}

/// When releases of an environment may start. Instants are data: each platform shows them in the reader's own time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvironmentCalendar {
    /// Its name.
    pub environment: EnvironmentName,
    /// The zone in which it is spoken of.
    pub zone: String,
    /// What holds now.
    pub decision: Decision,
    /// The running opening and the next ones.
    pub openings: Vec<Opening>,
    /// Freezes in force and ahead.
    pub freezes: Vec<FrozenStretch>,
    /// Holds on everything new of a stack or of the environment.
    pub holds: Vec<Hold>,
    /// Overrides in force.
    pub overrides: Vec<Override>,
    /// What waits to start.
    pub planned: Vec<Planned>,
}

/// Something that waits to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The release, or the number that a candidate will get.
    pub release: ReleaseNumber,
    /// Its stacks.
    pub stacks: Vec<StackName>,
    /// Is it released, or must people agree first?
    pub state: PlannedState,
    /// The earliest moment at which it may start; none: none in sight.
    pub starts_at: Option<Timestamp>,
}

/// Where something planned stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedState {
    /// It waits for its opening.
    Released,
    /// It waits for people.
    NeedsApproval,
}

/// Why a freeze, a hold or an override was not made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "gate")]
pub enum GateRefusal {
    /// The moment is none.
    BadMoment {
        /// Why.
        why: NoMoment,
        /// The zone in which the environment is spoken of.
        zone: String,
    },
    /// There is no lock that it could be written into.
    NoLock {
        /// Where.
        environment: EnvironmentName,
        /// What was asked for.
        command: &'static str,
    },
    /// A freeze holds that long already.
    AlreadyFrozen {
        /// Where.
        environment: EnvironmentName,
        /// The freeze.
        freeze: Box<LockedFreeze>,
        /// The zone in which the environment is spoken of.
        zone: String,
    },
    /// No freeze was made by command.
    NotFrozen {
        /// Where.
        environment: EnvironmentName,
        /// Freezes in force that are written in files: their name and place.
        written: Vec<(String, Option<Place>)>,
    },
    /// A hold stops that already.
    AlreadyHeld {
        /// Where.
        environment: EnvironmentName,
        /// The hold.
        hold: Box<Hold>,
    },
    /// No hold on the whole environment.
    EnvironmentNotHeld {
        /// Where.
        environment: EnvironmentName,
        /// Stacks with holds of their own.
        held: Vec<StackName>,
    },
    /// The hold is written in a file, and the bot changes locks alone.
    HoldIsWritten {
        /// Where.
        environment: EnvironmentName,
        /// The hold.
        hold: Box<Hold>,
    },
    /// No stack is at that release.
    NotCurrent {
        /// Where.
        environment: EnvironmentName,
        /// What was asked for.
        asked: ReleaseNumber,
        /// The stack that was named, if one was.
        stack: Option<StackName>,
        /// The release of each stack.
        current: BTreeMap<StackName, ReleaseNumber>,
    },
    /// Every host runs it already.
    LiveEverywhere {
        /// Where.
        environment: EnvironmentName,
        /// Which.
        release: ReleaseNumber,
    },
    /// It failed: an override passes what people decided, not what checks said.
    ReleaseFailed {
        /// Where.
        environment: EnvironmentName,
        /// Which.
        release: ReleaseNumber,
        /// Which stack.
        stack: StackName,
    },
    /// Nothing that an override passes stands in its way.
    NothingStops {
        /// Where.
        environment: EnvironmentName,
        /// Which.
        release: ReleaseNumber,
    },
    /// An override lets it pass already.
    AlreadyOverridden {
        /// Where.
        environment: EnvironmentName,
        /// The override.
        given: Box<Override>,
        /// The zone in which the environment is spoken of.
        zone: String,
    },
    /// No override holds that long.
    OverrideTooLong {
        /// The most, in hours.
        hours_max: i64,
    },
    /// There are too many in force.
    TooMany {
        /// What was asked for.
        command: &'static str,
        /// The most.
        max: usize,
    },
    /// The candidate's stacks are held, so that it cannot be released.
    CandidateHeld {
        /// The candidate.
        candidate: CandidateRef,
        /// What holds it.
        hold: Box<Hold>,
        /// Where that stands.
        home: HoldHome,
    },
}
