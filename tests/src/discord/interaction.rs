//! Interactions: what a person does, what the bot answers, and Discord's rules between the two.

use super::Id;
use super::limits;
use super::refusal::{Refusal, Rule};
use super::state::{Message, State};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// An interaction must be acknowledged in this time.
pub const ACK_LIMIT: Duration = Duration::from_secs(3);
/// An interaction's token is good for this long.
pub const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);
/// Only the person sees the message.
pub(super) const EPHEMERAL: u64 = 1 << 6;
/// "… is thinking".
pub(super) const LOADING: u64 = 1 << 7;

/// What a person did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A slash command.
    Command,
    /// A button or a select.
    Component,
    /// Typing in an option.
    Autocomplete,
    /// Sending a modal.
    Modal,
}

impl Kind {
    /// As the interface counts them.
    pub fn number(self) -> u8 {
        match self {
            Kind::Command => 2,
            Kind::Component => 3,
            Kind::Autocomplete => 4,
            Kind::Modal => 5,
        }
    }
}

/// How the bot acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The callback's type: 4 message, 5 "is thinking", 6 nothing yet, 7 edit, 8 choices, 9 modal.
    pub kind: u64,
    /// How long it took in real time.
    pub after: Duration,
}

/// An interaction.
#[derive(Debug, Clone)]
pub(super) struct Interaction {
    pub id: Id,
    pub token: String,
    pub kind: Kind,
    pub guild: Option<Id>,
    pub channel: Id,
    pub user: Id,
    pub created: Duration,
    pub born: Instant,
    pub payload: Value,
    /// The message with the button, or the one below the modal.
    pub source: Option<Id>,
    pub ack: Option<Ack>,
    /// The message that `@original` means.
    pub original: Option<Id>,
    pub followups: Vec<Id>,
    pub choices: Option<Vec<Value>>,
    pub modal: Option<Value>,
    /// A "thinking" that nobody has replaced yet.
    pub waiting: bool,
    /// Type of the option that is being typed.
    pub option_type: u64,
    /// A session got it in time, and no fault stood between the bot and its acknowledgement.
    pub excused: bool,
    pub late_noted: bool,
}

impl State {
    /// Notes the interactions that nobody acknowledged in time, and whose token is dead since.
    pub(super) fn note_late(&mut self) {
        let now = self.now();
        let late = |one: &Interaction| one.ack.is_none() && !one.late_noted && !one.excused && now > one.created + ACK_LIMIT;
        let mut notes = Vec::new();
        for interaction in self.interactions.values_mut().filter(|one| late(one)) {
            interaction.late_noted = true;
            notes.push(format!("{:?} {} was not acknowledged within three seconds", interaction.kind, interaction.id));
        }
        notes.into_iter().for_each(|note| self.breaks(Rule::AckInTime, note));
    }

    /// `POST /interactions/{id}/{token}/callback`.
    pub(super) fn callback(&mut self, id: Id, token: &str, body: &Value) -> Result<Value, Refusal> {
        let now = self.now();
        let unknown = || Refusal::unknown(10062, "interaction");
        let interaction = self.interactions.get(&id).filter(|one| one.token == token).ok_or_else(|| unknown().breaks(Rule::Route))?.clone();
        if interaction.ack.is_some() {
            let refusal = Refusal::new(400, 40060, "Interaction has already been acknowledged.");
            return Err(if interaction.excused { refusal } else { refusal.breaks(Rule::AckOnce) });
        }
        if now > interaction.created + ACK_LIMIT {
            self.note_late();
            return Err(unknown());
        }
        let kind = body["type"].as_u64().unwrap_or_default();
        self.may_answer(&interaction, kind)?;
        let data = body.get("data").cloned().unwrap_or_else(|| json!({}));
        match kind {
            4 => self.answer_with_message(&interaction, &data)?,
            5 => self.think(&interaction, &data),
            6 => self.change(id, |one| one.original = one.source),
            7 => self.answer_with_edit(&interaction, &data)?,
            8 => {
                limits::choices(&data, interaction.option_type)?;
                let choices = data["choices"].as_array().cloned();
                self.change(id, |one| one.choices = choices);
            }
            _ => {
                limits::modal(&data)?;
                self.change(id, |one| one.modal = Some(data.clone()));
            }
        }
        let after = interaction.born.elapsed();
        self.change(id, |one| one.ack = Some(Ack { kind, after }));
        Ok(self.callback_answer(id, kind))
    }

    fn change(&mut self, id: Id, how: impl FnOnce(&mut Interaction)) {
        if let Some(interaction) = self.interactions.get_mut(&id) {
            how(interaction);
        }
    }

    fn may_answer(&self, interaction: &Interaction, kind: u64) -> Result<(), Refusal> {
        let allowed: &[u64] = match interaction.kind {
            Kind::Command => &[4, 5, 9],
            Kind::Component => &[4, 5, 6, 7, 9],
            Kind::Autocomplete => &[8],
            Kind::Modal if interaction.source.is_some() => &[4, 5, 6, 7],
            Kind::Modal => &[4, 5],
        };
        if allowed.contains(&kind) {
            return Ok(());
        }
        let mut findings = super::refusal::Findings::default();
        let message = format!("Interaction callback of type {kind} is not for {:?} (value must be one of {allowed:?}).", interaction.kind);
        findings.add("type", "BASE_TYPE_CHOICES", message);
        findings.done().map_err(|refusal| refusal.breaks(Rule::CallbackKind))
    }

    fn answer_with_message(&mut self, interaction: &Interaction, data: &Value) -> Result<(), Refusal> {
        limits::message(data, false)?;
        let message = self.interaction_message(interaction, data);
        self.change(interaction.id, |one| one.original = Some(message));
        Ok(())
    }

    fn think(&mut self, interaction: &Interaction, data: &Value) {
        let flags = (data["flags"].as_u64().unwrap_or_default() & EPHEMERAL) | LOADING;
        let message = self.interaction_message(interaction, &json!({ "flags": flags }));
        self.change(interaction.id, |one| {
            one.original = Some(message);
            one.waiting = true;
        });
    }

    fn answer_with_edit(&mut self, interaction: &Interaction, data: &Value) -> Result<(), Refusal> {
        limits::message(data, true)?;
        self.guard_mentions(data, "POST callback (edit)");
        let source = interaction.source.ok_or_else(|| Refusal::unknown(10008, "Message"))?;
        self.edit_fields(source, data)?;
        self.change(interaction.id, |one| one.original = Some(source));
        Ok(())
    }

    /// Makes a message of an interaction: only the person sees it, or everybody.
    fn interaction_message(&mut self, interaction: &Interaction, data: &Value) -> Id {
        let flags = data["flags"].as_u64().unwrap_or_default();
        let private_to = (flags & EPHEMERAL != 0).then_some(interaction.user);
        if flags & LOADING == 0 {
            self.guard_mentions(data, "an interaction's message");
        }
        let message = Message { interaction: Some(interaction.id), private_to, flags, ..self.draft(interaction.channel, data) };
        self.put_message(message, &data["allowed_mentions"], super::mentions::Unsaid::UsersOnly)
    }

    fn callback_answer(&self, id: Id, kind: u64) -> Value {
        let Some(interaction) = self.interactions.get(&id) else { return json!({}) };
        let message = interaction.original.and_then(|id| self.messages.get(&id));
        let mut about = json!({ "id": id, "type": interaction.kind.number() });
        let mut resource = json!({ "type": kind });
        if let Some(message) = message {
            about["response_message_id"] = json!(message.id);
            about["response_message_loading"] = json!(message.flags & LOADING != 0);
            about["response_message_ephemeral"] = json!(message.flags & EPHEMERAL != 0);
            if matches!(kind, 4 | 7) {
                resource["message"] = self.show_message(message);
            }
        }
        json!({ "interaction": about, "resource": resource })
    }

    /// The interaction of a webhook token, if it may still be used.
    pub(super) fn of_token(&self, token: &str) -> Result<Interaction, Refusal> {
        let interaction = self.tokens.get(token).and_then(|id| self.interactions.get(id));
        let interaction = interaction.filter(|one| one.ack.is_some()).ok_or_else(|| Refusal::unknown(10015, "Webhook"))?;
        if self.now() > interaction.created + TOKEN_LIFE {
            return Err(Refusal::new(401, 50027, "Invalid Webhook Token").breaks(Rule::TokenAge));
        }
        Ok(interaction.clone())
    }

    /// The message that a webhook path means.
    pub(super) fn of_webhook(&self, token: &str, message: &str) -> Result<Id, Refusal> {
        let interaction = self.of_token(token)?;
        let unknown = || Refusal::unknown(10008, "Message");
        let id = if message == "@original" {
            interaction.original.ok_or_else(unknown)?
        } else {
            let id: Id = message.parse().map_err(|()| unknown())?;
            let own = interaction.followups.contains(&id) || interaction.original == Some(id);
            if own { id } else { return Err(unknown()) }
        };
        self.messages.get(&id).filter(|message| !message.deleted).map(|message| message.id).ok_or_else(unknown)
    }

    /// `PATCH /webhooks/{application}/{token}/messages/…`.
    pub(super) fn edit_webhook(&mut self, token: &str, message: &str, body: &Value) -> Result<Value, Refusal> {
        let (interaction, id) = (self.of_token(token)?, self.of_webhook(token, message)?);
        limits::message(body, true)?;
        self.guard_mentions(body, "an edit of an interaction's message");
        self.edit_fields(id, body)?;
        self.answered(interaction.id, id);
        Ok(self.messages.get(&id).map(|message| self.show_message(message)).unwrap_or_default())
    }

    /// `POST /webhooks/{application}/{token}`: a message more; the first after a "thinking" replaces it.
    pub(super) fn follow_up(&mut self, token: &str, body: &Value) -> Result<Value, Refusal> {
        let interaction = self.of_token(token)?;
        limits::message(body, false)?;
        let id = match interaction.original.filter(|_| interaction.waiting) {
            Some(original) => {
                self.careless.push("a follow-up replaced the deferred answer: edit @original instead".to_owned());
                self.edit_fields(original, body)?;
                self.answered(interaction.id, original);
                original
            }
            None => {
                let id = self.interaction_message(&interaction, body);
                self.change(interaction.id, |one| one.followups.push(id));
                id
            }
        };
        Ok(self.messages.get(&id).map(|message| self.show_message(message)).unwrap_or_default())
    }

    /// A "thinking" message became an answer.
    fn answered(&mut self, interaction: Id, message: Id) {
        self.change(interaction, |one| one.waiting &= one.original != Some(message));
        if let Some(message) = self.messages.get_mut(&message) {
            message.flags &= !LOADING;
        }
    }
}
