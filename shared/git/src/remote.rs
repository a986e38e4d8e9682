//! Where the config repo is and how to get in: addresses, credentials and limits, checked once.

use crate::error::GitError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest token file, in bytes.
const TOKEN_FILE_MAX_BYTES: u64 = 16 * 1024;

/// Where SSH servers listen unless told otherwise.
const SSH_PORT: u16 = 22;

/// A text that cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How to get in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Anonymous, or a path on this machine.
    #[default]
    Nothing,
    /// A file with a forge's token for http(s), read again at each use so that it can be replaced at any time. Forms:
    /// `TOKEN` (sent as the password of `x-access-token`), `user:TOKEN`, or `Bearer TOKEN`.
    TokenFile(PathBuf),
    /// An SSH key and the server's pinned key.
    Ssh(SshCredentials),
}

/// An SSH key and the server's pinned key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshCredentials {
    /// File with the private key in OpenSSH form, without passphrase.
    pub key_file: PathBuf,
    /// The server's key: `ssh-ed25519 AAAA…` as `ssh-keyscan` prints it, or `SHA256:…` as `ssh-keygen -l` does.
    pub host_key: String,
}

/// What does the talking with network remotes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TransferProgram {
    /// This program again, if its `main` calls [`crate::child::run_if_asked`]; else, this process (tests).
    #[default]
    ThisProgram,
    /// Another program that calls [`crate::child::run_if_asked`].
    At(PathBuf),
}

/// Bounds on what a remote can cost us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Longest time to ask for the tip.
    pub poll_deadline: Duration,
    /// Longest time for one fetch or push.
    pub transfer_deadline: Duration,
    /// Longest time for work on the local mirror.
    pub local_deadline: Duration,
    /// Most bytes of one fetch, as received.
    pub received_max_bytes: u64,
    /// Most objects of one fetch.
    pub received_max_objects: u64,
    /// Largest object (inflated) that is taken in.
    pub object_max_bytes: u64,
    /// Address space of the transfer process.
    pub memory_max_bytes: u64,
    /// CPU time of the transfer process.
    pub cpu_max_secs: u64,
    /// How many packs the mirror may hold before they are joined.
    pub packs_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        const MIB: u64 = 1024 * 1024;
        Limits {
            poll_deadline: Duration::from_secs(15),
            transfer_deadline: Duration::from_secs(300),
            local_deadline: Duration::from_secs(120),
            received_max_bytes: 512 * MIB,
            received_max_objects: 5_000_000,
            object_max_bytes: 64 * MIB,
            memory_max_bytes: 512 * MIB,
            cpu_max_secs: 120,
            packs_max: 50,
        }
    }
}

/// A remote: address, branch, credentials, limits.
#[derive(Debug, Clone)]
pub struct RemoteSettings {
    /// A path, `file://…`, `http(s)://…`, `ssh://user@host[:port]/path` or `user@host:path`.
    pub url: String,
    /// The branch that is followed and pushed to.
    pub branch: String,
    /// How to get in.
    pub credentials: Credentials,
    /// What a remote can cost us.
    pub limits: Limits,
    /// What does the talking with network remotes.
    pub program: TransferProgram,
}

impl RemoteSettings {
    /// A remote without credentials, with the usual limits.
    pub fn new(url: impl Into<String>, branch: impl Into<String>) -> RemoteSettings {
        RemoteSettings {
            url: url.into(),
            branch: branch.into(),
            credentials: Credentials::default(),
            limits: Limits::default(),
            program: TransferProgram::default(),
        }
    }

    /// The same with credentials.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials) -> RemoteSettings {
        RemoteSettings { credentials, ..self }
    }

    /// Checks the settings without touching the network or the disk.
    pub fn check(&self) -> Result<(), GitError> {
        Remote::parse(self).map(|_| ())
    }
}

/// The kinds of address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A repository on this machine, read in process.
    Local(PathBuf),
    /// `http://` or `https://`, without user.
    Http(String),
    /// `ssh://user@host[:port]/path`.
    Ssh { url: String, host: String, port: u16 },
}

/// Settings after checks.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub address: Address,
    pub branch: String,
    pub credentials: Credentials,
    /// A password given in the URL.
    pub login: Option<Login>,
    pub limits: Limits,
    pub program: TransferProgram,
}

/// What is shown to an http server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Login {
    Basic { user: String, password: Secret },
    Bearer(Secret),
}

impl Remote {
    pub fn parse(settings: &RemoteSettings) -> Result<Remote, GitError> {
        let (address, login) = parse_address(&settings.url)?;
        check_branch(&settings.branch)?;
        check_credentials(&address, &settings.credentials, login.is_some())?;
        Ok(Remote {
            address,
            branch: settings.branch.clone(),
            credentials: settings.credentials.clone(),
            login,
            limits: settings.limits,
            program: settings.program.clone(),
        })
    }

    /// The address as people may see it.
    pub fn shown(&self) -> String {
        match &self.address {
            Address::Local(path) => path.display().to_string(),
            Address::Http(url) | Address::Ssh { url, .. } => url.clone(),
        }
    }

    /// The full name of the branch.
    pub fn branch_ref(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// Reads the token file or takes what the URL held.
    pub fn login(&self) -> Result<Option<Login>, GitError> {
        match &self.credentials {
            Credentials::TokenFile(path) => read_token(path).map(Some),
            _ => Ok(self.login.clone()),
        }
    }

    pub fn no_branch(&self) -> GitError {
        GitError::NoBranch { url: self.shown(), branch: self.branch.clone() }
    }

    pub fn away(&self, doing: &'static str, reason: &str) -> GitError {
        GitError::Away { doing, url: self.shown(), reason: crate::error::foreign(reason) }
    }
}

fn bad(setting: &'static str, reason: impl Into<String>, hint: &'static str) -> GitError {
    GitError::Setting { setting, reason: reason.into(), hint }
}

const URL_FORMS: &str = "use an absolute path, file://, https://, http:// or ssh://user@host/path";

fn parse_address(url: &str) -> Result<(Address, Option<Login>), GitError> {
    if url.is_empty() || url.chars().any(|c| c.is_control() || c == ' ') {
        return Err(bad("repo.url", "it is empty or holds spaces or control characters", URL_FORMS));
    }
    if let Some(path) = url.strip_prefix("file://") {
        return local(path.strip_prefix("localhost").unwrap_or(path));
    }
    match url.split_once("://") {
        Some(("http" | "https", _)) => http(url),
        Some(("ssh", rest)) => ssh(rest),
        Some((scheme, _)) => {
            Err(bad("repo.url", format!("`{}` is not a scheme that is spoken here", crate::error::foreign(scheme)), URL_FORMS))
        }
        None if url.starts_with('/') => local(url),
        None => scp_like(url),
    }
}

fn local(path: &str) -> Result<(Address, Option<Login>), GitError> {
    if path.starts_with('/') {
        Ok((Address::Local(PathBuf::from(path)), None))
    } else {
        Err(bad("repo.url", "the path is not absolute", URL_FORMS))
    }
}

/// `user@host:path`, as git writes it.
fn scp_like(url: &str) -> Result<(Address, Option<Login>), GitError> {
    match url.split_once(':') {
        Some((place, path)) if place.contains('@') && !place.contains('/') && !path.is_empty() => {
            ssh(&format!("{place}/{}", path.strip_prefix('/').unwrap_or(path)))
        }
        _ => Err(bad("repo.url", "it is neither an absolute path nor an address", URL_FORMS)),
    }
}

/// Splits `user:password@rest`; the part before the last `@` of the authority.
fn split_user(rest: &str) -> (Option<&str>, &str) {
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    }
}

fn http(url: &str) -> Result<(Address, Option<Login>), GitError> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (user, place) = split_user(rest);
    if place.is_empty() || place.starts_with('/') || place.contains(['?', '#']) {
        return Err(bad("repo.url", "it names no host, or has a query", URL_FORMS));
    }
    let login = user.map(|user| match user.split_once(':') {
        Some((user, password)) => Login::Basic { user: user.into(), password: Secret::new(password) },
        None => Login::Basic { user: "x-access-token".into(), password: Secret::new(user) },
    });
    Ok((Address::Http(format!("{scheme}://{}", place.trim_end_matches('/'))), login))
}

fn ssh(rest: &str) -> Result<(Address, Option<Login>), GitError> {
    let (user, place) = split_user(rest);
    let user = user.unwrap_or("git");
    if user.contains(':') {
        return Err(bad("repo.url", "it holds a password", "SSH uses a key: set repo.ssh_key"));
    }
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    let port_at = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let (host, port) = match port_at {
        Some(at) => (&authority[..at], authority[at + 1..].parse().map_err(|_| bad("repo.url", "the port is no number", URL_FORMS))?),
        None => (authority, SSH_PORT),
    };
    let odd = |text: &str| text.is_empty() || text.starts_with('-') || text.contains(['\'', '"', '\\', '`', '$', '!']);
    if odd(host) || odd(user) || odd(path) {
        return Err(bad("repo.url", "user, host or path is missing or holds characters that a shell would read", URL_FORMS));
    }
    let url = format!("ssh://{user}@{host}:{port}/{path}");
    Ok((Address::Ssh { url, host: host.into(), port }, None))
}

fn check_branch(branch: &str) -> Result<(), GitError> {
    if git2::Reference::is_valid_name(&format!("refs/heads/{branch}")) && !branch.contains('*') {
        Ok(())
    } else {
        Err(bad("repo.branch", format!("`{}` is not a branch name", crate::error::foreign(branch)), "use a plain name such as main"))
    }
}

fn check_credentials(address: &Address, credentials: &Credentials, in_url: bool) -> Result<(), GitError> {
    match (address, credentials) {
        (Address::Ssh { .. }, Credentials::Ssh(ssh)) => crate::hostkey::HostKey::parse(&ssh.host_key).map(|_| ()),
        (Address::Ssh { .. }, _) => Err(bad(
            "repo.ssh_key",
            "an ssh:// address needs a key and the server's pinned key",
            "set repo.ssh_key to the key file and repo.ssh_host_key to the line that `ssh-keyscan -t ed25519 HOST` prints, after checking it",
        )),
        (_, Credentials::Ssh(_)) => Err(bad("repo.ssh_key", "the address is not ssh://", "remove it, or use an ssh:// address")),
        (Address::Local(_), Credentials::TokenFile(_)) => Err(bad("repo.token_file", "the address is a path", "remove it")),
        (Address::Http(_), Credentials::TokenFile(_)) if in_url => {
            Err(bad("repo.token_file", "the address holds a password already", "keep the token file and take the password out of repo.url"))
        }
        (Address::Http(url), credentials) if (in_url || *credentials != Credentials::Nothing) && !is_private(url) => {
            Err(bad("repo.url", "a token would travel unencrypted", "use https://"))
        }
        _ => Ok(()),
    }
}

/// Is what we send to this http(s) address out of others' sight: https, or this machine?
fn is_private(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return true };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.strip_prefix('[').map_or_else(|| authority.split(':').next(), |v6| v6.split(']').next()).unwrap_or_default();
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn read_token(path: &Path) -> Result<Login, GitError> {
    let hint = "put the token alone into the file, readable by this program only";
    let fail = |reason: String| bad("repo.token_file", format!("{}: {reason}", path.display()), hint);
    let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if size > TOKEN_FILE_MAX_BYTES {
        return Err(fail(format!("it has {size} bytes, more than {TOKEN_FILE_MAX_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || token.chars().any(char::is_control) {
        return Err(fail("it is empty or has several lines".into()));
    }
    Ok(match (token.strip_prefix("Bearer "), token.split_once(':')) {
        (Some(bearer), _) => Login::Bearer(Secret::new(bearer.trim())),
        (None, Some((user, password))) => Login::Basic { user: user.into(), password: Secret::new(password) },
        (None, None) => Login::Basic { user: "x-access-token".into(), password: Secret::new(token) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Remote, GitError> {
        Remote::parse(&RemoteSettings::new(url, "main"))
    }

    fn ssh_settings(url: &str) -> RemoteSettings {
        let pinned = "SHA256:uNiVztksCsDhcc0u9e8BrwQXVUpKZIDTMczCvj3tD2s".to_owned();
        RemoteSettings::new(url, "main").with_credentials(Credentials::Ssh(SshCredentials { key_file: "/k".into(), host_key: pinned }))
    }

    #[test]
    fn addresses_are_told_apart() {
        assert_eq!(parse("/srv/config.git").unwrap().address, Address::Local("/srv/config.git".into()));
        assert_eq!(parse("file:///srv/config.git").unwrap().address, Address::Local("/srv/config.git".into()));
        assert_eq!(parse("https://forge.example/a/b.git/").unwrap().address, Address::Http("https://forge.example/a/b.git".into()));
        for url in ["git@forge.example:a/b.git", "ssh://git@forge.example/a/b.git"] {
            assert_eq!(Remote::parse(&ssh_settings(url)).unwrap().shown(), "ssh://git@forge.example:22/a/b.git");
        }
        for bad in
            ["", "config.git", "ftp://x/y", "git://x/y", "ext::sh -c x", "https:///x", "file://other/x", "ssh://-oProxy/x", "ssh://h/a'b"]
        {
            let refused = Remote::parse(&ssh_settings(bad)).is_err() && parse(bad).is_err();
            assert!(refused, "{bad}");
        }
    }

    #[test]
    fn a_password_in_the_address_is_never_shown() {
        let settings = RemoteSettings::new("https://bob:hunter2@forge.example/a.git", "main");
        let remote = Remote::parse(&settings).unwrap();
        assert_eq!(remote.shown(), "https://forge.example/a.git");
        assert!(!format!("{remote:?} {}", remote.away("reading", "x")).contains("hunter2"));
    }

    #[test]
    fn tokens_do_not_travel_in_the_clear() {
        let with_token = |url: &str| RemoteSettings::new(url, "main").with_credentials(Credentials::TokenFile("/t".into())).check();
        assert!(with_token("http://forge.example/a.git").is_err());
        assert!(parse("http://u:p@forge.example/a.git").is_err());
        for fine in ["https://forge.example/a.git", "http://127.0.0.1:3000/a.git", "http://[::1]:3000/a.git", "http://localhost/a.git"] {
            assert!(with_token(fine).is_ok(), "{fine}");
        }
    }

    #[test]
    fn ssh_without_a_pinned_key_is_refused() {
        assert!(parse("ssh://git@forge.example/a.git").unwrap_err().to_string().contains("ssh_host_key"));
    }

    #[test]
    fn token_files_take_the_forms_that_forges_hand_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_token(&path)
        };
        assert_eq!(read("abc\n").unwrap(), Login::Basic { user: "x-access-token".into(), password: Secret::new("abc") });
        assert_eq!(read("bob:abc").unwrap(), Login::Basic { user: "bob".into(), password: Secret::new("abc") });
        assert_eq!(read("Bearer abc").unwrap(), Login::Bearer(Secret::new("abc")));
        assert!(read("").is_err());
        assert!(read("a\nb").is_err());
    }
}
