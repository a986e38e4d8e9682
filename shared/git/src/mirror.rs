//! The mirror as the rest of Tidegate sees it: async, with deadlines, over any kind of remote.

use crate::commit::{self, Change, Committed, Committer, Identity};
use crate::compact;
use crate::error::{self, CommitError, GitError};
use crate::local::{self, Amount, Push, Pushed};
use crate::network::{self, Done};
use crate::poll::{Polled, Poller};
use crate::range::{self, Judged};
use crate::remote::{Address, Remote, RemoteSettings};
use crate::snapshot::Cache;
use crate::store::{self, Reach, Store};
use crate::transfer::{self, Action, Answer};
use git2::Oid;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tidegate_core::files::RepoFiles;
use tidegate_core::ids::CommitId;
use tidegate_core::trust::TrustPolicy;

/// How often a commit is made anew because somebody else's push was faster.
const COMMIT_TRIES_MAX: u32 = 10;
/// How often a push is refused while the branch stays where it is, before that is taken for an answer.
const REJECTIONS_MAX: u32 = 3;
/// First pause between two tries, in milliseconds; doubled each time, with jitter.
const BACKOFF_FIRST_MS: u64 = 20;
/// Longest pause between two tries, in milliseconds.
const BACKOFF_MAX_MS: u64 = 1000;
/// How much history is fetched before all of it is, in commits.
const DEEPEN_FIRST_COMMITS: i32 = 256;

/// A bare mirror of ours beside a remote. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mirror(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    remote: Remote,
    /// One transfer at a time.
    transfer: tokio::sync::Mutex<()>,
    /// Held for reading while objects are read, for writing while packs are joined and old ones removed.
    packs: RwLock<()>,
    cache: Mutex<Cache>,
    poller: Poller,
}

/// A commit as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// Its id.
    pub id: CommitId,
    /// Its parents, as far as they are in the mirror.
    pub parents: Vec<CommitId>,
    /// Who wrote it.
    pub author: Identity,
    /// Who committed it.
    pub committer: Identity,
    /// The committer's time as written in the commit.
    pub committed_at: jiff::Timestamp,
    /// The whole message. Foreign text.
    pub message: String,
}

impl CommitInfo {
    /// The first line of the message, without control characters. Foreign text.
    pub fn subject(&self) -> String {
        crate::message::one_line(self.message.lines().next().unwrap_or_default(), crate::message::SUBJECT_MAX_CHARS)
    }
}

impl Mirror {
    /// Opens or makes the mirror in a folder of its own. Does not ask the remote.
    pub async fn open(dir: &Path, settings: RemoteSettings) -> Result<Mirror, GitError> {
        crate::init();
        let remote = Remote::parse(&settings)?;
        let dir = dir.to_owned();
        let store = blocking(Job { doing: "opening the mirror", url: remote.shown(), limit: remote.limits.local_deadline }, move || {
            Store::open(&dir)
        })
        .await?;
        Ok(Mirror(Arc::new(Inner {
            store,
            remote,
            transfer: tokio::sync::Mutex::default(),
            packs: RwLock::default(),
            cache: Mutex::default(),
            poller: Poller::default(),
        })))
    }

    /// The remote's tip, as cheaply as the remote allows. Fetches nothing.
    pub async fn poll(&self) -> Result<CommitId, GitError> {
        let remote = &self.0.remote;
        match &remote.address {
            Address::Local(path) => {
                let (path, limit) = (path.clone(), remote.limits.poll_deadline);
                let tip = self.on_store("reading the branch", limit, move |inner| local::poll(&inner.remote, &path)).await?;
                return Ok(store::commit_id(tip));
            }
            Address::Http(url) => {
                let login = self.read("reading the token", |inner| inner.remote.login()).await?;
                if let Polled::At(tip) = self.0.poller.poll(remote, url, login.as_ref()).await? {
                    return Ok(tip);
                }
            }
            Address::Ssh { .. } => {}
        }
        match network::carry_out(remote, &self.0.store, Action::List).await?.answer {
            Answer::Tip(tip) => Ok(tip),
            _ => Err(network::odd(remote)),
        }
    }

    /// Brings the objects of the remote's tip, if it moved, and returns it.
    pub async fn fetch(&self) -> Result<CommitId, GitError> {
        let tip = self.poll().await?;
        if self.local_tip().await?.as_ref() == Some(&tip) {
            return Ok(tip);
        }
        self.transfer(Amount::New).await
    }

    /// What was fetched last.
    pub async fn local_tip(&self) -> Result<Option<CommitId>, GitError> {
        let tip = self.on_store("reading the tip", self.0.remote.limits.local_deadline, |inner| inner.store.tip()).await?;
        Ok(tip.map(store::commit_id))
    }

    /// Makes sure that a commit and its files are in the mirror: asks the remote for it by id, or for more history.
    pub async fn ensure(&self, commit: &CommitId) -> Result<(), GitError> {
        let id = store::oid(commit);
        if self.has(id).await? || (self.transfer_commit(id).await? && self.has(id).await?) {
            return Ok(());
        }
        self.transfer(Amount::All).await?;
        if self.has(id).await? { Ok(()) } else { Err(self.missing(commit)) }
    }

    /// Is `ancestor` the commit `tip` or in its history? Fetches more history when what is here cannot tell.
    pub async fn descends(&self, tip: &CommitId, ancestor: &CommitId) -> Result<bool, GitError> {
        self.ensure(tip).await?;
        let (from, to) = (store::oid(tip), store::oid(ancestor));
        for amount in [Some(Amount::Depth(DEEPEN_FIRST_COMMITS)), Some(Amount::All), None] {
            match self.read("walking the history", move |inner| inner.store.reaches(from, to)).await? {
                Reach::Yes => return Ok(true),
                Reach::No => return Ok(false),
                Reach::Unknown => match amount {
                    Some(amount) => drop(self.transfer(amount).await?),
                    None => break,
                },
            }
        }
        Err(self.missing(ancestor))
    }

    /// Brings the whole history, if only part of it is here.
    pub async fn whole_history(&self) -> Result<(), GitError> {
        let is_cut = self.read("looking at the history", |inner| Ok(!inner.store.shallow()?.is_empty())).await?;
        if is_cut {
            self.transfer(Amount::All).await?;
        }
        Ok(())
    }

    /// The files at a commit, fetched if need be. The next commit costs only what it changed.
    pub async fn files(&self, commit: &CommitId) -> Result<Arc<RepoFiles>, GitError> {
        let id = store::oid(commit);
        // Never waits here: when a walk holds the cache, it is asked in its turn below.
        if let Some(files) = self.0.cache.try_lock().ok().and_then(|mut cache| cache.remembered(id)) {
            return Ok(files);
        }
        self.ensure(commit).await?;
        self.read("reading files", move |inner| inner.cache.lock().unwrap_or_else(PoisonError::into_inner).files(&inner.store, id)).await
    }

    /// The commits that `tip` has and `since` has not, newest first, at most `limit`; without `since`, as much history
    /// as is in the mirror.
    pub async fn log(&self, since: Option<&CommitId>, tip: &CommitId, limit: usize) -> Result<Vec<CommitInfo>, GitError> {
        self.ensure(tip).await?;
        if let Some(since) = since {
            // Brings the history between the two, if it is not here.
            self.descends(tip, since).await?;
        }
        let (since, tip) = (since.map(store::oid), store::oid(tip));
        self.read("reading the log", move |inner| log(&inner.store, since, tip, limit)).await
    }

    /// How far from `from` on to `to`, which must descend from it, the signer policy in the repo lets one follow.
    pub async fn judge(&self, from: &CommitId, to: &CommitId, now: jiff::Timestamp) -> Result<Judged, GitError> {
        self.ensure(from).await?;
        self.ensure(to).await?;
        let (start, end) = (store::oid(from), store::oid(to));
        let look = move |inner: &Inner| range::judge(&inner.store, start, end, now);
        if let Some(judged) = self.read("judging commits", look).await? {
            return Ok(judged);
        }
        self.whole_history().await?;
        self.read("judging commits", look).await?.ok_or_else(|| self.missing(from))
    }

    /// Is `commit` on the branch's own line, first parent by first parent, that ends at `tip`?
    pub async fn is_on_line(&self, tip: &CommitId, commit: &CommitId) -> Result<bool, GitError> {
        self.ensure(tip).await?;
        let (end, start) = (store::oid(tip), store::oid(commit));
        let look = move |inner: &Inner| range::is_on_line(&inner.store, end, start);
        if let Some(found) = self.read("walking the branch", look).await? {
            return Ok(found);
        }
        self.whole_history().await?;
        Ok(self.read("walking the branch", look).await?.unwrap_or(false))
    }

    /// The signer policy at a commit; none: the repo has none there. The inner error says why it cannot be used.
    pub async fn policy_at(&self, commit: &CommitId) -> Result<Option<Result<TrustPolicy, String>>, GitError> {
        self.ensure(commit).await?;
        let id = store::oid(commit);
        self.read("reading the signer policy", move |inner| range::policy_at(&inner.store, id)).await
    }

    /// The raw bytes of a commit in the mirror, for [`crate::verify_commit`].
    pub async fn raw_commit(&self, commit: &CommitId) -> Result<Vec<u8>, GitError> {
        self.ensure(commit).await?;
        let id = store::oid(commit);
        self.read("reading a commit", move |inner| {
            let failed = error::mirror("reading a commit", &inner.store.dir);
            let repository = inner.store.repository()?;
            let odb = repository.odb().map_err(&failed)?;
            odb.read(id).map(|object| object.data().to_vec()).map_err(failed)
        })
        .await
    }

    /// Fetches, lets `make` decide on top of the tip, signs, pushes; when somebody else was faster, does it again on
    /// top of theirs, up to ten times. `make` returns `None` when there is nothing (more) to do, and may be called
    /// again after a push whose answer was lost.
    pub async fn commit<E>(
        &self,
        committer: &Committer,
        mut make: impl FnMut(&CommitId, &RepoFiles) -> Result<Option<Change>, E> + Send,
    ) -> Result<Committed, CommitError<E>> {
        let mut tries = Tries::default();
        loop {
            let tip = self.fetch().await?;
            if let Some(done) = self.landed(&mut tries, &tip).await? {
                return Ok(done);
            }
            let files = self.files(&tip).await?;
            let Some(change) = make(&tip, &files).map_err(CommitError::Make)? else { return Ok(Committed::Nothing { tip }) };
            let Some(commit) = self.build(&tip, change, committer.clone()).await? else { return Ok(Committed::Nothing { tip }) };
            tries.count += 1;
            match self.push(Push { base: store::oid(&tip), commit }).await {
                Ok(Pushed::Yes) => return Ok(Committed::Pushed { commit: store::commit_id(commit), onto: tip, tries: tries.count }),
                Ok(Pushed::No { reason }) => tries.last = Some(Try { commit, onto: tip, reason, failure: None }),
                Err(failure) => tries.last = Some(Try { commit, onto: tip, reason: failure.to_string(), failure: Some(failure) }),
            }
            tokio::time::sleep(tries.pause()).await;
        }
    }

    /// What became of the last push, seen from the remote's tip: landed after all, refused for good, or to be tried again.
    async fn landed<E>(&self, tries: &mut Tries, tip: &CommitId) -> Result<Option<Committed>, CommitError<E>> {
        let Some(last) = tries.last.take() else { return Ok(None) };
        let commit = store::commit_id(last.commit);
        if *tip != last.onto && self.descends(tip, &commit).await? {
            return Ok(Some(Committed::Pushed { commit, onto: last.onto, tries: tries.count }));
        }
        if *tip == last.onto {
            tries.rejections += 1;
            match last.failure {
                Some(failure) => return Err(failure.into()),
                None if tries.rejections >= REJECTIONS_MAX => {
                    let remote = &self.0.remote;
                    return Err(GitError::Rejected { url: remote.shown(), branch: remote.branch.clone(), reason: last.reason }.into());
                }
                None => {}
            }
        }
        if tries.count >= COMMIT_TRIES_MAX {
            return Err(CommitError::Raced { url: self.0.remote.shown(), tries: tries.count });
        }
        Ok(None)
    }

    async fn build<E>(&self, tip: &CommitId, change: Change, committer: Committer) -> Result<Option<Oid>, CommitError<E>> {
        let base = store::oid(tip);
        let built = self.read("writing a commit", move |inner| Ok(commit::build(&inner.store, base, &change, &committer))).await?;
        Ok(built?)
    }

    async fn push(&self, push: Push) -> Result<Pushed, GitError> {
        let _one = self.0.transfer.lock().await;
        let remote = &self.0.remote;
        let pushed = if let Address::Local(path) = &remote.address {
            let (path, limit) = (path.clone(), remote.limits.transfer_deadline);
            self.on_store("pushing", limit, move |inner| local::push(&inner.remote, &path, &inner.store, push)).await?
        } else {
            let action = Action::Push { base: store::commit_id(push.base), commit: store::commit_id(push.commit) };
            match network::carry_out(remote, &self.0.store, action).await?.answer {
                Answer::Pushed(pushed) => pushed,
                _ => return Err(network::odd(remote)),
            }
        };
        if pushed == Pushed::Yes {
            self.read("moving the tip", move |inner| inner.store.set_tip(push.commit)).await?;
            self.tidy_up().await;
        }
        Ok(pushed)
    }

    async fn transfer(&self, amount: Amount) -> Result<CommitId, GitError> {
        let _one = self.0.transfer.lock().await;
        let remote = &self.0.remote;
        if let Address::Local(path) = &remote.address {
            let (path, limit) = (path.clone(), remote.limits.transfer_deadline);
            let fetch = move |inner: &Inner| local::fetch(&inner.remote, &path, &inner.store, amount);
            let tip = self.on_store("fetching", limit, fetch).await?;
            self.tidy_up().await;
            return Ok(store::commit_id(tip));
        }
        let Done { answer: Answer::Tip(tip), incoming } = network::carry_out(remote, &self.0.store, Action::Fetch(amount)).await? else {
            return Err(network::odd(remote));
        };
        let id = store::oid(&tip);
        let take_in = move |inner: &Inner| transfer::adopt(&inner.store, &incoming.dir).and_then(|()| inner.store.set_tip(id));
        self.read("taking in what was fetched", take_in).await?;
        self.tidy_up().await;
        Ok(tip)
    }

    /// False when the remote does not hand out this commit.
    async fn transfer_commit(&self, commit: Oid) -> Result<bool, GitError> {
        let _one = self.0.transfer.lock().await;
        let remote = &self.0.remote;
        if let Address::Local(path) = &remote.address {
            let (path, limit) = (path.clone(), remote.limits.transfer_deadline);
            let fetch = move |inner: &Inner| local::fetch_commit(&inner.remote, &path, &inner.store, commit);
            return self.on_store("fetching a commit", limit, fetch).await;
        }
        let Done { answer: Answer::Commit { found }, incoming } =
            network::carry_out(remote, &self.0.store, Action::FetchCommit(store::commit_id(commit))).await?
        else {
            return Err(network::odd(remote));
        };
        if found {
            let take_in = move |inner: &Inner| transfer::adopt(&inner.store, &incoming.dir).and_then(|()| inner.store.keep(commit));
            self.read("taking in what was fetched", take_in).await?;
        }
        Ok(found)
    }

    /// Joins packs when there are many. The caller holds the transfer lock. A failure costs speed only, and comes up
    /// again after the next transfer.
    async fn tidy_up(&self) {
        let inner = self.0.clone();
        let limits = inner.remote.limits;
        let job = Job { doing: "joining packs", url: inner.remote.shown(), limit: limits.local_deadline };
        let work = move || {
            if !compact::is_due(&inner.store, limits.packs_max)? {
                return Ok(());
            }
            let _alone = inner.packs.write().unwrap_or_else(PoisonError::into_inner);
            compact::join(&inner.store)
        };
        if let Err(failure) = blocking(job, work).await {
            tracing::warn!(error = %failure, "the mirror's packs could not be joined");
        }
    }

    async fn has(&self, commit: Oid) -> Result<bool, GitError> {
        self.read("looking for a commit", move |inner| inner.store.has_commit(commit)).await
    }

    fn missing(&self, commit: &CommitId) -> GitError {
        GitError::MissingCommit { commit: commit.clone(), url: self.0.remote.shown() }
    }

    /// Work on the mirror alone.
    async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Inner) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, GitError> {
        self.on_store(doing, self.0.remote.limits.local_deadline, work).await
    }

    async fn on_store<T: Send + 'static>(
        &self,
        doing: &'static str,
        limit: Duration,
        work: impl FnOnce(&Inner) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, GitError> {
        let inner = self.0.clone();
        blocking(Job { doing, url: self.0.remote.shown(), limit }, move || {
            let _packs = inner.packs.read().unwrap_or_else(PoisonError::into_inner);
            work(&inner)
        })
        .await
    }
}

/// The tries of one commit.
#[derive(Default)]
struct Tries {
    count: u32,
    rejections: u32,
    last: Option<Try>,
}

/// A push that did not say yes.
struct Try {
    commit: Oid,
    onto: CommitId,
    reason: String,
    failure: Option<GitError>,
}

impl Tries {
    /// Doubled each time, and never the same for two committers that met.
    fn pause(&self) -> Duration {
        let longest = (BACKOFF_FIRST_MS << self.count.min(6)).min(BACKOFF_MAX_MS);
        Duration::from_millis(rand::random_range(longest / 2..=longest))
    }
}

/// What a piece of work is called in errors, and how long it may take.
pub(crate) struct Job {
    pub doing: &'static str,
    pub url: String,
    pub limit: Duration,
}

/// Runs blocking work off the async threads. Past the deadline the caller goes on; the work itself is local and ends.
pub(crate) async fn blocking<T: Send + 'static>(
    job: Job,
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    match tokio::time::timeout(job.limit, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(died)) => Err(GitError::Transfer { url: job.url, reason: format!("died while {}: {died}", job.doing) }),
        Err(_) => Err(GitError::Deadline { doing: job.doing, url: job.url, limit_secs: job.limit.as_secs() }),
    }
}

fn log(store: &Store, since: Option<Oid>, tip: Oid, limit: usize) -> Result<Vec<CommitInfo>, GitError> {
    let failed = error::mirror("reading the log", &store.dir);
    let repository = store.repository()?;
    let mut walk = repository.revwalk().map_err(&failed)?;
    walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::TIME).map_err(&failed)?;
    walk.push(tip).map_err(&failed)?;
    if let Some(since) = since.filter(|since| repository.find_commit(*since).is_ok()) {
        walk.hide(since).map_err(&failed)?;
    }
    walk.take(limit).map(|id| id.and_then(|id| repository.find_commit(id)).map(|commit| info(&commit)).map_err(&failed)).collect()
}

fn info(commit: &git2::Commit<'_>) -> CommitInfo {
    let identity =
        |who: git2::Signature<'_>| Identity::new(&String::from_utf8_lossy(who.name_bytes()), &String::from_utf8_lossy(who.email_bytes()));
    CommitInfo {
        id: store::commit_id(commit.id()),
        parents: commit.parent_ids().map(store::commit_id).collect(),
        author: identity(commit.author()),
        committer: identity(commit.committer()),
        committed_at: jiff::Timestamp::from_second(commit.time().seconds()).unwrap_or_default(),
        message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
    }
}
