//! One host: a config repo on disk, the agent's loop, an engine made of data.

use jiff::Timestamp;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidegate_agent::clock::WallClock;
use tidegate_agent::driver::{Board, Command, Driver, Parts, Refusal, Request, Rolled, Wakes};
use tidegate_agent::engine::simulated::{Behaviour, Simulated};
use tidegate_agent::settings::Settings;
use tidegate_agent::store::{News, Store};
use tidegate_core::compose::{ImageRef, resolve_stack};
use tidegate_core::events::{Event, Outcome, Restored, Sequenced, StackStatus};
use tidegate_core::files::RepoFiles;
use tidegate_core::ids::{CommitId, ContentId, EnvironmentName, ReleaseNumber, StackName};
use tidegate_core::lock::{Hold, Lock, LockedStack, ReleaseKind, SCHEMA};
use tidegate_git::keys::SigningKey;
use tidegate_git::{Change, Committer, FirstCommit, Identity, Mirror, RemoteSettings, create_bare};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// When every story begins: a Saturday noon.
pub(crate) const BEGIN: &str = "2026-11-21T12:00:00Z";
/// Longest wait for anything, in virtual time.
const PATIENCE: Duration = Duration::from_secs(7_200);

/// Runs in virtual time: sleeping costs nothing.
pub(crate) fn story<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(story)
}

pub(crate) fn name(text: &str) -> StackName {
    text.try_into().unwrap()
}

fn production() -> EnvironmentName {
    "production".try_into().unwrap()
}

/// Everything that outlives an agent.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) engine: Simulated,
    pub(crate) clock: WallClock,
    /// Settings of the agent beside the usual ones, as TOML.
    pub(crate) more: RefCell<String>,
    author: RefCell<Mirror>,
    key: SigningKey,
    /// What the settings pin.
    pub(crate) pin: RefCell<Option<(CommitId, u64)>>,
}

/// A service `web` of image `app:<version>`; `more` goes below it.
pub(crate) fn shop(version: u32, more: &str) -> String {
    format!(
        "services:\n  web:\n    image: registry.example/app:{version}\n    pull_policy: never\n    healthcheck: {{ test: [CMD, x], interval: 1s, timeout: 1s, retries: 3 }}\n{more}"
    )
}

pub(crate) fn image(version: u32) -> ImageRef {
    format!("registry.example/app:{version}").parse().unwrap()
}

pub(crate) const FOLLOWS_TIP: &str = "schema: 1\nstacks:\n  shop: { hosts: {} }\nwindows: always\n";
pub(crate) const LOCKED: &str = "schema: 1\nstacks:\n  shop: { hosts: {} }\nwindows: always\napprovals: none\n";
pub(crate) const ENVIRONMENT: &str = "environments/production.yaml";
pub(crate) const SHOP: &str = "stacks/shop/compose.yaml";
pub(crate) const LOCK: &str = "releases/production.yaml";

impl World {
    /// The shop at version 1, following the tip; version 3 never gets healthy.
    pub(crate) async fn new() -> World {
        World::with(&[(ENVIRONMENT, FOLLOWS_TIP), (SHOP, &shop(1, ""))]).await
    }

    /// The same with other files.
    pub(crate) async fn with(files: &[(&str, &str)]) -> World {
        let folder = tempfile::tempdir().unwrap();
        let engine = Simulated::new(7);
        engine.behave(&image(3), Behaviour::unhealthy_after(Duration::from_secs(4)));
        let key = SigningKey::generate().unwrap();
        first_commit(&folder.path().join("repo.git"), files);
        let author = RefCell::new(mirror(&folder, "author").await);
        let more = RefCell::new("calendar.splay_secs = 0\npoll_interval_secs = 5".to_owned());
        World { engine, clock: WallClock::simulated(BEGIN.parse().unwrap()), more, author, key, folder, pin: RefCell::default() }
    }

    /// A commit with these files; an empty text removes one.
    pub(crate) async fn commit(&self, files: &[(&str, &str)]) -> CommitId {
        self.commit_by(&self.key, files).await
    }

    /// The same, signed by a key.
    pub(crate) async fn commit_by(&self, key: &SigningKey, files: &[(&str, &str)]) -> CommitId {
        let committer = Committer { identity: Identity::new("Bot", "bot@example.org"), key: key.clone() };
        let writes: BTreeMap<_, _> =
            files.iter().map(|(path, text)| (path.parse().unwrap(), (!text.is_empty()).then(|| text.as_bytes().to_vec()))).collect();
        let author = Identity::new("Alice", "alice@example.org");
        let make = |_: &CommitId, _: &RepoFiles| {
            Ok::<_, std::convert::Infallible>(Some(Change { writes: writes.clone(), message: "A change".into(), author: author.clone() }))
        };
        let mirror = self.author.borrow().clone();
        mirror.commit(&committer, make).await.unwrap().commit().clone()
    }

    /// A lock: each stack at a commit.
    pub(crate) async fn lock(&self, release: u64, stacks: &[(&str, u64, &CommitId)], holds: Vec<Hold>) -> CommitId {
        let lock = self.lock_of(release, stacks, holds).await;
        self.commit(&[(LOCK, &lock.to_yaml())]).await
    }

    pub(crate) async fn lock_of(&self, release: u64, stacks: &[(&str, u64, &CommitId)], holds: Vec<Hold>) -> Lock {
        let mut locked = BTreeMap::new();
        for (stack, number, commit) in stacks {
            let content = self.content(stack, commit).await;
            let entry = LockedStack { release: ReleaseNumber(*number), commit: (*commit).clone(), content, images: BTreeMap::new() };
            locked.insert(name(stack), entry);
        }
        Lock {
            schema: SCHEMA,
            environment: production(),
            release: ReleaseNumber(release),
            kind: ReleaseKind::Release,
            commit: stacks.last().unwrap().2.clone(),
            plan: ContentId::of_bytes(b"plan"),
            created_at: self.clock.now(),
            requested_by: None,
            reason: None,
            stacks: locked,
            approvals: Vec::new(),
            holds,
            freezes: Vec::new(),
            overrides: Vec::new(),
        }
    }

    pub(crate) async fn content(&self, stack: &str, commit: &CommitId) -> ContentId {
        let mirror = self.author.borrow().clone();
        mirror.fetch().await.unwrap();
        let files = mirror.files(commit).await.unwrap();
        resolve_stack(&files, &production(), &name(stack)).unwrap().content()
    }

    /// The remote's history is replaced by another one.
    pub(crate) async fn rewrite_history(&self, files: &[(&str, &str)]) {
        let repo = self.repo();
        std::fs::rename(&repo, self.folder.path().join("old.git")).unwrap();
        first_commit(&repo, files);
        *self.author.borrow_mut() = mirror(&self.folder, "author-2").await;
    }

    /// The remote's history is put back.
    pub(crate) async fn restore_history(&self) {
        std::fs::remove_dir_all(self.repo()).unwrap();
        std::fs::rename(self.folder.path().join("old.git"), self.repo()).unwrap();
        *self.author.borrow_mut() = mirror(&self.folder, "author-3").await;
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.folder.path().join("repo.git")
    }

    pub(crate) fn settings(&self) -> Settings {
        let state = self.folder.path().join("state");
        let text = format!(
            "host = \"web-1\"\nstate_dir = {:?}\n{}\n[repo]\nurl = {:?}\n",
            state.display().to_string(),
            self.more.borrow(),
            self.repo().display().to_string()
        );
        let pin = self.pin.borrow().as_ref().map(|(commit, version)| format!("[trust]\ncommit = \"{commit}\"\nversion = {version}\n"));
        let text = text + &pin.unwrap_or_default();
        Settings::from_parts(&text.parse().unwrap(), &BTreeMap::new()).unwrap()
    }

    /// An agent runs while the story goes on, and dies with it as by kill -9.
    pub(crate) async fn agent<T>(&self, story: impl AsyncFnOnce(&Agent) -> T) -> T {
        let settings = self.settings();
        std::fs::create_dir_all(&settings.state_dir).unwrap();
        let store = Store::open(&settings.database(), self.clock.now(), News::Kept).unwrap();
        let mirror = Mirror::open(&settings.mirror(), RemoteSettings::new(settings.repo.url.clone(), "main")).await.unwrap();
        let (board, shown) = watch::channel(Board::default());
        let wakes: Arc<Wakes> = Arc::default();
        let engine = self.engine.clone();
        let parts = Parts {
            settings,
            store: store.clone(),
            mirror,
            connect: move |_: &EnvironmentName| engine.clone(),
            wakes: Arc::clone(&wakes),
            clock: self.clock.clone(),
            board,
        };
        let (requests, receiver) = mpsc::channel(4);
        let stop = CancellationToken::new();
        let agent = Agent { engine: self.engine.clone(), board: shown, requests, wakes, store };
        let driver = Driver::new(parts).await.unwrap();
        tokio::select! {
            biased;
            ended = Box::pin(driver.run(receiver, &stop)) => match ended {
                Ok(()) => panic!("the loop ended"),
                Err(error) => panic!("the loop ended: {error:?}"),
            },
            told = story(&agent) => told,
        }
    }
}

async fn mirror(folder: &tempfile::TempDir, name: &str) -> Mirror {
    let url = folder.path().join("repo.git").display().to_string();
    Mirror::open(&folder.path().join(name), RemoteSettings::new(url, "main")).await.unwrap()
}

fn first_commit(path: &std::path::Path, more: &[(&str, &str)]) {
    let mut files = RepoFiles::default();
    let settings = "schema: 1\nenvironments: [production]\npeople: {}\nbot: { name: bot, email: bot@example.org }\n";
    files.insert_text("tidegate.yaml".parse().unwrap(), settings);
    files.insert_text("hosts/web-1.yaml".parse().unwrap(), "schema: 1\nenvironment: production\nlabels: { role: web }\n");
    for (path, text) in more {
        files.insert_text(path.parse().unwrap(), text);
    }
    let identity = Identity::new("Alice", "alice@example.org");
    create_bare(path, &FirstCommit { branch: "main", files: &files, message: "First", identity: &identity, key: None }).unwrap();
}

/// A running agent, seen from outside.
pub(crate) struct Agent {
    pub(crate) engine: Simulated,
    pub(crate) board: watch::Receiver<Board>,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) wakes: Arc<Wakes>,
    pub(crate) store: Store,
}

impl Agent {
    /// Waits until it is so, in virtual time.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Agent) -> bool) {
        let wait = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("never: {what}\n{:#?}\n{:#?}", self.board.borrow().clone(), self.engine.look());
        }
    }

    /// Nothing of the kind happens for a while.
    pub(crate) async fn never(&self, what: &str, during: Duration, is_so: impl Fn(&Agent) -> bool) {
        let end = tokio::time::Instant::now() + during;
        while tokio::time::Instant::now() < end {
            assert!(!is_so(self), "{what}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) fn stack(&self, stack: &str) -> Option<StackStatus> {
        self.board.borrow().status.as_ref()?.stacks.get(&name(stack)).cloned()
    }

    /// The images that run, by their tags, with how many: `["1", "1"]`.
    pub(crate) fn running(&self) -> Vec<String> {
        let look = self.engine.look();
        let tags = look.containers.values().filter(|c| c.is_running()).map(|c| c.image.rsplit(':').next().unwrap_or("").to_owned());
        tags.collect()
    }

    /// Exactly this runs, nothing else is there, and nothing is under way.
    pub(crate) fn is_at(&self, versions: &[&str]) -> bool {
        let settled = self.board.borrow().status.as_ref().is_some_and(|status| status.stacks.values().all(|s| s.attempted.is_none()));
        settled && self.running() == versions && self.engine.look().containers.len() == versions.len()
    }

    pub(crate) async fn until_at(&self, versions: &[&str]) {
        self.until(&format!("only {versions:?} run"), |agent| agent.is_at(versions)).await;
    }

    /// Takes the news out of the outbox, as a bot would.
    pub(crate) async fn taken(&self) -> Vec<Sequenced> {
        let events = self.store.undelivered(5_000).await.unwrap().events;
        if let Some(last) = events.last() {
            self.store.delivered(last.sequence).await.unwrap();
        }
        events
    }

    pub(crate) fn code(&self, stack: &str) -> Option<&'static str> {
        self.stack(stack)?.waiting.map(|waiting| waiting.code())
    }

    pub(crate) async fn until_code(&self, stack: &str, code: &str) {
        self.until(&format!("{stack} waits with {code}"), |agent| agent.code(stack) == Some(code)).await;
    }

    pub(crate) async fn ask(&self, command: Command) -> Result<Rolled, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { command, answer }).await.ok().unwrap();
        answered.await.unwrap()
    }

    pub(crate) async fn rollback(&self, stack: &str, to: Option<&str>) -> Result<Rolled, Refusal> {
        let to = to.map(str::to_owned);
        self.ask(Command::Rollback { stack: name(stack), to, reason: "it is slow".into(), by: "carol".into() }).await
    }

    /// What rollbacks by hand left, by their news.
    pub(crate) async fn left_by_hand(&self) -> Vec<ContentId> {
        let events = self.store.undelivered(5_000).await.unwrap().events;
        let left = |event: &Event| match event {
            Event::LocalRollback(rollback) => Some(rollback.from.content.clone()),
            _ => None,
        };
        events.iter().filter_map(|event| left(&event.event)).collect()
    }

    /// The overrides that were used, in words.
    pub(crate) async fn overrides(&self) -> Vec<String> {
        let events = self.store.undelivered(5_000).await.unwrap().events;
        let used = |event: &Event| match event {
            Event::Started(started) => started.overridden.as_ref().map(tidegate_agent::words::overridden),
            _ => None,
        };
        events.iter().filter_map(|event| used(&event.event)).collect()
    }

    /// All news so far except statuses and progress, one line each.
    pub(crate) async fn news(&self) -> Vec<String> {
        let events = self.store.undelivered(5_000).await.unwrap().events;
        events.iter().filter_map(|event| line(&event.event)).collect()
    }
}

fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Status(_) | Event::Progress(_) => return None,
        Event::Started(started) => format!("started {:?}", started.class).to_lowercase(),
        Event::Finished(finished) => match &finished.outcome {
            Outcome::Verified => "verified".into(),
            Outcome::Superseded => "superseded".into(),
            Outcome::TakenBack { because } => format!("taken back, {}", because.code()),
            Outcome::Failed(failure) => format!("failed, {}", restored(&failure.restored)),
            Outcome::Error(failure) => format!("error, {}", restored(&failure.restored)),
        },
        Event::Overran(overran) => format!("overran by {} s", overran.overrun_secs),
        Event::LocalRollback(rollback) => format!("rolled back by {}", rollback.by),
        Event::Repaired(repaired) => format!("repaired {}", repaired.stack),
        Event::ConfigRefused(refused) => format!("refused with {} findings", refused.findings.len()),
        Event::Trouble(trouble) => format!("trouble {}", trouble.code),
        Event::Recovered(recovered) => format!("recovered {}", recovered.code),
    })
}

fn restored(restored: &Restored) -> &'static str {
    match restored {
        Restored::Previous { .. } => "the one before restored",
        Restored::Nothing => "nothing before",
        Restored::Not { .. } => "not restored",
    }
}

/// A moment after the beginning.
pub(crate) fn after(secs: i64) -> Timestamp {
    BEGIN.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(secs)
}
