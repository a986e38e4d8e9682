//! What an environment has not released: its desired state at a commit compared with its lock.
//!
//! A lock pins digests, so contents are compared as people wrote them, without digests: a tag that moved at the
//! registry is no candidate, a changed file is. What failed or was rolled back is held by its content and is not
//! offered again, whatever commit brings it, until somebody resumes it or the content differs.

use crate::compose::{Service, StackModel};
use crate::ids::{CommitId, ContentId, EnvironmentName, ReleaseNumber, ServiceName, StackName};
use crate::lock::{Hold, Lock};
use crate::plan;
use crate::repo::{ApprovalPolicy, Environment, Placement, Repo};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An environment as the repo has it at a commit.
#[derive(Debug, Clone)]
pub struct Desired<'a> {
    /// The commit.
    pub commit: &'a CommitId,
    /// Placement and policy.
    pub environment: &'a Environment,
    /// The placed stacks without digests of ours.
    pub models: BTreeMap<&'a StackName, &'a StackModel>,
}

impl<'a> Desired<'a> {
    /// The environment at a commit; none: the repo does not name it there.
    pub fn of(repo: &'a Repo, environment: &EnvironmentName, commit: &'a CommitId) -> Option<Desired<'a>> {
        let environment = repo.environment(environment)?;
        let models = repo.stacks.iter().filter(|((of, _), _)| *of == environment.name).map(|((_, stack), model)| (stack, model)).collect();
        Some(Desired { commit, environment, models })
    }
}

/// What an environment has released, with the files that its lock points to.
#[derive(Debug, Clone)]
pub struct Released<'a> {
    /// The lock.
    pub lock: &'a Lock,
    /// Placement and policy at the lock's commit; none: it cannot be read there any more, and counts as different.
    pub environment: Option<&'a Environment>,
    /// The locked stacks as they are at their commits, without digests; one that cannot be read counts as different.
    pub models: &'a BTreeMap<StackName, StackModel>,
    /// The held contents, each as it was when it was released, without digests.
    pub held: &'a BTreeMap<ContentId, StackModel>,
}

/// What differs from the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// What may be released.
    pub candidate: Option<Candidate>,
    /// What differs and is held.
    pub held: BTreeMap<StackName, HeldChange>,
}

/// What the branch holds for an environment and the environment has not released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The environment.
    pub environment: EnvironmentName,
    /// The commit.
    pub commit: CommitId,
    /// Identity of the environment's desired state, the held stacks left as they are.
    pub plan: ContentId,
    /// The stacks that change.
    pub stacks: BTreeMap<StackName, StackChange>,
    /// The approval policy changes with this release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyChange>,
}

/// A new approval policy. It counts once it is released: a change cannot grant itself rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// In force.
    pub from: ApprovalPolicy,
    /// In force after the release.
    pub to: ApprovalPolicy,
}

/// What happens to a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackChange {
    /// Added, removed or changed.
    pub kind: ChangeKind,
    /// The release that brought what is locked now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_release: Option<ReleaseNumber>,
    /// Services that differ.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<ServiceName, ServiceChange>,
    /// Other hosts than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementChange>,
}

/// Kind of a stack's change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is not in the lock.
    Added,
    /// It is not placed any more.
    Removed,
    /// Its content differs.
    Changed,
    /// Only its hosts differ.
    Moved,
}

/// What happens to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// Its image for people; none: it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its new image for people; none: it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What differs, field by field; values that may be secret are not in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// Other hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementChange {
    /// Labels asked for until now.
    pub from: Placement,
    /// Labels asked for from now on.
    pub to: Placement,
}

/// A change that a hold stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldChange {
    /// What would happen.
    pub change: StackChange,
    /// What stops it.
    pub hold: Hold,
}

/// Compares an environment with its lock. Without a lock everything is new, unless the agents follow the branch.
pub fn compare(desired: &Desired<'_>, released: Option<&Released<'_>>, now: Timestamp) -> Comparison {
    let nothing = Comparison { candidate: None, held: BTreeMap::new() };
    if released.is_none() && desired.environment.approvals == ApprovalPolicy::FollowTip {
        return nothing;
    }
    let mut open = BTreeMap::new();
    let mut held = BTreeMap::new();
    let mut everything_waits = false;
    for (stack, change) in changes(desired, released) {
        match stopping(stack, desired.models.get(stack).copied(), released, now) {
            Some(hold) if hold.content.is_none() => {
                // Placement is read at one commit for all stacks, so a stop on this one stops the commit.
                everything_waits |= change.placement.is_some() || change.kind == ChangeKind::Removed;
                held.insert(stack.clone(), HeldChange { change, hold });
            }
            Some(hold) => {
                if let Some(moved) = only_moved(&change) {
                    open.insert(stack.clone(), moved);
                }
                held.insert(stack.clone(), HeldChange { change, hold });
            }
            None => {
                open.insert(stack.clone(), change);
            }
        }
    }
    let policy = policy_change(desired, released);
    if everything_waits || (open.is_empty() && policy.is_none()) {
        return Comparison { candidate: None, held };
    }
    let stays: BTreeSet<&StackName> = held.keys().collect();
    let plan = plan_after(desired, released, &stays);
    let candidate = Candidate { environment: desired.environment.name.clone(), commit: desired.commit.clone(), plan, stacks: open, policy };
    Comparison { candidate: Some(candidate), held }
}

/// A held content that moves to other hosts still moves: placement belongs to the environment.
fn only_moved(change: &StackChange) -> Option<StackChange> {
    let placement = change.placement.clone()?;
    Some(StackChange { kind: ChangeKind::Moved, from_release: change.from_release, services: BTreeMap::new(), placement: Some(placement) })
}

fn changes<'a>(desired: &Desired<'a>, released: Option<&Released<'a>>) -> BTreeMap<&'a StackName, StackChange> {
    let locked = released.iter().flat_map(|r| r.lock.stacks.keys());
    let names: BTreeSet<&StackName> = desired.models.keys().copied().chain(locked).collect();
    names.into_iter().filter_map(|name| Some((name, stack_change(name, desired, released)?))).collect()
}

fn stack_change(name: &StackName, desired: &Desired<'_>, released: Option<&Released<'_>>) -> Option<StackChange> {
    let locked = released.and_then(|r| r.lock.stacks.get(name));
    let old = released.and_then(|r| r.models.get(name)).filter(|_| locked.is_some());
    let new = desired.models.get(name).copied();
    let placement = placement_change(name, desired, released).filter(|_| locked.is_some() && new.is_some());
    let kind = match (locked, new) {
        (None, None) => return None,
        (None, Some(_)) => ChangeKind::Added,
        (Some(_), None) => ChangeKind::Removed,
        (Some(_), Some(new)) if old != Some(new) => ChangeKind::Changed,
        (Some(_), Some(_)) if placement.is_some() => ChangeKind::Moved,
        (Some(_), Some(_)) => return None,
    };
    Some(StackChange { kind, from_release: locked.map(|l| l.release), services: service_changes(old, new), placement })
}

fn placement_change(name: &StackName, desired: &Desired<'_>, released: Option<&Released<'_>>) -> Option<PlacementChange> {
    let from = released?.environment?.stacks.get(name)?;
    let to = desired.environment.stacks.get(name)?;
    (from != to).then(|| PlacementChange { from: from.clone(), to: to.clone() })
}

fn policy_change(desired: &Desired<'_>, released: Option<&Released<'_>>) -> Option<PolicyChange> {
    let from = &released?.environment?.approvals;
    let to = &desired.environment.approvals;
    (from != to).then(|| PolicyChange { from: from.clone(), to: to.clone() })
}

/// What happens to a stack that goes from one content to another, both without digests; none: it was or will not be there.
pub fn content_change(from_release: Option<ReleaseNumber>, old: Option<&StackModel>, new: Option<&StackModel>) -> StackChange {
    let kind = match (old, new) {
        (None, Some(_)) => ChangeKind::Added,
        (_, None) => ChangeKind::Removed,
        (Some(_), Some(_)) => ChangeKind::Changed,
    };
    StackChange { kind, from_release, services: service_changes(old, new), placement: None }
}

fn service_changes(old: Option<&StackModel>, new: Option<&StackModel>) -> BTreeMap<ServiceName, ServiceChange> {
    let empty = BTreeMap::new();
    let old = old.map_or(&empty, |model| &model.services);
    let new = new.map_or(&empty, |model| &model.services);
    let names: BTreeSet<&ServiceName> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter_map(|name| Some((name.clone(), service_change(old.get(name), new.get(name))?))).collect()
}

fn service_change(old: Option<&Service>, new: Option<&Service>) -> Option<ServiceChange> {
    if old == new {
        return None;
    }
    let image = |service: &Service| service.container.image.for_people();
    let fields = match (old, new) {
        (Some(old), Some(new)) => changed_fields(old, new),
        _ => Vec::new(),
    };
    Some(ServiceChange { from: old.map(image), to: new.map(image), fields })
}

fn changed_fields(old: &Service, new: &Service) -> Vec<String> {
    let mut fields = plan::changes(&old.container, &new.container);
    if old.replicas != new.replicas {
        fields.push(format!("replicas: {} → {}", old.replicas, new.replicas));
    }
    let differs = [
        ("depends_on", old.depends_on != new.depends_on),
        ("pull_policy", old.pull_policy != new.pull_policy),
        ("deploy.update_config", old.update != new.update),
        ("deploy.placement.constraints", old.constraints != new.constraints),
        ("x-tidegate", old.release != new.release),
    ];
    fields.extend(differs.iter().filter(|(_, differs)| *differs).map(|(field, _)| format!("{field}: (changed)")));
    fields
}

/// The hold that stops this stack's change, if any: one on everything first, else one on exactly this content.
fn stopping(stack: &StackName, new: Option<&StackModel>, released: Option<&Released<'_>>, now: Timestamp) -> Option<Hold> {
    let released = released?;
    let applies = |hold: &&Hold| hold.stack.as_ref().is_none_or(|held| held == stack) && hold.until.is_none_or(|until| now < until);
    let holds = || released.lock.holds.iter().filter(applies);
    let is_new = |hold: &&Hold| hold.content.as_ref().is_some_and(|content| new.is_some() && released.held.get(content) == new);
    holds().find(|hold| hold.content.is_none()).or_else(|| holds().find(is_new)).cloned()
}

#[derive(Serialize)]
struct PlannedStack<'a> {
    placement: Option<&'a Placement>,
    content: Option<ContentId>,
}

#[derive(Serialize)]
struct Planned<'a> {
    environment: &'a EnvironmentName,
    approvals: &'a ApprovalPolicy,
    stacks: BTreeMap<&'a StackName, PlannedStack<'a>>,
}

/// The identity of the environment's desired state if everything but the stacks in `stays` moves to `desired`.
fn plan_after<'a>(desired: &Desired<'a>, released: Option<&Released<'a>>, stays: &BTreeSet<&StackName>) -> ContentId {
    let mut models: BTreeMap<&StackName, Option<&StackModel>> =
        desired.models.iter().filter(|(name, _)| !stays.contains(*name)).map(|(name, model)| (*name, Some(*model))).collect();
    if let Some(released) = released {
        let kept = released.lock.stacks.keys().filter(|name| stays.contains(*name));
        models.extend(kept.map(|name| (name, released.models.get(name))));
    }
    plan_id(desired.environment, &models)
}

/// The identity of what a lock says, in the same terms as a candidate's plan; `environment` is as it is at the lock's commit.
pub fn plan_of(environment: &Environment, models: &BTreeMap<StackName, StackModel>) -> ContentId {
    plan_id(environment, &models.iter().map(|(name, model)| (name, Some(model))).collect())
}

fn plan_id(environment: &Environment, models: &BTreeMap<&StackName, Option<&StackModel>>) -> ContentId {
    let stacks = models
        .iter()
        .map(|(name, model)| (*name, PlannedStack { placement: environment.stacks.get(*name), content: model.map(StackModel::content) }))
        .collect();
    ContentId::of(&Planned { environment: &environment.name, approvals: &environment.approvals, stacks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Calendar;
    use crate::compose::{ContainerModel, ImageRef};
    use crate::lock::{LockedStack, ReleaseKind, SCHEMA};

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
}
