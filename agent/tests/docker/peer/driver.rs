//! The process that runs docker-compose, and asks the engine as it does. See `drive.py`.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Debian's Python, which has Debian's docker-compose.
const PYTHON: &str = "/usr/bin/python3";

/// One docker-compose that does one thing at a time.
pub(super) struct Driver {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

/// A project for docker-compose.
pub(super) struct Project<'a> {
    pub(super) folder: &'a Path,
    pub(super) files: &'a [&'a str],
    pub(super) name: &'a str,
    pub(super) start: bool,
}

impl Driver {
    pub(super) fn start() -> Driver {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(PYTHON);
        command.arg(super::folder().join("drive.py"));
        // Nobody's settings of the docker client, and no variables of this shell.
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("Debian's docker-compose 1.29 is needed: apt-get install docker-compose");
        let requests = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Driver { child, requests, answers, folder }
    }

    /// Makes a project, looks at it, takes it down.
    pub(super) fn up(&mut self, project: &Project<'_>) -> Result<Value, String> {
        let Project { folder, files, name, start } = project;
        self.ask(&json!({ "up": { "folder": folder, "files": files, "project": name, "start": start } }))
    }

    /// Everything with a label.
    pub(super) fn look(&mut self, label: &str) -> Result<Value, String> {
        self.ask(&json!({ "look": label }))
    }

    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        writeln!(self.requests, "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap_or_default();
        match answer.get("found") {
            Some(found) => Ok(found.clone()),
            None => Err(format!("{request}\n{}\n{}", answer["error"].as_str().unwrap_or_default(), self.log())),
        }
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
