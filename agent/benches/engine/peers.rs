//! The same work by others: the bare API, and docker-compose.

use crate::harness::{World, run_id};
use bollard::models::{ContainerCreateBody, HostConfig, NetworkCreateRequest};
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions, StartContainerOptions, StopContainerOptions};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tidegate_agent::docker::SCOPE_LABEL;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Calls at a time: more buys nothing on two cores.
const AT_A_TIME: usize = 8;

/// The bare API, with nothing decided and nothing checked.
pub(crate) struct Bare<'a> {
    pub(crate) world: &'a World,
    pub(crate) count: usize,
}

impl Bare<'_> {
    fn labels(&self) -> HashMap<String, String> {
        HashMap::from([(SCOPE_LABEL.to_owned(), self.world.scope.clone()), ("tidegate.test".to_owned(), run_id())])
    }

    fn name(&self, number: usize) -> String {
        format!("{}-bare-{number}", self.world.id)
    }

    pub(crate) async fn bring_up(&self) {
        let network = NetworkCreateRequest { name: format!("{}-bare", self.world.id), labels: Some(self.labels()), ..Default::default() };
        self.world.raw.create_network(network).await.unwrap();
        self.each(|number| self.start_new(number, 1)).await;
    }

    pub(crate) async fn replace(&self, count: usize, version: u32) {
        let replace = |number| async move {
            let name = self.name(number);
            self.world.raw.stop_container(&name, None::<StopContainerOptions>).await.unwrap();
            let options = RemoveContainerOptions { v: true, ..Default::default() };
            self.world.raw.remove_container(&name, Some(options)).await.unwrap();
            self.start_new(number, version).await;
        };
        futures_util::stream::iter((0..count).map(replace)).buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
    }

    async fn each<F: Future<Output = ()>>(&self, work: impl Fn(usize) -> F) {
        futures_util::stream::iter((0..self.count).map(work)).buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
    }

    async fn start_new(&self, number: usize, version: u32) {
        let name = self.name(number);
        let body = ContainerCreateBody {
            image: Some(self.world.image(version).for_engine()),
            labels: Some(self.labels()),
            host_config: Some(HostConfig { network_mode: Some(format!("{}-bare", self.world.id)), ..Default::default() }),
            ..Default::default()
        };
        let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
        self.world.raw.create_container(Some(options), body).await.unwrap();
        self.world.raw.start_container(&name, None::<StartContainerOptions>).await.unwrap();
    }
}

/// docker-compose with a project of its own.
pub(crate) struct Compose<'a> {
    world: &'a World,
    folder: tempfile::TempDir,
}

impl<'a> Compose<'a> {
    /// None: it is not installed.
    pub(crate) fn new(world: &'a World) -> Option<Compose<'a>> {
        let found = Command::new("docker-compose").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success()).then(|| Compose { world, folder: tempfile::tempdir().unwrap() })
    }

    /// Brings `count` services up, the first `changed` of them on version 2.
    pub(crate) fn up(&self, count: usize, changed: usize) {
        let labels = format!("labels: {{ {SCOPE_LABEL}: \"{}\", tidegate.test: \"{}\" }}", self.world.scope, run_id());
        let mut text = format!("version: '3.8'\nnetworks:\n  default:\n    {labels}\nservices:\n");
        for number in 0..count {
            let image = self.world.image(if number < changed { 2 } else { 1 }).for_engine();
            writeln!(text, "  s{number}:\n    image: {image}\n    {labels}").unwrap();
        }
        let file: PathBuf = self.folder.path().join("docker-compose.yml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("docker-compose");
        command.args(["-p", &format!("{}c", self.world.id), "-f"]).arg(file).args(["up", "-d"]);
        // With its own limit it can lock itself up.
        let status = command.env("COMPOSE_PARALLEL_LIMIT", "500").stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "docker-compose up");
    }
}

/// User and system time of all ended children, in milliseconds.
pub(crate) fn children_cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // Clock ticks of a hundredth of a second; fields 16 and 17 of proc(5), counted from 1.
    (fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap()) * 10.0
}

/// One kept-alive connection that asks for a list and only counts the bytes: less work is not possible.
pub(crate) struct RawList {
    connection: tokio::net::UnixStream,
    request: String,
    buffer: Vec<u8>,
}

impl RawList {
    pub(crate) async fn new(scope: &str) -> RawList {
        let filter = format!("{{%22label%22:[%22{SCOPE_LABEL}={}%22]}}", scope.replace('/', "%2F"));
        RawList {
            connection: tokio::net::UnixStream::connect(crate::harness::SOCKET).await.unwrap(),
            request: format!("GET /v1.41/containers/json?all=true&filters={filter} HTTP/1.1\r\nHost: docker\r\n\r\n"),
            buffer: Vec::with_capacity(1 << 20),
        }
    }

    pub(crate) async fn ask(&mut self) -> usize {
        self.connection.write_all(self.request.as_bytes()).await.unwrap();
        self.buffer.clear();
        // Chunked or with a length, the answer ends with the end of its JSON list.
        let is_whole = |bytes: &[u8]| {
            let text = bytes.trim_ascii_end();
            text.ends_with(b"\r\n0") || text.ends_with(b"]") && !bytes.windows(8).any(|w| w.eq_ignore_ascii_case(b"chunked\r"))
        };
        while !is_whole(&self.buffer) {
            let read = self.connection.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the engine hung up: {}", String::from_utf8_lossy(&self.buffer));
        }
        self.buffer.len()
    }
}
