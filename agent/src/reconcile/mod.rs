//! One turn: look at the engine, decide by the core's planner, act, and remember. Nothing is carried over between turns
//! but what is in the store and when a stack may be tried again; wake-ups carry no data.

pub mod facts;
pub mod journal;
mod pace;
mod prepare;
pub mod stack;

pub use pace::{Pace, PaceKey};
pub use stack::{Begun, StackEnd, StackTurn, Tools};

use crate::config::{ConfigReader, ConfigView, Surroundings};
use crate::earlier::Search;
use crate::engine::{Engine, EngineError};
use crate::store::{Change, Memory, StackMemory, StoreError};
use facts::{Seen, Settled};
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use journal::StackState;
use stack::EXTERNAL_RETRY_SECS;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::calendar::Zones;
use tidegate_core::desired::Naming;
use tidegate_core::events::ReleaseOf;
use tidegate_core::ids::{CommitId, ContentId, EnvironmentName, HostName, StackName};
use tidegate_core::observed::ObservedHost;
use tidegate_core::offers::ForHost;
use tidegate_core::plan::{Gates, HostInputs, OperationClass, StackPlan, Waiting, plan};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Stacks worked on at a time.
pub const STACKS_AT_ONCE: usize = 4;

/// Why a turn ended before it began.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whose host this is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The host.
    pub host: HostName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// How engine names are made.
    pub naming: Naming,
}

/// Reconciles one host.
pub struct Reconciler<E> {
    /// What the work needs.
    pub tools: Tools<E>,
    /// Whose host this is.
    pub identity: Identity,
    paces: BTreeMap<PaceKey, Pace>,
    preparations: prepare::Preparations,
    /// Unknown stacks that were looked up in the history of this commit: once is enough.
    looked_up: BTreeMap<StackName, CommitId>,
}

/// What a turn is given.
pub struct TurnInput<'a> {
    /// What the config says.
    pub view: &'a ConfigView,
    /// Clock, pauses, spread.
    pub around: Surroundings,
    /// Ends the turn early.
    pub interrupt: &'a CancellationToken,
    /// Told when something that waits for its time may start, as soon as that is known.
    pub next: &'a watch::Sender<Option<Timestamp>>,
}

/// How a turn ended.
#[derive(Debug, Default)]
pub struct TurnEnd {
    /// What the engine had when the turn began.
    pub observed: ObservedHost,
    /// Each stack's offer and wait.
    pub stacks: BTreeMap<StackName, StackReport>,
    /// Something was done: look again.
    pub acted: bool,
    /// The engine went away in the midst of it.
    pub engine_away: Option<String>,
    /// Stacks that were worked on and are where they should be.
    pub settled: BTreeSet<StackName>,
    /// Stacks that could not be brought to what is released, with the cause.
    pub broken: BTreeMap<StackName, String>,
    /// Stacks whose rollout could not be done yet, with the cause.
    pub delayed: BTreeMap<StackName, String>,
}

/// What is reported of a stack.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StackReport {
    /// What git offers.
    pub offered: Option<ReleaseOf>,
    /// Why it is not released.
    pub waiting: Option<Waiting>,
    /// The content that waits and whose images are here already.
    pub prepared: Option<ContentId>,
}

impl TurnEnd {
    /// The next moment at which something may be different by itself.
    pub fn next_moment(&self) -> Option<Timestamp> {
        self.stacks.values().filter_map(|stack| stack.waiting.as_ref()?.next_moment()).min()
    }
}

impl TurnEnd {
    /// The next moment at which the calendar lets something start that waits for it.
    fn next_start(&self) -> Option<Timestamp> {
        let waits = self.stacks.values().filter_map(|stack| stack.waiting.as_ref());
        waits.filter(|waiting| prepare::is_worth_it(waiting)).filter_map(Waiting::next_moment).min()
    }
}

impl<E: Engine> Reconciler<E> {
    /// A reconciler that has not done anything yet.
    pub fn new(tools: Tools<E>, identity: Identity) -> Reconciler<E> {
        Reconciler { tools, identity, paces: BTreeMap::new(), preparations: Default::default(), looked_up: BTreeMap::new() }
    }

    /// One turn. `memory` is what is remembered before and after.
    pub async fn turn(&mut self, input: &TurnInput<'_>, memory: &mut Memory) -> Result<TurnEnd, TurnError> {
        let observed = self.tools.engine.observe().await?;
        let now = self.tools.clock.now();
        let mut settled = self.settle(input, memory, &observed).await?;
        self.preparations.keep(&settled, now);
        let pulled = self.preparations.pulled(&settled, &Seen { observed: &observed, now });
        let gates = Gates { pulled, ..input.view.gates(&input.around) };
        let inputs = HostInputs {
            stacks: settled.iter().map(|(name, settled)| (name.clone(), settled.inputs())).collect(),
            observed: &observed,
            gates: gates.clone(),
        };
        let planned = plan(&inputs, now);
        let mut end = TurnEnd { stacks: self.reports(&settled, &planned.stacks), ..TurnEnd::default() };
        self.prepare(&settled, &mut end, now);
        input.next.send_replace(end.next_start().filter(|at| *at > now));
        let work = self.due(&planned.stacks, &mut end, now);
        let ends = self.work(input, &gates, take(&mut settled, work)).await?;
        for (settled, planned, result) in ends {
            self.note(planned, result, &mut end);
            remember(memory, &settled);
        }
        self.take_over_silently(&settled, memory).await?;
        if end.acted {
            self.collect_files(memory).await;
        }
        end.observed = observed;
        Ok(end)
    }

    /// Settles the facts and makes what changed durable.
    async fn settle(
        &mut self,
        input: &TurnInput<'_>,
        memory: &mut Memory,
        observed: &ObservedHost,
    ) -> Result<BTreeMap<StackName, Settled>, StoreError> {
        let present = facts::present(&memory.stacks, observed);
        self.find_again(input.view, memory, observed).await?;
        let Identity { host, environment, naming } = &self.identity;
        let offers = input.view.offers(&ForHost { host, environment, naming, present: &present });
        let seen = Seen { observed, now: self.tools.clock.now() };
        let mut settled = facts::settle(environment, &memory.stacks, offers, &seen);
        for one in settled.values_mut() {
            let change = std::mem::replace(&mut one.change, Change::at(seen.now));
            if !change.is_empty() {
                self.tools.store.commit(change).await?;
                remember(memory, one);
            }
        }
        Ok(settled)
    }

    /// What runs and is not remembered (the database was lost) is looked up in git's history, so that there is a way back.
    async fn find_again(&mut self, view: &ConfigView, memory: &mut Memory, observed: &ObservedHost) -> Result<(), StoreError> {
        let (Some(mirror), Some(me)) = (&self.tools.mirror, view.me()) else { return Ok(()) };
        let unknown: BTreeSet<StackName> = observed
            .containers
            .values()
            .map(|container| &container.stack)
            .filter(|name| !memory.stacks.contains_key(*name))
            .cloned()
            .collect();
        let zones = Zones::bundled();
        let reader = ConfigReader { mirror, host: &self.identity.host, zones: &zones };
        let search = Search { reader, host: me, naming: &self.identity.naming, observed };
        for name in unknown {
            if self.looked_up.get(&name) == Some(&view.commit) {
                continue;
            }
            let found = search.find(&name).await;
            // Only an answer counts: a search that git did not let end is made again.
            if found.is_ok() {
                self.looked_up.insert(name.clone(), view.commit.clone());
            }
            match found {
                Ok(Some(found)) => {
                    let environment = self.identity.environment.clone();
                    let mut state = StackState { environment, name: name.clone(), memory: StackMemory::default() };
                    self.tools.store.commit(state.adopted(&found, self.tools.clock.now())).await?;
                    memory.stacks.insert(name, state.memory);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(stack = name.as_str(), error = crate::words::chain(&error), "what ran before could not be looked up")
                }
            }
        }
        Ok(())
    }

    fn reports(&self, settled: &BTreeMap<StackName, Settled>, planned: &[StackPlan]) -> BTreeMap<StackName, StackReport> {
        let mut reports: BTreeMap<StackName, StackReport> = settled
            .iter()
            .map(|(name, one)| {
                let offered = one.offered.as_ref().map(|desired| journal::release_of(&self.identity.environment, desired));
                (name.clone(), StackReport { offered, waiting: facts::waiting_by_hand(one), prepared: None })
            })
            .collect();
        for stack in planned {
            if let (Some(report), Some(waiting)) = (reports.get_mut(&stack.stack), &stack.waiting) {
                report.waiting = Some(waiting.clone());
            }
        }
        reports
    }

    /// The plans with something to do now; the others wait for their next try and say so.
    fn due<'p>(&self, planned: &'p [StackPlan], end: &mut TurnEnd, now: Timestamp) -> Vec<&'p StackPlan> {
        let mut due = Vec::new();
        for stack in planned.iter().filter(|stack| stack.class.is_some() && stack.target.is_some()) {
            match PaceKey::of(stack).and_then(|key| self.paces.get(&key)?.waits(now)) {
                Some(until) => {
                    let report = end.stacks.entry(stack.stack.clone()).or_default();
                    if stack.class != Some(OperationClass::Repair) || report.waiting.is_none() {
                        report.waiting = Some(Waiting::Backoff { until });
                    }
                }
                None => due.push(stack),
            }
        }
        due
    }

    /// What waits only for its time has its images pulled meanwhile.
    fn prepare(&mut self, settled: &BTreeMap<StackName, Settled>, end: &mut TurnEnd, now: Timestamp) {
        for (name, report) in &mut end.stacks {
            let waits = report.waiting.as_ref().is_some_and(prepare::is_worth_it);
            let Some(offered) = settled.get(name).and_then(|one| one.offered.as_ref()).filter(|_| waits) else { continue };
            report.prepared = self.preparations.look(&self.tools.engine, offered, now);
        }
    }

    async fn work<'p>(
        &self,
        input: &TurnInput<'_>,
        gates: &Gates,
        work: Vec<(&'p StackPlan, Settled)>,
    ) -> Result<Vec<Ended<'p>>, StoreError> {
        let turn = StackTurn { tools: &self.tools, gates, interrupt: input.interrupt };
        let turn = &turn;
        let jobs = work.into_iter().map(|(planned, mut settled)| async move {
            let result = turn.run(&mut settled, planned).await?;
            Ok((settled, planned, result))
        });
        futures_util::stream::iter(jobs).buffer_unordered(STACKS_AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
    }

    /// Somebody decided for this stack: what was tried before does not delay it.
    pub fn hurry(&mut self, stack: &StackName) {
        self.paces.retain(|key, _| key.stack != *stack);
    }

    fn note(&mut self, planned: &StackPlan, result: StackEnd, end: &mut TurnEnd) {
        let (name, class) = (&planned.stack, planned.class);
        let Some(key) = PaceKey::of(planned) else { return };
        let now = self.tools.clock.now();
        self.paces.retain(|other, pace| *other == key || pace.still_counts(now));
        let pace = self.paces.entry(key).or_default();
        match result {
            StackEnd::Settled => {
                self.hurry(name);
                end.settled.insert(name.clone());
                end.acted = true;
            }
            StackEnd::Repaired => {
                pace.repaired(now, crate::backoff::chance());
                end.settled.insert(name.clone());
                end.acted = true;
            }
            StackEnd::TryLater { cause, engine_away: true } => end.engine_away = Some(cause),
            StackEnd::TryLater { cause, engine_away: false } => {
                let until = pace.failed(now, crate::backoff::chance());
                if class != Some(OperationClass::Repair) {
                    end.stacks.entry(name.clone()).or_default().waiting = Some(Waiting::Backoff { until });
                }
                end.delayed.insert(name.clone(), cause);
            }
            StackEnd::ExternalMissing(missing) => {
                let until = now.checked_add(SignedDuration::from_secs(EXTERNAL_RETRY_SECS)).unwrap_or(now);
                end.stacks.entry(name.clone()).or_default().waiting = Some(Waiting::ExternalMissing { missing, until });
            }
            StackEnd::Broken { cause } => {
                pace.failed(now, crate::backoff::chance());
                end.broken.insert(name.clone(), cause);
            }
            // It did not begin, or did not end: the next look decides anew.
            StackEnd::Stopped => end.acted = true,
        }
    }

    /// Forgets mounted files that nothing needs any more; while a rollout is in hand, all of them may be needed.
    async fn collect_files(&self, memory: &Memory) {
        let records = || memory.stacks.values().map(|memory| &memory.record);
        if records().any(|record| record.attempt.is_some()) {
            return;
        }
        let kept = records().flat_map(|record| record.released.iter().chain(&record.verified));
        let keep = kept.flat_map(|released| released.desired.repo_mounts()).map(|(_, content)| content).collect();
        if let Err(error) = self.tools.files.collect(keep).await {
            tracing::warn!(error = crate::words::chain(&error), "mounted files that nothing needs could not be removed");
        }
    }

    /// The released content under another number or commit, with nothing to do for it: only remembered.
    async fn take_over_silently(&self, settled: &BTreeMap<StackName, Settled>, memory: &mut Memory) -> Result<(), StoreError> {
        for one in settled.values() {
            let (Some(offered), Some(before)) = (&one.offered, memory.stacks.get(&one.state.name)) else { continue };
            let mut state = one.state.clone();
            state.memory = before.clone();
            state.take_over(offered);
            state.placed();
            if state.memory != *before {
                self.tools.store.commit(Change::at(self.tools.clock.now()).stack(&state.name, &state.memory)).await?;
                memory.stacks.insert(state.name, state.memory);
            }
        }
        Ok(())
    }
}

type Ended<'p> = (Settled, &'p StackPlan, StackEnd);

/// Moves the settled stacks that have work to their plans.
fn take<'p>(settled: &mut BTreeMap<StackName, Settled>, work: Vec<&'p StackPlan>) -> Vec<(&'p StackPlan, Settled)> {
    work.into_iter().filter_map(|planned| Some((planned, settled.remove(&planned.stack)?))).collect()
}

/// What is remembered of a stack now, in the copy in memory as in the store.
fn remember(memory: &mut Memory, settled: &Settled) {
    let name = &settled.state.name;
    if settled.state.memory == StackMemory::default() {
        memory.stacks.remove(name);
    } else {
        memory.stacks.insert(name.clone(), settled.state.memory.clone());
    }
}
