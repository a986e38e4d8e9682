//! Every example is right by its schema, and names it; and wrong files are wrong by it, so that the schemas say something.
//! The judge is another program: `jsonschema` for Python, which comes with docker-compose 1.29.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const JUDGE: &str = "
import json, sys
import jsonschema
cases = json.load(sys.stdin)
answers = []
for case in cases:
    jsonschema.Draft7Validator.check_schema(case['schema'])
    errors = jsonschema.Draft7Validator(case['schema']).iter_errors(case['value'])
    answers.append(['/'.join(map(str, e.absolute_path)) + ': ' + e.message[:200] for e in errors])
json.dump(answers, sys.stdout)
";

/// For each schema and value: what is wrong.
fn judge(cases: &[(serde_json::Value, serde_json::Value)]) -> Vec<Vec<String>> {
    let cases: Vec<_> = cases.iter().map(|(schema, value)| serde_json::json!({ "schema": schema, "value": value })).collect();
    let mut child =
        Command::new("python3").args(["-c", JUDGE]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(&cases).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "python3 with jsonschema is needed: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn value(yaml: &str) -> serde_json::Value {
    let mut value: serde_yaml::Value = serde_yaml::from_str(yaml).unwrap();
    value.apply_merge().unwrap();
    serde_json::to_value(untagged(value)).unwrap()
}

/// An editor looks at what stands behind `!override`; the tag itself is no matter of the schema.
fn untagged(value: serde_yaml::Value) -> serde_yaml::Value {
    use serde_yaml::Value;
    match value {
        Value::Tagged(tagged) => untagged(tagged.value),
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(untagged).collect()),
        Value::Mapping(entries) => Value::Mapping(entries.into_iter().map(|(key, value)| (key, untagged(value))).collect()),
        other => other,
    }
}

fn generated(name: &str) -> serde_json::Value {
    let (_, text) = tidegate_core::schema::schemas().into_iter().find(|(other, _)| *other == name).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(yaml_files(&entry));
        } else if entry.extension().is_some_and(|end| end == "yaml") {
            found.push(entry);
        }
    }
    found
}

/// Each file with the schema that its first line names.
fn with_named_schemas(folder: &Path) -> Vec<(PathBuf, (serde_json::Value, serde_json::Value))> {
    let files = yaml_files(folder);
    let named = files.into_iter().map(|path| {
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text.lines().next().unwrap_or_default();
        let named = line.strip_prefix("# yaml-language-server: $schema=").unwrap_or_else(|| panic!("{} names no schema", path.display()));
        let schema = std::fs::read_to_string(path.parent().unwrap().join(named))
            .unwrap_or_else(|error| panic!("{}: {named}: {error}", path.display()));
        (path, (serde_json::from_str(&schema).unwrap(), value(&text)))
    });
    named.collect()
}

fn all_are_right(folder: &Path) -> usize {
    let (paths, cases): (Vec<_>, Vec<_>) = with_named_schemas(folder).into_iter().unzip();
    for (path, wrong) in paths.iter().zip(judge(&cases)) {
        assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
    }
    paths.len()
}

#[test]
fn every_example_names_its_schema_and_is_right_by_it() {
    assert!(all_are_right(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples")) >= 7);
}

#[test]
fn what_import_writes_names_its_schema_and_is_right_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("shop");
    std::fs::create_dir(&project).unwrap();
    let compose = "services:\n  web:\n    image: shop/web:1\n    ports: [\"8080:80\"]\n    healthcheck: { test: [CMD, ok], interval: 5s }\n    x-tidegate: { bake: 5s }\n";
    std::fs::write(project.join("compose.yaml"), compose).unwrap();
    let target = folder.path().join("repo");
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["import", project.join("compose.yaml").to_str().unwrap(), "--output-dir", target.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(all_are_right(&target), 4);
}

#[test]
fn what_the_demo_begins_with_names_its_schema_and_is_right_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["init", "demo", demo.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let clone = folder.path().join("clone");
    let arguments = ["clone", "--quiet", demo.join("config.git").to_str().unwrap(), clone.to_str().unwrap()].map(str::to_owned);
    assert!(Command::new("git").args(arguments).status().unwrap().success());
    assert_eq!(all_are_right(&clone), 6);
}

#[test]
fn a_policy_to_begin_with_names_its_schema_and_is_right_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    let program = || Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = program().args(["trust", "init", "--owner", &format!("alice={key}")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(folder.path().join("trust.yaml"), output.stdout).unwrap();
    assert!(program().current_dir(folder.path()).arg("schema").status().unwrap().success());
    assert_eq!(all_are_right(folder.path()), 1);
}

#[test]
fn the_command_writes_what_the_documentation_holds() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["schema", folder.path().to_str().unwrap()]).output().unwrap();
    assert!(output.status.success());
    for name in ["tidegate", "environment", "host", "lock", "trust", "compose"] {
        let written = std::fs::read_to_string(folder.path().join(format!("{name}.json"))).unwrap();
        let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/schema/{name}.json"));
        assert_eq!(written, std::fs::read_to_string(there).unwrap());
    }
}

#[test]
fn wrong_files_are_wrong_by_their_schema_too() {
    let wrong = [
        ("tidegate", "schema: 1\nenvironmets: [production]\n"),
        ("tidegate", "schema: 2\nenvironments: [production]\n"),
        ("tidegate", "environments: [production]\n"),
        ("tidegate", "schema: 1\nenvironments: [Production]\n"),
        ("environment", "schema: 1\nwindows: sometimes\n"),
        ("environment", "schema: 1\nwindows: [{ cron: \"0 9 * * *\", duration: 7 hours, tz: UTC }]\n"),
        ("environment", "schema: 1\nstacks: { shop: { host: {} } }\n"),
        ("environment", "schema: 1\napprovals: { count: 0 }\n"),
        ("environment", "schema: 1\nfreezes: [{ from: tomorrow, tz: UTC }]\n"),
        ("host", "schema: 1\nlabels: { role: web }\n"),
        ("host", "schema: 1\nenvironment: production\nkeys: { events: secret }\n"),
        ("lock", "schema: 1\nenvironment: production\nrelease: 1\nkind: other\n"),
        ("trust", "schema: 1\nsigners: {}\nroles: {}\n"),
        ("trust", "schema: 1\nversion: 0\nsigners: {}\nroles: {}\n"),
        ("trust", "schema: 1\nversion: 1\nsigners: { alice: { key: secret, roles: [owner] } }\nroles: { owner: { paths: [/] } }\n"),
        ("trust", "schema: 1\nversion: 1\nsigners: {}\nroles: { owner: { path: [/] } }\n"),
        ("trust", "schema: 1\nversion: 1\nsigners: {}\nroles: { owner: { paths: ['stacks/*'] } }\n"),
        ("trust", "schema: 1\nversion: 1\nsigners: {}\nroles: { owner: { paths: [/stacks] } }\n"),
        ("trust", "schema: 1\nversion: 1\nsigners: {}\nroles: {}\nmerges: none\n"),
        ("compose", "services: { web: { image: x, build: . } }\n"),
        ("compose", "services: { web: { imagee: x } }\n"),
        ("compose", "services: { web: { image: x, x-tidegate: { bak: 1s } } }\n"),
        ("compose", "services: { web: { image: x, healthcheck: { intervall: 1s } } }\n"),
        ("compose", "services: { web: { image: x, deploy: { resources: { limit: {} } } } }\n"),
    ];
    let cases: Vec<_> = wrong.iter().map(|(name, text)| (generated(name), value(text))).collect();
    for ((name, text), found) in wrong.iter().zip(judge(&cases)) {
        assert!(!found.is_empty(), "{name} takes\n{text}");
    }
}
