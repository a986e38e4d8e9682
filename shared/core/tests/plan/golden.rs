//! Plans as text: what a reader of the plan is promised.

use crate::sim::{Host, after, closed, commit, now, open, port, service, stack, text};
use tidegate_core::compose::Condition;
use tidegate_core::desired::DesiredStack;
use tidegate_core::lock::Hold;
use tidegate_core::observed::ContainerState;
use tidegate_core::plan::{Attempt, Diverged, FailedContent, Offer, OperationClass, StackPlan, Waiting};

fn offer(desired: &DesiredStack) -> Offer {
    Offer::Stack(Box::new(desired.clone()))
}

fn shop(version: u32) -> DesiredStack {
    let mut web = service(version);
    web.container.ports.push(port(8080));
    web.depends_on = after(&[("api", Condition::ServiceHealthy)]);
    stack("shop").with("api", service(version)).with("web", web).desired(u64::from(version))
}

fn tomorrow() -> jiff::Timestamp {
    "2026-11-22T22:00:00Z".parse().unwrap()
}

fn running(version: u32) -> Host {
    let mut host = Host::default();
    host.apply(&host.plan(&shop(version)));
    host
}

#[test]
fn first_deploy_brings_up_in_the_order_of_dependence() {
    similar_asserts::assert_eq!(
        text(&Host::default().plan(&shop(1))),
        "shop: release
 0 pull app:1 after []: needed
 1 create network shop_default after []: missing
 2 create shop-api-1 after [0, 1]: missing
 3 start shop-api-1 after [2]: needed
 4 await ready shop-api-1 after [3]: needed
 5 create shop-web-1 after [0, 1]: missing
 6 start shop-web-1 after [4, 5]: needed
 7 await ready shop-web-1 after [6]: needed"
    );
}

#[test]
fn what_a_stop_ended_with_0_is_started_again_and_a_job_that_ended_is_not() {
    let ended = |mut host: Host, service: &str| {
        let found = host.observed.containers.values_mut().find(|c| c.service.as_str() == service).unwrap();
        found.state = ContainerState::Exited(0);
        host
    };
    // `web` publishes a port: a server never just ends. `api` may be a job, and ended on its own.
    assert!(!ended(running(1), "web").plan(&shop(1)).steps.is_empty());
    assert!(ended(running(1), "api").plan(&shop(1)).steps.is_empty());
    // Half way through a release that is taken back it was stopped by us.
    let mut host = running(1);
    let release = host.plan(&shop(2));
    assert!(host.record.will_stop(&release) && !host.record.will_stop(&release));
    let back = ended(host, "api").plan(&shop(1));
    assert!(text(&back).contains("start shop-api-1"), "{}", text(&back));
}

#[test]
fn update_stops_what_holds_a_port_and_removes_the_old_only_when_all_is_ready() {
    similar_asserts::assert_eq!(
        text(&running(1).plan(&shop(2))),
        "shop: release
 0 pull app:2 after []: needed
 1 create shop-api-1 after [0]: changed [\"image: 1 → 2\"]
 2 start shop-api-1 after [1]: needed
 3 await ready shop-api-1 after [2]: needed
 4 create shop-web-1 after [0]: changed [\"image: 1 → 2\"]
 5 stop shop-web-1 after [0, 3, 4]: makes_room \"host_port\"
 6 start shop-web-1 after [3, 4, 5]: needed
 7 await ready shop-web-1 after [6]: needed
 8 stop shop-api-1 after [0, 3, 7]: replaced
 9 remove shop-api-1 after [8]: replaced
10 remove shop-web-1 after [0, 3, 5, 7]: replaced"
    );
}

#[test]
fn what_died_is_started_again_and_what_is_gone_is_made_again() {
    let mut host = running(1);
    let api = host.observed.containers.keys().find(|n| n.contains("api")).cloned().unwrap();
    let web = host.observed.containers.keys().find(|n| n.contains("web")).cloned().unwrap();
    host.observed.containers.get_mut(&api).unwrap().state = ContainerState::Exited(137);
    host.observed.containers.remove(&web);
    similar_asserts::assert_eq!(
        text(&host.plan(&shop(1))),
        "shop: repair
 0 pull app:1 after []: needed
 1 start shop-api-1 after []: not_running \"exited with 137\"
 2 await ready shop-api-1 after [1]: needed
 3 create shop-web-1 after [0]: missing
 4 start shop-web-1 after [2, 3]: needed
 5 await ready shop-web-1 after [4]: needed"
    );
}

#[test]
fn closed_window_holds_new_releases_but_not_repair() {
    let opens = tomorrow();
    let mut host = running(1);
    let plan = host.plan_for(offer(&shop(2)), closed(opens));
    assert_eq!(plan.stacks[0].waiting, Some(Waiting::WindowClosed { opens_at: Some(opens), rule: "no window is open".into() }));
    assert!(plan.is_empty());
    for container in host.observed.containers.values_mut() {
        container.state = ContainerState::Exited(1);
    }
    let plan = host.plan_for(offer(&shop(2)), closed(opens));
    assert_eq!(plan.stacks[0].class, Some(OperationClass::Repair));
    assert_eq!(plan.stacks[0].target.as_ref().map(|t| t.content.clone()), Some(shop(1).content));
    assert!(!plan.is_empty());
}

#[test]
fn what_was_verified_here_comes_back_in_a_closed_window() {
    let mut host = running(1);
    host.apply(&host.plan(&shop(2)));
    let plan = host.plan_for(offer(&shop(1)), closed(tomorrow()));
    assert_eq!(plan.stacks[0].class, Some(OperationClass::Rollback));
    assert_eq!(plan.stacks[0].waiting, None);
}

#[test]
fn failed_content_is_not_tried_again_and_the_attempt_is_taken_back() {
    let mut host = running(1);
    let plan = host.plan(&shop(2));
    host.apply_some(&plan, 7);
    host.record.attempt = Some(Attempt { content: shop(2).content, release: None, started_at: now(), class: OperationClass::Release });
    host.record.failed.push(FailedContent { content: shop(2).content, release: None, cause: "unhealthy".into(), at: now() });
    similar_asserts::assert_eq!(
        text(&host.plan(&shop(2))),
        "shop: abort
 0 stop shop-web-1 after []: makes_room \"host_port\"
 1 start shop-web-1 after [0]: not_running \"exited with 0\"
 2 await ready shop-web-1 after [1]: needed
 3 stop shop-api-1 after [2]: replaced
 4 remove shop-api-1 after [3]: replaced
 5 remove shop-web-1 after [0, 2]: replaced"
    );
    host.apply(&host.plan(&shop(2)));
    let after = host.plan(&shop(2));
    assert!(matches!(after.waiting, Some(Waiting::FailedHere { .. })), "{:?}", after.waiting);
    assert!(after.steps.is_empty());
}

#[test]
fn a_first_deploy_that_failed_leaves_nothing_behind() {
    let mut host = Host::default();
    let plan = host.plan(&shop(1));
    host.apply_some(&plan, 4);
    host.record.attempt = Some(Attempt { content: shop(1).content, release: None, started_at: now(), class: OperationClass::Release });
    host.record.failed.push(FailedContent { content: shop(1).content, release: None, cause: "unhealthy".into(), at: now() });
    let back = host.plan(&shop(1));
    host.apply_some(&back, back.steps.len());
    assert!(host.observed.containers.is_empty() && host.observed.networks.is_empty());
}

#[test]
fn holds_and_divergence_wait_with_their_reason() {
    let mut host = running(1);
    let hold = Hold {
        stack: Some("shop".try_into().unwrap()),
        content: Some(shop(2).content),
        release: None,
        by: Some("alice".try_into().unwrap()),
        reason: "bad prices".into(),
        at: now(),
        until: None,
    };
    let mut gates = open();
    gates.holds.push(hold);
    let plan = host.plan_for(offer(&shop(2)), gates.clone());
    assert!(matches!(&plan.stacks[0].waiting, Some(Waiting::Held { reason, .. }) if reason == "bad prices"));
    // Other content passes the same hold.
    assert!(host.plan_for(offer(&shop(3)), gates).stacks[0].waiting.is_none());
    host.record.diverged = Some(Diverged {
        from: shop(2).content,
        to: shop(1).content,
        left: Default::default(),
        since: now(),
        by: "root".into(),
        reason: "git is down".into(),
    });
    let plan = host.plan_for(offer(&shop(3)), open());
    assert!(matches!(plan.stacks[0].waiting, Some(Waiting::Diverged { .. })));
}

#[test]
fn a_rollout_that_began_may_end_after_the_window_closed() {
    let mut host = running(1);
    host.record.attempt = Some(Attempt { content: shop(2).content, release: None, started_at: now(), class: OperationClass::Release });
    let plan = host.plan_for(offer(&shop(2)), closed(tomorrow()));
    assert_eq!(plan.stacks[0].class, Some(OperationClass::Release));
}

#[test]
fn a_rollout_that_was_cut_off_for_long_asks_the_calendar_again() {
    let mut host = running(1);
    let long_ago = "2026-11-19T12:00:00Z".parse().unwrap();
    host.record.attempt = Some(Attempt { content: shop(2).content, release: None, started_at: long_ago, class: OperationClass::Release });
    let plan = host.plan_for(offer(&shop(2)), closed(tomorrow()));
    assert_eq!(plan.stacks[0].class, Some(OperationClass::Abort));
    assert!(matches!(plan.stacks[0].waiting, Some(Waiting::WindowClosed { .. })));
}

#[test]
fn an_interrupted_way_back_still_waits_until_it_is_ready() {
    let mut host = running(1);
    host.apply(&host.plan(&shop(2)));
    let back = host.plan(&shop(1));
    let started = back.steps.iter().rposition(|step| matches!(step.action, tidegate_core::plan::Action::Start { .. })).unwrap();
    host.apply_some(&back, started + 1);
    let again = text(&host.plan(&shop(1)));
    assert!(again.contains("await ready shop-web-1"), "{again}");
    assert!(again.contains("remove"), "{again}");
}

#[test]
fn a_one_shot_runs_once_per_release_and_never_on_the_way_back() {
    let with_job = |version: u32| {
        let mut web = service(version);
        web.depends_on = after(&[("migrate", Condition::ServiceCompletedSuccessfully)]);
        stack("shop").with("migrate", service(7)).with("web", web).desired(u64::from(version))
    };
    let runs = |plan: &StackPlan| text(plan).contains("start shop-migrate");
    let mut host = Host::default();
    let first = host.plan(&with_job(1));
    assert!(runs(&first), "{}", text(&first));
    host.apply(&first);
    assert!(host.plan(&with_job(1)).steps.is_empty(), "not at every turn");
    let second = host.plan(&with_job(2));
    assert!(runs(&second), "the job is the same, the release is new");
    host.apply(&second);
    let back = host.plan(&with_job(1));
    assert_eq!(back.class, Some(OperationClass::Rollback));
    assert!(!runs(&back), "{}", text(&back));
    host.observed.containers.retain(|_, c| c.service.as_str() != "migrate");
    assert!(!runs(&host.plan(&with_job(2))), "drift repair never repeats a job");
}

#[test]
fn removal_takes_containers_and_networks_but_never_volumes() {
    let mut host = running(1);
    host.observed.volumes.insert("shop_data".into());
    let source = tidegate_core::desired::Source { commit: commit(), release: None };
    let nothing = DesiredStack::nothing("shop".try_into().unwrap(), "shop".into(), &source);
    let plan = host.plan_for(Offer::Nothing(Box::new(nothing)), open());
    host.apply_some(&plan.stacks[0], usize::MAX);
    assert!(host.observed.containers.is_empty() && host.observed.networks.is_empty());
    assert!(host.observed.volumes.contains("shop_data"));
}
