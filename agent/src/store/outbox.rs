//! The outbox: news in order, numbered, kept until the bot has it. Bounded; what is dropped is counted.

use super::{StoreError, database, json, read_fact, run};
use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};
use tidegate_core::events::{BATCH_MAX_BYTES, Event, Sequenced};

/// Most events that wait for delivery. Beyond it progress goes first, then the oldest.
pub const OUTBOX_MAX_EVENTS: i64 = 5_000;
/// Room in a batch for what surrounds its events, in bytes.
const ENVELOPE_BYTES: usize = 1_024;

/// News that the bot does not have yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Undelivered {
    /// The outbox's epoch.
    pub epoch: u64,
    /// The oldest events, in order.
    pub events: Vec<Sequenced>,
    /// How many wait in all.
    pub waiting: u64,
    /// How many were dropped so far.
    pub dropped: u64,
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Status(_) => "status",
        Event::Progress(_) => "progress",
        _ => "news",
    }
}

/// Adds an event. A status replaces the one that still waits.
pub(super) fn insert(transaction: &Transaction<'_>, at: Timestamp, event: &Event) -> Result<(), StoreError> {
    if let Event::Status(_) = event {
        run(transaction, "DELETE FROM outbox WHERE kind = 'status'", &[])?;
    }
    let (at, text) = (at.to_string(), json("an event", event)?);
    run(transaction, "INSERT INTO outbox (kind, at, event) VALUES (?1, ?2, ?3)", &[kind(event), &at, &text])?;
    bound(transaction)
}

fn bound(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let excess = count(transaction)? - OUTBOX_MAX_EVENTS;
    if excess <= 0 {
        return Ok(());
    }
    let progress = "DELETE FROM outbox WHERE sequence IN (SELECT sequence FROM outbox WHERE kind = 'progress' ORDER BY sequence LIMIT ?1)";
    let mut gone = transaction.execute(progress, params![excess]).map_err(database("shorten its outbox"))?;
    let left = excess - i64::try_from(gone).unwrap_or(excess);
    if left > 0 {
        let oldest = "DELETE FROM outbox WHERE sequence IN (SELECT sequence FROM outbox ORDER BY sequence LIMIT ?1)";
        gone += transaction.execute(oldest, params![left]).map_err(database("shorten its outbox"))?;
    }
    count_dropped(transaction, gone)
}

fn count(connection: &Connection) -> Result<i64, StoreError> {
    connection.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).map_err(database("count its outbox"))
}

fn count_dropped(connection: &Connection, more: usize) -> Result<(), StoreError> {
    let sql = "INSERT INTO facts (name, value) VALUES ('dropped', ?1)
               ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + ?1 AS TEXT)";
    connection.execute(sql, [more.to_string()]).map(drop).map_err(database("count what it dropped"))
}

pub(super) fn read(connection: &Connection, limit: usize) -> Result<Undelivered, StoreError> {
    let number = |name| Ok::<_, StoreError>(read_fact(connection, name)?.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0));
    let mut statement =
        connection.prepare_cached("SELECT sequence, at, event FROM outbox ORDER BY sequence").map_err(database("read its outbox"))?;
    let mut rows = statement.query([]).map_err(database("read its outbox"))?;
    let (mut events, mut unreadable) = (Vec::new(), Vec::new());
    let mut bytes = ENVELOPE_BYTES;
    while let Some(row) = rows.next().map_err(database("read its outbox"))?.filter(|_| events.len() < limit) {
        let (sequence, at, text) = row_parts(row).map_err(database("read its outbox"))?;
        // An event of another version cannot be read any more. It is dropped at once, or it would stand before all others.
        let (Ok(at), Ok(event)) = (at.parse::<Timestamp>(), serde_json::from_str(&text)) else {
            unreadable.push(sequence);
            continue;
        };
        bytes += text.len() + 96;
        if bytes > BATCH_MAX_BYTES && !events.is_empty() {
            break;
        }
        events.push(Sequenced { sequence, at, event });
    }
    drop(rows);
    unreadable.into_iter().try_for_each(|sequence| drop_one(connection, sequence))?;
    let waiting = u64::try_from(count(connection)?).unwrap_or(0);
    Ok(Undelivered { epoch: number("epoch")?, events, waiting, dropped: number("dropped")? })
}

fn row_parts(row: &rusqlite::Row<'_>) -> Result<(u64, String, String), rusqlite::Error> {
    let sequence: i64 = row.get(0)?;
    Ok((u64::try_from(sequence).unwrap_or(0), row.get(1)?, row.get(2)?))
}

pub(super) fn forget(connection: &Connection, through: u64) -> Result<(), StoreError> {
    let through = i64::try_from(through).unwrap_or(i64::MAX);
    connection.execute("DELETE FROM outbox WHERE sequence <= ?1", params![through]).map(drop).map_err(database("shorten its outbox"))
}

pub(super) fn drop_one(connection: &Connection, sequence: u64) -> Result<(), StoreError> {
    let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
    let gone = connection.execute("DELETE FROM outbox WHERE sequence = ?1", params![sequence]).map_err(database("shorten its outbox"))?;
    count_dropped(connection, gone)
}
