//! Every route of the interface that this server has.

use super::super::Id;
use super::super::permissions as may;
use super::super::refusal::{Refusal, Rule};
use super::super::state::{DIRECT, State, show_role};
use super::{Answered, Asked};
use serde_json::{Value, json};

fn ok(body: Value) -> Result<Answered, Refusal> {
    Ok(Answered { status: 200, body: Some(body) })
}

fn done() -> Result<Answered, Refusal> {
    Ok(Answered { status: 204, body: None })
}

fn id(text: &str) -> Result<Id, Refusal> {
    text.parse().map_err(|()| Refusal::new(400, 50035, &format!("Value \"{text}\" is not snowflake.")).breaks(Rule::Form))
}

impl State {
    /// Does what a request asks.
    pub(super) fn route(&mut self, asked: &Asked) -> Result<Answered, Refusal> {
        let segments = asked.segments();
        match (asked.method.as_str(), segments[..].split_first()) {
            (_, Some((&"channels", rest))) => self.channels_route(asked, rest),
            (_, Some((&"guilds", rest))) => self.guilds_route(asked, rest),
            (_, Some((&"applications", rest))) => self.applications_route(asked, rest),
            (_, Some((&"webhooks", rest))) => self.webhooks_route(asked, rest),
            ("POST", Some((&"interactions", &[interaction, token, "callback"]))) => {
                let answer = self.callback(id(interaction)?, token, &asked.body)?;
                let wanted = matches!(asked.query("with_response"), Some("1" | "true" | "True"));
                if wanted { ok(answer) } else { done() }
            }
            ("GET", Some((&"gateway", rest))) => self.gateway_route(rest),
            ("GET", Some((&"oauth2", &["applications", "@me"]))) => ok(self.show_application()),
            (_, Some((&"users", rest))) => self.users_route(asked, rest),
            _ => Err(Refusal::no_route()),
        }
    }

    fn gateway_route(&mut self, rest: &[&str]) -> Result<Answered, Refusal> {
        match rest {
            [] => ok(json!({ "url": self.gateway_url })),
            ["bot"] => {
                let now = self.now();
                let limit = self.sessions.budget.show(now);
                ok(json!({ "url": self.gateway_url, "shards": 1, "session_start_limit": limit }))
            }
            _ => Err(Refusal::no_route()),
        }
    }

    fn users_route(&mut self, asked: &Asked, rest: &[&str]) -> Result<Answered, Refusal> {
        match (asked.method.as_str(), rest) {
            ("GET", ["@me"]) => ok(self.show_user(self.bot)),
            ("GET", ["@me", "guilds"]) => {
                let mine = self.guilds.values().filter(|guild| guild.members.contains_key(&self.bot));
                ok(mine.map(|guild| json!({ "id": guild.id, "name": guild.name, "icon": null, "owner": false, "permissions": "0", "features": [] })).collect())
            }
            ("DELETE", ["@me", "guilds", guild]) => {
                let (guild, bot) = (id(guild)?, self.bot);
                let left = self.guilds.get_mut(&guild).and_then(|guild| guild.members.remove(&bot));
                left.map_or_else(|| Err(Refusal::unknown(10004, "Guild")), |_| done())
            }
            ("POST", ["@me", "channels"]) => {
                let user = id(asked.body["recipient_id"].as_str().unwrap_or_default())?;
                let name = format!("direct-{user}");
                let known = self.channels.values().find(|channel| channel.name == name).map(|channel| channel.id);
                let channel = known.unwrap_or_else(|| self.add_channel(None, &name, DIRECT, None));
                ok(self.channels.get(&channel).map(|channel| self.show_channel(channel)).unwrap_or_default())
            }
            ("GET", [user]) => {
                let user = id(user)?;
                if self.users.contains_key(&user) { ok(self.show_user(user)) } else { Err(Refusal::unknown(10013, "User")) }
            }
            _ => Err(Refusal::no_route()),
        }
    }

    pub(in super::super) fn show_application(&self) -> Value {
        let owner = self.guilds.values().next().map_or(self.bot, |guild| guild.owner);
        json!({
            "id": self.application, "name": "tidegate", "icon": null, "description": "", "summary": "", "bot_public": false,
            "bot_require_code_grant": false, "verify_key": "0".repeat(64), "flags": self.sessions.flags(), "owner": self.show_user(owner),
            "team": null, "bot": self.show_user(self.bot), "hook": true, "type": null, "rpc_origins": [], "tags": [],
            "integration_types_config": { "0": {} }, "approximate_guild_count": self.guilds.len(), "redirect_uris": [],
            "interactions_endpoint_url": null, "role_connections_verification_url": null,
        })
    }

    fn guild_for(&self, guild: &str) -> Result<Id, Refusal> {
        let guild = id(guild)?;
        let known = self.guilds.get(&guild).ok_or_else(|| Refusal::unknown(10004, "Guild"))?;
        if known.members.contains_key(&self.bot) { Ok(guild) } else { Err(Refusal::missing_access()) }
    }

    fn guilds_route(&mut self, asked: &Asked, rest: &[&str]) -> Result<Answered, Refusal> {
        let Some((guild, rest)) = rest.split_first() else { return Err(Refusal::no_route()) };
        let guild_id = self.guild_for(guild)?;
        let guild = self.guilds.get(&guild_id).ok_or_else(|| Refusal::unknown(10004, "Guild"))?;
        let seen = |threads: bool| -> Value {
            let here = self.channels.values().filter(|channel| channel.guild == Some(guild_id) && channel.is_thread() == threads);
            let here = here.filter(|channel| !threads || !channel.archived);
            // The list of channels has those that the bot does not see, too; of threads only what it sees.
            let here = here.filter(|channel| !threads || self.permissions(self.bot, channel) & may::VIEW_CHANNEL != 0);
            here.map(|channel| self.show_channel(channel)).collect()
        };
        match (asked.method.as_str(), rest) {
            ("GET", []) => ok(self.show_guild(guild)),
            ("GET", ["channels"]) => ok(seen(false)),
            ("GET", ["threads", "active"]) => ok(json!({ "threads": seen(true), "members": [] })),
            ("GET", ["roles"]) => ok(guild.roles.values().enumerate().map(|(at, role)| show_role(role, at)).collect()),
            ("GET", ["roles", role]) => {
                let role = guild.roles.get(&id(role)?).ok_or_else(|| Refusal::unknown(10011, "Role"))?;
                ok(show_role(role, 1))
            }
            ("GET", ["members", user]) => {
                let user = if *user == "@me" { self.bot } else { id(user)? };
                ok(self.show_member(guild, user).ok_or_else(|| Refusal::unknown(10007, "Member"))?)
            }
            ("GET", ["members"]) if !self.sessions.may_list_members() => Err(Refusal::missing_access()),
            ("GET", ["members"]) => ok(guild.members.keys().filter_map(|user| self.show_member(guild, *user)).collect()),
            _ => Err(Refusal::no_route()),
        }
    }

    fn applications_route(&mut self, asked: &Asked, rest: &[&str]) -> Result<Answered, Refusal> {
        if let ("GET" | "PATCH", ["@me"]) = (asked.method.as_str(), rest) {
            return ok(self.show_application());
        }
        let Some((application, rest)) = rest.split_first() else { return Err(Refusal::no_route()) };
        if id(application)? != self.application {
            return Err(Refusal::unknown(10002, "Application").breaks(Rule::Route));
        }
        let (scope, rest) = match rest {
            ["guilds", guild, "commands", rest @ ..] => (Some(self.guild_for(guild)?), rest),
            ["commands", rest @ ..] => (None, rest),
            _ => return Err(Refusal::no_route()),
        };
        let unknown = || Refusal::unknown(10063, "application command");
        let at = |state: &State, command: &str| -> Result<usize, Refusal> {
            let command = id(command)?;
            state.commands.iter().position(|known| known.id == command && known.scope == scope).ok_or_else(unknown)
        };
        match (asked.method.as_str(), rest) {
            ("GET", []) => ok(Value::Array(self.commands_in(scope))),
            ("PUT", []) => {
                let bodies = asked.body.as_array().ok_or_else(|| Refusal::new(400, 50035, "Invalid Form Body").breaks(Rule::Form))?;
                ok(Value::Array(self.overwrite_commands(scope, bodies)?))
            }
            ("POST", []) => self.upsert_command(scope, &asked.body).map(|(status, body)| Answered { status, body: Some(body) }),
            ("GET", [command]) => ok(self.commands[at(self, command)?].shown.clone()),
            ("PATCH", [command]) => {
                let mut body = self.commands[at(self, command)?].shown.clone();
                super::super::state::merge(&mut body, asked.body.clone());
                ok(self.upsert_command(scope, &body)?.1)
            }
            ("DELETE", [command]) => {
                let at = at(self, command)?;
                self.commands.remove(at);
                done()
            }
            _ => Err(Refusal::no_route()),
        }
    }

    fn channels_route(&mut self, asked: &Asked, rest: &[&str]) -> Result<Answered, Refusal> {
        let Some((channel, rest)) = rest.split_first() else { return Err(Refusal::no_route()) };
        let channel = id(channel)?;
        let body = &asked.body;
        match (asked.method.as_str(), rest) {
            ("GET", []) => {
                let channel = self.channel_for(channel, 0)?;
                ok(self.show_channel(&channel))
            }
            ("PATCH", []) => ok(self.change_channel(channel, body)?),
            ("POST", ["typing"]) => self.channel_for(channel, may::SEND_MESSAGES).and_then(|_| done()),
            ("POST", ["messages"]) => ok(self.post_message(channel, body)?),
            ("GET", ["messages"]) => {
                let place = |key: &str| asked.query(key).and_then(|text| text.parse().ok());
                let limit = asked.query("limit").and_then(|text| text.parse().ok()).unwrap_or(50);
                ok(self.list_messages(channel, (limit, place("before"), place("after")))?)
            }
            ("GET", ["messages", message]) => {
                self.channel_for(channel, may::READ_MESSAGE_HISTORY)?;
                let message = self.public_message(channel, id(message)?)?;
                ok(self.show_message(message))
            }
            ("PATCH", ["messages", message]) => ok(self.edit_message(channel, id(message)?, body)?),
            ("DELETE", ["messages", message]) => self.delete_message(channel, id(message)?).and_then(|()| done()),
            ("POST", ["messages", message, "threads"]) => created(self.begin_thread(channel, Some(id(message)?), body)?),
            ("POST", ["threads"]) => created(self.begin_thread(channel, None, body)?),
            ("PUT" | "DELETE", ["thread-members", "@me"]) => self.channel_for(channel, 0).and_then(|_| done()),
            _ => Err(Refusal::no_route()),
        }
    }

    fn webhooks_route(&mut self, asked: &Asked, rest: &[&str]) -> Result<Answered, Refusal> {
        let [application, token, rest @ ..] = rest else { return Err(Refusal::no_route()) };
        if id(application)? != self.application {
            return Err(Refusal::unknown(10015, "Webhook"));
        }
        match (asked.method.as_str(), rest) {
            ("POST", []) => ok(self.follow_up(token, &asked.body)?),
            ("GET", ["messages", message]) => {
                let found = self.of_webhook(token, message)?;
                ok(self.messages.get(&found).map(|message| self.show_message(message)).unwrap_or_default())
            }
            ("PATCH", ["messages", message]) => ok(self.edit_webhook(token, message, &asked.body)?),
            ("DELETE", ["messages", message]) => {
                let found = self.of_webhook(token, message)?;
                self.messages.entry(found).and_modify(|message| message.deleted = true);
                done()
            }
            _ => Err(Refusal::no_route()),
        }
    }
}

fn created(body: Value) -> Result<Answered, Refusal> {
    Ok(Answered { status: 201, body: Some(body) })
}
