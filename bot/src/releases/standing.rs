//! Locks in which only freezes, holds or overrides change, and what of these a following lock keeps.

use super::{next_number, successor};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tidegate_core::ids::{PersonName, StackName};
use tidegate_core::lock::{Hold, Lock, LockedFreeze, LockedStack, Override, ReleaseKind};

/// Most holds on contents that a lock keeps; the oldest go first.
pub const CONTENT_HOLDS_MAX: usize = 50;

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// Who.
    pub person: &'a PersonName,
    /// When.
    pub now: Timestamp,
}

/// The lock with one more freeze.
pub fn freeze(base: &Lock, freeze: LockedFreeze, by: By<'_>) -> Lock {
    let mut lock = asked(base, ReleaseKind::Freeze, by);
    lock.reason = Some(freeze.reason.clone());
    // A pass that was given before goes no further than what was known then.
    lock.overrides.retain(|given| given.until <= freeze.begins());
    lock.freezes.push(freeze);
    lock
}

/// The lock without its freezes, and what was ended.
pub fn unfreeze(base: &Lock, by: By<'_>) -> (Lock, Vec<LockedFreeze>) {
    let mut lock = asked(base, ReleaseKind::Freeze, by);
    let ended = std::mem::take(&mut lock.freezes);
    (lock, ended)
}

/// The lock with one more hold on everything new. An earlier one of the same person on the same thing is replaced.
pub fn hold_new(base: &Lock, hold: Hold, by: By<'_>) -> Lock {
    let mut lock = asked(base, ReleaseKind::Hold, by);
    lock.reason = Some(hold.reason.clone());
    let stacks = lock.stacks.clone();
    lock.overrides.retain(|given| !covers(&hold, given, &stacks));
    lock.holds.retain(|known| known.content.is_some() || known.stack != hold.stack || known.by != hold.by);
    lock.holds.push(hold);
    lock
}

/// Does a hold stop everything that an override would let pass?
fn covers(hold: &Hold, given: &Override, stacks: &BTreeMap<StackName, LockedStack>) -> bool {
    let Some(held) = &hold.stack else { return true };
    let passes = |(stack, locked): &(&StackName, &LockedStack)| {
        locked.release == given.release && given.stack.as_ref().is_none_or(|named| named == *stack)
    };
    stacks.iter().filter(passes).all(|(stack, _)| stack == held)
}

/// The lock without the holds on a stack, or without those on the whole environment; and what was lifted.
pub fn resume(base: &Lock, stack: Option<&StackName>, by: By<'_>) -> (Lock, Vec<Hold>) {
    let mut lock = asked(base, ReleaseKind::Hold, by);
    let (lifted, kept) = lock.holds.into_iter().partition(|hold| hold.stack.as_ref() == stack);
    lock.holds = kept;
    (lock, lifted)
}

/// The lock with one more override. An earlier one for the same is replaced.
pub fn override_release(base: &Lock, given: Override, by: By<'_>) -> Lock {
    let mut lock = asked(base, ReleaseKind::Override, by);
    lock.reason = Some(given.reason.clone());
    lock.overrides.retain(|known| known.release != given.release || known.stack != given.stack);
    lock.overrides.push(given);
    lock
}

fn asked(base: &Lock, kind: ReleaseKind, by: By<'_>) -> Lock {
    let mut lock = successor(base, kind, by.now);
    debug_assert_eq!(lock.release, next_number(Some(base)), "every lock has a number of its own");
    lock.requested_by = Some(by.person.clone());
    lock
}

/// Holds that have not ended, the newest of those on contents.
pub(super) fn holds_of(base: Option<&Lock>, now: Timestamp) -> Vec<Hold> {
    let mut holds = base.map(|lock| lock.holds.clone()).unwrap_or_default();
    holds.retain(|hold| hold.until.is_none_or(|until| now < until));
    let over = holds.iter().filter(|hold| hold.content.is_some()).count().saturating_sub(CONTENT_HOLDS_MAX);
    for _ in 0..over {
        if let Some(oldest) = holds.iter().position(|hold| hold.content.is_some()) {
            holds.remove(oldest);
        }
    }
    holds
}
