//! Deploy, replace, undo, repair, prune; health; events.

use crate::harness::{World, until};
use std::time::{Duration, Instant};
use tidegate_agent::apply::{Apply, ApplyOutcome, Cause};
use tidegate_agent::engine::{Engine, EngineError};
use tidegate_core::compose::{Condition, Dependency, ImageRef, Mount, MountSource, Port, Protocol, PullPolicy, Restart};
use tidegate_core::ids::ServiceName;
use tidegate_core::observed::{ContainerState, Health};
use tidegate_core::plan::{Action, Offer};
use tokio_util::sync::CancellationToken;

fn done(outcome: ApplyOutcome) {
    assert!(matches!(outcome, ApplyOutcome::Done), "{outcome:?}");
}

fn depends(service: &mut tidegate_core::compose::Service, on: &str, condition: Condition) {
    service.depends_on.insert(ServiceName::try_from(on).unwrap(), Dependency { condition, required: true });
}

#[tokio::test]
async fn a_stack_is_deployed_replaced_undone_and_removed_and_each_plan_is_empty_afterwards() {
    let mut world = World::new().await;
    let one = world.desired(&world.stack(&[("web", world.checked(1)), ("api", world.service(1))]), 1);
    done(world.deploy(&one).await);
    assert_eq!(world.plan_to(&one).await, None, "nothing is left to do");
    assert_eq!(world.containers().await, ["api-1 Running", "web-1 Running"]);
    let first = world.only("web").await;

    let two = world.desired(&world.stack(&[("web", world.checked(2)), ("api", world.service(1))]), 2);
    done(world.deploy(&two).await);
    assert_eq!(world.plan_to(&two).await, None);
    assert_eq!(world.containers().await, ["api-1 Running", "web-1 Running"]);
    assert_ne!(world.only("web").await, first);

    done(world.deploy(&one).await);
    assert_eq!(world.only("web").await, first, "the same content has the same name");

    let nothing = tidegate_core::desired::DesiredStack::nothing(
        one.stack.clone(),
        one.project.clone(),
        &tidegate_core::desired::Source { commit: one.commit.clone(), release: None },
    );
    let plan = world.plan(Offer::Nothing(Box::new(nothing))).await.unwrap();
    done(world.apply(&plan).await);
    let host = world.observe().await;
    assert!(host.containers.is_empty() && host.networks.is_empty(), "{host:?}");
}

#[tokio::test]
async fn an_unhealthy_version_is_a_verdict_with_last_words_and_the_way_back_keeps_the_old_one() {
    let mut world = World::new().await;
    let one = world.desired(&world.stack(&[("web", world.checked(1))]), 1);
    done(world.deploy(&one).await);
    let old = world.only("web").await;
    let started = world.docker.inspect(&old).await.unwrap().unwrap().started_at;

    let bad = world.desired(&world.stack(&[("web", world.checked(3))]), 2);
    let ApplyOutcome::Failed(failure) = world.deploy(&bad).await else { panic!("version 3 is never healthy") };
    assert!(matches!(failure.cause, Cause::Unhealthy { .. }), "{failure:?}");
    assert_eq!(failure.service.as_ref().unwrap().as_str(), "web");
    let words = failure.last_words.lines.join("\n");
    assert!(words.contains("cannot reach its database") && words.contains("health check ended with 1"), "{words}");

    // The new one started beside the old one: going back is removing it.
    done(world.deploy(&one).await);
    assert_eq!(world.only("web").await, old);
    assert_eq!(world.docker.inspect(&old).await.unwrap().unwrap().started_at, started, "the old one ran all the time");
}

#[tokio::test]
async fn a_held_port_moves_to_the_new_container_and_back() {
    let mut world = World::new().await;
    let with_port = |version| {
        let mut service = world.checked(version);
        service.container.ports =
            vec![Port { target: 8080, protocol: Protocol::Tcp, published: Some(port_of(&world)), host_ip: Some("127.0.0.1".into()) }];
        world.desired(&world.stack(&[("web", service)]), u64::from(version))
    };
    let (one, two, bad) = (with_port(1), with_port(2), with_port(3));
    let port = port_of(&world);
    done(world.deploy(&one).await);
    until("version 1 answers", async || ask(port).await == "1").await;
    done(world.deploy(&two).await);
    until("version 2 answers", async || ask(port).await == "2").await;
    assert!(matches!(world.deploy(&bad).await, ApplyOutcome::Failed(_)));
    done(world.deploy(&two).await);
    until("version 2 is back", async || ask(port).await == "2").await;
    assert_eq!(world.containers().await, ["web-1 Running"]);
}

/// Unlike that of other tests in this process or beside it.
fn port_of(world: &World) -> u16 {
    let sum: u32 = world.id.bytes().fold(0, |sum: u32, b| sum.wrapping_mul(31).wrapping_add(u32::from(b)));
    20_000 + u16::try_from(sum % 10_000).unwrap()
}

async fn ask(port: u16) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut connection) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await else { return String::new() };
    connection.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.ok();
    let mut text = String::new();
    connection.read_to_string(&mut text).await.ok();
    text.lines().last().unwrap_or_default().trim().to_owned()
}

#[tokio::test]
async fn drift_is_repaired_crashed_paused_stopped_and_removed() {
    let mut world = World::new().await;
    // Without a restart policy, a port and a health check, the end with 0 after a stop would be the end of a job.
    let mut kept = world.service(1);
    kept.container.restart = Restart::UnlessStopped;
    let services = [("a", world.service(1)), ("b", world.service(1)), ("c", kept), ("d", world.service(1))];
    let one = world.desired(&world.stack(&services), 1);
    done(world.deploy(&one).await);
    world.crash(&world.only("a").await).await;
    world.raw.pause_container(&world.only("b").await).await.unwrap();
    world.raw.stop_container(&world.only("c").await, None::<bollard::query_parameters::StopContainerOptions>).await.unwrap();
    let remove = bollard::query_parameters::RemoveContainerOptions { force: true, ..Default::default() };
    world.raw.remove_container(&world.only("d").await, Some(remove)).await.unwrap();
    until("the crash shows", async || world.containers().await.contains(&"a-1 Exited(137)".to_owned())).await;

    done(world.deploy(&one).await);
    assert_eq!(world.containers().await, ["a-1 Running", "b-1 Running", "c-1 Running", "d-1 Running"]);
    assert_eq!(world.plan_to(&one).await, None);
}

#[tokio::test]
async fn a_service_that_goes_away_is_pruned_with_its_network_and_volumes_stay() {
    let mut world = World::new().await;
    let mut worker = world.service(1);
    worker.container.networks.clear();
    worker.container.networks.insert("back".into(), Default::default());
    worker.container.mounts = vec![Mount { target: "/data".into(), source: MountSource::Volume { key: "data".into() }, read_only: false }];
    let both = world.desired(&world.stack(&[("web", world.service(1)), ("worker", worker)]), 1);
    done(world.deploy(&both).await);
    assert_eq!(world.observe().await.networks.len(), 2);

    let less = world.desired(&world.stack(&[("web", world.service(1))]), 2);
    done(world.deploy(&less).await);
    let host = world.observe().await;
    assert_eq!((host.containers.len(), host.networks.len(), host.volumes.len()), (1, 1, 1));
}

#[tokio::test]
async fn what_is_not_ours_is_neither_seen_nor_touched() {
    let mut world = World::new().await;
    let other = World::new().await;
    let one = world.desired(&world.stack(&[("web", world.service(1))]), 1);
    done(world.deploy(&one).await);
    assert!(other.observe().await.containers.is_empty());
    let name = world.only("web").await;
    for refused in [other.docker.stop(&name).await, other.docker.remove(&name).await] {
        assert!(matches!(refused, Err(EngineError::Refused { .. })), "{refused:?}");
    }
    let network = one.networks.keys().next().unwrap();
    let refused = other.docker.create_network(network, &Default::default(), &one.stack).await;
    assert!(matches!(&refused, Err(EngineError::Refused { cause, .. }) if cause.contains("external: true")), "{refused:?}");
    assert!(matches!(other.docker.remove_network(network).await, Err(EngineError::Refused { .. })));
    assert_eq!(world.containers().await, ["web-1 Running"]);
}

#[tokio::test]
async fn every_call_can_be_repeated() {
    let mut world = World::new().await;
    let mut service = world.service(1);
    service.container.networks.insert("back".into(), Default::default());
    let one = world.desired(&world.stack(&[("web", service)]), 1);
    let plan = world.plan_to(&one).await.unwrap();
    done(world.apply(&plan).await);
    done(world.apply(&plan).await);
    assert_eq!(world.containers().await, ["web-1 Running"]);
    let name = world.only("web").await;
    for _ in 0..2 {
        world.docker.stop(&name).await.unwrap();
    }
    for _ in 0..2 {
        world.docker.remove(&name).await.unwrap();
    }
    for network in one.networks.keys() {
        world.docker.remove_network(network).await.unwrap();
        world.docker.remove_network(network).await.unwrap();
    }
    world.docker.stop(&name).await.unwrap();
    done(world.deploy(&one).await);
}

#[tokio::test]
async fn a_container_on_several_networks_is_complete_under_its_own_name_or_not_there() {
    let mut world = World::new().await;
    let mut service = world.service(1);
    service.container.networks.insert("back".into(), Default::default());
    service.container.networks.insert("queue".into(), Default::default());
    let one = world.desired(&world.stack(&[("web", service)]), 1);
    done(world.deploy(&one).await);
    let found = world.raw.inspect_container(&world.only("web").await, None::<bollard::query_parameters::InspectContainerOptions>).await;
    let networks = found.unwrap().network_settings.unwrap().networks.unwrap();
    assert_eq!(networks.len(), 3);
    for (name, endpoint) in networks {
        assert!(endpoint.aliases.unwrap().contains(&"web".to_owned()), "{name}");
    }
}

#[tokio::test]
async fn one_shots_run_to_their_end_before_what_waits_for_them() {
    let mut world = World::new().await;
    let job = |code: &str, world: &World| {
        let mut service = world.service(1);
        service.container.command = Some(vec!["exit".into(), code.into(), "100".into()]);
        service
    };
    let stack = |code: &str, world: &World| {
        let mut web = world.service(1);
        depends(&mut web, "migrate", Condition::ServiceCompletedSuccessfully);
        world.desired(&world.stack(&[("web", web), ("migrate", job(code, world))]), 1)
    };
    let bad = stack("7", &world);
    let ApplyOutcome::Failed(failure) = world.deploy(&bad).await else { panic!("the job fails") };
    assert!(matches!(failure.cause, Cause::Exited { code: 7, .. }), "{failure:?}");
    assert!(!world.containers().await.contains(&"web-1 Running".to_owned()), "nothing starts after a failed job");
    let good = stack("0", &world);
    done(world.deploy(&good).await);
    assert_eq!(world.containers().await, ["migrate-1 Exited(0)", "web-1 Running"]);
    assert_eq!(world.plan_to(&good).await, None, "a job that ran is not run again");
}

#[tokio::test]
async fn a_crash_loop_is_told_at_once() {
    let mut world = World::new().await;
    let mut service = world.service(1);
    service.container.command = Some(vec!["exit".into(), "3".into()]);
    service.container.restart = Restart::Always;
    let one = world.desired(&world.stack(&[("web", service)]), 1);
    let began = Instant::now();
    let ApplyOutcome::Failed(failure) = world.deploy(&one).await else { panic!("it crashes") };
    assert!(matches!(failure.cause, Cause::Restarts { .. }), "{failure:?}");
    assert!(began.elapsed() < Duration::from_secs(15), "long before its deadline of 20 s");
}

#[tokio::test]
async fn a_start_that_the_engine_refuses_is_a_verdict() {
    let mut world = World::new().await;
    let mut service = world.service(1);
    service.container.entrypoint = Some(vec!["/no/such/program".into()]);
    let one = world.desired(&world.stack(&[("web", service)]), 1);
    let ApplyOutcome::Failed(failure) = world.deploy(&one).await else { panic!("it cannot start") };
    assert!(matches!(failure.cause, Cause::Refused(EngineError::Refused { .. })), "{failure:?}");
}

#[tokio::test]
async fn a_missing_bind_source_is_refused_and_no_folder_appears() {
    let mut world = World::new().await;
    let path = world.state.path().join("not-there");
    let mut service = world.service(1);
    let source = MountSource::Bind { path: path.to_str().unwrap().into() };
    service.container.mounts = vec![Mount { target: "/data".into(), source, read_only: false }];
    let one = world.desired(&world.stack(&[("web", service)]), 1);
    assert!(matches!(world.deploy(&one).await, ApplyOutcome::Failed(_)));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stop_from_outside_cuts_waits_short_and_the_next_plan_goes_on() {
    let world = World::new().await;
    let mut service = world.service(1);
    service.release.bake_ms = Some(60_000);
    let one = world.desired(&world.stack(&[("web", service)]), 1);
    let plan = world.plan_to(&one).await.unwrap();
    let stop = CancellationToken::new();
    let apply = Apply { engine: &world.docker, progress: &(), stop: &stop };
    let began = Instant::now();
    let cancel = async {
        until("it runs", async || world.containers().await == ["web-1 Running"]).await;
        stop.cancel();
    };
    let (outcome, ()) = tokio::join!(apply.run(&plan), cancel);
    assert!(matches!(outcome, ApplyOutcome::Stopped), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
    let rest = world.plan_to(&one).await.unwrap();
    assert!(matches!(rest.steps[..], [tidegate_core::plan::Step { action: Action::AwaitReady { .. }, .. }]), "{rest:?}");
}

#[tokio::test]
async fn events_wake_whoever_asked_before_they_happened() {
    let mut world = World::new().await;
    let services = [("web", world.checked(1)), ("api", world.service(1))];
    let one = world.desired(&world.stack(&services), 1);
    done(world.deploy(&one).await);
    let (web, api) = (world.only("web").await, world.only("api").await);
    until("it is healthy", async || world.docker.inspect(&web).await.unwrap().unwrap().health == Some(Health::Healthy)).await;

    // Asked first and awaited last: what happens in between counts.
    let (any, about_api, about_web) = (world.docker.changed(), world.docker.container_changed(&api), world.docker.container_changed(&web));
    world.crash(&api).await;
    until("the crash shows", async || world.docker.inspect(&api).await.unwrap().unwrap().state == ContainerState::Exited(137)).await;
    let wait = Duration::from_secs(10);
    tokio::time::timeout(wait, any).await.expect("something changed").unwrap();
    tokio::time::timeout(wait, about_api).await.expect("the api changed").unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(300), about_web).await;
    assert!(silence.is_err(), "health checks that pass again and again are no news: {silence:?}");
}

#[tokio::test]
async fn pulling_tells_no_from_not_now() {
    let world = World::new().await;
    let image = |registry: &str| ImageRef { registry: registry.into(), repository: "x/y".into(), tag: Some("1".into()), digest: None };
    let is_verdict = |result: Result<(), EngineError>| match result {
        Err(error @ EngineError::Pull { .. }) => error.is_verdict(),
        other => panic!("not pulled: {other:?}"),
    };
    world.docker.pull(&world.image(1), PullPolicy::Never).await.unwrap();
    world.docker.pull(&world.image(1), PullPolicy::Missing).await.unwrap();
    assert!(is_verdict(world.docker.pull(&image("127.0.0.1:1"), PullPolicy::Never).await));
    assert!(!is_verdict(world.docker.pull(&image("127.0.0.1:1"), PullPolicy::Missing).await), "nobody listens there");

    let registry = crate::fake::registry().await;
    assert!(is_verdict(world.docker.pull(&image(&registry), PullPolicy::Missing).await), "the registry knows no such image");
}

#[tokio::test]
async fn what_is_known_without_asking_is_what_a_listing_says() {
    let mut world = World::new().await;
    let one = |world: &World, version| {
        let mut web = world.checked(version);
        web.container.ports = vec![Port { target: 8080, protocol: Protocol::Tcp, published: None, host_ip: Some("127.0.0.1".into()) }];
        web.container.networks.insert("back".into(), Default::default());
        web.release.bake_ms = Some(1_500);
        world.desired(&world.stack(&[("web", web), ("api", world.service(1))]), u64::from(version))
    };
    let same = async |world: &World, what: &str| {
        // Our own calls are known at once, what others do as soon as the engine tells.
        until(what, async || world.docker.observe().await.unwrap() == fresh_of(world).observe().await.unwrap()).await;
    };
    // From some moment in the first rollout on the stream is taken for open, and listings are rare.
    let stacks = [one(&world, 1), one(&world, 2)];
    for stack in &stacks {
        done(world.deploy(stack).await);
        assert_eq!(world.docker.observe().await.unwrap(), fresh_of(&world).observe().await.unwrap(), "right after our own calls");
    }
    world.crash(&world.only("api").await).await;
    same(&world, "a crash is known").await;
    world.raw.pause_container(&world.only("web").await).await.unwrap();
    same(&world, "a pause is known").await;
    let remove = bollard::query_parameters::RemoveContainerOptions { force: true, ..Default::default() };
    world.raw.remove_container(&world.only("api").await, Some(remove)).await.unwrap();
    same(&world, "a removal is known").await;
    done(world.deploy(&stacks[1]).await);
    assert_eq!(world.docker.observe().await.unwrap(), fresh_of(&world).observe().await.unwrap());
}

/// Another adapter on the same scope, which knows nothing yet.
fn fresh_of(world: &World) -> tidegate_agent::docker::Docker {
    let (socket, scope, state_dir) = (crate::harness::SOCKET.to_owned(), world.scope.clone(), world.state.path().to_owned());
    tidegate_agent::docker::Docker::new(tidegate_agent::docker::Settings { socket, scope, state_dir, registry_credentials: None })
}
