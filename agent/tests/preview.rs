//! `tidegate plan` from outside: a change in a git repository, in every form, word by word (`golden/plan/*`).
//! `UPDATE_GOLDEN=1 cargo test -p tidegate-agent --test preview` writes the answers anew; read the difference.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tidegate_core::compose::resolve_stack;
use tidegate_core::files::RepoFiles;
use tidegate_core::ids::{CommitId, ContentId, ReleaseNumber};
use tidegate_core::lock::{Lock, LockedStack, ReleaseKind, SCHEMA};

/// A Friday evening: the window is closed until Monday, and a freeze stands in between.
const NOW: &str = "2026-11-20T19:30:00Z";

struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, path: &str, text: &str) -> &Project {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("HOME", "/nonexistent"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
            .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.org"), ("GIT_AUTHOR_DATE", "2026-11-20T10:00:00Z")])
            .envs([("GIT_COMMITTER_NAME", "A"), ("GIT_COMMITTER_EMAIL", "a@example.org"), ("GIT_COMMITTER_DATE", "2026-11-20T10:00:00Z")])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, subject: &str) -> CommitId {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", subject]);
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
    }

    fn plan(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["plan", self.root().to_str().unwrap(), "--now", NOW])
            .args(arguments)
            .env_remove("GITHUB_ACTIONS")
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

const COMPOSE: &str = "\
services:
  web:
    image: registry.example/shop/web:1.8.1
    ports: [\"8080:80\"]
    environment: { LOG_LEVEL: info, API_TOKEN: old-secret }
    depends_on: { migrate: { condition: service_completed_successfully } }
  api:
    image: registry.example/shop/api:3
    deploy: { replicas: 2 }
    healthcheck: { test: [CMD, /healthy], interval: 5s }
  migrate:
    image: registry.example/shop/api:3
    command: [migrate]
  old:
    image: registry.example/shop/old:1
    volumes: [\"data:/data\"]
  quiet:
    image: registry.example/shop/quiet:1
volumes: { data: {} }
";

/// Two commits: what runs, and its lock.
fn released() -> Project {
    let project = Project { folder: tempfile::tempdir().unwrap() };
    project.git(&["init", "--quiet", "--initial-branch", "main"]);
    project
        .write(
            "tidegate.yaml",
            "schema: 1\nenvironments: [staging, production]\npeople:\n  alice: { name: Alice, email: alice@example.org, roles: [engineer] }\n",
        )
        .write("environments/staging.yaml", "schema: 1\nstacks: { shop: {} }\nwindows: always\n")
        .write(
            "environments/production.yaml",
            "schema: 1\nstacks: { shop: { hosts: { role: web } } }\nwindows:\n  - { name: \"office `hours` @all\", cron: \"0 9 * * 1-5\", \
             duration: 7h, tz: Europe/Berlin }\nfreezes:\n  - { name: audit, from: 2026-11-23T00:00, until: 2026-11-24T00:00, \
             tz: Europe/Berlin, reason: \"</details> [click](http://evil)\" }\napprovals: { count: 1, roles: [engineer], authors: false }\n",
        )
        .write("hosts/staging-1.yaml", "schema: 1\nenvironment: staging\n")
        .write("hosts/web-1.yaml", "schema: 1\nenvironment: production\nlabels: { role: web }\n")
        .write("hosts/web-2.yaml", "schema: 1\nenvironment: production\nlabels: { role: web }\n")
        .write("hosts/web-3.yaml", "schema: 1\nenvironment: production\nlabels: { role: web }\n")
        .write("hosts/spare.yaml", "schema: 1\nenvironment: production\n")
        .write("stacks/shop/compose.yaml", COMPOSE);
    let commit = project.commit("Begin");
    project.write("releases/production.yaml", &lock(&project, &commit).to_yaml());
    project.commit("release production #7");
    project
}

fn lock(project: &Project, commit: &CommitId) -> Lock {
    let mut files = RepoFiles::default();
    files.insert_text(
        "stacks/shop/compose.yaml".parse().unwrap(),
        &std::fs::read_to_string(project.root().join("stacks/shop/compose.yaml")).unwrap(),
    );
    let model = resolve_stack(&files, &"production".parse().unwrap(), &"shop".parse().unwrap()).unwrap();
    let images: BTreeMap<_, _> =
        model.unresolved_images().into_keys().map(|name| (name, format!("sha256:{}", "ab".repeat(32)).parse().unwrap())).collect();
    let content = model.pinned(&images).content();
    let stack = LockedStack { release: ReleaseNumber(7), commit: commit.clone(), content, images };
    let mut text = format!(
        "schema: {SCHEMA}\nenvironment: production\nrelease: 7\nkind: release\ncommit: {commit}\nplan: {}\ncreated_at: 2026-11-20T10:00:00Z\nstacks: {{}}\n",
        ContentId::of_bytes(b"plan")
    );
    let path = "releases/production.yaml".parse().unwrap();
    let mut lock = tidegate_core::lock::read(&path, std::mem::take(&mut text).as_bytes()).unwrap();
    lock.kind = ReleaseKind::Release;
    lock.stacks.insert("shop".parse().unwrap(), stack);
    lock
}

/// The change of a pull request, on a branch of its own.
fn proposed() -> Project {
    let project = released();
    project.git(&["checkout", "--quiet", "-b", "change"]);
    let compose = COMPOSE
        .replace("web:1.8.1", "web:1.8.2")
        .replace("LOG_LEVEL: info", "LOG_LEVEL: \"debug`@everyone\"")
        .replace("old-secret", "new-secret")
        .replace("replicas: 2", "replicas: 3")
        .replace(
            "  old:\n    image: registry.example/shop/old:1\n    volumes: [\"data:/data\"]\n",
            "  worker:\n    image: registry.example/shop/worker:1\n",
        )
        .replace("volumes: { data: {} }\n", "");
    project.write("stacks/shop/compose.yaml", &compose);
    std::fs::remove_file(project.root().join("hosts/web-3.yaml")).unwrap();
    project.write("hosts/web-4.yaml", "schema: 1\nenvironment: production\nlabels: { role: web }\n");
    project.commit("Change");
    project
}

fn golden(name: &str, said: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plan").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, said).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == said, "{} differs.\n--- expected\n{expected}\n--- said\n{said}", path.display());
}

#[test]
fn a_range_is_planned_in_every_form() {
    let project = proposed();
    for (form, file) in [("human", "change.txt"), ("markdown", "change.md"), ("github", "change.github"), ("json", "change.json")] {
        let (code, out, err) = project.plan(&["--from", "main", "--to", "HEAD", "--output", form, "--detailed-exitcode"]);
        assert_eq!((code, err.as_str()), (2, ""), "{form}");
        assert!(!out.contains("secret"), "{form} shows a secret: {out}");
        golden(file, &out);
    }
}

#[test]
fn foreign_text_forges_nothing_in_a_comment_or_an_annotation() {
    let project = proposed();
    let (_, comment, _) = project.plan(&["--from", "main", "--output", "markdown"]);
    let outside: String = comment.lines().map(outside_code).collect::<Vec<_>>().join("\n");
    assert!(!outside.contains('@') && !outside.contains("http://evil"), "{outside}");
    assert_eq!(outside.matches("<details>").count(), outside.matches("</details>").count());
    let (_, annotations, _) = project.plan(&["--from", "main", "--output", "github"]);
    assert!(annotations.lines().all(|line| line.starts_with("::notice file=") || line.starts_with("::warning file=")), "{annotations}");
}

/// A line without its code spans, by CommonMark's rule: a span ends at a run of as many backticks as it began with.
fn outside_code(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some(start) = rest.find('`') {
        out.push_str(&rest[..start]);
        let length = rest[start..].chars().take_while(|c| *c == '`').count();
        let (fence, body) = rest[start..].split_at(length);
        let mut at = 0;
        let end = loop {
            let Some(found) = body[at..].find('`') else { break None };
            let run = body[at + found..].chars().take_while(|c| *c == '`').count();
            if run == fence.len() {
                break Some(at + found + run);
            }
            at += found + run;
        };
        rest = match end {
            Some(end) => &body[end..],
            None => break,
        };
    }
    out + rest
}

#[test]
fn what_is_released_already_is_no_change() {
    let project = released();
    let (code, out, _) = project.plan(&["--from", "main", "--to", "HEAD", "--environment", "production", "--detailed-exitcode"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(out, "production stays at release 7\n  4 hosts: nothing changes\n\nPlan: nothing changes.\n");
    // Without `--from` the lock beside the files says the same; staging follows the branch, of which nothing is known here.
    let (_, out, _) = project.plan(&["--environment", "production"]);
    assert!(out.contains("stays at release 7"), "{out}");
}

#[test]
fn a_commit_is_planned_by_any_of_its_names() {
    let project = proposed();
    let id = project.git(&["rev-parse", "change"]);
    let root = project.root().to_str().unwrap().to_owned();
    let by = |text: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["plan", text, "--now", NOW]).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, whole) = by(&format!("{root}@change"));
    assert_eq!(code, 0);
    assert_eq!(by(&format!("{root}@{}", &id[..10])), (0, whole.clone()));
    assert_eq!(by(&format!("{root}@{id}")), (0, whole));
    let (code, _, err) = project.plan(&["--from", "no-such-branch"]);
    assert!(code == 64 && err.contains("`no-such-branch` names no commit here"), "{err}");
}

#[test]
fn a_clone_without_the_released_commit_says_how_to_bring_it() {
    let project = proposed();
    let shallow = tempfile::tempdir().unwrap();
    let (from, to) = (format!("file://{}", project.root().display()), shallow.path().join("clone"));
    project.git(&["clone", "--quiet", "--depth", "1", "--branch", "change", &from, to.to_str().unwrap()]);
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["plan", to.to_str().unwrap()]).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{err}");
    assert!(err.contains("fetch-depth: 0"), "{err}");
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["plan", to.to_str().unwrap(), "--empty"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_refused_config_is_refused_in_every_form() {
    let project = released();
    project.write("stacks/shop/compose.yaml", "services:\n  web:\n    imagee: \"x`@all\"\n");
    for (form, begin) in
        [("markdown", "<!-- tidegate plan -->\n### Tidegate plan: refused, "), ("github", "::error file=stacks/shop/compose.yaml,line=")]
    {
        let (code, out, _) = project.plan(&["--output", form]);
        assert!(code == 3 && out.starts_with(begin), "{form}: {out}");
    }
    let (code, out, _) = project.plan(&["--output", "json"]);
    assert!(code == 3 && out.contains("\"valid\": false"), "{out}");
    let (code, out, err) = project.plan(&[]);
    assert!(code == 3 && out.is_empty() && err.contains("stacks/shop/compose.yaml:3:5"), "{err}");
}
