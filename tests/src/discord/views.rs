//! What people see: messages with their edits, private answers, modals, choices, threads; and what came of something
//! that a person did.

use super::interaction::{Ack, Interaction, LOADING};
use super::state::{Channel, Message, Pinged};
use super::{Discord, Id};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::time::Duration;

/// An answer must be there after this long, unless a test asks for longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A message as it stood when it was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its id.
    pub id: Id,
    /// Where.
    pub channel: Id,
    /// Its text.
    pub content: String,
    /// Its embeds, as sent.
    pub embeds: Vec<Value>,
    /// Its rows of buttons and selects.
    pub components: Vec<Value>,
    /// Only this person sees it.
    pub private_to: Option<Id>,
    /// How often it was edited.
    pub edits: u32,
    /// Whom it told by a sound.
    pub pinged: Pinged,
    /// The thread that hangs on it.
    pub thread: Option<Id>,
    /// The bot's key against doubles.
    pub nonce: Option<String>,
    /// "… is thinking" still stands there.
    pub thinking: bool,
    /// No sound was made.
    pub silent: bool,
    /// The message that it answers.
    pub answers: Option<Id>,
}

/// A button on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// What stands on it.
    pub label: String,
    /// What the bot gets; none: a link.
    pub custom_id: Option<String>,
    /// Grey.
    pub disabled: bool,
    /// 1 blue, 2 grey, 3 green, 4 red, 5 link.
    pub style: u64,
    /// Where a link goes.
    pub url: Option<String>,
}

impl Seen {
    fn of(message: &Message) -> Seen {
        Seen {
            id: message.id,
            channel: message.channel,
            content: message.content.clone(),
            embeds: message.embeds.clone(),
            components: message.components.clone(),
            private_to: message.private_to,
            edits: message.edits,
            pinged: message.pinged.clone(),
            thread: message.thread,
            nonce: message.nonce.clone(),
            thinking: message.flags & LOADING != 0,
            silent: message.flags & (1 << 12) != 0,
            answers: message.reference.as_ref().and_then(|reference| reference["message_id"].as_str()?.parse().ok()),
        }
    }

    /// Everything as a person reads it: what is escaped stands there plainly.
    pub fn text(&self) -> String {
        let mut read = String::new();
        let source = self.source();
        let mut chars = source.chars().peekable();
        while let Some(one) = chars.next() {
            let escapes = one == '\\' && chars.peek().is_some_and(char::is_ascii_punctuation);
            if !escapes {
                read.push(one);
            } else if let Some(escaped) = chars.next() {
                read.push(escaped);
            }
        }
        read
    }

    /// Everything that stands there, line by line, as it was sent; the buttons as `[label]` at the end.
    pub fn source(&self) -> String {
        let mut lines = vec![self.content.clone()];
        for embed in &self.embeds {
            let own = [&embed["author"]["name"], &embed["title"], &embed["description"]];
            lines.extend(own.into_iter().filter_map(Value::as_str).map(str::to_owned));
            for field in embed["fields"].as_array().into_iter().flatten() {
                let text = |key: &str| field[key].as_str().unwrap_or_default().to_owned();
                lines.extend([text("name"), text("value")]);
            }
            lines.extend(embed["footer"]["text"].as_str().map(str::to_owned));
        }
        let buttons: Vec<String> = self.buttons().iter().map(|button| format!("[{}]", button.label)).collect();
        lines.push(buttons.join(" "));
        lines.retain(|line| !line.is_empty());
        lines.join("\n")
    }

    /// The buttons, row by row.
    pub fn buttons(&self) -> Vec<Button> {
        let items = self.components.iter().flat_map(|row| row["components"].as_array().into_iter().flatten());
        let text = |item: &Value, key: &str| item[key].as_str().map(str::to_owned);
        items
            .filter(|item| item["type"] == 2)
            .map(|item| Button {
                label: text(item, "label").unwrap_or_default(),
                custom_id: text(item, "custom_id"),
                disabled: item["disabled"] == true,
                style: item["style"].as_u64().unwrap_or_default(),
                url: text(item, "url"),
            })
            .collect()
    }

    /// Is there such a button, and can it be pressed?
    pub fn offers(&self, label: &str) -> bool {
        self.buttons().iter().any(|button| button.label == label && !button.disabled)
    }

    /// Does everybody see it?
    pub fn is_public(&self) -> bool {
        self.private_to.is_none()
    }
}

impl Discord {
    /// A message as it stands now.
    pub fn seen(&self, message: Id) -> Option<Seen> {
        self.shared.with(|state| state.messages.get(&message).filter(|message| !message.deleted).map(Seen::of))
    }

    /// What everybody sees in a channel, oldest first.
    pub fn messages(&self, channel: Id) -> Vec<Seen> {
        let public = |message: &&Message| message.channel == channel && !message.deleted && message.private_to.is_none();
        self.shared.with(|state| state.messages.values().filter(public).map(Seen::of).collect())
    }

    /// How often the bot changed anything that can be seen in a channel: messages and edits.
    pub fn noise(&self, channel: Id) -> u32 {
        self.messages(channel).iter().map(|message| 1 + message.edits).sum()
    }

    /// The threads of a channel.
    pub fn threads(&self, channel: Id) -> Vec<Id> {
        let below = |thread: &&Channel| thread.parent == Some(channel) && thread.is_thread();
        self.shared.with(|state| state.channels.values().filter(below).map(|thread| thread.id).collect())
    }

    /// The name of a channel or thread.
    pub fn channel_name(&self, channel: Id) -> Option<String> {
        self.shared.with(|state| state.channels.get(&channel).map(|channel| channel.name.clone()))
    }

    /// Waits for a message in a channel that everybody sees.
    pub async fn wait_message(&self, channel: Id, what: &str, fits: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let found = self.wait(ANSWER_LIMIT, what, |discord| discord.messages(channel).into_iter().find(&fits)).await;
        found.with_context(|| {
            let all: Vec<String> = self.messages(channel).iter().map(Seen::text).collect();
            format!("the channel has:\n{}", all.join("\n---\n"))
        })
    }
}

/// A modal that was opened for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Modal {
    /// What stands above it.
    pub title: String,
    /// What the bot gets.
    pub custom_id: String,
    /// The whole of it, as sent.
    pub data: Value,
    pub(super) source: Option<Id>,
}

impl Modal {
    /// The ids of its fields.
    pub fn fields(&self) -> Vec<String> {
        self.inputs().iter().filter_map(|input| input["custom_id"].as_str().map(str::to_owned)).collect()
    }

    fn inputs(&self) -> Vec<&Value> {
        let rows = self.data["components"].as_array().into_iter().flatten();
        rows.map(|row| if row["type"] == 18 { &row["component"] } else { &row["components"][0] }).collect()
    }

    /// What a client sends for a filled modal, or why it would not let a person send it.
    pub(super) fn filled(&self, fields: &[(&str, &str)]) -> Result<Value> {
        let mut rows = Vec::new();
        let is_label = |at: usize| self.data["components"][at]["type"] == 18;
        for (at, input) in self.inputs().into_iter().enumerate() {
            let id = input["custom_id"].as_str().unwrap_or_default();
            let given = fields.iter().find(|(field, _)| *field == id).map(|(_, text)| *text);
            let text = given.or_else(|| input["value"].as_str()).unwrap_or_default();
            let length = text.chars().count() as u64;
            let min = input["min_length"].as_u64().unwrap_or(0).max(u64::from(input["required"] != false));
            if length < min || length > input["max_length"].as_u64().unwrap_or(4_000) {
                bail!("the field `{id}` does not take a text of {length} characters");
            }
            let filled = json!({ "type": 4, "custom_id": id, "value": text });
            rows.push(if is_label(at) { json!({ "type": 18, "component": filled }) } else { json!({ "type": 1, "components": [filled] }) });
        }
        if let Some((strange, _)) = fields.iter().find(|(field, _)| !self.fields().iter().any(|known| known == field)) {
            bail!("the modal has no field `{strange}` but {:?}", self.fields());
        }
        Ok(json!({ "custom_id": self.custom_id, "components": rows }))
    }
}

/// Something that a person did, and what came of it.
#[derive(Clone, Copy)]
pub struct Doing<'a> {
    pub(super) discord: &'a Discord,
    /// The interaction.
    pub id: Id,
}

impl Doing<'_> {
    fn look<T>(&self, look: impl FnOnce(&Interaction) -> Option<T>) -> Option<T> {
        self.discord.shared.with(|state| state.interactions.get(&self.id).and_then(look))
    }

    async fn wait<T>(&self, what: &str, look: impl Fn(&Interaction) -> Option<T>) -> Result<T> {
        let found = self.discord.wait(ANSWER_LIMIT, what, |_| self.look(&look)).await;
        found.with_context(|| format!("{:?}", self.look(|one| Some((one.kind, one.ack, one.payload["data"].clone())))))
    }

    /// The token of the interaction, as whoever reads the bot's traffic knows it.
    pub fn token(&self) -> String {
        self.look(|one| Some(one.token.clone())).unwrap_or_default()
    }

    /// The same event once more, as after a lost line.
    pub fn again(&self) {
        let payload = self.look(|one| Some(one.payload.clone())).unwrap_or_default();
        self.discord.gateway().send_event("INTERACTION_CREATE", &payload);
    }

    /// The acknowledgement, once it is there.
    pub async fn ack(&self) -> Result<Ack> {
        self.wait("an acknowledgement", |one| one.ack).await
    }

    /// The acknowledgement, if it is there.
    pub fn acked(&self) -> Option<Ack> {
        self.look(|one| one.ack)
    }

    /// The answer: the message that `@original` is, once nobody is thinking any more.
    pub async fn answer(&self) -> Result<Seen> {
        self.discord.wait(ANSWER_LIMIT, "an answer", |_| self.answered()).await.with_context(|| {
            let about = self.look(|one| Some((one.kind, one.ack, one.modal.is_some(), one.payload["data"].clone())));
            format!("{about:?}")
        })
    }

    /// The answer, if it is there. An update that was only promised (type 6) is one when the message was edited after it.
    pub fn answered(&self) -> Option<Seen> {
        let (original, waiting, source) = self.look(|one| Some((one.original?, one.waiting, one.source)))?;
        let seen = self.discord.seen(original)?;
        let promised = self.acked().is_some_and(|ack| ack.kind == 6);
        let created = self.look(|one| Some(one.created))?;
        let edited = self.discord.shared.with(|state| state.messages.get(&original).and_then(|message| message.edited));
        let done = if promised && source == Some(original) { edited.is_some_and(|at| at >= created) } else { !waiting && !seen.thinking };
        done.then_some(seen)
    }

    /// The messages after the answer.
    pub fn followups(&self) -> Vec<Seen> {
        let ids = self.look(|one| Some(one.followups.clone())).unwrap_or_default();
        ids.into_iter().filter_map(|id| self.discord.seen(id)).collect()
    }

    /// Waits for a message after the answer.
    pub async fn followup(&self) -> Result<Seen> {
        self.discord.wait(ANSWER_LIMIT, "a follow-up", |_| self.followups().into_iter().next()).await
    }

    /// The choices, as `(label, value)`.
    pub async fn choices(&self) -> Result<Vec<(String, Value)>> {
        let choices = self.wait("choices", |one| one.choices.clone()).await?;
        Ok(choices.iter().map(|choice| (choice["name"].as_str().unwrap_or_default().to_owned(), choice["value"].clone())).collect())
    }

    /// The modal that was opened.
    pub async fn modal(&self) -> Result<Modal> {
        let (data, source) = self.wait("a modal", |one| Some((one.modal.clone()?, one.source))).await?;
        let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        Ok(Modal { title: text("title"), custom_id: text("custom_id"), source, data })
    }
}
