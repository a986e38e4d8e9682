//! The project that is planned: what runs, its lock, and a change.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use tidegate_core::compose::resolve_stack;
use tidegate_core::files::RepoFiles;
use tidegate_core::ids::{CommitId, ContentId, ReleaseNumber};
use tidegate_core::lock::{Lock, LockedStack, ReleaseKind, SCHEMA};

/// A Friday evening: the window is closed until Monday, and a freeze stands in between.
pub(crate) const NOW: &str = "2026-11-20T19:30:00Z";

/// A config repo in git.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> &Project {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
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

    pub(crate) fn commit(&self, subject: &str) -> CommitId {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", subject]);
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
    }

    pub(crate) fn plan(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["plan", self.root().to_str().unwrap(), "--now", NOW])
            .args(arguments)
            .env_remove("GITHUB_ACTIONS")
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

pub(crate) const COMPOSE: &str = "\
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
pub(crate) fn released() -> Project {
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

pub(crate) fn lock(project: &Project, commit: &CommitId) -> Lock {
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
pub(crate) fn proposed() -> Project {
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
