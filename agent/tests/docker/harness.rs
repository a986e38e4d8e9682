//! A scope of its own on the real engine, with images made from the demo app, and everything removed at the end.

use bollard::query_parameters::{
    CreateImageOptions, ListContainersOptions, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions, RemoveVolumeOptions,
};
use futures_util::StreamExt;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tidegate_agent::apply::{Apply, ApplyOutcome};
use tidegate_agent::docker::{Docker, SCOPE_LABEL, Settings};
use tidegate_agent::engine::Engine;
use tidegate_core::compose::{HealthTest, Healthcheck, ImageRef, NetworkModel, PullPolicy, Service, StackModel, VolumeModel};
use tidegate_core::desired::{DesiredStack, Naming, Source, desired_stack};
use tidegate_core::ids::{CommitId, ReleaseNumber, ServiceName, StackName};
use tidegate_core::observed::ObservedHost;
use tidegate_core::plan::{Gates, HostInputs, Offer, Released, StackInputs, StackPlan, StackRecord, plan};
use tokio_util::sync::CancellationToken;

/// Where the engine listens.
pub(crate) const SOCKET: &str = "/var/run/docker.sock";

/// All that one test has on the engine.
pub(crate) struct World {
    pub(crate) docker: Docker,
    pub(crate) raw: bollard::Docker,
    /// Unlike any other test's; also the prefix of all names.
    pub(crate) id: String,
    pub(crate) scope: String,
    pub(crate) state: tempfile::TempDir,
    pub(crate) record: StackRecord,
    /// Repository of the demo images.
    repository: String,
}

pub(crate) fn run_id() -> String {
    std::env::var("TIDEGATE_TEST_RUN").unwrap_or_else(|_| "local".into())
}

impl World {
    pub(crate) async fn new() -> World {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("tg{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let raw = bollard::Docker::connect_with_unix(SOCKET, 60, bollard::API_DEFAULT_VERSION).unwrap().negotiate_version().await.unwrap();
        let repository = format!("tidegate-test/agent-{}", run_id());
        images(&raw, &repository).await;
        let (state, scope) = (tempfile::tempdir().unwrap(), format!("{}/{id}", run_id()));
        let settings =
            Settings { socket: SOCKET.into(), scope: scope.clone(), state_dir: state.path().to_owned(), registry_credentials: None };
        World { docker: Docker::new(settings), raw, id, scope, state, record: StackRecord::default(), repository }
    }

    /// The image of a demo version; 3 never gets healthy.
    pub(crate) fn image(&self, version: u32) -> ImageRef {
        ImageRef { registry: "docker.io".into(), repository: self.repository.clone(), tag: Some(version.to_string()), digest: None }
    }

    /// A service on the demo image, without a health check.
    pub(crate) fn service(&self, version: u32) -> Service {
        let mut container = tidegate_core::compose::ContainerModel::new(self.image(version));
        container.networks.insert("default".into(), Default::default());
        container.labels.insert("tidegate.test".into(), run_id());
        container.stop_grace_period_ms = Some(5_000);
        Service {
            pull_policy: PullPolicy::Never,
            release: tidegate_core::compose::ReleaseKnobs { bake_ms: Some(200), health_timeout_ms: Some(20_000) },
            ..Service::new(container)
        }
    }

    /// The same with a health check that is quick.
    pub(crate) fn checked(&self, version: u32) -> Service {
        let mut service = self.service(version);
        service.container.healthcheck = Some(healthcheck());
        service
    }

    pub(crate) fn stack(&self, services: &[(&str, Service)]) -> StackModel {
        let test = BTreeMap::from([("tidegate.test".to_owned(), run_id())]);
        let keys = services.iter().flat_map(|(_, s)| s.container.networks.keys().cloned());
        let networks = keys.map(|key| (key, NetworkModel { labels: test.clone(), ..Default::default() })).collect();
        let volume_keys = services.iter().flat_map(|(_, s)| &s.container.mounts).filter_map(|m| match &m.source {
            tidegate_core::compose::MountSource::Volume { key } => Some(key.clone()),
            _ => None,
        });
        let volumes = volume_keys.map(|key| (key, VolumeModel { labels: test.clone(), ..Default::default() })).collect();
        StackModel {
            name: StackName::try_from("shop").unwrap(),
            services: services.iter().map(|(name, s)| (ServiceName::try_from(*name).unwrap(), s.clone())).collect(),
            networks,
            volumes,
        }
    }

    pub(crate) fn desired(&self, model: &StackModel, release: u64) -> DesiredStack {
        let source = Source { commit: CommitId::try_from("c".repeat(40).as_str()).unwrap(), release: Some(ReleaseNumber(release)) };
        desired_stack(model, &source, &Naming { prefix: format!("{}-", self.id) }, &BTreeMap::new())
    }

    pub(crate) async fn observe(&self) -> ObservedHost {
        self.docker.observe().await.unwrap()
    }

    pub(crate) async fn plan(&self, offer: Offer) -> Option<StackPlan> {
        let name = match &offer {
            Offer::Stack(desired) | Offer::Nothing(desired) => desired.stack.clone(),
            Offer::Unknown(_) => StackName::try_from("shop").unwrap(),
        };
        let stacks = BTreeMap::from([(name.clone(), StackInputs { name, offer, record: self.record.clone() })]);
        let observed = self.observe().await;
        plan(&HostInputs { stacks, observed: &observed, gates: open() }, jiff::Timestamp::now()).stacks.into_iter().next()
    }

    pub(crate) async fn plan_to(&self, desired: &DesiredStack) -> Option<StackPlan> {
        self.plan(Offer::Stack(Box::new(desired.clone()))).await
    }

    pub(crate) async fn apply(&self, plan: &StackPlan) -> ApplyOutcome {
        let stop = CancellationToken::new();
        Apply { engine: &self.docker, progress: &(), stop: &stop }.run(plan).await
    }

    /// Plans, applies, and remembers as an agent would.
    pub(crate) async fn deploy(&mut self, desired: &DesiredStack) -> ApplyOutcome {
        let Some(plan) = self.plan_to(desired).await else { return ApplyOutcome::Done };
        self.record.will_stop(&plan);
        let outcome = self.apply(&plan).await;
        if matches!(outcome, ApplyOutcome::Done) {
            let released = Released { release: desired.release, desired: desired.clone(), verified_at: jiff::Timestamp::now() };
            if let Some(before) = self.record.released.replace(released) {
                self.record.verified.insert(0, before);
            }
            self.record.stopping.clear();
        }
        outcome
    }

    /// Names without prefix and hash, with state, sorted: `web-1 Running`.
    pub(crate) async fn containers(&self) -> Vec<String> {
        let host = self.observe().await;
        let short = |name: &str| {
            let inner = name.trim_start_matches(&format!("{}-shop-", self.id)).to_owned();
            inner.rsplit_once('-').map_or(inner.clone(), |(rest, _)| rest.to_owned())
        };
        let mut all: Vec<String> = host.containers.iter().map(|(name, c)| format!("{} {:?}", short(name), c.state)).collect();
        all.sort();
        all
    }

    /// The only container of a service.
    pub(crate) async fn only(&self, service: &str) -> String {
        let host = self.observe().await;
        let mut names: Vec<String> =
            host.containers.iter().filter(|(_, c)| c.service.as_str() == service).map(|(n, _)| n.clone()).collect();
        assert_eq!(names.len(), 1, "containers of {service}: {names:?}");
        names.remove(0)
    }

    /// Kills the main process from outside, as a crash would.
    pub(crate) async fn crash(&self, container: &str) {
        self.raw.kill_container(container, None::<bollard::query_parameters::KillContainerOptions>).await.unwrap();
    }

    fn filter(&self) -> HashMap<String, Vec<String>> {
        HashMap::from([("label".to_owned(), vec![format!("{SCOPE_LABEL}={}", self.scope)])])
    }
}

pub(crate) fn healthcheck() -> Healthcheck {
    Healthcheck {
        test: HealthTest::Cmd(vec!["/app".into(), "healthcheck".into()]),
        interval_ms: Some(200),
        timeout_ms: Some(5_000),
        retries: Some(3),
        start_period_ms: None,
        start_interval_ms: None,
    }
}

/// Nothing stops a release.
fn open() -> Gates {
    Gates::default()
}

/// Polls until it holds; the only way to wait here.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Drop for World {
    /// Also after a failure: on a thread of its own, for the test's runtime is busy unwinding.
    fn drop(&mut self) {
        let (raw, filter) = (self.raw.clone(), self.filter());
        let clean = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(remove_all(&raw, filter));
        };
        if std::thread::spawn(clean).join().is_err() && !std::thread::panicking() {
            panic!("could not clean up scope {}", self.scope);
        }
    }
}

async fn remove_all(raw: &bollard::Docker, filter: HashMap<String, Vec<String>>) {
    let options = ListContainersOptions { all: true, filters: Some(filter.clone()), ..Default::default() };
    let found = raw.list_containers(Some(options)).await.unwrap();
    let removals = found.into_iter().filter_map(|c| c.id).map(|id| async move {
        raw.remove_container(&id, Some(RemoveContainerOptions { v: true, force: true, ..Default::default() })).await.ok();
    });
    futures_util::stream::iter(removals).buffer_unordered(8).collect::<Vec<()>>().await;
    for network in raw.list_networks(Some(ListNetworksOptions { filters: Some(filter.clone()) })).await.unwrap() {
        let name = network.name.unwrap();
        until("the network is gone", async || raw.remove_network(&name).await.is_ok()).await;
    }
    let volumes = raw.list_volumes(Some(ListVolumesOptions { filters: Some(filter) })).await.unwrap();
    for volume in volumes.volumes.unwrap_or_default() {
        raw.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await.unwrap();
    }
}

/// The demo images 1, 2 and 3, made once per run; run.sh sweeps them by label.
async fn images(raw: &bollard::Docker, repository: &str) {
    static ONCE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    ONCE.get_or_init(|| async {
        let layer = layer(&demo_app());
        for (version, healthy) in [(1, true), (2, true), (3, false)] {
            import(
                raw,
                &format!("{repository}:{version}"),
                &layer,
                &[&format!("ENV VERSION={version}"), &format!("ENV HEALTHY={healthy}")],
            )
            .await;
        }
    })
    .await;
}

/// Makes an image `FROM scratch` out of one layer, as `docker import` does.
async fn import(raw: &bollard::Docker, reference: &str, layer: &[u8], changes: &[&str]) {
    if raw.inspect_image(reference).await.is_ok() {
        return;
    }
    let fixed = ["ENTRYPOINT [\"/app\"]".to_owned(), "EXPOSE 8080".to_owned(), format!("LABEL tidegate.test={}", run_id())];
    let (repository, tag) = reference.rsplit_once(':').unwrap();
    let options = CreateImageOptions {
        from_src: Some("-".into()),
        repo: Some(repository.into()),
        tag: Some(tag.into()),
        changes: fixed.into_iter().chain(changes.iter().map(|c| (*c).to_owned())).collect(),
        ..Default::default()
    };
    let body = bollard::body_full(layer.to_vec().into());
    let mut progress = std::pin::pin!(raw.create_image(Some(options), Some(body), None));
    while let Some(line) = progress.next().await {
        line.unwrap();
    }
}

/// The demo app as a static binary, compiled when its source is newer than the last one.
fn demo_app() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo/app.rs");
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo-app");
    let made = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    if made(&binary) < made(&source) {
        let part = binary.with_extension(std::process::id().to_string());
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"]);
        assert!(rustc.arg(&part).arg(&source).status().unwrap().success(), "the demo app compiles");
        std::fs::rename(&part, &binary).unwrap();
    }
    binary
}

/// A tar archive with one file: `app`.
fn layer(binary: &Path) -> Vec<u8> {
    let bytes = std::fs::read(binary).unwrap();
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "app");
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", bytes.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = Vec::new();
    tar.write_all(&header).unwrap();
    tar.write_all(&bytes).unwrap();
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}
