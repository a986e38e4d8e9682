//! The bot's settings: a TOML file, and `TIDEGATE_BOT_*` variables over it. Every error at once; unknown names are errors.
//!
//! [`TABLE`] is the one home of names, defaults and explanations: the reference page is made from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_git::{Credentials, RemoteSettings, SshCredentials};

/// Where the file is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/tidegate/bot.toml";
/// Prefix of the variables.
pub const VARIABLE_PREFIX: &str = "TIDEGATE_BOT_";
/// Variables with that prefix that are no settings of this table.
const OTHER_VARIABLES: [&str; 3] = ["TIDEGATE_BOT_CONFIG", "TIDEGATE_BOT_LOG", "TIDEGATE_BOT_LOG_FORMAT"];
/// Largest settings file, in bytes.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// One setting, for reading it and for the reference.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Key in the file, with its table: `repo.url`.
    pub key: &'static str,
    /// Value used when it is not given; none: there is none.
    pub default: Option<&'static str>,
    /// What it is, one sentence.
    pub about: &'static str,
}

const fn setting(key: &'static str, default: Option<&'static str>, about: &'static str) -> Setting {
    Setting { key, default, about }
}

/// Every setting.
pub const TABLE: [Setting; 18] = [
    setting("state_dir", Some("/var/lib/tidegate-bot"), "Where the bot keeps its mirror and its small database. It never needs a backup."),
    setting("listen", Some("127.0.0.1:9190"), "Address of the page, of the intake of events, of health and metrics."),
    setting(
        "audience",
        None,
        "The bot's name in the signatures of events; `http://<listen>` unless given. Must equal the agents' `bot.audience`.",
    ),
    setting("poll_interval_secs", Some("30"), "Seconds between two looks at the config repo (0.2 to 86400)."),
    setting("signing_key", None, "Path of the key that signs the bot's commits; made at `<state_dir>/signing.key` unless given."),
    setting(
        "page_hosts",
        Some(""),
        "Names under which browsers may reach the page, with commas between, beside addresses and `localhost`.",
    ),
    setting("stop_secs", Some("15"), "After SIGTERM, what is in hand gets this long, in seconds."),
    setting("repo.url", None, "The config repo, with the right to push: a path, `file://`, `https://` or `ssh://`. Required."),
    setting("repo.branch", Some("main"), "The branch to follow and to push to."),
    setting("repo.ssh_key", None, "Path of the private key for `ssh://`."),
    setting("repo.ssh_host_key", None, "The server's public key (`ssh-ed25519 AAAA…`); needed with `ssh://`."),
    setting("repo.token_file", None, "Path of a file with the token for `https://`."),
    setting(
        "registry_credentials",
        None,
        "Path of a file with the logins of private registries, in the form of docker's `config.json` (`auths`). Read anew at each question.",
    ),
    setting(
        "registry.insecure",
        Some(""),
        "Registries that are asked over plain HTTP, with commas between; loopback addresses always are.",
    ),
    setting(
        "discord.token_file",
        None,
        "Path of a file with the bot's token. With it the bot speaks on Discord, in the rooms that `chat.discord` of `tidegate.yaml` names.",
    ),
    setting("discord.api_base", Some("https://discord.com"), "Where Discord is: a proxy that speaks for it, or a server to test with."),
    setting("discord.ca_file", None, "Path of an authority in PEM that is trusted beside the public ones, for a proxy of one's own."),
    setting(
        "local.enabled",
        Some("false"),
        "Turns on the chat console of the page. Anybody who reaches the page can speak for anybody there: for trying things out.",
    ),
];

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the bot keeps things.
    pub state_dir: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its name in signatures.
    pub audience: String,
    /// Between two polls.
    pub poll_interval: Duration,
    /// The key that signs commits.
    pub signing_key: PathBuf,
    /// Names of the page.
    pub page_hosts: Vec<String>,
    /// Deadline after SIGTERM.
    pub stop_deadline: Duration,
    /// The config repo.
    pub remote: RemoteSettings,
    /// Registries spoken to over plain HTTP.
    pub insecure_registries: Vec<String>,
    /// Logins of private registries.
    pub registry_credentials: Option<PathBuf>,
    /// The chat console.
    pub local: crate::show::Console,
    /// Discord; none: the bot does not speak there.
    pub discord: Option<DiscordSettings>,
}

/// How the bot gets to Discord.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscordSettings {
    /// The file with the token.
    pub token_file: PathBuf,
    /// Where Discord is.
    pub api_base: String,
    /// An authority beside the public ones.
    pub ca_file: Option<PathBuf>,
}

/// Why the settings cannot be used: everything that is wrong, not only the first.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("could not read the settings file {path}; give another one with --config, or create it with at least `repo.url`")]
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
        let table = text.parse().map_err(|source| SettingsError::Toml { path: file.to_owned(), source: Box::new(source) })?;
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
        self.state_dir.join("bot.db")
    }

    /// The mirror of the config repo.
    pub fn mirror(&self) -> PathBuf {
        self.state_dir.join("mirror.git")
    }

    /// Held by the one bot that uses the state folder.
    pub fn lock_file(&self) -> PathBuf {
        self.state_dir.join("bot.lock")
    }
}

fn read(path: &Path) -> Result<String, SettingsError> {
    let failed = |source| SettingsError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_MAX_BYTES {
        return Err(SettingsError::TooLarge { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// The variable of a setting: `repo.url` is `TIDEGATE_BOT_REPO_URL`.
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
        let Some(text) = text_of(value) else {
            return self.errors.push(format!("{key}: write one value, or a list of texts"));
        };
        match TABLE.iter().find(|setting| setting.key == key) {
            Some(setting) => drop(self.given.insert(setting.key, (text, key.to_owned()))),
            None => self.errors.push(unknown(key, TABLE.iter().map(|setting| setting.key.to_owned()))),
        }
    }

    fn take_variables(&mut self, variables: &BTreeMap<String, String>) {
        let known: BTreeMap<String, &'static str> = TABLE.iter().map(|setting| (variable(setting.key), setting.key)).collect();
        for (name, value) in variables.iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)) {
            match known.get(name) {
                Some(key) => drop(self.given.insert(key, (value.clone(), name.clone()))),
                None if OTHER_VARIABLES.contains(&name.as_str()) => {}
                None => self.errors.push(unknown(name, known.keys().cloned())),
            }
        }
    }

    fn text(&self, key: &'static str) -> Option<String> {
        let default = TABLE.iter().find(|setting| setting.key == key).and_then(|setting| setting.default);
        self.given.get(key).map(|(value, _)| value.clone()).or_else(|| default.map(str::to_owned))
    }

    /// The value through a check; an error names the place the value came from.
    fn checked<T>(&mut self, key: &'static str, check: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(key)?;
        let from = self.given.get(key).map_or_else(|| key.to_owned(), |(_, from)| from.clone());
        check(&text).map_err(|why| self.errors.push(format!("{from}: {why}"))).ok()
    }

    fn settings(&mut self) -> Option<Settings> {
        // Every value is looked at before the first missing one ends it, so that every error is told at once.
        let state_dir = self.checked("state_dir", absolute);
        let listen: Option<SocketAddr> =
            self.checked("listen", |text| text.parse().map_err(|_| format!("`{text}` is no address with port like 127.0.0.1:9190")));
        let poll_interval = self.checked("poll_interval_secs", |text| seconds(text, 0.2, 86_400.0));
        let signing_key = self.checked("signing_key", absolute);
        let stop_deadline = self.checked("stop_secs", |text| seconds(text, 1.0, 600.0));
        let remote = self.remote();
        let local = self.checked("local.enabled", |text| match text {
            "true" => Ok(crate::show::Console::On),
            "false" => Ok(crate::show::Console::Off),
            _ => Err(format!("`{text}` is neither true nor false")),
        });
        let discord = self.discord();
        let registry_credentials = self.checked("registry_credentials", absolute);
        let page_hosts = list(&self.text("page_hosts").unwrap_or_default());
        let insecure_registries = list(&self.text("registry.insecure").unwrap_or_default());
        let (state_dir, listen) = (state_dir?, listen?);
        Some(Settings {
            audience: self.text("audience").unwrap_or_else(|| format!("http://{listen}")),
            poll_interval: poll_interval?,
            signing_key: signing_key.unwrap_or_else(|| state_dir.join("signing.key")),
            page_hosts,
            stop_deadline: stop_deadline?,
            remote: remote?,
            insecure_registries,
            registry_credentials,
            local: local?,
            discord: discord?,
            state_dir,
            listen,
        })
    }

    /// None: something is wrong, and told. `Some(None)`: no Discord.
    #[expect(clippy::option_option, reason = "wrong and absent are two things, as for every setting here")]
    fn discord(&mut self) -> Option<Option<DiscordSettings>> {
        let api_base = self.checked("discord.api_base", base);
        let is_given = self.text("discord.token_file").is_some();
        let token_file = self.checked("discord.token_file", absolute);
        let wants_ca = self.text("discord.ca_file").is_some();
        let ca_file = self.checked("discord.ca_file", absolute);
        if !is_given {
            return Some(None);
        }
        let settings = DiscordSettings { token_file: token_file?, api_base: api_base?, ca_file };
        (settings.ca_file.is_some() || !wants_ca).then_some(Some(settings))
    }

    fn remote(&mut self) -> Option<RemoteSettings> {
        let ssh_key = self.checked("repo.ssh_key", absolute);
        let token_file = self.checked("repo.token_file", absolute);
        let host_key = self.text("repo.ssh_host_key");
        let branch = self.text("repo.branch")?;
        let Some(url) = self.text("repo.url") else {
            self.errors.push(format!("repo.url: missing; set it in the file or as {}", variable("repo.url")));
            return None;
        };
        let credentials = match (ssh_key, host_key, token_file) {
            (Some(key_file), Some(host_key), _) => Credentials::Ssh(SshCredentials { key_file, host_key }),
            (_, _, Some(token)) => Credentials::TokenFile(token),
            _ => Credentials::Nothing,
        };
        let remote = RemoteSettings::new(url, branch).with_credentials(credentials);
        remote.check().map_err(|error| self.errors.push(error.to_string())).ok()?;
        Some(remote)
    }
}

fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        toml::Value::Array(list) => {
            list.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>().map(|l| l.join(","))
        }
        _ => None,
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn unknown(name: &str, known: impl Iterator<Item = String>) -> String {
    let names: BTreeSet<String> = known.collect();
    format!("{name}: there is no such setting; known are {}", names.into_iter().collect::<Vec<_>>().join(", "))
}

/// The token goes there with every request: in the clear only to this machine itself.
fn base(text: &str) -> Result<String, String> {
    let url = text.trim_end_matches('/');
    let host = |rest: &str| rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
    let fine = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => !host(rest).is_empty() && !host(rest).contains('@'),
        (_, Some(rest)) => {
            let host = host(rest);
            let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
            name == "localhost" || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        _ => false,
    };
    if fine { Ok(url.to_owned()) } else { Err(format!("`{text}` must be an https:// address; http:// only for this machine itself")) }
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

/// The reference page, as committed in `docs/reference/bot-settings.md`.
pub fn reference() -> String {
    let mut page = format!(
        "# Settings of the bot\n\nRead from `{DEFAULT_PATH}` (or `--config`), then from the environment, which wins. Unknown names are errors.\n\
         This page is made from the program's own table (`cargo test -p tidegate-bot settings`).\n\n\
         | key | variable | default | meaning |\n|---|---|---|---|\n"
    );
    for setting in &TABLE {
        let default = match setting.default {
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

    #[test]
    fn a_repo_is_enough_and_variables_win() {
        let settings =
            load("[repo]\nurl = \"/srv/config.git\"", &[("TIDEGATE_BOT_LISTEN", "127.0.0.1:1"), ("TIDEGATE_HOST", "x")]).unwrap();
        assert_eq!(settings.audience, "http://127.0.0.1:1");
        assert_eq!(settings.signing_key, Path::new("/var/lib/tidegate-bot/signing.key"));
        assert_eq!(settings.local, crate::show::Console::Off);
        let settings = load("poll_interval_secs = 0.5\n[repo]\nurl = \"/a\"\n[registry]\ninsecure = [\"a:1\", \"b\"]", &[]).unwrap();
        assert_eq!(settings.poll_interval, Duration::from_millis(500));
        assert_eq!(settings.insecure_registries, ["a:1", "b"]);
    }

    #[test]
    fn every_error_is_told_at_once_with_its_place() {
        let words = load("state_dir = \"x\"\npol_interval = 1\n[local]\nenabled = \"perhaps\"", &[("TIDEGATE_BOT_STOP_SECS", "never")])
            .unwrap_err();
        for expected in [
            "state_dir: `x` must be",
            "pol_interval: there is no such",
            "local.enabled: `perhaps`",
            "TIDEGATE_BOT_STOP_SECS: `never`",
            "repo.url: missing",
        ] {
            assert!(words.contains(expected), "{expected}\n{words}");
        }
    }

    #[test]
    fn the_token_goes_nowhere_in_the_clear() {
        let with =
            |base: &str| load("[repo]\nurl = \"/a\"\n[discord]\ntoken_file = \"/etc/token\"", &[("TIDEGATE_BOT_DISCORD_API_BASE", base)]);
        assert_eq!(with("http://127.0.0.1:8080/").unwrap().discord.unwrap().api_base, "http://127.0.0.1:8080");
        assert!(with("https://proxy.example:8443").is_ok() && with("http://[::1]:9").is_ok() && with("http://localhost:9").is_ok());
        for bad in ["http://discord.com", "http://127.0.0.1.evil.example", "http://10.0.0.1", "https://a@b", "discord.com"] {
            assert!(with(bad).is_err(), "{bad}");
        }
        assert!(load("[repo]\nurl = \"/a\"", &[]).unwrap().discord.is_none());
    }

    #[test]
    fn the_reference_page_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/bot-settings.md");
        if std::env::var_os("TIDEGATE_TEST_WRITE_DOCS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), reference(), "write it with TIDEGATE_TEST_WRITE_DOCS=1");
    }
}
