//! What a poll costs when nothing is new: ours and `git ls-remote`, side by side in one run.
//!
//! `cargo run --release -p tidegate-git --example poll-bench` (needs `git`, `openssl`). Prints, for 10 and 10,000
//! branches and each way to reach the repository, CPU time, wall time and bytes of one poll. Each side runs in processes
//! of its own, so the server's CPU time is in neither; ours is measured after the first poll, because an agent polls for
//! months. The server forks a git process per request: most of the wall time is that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a measurement, run by hand")]

#[path = "../../../tests/src/git_server.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod git_server;
#[path = "../tests/support/tls.rs"]
#[allow(missing_docs, reason = "shared with tests")]
mod tls;

use git_server::GitServer;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tidegate_git::{Mirror, RemoteSettings};

const BRANCHES: [usize; 2] = [10, 10_000];
const OUR_POLLS: u32 = 500;
const THEIR_POLLS: u32 = 40;
/// Length of a clock tick in `/proc/self/stat`.
const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, measure, url, dir] = &arguments[..]
        && measure == "--measure"
    {
        return measure_ours(url, Path::new(dir));
    }
    let root = tempfile::tempdir().unwrap();
    let server = GitServer::start(root.path()).unwrap();
    let front = tls::TlsFront::start(root.path(), server.url("").trim_start_matches("http://").trim_end_matches('/'));
    println!("{:>8} {:>6} {:>10} {:>11} {:>11} {:>11}", "branches", "over", "who", "cpu/poll", "wall/poll", "bytes/poll");
    for branches in BRANCHES {
        let name = repository(root.path(), branches);
        for (over, url) in
            [("https", front.url(&name)), ("http", server.url(&name)), ("file", format!("file://{}", root.path().join(&name).display()))]
        {
            let row = |who: &str, polls: u32, measure: &dyn Fn() -> Cost| {
                let before = server.bytes();
                let cost = measure();
                let bytes = (server.bytes() - before) / u64::from(polls);
                println!("{branches:>8} {over:>6} {who:>10} {:>11.1?} {:>11.1?} {bytes:>11}", cost.cpu, cost.wall);
                cost
            };
            let our =
                row("tidegate", OUR_POLLS + 1, &|| ours(&url, &root.path().join(format!("mirror-{branches}-{over}")), &front.authority));
            let their = row("ls-remote", THEIR_POLLS, &|| theirs(&url, &front.authority));
            println!("{branches:>8} {over:>6} {:>10} {:>11.0}", "ratio", their.cpu.as_secs_f64() / our.cpu.as_secs_f64());
        }
    }
}

fn git(dir: &Path, args: &[&str], input: &str) {
    use std::io::Write as _;
    let mut command = Command::new("git");
    command.current_dir(dir).args(args).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut running = command.spawn().unwrap();
    running.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(running.wait().unwrap().success(), "git {args:?}");
}

fn repository(root: &Path, branches: usize) -> String {
    let name = format!("with-{branches}.git");
    git(root, &["init", "-q", "--bare", "-b", "main", &name], "");
    let dir = root.join(&name);
    let commit = "commit refs/heads/main\ncommitter a <a@b> 1700000000 +0000\ndata 1\nx\nM 644 inline a\ndata 1\ny\n\n";
    git(&dir, &["fast-import", "--quiet"], commit);
    let tip = Command::new("git").current_dir(&dir).args(["rev-parse", "main"]).output().unwrap().stdout;
    let tip = String::from_utf8(tip).unwrap();
    // Written at once: ten thousand updates through git would take longer than the whole measurement.
    let refs: String = (1..branches).map(|number| format!("{} refs/heads/branch-{number:05}\n", tip.trim())).collect();
    std::fs::write(dir.join("packed-refs"), format!("# pack-refs with: peeled fully-peeled sorted \n{refs}")).unwrap();
    name
}

fn ours(url: &str, dir: &Path, authority: &Path) -> Cost {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--measure", url]).arg(dir).env("SSL_CERT_FILE", authority).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let (cpu, wall) = text.trim().split_once(' ').unwrap();
    Cost { cpu: Duration::from_nanos(cpu.parse().unwrap()), wall: Duration::from_nanos(wall.parse().unwrap()) }
}

/// Runs in a process of its own: all its threads count.
fn measure_ours(url: &str, dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mirror = Mirror::open(dir, RemoteSettings::new(url, "main")).await.unwrap();
        mirror.poll().await.unwrap();
        let (cpu, wall) = (process_cpu(), Instant::now());
        for _ in 0..OUR_POLLS {
            mirror.poll().await.unwrap();
        }
        println!("{} {}", (process_cpu() - cpu).as_nanos() / u128::from(OUR_POLLS), wall.elapsed().as_nanos() / u128::from(OUR_POLLS));
    });
}

fn process_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
}

/// `git ls-remote` runs below a shell of its own, whose account of its children (fields 16 and 17 of the kernel's
/// `stat`) holds nothing else.
fn theirs(url: &str, authority: &Path) -> Cost {
    let script = format!(
        "for _ in $(seq {THEIR_POLLS}); do git ls-remote --quiet \"$0\" refs/heads/main >/dev/null || exit 1; done; cat /proc/$$/stat"
    );
    let wall = Instant::now();
    let output = Command::new("sh").args(["-c", &script, url]).env("GIT_SSL_CAINFO", authority).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success());
    let stat = String::from_utf8(output.stdout).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = fields[13].parse::<u32>().unwrap() + fields[14].parse::<u32>().unwrap();
    Cost { cpu: TICK * ticks / THEIR_POLLS, wall: wall.elapsed() / THEIR_POLLS }
}
