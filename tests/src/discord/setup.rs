//! Furnishing the server: guilds, channels, roles, people, and what changes about them while the bot runs.

use super::interaction::Interaction;
use super::permissions::LEAST;
use super::state::{Member, Overwrite, Role, TEXT, User};
use super::{Discord, Id, Person, Place, RateLimit};
use serde_json::json;
use std::time::Duration;

/// A guild with one channel to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The guild.
    pub guild: Id,
    /// Its channel.
    pub channel: Id,
}

impl Discord {
    /// A guild with one text channel, with the bot in it and its least permissions.
    pub fn add_room(&self, guild: &str, channel: &str) -> Room {
        let guild = self.add_guild(guild);
        Room { guild, channel: self.add_channel(guild, channel) }
    }

    /// A guild with the bot in it.
    pub fn add_guild(&self, name: &str) -> Id {
        self.shared.changing(|state| state.add_guild(name, LEAST))
    }

    /// A text channel.
    pub fn add_channel(&self, guild: Id, name: &str) -> Id {
        self.shared.changing(|state| {
            let id = state.add_channel(Some(guild), name, TEXT, None);
            let shown = state.channels.get(&id).map(|channel| state.show_channel(channel)).unwrap_or_default();
            state.tell_guild("CHANNEL_CREATE", &shown);
            id
        })
    }

    /// Takes a channel away, with its messages.
    pub fn remove_channel(&self, channel: Id) {
        self.shared.changing(|state| {
            let shown = state.channels.get(&channel).map(|channel| state.show_channel(channel)).unwrap_or_default();
            state.channels.remove(&channel);
            state.messages.retain(|_, message| message.channel != channel);
            state.tell_guild("CHANNEL_DELETE", &shown);
        });
    }

    /// A role that people may be given.
    pub fn add_role(&self, guild: Id, name: &str) -> Id {
        self.shared.changing(|state| {
            let id = state.clock.id();
            let role = Role { id, name: name.to_owned(), permissions: 0, managed: false, mentionable: true };
            state.guilds.entry(guild).and_modify(|guild| drop(guild.roles.insert(id, role)));
            id
        })
    }

    /// A person who is a member of nothing yet.
    pub fn add_user(&self, name: &str) -> Id {
        self.shared.changing(|state| {
            let id = state.clock.id();
            state.users.insert(id, User { id, name: name.to_owned(), bot: false });
            id
        })
    }

    /// Makes a person a member with roles; again: with these roles and no others.
    pub fn add_member(&self, guild: Id, user: Id, roles: &[Id]) {
        self.shared.changing(|state| {
            state.guilds.entry(guild).and_modify(|guild| drop(guild.members.insert(user, Member { roles: roles.to_vec() })));
        });
    }

    /// A person who is a member and stands in a channel.
    pub fn person(&self, room: Room, name: &str) -> Person<'_> {
        let user = self.add_user(name);
        self.add_member(room.guild, user, &[]);
        self.as_person(user, room)
    }

    /// A known user in a room.
    pub fn as_person(&self, user: Id, room: Room) -> Person<'_> {
        Person { discord: self, user, place: Place::Guild { guild: room.guild, channel: room.channel } }
    }

    /// A known user in direct conversation with the bot.
    pub fn in_private(&self, user: Id) -> Person<'_> {
        let channel = self.shared.changing(|state| state.add_channel(None, &format!("direct-{user}"), super::state::DIRECT, None));
        Person { discord: self, user, place: Place::Direct { channel } }
    }

    /// What the bot may in its guild from now on.
    pub fn set_bot_permissions(&self, guild: Id, permissions: u64) {
        self.shared.changing(|state| {
            let managed = state.guilds.get_mut(&guild).into_iter().flat_map(|guild| guild.roles.values_mut()).filter(|role| role.managed);
            managed.for_each(|role| role.permissions = permissions);
            // What everybody may would hide what the bot lacks.
            if let Some(everyone) = state.guilds.get_mut(&guild).and_then(|found| found.roles.get_mut(&guild)) {
                everyone.permissions &= permissions | super::permissions::USE_APPLICATION_COMMANDS;
            }
        });
    }

    /// What the bot may not in a channel.
    pub fn deny_bot(&self, channel: Id, permissions: u64) {
        self.shared.changing(|state| {
            let overwrite = Overwrite { of: state.bot, role: false, allow: 0, deny: permissions };
            state.channels.entry(channel).and_modify(|channel| {
                channel.overwrites.retain(|before| before.of != overwrite.of);
                channel.overwrites.push(overwrite);
            });
        });
    }

    /// Archives or locks a thread, as people or time do.
    pub fn set_thread(&self, thread: Id, archived: bool, locked: bool) {
        self.shared.changing(|state| {
            state.channels.entry(thread).and_modify(|thread| (thread.archived, thread.locked) = (archived, locked));
            let shown = state.channels.get(&thread).map(|channel| state.show_channel(channel)).unwrap_or_default();
            state.tell_guild("THREAD_UPDATE", &shown);
        });
    }

    /// Someone deletes a message.
    pub fn delete(&self, message: Id) {
        self.shared.changing(|state| {
            let Some(found) = state.messages.get_mut(&message) else { return };
            found.deleted = true;
            let channel = found.channel;
            state.tell_message("MESSAGE_DELETE", channel, json!({ "id": message, "channel_id": channel }));
        });
    }

    /// No rate limits but those that faults impose.
    pub fn without_rate_limits(&self) {
        self.shared.with(|state| state.buckets.off());
    }

    /// Another limit for a route, named like `POST /channels/:id/messages`.
    pub fn set_rate_limit(&self, route: &str, limit: RateLimit) {
        self.shared.with(|state| state.buckets.set(route, limit));
    }

    /// So many refused requests in ten minutes ban the address.
    pub fn set_invalid_max(&self, requests: usize) {
        self.shared.with(|state| state.buckets.invalid_max = requests);
    }

    /// The token is worth nothing any more, as after somebody reset it.
    pub fn revoke_token(&self) {
        self.shared.changing(|state| {
            state.token_good = false;
            state.sessions.everywhere(&super::gateway::Out::Close(Some(4004)));
        });
    }

    /// The token is good again.
    pub fn restore_token(&self) {
        self.shared.changing(|state| {
            state.token_good = true;
            state.refused_at = None;
            state.sessions.fatal = None;
        });
    }

    /// So many IDENTIFYs are left today.
    pub fn leave_identifies(&self, left: u32) {
        self.shared.with(|state| {
            let now = state.now();
            state.sessions.budget.leave(now, left);
        });
    }

    /// Two IDENTIFYs must be this far apart; Discord's five seconds unless set.
    pub fn set_identify_pace(&self, pace: Duration) {
        self.shared.with(|state| state.sessions.budget.pace = pace);
    }

    /// The application gets these privileged intents.
    pub fn allow_intents(&self, intents: u64) {
        self.shared.with(|state| state.sessions.privileged |= intents);
    }

    /// Acknowledgements so far, in real time from the event to the callback.
    pub fn ack_times(&self) -> Vec<Duration> {
        let acked = |one: &Interaction| one.ack.map(|ack| ack.after);
        self.shared.with(|state| state.interactions.values().filter_map(acked).collect())
    }
}
