//! People at the keyboard: they give commands, type in options, press buttons, choose, and send modals. What they do
//! arrives at the bot as Discord sends it.

use super::commands::Registered;
use super::interaction::{Interaction, Kind};
use super::state::{State, merge};
use super::views::{Doing, Modal, Seen};
use super::{Discord, Id};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::time::Instant;

/// Where a person acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a channel or thread of a guild.
    Guild {
        /// The guild.
        guild: Id,
        /// The channel.
        channel: Id,
    },
    /// In direct conversation with the bot.
    Direct {
        /// The conversation.
        channel: Id,
    },
}

/// Does an event say who?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    Person,
    Nobody,
}

impl Place {
    fn channel(self) -> Id {
        match self {
            Place::Guild { channel, .. } | Place::Direct { channel } => channel,
        }
    }

    fn guild(self) -> Option<Id> {
        match self {
            Place::Guild { guild, .. } => Some(guild),
            Place::Direct { .. } => None,
        }
    }
}

/// A person in a place.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    pub(super) discord: &'a Discord,
    /// The person's id.
    pub user: Id,
    /// Where the person acts.
    pub place: Place,
}

/// A slash command with its options, as typed: `Slash::of("/rollback").with("stack", "shop")`.
#[derive(Debug, Clone, PartialEq)]
pub struct Slash {
    name: String,
    options: Vec<(String, Value)>,
}

impl Slash {
    /// A command without options; a subcommand stands behind a blank.
    pub fn of(name: &str) -> Slash {
        Slash { name: name.trim_start_matches('/').to_owned(), options: Vec::new() }
    }

    /// One option more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Slash {
        self.options.push((name.to_owned(), value.into()));
        self
    }

    /// The option that was typed last.
    pub fn last_option(&self) -> Option<&str> {
        self.options.last().map(|(name, _)| name.as_str())
    }

    /// Reads what a person types: `/rollback stack:shop to:41 reason:the prices are wrong`.
    pub fn typed(line: &str) -> Slash {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let mut slash = Slash::of(words.next().unwrap_or_default());
        for word in words {
            let named =
                word.split_once(':').filter(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_".contains(c)));
            match (named, slash.options.last_mut()) {
                (Some((name, value)), _) => slash.options.push((name.to_owned(), json!(value))),
                (None, Some((_, Value::String(value)))) => value.push_str(&format!(" {word}")),
                (None, _) => slash.name.push_str(&format!(" {word}")),
            }
        }
        slash
    }
}

impl<'a> Person<'a> {
    /// The same person in another channel or thread of the guild.
    #[must_use]
    pub fn in_channel(self, channel: Id) -> Person<'a> {
        let place = match self.place {
            Place::Guild { guild, .. } => Place::Guild { guild, channel },
            Place::Direct { .. } => Place::Direct { channel },
        };
        Person { place, ..self }
    }

    /// Types a command and sends it.
    pub fn says(self, line: &str) -> Result<Doing<'a>> {
        self.slash(&Slash::typed(line))
    }

    /// Sends a command, checked against its registration as Discord's own client does.
    pub fn slash(self, slash: &Slash) -> Result<Doing<'a>> {
        let data = self.discord.shared.with(|state| state.command_data(self.place.guild(), slash, None))?;
        self.act(Kind::Command, &data, None)
    }

    /// Sends a command as no client would: unchecked, as a forger may. The command need not exist.
    pub fn forge_slash(self, data: &Value) -> Result<Doing<'a>> {
        self.act(Kind::Command, data, None)
    }

    /// Types in an option; what was chosen so far stands before.
    pub fn types(self, slash: &Slash, option: &str) -> Result<Doing<'a>> {
        let data = self.discord.shared.with(|state| state.command_data(self.place.guild(), slash, Some(option)))?;
        self.act(Kind::Autocomplete, &data, None)
    }

    /// Presses a button that can be seen and is not grey; named by its label or its id.
    pub fn press(self, message: &Seen, button: &str) -> Result<Doing<'a>> {
        let now = self.discord.seen(message.id).context("the message is gone")?;
        ensure!(now.private_to.is_none_or(|to| to == self.user), "this person does not see the message");
        let found = now.buttons().into_iter().find(|known| known.label == button || known.custom_id.as_deref() == Some(button));
        let found = found.with_context(|| format!("no button `{button}` on:\n{}", now.text()))?;
        ensure!(!found.disabled, "the button `{button}` is disabled");
        self.forge_press(now.id, found.custom_id.as_deref().context("a link")?)
    }

    /// Presses what need not be there any more: a stale, replayed or forged button.
    pub fn forge_press(self, message: Id, custom_id: &str) -> Result<Doing<'a>> {
        self.act(Kind::Component, &json!({ "custom_id": custom_id, "component_type": 2 }), Some(message))
    }

    /// Chooses in a select menu.
    pub fn choose(self, message: &Seen, custom_id: &str, values: &[&str]) -> Result<Doing<'a>> {
        let data = json!({ "custom_id": custom_id, "component_type": 3, "values": values });
        self.act(Kind::Component, &data, Some(message.id))
    }

    /// Fills a modal and sends it.
    pub fn submits(self, modal: &Modal, fields: &[(&str, &str)]) -> Result<Doing<'a>> {
        self.act(Kind::Modal, &modal.filled(fields)?, modal.source)
    }

    /// Sends a modal that was never opened.
    pub fn forge_modal(self, data: &Value, source: Option<Id>) -> Result<Doing<'a>> {
        self.act(Kind::Modal, data, source)
    }

    /// Sends a command of which Discord does not say who gave it.
    pub fn nobody_says(self, data: &Value) -> Result<Doing<'a>> {
        let begin = |state: &mut State| state.begin_interaction(self.user, self.place, (Kind::Command, data, None), With::Nobody);
        let id = self.discord.shared.changing(begin)?;
        Ok(Doing { discord: self.discord, id })
    }

    fn act(self, kind: Kind, data: &Value, source: Option<Id>) -> Result<Doing<'a>> {
        let id =
            self.discord.shared.changing(|state| state.begin_interaction(self.user, self.place, (kind, data, source), With::Person))?;
        Ok(Doing { discord: self.discord, id })
    }
}

impl State {
    fn begin_interaction(&mut self, user: Id, place: Place, (kind, data, source): (Kind, &Value, Option<Id>), with: With) -> Result<Id> {
        let id = self.clock.id();
        let token = format!("aW50ZXJhY3Rpb246{}{:016x}", id, rand::random::<u64>());
        let mut payload = json!({
            "id": id, "application_id": self.application, "type": kind.number(), "token": token, "version": 1, "data": data,
            "locale": "en-GB", "entitlements": [], "attachment_size_limit": 10_485_760,
        });
        self.fill_place(&mut payload, user, place)?;
        if with == With::Nobody
            && let Some(fields) = payload.as_object_mut()
        {
            fields.remove("member");
            fields.remove("user");
        }
        let shown = source.map(|source| self.messages.get(&source).map(|message| self.show_message(message)).context("no such message"));
        if let Some(shown) = shown.transpose()? {
            payload["message"] = shown;
        }
        let option_type = focused(data).and_then(|option| option["type"].as_u64()).unwrap_or(3);
        let interaction = Interaction {
            id,
            token: token.clone(),
            kind,
            guild: place.guild(),
            channel: place.channel(),
            user,
            created: self.now(),
            born: Instant::now(),
            payload: payload.clone(),
            source,
            ack: None,
            original: None,
            followups: Vec::new(),
            choices: None,
            modal: None,
            waiting: false,
            option_type,
            // Who is not there, or is being fooled about the line, cannot answer.
            excused: !self.sessions.anybody() || self.sessions.trouble.no_acks,
            late_noted: false,
        };
        self.interactions.insert(id, interaction);
        self.tokens.insert(token, id);
        self.tell(0, "INTERACTION_CREATE", &payload);
        Ok(id)
    }

    fn fill_place(&self, payload: &mut Value, user: Id, place: Place) -> Result<()> {
        let channel = self.channels.get(&place.channel()).context("no such channel")?;
        let mut shown = self.show_channel(channel);
        let app = self.permissions(self.bot, channel).to_string();
        let mut more = json!({ "channel_id": channel.id, "app_permissions": app });
        let guild = place.guild().map(|guild| self.guilds.get(&guild).context("no such guild")).transpose()?;
        match guild {
            Some(guild) => {
                let mut member = self.show_member(guild, user).context("no member of the guild")?;
                let permissions = self.permissions(user, channel).to_string();
                member["permissions"] = json!(permissions);
                shown["permissions"] = json!(permissions);
                let about = json!({
                    "guild_id": guild.id, "guild": { "id": guild.id, "locale": "en-US", "features": [] }, "guild_locale": "en-US",
                    "member": member, "context": 0, "authorizing_integration_owners": { "0": guild.id },
                });
                merge(&mut more, about);
            }
            None => merge(&mut more, json!({ "user": self.show_user(user), "context": 1, "authorizing_integration_owners": { "0": "0" } })),
        }
        merge(&mut more, json!({ "channel": shown }));
        merge(payload, more);
        Ok(())
    }

    /// The data of a command as a client sends it, or why a client would not. `focus`: the option that is being typed.
    fn command_data(&self, guild: Option<Id>, slash: &Slash, focus: Option<&str>) -> Result<Value> {
        let mut words = slash.name.split(' ');
        let name = words.next().unwrap_or_default();
        let Registered { id, scope, shown } = self.find_command(guild, name).with_context(|| format!("no command /{name} here"))?;
        ensure!(guild.is_some() || scope.is_none(), "commands of a guild are not there in direct conversation");
        let mut known = shown;
        let mut path = Vec::new();
        for word in words {
            known = known["options"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|option| option["name"] == word && matches!(option["type"].as_u64(), Some(1 | 2)))
                .with_context(|| format!("/{name} has no `{word}`"))?;
            path.push(known);
        }
        let mut options = typed_options(known, &slash.options, focus)?;
        for nested in path.into_iter().rev() {
            options = json!([{ "name": nested["name"], "type": nested["type"], "options": options }]);
        }
        let mut data = json!({ "id": id, "name": name, "type": 1, "options": options, "resolved": self.resolved(guild, &slash.options) });
        if let Some(guild) = scope {
            data["guild_id"] = json!(guild);
        }
        Ok(data)
    }

    /// Users named in options, as Discord sends them along.
    fn resolved(&self, guild: Option<Id>, options: &[(String, Value)]) -> Value {
        let mut resolved = json!({});
        let named = options.iter().filter_map(|(_, value)| value.as_str()?.parse::<Id>().ok()).filter(|id| self.users.contains_key(id));
        for id in named {
            resolved["users"][id.to_string()] = self.show_user(id);
            if let Some(member) = guild.and_then(|guild| self.guilds.get(&guild)).and_then(|guild| self.show_member(guild, id)) {
                resolved["members"][id.to_string()] = member;
            }
        }
        resolved
    }
}

/// The option that is being typed.
fn focused(data: &Value) -> Option<&Value> {
    data["options"].as_array()?.iter().find_map(|option| if option["focused"] == true { Some(option) } else { focused(option) })
}

/// Options by the registration: their types, their choices, and that none is missing.
fn typed_options(known: &Value, given: &[(String, Value)], focus: Option<&str>) -> Result<Value> {
    let all: Vec<&Value> = known["options"].as_array().into_iter().flatten().collect();
    let mut typed = Vec::new();
    for (name, value) in given {
        let option = all.iter().find(|option| option["name"] == *name).with_context(|| format!("no option `{name}` in {known}"))?;
        let focused = focus == Some(name);
        let mut one = json!({ "name": name, "type": option["type"], "value": converted(option, value, focused)? });
        if focused {
            ensure!(option["autocomplete"] == true, "`{name}` has no autocompletion");
            one["focused"] = json!(true);
        }
        typed.push(one);
    }
    if focus.is_none() {
        let missing = all.iter().find(|option| option["required"] == true && !given.iter().any(|(name, _)| option["name"] == *name));
        if let Some(missing) = missing {
            bail!("the option {} is required", missing["name"]);
        }
    }
    Ok(json!(typed))
}

fn converted(option: &Value, value: &Value, focused: bool) -> Result<Value> {
    let text = value.as_str();
    // What is half typed is sent as it stands.
    let value = match (option["type"].as_u64(), text) {
        _ if focused => value.clone(),
        (Some(4), Some(text)) => json!(text.parse::<i64>().with_context(|| format!("{} wants a number", option["name"]))?),
        (Some(5), Some(text)) => json!(text.parse::<bool>()?),
        (Some(10), Some(text)) => json!(text.parse::<f64>()?),
        _ => value.clone(),
    };
    let length = text.map_or(0, |text| text.chars().count());
    let max = option["max_length"].as_u64().map_or(6_000, |max| usize::try_from(max).unwrap_or(6_000));
    ensure!(length <= max, "{} is longer than {max}", option["name"]);
    let choices = option["choices"].as_array().filter(|choices| !choices.is_empty());
    if let Some(choices) = choices {
        ensure!(choices.iter().any(|choice| choice["value"] == value), "{value} is no choice of {}", option["name"]);
    }
    Ok(value)
}
