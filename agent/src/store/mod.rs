//! What the agent remembers, in a small SQLite database: which commit it trusts, what is released, what failed, what is
//! being done, and the news not yet delivered. State and news change in one transaction.
//!
//! It never needs a backup: without it, the released state is derived again from the lock and from the containers that
//! carry the right identities. A database that cannot be read is therefore put aside, not mended.

mod model;
mod outbox;

pub use model::{Change, HistoryEntry, JournalEntry, Memory, Removal, StackMemory, TroubleMemory, Write, outcome_word};
pub use outbox::{OUTBOX_MAX_EVENTS, Undelivered};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_core::events::Event;
use tidegate_core::ids::StackName;

/// Version of the tables; another one is put aside like a broken database.
const TABLES_VERSION: i64 = 1;
/// How many ended rollouts are remembered for people.
pub const HISTORY_MAX_ENTRIES: i64 = 500;
/// How long to wait for another process (the command line) to release the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS stacks (name TEXT PRIMARY KEY, memory TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS troubles (code TEXT PRIMARY KEY, trouble TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS history (number INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS outbox (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, at TEXT NOT NULL, event TEXT NOT NULL) STRICT;
";

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said no.
    #[error("the agent's database could not {tried}")]
    Database {
        /// e.g. `write a change`.
        tried: &'static str,
        /// The cause.
        source: rusqlite::Error,
    },
    /// The folder or file cannot be used.
    #[error("could not use the agent's database {path}; check that the folder exists and can be written")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A value could not be turned into JSON.
    #[error("could not write {what} as JSON")]
    Json {
        /// What.
        what: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// The thread that works for the store is gone: only while the program ends.
    #[error("the agent's database is closed")]
    Closed,
}

fn database(tried: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| StoreError::Database { tried, source }
}

/// The store. Cheap to clone; all calls run off the async threads.
#[derive(Clone)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
    news: News,
    counts: Arc<Mutex<Counts>>,
}

/// Is there somebody to deliver news to?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// They are kept until the bot has them.
    Kept,
    /// There is no bot: they are not written.
    NobodyListens,
}

/// What was counted since the program started, for metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ended rollouts by outcome.
    pub rollouts: BTreeMap<String, u64>,
    /// Repairs.
    pub repairs: u64,
}

impl Store {
    /// Opens or creates the database. Blocking: only at start.
    pub fn open(path: &Path, now: Timestamp, news: News) -> Result<Store, StoreError> {
        match Store::try_open(path, now, news) {
            Err(StoreError::Database { source, .. }) if is_broken(&source) => {
                put_aside(path, now)?;
                Store::try_open(path, now, news)
            }
            other => other,
        }
    }

    fn try_open(path: &Path, now: Timestamp, news: News) -> Result<Store, StoreError> {
        let mut connection = Connection::open(path).map_err(database("be opened"))?;
        set_up(&connection).map_err(database("be set up"))?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(database("be set up"))?;
        check_version(&transaction)?;
        transaction.execute_batch(TABLES).map_err(database("make its tables"))?;
        let epoch = now.as_millisecond().max(1);
        transaction
            .execute("INSERT OR IGNORE INTO facts (name, value) VALUES ('epoch', ?1)", [epoch.to_string()])
            .map_err(database("begin its outbox"))?;
        transaction.pragma_update(None, "user_version", TABLES_VERSION).map_err(database("be set up"))?;
        transaction.commit().map_err(database("be set up"))?;
        Ok(Store { connection: Arc::new(Mutex::new(connection)), news, counts: Arc::default() })
    }

    /// Opens an existing database only for reading, beside a running agent.
    pub fn open_to_read(path: &Path) -> Result<Store, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(database("be opened"))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(database("be opened"))?;
        Ok(Store { connection: Arc::new(Mutex::new(connection)), news: News::NobodyListens, counts: Arc::default() })
    }

    /// Runs something with the connection on a thread that may block.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = Arc::clone(&self.connection);
        let joined = tokio::task::spawn_blocking(move || {
            // A panic inside a transaction rolled it back: the connection is still good.
            let mut guard = connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            work(&mut guard)
        });
        joined.await.map_err(|_| StoreError::Closed)?
    }

    /// Everything that is remembered.
    pub async fn memory(&self) -> Result<Memory, StoreError> {
        self.call(|connection| model::read_memory(connection)).await
    }

    /// Writes a change: all of it or nothing.
    pub async fn commit(&self, change: Change) -> Result<(), StoreError> {
        if change.is_empty() {
            return Ok(());
        }
        self.count(&change.events);
        let mut change = change;
        if self.news == News::NobodyListens {
            change.events.clear();
        }
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(database("begin a change"))?;
            for write in &change.writes {
                write_one(&transaction, write)?;
            }
            for event in &change.events {
                outbox::insert(&transaction, change.at, event)?;
            }
            transaction.commit().map_err(database("write a change"))
        })
        .await
    }

    fn count(&self, events: &[Event]) {
        let mut counts = self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for event in events {
            match event {
                Event::Finished(finished) => *counts.rollouts.entry(model::outcome_word(&finished.outcome).to_owned()).or_default() += 1,
                Event::Repaired(_) => counts.repairs += 1,
                _ => {}
            }
        }
    }

    /// What was counted since the start.
    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The last ended rollouts, newest first.
    pub async fn history(&self, limit: u32) -> Result<Vec<HistoryEntry>, StoreError> {
        self.call(move |connection| {
            let mut statement =
                connection.prepare("SELECT entry FROM history ORDER BY number DESC LIMIT ?1").map_err(database("read its history"))?;
            let rows = statement.query_map([limit], |row| row.get::<_, String>(0)).map_err(database("read its history"))?;
            let texts = rows.collect::<Result<Vec<_>, _>>().map_err(database("read its history"))?;
            Ok(texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
        })
        .await
    }

    /// The oldest events not yet delivered, as many as fit into a batch.
    pub async fn undelivered(&self, limit: usize) -> Result<Undelivered, StoreError> {
        self.call(move |connection| outbox::read(connection, limit)).await
    }

    /// Forgets the events that the bot has.
    pub async fn delivered(&self, through: u64) -> Result<(), StoreError> {
        self.call(move |connection| outbox::forget(connection, through)).await
    }

    /// Drops one event that the bot will never take, and counts it.
    pub async fn drop_undeliverable(&self, sequence: u64) -> Result<(), StoreError> {
        self.call(move |connection| outbox::drop_one(connection, sequence)).await
    }
}

fn set_up(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // In KiB: the whole database is smaller than the default cache.
    connection.pragma_update(None, "cache_size", -256)
}

fn check_version(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(database("tell its version"))?;
    if found == 0 || found == TABLES_VERSION {
        Ok(())
    } else {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB);
        let source = rusqlite::Error::SqliteFailure(code, Some(format!("its tables are version {found}, this program's {TABLES_VERSION}")));
        Err(StoreError::Database { tried: "be used", source })
    }
}

fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt))
}

/// Keeps the broken database under another name, for whoever wants to look.
fn put_aside(path: &Path, now: Timestamp) -> Result<(), StoreError> {
    tracing::warn!(path = %path.display(), "the database cannot be read and is put aside; the state is derived again from the lock and the engine");
    for suffix in ["", "-wal", "-shm"] {
        let from = PathBuf::from(format!("{}{suffix}", path.display()));
        let to = PathBuf::from(format!("{}.broken-{}{suffix}", path.display(), now.as_second()));
        match std::fs::rename(&from, &to) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::File { path: from, source }),
            _ => {}
        }
    }
    Ok(())
}

fn write_one(transaction: &Transaction<'_>, write: &Write) -> Result<(), StoreError> {
    match write {
        Write::Trusted(commit) => fact(transaction, "trusted", commit.as_str()),
        Write::Valid(commit) => fact(transaction, "valid", commit.as_str()),
        Write::Refused(commit) => fact(transaction, "refused", commit.as_str()),
        Write::Environment(environment) => fact(transaction, "environment", environment.as_str()),
        Write::ClockSeen(time) => fact(transaction, "clock_seen", &time.to_string()),
        Write::Stack(name, memory) => stack(transaction, name, memory),
        Write::Forget(name) => run(transaction, "DELETE FROM stacks WHERE name = ?1", &[name.as_str()]),
        Write::Trouble(code, trouble) => {
            let sql = "INSERT INTO troubles (code, trouble) VALUES (?1, ?2) ON CONFLICT (code) DO UPDATE SET trouble = excluded.trouble";
            run(transaction, sql, &[code, &json("a trouble", trouble)?])
        }
        Write::TroubleOver(code) => run(transaction, "DELETE FROM troubles WHERE code = ?1", &[code]),
        Write::History(entry) => {
            run(transaction, "INSERT INTO history (entry) VALUES (?1)", &[&json("history", entry)?])?;
            transaction
                .execute("DELETE FROM history WHERE number <= (SELECT max(number) FROM history) - ?1", params![HISTORY_MAX_ENTRIES])
                .map(drop)
                .map_err(database("write a change"))
        }
    }
}

fn stack(transaction: &Transaction<'_>, name: &StackName, memory: &StackMemory) -> Result<(), StoreError> {
    let sql = "INSERT INTO stacks (name, memory) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET memory = excluded.memory";
    run(transaction, sql, &[name.as_str(), &json("a stack's memory", memory)?])
}

fn fact(transaction: &Transaction<'_>, name: &str, value: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO facts (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    run(transaction, sql, &[name, value])
}

fn read_fact(connection: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    connection.query_row("SELECT value FROM facts WHERE name = ?1", [name], |row| row.get(0)).optional().map_err(database("be read"))
}

fn run(transaction: &Transaction<'_>, sql: &str, values: &[&str]) -> Result<(), StoreError> {
    transaction.execute(sql, rusqlite::params_from_iter(values)).map(drop).map_err(database("write a change"))
}

fn json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Json { what, source })
}

#[cfg(test)]
mod tests;
