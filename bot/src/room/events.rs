//! What hosts say, and what follows from it. Each event's effects and its removal from the queue are one write.

use super::Room;
use super::rollback::{Doing, Followed};
use crate::card::{Happened, ProgressState, Stage, Who};
use crate::notice::{FailureNews, LateNews, News, NoWayBack};
use crate::request::Trouble;
use crate::store::{HostReport, HostRow, Pending};
use tidegate_core::events::{
    Event, Failure, HostStatus, LocalRollback, Outcome, Overran, ReleaseOf, Repaired, RolloutFinished, RolloutProgress, RolloutStarted,
    TEXT_MAX_BYTES,
};
use tidegate_core::ids::{ContentId, HostName, StackName};
use tidegate_core::lock::ReleaseKind;
use tidegate_core::plan::OperationClass;

/// Events taken in one turn.
const EVENTS_PER_TURN: u32 = 500;
/// Log lines kept of a failure.
const LOG_LINES_MAX: usize = 40;
/// Longest log line kept, in characters.
const LOG_LINE_MAX_CHARS: usize = 300;

impl Room {
    /// Takes what hosts said, in order. What needs a commit waits with everything after it if git is away.
    pub(super) async fn take_events(&mut self) -> Result<(), Trouble> {
        loop {
            let pending =
                self.context.store.pending(&self.picture.name, EVENTS_PER_TURN).await.map_err(|error| super::store_trouble(&error))?;
            if pending.is_empty() {
                return Ok(());
            }
            for event in pending {
                let id = event.id;
                if let Err(trouble) = self.take(event).await {
                    self.keep().await?;
                    return Err(trouble);
                }
                self.save.handled.push(id);
            }
            self.keep().await?;
        }
    }

    async fn take(&mut self, pending: Pending) -> Result<(), Trouble> {
        let Pending { host, event, received_at, .. } = pending;
        self.heard(&host, received_at);
        let at = event.at;
        match event.event {
            Event::Status(status) => self.status(&host, *status),
            Event::Started(started) => self.started(&host, &started, at),
            Event::Progress(progress) => self.progress(&host, &progress, at),
            Event::Finished(finished) => self.finished(&host, finished, at).await?,
            Event::LocalRollback(back) => self.local_rollback(&host, &back).await?,
            Event::Repaired(repaired) => self.repaired(&host, &repaired),
            // The bot reads the same branch and tells it once, with all findings.
            Event::ConfigRefused(_) => {}
            Event::Trouble(trouble) => self.host_trouble(&host, &trouble.code, &trouble.cause),
            Event::Overran(overran) => self.overran(&host, overran, at),
            Event::Recovered(recovered) => self.host_recovered(&host, &recovered.code),
        }
        Ok(())
    }

    fn heard(&mut self, host: &HostName, at: jiff::Timestamp) {
        self.change_host(host, |row| row.heard_at = at);
    }

    /// Changes what is known of a host and has it written.
    fn change_host(&mut self, host: &HostName, change: impl FnOnce(&mut HostRow)) {
        let now = self.now();
        let row = self.picture.hosts.entry(host.clone()).or_insert_with(|| HostRow {
            host: host.clone(),
            heard_at: now,
            report: HostReport::default(),
        });
        change(row);
        let row = row.clone();
        self.save.hosts.retain(|known| known.host != *host);
        self.save.hosts.push(row);
    }

    fn status(&mut self, host: &HostName, status: HostStatus) {
        for (stack, state) in &status.stacks {
            for of in state.restorable.iter().chain(&state.released) {
                self.verified(stack, of, host);
            }
        }
        self.change_host(host, |row| row.report.status = Some(status));
    }

    fn verified(&mut self, stack: &StackName, of: &ReleaseOf, host: &HostName) {
        if self.picture.verified.insert((stack.clone(), of.content.clone())) {
            self.save.verified.push((stack.clone(), of.content.clone(), host.clone()));
        }
    }

    fn started(&mut self, host: &HostName, started: &RolloutStarted, at: jiff::Timestamp) {
        let Some(id) = self.card_id(&started.of) else { return };
        let stack = started.of.stack.clone();
        let state = ProgressState::Running { done: 0, steps: started.steps, doing: "begins".to_owned() };
        self.change(id, |card| {
            card.progress(host, &stack, state, at);
            card.tell(at, Some(Who::Host { name: host.clone() }), Happened::Started { stack });
        });
    }

    fn progress(&mut self, host: &HostName, progress: &RolloutProgress, at: jiff::Timestamp) {
        let Some(id) = self.card_id(&progress.of) else { return };
        let doing = cut(&progress.doing, LOG_LINE_MAX_CHARS);
        let state = ProgressState::Running { done: progress.done, steps: progress.steps, doing };
        self.change(id, |card| card.progress(host, &progress.of.stack, state, at));
    }

    async fn finished(&mut self, host: &HostName, finished: RolloutFinished, at: jiff::Timestamp) -> Result<(), Trouble> {
        let RolloutFinished { of, class, outcome, took_ms } = finished;
        let outcome = bounded(outcome);
        // Git first: what the card then says about it is true, also when this is done twice after a crash.
        if let Outcome::Failed(failure) = &outcome
            && matches!(class, OperationClass::Release | OperationClass::Rollback)
        {
            let cause = cut(&failure.cause, LOG_LINE_MAX_CHARS);
            self.undo_failed(&of, &format!("failed on {host}: {cause}")).await?;
        }
        if let Some(id) = self.card_id(&of) {
            let (stack, told) = (of.stack.clone(), outcome.clone());
            self.change(id, |card| {
                card.progress(host, &stack, ProgressState::Ended { outcome: told.clone(), took_ms }, at);
                card.tell(at, Some(Who::Host { name: host.clone() }), Happened::Ended { stack, outcome: told, took_ms });
            });
        }
        match &outcome {
            Outcome::Verified => {
                self.verified(&of.stack, &of, host);
                self.tell_if_live(&of);
            }
            Outcome::Failed(failure) => self.tell_failed(host, &of, failure),
            Outcome::Error(failure) => {
                let key = format!("error:{}:{}", of.stack, of.content);
                self.tell(key, News::CouldNotTell { failure: news_of(host, &of, failure) });
            }
            // The card says it; what is to be done about it is the calendar's.
            Outcome::Superseded | Outcome::TakenBack { .. } => {}
        }
        Ok(())
    }

    /// On the card, and told once for a release, however many hosts were late.
    fn overran(&mut self, host: &HostName, overran: Overran, at: jiff::Timestamp) {
        let Overran { of, closed_at, overrun_secs } = overran;
        if let Some(id) = self.card_id(&of) {
            let stack = of.stack.clone();
            self.change(id, |card| card.tell(at, Some(Who::Host { name: host.clone() }), Happened::Overran { stack, overrun_secs }));
        }
        let key = format!("overran:{}:{}:{closed_at}", of.stack, of.content);
        self.tell(key, News::Overran(LateNews { release: of.release, stack: of.stack, host: host.clone(), closed_at, overrun_secs }));
    }

    fn tell_if_live(&mut self, of: &ReleaseOf) {
        let Some(card) = self.picture.card_of(&of.stack, &of.content) else { return };
        if card.stage == Stage::Released && self.picture.is_live(card) {
            let (release, stacks) = (card.release, card.contents.keys().cloned().collect());
            self.tell(format!("live:{release}"), News::Live { release, stacks });
        }
    }

    /// One message for a failure, however many hosts say it: the key is the content and what git made of it.
    fn tell_failed(&mut self, host: &HostName, of: &ReleaseOf, failure: &Failure) {
        let held_at = self.picture.lock().and_then(|lock| {
            let hold = lock.holds.iter().find(|hold| hold.content.as_ref() == Some(&of.content))?;
            Some(hold.at)
        });
        let key = format!("failed:{}:{}:{}", of.stack, of.content, held_at.map(|at| at.to_string()).unwrap_or_default());
        let failure = news_of(host, of, failure);
        let stage = self.picture.card_of(&of.stack, &of.content).map(|card| card.stage.clone());
        let news = match stage {
            Some(Stage::FailedRolledBack { to }) => News::FailedRolledBack { failure, to },
            _ if self.came_by_way_back(&of.stack) => News::FailedHeld { failure, because: NoWayBack::WasARollback },
            _ => News::FailedHeld { failure, because: NoWayBack::NothingEarlier },
        };
        self.tell(key, news);
    }

    async fn local_rollback(&mut self, host: &HostName, back: &LocalRollback) -> Result<(), Trouble> {
        let stack = &back.from.stack;
        let reason = format!("rolled back on {host} by {}: {}", cut(&back.by, 80), cut(&back.reason, LOG_LINE_MAX_CHARS));
        // A content that is held stays out, also when one host went back to it: that is for people to decide. A hold on
        // everything new stops no way back.
        let is_held = |content: &ContentId| {
            let holds = self.picture.lock().map(|lock| lock.holds.as_slice()).unwrap_or_default();
            holds.iter().any(|hold| hold.content.is_some() && hold.stops(stack, content, self.now()))
        };
        let known = self.picture.history.content(stack, &back.to.content).filter(|known| !is_held(&known.content)).cloned();
        let followed = match &known {
            Some(target) => {
                let by_words = Some(format!("{}@{host}", cut(&back.by, 80)));
                let doing = Doing { stack, target, kind: ReleaseKind::Rollback, by: None, by_words, reason: &reason };
                self.follow_host(&doing, &back.from.content).await?
            }
            None => Followed::MovedOn,
        };
        if followed == Followed::MovedOn {
            let news = News::LocalRollbackAndGitMoved {
                stack: stack.clone(),
                host: host.clone(),
                by: cut(&back.by, 80),
                reason: cut(&back.reason, LOG_LINE_MAX_CHARS),
            };
            self.tell(format!("local:{host}:{stack}:{}:{}", back.from.content, back.to.content), news);
        }
        Ok(())
    }

    fn repaired(&mut self, host: &HostName, repaired: &Repaired) {
        let found: Vec<String> = repaired.found.iter().take(5).map(|found| cut(found, 120)).collect();
        let what = format!("{host} repaired {} in {}: {}", repaired.stack, self.picture.name, found.join("; "));
        self.note(what, None);
    }

    /// One message per cause: further hosts with the same trouble are on the page.
    fn host_trouble(&mut self, host: &HostName, code: &str, cause: &str) {
        let cause = cut(cause, LOG_LINE_MAX_CHARS);
        let is_first = !self.picture.hosts.values().any(|row| row.report.troubles.contains_key(code));
        self.change_host(host, |row| _ = row.report.troubles.insert(cut(code, 80), cause.clone()));
        if is_first {
            let key = format!("trouble:{code}:{host}:{}", self.now());
            self.tell(key, News::HostTrouble { host: host.clone(), cause });
        }
    }

    fn host_recovered(&mut self, host: &HostName, code: &str) {
        let had = self.picture.hosts.get(host).is_some_and(|row| row.report.troubles.contains_key(code));
        self.change_host(host, |row| _ = row.report.troubles.remove(code));
        let is_last = !self.picture.hosts.values().any(|row| row.report.troubles.contains_key(code));
        if had && is_last {
            let key = format!("recovered:{code}:{host}:{}", self.now());
            self.tell(key, News::HostRecovered { host: host.clone(), code: cut(code, 80) });
        }
    }

    fn card_id(&self, of: &ReleaseOf) -> Option<u64> {
        self.picture.card_of(&of.stack, &of.content).map(|card| card.id)
    }
}

fn news_of(host: &HostName, of: &ReleaseOf, failure: &Failure) -> FailureNews {
    FailureNews {
        release: of.release,
        stack: of.stack.clone(),
        host: host.clone(),
        service: failure.service.clone(),
        cause: cut(&failure.cause, LOG_LINE_MAX_CHARS),
        log: failure.log.clone(),
        restored: failure.restored.clone(),
    }
}

/// A failure with bounded texts: they come from containers.
fn bounded(outcome: Outcome) -> Outcome {
    let shorten = |mut failure: Failure| {
        failure.cause = cut(&failure.cause, TEXT_MAX_BYTES);
        let from = failure.log.len().saturating_sub(LOG_LINES_MAX);
        failure.log = failure.log.drain(from..).map(|line| cut(&line, LOG_LINE_MAX_CHARS)).collect();
        failure
    };
    match outcome {
        Outcome::Failed(failure) => Outcome::Failed(shorten(failure)),
        Outcome::Error(failure) => Outcome::Error(shorten(failure)),
        other => other,
    }
}

/// One line, without control characters, cut.
fn cut(text: &str, chars_max: usize) -> String {
    tidegate_git::message::one_line(text, chars_max)
}
