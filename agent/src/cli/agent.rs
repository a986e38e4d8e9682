//! `tidegate agent`: parse, build, run, and on a signal finish the step in hand within a deadline.

use super::{ConfigArgs, Exit, runtime};
use crate::clock::WallClock;
use crate::docker::{self, Docker};
use crate::driver::{Board, Driver, DriverError, Parts, Wakes};
use crate::http::{self, ControlToken, Shared};
use crate::outbox::Deliverer;
use crate::settings::Settings;
use crate::store::{News, Store};
use crate::words;
use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use tidegate_core::ids::{EnvironmentName, HostName};
use tidegate_git::keys::SigningKey;
use tidegate_git::{Credentials, Mirror, RemoteSettings, SshCredentials};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Requests from people on the host that may wait.
const REQUESTS_MAX: usize = 16;

#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &AgentArgs) -> anyhow::Result<Exit> {
    init_logs();
    let settings = args.config.load()?;
    let _lock = lock(&settings)?.context("another agent or command holds the state folder; stop it first")?;
    tidegate_git::init();
    runtime()?.block_on(serve(settings))
}

/// The state folder, made if needed, and its lock; none: somebody else holds it.
pub(super) fn lock(settings: &Settings) -> anyhow::Result<Option<File>> {
    let folder = &settings.state_dir;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("could not create the state folder {}", folder.display()))?;
    let path = settings.lock_file();
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("could not open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("could not lock {}", path.display())),
    }
}

/// How to reach the config repo.
pub(super) fn remote(settings: &Settings) -> RemoteSettings {
    let repo = &settings.repo;
    let mut remote = RemoteSettings::new(repo.url.clone(), repo.branch.clone());
    remote.credentials = match (&repo.ssh_key, &repo.ssh_host_key, &repo.token_file) {
        (Some(key), Some(host_key), _) => Credentials::Ssh(SshCredentials { key_file: key.clone(), host_key: host_key.clone() }),
        (_, _, Some(file)) => Credentials::TokenFile(file.clone()),
        _ => Credentials::Nothing,
    };
    remote
}

/// The engine, as this host's agent sees it.
pub(super) fn connect(settings: &Settings) -> impl Fn(&EnvironmentName) -> Docker + Send + use<> {
    let host = settings.host.clone();
    let template = docker::Settings {
        socket: settings.engine_socket.display().to_string(),
        scope: String::new(),
        state_dir: settings.state_dir.clone(),
        registry_credentials: settings.registry_credentials.clone(),
    };
    move |environment| Docker::new(docker::Settings { scope: scope(environment, &host), ..template.clone() })
}

fn scope(environment: &EnvironmentName, host: &HostName) -> String {
    format!("{environment}/{host}")
}

async fn serve(settings: Settings) -> anyhow::Result<Exit> {
    let stop = CancellationToken::new();
    let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let key = SigningKey::load_or_generate(&settings.events_key())?;
    tracing::info!(host = settings.host.as_str(), events_key = key.public_openssh(), version = crate::report::VERSION, "the agent starts");
    let news = if settings.bot.is_some() { News::Kept } else { News::NobodyListens };
    let store = Store::open(&settings.database(), Timestamp::now(), news)?;
    let mirror = Mirror::open(&settings.mirror(), remote(&settings)).await?;
    let (board, shown) = watch::channel(Board::default());
    let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
    let wakes: Arc<Wakes> = Arc::default();
    let mut tasks = tokio::task::JoinSet::new();
    let bound = http::bind(settings.listen).await?;
    tracing::info!(address = %bound.address, "the local interface listens");
    let token = Arc::new(ControlToken::new(&control_token(&settings.control_token())?));
    let shared = Shared { board: shown, wakes: Arc::clone(&wakes), requests, token };
    tasks.spawn(bound.serve(http::routes(shared), stop.clone()));
    if let Some(bot) = settings.bot.clone() {
        let (store, wakes, board) = (store.clone(), Arc::clone(&wakes), board.clone());
        let deliverer = Deliverer { host: settings.host.clone(), bot, key, store, wakes, board };
        tasks.spawn(deliverer.run(stop.clone()));
    }
    let clock = WallClock::default();
    let parts = Parts { clock, connect: connect(&settings), settings: settings.clone(), store, mirror, wakes, board };
    let driver = Driver::new(parts).await?.run(receiver, &stop);
    tokio::pin!(driver);
    let ended = tokio::select! {
        ended = &mut driver => Some(ended),
        _ = signals.0.recv() => None,
        _ = signals.1.recv() => None,
    };
    stop.cancel();
    match ended {
        Some(ended) => ended?,
        None => finish(driver, &settings).await?,
    }
    // What serves has its own, shorter deadlines.
    let _ = tokio::time::timeout(settings.stop_deadline, tasks.join_all()).await;
    Ok(Exit::Fine)
}

/// The step in hand ends within the deadline; what does not is continued or undone after the next start.
async fn finish(driver: impl Future<Output = Result<(), DriverError>>, settings: &Settings) -> Result<(), DriverError> {
    tracing::info!(deadline_secs = settings.stop_deadline.as_secs(), "stopping: the step in hand ends first");
    match tokio::time::timeout(settings.stop_deadline, driver).await {
        Ok(ended) => ended,
        Err(_) => {
            tracing::warn!("the step in hand did not end in time; the next start goes on from there");
            Ok(())
        }
    }
}

/// The secret that lets a local caller command; made once.
pub(super) fn control_token(path: &Path) -> anyhow::Result<String> {
    if let Ok(text) = std::fs::read_to_string(path)
        && !text.trim().is_empty()
    {
        return Ok(text);
    }
    let bytes: [u8; 32] = rand::random();
    let text = hex::encode(bytes);
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let write = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    write.with_context(|| format!("could not write {}", path.display()))?;
    Ok(text)
}

/// Logs go to stderr; `TIDEGATE_LOG` sets the level, `TIDEGATE_LOG_FORMAT=json` the form.
fn init_logs() {
    let level = std::env::var("TIDEGATE_LOG").ok().and_then(|text| text.parse().ok()).unwrap_or(tracing::Level::INFO);
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false);
    let set = match std::env::var("TIDEGATE_LOG_FORMAT").as_deref() {
        Ok("json") => builder.json().try_init(),
        _ => builder.try_init(),
    };
    // Somebody set one before us (tests): fine.
    drop(set.map_err(|error| words::chain(&*error)));
}
