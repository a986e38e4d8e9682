//! A real git server over smart HTTP for tests: `git http-backend` behind a few lines of HTTP/1.1, with faults on demand.
//!
//! Only the standard library, so that the git adapter's own tests can include this file too.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

/// How often waiting threads look whether something changed.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Longest head of a request, in bytes.
const HEAD_MAX_BYTES: u64 = 64 * 1024;

/// How the server behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// As a git server should.
    Normal,
    /// The port is closed and open connections are cut: connection refused.
    Unreachable,
    /// Takes requests and never answers.
    Hang,
    /// Answers one byte at a time with this pause between two.
    Drip(Duration),
    /// Answers every request with a redirect to this place and the rest of the path.
    Redirect(String),
    /// Answers every request with this status and body.
    Answer(u16, String),
}

/// A running server for all repositories below a folder. Stops when dropped.
#[derive(Debug)]
pub struct GitServer {
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    address: SocketAddr,
    mode: Mutex<Mode>,
    authorization: Mutex<Option<String>>,
    requests: Mutex<Vec<String>>,
    open: Mutex<Vec<TcpStream>>,
    connections: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GitServer {
    /// Serves the repositories below `root` on a free port of the loopback interface, for reading and pushing.
    pub fn start(root: &Path) -> io::Result<GitServer> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            address: listener.local_addr()?,
            mode: Mutex::new(Mode::Normal),
            authorization: Mutex::default(),
            requests: Mutex::default(),
            open: Mutex::default(),
            connections: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let accepting = Some(spawn({
            let shared = shared.clone();
            move || shared.accept(Some(listener))
        }));
        Ok(GitServer { shared, accepting })
    }

    /// The address of a repository below the root, e.g. `config.git`.
    pub fn url(&self, repository: &str) -> String {
        format!("http://{}/{repository}", self.shared.address)
    }

    /// Changes the behaviour from the next request on; open connections are cut where the mode says so.
    pub fn set_mode(&self, mode: Mode) {
        let cut = mode == Mode::Unreachable;
        *lock(&self.shared.mode) = mode;
        if cut {
            self.shared.cut();
        }
        while cut && TcpStream::connect(self.shared.address).is_ok() {
            sleep(LOOK_EVERY);
        }
        while !cut && TcpStream::connect(self.shared.address).is_err() {
            sleep(LOOK_EVERY);
        }
    }

    /// Asks for exactly this `Authorization` header from now on; `None` asks for none.
    pub fn require_authorization(&self, header: Option<&str>) {
        *lock(&self.shared.authorization) = header.map(str::to_owned);
    }

    /// All requests so far, as `POST /config.git/git-upload-pack`.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.shared.requests).clone()
    }

    /// How many connections brought a request so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes of all requests and answers so far, heads included.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.cut();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        lock(&self.mode).clone()
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn cut(&self) {
        for stream in lock(&self.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn accept(self: Arc<Self>, mut listener: Option<TcpListener>) {
        while !self.stopping() {
            if self.mode() == Mode::Unreachable {
                listener = None;
            } else if listener.is_none() {
                listener = TcpListener::bind(self.address).ok();
            }
            let accepted = listener.as_ref().and_then(|listener| {
                let _ = listener.set_nonblocking(true);
                listener.accept().ok()
            });
            match accepted {
                Some((stream, _)) => self.clone().begin(stream),
                None => sleep(LOOK_EVERY),
            }
        }
    }

    fn begin(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_nodelay(true);
        if let Ok(copy) = stream.try_clone() {
            lock(&self.open).push(copy);
        }
        spawn(move || {
            // A client that goes away ends its connection's thread with an error; that is all there is to do about it.
            let _ = self.serve(stream);
        });
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = true;
        while let Some(request) = Request::read(&mut reader)? {
            self.connections.fetch_add(u64::from(first), Ordering::SeqCst);
            first = false;
            self.bytes.fetch_add(request.bytes, Ordering::SeqCst);
            lock(&self.requests).push(format!("{} {}", request.method, request.path));
            let mode = self.mode();
            while self.mode() == Mode::Hang && !self.stopping() {
                sleep(LOOK_EVERY);
            }
            let answer = match &mode {
                Mode::Redirect(place) => head("302 Found", &format!("Location: {place}{}\r\n", request.target()), &[]),
                Mode::Answer(status, body) => head(&format!("{status} As Told"), "", body.as_bytes()),
                _ if lock(&self.authorization).as_ref().is_some_and(|wanted| request.header("authorization") != wanted) => {
                    head("401 Unauthorized", "WWW-Authenticate: Basic realm=\"git\"\r\n", &[])
                }
                _ => self.backend(&request)?,
            };
            self.bytes.fetch_add(answer.len() as u64, Ordering::SeqCst);
            self.send(stream.try_clone()?, &answer, &mode)?;
        }
        Ok(())
    }

    fn send(&self, mut stream: TcpStream, answer: &[u8], mode: &Mode) -> io::Result<()> {
        let Mode::Drip(pause) = mode else { return stream.write_all(answer) };
        for byte in answer {
            if self.stopping() {
                break;
            }
            stream.write_all(&[*byte])?;
            sleep(*pause);
        }
        Ok(())
    }

    /// Runs `git http-backend` for a request and turns its CGI answer into an HTTP one.
    fn backend(&self, request: &Request) -> io::Result<Vec<u8>> {
        let mut command = Command::new("git");
        command.arg("http-backend").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/nonexistent").env("GIT_CONFIG_NOSYSTEM", "1");
        command
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REMOTE_USER", "tester")
            .env("REMOTE_ADDR", "127.0.0.1");
        let settings = [("safe.directory", "*"), ("http.receivepack", "true")];
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (number, (key, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        command.env("REQUEST_METHOD", &request.method).env("PATH_INFO", &request.path).env("QUERY_STRING", &request.query);
        command.env("CONTENT_TYPE", request.header("content-type")).env("CONTENT_LENGTH", request.body.len().to_string());
        for (name, header) in [("GIT_PROTOCOL", "git-protocol"), ("HTTP_CONTENT_ENCODING", "content-encoding")] {
            if !request.header(header).is_empty() {
                command.env(name, request.header(header));
            }
        }
        let mut backend = command.spawn()?;
        let mut stdin = backend.stdin.take().ok_or_else(|| io::Error::other("no stdin"))?;
        let body = request.body.clone();
        let feeding = spawn(move || {
            // The backend may answer without reading everything.
            let _ = stdin.write_all(&body);
        });
        let output = backend.wait_with_output()?.stdout;
        let _ = feeding.join();
        Ok(from_cgi(&output))
    }
}

fn from_cgi(output: &[u8]) -> Vec<u8> {
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(output.len());
    let headers = String::from_utf8_lossy(&output[..end]);
    let status = headers.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
    let kept: String = headers.lines().filter(|line| !line.starts_with("Status: ")).map(|line| format!("{line}\r\n")).collect();
    head(&status, &kept, output.get(end + 4..).unwrap_or_default())
}

fn head(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
    bytes: u64,
}

impl Request {
    /// `None` when the client closed the connection between two requests.
    fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        loop {
            let mut line = String::new();
            bytes += reader.by_ref().take(HEAD_MAX_BYTES).read_line(&mut line)? as u64;
            if line.is_empty() || bytes > HEAD_MAX_BYTES {
                return Ok(None);
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut words = lines.first().map(String::as_str).unwrap_or_default().split(' ');
        let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines
            .iter()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        let mut request =
            Request { method, path: path.to_owned(), query: query.to_owned(), headers: headers.collect(), body: Vec::new(), bytes };
        request.read_body(reader)?;
        request.bytes += request.body.len() as u64;
        Ok(Some(request))
    }

    fn read_body(&mut self, reader: &mut BufReader<TcpStream>) -> io::Result<()> {
        if self.header("expect").eq_ignore_ascii_case("100-continue") {
            reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if !self.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            let length = self.header("content-length").parse().unwrap_or(0);
            reader.by_ref().take(length).read_to_end(&mut self.body)?;
            return Ok(());
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let length = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            reader.by_ref().take(length).read_to_end(&mut self.body)?;
            reader.read_line(&mut line)?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(dir: &Path, args: &[&str]) -> bool {
        let mut command = Command::new("git");
        command.current_dir(dir).args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.version=2"]).args(args);
        command.stdout(Stdio::null()).stderr(Stdio::null()).env("GIT_TERMINAL_PROMPT", "0").status().unwrap().success()
    }

    #[test]
    fn it_serves_pushes_and_fails_on_demand() {
        let root = tempfile::tempdir().unwrap();
        assert!(git(root.path(), &["init", "-q", "--bare", "-b", "main", "config.git"]));
        let server = GitServer::start(root.path()).unwrap();
        let url = server.url("config.git");
        assert!(git(root.path(), &["clone", "-q", &url, "work"]));
        let work = root.path().join("work");
        assert!(git(&work, &["commit", "-q", "--allow-empty", "-m", "x"]) && git(&work, &["push", "-q", "origin", "HEAD:main"]));
        assert!(server.requests().iter().any(|request| request == "POST /config.git/git-receive-pack"));
        server.set_mode(Mode::Unreachable);
        assert!(!git(&work, &["fetch", "-q"]));
        server.set_mode(Mode::Normal);
        assert!(git(&work, &["fetch", "-q"]));
        server.require_authorization(Some("Basic eDp5"));
        assert!(!git(&work, &["fetch", "-q"]));
    }
}
