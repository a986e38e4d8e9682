//! One worker per environment: the only writer of its cards, and the only one who commits its lock.
//!
//! Requests, host events and wake-ups come one after the other, so that two approvals at once are two approvals and one
//! release. A turn looks at git first and decides again from there; what is remembered beside git is news.

mod commit;
mod decide;
mod events;
mod look;
mod missing;
mod picture;
mod remind;
mod rollback;
mod standing;
mod target;

pub use picture::{Locked, Picture, candidate_ref};

use crate::card::Card;
use crate::clock::Clock;
use crate::command::when::{End, Moment};
use crate::notice::{News, Notice};
use crate::people::{self, Actor};
use crate::registry::Registry;
use crate::request::{Outcome, Refusal, Shown, Standing, Trouble};
use crate::store::{Activity, Save, Store, StoreError};
use crate::tips::{Seen, Waker, chain};
use crate::words;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::calendar::Gated;
use tidegate_core::ids::{EnvironmentName, PersonName, ReleaseNumber, StackName};
use tidegate_core::policy::Subject;
use tidegate_core::repo::Person;
use tidegate_git::Mirror;
use tidegate_git::keys::SigningKey;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests that may wait for an environment.
const QUEUE_MAX: usize = 256;
/// First pause before something that failed is tried again.
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// Longest pause before that.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Without any news the environment is looked at this often: holds and approvals end by themselves.
const IDLE_LOOK: Duration = Duration::from_secs(60);

/// What all environments share.
#[derive(Debug)]
pub struct Context {
    /// The config repo.
    pub mirror: Mirror,
    /// Signs the bot's commits.
    pub key: SigningKey,
    /// What the bot remembers.
    pub store: Store,
    /// Tags to digests.
    pub registry: Registry,
    /// Wakes the watcher of the branch.
    pub waker: Waker,
    /// Told when something to show has changed.
    pub changed: Arc<Notify>,
    /// What time it is.
    pub clock: Clock,
}

/// What an environment is asked to do.
#[derive(Debug)]
pub struct Order {
    /// Who.
    pub actor: Actor,
    /// What.
    pub what: What,
    /// When: what changed since, or just before, the person may not have seen.
    pub asked_at: Timestamp,
    /// Where the answer goes.
    pub answer: oneshot::Sender<(Outcome, Option<PersonName>)>,
}

/// The commands that change an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Agree.
    Approve(Meant),
    /// Say no.
    Reject {
        /// To what.
        meant: Meant,
        /// Why.
        reason: String,
    },
    /// Go back.
    Rollback {
        /// Which stack.
        stack: StackName,
        /// From what the person was shown; none: from whatever is current.
        from: Option<Shown>,
        /// Where; none: the last verified release.
        to: Option<ReleaseNumber>,
        /// Why.
        reason: Option<String>,
    },
    /// Stop everything new.
    Hold {
        /// Of which stack; none: of all.
        stack: Option<StackName>,
        /// Until when.
        until: Option<End>,
        /// Why.
        reason: String,
    },
    /// Lift holds.
    Resume {
        /// On which stack; none: those on the whole environment.
        stack: Option<StackName>,
    },
    /// Start no release for a time.
    Freeze {
        /// From when; none: now.
        from: Option<Moment>,
        /// Until when.
        until: End,
        /// What it stops.
        blocks: BTreeSet<Gated>,
        /// Why.
        reason: String,
    },
    /// End the freezes that were made by command.
    Unfreeze,
    /// Let a release pass.
    Override {
        /// Which stack; none: all that it brought.
        stack: Option<StackName>,
        /// Which release.
        release: ReleaseNumber,
        /// Until when.
        until: Option<End>,
        /// Why.
        reason: String,
    },
}

impl What {
    /// The word that starts the command.
    pub fn word(&self) -> &'static str {
        match self {
            What::Approve(_) => "approve",
            What::Reject { .. } => "reject",
            What::Rollback { .. } => "rollback",
            What::Hold { .. } => "hold",
            What::Resume { .. } => "resume",
            What::Freeze { .. } => "freeze",
            What::Unfreeze => "unfreeze",
            What::Override { .. } => "override",
        }
    }
}

/// Which candidate a person meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// What is offered, by somebody who typed no more than that; refused where something else was offered a moment ago.
    Current,
    /// The one whose commit begins like this.
    Prefix(String),
    /// Exactly this one.
    Exactly(Subject),
}

/// There is no worker, or it has too much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the environment's worker is gone or has too much to do")]
pub struct NotTaken;

/// The way to an environment's worker.
#[derive(Debug, Clone)]
pub struct Door {
    orders: mpsc::Sender<Order>,
    events: mpsc::Sender<()>,
    /// What it knows.
    pub picture: watch::Receiver<Arc<Picture>>,
}

impl Door {
    /// Hands over an order, unless the worker is gone or has too much to do.
    pub fn order(&self, order: Order) -> Result<(), NotTaken> {
        self.orders.try_send(order).map_err(|_| NotTaken)
    }

    /// Says that events of its hosts are in the store. A full queue means that it knows.
    pub fn events_came(&self) {
        let _ = self.events.try_send(());
    }
}

/// The worker.
#[derive(Debug)]
pub struct Room {
    context: Arc<Context>,
    seen: watch::Receiver<Arc<Seen>>,
    picture: Picture,
    look: look::Memory,
    /// Cards changed in this turn.
    changed: BTreeSet<u64>,
    save: Save,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Receiver<()>,
    published: watch::Sender<Arc<Picture>>,
    retry: Retry,
}

/// When to try again what failed.
#[derive(Debug, Default)]
struct Retry {
    failures: u32,
    at: Option<Instant>,
}

impl Retry {
    fn failed(&mut self) {
        let pause = RETRY_FIRST.saturating_mul(1 << self.failures.min(6)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.at = Some(Instant::now() + pause);
    }

    fn is_due(&self) -> bool {
        self.at.is_none_or(|at| at <= Instant::now())
    }
}

impl Room {
    /// Makes the worker of an environment, with what the store remembers of it.
    pub async fn open(name: EnvironmentName, context: Arc<Context>, seen: watch::Receiver<Arc<Seen>>) -> Result<(Room, Door), StoreError> {
        let picture = Picture::remembered(name, &context.store).await?;
        let (orders_in, orders) = mpsc::channel(QUEUE_MAX);
        let (events_in, events) = mpsc::channel(1);
        let (published, shown) = watch::channel(Arc::new(picture.clone()));
        let room = Room {
            context,
            seen,
            picture,
            look: look::Memory::default(),
            changed: BTreeSet::new(),
            save: Save::default(),
            orders,
            events,
            published,
            retry: Retry::default(),
        };
        Ok((room, Door { orders: orders_in, events: events_in, picture: shown }))
    }

    /// Works until told to stop; the order in hand is finished first.
    pub async fn run(mut self, stop: CancellationToken) {
        self.turn().await;
        loop {
            let wake_at = self.retry.at.unwrap_or_else(|| Instant::now() + IDLE_LOOK);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                order = self.orders.recv() => match order {
                    Some(order) => self.serve(order).await,
                    None => return,
                },
                changed = self.seen.changed() => match changed {
                    Ok(()) => self.turn().await,
                    Err(_) => return,
                },
                came = self.events.recv() => match came {
                    Some(()) => self.turn().await,
                    None => return,
                },
                () = tokio::time::sleep_until(wake_at) => self.turn().await,
            }
        }
    }

    /// Looks at git, takes what hosts said, releases what needs no person, remembers and shows it.
    async fn turn(&mut self) {
        if let Err(trouble) = self.try_turn().await {
            tracing::warn!(environment = %self.picture.name, trouble = %words::trouble(&trouble), "a turn could not be finished and is tried again");
            self.retry.failed();
        }
        self.show();
    }

    async fn try_turn(&mut self) -> Result<(), Trouble> {
        self.look().await?;
        if !self.save.notices.is_empty() {
            // Shown before it is told: who reads the news and answers at once must not meet the state of before.
            self.show();
        }
        self.keep().await?;
        self.take_events().await?;
        self.remind();
        if self.retry.is_due() {
            self.retry.at = None;
            self.release_if_agreed().await;
        }
        self.keep().await?;
        if self.retry.at.is_none() {
            self.retry.failures = 0;
        }
        Ok(())
    }

    /// Writes what changed, all of it or nothing.
    async fn keep(&mut self) -> Result<(), Trouble> {
        let mut save = std::mem::take(&mut self.save);
        save.cards = self.picture.cards.iter().filter(|card| self.changed.contains(&card.id)).cloned().collect();
        self.context.store.save(&self.picture.name, save).await.map_err(|error| store_trouble(&error))?;
        self.changed.clear();
        Ok(())
    }

    fn show(&self) {
        self.published.send_replace(Arc::new(self.picture.clone()));
        self.context.changed.notify_one();
    }

    async fn serve(&mut self, order: Order) {
        if let Err(trouble) = self.look().await {
            let outcome = Outcome::Refused(Refusal::Failed { command: order.what.word(), cause: trouble });
            let _ = order.answer.send((outcome, None));
            return;
        }
        let (outcome, person) = match self.person(&order.actor) {
            Err(refusal) => (Outcome::Refused(refusal), None),
            Ok(person) => (self.carry_out(&person, &order).await, Some(person.name)),
        };
        if let Err(trouble) = self.keep().await {
            tracing::error!(environment = %self.picture.name, trouble = %words::trouble(&trouble), "what came of a command is not stored");
        }
        // Shown before it is answered: who asks again at once must not see the state of before.
        self.show();
        let _ = order.answer.send((outcome, person)); // whoever asked may have gone
        // A lifted hold may leave something to release at once.
        self.turn().await;
    }

    async fn carry_out(&mut self, person: &Person, order: &Order) -> Outcome {
        let asked = decide::Asked { person, at: order.asked_at };
        match &order.what {
            What::Approve(meant) => self.approve(&asked, meant).await,
            What::Reject { meant, reason } => self.reject(&asked, meant, reason).await,
            What::Rollback { stack, from, to, reason } => {
                self.roll_back(person, &rollback::Wish { stack, from: from.as_ref(), to: *to, reason: reason.as_deref() }).await
            }
            What::Hold { stack, until, reason } => {
                self.hold(person, &standing::HoldWish { stack: stack.as_ref(), until: until.as_ref(), reason }).await
            }
            What::Resume { stack } => self.resume(person, stack.as_ref()).await,
            What::Freeze { from, until, blocks, reason } => {
                self.freeze(person, &standing::FreezeWish { from: from.as_ref(), until, blocks, reason }).await
            }
            What::Unfreeze => self.unfreeze(person).await,
            What::Override { stack, release, until, reason } => {
                let wish = standing::OverrideWish { stack: stack.as_ref(), release: *release, until: until.as_ref(), reason };
                self.override_release(person, &wish).await
            }
        }
    }

    /// The person of the released config with this identity.
    fn person(&self, actor: &Actor) -> Result<Person, Refusal> {
        let Some(settings) = self.picture.settings() else { return Err(Refusal::NotReady) };
        people::resolve(settings, actor).cloned().ok_or_else(|| {
            let at_tip = self.picture.seen.tip.as_ref().and_then(|tip| people::resolve(&tip.repo.settings, actor));
            Refusal::UnknownPerson {
                platform: actor.platform.clone(),
                user: actor.user.chars().take(80).collect(),
                known_at_tip: if at_tip.is_some() { Standing::AtTipOnly } else { Standing::Nowhere },
            }
        })
    }

    fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// Changes a card and remembers that it did.
    fn change(&mut self, id: u64, change: impl FnOnce(&mut Card)) {
        if let Some(card) = self.picture.cards.iter_mut().find(|card| card.id == id) {
            change(card);
            self.changed.insert(id);
        }
    }

    /// Tells news once under a key.
    fn tell(&mut self, key: String, news: News) {
        let notice = Notice { at: self.now(), environment: Some(self.picture.name.clone()), news };
        self.save.notices.push((format!("{}:{key}", self.picture.name), notice));
    }

    /// Notes what the bot did by itself.
    fn note(&mut self, what: String, commit: Option<tidegate_core::ids::CommitId>) {
        self.save.activity.push(Activity { at: self.now(), who: "Tidegate".into(), actor: None, what, commit, refused: false });
    }
}

fn store_trouble(error: &StoreError) -> Trouble {
    Trouble::Store { cause: chain(error) }
}

fn git_trouble(error: &(dyn std::error::Error + 'static)) -> Trouble {
    Trouble::Git { cause: chain(error) }
}
