//! What the tests of this crate share: real repositories made with the git command line.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, missing_docs, reason = "each test binary uses a part of this")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tidegate_core::ids::CommitId;
use tidegate_git::keys::SigningKey;
use tidegate_git::{Change, Committer, Identity};

/// git without the user's configuration.
pub fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", dir).env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Alice Example").env(format!("GIT_{who}_EMAIL"), "alice@example.org");
    }
    command
}

pub fn run(dir: &Path, args: &[&str]) -> String {
    let output = git(dir).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A bare repository with a work tree beside it.
pub struct Origin {
    pub root: TempDir,
    pub bare: PathBuf,
    pub work: PathBuf,
}

pub fn origin() -> Origin {
    let root = tempfile::tempdir().unwrap();
    let (bare, work) = (root.path().join("config.git"), root.path().join("work"));
    run(root.path(), &["init", "-q", "--bare", "-b", "main", "config.git"]);
    run(root.path(), &["init", "-q", "-b", "main", "work"]);
    run(&work, &["remote", "add", "origin", "../config.git"]);
    Origin { root, bare, work }
}

impl Origin {
    /// Writes files, commits them and pushes; returns the commit.
    pub fn commit(&self, files: &[(&str, &str)]) -> CommitId {
        for (path, text) in files {
            let path = self.work.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        run(&self.work, &["add", "-A"]);
        run(
            &self.work,
            &[
                "commit",
                "-q",
                "--allow-empty",
                "-m",
                &format!("change {}", files.iter().map(|(path, _)| *path).collect::<Vec<_>>().join(", ")),
            ],
        );
        self.push()
    }

    /// Pushes the work tree's branch, by force if need be.
    pub fn push(&self) -> CommitId {
        run(&self.work, &["push", "-q", "--force", "origin", "HEAD:main"]);
        self.head()
    }

    pub fn head(&self) -> CommitId {
        run(&self.work, &["rev-parse", "HEAD"]).parse().unwrap()
    }

    pub fn url(&self) -> String {
        self.bare.display().to_string()
    }

    pub fn mirror_dir(&self, name: &str) -> PathBuf {
        self.root.path().join("mirrors").join(name)
    }
}

pub fn committer() -> Committer {
    Committer { identity: Identity::new("tidegate-bot", "bot@example.org"), key: SigningKey::generate().unwrap() }
}

/// A change of one file by Bob.
pub fn change(path: &str, text: &str) -> Change {
    Change {
        writes: BTreeMap::from([(path.parse().unwrap(), Some(text.as_bytes().to_vec()))]),
        message: format!("write {path}\n"),
        author: Identity::new("Bob Example", "bob@example.org"),
    }
}

/// An `allowed_signers` file for a key, and the options that make git use it.
pub fn signature_options(dir: &Path, key: &SigningKey) -> Vec<String> {
    let file = dir.join("allowed_signers");
    std::fs::write(&file, format!("bot@example.org {}\n", key.public_openssh())).unwrap();
    vec!["-c".into(), "gpg.format=ssh".into(), "-c".into(), format!("gpg.ssh.allowedSignersFile={}", file.display())]
}

pub fn git_with<S: AsRef<OsStr>>(dir: &Path, options: &[String], args: &[S]) -> String {
    let output = git(dir).args(options).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
