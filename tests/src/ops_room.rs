//! The bot as a program in a room on Discord: real git, the Discord of the tests, and hosts that sign what a test lets
//! them say. No containers: what a host does is other tests' business; what people see and what becomes of what they
//! press is this one's.

use crate::checkout::{Author, Checkout};
use crate::client;
use crate::discord::{Discord, Id, Person, Room, Seen};
use crate::git_server::GitServer;
use crate::ports::free_port;
use crate::programs::{Program, binary};
use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tidegate_core::events::{
    Batch, Event, FORMAT, HEADER_HOST, HEADER_SIGNATURE, HEADER_TIME, NAMESPACE, Outcome, ReleaseOf, RolloutFinished, Sequenced,
    signed_text,
};
use tidegate_core::lock::Lock;
use tidegate_core::plan::OperationClass;
use tidegate_git::keys::SigningKey;

/// Longest time for anything between people, bot and git.
pub const LIMIT: Duration = Duration::from_secs(20);
/// The bot looks at the repo this often.
const POLL_SECS: f64 = 0.2;
/// Who pushes changes.
const DAVE: Author = Author { name: "Dave Example", email: "dave@example.org" };
/// Everybody: name and role.
const PEOPLE: [(&str, &str); 5] =
    [("alice", "engineer"), ("bob", "engineer"), ("carol", "engineer"), ("dave", "engineer"), ("greta", "guest")];

/// How git is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Git {
    /// By a path: fast.
    Path,
    /// Over HTTP, so that it can hang.
    Http,
}

/// What a room is made of.
#[derive(Debug, Clone)]
pub struct Wish {
    /// `approvals:` of production.
    pub approvals: &'static str,
    /// `windows:` of production.
    pub windows: &'static str,
    /// Git.
    pub git: Git,
    /// More lines under `chat.discord`, with six blanks before each.
    pub chat: String,
}

impl Default for Wish {
    fn default() -> Wish {
        Wish { approvals: "{ count: 1, roles: [engineer] }", windows: "always", git: Git::Path, chat: String::new() }
    }
}

/// The room. Everything goes when it goes.
pub struct OpsRoom {
    /// Discord.
    pub discord: Discord,
    /// The guild and the engineers' channel.
    pub room: Room,
    /// The stakeholders' channel.
    pub news: Id,
    /// The role that is called when production is in trouble.
    pub on_call: Id,
    /// A clone of the config repo.
    pub checkout: Checkout,
    /// Serves it, where it goes over HTTP.
    pub git: Option<GitServer>,
    /// The bot.
    pub bot: Program,
    /// The bot's own address.
    pub url: String,
    wish: Wish,
    people: BTreeMap<&'static str, Id>,
    host_key: SigningKey,
    bot_key: SigningKey,
    sequence: AtomicU64,
    folder: TempDir,
}

impl OpsRoom {
    /// A room with the shop at version 1 in staging and offered to production; the bot is there.
    pub async fn new(wish: Wish) -> Result<OpsRoom> {
        let mut room = OpsRoom::without_bot(wish)?;
        room.start().await?;
        Ok(room)
    }

    /// The same before the bot is started for the first time.
    pub fn without_bot(wish: Wish) -> Result<OpsRoom> {
        let folder = tempfile::Builder::new().prefix("tidegate-room-").tempdir()?;
        let discord = Discord::start();
        let room = discord.add_room("Example", "releases");
        let news = discord.add_channel(room.guild, "news");
        let on_call = discord.add_role(room.guild, "on-call");
        let people = PEOPLE.iter().map(|(name, _)| (*name, discord.person(room, name).user)).collect();
        let repos = folder.path().join("git");
        let checkout = Checkout::of_new_repo(&repos.join("config.git"), &folder.path().join("checkout"))?;
        let git = (wish.git == Git::Http).then(|| GitServer::start(&repos)).transpose()?;
        let port = free_port();
        let bot = Program::new("bot", binary("tidegate-bot"), folder.path().join("log"))
            .arg("--config")
            .arg(folder.path().join("bot.toml").as_os_str());
        let (host_key, bot_key) = (SigningKey::generate()?, SigningKey::generate()?);
        let url = format!("http://127.0.0.1:{port}");
        let room = OpsRoom {
            discord,
            room,
            news,
            on_call,
            checkout,
            git,
            bot,
            url,
            wish,
            people,
            host_key,
            bot_key,
            sequence: AtomicU64::new(1),
            folder,
        };
        room.write_bot_settings()?;
        room.write_first_config()?;
        Ok(room)
    }

    fn write_bot_settings(&self) -> Result<()> {
        let folder = self.folder.path();
        std::fs::create_dir_all(folder.join("state"))?;
        self.bot_key.save(&folder.join("signing.key"))?;
        std::fs::write(folder.join("token"), self.discord.token())?;
        let repo = match &self.git {
            Some(git) => git.url("config.git"),
            None => folder.join("git/config.git").display().to_string(),
        };
        let text = format!(
            "state_dir = \"{state}\"\nlisten = \"{listen}\"\naudience = \"{url}\"\npoll_interval_secs = {POLL_SECS}\nsigning_key = \"{key}\"\n\
             [repo]\nurl = \"{repo}\"\n[discord]\ntoken_file = \"{token}\"\napi_base = \"{base}\"\n",
            state = folder.join("state").display(),
            listen = self.url.trim_start_matches("http://"),
            url = self.url,
            key = folder.join("signing.key").display(),
            token = folder.join("token").display(),
            base = self.discord.base(),
        );
        std::fs::write(folder.join("bot.toml"), text).context("writing the bot's settings")
    }

    /// Puts this into the token's file; it counts at the next start.
    pub fn write_token(&self, text: &str) -> Result<()> {
        std::fs::write(self.folder.path().join("token"), text).context("writing the token")
    }

    fn write_first_config(&self) -> Result<()> {
        let write = |path: &str, text: &str| self.checkout.write(path, text);
        write("tidegate.yaml", &self.settings_file(&self.people))?;
        write("environments/staging.yaml", "schema: 1\nstacks:\n  shop: { hosts: {} }\nwindows: always\napprovals: none\n")?;
        write("environments/production.yaml", &self.production_file(self.wish.approvals))?;
        for (host, environment) in [("stage-1", "staging"), ("web-1", "production")] {
            let key = self.host_key.public_openssh();
            write(
                &format!("hosts/{host}.yaml"),
                &format!("schema: 1\nenvironment: {environment}\nlabels: {{}}\nkeys: {{ events: \"{key}\" }}\n"),
            )?;
        }
        write("stacks/shop/compose.yaml", &compose("1"))?;
        self.checkout.push(DAVE, "Run the shop at version 1").map(drop)
    }

    /// `environments/production.yaml` with this rule for approvals.
    pub fn production_file(&self, approvals: &str) -> String {
        format!("schema: 1\nstacks:\n  shop: {{ hosts: {{}} }}\nwindows: {}\napprovals: {approvals}\n", self.wish.windows)
    }

    /// `tidegate.yaml` with these people.
    fn settings_file(&self, people: &BTreeMap<&str, Id>) -> String {
        let mut text = format!(
            "schema: 1\nenvironments: [staging, production]\nchat:\n  discord:\n    guild: \"{}\"\n    engineers: \"{}\"\n    stakeholders: \"{}\"\n    \
             on_call: \"{}\"\n{}people:\n",
            self.room.guild, self.room.channel, self.news, self.on_call, self.wish.chat
        );
        for (name, id) in people {
            let role = PEOPLE.iter().find(|(known, _)| known == name).map_or("engineer", |(_, role)| role);
            // Writing to a string cannot fail.
            let _written = writeln!(
                text,
                "  {name}: {{ name: {} Example, email: {name}@example.org, roles: [{role}], chat: {{ discord: \"{id}\", local: {name} }} }}",
                capital(name)
            );
        }
        let _written =
            writeln!(text, "bot: {{ name: tidegate-bot, email: bot@example.org, keys: [\"{}\"] }}", self.bot_key.public_openssh());
        text
    }

    /// Starts the bot and waits until it is there for people: connected, its commands registered.
    pub async fn start(&mut self) -> Result<()> {
        self.bot.start()?;
        self.wait_up().await
    }

    /// Waits until the bot is connected, has registered its commands and shows what production is offered.
    pub async fn wait_up(&self) -> Result<()> {
        let up = |discord: &Discord| (discord.gateway().connected() && !discord.commands(self.room.guild).is_empty()).then_some(());
        self.discord.wait(LIMIT, "the bot to come to Discord", up).await.with_context(|| self.bot.tail())
    }

    /// A person in the engineers' channel.
    ///
    /// # Panics
    /// When the test names nobody of the room.
    pub fn person(&self, name: &str) -> Person<'_> {
        self.discord.as_person(*self.people.get(name).expect("a person of the room"), self.room)
    }

    /// Dave merges a version of the shop.
    pub fn merge(&self, version: &str) -> Result<String> {
        self.push(&format!("Run the shop at version {version}"), &[("stacks/shop/compose.yaml", &compose(version))])
    }

    /// Dave pushes files; the commit.
    pub fn push(&self, subject: &str, files: &[(&str, &str)]) -> Result<String> {
        files.iter().try_for_each(|(path, text)| self.checkout.write(path, text))?;
        self.checkout.push(DAVE, subject)
    }

    /// Dave pushes files as somebody of another name: names are foreign text.
    pub fn push_as(&self, author: Author, (subject, files): (&str, &[(&str, &str)])) -> Result<String> {
        files.iter().try_for_each(|(path, text)| self.checkout.write(path, text))?;
        self.checkout.push(author, subject)
    }

    /// A lock as the repo has it.
    pub fn lock(&self, environment: &str) -> Result<Option<Lock>> {
        let text = self.checkout.remote_file(&format!("releases/{environment}.yaml"))?;
        text.map(|text| serde_yaml::from_str(&text).with_context(|| format!("reading the lock:\n{text}"))).transpose()
    }

    /// The number of production's newest release; 0: none yet.
    pub fn release(&self) -> Result<u64> {
        Ok(self.lock("production")?.map_or(0, |lock| lock.release.0))
    }

    /// Waits until production's newest release is this one.
    pub async fn wait_release(&self, number: u64) -> Result<Lock> {
        let began = std::time::Instant::now();
        loop {
            match self.lock("production")? {
                Some(lock) if lock.release.0 == number => return Ok(lock),
                other if began.elapsed() > LIMIT => {
                    bail!("waited for release {number}, saw {:?}\n{}", other.map(|lock| lock.release), self.bot.tail())
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// The commits of the bot that touch production, newest first: subjects.
    pub fn commits_of_bot(&self) -> Result<Vec<String>> {
        self.checkout.git(&["fetch", "--quiet", "origin", "main"])?;
        let text = self.checkout.git(&["log", "--format=%s%x09%cn", "FETCH_HEAD", "--", "releases/production.yaml"])?;
        Ok(text
            .lines()
            .filter(|line| line.ends_with("\ttidegate-bot"))
            .map(|line| line.trim_end_matches("\ttidegate-bot").to_owned())
            .collect())
    }

    /// The whole message of the bot's newest commit, and its author.
    pub fn newest_commit(&self) -> Result<(String, String)> {
        self.checkout.git(&["fetch", "--quiet", "origin", "main"])?;
        Ok((
            self.checkout.git(&["log", "-1", "--format=%B", "FETCH_HEAD"])?,
            self.checkout.git(&["log", "-1", "--format=%an", "FETCH_HEAD"])?,
        ))
    }

    /// Waits for a card of production in the engineers' channel that has all of these texts.
    pub async fn wait_card(&self, texts: &[&str]) -> Result<Seen> {
        let what = format!("a card with {texts:?}");
        let fits = |seen: &Seen| texts.iter().all(|wanted| seen.text().contains(wanted));
        self.discord.wait_message(self.room.channel, &what, fits).await.with_context(|| self.bot.tail())
    }

    /// Waits for the card of a candidate of production, on which `Approve` can be pressed.
    pub async fn wait_candidate(&self, release: u64) -> Result<Seen> {
        let what = format!("the candidate of release {release}");
        let title = format!("production · release {release}");
        let found =
            self.discord.wait_message(self.room.channel, &what, |seen| seen.text().contains(&title) && seen.offers("Approve")).await;
        found.with_context(|| self.bot.tail())
    }

    /// A person approves what waits in production, by the button on its card; the release is committed.
    pub async fn approve(&self, name: &str, release: u64) -> Result<Lock> {
        let card = self.wait_candidate(release).await?;
        let answer = self.person(name).press(&card, "Approve")?.answer().await?;
        ensure!(!answer.text().contains("Nothing was done"), "{}", answer.text());
        self.wait_release(release).await
    }

    /// What production's host says of the release it has: it is verified.
    pub async fn verified(&self) -> Result<()> {
        self.finished(Outcome::Verified).await
    }

    /// How a rollout of what production is locked at ended.
    pub async fn finished(&self, outcome: Outcome) -> Result<()> {
        let of = self.release_of()?;
        self.host_says(Event::Finished(RolloutFinished { of, class: OperationClass::Release, outcome, took_ms: 1_000 })).await
    }

    /// The shop of production as its host names it.
    pub fn release_of(&self) -> Result<ReleaseOf> {
        let lock = self.lock("production")?.context("no lock of production")?;
        let (stack, locked) = lock.stacks.iter().next().context("no stack in the lock")?;
        Ok(ReleaseOf {
            environment: lock.environment.clone(),
            stack: stack.clone(),
            release: Some(locked.release),
            content: locked.content.clone(),
            commit: locked.commit.clone(),
        })
    }

    /// Production's host tells one thing.
    pub async fn host_says(&self, event: Event) -> Result<()> {
        let sequence = self.sequence.fetch_add(1, Ordering::SeqCst);
        let now = Timestamp::now();
        let body = serde_json::to_vec(&Batch { format: FORMAT, epoch: 1, events: vec![Sequenced { sequence, at: now, event }] })?;
        let text = signed_text(&self.url, &"web-1".parse().context("a host's name")?, now, &body);
        let signature: String = self.host_key.sign(NAMESPACE, &text)?.lines().filter(|line| !line.starts_with("-----")).collect();
        let request = client::client().post(format!("{}/events", self.url)).body(body);
        let request = request.header(HEADER_HOST, "web-1").header(HEADER_TIME, now.to_string()).header(HEADER_SIGNATURE, signature);
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "the bot takes no event: {} {}", answer.status(), answer.text().await?);
        Ok(())
    }

    /// Releases 1 and 2 verified in production, one after the other.
    pub async fn two_verified(&self) -> Result<()> {
        for (release, approver) in [(1, "alice"), (2, "bob")] {
            if release > 1 {
                self.merge(&release.to_string())?;
            }
            self.approve(approver, release).await?;
            self.verified().await?;
            self.wait_live(release).await?;
        }
        Ok(())
    }

    /// Waits until the card of a release of production no longer offers anything to decide and says it is live.
    pub async fn wait_live(&self, release: u64) -> Result<Seen> {
        self.wait_card(&[&format!("production · release {release}"), "Live: "]).await
    }

    /// The config repo that everybody pushes to.
    pub fn repository(&self) -> PathBuf {
        self.folder.path().join("git/config.git")
    }

    /// Bytes of memory that the bot's process holds.
    pub fn memory(&self) -> Result<u64> {
        let id = self.bot.id().context("the bot does not run")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for OpsRoom {
    #[expect(clippy::print_stderr, reason = "a failing test shows what was said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("──── the bot said last:\n{}", self.bot.tail());
            self.discord.broken().iter().for_each(|broken| eprintln!("──── broken: {broken}"));
        }
    }
}

fn compose(version: &str) -> String {
    format!("services:\n  web:\n    image: web:{version}\n    pull_policy: never\n")
}

fn capital(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
