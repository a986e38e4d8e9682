//! Messages and threads: posting, editing, deleting, with the permissions of the channel and Discord's bounds.

use super::Id;
use super::limits;
use super::mentions::Unsaid;
use super::permissions as may;
use super::refusal::{Findings, Refusal, Rule};
use super::state::{Channel, Message, PUBLIC_THREAD, Pinged, State, TEXT};
use serde_json::{Value, json};
use std::time::Duration;

/// A nonce is remembered for "the past few minutes".
const NONCE_MEMORY: Duration = Duration::from_secs(5 * 60);
/// Messages older than this can be edited only a few times.
const OLD: Duration = Duration::from_secs(3_600);
/// So often; Discord does not tell its number.
const LATE_EDITS_MAX: u32 = 3;
/// The flags that a bot may put on a message: no embeds of links, no sound, and (in interactions) private.
const FLAGS: u64 = (1 << 2) | (1 << 12) | (1 << 6);

impl State {
    /// A message as a body says, not yet in its channel.
    pub(super) fn draft(&self, channel: Id, body: &Value) -> Message {
        Message {
            id: self.clock.id(),
            channel,
            author: self.bot,
            content: body["content"].as_str().unwrap_or_default().to_owned(),
            embeds: embeds(&body["embeds"]),
            components: body["components"].as_array().cloned().unwrap_or_default(),
            flags: body["flags"].as_u64().unwrap_or_default() & (FLAGS | super::interaction::LOADING),
            nonce: None,
            at: self.now(),
            edited: None,
            edits: 0,
            late_edits: 0,
            pinged: Pinged::default(),
            thread: None,
            interaction: None,
            deleted: false,
            private_to: None,
            reference: body.get("message_reference").filter(|reference| reference.is_object()).cloned(),
        }
    }

    /// Puts a message into its channel; who is pinged is decided here.
    pub(super) fn put_message(&mut self, mut message: Message, allowed: &Value, unsaid: Unsaid) -> Id {
        let id = message.id;
        if message.private_to.is_none()
            && let Some(channel) = self.channels.get(&message.channel)
        {
            message.pinged = self.pinged(channel, (&message.content, allowed), unsaid);
        }
        let (channel, private) = (message.channel, message.private_to.is_some());
        let shown = self.show_message(&message);
        self.messages.insert(id, message);
        if !private {
            if let Some(channel) = self.channels.get_mut(&channel) {
                channel.last_message = Some(id);
            }
            self.tell_message("MESSAGE_CREATE", channel, shown);
        }
        id
    }

    /// Changes what an edit names and leaves the rest. Edits ping nobody.
    pub(super) fn edit_fields(&mut self, id: Id, body: &Value) -> Result<(), Refusal> {
        let now = self.now();
        let message = self.messages.get_mut(&id).filter(|message| !message.deleted).ok_or_else(|| Refusal::unknown(10008, "Message"))?;
        let mut new = message.clone();
        if let Some(content) = body.get("content") {
            new.content = content.as_str().unwrap_or_default().to_owned();
        }
        if let Some(list) = body.get("embeds") {
            new.embeds = embeds(list);
        }
        if let Some(components) = body.get("components") {
            new.components = components.as_array().cloned().unwrap_or_default();
        }
        if new.content.trim().is_empty() && new.embeds.is_empty() && new.components.is_empty() {
            return Err(Refusal::new(400, 50006, "Cannot send an empty message").breaks(Rule::Form));
        }
        new.edited = Some(now);
        new.edits += 1;
        *message = new;
        let (channel, private) = (message.channel, message.private_to.is_some());
        let shown = self.messages.get(&id).map(|message| self.show_message(message)).unwrap_or_default();
        if !private {
            self.tell_message("MESSAGE_UPDATE", channel, shown);
        }
        Ok(())
    }

    /// A channel that the bot sees and may do something in.
    pub(super) fn channel_for(&self, id: Id, wanted: u64) -> Result<Channel, Refusal> {
        let channel = self.channels.get(&id).ok_or_else(|| Refusal::unknown(10003, "Channel"))?;
        let has = self.permissions(self.bot, channel);
        if has & may::VIEW_CHANNEL == 0 {
            Err(Refusal::missing_access())
        } else if has & wanted != wanted {
            Err(Refusal::missing_permissions())
        } else {
            Ok(channel.clone())
        }
    }

    /// A message that everybody in its channel sees.
    pub(super) fn public_message(&self, channel: Id, id: Id) -> Result<&Message, Refusal> {
        let message = self.messages.get(&id).filter(|message| message.channel == channel && !message.deleted);
        message.filter(|message| message.private_to.is_none()).ok_or_else(|| Refusal::unknown(10008, "Message"))
    }

    /// `POST /channels/{id}/messages`.
    pub(super) fn post_message(&mut self, channel: Id, body: &Value) -> Result<Value, Refusal> {
        let seen = self.channel_for(channel, 0)?;
        let mut wanted = if seen.is_thread() { may::SEND_MESSAGES_IN_THREADS } else { may::SEND_MESSAGES };
        if body["embeds"].as_array().is_some_and(|embeds| !embeds.is_empty()) {
            wanted |= may::EMBED_LINKS;
        }
        self.channel_for(channel, wanted)?;
        limits::message(body, false)?;
        self.guard_mentions(body, "POST message");
        let reference = &body["message_reference"];
        if let Some(answered) = reference["message_id"].as_str().and_then(|id| id.parse().ok()) {
            self.public_message(channel, answered)?;
        }
        let nonce = nonce_of(body);
        let enforced = body["enforce_nonce"] == true;
        if nonce.is_none() || !enforced {
            self.careless.push(format!("POST message without an enforced nonce: {}", body["content"]));
        }
        let remembered = nonce.clone().filter(|_| enforced).and_then(|nonce| self.nonces.get(&(self.bot, nonce)));
        if let Some(before) = remembered.and_then(|id| self.messages.get(id)).filter(|before| self.now() < before.at + NONCE_MEMORY) {
            return Ok(self.show_message(before));
        }
        self.open_thread(channel)?;
        let message = Message { nonce: nonce.clone(), ..self.draft(channel, body) };
        let id = self.put_message(message, &body["allowed_mentions"], Unsaid::Everything);
        nonce.map(|nonce| self.nonces.insert((self.bot, nonce), id));
        Ok(self.messages.get(&id).map(|message| self.show_message(message)).unwrap_or_default())
    }

    /// Writing into an archived thread opens it again, unless it is locked.
    fn open_thread(&mut self, id: Id) -> Result<(), Refusal> {
        match self.channels.get_mut(&id).filter(|channel| channel.is_thread()) {
            Some(thread) if thread.locked => Err(Refusal::new(403, 160005, "Thread is locked")),
            Some(thread) => {
                thread.archived = false;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// `PATCH /channels/{id}/messages/{id}`.
    pub(super) fn edit_message(&mut self, channel: Id, id: Id, body: &Value) -> Result<Value, Refusal> {
        let seen = self.channel_for(channel, 0)?;
        let message = self.public_message(channel, id)?.clone();
        if message.author != self.bot {
            return Err(Refusal::new(403, 50005, "Cannot edit a message authored by another user"));
        }
        if seen.archived {
            return Err(Refusal::new(400, 50083, "Thread is archived"));
        }
        if body["embeds"].as_array().is_some_and(|embeds| !embeds.is_empty()) {
            self.channel_for(channel, may::EMBED_LINKS)?;
        }
        limits::message(body, true)?;
        self.guard_mentions(body, "PATCH message");
        if self.now() > message.at + OLD {
            if message.late_edits >= LATE_EDITS_MAX {
                let text = "Maximum number of edits to messages older than 1 hour reached. Try again later.";
                return Err(Refusal { more: vec![("retry_after", json!(600.0))], ..Refusal::new(429, 30046, text) });
            }
            self.messages.entry(id).and_modify(|message| message.late_edits += 1);
        }
        self.edit_fields(id, body)?;
        Ok(self.messages.get(&id).map(|message| self.show_message(message)).unwrap_or_default())
    }

    /// `DELETE /channels/{id}/messages/{id}`.
    pub(super) fn delete_message(&mut self, channel: Id, id: Id) -> Result<(), Refusal> {
        self.channel_for(channel, 0)?;
        if self.public_message(channel, id)?.author != self.bot {
            self.channel_for(channel, may::MANAGE_MESSAGES)?;
        }
        self.messages.entry(id).and_modify(|message| message.deleted = true);
        self.tell_message("MESSAGE_DELETE", channel, json!({ "id": id, "channel_id": channel }));
        Ok(())
    }

    /// `GET /channels/{id}/messages`: newest first.
    pub(super) fn list_messages(&self, channel: Id, (limit, before, after): (usize, Option<Id>, Option<Id>)) -> Result<Value, Refusal> {
        self.channel_for(channel, may::READ_MESSAGE_HISTORY)?;
        let public = |message: &&Message| message.channel == channel && !message.deleted && message.private_to.is_none();
        let between = |message: &&Message| before.is_none_or(|id| message.id < id) && after.is_none_or(|id| message.id > id);
        let found = self.messages.values().rev().filter(public).filter(between).take(limit.clamp(1, 100));
        Ok(found.map(|message| self.show_message(message)).collect())
    }

    /// `POST /channels/{id}/messages/{id}/threads`, or without a message.
    pub(super) fn begin_thread(&mut self, channel: Id, message: Option<Id>, body: &Value) -> Result<Value, Refusal> {
        let parent = self.channel_for(channel, may::CREATE_PUBLIC_THREADS)?;
        if parent.kind != TEXT {
            return Err(Refusal::new(400, 50024, "Cannot execute action on this channel type").breaks(Rule::Form));
        }
        let mut findings = Findings::default();
        findings.text("name", body.get("name"), (1, 100));
        if let Some(minutes) = body["auto_archive_duration"].as_u64().filter(|minutes| ![60, 1_440, 4_320, 10_080].contains(minutes)) {
            findings.add("auto_archive_duration", "BASE_TYPE_CHOICES", format!("{minutes} is not one of (60, 1440, 4320, 10080)"));
        }
        findings.done()?;
        if let Some(id) = message
            && self.public_message(channel, id)?.thread.is_some()
        {
            return Err(Refusal::new(400, 160004, "A thread has already been created for this message"));
        }
        let name = body["name"].as_str().unwrap_or_default();
        let thread = self.add_channel(parent.guild, name, PUBLIC_THREAD, Some(channel));
        // A thread of a message has the message's id.
        let thread = match message.and_then(|id| self.channels.remove(&thread).map(|found| (id, found))) {
            Some((id, found)) => {
                self.messages.entry(id).and_modify(|message| message.thread = Some(id));
                self.put_channel(Channel { id, ..found })
            }
            None => thread,
        };
        let shown = self.channels.get(&thread).map(|thread| self.show_channel(thread)).unwrap_or_default();
        self.tell_guild("THREAD_CREATE", &shown);
        Ok(shown)
    }

    /// `PATCH /channels/{id}`: of a thread its name, archive and lock; of a channel its name.
    pub(super) fn change_channel(&mut self, id: Id, body: &Value) -> Result<Value, Refusal> {
        let channel = self.channel_for(id, 0)?;
        let mut findings = Findings::default();
        if body["name"].is_string() {
            findings.text("name", body.get("name"), (1, 100));
        }
        findings.done()?;
        let locks = body["locked"].as_bool().is_some_and(|locked| locked != channel.locked);
        if !channel.is_thread() {
            return Err(Refusal::missing_permissions());
        } else if locks {
            self.channel_for(id, may::MANAGE_THREADS)?;
        } else if channel.archived && body["archived"] != false {
            return Err(Refusal::new(400, 50083, "Thread is archived"));
        }
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.name = body["name"].as_str().unwrap_or(&channel.name).to_owned();
            channel.archived = body["archived"].as_bool().unwrap_or(channel.archived);
            channel.locked = body["locked"].as_bool().unwrap_or(channel.locked);
        }
        let shown = self.channels.get(&id).map(|channel| self.show_channel(channel)).unwrap_or_default();
        self.tell_guild("THREAD_UPDATE", &shown);
        Ok(shown)
    }
}

/// Embeds as they come back: bots' are "rich".
fn embeds(list: &Value) -> Vec<Value> {
    let rich = |embed: &Value| {
        let mut embed = embed.clone();
        embed["type"] = json!("rich");
        embed
    };
    list.as_array().into_iter().flatten().map(rich).collect()
}

fn nonce_of(body: &Value) -> Option<String> {
    match &body["nonce"] {
        Value::String(nonce) => Some(nonce.clone()),
        Value::Number(nonce) => Some(nonce.to_string()),
        _ => None,
    }
}
