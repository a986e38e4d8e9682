//! A fleet without containers: a real bare repository in a temporary folder, a bot inside this process, hosts that sign
//! what they are told to say.

use crate::repo::{compose, first_files, settings};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidegate_bot::clock::Clock;
use tidegate_bot::handle::{Handler, QUEUE_MAX};
use tidegate_bot::intake::{Envelope, Intake, NotTaken};
use tidegate_bot::metrics::Metrics;
use tidegate_bot::people::Actor;
use tidegate_bot::platforms::local::Local;
use tidegate_bot::registry::Registry;
use tidegate_bot::request::{Ask, Outcome, Reply, Request};
use tidegate_bot::room::{Context, Picture};
use tidegate_bot::rooms::{Doors, Rooms};
use tidegate_bot::show::{Console, Publisher};
use tidegate_bot::store::{Store, Writer};
use tidegate_bot::tips::{Seen, Waker, Watched, Watcher};
use tidegate_bot::view::View;
use tidegate_core::events::{
    Batch, Event, FORMAT, HostStatus, NAMESPACE, Outcome as Ended, ReleaseOf, RolloutFinished, Sequenced, StackStatus, signed_text,
};
use tidegate_core::files::RepoFiles;
use tidegate_core::ids::{CommitId, EnvironmentName, StackName};
use tidegate_core::lock::Lock;
use tidegate_core::plan::{OperationClass, Waiting};
use tidegate_git::keys::SigningKey;
use tidegate_git::{Change, Committer, FirstCommit, Identity, Mirror, RemoteSettings, create_bare};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);
/// The bot's name in signatures.
pub const AUDIENCE: &str = "http://bot.test";

/// What a test starts from.
pub struct Plan {
    /// `approvals:` of production.
    pub approvals: &'static str,
    /// Hosts of production.
    pub hosts: u32,
    /// The bot looks at the branch this often by itself.
    pub poll: Duration,
    /// `windows:` of production.
    pub windows: &'static str,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { approvals: "{ count: 1, roles: [engineer] }", hosts: 1, poll: Duration::from_millis(100), windows: "always" }
    }
}

/// The world.
pub struct World {
    pub folder: TempDir,
    people: Mirror,
    keys: BTreeMap<String, SigningKey>,
    bot_key: SigningKey,
    sequence: std::sync::atomic::AtomicU64,
    rewritten: bool,
    poll: Duration,
    pub clock: Clock,
    pub bot: Option<Bot>,
}

/// A bot that runs in this process.
pub struct Bot {
    pub handler: Handler,
    pub doors: Doors,
    pub seen: watch::Receiver<Arc<Seen>>,
    pub waker: Waker,
    pub store: Store,
    pub intake: Arc<Intake>,
    pub view: watch::Receiver<Arc<View>>,
    stop: CancellationToken,
    tasks: TaskTracker,
    writer: Writer,
}

impl World {
    /// Staging without approvals, production as planned, the stack `shop` at version 1 in both; the bot runs.
    pub async fn new(plan: Plan) -> World {
        let mut world = World::without_bot(plan).await;
        world.start().await;
        world
    }

    pub async fn without_bot(plan: Plan) -> World {
        tidegate_git::init(); // the TLS provider that the registry client needs, too
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_test_writer().try_init();
        let folder = tempfile::tempdir().unwrap();
        let bot_key = SigningKey::generate().unwrap();
        let mut keys: BTreeMap<String, SigningKey> = BTreeMap::new();
        keys.insert("stage-1".into(), SigningKey::generate().unwrap());
        (1..=plan.hosts).for_each(|n| _ = keys.insert(format!("web-{n}"), SigningKey::generate().unwrap()));
        let files = first_files(&plan, &keys, &bot_key);
        let alice = Identity::new("Alice Example", "alice@example.org");
        let first = FirstCommit { branch: "main", files: &files, message: "Begin", identity: &alice, key: None };
        create_bare(&folder.path().join("repo.git"), &first).unwrap();
        let remote = RemoteSettings::new(folder.path().join("repo.git").display().to_string(), "main");
        let people = Mirror::open(&folder.path().join("people.git"), remote).await.unwrap();
        World { folder, people, keys, bot_key, sequence: 1.into(), rewritten: false, poll: plan.poll, clock: Clock::default(), bot: None }
    }

    /// The file with logins of private registries.
    pub fn logins(&self) -> PathBuf {
        self.folder.path().join("registries.json")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Starts the bot on what it left behind.
    pub async fn start(&mut self) {
        std::fs::create_dir_all(self.state()).unwrap();
        if !self.logins().exists() {
            std::fs::write(self.logins(), "{}").unwrap();
        }
        let remote = RemoteSettings::new(self.folder.path().join("repo.git").display().to_string(), "main");
        let mirror = Mirror::open(&self.state().join("mirror.git"), remote).await.unwrap();
        let (store, writer) = Store::open(&self.state().join("bot.db")).unwrap();
        let (watcher, waker, seen) =
            Watcher::new(Watched { mirror: mirror.clone(), branch: "main".into(), store: store.clone() }, self.poll);
        let (changed, outbox, metrics) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Metrics::default()));
        let context = Context {
            mirror,
            key: self.bot_key.clone(),
            store: store.clone(),
            registry: Registry::new(Vec::new(), Some(self.logins())),
            waker: waker.clone(),
            changed: changed.clone(),
            clock: self.clock.clone(),
        };
        let (rooms, doors) = Rooms::new(Arc::new(context), seen.clone());
        let handler =
            Handler { doors: doors.clone(), seen: seen.clone(), store: store.clone(), metrics: metrics.clone(), clock: self.clock.clone() };
        let intake = Intake { audience: AUDIENCE.into(), store: store.clone(), seen: seen.clone(), doors: doors.clone(), metrics };
        let (view_in, view) = watch::channel(Arc::new(View::empty(Timestamp::now())));
        let publisher = Publisher {
            doors: doors.clone(),
            seen: seen.clone(),
            store: store.clone(),
            branch: "main".into(),
            console: Console::On,
            changed: changed.clone(),
            outbox: outbox.clone(),
        };
        let (_page, page) = mpsc::channel(1);
        let (domain, asked) = mpsc::channel(QUEUE_MAX);
        let local = Local { page, domain, store: store.clone(), view: view.clone(), news: outbox, said: changed };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(watcher.run(stop.clone()));
        tasks.spawn(rooms.run(stop.clone()));
        tasks.spawn(publisher.run(view_in, stop.clone()));
        tasks.spawn(handler.clone().run(asked, stop.clone()));
        // The page's end of the channel lives as long as the platform.
        tasks.spawn({
            let stop = stop.clone();
            async move {
                local.run(stop).await;
                drop(_page);
            }
        });
        self.bot = Some(Bot { handler, doors, seen, waker, store, intake: Arc::new(intake), view, stop, tasks, writer });
        if self.rewritten {
            return; // it follows nothing, so no worker opens
        }
        self.until("the bot is ready", || self.bot().doors.pictures().len() == 2 && self.picture("staging").lock().is_some()).await;
    }

    /// Stops the bot as SIGTERM would.
    pub async fn stop(&mut self) {
        let Some(Bot { stop, tasks, writer, .. }) = self.bot.take() else { return };
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        tokio::task::spawn_blocking(move || writer.join().unwrap()).await.unwrap();
    }

    pub fn bot(&self) -> &Bot {
        self.bot.as_ref().expect("the bot runs")
    }

    /// Throws away everything that the bot keeps.
    pub fn forget(&self) {
        std::fs::remove_dir_all(self.state()).unwrap();
    }

    /// A person pushes.
    pub async fn push(&self, person: &str, subject: &str, files: &[(&str, &str)]) -> CommitId {
        let files: Vec<(&str, Option<&str>)> = files.iter().map(|(path, text)| (*path, Some(*text))).collect();
        let commit = self.push_unseen(person, subject, &files).await;
        if let Some(bot) = &self.bot {
            bot.waker.poll_now().await;
        }
        commit
    }

    /// A person pushes, and the bot finds it when it looks by itself. A file without a text is removed.
    pub async fn push_unseen(&self, person: &str, subject: &str, files: &[(&str, Option<&str>)]) -> CommitId {
        let identity = Identity::new(person, &format!("{person}@example.org"));
        let committer = Committer { identity: identity.clone(), key: SigningKey::generate().unwrap() };
        let make = |_: &CommitId, _: &RepoFiles| {
            let text = |text: &&str| text.as_bytes().to_vec();
            let writes = files.iter().map(|(path, new)| (path.parse().unwrap(), new.as_ref().map(text))).collect();
            Ok::<_, std::convert::Infallible>(Some(Change { writes, message: format!("{subject}\n"), author: identity.clone() }))
        };
        self.people.commit(&committer, make).await.unwrap().commit().clone()
    }

    /// A person merges a version of the shop.
    pub async fn merge(&self, person: &str, version: &str) -> CommitId {
        self.push(person, &format!("shop {version}"), &[("stacks/shop/compose.yaml", &compose(version))]).await
    }

    /// A person types.
    pub async fn reply(&self, person: &str, line: &str) -> Reply {
        self.ask(person, Ask::Line(line.into())).await
    }

    pub async fn ask(&self, person: &str, ask: Ask) -> Reply {
        let actor = Actor { platform: "local".into(), user: person.into() };
        self.bot().handler.handle(Request { actor, ask }).await
    }

    /// A person types; what the bot answers.
    pub async fn say(&self, person: &str, line: &str) -> String {
        self.reply(person, line).await.words
    }

    /// What somebody types who has read the newest candidate.
    pub fn approve(&self, environment: &str) -> String {
        let picture = self.picture(environment);
        format!("approve {environment} {}", picture.open_card().expect("a candidate").subject.commit.short())
    }

    pub fn picture(&self, environment: &str) -> Arc<Picture> {
        self.bot().doors.pictures().into_iter().find(|picture| picture.name.as_str() == environment).expect("an environment of that name")
    }

    /// The lock at the branch.
    pub fn lock(&self, environment: &str) -> Option<Lock> {
        let name: EnvironmentName = environment.parse().unwrap();
        self.bot().seen.borrow().locks.get(&name).cloned()
    }

    /// The image that a stack is locked at.
    pub fn version(&self, environment: &str) -> String {
        let picture = self.picture(environment);
        let Some(locked) = &picture.locked else { return "nothing".into() };
        let stack: StackName = "shop".parse().unwrap();
        locked.models.get(&stack).map_or("nothing".into(), |model| model.services.values().next().unwrap().container.image.for_people())
    }

    pub async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "gave up waiting until {what}\n{}", self.story());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the bot has told in chat.
    pub async fn told(&self) -> Vec<String> {
        self.bot()
            .store
            .chat(500)
            .await
            .unwrap()
            .into_iter()
            .filter(|(_, said)| said.speaker.is_none())
            .map(|(_, said)| said.text)
            .collect()
    }

    pub async fn until_told(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(text) = self.told().await.into_iter().find(|text| text.contains(part)) {
                return text;
            }
            assert!(Instant::now() < deadline, "the bot never told `{part}`, but: {:#?}", self.told().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn story(&self) -> String {
        let Some(bot) = &self.bot else { return "no bot".into() };
        let seen = bot.seen.borrow().clone();
        let cards = |p: &Arc<Picture>| {
            p.cards.iter().map(|c| format!("{} {} {:?} {:?}", p.name, c.release, c.stage, c.trouble)).collect::<Vec<_>>()
        };
        let cards: Vec<String> = bot.doors.pictures().iter().flat_map(cards).collect();
        format!("tip {:?}\ntrouble {:?}\nbroken {:?}\n{cards:#?}", seen.head_id(), seen.trouble, seen.broken)
    }

    /// What the lock says of the shop, as a host would name it.
    pub fn of(&self, environment: &str) -> ReleaseOf {
        let lock = self.lock(environment).expect("a lock");
        let locked = &lock.stacks["shop"];
        ReleaseOf {
            environment: lock.environment.clone(),
            stack: "shop".parse().unwrap(),
            release: Some(locked.release),
            content: locked.content.clone(),
            commit: locked.commit.clone(),
        }
    }

    /// A signed batch of one host.
    pub fn batch(&self, host: &str, epoch: u64, events: Vec<(u64, Event)>) -> (Envelope, Vec<u8>) {
        let events = events.into_iter().map(|(sequence, event)| Sequenced { sequence, at: Timestamp::now(), event }).collect();
        let body = serde_json::to_vec(&Batch { format: FORMAT, epoch, events }).unwrap();
        (self.signed(host, Timestamp::now(), &body), body)
    }

    pub fn signed(&self, host: &str, at: Timestamp, body: &[u8]) -> Envelope {
        let text = signed_text(AUDIENCE, &host.parse().unwrap(), at, body);
        let signature = self.keys[host].sign(NAMESPACE, &text).unwrap();
        let bare: String = signature.lines().filter(|line| !line.starts_with("-----")).collect();
        Envelope { host: host.to_owned(), time: at.to_string(), signature: bare }
    }

    pub async fn send(&self, envelope: &Envelope, body: &[u8]) -> Result<u64, NotTaken> {
        self.bot().intake.take(envelope, body, Timestamp::now()).await.map(|accepted| accepted.through)
    }

    /// A host tells one thing.
    pub async fn host_says(&self, host: &str, event: Event) {
        let sequence = self.sequence.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let (headers, body) = self.batch(host, 1, vec![(sequence, event)]);
        self.send(&headers, &body).await.unwrap();
    }

    /// A host describes itself: what it runs of the shop by right, and what keeps it from the rest.
    pub async fn host_describes(&self, host: &str, released: Option<ReleaseOf>, waiting: Option<Waiting>) {
        let on_host = StackStatus { released, waiting, ..StackStatus::default() };
        let status = HostStatus {
            host: host.parse().unwrap(),
            environment: "production".parse().unwrap(),
            agent_version: "test".into(),
            engine_version: None,
            tzdata: "test".into(),
            observed_commit: None,
            last_poll: None,
            poll_interval_secs: 5,
            stacks: [("shop".parse().unwrap(), on_host)].into(),
        };
        self.host_says(host, Event::Status(Box::new(status))).await;
        self.settled().await;
    }

    /// Releases what waits and has every host of the environment verify it.
    pub async fn release_verified(&self, environment: &str, version: &str) {
        let image = format!("web:{version}");
        let has_looked = |picture: &Picture| picture.seen.head_id() == self.bot().seen.borrow().head_id();
        let wanted = || {
            let picture = self.picture(environment);
            has_looked(&picture) && picture.waiting(Timestamp::now()).is_some()
        };
        if self.version(environment) != image {
            self.until("a candidate waits", wanted).await;
            let reply = self.reply("alice", &self.approve(environment)).await;
            assert!(matches!(reply.outcome, Outcome::Released(_)), "{}", reply.words);
        }
        let hosts: Vec<String> = self.keys.keys().filter(|host| host.starts_with("web-")).cloned().collect();
        for host in hosts {
            let of = self.of(environment);
            let finished = RolloutFinished { of, class: OperationClass::Release, outcome: Ended::Verified, took_ms: 1_000 };
            self.host_says(&host, Event::Finished(finished)).await;
        }
        let content = self.of(environment).content;
        self.until("it is verified", || self.picture(environment).verified.iter().any(|(_, known)| *known == content)).await;
    }

    /// Everything that hosts said has had its effects, and the bot has looked at the branch again.
    pub async fn settled(&self) {
        self.bot().waker.poll_now().await;
        let deadline = Instant::now() + PATIENCE;
        for environment in ["staging", "production"] {
            while !self.bot().store.pending(&environment.parse().unwrap(), 1).await.unwrap().is_empty() {
                assert!(Instant::now() < deadline, "gave up waiting for {environment} to settle\n{}", self.story());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        // The workers have seen the newest snapshot of the branch, which moves on by what they themselves commit.
        let has_looked = |picture: &Arc<Picture>| picture.seen.head_id() == self.bot().seen.borrow().head_id();
        self.until("the workers have looked", || self.bot().doors.pictures().iter().all(has_looked)).await;
        while !self.bot().store.undelivered(1).await.unwrap().is_empty() {
            assert!(Instant::now() < deadline, "news are not delivered");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Somebody forces the branch to a commit that does not descend from it.
    pub fn rewrite_branch(&mut self) {
        self.rewritten = true;
        let other = self.folder.path().join("other.git");
        let mut files = RepoFiles::default();
        files.insert_text("README.md".parse().unwrap(), "another history");
        let mallory = Identity::new("mallory", "mallory@example.org");
        let first = FirstCommit { branch: "main", files: &files, message: "Mine", identity: &mallory, key: None };
        let commit = create_bare(&other, &first).unwrap();
        let objects = self.folder.path().join("repo.git/objects");
        copy_folder(&other.join("objects"), &objects);
        std::fs::write(self.folder.path().join("repo.git/refs/heads/main"), format!("{commit}\n")).unwrap();
        if let Some(bot) = &self.bot {
            bot.waker.wake();
        }
    }

    pub async fn add_person(&self, name: &str) {
        let line = format!("  {name}: {{ name: {name}, email: {name}@example.org, roles: [engineer], chat: {{ local: {name} }} }}\n");
        let text = settings(&self.bot_key).replace("people:\n", &format!("people:\n{line}"));
        self.push(name, "let me in", &[("tidegate.yaml", &text)]).await;
    }

    /// Somebody without a place to speak from, such as a pipeline.
    pub async fn add_silent_person(&self, name: &str) {
        let line = format!("  {name}: {{ name: {name}, email: {name}@example.org, roles: [engineer] }}\n");
        let text = settings(&self.bot_key).replace("people:\n", &format!("people:\n{line}"));
        self.push("alice", "add a pipeline", &[("tidegate.yaml", &text)]).await;
    }

    /// The store's file as it is now.
    pub async fn copy_store(&self) -> PathBuf {
        let copy = self.folder.path().join("bot.db.copy");
        let source = rusqlite::Connection::open(self.state().join("bot.db")).unwrap();
        let _ = std::fs::remove_file(&copy);
        source.execute("VACUUM INTO ?1", [copy.display().to_string()]).unwrap();
        copy
    }

    /// Puts an earlier file in place of the store's.
    pub fn restore_store(&self, copy: &std::path::Path) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(self.state().join(format!("bot.db{suffix}")));
        }
        std::fs::copy(copy, self.state().join("bot.db")).unwrap();
    }

    /// All commits of the branch, newest first: subject, author, committer, message.
    pub async fn log(&self) -> Vec<tidegate_git::CommitInfo> {
        let tip = self.people.fetch().await.unwrap();
        self.people.log(None, &tip, 1000).await.unwrap()
    }

    pub async fn subjects(&self) -> Vec<String> {
        self.log().await.iter().map(tidegate_git::CommitInfo::subject).collect()
    }

    pub async fn raw(&self, commit: &CommitId) -> Vec<u8> {
        self.people.raw_commit(commit).await.unwrap()
    }

    pub fn bot_public(&self) -> tidegate_git::keys::PublicKey {
        self.bot_key.public()
    }
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else if !target.exists() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Was nothing done?
pub fn refused(reply: &Reply) -> bool {
    matches!(reply.outcome, Outcome::Refused(_) | Outcome::NotUnderstood(_))
}
