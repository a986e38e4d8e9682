//! `tidegate doctor`: what could be wrong on this host, each with how to mend it.

use super::{ConfigArgs, Exit, Output, agent, client, print, print_json, runtime};
use crate::config::{ConfigReader, ConfigView};
use crate::engine::Engine;
use crate::settings::Settings;
use crate::{words, zones};
use anstyle::{AnsiColor, Style};
use clap::Args;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use tidegate_core::ids::EnvironmentName;
use tidegate_git::Mirror;
use tidegate_git::keys::SigningKey;

/// For the bot to answer.
const BOT_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    good: bool,
    /// What was found.
    found: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

fn good(what: &'static str, found: impl Into<String>) -> Check {
    Check { what, good: true, found: found.into(), fix: None }
}

fn bad(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { what, good: false, found: found.into(), fix: Some(fix.into()) }
}

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    tidegate_git::init();
    let checks = match args.config.load() {
        Err(error) => vec![bad("settings", words::chain(&error), "mend the settings file or the TIDEGATE_* variables")],
        Ok(settings) => runtime()?.block_on(checks(&settings)),
    };
    let healthy = checks.iter().all(|check| check.good);
    match args.output {
        Output::Json => print_json(&serde_json::json!({ "format": 1, "healthy": healthy, "checks": checks })),
        Output::Human => print(&checks.iter().map(line).collect::<String>()),
    }
    Ok(if healthy { Exit::Fine } else { Exit::Findings })
}

fn line(check: &Check) -> String {
    let (mark, colour) = if check.good { ("✔", AnsiColor::Green) } else { ("✘", AnsiColor::Red) };
    let style = Style::new().fg_color(Some(colour.into()));
    let fix = check.fix.as_ref().map_or(String::new(), |fix| format!("  → {fix}\n"));
    format!("{style}{mark}{style:#} {}: {}\n{fix}", check.what, check.found)
}

async fn checks(settings: &Settings) -> Vec<Check> {
    let mut checks = vec![good("settings", format!("host {}", settings.host)), state_dir(&settings.state_dir)];
    let key = events_key(settings);
    let public = key.as_ref().ok().cloned();
    checks.push(match key {
        Ok(public) => good("events key", public),
        Err(check) => check,
    });
    let view = config(settings, &mut checks).await;
    let environment = view.as_ref().and_then(|view| view.environment.clone());
    if let Some(view) = &view {
        checks.push(host_file(settings, view, public.as_deref()));
    }
    checks.push(engine(settings, environment.as_ref()).await);
    checks.push(running(settings).await);
    if let Some(bot) = &settings.bot {
        checks.push(bot_answers(&bot.url).await);
    }
    checks.push(good("zone database", zones::in_words(&zones::newest())));
    checks
}

fn state_dir(path: &Path) -> Check {
    let probe = path.join(".doctor");
    let result = std::fs::create_dir_all(path).and_then(|()| std::fs::write(&probe, b"")).and_then(|()| std::fs::remove_file(&probe));
    match result {
        Ok(()) => good("state folder", path.display().to_string()),
        Err(error) => bad("state folder", format!("{}: {error}", path.display()), "create it, writable for the user that runs the agent"),
    }
}

/// Makes the key if it is missing: its public half is what the config repo needs first.
fn events_key(settings: &Settings) -> Result<String, Check> {
    let key = SigningKey::load_or_generate(&settings.events_key());
    key.map(|key| key.public_openssh())
        .map_err(|error| bad("events key", words::chain(&error), "make the file readable, or remove it and start again"))
}

/// Reads the repo through the agent's own mirror, so that a later start has less to fetch.
async fn config(settings: &Settings, checks: &mut Vec<Check>) -> Option<ConfigView> {
    let fetched = async {
        let mirror = Mirror::open(&settings.mirror(), agent::remote(settings)).await?;
        let tip = mirror.fetch().await?;
        Ok::<_, tidegate_git::GitError>((mirror, tip))
    };
    let (mirror, tip) = match fetched.await {
        Ok(fetched) => fetched,
        Err(error) => {
            checks.push(bad("config repo", words::chain(&error), "check repo.url, repo.branch and the key or token in the settings"));
            return None;
        }
    };
    let zones = zones::newest();
    match (ConfigReader { mirror: &mirror, host: &settings.host, zones: &zones }).view(&tip, None).await {
        Ok(view) if view.is_refused() => {
            let found = format!("{} cannot be used: {}", tip.short(), view.errors().join("; "));
            checks.push(bad("config repo", found, "run `tidegate validate` in the config repo and mend what it finds"));
            Some(view)
        }
        Ok(view) => {
            checks.push(good("config repo", format!("{} at {}", settings.repo.url, tip.short())));
            Some(view)
        }
        Err(error) => {
            checks.push(bad("config repo", words::chain(&error), "look at the cause; it was reached, but could not be read"));
            None
        }
    }
}

fn host_file(settings: &Settings, view: &ConfigView, public: Option<&str>) -> Check {
    let file = format!("hosts/{}.yaml", settings.host);
    let Some(environment) = &view.environment else {
        return bad("host file", format!("{file} is missing"), "add it with `schema: 1`, its `environment`, and the events key above");
    };
    match (view.events_key(), public) {
        (Some(known), Some(public)) if known.trim() == public => {
            good("host file", format!("{file}: environment {environment}, events key known"))
        }
        (Some(_), Some(public)) => {
            bad("host file", format!("{file} names another events key"), format!("set `keys: {{ events: \"{public}\" }}` there"))
        }
        (None, Some(public)) if settings.bot.is_some() => bad(
            "host file",
            format!("{file} has no events key: the bot refuses this host's news"),
            format!("add `keys: {{ events: \"{public}\" }}`"),
        ),
        _ => good("host file", format!("{file}: environment {environment}")),
    }
}

async fn engine(settings: &Settings, environment: Option<&EnvironmentName>) -> Check {
    let Some(name) = environment.cloned().or_else(|| "unknown".parse().ok()) else { return bad("engine", "not asked", "") };
    match agent::connect(settings)(&name).info().await {
        Ok(info) => good("engine", format!("{} (API {}) at {}", info.version, info.api, settings.engine_socket.display())),
        Err(error) => bad("engine", words::chain(&error), "start Docker, and let this user reach its socket (engine.socket)"),
    }
}

async fn running(settings: &Settings) -> Check {
    if client::answers(settings).await {
        good("agent", format!("answers at {}", settings.listen))
    } else {
        bad("agent", format!("does not answer at {}", settings.listen), "start it: `tidegate agent`")
    }
}

async fn bot_answers(url: &str) -> Check {
    let asked = async { client::client(BOT_LIMIT)?.get(format!("{url}/healthz")).send().await.map_err(anyhow::Error::from) };
    match asked.await {
        Ok(response) if response.status().is_success() => good("bot", format!("answers at {url}")),
        Ok(response) => bad("bot", format!("{url} answered {}", response.status()), "check bot.url in the settings"),
        Err(_) => {
            bad("bot", format!("does not answer at {url}"), "start it, or check bot.url; until then news waits here and nothing else does")
        }
    }
}
