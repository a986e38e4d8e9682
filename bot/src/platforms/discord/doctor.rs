//! Looks at everything that the bot needs on Discord, one after the other, and says how to mend what is wrong. It only
//! reads: it neither posts nor connects, and so costs nothing of the day's introductions.

use super::permissions::{self, ADMINISTRATOR, Channel, ENGINEERS, Guild, MENTION_EVERYONE, Member, STAKEHOLDERS};
use super::rest::{Address, Call, Rest, RestError, Token};
use crate::words::doctor::{Check, Found, Verdict};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate_core::repo::{DiscordChat, Settings, Snowflake};

/// People looked up; more would only try Discord's patience.
const PEOPLE_MAX: usize = 25;
/// Connections that should be left for today.
const STARTS_FEW: u64 = 50;

#[derive(Debug, Deserialize)]
struct Me {
    id: String,
    username: String,
    #[serde(default)]
    bot: bool,
}

#[derive(Debug, Deserialize)]
struct Application {
    id: String,
    #[serde(default)]
    bot_public: bool,
    interactions_endpoint_url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Gateway {
    session_start_limit: Option<Limit>,
}

#[derive(Debug, Deserialize)]
struct Limit {
    remaining: u64,
}

/// Everything that was looked at.
pub async fn examine(address: &Address, token: Token, settings: &Settings) -> Vec<Check> {
    let mut checks = Vec::new();
    let Some(chat) = &settings.chat.discord else {
        checks.push(Check::new(Found::Rooms, Verdict::Bad));
        return checks;
    };
    checks.push(Check::new(Found::Rooms, Verdict::Good));
    let rest = match Rest::new(address, token) {
        Ok(rest) => rest,
        Err(error) => {
            checks.push(Check::new(Found::NotReached { cause: error.to_string() }, Verdict::Bad));
            return checks;
        }
    };
    let doctor = Doctor { rest, chat, settings };
    doctor.examine(&mut checks).await;
    checks
}

struct Doctor<'a> {
    rest: Rest,
    chat: &'a DiscordChat,
    settings: &'a Settings,
}

impl Doctor<'_> {
    async fn examine(&self, checks: &mut Vec<Check>) {
        let me: Me = match self.get("GET /users/@me", "/users/@me".into()).await {
            Ok(me) => me,
            Err(RestError::Refused { status: 401, .. }) => return checks.push(Check::new(Found::TokenUnknown, Verdict::Bad)),
            Err(error) => return checks.push(Check::new(Found::NotReached { cause: error.to_string() }, Verdict::Bad)),
        };
        let verdict = if me.bot { Verdict::Good } else { Verdict::Bad };
        checks.push(Check::new(Found::Token { name: me.username.clone() }, verdict));
        let application = self.application(checks).await.unwrap_or_else(|| me.id.clone());
        self.starts(checks).await;
        checks.push(Check::new(Found::Intents, Verdict::Good));
        let Some(guild) = self.guild(&application, checks).await else { return };
        self.commands(&application, checks).await;
        let user = me.id.parse().unwrap_or(0);
        let path = format!("/guilds/{}/members/{user}", self.chat.guild);
        let Ok(member) = self.get::<Member>("GET /members", path).await else {
            return checks.push(Check::new(Found::NotInGuild { invite: self.invite(&application) }, Verdict::Bad));
        };
        self.channel(("engineers", self.chat.engineers, &ENGINEERS), (&guild, user, &member), checks).await;
        if let Some(channel) = self.chat.stakeholders {
            self.channel(("stakeholders", channel, STAKEHOLDERS), (&guild, user, &member), checks).await;
        }
        self.roles(&guild, checks);
        self.people(checks).await;
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, route: &'static str, path: String) -> Result<T, RestError> {
        self.rest.call(Call::get(route, path).within(Duration::from_secs(15))).await
    }

    async fn application(&self, checks: &mut Vec<Check>) -> Option<String> {
        let application: Application = self.get("GET /oauth2/applications/@me", "/oauth2/applications/@me".into()).await.ok()?;
        if application.interactions_endpoint_url.is_some_and(|url| !url.is_empty()) {
            checks.push(Check::new(Found::Endpoint, Verdict::Bad));
        }
        if application.bot_public {
            checks.push(Check::new(Found::PublicBot, Verdict::Warning));
        }
        Some(application.id)
    }

    async fn starts(&self, checks: &mut Vec<Check>) {
        let answer: Result<Gateway, RestError> = self.get("GET /gateway/bot", "/gateway/bot".into()).await;
        let left = answer.ok().and_then(|answer| answer.session_start_limit).map(|limit| limit.remaining);
        if let Some(left) = left {
            checks.push(Check::new(Found::Starts { left }, if left < STARTS_FEW { Verdict::Warning } else { Verdict::Good }));
        }
    }

    async fn guild(&self, application: &str, checks: &mut Vec<Check>) -> Option<Guild> {
        match self.get::<Guild>("GET /guilds", format!("/guilds/{}", self.chat.guild)).await {
            Ok(guild) => {
                checks.push(Check::new(Found::Guild { name: guild.name.clone() }, Verdict::Good));
                Some(guild)
            }
            Err(RestError::Refused { .. }) => {
                checks.push(Check::new(Found::NotInGuild { invite: self.invite(application) }, Verdict::Bad));
                None
            }
            Err(error) => {
                checks.push(Check::new(Found::NotReached { cause: error.to_string() }, Verdict::Bad));
                None
            }
        }
    }

    fn invite(&self, application: &str) -> String {
        format!(
            "https://discord.com/oauth2/authorize?client_id={application}&scope=bot+applications.commands&permissions={}&guild_id={}&disable_guild_select=true",
            permissions::least(),
            self.chat.guild
        )
    }

    async fn commands(&self, application: &str, checks: &mut Vec<Check>) {
        let path = format!("/applications/{application}/guilds/{}/commands", self.chat.guild);
        match self.get::<Vec<serde_json::Value>>("GET /commands", path).await {
            Ok(there) => checks.push(Check::new(Found::Commands { count: there.len() }, Verdict::Good)),
            Err(RestError::Refused { .. }) => {
                checks.push(Check::new(Found::NoCommands { invite: self.invite(application) }, Verdict::Bad));
            }
            Err(error) => checks.push(Check::new(Found::NotReached { cause: error.to_string() }, Verdict::Bad)),
        }
    }

    async fn channel(
        &self,
        (which, id, needed): (&'static str, Snowflake, &[(u64, &'static str)]),
        (guild, user, member): (&Guild, u64, &Member),
        checks: &mut Vec<Check>,
    ) {
        let channel: Channel = match self.get("GET /channels", format!("/channels/{id}")).await {
            Ok(channel) => channel,
            Err(RestError::Refused { status: 403, .. }) => {
                let missing = vec![ENGINEERS[0].1];
                return checks.push(Check::new(Found::Missing { which, channel: id.to_string(), permissions: missing }, Verdict::Bad));
            }
            Err(RestError::Refused { .. }) => {
                return checks.push(Check::new(Found::NoChannel { which, channel: id.to_string() }, Verdict::Bad));
            }
            Err(error) => return checks.push(Check::new(Found::NotReached { cause: error.to_string() }, Verdict::Bad)),
        };
        let name = channel.name.clone().unwrap_or_else(|| id.to_string());
        let is_ours = channel.guild_id.as_deref() == Some(self.chat.guild.to_string().as_str()) && matches!(channel.kind, 0 | 5);
        if !is_ours {
            return checks.push(Check::new(Found::WrongChannel { which, name }, Verdict::Bad));
        }
        let may = permissions::in_channel(self.chat.guild, guild, (user, member), &channel);
        let missing = permissions::missing(may, needed);
        if missing.is_empty() {
            checks.push(Check::new(Found::Channel { which, name: name.clone() }, Verdict::Good));
        } else {
            checks.push(Check::new(Found::Missing { which, channel: name.clone(), permissions: missing }, Verdict::Bad));
        }
        if may & ADMINISTRATOR != 0 || may & MENTION_EVERYONE != 0 {
            checks.push(Check::new(Found::TooMuch { channel: name }, Verdict::Warning));
        }
    }

    fn roles(&self, guild: &Guild, checks: &mut Vec<Check>) {
        let by_id: BTreeMap<&str, &permissions::Role> = guild.roles.iter().map(|role| (role.id.as_str(), role)).collect();
        if let Some(id) = self.chat.on_call {
            let check = match by_id.get(id.to_string().as_str()) {
                None => Check::new(Found::NoRole { key: "on_call", id: id.to_string() }, Verdict::Bad),
                Some(role) if role.mentionable => Check::new(Found::OnCall { name: role.name.clone() }, Verdict::Good),
                Some(role) => Check::new(Found::NotMentionable { name: role.name.clone() }, Verdict::Bad),
            };
            checks.push(check);
        }
        for id in self.chat.roles.iter().filter(|id| !by_id.contains_key(id.to_string().as_str())) {
            checks.push(Check::new(Found::NoRole { key: "roles", id: id.to_string() }, Verdict::Bad));
        }
    }

    async fn people(&self, checks: &mut Vec<Check>) {
        let mut known = 0;
        for person in self.settings.people.values().take(PEOPLE_MAX) {
            let Some(id) = person.chat.get(super::serve::NAME) else { continue };
            known += 1;
            let asked = self.get::<Member>("GET /members", format!("/guilds/{}/members/{id}", self.chat.guild)).await;
            if matches!(asked, Err(RestError::Refused { status: 404, .. })) {
                checks.push(Check::new(Found::NoMember { person: person.name.to_string(), id: id.clone() }, Verdict::Warning));
            }
        }
        let verdict = if known == 0 { Verdict::Bad } else { Verdict::Good };
        checks.push(Check::new(Found::People { known, of: self.settings.people.len() }, verdict));
    }
}
