//! Any stack to any other: carried out, it is there; cut off anywhere and planned again, it is there too.

use crate::world::{Host, depends, desired, image, port, service, virtual_time, volume};
use proptest::prelude::*;
use std::time::Duration;
use tidegate_agent::apply::{Apply, ApplyOutcome, CALLS_MAX};
use tidegate_agent::engine::simulated::{Behaviour, CutOff, Fault, Image};
use tidegate_core::compose::{Condition, Service};
use tidegate_core::desired::{ChosenOrder, DesiredStack};
use tidegate_core::observed::ContainerState;
use tokio_util::sync::CancellationToken;

fn a_service() -> impl Strategy<Value = Service> {
    (1u32..4, 0u32..4, 0u8..6).prop_map(|(version, replicas, shape)| {
        let mut made = service(version);
        made.replicas = replicas;
        match shape {
            0 => {
                made.replicas = replicas.min(1);
                made.container.ports.push(port(8080));
            }
            1 => made.container.mounts.push(volume("data")),
            2 => {
                made.replicas = replicas.min(1);
                made.container.container_name = Some("fixed".into());
            }
            3 => made.container.healthcheck = None,
            _ => {}
        }
        made
    })
}

fn a_stack(release: u64) -> impl Strategy<Value = DesiredStack> {
    (prop::collection::vec(a_service(), 0..4), 0usize..4).prop_map(move |(services, link)| {
        let names = ["api", "db", "web", "worker"];
        let (mut named, mut published) = (false, false);
        let mut all: Vec<(&str, Service)> = Vec::new();
        for (index, mut service) in services.into_iter().enumerate() {
            // Only one service may have the fixed name and the port.
            if named {
                service.container.container_name = None;
            }
            if published {
                service.container.ports.clear();
            }
            named |= service.container.container_name.is_some();
            published |= !service.container.ports.is_empty();
            if index > 0 && index == link {
                depends(&mut service, names[index - 1], Condition::ServiceHealthy);
            }
            all.push((names[index], service));
        }
        desired(&all, release)
    })
}

#[derive(Debug, Clone, Copy)]
enum Mishap {
    Ended(i64),
    Paused,
    Vanished,
}

fn mishaps() -> impl Strategy<Value = Vec<(usize, Mishap)>> {
    let one = prop_oneof![Just(Mishap::Ended(137)), Just(Mishap::Ended(0)), Just(Mishap::Paused), Just(Mishap::Vanished)];
    prop::collection::vec((0usize..8, one), 0..4)
}

fn befall(host: &Host, mishaps: &[(usize, Mishap)]) {
    for (index, mishap) in mishaps {
        let Some((name, found)) = host.engine.look().containers.into_iter().nth(*index) else { continue };
        match mishap {
            // Without a check and without a port it would be the end of a job.
            Mishap::Ended(0) if found.health.is_none() => {}
            Mishap::Ended(code) => host.engine.end(&name, *code),
            Mishap::Paused => host.engine.pause(&name),
            Mishap::Vanished => host.engine.vanish(&name),
        }
    }
}

fn cut_offs() -> impl Strategy<Value = CutOff> {
    prop_oneof![Just(CutOff::Before), Just(CutOff::After)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_plan_carried_out_leaves_nothing_to_do(old in a_stack(1), new in a_stack(2), harm in mishaps(), seed in any::<u64>()) {
        virtual_time(async {
            let mut host = Host::new(seed);
            host.engine.slow(Duration::from_millis(300));
            host.deploy(&old).await;
            host.assert_converged(&old);
            befall(&host, &harm);
            host.deploy(&new).await;
            host.assert_converged(&new);
            assert!(host.engine.most_at_once() as usize <= CALLS_MAX);
        });
    }

    #[test]
    fn killed_at_any_change_it_converges_forward_and_back(
        old in a_stack(1), new in a_stack(2), at in 0u32..40, cut_off in cut_offs(), back in any::<bool>(), seed in any::<u64>()
    ) {
        virtual_time(async {
            let mut host = Host::new(seed);
            host.engine.slow(Duration::from_millis(50));
            host.deploy(&old).await;
            host.engine.fault(Fault::HaltAt(at, cut_off));
            if let Some(plan) = host.begin(&new) {
                // Dropping the run is what a kill -9 does to it.
                tokio::select! { _ = host.apply(&plan) => {}, () = host.engine.halted() => {} }
            }
            host.assert_ports();
            host.engine.fault(Fault::None);
            let target = if back { &old } else { &new };
            host.deploy(target).await;
            host.assert_converged(target);
        });
    }

    #[test]
    fn stopped_at_any_time_it_ends_soon_and_the_rest_is_done_later(
        old in a_stack(1), new in a_stack(2), after_ms in 0u64..20_000, seed in any::<u64>()
    ) {
        virtual_time(async {
            let mut host = Host::new(seed);
            host.engine.slow(Duration::from_millis(500));
            host.deploy(&old).await;
            if let Some(plan) = host.begin(&new) {
                let stop = CancellationToken::new();
                let apply = Apply { engine: &host.engine, progress: &(), stop: &stop };
                let stopping = async {
                    tokio::time::sleep(Duration::from_millis(after_ms)).await;
                    stop.cancel();
                    tokio::time::Instant::now()
                };
                let (_, stopped_at) = tokio::join!(apply.run(&plan), stopping);
                assert!(stopped_at.elapsed() < Duration::from_secs(1), "only the calls in hand are waited for");
            }
            host.deploy(&new).await;
            host.assert_converged(&new);
        });
    }

    #[test]
    fn a_version_that_never_gets_healthy_is_taken_back_and_what_may_stay_up_does(old in a_stack(1), new in a_stack(2), seed in any::<u64>()) {
        virtual_time(async {
            let mut host = Host::new(seed);
            host.deploy(&old).await;
            let before = host.engine.look();
            host.engine.behave(&image(9), Behaviour::unhealthy_after(Duration::from_secs(3)));
            let mut services: Vec<(&str, Service)> = vec![("zz", service(9))];
            // The bad service is the last of a release that changes others too.
            for on in &new.services {
                depends(&mut services[0].1, on.name.as_str(), Condition::ServiceStarted);
            }
            let mut bad = new.clone();
            bad.services.extend(desired(&services, 2).services);
            bad.networks.extend(desired(&services, 2).networks);
            bad.content = tidegate_core::ids::ContentId::of_bytes(b"bad");
            let outcome = host.turn(&bad).await;
            assert!(matches!(outcome, ApplyOutcome::Failed(_)), "{outcome:?}");
            host.deploy(&old).await;
            host.assert_converged(&old);
            let after = host.engine.look();
            for service in old.services.iter().filter(|s| s.order == ChosenOrder::StartFirst) {
                for wanted in &service.containers {
                    assert_eq!(before.containers[&wanted.name].id, after.containers[&wanted.name].id);
                }
            }
        });
    }

    #[test]
    fn through_a_flaky_engine_it_converges_by_trying_again(old in a_stack(1), new in a_stack(2), seed in any::<u64>()) {
        virtual_time(async {
            let mut host = Host::new(seed);
            for target in [&old, &new] {
                host.engine.fault(Fault::Flaky { per_mille: 100 });
                for _ in 0..30 {
                    match host.turn(target).await {
                        ApplyOutcome::Done => break,
                        ApplyOutcome::Error { .. } => {}
                        other => panic!("an engine that does not answer is no verdict: {other:?}"),
                    }
                }
                host.engine.fault(Fault::None);
                host.deploy(target).await;
                host.assert_converged(target);
            }
        });
    }

    #[test]
    fn the_same_seed_tells_the_same_story(old in a_stack(1), new in a_stack(2), seed in any::<u64>()) {
        let story = || virtual_time(async {
            let mut host = Host::new(seed);
            host.engine.slow(Duration::from_millis(700));
            host.engine.fault(Fault::Flaky { per_mille: 50 });
            let began = tokio::time::Instant::now();
            let mut told = Vec::new();
            for target in [&old, &new, &old] {
                told.push(format!("{:?} {:?}", host.turn(target).await, began.elapsed()));
            }
            (told, host.engine.look(), host.engine.changes())
        });
        prop_assert_eq!(story(), story());
    }
}

#[test]
fn two_hundred_hosts_roll_out_in_one_process() {
    let began = std::time::Instant::now();
    virtual_time(async {
        let stack = |version| desired(&[("web", service(version)), ("api", service(version))], u64::from(version));
        let hosts = (0..200).map(|seed| async move {
            let mut host = Host::new(seed);
            host.engine.slow(Duration::from_millis(400));
            host.engine.behave(
                &image(2),
                Behaviour { image: Image::AtRegistry(Duration::from_secs(5)), ..Behaviour::healthy_after(Duration::from_secs(20)) },
            );
            host.deploy(&stack(1)).await;
            host.deploy(&stack(2)).await;
            host.assert_converged(&stack(2));
            assert!(host.answers().await);
            assert!(host.engine.look().containers.values().all(|c| c.state == ContainerState::Running));
        });
        futures_util::future::join_all(hosts).await;
    });
    assert!(began.elapsed() < Duration::from_secs(60), "virtual time costs no time");
}
