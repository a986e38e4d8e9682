//! Keeps the rooms true: cards, their threads, news and the daily list, whenever something changed and again after a
//! pause. Everything that it has told is in the store, so a restart or a long silence of Discord loses and doubles
//! nothing. It is one task: a Discord that hangs makes it late, and nobody else.

use super::card;
use super::news::{self, Addressed};
use super::posts::{PostError, Posts, Wanted, nonce};
use super::records::{Act, Record, Records};
use super::rest::{Call, Rest, RestError};
use super::text::{line, relative};
use super::wire::{Component, Look, Message, Row};
use crate::card::Card;
use crate::room::Picture;
use crate::rooms::Doors;
use crate::show::{card_view, hold};
use crate::store::{Store, StoreError};
use crate::tips::{Seen, chain};
use crate::view::{self, Decide, View};
use crate::words::discord as said;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::repo::DiscordChat;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Cards of an environment that are kept up to date.
const CARDS_MAX: usize = 8;
/// Edits of one card are at least this far apart.
const EDIT_GAP: Duration = Duration::from_millis(2_500);
/// Without any change the rooms are looked at this often.
const LOOK: Duration = Duration::from_secs(15);
/// Changes within this time are told together.
const GATHER: Duration = Duration::from_millis(150);
/// News told in one go.
const NEWS_BATCH: u32 = 20;
/// News older than this are counted, not told, when Discord comes back.
const NEWS_HOLD: SignedDuration = SignedDuration::from_hours(24);
const SPACE: &str = "discord";
const CURSOR: &str = "news";
const BEGAN: &str = "began";
const DIGEST: &str = "digest";

/// Keeps the rooms true.
#[derive(Debug)]
pub struct RoomKeeper {
    /// The way out.
    pub rest: Arc<Rest>,
    /// What is known of each environment.
    pub doors: Doors,
    /// The branch, for the rooms.
    pub seen: watch::Receiver<Arc<Seen>>,
    /// Tells that something changed.
    pub view: watch::Receiver<Arc<View>>,
    /// Remembers what was told.
    pub store: Store,
    /// What buttons mean.
    pub records: Arc<Records>,
}

/// What the keeper remembers while it runs.
struct Memory {
    posts: Posts,
    edited: BTreeMap<String, Instant>,
    began: Timestamp,
}

impl RoomKeeper {
    /// Sets the marks of a first start: what was there before is not told. Called before anything new can happen.
    pub async fn begin(store: &Store) -> Result<(), StoreError> {
        if store.kept::<Timestamp>(SPACE, BEGAN).await?.is_none() {
            let newest = store.newest_notice().await?;
            store.keep(SPACE, CURSOR, &newest).await?;
            store.keep(SPACE, BEGAN, &Timestamp::now()).await?;
        }
        Ok(())
    }

    /// Works until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut memory = loop {
            match self.memory().await {
                Ok(memory) => break memory,
                Err(error) => tracing::error!(error = %chain(&error), "what was told on Discord cannot be read"),
            }
            tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(LOOK) => {} }
        };
        loop {
            if !self.rest.is_halted() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.turn(&mut memory) => {}
                }
            }
            let pause = memory.next_edit().unwrap_or(LOOK);
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.view.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    async fn memory(&self) -> Result<Memory, StoreError> {
        let posts = Posts::open(self.rest.clone(), self.store.clone()).await?;
        let began = self.store.kept(SPACE, BEGAN).await?.unwrap_or_else(Timestamp::now);
        Ok(Memory { posts, edited: BTreeMap::new(), began })
    }

    async fn turn(&mut self, memory: &mut Memory) {
        let chat = self.seen.borrow().tip.as_ref().and_then(|tip| tip.repo.settings.chat.discord.clone());
        let Some(chat) = chat else { return };
        let pictures = self.doors.pictures();
        if let Err(error) = self.cards(&chat, &pictures, memory).await {
            complain("a card", &error);
        }
        if let Err(error) = self.news(&chat, &pictures, memory).await {
            complain("news", &error);
        }
        if let Err(error) = self.digest(&chat, &pictures).await {
            complain("the daily list", &error);
        }
    }

    /// One card after the other; one that cannot be shown keeps no other from it.
    async fn cards(&self, chat: &DiscordChat, pictures: &[Arc<Picture>], memory: &mut Memory) -> Result<(), PostError> {
        let last = pictures.last().map(|picture| picture.name.clone());
        let mut failed = None;
        for picture in pictures {
            let from = picture.cards.len().saturating_sub(CARDS_MAX);
            for card in &picture.cards[from..] {
                let view = card_view(picture, card, Timestamp::now());
                // Each audience by itself: trouble in the room of one does not silence the other.
                let shown = self.engineers(chat, (picture, card, &view), memory).await;
                failed = shown.err().or(failed);
                if let (Some(channel), true) = (chat.stakeholders, last.as_ref() == Some(&picture.name)) {
                    let shown = stakeholders(chat, channel.0, (card, &view), memory).await;
                    failed = shown.err().or(failed);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn engineers(
        &self,
        chat: &DiscordChat,
        (picture, card, view): (&Picture, &Card, &view::Card),
        memory: &mut Memory,
    ) -> Result<(), PostError> {
        let key = format!("{}/{}", card.environment, card.id);
        if !memory.is_wanted(&key, card, view) || !memory.may_edit(&key) {
            return Ok(());
        }
        let holds: Vec<view::HoldView> =
            picture.lock().map(|lock| lock.holds.iter().map(|held| hold(picture, held)).collect()).unwrap_or_default();
        let components = self.buttons(picture, card, view).await?;
        let about = card.subject.commit.to_string();
        let wanted = Wanted { key: &key, channel: chat.engineers.0, guild: chat.guild.0, about: &about };
        let message = |before: Option<&str>| Message { components: components.clone(), ..card::engineers(view, &holds, before) };
        memory.show(&wanted, message).await?;
        let lines: Vec<String> =
            view.timeline.iter().map(|entry| format!("{} **{}** {}", relative(entry.at), line(&entry.who), line(&entry.what))).collect();
        memory.posts.tell(&key, &super::text::plain(&card::title(view)), &lines).await
    }

    /// The buttons that mean something now.
    async fn buttons(&self, picture: &Picture, card: &Card, view: &view::Card) -> Result<Vec<Row>, StoreError> {
        let key = |what: &str| format!("{}/{}/{what}", card.environment, card.id);
        let open = |act| Record::open(act, card.environment.clone());
        let subject = card.subject.clone();
        let mut buttons = Vec::new();
        if view.actions.decide == Decide::Asked {
            let approve = self.records.standing(key("approve"), open(Act::Approve { subject: subject.clone() })).await?;
            buttons.push(Component::button(Look::Good, said::label::APPROVE, &approve));
            let reject = self.records.standing(key("reject"), open(Act::Reject { subject })).await?;
            buttons.push(Component::button(Look::Danger, said::label::REJECT, &reject));
        }
        if matches!(view.stage, view::Stage::NeedsApproval | view::Stage::Waiting | view::Stage::RollingOut | view::Stage::Error) {
            let why = self.records.standing(key("why"), open(Act::Why)).await?;
            buttons.push(Component::button(Look::Plain, said::label::WHY, &why));
        }
        let diff = self.records.standing(key("diff"), open(Act::Diff { card: card.id })).await?;
        buttons.push(Component::button(Look::Plain, said::label::DIFF, &diff));
        let mut rows = vec![Row::of(buttons)];
        let mut back = Vec::new();
        for choice in view.actions.rollbacks.iter().filter(|choice| picture.way_back(&choice.stack, None, Timestamp::now()).is_ok()).take(5)
        {
            let act = Act::RollBack { stack: Some(choice.stack.clone()) };
            let name = self.records.standing(key(&format!("back/{}", choice.stack)), open(act)).await?;
            let label = if view.actions.rollbacks.len() == 1 {
                said::label::ROLL_BACK.to_owned()
            } else {
                format!("Roll back {}…", choice.stack)
            };
            back.push(Component::button(Look::Danger, &label, &name));
        }
        rows.push(Row::of(back));
        Ok(rows)
    }

    /// News since the last that was told, each once.
    async fn news(&self, chat: &DiscordChat, pictures: &[Arc<Picture>], memory: &Memory) -> Result<(), PostError> {
        let mut cursor: i64 = self.store.kept(SPACE, CURSOR).await?.unwrap_or(0);
        loop {
            let news = self.store.notices_after(cursor, NEWS_BATCH).await?;
            if news.is_empty() {
                return Ok(());
            }
            let now = Timestamp::now();
            let old = news.iter().take_while(|(_, _, notice)| now.duration_since(notice.at) > NEWS_HOLD).count();
            if let Some((_, _, first)) = news.first().filter(|_| old > 0) {
                let text = line(&said::untold(old, first.at));
                let message = Message { content: text, ..Message::default() };
                self.post(&Addressed { channel: chat.engineers.0, message }, &format!("untold/{cursor}")).await?;
                cursor = news[old - 1].0;
                self.store.keep(SPACE, CURSOR, &cursor).await?;
                continue;
            }
            for (number, key, notice) in news {
                let about = news::Known { chat, pictures, posts: &memory.posts };
                for (at, addressed) in news::messages(&notice, &about).into_iter().enumerate() {
                    self.post(&addressed, &format!("{key}/{at}")).await?;
                }
                cursor = number;
                self.store.keep(SPACE, CURSOR, &cursor).await?;
            }
        }
    }

    /// Posts once. What Discord refuses for good is given up, so that the next news are told.
    async fn post(&self, addressed: &Addressed, key: &str) -> Result<(), PostError> {
        let Addressed { channel, message } = addressed;
        let body = message.clone().fitted().once(&nonce(&format!("{key}/{channel}")));
        let path = format!("/channels/{channel}/messages");
        match self.rest.send(Call::post("POST /messages", *channel, path, json!(body))).await {
            Ok(_) => Ok(()),
            Err(RestError::Refused { status: 400, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What went live in the last day, once a day, if something did.
    async fn digest(&self, chat: &DiscordChat, pictures: &[Arc<Picture>]) -> Result<(), PostError> {
        let (Some(channel), Some(picture)) = (chat.stakeholders, pictures.last()) else { return Ok(()) };
        let now = Timestamp::now();
        let Some(due) = news::digest_due(chat.digest.as_ref(), now) else { return Ok(()) };
        let told: Option<Timestamp> = self.store.kept(SPACE, DIGEST).await?;
        if told.is_some_and(|told| told >= due) {
            return Ok(());
        }
        if let Some(message) = news::digest(picture, due).filter(|_| told.is_some()) {
            self.post(&Addressed { channel: channel.0, message }, &format!("digest/{due}")).await?;
        }
        self.store.keep(SPACE, DIGEST, &due).await?;
        Ok(())
    }
}

async fn stakeholders(chat: &DiscordChat, channel: u64, (card, view): (&Card, &view::Card), memory: &mut Memory) -> Result<(), PostError> {
    let key = format!("plain/{}/{}", card.environment, card.id);
    if !memory.is_wanted(&key, card, view) || !memory.may_edit(&key) || card::stakeholders(view, None).is_none() {
        return Ok(());
    }
    let wanted = Wanted { key: &key, channel, guild: chat.guild.0, about: "" };
    memory.show(&wanted, |before| card::stakeholders(view, before).unwrap_or_default()).await
}

fn complain(what: &str, error: &PostError) {
    match error {
        // Told when it began: a channel that is left alone, or a token that was refused.
        PostError::Rest(RestError::NotSent(_)) => tracing::debug!(error = %chain(error), "{what} is not shown on Discord"),
        PostError::Rest(RestError::Refused { .. }) | PostError::Store(_) => {
            tracing::error!(error = %chain(error), "{what} cannot be shown on Discord; it is tried again");
        }
        PostError::Rest(RestError::Away(_)) => tracing::warn!(error = %chain(error), "{what} is late on Discord; it is tried again"),
    }
}

impl Memory {
    /// Is a card kept up to date? What was over before the bot first came to Discord is not told there.
    fn is_wanted(&self, key: &str, card: &Card, view: &view::Card) -> bool {
        let is_over = matches!(
            view.stage,
            view::Stage::Superseded | view::Stage::Rejected | view::Stage::Live | view::Stage::FailedRolledBack | view::Stage::Held
        );
        self.posts.get(key).is_some() || !is_over || (card.created_at >= self.began && view.stage != view::Stage::Superseded)
    }

    fn may_edit(&self, key: &str) -> bool {
        self.edited.get(key).is_none_or(|at| at.elapsed() >= EDIT_GAP)
    }

    async fn show(&mut self, wanted: &Wanted<'_>, message: impl Fn(Option<&str>) -> Message) -> Result<(), PostError> {
        let before = self.posts.get(wanted.key).map(|post| post.hash.clone());
        self.posts.show(wanted, message).await?;
        if before != self.posts.get(wanted.key).map(|post| post.hash.clone()) {
            self.edited.insert(wanted.key.to_owned(), Instant::now());
        }
        self.edited.retain(|_, at| at.elapsed() < EDIT_GAP * 4);
        Ok(())
    }

    /// When a card that was edited a moment ago may be edited again.
    fn next_edit(&self) -> Option<Duration> {
        self.edited.values().map(Instant::elapsed).filter(|age| *age < EDIT_GAP).map(|age| EDIT_GAP - age).min()
    }
}
