//! Watching the branch: its newest trusted commit, the last one that can be used, and what is wrong with it if it cannot.
//!
//! One task polls; everybody else watches a snapshot. A wake-up carries no data: the branch is read again each time.

use crate::store::{Store, StoreError};
use crate::words;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::files::RepoFiles;
use tidegate_core::findings::{Finding, Severity, has_errors};
use tidegate_core::ids::{CommitId, EnvironmentName};
use tidegate_core::lock::{self, Lock};
use tidegate_core::repo::{self, Repo};
use tidegate_git::{CommitInfo, GitError, Mirror};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Wake-ups that may wait; one more changes nothing.
const WAKES_MAX: usize = 64;
/// Longest pause after failures, whatever the poll interval.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Findings kept of a broken tip.
const FINDINGS_MAX: usize = 50;

/// The repo at a commit that can be used.
#[derive(Debug)]
pub struct Tip {
    /// The commit.
    pub commit: CommitId,
    /// What is there.
    pub repo: Repo,
}

/// A commit that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The commit.
    pub commit: CommitId,
    /// The errors, one line each, with file and line.
    pub findings: Vec<String>,
}

/// What the bot sees of the branch.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The newest commit that descends from all that came before; usable or not.
    pub head: Option<CommitInfo>,
    /// The newest usable one.
    pub tip: Option<Arc<Tip>>,
    /// The locks at the head: they count even while the rest of it is broken.
    pub locks: Arc<BTreeMap<EnvironmentName, Lock>>,
    /// What is wrong with the head.
    pub broken: Option<Broken>,
    /// When the remote answered last.
    pub polled_at: Option<Timestamp>,
    /// Why it does not answer, or is not followed.
    pub trouble: Option<String>,
}

impl Seen {
    /// The newest trusted commit.
    pub fn head_id(&self) -> Option<&CommitId> {
        self.head.as_ref().map(|head| &head.id)
    }
}

enum Wake {
    Soon,
    Now(oneshot::Sender<()>),
}

/// The way to wake the watcher.
#[derive(Debug, Clone)]
pub struct Waker(mpsc::Sender<Wake>);

impl std::fmt::Debug for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wake")
    }
}

impl Waker {
    /// Polls soon. Does not wait; a full queue means that it will be woken anyway.
    pub fn wake(&self) {
        let _ = self.0.try_send(Wake::Soon);
    }

    /// Polls now, and returns when the snapshot is as new as the remote's answer, or the poll failed.
    pub async fn poll_now(&self) {
        let (done, is_done) = oneshot::channel();
        if self.0.send(Wake::Now(done)).await.is_ok() {
            let _ = is_done.await; // the watcher stops: nothing newer will come
        }
    }
}

/// What is watched, and where it is remembered how far it was followed.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The config repo.
    pub mirror: Mirror,
    /// The branch's name, for the memory.
    pub branch: String,
    /// Remembers the newest commit that was followed, so that a branch rewritten while the bot is down is noticed.
    pub store: Store,
}

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("what was followed last cannot be remembered")]
    Store(#[from] StoreError),
}

/// Watches a branch.
#[derive(Debug)]
pub struct Watcher {
    watched: Watched,
    interval: Duration,
    wakes: mpsc::Receiver<Wake>,
    seen: watch::Sender<Arc<Seen>>,
    failures: u32,
}

impl Watcher {
    /// A watcher that polls this often and is woken in between.
    pub fn new(watched: Watched, interval: Duration) -> (Watcher, Waker, watch::Receiver<Arc<Seen>>) {
        let (waker, wakes) = mpsc::channel(WAKES_MAX);
        let (seen, receiver) = watch::channel(Arc::new(Seen::default()));
        (Watcher { watched, interval, wakes, seen, failures: 0 }, Waker(waker), receiver)
    }

    /// Polls until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut asked = Vec::new();
        loop {
            self.turn().await;
            asked.drain(..).for_each(|done: oneshot::Sender<()>| _ = done.send(()));
            let pause = self.pause();
            let first = tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => None,
                wake = self.wakes.recv() => match wake { Some(wake) => Some(wake), None => return },
            };
            // All that waits is answered by the one poll that follows.
            let mut next = first;
            while let Some(wake) = next {
                if let Wake::Now(done) = wake {
                    asked.push(done);
                }
                next = self.wakes.try_recv().ok();
            }
        }
    }

    fn pause(&self) -> Duration {
        let doubled = self.interval.saturating_mul(1 << self.failures.min(6));
        let pause = doubled.min(BACKOFF_MAX.max(self.interval));
        pause.mul_f64(rand::random_range(0.9..=1.1))
    }

    async fn turn(&mut self) {
        let before = self.seen.borrow().clone();
        let (mut after, failed) = match self.look(&before).await {
            Ok(seen) => (seen, false),
            Err(error) => {
                let words = chain(&error);
                tracing::warn!(error = %words, "the config repo could not be read");
                (Seen { trouble: Some(words), ..(*before).clone() }, true)
            }
        };
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        if !failed {
            after.polled_at = Some(Timestamp::now());
        }
        self.seen.send_replace(Arc::new(after));
    }

    async fn look(&self, before: &Seen) -> Result<Seen, LookError> {
        let Watched { mirror, branch, store } = &self.watched;
        let remote = mirror.poll().await?;
        if before.head_id() == Some(&remote) {
            return Ok(Seen { trouble: None, ..before.clone() });
        }
        let commit = mirror.fetch().await?;
        let trusted = match before.head_id() {
            Some(head) => Some(head.clone()),
            None => store.trusted(branch).await?,
        };
        if let Some(trusted) = &trusted
            && !mirror.descends(&commit, trusted).await?
        {
            return Ok(Seen { trouble: Some(words::rewritten(&commit, trusted)), ..before.clone() });
        }
        let (commit, distrusted) = match &trusted {
            Some(trusted) if *trusted != commit => {
                // The agents follow no further, and what the bot would build on top would be refused with the rest.
                let judged = mirror.judge(trusted, &commit, Timestamp::now()).await?;
                (judged.good, judged.refused.map(|refusal| words::distrusted(&refusal)))
            }
            _ => (commit, None),
        };
        if distrusted.is_some() && before.head_id() == Some(&commit) {
            return Ok(Seen { trouble: distrusted, ..before.clone() });
        }
        store.trust(branch, &commit).await?;
        let head = mirror.log(None, &commit, 1).await?.pop();
        let files = mirror.files(&commit).await?;
        let loaded = load(files.clone(), commit.clone()).await;
        let locks = loaded.locks.clone();
        Ok(Seen {
            head,
            tip: loaded.tip.or_else(|| before.tip.clone()),
            locks: Arc::new(locks),
            broken: loaded.broken,
            polled_at: before.polled_at,
            trouble: distrusted,
        })
    }
}

struct Loaded {
    tip: Option<Arc<Tip>>,
    locks: BTreeMap<EnvironmentName, Lock>,
    broken: Option<Broken>,
}

/// Parsing is CPU work: it runs off the async threads.
async fn load(files: Arc<RepoFiles>, commit: CommitId) -> Loaded {
    let fallback = commit.clone();
    let work = tokio::task::spawn_blocking(move || {
        let loaded = repo::load(&files);
        let errors = has_errors(&loaded.findings);
        let usable = loaded.repo.filter(|_| !errors);
        let locks = usable.as_ref().map_or_else(|| locks_alone(&files), |repo| repo.locks.clone());
        let broken = usable.is_none().then(|| Broken { commit: commit.clone(), findings: lines(&loaded.findings) });
        Loaded { tip: usable.map(|repo| Arc::new(Tip { commit, repo })), locks, broken }
    });
    work.await.unwrap_or_else(|error| Loaded {
        tip: None,
        locks: BTreeMap::new(),
        broken: Some(Broken { commit: fallback, findings: vec![format!("reading it failed: {error}")] }),
    })
}

/// The locks of a repo that is broken elsewhere.
fn locks_alone(files: &RepoFiles) -> BTreeMap<EnvironmentName, Lock> {
    let name = |path: &str| path.strip_prefix("releases/")?.strip_suffix(".yaml")?.parse::<EnvironmentName>().ok();
    let read = |(path, file): (&tidegate_core::ids::RepoPath, &tidegate_core::files::File)| {
        Some((name(path.as_str())?, lock::read(path, &file.bytes).ok()?))
    };
    files.iter().filter_map(read).collect()
}

fn lines(findings: &[Finding]) -> Vec<String> {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.take(FINDINGS_MAX).map(line).collect()
}

fn line(finding: &Finding) -> String {
    let place = &finding.place;
    let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    if place.line == 0 {
        format!("{}: {}{hint}", place.file, finding.message)
    } else {
        format!("{}:{}:{}: {}{hint}", place.file, place.line, place.column, finding.message)
    }
}

/// An error with its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        words.push_str(": ");
        words.push_str(&next.to_string());
        cause = next.source();
    }
    words
}
