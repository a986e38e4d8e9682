//! `tidegate init demo`: a config repo, keys and settings for two agents and a bot on one machine, from nothing.

mod files;

use super::{Exit, Output, print, print_json};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use files::{Addresses, Keys};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use tidegate_git::keys::SigningKey;
use tidegate_git::{FirstCommit, Identity, create_bare};

/// Ports that are taken if they are free; else the system chooses.
const STAGING_WEB: u16 = 8081;
const PRODUCTION_WEB: u16 = 8082;
const STAGING_AGENT: u16 = 9181;
const PRODUCTION_AGENT: u16 = 9182;
const BOT: u16 = 9190;

/// The branch of the config repo.
const BRANCH: &str = "main";

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A config repo with staging and production, and settings for two agents and a bot, to play with
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// The folder; made if needed
    folder: PathBuf,
    /// Published ports of the shop in staging and production [default: 8081 and 8082, or free ones]
    #[arg(long, value_name = "STAGING,PRODUCTION", value_delimiter = ',', num_args = 2)]
    web_ports: Option<Vec<u16>>,
    /// How to write what was made
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &InitArgs) -> anyhow::Result<Exit> {
    let What::Demo(args) = &args.what;
    tidegate_git::init();
    let demo = Demo::make(args)?;
    match args.output {
        Output::Json => print_json(&demo.json()),
        Output::Human => print(&demo.shown()),
    }
    Ok(Exit::Fine)
}

/// What was made.
struct Demo {
    folder: PathBuf,
    addresses: Addresses,
}

impl Demo {
    fn make(args: &DemoArgs) -> anyhow::Result<Demo> {
        let failed = || format!("could not make {}", args.folder.display());
        std::fs::create_dir_all(&args.folder).with_context(failed)?;
        let folder = std::fs::canonicalize(&args.folder).with_context(failed)?;
        let demo = Demo { folder, addresses: addresses(args.web_ports.as_deref())? };
        for made in [demo.repo(), demo.settings("bot"), demo.folder.join("state")] {
            if made.exists() {
                bail!("{} is there already; name another folder, or remove it", made.display());
            }
        }
        let keys = Keys {
            staging: SigningKey::load_or_generate(&demo.state("agent-staging").join("events.key"))?.public_openssh(),
            production: SigningKey::load_or_generate(&demo.state("agent-production").join("events.key"))?.public_openssh(),
            bot: SigningKey::load_or_generate(&demo.state("bot").join("signing.key"))?.public_openssh(),
        };
        let files = files::repo(&demo.addresses, &keys)?;
        let alice = Identity::new("Alice Example", "alice@example.org");
        let message = "Shop: version 1\n\nStaging releases by itself; production needs one approval.\n";
        create_bare(&demo.repo(), &FirstCommit { branch: BRANCH, files: &files, message, identity: &alice, key: None })?;
        for (name, text) in files::settings(&demo.folder, &demo.addresses) {
            let path = demo.settings(name);
            std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
        }
        Ok(demo)
    }

    fn repo(&self) -> PathBuf {
        self.folder.join("config.git")
    }

    fn settings(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.toml"))
    }

    fn state(&self, name: &str) -> PathBuf {
        files::state(&self.folder, name)
    }

    fn json(&self) -> serde_json::Value {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let text = |path: &Path| path.display().to_string();
        let ports = &self.addresses;
        serde_json::json!({
            "format": 1,
            "repo": text(&self.repo()),
            "branch": BRANCH,
            "staging_config": text(&self.settings("agent-staging")),
            "production_config": text(&self.settings("agent-production")),
            "bot_config": text(&self.settings("bot")),
            "staging_host": files::STAGING_HOST,
            "production_host": files::PRODUCTION_HOST,
            "staging_agent": url(ports.staging_agent),
            "production_agent": url(ports.production_agent),
            "bot": url(ports.bot),
            "staging_web": url(ports.staging_web),
            "production_web": url(ports.production_web),
        })
    }

    fn shown(&self) -> String {
        let folder = self.folder.display();
        format!(
            "Made a demo in {folder}. Next:\n\
             \x20 deploy/demo/build-images.sh\n\
             \x20 tidegate-bot --config {folder}/bot.toml &\n\
             \x20 tidegate agent --config {folder}/agent-staging.toml &\n\
             \x20 tidegate agent --config {folder}/agent-production.toml &\n\
             \x20 git clone {folder}/config.git && edit stacks/shop/compose.yaml, commit, push\n\
             Page: http://127.0.0.1:{}/\n",
            self.addresses.bot
        )
    }
}

fn addresses(web: Option<&[u16]>) -> anyhow::Result<Addresses> {
    let mut taken = Vec::new();
    let (staging_web, production_web) = match web {
        Some([staging, production]) => (*staging, *production),
        _ => (free(STAGING_WEB, &mut taken)?, free(PRODUCTION_WEB, &mut taken)?),
    };
    Ok(Addresses {
        staging_web,
        production_web,
        staging_agent: free(STAGING_AGENT, &mut taken)?,
        production_agent: free(PRODUCTION_AGENT, &mut taken)?,
        bot: free(BOT, &mut taken)?,
    })
}

/// The wished port if it is free, else one of the system's choice. Held until all are chosen, so that they differ.
fn free(wished: u16, taken: &mut Vec<TcpListener>) -> anyhow::Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(wished).or_else(|_| bind(0)).context("no port is free on 127.0.0.1")?;
    let port = listener.local_addr()?.port();
    taken.push(listener);
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_has_everything_and_its_repo_is_valid() {
        let folder = tempfile::tempdir().unwrap();
        let args = DemoArgs { folder: folder.path().join("demo"), web_ports: None, output: Output::Human };
        let demo = Demo::make(&args).unwrap();
        assert!(demo.repo().join("HEAD").exists());
        for name in ["agent-staging", "agent-production"] {
            let settings = crate::settings::Settings::load(Some(&demo.settings(name)), &Default::default()).unwrap();
            assert!(settings.events_key().exists(), "the key whose public half is in the repo");
        }
        assert!(Demo::make(&args).is_err(), "what is there is not overwritten");
        let keys = Keys { staging: key(), production: key(), bot: key() };
        let loaded = tidegate_core::repo::load(&files::repo(&demo.addresses, &keys).unwrap());
        assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);
        assert_eq!(loaded.repo.unwrap().stacks.len(), 2);
    }

    fn key() -> String {
        SigningKey::generate().unwrap().public_openssh()
    }
}
