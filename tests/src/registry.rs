//! A real registry (Debian's `docker-registry`) on a loopback port, with its storage in the test's folder.

use crate::client;
use crate::ports::free_port;
use crate::programs::{Program, helper, repository};
use crate::wait::wait_until;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest time until it answers.
const START_LIMIT: Duration = Duration::from_secs(20);
/// The demo images that are pushed: `tidegate-demo/app:<version>`; 3 never gets healthy.
const DEMO: &str = "tidegate-demo/app";

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    /// `127.0.0.1:PORT`: loopback registries are spoken to without TLS.
    pub address: String,
    program: Program,
    folder: PathBuf,
}

impl Registry {
    /// Starts one with its files below `folder`.
    ///
    /// # Errors
    /// The program is not installed or does not start.
    pub async fn start(folder: &Path) -> Result<Registry> {
        let folder = folder.join("registry");
        std::fs::create_dir_all(&folder)?;
        let address = format!("127.0.0.1:{}", free_port());
        let settings = folder.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: warn }}\nstorage:\n  filesystem: {{ rootdirectory: {} }}\n  delete: {{ enabled: true }}\nhttp: {{ addr: '{address}' }}\n",
            folder.join("data").display()
        );
        std::fs::write(&settings, text)?;
        let log = folder.join("log");
        let mut program = Program::new("docker-registry", "docker-registry".into(), log).arg("serve").arg(settings.as_os_str());
        program.start().context("docker-registry is in the package of that name")?;
        let registry = Registry { address, program, folder };
        registry.answers().await;
        Ok(registry)
    }

    /// Pushes a version of the demo service as `<address>/<name>:<tag>`.
    ///
    /// # Errors
    /// The engine or the registry says no.
    pub fn push_demo(&self, version: u32, name: &str, tag: &str) -> Result<()> {
        ensure_demo_images()?;
        let image = format!("{}/{name}:{tag}", self.address);
        helper("docker", &["tag", &format!("{DEMO}:{version}"), &image], &self.folder)?;
        helper("docker", &["push", "--quiet", &image], &self.folder)?;
        // So that whoever wants the image really pulls it.
        helper("docker", &["image", "rm", "--no-prune", &image], &self.folder).map(drop)
    }

    /// `kill -9`: the registry is away.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.program.kill()
    }

    /// Comes back with what it had.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        self.program.start()?;
        self.answers().await;
        Ok(())
    }

    async fn answers(&self) {
        let url = format!("http://{}/v2/", self.address);
        wait_until(START_LIMIT, "the registry answers", || async {
            client::get(&url).await.map(drop).map_err(|error| format!("{error:#}"))
        })
        .await;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // The images that were pulled from it: nobody can use them once its port is gone.
        let reference = format!("reference={}/*", self.address);
        let listed =
            helper("docker", &["image", "ls", "--quiet", "--filter", &reference, "--format", "{{.Repository}}@{{.Digest}}"], &self.folder);
        let names: std::collections::BTreeSet<&str> = listed.as_deref().unwrap_or_default().lines().collect();
        for name in names {
            let tagged = name.split('@').next().unwrap_or(name);
            let _in_use = helper("docker", &["image", "rm", "--no-prune", name], &self.folder);
            let _gone = helper("docker", &["image", "rm", "--no-prune", tagged], &self.folder);
        }
    }
}

/// Builds the demo images if they are not there or not from this source.
///
/// # Errors
/// They cannot be built.
pub fn ensure_demo_images() -> Result<()> {
    let script = repository().join("deploy/demo/build-images.sh");
    helper(&script.to_string_lossy(), &[], repository()).map(drop)
}
