//! Every attribute of the model, as the engine has it afterwards.

use crate::harness::{World, run_id};
use bollard::models::ContainerInspectResponse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_agent::apply::ApplyOutcome;
use tidegate_agent::engine::{Engine, EngineError};
use tidegate_agent::materialise::Materialised;
use tidegate_core::compose::{
    Attachment, Device, HealthTest, Healthcheck, Logging, Mount, MountSource, Port, Protocol, Restart, Service, Ulimit,
};
use tidegate_core::files::{RepoFiles, repo_content};

async fn inspect(world: &World, service: &str) -> ContainerInspectResponse {
    let name = world.only(service).await;
    world.raw.inspect_container(&name, None::<bollard::query_parameters::InspectContainerOptions>).await.unwrap()
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn set(entries: &[&str]) -> BTreeSet<String> {
    entries.iter().map(|e| (*e).to_owned()).collect()
}

fn everything(world: &World) -> Service {
    let mut service = world.service(1);
    let c = &mut service.container;
    c.command = Some(vec!["serve".into()]);
    c.entrypoint = Some(vec!["/app".into()]);
    c.environment = map(&[("A", "1"), ("EMPTY", ""), ("WITH", "a=b c")]);
    c.working_dir = Some("/tmp".into());
    c.user = Some("1000:1000".into());
    c.hostname = Some("shopper".into());
    c.labels = map(&[("team", "web"), ("tidegate.hash", "forged"), ("tidegate.test", &run_id())]);
    c.init = Some(true);
    c.read_only = true;
    c.stop_signal = Some("SIGINT".into());
    c.stop_grace_period_ms = Some(2_500);
    c.restart = Restart::OnFailure(Some(4));
    c.ports = vec![
        Port { target: 8080, protocol: Protocol::Tcp, published: None, host_ip: Some("127.0.0.1".into()) },
        Port { target: 53, protocol: Protocol::Udp, published: None, host_ip: None },
    ];
    c.expose = set(&["9000", "9001/udp"]);
    c.networks = BTreeMap::from([("default".into(), Attachment { aliases: set(&["www"]) })]);
    c.extra_hosts = set(&["db:10.0.0.5"]);
    c.dns = vec!["9.9.9.9".into()];
    c.ulimits = BTreeMap::from([("nofile".into(), Ulimit { soft: 1000, hard: 2000 })]);
    c.cap_add = set(&["NET_ADMIN"]);
    c.cap_drop = set(&["CHOWN"]);
    c.security_opt = set(&["no-new-privileges:true"]);
    c.devices = vec![Device { host: "/dev/null".into(), container: "/dev/void".into(), permissions: "rw".into() }];
    c.shm_size_bytes = Some(8 << 20);
    c.sysctls = map(&[("net.core.somaxconn", "512")]);
    c.logging = Some(Logging { driver: "json-file".into(), options: map(&[("max-size", "1m")]) });
    c.memory_bytes = Some(64 << 20);
    c.memory_reservation_bytes = Some(32 << 20);
    c.nano_cpus = Some(500_000_000);
    c.pids_limit = Some(50);
    c.healthcheck = Some(Healthcheck {
        test: HealthTest::Cmd(vec!["/app".into(), "healthcheck".into()]),
        interval_ms: Some(300),
        timeout_ms: Some(2_000),
        retries: Some(5),
        start_period_ms: Some(1_500),
        start_interval_ms: Some(100),
    });
    service
}

#[tokio::test]
async fn every_attribute_reaches_the_engine() {
    let mut world = World::new().await;
    let one = world.desired(&world.stack(&[("web", everything(&world))]), 7);
    let outcome = world.deploy(&one).await;
    assert!(matches!(outcome, ApplyOutcome::Done), "{outcome:?}");
    let found = inspect(&world, "web").await;
    check_config(&world, &found);
    check_host_config(&found);
    let network = &found.network_settings.as_ref().unwrap().networks.as_ref().unwrap()[&format!("{}-shop_default", world.id)];
    let aliases = network.aliases.as_ref().unwrap();
    assert!(aliases.contains(&"www".to_owned()) && aliases.contains(&"web".to_owned()), "{aliases:?}");
}

fn check_config(world: &World, found: &ContainerInspectResponse) {
    let config = found.config.as_ref().unwrap();
    assert_eq!(config.cmd.as_deref().unwrap(), ["serve"]);
    assert_eq!(config.entrypoint.as_deref().unwrap(), ["/app"]);
    for line in ["A=1", "EMPTY=", "WITH=a=b c", "VERSION=1"] {
        assert!(config.env.as_ref().unwrap().contains(&line.to_owned()), "{line}");
    }
    assert_eq!(config.working_dir.as_deref(), Some("/tmp"));
    assert_eq!(config.user.as_deref(), Some("1000:1000"));
    assert_eq!(config.hostname.as_deref(), Some("shopper"));
    assert_eq!(config.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(config.stop_timeout, Some(3), "2.5 s, rounded up");
    let mut exposed = config.exposed_ports.clone().unwrap();
    exposed.sort();
    assert_eq!(exposed, ["53/udp", "8080/tcp", "9000/tcp", "9001/udp"]);
    let labels = config.labels.as_ref().unwrap();
    for (key, value) in [
        ("team", "web"),
        ("tidegate.scope", world.scope.as_str()),
        ("tidegate.stack", "shop"),
        ("tidegate.service", "web"),
        ("tidegate.replica", "1"),
        ("tidegate.release", "7"),
        ("tidegate.commit", &"c".repeat(40)),
        ("com.docker.compose.project", &format!("{}-shop", world.id)),
        ("com.docker.compose.service", "web"),
        ("com.docker.compose.container-number", "1"),
        ("com.docker.compose.oneoff", "False"),
    ] {
        assert_eq!(labels.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(labels["tidegate.hash"].len(), 64, "a label of the user's cannot replace ours");
    let check = config.healthcheck.as_ref().unwrap();
    assert_eq!(check.test.as_deref().unwrap(), ["CMD", "/app", "healthcheck"]);
    let times = (check.interval, check.timeout, check.retries, check.start_period);
    assert_eq!(times, (Some(300_000_000), Some(2_000_000_000), Some(5), Some(1_500_000_000)));
}

fn check_host_config(found: &ContainerInspectResponse) {
    let host = found.host_config.as_ref().unwrap();
    assert_eq!((host.init, host.readonly_rootfs), (Some(true), Some(true)));
    let restart = host.restart_policy.as_ref().unwrap();
    assert_eq!((restart.name.unwrap().to_string().as_str(), restart.maximum_retry_count), ("on-failure", Some(4)));
    let bindings = host.port_bindings.as_ref().unwrap();
    assert_eq!(bindings["8080/tcp"].as_ref().unwrap()[0].host_ip.as_deref(), Some("127.0.0.1"));
    assert!(bindings.contains_key("53/udp"));
    assert_eq!(host.extra_hosts.as_deref().unwrap(), ["db:10.0.0.5"]);
    assert_eq!(host.dns.as_deref().unwrap(), ["9.9.9.9"]);
    let limit = &host.ulimits.as_ref().unwrap()[0];
    assert_eq!((limit.name.as_deref(), limit.soft, limit.hard), (Some("nofile"), Some(1000), Some(2000)));
    assert!(host.cap_add.as_ref().unwrap()[0].ends_with("NET_ADMIN") && host.cap_drop.as_ref().unwrap()[0].ends_with("CHOWN"));
    assert_eq!(host.security_opt.as_deref().unwrap(), ["no-new-privileges:true"]);
    assert_eq!(host.devices.as_ref().unwrap()[0].path_in_container.as_deref(), Some("/dev/void"));
    assert_eq!(host.shm_size, Some(8 << 20));
    assert_eq!(host.sysctls.as_ref().unwrap()["net.core.somaxconn"], "512");
    let log = host.log_config.as_ref().unwrap();
    assert_eq!((log.typ.as_deref(), log.config.as_ref().unwrap()["max-size"].as_str()), (Some("json-file"), "1m"));
    assert_eq!((host.memory, host.memory_reservation), (Some(64 << 20), Some(32 << 20)));
    assert_eq!((host.nano_cpus, host.pids_limit), (Some(500_000_000), Some(50)));
    assert_eq!(host.binds, None, "a missing bind source would become a folder of root's");
}

#[tokio::test]
async fn each_form_of_health_check_reaches_the_engine() {
    let mut world = World::new().await;
    let with = |test: HealthTest| {
        let mut service = world.service(1);
        service.container.healthcheck = Some(Healthcheck { test, ..crate::harness::healthcheck() });
        service.release.health_timeout_ms = Some(5_000);
        service
    };
    let services = [("off", with(HealthTest::Disabled)), ("inherit", with(HealthTest::Inherit))];
    let one = world.desired(&world.stack(&services), 1);
    assert!(matches!(world.deploy(&one).await, ApplyOutcome::Done));
    let test = async |world: &World, service: &str| inspect(world, service).await.config.unwrap().healthcheck.and_then(|h| h.test);
    assert_eq!(test(&world, "off").await.unwrap(), ["NONE"]);
    // The image has no check of its own, so there is none to inherit.
    assert_eq!(test(&world, "inherit").await.unwrap_or_default(), Vec::<String>::new());

    let mut shell = world.service(1);
    shell.container.healthcheck = Some(Healthcheck { test: HealthTest::Shell("exit 0".into()), ..crate::harness::healthcheck() });
    let two = world.desired(&world.stack(&[("shell", shell)]), 2);
    let plan = world.plan_to(&two).await.unwrap();
    // There is no shell in the image: what counts here is the form.
    assert!(matches!(world.apply(&plan).await, ApplyOutcome::Failed(_)));
    assert_eq!(test(&world, "shell").await.unwrap(), ["CMD-SHELL", "exit 0"]);
}

#[tokio::test]
async fn each_kind_of_mount_reaches_the_engine() {
    let mut world = World::new().await;
    let mut files = RepoFiles::default();
    files.insert_text("stacks/shop/conf/a.txt".parse().unwrap(), "alpha");
    let path = |text: &str| text.parse().unwrap();
    let repo = |text: &str, target: &str, files: &RepoFiles| Mount {
        target: target.into(),
        source: MountSource::Repo { path: path(text), content: repo_content(files, &path(text)).unwrap() },
        read_only: false,
    };
    let mut service = world.service(1);
    service.container.mounts = vec![
        Mount { target: "/anonymous".into(), source: MountSource::Anonymous, read_only: false },
        Mount { target: "/bind".into(), source: MountSource::Bind { path: "/etc".into() }, read_only: true },
        Mount { target: "/data".into(), source: MountSource::Volume { key: "data".into() }, read_only: false },
        repo("stacks/shop/conf", "/repo", &files),
        repo("stacks/shop/conf/a.txt", "/repo-file", &files),
        Mount {
            target: "/tmp".into(),
            source: MountSource::Tmpfs { size_bytes: Some(1 << 20), mode: Some(0o1777), options: BTreeSet::new() },
            read_only: false,
        },
    ];
    let one = world.desired(&world.stack(&[("web", service)]), 1);

    let too_early = world.docker.create(&one.services[0].containers[0], &belongs(&one)).await;
    assert!(matches!(too_early, Err(EngineError::Unable { .. })), "files of ours that are missing are no verdict: {too_early:?}");
    let store = Materialised::new(world.state.path());
    store.ensure(Arc::new(files), one.repo_mounts()).await.unwrap();
    let outcome = world.deploy(&one).await;
    assert!(matches!(outcome, ApplyOutcome::Done), "{outcome:?}");

    let found = inspect(&world, "web").await;
    let mounts = found.mounts.unwrap();
    let at = |target: &str| mounts.iter().find(|m| m.destination.as_deref() == Some(target)).unwrap_or_else(|| panic!("{target}"));
    assert_eq!(at("/anonymous").typ.as_deref(), Some("volume"));
    assert_eq!((at("/bind").rw, at("/bind").source.as_deref()), (Some(false), Some("/etc")));
    assert_eq!((at("/data").rw, at("/data").name.clone()), (Some(true), Some(format!("{}-shop_data", world.id))));
    assert_eq!(at("/repo").rw, Some(false), "what git holds is shared and not written to");
    assert!(at("/repo-file").source.as_ref().unwrap().starts_with(world.state.path().to_str().unwrap()));
    assert_eq!(at("/tmp").typ.as_deref(), Some("tmpfs"));
    let tmpfs = found.host_config.unwrap().mounts.unwrap().into_iter().find(|m| m.target.as_deref() == Some("/tmp")).unwrap();
    assert_eq!(tmpfs.tmpfs_options.map(|o| (o.size_bytes, o.mode)), Some((Some(1 << 20), Some(0o1777))));
}

fn belongs(stack: &tidegate_core::desired::DesiredStack) -> tidegate_agent::engine::Belongs {
    tidegate_agent::engine::Belongs {
        stack: stack.stack.clone(),
        project: stack.project.clone(),
        service: stack.services[0].name.clone(),
        release: stack.release,
        commit: stack.commit.clone(),
    }
}
