//! `tidegate render` and `tidegate import` from outside.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use std::path::Path;
use std::process::Command;

fn tidegate(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn example() -> String {
    format!("{}/../deploy/examples/shop", env!("CARGO_MANIFEST_DIR"))
}

/// What the old Compose makes of a file, which is also read by its schema; it needs no engine for that.
fn docker_compose_config(file: &Path) -> String {
    let output = Command::new("docker-compose").current_dir(file.parent().unwrap()).args(["-f", text(file), "config"]).output();
    let output = output.expect("docker-compose 1.29 is one of the packages that the tests need (tests/packages.txt)");
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), read(file));
    String::from_utf8(output.stdout).unwrap()
}

/// Every attribute of tier 1 that a single file can hold.
const RICH: &str = r#"
services:
  web:
    image: registry.example/shop/web:1.8.1
    pull_policy: always
    command: ["serve", "--price", "$$5", "22:22"]
    entrypoint: ["/entry"]
    environment: { AT: "2026-11-21", RATIO: "1_000", ON: "on", EMPTY: "", DOLLAR: "$$x" }
    working_dir: /srv
    user: "1000:1000"
    hostname: web
    labels: { team: shop }
    restart: on-failure:3
    init: true
    read_only: true
    stop_signal: SIGINT
    stop_grace_period: 1m30s
    healthcheck: { test: ["CMD", "/healthy"], interval: 1500ms, timeout: 2s, retries: 3, start_period: 10s }
    depends_on: { db: { condition: service_healthy }, migrate: { condition: service_completed_successfully } }
    ports: ["127.0.0.1:8080:80", "[::1]:5353:53/udp", "9000"]
    expose: ["9100"]
    networks: { front: { aliases: [shop] }, default: }
    extra_hosts: ["db.example:10.0.0.5", "gate:host-gateway"]
    dns: [192.0.2.1]
    volumes: ["data:/data", "/srv/shared:/shared:ro", "./config/web.toml:/etc/web.toml", "/anonymous", { type: volume, source: data, target: /again, read_only: true }]
    tmpfs: ["/run:size=64m,mode=1777"]
    ulimits: { nofile: { soft: 1024, hard: 2048 }, nproc: 64 }
    cap_add: [NET_ADMIN]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    devices: ["/dev/null:/dev/zero2:rw"]
    shm_size: 64m
    sysctls: { net.core.somaxconn: "1024" }
    logging: { driver: json-file, options: { max-size: 10m } }
    mem_limit: 512m
    mem_reservation: 64m
    cpus: 0.75
    pids_limit: 100
    deploy:
      update_config: { order: stop-first, parallelism: 1, delay: 1s, monitor: 5s }
      rollback_config: { order: start-first }
      placement: { constraints: ["node.labels.zone == a"] }
      labels: { tier: front }
    x-tidegate: { bake: 5s }
  db:
    image: registry.example/db:16
    container_name: the-db
    healthcheck: { test: "pg_isready", interval: 5s }
  migrate:
    image: registry.example/shop/web:1.8.1
    command: migrate --all
  quiet:
    image: registry.example/quiet:1
    healthcheck: { disable: true }
    deploy: { replicas: 3 }
networks: { front: { driver_opts: { mtu: "1400" }, internal: true, labels: { a: b } }, gone: {} }
volumes: { data: { labels: { keep: "yes" } }, external: { external: true, name: outside } }
"#;

fn rich_repo() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "tidegate.yaml", "schema: 1\nenvironments: [production]\n");
    write(root, "environments/production.yaml", "schema: 1\nstacks: { shop: {} }\nwindows: always\n");
    write(root, "hosts/web-1.yaml", "schema: 1\nenvironment: production\nlabels: { zone: a }\n");
    write(root, "hosts/web-2.yaml", "schema: 1\nenvironment: production\nlabels: { zone: b }\n");
    write(root, "stacks/shop/compose.yaml", RICH);
    write(root, "stacks/shop/config/web.toml", "port = 80\n");
    folder
}

#[test]
fn docker_compose_takes_what_is_rendered_and_sees_the_same() {
    let repo = rich_repo();
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("rendered");
    let (code, _, err) = tidegate(&["render", text(repo.path()), "--host", "web-1", "--output-dir", text(&folder)]);
    assert_eq!(code, 0, "{err}");
    let rendered = docker_compose_config(&folder.join("shop/compose.yaml"));
    for value in ["$$5", "22:22", "2026-11-21", "1_000", "cpus: 0.75", "zone == a", "service_completed_successfully", "mode=1777"] {
        assert!(rendered.contains(value), "{value} is not in\n{rendered}");
    }
    assert_eq!(read(folder.join("shop/config/web.toml")), "port = 80\n");
    let (code, printed, _) = tidegate(&["render", text(repo.path()), "--host", "web-1", "--environment", "production", "--stack", "shop"]);
    assert_eq!((code, printed), (0, read(folder.join("shop/compose.yaml"))));
    // Once more: nothing is written over, and nothing is left behind.
    let (code, _, err) = tidegate(&["render", text(repo.path()), "--host", "web-1", "--output-dir", text(&folder)]);
    assert!(code == 64 && err.contains("is there already"), "{err}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn a_host_gets_only_what_is_placed_on_it() {
    let repo = rich_repo();
    let (_, out, _) = tidegate(&["render", text(repo.path()), "--host", "web-2"]);
    assert!(!out.contains("  web:") && out.contains("  db:") && !out.contains("front:"), "{out}");
    for arguments in
        [["--host", "web-9", "--stack", "shop"], ["--host", "web-1", "--environment", "staging"], ["--host", "web-1", "--stack", "blog"]]
    {
        let (code, out, _) = tidegate(&[&["render", text(repo.path())], arguments.as_slice()].concat());
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}");
    }
}

#[test]
fn the_example_renders_for_its_hosts_as_docker_compose_reads_it() {
    let out = tempfile::tempdir().unwrap();
    for host in ["web-1", "staging-1"] {
        let folder = out.path().join(host);
        let (code, _, err) = tidegate(&["render", &example(), "--host", host, "--output-dir", text(&folder)]);
        assert_eq!(code, 0, "{err}");
        docker_compose_config(&folder.join("shop/compose.yaml"));
    }
}

/// A project as one finds them: old names, a build beside an image, an override, files of its own.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = &folder.path().join("My Shop");
    let compose = "\
version: \"3.8\"
# The shop.
services:
  web:
    build:
      context: .
      args: { A: b }
    # what is built above
    image: registry.example/shop/web:${TAG:-1}
    container_name: web
    env_file: [web.env]
    volumes: [\"./nginx.conf:/etc/nginx.conf\", \"/srv/files:/files\"]
    configs: [motd]
  db:
    extends: { file: parts/db.yml, service: db }
    container_name: the-db
configs: { motd: { file: ./motd.txt } }
";
    write(root, "docker-compose.yml", compose);
    write(root, "docker-compose.override.yml", "services:\n  web:\n    environment: { DEBUG: \"1\" }\n");
    write(root, ".env", "TAG=1.8.2\n");
    write(root, "web.env", "A=1\n");
    write(root, "nginx.conf", "events {}\n");
    write(root, "motd.txt", "hello\n");
    write(root, "parts/db.yml", "services:\n  db:\n    image: postgres\n");
    write(root, "src/main.c", "int main;\n");
    write(root, ".git/config", "[core]\n");
    folder
}

#[test]
fn a_project_becomes_a_stack_in_a_new_config_repo() {
    let project = project();
    let target = project.path().join("repo");
    let file = project.path().join("My Shop/docker-compose.yml");
    let (code, out, err) = tidegate(&["import", text(&file), "--output-dir", text(&target)]);
    assert_eq!(code, 0, "{out}{err}");
    for said in [
        "docker-compose.yml is stacks/my-shop/compose.yaml now",
        "`build` of web",
        "docker-compose.yml:1: `version`",
        "`container_name` of web",
        "db keeps its fixed name",
        "`nginx.conf` at /etc/nginx.conf is read-only",
        "/srv/files is a path of the host",
        "postgres:latest names no version",
        ".env is in git now",
    ] {
        assert!(out.contains(said), "{said} is not said:\n{out}");
    }
    let stack = target.join("stacks/my-shop");
    let compose = read(stack.join("compose.yaml"));
    assert!(compose.contains("    # build:\n    #   context: .\n    #   args: { A: b }\n    # what is built above\n"), "{compose}");
    assert!(compose.contains("image: registry.example/shop/web:${TAG:-1}"), "variables stay: {compose}");
    assert!(read(stack.join("compose.production.yaml")).contains("DEBUG"));
    assert!(["web.env", "nginx.conf", "motd.txt", "parts/db.yml", ".env"].iter().all(|name| stack.join(name).is_file()));
    assert!(!stack.join("src").exists() && !stack.join(".git").exists(), "only what the stack is made of");
    let (code, out, err) = tidegate(&["validate", text(&target)]);
    assert_eq!(code, 0, "{out}{err}");
    let (_, rendered, _) = tidegate(&["render", text(&target), "--host", "host-1"]);
    assert!(rendered.contains("web:1.8.2") && rendered.contains("DEBUG: \"1\"") && rendered.contains("A: \"1\""), "{rendered}");
    let (code, _, err) = tidegate(&["import", text(&file), "--output-dir", text(&target)]);
    assert!(code == 64 && err.contains("is there already"), "{err}");
    let (code, out, _) = tidegate(&["import", text(&file), "--output-dir", text(&target), "--stack", "shop2"]);
    assert!(code == 0 && out.contains("add `shop2: {}`"), "{out}");
    let hidden =
        std::fs::read_dir(&target).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(".tidegate"));
    assert_eq!(hidden.count(), 0);
}

#[test]
fn what_cannot_be_taken_is_refused_with_its_place_and_nothing_is_written() {
    let project = project();
    let root = project.path().join("My Shop");
    write(
        &root,
        "docker-compose.yml",
        "version: \"3\"\nservices:\n  web:\n    build: .\n    privileged: true\n    links: [db]\n    volumes: [\"../up:/up\", \"./none:/none\"]\n    environment: { A: \"${UNSET}\" }\n",
    );
    let target = project.path().join("repo");
    let (code, out, err) = tidegate(&["import", text(&root.join("docker-compose.yml")), "--output-dir", text(&target)]);
    assert_eq!(code, 3, "{out}");
    for place in
        ["docker-compose.yml:4:5", "docker-compose.yml:5:5", "docker-compose.yml:6:5", "docker-compose.yml:7:", "docker-compose.yml:8:"]
    {
        assert!(out.contains(place), "{place}: {out}");
    }
    assert_eq!(out.matches("= hint:").count(), out.matches("error[").count(), "{out}");
    assert!(!out.contains("stacks/") && err.contains("nothing was written"), "{out}{err}");
    assert!(!target.exists());
    write(project.path(), "full/something", "");
    write(&root, "docker-compose.yml", "services: { web: { image: x } }\n");
    let (code, _, err) = tidegate(&["import", text(&root.join("docker-compose.yml")), "--output-dir", text(&project.path().join("full"))]);
    assert!(code == 64 && err.contains("neither empty nor a config repo"), "{err}");
    assert_eq!(std::fs::read_dir(project.path().join("full")).unwrap().count(), 1);
    assert_eq!(tidegate(&["import", "/nowhere/compose.yaml"]).0, 64);
}

#[test]
fn included_files_come_along_with_what_they_name() {
    let project = tempfile::tempdir().unwrap();
    let root = &project.path().join("shop");
    let compose = "include:\n  - db/part.yaml\n  - { path: [queue/part.yaml] }\n\
                   services:\n  web: { image: \"shop/web:${TAG}\", depends_on: [db, queue] }\n";
    write(root, "compose.yaml", compose);
    write(root, ".env", "TAG=1\n");
    write(root, "db/part.yaml", "services:\n  db: { image: \"shop/db:${DB}\", volumes: [\"./init.sql:/init.sql\"], env_file: db.env }\n");
    write(root, "db/.env", "DB=2\n");
    write(root, "db/db.env", "A=db\n");
    write(root, "db/init.sql", "select 1;\n");
    write(root, "db/unused.sql", "select 2;\n");
    write(root, "queue/part.yaml", "services:\n  queue: { image: \"shop/queue:${QUEUE}\" }\n");
    write(root, "queue/.env", "QUEUE=3\n");
    let target = project.path().join("repo");
    let (code, out, err) = tidegate(&["import", text(&root.join("compose.yaml")), "--output-dir", text(&target)]);
    assert_eq!(code, 0, "{out}{err}");
    let stack = target.join("stacks/shop");
    for name in ["compose.yaml", ".env", "db/part.yaml", "db/.env", "db/db.env", "db/init.sql", "queue/part.yaml", "queue/.env"] {
        assert!(stack.join(name).is_file(), "{name} is missing");
    }
    assert!(!stack.join("db/unused.sql").exists(), "only what the stack is made of");
    let (code, out, err) = tidegate(&["validate", text(&target)]);
    assert_eq!(code, 0, "{out}{err}");
    let (_, rendered, _) = tidegate(&["render", text(&target), "--host", "host-1"]);
    for image in ["shop/web:1", "shop/db:2", "shop/queue:3", "A: db\n", "/init.sql"] {
        assert!(rendered.contains(image), "{image} is missing: {rendered}");
    }

    // What an included file says wrong is refused in that file, and nothing is written.
    write(root, "db/part.yaml", "services:\n  db: { image: x, privileged: true }\n");
    let other = project.path().join("other");
    let (code, out, _) = tidegate(&["import", text(&root.join("compose.yaml")), "--output-dir", text(&other)]);
    assert!(code == 3 && out.contains("db/part.yaml:2:"), "{out}");
    assert!(!other.exists());
}

#[test]
fn what_a_crash_left_behind_is_told_and_is_no_config_repo() {
    let project = project();
    let file = project.path().join("My Shop/docker-compose.yml");
    // As after a kill between two renames into an empty folder that was there: `tidegate.yaml` comes last.
    let target = project.path().join("repo");
    write(&target, ".tidegate-0123456789abcdef/tidegate.yaml", "schema: 1\n");
    write(&target, "hosts/host-1.yaml", "schema: 1\nenvironment: production\n");
    let (code, _, _) = tidegate(&["validate", text(&target)]);
    assert_eq!(code, 3, "half a config repo is none");
    let (code, out, err) = tidegate(&["import", text(&file), "--output-dir", text(&target)]);
    assert!(code == 64 && err.contains(".tidegate-0123456789abcdef") && err.contains("interrupted"), "{out}{err}");
    assert!(!target.join("stacks").exists() && !target.join("tidegate.yaml").exists());
    // Removed as it was told, it goes.
    std::fs::remove_dir_all(&target).unwrap();
    assert_eq!(tidegate(&["import", text(&file), "--output-dir", text(&target)]).0, 0);
}
