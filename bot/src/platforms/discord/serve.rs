//! From something that came in to its answer. The first answer goes out before anything else is done, always, and once;
//! what could not be answered is not done. Then the work, then the result, by the interaction's own token while it holds
//! and as a message of the channel after that.

use super::gate::{self, NotHere};
use super::gateway::Identity;
use super::incoming::{Incoming, What};
use super::records::Records;
use super::rest::{Call, Rest, RestError, code};
use super::wire::{Ack, Message};
use super::work::{Answer, Job};
use crate::handle::Asked;
use crate::people::{self, Actor};
use crate::rooms::Doors;
use crate::store::{Activity, Store};
use crate::tips::{Seen, chain};
use crate::words::discord::{self as said, Elsewhere};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::repo::DiscordChat;
use tidegate_git::Mirror;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The platform's key in `people.*.chat`.
pub const NAME: &str = "discord";
/// Interactions worked on at once; more are told that it is too much.
const AT_ONCE_MAX: usize = 200;
/// The first answer must be there after this; Discord allows three seconds from its side.
const ACK_MAX: Duration = Duration::from_millis(2_500);
/// One try at it.
const ACK_TRY: Duration = Duration::from_millis(1_100);
/// The token of an interaction is used for so long; Discord allows fifteen minutes.
const TOKEN_HOLDS: Duration = Duration::from_secs(14 * 60 + 30);
/// Interactions remembered, so that none is done twice.
const DONE_MAX: u32 = 20_000;

/// Answers people.
#[derive(Debug)]
pub struct Desk {
    /// The way out.
    pub rest: Arc<Rest>,
    /// What decides.
    pub domain: mpsc::Sender<Asked>,
    /// What is known of each environment.
    pub doors: Doors,
    /// The branch.
    pub seen: watch::Receiver<Arc<Seen>>,
    /// For the audit and for what was done.
    pub store: Store,
    /// Reads runbooks.
    pub mirror: Mirror,
    /// What buttons mean.
    pub records: Arc<Records>,
    /// Who the bot is.
    pub identity: watch::Receiver<Option<Identity>>,
}

/// What is to be done about something that came in.
enum Step {
    /// The first answer is the only one.
    Done(Ack),
    /// Nothing is done, which is written down.
    Refused(Ack, String),
    /// Work, after the first answer.
    Work(Ack, Box<Job>),
}

/// What came of the first answer.
#[derive(Debug, PartialEq, Eq)]
enum Acked {
    Yes,
    No,
}

impl Desk {
    /// Answers until told to stop; what is in hand is finished.
    pub async fn run(self: Arc<Self>, mut incoming: mpsc::Receiver<Incoming>, stop: CancellationToken) {
        let (open, places) = (TaskTracker::new(), Arc::new(Semaphore::new(AT_ONCE_MAX)));
        loop {
            let one = tokio::select! {
                () = stop.cancelled() => break,
                one = incoming.recv() => one,
            };
            let Some(one) = one else { break };
            let (desk, place) = (self.clone(), places.clone().try_acquire_owned());
            open.spawn(async move {
                match place {
                    Ok(_place) => desk.serve(one).await,
                    Err(_) => {
                        desk.ack(&one, busy(&one)).await;
                    }
                }
            });
        }
        open.close();
        open.wait().await;
    }

    async fn serve(&self, incoming: Incoming) {
        match self.first(&incoming).await {
            Step::Done(ack) => {
                self.ack(&incoming, ack).await;
            }
            Step::Refused(ack, why) => {
                self.ack(&incoming, ack).await;
                self.write_down(&incoming, &why).await;
            }
            Step::Work(ack, job) => {
                if self.ack(&incoming, ack).await == Acked::No {
                    return;
                }
                let answer = self.work(&incoming, *job).await;
                self.answer(&incoming, answer).await;
            }
        }
    }

    /// What to do about it: decided from memory alone, so that the first answer waits for nothing.
    async fn first(&self, incoming: &Incoming) -> Step {
        let refused = |words: String| match incoming.what {
            What::Complete { .. } => Step::Done(Ack::Choices(Vec::new())),
            _ => Step::Refused(private(&words), words),
        };
        let Some(chat) = self.chat() else { return refused(said::elsewhere(Elsewhere::NoRoom).to_owned()) };
        let Some(me) = self.me().await else { return Step::Done(busy(incoming)) };
        let user = match gate::pass(incoming, &chat, me) {
            Ok(user) => user,
            Err(why) => return refused(said::elsewhere(elsewhere(why)).to_owned()),
        };
        if !self.is_known(user) {
            // Right after a start nobody is known, because nothing has been read.
            let has_looked = self.doors.pictures().iter().any(|picture| picture.settings().is_some());
            return refused(if has_looked { said::stranger(user) } else { said::NOT_READY.to_owned() });
        }
        match self.plan(incoming, user) {
            Ok(Planned::At(ack)) => Step::Done(ack),
            Ok(Planned::Work(ack, job)) => Step::Work(ack, Box::new(job)),
            Err(words) => refused(words),
        }
    }

    /// The rooms, as the newest usable commit names them.
    pub(super) fn chat(&self) -> Option<DiscordChat> {
        self.seen.borrow().tip.as_ref()?.repo.settings.chat.discord.clone()
    }

    /// Who the bot is: told just before the first interaction, on another way.
    async fn me(&self) -> Option<Identity> {
        let mut identity = self.identity.clone();
        let known = tokio::time::timeout(Duration::from_millis(500), identity.wait_for(Option::is_some)).await;
        known.ok().and_then(Result::ok).and_then(|identity| *identity)
    }

    /// Is this somebody of the config repo? By the stable id, in the released state of an environment; before the first
    /// release by the tip.
    fn is_known(&self, user: u64) -> bool {
        let actor = actor(user);
        self.doors.pictures().iter().any(|picture| picture.settings().is_some_and(|settings| people::resolve(settings, &actor).is_some()))
    }

    /// Sends the first answer. `No`: nobody will see one, so nothing is done.
    async fn ack(&self, incoming: &Incoming, ack: Ack) -> Acked {
        let path = format!("/interactions/{}/{}/callback", incoming.id, incoming.token.0);
        let body = ack.body();
        let mut tries = 0;
        loop {
            tries += 1;
            let left = ACK_MAX.saturating_sub(incoming.received.elapsed());
            if left.is_zero() {
                tracing::warn!(id = incoming.id, "an interaction could not be answered in time; nothing was done");
                return Acked::No;
            }
            let call = Call::post("POST /interactions", 0, path.clone(), body.clone()).of_interaction(incoming.id).unrepeatable();
            match self.rest.send(call.within(left.min(ACK_TRY))).await {
                Ok(_) => return Acked::Yes,
                // The try before got through after all.
                Err(error) if error.code() == code::ACKNOWLEDGED && tries > 1 => return Acked::Yes,
                Err(error) if error.is_passing() => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => {
                    if error.code() != code::ACKNOWLEDGED {
                        tracing::warn!(id = incoming.id, %error, "an interaction could not be answered; nothing was done");
                    }
                    return Acked::No;
                }
            }
        }
    }

    /// Shows what came of it.
    async fn answer(&self, incoming: &Incoming, answer: Answer) {
        let Answer { private, public, .. } = answer;
        let Some(me) = *self.identity.borrow() else { return };
        let token = &incoming.token.0;
        let still_holds = incoming.received.elapsed() < TOKEN_HOLDS;
        let path = format!("/webhooks/{}/{token}/messages/@original", me.application);
        let edited = if still_holds {
            let patience = TOKEN_HOLDS.saturating_sub(incoming.received.elapsed()).min(Duration::from_secs(60));
            let call = Call::patch("PATCH /webhooks/@original", 0, path, json!(private.fitted())).of_interaction(incoming.id);
            self.rest.send(call.within(patience)).await.map(drop)
        } else {
            Err(RestError::NotSent("the token of the interaction is over"))
        };
        let Some(public) = public.into_message(edited.is_err()) else { return };
        if edited.is_ok() {
            let path = format!("/webhooks/{}/{token}", me.application);
            let call = Call::post("POST /webhooks", 0, path, json!(public.clone().fitted())).of_interaction(incoming.id).unrepeatable();
            if self.rest.send(call).await.is_ok() {
                return;
            }
        }
        self.say(incoming, public).await;
    }

    /// In the channel, under the bot's own name: for what the interaction's token can no longer carry.
    async fn say(&self, incoming: &Incoming, message: Message) {
        let path = format!("/channels/{}/messages", incoming.channel);
        let body = json!(message.fitted().once(&format!("i{}", incoming.id)));
        if let Err(error) = self.rest.send(Call::post("POST /messages", incoming.channel, path, body)).await {
            tracing::error!(id = incoming.id, %error, "what came of a command could not be told; the page shows it");
        }
    }

    /// Was this handed in before? Durable before anything is done about it.
    pub(super) async fn is_first_time(&self, incoming: &Incoming) -> Result<bool, String> {
        let kept = self.store.keep_once("discord.done", &incoming.id.to_string(), DONE_MAX).await;
        kept.map(|kept| kept == crate::store::Kept::New).map_err(|error| chain(&error))
    }

    /// Refusals are worth knowing, whoever tried.
    pub(super) async fn write_down(&self, incoming: &Incoming, why: &str) {
        let user = incoming.member.as_ref().map_or(0, |member| member.user);
        let what = match &incoming.what {
            What::Command { name, .. } => format!("/{name}"),
            What::Press { .. } => "a button".to_owned(),
            What::Submit { .. } => "a form".to_owned(),
            What::Complete { .. } => "something".to_owned(),
        };
        let place = format!("guild {} channel {}", incoming.guild.map_or_else(|| "none".to_owned(), |id| id.to_string()), incoming.channel);
        let first = why.lines().next().unwrap_or_default();
        let activity = Activity {
            at: Timestamp::now(),
            who: format!("discord {user}"),
            actor: Some(actor(user)),
            what: tidegate_git::message::one_line(&format!("{what} in {place}: {first}"), 400),
            commit: None,
            refused: true,
        };
        if let Err(error) = self.store.note(activity).await {
            tracing::error!(error = %chain(&error), "a refusal could not be written down");
        }
    }
}

/// What `first` came to for somebody who may be listened to.
pub(super) enum Planned {
    /// The first answer is the only one.
    At(Ack),
    /// Work after it.
    Work(Ack, Job),
}

/// The person's identity on this platform.
pub(super) fn actor(user: u64) -> Actor {
    Actor { platform: NAME.to_owned(), user: user.to_string() }
}

/// Too much at once; whoever types gets no suggestions.
fn busy(incoming: &Incoming) -> Ack {
    match incoming.what {
        What::Complete { .. } => Ack::Choices(Vec::new()),
        _ => private(said::BUSY),
    }
}

fn private(words: &str) -> Ack {
    Ack::Private(Message { content: super::text::escape(words), ..Message::default() })
}

fn elsewhere(why: NotHere) -> Elsewhere {
    match why {
        NotHere::Direct => Elsewhere::Direct,
        NotHere::OtherGuild => Elsewhere::OtherGuild,
        NotHere::OtherChannel => Elsewhere::OtherChannel,
        NotHere::NoMember => Elsewhere::NoMember,
        NotHere::NoRole => Elsewhere::NoRole,
        NotHere::OtherApplication | NotHere::ForeignMessage => Elsewhere::Foreign,
    }
}
