//! Tables and the jobs on them. Documents are JSON: what is looked up by is a column.

use super::{Store, StoreError};
use crate::card::Card;
use crate::chat::Said;
use crate::notice::Notice;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use tidegate_core::events::{Event, HostStatus, Sequenced};
use tidegate_core::ids::{CommitId, ContentId, EnvironmentName, HostName, StackName};

pub(super) const TABLES: &str = "
    CREATE TABLE cards (environment TEXT NOT NULL, id INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY (environment, id)) WITHOUT ROWID;
    CREATE TABLE hosts (host TEXT PRIMARY KEY, environment TEXT NOT NULL, heard_at TEXT NOT NULL, json TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE watermarks (host TEXT PRIMARY KEY, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE events (id INTEGER PRIMARY KEY, environment TEXT NOT NULL, host TEXT NOT NULL, received_at TEXT NOT NULL, json TEXT NOT NULL);
    CREATE INDEX events_by_environment ON events (environment, id);
    CREATE TABLE verified (environment TEXT NOT NULL, stack TEXT NOT NULL, content TEXT NOT NULL, host TEXT NOT NULL,
        PRIMARY KEY (environment, stack, content, host)) WITHOUT ROWID;
    CREATE TABLE activity (id INTEGER PRIMARY KEY, at TEXT NOT NULL, json TEXT NOT NULL);
    CREATE TABLE notices (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, at TEXT NOT NULL, delivered INTEGER NOT NULL DEFAULT 0, json TEXT NOT NULL);
    CREATE INDEX notices_open ON notices (id) WHERE delivered = 0;
    CREATE TABLE trusted (branch TEXT PRIMARY KEY, head TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE chat (id INTEGER PRIMARY KEY AUTOINCREMENT, json TEXT NOT NULL);
";

/// Cards kept of an environment.
pub const CARDS_MAX: u64 = 100;
/// Lines of activity kept.
const ACTIVITY_MAX: i64 = 10_000;
/// Lines of chat kept.
const CHAT_MAX: i64 = 1_000;
/// Delivered notices kept, so that their keys still keep a second one away.
const NOTICES_MAX: i64 = 10_000;

/// How far a host's events were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watermark {
    /// The host's outbox.
    pub epoch: u64,
    /// The last number of it.
    pub sequence: u64,
}

/// A host's last report.
#[derive(Debug, Clone, PartialEq)]
pub struct HostRow {
    /// The host.
    pub host: HostName,
    /// When it was heard.
    pub heard_at: Timestamp,
    /// What it said.
    pub report: HostReport,
}

/// What a host said of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// Its last status; none: it spoke and did not describe itself yet.
    pub status: Option<HostStatus>,
    /// What it cannot do at present: code and cause.
    pub troubles: BTreeMap<String, String>,
}

/// An event that is durable and whose effects are not.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Row.
    pub id: i64,
    /// Who says so.
    pub host: HostName,
    /// When it came.
    pub received_at: Timestamp,
    /// What.
    pub event: Sequenced,
}

/// Who did what, or tried to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// When.
    pub at: Timestamp,
    /// Who, as shown to people.
    pub who: String,
    /// The platform's name and the identity there; none: not a person on a platform.
    pub actor: Option<crate::people::Actor>,
    /// What, one sentence.
    pub what: String,
    /// The commit that came of it.
    pub commit: Option<CommitId>,
    /// Was it refused?
    pub refused: bool,
}

/// Everything that one turn of an environment changes, written together.
#[derive(Debug, Default)]
pub struct Save {
    /// Cards, new and changed.
    pub cards: Vec<Card>,
    /// News, each with a key that it is told once under.
    pub notices: Vec<(String, Notice)>,
    /// Who did what.
    pub activity: Vec<Activity>,
    /// Events whose effects are in this.
    pub handled: Vec<i64>,
    /// Reports of hosts.
    pub hosts: Vec<HostRow>,
    /// Contents that passed on a host.
    pub verified: Vec<(StackName, ContentId, HostName)>,
}

impl Save {
    /// Nothing to write?
    pub fn is_empty(&self) -> bool {
        let Save { cards, notices, activity, handled, hosts, verified } = self;
        cards.is_empty() && notices.is_empty() && activity.is_empty() && handled.is_empty() && hosts.is_empty() && verified.is_empty()
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// A row that cannot be read back (an older program wrote it) is left out: it is news, not truth.
pub(super) fn readable<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).inspect_err(|error| tracing::warn!(%error, "a row of the store cannot be read and is left out")).ok()
}

fn texts(connection: &Connection, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<String>, rusqlite::Error> {
    connection.prepare_cached(sql)?.query_map(parameters, |row| row.get(0))?.collect()
}

impl Store {
    /// Writes what a turn of an environment changed, all of it or nothing.
    pub async fn save(&self, environment: &EnvironmentName, save: Save) -> Result<(), StoreError> {
        if save.is_empty() {
            return Ok(());
        }
        let environment = environment.clone();
        self.run(move |connection| write_turn(connection, &environment, &save)).await
    }

    /// The cards of an environment, oldest first.
    pub async fn cards(&self, environment: &EnvironmentName) -> Result<Vec<Card>, StoreError> {
        let environment = environment.clone();
        let rows = self.run(move |c| texts(c, "SELECT json FROM cards WHERE environment = ?1 ORDER BY id", [environment.as_str()])).await?;
        Ok(rows.iter().filter_map(|row| readable(row)).collect())
    }

    /// The last reports of an environment's hosts.
    pub async fn hosts(&self, environment: &EnvironmentName) -> Result<Vec<HostRow>, StoreError> {
        let environment = environment.clone();
        self.run(move |connection| {
            let mut query = connection.prepare_cached("SELECT host, heard_at, json FROM hosts WHERE environment = ?1 ORDER BY host")?;
            let rows = query.query_map([environment.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<Result<Vec<(String, String, String)>, _>>()
        })
        .await
        .map(|rows| rows.into_iter().filter_map(|(host, at, text)| host_row(&host, &at, &text)).collect())
    }

    /// The contents that passed on a host of an environment.
    pub async fn verified(&self, environment: &EnvironmentName) -> Result<Vec<(StackName, ContentId)>, StoreError> {
        let environment = environment.clone();
        let rows = self
            .run(move |connection| {
                let mut query = connection.prepare_cached("SELECT DISTINCT stack, content FROM verified WHERE environment = ?1")?;
                let rows = query.query_map([environment.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect::<Result<Vec<(String, String)>, _>>()
            })
            .await?;
        Ok(rows.into_iter().filter_map(|(stack, content)| Some((stack.parse().ok()?, content.parse().ok()?))).collect())
    }

    /// Takes a host's events: those that are new become durable, and the watermark with them. Says how far it has them.
    pub async fn take_events(
        &self,
        sender: (EnvironmentName, HostName),
        epoch: u64,
        events: Vec<Sequenced>,
        received_at: Timestamp,
    ) -> Result<Taken, StoreError> {
        self.run(move |connection| take(connection, &sender, epoch, &events, received_at)).await
    }

    /// Events of an environment whose effects are not durable, oldest first.
    pub async fn pending(&self, environment: &EnvironmentName, limit: u32) -> Result<Vec<Pending>, StoreError> {
        let environment = environment.clone();
        let rows = self
            .run(move |connection| {
                let sql = "SELECT id, host, received_at, json FROM events WHERE environment = ?1 ORDER BY id LIMIT ?2";
                let mut query = connection.prepare_cached(sql)?;
                let rows = query
                    .query_map(params![environment.as_str(), limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
                rows.collect::<Result<Vec<(i64, String, String, String)>, _>>()
            })
            .await?;
        let read = |(id, host, at, text): &(i64, String, String, String)| {
            Some(Pending { id: *id, host: host.parse().ok()?, received_at: at.parse().ok()?, event: readable(text)? })
        };
        let unreadable: Vec<i64> = rows.iter().filter(|row| read(row).is_none()).map(|row| row.0).collect();
        self.forget_events(unreadable).await?;
        Ok(rows.iter().filter_map(read).collect())
    }

    /// Drops events that no program can read, so that they do not stand in the way for ever.
    async fn forget_events(&self, ids: Vec<i64>) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.run(move |connection| ids.iter().try_for_each(|id| drop_event(connection, *id))).await
    }

    /// The newest commit of a branch that was followed.
    pub async fn trusted(&self, branch: &str) -> Result<Option<CommitId>, StoreError> {
        let branch = branch.to_owned();
        let rows = self.run(move |connection| texts(connection, "SELECT head FROM trusted WHERE branch = ?1", [branch])).await?;
        Ok(rows.first().and_then(|head| head.parse().ok()))
    }

    /// Remembers it.
    pub async fn trust(&self, branch: &str, head: &CommitId) -> Result<(), StoreError> {
        let (branch, head) = (branch.to_owned(), head.to_string());
        self.run(move |connection| {
            let sql = "INSERT INTO trusted VALUES (?1, ?2) ON CONFLICT DO UPDATE SET head = excluded.head";
            connection.prepare_cached(sql)?.execute([branch, head]).map(drop)
        })
        .await
    }

    /// Adds a line of activity.
    pub async fn note(&self, activity: Activity) -> Result<(), StoreError> {
        self.run(move |connection| write_activity(connection, &activity)).await
    }

    /// The newest lines of activity, newest first.
    pub async fn activity(&self, limit: u32) -> Result<Vec<Activity>, StoreError> {
        let rows = self.run(move |c| texts(c, "SELECT json FROM activity ORDER BY id DESC LIMIT ?1", [limit])).await?;
        Ok(rows.iter().filter_map(|row| readable(row)).collect())
    }

    /// News that belong to no environment's turn. False: it was told before.
    pub async fn notify(&self, key: String, notice: Notice) -> Result<(), StoreError> {
        self.run(move |connection| write_notice(connection, &key, &notice)).await
    }

    /// News that were not delivered yet, oldest first.
    pub async fn undelivered(&self, limit: u32) -> Result<Vec<(i64, Notice)>, StoreError> {
        let rows = self
            .run(move |connection| {
                let mut query = connection.prepare_cached("SELECT id, json FROM notices WHERE delivered = 0 ORDER BY id LIMIT ?1")?;
                let rows = query.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect::<Result<Vec<(i64, String)>, _>>()
            })
            .await?;
        let unreadable: Vec<i64> = rows.iter().filter(|(_, text)| readable::<Notice>(text).is_none()).map(|(id, _)| *id).collect();
        for id in unreadable {
            self.run(move |connection| mark_delivered(connection, id)).await?;
        }
        Ok(rows.iter().filter_map(|(id, text)| Some((*id, readable(text)?))).collect())
    }

    /// Delivers a notice to the chat of this store: the line and the mark in one commit, so that it appears once.
    pub async fn deliver_to_chat(&self, id: i64, said: Said) -> Result<(), StoreError> {
        self.run(move |connection| {
            mark_delivered(connection, id)?;
            write_said(connection, &said).map(drop)
        })
        .await
    }

    /// Adds a line of chat; its number.
    pub async fn say(&self, said: Said) -> Result<u64, StoreError> {
        self.run(move |connection| write_said(connection, &said)).await
    }

    /// The newest lines of chat with their numbers, oldest first.
    pub async fn chat(&self, limit: u32) -> Result<Vec<(u64, Said)>, StoreError> {
        let rows = self
            .run(move |connection| {
                let mut query = connection.prepare_cached("SELECT id, json FROM chat ORDER BY id DESC LIMIT ?1")?;
                let rows = query.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect::<Result<Vec<(u64, String)>, _>>()
            })
            .await?;
        Ok(rows.iter().rev().filter_map(|(id, text)| Some((*id, readable(text)?))).collect())
    }
}

/// How far a host's events are durable here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Through this number of the epoch; so many were new.
    Through {
        /// The last number.
        sequence: u64,
        /// New ones among them.
        new: usize,
    },
    /// The epoch is over: the host has begun a later one.
    EpochOver {
        /// The one in force.
        current: u64,
    },
}

fn host_row(host: &str, at: &str, text: &str) -> Option<HostRow> {
    Some(HostRow { host: host.parse().ok()?, heard_at: at.parse().ok()?, report: readable(text)? })
}

fn write_turn(connection: &Connection, environment: &EnvironmentName, save: &Save) -> Result<(), rusqlite::Error> {
    let environment = environment.as_str();
    for card in &save.cards {
        let sql = "INSERT INTO cards VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET json = excluded.json";
        connection.prepare_cached(sql)?.execute(params![environment, card.id, json(card)?])?;
        let oldest_kept = card.id.saturating_sub(CARDS_MAX);
        connection.prepare_cached("DELETE FROM cards WHERE environment = ?1 AND id < ?2")?.execute(params![environment, oldest_kept])?;
    }
    for (key, notice) in &save.notices {
        write_notice(connection, key, notice)?;
    }
    save.activity.iter().try_for_each(|line| write_activity(connection, line))?;
    save.handled.iter().try_for_each(|id| drop_event(connection, *id))?;
    for row in &save.hosts {
        let sql = "INSERT INTO hosts VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
            environment = excluded.environment, heard_at = excluded.heard_at, json = excluded.json";
        connection.prepare_cached(sql)?.execute(params![row.host.as_str(), environment, row.heard_at.to_string(), json(&row.report)?])?;
    }
    for (stack, content, host) in &save.verified {
        let sql = "INSERT OR IGNORE INTO verified VALUES (?1, ?2, ?3, ?4)";
        connection.prepare_cached(sql)?.execute([environment, stack.as_str(), content.as_str(), host.as_str()])?;
    }
    Ok(())
}

fn write_notice(connection: &Connection, key: &str, notice: &Notice) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO notices (key, at, json) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![key, notice.at.to_string(), json(notice)?])?;
    let sql = "DELETE FROM notices WHERE delivered = 1 AND id <= (SELECT MAX(id) FROM notices) - ?1";
    connection.prepare_cached(sql)?.execute([NOTICES_MAX]).map(drop)
}

fn mark_delivered(connection: &Connection, id: i64) -> Result<(), rusqlite::Error> {
    connection.prepare_cached("UPDATE notices SET delivered = 1 WHERE id = ?1")?.execute([id]).map(drop)
}

fn write_activity(connection: &Connection, line: &Activity) -> Result<(), rusqlite::Error> {
    connection.prepare_cached("INSERT INTO activity (at, json) VALUES (?1, ?2)")?.execute(params![line.at.to_string(), json(line)?])?;
    let sql = "DELETE FROM activity WHERE id <= (SELECT MAX(id) FROM activity) - ?1";
    connection.prepare_cached(sql)?.execute([ACTIVITY_MAX]).map(drop)
}

fn write_said(connection: &Connection, said: &Said) -> Result<u64, rusqlite::Error> {
    connection.prepare_cached("INSERT INTO chat (json) VALUES (?1)")?.execute([json(said)?])?;
    let number = connection.last_insert_rowid();
    connection.prepare_cached("DELETE FROM chat WHERE id <= ?1")?.execute([number - CHAT_MAX])?;
    Ok(number.unsigned_abs())
}

fn drop_event(connection: &Connection, id: i64) -> Result<(), rusqlite::Error> {
    connection.prepare_cached("DELETE FROM events WHERE id = ?1")?.execute([id]).map(drop)
}

fn take(
    connection: &Connection,
    (environment, host): &(EnvironmentName, HostName),
    epoch: u64,
    events: &[Sequenced],
    received_at: Timestamp,
) -> Result<Taken, rusqlite::Error> {
    let known = watermark(connection, host)?;
    if let Some(known) = known.filter(|known| known.epoch > epoch) {
        return Ok(Taken::EpochOver { current: known.epoch });
    }
    let had = known.filter(|known| known.epoch == epoch).map_or(0, |known| known.sequence);
    let is_new = |event: &&Sequenced| event.sequence > had || (known.is_none_or(|k| k.epoch < epoch) && event.sequence == 0);
    let new: Vec<&Sequenced> = events.iter().filter(is_new).collect();
    let last_status = new.iter().rposition(|event| matches!(event.event, Event::Status(_)));
    for (at, event) in new.iter().enumerate() {
        // A status is replaced by a newer one: only the last of a batch is worth a row.
        if matches!(event.event, Event::Status(_)) && last_status != Some(at) {
            continue;
        }
        let sql = "INSERT INTO events (environment, host, received_at, json) VALUES (?1, ?2, ?3, ?4)";
        let values = params![environment.as_str(), host.as_str(), received_at.to_string(), json(event)?];
        connection.prepare_cached(sql)?.execute(values)?;
    }
    let sequence = new.last().map_or(had, |event| event.sequence);
    let sql = "INSERT INTO watermarks VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence";
    connection.prepare_cached(sql)?.execute(params![host.as_str(), as_i64(epoch), as_i64(sequence)])?;
    Ok(Taken::Through { sequence, new: new.len() })
}

/// SQLite keeps 63 bits and a sign; the intake refuses numbers beyond them before they come here.
fn as_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn watermark(connection: &Connection, host: &HostName) -> Result<Option<Watermark>, rusqlite::Error> {
    let sql = "SELECT epoch, sequence FROM watermarks WHERE host = ?1";
    connection
        .prepare_cached(sql)?
        .query_row([host.as_str()], |row| {
            let (epoch, sequence): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok(Watermark { epoch: epoch.unsigned_abs(), sequence: sequence.unsigned_abs() })
        })
        .optional()
}
