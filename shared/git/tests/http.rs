//! Mirrors over smart HTTP: a real `git http-backend`, transfers in a process of their own, and servers that misbehave.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

#[path = "../../../tests/src/git_server.rs"]
mod git_server;
mod support;
#[path = "support/tls.rs"]
mod tls;

use git_server::{GitServer, Mode};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::{Origin, change, committer, git_with, origin, run, signature_options};
use tidegate_core::ids::CommitId;
use tidegate_git::{CommitError, Committed, Credentials, GitError, Limits, Mirror, RemoteSettings, TransferProgram};

const DEADLINE: Duration = Duration::from_secs(2);
/// A test that waits for a deadline must see it by then.
const PATIENCE: Duration = Duration::from_secs(20);

fn transfer_program() -> TransferProgram {
    TransferProgram::At(PathBuf::from(env!("CARGO_BIN_EXE_tidegate-git-transfer")))
}

fn settings(server: &GitServer) -> RemoteSettings {
    RemoteSettings { program: transfer_program(), ..RemoteSettings::new(server.url("config.git"), "main") }
}

async fn open(origin: &Origin, name: &str, settings: RemoteSettings) -> Mirror {
    Mirror::open(&origin.mirror_dir(name), settings).await.unwrap()
}

#[tokio::test]
async fn poll_is_one_small_request_on_one_connection() {
    let origin = origin();
    let first = origin.commit(&[("a", "1")]);
    for number in 0..300 {
        run(&origin.bare, &["branch", &format!("other-{number}"), "main"]);
    }
    let server = GitServer::start(origin.root.path()).unwrap();
    let mirror = open(&origin, "a", settings(&server)).await;
    assert_eq!(mirror.poll().await.unwrap(), first);
    let before = server.bytes();
    for _ in 0..5 {
        assert_eq!(mirror.poll().await.unwrap(), first);
    }
    let each = (server.bytes() - before) / 5;
    assert!(each < 1000, "{each} bytes for a poll");
    assert_eq!(server.connections(), 1);
    assert_eq!(server.requests(), vec!["POST /config.git/git-upload-pack"; 6]);
    let second = origin.commit(&[("a", "2")]);
    assert_eq!(mirror.poll().await.unwrap(), second);
}

#[tokio::test]
async fn the_first_fetch_is_shallow_and_descent_is_still_told_truly() {
    let origin = origin();
    let commits: Vec<CommitId> = (0..6).map(|n| origin.commit(&[("a", &n.to_string())])).collect();
    let server = GitServer::start(origin.root.path()).unwrap();
    let mirror = open(&origin, "a", settings(&server)).await;
    let bare = origin.mirror_dir("a/mirror.git");
    assert_eq!(mirror.fetch().await.unwrap(), commits[5]);
    assert_eq!(run(&bare, &["rev-list", "--count", commits[5].as_str()]), "1");
    let next = origin.commit(&[("a", "6")]);
    assert_eq!(mirror.fetch().await.unwrap(), next);
    assert_eq!(run(&bare, &["rev-list", "--count", next.as_str()]), "2", "only what is new");
    assert!(mirror.descends(&next, &commits[5]).await.unwrap());
    assert!(mirror.descends(&next, &commits[0]).await.unwrap());
    assert_eq!(run(&bare, &["rev-list", "--count", next.as_str()]), "7");
    run(&origin.work, &["reset", "-q", "--hard", commits[2].as_str()]);
    let forced = origin.commit(&[("a", "evil")]);
    assert_eq!(mirror.fetch().await.unwrap(), forced);
    assert!(!mirror.descends(&forced, &next).await.unwrap());
    run(&bare, &["fsck"]);
}

#[tokio::test]
async fn a_forced_push_onto_a_shallow_mirror_is_seen() {
    let origin = origin();
    let base = origin.commit(&[("a", "1")]);
    let trusted = origin.commit(&[("a", "2")]);
    let server = GitServer::start(origin.root.path()).unwrap();
    let mirror = open(&origin, "a", settings(&server)).await;
    mirror.fetch().await.unwrap();
    run(&origin.work, &["reset", "-q", "--hard", base.as_str()]);
    let forced = origin.commit(&[("a", "evil")]);
    mirror.fetch().await.unwrap();
    assert!(!mirror.descends(&forced, &trusted).await.unwrap());
    run(&origin.work, &["checkout", "-q", "--orphan", "other"]);
    let unrelated = origin.commit(&[("a", "worse")]);
    mirror.fetch().await.unwrap();
    assert!(!mirror.descends(&unrelated, &trusted).await.unwrap());
}

#[tokio::test]
async fn an_older_commit_is_had_by_id_where_the_server_allows_it_and_by_history_where_not() {
    let origin = origin();
    let commits: Vec<CommitId> = (0..4).map(|n| origin.commit(&[("a", &n.to_string())])).collect();
    let server = GitServer::start(origin.root.path()).unwrap();
    let count = |name: &str| run(&origin.mirror_dir(&format!("{name}/mirror.git")), &["rev-list", "--count", "--all"]);
    let strict = open(&origin, "strict", settings(&server)).await;
    strict.fetch().await.unwrap();
    assert_eq!(strict.files(&commits[1]).await.unwrap().len(), 1);
    assert_eq!(count("strict"), "4");
    run(&origin.bare, &["config", "uploadpack.allowReachableSHA1InWant", "true"]);
    let generous = open(&origin, "generous", settings(&server)).await;
    generous.fetch().await.unwrap();
    assert_eq!(generous.files(&commits[1]).await.unwrap().len(), 1);
    assert_eq!(count("generous"), "2");
    assert!(generous.descends(&commits[3], &commits[1]).await.unwrap());
    let nowhere: CommitId = "1".repeat(40).parse().unwrap();
    let refused = generous.files(&nowhere).await;
    assert!(matches!(refused, Err(GitError::MissingCommit { .. })), "{refused:?}");
    // With the server gone, what is here is still here.
    server.set_mode(Mode::Unreachable);
    assert_eq!(generous.files(&commits[1]).await.unwrap().len(), 1);
    assert!(generous.fetch().await.unwrap_err().is_away());
}

#[tokio::test]
async fn commits_are_pushed_signed_and_races_all_land() {
    let origin = origin();
    origin.commit(&[("count", "")]);
    let server = GitServer::start(origin.root.path()).unwrap();
    let bot = committer();
    let add = async |number: u32| {
        let mirror = open(&origin, &number.to_string(), settings(&server)).await;
        let make = |_: &CommitId, files: &tidegate_core::files::RepoFiles| {
            let before = String::from_utf8(files.get(&"count".parse().unwrap()).unwrap().bytes.to_vec()).unwrap();
            Ok::<_, Infallible>(Some(change("count", &format!("{before}{number}\n"))))
        };
        mirror.commit(&bot, make).await.unwrap()
    };
    let (a, b, c) = tokio::join!(add(0), add(1), add(2));
    assert!([&a, &b, &c].iter().all(|made| matches!(made, Committed::Pushed { .. })));
    let mut lines: Vec<String> = run(&origin.bare, &["show", "main:count"]).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["0", "1", "2"]);
    let log = git_with(&origin.bare, &signature_options(origin.root.path(), &bot.key), &["log", "-3", "--show-signature", "main"]);
    assert_eq!(log.matches("Good \"git\" signature for bot@example.org").count(), 3, "{log}");
}

#[tokio::test]
async fn a_push_that_a_hook_refuses_is_an_error_with_its_reason() {
    let origin = origin();
    let tip = origin.commit(&[("a", "1")]);
    let hook = origin.bare.join("hooks/update");
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let server = GitServer::start(origin.root.path()).unwrap();
    let mirror = open(&origin, "a", settings(&server)).await;
    let made = mirror.commit(&committer(), |_, _| Ok::<_, Infallible>(Some(change("a", "2")))).await;
    let Err(CommitError::Git(GitError::Rejected { reason, .. })) = made else { panic!("{made:?}") };
    assert!(reason.contains("hook"), "{reason}");
    assert_eq!(mirror.poll().await.unwrap(), tip);
}

#[tokio::test]
async fn tokens_are_sent_and_never_shown() {
    let origin = origin();
    let tip = origin.commit(&[("a", "1")]);
    let server = GitServer::start(origin.root.path()).unwrap();
    // x-access-token:s3cret
    server.require_authorization(Some("Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0"));
    let token = origin.root.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let with_token = || settings(&server).with_credentials(Credentials::TokenFile(token.clone()));
    let mirror = open(&origin, "a", with_token()).await;
    assert_eq!(mirror.poll().await.unwrap(), tip);
    assert_eq!(server.requests().len(), 1, "the token is sent with the first request");
    assert_eq!(mirror.fetch().await.unwrap(), tip);
    mirror.commit(&committer(), |_, _| Ok::<_, Infallible>(Some(change("a", "2")))).await.unwrap();
    assert!(matches!(open(&origin, "b", settings(&server)).await.poll().await, Err(GitError::Denied { .. })));
    std::fs::write(&token, "wrong-s3cret").unwrap();
    let refused = open(&origin, "c", with_token()).await.poll().await.unwrap_err();
    assert!(matches!(refused, GitError::Denied { .. }) && !format!("{refused} {refused:?} {mirror:?}").contains("s3cret"), "{refused:?}");
    // Bearer tokens travel in a header of their own.
    server.require_authorization(Some("Bearer abc"));
    std::fs::write(&token, "Bearer abc").unwrap();
    let bearer = open(&origin, "d", with_token()).await;
    bearer.fetch().await.unwrap();
    bearer.commit(&committer(), |_, _| Ok::<_, Infallible>(Some(change("a", "3")))).await.unwrap();
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let origin = origin();
    origin.commit(&[("a", "1")]);
    let (server, other) = (GitServer::start(origin.root.path()).unwrap(), GitServer::start(origin.root.path()).unwrap());
    let mirror = open(&origin, "a", settings(&server)).await;
    server.set_mode(Mode::Redirect(other.url("").trim_end_matches('/').to_owned()));
    let refused = mirror.fetch().await.unwrap_err();
    assert!(matches!(refused, GitError::Redirected { .. }), "{refused:?}");
    assert_eq!(other.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_that_is_not_git_is_left_to_libgit2_and_ends_as_an_error() {
    let origin = origin();
    let tip = origin.commit(&[("a", "1")]);
    let server = GitServer::start(origin.root.path()).unwrap();
    let mirror = open(&origin, "a", settings(&server)).await;
    server.set_mode(Mode::Answer(200, "<html>hello</html>".into()));
    assert!(mirror.poll().await.unwrap_err().is_away());
    assert!(server.requests().iter().any(|request| request.starts_with("GET /config.git/info/refs")), "libgit2 was not asked");
    server.set_mode(Mode::Answer(404, String::new()));
    assert!(matches!(mirror.poll().await.unwrap_err(), GitError::Denied { .. }));
    server.set_mode(Mode::Normal);
    assert_eq!(mirror.poll().await.unwrap(), tip, "the fallback reads the right branch");
    let missing = RemoteSettings { branch: "nope".into(), ..settings(&server) };
    assert!(matches!(open(&origin, "b", missing).await.fetch().await, Err(GitError::NoBranch { .. })));
}

#[tokio::test]
async fn servers_that_hang_drip_or_vanish_are_bounded_by_the_deadline() {
    let origin = origin();
    origin.commit(&[("a", "1")]);
    let server = GitServer::start(origin.root.path()).unwrap();
    let limits = Limits { poll_deadline: DEADLINE, transfer_deadline: DEADLINE, ..Limits::default() };
    let mirror = open(&origin, "a", RemoteSettings { limits, ..settings(&server) }).await;
    for mode in [Mode::Hang, Mode::Drip(Duration::from_millis(500))] {
        // The poll meets it first; then a transfer that began before the server went bad.
        server.set_mode(mode.clone());
        let began = Instant::now();
        assert!(matches!(mirror.poll().await, Err(GitError::Deadline { .. })), "{mode:?}");
        let missing: CommitId = "2".repeat(40).parse().unwrap();
        assert!(matches!(mirror.ensure(&missing).await, Err(GitError::Deadline { .. })), "{mode:?}");
        assert!(began.elapsed() < PATIENCE);
    }
    server.set_mode(Mode::Unreachable);
    assert!(matches!(mirror.poll().await, Err(GitError::Away { .. })));
    let left: Vec<_> = std::fs::read_dir(origin.mirror_dir("a")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["mirror.git"], "nothing of a stopped transfer stays");
    server.set_mode(Mode::Normal);
    mirror.fetch().await.unwrap();
}

#[tokio::test]
async fn what_a_server_sends_is_bounded_in_bytes_and_by_object() {
    let origin = origin();
    // Half a megabyte that inflates to 80, and half a megabyte that does not.
    std::fs::create_dir_all(&origin.work).unwrap();
    std::fs::write(origin.work.join("bomb"), vec![0; 80 * 1024 * 1024]).unwrap();
    let bomb = origin.commit(&[("a", "1")]);
    let server = GitServer::start(origin.root.path()).unwrap();
    let refused = open(&origin, "bomb", settings(&server)).await.fetch().await.unwrap_err();
    assert!(matches!(&refused, GitError::TooBig { what, .. } if what.contains("object")), "{refused:?}");
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let noise: Vec<u8> = (0..600_000).map(|_| random()).collect();
    std::fs::write(origin.work.join("bomb"), noise).unwrap();
    let next = origin.commit(&[("a", "2")]);
    let limits = Limits { received_max_bytes: 200_000, ..Limits::default() };
    let refused = open(&origin, "bytes", RemoteSettings { limits, ..settings(&server) }).await.fetch().await.unwrap_err();
    assert!(matches!(&refused, GitError::TooBig { what, .. } if what.contains("server sends")), "{refused:?}");
    assert_eq!(open(&origin, "fine", settings(&server)).await.fetch().await.unwrap(), next);
    assert_ne!(bomb, next);
}

#[tokio::test]
async fn a_transfer_process_that_meets_its_limits_is_an_error_not_a_hang() {
    let origin = origin();
    origin.commit(&[("a", "1")]);
    let server = GitServer::start(origin.root.path()).unwrap();
    let starved = Limits { memory_max_bytes: 1024 * 1024, ..Limits::default() };
    let failed = open(&origin, "a", RemoteSettings { limits: starved, ..settings(&server) }).await.fetch().await.unwrap_err();
    assert!(failed.is_away(), "{failed:?}");
    let program = TransferProgram::At("/nonexistent/program".into());
    let failed = open(&origin, "b", RemoteSettings { program, ..settings(&server) }).await.fetch().await.unwrap_err();
    assert!(matches!(failed, GitError::Transfer { .. }), "{failed:?}");
}

#[tokio::test]
async fn packs_are_joined_and_nothing_is_lost() {
    const PACKS_MAX: usize = 4;
    let origin = origin();
    let server = GitServer::start(origin.root.path()).unwrap();
    let first = origin.commit(&[("a", "0")]);
    let limits = Limits { packs_max: PACKS_MAX, ..Limits::default() };
    let mirror = open(&origin, "a", RemoteSettings { limits, ..settings(&server) }).await;
    mirror.fetch().await.unwrap();
    let mut commits = vec![first];
    for number in 1..14 {
        commits.push(origin.commit(&[("a", &number.to_string())]));
        mirror.fetch().await.unwrap();
        let packs = std::fs::read_dir(origin.mirror_dir("a/mirror.git/objects/pack")).unwrap();
        let packs = packs.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ext| ext == "pack")).count();
        assert!(packs <= PACKS_MAX, "{packs}");
    }
    server.set_mode(Mode::Unreachable);
    for (number, commit) in commits.iter().enumerate() {
        let files = mirror.files(commit).await.unwrap();
        assert_eq!(&*files.get(&"a".parse().unwrap()).unwrap().bytes, number.to_string().as_bytes());
        assert!(mirror.descends(&commits[13], commit).await.unwrap());
    }
    run(&origin.mirror_dir("a/mirror.git"), &["fsck", "--full", "--strict"]);
}

/// Runs in a process of its own, because which authorities are trusted is a property of a process.
#[tokio::test]
#[ignore = "run by https_is_spoken_with_trusted_servers_only"]
async fn https_worker() {
    let (url, dir) = (std::env::var("TEST_URL").unwrap(), PathBuf::from(std::env::var("TEST_DIR").unwrap()));
    let settings = RemoteSettings { program: transfer_program(), ..RemoteSettings::new(url, "main") };
    let mirror = Mirror::open(&dir, settings).await.unwrap();
    mirror.poll().await.unwrap();
    mirror.fetch().await.unwrap();
    mirror.commit(&committer(), |_, _| Ok::<_, Infallible>(Some(change("a", "2")))).await.unwrap();
}

#[test]
fn https_is_spoken_with_trusted_servers_only() {
    let origin = origin();
    origin.commit(&[("a", "1")]);
    let server = GitServer::start(origin.root.path()).unwrap();
    let front = tls::TlsFront::start(origin.root.path(), server.url("").trim_start_matches("http://").trim_end_matches('/'));
    let worker = |name: &str| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command
            .args(["--ignored", "--exact", "https_worker"])
            .env("TEST_URL", front.url("config.git"))
            .env("TEST_DIR", origin.mirror_dir(name));
        command
    };
    let stranger = worker("a").output().unwrap();
    assert!(!stranger.status.success() && server.requests().is_empty(), "an unknown authority was trusted");
    assert!(
        String::from_utf8_lossy(&stranger.stdout).to_lowercase().contains("certificate"),
        "{}",
        String::from_utf8_lossy(&stranger.stdout)
    );
    let trusting = worker("b").env("SSL_CERT_FILE", &front.authority).output().unwrap();
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stdout));
    assert_eq!(run(&origin.bare, &["show", "main:a"]), "2");
}
