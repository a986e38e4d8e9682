//! Whatever is observed, a plan leads to its target in one go, also when it is interrupted and planned again.

use crate::sim::{Host, StackOf, after, port, service, stack, volume};
use proptest::prelude::*;
use tidegate_core::compose::{Condition, Service};
use tidegate_core::desired::DesiredStack;
use tidegate_core::observed::{ContainerState, Health};
use tidegate_core::plan::{Attempt, OperationClass, StackPlan};

fn a_service() -> impl Strategy<Value = Service> {
    (1u32..4, 0u32..4, 0u8..5).prop_map(|(version, replicas, shape)| {
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
            _ => {}
        }
        made
    })
}

fn a_stack() -> impl Strategy<Value = StackOf> {
    (prop::collection::vec(a_service(), 0..4), 0usize..4).prop_map(|(services, link)| {
        let names = ["api", "db", "web", "worker"];
        let mut made = stack("shop");
        let mut named = false;
        let mut published = false;
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
                service.depends_on = after(&[(names[index - 1], Condition::ServiceHealthy)]);
            }
            made = made.with(names[index], service);
        }
        made
    })
}

/// What may happen to a container while nobody looks.
#[derive(Debug, Clone)]
enum Mishap {
    State(ContainerState),
    Removed,
    Starting,
}

fn mishaps() -> impl Strategy<Value = Vec<(usize, Mishap)>> {
    let one = prop_oneof![
        Just(Mishap::Removed),
        Just(Mishap::Starting),
        Just(Mishap::State(ContainerState::Exited(137))),
        Just(Mishap::State(ContainerState::Created)),
        Just(Mishap::State(ContainerState::Paused)),
        Just(Mishap::State(ContainerState::Gone)),
        Just(Mishap::State(ContainerState::Restarting)),
    ];
    prop::collection::vec((0usize..8, one), 0..4)
}

fn befall(host: &mut Host, mishaps: &[(usize, Mishap)]) {
    for (index, mishap) in mishaps {
        let Some(name) = host.observed.containers.keys().nth(*index).cloned() else { continue };
        let found = host.observed.containers.get_mut(&name).unwrap();
        match mishap {
            Mishap::Removed => {
                host.observed.containers.remove(&name);
            }
            Mishap::Starting => found.health = Some(Health::Starting),
            Mishap::State(state) => {
                found.state = *state;
                found.held_ports.clear();
            }
        }
    }
}

fn assert_converged(host: &Host, target: &DesiredStack) {
    let again = host.plan(target);
    assert!(
        again.steps.iter().all(|s| matches!(s.action, tidegate_core::plan::Action::AwaitReady { .. })),
        "planned again: {:#?}",
        again.steps
    );
    let wanted: usize = target.services.iter().map(|s| s.containers.len()).sum();
    assert_eq!(host.observed.containers.len(), wanted, "containers: {:?}", host.observed.containers.keys());
    assert_eq!(host.observed.networks.len(), target.networks.len());
    for wanted in target.services.iter().flat_map(|s| &s.containers) {
        let found = &host.observed.containers[&wanted.name];
        assert_eq!(found.hash, wanted.hash);
        assert!(matches!(found.state, ContainerState::Running | ContainerState::Restarting), "{} is {:?}", wanted.name, found.state);
    }
}

/// Steps are well formed: ids count up, and each comes after earlier ones only.
fn assert_ordered(plan: &StackPlan) {
    for (index, step) in plan.steps.iter().enumerate() {
        assert_eq!(step.id as usize, index);
        assert!(step.after.iter().all(|before| *before < step.id), "{step:?}");
    }
}

fn attempt(plan: &StackPlan) -> Option<Attempt> {
    let target = plan.target.as_ref()?;
    Some(Attempt {
        content: target.content.clone(),
        release: target.release,
        started_at: crate::sim::now(),
        class: OperationClass::Release,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_plan_leads_to_its_target_and_is_then_empty(old in a_stack(), new in a_stack(), harm in mishaps()) {
        let (old, new) = (old.desired(1), new.desired(2));
        let mut host = Host::default();
        host.apply(&host.plan(&old));
        assert_converged(&host, &old);
        befall(&mut host, &harm);
        let plan = host.plan(&new);
        assert_ordered(&plan);
        host.apply(&plan);
        assert_converged(&host, &new);
    }

    #[test]
    fn interrupted_anywhere_and_planned_again_it_converges(old in a_stack(), new in a_stack(), cut in 0usize..30) {
        let (old, new) = (old.desired(1), new.desired(2));
        let mut host = Host::default();
        host.apply(&host.plan(&old));
        let plan = host.plan(&new);
        host.record.attempt = attempt(&plan);
        host.record.will_stop(&plan);
        let mut forward = host.clone();
        forward.apply_some(&plan, cut);
        forward.check_ports();
        let mut back = forward.clone();
        forward.apply(&forward.plan(&new));
        assert_converged(&forward, &new);
        // The other way: the attempt is taken back to what was released.
        back.apply(&back.plan(&old));
        assert_converged(&back, &old);
    }

    #[test]
    fn ports_are_never_held_twice_and_start_first_never_leaves_fewer(old in a_stack(), new in a_stack()) {
        let (old, new) = (old.desired(1), new.desired(2));
        let mut host = Host::default();
        host.apply(&host.plan(&old));
        let plan = host.plan(&new);
        for step in 0..=plan.steps.len() {
            let mut at = host.clone();
            at.apply_some(&plan, step);
            at.check_ports();
            for service in new.services.iter().filter(|s| s.order == tidegate_core::desired::ChosenOrder::StartFirst) {
                let Some(before) = old.services.iter().find(|s| s.name == service.name) else { continue };
                // What held a port may have to make room for another service's new version.
                if before.order != tidegate_core::desired::ChosenOrder::StartFirst {
                    continue;
                }
                let promised = before.containers.len().min(service.containers.len());
                let up = at.observed.containers.values().filter(|c| c.service == service.name && c.is_running()).count();
                // Until the barrier the old ones are all there; after it the new ones are.
                prop_assert!(up >= promised, "{} of {} up after {step} steps", up, promised);
            }
        }
    }

    #[test]
    fn the_same_facts_give_the_same_plan(old in a_stack(), new in a_stack(), harm in mishaps()) {
        let mut host = Host::default();
        host.apply(&host.plan(&old.desired(1)));
        befall(&mut host, &harm);
        let new = new.desired(2);
        prop_assert_eq!(host.plan(&new), host.plan(&new));
    }
}
