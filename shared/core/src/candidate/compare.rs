//! The comparison itself: what differs from the lock, and which of it a hold stops.

use super::content::service_changes;
use super::identity::plan_after;
use super::{Candidate, ChangeKind, Comparison, Desired, HeldChange, PlacementChange, PolicyChange, Released, StackChange};
use crate::ids::{ContentId, StackName};
use crate::lock::Hold;
use crate::repo::ApprovalPolicy;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

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
        match stopping(stack, desired, released, now) {
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

/// The hold that stops this stack's change, if any, of the lock or of the environment's file at the tip: one on everything
/// first, else one on exactly this content.
fn stopping(stack: &StackName, desired: &Desired<'_>, released: Option<&Released<'_>>, now: Timestamp) -> Option<Hold> {
    let new = desired.models.get(stack).copied();
    let applies = |hold: &&Hold| hold.stack.as_ref().is_none_or(|held| held == stack) && hold.until.is_none_or(|until| now < until);
    let holds = || desired.environment.holds_with(released.map(|released| released.lock)).filter(applies);
    let known = |content: &ContentId| released.and_then(|released| released.held.get(content));
    let is_new = |hold: &&Hold| hold.content.as_ref().is_some_and(|content| new.is_some() && known(content) == new);
    holds().find(|hold| hold.content.is_none()).or_else(|| holds().find(is_new)).cloned()
}
