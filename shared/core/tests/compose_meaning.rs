//! What Compose files mean: merge rules, short and long forms, and an identity that does not see formatting.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failing test")]

mod support;

use std::collections::BTreeMap;
use support::files;
use tidegate_core::compose::{
    Condition, HealthTest, MountSource, Port, Protocol, PullPolicy, Restart, StackModel, UpdateOrder, resolve_stack, resolve_with_warnings,
};
use tidegate_core::findings::{Severity, Style, render};

fn resolve(listed: &[(&str, &str)]) -> StackModel {
    let listed: Vec<(String, &str)> = listed.iter().map(|(path, text)| (format!("stacks/shop/{path}"), *text)).collect();
    let listed: Vec<(&str, &str)> = listed.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let files = files(&listed);
    resolve_stack(&files, &"production".parse().unwrap(), &"shop".parse().unwrap())
        .unwrap_or_else(|findings| panic!("{}", render(&findings, &files, Style::Plain)))
}

fn one(service: &str) -> StackModel {
    let text =
        format!("services:\n  web:\n    image: shop/web:1\n{service}volumes:\n  data: {{}}\nnetworks:\n  front: {{}}\n  back: {{}}\n");
    resolve(&[("compose.yaml", &text), ("web.toml", "a = 1\n"), ("conf/a", "1"), ("conf/b", "2"), (".env", "SET=from-env\n")])
}

/// The service's attributes, indented as they stand in a file.
fn web(attributes: &str) -> StackModel {
    one(&attributes.lines().map(|line| format!("    {line}\n")).collect::<String>())
}

#[test]
fn formatting_order_and_form_do_not_change_the_identity() {
    for (left, right) in [
        ("environment: { B: x, A: 1 }", "environment:\n  - A=1\n  - B=x"),
        ("environment: { A: \"1\" }", "environment:\n  # why\n  A: 1"),
        ("environment: { SET: from-env }", "environment: [SET]"),
        ("labels: { a: b, c: }", "labels: [c, a=b]"),
        ("command: sh -c 'echo hi'", "command: [sh, -c, echo hi]"),
        (
            "ports: [\"8080:80\", \"53:53/udp\"]",
            "ports:\n  - { target: 53, published: 53, protocol: udp }\n  - { target: 80, published: \"8080\", mode: host }",
        ),
        ("ports: [\"8000-8001:80-81\"]", "ports: [\"8001:81\", \"8000:80/tcp\"]"),
        ("ports: [80]", "ports: [{ target: 80 }]"),
        ("expose: [80, \"81/tcp\"]", "expose: [\"80-81\"]"),
        ("volumes: [\"data:/data:ro\"]", "volumes: [{ type: volume, source: data, target: /data/, read_only: true }]"),
        (
            "volumes: [\"./web.toml:/etc/web.toml\"]",
            "volumes: [{ type: bind, source: ./web.toml, target: /etc/web.toml, bind: { create_host_path: false } }]",
        ),
        ("volumes: [\"/srv/x:/x:rw\"]", "volumes: [{ type: bind, source: /srv/x/, target: /x }]"),
        ("tmpfs: /run:size=64m", "volumes: [{ type: tmpfs, target: /run, tmpfs: { size: 67108864 } }]"),
        ("healthcheck: { test: curl localhost, interval: 90s }", "healthcheck: { interval: 1m30s, test: [CMD-SHELL, curl localhost] }"),
        ("healthcheck: { disable: true }", "healthcheck: { test: [NONE], interval: 5s }"),
        ("stop_grace_period: 1m30s", "stop_grace_period: 90s"),
        ("mem_limit: 512m", "deploy: { resources: { limits: { memory: 0.5gb } } }"),
        ("cpus: 0.5", "deploy: { resources: { limits: { cpus: \"0.50\" } } }"),
        ("pids_limit: 100", "deploy: { resources: { limits: { pids: 100 } } }"),
        ("restart: always", "deploy: { restart_policy: { condition: any } }"),
        ("scale: 3", "deploy: { replicas: 3 }"),
        ("depends_on: []", "read_only: false"),
        ("networks: [front, default]", "networks: { default: , front: { } }"),
        ("networks: [default]", "networks: {}"),
        ("cap_add: [net_admin, SYS_TIME]", "cap_add: [CAP_SYS_TIME, NET_ADMIN]"),
        ("extra_hosts: [\"db:10.0.0.1\"]", "extra_hosts: { db: 10.0.0.1 }"),
        ("extra_hosts: [\"v6=[::1]\"]", "extra_hosts: { v6: \"::1\" }"),
        ("ulimits: { nofile: 10 }", "ulimits: { nofile: { soft: 10, hard: 10 } }"),
        ("sysctls: { net.core.somaxconn: 1024 }", "sysctls: [net.core.somaxconn=1024]"),
        ("devices: [/dev/null]", "devices: [\"/dev/null:/dev/null:mrw\"]"),
        ("stop_signal: INT", "stop_signal: SIGINT"),
        ("dns: 10.0.0.1", "dns: [10.0.0.1]"),
        ("env_file: app.env", "env_file: [{ path: ./app.env }]"),
        ("image: shop/web:1", "image: docker.io/shop/web:1"),
        ("pull_policy: missing", "pull_policy: if_not_present"),
        ("x-tidegate: { bake: 60s }", "x-tidegate: { bake: 1m }"),
        ("user: 1000", "user: \"1000\""),
        // What YAML 1.1 reads as truth values, octals, numbers to base 60 and decimals is the text that was written.
        ("environment: { A: no, B: 1.10, C: 0o17, D: 012, E: 22:30:15 }", "environment: [A=no, B=1.10, C=0o17, D=012, \"E=22:30:15\"]"),
        ("labels: { a: Yes, b: off, c: 1_000, d: 1e3 }", "labels: { a: \"Yes\", b: \"off\", c: \"1_000\", d: \"1e3\" }"),
        ("ports: [22:22]", "ports: [\"22:22\"]"),
        ("restart: no", "restart: \"no\""),
        ("command: [sleep, 1.10, 012, no]", "command: [sleep, \"1.10\", \"012\", \"no\"]"),
    ] {
        let with_image = |attributes: &str| {
            let image = if attributes.starts_with("image:") { "" } else { "image: shop/web:1\n" };
            let attributes: String = format!("{image}{attributes}").lines().map(|line| format!("    {line}\n")).collect();
            let text = format!("services:\n  web:\n{attributes}volumes: {{ data: {{}} }}\nnetworks: {{ front: {{}} }}\n");
            resolve(&[("compose.yaml", &text), ("web.toml", "a"), (".env", "SET=from-env"), ("app.env", "X=1")])
        };
        let (left_model, right_model) = (with_image(left), with_image(right));
        assert_eq!(left_model, right_model, "{left}\nand\n{right}");
        assert_eq!(left_model.content(), right_model.content());
    }
}

#[test]
fn what_matters_changes_the_identity() {
    let plain = web("");
    let mut seen = BTreeMap::from([(plain.content(), String::new())]);
    for attributes in [
        "environment: { A: 1.10 }",
        "environment: { A: 1.1 }",
        "environment: { A: \"\" }",
        "command: a b",
        "command: [a b]",
        "command: []",
        "entrypoint: []",
        "ports: [80]",
        "ports: [\"80:80\"]",
        "ports: [\"127.0.0.1:80:80\"]",
        "volumes: [\"data:/data\"]",
        "volumes: [\"data:/data:ro\"]",
        "volumes: [/data]",
        "volumes: [\"./web.toml:/x\"]",
        "volumes: [\"./conf:/x\"]",
        "tmpfs: /data",
        "restart: on-failure",
        "restart: on-failure:3",
        "healthcheck: { interval: 5s }",
        "networks: { front: { aliases: [w] } }",
        "deploy: { labels: { a: b } }",
        "deploy: { update_config: { order: stop-first } }",
        "deploy: { rollback_config: { parallelism: 2 } }",
        "init: false",
        "init: true",
        "x-tidegate: { bake: 1s }",
    ] {
        let content = web(attributes).content();
        if let Some(same) = seen.insert(content, attributes.to_owned()) {
            panic!("`{attributes}` and `{same}` have one identity");
        }
    }
}

#[test]
fn the_content_of_mounted_files_is_part_of_the_identity() {
    let compose = "services: { web: { image: x, volumes: [\"./conf:/etc/conf:ro\"] } }";
    let base = resolve(&[("compose.yaml", compose), ("conf/a", "1"), ("conf/b/c", "2")]);
    let same = resolve(&[("compose.yaml", compose), ("conf/a", "1"), ("conf/b/c", "2"), ("other", "3")]);
    assert_eq!(base.content(), same.content(), "a file elsewhere is not part of it");
    for changed in [
        vec![("conf/a", "2"), ("conf/b/c", "2")],
        vec![("conf/a", "1"), ("conf/b/d", "2")],
        vec![("conf/a", "1"), ("conf/b/c", "2"), ("conf/d", "")],
        vec![("conf/ab", "1"), ("conf/b/c", "2")],
    ] {
        let listed: Vec<(&str, &str)> = [("compose.yaml", compose)].into_iter().chain(changed.clone()).collect();
        assert_ne!(base.content(), resolve(&listed).content(), "{changed:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, one entry per attribute")]
fn an_override_merges_by_the_rules_of_each_attribute() {
    let base = r#"
services:
  web:
    image: shop/web:1
    command: serve --old
    entrypoint: [/old]
    environment: { A: base, B: base }
    labels: [a=base, b=base]
    ports: ["80:80"]
    expose: [9000]
    volumes: ["data:/data", "./a:/conf"]
    dns: 10.0.0.1
    tmpfs: /run
    env_file: base.env
    depends_on: [db]
    networks: [front]
    logging: { driver: json-file, options: { max-size: 1m } }
    healthcheck: { test: [CMD, old], interval: 5s }
    ulimits: { nofile: 5 }
    cap_add: [NET_ADMIN]
    extra_hosts: ["one:10.0.0.1"]
    deploy: { replicas: 1, resources: { limits: { memory: 1g } } }
    restart: always
  db: { image: shop/db:1 }
volumes: { data: {}, more: {} }
networks: { front: {}, back: {} }
"#;
    let over = r#"
services:
  web:
    image: shop/web:2
    command: [serve, --new]
    environment: [B=over, C=over]
    labels: { b: over }
    ports: ["81:81", "80:80"]
    expose: ["9001"]
    volumes: ["./b:/conf", "more:/more"]
    dns: [10.0.0.2]
    tmpfs: [/tmp]
    env_file: [over.env]
    depends_on: { db: { condition: service_healthy } }
    networks: { back: { aliases: [w] } }
    logging: { options: { max-file: "3" } }
    healthcheck: { test: new, retries: 2 }
    ulimits: { nofile: { soft: 1, hard: 2 } }
    cap_add: [SYS_TIME]
    extra_hosts: { two: 10.0.0.2 }
    deploy: { resources: { limits: { cpus: 2 } } }
    restart: ~
  cache: { image: shop/cache:1 }
"#;
    let model = resolve(&[
        ("compose.yaml", base),
        ("compose.production.yaml", over),
        ("a", "a"),
        ("b", "b"),
        ("base.env", "E=base\nF=base"),
        ("over.env", "F=over\nA=file"),
    ]);
    let web = &model.services["web"];
    let c = &web.container;
    assert_eq!(c.image.tag.as_deref(), Some("2"));
    assert_eq!(c.command.as_deref().unwrap(), ["serve", "--new"]);
    assert_eq!(c.entrypoint.as_deref().unwrap(), ["/old"]);
    let environment: Vec<(&str, &str)> = c.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(environment, [("A", "base"), ("B", "over"), ("C", "over"), ("E", "base"), ("F", "over")]);
    assert_eq!((c.labels["a"].as_str(), c.labels["b"].as_str()), ("base", "over"));
    assert_eq!(c.ports.iter().map(|port| port.target).collect::<Vec<_>>(), [80, 81]);
    assert_eq!(c.expose.len(), 2);
    let mounts: Vec<(&str, bool)> = c.mounts.iter().map(|mount| (mount.target.as_str(), mount.read_only)).collect();
    assert_eq!(mounts, [("/conf", true), ("/data", false), ("/more", false), ("/run", false), ("/tmp", false)]);
    assert!(matches!(&c.mounts[0].source, MountSource::Repo { path, .. } if path.file_name() == "b"), "the later one wins at a target");
    assert_eq!(c.dns, ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(web.depends_on["db"].condition, Condition::ServiceHealthy);
    assert_eq!(c.networks.keys().collect::<Vec<_>>(), ["back", "front"]);
    assert_eq!(c.logging.as_ref().unwrap().options.len(), 2);
    let health = c.healthcheck.as_ref().unwrap();
    assert_eq!((&health.test, health.interval_ms, health.retries), (&HealthTest::Shell("new".into()), Some(5_000), Some(2)));
    assert_eq!((c.ulimits["nofile"].soft, c.ulimits["nofile"].hard), (1, 2));
    assert_eq!(c.cap_add.iter().collect::<Vec<_>>(), ["NET_ADMIN", "SYS_TIME"]);
    assert_eq!(c.extra_hosts.len(), 2);
    assert_eq!((c.memory_bytes, c.nano_cpus), (Some(1 << 30), Some(2_000_000_000)));
    assert_eq!(c.restart, Restart::Always, "nothing overrides nothing");
    assert!(model.services.contains_key("cache"));
}

#[test]
fn another_logging_driver_takes_no_options_from_the_old_one() {
    let base = "services: { web: { image: x, logging: { driver: json-file, options: { max-size: 1m } } } }";
    let over = "services: { web: { logging: { driver: journald } } }";
    let model = resolve(&[("compose.yaml", base), ("compose.production.yaml", over)]);
    assert!(model.services["web"].container.logging.as_ref().unwrap().options.is_empty());
}

#[test]
fn reset_takes_away_and_override_replaces() {
    let base = "
services:
  web: { image: x, ports: ['80:80'], environment: { A: 1, B: 2 }, command: a, dns: 10.0.0.1, labels: { a: b } }
  debug: { image: y }
";
    let over = "
services:
  web:
    ports: !override ['81:81']
    environment: { A: !reset , C: 3 }
    command: !reset
    labels: !reset {}
  debug: !reset
";
    let model = resolve(&[("compose.yaml", base), ("compose.production.yaml", over)]);
    assert_eq!(model.services.len(), 1);
    let c = &model.services["web"].container;
    assert_eq!(c.ports.iter().map(|port| port.target).collect::<Vec<_>>(), [81]);
    assert_eq!(c.environment.keys().collect::<Vec<_>>(), ["B", "C"]);
    assert_eq!((c.command.as_ref(), c.dns.len(), c.labels.len()), (None, 1, 0));
}

#[test]
fn extends_takes_everything_from_the_base_and_paths_count_from_its_file() {
    let base = "
services:
  base:
    extends: root
    volumes: ['./conf:/etc/conf']
    env_file: base.env
    environment: { A: base, B: base }
  root: { image: 'shop/base:${TAG}', ports: ['80:80'] }
";
    let compose = "
services:
  web:
    extends: { service: base, file: common/base.yaml }
    environment: { B: own }
    ports: ['81:81']
  worker: { extends: web, ports: !reset [], command: work }
";
    let model = resolve(&[
        ("compose.yaml", compose),
        ("common/base.yaml", base),
        ("common/conf", "x"),
        ("common/base.env", "E=1"),
        (".env", "TAG=7"),
    ]);
    let web = &model.services["web"].container;
    assert_eq!(web.image.tag.as_deref(), Some("7"));
    assert_eq!(web.ports.len(), 2);
    assert!(matches!(&web.mounts[0].source, MountSource::Repo { path, .. } if path.as_str() == "stacks/shop/common/conf"));
    assert_eq!(web.environment.values().collect::<Vec<_>>(), ["base", "own", "1"]);
    let worker = &model.services["worker"].container;
    assert_eq!((worker.ports.len(), worker.environment["B"].as_str()), (0, "own"));
}

#[test]
fn include_brings_services_with_their_own_paths_and_variables_and_ours_win() {
    let part = "
services:
  db: { image: 'db:${DB_TAG}', volumes: ['./init.sql:/init.sql', 'data:/data'], environment: { A: part, B: part } }
volumes: { data: {} }
";
    let compose = "
include: [db/part.yaml]
services:
  web: { image: web, depends_on: [db] }
  db: { environment: { B: ours } }
";
    let over = "services: { db: { environment: { C: production } } }";
    let model = resolve(&[
        ("compose.yaml", compose),
        ("compose.production.yaml", over),
        ("db/part.yaml", part),
        ("db/init.sql", "x"),
        ("db/.env", "DB_TAG=1\n"),
    ]);
    let db = &model.services["db"].container;
    assert_eq!(db.image.tag.as_deref(), Some("1"));
    assert_eq!(db.environment.values().collect::<Vec<_>>(), ["part", "ours", "production"]);
    assert!(matches!(&db.mounts[1].source, MountSource::Repo { path, .. } if path.as_str() == "stacks/shop/db/init.sql"));
    assert!(model.volumes.contains_key("data"));
}

#[test]
fn variables_come_from_the_env_files_and_the_environments_own_wins() {
    let compose = "services: { web: { image: 'web:${TAG}', environment: { P: '${COMPOSE_PROJECT_NAME}', E: '${EMPTY:-}', L: '$$5' } } }";
    let model =
        resolve(&[("compose.yaml", compose), (".env", "TAG=1\nBASE=x"), (".env.production", "TAG=2-${BASE}"), (".env.staging", "TAG=3")]);
    let web = &model.services["web"].container;
    assert_eq!(web.image.tag.as_deref(), Some("2-x"));
    assert_eq!(web.environment.values().collect::<Vec<_>>(), ["", "$5", "shop"]);
}

#[test]
fn anchors_and_merge_keys_work_as_in_compose() {
    let compose = "
x-env: &env { A: shared, B: shared }
x-base: &base { image: shop/base, restart: always }
services:
  web: { <<: *base, environment: { <<: *env, B: own } }
  api: { <<: [*base, { init: true, restart: 'no' }], environment: *env }
";
    let model = resolve(&[("compose.yaml", compose)]);
    assert_eq!(model.services["web"].container.environment["B"], "own");
    let api = &model.services["api"].container;
    assert_eq!((api.restart, api.init), (Restart::Always, Some(true)));
}

#[test]
fn profiles_are_active_when_an_env_file_says_so() {
    let compose = "services: { web: { image: x }, debug: { image: y, profiles: [debug, test] }, job: { image: z, profiles: [jobs] } }";
    let names =
        |env: &str| resolve(&[("compose.yaml", compose), (".env", env)]).services.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(""), ["web"]);
    assert_eq!(names("COMPOSE_PROFILES=test"), ["debug", "web"]);
    assert_eq!(names("COMPOSE_PROFILES=jobs,debug"), ["debug", "job", "web"]);
}

#[test]
fn only_what_services_use_is_in_the_model() {
    let compose = "
services: { web: { image: x, networks: [front], volumes: ['data:/d'] } }
networks: { front: { driver: bridge, internal: true, labels: [a=b] }, back: {} }
volumes: { data: { driver: local, name: shop-data }, other: {}, ext: { external: true } }
";
    let model = resolve(&[("compose.yaml", compose)]);
    assert_eq!(model.networks.keys().collect::<Vec<_>>(), ["front"]);
    assert!(model.networks["front"].internal && model.networks["front"].driver.is_none());
    assert_eq!(model.volumes["data"].name.as_deref(), Some("shop-data"));
    assert_eq!(model.volumes.len(), 1);
}

#[test]
fn plain_attributes_arrive_as_they_are_written() {
    let model = web("pull_policy: never
working_dir: /app
user: \"1000:1000\"
hostname: shopper
init: true
read_only: true
stop_signal: SIGINT
stop_grace_period: 2.5s
security_opt: [\"no-new-privileges:true\"]
shm_size: 64m
mem_reservation: 32m
ports: [\"127.0.0.1::5000\", \"[::1]:6000:6000/udp\"]
deploy:
  update_config: { parallelism: 2, delay: 1s, order: start-first, monitor: 10s, failure_action: rollback, max_failure_ratio: 0 }
  placement: { constraints: [\"node.labels.zone==a\", \"node.labels.role != db\"] }
x-anything: { is: [fine] }");
    let service = &model.services["web"];
    let c = &service.container;
    assert_eq!(service.pull_policy, PullPolicy::Never);
    assert_eq!((c.working_dir.as_deref(), c.user.as_deref(), c.hostname.as_deref()), (Some("/app"), Some("1000:1000"), Some("shopper")));
    assert_eq!((c.init, c.read_only, c.stop_signal.as_deref(), c.stop_grace_period_ms), (Some(true), true, Some("SIGINT"), Some(2_500)));
    assert_eq!((c.shm_size_bytes, c.memory_reservation_bytes, c.security_opt.len()), (Some(64 << 20), Some(32 << 20), 1));
    let ports = [
        Port { target: 5000, protocol: Protocol::Tcp, published: None, host_ip: Some("127.0.0.1".into()) },
        Port { target: 6000, protocol: Protocol::Udp, published: Some(6000), host_ip: Some("::1".into()) },
    ];
    assert_eq!(c.ports, ports);
    let update = &service.update;
    assert_eq!(
        (update.parallelism, update.delay_ms, update.order, update.monitor_ms),
        (Some(2), 1_000, Some(UpdateOrder::StartFirst), Some(10_000))
    );
    let constraints: Vec<(&str, bool)> = service.constraints.iter().map(|rule| (rule.label.as_str(), rule.equal)).collect();
    assert_eq!(constraints, [("role", false), ("zone", true)]);
}

#[test]
fn secrets_and_configs_become_files_at_their_places() {
    let compose = "
services:
  web: { image: x, secrets: [token, { source: token, target: other }, { source: token, target: /abs }], configs: [motd, { source: motd, target: etc/motd }] }
secrets: { token: { file: ./token } }
configs: { motd: { file: ./motd } }
";
    let model = resolve(&[("compose.yaml", compose), ("token", "t"), ("motd", "m")]);
    let targets: Vec<&str> = model.services["web"].container.mounts.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(targets, ["/abs", "/etc/motd", "/motd", "/run/secrets/other", "/run/secrets/token"]);
    assert!(model.services["web"].container.mounts.iter().all(|mount| mount.read_only));
}

#[test]
fn what_has_no_effect_is_a_warning_and_the_stack_still_works() {
    let listed = files(&[(
        "stacks/shop/compose.yaml",
        "services: { web: { image: x, deploy: { restart_policy: { condition: on-failure, delay: 5s, max_attempts: 3 } } } }",
    )]);
    let (model, findings) = resolve_with_warnings(&listed, &"production".parse().unwrap(), &"shop".parse().unwrap());
    assert_eq!(model.unwrap().services["web"].container.restart, Restart::OnFailure(Some(3)));
    assert_eq!(
        findings.iter().map(|finding| (finding.severity, finding.code.as_str())).collect::<Vec<_>>(),
        [(Severity::Warning, "no_effect")]
    );
}

#[test]
fn a_mounted_file_has_the_identity_under_which_an_agent_puts_it_on_disk() {
    let listed = [
        ("stacks/shop/compose.yaml", "services: { web: { image: x, volumes: ['./conf:/conf:ro', './conf/a:/a:ro'] } }"),
        ("stacks/shop/conf/a", "alpha"),
        ("stacks/shop/conf/deep/b", "beta"),
    ];
    let files = support::files(&listed);
    let model = resolve_stack(&files, &"production".parse().unwrap(), &"shop".parse().unwrap()).unwrap();
    for mount in &model.services["web"].container.mounts {
        let MountSource::Repo { path, content } = &mount.source else { panic!("{mount:?}") };
        assert_eq!(Some(content), tidegate_core::files::repo_content(&files, path).as_ref(), "{path}");
    }
}
