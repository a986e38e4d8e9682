//! What is a candidate, what is held, and what the plan names.

use super::*;
use crate::calendar::Calendar;
use crate::compose::{ContainerModel, ImageRef, Service};
use crate::lock::{LockedStack, ReleaseKind, SCHEMA};
use jiff::Timestamp;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn commit(letter: char) -> CommitId {
    letter.to_string().repeat(40).parse().unwrap()
}

fn stack(name: &str) -> StackName {
    name.parse().unwrap()
}

fn model(name: &str, tag: &str) -> StackModel {
    let image = ImageRef { registry: "registry.example".into(), repository: name.into(), tag: Some(tag.into()), digest: None };
    let service = Service::new(ContainerModel::new(image));
    let services = [("web".parse().unwrap(), service)].into();
    StackModel { name: stack(name), services, networks: BTreeMap::new(), volumes: BTreeMap::new() }
}

fn environment(stacks: &[(&str, &str)], approvals: ApprovalPolicy) -> Environment {
    let placement = |role: &str| Placement { hosts: [("role".to_owned(), role.to_owned())].into() };
    Environment {
        name: "production".parse().unwrap(),
        stacks: stacks.iter().map(|(name, role)| (stack(name), placement(role))).collect(),
        calendar: Calendar::default(),
        approvals,
        holds: Vec::new(),
        overrides: Vec::new(),
    }
}

fn models(list: &[(&str, &str)]) -> BTreeMap<StackName, StackModel> {
    list.iter().map(|(name, tag)| (stack(name), model(name, tag))).collect()
}

fn lock(list: &[(&str, &str)], holds: Vec<Hold>) -> Lock {
    let locked = |(name, tag): &(&str, &str)| {
        let content = model(name, tag).content();
        (stack(name), LockedStack { release: ReleaseNumber(1), commit: commit('a'), content, images: BTreeMap::new() })
    };
    Lock {
        schema: SCHEMA,
        environment: "production".parse().unwrap(),
        release: ReleaseNumber(1),
        kind: ReleaseKind::Release,
        commit: commit('a'),
        plan: ContentId::of_bytes(b"plan"),
        created_at: now(),
        requested_by: None,
        reason: None,
        stacks: list.iter().map(locked).collect(),
        approvals: Vec::new(),
        holds,
        freezes: Vec::new(),
        overrides: Vec::new(),
    }
}

fn hold(name: Option<&str>, content: Option<ContentId>) -> Hold {
    Hold { stack: name.map(stack), content, release: None, by: None, reason: "bad".into(), at: now(), until: None }
}

/// Locked and wanted, as (stack, tag) and (stack, role).
struct Case<'a> {
    locked: &'a [(&'a str, &'a str)],
    was_placed: &'a [(&'a str, &'a str)],
    wanted: &'a [(&'a str, &'a str)],
    placed: &'a [(&'a str, &'a str)],
    holds: Vec<Hold>,
    bad: &'a [(&'a str, &'a str)],
}

impl Case<'_> {
    fn compare(&self) -> Comparison {
        let lock = lock(self.locked, self.holds.clone());
        let old = models(self.locked);
        let held = self.bad.iter().map(|(name, tag)| (bad_content(name, tag), model(name, tag))).collect();
        let before = environment(self.was_placed, ApprovalPolicy::None);
        let after = environment(self.placed, ApprovalPolicy::None);
        let new = models(self.wanted);
        let tip = commit('b');
        let desired = Desired { commit: &tip, environment: &after, models: new.iter().collect() };
        compare(&desired, Some(&Released { lock: &lock, environment: Some(&before), models: &old, held: &held }), now())
    }
}

/// A held content has digests, so it differs from the content as written.
fn bad_content(name: &str, tag: &str) -> ContentId {
    ContentId::of_bytes(format!("{name}:{tag}@digest").as_bytes())
}

const ON_WEB: &[(&str, &str)] = &[("shop", "web")];

fn shop<'a>(locked: &'a [(&'a str, &'a str)], wanted: &'a [(&'a str, &'a str)]) -> Case<'a> {
    Case { locked, was_placed: ON_WEB, wanted, placed: ON_WEB, holds: Vec::new(), bad: &[] }
}

#[test]
fn the_same_content_at_another_commit_is_no_candidate() {
    let same = shop(&[("shop", "1")], &[("shop", "1")]).compare();
    assert_eq!(same, Comparison { candidate: None, held: BTreeMap::new() });
}

#[test]
fn a_changed_image_is_named_from_and_to() {
    let candidate = shop(&[("shop", "1")], &[("shop", "2")]).compare().candidate.unwrap();
    let change = &candidate.stacks[&stack("shop")];
    assert_eq!((change.kind, change.from_release), (ChangeKind::Changed, Some(ReleaseNumber(1))));
    let web = change.services.values().next().unwrap();
    assert_eq!((web.from.as_deref(), web.to.as_deref()), (Some("shop:1"), Some("shop:2")));
    assert_eq!(web.fields, ["image: 1 → 2"]);
}

#[test]
fn what_is_no_longer_placed_goes_and_what_is_new_comes() {
    let case = Case { placed: &[("blog", "web")], ..shop(&[("shop", "1")], &[("blog", "1")]) };
    let candidate = case.compare().candidate.unwrap();
    assert_eq!(candidate.stacks[&stack("shop")].kind, ChangeKind::Removed);
    assert_eq!(candidate.stacks[&stack("blog")].kind, ChangeKind::Added);
}

#[test]
fn other_hosts_alone_are_a_candidate() {
    let case = Case { placed: &[("shop", "edge")], ..shop(&[("shop", "1")], &[("shop", "1")]) };
    let change = case.compare().candidate.unwrap().stacks[&stack("shop")].clone();
    assert_eq!(change.kind, ChangeKind::Moved);
    assert_eq!(change.placement.unwrap().to.hosts["role"], "edge");
}

#[test]
fn a_held_content_is_not_offered_again_and_another_one_is() {
    let bad = || vec![hold(Some("shop"), Some(bad_content("shop", "2")))];
    let again = Case { holds: bad(), bad: &[("shop", "2")], ..shop(&[("shop", "1")], &[("shop", "2")]) }.compare();
    assert!(again.candidate.is_none());
    assert_eq!(again.held[&stack("shop")].hold.reason, "bad");
    let better = Case { holds: bad(), bad: &[("shop", "2")], ..shop(&[("shop", "1")], &[("shop", "3")]) }.compare();
    assert!(better.candidate.is_some() && better.held.is_empty());
}

#[test]
fn a_held_stack_does_not_hold_up_its_neighbour() {
    let both: &[(&str, &str)] = &[("blog", "web"), ("shop", "web")];
    let case = Case {
        was_placed: both,
        placed: both,
        holds: vec![hold(Some("shop"), Some(bad_content("shop", "2")))],
        bad: &[("shop", "2")],
        ..shop(&[("blog", "1"), ("shop", "1")], &[("blog", "2"), ("shop", "2")])
    };
    let compared = case.compare();
    let candidate = compared.candidate.unwrap();
    assert_eq!(candidate.stacks.keys().collect::<Vec<_>>(), [&stack("blog")]);
    assert!(compared.held.contains_key(&stack("shop")));
    let kept = models(&[("blog", "2"), ("shop", "1")]);
    assert_eq!(candidate.plan, plan_of(&environment(both, ApprovalPolicy::None), &kept));
}

#[test]
fn a_stop_on_the_environment_holds_everything_and_ends_by_itself() {
    let stopped = Case { holds: vec![hold(None, None)], ..shop(&[("shop", "1")], &[("shop", "2")]) }.compare();
    assert!(stopped.candidate.is_none() && stopped.held.len() == 1);
    let over = Hold { until: Some(now()), ..hold(None, None) };
    assert!(Case { holds: vec![over], ..shop(&[("shop", "1")], &[("shop", "2")]) }.compare().candidate.is_some());
}

#[test]
fn a_hold_in_the_environments_file_stops_like_one_in_the_lock() {
    let (old, new, tip) = (models(&[("shop", "1")]), models(&[("shop", "2")]), commit('b'));
    let (lock, before) = (lock(&[("shop", "1")], Vec::new()), environment(ON_WEB, ApprovalPolicy::None));
    let bad = bad_content("shop", "2");
    let contents = BTreeMap::from([(bad.clone(), model("shop", "2"))]);
    let over = Hold { until: Some(now()), ..hold(None, None) };
    for (written, stops) in [(hold(Some("shop"), None), true), (hold(None, None), true), (hold(None, Some(bad)), true), (over, false)] {
        let after = Environment { holds: vec![written.clone()], ..environment(ON_WEB, ApprovalPolicy::None) };
        let desired = Desired { commit: &tip, environment: &after, models: new.iter().collect() };
        let released = Released { lock: &lock, environment: Some(&before), models: &old, held: &contents };
        let compared = compare(&desired, Some(&released), now());
        assert_eq!(compared.candidate.is_none(), stops, "{written:?}");
        assert_eq!(compared.held.get(&stack("shop")).map(|held| &held.hold), stops.then_some(&written));
        // Before the first release there is no lock that could hold anything, and the file does.
        let first = compare(&desired, None, now()).candidate;
        assert_eq!(first.is_none(), stops && written.content.is_none(), "{written:?}");
    }
}

#[test]
fn a_stopped_stack_that_would_move_stops_the_commit() {
    let both: &[(&str, &str)] = &[("blog", "web"), ("shop", "web")];
    let case = Case {
        was_placed: both,
        placed: &[("blog", "web"), ("shop", "edge")],
        holds: vec![hold(Some("shop"), None)],
        ..shop(&[("blog", "1"), ("shop", "1")], &[("blog", "2"), ("shop", "1")])
    };
    assert!(case.compare().candidate.is_none());
}

#[test]
fn without_a_lock_everything_is_new_unless_agents_follow_the_branch() {
    let tip = commit('b');
    let new = models(&[("shop", "1")]);
    for (approvals, expected) in [(ApprovalPolicy::None, true), (ApprovalPolicy::FollowTip, false)] {
        let environment = environment(ON_WEB, approvals);
        let desired = Desired { commit: &tip, environment: &environment, models: new.iter().collect() };
        assert_eq!(compare(&desired, None, now()).candidate.is_some(), expected);
    }
}

#[test]
fn a_new_policy_is_a_candidate_of_its_own_and_changes_the_plan() {
    let lock = lock(&[("shop", "1")], Vec::new());
    let old = models(&[("shop", "1")]);
    let (before, after) = (environment(ON_WEB, ApprovalPolicy::FollowTip), environment(ON_WEB, ApprovalPolicy::None));
    let tip = commit('b');
    let held = BTreeMap::new();
    let desired = Desired { commit: &tip, environment: &after, models: old.iter().collect() };
    let released = Released { lock: &lock, environment: Some(&before), models: &old, held: &held };
    let candidate = compare(&desired, Some(&released), now()).candidate.unwrap();
    assert!(candidate.stacks.is_empty() && candidate.policy.is_some());
    assert_ne!(candidate.plan, plan_of(&before, &old));
}

#[test]
fn a_locked_stack_that_cannot_be_read_any_more_counts_as_changed() {
    let lock = lock(&[("shop", "1")], Vec::new());
    let environment = environment(ON_WEB, ApprovalPolicy::None);
    let (new, none, held) = (models(&[("shop", "1")]), BTreeMap::new(), BTreeMap::new());
    let tip = commit('b');
    let desired = Desired { commit: &tip, environment: &environment, models: new.iter().collect() };
    let released = Released { lock: &lock, environment: Some(&environment), models: &none, held: &held };
    assert_eq!(compare(&desired, Some(&released), now()).candidate.unwrap().stacks[&stack("shop")].kind, ChangeKind::Changed);
}
