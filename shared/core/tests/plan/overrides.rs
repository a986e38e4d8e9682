//! Every stop against every override, with and without a fault: what passes, what does not, and what is said of it.

use crate::sim::{Host, calendar, now, service, stack, text};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use tidegate_core::calendar::{AddedFreeze, Calendar, Gated};
use tidegate_core::desired::DesiredStack;
use tidegate_core::ids::ReleaseNumber;
use tidegate_core::lock::{Hold, OVERRIDE_SKEW_SECS, Override};
use tidegate_core::plan::{
    Attempt, Diverged, FailedContent, Gates, Offer, OperationClass, PULL_ALLOWANCE_SECS, Splay, StackPlan, Unwatched, Waiting,
};

fn shop(version: u32) -> DesiredStack {
    stack("shop").with("web", service(version)).desired(u64::from(version))
}

fn running(version: u32) -> Host {
    let mut host = Host::default();
    host.apply(&host.plan(&shop(version)));
    host
}

fn secs(secs: i64) -> SignedDuration {
    SignedDuration::from_secs(secs)
}

fn hold() -> Hold {
    Hold {
        stack: Some("shop".try_into().unwrap()),
        content: None,
        release: None,
        by: Some("alice".try_into().unwrap()),
        reason: "bad prices".into(),
        at: now(),
        until: None,
    }
}

fn freeze(blocks: &[Gated]) -> AddedFreeze {
    AddedFreeze {
        name: "freeze by bob".into(),
        reason: Some("annual report".into()),
        at: now() - secs(60),
        from: None,
        until: Some(now() + secs(3_600)),
        blocks: blocks.iter().copied().collect::<BTreeSet<_>>(),
        place: None,
    }
}

fn given() -> Override {
    Override {
        release: ReleaseNumber(2),
        stack: None,
        by: "carol".try_into().unwrap(),
        reason: "the report needs it".into(),
        at: now(),
        until: now() + secs(3_600),
    }
}

/// Each stop, with the code of its wait; noon on a Saturday.
fn stops() -> Vec<(&'static str, Gates)> {
    let of = |calendar: Calendar| Gates { calendar, ..Gates::default() };
    let always = Calendar::default();
    vec![
        ("window_closed", of(calendar("0 20 * * *", "2h", None))),
        ("window_closed", of(calendar("0 11 * * *", "2h", Some("1h")))),
        ("does_not_fit", of(calendar("1 11 * * *", "1h", None))),
        ("frozen", of(always.with_freezes([freeze(&[Gated::Release])]))),
        ("frozen", of(calendar("0 20 * * *", "2h", None).with_freezes([freeze(&[Gated::Release, Gated::Rollback])]))),
        ("held", Gates { holds: vec![hold()], ..Gates::default() }),
        ("held", Gates { holds: vec![hold()], ..of(calendar("0 20 * * *", "2h", None)) }),
        ("splay", Gates { splay: splay_that_waits(), ..of(calendar("0 12 * * *", "2h", None)) }),
        (
            "missed_window",
            Gates {
                unwatched: Some(Unwatched { from: now() - secs(86_400), until: now(), offered_at: None }),
                ..of(calendar("0 2 * * *", "2h", None))
            },
        ),
    ]
}

/// A host whose share of the spread is not nothing.
fn splay_that_waits() -> Splay {
    Splay { max_secs: 30, seed: "web-1".into() }
}

fn plan_of(host: &Host, gates: &Gates) -> StackPlan {
    host.plan_for(Offer::Stack(Box::new(shop(2))), gates.clone()).stacks.remove(0)
}

#[test]
fn an_override_of_exactly_this_release_passes_every_stop_and_is_named() {
    for (code, gates) in stops() {
        let host = running(1);
        let without = plan_of(&host, &gates);
        assert_eq!(without.waiting.as_ref().map(Waiting::code), Some(code));
        assert!(without.steps.is_empty() && without.overridden.is_none());
        let with = plan_of(&host, &Gates { overrides: vec![given()], ..gates });
        assert_eq!((with.class, with.waiting), (Some(OperationClass::Release), None), "{code}");
        let used = with.overridden.unwrap();
        assert_eq!((used.code.as_str(), used.by.as_str(), used.reason.as_str()), (code, "carol", "the report needs it"));
    }
}

#[test]
fn an_override_of_anything_else_passes_nothing() {
    let table: [(&str, Override); 5] = [
        ("another release", Override { release: ReleaseNumber(3), ..given() }),
        ("another stack", Override { stack: Some("blog".try_into().unwrap()), ..given() }),
        ("over", Override { at: now() - secs(3_600), until: now(), ..given() }),
        ("long over", Override { at: now() - secs(7_200), until: now() - secs(3_600), ..given() }),
        ("of the future", Override { at: now() + secs(OVERRIDE_SKEW_SECS + 1), until: now() + secs(3_600), ..given() }),
    ];
    for (what, other) in table {
        for (code, gates) in stops() {
            let plan = plan_of(&running(1), &Gates { overrides: vec![other.clone()], ..gates });
            assert_eq!(plan.waiting.as_ref().map(Waiting::code), Some(code), "{what}");
            assert!(plan.steps.is_empty() && plan.overridden.is_none(), "{what}");
        }
    }
    let ahead = Override { at: now() + secs(OVERRIDE_SKEW_SECS), until: now() + secs(3_600), ..given() };
    let named = Override { stack: Some("shop".try_into().unwrap()), ..given() };
    for fine in [ahead, named, Override { until: now() + secs(1), ..given() }] {
        let gates = Gates { holds: vec![hold()], overrides: vec![fine], ..Gates::default() };
        assert_eq!(plan_of(&running(1), &gates).waiting, None);
    }
}

#[test]
fn an_override_passes_no_hold_and_no_freeze_that_was_made_after_it() {
    let late_hold = Hold { at: now() - secs(10), ..hold() };
    let late_freeze = AddedFreeze { at: now() - secs(10), from: None, ..freeze(&[Gated::Release]) };
    let window = || calendar("0 20 * * *", "2h", None);
    let early = Override { at: now() - secs(30), ..given() };
    let table: [(&str, Option<&str>, Gates); 5] = [
        ("a window", None, Gates { calendar: window(), ..Gates::default() }),
        ("a freeze of before", None, Gates { calendar: window().with_freezes([freeze(&[Gated::Release])]), ..Gates::default() }),
        ("a freeze since", Some("frozen"), Gates { calendar: window().with_freezes([late_freeze.clone()]), ..Gates::default() }),
        ("a hold since", Some("held"), Gates { holds: vec![late_hold.clone()], ..Gates::default() }),
        (
            "a hold of before, a freeze since",
            Some("frozen"),
            Gates {
                holds: vec![Hold { at: now() - secs(60), ..hold() }],
                calendar: Calendar::default().with_freezes([late_freeze]),
                ..Gates::default()
            },
        ),
    ];
    for (what, code, gates) in table {
        let plan = plan_of(&running(1), &Gates { overrides: vec![early.clone()], ..gates.clone() });
        assert_eq!(plan.waiting.as_ref().map(Waiting::code), code, "{what}");
        let later = plan_of(&running(1), &Gates { overrides: vec![early.clone(), given()], ..gates });
        assert_eq!(later.waiting, None, "{what}: one that was given since passes");
    }
}

#[test]
fn a_freeze_from_now_on_has_begun_also_by_a_clock_that_is_behind() {
    let ahead = AddedFreeze { at: now() + secs(600), until: None, ..freeze(&[Gated::Release]) };
    let planned = AddedFreeze { from: Some(now() + secs(660)), ..ahead.clone() };
    for (freeze, code) in [(ahead, Some("frozen")), (planned, None)] {
        let calendar = Calendar::default().with_freezes([freeze]).with_asked_freezes_begun();
        let plan = plan_of(&running(1), &Gates { calendar, ..Gates::default() });
        assert_eq!(plan.waiting.as_ref().map(Waiting::code), code);
    }
}

#[test]
fn a_rollout_of_the_future_asks_the_calendar_again() {
    let mut host = running(1);
    let started_at = now() + secs(300);
    host.record.attempt = Some(Attempt { content: shop(2).content, release: None, started_at, class: OperationClass::Release });
    let gates = Gates { calendar: calendar("0 20 * * *", "2h", None), ..Gates::default() };
    assert_eq!(plan_of(&host, &gates).class, Some(OperationClass::Abort));
}

/// What happens to a host before it is planned for.
type Befall<'a> = &'a dyn Fn(&mut Host);

#[test]
fn no_override_passes_a_fault_a_failure_or_a_divergence() {
    let failed = |host: &mut Host| {
        host.record.failed.push(FailedContent { content: shop(2).content, release: None, cause: "unhealthy".into(), at: now() })
    };
    let diverged = |host: &mut Host| {
        let (from, to) = (shop(3).content, shop(1).content);
        host.record.diverged =
            Some(Diverged { from, to, left: BTreeSet::new(), since: now(), by: "root".into(), reason: "git is down".into() });
    };
    for (stop, gates) in stops() {
        let gates = Gates { overrides: vec![given()], ..gates };
        let clock = Gates { clock_fault: Some("it went back".into()), ..gates.clone() };
        let unread = Gates { calendar_fault: Some("line 3".into()), ..gates.clone() };
        let table: [(&str, Befall<'_>, &Gates); 4] = [
            ("clock_untrusted", &|_| (), &clock),
            ("config_refused", &|_| (), &unread),
            ("failed_here", &failed, &gates),
            ("diverged", &diverged, &gates),
        ];
        for (code, befall, gates) in table {
            let mut host = running(1);
            befall(&mut host);
            let plan = plan_of(&host, gates);
            // A hold is told before a fault: who can lift it is a person.
            let told = if stop == "held" && matches!(code, "clock_untrusted" | "config_refused") { "held" } else { code };
            assert_eq!(plan.waiting.as_ref().map(Waiting::code), Some(told), "{stop}");
            assert!(plan.overridden.is_none() && plan.steps.is_empty(), "{stop} {code}");
        }
    }
}

#[test]
fn a_frozen_way_back_passes_by_its_own_number() {
    let mut host = running(1);
    host.apply(&host.plan(&shop(2)));
    let frozen = Gates { calendar: Calendar::default().with_freezes([freeze(&[Gated::Release, Gated::Rollback])]), ..Gates::default() };
    let back = |gates: Gates| host.plan_for(Offer::Stack(Box::new(shop(1))), gates).stacks.remove(0);
    assert_eq!(back(frozen.clone()).waiting.unwrap().code(), "frozen");
    assert_eq!(back(Gates { overrides: vec![given()], ..frozen.clone() }).waiting.unwrap().code(), "frozen");
    let own = Override { release: ReleaseNumber(1), ..given() };
    let passed = back(Gates { overrides: vec![own.clone()], ..frozen.clone() });
    assert_eq!((passed.class, passed.overridden.unwrap().code.as_str()), (Some(OperationClass::Rollback), "frozen"));
    let clock = Gates { overrides: vec![own], clock_fault: Some("it went back".into()), ..frozen };
    assert_eq!(back(clock).waiting.unwrap().code(), "frozen");
}

#[test]
fn what_began_under_an_override_ends_under_it() {
    let mut host = running(1);
    let began: Timestamp = now() - secs(30);
    host.record.attempt = Some(Attempt { content: shop(2).content, release: None, started_at: began, class: OperationClass::Release });
    let over = Override { at: began - secs(60), until: now() - secs(1), ..given() };
    let earlier = || Hold { at: began - secs(120), ..hold() };
    let gates = Gates { holds: vec![earlier()], overrides: vec![over.clone()], ..Gates::default() };
    assert_eq!(plan_of(&host, &gates).class, Some(OperationClass::Release));
    let frozen = Gates { calendar: Calendar::default().with_freezes([freeze(&[Gated::Release])]), ..gates.clone() };
    assert_eq!(plan_of(&host, &frozen).class, Some(OperationClass::Release), "what has begun may end during a freeze");
    let held_since = Gates { holds: vec![earlier(), hold()], ..gates };
    assert_eq!(plan_of(&host, &held_since).class, Some(OperationClass::Abort), "a hold that was made since stops it");
    let before = Override { until: began, ..over };
    let gates = Gates { holds: vec![earlier()], overrides: vec![before], ..Gates::default() };
    assert_eq!(plan_of(&host, &gates).class, Some(OperationClass::Abort), "it was over when the rollout began");
}

#[test]
fn a_freeze_is_told_with_its_reason() {
    let gates = Gates { calendar: Calendar::default().with_freezes([freeze(&[Gated::Release])]), ..Gates::default() };
    let until = Some(now() + secs(3_600));
    assert_eq!(plan_of(&running(1), &gates).waiting, Some(Waiting::Frozen { until, rule: "freeze by bob: annual report".into() }));
}

#[test]
fn too_little_time_names_the_next_opening_that_is_long_enough() {
    let pulled = BTreeSet::from([shop(2).content]);
    let gates = Gates { calendar: calendar("1 11 * * *", "1h", None), pulled, ..Gates::default() };
    let Some(Waiting::DoesNotFit { needs_secs, closes_at, opens_at }) = plan_of(&running(1), &gates).waiting else { panic!("it fits") };
    assert_eq!((needs_secs, closes_at), (66, now() + secs(60)));
    assert_eq!(opens_at, Some("2026-11-22T11:01:00Z".parse().unwrap()));
    let never = Gates { calendar: calendar("* 12 * * *", "1m", None).with_freezes([freeze(&[Gated::Release])]), ..Gates::default() };
    assert_eq!(plan_of(&running(1), &never).waiting.unwrap().code(), "frozen");
}

#[test]
fn images_that_are_not_here_yet_need_time_too() {
    let gates = |duration: &str| Gates { calendar: calendar("0 12 * * *", duration, None), ..Gates::default() };
    let Some(Waiting::DoesNotFit { needs_secs, .. }) = plan_of(&running(1), &gates("6m")).waiting else { panic!("it fits") };
    assert_eq!(needs_secs, 66 + PULL_ALLOWANCE_SECS);
    assert_eq!(plan_of(&running(1), &gates("7m")).waiting, None);
    let pulled = Gates { pulled: BTreeSet::from([shop(2).content]), ..gates("6m") };
    assert_eq!(plan_of(&running(1), &pulled).waiting, None);
    let other = Gates { pulled: BTreeSet::from([shop(3).content]), ..gates("6m") };
    assert_eq!(plan_of(&running(1), &other).waiting.unwrap().code(), "does_not_fit");
}

#[test]
fn hosts_start_spread_out_but_never_too_late() {
    let opens = now();
    let starts = |seed: &str, max_secs: u64, duration: &str| {
        let splay = Splay { max_secs, seed: seed.into() };
        let pulled = BTreeSet::from([shop(2).content]);
        let gates = Gates { calendar: calendar("0 12 * * *", duration, None), splay, pulled, ..Gates::default() };
        match plan_of(&running(1), &gates).waiting {
            Some(Waiting::Splay { until, opened_at }) => {
                assert_eq!(opened_at, opens);
                until
            }
            None => opens,
            other => panic!("{other:?}"),
        }
    };
    let hosts: Vec<Timestamp> = (0..200).map(|n| starts(&format!("web-{n}"), 30, "2h")).collect();
    assert!(hosts.iter().all(|start| (0..=30).contains(&start.duration_since(opens).as_secs())));
    assert!(hosts.iter().collect::<BTreeSet<_>>().len() > 25, "all seconds are used");
    assert_eq!(starts("web-1", 30, "2h"), starts("web-1", 30, "2h"), "the same host has the same share");
    // It needs 66 s: of two minutes 54 s are left to wait in, of which half stay for what else may come.
    assert!((0..200).all(|n| starts(&format!("web-{n}"), 3_600, "2m").duration_since(opens).as_secs() <= 27));
    assert_eq!(starts("web-1", 0, "2h"), opens);
}

#[test]
fn repair_and_the_way_back_are_not_spread() {
    let mut host = running(1);
    host.apply(&host.plan(&shop(2)));
    let gates = Gates { calendar: calendar("0 12 * * *", "2h", None), splay: splay_that_waits(), ..Gates::default() };
    let back = host.plan_for(Offer::Stack(Box::new(shop(1))), gates.clone()).stacks.remove(0);
    assert_eq!((back.class, back.waiting), (Some(OperationClass::Rollback), None));
    host.observed.containers.clear();
    let repair = host.plan_for(Offer::Stack(Box::new(shop(2))), gates).stacks.remove(0);
    assert_eq!((repair.class, repair.waiting), (Some(OperationClass::Repair), None));
}

#[test]
fn a_window_counts_as_missed_only_if_all_of_it_passed_unwatched() {
    let nights = calendar("0 2 * * *", "2h", None);
    let code = |from: i64, until: i64, offered_at: Option<i64>| {
        let moment = |hour: i64| "2026-11-21T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hour);
        let unwatched = Unwatched { from: moment(from), until: moment(until), offered_at: offered_at.map(moment) };
        let gates = Gates { calendar: nights.clone(), unwatched: Some(unwatched), ..Gates::default() };
        plan_of(&running(1), &gates).waiting.unwrap()
    };
    let missed = Waiting::MissedWindow {
        opened_at: "2026-11-21T02:00:00Z".parse().unwrap(),
        closed_at: "2026-11-21T04:00:00Z".parse().unwrap(),
        opens_at: Some("2026-11-22T02:00:00Z".parse().unwrap()),
        rule: "no window is open".into(),
    };
    assert_eq!(code(1, 12, None), missed);
    assert_eq!(code(1, 4, Some(3)), missed);
    for (from, until, offered_at) in [(2, 12, None), (1, 3, None), (5, 12, None), (1, 12, Some(4)), (1, 12, Some(9))] {
        assert_eq!(code(from, until, offered_at).code(), "window_closed", "{from} {until} {offered_at:?}");
    }
}

#[test]
fn the_plan_names_the_override() {
    let gates = Gates { holds: vec![hold()], overrides: vec![given()], ..Gates::default() };
    let plan = plan_of(&running(1), &gates);
    similar_asserts::assert_eq!(
        text(&plan),
        "shop: release, held overridden by carol: the report needs it
 0 pull app:2 after []: needed
 1 create shop-web-1 after [0]: changed [\"image: 1 → 2\"]
 2 start shop-web-1 after [1]: needed
 3 await ready shop-web-1 after [2]: needed
 4 stop shop-web-1 after [0, 3]: replaced
 5 remove shop-web-1 after [4]: replaced"
    );
    let shown = serde_json::to_value(&plan).unwrap();
    assert_eq!(shown["overridden"]["code"], "held");
}
