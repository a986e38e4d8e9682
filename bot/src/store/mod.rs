//! What the bot remembers between two starts, in SQLite: cards, approvals, the watermark of each host's events, news
//! that are not delivered yet, and who did what. Git is the truth; deleting this file costs news and open approvals.
//!
//! One thread writes. It takes every job that waits, runs each in its own savepoint and commits them together, so that
//! a thousand small writes cost one sync of the disk. A job is answered only after that commit.

mod kept;
mod rows;

pub use kept::Kept;
pub use rows::{Activity, CARDS_MAX, HostReport, HostRow, Pending, Save, Taken, Watermark};

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, oneshot};

/// Jobs that may wait; more make their senders wait.
const QUEUE_MAX: usize = 4_096;
/// Most jobs in one commit.
const GROUP_MAX: usize = 1_024;
/// The version of the tables. Another one is put aside and built anew.
const TABLES_VERSION: i64 = 2;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened.
    #[error("cannot open the store {path}: {why}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An unusable file cannot be put aside.
    #[error("cannot put the unusable store {path} aside")]
    PutAside {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The writer cannot be started.
    #[error("cannot start the store's thread")]
    Thread(#[source] std::io::Error),
    /// A job failed.
    #[error("the store refused a change")]
    Job(#[source] rusqlite::Error),
    /// A row cannot be read back.
    #[error("a row of the store cannot be read")]
    Row(#[source] serde_json::Error),
    /// The writer is gone: the program stops.
    #[error("the store is closed")]
    Closed,
}

/// Why a file is put aside and built anew.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("its tables are version {found}, and this program writes version {TABLES_VERSION}")]
    OtherVersion { found: i64 },
    #[error("it is damaged: {0}")]
    Damaged(String),
}

type Work = Box<dyn FnOnce(&Connection) -> Box<dyn FnOnce(Result<(), rusqlite::Error>) + Send> + Send>;

/// The store; cheap to clone. The file is closed when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
}

struct Job(Work);

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// The writer's thread; join it after the last [`Store`] is gone.
pub type Writer = std::thread::JoinHandle<()>;

impl Store {
    /// Opens the file, or makes it. One that cannot be used is put aside: nothing in it is needed.
    pub fn open(path: &Path) -> Result<(Store, Writer), StoreError> {
        let connection = match connect(path) {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the store cannot be used and is built anew from git and the hosts' next reports");
                put_aside(path)?;
                connect(path).map_err(|why| StoreError::Open { path: path.to_owned(), why: why.to_string() })?
            }
        };
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let writer =
            std::thread::Builder::new().name("store".into()).spawn(move || write_loop(&connection, queue)).map_err(StoreError::Thread)?;
        Ok((Store { jobs }, writer))
    }

    /// Runs a job in its own savepoint; returns after the commit.
    async fn run<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let result = in_savepoint(connection, job);
            Box::new(move |committed| {
                let _ = answer.send(committed.and(result)); // whoever asked may be gone
            })
        });
        self.jobs.send(Job(work)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?.map_err(StoreError::Job)
    }
}

fn in_savepoint<T>(connection: &Connection, job: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, rusqlite::Error> {
    connection.execute_batch("SAVEPOINT job")?;
    let result = job(connection);
    match &result {
        Ok(_) => connection.execute_batch("RELEASE job")?,
        Err(_) => connection.execute_batch("ROLLBACK TO job; RELEASE job")?,
    }
    result
}

fn write_loop(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while queue.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        write_group(connection, &mut group);
    }
}

fn write_group(connection: &Connection, group: &mut Vec<Job>) {
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    if begun.is_err() {
        // Without a transaction nothing is run: dropping a job tells its sender that the store is closed to it.
        tracing::error!(jobs = group.len(), "the store cannot begin a transaction");
        group.clear();
        return;
    }
    let answers: Vec<_> = group.drain(..).map(|Job(work)| work(connection)).collect();
    let committed = connection.execute_batch("COMMIT");
    if let Err(error) = &committed {
        tracing::error!(%error, "the store cannot commit");
        let _ = connection.execute_batch("ROLLBACK");
    }
    let failed = committed.err().map(|error| error.to_string());
    for answer in answers {
        answer(match &failed {
            None => Ok(()),
            Some(words) => Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT), Some(words.clone()))),
        });
    }
}

fn connect(path: &Path) -> Result<Connection, Unusable> {
    let connection = Connection::open(path)?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;")?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        0 => connection.execute_batch(&format!("BEGIN; {} PRAGMA user_version = {TABLES_VERSION}; COMMIT;", rows::TABLES))?,
        TABLES_VERSION => {}
        found => return Err(Unusable::OtherVersion { found }),
    }
    connection.execute_batch(kept::TABLES)?;
    let healthy: String = connection.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
    if healthy == "ok" { Ok(connection) } else { Err(Unusable::Damaged(healthy)) }
}

fn put_aside(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let from = PathBuf::from(format!("{}{suffix}", path.display()));
        let to = PathBuf::from(format!("{}{suffix}.unusable", path.display()));
        match std::fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(StoreError::PutAside { path: from, source }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Activity;
    use jiff::Timestamp;

    fn line(what: &str) -> Activity {
        Activity { at: Timestamp::UNIX_EPOCH, who: "alice".into(), actor: None, what: what.into(), commit: None, refused: false }
    }

    #[tokio::test]
    async fn what_was_answered_is_there_after_a_restart_and_many_at_once_all_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bot.db");
        let (store, writer) = Store::open(&path).unwrap();
        let notes: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let written = futures_util::future::join_all(notes.iter().map(|what| store.note(line(what)))).await;
        assert!(written.into_iter().all(|written| written.is_ok()));
        drop(store);
        writer.join().unwrap();
        let (store, _) = Store::open(&path).unwrap();
        assert_eq!(store.activity(500).await.unwrap().len(), 200);
    }

    #[tokio::test]
    async fn a_job_that_fails_takes_nothing_else_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _writer) = Store::open(&folder.path().join("bot.db")).unwrap();
        let bad = store.run(|connection| {
            connection.execute("INSERT INTO activity (at, json) VALUES ('x', '{}')", [])?;
            connection.execute("INSERT INTO nowhere VALUES (1)", [])
        });
        let (bad, good) = tokio::join!(bad, store.note(line("good")));
        assert!(matches!(bad, Err(StoreError::Job(_))) && good.is_ok());
        let kept: i64 = store.run(|c| c.query_row("SELECT COUNT(*) FROM activity", [], |row| row.get(0))).await.unwrap();
        assert_eq!(kept, 1, "half of a job is never kept");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_used_is_put_aside_and_not_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bot.db");
        std::fs::write(&path, "this is no database at all, but long enough to be read as one".repeat(20)).unwrap();
        let (store, _writer) = Store::open(&path).unwrap();
        store.note(line("new")).await.unwrap();
        assert!(folder.path().join("bot.db.unusable").exists());
    }
}
