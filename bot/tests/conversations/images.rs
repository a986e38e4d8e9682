//! Tags become digests once, when a release is made; a registry that is away keeps nobody's consent from counting.

use crate::world::{Plan, World};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::secrets::RegistryAuth;
use std::sync::{Arc, Mutex};
use tidegate_bot::request::{Outcome, Refusal, Trouble};
use tidegate_core::ids::ContentId;

/// What the registry answers for a tag: the digest made from this word; none: it fails.
type Tags = Arc<Mutex<Option<&'static str>>>;

fn digest(word: &str) -> String {
    format!("sha256:{}", ContentId::of_bytes(word.as_bytes()))
}

async fn manifest(State(tags): State<Tags>, Path(tag): Path<String>) -> Response {
    let word = *tags.lock().unwrap();
    let Some(word) = word else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let mut answer = "{}".into_response();
    answer.headers_mut().insert("docker-content-digest", HeaderValue::from_str(&digest(&format!("{tag}{word}"))).unwrap());
    answer
}

/// A registry of one repository, on a port of its own.
async fn registry(tags: Tags) -> (u16, tokio::task::JoinHandle<()>) {
    let router = Router::new().route("/v2/", get(|| async { "{}" })).route("/v2/web/manifests/{tag}", get(manifest)).with_state(tags);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

fn compose(port: u16, tag: &str) -> String {
    format!("services:\n  web:\n    image: 127.0.0.1:{port}/web:{tag}\n")
}

#[tokio::test]
async fn a_release_pins_digests_and_a_tag_that_moves_later_changes_nothing() {
    let tags: Tags = Arc::new(Mutex::new(Some("first")));
    let (port, server) = registry(tags.clone()).await;
    let mut world = World::new(Plan::default()).await;
    world.push("bob", "from a registry", &[("stacks/shop/compose.yaml", &compose(port, "1"))]).await;
    world.until("staging has it", || world.version("staging") == "web:1" && world.lock("staging").is_some_and(|l| l.release.0 == 2)).await;
    let image = format!("127.0.0.1:{port}/web:1");
    let pinned = world.lock("staging").unwrap().stacks["shop"].images[&image].clone();
    assert_eq!(pinned.as_str(), digest("1first"));
    *tags.lock().unwrap() = Some("moved");
    // Another field changes, the image's name does not: people agreed to what was pinned.
    let text = format!("{}    environment: {{ LEVEL: debug }}\n", compose(port, "1"));
    world.push("bob", "louder", &[("stacks/shop/compose.yaml", &text)]).await;
    world.until("staging has the next", || world.lock("staging").is_some_and(|lock| lock.release.0 == 3)).await;
    assert_eq!(world.lock("staging").unwrap().stacks["shop"].images[&image], pinned);
    server.abort();
    world.stop().await;
}

#[tokio::test]
async fn an_approval_is_kept_while_the_registry_is_away_and_the_release_follows_by_itself() {
    let tags: Tags = Arc::new(Mutex::new(None));
    let (port, server) = registry(tags.clone()).await;
    let mut world = World::new(Plan::default()).await;
    world.push("bob", "from a registry", &[("stacks/shop/compose.yaml", &compose(port, "1"))]).await;
    world
        .until("the candidate is the new one", || {
            let picture = world.picture("production");
            picture.open_card().is_some_and(|card| card.commits.iter().any(|commit| commit.subject == "from a registry"))
        })
        .await;
    let reply = world.reply("alice", &world.approve("production")).await;
    let cause = match &reply.outcome {
        Outcome::Refused(Refusal::KeptButNotReleased { cause, .. }) => cause,
        other => panic!("{other:?}"),
    };
    assert!(matches!(cause, Trouble::Image { .. }), "{cause:?}");
    assert!(reply.words.contains("nobody has to approve again"), "{}", reply.words);
    assert!(world.lock("production").is_none());
    let why = world.say("bob", "why production").await;
    assert!(why.contains("is agreed and cannot be made"), "{why}");
    *tags.lock().unwrap() = Some("back");
    world.until("it is released", || world.lock("production").is_some()).await;
    let lock = world.lock("production").unwrap();
    assert_eq!(lock.approvals[0].by.as_str(), "alice");
    assert_eq!(world.log().await.iter().find(|commit| commit.subject().starts_with("production:")).unwrap().author.name(), "Alice Example");
    server.abort();
    world.stop().await;
}

/// `tide` with the password `correct horse`.
const HTPASSWD: &str = "tide:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n";

/// A real registry with basic auth.
struct Private {
    child: std::process::Child,
    address: String,
}

impl Drop for Private {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Private {
    async fn start(folder: &std::path::Path) -> Private {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        std::fs::write(folder.join("htpasswd"), HTPASSWD).unwrap();
        let settings = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {0}/data }} }}\nhttp: {{ addr: '{address}' }}\n\
             auth: {{ htpasswd: {{ realm: tests, path: {0}/htpasswd }} }}\n",
            folder.display()
        );
        std::fs::write(folder.join("registry.yml"), settings).unwrap();
        let mut command = std::process::Command::new("docker-registry");
        command.arg("serve").arg(folder.join("registry.yml")).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let private = Private { child: command.spawn().expect("docker-registry is in Debian's package of that name"), address };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while tokio::net::TcpStream::connect(&private.address).await.is_err() {
            assert!(std::time::Instant::now() < deadline, "the registry does not answer");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        private
    }

    /// Puts an image there that nobody sees without the login.
    async fn push(&self) {
        let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
        let reference: oci_client::Reference = format!("{}/private/web:1", self.address).parse().unwrap();
        let layer = ImageLayer::new(b"a layer".to_vec(), "application/vnd.oci.image.layer.v1.tar".into(), None);
        let auth = RegistryAuth::Basic("tide".into(), "correct horse".into());
        let pushed = Client::new(config).push(&reference, &[layer], Config::oci_v1(b"{}".to_vec(), None), &auth, None).await;
        pushed.unwrap();
    }
}

#[tokio::test]
async fn tags_of_private_images_are_locked_with_the_login_of_the_file_and_a_wrong_one_is_told_without_it() {
    let mut world = World::new(Plan::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let private = Private::start(folder.path()).await;
    private.push().await;
    let file = world.logins();
    let write = |login: &str| {
        let auth = base64::prelude::BASE64_STANDARD.encode(login);
        std::fs::write(&file, format!(r#"{{"auths":{{"http://{}":{{"auth":"{auth}"}}}}}}"#, private.address)).unwrap();
    };
    let image = format!("{}/private/web:1", private.address);
    let text = format!("services:\n  web:\n    image: {image}\n");
    world.push("bob", "a private image", &[("stacks/shop/compose.yaml", &text)]).await;
    let is_there = |picture: &tidegate_bot::room::Picture| {
        picture.open_card().is_some_and(|card| card.commits.iter().any(|commit| commit.subject == "a private image"))
    };
    world.until("the candidate is the new one", || is_there(&world.picture("production"))).await;
    let refused = async |part: &str| {
        let reply = world.reply("alice", &world.approve("production")).await;
        assert!(reply.words.contains(part) && reply.words.contains(&file.display().to_string()), "{part}: {}", reply.words);
        let all = format!("{:?} {}", reply, world.say("bob", "why production").await);
        assert!(!all.contains("horse") && !all.contains(&base64::prelude::BASE64_STANDARD.encode("tide:wrong horse")), "{all}");
    };
    refused(&format!("has no login for {}", private.address)).await;
    std::fs::write(&file, "horse").unwrap();
    refused("not in the form of docker's config.json").await;
    std::fs::remove_file(&file).unwrap();
    refused("cannot be read").await;
    write("tide:wrong horse");
    refused("it refuses the login in").await;
    // Mended on the host: it is released without a restart, and nobody has to approve again.
    write("tide:correct horse");
    let released = world.reply("alice", &world.approve("production")).await;
    assert!(matches!(released.outcome, Outcome::Released(_)), "{}", released.words);
    assert!(world.lock("production").unwrap().stacks["shop"].images.contains_key(&image));
    world.stop().await;
}
