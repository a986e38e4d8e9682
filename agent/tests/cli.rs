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
