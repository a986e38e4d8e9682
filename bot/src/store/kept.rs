//! What a chat platform remembers for itself, in spaces of its own: where its messages are, what its buttons mean, how
//! far it has told the news. The store does not know what is in them.

use super::rows::{json, readable};
use super::{Store, StoreError};
use crate::notice::Notice;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Serialize, de::DeserializeOwned};

pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS kept (space TEXT NOT NULL, key TEXT NOT NULL, number INTEGER NOT NULL, json TEXT NOT NULL,
        PRIMARY KEY (space, key)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS kept_by_number ON kept (space, number);
";

/// What was there before something was kept once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing: it is new.
    New,
    /// The same key.
    Before,
}

impl Store {
    /// Keeps a value under a key; what was there is replaced.
    pub async fn keep<T: Serialize>(&self, space: &'static str, key: &str, value: &T) -> Result<(), StoreError> {
        let (key, text) = (key.to_owned(), json(value).map_err(StoreError::Job)?);
        self.run(move |connection| {
            let sql = "INSERT INTO kept VALUES (?1, ?2, (SELECT COALESCE(MAX(number), 0) + 1 FROM kept WHERE space = ?1), ?3)
                ON CONFLICT DO UPDATE SET json = excluded.json";
            connection.prepare_cached(sql)?.execute(params![space, key, text]).map(drop)
        })
        .await
    }

    /// Keeps a key once, and only the newest `max` of its space.
    pub async fn keep_once(&self, space: &'static str, key: &str, max: u32) -> Result<Kept, StoreError> {
        let key = key.to_owned();
        self.run(move |connection| {
            let sql = "INSERT INTO kept VALUES (?1, ?2, (SELECT COALESCE(MAX(number), 0) + 1 FROM kept WHERE space = ?1), 'null')
                ON CONFLICT DO NOTHING";
            let new = connection.prepare_cached(sql)?.execute(params![space, key])?;
            trim(connection, space, max)?;
            Ok(if new == 0 { Kept::Before } else { Kept::New })
        })
        .await
    }

    /// The value under a key.
    pub async fn kept<T: DeserializeOwned>(&self, space: &'static str, key: &str) -> Result<Option<T>, StoreError> {
        let key = key.to_owned();
        let text: Option<String> = self
            .run(move |connection| {
                let mut query = connection.prepare_cached("SELECT json FROM kept WHERE space = ?1 AND key = ?2")?;
                query.query_row(params![space, key], |row| row.get(0)).optional()
            })
            .await?;
        Ok(text.and_then(|text| readable(&text)))
    }

    /// Everything of a space, oldest first.
    pub async fn all_kept<T: DeserializeOwned>(&self, space: &'static str) -> Result<Vec<(String, T)>, StoreError> {
        let rows: Vec<(String, String)> = self
            .run(move |connection| {
                let mut query = connection.prepare_cached("SELECT key, json FROM kept WHERE space = ?1 ORDER BY number")?;
                let rows = query.query_map([space], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect()
            })
            .await?;
        Ok(rows.into_iter().filter_map(|(key, text)| Some((key, readable(&text)?))).collect())
    }

    /// Keeps only the newest of a space.
    pub async fn trim_kept(&self, space: &'static str, max: u32) -> Result<(), StoreError> {
        self.run(move |connection| trim(connection, space, max)).await
    }

    /// Forgets a key.
    pub async fn forget(&self, space: &'static str, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.run(move |connection| {
            connection.prepare_cached("DELETE FROM kept WHERE space = ?1 AND key = ?2")?.execute(params![space, key]).map(drop)
        })
        .await
    }

    /// News after a number, oldest first, whoever else has told them.
    pub async fn notices_after(&self, number: i64, limit: u32) -> Result<Vec<(i64, String, Notice)>, StoreError> {
        let rows: Vec<(i64, String, String)> = self
            .run(move |connection| {
                let mut query = connection.prepare_cached("SELECT id, key, json FROM notices WHERE id > ?1 ORDER BY id LIMIT ?2")?;
                let rows = query.query_map(params![number, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
                rows.collect()
            })
            .await?;
        Ok(rows.into_iter().filter_map(|(id, key, text)| Some((id, key, readable(&text)?))).collect())
    }

    /// The number of the newest news.
    pub async fn newest_notice(&self) -> Result<i64, StoreError> {
        self.run(|connection| connection.query_row("SELECT COALESCE(MAX(id), 0) FROM notices", [], |row| row.get(0))).await
    }
}

fn trim(connection: &Connection, space: &str, max: u32) -> Result<(), rusqlite::Error> {
    let sql = "DELETE FROM kept WHERE space = ?1 AND number <= (SELECT MAX(number) FROM kept WHERE space = ?1) - ?2";
    connection.prepare_cached(sql)?.execute(params![space, max]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_once_is_new_once_and_spaces_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bot.db");
        let (store, writer) = Store::open(&path).unwrap();
        assert_eq!(store.keep_once("seen", "1", 3).await.unwrap(), Kept::New);
        assert_eq!(store.keep_once("seen", "1", 3).await.unwrap(), Kept::Before);
        for key in ["2", "3", "4"] {
            store.keep_once("seen", key, 3).await.unwrap();
        }
        assert_eq!(store.all_kept::<()>("seen").await.unwrap().len(), 3);
        store.keep("cards", "a", &7_u32).await.unwrap();
        store.keep("cards", "a", &8_u32).await.unwrap();
        drop(store);
        writer.join().unwrap();
        let (store, _) = Store::open(&path).unwrap();
        assert_eq!(store.kept::<u32>("cards", "a").await.unwrap(), Some(8));
        store.forget("cards", "a").await.unwrap();
        assert_eq!(store.kept::<u32>("cards", "a").await.unwrap(), None);
    }
}
