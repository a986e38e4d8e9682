//! A private registry: a real one with basic auth, and the host's file of logins.

use crate::harness::{World, until};
use base64::Engine as _;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::{PushImageOptions, RemoveImageOptions, TagImageOptions};
use futures_util::StreamExt;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tidegate_agent::docker::{Docker, Settings};
use tidegate_agent::engine::{Engine, EngineError};
use tidegate_core::compose::{ImageRef, PullPolicy};

/// `tide` with the password `correct horse`.
const HTPASSWD: &str = "tide:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n";

/// A registry of the test's own.
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: String,
}

impl Registry {
    /// One that asks for a login.
    async fn start(folder: &Path) -> Registry {
        std::fs::write(folder.join("htpasswd"), HTPASSWD).unwrap();
        Registry::serve(folder, &format!("auth: {{ htpasswd: {{ realm: tests, path: {}/htpasswd }} }}\n", folder.display())).await
    }

    /// One that anybody may use.
    pub(crate) async fn open(folder: &Path) -> Registry {
        Registry::serve(folder, "").await
    }

    async fn serve(folder: &Path, more: &str) -> Registry {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let settings = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {}/data }} }}\nhttp: {{ addr: '{address}' }}\n{more}",
            folder.display()
        );
        std::fs::write(folder.join("registry.yml"), settings).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(folder.join("registry.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("docker-registry is in Debian's package of that name");
        let registry = Registry { child, address };
        until("the registry answers", async || TcpStream::connect(&registry.address).is_ok()).await;
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Has the demo image in the registry and not on the host.
async fn push(world: &World, registry: &Registry) -> ImageRef {
    let repository = format!("{}/private/web", registry.address);
    let tag = TagImageOptions { repo: Some(repository.clone()), tag: Some("1".into()) };
    world.raw.tag_image(&world.image(1).for_engine(), Some(tag)).await.unwrap();
    let login = DockerCredentials { username: Some("tide".into()), password: Some("correct horse".into()), ..DockerCredentials::default() };
    let options = PushImageOptions { tag: Some("1".into()), ..Default::default() };
    let mut progress = std::pin::pin!(world.raw.push_image(&repository, Some(options), Some(login)));
    while let Some(line) = progress.next().await {
        line.unwrap();
    }
    forget(world, &repository).await;
    format!("{repository}:1").parse().unwrap()
}

async fn forget(world: &World, repository: &str) {
    let options = RemoveImageOptions { noprune: true, ..Default::default() };
    world.raw.remove_image(&format!("{repository}:1"), Some(options), None).await.unwrap();
}

#[tokio::test]
async fn a_private_image_is_pulled_with_the_login_of_the_hosts_file() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder.path()).await;
    let image = push(&world, &registry).await;
    let file = folder.path().join("registries.json");
    let settings = Settings {
        socket: crate::harness::SOCKET.into(),
        scope: world.scope.clone(),
        state_dir: world.state.path().to_owned(),
        registry_credentials: Some(file.clone()),
    };
    let docker = Docker::new(settings);
    let write = |login: &str| {
        let auth = base64::prelude::BASE64_STANDARD.encode(login);
        std::fs::write(&file, format!(r#"{{"auths":{{"http://{}":{{"auth":"{auth}"}}}}}}"#, registry.address)).unwrap();
    };
    let refused = async |part: &str| {
        let error = docker.pull(&image, PullPolicy::Missing).await.unwrap_err();
        assert!(matches!(&error, EngineError::Pull { is_verdict: false, .. }), "no verdict on the release: {error:?}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(part) && !text.contains("horse"), "{text}");
    };

    refused("cannot be read").await;
    std::fs::write(&file, "{}").unwrap();
    refused("`registry_credentials`").await;
    write("tide:wrong horse");
    refused("`registry_credentials`").await;
    // Mended on the host: the next try succeeds, without a restart.
    write("tide:correct horse");
    docker.pull(&image, PullPolicy::Missing).await.unwrap();
    forget(&world, &format!("{}/private/web", registry.address)).await;
}
