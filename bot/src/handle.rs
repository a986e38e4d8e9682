//! From a request to its answer: read the line, find the environment, hand it to the worker, put the answer into words,
//! and write down who asked for what, refusals too. Knows no platform.

use crate::answers;
use crate::clock::Clock;
use crate::command::{self, Command, Vocabulary};
use crate::metrics::Metrics;
use crate::people;
use crate::request::{Ask, Outcome, Refusal, Reply, Request, Trouble};
use crate::room::{Meant, Order, Picture, What};
use crate::rooms::Doors;
use crate::store::{Activity, Store};
use crate::tips::{Seen, chain};
use crate::words;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::ids::{CommitId, EnvironmentName, PersonName, StackName};
use tidegate_core::policy::Subject;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Requests answered at once; more wait.
const AT_ONCE_MAX: usize = 64;
/// Requests of platforms that may wait.
pub const QUEUE_MAX: usize = 256;

/// A request and the way back for its answer.
pub type Asked = (Request, oneshot::Sender<Reply>);

/// Answers requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handler {
    /// The workers.
    pub doors: Doors,
    /// The branch.
    pub seen: watch::Receiver<Arc<Seen>>,
    /// Where it is written down.
    pub store: Store,
    /// Counted here.
    pub metrics: Arc<Metrics>,
    /// What time it is.
    pub clock: Clock,
}

impl Handler {
    /// Answers what platforms hand in, until told to stop; then what is in hand is finished.
    pub async fn run(self, mut requests: mpsc::Receiver<Asked>, stop: CancellationToken) {
        let answering = TaskTracker::new();
        let places = Arc::new(Semaphore::new(AT_ONCE_MAX));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { break };
            let asked = tokio::select! {
                () = stop.cancelled() => break,
                asked = requests.recv() => asked,
            };
            let Some((request, answer)) = asked else { break };
            let handler = self.clone();
            answering.spawn(async move {
                let _place = place;
                let _ = answer.send(handler.handle(request).await); // whoever asked may be gone
            });
        }
        answering.close();
        answering.wait().await;
    }

    /// Answers a request.
    pub async fn handle(&self, request: Request) -> Reply {
        let asked = self.words_of(&request.ask);
        let (outcome, person) = self.outcome(&request).await;
        let person = person.or_else(|| self.person_at_tip(&request));
        let now = self.clock.now();
        let reply = Reply { words: words::outcome(&outcome, now), outcome, person };
        self.write_down(&request, &asked, &reply, now).await;
        reply
    }

    async fn outcome(&self, request: &Request) -> (Outcome, Option<PersonName>) {
        let (command, expected, shown) = match &request.ask {
            Ask::Line(line) => match command::parse(line, &self.vocabulary()) {
                Ok(command) => (command, None, None),
                Err(error) => return (Outcome::NotUnderstood(error), None),
            },
            Ask::Command { command, expected } => (command.clone(), expected.clone(), None),
            Ask::Confirmed { command, shown } => (command.clone(), None, Some(shown.clone())),
        };
        match self.route(command, expected) {
            Ok(Route::Answer(outcome)) => (outcome, None),
            Ok(Route::Order(environment, mut what)) => {
                if let What::Rollback { from, .. } = &mut what {
                    *from = shown;
                }
                self.order(request, &environment, what).await
            }
            Err(refusal) => (Outcome::Refused(refusal), None),
        }
    }

    async fn order(&self, request: &Request, environment: &EnvironmentName, what: What) -> (Outcome, Option<PersonName>) {
        let asked_at = self.clock.now();
        let command = what.word();
        let (answer, answered) = oneshot::channel();
        let order = Order { actor: request.actor.clone(), what, asked_at, answer };
        let failed = |cause| (Outcome::Refused(Refusal::Failed { command, cause }), None);
        if self.doors.order(environment, order).is_err() {
            return failed(Trouble::Stopping);
        }
        answered.await.unwrap_or_else(|_| failed(Trouble::Stopping))
    }

    /// Who decides about this command: a worker, or nobody.
    fn route(&self, command: Command, expected: Option<Subject>) -> Result<Route, Refusal> {
        let pictures = self.doors.pictures();
        if pictures.is_empty() && !matches!(command, Command::Help) {
            return Err(Refusal::NotReady);
        }
        let now = self.clock.now();
        let meant = |candidate: Option<command::CandidateHint>| match (expected, candidate) {
            (Some(subject), _) => Meant::Exactly(subject),
            (None, Some(hint)) => Meant::Prefix(hint.0),
            (None, None) => Meant::Current,
        };
        Ok(match command {
            Command::Approve { environment, candidate } => {
                Route::Order(deciding(&pictures, environment, "approve")?, What::Approve(meant(candidate)))
            }
            Command::Reject { environment, candidate, reason } => {
                Route::Order(deciding(&pictures, environment, "reject")?, What::Reject { meant: meant(candidate), reason })
            }
            Command::Rollback { stack, environment, to, reason } => {
                Route::Order(running(&pictures, environment, &stack)?, What::Rollback { stack, from: None, to, reason })
            }
            Command::Hold { stack, environment, until, reason } => {
                Route::Order(placed(&pictures, environment, stack.as_ref(), "hold")?, What::Hold { stack, until, reason })
            }
            Command::Resume { stack: Some(stack), environment } => {
                Route::Order(holding(&pictures, environment, &stack)?, What::Resume { stack: Some(stack) })
            }
            Command::Resume { stack: None, environment } => {
                Route::Order(placed(&pictures, environment, None, "resume")?, What::Resume { stack: None })
            }
            Command::Freeze { environment, from, until, blocks, reason } => {
                Route::Order(known(&pictures, environment)?, What::Freeze { from, until, blocks, reason })
            }
            Command::Unfreeze { environment } => Route::Order(known(&pictures, environment)?, What::Unfreeze),
            Command::Override { environment, stack, release, until, reason } => {
                Route::Order(known(&pictures, environment)?, What::Override { stack, release, until, reason })
            }
            Command::Calendar { environment } => Route::Answer(Outcome::Calendar(answers::calendar(&only(&pictures, environment)?, now))),
            Command::Status { environment } => Route::Answer(Outcome::Status(answers::status(&only(&pictures, environment)?, now))),
            Command::Why { stack, environment } => {
                Route::Answer(Outcome::Why(answers::why(&only(&pictures, environment)?, stack.as_ref(), now)))
            }
            Command::History { environment } => Route::Answer(Outcome::History(answers::history(&only(&pictures, environment)?))),
            Command::Help => Route::Answer(Outcome::Help),
        })
    }

    fn vocabulary(&self) -> Vocabulary {
        let tip = self.seen.borrow().tip.clone();
        Vocabulary { environments: tip.map(|tip| tip.repo.settings.environments.clone()).unwrap_or_default() }
    }

    fn person_at_tip(&self, request: &Request) -> Option<PersonName> {
        let tip = self.seen.borrow().tip.clone()?;
        people::resolve(&tip.repo.settings, &request.actor).map(|person| person.name.clone())
    }

    /// A name for people: the person's full name, else the identity.
    fn name_of(&self, person: Option<&PersonName>, actor: &people::Actor) -> String {
        let tip = self.seen.borrow().tip.clone();
        let known = person.and_then(|name| Some(tip.as_ref()?.repo.settings.people.get(name)?.full_name.clone()));
        known.unwrap_or_else(|| tidegate_git::message::one_line(&actor.user, 80))
    }

    /// What was asked, as a line.
    fn words_of(&self, ask: &Ask) -> String {
        match ask {
            Ask::Line(line) => tidegate_git::message::one_line(line, command::LINE_MAX_CHARS),
            Ask::Command { command, .. } | Ask::Confirmed { command, .. } => command.to_string(),
        }
    }

    async fn write_down(&self, request: &Request, asked: &str, reply: &Reply, now: Timestamp) {
        let refused = reply.outcome.is_refusal();
        if refused {
            self.metrics.commands_refused.add(1)
        } else {
            self.metrics.commands_done.add(1)
        }
        // Questions change nothing; what was refused is worth knowing whatever it was.
        if !refused && !reply.outcome.is_public() {
            return;
        }
        let first = reply.words.lines().next().unwrap_or_default();
        let activity = Activity {
            at: now,
            who: self.name_of(reply.person.as_ref(), &request.actor),
            actor: Some(request.actor.clone()),
            what: format!("{asked}: {first}"),
            commit: commit_of(&reply.outcome),
            refused,
        };
        if let Err(error) = self.store.note(activity).await {
            tracing::error!(error = %chain(&error), "a command could not be written down");
        }
    }
}

enum Route {
    Answer(Outcome),
    Order(EnvironmentName, What),
}

fn commit_of(outcome: &Outcome) -> Option<CommitId> {
    match outcome {
        Outcome::Released(released) => Some(released.lock_commit.clone()),
        Outcome::RolledBack(back) => Some(back.lock_commit.clone()),
        Outcome::Resumed(resumed) => Some(resumed.lock_commit.clone()),
        Outcome::Frozen(frozen) => Some(frozen.lock_commit.clone()),
        Outcome::Unfrozen(unfrozen) => Some(unfrozen.lock_commit.clone()),
        Outcome::Held(held) => Some(held.lock_commit.clone()),
        Outcome::Overridden(overridden) => Some(overridden.lock_commit.clone()),
        _ => None,
    }
}

fn names(pictures: &[Arc<Picture>]) -> Vec<EnvironmentName> {
    pictures.iter().map(|picture| picture.name.clone()).collect()
}

/// The pictures of one environment, or of all.
fn only(pictures: &[Arc<Picture>], environment: Option<EnvironmentName>) -> Result<Vec<Arc<Picture>>, Refusal> {
    let Some(asked) = environment else { return Ok(pictures.to_vec()) };
    match pictures.iter().find(|picture| picture.name == asked) {
        Some(picture) => Ok(vec![picture.clone()]),
        None => Err(Refusal::UnknownEnvironment { asked, known: names(pictures) }),
    }
}

fn known(pictures: &[Arc<Picture>], asked: EnvironmentName) -> Result<EnvironmentName, Refusal> {
    only(pictures, Some(asked.clone())).map(|_| asked)
}

/// Where a decision is asked for: where the person says, else the only environment where something waits.
fn deciding(pictures: &[Arc<Picture>], asked: Option<EnvironmentName>, command: &'static str) -> Result<EnvironmentName, Refusal> {
    if let Some(asked) = asked {
        return known(pictures, asked);
    }
    let waiting: Vec<EnvironmentName> =
        pictures.iter().filter(|picture| picture.open_card().is_some()).map(|picture| picture.name.clone()).collect();
    match waiting.as_slice() {
        [] => Err(Refusal::NothingToDecide { environment: None, current: None }),
        [one] => Ok(one.clone()),
        _ => Err(Refusal::WhichEnvironment { command, stack: None, choices: waiting }),
    }
}

/// Where to go back: where the person says, else the last environment in promotion order that runs the stack. At three in
/// the morning that is what is meant.
pub(crate) fn running(pictures: &[Arc<Picture>], asked: Option<EnvironmentName>, stack: &StackName) -> Result<EnvironmentName, Refusal> {
    if let Some(asked) = asked {
        return known(pictures, asked);
    }
    let last = pictures.iter().rev().find(|picture| picture.lock().is_some_and(|lock| lock.stacks.contains_key(stack)));
    if let Some(picture) = last.or_else(|| pictures.iter().rev().find(|picture| picture.stacks().contains_key(stack))) {
        return Ok(picture.name.clone());
    }
    let known = pictures.iter().flat_map(|picture| picture.stacks().into_keys()).collect();
    Err(Refusal::UnknownStack { environment: None, stack: stack.clone(), known })
}

/// Where a stack is, or the environment that is meant as a whole.
fn placed(
    pictures: &[Arc<Picture>],
    asked: Option<EnvironmentName>,
    stack: Option<&StackName>,
    command: &'static str,
) -> Result<EnvironmentName, Refusal> {
    match (asked, stack) {
        (Some(asked), _) => known(pictures, asked),
        (None, Some(stack)) => running(pictures, None, stack),
        (None, None) => Err(Refusal::WhichEnvironment { command, stack: None, choices: names(pictures) }),
    }
}

/// Where to lift holds: where the person says, else the only environment that holds the stack.
fn holding(pictures: &[Arc<Picture>], asked: Option<EnvironmentName>, stack: &StackName) -> Result<EnvironmentName, Refusal> {
    if let Some(asked) = asked {
        return known(pictures, asked);
    }
    let held = |picture: &Picture| -> BTreeSet<StackName> { picture.holds().iter().filter_map(|hold| hold.stack.clone()).collect() };
    let holding: Vec<EnvironmentName> =
        pictures.iter().filter(|picture| held(picture).contains(stack)).map(|picture| picture.name.clone()).collect();
    match holding.as_slice() {
        [] => Err(Refusal::NotHeld {
            environment: None,
            stack: stack.clone(),
            held: pictures.iter().flat_map(|picture| held(picture)).collect(),
        }),
        [one] => Ok(one.clone()),
        _ => Err(Refusal::WhichEnvironment { command: "resume", stack: Some(stack.clone()), choices: holding }),
    }
}
