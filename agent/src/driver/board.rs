//! What others see of the loop: a snapshot for HTTP and metrics, and the host's status for the bot.

use super::{Driver, DriverError};
use crate::config::ConfigView;
use crate::engine::Engine;
use crate::reconcile::{Begun, StackReport, TurnEnd};
use crate::report;
use crate::store::{Change, Counts, Memory, TroubleMemory, Write};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate_core::events::{Event, HostStatus, ReleaseOf};
use tidegate_core::ids::{CommitId, EnvironmentName, StackName};
use tidegate_core::observed::ObservedHost;
use tidegate_core::plan::Waiting;
use tokio::sync::watch;
use tokio::time::Instant;

/// A snapshot of what the agent knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Board {
    /// The host's status; none: no config was ever readable.
    pub status: Option<HostStatus>,
    /// Did the engine answer the last time it was asked?
    pub engine_answers: bool,
    /// What the config says about itself.
    pub config: ConfigBoard,
    /// What is wrong right now.
    pub troubles: BTreeMap<String, TroubleMemory>,
    /// Since when each stack waits for what it waits for.
    pub waiting_since: BTreeMap<StackName, Timestamp>,
    /// Delivery of news.
    pub delivery: Delivery,
    /// What was counted since the start.
    #[serde(skip)]
    pub counts: Counts,
}

/// What the config says about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigBoard {
    /// The newest trusted commit.
    pub commit: Option<CommitId>,
    /// The newest commit that is valid as a whole.
    pub valid: Option<CommitId>,
    /// What is wrong at the newest one.
    pub errors: Vec<String>,
}

/// Delivery of news.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Events that the bot does not have yet.
    pub waiting: u64,
    /// Events that were dropped.
    pub dropped: u64,
    /// Why the last try failed, if it did.
    pub failing: Option<String>,
}

/// Does a stack's removal wait for a person?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldRemoval {
    /// Yes: `resume` confirms it.
    Waits,
    /// No: `resume` says nothing about removals.
    None,
}

/// Remembers what was reported, so that only what differs is told.
pub(super) struct Reporter {
    pub(super) engine_version: Option<String>,
    tzdata: String,
    last_poll: Option<Timestamp>,
    observed: ObservedHost,
    stacks: BTreeMap<StackName, StackReport>,
    waiting: BTreeMap<StackName, (&'static str, Timestamp)>,
    told: Option<(HostStatus, Instant)>,
}

impl Reporter {
    pub(super) fn new(tzdata: String) -> Reporter {
        Reporter {
            engine_version: None,
            tzdata,
            last_poll: None,
            observed: ObservedHost::default(),
            stacks: BTreeMap::new(),
            waiting: BTreeMap::new(),
            told: None,
        }
    }

    pub(super) fn polled(&mut self, at: Timestamp) {
        self.last_poll = Some(at);
    }

    /// By the last turn's report.
    pub(super) fn holds_removal(&self, stack: &StackName) -> HeldRemoval {
        match self.stacks.get(stack).and_then(|report| report.waiting.as_ref()) {
            Some(Waiting::RemovalHeld { .. }) => HeldRemoval::Waits,
            _ => HeldRemoval::None,
        }
    }

    pub(super) fn heartbeat_due(&self, every: Duration) -> Instant {
        self.told.as_ref().map_or_else(|| Instant::now() + every, |(_, at)| *at + every)
    }

    fn take(&mut self, end: TurnEnd, now: Timestamp) {
        self.observed = end.observed;
        let mut waiting = BTreeMap::new();
        for (name, report) in &end.stacks {
            if let Some(wait) = &report.waiting {
                let before = self.waiting.get(name).filter(|(code, _)| *code == wait.code());
                waiting.insert(name.clone(), before.copied().unwrap_or((wait.code(), now)));
            }
        }
        self.waiting = waiting;
        self.stacks = end.stacks;
    }

    fn status(&self, facts: &report::Facts<'_>) -> HostStatus {
        report::host_status(facts)
    }

    /// Is it news? Only the time of the last poll differs in every report.
    fn is_news(&self, status: &HostStatus, every: Duration) -> bool {
        match &self.told {
            None => true,
            Some((told, at)) => at.elapsed() >= every || HostStatus { last_poll: status.last_poll, ..told.clone() } != *status,
        }
    }
}

impl<E: Engine, C: Fn(&EnvironmentName) -> E> Driver<E, C> {
    /// Tells the board, and the bot if something differs or its heartbeat is due.
    pub(super) async fn report(&mut self, end: Option<TurnEnd>) -> Result<(), DriverError> {
        if let Some(end) = end {
            let now = self.parts.clock.now();
            self.reporter.take(end, now);
        }
        let status = self.memory.environment.clone().map(|environment| {
            self.reporter.status(&report::Facts {
                settings: &self.parts.settings,
                environment: &environment,
                memory: &self.memory,
                engine_version: self.reporter.engine_version.as_deref(),
                tzdata: &self.reporter.tzdata,
                last_poll: self.reporter.last_poll,
                observed: &self.reporter.observed,
                stacks: &self.reporter.stacks,
            })
        });
        if let Some(status) = &status
            && self.reporter.is_news(status, self.parts.settings.heartbeat)
        {
            let now = self.parts.clock.now();
            let seen = self.clock_to_remember(now);
            self.memory.clock_seen = Some(seen);
            let change = Change::at(now).write(Write::ClockSeen(seen)).tell(Event::Status(Box::new(status.clone())));
            self.commit(change).await?;
            self.reporter.told = Some((status.clone(), Instant::now()));
        }
        let config = config_board(&self.memory, self.view.as_ref());
        let (troubles, counts) = (self.memory.troubles.clone(), self.parts.store.counts());
        let engine_answers = self.reporter.engine_version.is_some();
        let waiting_since = self.reporter.waiting.iter().map(|(name, (_, since))| (name.clone(), *since)).collect();
        self.parts.board.send_if_modified(|board| {
            let delivery = board.delivery.clone();
            let now = Board { status, engine_answers, config, troubles, waiting_since, delivery, counts };
            let differs = *board != now;
            *board = now;
            differs
        });
        Ok(())
    }
}

impl<E: Engine, C: Fn(&EnvironmentName) -> E> Driver<E, C> {
    /// A clock that went back is not believed until it has settled: an agent that starts meanwhile must see it, too.
    fn clock_to_remember(&mut self, now: Timestamp) -> Timestamp {
        match self.clock.check(self.moment()) {
            Some(_) => self.memory.clock_seen.map_or(now, |seen| seen.max(now)),
            None => now,
        }
    }
}

/// Shows a rollout as soon as it begins: its turn may take minutes.
pub(super) fn shows_beginnings(board: watch::Sender<Board>) -> Begun {
    Box::new(move |of: &ReleaseOf| {
        board.send_if_modified(|board| {
            let stack = board.status.as_mut().map(|status| status.stacks.entry(of.stack.clone()).or_default());
            stack.is_some_and(|stack| stack.attempted.replace(of.clone()).as_ref() != Some(of))
        });
    })
}

fn config_board(memory: &Memory, view: Option<&ConfigView>) -> ConfigBoard {
    ConfigBoard { commit: memory.trusted.clone(), valid: memory.valid.clone(), errors: view.map(ConfigView::errors).unwrap_or_default() }
}
