//! The files of the demo: a small but complete config repo, and the settings of three programs.

use crate::cli::schema;
use std::path::{Path, PathBuf};
use tidegate_core::files::RepoFiles;
use tidegate_core::ids::InvalidId;

/// The hosts of the demo: two agents on one machine.
pub(super) const STAGING_HOST: &str = "demo-staging";
pub(super) const PRODUCTION_HOST: &str = "demo-production";

/// Ports on 127.0.0.1.
pub(super) struct Addresses {
    pub(super) staging_web: u16,
    pub(super) production_web: u16,
    pub(super) staging_agent: u16,
    pub(super) production_agent: u16,
    pub(super) bot: u16,
}

/// Public keys.
pub(super) struct Keys {
    pub(super) staging: String,
    pub(super) production: String,
    pub(super) bot: String,
}

/// The config repo.
pub(super) fn repo(addresses: &Addresses, keys: &Keys) -> Result<RepoFiles, InvalidId> {
    let mut files = RepoFiles::default();
    for (path, text) in [
        ("tidegate.yaml", settings_yaml(&keys.bot)),
        ("environments/staging.yaml", STAGING.to_owned()),
        ("environments/production.yaml", PRODUCTION.to_owned()),
        ("hosts/demo-staging.yaml", host("staging", &keys.staging)),
        ("hosts/demo-production.yaml", host("production", &keys.production)),
        ("stacks/shop/compose.yaml", SHOP.to_owned()),
        ("stacks/shop/.env.staging", format!("WEB_PORT={}\n", addresses.staging_web)),
        ("stacks/shop/.env.production", format!("WEB_PORT={}\n", addresses.production_web)),
        ("stacks/shop/.env", "# `docker compose up` on a laptop\nWEB_PORT=8080\n".to_owned()),
    ] {
        files.insert_text(path.parse()?, &schema::headed(path, &text));
    }
    for (path, text) in schema::files() {
        files.insert_text(path.parse()?, &text);
    }
    Ok(files)
}

fn settings_yaml(bot_key: &str) -> String {
    format!(
        "schema: 1
environments: [staging, production] # in the order of promotion
people:
  alice: {{ name: Alice Example, email: alice@example.org, roles: [engineer], chat: {{ local: alice }} }}
  bob: {{ name: Bob Example, email: bob@example.org, roles: [engineer], chat: {{ local: bob }} }}
bot: {{ name: tidegate-bot, email: bot@example.org, keys: [\"{bot_key}\"] }}
"
    )
}

const STAGING: &str = "schema: 1
stacks:
  shop: { hosts: {} }
windows: always
approvals: none # every merge goes out
";

const PRODUCTION: &str = "schema: 1
stacks:
  shop: { hosts: {} }
windows: always
approvals: { count: 1, roles: [engineer] }
";

fn host(environment: &str, key: &str) -> String {
    format!("schema: 1\nenvironment: {environment}\nlabels: {{ role: web }}\nkeys: {{ events: \"{key}\" }}\n")
}

const SHOP: &str = r#"# A shop of two services. Its version is the one line below.
x-app: &app
  image: tidegate-demo/app:1
  pull_policy: never
  restart: unless-stopped
  stop_grace_period: 5s
  healthcheck:
    test: ["CMD", "/app", "healthcheck"]
    interval: 1s
    timeout: 2s
    retries: 3

services:
  web:
    <<: *app
    ports: ["127.0.0.1:${WEB_PORT:?set it in .env}:8080"]
    depends_on:
      api: { condition: service_healthy }
  api:
    <<: *app
"#;

/// Where a program of the demo keeps things.
pub(super) fn state(folder: &Path, name: &str) -> PathBuf {
    folder.join("state").join(name)
}

/// The settings files by name.
pub(super) fn settings(folder: &Path, addresses: &Addresses) -> [(&'static str, String); 3] {
    let agent = |name: &str, host: &str, prefix: &str, port: u16| {
        format!(
            "host = {host:?}\nstate_dir = {state:?}\npoll_interval_secs = 0.5\nlisten = \"127.0.0.1:{port}\"\nname_prefix = {prefix:?}\n\n\
             [calendar]\nsplay_secs = 0\ncheck_sync = false\n\n\
             [repo]\nurl = {repo:?}\n\n[bot]\nurl = \"http://127.0.0.1:{bot}\"\naudience = \"demo\"\n",
            state = state(folder, name).display().to_string(),
            repo = folder.join("config.git").display().to_string(),
            bot = addresses.bot,
        )
    };
    let bot = format!(
        "state_dir = {state:?}\nlisten = \"127.0.0.1:{port}\"\naudience = \"demo\"\npoll_interval_secs = 0.5\nsigning_key = {key:?}\n\n\
         [repo]\nurl = {repo:?}\n\n[local]\nenabled = true\n",
        state = state(folder, "bot").display().to_string(),
        key = state(folder, "bot").join("signing.key").display().to_string(),
        repo = folder.join("config.git").display().to_string(),
        port = addresses.bot,
    );
    [
        ("agent-staging", agent("agent-staging", STAGING_HOST, "staging-", addresses.staging_agent)),
        ("agent-production", agent("agent-production", PRODUCTION_HOST, "production-", addresses.production_agent)),
        ("bot", bot),
    ]
}
