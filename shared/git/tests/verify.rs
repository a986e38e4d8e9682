//! Signatures of commits: what git's own command line makes counts, and nothing that was altered does.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod support;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::convert::Infallible;
use std::process::Stdio;
use support::{change, committer, git, origin};
use tidegate_git::keys::{SignatureError, SigningKey};
use tidegate_git::{CommitRefusal, Mirror, RemoteSettings, verify_commit};

/// How many altered commits are tried.
const MUTATIONS: u32 = 4_000;

/// A commit signed by the git command line, raw.
fn signed_by_git(key: &SigningKey) -> Vec<u8> {
    let origin = origin();
    origin.commit(&[("a", "1")]);
    let file = origin.root.path().join("key");
    key.save(&file).unwrap();
    let signing_key = format!("user.signingkey={}", file.display());
    let made = git(&origin.work)
        .args(["-c", "gpg.format=ssh", "-c", &signing_key, "commit", "-q", "-S", "--allow-empty", "-m", "signed\n\nbody"])
        .status();
    assert!(made.unwrap().success());
    git(&origin.work).args(["cat-file", "commit", "HEAD"]).stderr(Stdio::inherit()).output().unwrap().stdout
}

async fn signed_by_us(key: &SigningKey) -> Vec<u8> {
    let origin = origin();
    origin.commit(&[("a", "1")]);
    let mirror = Mirror::open(&origin.mirror_dir("a"), RemoteSettings::new(origin.url(), "main")).await.unwrap();
    let bot = tidegate_git::Committer { key: key.clone(), ..committer() };
    let made = mirror.commit(&bot, |_, _| Ok::<_, Infallible>(Some(change("b", "1")))).await.unwrap();
    mirror.raw_commit(made.commit()).await.unwrap()
}

#[tokio::test]
async fn commits_of_gits_command_line_and_ours_verify() {
    let key = SigningKey::generate().unwrap();
    for raw in [signed_by_git(&key), signed_by_us(&key).await] {
        let verified = verify_commit(&raw, &[SigningKey::generate().unwrap().public(), key.public()]).unwrap();
        assert_eq!((verified.key, verified.parents.len()), (key.public(), 1));
        let others = verify_commit(&raw, &[SigningKey::generate().unwrap().public()]);
        assert!(matches!(others, Err(CommitRefusal::Signature(SignatureError::UnknownKey(_)))));
        assert!(matches!(verify_commit(&raw, &[]), Err(CommitRefusal::Signature(SignatureError::NoKeys))));
    }
}

#[test]
fn an_unsigned_commit_is_called_so() {
    let origin = origin();
    origin.commit(&[("a", "1")]);
    let raw = git(&origin.work).args(["cat-file", "commit", "HEAD"]).output().unwrap().stdout;
    assert_eq!(verify_commit(&raw, &[SigningKey::generate().unwrap().public()]), Err(CommitRefusal::Unsigned));
}

#[test]
fn forms_that_other_readers_take_are_refused() {
    let key = SigningKey::generate().unwrap();
    let text = String::from_utf8(signed_by_git(&key)).unwrap();
    let (header, message) = text.split_once("\n\n").unwrap();
    let tree = header.lines().next().unwrap();
    let signature = &header[header.find("gpgsig ").unwrap()..];
    let refused = |changed: String| verify_commit(changed.as_bytes(), &[key.public()]).is_err();
    assert!(!refused(text.clone()));
    for changed in [
        format!("{header}\n{signature}\n\n{message}"),
        format!("{header}\ngpgsig-sha256 junk\n\n{message}"),
        format!("{header}\nencoding UTF-8\n\n{message}"),
        format!("{tree}\n{text}"),
        text.replacen("\nauthor ", "\nauthor A <a@b> 1 +0000\nauthor ", 1),
        text.replacen("\nparent ", "\nparent abc\nparent ", 1),
        text.replacen("\ngpgsig ", "\r\ngpgsig ", 1),
        text.replacen("gpgsig", "GPGSIG", 1),
        format!("{header}\n \n\n{message}"),
        format!("{text}\0"),
        header.to_owned(),
        String::new(),
    ] {
        assert!(refused(changed.clone()), "{changed}");
    }
}

/// Every accepted text is the one that was signed: no two commit ids for one signature.
#[tokio::test]
async fn no_altered_commit_verifies() {
    let key = SigningKey::generate().unwrap();
    let keys = [key.public()];
    let mut random = StdRng::seed_from_u64(7);
    for raw in [signed_by_git(&key), signed_by_us(&key).await] {
        for _ in 0..MUTATIONS / 2 {
            let mut altered = raw.clone();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..altered.len());
                match random.random_range(0..4) {
                    0 => altered[at] ^= 1 << random.random_range(0..8),
                    1 => drop(altered.remove(at)),
                    2 => altered.insert(at, *b" \n\r\0=A+/0-".get(random.random_range(0..10)).unwrap()),
                    _ => altered[at] = random.random(),
                }
            }
            if altered != raw {
                assert!(verify_commit(&altered, &keys).is_err(), "{}", String::from_utf8_lossy(&altered));
            }
        }
    }
}
