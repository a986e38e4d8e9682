//! A second Docker Engine of our own, for tests that stop the engine: nobody else's containers are on it.

use crate::programs::{Program, helper, repository};
use crate::wait::wait_until;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Longest time until a fresh daemon answers, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A daemon with its own root, socket and networks.
#[derive(Debug)]
pub struct Daemon {
    program: Program,
    socket: PathBuf,
    folder: TempDir,
}

impl Daemon {
    /// Starts one. Needs to be root.
    ///
    /// # Errors
    /// `dockerd` is not installed or does not start.
    pub async fn start() -> Result<Daemon> {
        // Short: a socket's path has at most 107 bytes, and the daemon makes deeper ones.
        let folder = tempfile::Builder::new().prefix("tgd").tempdir_in("/tmp")?;
        let at = |name: &str| folder.path().join(name);
        let socket = at("s");
        // Settings of this machine's engine are not for this one, and would clash with the arguments.
        std::fs::write(at("daemon.json"), "{}")?;
        let program = Program::new("dockerd", "unshare".into(), at("log"))
            // A network namespace of its own: a second daemon in the machine's would take `docker0` away from the first,
            // also when it is told to use no bridge or another one. Images are brought with `load`.
            .arg("--net")
            .arg("dockerd")
            .arg("--config-file")
            .arg(at("daemon.json"))
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            // Nor are rules of the packet filter needed.
            .arg("--iptables=false")
            .arg("--ip6tables=false")
            .arg("--default-address-pool=base=10.219.0.0/16,size=24")
            .arg("--containerd-namespace=tidegate-test")
            .arg("--log-level=warn");
        let mut daemon = Daemon { program, socket, folder };
        daemon.come_back().await?;
        Ok(daemon)
    }

    /// Path of its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Copies an image of this machine's engine to it, under the same name.
    ///
    /// # Errors
    /// One of the engines says no.
    pub fn load(&self, image: &str) -> Result<()> {
        let file = self.folder.path().join("image.tar");
        helper("docker", &["save", "--output", &file.to_string_lossy(), image], repository())?;
        let host = format!("unix://{}", self.socket.display());
        helper("docker", &["--host", &host, "load", "--quiet", "--input", &file.to_string_lossy()], repository()).map(drop)
    }

    /// Stops it, and its containers with it, as an upgrade of the engine does.
    ///
    /// # Errors
    /// It does not stop.
    pub fn go_away(&mut self) -> Result<()> {
        self.program.terminate().map(drop).context("stopping the second engine")
    }

    /// Starts it again.
    ///
    /// # Errors
    /// It does not start.
    pub async fn come_back(&mut self) -> Result<()> {
        self.program.start()?;
        let socket = self.socket.to_string_lossy().into_owned();
        let program = &self.program;
        wait_until(START_LIMIT, "the second engine answers", || async {
            crate::engine::Engine::connect(&socket).await.map(drop).map_err(|error| format!("{error:#}\n{}", program.tail()))
        })
        .await;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SIGTERM, so that it takes down its containers, shims and containerd.
        let _ended = self.program.terminate();
    }
}
