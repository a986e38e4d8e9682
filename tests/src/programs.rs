//! The real programs as child processes: found or built, started, killed at any moment, started again.

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Variable that says where the programs are; without it they are built once per test process.
pub const BIN_DIR_VARIABLE: &str = "TIDEGATE_TEST_BIN_DIR";
/// Longest time a program may take to end after SIGTERM.
const TERMINATE_LIMIT: Duration = Duration::from_secs(40);
/// Between two looks whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Most lines of a log that a failing test shows.
const TAIL_LINES: usize = 60;

/// The path of one of our programs: `tidegate` or `tidegate-bot`.
pub fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| std::env::var_os(BIN_DIR_VARIABLE).map_or_else(build_once, PathBuf::from)).join(name)
}

/// Builds the programs beside this test's own executable. Costs a fraction of a second when nothing changed.
fn build_once() -> PathBuf {
    let own = std::env::current_exe().expect("the test knows its own path");
    let profile = own.ancestors().nth(2).expect("tests lie in target/<profile>/deps").to_owned();
    let target = profile.parent().expect("a profile folder lies in the target folder");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.current_dir(repository()).env("CARGO_TARGET_DIR", target);
    cargo.args(["build", "--quiet", "--workspace", "--bins"]);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo can be started");
    assert!(status.success(), "the programs could not be built");
    profile
}

/// The root of this repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the repository")
}

/// One program of ours, with the arguments it is started with each time.
#[derive(Debug)]
pub struct Program {
    /// For messages.
    pub name: String,
    path: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Program {
    /// A program that is not started yet; its output goes to `log`.
    pub fn new(name: &str, path: PathBuf, log: PathBuf) -> Program {
        Program { name: name.to_owned(), path, arguments: Vec::new(), variables: Vec::new(), log, child: None }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Program {
        self.arguments.push(argument.into());
        self
    }

    /// Adds a variable; nothing else of the environment reaches the program but `PATH` and `HOME`.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Program {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// It runs already or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("{} runs already", self.name);
        }
        let log =
            OpenOptions::new().create(true).append(true).open(&self.log).with_context(|| format!("opening {}", self.log.display()))?;
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env_clear().envs(["PATH", "HOME"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("starting {}", self.path.display()))?);
        Ok(())
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Has it ended by itself?
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.as_mut().map(Child::try_wait).transpose()?.flatten())
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { bail!("{} does not run", self.name) };
        child.kill().with_context(|| format!("killing {}", self.name))?;
        child.wait().map(drop).with_context(|| format!("waiting for {}", self.name))
    }

    /// SIGTERM, and waits until it has ended.
    ///
    /// # Errors
    /// It does not run, or does not end in time.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        let Some(mut child) = self.child.take() else { bail!("{} does not run", self.name) };
        if let Some(id) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
            rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        }
        let asked = Instant::now();
        while asked.elapsed() < TERMINATE_LIMIT {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        child.kill()?;
        child.wait()?;
        bail!("{} did not end within {TERMINATE_LIMIT:?} after SIGTERM", self.name)
    }

    /// The last lines it wrote.
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// Everything it wrote.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// What a command that ran to its end said.
#[derive(Debug)]
pub struct Said {
    /// Exit code; 128 + the signal when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a program of ours to its end, e.g. `tidegate validate …`.
///
/// # Errors
/// It cannot be started.
pub async fn run(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Said> {
    let mut command = tokio::process::Command::new(binary(name));
    command.args(arguments).env_clear().envs(["PATH", "HOME"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.with_context(|| format!("starting {name}"))?;
    Ok(Said {
        code: output.status.code().or(output.status.signal().map(|signal| 128 + signal)).unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a helper program (`git`, `docker`) to its end; its output.
///
/// # Errors
/// It cannot be started or says no.
pub fn helper(program: &str, arguments: &[&str], folder: &Path) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        bail!("{program} {} says: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An empty file that children may append to.
///
/// # Errors
/// It cannot be made.
pub fn touch(path: &Path) -> Result<()> {
    File::create(path).map(drop).with_context(|| format!("creating {}", path.display()))
}
