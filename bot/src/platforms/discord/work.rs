//! What is done after the first answer, and how the outcome looks. The domain decides and finds the words; here they
//! get a shape.

use super::commands::{self, NotRead, Wanted};
use super::complete::{self, Typing};
use super::incoming::{Incoming, What};
use super::records::{Act, Record};
use super::rollback::{self, Question};
use super::serve::{Desk, Planned, actor};
use super::text::{block, escape};
use super::wire::{Ack, Component, DESCRIPTION_MAX, Embed, Message, Modal};
use super::{card, text};
use crate::chat::Tone;
use crate::command::{Command, REASON_MAX_CHARS, clean_reason};
use crate::request::{Ask, Outcome, Refusal, Reply, Request, Shown};
use crate::room::Picture;
use crate::tips::chain;
use crate::words::{self, discord as said};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::ids::{EnvironmentName, ReleaseNumber, StackName};
use tidegate_core::policy::Subject;
use tokio::sync::{mpsc, oneshot};

/// The domain is waited for so long before the person is told that it goes on.
const DOMAIN_MAX: Duration = Duration::from_secs(14 * 60);
/// The input of a form.
const REASON_INPUT: &str = "reason";
/// A runbook is shown up to here.
const RUNBOOK_MAX_BYTES: usize = 64 * 1024;

/// Work that somebody asked for.
#[derive(Debug)]
pub(super) enum Job {
    /// A slash command.
    Wanted(Wanted),
    /// A button that means exactly this.
    Exactly(Command, Subject),
    /// Whether to go back.
    AskBack { stack: Option<StackName>, environment: EnvironmentName, to: Option<ReleaseNumber>, reason: Option<String> },
    /// Going back, confirmed.
    GoBack { name: String, record: Record },
    /// What a card changes.
    Diff { environment: EnvironmentName, card: u64 },
    /// Nothing, with the state as it is.
    Stale { words: &'static str, environment: Option<EnvironmentName> },
}

/// What people see of it.
#[derive(Debug)]
pub(super) struct Answer {
    /// The person.
    pub private: Message,
    /// Everybody.
    pub public: Public,
    /// Was it done?
    pub done: Done,
}

/// What is known of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// It was, or may be still.
    Perhaps,
    /// Certainly not.
    No,
}

/// What everybody sees.
#[derive(Debug)]
pub(super) enum Public {
    /// Nothing: a question, or a refusal.
    Nothing,
    /// The card and its thread show it; told here only if the person's own answer is lost.
    Shown(Message),
    /// This.
    Told(Message),
}

impl Public {
    /// The message to send, given whether the person's own answer is lost.
    pub(super) fn into_message(self, is_lost: bool) -> Option<Message> {
        match self {
            Public::Told(message) => Some(message),
            Public::Shown(message) => is_lost.then_some(message),
            Public::Nothing => None,
        }
    }
}

impl Answer {
    fn only(private: Message) -> Answer {
        Answer { private, public: Public::Nothing, done: Done::Perhaps }
    }

    fn words(words: &str) -> Answer {
        Answer::only(Message { content: escape(words), ..Message::default() })
    }

    fn not_done(words: &str) -> Answer {
        Answer { done: Done::No, ..Answer::words(words) }
    }
}

impl Desk {
    /// What to do about something of somebody who is known. In memory alone.
    pub(super) fn plan(&self, incoming: &Incoming, user: u64) -> Result<Planned, String> {
        match &incoming.what {
            What::Command { name, options } => {
                let wanted = commands::read(name, options).map_err(not_read)?;
                let job = match wanted {
                    Wanted::RollBack { stack, environment, to, reason } => {
                        let pictures = self.doors.pictures();
                        let environment = crate::handle::running(&pictures, environment, &stack);
                        let environment = environment.map_err(|refusal| words::outcome(&Outcome::Refused(refusal), Timestamp::now()))?;
                        Job::AskBack { stack: Some(stack), environment, to, reason }
                    }
                    wanted => Job::Wanted(wanted),
                };
                Ok(Planned::Work(Ack::Later, job))
            }
            What::Complete { name, focused, typed, options } => {
                Ok(Planned::At(self.complete(&Typing { command: name, focused, typed, options })))
            }
            What::Press { custom_id, chosen, .. } => self.plan_press(custom_id, chosen, user),
            What::Submit { custom_id, fields } => Ok(self.plan_form(custom_id, fields)),
        }
    }

    fn complete(&self, typing: &Typing<'_>) -> Ack {
        Ack::Choices(complete::choices(typing, &self.doors.pictures(), Timestamp::now()))
    }

    fn plan_press(&self, custom_id: &str, chosen: &[String], user: u64) -> Result<Planned, String> {
        let Some(record) = self.records.get(custom_id) else {
            return Ok(Planned::Work(Ack::Later, Job::Stale { words: said::OLD_BUTTON, environment: None }));
        };
        let environment = record.environment.clone();
        let stale = |words| Ok(Planned::Work(Ack::Later, Job::Stale { words, environment: Some(environment.clone()) }));
        if record.only_for.is_some_and(|owner| owner != user) {
            return stale(said::NOT_YOURS);
        }
        if record.used {
            return stale(said::PRESSED);
        }
        if record.until.is_some_and(|until| until < Timestamp::now()) {
            return stale(said::TOO_LATE);
        }
        Ok(match record.act.clone() {
            Act::Approve { subject } => {
                Planned::Work(Ack::Later, Job::Exactly(Command::Approve { environment: Some(environment), candidate: None }, subject))
            }
            Act::Reject { subject } if self.is_offered(&environment, &subject) => Planned::At(Ack::Modal(reject_form(custom_id))),
            Act::Reject { .. } => return stale(said::OLD_BUTTON),
            Act::Why => {
                Planned::Work(Ack::Later, Job::Wanted(Wanted::Domain(Command::Why { stack: None, environment: Some(environment) })))
            }
            Act::Diff { card } => Planned::Work(Ack::Later, Job::Diff { environment, card }),
            Act::RollBack { stack } => Planned::Work(Ack::Later, Job::AskBack { stack, environment, to: None, reason: None }),
            Act::ChooseTarget { stack, reason } => {
                let to = chosen.first().and_then(|text| text.parse().ok()).map(ReleaseNumber);
                Planned::Work(Ack::LaterInPlace, Job::AskBack { stack: Some(stack), environment, to, reason })
            }
            Act::RollBackNow { .. } => Planned::Work(Ack::LaterInPlace, Job::GoBack { name: custom_id.to_owned(), record }),
            Act::Cancel => Planned::At(Ack::InPlace(Message { content: escape(said::CANCELLED), ..Message::default() })),
        })
    }

    fn plan_form(&self, custom_id: &str, fields: &BTreeMap<String, String>) -> Planned {
        let record = self.records.get(custom_id);
        let reason = fields.get(REASON_INPUT).and_then(|text| clean_reason(text));
        match (record.map(|record| (record.act, record.environment)), reason) {
            (Some((Act::Reject { subject }, environment)), Some(reason)) => {
                let command = Command::Reject { environment: Some(environment), candidate: None, reason };
                Planned::Work(Ack::Later, Job::Exactly(command, subject))
            }
            (record, _) => {
                let environment = record.map(|(_, environment)| environment);
                Planned::Work(Ack::Later, Job::Stale { words: said::OLD_BUTTON, environment })
            }
        }
    }

    fn is_offered(&self, environment: &EnvironmentName, subject: &Subject) -> bool {
        self.picture(environment).is_some_and(|picture| picture.open_card().is_some_and(|card| card.subject == *subject))
    }

    fn picture(&self, environment: &EnvironmentName) -> Option<Arc<Picture>> {
        self.doors.pictures().into_iter().find(|picture| picture.name == *environment)
    }

    /// Does it, after the first answer.
    pub(super) async fn work(&self, incoming: &Incoming, job: Job) -> Answer {
        let user = incoming.member.as_ref().map_or(0, |member| member.user);
        match job {
            Job::Wanted(Wanted::Domain(command)) => self.ask(incoming, Ask::Command { command, expected: None }).await,
            Job::Exactly(command, subject) => self.ask(incoming, Ask::Command { command, expected: Some(subject) }).await,
            Job::Wanted(Wanted::Help) => Answer::only(Message::embed(Embed { description: help(), ..Embed::default() })),
            Job::Wanted(Wanted::Diff { environment, release }) => self.diff(environment.as_ref(), release),
            Job::Wanted(Wanted::Runbook { stack }) => self.runbook(&stack).await,
            // Read into a question before it came here.
            Job::Wanted(Wanted::RollBack { .. }) => Answer::words(said::UNKNOWN_COMMAND),
            Job::AskBack { stack: Some(stack), environment, to, reason } => {
                self.ask_back(incoming, (stack, environment), (to, reason, user)).await
            }
            Job::AskBack { stack: None, .. } => Answer::words(said::WHICH_STACK),
            Job::GoBack { name, record } => self.go_back(incoming, &name, record).await,
            Job::Diff { environment, card } => {
                let picture = self.picture(&environment);
                let found = picture.as_ref().and_then(|picture| {
                    let card = picture.cards.iter().find(|known| known.id == card)?;
                    Some(card::diff(&crate::show::card_view(picture, card, Timestamp::now())))
                });
                found.map_or_else(|| Answer::words(said::NO_DIFF), Answer::only)
            }
            Job::Stale { words, environment } => self.stale(incoming, words, environment).await,
        }
    }

    /// Nothing was done; the answer is how things stand.
    async fn stale(&self, incoming: &Incoming, words: &str, environment: Option<EnvironmentName>) -> Answer {
        self.write_down(incoming, words).await;
        let pictures: Vec<Arc<Picture>> =
            self.doors.pictures().into_iter().filter(|picture| environment.as_ref().is_none_or(|name| picture.name == *name)).collect();
        let now = Timestamp::now();
        let state = words::outcome(&Outcome::Status(crate::answers::status(&pictures, now)), now);
        let embed = Embed { description: block(&text::cut(&state, 3_500)), ..Embed::default() };
        Answer::only(Message { content: escape(words), ..Message::embed(embed) })
    }

    /// Hands a command to the domain.
    async fn ask(&self, incoming: &Incoming, ask: Ask) -> Answer {
        let changes = match &ask {
            Ask::Line(_) | Ask::Confirmed { .. } => true,
            Ask::Command { command, .. } => {
                let asks = matches!(
                    command,
                    Command::Status { .. } | Command::Why { .. } | Command::History { .. } | Command::Calendar { .. } | Command::Help
                );
                !asks
            }
        };
        if changes {
            match self.is_first_time(incoming).await {
                Ok(true) => {}
                Ok(false) => return Answer::words(said::REPEATED),
                Err(cause) => {
                    tracing::error!(cause, "a command is not done, because it cannot be written down first");
                    return Answer::not_done(said::NOT_DURABLE);
                }
            }
        }
        let user = incoming.member.as_ref().map_or(0, |member| member.user);
        let (answer, answered) = oneshot::channel();
        match self.domain.try_send((Request { actor: actor(user), ask }, answer)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Answer::not_done(said::BUSY),
            Err(mpsc::error::TrySendError::Closed(_)) => return Answer::not_done(said::STOPPING),
        }
        match tokio::time::timeout(DOMAIN_MAX, answered).await {
            Ok(Ok(reply)) => shaped(&reply),
            Ok(Err(_)) => Answer::words(said::STOPPING),
            Err(_) => Answer::words(said::TAKES_LONG),
        }
    }

    async fn ask_back(
        &self,
        incoming: &Incoming,
        (stack, environment): (StackName, EnvironmentName),
        (to, reason, asker): (Option<ReleaseNumber>, Option<String>, u64),
    ) -> Answer {
        let now = Timestamp::now();
        let Some(picture) = self.picture(&environment) else {
            return self.refused(incoming, Refusal::NotReady).await;
        };
        let target = match picture.way_back(&stack, to, now) {
            Ok(target) => target,
            Err(refusal) => return self.refused(incoming, refusal).await,
        };
        let Some(from) = picture.lock().and_then(|lock| lock.stacks.get(&stack)).cloned() else {
            return self.refused(incoming, Refusal::NoRelease { environment }).await;
        };
        let question = Question { stack, environment, from: from.release, content: from.content, to: target.release, reason, asker };
        match rollback::message(&question, &picture, &self.records, now).await {
            Ok(message) => Answer::only(message),
            Err(error) => {
                tracing::error!(error = %chain(&error), "a question could not be kept");
                Answer::words(said::NOT_DURABLE)
            }
        }
    }

    async fn refused(&self, incoming: &Incoming, refusal: Refusal) -> Answer {
        let words = words::outcome(&Outcome::Refused(refusal), Timestamp::now());
        self.write_down(incoming, &words).await;
        Answer::words(&words)
    }

    /// Confirmed: once, by who asked, and only if what was shown is still so.
    async fn go_back(&self, incoming: &Incoming, name: &str, record: Record) -> Answer {
        let Act::RollBackNow { stack, from, content, to, reason } = record.act else { return Answer::words(said::OLD_BUTTON) };
        match self.records.use_up(name).await {
            Ok(true) => {}
            Ok(false) => return self.stale(incoming, said::PRESSED, Some(record.environment)).await,
            Err(error) => {
                tracing::error!(error = %chain(&error), "a confirmation could not be kept");
                return Answer::words(said::NOT_DURABLE);
            }
        }
        // Whether what was shown is still so is looked at by the room's own worker, where nothing can come in between.
        let command = Command::Rollback { stack, environment: Some(record.environment), to: Some(to), reason };
        let answer = self.ask(incoming, Ask::Confirmed { command, shown: Shown { release: from, content } }).await;
        if matches!(answer.done, Done::No)
            && let Err(error) = self.records.give_back(name).await
        {
            tracing::error!(error = %chain(&error), "a confirmation of something that was not done could not be given back");
        }
        answer
    }

    fn diff(&self, environment: Option<&EnvironmentName>, release: Option<ReleaseNumber>) -> Answer {
        let now = Timestamp::now();
        let pictures = self.doors.pictures();
        let mut here: Vec<&Arc<Picture>> = pictures.iter().filter(|picture| environment.is_none_or(|name| picture.name == *name)).collect();
        // What is offered comes first, then the last environment in promotion order.
        here.sort_by_key(|picture| picture.open_card().is_none());
        if environment.is_none() && here.first().is_some_and(|picture| picture.open_card().is_none()) {
            here.reverse();
        }
        let found = here.iter().find_map(|picture| {
            let card = match release {
                Some(number) => picture.cards.iter().rev().find(|card| card.release == number),
                None => picture.open_card().or_else(|| picture.cards.last()),
            }?;
            Some(card::diff(&crate::show::card_view(picture, card, now)))
        });
        found.map_or_else(|| Answer::words(said::NO_DIFF), Answer::only)
    }

    async fn runbook(&self, stack: &StackName) -> Answer {
        let none = || Answer::words(&said::no_runbook(stack.as_str()));
        let Some(commit) = self.seen.borrow().tip.as_ref().map(|tip| tip.commit.clone()) else { return none() };
        let Ok(files) = self.mirror.files(&commit).await else { return none() };
        let paths = ["RUNBOOK.md", "runbook.md"].into_iter().filter_map(|name| format!("stacks/{stack}/{name}").parse().ok());
        let Some(text) = paths.filter_map(|path| files.get(&path)).map(|file| file.bytes.clone()).next() else { return none() };
        let text = String::from_utf8_lossy(&text[..text.len().min(RUNBOOK_MAX_BYTES)]).into_owned();
        let embed = Embed {
            title: format!("Runbook of {}", text::line(stack.as_str())),
            description: text::cut(&escape(&text), DESCRIPTION_MAX),
            ..Embed::default()
        };
        Answer::only(Message::embed(embed))
    }
}

fn not_read(error: NotRead) -> String {
    match error {
        NotRead::Unknown => said::UNKNOWN_COMMAND.to_owned(),
        NotRead::Missing(option) => said::missing(option),
        NotRead::Bad { option, value } => said::bad_value(option, &value),
    }
}

fn reject_form(custom_id: &str) -> Modal {
    let max = u16::try_from(REASON_MAX_CHARS).unwrap_or(300);
    Modal::asking(custom_id, said::label::REJECT_TITLE, Component::input(REASON_INPUT, said::label::REASON, max))
}

fn help() -> String {
    let lines: Vec<String> =
        commands::all().iter().map(|command| format!("/{} · {}", command.name, escape(&command.description))).collect();
    lines.join("\n")
}

/// An outcome as it looks here. Tables stand in a block, sentences in a paragraph.
fn shaped(reply: &Reply) -> Answer {
    let color = match words::outcome_tone(&reply.outcome) {
        Tone::Good => Some(0x0022_a559),
        Tone::Warning => Some(0x00e0_7b1a),
        Tone::Bad => Some(0x00da_373c),
        Tone::Plain => None,
    };
    let is_table = matches!(reply.outcome, Outcome::Status(_) | Outcome::History(_) | Outcome::Calendar(_));
    let description = if is_table { block(&text::cut(&reply.words, DESCRIPTION_MAX - 20)) } else { escape(&reply.words) };
    let message = Message::embed(Embed { description, color, ..Embed::default() });
    let public = match &reply.outcome {
        outcome if !outcome.is_public() => Public::Nothing,
        Outcome::Approved(_) | Outcome::Released(_) | Outcome::Rejected(_) | Outcome::RolledBack(_) => Public::Shown(message.clone()),
        // The room shows only the bot's name beside it.
        _ => {
            let who = reply.person.as_ref().map(|person| format!("**{}**", text::line(person.as_str()))).unwrap_or_default();
            Public::Told(Message { content: who, ..message.clone() })
        }
    };
    // A failure may have come after the commit: only a plain refusal is certainly nothing.
    let may_be_done = !matches!(&reply.outcome, Outcome::Refused(refusal) if !matches!(refusal, Refusal::Failed { .. }));
    let done = if may_be_done { Done::Perhaps } else { Done::No };
    Answer { private: message, public, done }
}
