//! From what is remembered, offered and observed to what the planner decides by. Pure.
//!
//! Some facts settle themselves before any planning: what runs already is adopted, a rollback by hand that git has
//! caught up with is over, a content that failed is offered again when somebody released it anew.

use super::journal::StackState;
use crate::store::{Change, Removal, StackMemory, Write};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::desired::{DesiredContainer, DesiredService, DesiredStack};
use tidegate_core::ids::{EnvironmentName, StackName};
use tidegate_core::observed::{Health, ObservedContainer, ObservedHost};
use tidegate_core::offers::{Present, Removal as RemovalRule};
use tidegate_core::plan::{Offer, StackInputs, Waiting};

/// Which stacks are on this host, remembered or observed.
pub fn present(memories: &BTreeMap<StackName, StackMemory>, observed: &ObservedHost) -> BTreeMap<StackName, Present> {
    let remembered = memories.iter().filter(|(_, memory)| memory.record.released.is_some() || memory.record.attempt.is_some());
    let mut present: BTreeMap<StackName, Present> = remembered.map(|(name, _)| (name.clone(), Present::default())).collect();
    for container in observed.containers.values() {
        present.entry(container.stack.clone()).or_default().containers += 1;
    }
    for (name, entry) in &mut present {
        if memories.get(name).is_some_and(|memory| memory.removal == Removal::Confirmed) {
            entry.removal = RemovalRule::Confirmed;
        }
    }
    present
}

/// A stack before planning: its memory settled, and what to aim at.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The stack.
    pub state: StackState,
    /// What the planner is offered: what git offers, or what a rollback by hand asked for.
    pub offer: Offer,
    /// What git offers, for the report.
    pub offered: Option<DesiredStack>,
    /// What has to become durable first.
    pub change: Change,
}

impl Settled {
    /// The planner's input.
    pub fn inputs(&self) -> StackInputs {
        StackInputs { name: self.state.name.clone(), offer: self.offer.clone(), record: self.state.memory.record.clone() }
    }
}

/// Settles every stack that is offered, remembered or observed.
pub fn settle(
    environment: &EnvironmentName,
    memories: &BTreeMap<StackName, StackMemory>,
    mut offers: BTreeMap<StackName, Offer>,
    seen: &Seen<'_>,
) -> BTreeMap<StackName, Settled> {
    let names: BTreeSet<StackName> = offers.keys().chain(memories.keys()).cloned().collect();
    let mut settled = BTreeMap::new();
    for name in names {
        let offer = offers.remove(&name).unwrap_or(Offer::Unknown(None));
        let memory = memories.get(&name).cloned().unwrap_or_default();
        let state = StackState { environment: environment.clone(), name: name.clone(), memory };
        settled.insert(name, settle_one(state, offer, seen));
    }
    settled
}

/// What a turn sees.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What the engine has.
    pub observed: &'a ObservedHost,
    /// Now.
    pub now: Timestamp,
}

fn settle_one(mut state: StackState, offer: Offer, seen: &Seen<'_>) -> Settled {
    let before = state.memory.clone();
    let mut change = Change::at(seen.now);
    if let Offer::Stack(offered) = &offer {
        resume_when_released_anew(&mut state, offered);
        catch_up(&mut state, offered);
        note_waiting(&mut state, offered);
        if is_adoptable(&state.memory, offered, seen.observed) {
            change = state.adopted(offered, seen.now);
        }
    }
    if change.is_empty() && state.memory != before {
        change = Change::at(seen.now).write(Write::Stack(state.name.clone(), Box::new(state.memory.clone())));
    }
    let offered = match &offer {
        Offer::Stack(offered) => Some((**offered).clone()),
        Offer::Nothing(_) | Offer::Unknown(_) => None,
    };
    let offer = by_hand(&state.memory).unwrap_or(offer);
    Settled { state, offer, offered, change }
}

/// A content that failed here and stands in a later release than the failed one was released by somebody's decision:
/// the bot offers a held content only after a `resume`.
fn resume_when_released_anew(state: &mut StackState, offered: &DesiredStack) {
    let anew = |failed: Option<_>| matches!((failed, offered.release), (Some(failed), Some(now)) if now > failed);
    state.memory.record.failed.retain(|failed| failed.content != offered.content || !anew(failed.release));
}

/// A numbered release that is not here yet waits; once it is here, nothing does.
fn note_waiting(state: &mut StackState, offered: &DesiredStack) {
    let record = &state.memory.record;
    let is_here = record.released.as_ref().is_some_and(|released| released.desired.content == offered.content);
    let begun = record.attempt.as_ref().is_some_and(|attempt| attempt.content == offered.content);
    match offered.release {
        _ if is_here => state.memory.waited.clear(),
        Some(release) if !begun => state.waits(release),
        _ => {}
    }
}

/// Git says now what the rollback by hand did: it is no divergence any more.
fn catch_up(state: &mut StackState, offered: &DesiredStack) {
    let record = &mut state.memory.record;
    if record.diverged.as_ref().is_some_and(|diverged| diverged.to == offered.content) {
        record.diverged = None;
    }
}

/// A rollback by hand that has not arrived yet goes on, also after a crash.
fn by_hand(memory: &StackMemory) -> Option<Offer> {
    let record = &memory.record;
    let diverged = record.diverged.as_ref()?;
    if record.released.as_ref().is_some_and(|released| released.desired.content == diverged.to) {
        return None;
    }
    let target = record.verified.iter().find(|verified| verified.desired.content == diverged.to)?;
    Some(Offer::Stack(Box::new(target.desired.clone())))
}

/// Nothing is remembered, and all of the offered stack runs: an earlier life of this agent made it.
fn is_adoptable(memory: &StackMemory, offered: &DesiredStack, observed: &ObservedHost) -> bool {
    let record = &memory.record;
    record.released.is_none() && record.attempt.is_none() && runs_completely(offered, observed)
}

/// Does every lasting container of a state run, with the right content?
pub fn runs_completely(offered: &DesiredStack, observed: &ObservedHost) -> bool {
    let lasting: Vec<&DesiredService> = offered.services.iter().filter(|service| !service.one_shot).collect();
    let runs = |wanted: &DesiredContainer| observed.containers.get(&wanted.name).is_some_and(|found| is_good(found, wanted, offered));
    !lasting.is_empty() && lasting.iter().flat_map(|service| &service.containers).all(runs)
}

fn is_good(found: &ObservedContainer, wanted: &DesiredContainer, offered: &DesiredStack) -> bool {
    let healthy = !matches!(found.health, Some(Health::Unhealthy | Health::Starting));
    found.stack == offered.stack && found.hash == wanted.hash && found.is_running() && healthy
}

/// Why a stack that git offers is not what runs, when the planner does not say: a rollback by hand is under way.
pub fn waiting_by_hand(settled: &Settled) -> Option<Waiting> {
    let diverged = settled.state.memory.record.diverged.as_ref()?;
    let offered = settled.offered.as_ref()?;
    (offered.content != diverged.to).then(|| Waiting::Diverged { since: diverged.since, by: diverged.by.clone() })
}
