//! What buttons mean. A button carries only the name of a record kept here; what it stands for, for whom and how long is
//! never in the message, so that nothing in a message can be forged into a right.

use crate::store::{Store, StoreError};
use jiff::Timestamp;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidegate_core::ids::{ContentId, EnvironmentName, ReleaseNumber, StackName};
use tidegate_core::policy::Subject;

/// Records kept; the oldest go first.
const RECORDS_MAX: u32 = 5_000;
const SPACE: &str = "discord.buttons";
/// Begins each name, so that a later form can be told apart.
const PREFIX: &str = "t1:";
/// Letters and digits of a name: 20 of them, of 32, cannot be guessed.
const NAME_CHARS: usize = 20;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What a button does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act")]
pub enum Act {
    /// Agrees to exactly this.
    Approve {
        /// The commit and the plan.
        subject: Subject,
    },
    /// Says no to exactly this; asks for the reason.
    Reject {
        /// The commit and the plan.
        subject: Subject,
    },
    /// Says why it waits.
    Why,
    /// Shows what changes.
    Diff {
        /// Counted within the environment.
        card: u64,
    },
    /// Asks whether to go back, and to what.
    RollBack {
        /// Which stack; none: the person is asked.
        stack: Option<StackName>,
    },
    /// Goes back.
    RollBackNow {
        /// Which stack.
        stack: StackName,
        /// What the person was shown as current.
        from: ReleaseNumber,
        /// The content of it.
        #[serde(default)]
        content: Option<ContentId>,
        /// Where to.
        to: ReleaseNumber,
        /// Why.
        reason: Option<String>,
    },
    /// Chooses another release to go back to.
    ChooseTarget {
        /// Which stack.
        stack: StackName,
        /// Why.
        reason: Option<String>,
    },
    /// Does nothing after all.
    Cancel,
}

/// A button's meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it does.
    pub act: Act,
    /// Where.
    pub environment: EnvironmentName,
    /// Whose press counts; none: anybody's who may.
    pub only_for: Option<u64>,
    /// Not after this; none: as long as what it names is current.
    pub until: Option<Timestamp>,
    /// Was it pressed, where once is enough?
    pub used: bool,
}

impl Record {
    /// A button that anybody may press.
    pub fn open(act: Act, environment: EnvironmentName) -> Record {
        Record { act, environment, only_for: None, until: None, used: false }
    }
}

/// All records, in memory and in the store.
#[derive(Debug)]
pub struct Records {
    store: Store,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    records: BTreeMap<String, Record>,
    names: BTreeMap<String, String>,
    order: VecDeque<String>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    key: Option<String>,
    record: Record,
}

impl Records {
    /// With what the store remembers.
    pub async fn open(store: Store) -> Result<Records, StoreError> {
        let mut inner = Inner::default();
        for (name, row) in store.all_kept::<Row>(SPACE).await? {
            inner.insert(name, row.key, row.record);
        }
        Ok(Records { store, inner: Mutex::new(inner) })
    }

    /// The name of a record under a key of its own: the same key and meaning give the same name, so that a card that is
    /// edited a hundred times has one name for each button.
    pub async fn standing(&self, key: String, record: Record) -> Result<String, StoreError> {
        let known = {
            let inner = self.inner();
            inner.names.get(&key).filter(|name| inner.records.get(*name) == Some(&record)).cloned()
        };
        match known {
            Some(name) => Ok(name),
            None => self.add(Some(key), record).await,
        }
    }

    /// The name of a new record. It is durable before anybody sees it.
    pub async fn once(&self, record: Record) -> Result<String, StoreError> {
        self.add(None, record).await
    }

    async fn add(&self, key: Option<String>, record: Record) -> Result<String, StoreError> {
        let name = new_name();
        self.store.keep(SPACE, &name, &Row { key: key.clone(), record: record.clone() }).await?;
        let over = self.inner().insert(name.clone(), key, record);
        if over {
            self.store.trim_kept(SPACE, RECORDS_MAX).await?;
        }
        Ok(name)
    }

    /// The record of a name; none: forged, or so old that it is forgotten.
    pub fn get(&self, name: &str) -> Option<Record> {
        self.inner().records.get(name).cloned()
    }

    /// Uses a record up. False: somebody did before, or it is gone.
    pub async fn use_up(&self, name: &str) -> Result<bool, StoreError> {
        let record = {
            let mut inner = self.inner();
            let Some(record) = inner.records.get_mut(name).filter(|record| !record.used) else { return Ok(false) };
            record.used = true;
            record.clone()
        };
        self.store.keep(SPACE, name, &Row { key: None, record }).await?;
        Ok(true)
    }

    /// Gives back what was used up for something that was then not done.
    pub async fn give_back(&self, name: &str) -> Result<(), StoreError> {
        let record = {
            let mut inner = self.inner();
            let Some(record) = inner.records.get_mut(name) else { return Ok(()) };
            record.used = false;
            record.clone()
        };
        self.store.keep(SPACE, name, &Row { key: None, record }).await
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// True: an old one had to go.
    fn insert(&mut self, name: String, key: Option<String>, record: Record) -> bool {
        if let Some(key) = key {
            self.names.insert(key, name.clone());
        }
        self.records.insert(name.clone(), record);
        self.order.push_back(name);
        let over = self.order.len() > RECORDS_MAX as usize;
        if over && let Some(oldest) = self.order.pop_front() {
            self.records.remove(&oldest);
            self.names.retain(|_, name| *name != oldest);
        }
        over
    }
}

fn new_name() -> String {
    let mut random = rand::rng();
    let chars = (0..NAME_CHARS).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]));
    format!("{PREFIX}{}", chars.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(act: Act) -> Record {
        Record::open(act, "production".parse().unwrap())
    }

    #[tokio::test]
    async fn a_standing_button_keeps_its_name_until_it_means_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _writer) = Store::open(&folder.path().join("bot.db")).unwrap();
        let records = Records::open(store.clone()).await.unwrap();
        let subject =
            |commit: char| Subject { commit: commit.to_string().repeat(40).parse().unwrap(), plan: "b".repeat(64).parse().unwrap() };
        let approve = |commit| record(Act::Approve { subject: subject(commit) });
        let first = records.standing("production/1/approve".into(), approve('a')).await.unwrap();
        assert_eq!(records.standing("production/1/approve".into(), approve('a')).await.unwrap(), first);
        let second = records.standing("production/1/approve".into(), approve('c')).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(records.get(&first), Some(approve('a')), "an old button still says what it meant");
        assert_eq!(records.get("t1:forged"), None);
        assert!(first.len() <= 100);
        let again = Records::open(store).await.unwrap();
        assert_eq!(again.standing("production/1/approve".into(), approve('c')).await.unwrap(), second, "after a restart too");
    }

    #[tokio::test]
    async fn what_may_happen_once_happens_once_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _writer) = Store::open(&folder.path().join("bot.db")).unwrap();
        let records = Records::open(store.clone()).await.unwrap();
        let name = records.once(record(Act::Cancel)).await.unwrap();
        assert!(records.use_up(&name).await.unwrap());
        assert!(!records.use_up(&name).await.unwrap());
        records.give_back(&name).await.unwrap();
        let records = Records::open(store.clone()).await.unwrap();
        assert!(records.use_up(&name).await.unwrap(), "what was not done may be tried again, after a restart too");
        assert!(!Records::open(store).await.unwrap().use_up(&name).await.unwrap());
    }
}
