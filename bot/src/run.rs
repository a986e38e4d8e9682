//! The composition root: opens everything, starts every task, and joins them all when told to stop.

use crate::clock::Clock;
use crate::handle::{Handler, QUEUE_MAX};
use crate::http::routes::{self, Shared};
use crate::http::{self, Limits, guard::AllowedHosts};
use crate::intake::{self, Intake};
use crate::metrics::Metrics;
use crate::page::{self, Page};
use crate::platforms::discord::{self, Discord};
use crate::platforms::local::Local;
use crate::platforms::{Health, Platform};
use crate::registry::Registry;
use crate::room::Context;
use crate::rooms::Rooms;
use crate::settings::Settings;
use crate::show::{Console, Publisher};
use crate::store::{Store, StoreError};
use crate::tips::{Watched, Watcher};
use crate::view::View;
use jiff::Timestamp;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_git::keys::{KeyError, SigningKey};
use tidegate_git::{GitError, Mirror};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why the bot does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder cannot be made.
    #[error("cannot make the state folder {path}")]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another bot uses the state folder.
    #[error("another bot uses {path}: one bot for a fleet, stop the other one first")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The key cannot be used.
    #[error("cannot use the signing key")]
    Key(#[from] KeyError),
    /// The mirror cannot be opened.
    #[error("cannot open the mirror of the config repo")]
    Git(#[from] GitError),
    /// The store cannot be opened.
    #[error("cannot open the store")]
    Store(#[from] StoreError),
    /// The address is taken or not ours.
    #[error("cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Runs until `stop`; what is in hand then gets the settings' deadline.
pub async fn run(settings: Settings, stop: CancellationToken) -> Result<(), StartError> {
    let _lock = exclusive(&settings)?;
    let key = SigningKey::load_or_generate(&settings.signing_key)?;
    tracing::info!(public_key = %key.public_openssh(), "commits are signed with this key: it belongs into `bot.keys` of tidegate.yaml");
    let mirror = Mirror::open(&settings.mirror(), settings.remote.clone()).await?;
    let (store, writer) = Store::open(&settings.database())?;
    let discord = discord_access(&settings).transpose();
    if let Some(Err(cause)) = &discord {
        tracing::error!(cause, "the bot works without Discord: mend this and restart it; `tidegate-bot doctor` looks again");
    }
    if matches!(discord, Some(Ok(_))) {
        Discord::begin(&store).await?;
    }
    let listen = |source| StartError::Listen { listen: settings.listen, source };
    let listener = TcpListener::bind(settings.listen).await.map_err(listen)?;
    tracing::info!(listen = %settings.listen, repo = %settings.remote.url, "the bot is up");
    let tasks = TaskTracker::new();
    let parts = Parts { settings: &settings, mirror, key, store, discord, stop: stop.clone() };
    parts.start(&tasks, listener);
    stop.cancelled().await;
    tasks.close();
    if tokio::time::timeout(settings.stop_deadline, tasks.wait()).await.is_err() {
        tracing::warn!("what was in hand did not end in time; git and the store are whole all the same");
        return Ok(());
    }
    // Every sender is gone: the writer ends after its last commit.
    let _ = tokio::task::spawn_blocking(move || writer.join()).await;
    Ok(())
}

/// One bot per state folder; the lock goes with the process.
fn exclusive(settings: &Settings) -> Result<File, StartError> {
    let failed = |source| StartError::StateDir { path: settings.state_dir.clone(), source };
    std::fs::create_dir_all(&settings.state_dir).map_err(failed)?;
    let path = settings.lock_file();
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(StartError::Locked { path }),
    }
}

struct Parts<'a> {
    settings: &'a Settings,
    mirror: Mirror,
    key: SigningKey,
    store: Store,
    discord: Option<Result<Access, String>>,
    stop: CancellationToken,
}

/// What Discord needs.
type Access = (discord::Address, discord::Token);

/// Read before anything begins: a token that cannot be read is told at once. It stops nothing but Discord.
fn discord_access(settings: &Settings) -> Result<Option<Access>, String> {
    let Some(wanted) = &settings.discord else { return Ok(None) };
    let path = wanted.token_file.display();
    let text = std::fs::read_to_string(&wanted.token_file).map_err(|error| format!("the token's file {path} cannot be read: {error}"))?;
    let token = discord::Token::read(&text)
        .ok_or_else(|| format!("{path} holds no token of Discord: copy it from the Developer Portal, page Bot, Reset Token"))?;
    let authority = wanted.ca_file.as_deref().map(discord::authority).transpose()?;
    Ok(Some((discord::Address { base: wanted.api_base.clone(), authority }, token)))
}

/// Who goes to Discord, or the health of who cannot.
fn parted(discord: Option<Result<Access, String>>) -> (Option<Access>, Option<(&'static str, Arc<Health>)>) {
    match discord.transpose() {
        Ok(access) => (access, None),
        Err(cause) => (None, Some((discord::NAME, Arc::new(Health::refused(cause))))),
    }
}

fn registry(settings: &Settings) -> Registry {
    Registry::new(settings.insecure_registries.clone(), settings.registry_credentials.clone())
}

impl Parts<'_> {
    fn start(self, tasks: &TaskTracker, listener: TcpListener) {
        let Parts { settings, mirror, key, store, discord, stop } = self;
        let watched = Watched { mirror: mirror.clone(), branch: settings.remote.branch.clone(), store: store.clone() };
        let (watcher, waker, seen) = Watcher::new(watched, settings.poll_interval);
        let (changed, outbox, metrics) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Metrics::default()));
        let runbooks = mirror.clone();
        let (registry, clock) = (registry(settings), Clock::default());
        let context = Arc::new(Context {
            mirror,
            key,
            store: store.clone(),
            registry,
            waker: waker.clone(),
            changed: changed.clone(),
            clock: clock.clone(),
        });
        let (rooms, doors) = Rooms::new(context, seen.clone());
        let (view_in, view) = watch::channel(Arc::new(View::empty(Timestamp::now())));
        let (desk, asked_on_page) = mpsc::channel(QUEUE_MAX);
        let (domain, asked) = mpsc::channel(QUEUE_MAX);
        let handler = Handler { doors: doors.clone(), seen: seen.clone(), store: store.clone(), metrics: metrics.clone(), clock };
        let local =
            Local { page: asked_on_page, domain, store: store.clone(), view: view.clone(), news: outbox.clone(), said: changed.clone() };
        let (discord, refused) = parted(discord);
        let on_discord = discord.map(|(address, token)| Discord {
            address,
            token,
            domain: local.domain.clone(),
            doors: doors.clone(),
            seen: seen.clone(),
            view: view.clone(),
            store: store.clone(),
            mirror: runbooks,
            health: Arc::default(),
        });
        let publisher = Publisher {
            doors: doors.clone(),
            seen: seen.clone(),
            store: store.clone(),
            branch: settings.remote.branch.clone(),
            console: settings.local,
            changed,
            outbox,
        };
        let hosts = AllowedHosts::with_names(settings.page_hosts.clone());
        let page_settings = page::Settings { allowed_hosts: hosts.clone(), stop: stop.clone(), ..page::Settings::default() };
        let lines = (settings.local == Console::On).then(|| page::Lines { desk: desk.clone(), seen: seen.clone() });
        let page = Page::new(view, desk, page_settings);
        let intake =
            Intake { audience: settings.audience.clone(), store, seen: seen.clone(), doors: doors.clone(), metrics: metrics.clone() };
        let mut platforms: Vec<Box<dyn Platform>> = vec![Box::new(local)];
        if let Some(on_discord) = on_discord {
            platforms.push(Box::new(on_discord));
        }
        let mut healths: Vec<_> = platforms.iter().map(|platform| (platform.name(), platform.health())).collect();
        healths.extend(refused);
        let shared = Shared { seen, waker, doors, metrics, platforms: healths };
        let router = http::joined([
            page::router(page),
            page::lines(lines, hosts),
            intake::router(Arc::new(intake)),
            routes::router(Arc::new(shared)),
        ]);
        tasks.spawn(watcher.run(stop.clone()));
        tasks.spawn(rooms.run(stop.clone()));
        tasks.spawn(publisher.run(view_in, stop.clone()));
        tasks.spawn(handler.run(asked, stop.clone()));
        for platform in platforms {
            tasks.spawn(platform.run(stop.clone()));
        }
        tasks.spawn(http::serve(listener, router, Limits::default(), stop));
    }
}
