//! A person's clone of the config repo, worked on with the real `git` program.

use crate::programs::helper;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Who commits.
#[derive(Debug, Clone, Copy)]
pub struct Author {
    /// Name.
    pub name: &'static str,
    /// E-mail.
    pub email: &'static str,
}

/// The engineer who changes things.
pub const ALICE: Author = Author { name: "Alice Example", email: "alice@example.org" };
/// The engineer who approves.
pub const BOB: Author = Author { name: "Bob Example", email: "bob@example.org" };

/// A clone.
#[derive(Debug)]
pub struct Checkout {
    folder: PathBuf,
}

impl Checkout {
    /// Makes an empty bare repository at `bare` and a clone of it at `folder`.
    ///
    /// # Errors
    /// git says no.
    pub fn of_new_repo(bare: &Path, folder: &Path) -> Result<Checkout> {
        std::fs::create_dir_all(bare)?;
        helper("git", &["init", "--quiet", "--bare", "--initial-branch=main", "."], bare)?;
        // A server that serves over http answers by this.
        helper("git", &["config", "http.receivepack", "true"], bare)?;
        std::fs::create_dir_all(folder)?;
        helper("git", &["init", "--quiet", "--initial-branch=main", "."], folder)?;
        helper("git", &["remote", "add", "origin", &bare.to_string_lossy()], folder)?;
        helper("git", &["config", "commit.gpgsign", "false"], folder)?;
        Ok(Checkout { folder: folder.to_owned() })
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs git in it.
    ///
    /// # Errors
    /// git says no.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        helper("git", arguments, &self.folder).map(|text| text.trim().to_owned())
    }

    /// Writes a file; an empty text removes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let file = self.folder.join(path);
        if text.is_empty() {
            return std::fs::remove_file(&file).with_context(|| format!("removing {path}"));
        }
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&file, text).with_context(|| format!("writing {path}"))
    }

    /// Commits everything that was written.
    ///
    /// # Errors
    /// git says no, e.g. that nothing changed.
    pub fn commit(&self, author: Author, message: &str) -> Result<String> {
        self.git(&["add", "--all"])?;
        let (name, email) = (format!("user.name={}", author.name), format!("user.email={}", author.email));
        self.git(&["-c", &name, "-c", &email, "commit", "--quiet", "--message", message])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits and pushes, after taking over what others (the bot) pushed meanwhile; the commit's id.
    ///
    /// # Errors
    /// git says no.
    pub fn push(&self, author: Author, message: &str) -> Result<String> {
        self.commit(author, message)?;
        let identity = [format!("user.name={}", author.name), format!("user.email={}", author.email)];
        for _race in 0..10 {
            if self.git(&["push", "--quiet", "origin", "main"]).is_ok() {
                return self.git(&["rev-parse", "HEAD"]);
            }
            self.git(&["-c", &identity[0], "-c", &identity[1], "pull", "--quiet", "--rebase", "origin", "main"])?;
        }
        self.git(&["push", "--quiet", "origin", "main"])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// Takes over what others pushed.
    ///
    /// # Errors
    /// git says no.
    pub fn pull(&self) -> Result<()> {
        self.git(&["pull", "--quiet", "--ff-only", "origin", "main"]).map(drop)
    }

    /// The history at the remote, newest first, one line per commit: subject, author, committer, separated by tabs.
    ///
    /// # Errors
    /// git says no.
    pub fn history(&self) -> Result<Vec<String>> {
        self.git(&["fetch", "--quiet", "origin", "main"])?;
        Ok(self.git(&["log", "--format=%s%x09%an%x09%cn", "FETCH_HEAD"])?.lines().map(str::to_owned).collect())
    }

    /// A file as it is at the remote; none: there is no such file.
    ///
    /// # Errors
    /// The remote does not answer.
    pub fn remote_file(&self, path: &str) -> Result<Option<String>> {
        self.git(&["fetch", "--quiet", "origin", "main"])?;
        Ok(self.git(&["show", &format!("FETCH_HEAD:{path}")]).ok())
    }
}
