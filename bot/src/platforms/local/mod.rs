//! The local platform: the chat console on the page, with the store as its memory. Everything that a chat account is
//! needed for elsewhere can be tried here without one.
//!
//! It stands between the page and the domain: a request goes on to the domain, and question and answer are written down
//! together when the answer is known. News of their own kind come from the store's outbox, each exactly once.

use crate::chat::{Said, Tone};
use crate::command::{CandidateHint, Command, LINE_MAX_CHARS};
use crate::platforms::{Health, Platform};
use crate::request::{Ask, Reply, Request};
use crate::store::{Store, StoreError};
use crate::view::View;
use crate::words;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The platform's key in `people.*.chat`.
pub const NAME: &str = "local";
/// News delivered in one go.
const NEWS_BATCH: u32 = 50;
/// The outbox is looked at this often even when nobody says that there is news.
const NEWS_LOOK: Duration = Duration::from_secs(10);

/// A request and the way back for its answer.
pub type Asked = (Request, oneshot::Sender<Reply>);

/// The platform's ends.
#[derive(Debug)]
pub struct Local {
    /// What the page hands in.
    pub page: mpsc::Receiver<Asked>,
    /// What decides.
    pub domain: mpsc::Sender<Asked>,
    /// The memory of what was said.
    pub store: Store,
    /// Who people are, for names.
    pub view: watch::Receiver<Arc<View>>,
    /// Woken when the outbox may hold news.
    pub news: Arc<Notify>,
    /// Woken when something was said.
    pub said: Arc<Notify>,
}

impl Platform for Local {
    fn name(&self) -> &'static str {
        NAME
    }

    fn health(&self) -> Arc<Health> {
        Arc::new(Health::up())
    }

    fn run(self: Box<Self>, stop: CancellationToken) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(Local::run(*self, stop))
    }
}

impl Local {
    /// Works until `stop`; requests that the domain has taken are written down before it returns.
    pub async fn run(mut self, stop: CancellationToken) {
        let open = TaskTracker::new();
        loop {
            self.deliver_news().await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.news.notified() => {}
                () = tokio::time::sleep(NEWS_LOOK) => {}
                asked = self.page.recv() => match asked {
                    Some(asked) => self.pass_on(asked, &open),
                    None => break,
                },
            }
        }
        open.close();
        open.wait().await;
    }

    /// Moves news from the outbox into the room.
    async fn deliver_news(&self) {
        loop {
            match self.deliver_batch().await {
                Ok(0) => return,
                Ok(_) => self.said.notify_one(),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "news could not be delivered to the console");
                    return;
                }
            }
        }
    }

    async fn deliver_batch(&self) -> Result<usize, StoreError> {
        let news = self.store.undelivered(NEWS_BATCH).await?;
        let count = news.len();
        for (id, notice) in news {
            let text = words::notice(&notice);
            let tone = words::notice_tone(&notice);
            self.store.deliver_to_chat(id, Said { at: notice.at, speaker: None, private_to: None, text, tone }).await?;
        }
        Ok(count)
    }

    fn pass_on(&self, (request, page): Asked, open: &TaskTracker) {
        let question = Question { at: Timestamp::now(), speaker: self.name_of(&request), text: as_typed(&request.ask) };
        let (domain, store, said) = (self.domain.clone(), self.store.clone(), self.said.clone());
        open.spawn(async move {
            let (answer, answered) = oneshot::channel();
            if domain.send((request, answer)).await.is_err() {
                return; // the domain stops; the page says so when the way back is dropped
            }
            let Ok(reply) = answered.await else { return };
            if let Err(error) = write_down(&store, question, &reply).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "what was said could not be written down");
            }
            said.notify_one();
            let _ = page.send(reply); // whoever asked may have closed the browser
        });
    }

    fn name_of(&self, request: &Request) -> String {
        let view = self.view.borrow();
        let people = view.console.iter().flat_map(|console| &console.people);
        let known = people.into_iter().find(|person| person.identity == request.actor.user);
        known.map_or_else(|| request.actor.user.clone(), |person| person.full_name.clone())
    }
}

struct Question {
    at: Timestamp,
    speaker: String,
    text: String,
}

/// What changes something is for everybody; a question and its answer are for the person. Nobody in particular is nobody
/// to write it down for: the page has told them.
async fn write_down(store: &Store, question: Question, reply: &Reply) -> Result<(), StoreError> {
    let private_to = match (&reply.person, reply.outcome.is_public()) {
        (_, true) => None,
        (Some(person), false) => Some(person.clone()),
        (None, false) => return Ok(()),
    };
    let tone = words::outcome_tone(&reply.outcome);
    let Question { at, speaker, text } = question;
    let said = Said { at, speaker: Some(speaker), private_to: private_to.clone(), text, tone: Tone::Plain };
    store.say(said).await?;
    store.say(Said { at: Timestamp::now(), speaker: None, private_to, text: reply.words.clone(), tone }).await.map(drop)
}

/// A pressed button as it would have been typed, with the candidate that it stood on.
fn as_typed(ask: &Ask) -> String {
    let (command, expected) = match ask {
        Ask::Line(line) => return line.chars().take(LINE_MAX_CHARS).collect(),
        Ask::Command { command, expected } => (command, expected),
        Ask::Confirmed { command, .. } => (command, &None),
    };
    let meant = expected.as_ref().map(|subject| CandidateHint(subject.commit.short().to_owned()));
    match command.clone() {
        Command::Approve { environment, candidate } => Command::Approve { environment, candidate: candidate.or(meant) }.to_string(),
        Command::Reject { environment, candidate, reason } => {
            Command::Reject { environment, candidate: candidate.or(meant), reason }.to_string()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
