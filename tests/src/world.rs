//! A whole fleet for one test: config repo, registry, agents, bot; unique names, so that tests run beside each other.

use crate::checkout::{ALICE, Checkout};
use crate::client;
use crate::engine::{Container, Engine};
use crate::fleet::{self, Environment, Shop, ShopService};
use crate::git_server::GitServer;
use crate::ports::free_port;
use crate::programs::{Program, binary, helper};
use crate::registry::Registry;
use crate::wait::wait_until;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tidegate_core::lock::Lock;

/// Longest time for a change to go from a push to a container that runs, on a busy machine.
pub const ROLLOUT_LIMIT: Duration = Duration::from_secs(60);
/// How long tests look whether something stays as it is: many polls of agents and bot.
pub const STAY_TIME: Duration = Duration::from_secs(4);
/// Longest time until a program answers.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Between two polls of the agents and the bot, in seconds, unless a test says otherwise.
const POLL_SECS: f64 = 0.3;
/// Where the engine listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The environments, each with one host.
    pub environments: Vec<Environment>,
    /// The engine's socket.
    pub socket: String,
    /// Between two polls of the agents and the bot, in seconds.
    pub poll_secs: f64,
}

impl Plan {
    /// A world with these environments on the engine of this machine.
    pub fn new(environments: Vec<Environment>) -> Plan {
        Plan { environments, socket: engine_socket(), poll_secs: POLL_SECS }
    }

    /// The same on another engine.
    #[must_use]
    pub fn on_engine(mut self, socket: &Path) -> Plan {
        self.socket = socket.to_string_lossy().into_owned();
        self
    }
}

fn engine_socket() -> String {
    let given = std::env::var("DOCKER_HOST").unwrap_or_default();
    given.strip_prefix("unix://").map_or_else(|| SOCKET.to_owned(), str::to_owned)
}

/// A fleet. Everything it made is removed when it goes.
#[derive(Debug)]
pub struct World {
    /// The run's id: part of every name, also of the hosts' and so of the scopes that containers carry.
    pub run: String,
    /// The engineer's clone.
    pub checkout: Checkout,
    /// Serves the config repo over http.
    pub git: GitServer,
    /// The registry.
    pub registry: Registry,
    /// The agents, one per environment, in the order of the environments.
    pub agents: Vec<Agent>,
    /// The bot.
    pub bot: Bot,
    /// The engine.
    pub engine: Engine,
    socket: String,
    poll_secs: f64,
    repo_url: String,
    // Last, so that it goes when all that lives in it has gone.
    folder: TempDir,
}

/// An agent.
#[derive(Debug)]
pub struct Agent {
    /// Its environment.
    pub environment: String,
    /// Its host's name.
    pub host: String,
    /// `http://127.0.0.1:PORT` of its local interface.
    pub url: String,
    /// Its settings file, for commands on the host.
    pub settings: PathBuf,
    /// Its process.
    pub program: Program,
}

/// The bot.
#[derive(Debug)]
pub struct Bot {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Its process.
    pub program: Program,
}

impl World {
    /// Makes the repo with its first commit (everything but the stack), the registry and the settings. Agents and bot
    /// are not started yet.
    ///
    /// # Errors
    /// Something that is needed is not there.
    pub async fn new(plan: Plan) -> Result<World> {
        let folder = tempfile::Builder::new().prefix("tidegate-test-").tempdir()?;
        let run = run_id();
        let engine = Engine::connect(&plan.socket).await.context("connecting to the engine")?;
        let repos = folder.path().join("git");
        let bare = repos.join("config.git");
        let checkout = Checkout::of_new_repo(&bare, &folder.path().join("checkout"))?;
        let git = GitServer::start(&repos)?;
        let registry = Registry::start(folder.path()).await?;
        let bot = Bot::prepare(folder.path())?;
        let mut world = World {
            agents: Vec::new(),
            repo_url: git.url("config.git"),
            git,
            socket: plan.socket,
            poll_secs: plan.poll_secs,
            run,
            checkout,
            registry,
            bot,
            engine,
            folder,
        };
        world.write_bot_settings()?;
        for environment in &plan.environments {
            let agent = world.prepare_agent(&environment.name)?;
            world.agents.push(agent);
        }
        world.write_config(&plan.environments)?;
        Ok(world)
    }

    fn write_config(&self, environments: &[Environment]) -> Result<()> {
        let bot_key = public_key(&self.folder.path().join("bot/signing.key"))?;
        self.checkout.write("tidegate.yaml", &fleet::settings(environments, &bot_key))?;
        for (environment, agent) in environments.iter().zip(&self.agents) {
            self.checkout.write(&format!("environments/{}.yaml", environment.name), &environment.to_yaml())?;
            let key = public_key(&self.folder.path().join(&agent.host).join("state/events.key"))?;
            self.checkout.write(&format!("hosts/{}.yaml", agent.host), &fleet::host(&environment.name, &key))?;
        }
        Ok(())
    }

    fn write_bot_settings(&self) -> Result<()> {
        let folder = self.folder.path().join("bot");
        let text = format!(
            "state_dir = \"{state}\"\nlisten = \"{listen}\"\naudience = \"{url}\"\npoll_interval_secs = {poll}\n\
             signing_key = \"{key}\"\n[repo]\nurl = \"{repo}\"\n[local]\nenabled = true\n",
            state = folder.join("state").display(),
            listen = self.bot.url.trim_start_matches("http://"),
            url = self.bot.url,
            poll = self.poll_secs,
            key = folder.join("signing.key").display(),
            repo = self.repo_url,
        );
        std::fs::write(folder.join("bot.toml"), text).context("writing the bot's settings")
    }

    fn prepare_agent(&self, environment: &str) -> Result<Agent> {
        let host = format!("{environment}-{}", self.run);
        let folder = self.folder.path().join(&host);
        std::fs::create_dir_all(folder.join("state"))?;
        make_key(&folder.join("state/events.key"))?;
        let port = free_port();
        let settings = folder.join("agent.toml");
        let text = format!(
            "host = \"{host}\"\nstate_dir = \"{state}\"\npoll_interval_secs = {poll}\nlisten = \"127.0.0.1:{port}\"\n\
             name_prefix = \"{run}-{environment}-\"\n[calendar]\nsplay_secs = 0\ncheck_sync = false\n[repo]\nurl = \"{repo}\"\n[engine]\nsocket = \"{socket}\"\n[bot]\nurl = \"{bot}\"\n",
            state = folder.join("state").display(),
            poll = self.poll_secs,
            run = self.run,
            repo = self.repo_url,
            socket = self.socket,
            bot = self.bot.url,
        );
        std::fs::write(&settings, text)?;
        let program = Program::new(&format!("agent of {environment}"), binary("tidegate"), folder.join("log"))
            .arg("agent")
            .arg("--config")
            .arg(settings.as_os_str());
        Ok(Agent { environment: environment.to_owned(), host, url: format!("http://127.0.0.1:{port}"), settings, program })
    }

    /// The image of the demo service in the registry of this world.
    pub fn image(&self, version: u32) -> String {
        format!("{}/app:{version}", self.registry.address)
    }

    /// A shop with one service `web` at this version.
    pub fn shop(&self, version: u32) -> Shop {
        Shop { services: vec![ShopService::new("web", &self.image(version))] }
    }

    /// Writes the stack and pushes it as the engineer; the commit's id.
    ///
    /// # Errors
    /// git says no.
    pub fn push_shop(&self, shop: &Shop, message: &str) -> Result<String> {
        self.checkout.write("stacks/shop/compose.yaml", &shop.to_yaml())?;
        self.checkout.push(ALICE, message)
    }

    /// Pushes demo images 1 to 3 to the registry, the shop at version 1 to the repo, and starts everything.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start_with_version_1(&mut self) -> Result<()> {
        for version in 1..=3 {
            self.registry.push_demo(version, "app", &version.to_string())?;
        }
        self.push_shop(&self.shop(1), "Run the shop at version 1")?;
        self.start_all().await
    }

    /// Starts the bot, then the agents.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start_all(&mut self) -> Result<()> {
        self.bot.program.start()?;
        for agent in &mut self.agents {
            agent.program.start()?;
        }
        let urls: Vec<String> = std::iter::once(&self.bot.url).chain(self.agents.iter().map(|agent| &agent.url)).cloned().collect();
        for url in urls {
            self.answers(&url).await;
        }
        Ok(())
    }

    /// Waits until a program answers.
    pub async fn answers(&self, url: &str) {
        let health = format!("{url}/healthz");
        wait_until(START_LIMIT, &format!("{health} answers"), || async {
            client::get(&health).await.map(drop).map_err(|error| format!("{error:#}"))
        })
        .await;
    }

    /// The agent of an environment.
    ///
    /// # Panics
    /// When there is none: the test is wrong.
    pub fn agent(&mut self, environment: &str) -> &mut Agent {
        self.agents.iter_mut().find(|agent| agent.environment == environment).expect("an environment of this world")
    }

    /// The label of everything an environment's agent made.
    ///
    /// # Panics
    /// When there is no such environment: the test is wrong.
    pub fn scope(&self, environment: &str) -> String {
        let agent = self.agents.iter().find(|agent| agent.environment == environment).expect("an environment of this world");
        format!("tidegate.scope={environment}/{}", agent.host)
    }

    /// Containers of an environment's host.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn containers(&self, environment: &str) -> Result<Vec<Container>> {
        self.engine.containers(&self.scope(environment)).await
    }

    /// `Ok` when exactly one container of the environment exists, runs, and answers with this version.
    ///
    /// # Errors
    /// What is there instead.
    pub async fn serves(&self, environment: &str, version: u32) -> Result<Container, String> {
        let found = self.containers(environment).await.map_err(|error| format!("{error:#}"))?;
        let [container] = found.as_slice() else { return Err(names(&found)) };
        if container.state != "running" {
            return Err(names(&found));
        }
        match self.engine.ask(&container.name).await {
            Ok(answer) if answer == version.to_string() => Ok(container.clone()),
            Ok(answer) => Err(format!("{} answers {answer}", container.name)),
            Err(error) => Err(format!("{}: {error:#}", container.name)),
        }
    }

    /// Waits until the environment serves this version with exactly one container.
    pub async fn wait_serves(&self, environment: &str, version: u32) -> Container {
        wait_until(ROLLOUT_LIMIT, &format!("{environment} serves version {version}"), || self.serves(environment, version)).await
    }

    /// Waits until the environment serves this version and its agent has nothing in hand: it was verified and recorded.
    pub async fn wait_released(&self, environment: &str, version: u32) -> Container {
        wait_until(ROLLOUT_LIMIT, &format!("{environment} has released version {version}"), || async {
            let container = self.serves(environment, version).await?;
            let status = self.status(environment).await.map_err(|error| format!("{error:#}"))?;
            let shop = &status["status"]["stacks"]["shop"];
            if shop["released"].is_object() && shop["attempted"].is_null() { Ok(container) } else { Err(shop.to_string()) }
        })
        .await
    }

    /// What the bot knows: its whole snapshot.
    ///
    /// # Errors
    /// The bot does not answer.
    pub async fn view(&self) -> Result<Value> {
        client::get_json(&format!("{}/api/view", self.bot.url)).await
    }

    /// The card of an environment's newest release or candidate, once the bot shows one that fits.
    ///
    /// # Errors
    /// The cards that are there instead.
    pub async fn card(&self, environment: &str, stage: &str) -> Result<Value, String> {
        let view = self.view().await.map_err(|error| format!("{error:#}"))?;
        let cards: Vec<&Value> = view["cards"].as_array().into_iter().flatten().filter(|card| card["environment"] == environment).collect();
        let seen = || cards.iter().map(|card| format!("{} {}: {}", card["release"], card["stage"], card["words"])).collect::<Vec<_>>();
        cards.iter().find(|card| card["stage"] == stage).map(|card| (*card).clone()).ok_or_else(|| format!("cards: {:?}", seen()))
    }

    /// Waits for a card of the environment at this stage.
    pub async fn wait_card(&self, environment: &str, stage: &str) -> Value {
        wait_until(ROLLOUT_LIMIT, &format!("a card of {environment} is {stage}"), || self.card(environment, stage)).await
    }

    /// What an agent says of itself.
    ///
    /// # Errors
    /// The agent does not answer.
    pub async fn status(&self, environment: &str) -> Result<Value> {
        let agent = self.agents.iter().find(|agent| agent.environment == environment).context("an environment of this world")?;
        client::get_json(&format!("{}/status", agent.url)).await
    }

    /// Says a line in the local chat, as this person; what came of it, as HTML.
    ///
    /// # Errors
    /// The bot does not answer.
    pub async fn say(&self, person: &str, line: &str) -> Result<String> {
        client::post_form(&format!("{}/say", self.bot.url), &format!("tidegate-person={person}"), ("text", line)).await
    }

    /// The lock of an environment as the repo has it; none: nothing was released yet.
    ///
    /// # Errors
    /// The repo cannot be read, or the lock is not one.
    pub fn lock(&self, environment: &str) -> Result<Option<Lock>> {
        let text = self.checkout.remote_file(&format!("releases/{environment}.yaml"))?;
        text.map(|text| serde_yaml::from_str(&text).with_context(|| format!("reading the lock:\n{text}"))).transpose()
    }

    /// Waits for a lock of the environment that fits.
    pub async fn wait_lock(&self, environment: &str, what: &str, fits: impl Fn(&Lock) -> bool) -> Lock {
        wait_until(ROLLOUT_LIMIT, &format!("the lock of {environment}: {what}"), || async {
            match self.lock(environment).map_err(|error| format!("{error:#}"))? {
                Some(lock) if fits(&lock) => Ok(lock),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// A folder of this world for what a test makes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// For failure messages.
fn names(containers: &[Container]) -> String {
    let lines: Vec<String> =
        containers.iter().map(|container| format!("{} {} {}", container.name, container.state, container.image)).collect();
    format!("{} container(s): {}", lines.len(), lines.join(", "))
}

impl Bot {
    fn prepare(folder: &Path) -> Result<Bot> {
        let folder = folder.join("bot");
        std::fs::create_dir_all(folder.join("state"))?;
        make_key(&folder.join("signing.key"))?;
        let url = format!("http://127.0.0.1:{}", free_port());
        let program =
            Program::new("bot", binary("tidegate-bot"), folder.join("log")).arg("--config").arg(folder.join("bot.toml").as_os_str());
        Ok(Bot { url, program })
    }
}

impl Drop for World {
    #[expect(clippy::print_stderr, reason = "a failing test shows what the programs said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for program in std::iter::once(&self.bot.program).chain(self.agents.iter().map(|agent| &agent.program)) {
                eprintln!("──── {} said last:\n{}", program.name, program.tail());
            }
            for agent in &self.agents {
                let status = helper("curl", &["-sS", "-m", "3", &format!("{}/status", agent.url)], self.folder.path());
                eprintln!("──── status of {}:\n{}", agent.host, status.unwrap_or_else(|error| format!("{error:#}")));
            }
        }
        let scopes = self.agents.iter().map(|agent| format!("tidegate.scope={}/{}", agent.environment, agent.host));
        let labels: Vec<String> = scopes.chain([format!("tidegate.test={}", self.run)]).collect();
        // The agents first, so that nothing is made anew behind the broom.
        self.agents.clear();
        let engine = self.engine.clone();
        // A drop cannot wait on the runtime it runs in: a thread of its own with a runtime of its own.
        let swept = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| labels.iter().for_each(|label| runtime.block_on(engine.sweep(label))))
        });
        let _swept = swept.join();
    }
}

/// A fresh id that begins with the id of the whole run, if there is one.
fn run_id() -> String {
    let all = std::env::var("TIDEGATE_TEST_RUN").unwrap_or_else(|_| "t".into());
    format!("{all}{:06x}", rand::random::<u32>() & 0x00ff_ffff)
}

/// Makes an ed25519 key pair in OpenSSH's format.
fn make_key(path: &Path) -> Result<()> {
    let folder = path.parent().context("a key lies in a folder")?;
    helper("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", &path.to_string_lossy()], folder).map(drop)
}

/// The public half, without comment.
fn public_key(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path.with_extension("key.pub")).with_context(|| format!("reading {}.pub", path.display()))?;
    Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}
