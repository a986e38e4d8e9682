//! What counts as ready, and what as failed, each with the moment at which it is known.

use crate::world::{Host, depends, desired, image, service, virtual_time};
use std::time::Duration;
use tidegate_agent::apply::{ApplyOutcome, Cause};
use tidegate_agent::engine::simulated::{Behaviour, Checks, CutOff, Fault, Image};
use tidegate_core::compose::{Condition, Restart, Service};
use tidegate_core::observed::{ContainerState, Health};

const SECOND: Duration = Duration::from_secs(1);

/// Rolls out one service on one image; how it ended, and after how long.
fn roll_out(shape: impl FnOnce(&mut Service), behaviour: Behaviour) -> (ApplyOutcome, Duration) {
    virtual_time(async {
        let mut host = Host::new(1);
        host.engine.behave(&image(1), behaviour);
        let mut web = service(1);
        shape(&mut web);
        let began = tokio::time::Instant::now();
        let outcome = host.turn(&desired(&[("web", web)], 1)).await;
        (outcome, began.elapsed())
    })
}

fn cause(outcome: ApplyOutcome) -> Cause {
    match outcome {
        ApplyOutcome::Failed(failure) => {
            assert_eq!(failure.service.as_ref().map(|s| s.as_str()), Some("web"));
            failure.cause
        }
        other => panic!("no verdict: {other:?}"),
    }
}

fn without_check(service: &mut Service) {
    service.container.healthcheck = None;
}

#[test]
fn healthy_counts_after_the_bake_time_and_not_before() {
    let (outcome, took) = roll_out(|_| {}, Behaviour::healthy_after(5 * SECOND));
    assert!(matches!(outcome, ApplyOutcome::Done), "{outcome:?}");
    assert_eq!(took.as_secs(), 7, "5 s to be healthy and 2 s of bake time");
}

#[test]
fn without_a_check_running_counts_after_the_bake_time() {
    let (outcome, took) = roll_out(without_check, Behaviour::default());
    assert!(matches!(outcome, ApplyOutcome::Done), "{outcome:?}");
    assert_eq!(took.as_secs(), 2);
}

#[test]
fn unhealthy_fails_at_once() {
    let (outcome, took) = roll_out(|_| {}, Behaviour::unhealthy_after(4 * SECOND));
    assert!(matches!(cause(outcome), Cause::Unhealthy { .. }));
    assert_eq!(took.as_secs(), 4);
}

#[test]
fn undecided_fails_at_the_deadline_with_the_state_it_was_in() {
    let (outcome, took) = roll_out(|_| {}, Behaviour { health: Checks::NeverDecide, ..Default::default() });
    let cause = cause(outcome);
    assert!(matches!(cause, Cause::NotReady { state: ContainerState::Running, health: Some(Health::Starting), .. }), "{cause:?}");
    let words = cause.to_string();
    assert!(
        words.starts_with("shop-web-1-") && words.ends_with(" was not ready after 30 s (its health check has not passed yet)"),
        "{words}"
    );
    assert_eq!(took.as_secs(), 32, "30 s and the bake time");
}

#[test]
fn an_end_in_the_bake_time_fails_at_once() {
    let (outcome, took) = roll_out(without_check, Behaviour::ends_after(SECOND, 3));
    assert!(matches!(cause(outcome), Cause::Exited { code: 3, .. }));
    assert_eq!(took.as_secs(), 1);
}

#[test]
fn an_end_with_0_is_the_end_of_a_job_and_the_failure_of_a_server() {
    let (outcome, took) = roll_out(without_check, Behaviour::ends_after(SECOND, 0));
    assert!(matches!(outcome, ApplyOutcome::Done), "{outcome:?}");
    assert_eq!(took.as_secs(), 1);
    let (outcome, _) = roll_out(|_| {}, Behaviour::ends_after(SECOND, 0));
    assert!(matches!(cause(outcome), Cause::Exited { code: 0, .. }));
}

#[test]
fn a_crash_loop_fails_at_its_first_restart() {
    let always = |service: &mut Service| {
        without_check(service);
        service.container.restart = Restart::Always;
    };
    let (outcome, took) = roll_out(always, Behaviour::ends_after(SECOND, 1));
    assert!(matches!(cause(outcome), Cause::Restarts { restarts: 1, .. }));
    assert_eq!(took.as_secs(), 1);
}

#[test]
fn a_registry_that_says_no_is_a_verdict_and_one_that_is_away_is_none() {
    let (outcome, _) = roll_out(|_| {}, Behaviour { image: Image::Missing, ..Default::default() });
    assert!(matches!(cause(outcome), Cause::Refused(_)));
    let (outcome, _) = roll_out(|_| {}, Behaviour { image: Image::RegistryAway, ..Default::default() });
    assert!(matches!(outcome, ApplyOutcome::Error { .. }), "{outcome:?}");
}

#[test]
fn an_engine_that_goes_away_while_waiting_is_no_verdict_and_one_that_comes_back_is_fine() {
    virtual_time(async {
        let mut host = Host::new(1);
        host.engine.behave(&image(1), Behaviour::healthy_after(10 * SECOND));
        let one = desired(&[("web", service(1))], 1);
        let plan = host.begin(&one).unwrap();
        let engine = host.engine.clone();
        let away = |after, fault| {
            let engine = engine.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(after)).await;
                engine.fault(fault);
            }
        };
        let (outcome, (), ()) = tokio::join!(host.apply(&plan), away(2, Fault::Away), away(9, Fault::None));
        assert!(matches!(outcome, ApplyOutcome::Done), "{outcome:?}");

        let two = desired(&[("web", service(2))], 2);
        host.engine.behave(&image(2), Behaviour::healthy_after(10 * SECOND));
        let plan = host.begin(&two).unwrap();
        let (outcome, ()) = tokio::join!(host.apply(&plan), away(2, Fault::Away));
        assert!(matches!(outcome, ApplyOutcome::Error { .. }), "{outcome:?}");
    });
}

#[test]
fn a_job_that_never_ends_fails_at_its_deadline_and_nothing_waits_behind_it_starts() {
    virtual_time(async {
        let mut host = Host::new(1);
        let mut web = service(1);
        depends(&mut web, "migrate", Condition::ServiceCompletedSuccessfully);
        let stack = desired(&[("web", web), ("migrate", service(2))], 1);
        let ApplyOutcome::Failed(failure) = host.turn(&stack).await else { panic!("it never ends") };
        assert!(matches!(failure.cause, Cause::NotFinished { timeout_ms: 30_000, .. }), "{failure:?}");
        assert!(host.engine.look().containers.values().all(|c| c.service.as_str() != "web" || !c.is_running()));
    });
}

#[test]
fn a_failure_does_not_wait_for_the_deadlines_of_others() {
    virtual_time(async {
        let mut host = Host::new(1);
        host.engine.behave(&image(1), Behaviour { health: Checks::NeverDecide, ..Default::default() });
        host.engine.behave(&image(2), Behaviour::unhealthy_after(SECOND));
        let began = tokio::time::Instant::now();
        let outcome = host.turn(&desired(&[("slow", service(1)), ("web", service(2))], 1)).await;
        assert!(matches!(cause(outcome), Cause::Unhealthy { .. }));
        assert_eq!(began.elapsed().as_secs(), 1);
    });
}

#[test]
fn a_rollout_of_many_waits_for_all_at_once() {
    virtual_time(async {
        let mut host = Host::new(1);
        host.engine.behave(&image(1), Behaviour::healthy_after(10 * SECOND));
        let names: Vec<String> = (0..50).map(|n| format!("s{n}")).collect();
        let services: Vec<(&str, Service)> = names.iter().map(|name| (name.as_str(), service(1))).collect();
        let began = tokio::time::Instant::now();
        host.deploy(&desired(&services, 1)).await;
        assert_eq!(began.elapsed().as_secs(), 12, "10 s and the bake time, not fifty times that");
    });
}

#[test]
fn what_was_done_without_an_answer_is_found_done() {
    virtual_time(async {
        let mut host = Host::new(1);
        let one = desired(&[("web", service(1))], 1);
        // The network is made and the answer lost; then the agent is started again.
        host.engine.fault(Fault::HaltAt(1, CutOff::After));
        let plan = host.begin(&one).unwrap();
        tokio::select! { _ = host.apply(&plan) => panic!("cut off"), () = host.engine.halted() => {} }
        host.engine.fault(Fault::None);
        host.deploy(&one).await;
        assert!(!host.id_of("web").is_empty());
        host.assert_converged(&one);
    });
}
