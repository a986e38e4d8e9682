//! Everything the server knows, behind one lock: guilds, channels, messages, commands, interactions, sessions, and what
//! was broken. Data first; what happens to it stands in the files beside.

use super::buckets::Buckets;
use super::clock::{Clock, written};
use super::commands::Registered;
use super::faults::Faults;
use super::gateway::Sessions;
use super::interaction::Interaction;
use super::refusal::{Broken, Rule};
use super::{Id, permissions};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// A person, or the bot.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub id: Id,
    pub name: String,
    pub bot: bool,
}

/// A user in a guild.
#[derive(Debug, Clone, Default)]
pub(super) struct Member {
    pub roles: Vec<Id>,
}

/// A role.
#[derive(Debug, Clone)]
pub(super) struct Role {
    pub id: Id,
    pub name: String,
    pub permissions: u64,
    pub managed: bool,
    pub mentionable: bool,
}

/// A guild.
#[derive(Debug, Clone)]
pub(super) struct Guild {
    pub id: Id,
    pub name: String,
    pub owner: Id,
    pub roles: BTreeMap<Id, Role>,
    pub members: BTreeMap<Id, Member>,
}

/// What a channel changes for a role or a member.
#[derive(Debug, Clone)]
pub(super) struct Overwrite {
    pub of: Id,
    pub role: bool,
    pub allow: u64,
    pub deny: u64,
}

/// A channel, a thread, or a direct conversation.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub id: Id,
    pub guild: Option<Id>,
    pub name: String,
    pub kind: u64,
    pub parent: Option<Id>,
    pub overwrites: Vec<Overwrite>,
    pub archived: bool,
    pub locked: bool,
    pub last_message: Option<Id>,
}

/// Kind of a text channel.
pub(super) const TEXT: u64 = 0;
/// Kind of a direct conversation.
pub(super) const DIRECT: u64 = 1;
/// Kind of a public thread.
pub(super) const PUBLIC_THREAD: u64 = 11;

impl Channel {
    pub fn is_thread(&self) -> bool {
        self.kind == PUBLIC_THREAD
    }
}

/// Who is told by a sound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pinged {
    /// These users.
    pub users: Vec<Id>,
    /// Everybody with these roles.
    pub roles: Vec<Id>,
    /// Everybody.
    pub everyone: bool,
}

impl Pinged {
    /// Was nobody told?
    pub fn nobody(&self) -> bool {
        *self == Pinged::default()
    }
}

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub id: Id,
    pub channel: Id,
    pub author: Id,
    pub content: String,
    pub embeds: Vec<Value>,
    pub components: Vec<Value>,
    pub flags: u64,
    pub nonce: Option<String>,
    pub at: Duration,
    pub edited: Option<Duration>,
    pub edits: u32,
    /// Edits after the message was an hour old.
    pub late_edits: u32,
    pub pinged: Pinged,
    pub thread: Option<Id>,
    pub interaction: Option<Id>,
    pub deleted: bool,
    /// Only this user sees it.
    pub private_to: Option<Id>,
    pub reference: Option<Value>,
}

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Call {
    /// `POST`.
    pub method: String,
    /// `/channels/5/messages`, without the version.
    pub path: String,
    /// What was sent.
    pub body: Value,
    /// The status it got; none: it got no answer.
    pub status: Option<u16>,
    /// When, on the server's clock.
    pub at: Duration,
}

/// Everything the server knows.
pub(super) struct State {
    pub clock: Arc<Clock>,
    pub token: String,
    pub token_good: bool,
    pub application: Id,
    pub bot: Id,
    pub users: BTreeMap<Id, User>,
    pub guilds: BTreeMap<Id, Guild>,
    pub channels: BTreeMap<Id, Channel>,
    pub messages: BTreeMap<Id, Message>,
    pub commands: Vec<Registered>,
    pub interactions: BTreeMap<Id, Interaction>,
    pub tokens: HashMap<String, Id>,
    pub nonces: HashMap<(Id, String), Id>,
    pub sessions: Sessions,
    pub buckets: Buckets,
    pub faults: Faults,
    pub calls: Vec<Call>,
    pub broken: Vec<Broken>,
    pub careless: Vec<String>,
    pub refused_at: Option<Duration>,
    pub gateway_url: String,
}

impl State {
    pub fn new(clock: Arc<Clock>, token: String, gateway_url: String) -> State {
        let (application, now) = (clock.id(), clock.now());
        // Bots made today have one id for the application and its user.
        let bot = User { id: application, name: "tidegate".to_owned(), bot: true };
        State {
            token,
            token_good: true,
            application,
            bot: bot.id,
            users: BTreeMap::from([(bot.id, bot)]),
            guilds: BTreeMap::new(),
            channels: BTreeMap::new(),
            messages: BTreeMap::new(),
            commands: Vec::new(),
            interactions: BTreeMap::new(),
            tokens: HashMap::new(),
            nonces: HashMap::new(),
            sessions: Sessions::default(),
            buckets: Buckets::new(now),
            faults: Faults::default(),
            calls: Vec::new(),
            broken: Vec::new(),
            careless: Vec::new(),
            refused_at: None,
            gateway_url,
            clock,
        }
    }

    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    pub fn breaks(&mut self, rule: Rule, how: impl Into<String>) {
        self.broken.push(Broken { rule, how: how.into() });
    }

    pub fn add_guild(&mut self, name: &str, bot_permissions: u64) -> Id {
        let (id, owner, managed) = (self.clock.id(), self.clock.id(), self.clock.id());
        self.users.insert(owner, User { id: owner, name: format!("owner-of-{}", name.to_lowercase()), bot: false });
        let role = |id, name: &str, permissions, managed| Role { id, name: name.to_owned(), permissions, managed, mentionable: false };
        let roles = [role(id, "@everyone", permissions::EVERYONE, false), role(managed, "tidegate", bot_permissions, true)];
        let members = [(owner, Member::default()), (self.bot, Member { roles: vec![managed] })];
        let roles = roles.into_iter().map(|role| (role.id, role)).collect();
        let guild = Guild { id, name: name.to_owned(), owner, roles, members: members.into_iter().collect() };
        self.guilds.insert(id, guild);
        id
    }

    pub fn add_channel(&mut self, guild: Option<Id>, name: &str, kind: u64, parent: Option<Id>) -> Id {
        let id = self.clock.id();
        self.put_channel(Channel {
            id,
            guild,
            name: name.to_owned(),
            kind,
            parent,
            overwrites: Vec::new(),
            archived: false,
            locked: false,
            last_message: None,
        })
    }

    pub fn put_channel(&mut self, channel: Channel) -> Id {
        let id = channel.id;
        self.channels.insert(id, channel);
        id
    }

    // --- as the interface shows it

    pub fn show_user(&self, id: Id) -> Value {
        let (name, bot) = self.users.get(&id).map_or(("deleted-user", false), |user| (user.name.as_str(), user.bot));
        json!({
            "id": id, "username": name, "discriminator": "0", "global_name": name, "avatar": null, "bot": bot, "system": false,
            "public_flags": 0, "flags": 0, "banner": null, "accent_color": null, "avatar_decoration_data": null,
            "primary_guild": null, "clan": null, "collectibles": null,
        })
    }

    pub fn show_member(&self, guild: &Guild, user: Id) -> Option<Value> {
        let member = guild.members.get(&user)?;
        Some(json!({
            "user": self.show_user(user), "roles": member.roles, "deaf": false, "mute": false, "flags": 0, "nick": null, "avatar": null,
            "banner": null, "joined_at": "2024-01-01T00:00:00.000000+00:00", "premium_since": null, "pending": false,
            "communication_disabled_until": null,
        }))
    }

    pub fn show_channel(&self, channel: &Channel) -> Value {
        let mut shown =
            json!({ "id": channel.id, "type": channel.kind, "name": channel.name, "last_message_id": channel.last_message, "flags": 0 });
        if let Some(guild) = channel.guild {
            let overwrites: Vec<Value> = channel
                .overwrites
                .iter()
                .map(|o| json!({ "id": o.of, "type": u8::from(!o.role), "allow": o.allow.to_string(), "deny": o.deny.to_string() }))
                .collect();
            let more = json!({
                "guild_id": guild, "parent_id": channel.parent, "position": 0, "permission_overwrites": overwrites, "nsfw": false,
                "topic": null, "rate_limit_per_user": 0,
            });
            merge(&mut shown, more);
        } else {
            let people: Vec<Value> = self.users.values().filter(|user| user.bot).map(|user| self.show_user(user.id)).collect();
            merge(&mut shown, json!({ "recipients": people }));
        }
        if channel.is_thread() {
            let archived_at = written(self.now());
            let data = json!({ "archived": channel.archived, "locked": channel.locked, "auto_archive_duration": 1440, "archive_timestamp": archived_at });
            let counts =
                json!({ "thread_metadata": data, "owner_id": self.bot, "message_count": 0, "member_count": 1, "total_message_sent": 0 });
            merge(&mut shown, counts);
        }
        shown
    }

    pub fn show_guild(&self, guild: &Guild) -> Value {
        let roles: Vec<Value> = guild.roles.values().enumerate().map(|(position, role)| show_role(role, position)).collect();
        json!({
            "id": guild.id, "name": guild.name, "owner_id": guild.owner, "icon": null, "icon_hash": null, "splash": null,
            "discovery_splash": null, "afk_channel_id": null, "afk_timeout": 300, "verification_level": 0,
            "default_message_notifications": 0, "explicit_content_filter": 0, "roles": roles, "emojis": [], "features": [],
            "mfa_level": 0, "application_id": null, "system_channel_id": null, "system_channel_flags": 0, "rules_channel_id": null,
            "max_presences": null, "max_members": 500_000, "vanity_url_code": null, "description": null, "banner": null,
            "premium_tier": 0, "premium_subscription_count": 0, "preferred_locale": "en-US", "public_updates_channel_id": null,
            "nsfw_level": 0, "stickers": [], "premium_progress_bar_enabled": false, "safety_alerts_channel_id": null, "region": "deprecated",
            "nsfw": false, "widget_enabled": false, "widget_channel_id": null, "incidents_data": null, "max_video_channel_users": 25,
        })
    }

    /// A guild with everything in it, as the event of arriving carries it.
    pub fn show_whole_guild(&self, guild: &Guild) -> Value {
        let mut shown = self.show_guild(guild);
        let of_guild = |threads: bool| -> Vec<Value> {
            let here = self.channels.values().filter(|channel| channel.guild == Some(guild.id) && channel.is_thread() == threads);
            here.filter(|channel| !channel.archived).map(|channel| self.show_channel(channel)).collect()
        };
        let members: Vec<Value> = self.show_member(guild, self.bot).into_iter().collect();
        let more = json!({
            "joined_at": "2024-01-01T00:00:00.000000+00:00", "large": false, "unavailable": false, "member_count": guild.members.len(),
            "voice_states": [], "members": members, "channels": of_guild(false), "threads": of_guild(true), "presences": [],
            "stage_instances": [], "guild_scheduled_events": [], "soundboard_sounds": [],
        });
        merge(&mut shown, more);
        shown
    }

    pub fn show_message(&self, message: &Message) -> Value {
        let mentions: Vec<Value> = message.pinged.users.iter().map(|user| self.show_user(*user)).collect();
        let mut shown = json!({
            "id": message.id, "channel_id": message.channel, "author": self.show_user(message.author), "content": message.content,
            "timestamp": written(message.at), "edited_timestamp": message.edited.map(written), "tts": false,
            "mention_everyone": message.pinged.everyone, "mentions": mentions, "mention_roles": message.pinged.roles, "attachments": [],
            "embeds": message.embeds, "components": message.components, "pinned": false, "flags": message.flags, "type": 0,
        });
        if let Some(nonce) = &message.nonce {
            merge(&mut shown, json!({ "nonce": nonce }));
        }
        if let Some(reference) = &message.reference {
            merge(&mut shown, json!({ "message_reference": reference, "type": 19 }));
        }
        if let Some(thread) = message.thread.and_then(|thread| self.channels.get(&thread)) {
            merge(&mut shown, json!({ "thread": self.show_channel(thread) }));
        }
        if let Some(interaction) = message.interaction.and_then(|id| self.interactions.get(&id)) {
            let owners = interaction.guild.map_or_else(|| json!({ "1": interaction.user }), |guild| json!({ "0": guild }));
            let about = json!({ "id": interaction.id, "type": interaction.kind.number(), "user": self.show_user(interaction.user), "authorizing_integration_owners": owners });
            merge(&mut shown, json!({ "interaction_metadata": about, "webhook_id": self.application, "application_id": self.application }));
        }
        shown
    }
}

pub(super) fn show_role(role: &Role, position: usize) -> Value {
    json!({
        "id": role.id, "name": role.name, "color": 0, "colors": { "primary_color": 0, "secondary_color": null, "tertiary_color": null },
        "hoist": false, "icon": null, "unicode_emoji": null, "managed": role.managed, "mentionable": role.mentionable,
        "permissions": role.permissions.to_string(), "position": position, "flags": 0,
    })
}

/// Puts the fields of one object into another.
pub(super) fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}
