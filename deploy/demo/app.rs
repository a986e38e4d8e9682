//! A web service to deploy: what the quick start and the tests release, break and roll back.
//!
//! One file, nothing but the standard library, so that it builds without cargo and runs `FROM scratch`:
//! `rustc -O -C target-feature=+crt-static app.rs`. Commands:
//!
//! - `serve` (the default) answers on `PORT`; see the variables in [`Settings`].
//! - `healthcheck` asks `127.0.0.1:PORT/health`; exit code 0 when the answer is 200, otherwise 1.
//! - `exit CODE [AFTER_MS]` ends by itself: a job that succeeds or fails.
//!
//! Paths: `/` says the version, `/health` is 200 or 503, `/slow?ms=300` answers after a while.
//!
//! It is process 1 of its container, where a signal without a handler is ignored; so it has one, and finishes the
//! requests in hand before it ends.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::exit;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for the requests in hand after a signal.
const DRAIN_LIMIT: Duration = Duration::from_secs(8);
/// Longest time a client may keep a connection without asking anything.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Most bytes in the head of a request.
const HEAD_MAX_BYTES: u64 = 16 * 1024;
/// How long the health check waits for its answer.
const HEALTHCHECK_LIMIT: Duration = Duration::from_secs(2);

/// Requests that are being answered.
static IN_HAND: AtomicU32 = AtomicU32::new(0);
/// Where the signal handler writes: the descriptor of one end of a socket pair.
static SIGNAL_END: AtomicI32 = AtomicI32::new(-1);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        None | Some("serve") => serve(&Settings::from_environment()),
        Some("healthcheck") => exit(if is_healthy(port()) { 0 } else { 1 }),
        Some("exit") => {
            thread::sleep(Duration::from_millis(number(arguments.get(2)).unwrap_or(0)));
            println!("demo: ends with {}", arguments.get(1).map_or("0", String::as_str));
            exit(number(arguments.get(1)).unwrap_or(0) as i32)
        }
        Some(other) => {
            eprintln!("demo: unknown command {other:?}; there are serve, healthcheck and exit CODE [AFTER_MS]");
            exit(64)
        }
    }
}

/// What the environment says; the images set `VERSION` and `HEALTHY`, a stack may set the rest.
struct Settings {
    /// `VERSION`: what `/` answers.
    version: String,
    /// `HEALTHY`: `false` for a version that never gets healthy.
    healthy: bool,
    /// `START_DELAY_MS`: healthy only this long after the start.
    start_delay: Duration,
    /// `REQUEST_DELAY_MS`: how long `/` takes to answer.
    request_delay: Duration,
    /// When the program started.
    started: Instant,
}

impl Settings {
    fn from_environment() -> Settings {
        let millis = |name| Duration::from_millis(number(env::var(name).ok().as_ref()).unwrap_or(0));
        Settings {
            version: env::var("VERSION").unwrap_or_else(|_| "0".into()),
            healthy: env::var("HEALTHY").map_or(true, |value| value != "false"),
            start_delay: millis("START_DELAY_MS"),
            request_delay: millis("REQUEST_DELAY_MS"),
            started: Instant::now(),
        }
    }

    fn is_healthy_now(&self) -> bool {
        self.healthy && self.started.elapsed() >= self.start_delay
    }
}

fn port() -> u16 {
    env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080)
}

fn number(text: Option<&String>) -> Option<u64> {
    text.and_then(|text| text.parse().ok())
}

fn serve(settings: &Settings) {
    end_on_signals();
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port())).unwrap_or_else(|error| {
        eprintln!("demo: cannot listen on port {}: {error}", port());
        exit(1)
    });
    println!("demo: version {} listens on port {}", settings.version, port());
    if !settings.healthy {
        eprintln!("demo: version {} cannot reach its database and will never be healthy", settings.version);
    }
    thread::scope(|scope| {
        for connection in listener.incoming().flatten() {
            scope.spawn(move || {
                // A client that goes away is no news.
                let _gone = answer_all(connection, settings);
            });
        }
    });
}

/// Answers the requests of one connection until the client closes it.
fn answer_all(connection: TcpStream, settings: &Settings) -> io::Result<()> {
    connection.set_read_timeout(Some(IDLE_LIMIT))?;
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut writer = connection;
    while let Some(request) = read_request(&mut reader)? {
        let _in_hand = InHand::new();
        let (status, body) = answer(&request.path, settings);
        let connection = if request.close { "close" } else { "keep-alive" };
        let length = body.len();
        let text =
            format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n{body}");
        writer.write_all(text.as_bytes())?;
        if request.close {
            break;
        }
    }
    Ok(())
}

fn answer(path: &str, settings: &Settings) -> (&'static str, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    match path {
        "/health" if settings.is_healthy_now() => ("200 OK", "healthy\n".into()),
        "/health" => ("503 Service Unavailable", format!("version {} is not healthy\n", settings.version)),
        "/slow" => {
            let ms = query.strip_prefix("ms=").map(String::from);
            thread::sleep(Duration::from_millis(number(ms.as_ref()).unwrap_or(300).min(60_000)));
            ("200 OK", format!("{}\n", settings.version))
        }
        "/" => {
            thread::sleep(settings.request_delay);
            ("200 OK", format!("{}\n", settings.version))
        }
        _ => ("404 Not Found", "not here\n".into()),
    }
}

struct Request {
    path: String,
    close: bool,
}

/// Reads the head of a request; none: the client closed. Bodies are not read: nothing here takes one.
fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = reader.take(HEAD_MAX_BYTES);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let path = words.nth(1).unwrap_or("/").to_owned();
    let mut close = words.next() != Some("HTTP/1.1");
    loop {
        let mut header = String::new();
        if head.read_line(&mut header)? == 0 || header.trim().is_empty() {
            return Ok(Some(Request { path, close }));
        }
        close |= header.trim().eq_ignore_ascii_case("connection: close");
    }
}

/// Counts a request while it is answered.
struct InHand;

impl InHand {
    fn new() -> InHand {
        IN_HAND.fetch_add(1, Ordering::SeqCst);
        InHand
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        IN_HAND.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The `healthcheck` command.
fn is_healthy(port: u16) -> bool {
    let ask = || -> io::Result<String> {
        let mut connection = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), HEALTHCHECK_LIMIT)?;
        connection.set_read_timeout(Some(HEALTHCHECK_LIMIT))?;
        connection.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        connection.read_to_string(&mut text)?;
        Ok(text)
    };
    match ask() {
        Ok(text) => {
            println!("{}", text.lines().last().unwrap_or_default());
            text.starts_with("HTTP/1.1 200 ")
        }
        Err(error) => {
            println!("no answer on port {port}: {error}");
            false
        }
    }
}

/// `SIGINT` and `SIGTERM` on Linux.
const SIGNALS: [i32; 2] = [2, 15];

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn write(descriptor: i32, bytes: *const u8, count: usize) -> isize;
}

/// The only thing done here is a `write`, which may be called from a signal handler.
extern "C" fn on_signal(_number: i32) {
    // SAFETY: the pointer is to one valid byte, and `write` checks the descriptor.
    unsafe { write(SIGNAL_END.load(Ordering::SeqCst), [0_u8].as_ptr(), 1) };
}

/// Starts the thread that ends the program, and wakes it on a signal.
fn end_on_signals() {
    let Ok((mut wakes, signalled)) = UnixStream::pair() else { return };
    SIGNAL_END.store(signalled.as_raw_fd(), Ordering::SeqCst);
    for number in SIGNALS {
        // SAFETY: the handler only calls what a signal handler may call.
        unsafe { signal(number, on_signal) };
    }
    thread::spawn(move || {
        let _open = signalled;
        let _woken = wakes.read(&mut [0]);
        let asked = Instant::now();
        while IN_HAND.load(Ordering::SeqCst) > 0 && asked.elapsed() < DRAIN_LIMIT {
            thread::sleep(Duration::from_millis(5));
        }
        println!("demo: ends after a signal");
        exit(0)
    });
}
