//! `tidegate doctor`: what could be wrong on this host, each with how to mend it.

use super::{ConfigArgs, Exit, Output, agent, client, print, print_json, runtime};
use crate::clock::{Sync, WallClock};
use crate::config::{ConfigReader, ConfigView};
use crate::engine::Engine;
use crate::settings::Settings;
use crate::zones::Compared;
use crate::{words, zones};
use anstyle::{AnsiColor, Style};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use tidegate_core::calendar::ZoneOrigin;
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
    let depends_on_time = view.as_ref().is_some_and(ConfigView::depends_on_time);
    checks.push(clock(settings.check_sync, WallClock::default().sync(), depends_on_time));
    checks.push(match Compared::here() {
        Some(compared) => zone_database(&compared, Timestamp::now()),
        None => good("zone database", zones::in_words(&zones::newest())),
    });
    checks
}

/// As the agent asks in each turn: the kernel's word, and only where the calendar depends on the time.
fn clock(check_sync: bool, sync: Sync, depends_on_time: bool) -> Check {
    match (check_sync, sync, depends_on_time) {
        (false, _, _) => good("clock", "not checked: calendar.check_sync is false"),
        (true, Sync::Yes, _) => good("clock", "kept right, says the kernel"),
        (true, Sync::Unknown, _) => good("clock", "the kernel does not say whether anything keeps it right"),
        (true, Sync::No, false) => good("clock", "nothing keeps it right; releases here do not depend on the time"),
        (true, Sync::No, true) => bad(
            "clock",
            format!("{}; releases wait", words::CLOCK_ADRIFT),
            "start a time service, e.g. chrony, or `timedatectl set-ntp true`; where another machine keeps it right, set calendar.check_sync = false",
        ),
    }
}

/// Which zone database decides, how old it is, and what the other one is.
fn zone_database(compared: &Compared, now: Timestamp) -> Check {
    let system = compared.system.as_ref().map_or("of unknown age".to_owned(), ToString::to_string);
    let used = match compared.origin {
        ZoneOrigin::Bundled => format!("{} of this program decides; the system's is {system}", compared.used()),
        ZoneOrigin::System => format!("{} of the system decides; this program's is {}", compared.used(), compared.bundled),
    };
    if compared.is_old(now) {
        let fix = "update Tidegate, or the system's tzdata package, and restart the agent: the newer of both decides";
        return bad("zone database", format!("{used}; countries have changed their clocks since"), fix);
    }
    let fix = "update the system's tzdata package, so that other programs here tell the same time; Tidegate does not need it";
    Check { fix: compared.is_system_older().then(|| fix.to_owned()), ..good("zone database", used) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::calendar::TzdataVersion;

    #[test]
    fn a_clock_adrift_is_a_finding_only_where_the_agent_would_wait_for_it() {
        let found = |check_sync, sync, depends| clock(check_sync, sync, depends).good;
        assert!(!found(true, Sync::No, true));
        assert!(found(true, Sync::No, false) && found(false, Sync::No, true));
        assert!(found(true, Sync::Yes, true) && found(true, Sync::Unknown, true));
    }

    #[test]
    fn the_zone_databases_are_compared_and_an_old_one_says_how_to_mend_it() {
        let version = |text: &str| TzdataVersion::find(text).unwrap();
        let of = |origin, system: Option<&str>| Compared { origin, bundled: version("2026e"), system: system.map(version) };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let fine = zone_database(&of(ZoneOrigin::Bundled, Some("2026e")), at("2026-11-21T00:00:00Z"));
        assert_eq!((fine.good, fine.fix), (true, None));
        let behind = zone_database(&of(ZoneOrigin::Bundled, Some("2024a")), at("2026-11-21T00:00:00Z"));
        assert!(behind.good && behind.fix.is_some() && behind.found.contains("2024a"), "{behind:?}");
        let old = zone_database(&of(ZoneOrigin::Bundled, None), at("2028-06-01T00:00:00Z"));
        assert!(!old.good && old.fix.is_some_and(|fix| fix.contains("tzdata")), "{}", old.found);
        let newer = zone_database(&of(ZoneOrigin::System, Some("2028a")), at("2028-06-01T00:00:00Z"));
        assert!(newer.good && newer.found.starts_with("2028a of the system"), "{newer:?}");
    }
}
