//! Mirrors over ssh: a real `sshd` with the host key pinned.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

#[path = "support/ssh_server.rs"]
mod ssh_server;
mod support;

use ssh_server::SshServer;
use std::convert::Infallible;
use std::path::PathBuf;
use support::{Origin, change, committer, origin, run};
use tidegate_git::keys::SigningKey;
use tidegate_git::{Committed, Credentials, GitError, Mirror, RemoteSettings, SshCredentials, TransferProgram};

fn settings(server: &SshServer, origin: &Origin) -> RemoteSettings {
    let program = TransferProgram::At(PathBuf::from(env!("CARGO_BIN_EXE_tidegate-git-transfer")));
    RemoteSettings { program, ..RemoteSettings::new(server.url(&origin.bare), "main") }.with_credentials(server.credentials())
}

async fn open(origin: &Origin, name: &str, settings: RemoteSettings) -> Mirror {
    Mirror::open(&origin.mirror_dir(name), settings).await.unwrap()
}

#[tokio::test]
async fn a_repository_is_polled_fetched_and_pushed_to_over_ssh() {
    let origin = origin();
    let first = origin.commit(&[("a", "1")]);
    let second = origin.commit(&[("a", "2")]);
    let server = SshServer::start(origin.root.path());
    let mirror = open(&origin, "a", settings(&server, &origin)).await;
    assert_eq!(mirror.poll().await.unwrap(), second);
    assert_eq!(mirror.fetch().await.unwrap(), second);
    assert_eq!(run(&origin.mirror_dir("a/mirror.git"), &["rev-list", "--count", second.as_str()]), "1");
    assert!(mirror.descends(&second, &first).await.unwrap());
    let made = mirror.commit(&committer(), |_, _| Ok::<_, Infallible>(Some(change("a", "3")))).await.unwrap();
    assert!(matches!(&made, Committed::Pushed { onto, .. } if *onto == second));
    assert_eq!(run(&origin.bare, &["show", "main:a"]), "3");
}

#[tokio::test]
async fn only_the_pinned_host_key_is_spoken_to() {
    let origin = origin();
    let tip = origin.commit(&[("a", "1")]);
    let server = SshServer::start(origin.root.path());
    let with = |host_key: &str| settings(&server, &origin).with_credentials(server.credentials_with(host_key));
    for (number, kind) in ["ed25519", "ecdsa"].into_iter().enumerate() {
        let mirror = open(&origin, &number.to_string(), with(&server.host_key(kind))).await;
        assert_eq!(mirror.fetch().await.unwrap(), tip, "{kind}");
    }
    let other = SigningKey::generate().unwrap().public_openssh();
    let wrong = open(&origin, "wrong", with(&other)).await;
    for refused in [wrong.poll().await.unwrap_err(), wrong.fetch().await.unwrap_err()] {
        assert!(matches!(refused, GitError::HostKey { .. }), "{refused:?}");
    }
    assert_eq!(server.logins(), 2 * 2, "a login for each of two polls and fetches, none with the wrong pin: {}", server.log());
}

#[tokio::test]
async fn a_key_that_may_not_get_in_is_refused() {
    let origin = origin();
    origin.commit(&[("a", "1")]);
    let server = SshServer::start(origin.root.path());
    let key_file = origin.root.path().join("other_key");
    SigningKey::generate().unwrap().save(&key_file).unwrap();
    let credentials = Credentials::Ssh(SshCredentials { key_file, host_key: server.host_key("ed25519") });
    let refused = open(&origin, "a", settings(&server, &origin).with_credentials(credentials)).await.fetch().await.unwrap_err();
    assert!(matches!(refused, GitError::Denied { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_is_gone_is_away() {
    let origin = origin();
    origin.commit(&[("a", "1")]);
    let mut server = SshServer::start(origin.root.path());
    let mirror = open(&origin, "a", settings(&server, &origin)).await;
    server.stop();
    assert!(mirror.fetch().await.unwrap_err().is_away());
}
