//! The agent's settings: a TOML file, and `TIDEGATE_*` variables over it. Every error at once; unknown names are errors.
//!
//! [`TABLE`] is the one home of names, defaults and explanations: the reference page and the help are made from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_core::ids::{CommitId, HostName};

/// Where the file is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/tidegate/agent.toml";
/// Prefix of the variables.
pub const VARIABLE_PREFIX: &str = "TIDEGATE_";
/// Variables with that prefix that are not settings of the agent.
const OTHER_VARIABLES: [&str; 3] = ["TIDEGATE_CONFIG", "TIDEGATE_LOG", "TIDEGATE_LOG_FORMAT"];
/// Prefixes of variables that belong to other programs.
const OTHER_PREFIXES: [&str; 2] = ["TIDEGATE_BOT_", "TIDEGATE_TEST_"];
/// Fastest poll, in seconds.
pub const POLL_INTERVAL_MIN_SECS: f64 = 0.2;
/// Slowest poll, in seconds.
pub const POLL_INTERVAL_MAX_SECS: f64 = 86_400.0;
/// Largest settings file, in bytes.
pub const FILE_MAX_BYTES: u64 = 64 * 1024;

/// One setting, for reading it and for the reference.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Key in the file, with its table: `repo.url`.
    pub key: &'static str,
    /// Value used when it is not given; none: see `required`.
    pub default: Option<&'static str>,
    /// Must be given?
    pub required: bool,
    /// What it is, one sentence.
    pub about: &'static str,
}

const fn setting(key: &'static str, default: Option<&'static str>, about: &'static str) -> Setting {
    Setting { key, default, required: false, about }
}

const fn required(key: &'static str, about: &'static str) -> Setting {
    Setting { key, default: None, required: true, about }
}

/// Every setting.
pub const TABLE: [Setting; 20] = [
    required("host", "This host's name: its file in the config repo is `hosts/<host>.yaml`."),
    setting(
        "state_dir",
        Some("/var/lib/tidegate"),
        "Where the agent keeps its mirror, its small database and its keys. It never needs a backup.",
    ),
    setting("poll_interval_secs", Some("30"), "Seconds between two looks at the config repo (0.2 to 86400; spread by up to a tenth)."),
    setting("listen", Some("127.0.0.1:9180"), "Address of the local HTTP interface: health, status, metrics, wake."),
    setting("name_prefix", Some(""), "Put before each stack's name on the engine, so that two agents can share one."),
    required("repo.url", "The config repo: a path, `file://`, `https://` or `ssh://`."),
    setting("repo.branch", Some("main"), "The branch to follow."),
    setting("repo.ssh_key", None, "Path of the private key for `ssh://`; read-only access is enough."),
    setting("repo.ssh_host_key", None, "The server's public key (`ssh-ed25519 AAAA…`); needed with `ssh://`."),
    setting("repo.token_file", None, "Path of a file with the token for `https://`."),
    setting(
        "trust.commit",
        None,
        "The first commit that is followed, in full, where the config repo has a `trust.yaml`; `tidegate trust pin` prints it.",
    ),
    setting("trust.version", None, "The version of `trust.yaml` at that commit; needed with `trust.commit`."),
    setting("engine.socket", Some("/var/run/docker.sock"), "Socket of the container engine."),
    setting(
        "registry_credentials",
        None,
        "Path of a file with the logins of private registries, in the form of docker's `config.json` (`auths`). Read anew at each pull.",
    ),
    setting("bot.url", None, "Where to deliver events; without it, none are delivered."),
    setting("bot.audience", None, "The bot's name in signatures; the URL unless given. Must equal the bot's own `audience`."),
    setting("timeouts.stop_secs", Some("30"), "After SIGTERM, the step in hand gets this long, in seconds."),
    setting(
        "calendar.splay_secs",
        Some("30"),
        "After an opening, this host starts up to this many seconds later (0 to 3600), by its name: not all hosts start at once.",
    ),
    setting(
        "calendar.check_sync",
        Some("true"),
        "Are releases closed while the kernel says that nothing keeps the clock right? `false` where nothing ever does, as in some containers.",
    ),
    setting("status.heartbeat_secs", Some("60"), "The host's status is told at least this often, in seconds."),
];

/// Checked settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// This host.
    pub host: HostName,
    /// Where the agent keeps things.
    pub state_dir: PathBuf,
    /// Between two polls.
    pub poll_interval: Duration,
    /// The local HTTP interface.
    pub listen: SocketAddr,
    /// Before each stack's name on the engine.
    pub name_prefix: String,
    /// The config repo.
    pub repo: RepoSettings,
    /// Where trust begins, if the config repo has a signer policy.
    pub trust: Option<TrustPin>,
    /// Socket of the engine.
    pub engine_socket: PathBuf,
    /// Logins of private registries.
    pub registry_credentials: Option<PathBuf>,
    /// Where events go.
    pub bot: Option<BotSettings>,
    /// Deadline after SIGTERM.
    pub stop_deadline: Duration,
    /// Between two statuses when nothing changes.
    pub heartbeat: Duration,
    /// How hosts spread out after an opening.
    pub splay: Duration,
    /// Must the clock be synchronised for a release to start?
    pub check_sync: bool,
}

/// `[repo]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoSettings {
    /// Address.
    pub url: String,
    /// Branch.
    pub branch: String,
    /// Private key for ssh.
    pub ssh_key: Option<PathBuf>,
    /// The server's key for ssh.
    pub ssh_host_key: Option<String>,
    /// File with the token for https.
    pub token_file: Option<PathBuf>,
}

/// `[trust]`: known on the host and not taken from the branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPin {
    /// The first commit that is followed.
    pub commit: CommitId,
    /// The version of the signer policy there.
    pub version: u64,
}

/// `[bot]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotSettings {
    /// Base URL; events go to `<url>/events`.
    pub url: String,
    /// The bot's name in signatures.
    pub audience: String,
}

/// Why the settings cannot be used: everything that is wrong, not only the first.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("could not read the settings file {path}; give another one with --config, or create it with at least `host` and `repo.url`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is too large to be one.
    #[error("the settings file {path} is larger than {FILE_MAX_BYTES} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not TOML.
    #[error("the settings file {path} is not TOML")]
    Toml {
        /// The file.
        path: PathBuf,
        /// The cause, with line and column.
        source: Box<toml::de::Error>,
    },
    /// Values are wrong.
    #[error("the settings cannot be used:\n  {}", .0.join("\n  "))]
    Invalid(Vec<String>),
}

impl Settings {
    /// Reads the file (a missing one counts as empty when it is the default one) and lays the variables over it.
    pub fn load(path: Option<&Path>, variables: &BTreeMap<String, String>) -> Result<Settings, SettingsError> {
        let file = path.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match read(file) {
            Err(SettingsError::Read { source, .. }) if path.is_none() && source.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let table =
            text.parse::<toml::Table>().map_err(|source| SettingsError::Toml { path: file.to_owned(), source: Box::new(source) })?;
        Settings::from_parts(&table, variables)
    }

    /// From a parsed file and the variables.
    pub fn from_parts(file: &toml::Table, variables: &BTreeMap<String, String>) -> Result<Settings, SettingsError> {
        let mut values = Values::default();
        values.take_file(file);
        values.take_variables(variables);
        let settings = values.settings();
        match settings {
            Some(settings) if values.errors.is_empty() => Ok(settings),
            _ => Err(SettingsError::Invalid(values.errors)),
        }
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.state_dir.join("state.db")
    }

    /// The mirror of the config repo.
    pub fn mirror(&self) -> PathBuf {
        self.state_dir.join("mirror.git")
    }

    /// The key that signs events.
    pub fn events_key(&self) -> PathBuf {
        self.state_dir.join("events.key")
    }

    /// Held by whoever acts on the engine.
    pub fn lock_file(&self) -> PathBuf {
        self.state_dir.join("agent.lock")
    }

    /// What a local caller shows to be let in.
    pub fn control_token(&self) -> PathBuf {
        self.state_dir.join("control.token")
    }
}

fn read(path: &Path) -> Result<String, SettingsError> {
    let failed = |source| SettingsError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_MAX_BYTES {
        return Err(SettingsError::TooLarge { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// The variable of a setting: `repo.url` is `TIDEGATE_REPO_URL`.
pub fn variable(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

/// Values as text, with where each came from, and what is wrong so far.
#[derive(Default)]
struct Values {
    given: BTreeMap<&'static str, (String, String)>,
    errors: Vec<String>,
}

impl Values {
    fn take_file(&mut self, file: &toml::Table) {
        for (key, value) in file {
            match value {
                toml::Value::Table(inner) => inner.iter().for_each(|(sub, value)| self.take(&format!("{key}.{sub}"), value)),
                value => self.take(key, value),
            }
        }
    }

    fn take(&mut self, key: &str, value: &toml::Value) {
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(yes) => yes.to_string(),
            _ => return self.errors.push(format!("{key}: write one value, not a list or table")),
        };
        match TABLE.iter().find(|setting| setting.key == key) {
            Some(setting) => drop(self.given.insert(setting.key, (text, key.to_owned()))),
            None => self.errors.push(unknown(key, TABLE.iter().map(|s| s.key.to_owned()))),
        }
    }

    fn take_variables(&mut self, variables: &BTreeMap<String, String>) {
        let known: BTreeMap<String, &'static str> = TABLE.iter().map(|setting| (variable(setting.key), setting.key)).collect();
        let others = |name: &str| OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || OTHER_VARIABLES.contains(&name);
        for name in variables.keys().filter(|name| name.starts_with(VARIABLE_PREFIX)) {
            match known.get(name) {
                Some(key) => drop(self.given.insert(key, (variables[name].clone(), name.clone()))),
                None if others(name) => {}
                None => self.errors.push(unknown(name, known.keys().cloned())),
            }
        }
    }

    fn text(&mut self, key: &'static str) -> Option<String> {
        let setting = TABLE.iter().find(|setting| setting.key == key)?;
        let given = self.given.get(key).map(|(value, _)| value.clone()).or_else(|| setting.default.map(str::to_owned));
        if given.is_none() && setting.required {
            self.errors.push(format!("{key}: missing; set it in the file or as {}", variable(key)));
        }
        given
    }

    /// The value through a check; an error names the place the value came from.
    fn checked<T>(&mut self, key: &'static str, check: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(key)?;
        let from = self.given.get(key).map_or_else(|| key.to_owned(), |(_, from)| from.clone());
        check(&text).map_err(|why| self.errors.push(format!("{from}: {why}"))).ok()
    }

    fn settings(&mut self) -> Option<Settings> {
        // Every value is looked at before the first missing one ends it, so that every error is told at once.
        let host = self.checked("host", |text| HostName::try_from(text).map_err(|error| error.to_string()));
        let state_dir = self.checked("state_dir", absolute);
        let poll_interval = self.checked("poll_interval_secs", |text| seconds(text, POLL_INTERVAL_MIN_SECS, POLL_INTERVAL_MAX_SECS));
        let listen =
            self.checked("listen", |text| text.parse().map_err(|_| format!("`{text}` is not an address with port like 127.0.0.1:9180")));
        let name_prefix = self.checked("name_prefix", prefix);
        let repo = self.repo();
        let trust = self.trust();
        let engine_socket = self.checked("engine.socket", absolute);
        let registry_credentials = self.checked("registry_credentials", absolute);
        let bot = self.bot();
        let stop_deadline = self.checked("timeouts.stop_secs", |text| seconds(text, 1.0, 3_600.0));
        let heartbeat = self.checked("status.heartbeat_secs", |text| seconds(text, 1.0, 3_600.0));
        let splay = self.checked("calendar.splay_secs", |text| seconds(text, 0.0, 3_600.0));
        let check_sync =
            self.checked("calendar.check_sync", |text| text.parse().map_err(|_| format!("`{text}` is neither true nor false")));
        Some(Settings {
            host: host?,
            state_dir: state_dir?,
            poll_interval: poll_interval?,
            listen: listen?,
            name_prefix: name_prefix?,
            repo: repo?,
            trust,
            engine_socket: engine_socket?,
            registry_credentials,
            bot,
            stop_deadline: stop_deadline?,
            heartbeat: heartbeat?,
            splay: splay?,
            check_sync: check_sync?,
        })
    }

    fn repo(&mut self) -> Option<RepoSettings> {
        let url = self.checked("repo.url", url);
        let branch = self.checked("repo.branch", branch);
        let ssh_key = self.checked("repo.ssh_key", absolute);
        let token_file = self.checked("repo.token_file", absolute);
        let ssh_host_key = self.text("repo.ssh_host_key");
        if url.as_deref().is_some_and(|url| url.starts_with("ssh://")) {
            for (missing, key) in [(ssh_key.is_none(), "repo.ssh_key"), (ssh_host_key.is_none(), "repo.ssh_host_key")] {
                if missing && !self.given.contains_key(key) {
                    self.errors.push(format!("{key}: needed with an ssh:// repo; set it in the file or as {}", variable(key)));
                }
            }
        }
        Some(RepoSettings { url: url?, branch: branch?, ssh_key, ssh_host_key, token_file })
    }

    fn trust(&mut self) -> Option<TrustPin> {
        let commit = self.checked("trust.commit", |text| CommitId::try_from(text).map_err(|error| error.to_string()));
        let whole = |text: &str| text.parse().map_err(|_| format!("`{text}` is no version: a whole number from 1 up"));
        let version = self.checked("trust.version", whole);
        let (has_commit, has_version) = (self.given.contains_key("trust.commit"), self.given.contains_key("trust.version"));
        if has_commit != has_version {
            self.errors.push("trust.commit and trust.version are set together; `tidegate trust pin` prints both".to_owned());
        }
        Some(TrustPin { commit: commit?, version: version? })
    }

    fn bot(&mut self) -> Option<BotSettings> {
        let url = self.checked("bot.url", |text| match text.split_once("://") {
            Some(("http" | "https", rest)) if !rest.is_empty() => Ok(text.trim_end_matches('/').to_owned()),
            _ => Err(format!("`{text}` is not an http:// or https:// URL")),
        })?;
        let audience = self.text("bot.audience").unwrap_or_else(|| url.clone());
        Some(BotSettings { url, audience })
    }
}

fn unknown(name: &str, known: impl Iterator<Item = String>) -> String {
    let names: BTreeSet<String> = known.collect();
    format!("{name}: there is no such setting; known are {}", names.into_iter().collect::<Vec<_>>().join(", "))
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("`{text}` must be an absolute path")) }
}

fn seconds(text: &str, min: f64, max: f64) -> Result<Duration, String> {
    let value: Option<f64> = text.parse().ok();
    value
        .filter(|secs| (min..=max).contains(secs))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("`{text}` is not a number of seconds from {min} to {max}"))
}

/// Part of engine names: what is allowed at the start of a container name.
fn prefix(text: &str) -> Result<String, String> {
    let first = text.chars().next().is_none_or(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    if first && rest && text.len() <= 32 {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` must be at most 32 lower-case letters, digits, `-` or `_`, starting with a letter or digit"))
    }
}

fn url(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) if rest.split('/').next().is_some_and(|authority| authority.contains('@')) => {
            Err(format!("a {scheme}:// URL must not carry a password; use repo.token_file"))
        }
        Some(("file" | "http" | "https" | "ssh", rest)) if !rest.is_empty() => Ok(text.to_owned()),
        None if text.starts_with('/') => Ok(text.to_owned()),
        None if text.split_once(':').is_some_and(|(who, path)| who.contains('@') && !path.is_empty()) => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is not an absolute path, `user@host:path`, or a file://, https:// or ssh:// URL")),
    }
}

fn branch(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.');
    if !text.is_empty() && text.chars().all(good) && !text.contains("..") && !text.starts_with(['/', '-', '.']) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a branch name"))
    }
}

/// The reference page, as committed in `docs/reference/agent-settings.md`.
pub fn reference() -> String {
    let mut page = format!(
        "# Settings of the agent\n\nRead from `{DEFAULT_PATH}` (or `--config`), then from the environment, which wins. Unknown names are errors.\n\
         This page is made from the program's own table (`cargo test -p tidegate-agent settings`).\n\n\
         | key | variable | default | meaning |\n|---|---|---|---|\n"
    );
    for setting in &TABLE {
        let default = match setting.default {
            _ if setting.required => "(required)".to_owned(),
            None | Some("") => "(none)".to_owned(),
            Some(text) => format!("`{text}`"),
        };
        page.push_str(&format!("| `{}` | `{}` | {default} | {} |\n", setting.key, variable(setting.key), setting.about));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::from_parts(&file.parse().unwrap(), &variables).map_err(|error| error.to_string())
    }

    const SMALL: &str = "host = \"web-1\"\n[repo]\nurl = \"/srv/config.git\"\n";

    #[test]
    fn two_values_are_enough_and_the_rest_has_defaults() {
        let settings = load(SMALL, &[]).unwrap();
        assert_eq!(settings.host.as_str(), "web-1");
        assert_eq!(settings.poll_interval, Duration::from_secs(30));
        assert_eq!(settings.repo.branch, "main");
        assert_eq!(settings.bot, None);
    }

    #[test]
    fn variables_win_over_the_file() {
        let given = [("TIDEGATE_POLL_INTERVAL_SECS", "0.5"), ("TIDEGATE_BOT_LISTEN", "x"), ("TIDEGATE_LOG", "debug"), ("HOME", "/")];
        let settings = load(SMALL, &given).unwrap();
        assert_eq!(settings.poll_interval, Duration::from_millis(500));
        let bot = load(SMALL, &[("TIDEGATE_BOT_URL", "http://127.0.0.1:1")]).unwrap().bot.unwrap();
        assert_eq!(bot.url, "http://127.0.0.1:1");
    }

    #[test]
    fn the_audience_is_the_url_unless_given() {
        let with = |more: &str| load(&format!("{SMALL}[bot]\nurl = \"http://127.0.0.1:9190/\"\n{more}"), &[]).unwrap().bot.unwrap();
        assert_eq!(with("").audience, "http://127.0.0.1:9190");
        assert_eq!(with("audience = \"bot\"").audience, "bot");
    }

    #[test]
    fn every_error_is_told_at_once() {
        let file =
            "host = \"Web 1\"\npol_interval = 3\nlisten = \"here\"\nstate_dir = \"var\"\n[repo]\nurl = \"ftp://x\"\nbranch = \"-x\"\n";
        let errors = load(file, &[("TIDEGATE_REPO_URLS", "x"), ("TIDEGATE_POLL_INTERVAL_SECS", "0")]).unwrap_err();
        for part in ["host:", "pol_interval: there is no such setting", "listen:", "state_dir:", "repo.url:", "repo.branch:"] {
            assert!(errors.contains(part), "{part} in {errors}");
        }
        assert!(errors.contains("TIDEGATE_REPO_URLS: there is no such") && errors.contains("TIDEGATE_POLL_INTERVAL_SECS: `0`"), "{errors}");
        let errors = load("", &[]).unwrap_err();
        assert!(errors.contains("host: missing") && errors.contains("repo.url: missing"), "{errors}");
    }

    #[test]
    fn an_ssh_repo_needs_its_keys_and_passwords_stay_out_of_urls() {
        let errors = load("host = \"a\"\n[repo]\nurl = \"ssh://git@example.org/x.git\"\n", &[]).unwrap_err();
        assert!(errors.contains("repo.ssh_key: needed") && errors.contains("repo.ssh_host_key: needed"), "{errors}");
        let errors = load("host = \"a\"\n[repo]\nurl = \"https://me:hunter2@example.org/x.git\"\n", &[]).unwrap_err();
        assert!(errors.contains("token_file") && !errors.contains("hunter2"), "{errors}");
    }

    #[test]
    fn the_reference_page_is_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/agent-settings.md");
        if std::env::var_os("TIDEGATE_TEST_WRITE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, reference()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(committed, reference(), "run with TIDEGATE_TEST_WRITE=1 to write the page anew");
    }
}
