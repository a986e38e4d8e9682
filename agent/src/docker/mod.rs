//! The engine trait on a real Docker Engine, through bollard: the only folder that knows bollard's types.
//!
//! Each request is a new connection to the socket, so "reconnect" means: after an answer that never came, the next
//! call negotiates the API version again before it asks (the engine may have been upgraded meanwhile).

mod body;
mod call;
mod containers;
mod credentials;
mod known;
mod labels;
mod objects;
mod observe;
mod pull;
mod pump;

pub use labels::SCOPE as SCOPE_LABEL;

use crate::engine::{Belongs, ContainerView, Engine, EngineError, EngineInfo, LastWords};
use bollard::ClientVersion;
use call::Call;
use known::{Known, Stale};
use pump::Pump;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_core::compose::{ImageRef, NetworkModel, PullPolicy, VolumeModel};
use tidegate_core::desired::DesiredContainer;
use tidegate_core::ids::StackName;
use tidegate_core::observed::ObservedHost;
use tidegate_core::plan::External;

/// For bollard's own time-out, which we never want to meet: every call has a deadline of ours. In seconds.
const NEVER_SECS: u64 = 24 * 3600;
/// For the version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);
/// First API version that attaches a container to several networks when it is created.
const SEVERAL_NETWORKS_SINCE: ClientVersion = ClientVersion { major_version: 1, minor_version: 44 };

/// Where the engine is and what of it is ours.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The socket: a path, or `unix://` and a path.
    pub socket: String,
    /// `<environment>/<host>`: the value of the scope label on everything of ours.
    pub scope: String,
    /// The agent's state folder, by the path under which the engine sees it too.
    pub state_dir: PathBuf,
    /// A file with the logins of private registries, in the form of docker's `config.json`.
    pub registry_credentials: Option<PathBuf>,
}

/// A Docker Engine, as one scope sees it. Cheap to clone.
#[derive(Clone)]
pub struct Docker {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    /// The client with its negotiated version; none: negotiate first.
    client: tokio::sync::Mutex<Option<bollard::Docker>>,
    pump: Mutex<Option<Pump>>,
    known: tokio::sync::Mutex<Option<Known>>,
    stale: Stale,
}

impl Docker {
    /// Connects at the first call, so that an engine that is away now is no reason not to start.
    pub fn new(settings: Settings) -> Docker {
        let inner =
            Inner { settings, client: Default::default(), pump: Mutex::new(None), known: Default::default(), stale: Stale::default() };
        Docker { inner: Arc::new(inner) }
    }

    /// Observes, and lists all containers for it whatever is known already.
    pub async fn audit(&self) -> Result<ObservedHost, EngineError> {
        known::observe(self, known::Ask::Audit).await
    }

    /// The client; negotiates the API version if that is due.
    async fn client(&self) -> Result<bollard::Docker, EngineError> {
        // Held while negotiating, so that many who ask at once negotiate once.
        let mut slot = self.inner.client.lock().await;
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = self.negotiated().await?;
        *slot = Some(client.clone());
        Ok(client)
    }

    async fn negotiated(&self) -> Result<bollard::Docker, EngineError> {
        let call = Call::new("agree on an API version", VERSION_LIMIT);
        let socket = &self.inner.settings.socket;
        let negotiate =
            async { bollard::Docker::connect_with_unix(socket, NEVER_SECS, bollard::API_DEFAULT_VERSION)?.negotiate_version().await };
        let client = call.run(negotiate).await?;
        let version = client.client_version();
        // bollard keeps the version and leaves it out of its paths: without it the engine speaks its newest one.
        Ok(client.with_request_modifier(move |request| call::versioned(request, version)))
    }

    /// Runs a call; after an answer that never came, or a version that is no longer spoken, the next call negotiates.
    async fn run<T, F>(&self, call: Call, ask: impl FnOnce(bollard::Docker) -> F) -> Result<T, call::Failed>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let client = self.client().await.map_err(call::Failed::before)?;
        let outcome = call.run(ask(client)).await;
        if outcome.as_ref().is_err_and(call::Failed::asks_for_new_connection) {
            self.forget().await;
        }
        outcome
    }

    /// The next call negotiates the version again.
    async fn forget(&self) {
        *self.inner.client.lock().await = None;
    }

    fn scope(&self) -> &str {
        &self.inner.settings.scope
    }

    /// The stream that tells of every change, if it is open; opens it if not.
    fn stream(&self) -> Option<pump::Stream> {
        drop(self.news());
        self.inner.pump.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Pump::open_stream)
    }

    fn news(&self) -> pump::News {
        let mut slot = self.inner.pump.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(news) = slot.as_ref().and_then(Pump::news) {
            return news;
        }
        let (pump, news) = Pump::start(Arc::downgrade(&self.inner));
        *slot = Some(pump);
        news
    }
}

impl Engine for Docker {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        let call = Call::new("tell its version", VERSION_LIMIT);
        let (version, api) = self.run(call, |client| async move { Ok((client.version().await?, client.client_version())) }).await?;
        Ok(EngineInfo { version: version.version.unwrap_or_default(), api: api.to_string() })
    }
    async fn observe(&self) -> Result<ObservedHost, EngineError> {
        known::observe(self, known::Ask::Little).await
    }
    async fn pull(&self, image: &ImageRef, policy: PullPolicy) -> Result<(), EngineError> {
        pull::pull(self, image, policy).await
    }
    async fn has(&self, external: &External) -> Result<bool, EngineError> {
        objects::has(self, external).await
    }
    async fn create_network(&self, name: &str, network: &NetworkModel, stack: &StackName) -> Result<(), EngineError> {
        let result = objects::create_network(self, name, network, stack).await;
        self.inner.stale.objects();
        result
    }
    async fn create_volume(&self, name: &str, volume: &VolumeModel, stack: &StackName) -> Result<(), EngineError> {
        let result = objects::create_volume(self, name, volume, stack).await;
        self.inner.stale.objects();
        result
    }
    async fn create(&self, container: &DesiredContainer, belongs: &Belongs) -> Result<(), EngineError> {
        let result = containers::create(self, container, belongs).await;
        self.inner.stale.container(&container.name);
        result
    }
    async fn start(&self, name: &str) -> Result<(), EngineError> {
        let result = containers::start(self, name).await;
        self.inner.stale.container(name);
        result
    }
    async fn stop(&self, name: &str) -> Result<(), EngineError> {
        let result = containers::stop(self, name).await;
        self.inner.stale.container(name);
        result
    }
    async fn remove(&self, name: &str) -> Result<(), EngineError> {
        let result = containers::remove(self, name).await;
        self.inner.stale.container(name);
        result
    }
    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        let result = objects::remove_network(self, name).await;
        self.inner.stale.objects();
        result
    }
    async fn inspect(&self, name: &str) -> Result<Option<ContainerView>, EngineError> {
        containers::inspect(self, name).await
    }
    async fn last_words(&self, name: &str) -> LastWords {
        containers::last_words(self, name).await
    }
    fn changed(&self) -> impl Future<Output = Result<(), EngineError>> + Send {
        let news = self.news();
        async move { news.any().await }
    }
    fn container_changed(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send {
        let (news, name) = (self.news(), name.to_owned());
        async move { news.of(&name).await }
    }
}
