//! What is remembered, as plain data, and the changes that can be made to it.

use super::{StoreError, database, read_fact};
use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_core::events::{Event, Failure, Outcome, ReleaseOf};
use tidegate_core::ids::{CommitId, EnvironmentName, ReleaseNumber, StackName};
use tidegate_core::plan::{OperationClass, Overridden, StackRecord};

/// Everything that is remembered, except news and history.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// The newest commit of the branch that was checked and trusted.
    pub trusted: Option<CommitId>,
    /// The newest trusted commit whose config could be used as a whole.
    pub valid: Option<CommitId>,
    /// The newest commit whose findings were told.
    pub refused: Option<CommitId>,
    /// The environment that this host belongs to.
    pub environment: Option<EnvironmentName>,
    /// The latest wall time that was written down.
    pub clock_seen: Option<Timestamp>,
    /// The outbox's epoch.
    pub epoch: u64,
    /// Events that were dropped because nobody took them.
    pub dropped: u64,
    /// Stacks.
    pub stacks: BTreeMap<StackName, StackMemory>,
    /// What is wrong right now, by code.
    pub troubles: BTreeMap<String, TroubleMemory>,
}

/// What is remembered of a stack.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StackMemory {
    /// The facts that the planner decides by.
    pub record: StackRecord,
    /// The rollout in hand; there is one exactly while `record.attempt` is there.
    pub journal: Option<JournalEntry>,
    /// Has a person agreed to its removal?
    pub removal: Removal,
    /// Releases that were offered here and have not begun, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waited: Vec<ReleaseNumber>,
}

/// Has a person agreed to a removal?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// Nobody was asked.
    #[default]
    NotAsked,
    /// Yes.
    Confirmed,
}

/// A rollout in hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Of what.
    pub of: ReleaseOf,
    /// What was released before it, for the news of its end.
    pub from: Option<ReleaseOf>,
    /// Its class.
    pub class: OperationClass,
    /// When it began.
    pub started_at: Timestamp,
    /// It failed, and is being taken back: what went wrong.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// It could not be done in time, and is being taken back.
    #[serde(default)]
    pub error: Option<Failure>,
    /// Its end was already told (taking it back failed, and is being repeated).
    #[serde(default)]
    pub told: bool,
    /// The override that let it start, if one did.
    #[serde(default)]
    pub overridden: Option<Overridden>,
    /// Releases that waited here and never began: this one is newer.
    #[serde(default)]
    pub skipped: Vec<ReleaseNumber>,
    /// When the window that it began in closes, as it was known then.
    #[serde(default)]
    pub closes_at: Option<Timestamp>,
}

impl JournalEntry {
    /// A rollout that begins.
    pub fn new(of: ReleaseOf, from: Option<ReleaseOf>, (class, started_at): (OperationClass, Timestamp)) -> JournalEntry {
        JournalEntry {
            of,
            from,
            class,
            started_at,
            failure: None,
            error: None,
            told: false,
            overridden: None,
            skipped: Vec::new(),
            closes_at: None,
        }
    }
}

/// Something that is wrong right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubleMemory {
    /// One sentence.
    pub cause: String,
    /// Since when.
    pub since: Timestamp,
}

/// The stable word for an outcome, in history and metrics.
pub fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Verified => "verified",
        Outcome::Failed(_) => "failed",
        Outcome::Error(_) => "error",
        Outcome::Superseded => "superseded",
        Outcome::TakenBack { .. } => "taken_back",
    }
}

/// An ended rollout, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When it ended.
    pub at: Timestamp,
    /// Of what.
    pub of: ReleaseOf,
    /// What was released before.
    pub from: Option<ReleaseOf>,
    /// Its class.
    pub class: OperationClass,
    /// `verified`, `failed`, `error`, `superseded`, `taken_back`, `removed`, `adopted`, `local_rollback`.
    pub outcome: String,
    /// Why, if it did not go well or a person gave a reason.
    pub cause: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The override that let it start, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Overridden>,
    /// Releases that waited here and never began: this one is newer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<ReleaseNumber>,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// The newest trusted commit.
    Trusted(CommitId),
    /// The newest valid commit.
    Valid(CommitId),
    /// The newest commit whose findings were told.
    Refused(CommitId),
    /// This host's environment.
    Environment(EnvironmentName),
    /// The wall clock was seen here.
    ClockSeen(Timestamp),
    /// What is remembered of a stack.
    Stack(StackName, Box<StackMemory>),
    /// Nothing is left of a stack.
    Forget(StackName),
    /// Something is wrong.
    Trouble(String, TroubleMemory),
    /// It is not wrong any more.
    TroubleOver(String),
    /// A rollout ended.
    History(Box<HistoryEntry>),
}

/// Writes and news that belong together: all of it becomes durable, or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// What is remembered.
    pub writes: Vec<Write>,
    /// What is told.
    pub events: Vec<Event>,
}

impl Change {
    /// Nothing yet.
    pub fn at(at: Timestamp) -> Change {
        Change { at, writes: Vec::new(), events: Vec::new() }
    }

    /// Adds a write.
    #[must_use]
    pub fn write(mut self, write: Write) -> Change {
        self.writes.push(write);
        self
    }

    /// Adds a stack's memory.
    #[must_use]
    pub fn stack(self, name: &StackName, memory: &StackMemory) -> Change {
        self.write(Write::Stack(name.clone(), Box::new(memory.clone())))
    }

    /// Adds news.
    #[must_use]
    pub fn tell(mut self, event: Event) -> Change {
        self.events.push(event);
        self
    }

    /// Nothing to write?
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.events.is_empty()
    }
}

pub(super) fn read_memory(connection: &Connection) -> Result<Memory, StoreError> {
    let fact = |name| read_fact(connection, name);
    let commit = |name| Ok::<_, StoreError>(fact(name)?.and_then(|text| text.parse::<CommitId>().ok()));
    let number = |name| Ok::<_, StoreError>(fact(name)?.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0));
    Ok(Memory {
        trusted: commit("trusted")?,
        valid: commit("valid")?,
        refused: commit("refused")?,
        environment: fact("environment")?.and_then(|text| text.parse().ok()),
        clock_seen: fact("clock_seen")?.and_then(|text| text.parse().ok()),
        epoch: number("epoch")?,
        dropped: number("dropped")?,
        stacks: pairs(connection, "SELECT name, memory FROM stacks")?,
        troubles: pairs(connection, "SELECT code, trouble FROM troubles")?,
    })
}

/// Rows of a name and a JSON value. A value that this version cannot read is left out: it is derived again.
fn pairs<K, V>(connection: &Connection, sql: &str) -> Result<BTreeMap<K, V>, StoreError>
where
    K: std::str::FromStr + Ord,
    V: for<'de> Deserialize<'de>,
{
    let mut statement = connection.prepare(sql).map_err(database("be read"))?;
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(database("be read"))?;
    let read = |(key, value): (String, String)| match (key.parse(), serde_json::from_str(&value)) {
        (Ok(key), Ok(value)) => Some((key, value)),
        _ => {
            tracing::warn!(key, "what is remembered under this name cannot be read by this version; it is derived again");
            None
        }
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
