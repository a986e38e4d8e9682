//! Who is told by a message: what its text mentions, as far as `allowed_mentions` and the bot's permissions let it.

use super::Id;
use super::permissions::MENTION_EVERYONE;
use super::state::{Channel, Pinged, State};
use serde_json::Value;

/// What is parsed when the request does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsaid {
    /// A message of the bot: everything.
    Everything,
    /// An interaction's or a webhook's message: users only.
    UsersOnly,
}

/// What a text mentions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mentioned {
    pub users: Vec<Id>,
    pub roles: Vec<Id>,
    pub everyone: bool,
}

/// Finds `<@1>`, `<@!1>`, `<@&1>`, `@everyone` and `@here`.
pub(super) fn mentioned(text: &str) -> Mentioned {
    let mut found = Mentioned { users: Vec::new(), roles: Vec::new(), everyone: text.contains("@everyone") || text.contains("@here") };
    for part in text.split("<@").skip(1) {
        let Some((inside, _)) = part.split_once('>') else { continue };
        let (list, digits) = match inside.strip_prefix('&') {
            Some(role) => (&mut found.roles, role),
            None => (&mut found.users, inside.trim_start_matches('!')),
        };
        if let Ok(id) = digits.parse() {
            list.push(id);
        }
    }
    found
}

impl State {
    /// Who is told by a new message with this text.
    pub(super) fn pinged(&self, channel: &Channel, (content, allowed): (&str, &Value), unsaid: Unsaid) -> Pinged {
        let found = mentioned(content);
        let parses = |kind: &str| match allowed {
            Value::Object(_) => allowed["parse"].as_array().into_iter().flatten().any(|parsed| parsed == kind),
            _ => unsaid == Unsaid::Everything || kind == "users",
        };
        let named =
            |kind: &str, id: Id| allowed[kind].as_array().into_iter().flatten().any(|named| named.as_str() == Some(&id.to_string()));
        let guild = channel.guild.and_then(|guild| self.guilds.get(&guild));
        let anybody = self.permissions(self.bot, channel) & MENTION_EVERYONE != 0;
        let may_call = |role: &Id| anybody || guild.and_then(|guild| guild.roles.get(role)).is_some_and(|role| role.mentionable);
        let known = |user: &Id| self.users.contains_key(user);
        Pinged {
            users: found.users.into_iter().filter(|user| known(user) && (parses("users") || named("users", *user))).collect(),
            roles: found.roles.into_iter().filter(|role| may_call(role) && (parses("roles") || named("roles", *role))).collect(),
            everyone: found.everyone && anybody && parses("everyone"),
        }
    }

    /// Notes a request that leaves it to Discord whom it calls.
    pub(super) fn guard_mentions(&mut self, body: &Value, what: &str) {
        if !body["allowed_mentions"].is_object() {
            self.careless.push(format!("{what} without allowed_mentions"));
        }
    }
}
