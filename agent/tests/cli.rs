//! The program from outside: exit codes, what goes to stdout and what to stderr.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use std::path::Path;
use std::process::{Command, Output};

fn tidegate(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEGATE_")) {
        command.env_remove(name);
    }
    let Output { status, stdout, stderr } = command.args(arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A small valid config repo as a folder.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "tidegate.yaml", "schema: 1\nenvironments: [production]\npeople: {}\nbot: { name: bot, email: bot@example.org }\n");
    write(root, "environments/production.yaml", "schema: 1\nstacks:\n  shop: { hosts: {} }\nwindows: always\n");
    write(root, "hosts/web-1.yaml", "schema: 1\nenvironment: production\n");
    write(root, "stacks/shop/compose.yaml", "services:\n  web:\n    image: registry.example/app:1\n");
    write(root, "node_modules/junk.bin", "\u{0}not of the config repo");
    folder
}

#[test]
fn a_valid_config_is_fine_and_says_so_on_stderr() {
    let folder = folder();
    let (code, out, err) = tidegate(&["validate", folder.path().to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.starts_with("valid"), "{err}");
}

#[test]
fn findings_go_to_stdout_with_their_place_and_exit_with_3() {
    let folder = folder();
    write(folder.path(), "environments/production.yaml", "schema: 1\nstacks:\n  shpo: { hosts: {} }\nwindows: always\n");
    let path = folder.path().to_str().unwrap();
    let (code, out, _) = tidegate(&["validate", path]);
    assert_eq!(code, 3);
    assert!(out.contains("environments/production.yaml:3") && !out.contains('\u{1b}'), "{out}");
    let (code, out, _) = tidegate(&["validate", path, "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["format"].as_u64(), json["valid"].as_bool()), (3, Some(1), Some(false)));
    let (code, out, _) = tidegate(&["validate", path, "--output", "github"]);
    assert!(code == 3 && out.contains("::error file=environments/production.yaml,line=3"), "{out}");
}

#[test]
fn a_plan_shows_each_step_and_can_tell_changes_by_its_exit_code() {
    let folder = folder();
    let path = folder.path().to_str().unwrap();
    let (code, out, err) = tidegate(&["plan", path]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("production follows the branch") && out.contains("+ web") && out.contains("goes out: at once"), "{out}");
    assert_eq!(tidegate(&["plan", path, "--detailed-exitcode"]).0, 2);
    let (_, out, _) = tidegate(&["plan", path, "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["format"], 1);
    assert_eq!(json["environments"][0]["hosts"][0]["plan"]["stacks"][0]["class"], "release");
    assert!(!out.contains("environment\": {"), "no value of a variable stands in it: {out}");
    let (code, _, err) = tidegate(&["plan", path, "--host", "web-9"]);
    assert!(code == 64 && err.contains("web-1"), "{err}");
}

#[test]
fn a_plan_against_a_recorded_observation_names_what_differs() {
    let folder = folder();
    let path = folder.path().to_str().unwrap();
    let observed = folder.path().join("observed.json");
    let container =
        serde_json::json!({ "id": "1", "stack": "shop", "service": "web", "replica": 1, "hash": "0".repeat(64), "state": "running" });
    let host = serde_json::json!({ "containers": { "shop-web-1-00000000": container }, "networks": {}, "volumes": [] });
    std::fs::write(&observed, host.to_string()).unwrap();
    let (code, out, err) = tidegate(&["plan", path, "--host", "web-1", "--observed", observed.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("~ web") && out.contains("replace"), "{out}");
}

#[test]
fn wrong_usage_and_wrong_settings_exit_with_64_and_name_every_mistake() {
    assert_eq!(tidegate(&["plan", "--nonsense"]).0, 64);
    assert_eq!(tidegate(&["validate", "/nowhere"]).0, 64);
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("agent.toml");
    std::fs::write(&settings, "hots = 1\nlisten = \"x\"\n").unwrap();
    let (code, _, err) = tidegate(&["status", "--config", settings.to_str().unwrap()]);
    assert!(code == 64 && err.contains("hots") && err.contains("listen") && err.contains("repo.url"), "{err}");
}

#[test]
fn without_an_agent_looking_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("agent.toml");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "host = \"a\"\nstate_dir = {:?}\nlisten = \"127.0.0.1:{port}\"\n[repo]\nurl = \"/nowhere\"\n",
        folder.path().display().to_string()
    );
    std::fs::write(&settings, text).unwrap();
    let (code, out, err) = tidegate(&["why", "--config", settings.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("tidegate agent"), "{err}");
}

#[test]
fn help_completions_and_man_pages_need_no_settings() {
    assert_eq!(tidegate(&["--help"]).0, 0);
    assert!(tidegate(&["completions", "bash"]).1.contains("_tidegate"));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(tidegate(&["man", folder.path().to_str().unwrap()]).0, 0);
    let page = std::fs::read_to_string(folder.path().join("tidegate-rollback.1")).unwrap();
    assert!(page.contains("reason") && page.contains("tidegate\\-rollback"), "{page}");
}

#[test]
fn a_signer_policy_is_begun_pinned_and_checked() {
    let folder = folder();
    let root = folder.path();
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "Alice").env(format!("GIT_{who}_EMAIL"), "alice@example.org");
        }
        let done = git.env("GIT_CONFIG_GLOBAL", "/dev/null").current_dir(root).args(args).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    let key = tidegate_git::keys::SigningKey::generate().unwrap();
    let keys = tempfile::tempdir().unwrap();
    let private = keys.path().join("alice");
    key.save(&private).unwrap();
    write(keys.path(), "alice.pub", &key.public_openssh());
    let owner = format!("alice={}", keys.path().join("alice.pub").display());
    let (code, policy, _) = tidegate(&["trust", "init", "--owner", &owner]);
    assert_eq!(code, 0);
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "before"]);
    let path = root.to_str().unwrap();
    let (code, out, err) = tidegate(&["trust", "pin", path]);
    assert!(code == 3 && out.is_empty() && err.contains("no trust.yaml"), "{err}");
    write(root, "trust.yaml", &policy);
    assert_eq!(tidegate(&["validate", path]).0, 0);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "begin"]);
    let pinned = git(&["rev-parse", "HEAD"]);
    let (code, out, err) = tidegate(&["trust", "pin", path]);
    assert_eq!((code, out.as_str()), (0, format!("[trust]\ncommit = \"{pinned}\"\nversion = 1\n").as_str()), "{err}");
    let signing = format!("user.signingkey={}", private.display());
    git(&["-c", "gpg.format=ssh", "-c", &signing, "commit", "-q", "-S", "--allow-empty", "-m", "signed"]);
    let (code, out, _) = tidegate(&["trust", "check", path, "--from", &pinned]);
    assert!(code == 0 && out.starts_with("every commit up to"), "{out}");
    git(&["commit", "-q", "--allow-empty", "-m", "unsigned"]);
    let (code, out, _) = tidegate(&["trust", "check", path, "--from", &pinned, "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["refused"]["reason"].as_str()), (3, Some("the commit is not signed")));
    write(root, "trust.yaml", "schema: 1\nversion: 0\n");
    assert_eq!(tidegate(&["validate", path]).0, 3, "a broken policy is found before it is pushed");
}

const OFFICE: &str = "windows:
  - { name: office, cron: \"0 10 * * MON-THU\", duration: 6h, tz: Europe/Berlin }
freezes:
  - { name: winter, from: 2026-12-20T00:00, until: 2027-01-03T00:00, tz: Europe/Berlin, reason: nobody is there }
cutoff: 30m
";

#[test]
fn a_calendar_file_is_evaluated_at_an_instant() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "calendar.yaml", OFFICE);
    let file = folder.path().join("calendar.yaml");
    let decide = |at: &str| {
        let (code, out, err) = tidegate(&["calendar", "--file", file.to_str().unwrap(), "--at", at, "--output", "json"]);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str::<serde_json::Value>(&out).unwrap()
    };
    let open = decide("2026-11-23T10:00:00+01:00");
    let keys: Vec<&String> = open.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["next_start", "open_until", "rule", "state"]);
    assert_eq!(open["state"], "open");
    assert_eq!((open["open_until"].as_str(), open["next_start"].as_str()), (Some("2026-11-23T15:00:00Z"), Some("2026-11-23T09:00:00Z")));
    assert_eq!((open["rule"]["name"].as_str(), open["rule"]["place"]["line"].as_u64()), (Some("office"), Some(2)));
    let closing = decide("2026-11-23T14:30:00Z");
    assert_eq!((closing["state"].as_str(), closing["next_start"].as_str()), (Some("closing"), Some("2026-11-24T09:00:00Z")));
    let frozen = decide("2026-12-21T10:00:00Z");
    assert_eq!((frozen["state"].as_str(), frozen["open_until"].as_str()), (Some("frozen"), None));
    assert_eq!(frozen["next_start"], "2027-01-04T09:00:00Z");
    assert_eq!(decide("2026-11-22T10:00:00Z")["state"], "closed");
}

#[test]
fn a_wrong_calendar_file_brings_its_findings_and_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = "windows:\n  - { cron: \"0 25 * * *\", duration: 6h, tz: Europe/Berln }\n";
    write(folder.path(), "calendar.yaml", &format!("{wrong}window: []\n"));
    let file = folder.path().join("calendar.yaml");
    let file = file.to_str().unwrap();
    let (code, out, _) = tidegate(&["calendar", "--file", file, "--at", "2026-11-23T10:00:00Z", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let at = |finding: &serde_json::Value| (finding["place"]["line"].as_u64().unwrap(), finding["code"].as_str().unwrap().to_owned());
    let places: Vec<(u64, String)> = json["findings"].as_array().unwrap().iter().map(at).collect();
    assert_eq!(code, 3);
    for expected in [(3, "unknown_key"), (2, "unknown_zone")] {
        assert!(places.contains(&(expected.0, expected.1.to_owned())), "{places:?}");
    }
    write(folder.path(), "calendar.yaml", wrong);
    let (code, out, _) = tidegate(&["calendar", "--file", file]);
    assert_eq!(code, 3);
    assert!(out.contains("calendar.yaml:2:") && out.contains("Europe/Berlin"), "{out}");
    let (code, _, err) = tidegate(&["calendar", "--file", file, "--at", "yesterday"]);
    assert!(code == 64 && err.contains("instant"), "{err}");
    assert_eq!(tidegate(&["calendar", "--file", "/nowhere/at/all.yaml"]).0, 64);
    write(folder.path(), "calendar.yaml", "");
    let (code, out, _) = tidegate(&["calendar", "--file", file, "--at", "2026-11-23T10:00:00Z", "--output", "json"]);
    assert!(code == 0 && out.contains("\"open\""), "{out}");
}

#[test]
fn the_calendar_of_an_environment_lists_openings_freezes_and_clock_changes() {
    let folder = folder();
    let environment = format!("schema: 1\nstacks:\n  shop: {{ hosts: {{}} }}\n{OFFICE}");
    write(folder.path(), "environments/production.yaml", &environment);
    let path = folder.path().to_str().unwrap();
    let (code, out, err) = tidegate(&["calendar", path, "--at", "2026-11-21T10:00:00Z", "--count", "3"]);
    assert_eq!(code, 0, "{err}");
    for part in [
        "production: no window is open",
        "Mon 2026-11-23 10:00 Europe/Berlin (Mon 09:00 UTC)",
        "nothing starts from 14:30 UTC on",
        "(winter: nobody is there)",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let (_, out, _) = tidegate(&["calendar", path, "--environment", "production", "--at", "2027-03-20T10:00:00Z"]);
    assert!(!out.contains("shifts"), "no window of Monday to Thursday runs into a Sunday night: {out}");
    write(folder.path(), "environments/production.yaml", &environment.replace("0 10 * * MON-THU", "30 2 * * *"));
    let (_, out, _) = tidegate(&["calendar", path, "--at", "2027-03-20T10:00:00Z"]);
    assert!(out.contains("2027-03-28 01:00:00 UTC Europe/Berlin: forward by 1 h; shifts office"), "{out}");
    let (_, out, _) = tidegate(&["calendar", path, "--at", "2027-03-27T10:00:00Z", "--explain", "office", "--count", "2"]);
    assert!(out.contains("written for Sun 2027-03-28 02:30, which the clock skips"), "{out}");
    let (code, _, err) = tidegate(&["calendar", path, "--explain", "offise"]);
    assert!(code == 64 && err.contains("office"), "{err}");
    assert_eq!(tidegate(&["calendar", path, "--environment", "prod"]).0, 64);
}

#[test]
fn validate_warns_of_a_calendar_that_is_hardly_meant() {
    let folder = folder();
    let text = "schema: 1
stacks:
  shop: { hosts: {} }
windows:
  - { name: office, cron: \"0 10 * * *\", duration: 1m, tz: UTC }
  - { name: office, cron: \"0 12 * * MON\", duration: 5m, tz: UTC }
freezes:
  - { from: 2020-01-01T00:00, until: 2020-01-02T00:00, tz: UTC }
approvals: none
";
    write(folder.path(), "environments/production.yaml", text);
    let (code, out, _) = tidegate(&["validate", folder.path().to_str().unwrap(), "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let at = |finding: &serde_json::Value| (finding["code"].as_str().unwrap().to_owned(), finding["place"]["line"].as_u64().unwrap());
    let found: Vec<(String, u64)> = json["findings"].as_array().unwrap().iter().map(at).collect();
    assert_eq!(code, 0, "{out}");
    for (code, line) in [("window_too_short", 5), ("doubled_name", 6), ("freeze_over", 8), ("little_open_time", 0)] {
        assert!(found.contains(&(code.to_owned(), line)), "{code} in {found:?}");
    }
}
