//! A rendered stack read again is the same stack, for any stack; and so is what its hosts must have.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failing test")]

mod support;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::files;
use tidegate_core::compose::*;
use tidegate_core::desired::{Naming, Source, desired_stack};
use tidegate_core::ids::{ContentId, ServiceName};

const FILE: &str = "port = 80\n";

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~éü\n\t]{0,12}", "[$]{1,3}[{]?[A-Z]{0,3}[}]?", Just("no".to_owned()), Just("22:22".to_owned()), Just("~".to_owned())]
}

fn key() -> impl Strategy<Value = String> {
    "[A-Z_][A-Z0-9_.-]{0,8}|[a-z0-9]{1,6}|on|null"
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(key(), text(), 0..4)
}

fn ms() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..5_000, (1_u64..10_000).prop_map(|secs| secs * 1000)]
}

fn image() -> impl Strategy<Value = ImageRef> {
    let digest = || format!("sha256:{}", "0a".repeat(32)).parse().unwrap();
    ("(r[.]example(:5000)?|docker[.]io/library|localhost)/[a-z]{1,5}(/[a-z]{1,4})?:[a-z0-9]{1,4}", any::<bool>()).prop_map(
        move |(name, pinned)| {
            let mut image: ImageRef = name.parse().unwrap();
            image.digest = pinned.then(digest);
            image
        },
    )
}

fn health() -> impl Strategy<Value = Healthcheck> {
    let test =
        prop_oneof![Just(HealthTest::Inherit), vec(text(), 1..3).prop_map(HealthTest::Cmd), "[a-z $]{1,9}".prop_map(HealthTest::Shell)];
    (test, of(ms()), of(ms()), of(0_u32..9), of(ms()), of(ms())).prop_map(|(test, interval, timeout, retries, start, each)| Healthcheck {
        test,
        interval_ms: interval,
        timeout_ms: timeout,
        retries,
        start_period_ms: start,
        start_interval_ms: each,
    })
}

fn mounts() -> impl Strategy<Value = Vec<Mount>> {
    let content = ContentId::of(&[("", false, ContentId::of_bytes(FILE.as_bytes()))]);
    let source = prop_oneof![
        "data|cache".prop_map(|key| MountSource::Volume { key }),
        Just(MountSource::Anonymous),
        "/srv/[a-z]{1,4}".prop_map(|path| MountSource::Bind { path }),
        Just(MountSource::Repo { path: "stacks/shop/config/a.toml".parse().unwrap(), content }),
        (of(1_u64..1 << 30), of(0_u32..0o1777), btree_set("exec|suid|uid=[0-9]{1,4}", 0..3))
            .prop_map(|(size_bytes, mode, options)| MountSource::Tmpfs { size_bytes, mode, options }),
    ];
    btree_map("/[a-z]{1,6}(/[a-z:]{1,3})?", (source, any::<bool>()), 0..4).prop_map(|found| {
        let mount = |(target, (source, read_only)): (String, (MountSource, bool))| {
            let read_only = read_only || matches!(source, MountSource::Repo { .. });
            // The short form, which alone has more options, cannot say a target with a colon.
            let source = match source {
                MountSource::Tmpfs { size_bytes, mode, .. } if target.contains(':') => {
                    MountSource::Tmpfs { size_bytes, mode, options: BTreeSet::new() }
                }
                other => other,
            };
            Mount { target, source, read_only }
        };
        found.into_iter().map(mount).collect()
    })
}

fn attachments() -> impl Strategy<Value = BTreeMap<String, Attachment>> {
    btree_map("default|front|back", btree_set("[a-z]{1,5}", 0..3).prop_map(|aliases| Attachment { aliases }), 1..3)
}

prop_compose! {
    fn process()(
        image in image(), command in of(vec(text(), 0..4)), entrypoint in of(vec(text(), 0..3)), environment in texts(),
        working_dir in of("/[a-z]{0,4}"), user in of("[a-z]{1,4}(:[0-9]{1,4})?"), hostname in of("[a-z]{1,6}"), labels in texts(),
        init in of(any::<bool>()), read_only in any::<bool>(), healthcheck in of(health()), grace in of(ms())
    ) -> ContainerModel {
        ContainerModel {
            command, entrypoint, environment, working_dir, user, hostname, labels, init, read_only, healthcheck,
            stop_signal: init.map(|_| "SIGTERM".to_owned()), stop_grace_period_ms: grace, ..ContainerModel::new(image)
        }
    }
}

prop_compose! {
    fn container()(
        base in process(), networks in attachments(), mounts in mounts(),
        restart in prop_oneof![Just(Restart::No), Just(Restart::Always), Just(Restart::UnlessStopped), of(0_u32..9).prop_map(Restart::OnFailure)],
        expose in btree_set("[1-9][0-9]{0,3}/(tcp|udp)", 0..3), hosts in btree_set("[a-z]{1,4}:(10[.]0[.]0[.][1-9]|host-gateway|::1)", 0..3),
        limits in (of(1_u64..1 << 40), of(1_u64..1 << 40), of(1_u64..64_000_000_000), of(-1_i64..4096), of(1_u64..1 << 40)),
        caps in btree_set("NET_ADMIN|CHOWN|KILL", 0..3), sysctls in btree_map("net[.][a-z]{1,4}", text(), 0..2),
        ulimits in btree_map("nofile|nproc", (-1_i64..9).prop_map(|limit| Ulimit { soft: limit, hard: limit }), 0..2),
        logging in of(texts().prop_map(|options| Logging { driver: "json-file".to_owned(), options })),
        device in of("/dev/[a-z]{1,4}")
    ) -> ContainerModel {
        ContainerModel {
            networks, mounts, restart, expose, extra_hosts: hosts, cap_add: caps.clone(), cap_drop: caps, sysctls, ulimits, logging,
            memory_bytes: limits.0, memory_reservation_bytes: limits.1, nano_cpus: limits.2, pids_limit: limits.3, shm_size_bytes: limits.4,
            dns: limits.3.map(|_| "192.0.2.1".to_owned()).into_iter().collect(),
            security_opt: limits.2.map(|_| "no-new-privileges:true".to_owned()).into_iter().collect(),
            devices: device.map(|path| Device { host: path.clone(), container: path, permissions: "rw".to_owned() }).into_iter().collect(),
            ..base
        }
    }
}

fn update() -> impl Strategy<Value = UpdateModel> {
    let order = of(prop_oneof![Just(UpdateOrder::StartFirst), Just(UpdateOrder::StopFirst)]);
    (of(0_u32..9), ms(), order, of(ms())).prop_map(|(parallelism, delay_ms, order, monitor_ms)| UpdateModel {
        parallelism,
        delay_ms,
        order,
        monitor_ms,
    })
}

prop_compose! {
    fn service()(
        container in container(), replicas in 0_u32..4, update in update(), rollback in update(), labels in texts(),
        constraints in btree_set(("zone|role", any::<bool>(), "[a-c]"), 0..2),
        pull_policy in prop_oneof![Just(PullPolicy::Missing), Just(PullPolicy::Always), Just(PullPolicy::Never)],
        bake_ms in of(ms()), health_timeout_ms in of(ms()), fixed in any::<bool>(), published in any::<bool>()
    ) -> (Service, bool, bool) {
        let constraints = constraints.into_iter().map(|(label, equal, value)| Constraint { label, equal, value }).collect();
        let release = ReleaseKnobs { bake_ms, health_timeout_ms };
        let service = Service {
            replicas, update, rollback, labels, constraints, pull_policy, release, ..Service::new(container)
        };
        (service, fixed && replicas <= 1, published && replicas <= 1)
    }
}

fn network() -> impl Strategy<Value = NetworkModel> {
    let own = (of(Just("macvlan".to_owned())), any::<bool>(), texts()).prop_map(|(driver, internal, labels)| NetworkModel {
        driver,
        internal,
        labels,
        ..NetworkModel::default()
    });
    let external = of("[a-z]{2,5}").prop_map(|name| NetworkModel { name, external: true, ..NetworkModel::default() });
    prop_oneof![own, external, Just(NetworkModel::default())]
}

fn networks() -> impl Strategy<Value = BTreeMap<String, NetworkModel>> {
    (network(), network(), Just(NetworkModel::default()))
        .prop_map(|(front, back, default)| [("front", front), ("back", back), ("default", default)].map(|(k, v)| (k.to_owned(), v)).into())
}

/// A stack that the reader takes: dependencies go to earlier services, ports and fixed names are each used once.
fn stack() -> impl Strategy<Value = StackModel> {
    let conditions = [Condition::ServiceStarted, Condition::ServiceHealthy, Condition::ServiceCompletedSuccessfully];
    let depends = vec((0_usize..3, any::<bool>(), any::<bool>()), 3);
    (vec(service(), 1..4), networks(), texts(), depends).prop_map(move |(found, networks, labels, depends)| {
        let mut services: BTreeMap<ServiceName, Service> = BTreeMap::new();
        for (number, (mut service, fixed, published)) in found.into_iter().enumerate() {
            let port = u16::try_from(8000 + number).unwrap();
            service.container.container_name = fixed.then(|| format!("fixed-{number}"));
            if published {
                let host_ip = (number % 2 == 0).then(|| "::1".to_owned());
                service.container.ports = vec![
                    Port { target: 53, protocol: Protocol::Udp, published: Some(port), host_ip },
                    Port { target: 80, protocol: Protocol::Tcp, published: None, host_ip: None },
                ];
            }
            for (name, (condition, required, wanted)) in services.keys().zip(&depends) {
                if *wanted {
                    let dependency = Dependency { condition: conditions[*condition], required: *required };
                    service.depends_on.insert(name.clone(), dependency);
                }
            }
            services.insert(format!("s{number}").parse().unwrap(), service);
        }
        let containers = || services.values().map(|service| &service.container);
        let used: BTreeSet<&String> = containers().flat_map(|container| container.networks.keys()).collect();
        let networks = networks.into_iter().filter(|(key, _)| used.contains(key)).collect();
        let volume = |mount: &Mount| match &mount.source {
            MountSource::Volume { key } => Some(key.clone()),
            _ => None,
        };
        let volumes = containers().flat_map(|container| &container.mounts).filter_map(volume);
        let volumes = volumes.map(|key| (key, VolumeModel { labels: labels.clone(), ..VolumeModel::default() })).collect();
        StackModel { name: "shop".parse().unwrap(), services, networks, volumes }
    })
}

fn read(text: &str) -> StackModel {
    let files = files(&[("stacks/shop/compose.yaml", text), ("stacks/shop/config/a.toml", FILE)]);
    resolve_stack(&files, &"production".parse().unwrap(), &"shop".parse().unwrap()).unwrap_or_else(|findings| {
        panic!("{findings:#?}\n{text}");
    })
}

fn labels(zone: &str) -> BTreeMap<String, String> {
    [("zone".to_owned(), zone.to_owned())].into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rendered_stack_reads_as_itself(stack in stack()) {
        let text = render(&stack);
        let again = read(&text);
        prop_assert_eq!(&again, &stack, "{}", text);
        prop_assert_eq!(render(&again), text);
    }

    #[test]
    fn what_is_placed_on_a_host_gives_that_host_the_same_containers(stack in stack(), zone in "[a-c]") {
        let here = placed(&stack, &labels(&zone));
        if here.services.is_empty() {
            return Ok(());
        }
        let naming = Naming { prefix: String::new() };
        let source = Source { commit: "1".repeat(40).parse().unwrap(), release: None };
        let desired = |stack: &StackModel| desired_stack(stack, &source, &naming, &labels(&zone));
        prop_assert_eq!(desired(&read(&render(&here))), desired(&here));
        let (mut whole, part) = (desired(&stack), desired(&here));
        // The content is that of the whole stack, and a job's identity holds it; all else is equal.
        whole.content = part.content.clone();
        for (service, other) in whole.services.iter_mut().zip(&part.services).filter(|(service, _)| service.one_shot) {
            service.containers.clone_from(&other.containers);
        }
        prop_assert_eq!(whole, part);
    }
}
