//! Who may do what in a channel: roles, and what a channel changes about them.

use super::Id;
use super::state::{Channel, Guild, State};

/// Sees a channel.
pub const VIEW_CHANNEL: u64 = 1 << 10;
/// Writes into it.
pub const SEND_MESSAGES: u64 = 1 << 11;
/// Puts other people's messages away.
pub const MANAGE_MESSAGES: u64 = 1 << 13;
/// Shows embeds.
pub const EMBED_LINKS: u64 = 1 << 14;
/// Reads what was written before.
pub const READ_MESSAGE_HISTORY: u64 = 1 << 16;
/// Calls everybody.
pub const MENTION_EVERYONE: u64 = 1 << 17;
/// Changes roles.
pub const MANAGE_ROLES: u64 = 1 << 28;
/// Everything.
pub const ADMINISTRATOR: u64 = 1 << 3;
/// Uses commands.
pub const USE_APPLICATION_COMMANDS: u64 = 1 << 31;
/// Locks threads.
pub const MANAGE_THREADS: u64 = 1 << 34;
/// Begins threads.
pub const CREATE_PUBLIC_THREADS: u64 = 1 << 35;
/// Writes into threads.
pub const SEND_MESSAGES_IN_THREADS: u64 = 1 << 38;

/// What a bot like ours needs, and no more.
pub const LEAST: u64 = VIEW_CHANNEL | SEND_MESSAGES | EMBED_LINKS | READ_MESSAGE_HISTORY | CREATE_PUBLIC_THREADS | SEND_MESSAGES_IN_THREADS;
/// What everybody may.
pub const EVERYONE: u64 = VIEW_CHANNEL
    | SEND_MESSAGES
    | EMBED_LINKS
    | READ_MESSAGE_HISTORY
    | USE_APPLICATION_COMMANDS
    | CREATE_PUBLIC_THREADS
    | SEND_MESSAGES_IN_THREADS;

impl State {
    /// What a user may in a channel (for a thread: in the channel it hangs on). Nothing for who is no member.
    pub(super) fn permissions(&self, user: Id, channel: &Channel) -> u64 {
        let Some(guild) = channel.guild.and_then(|guild| self.guilds.get(&guild)) else {
            // A direct message: both sides may write.
            return if channel.guild.is_none() { LEAST } else { 0 };
        };
        let channel = channel.parent.and_then(|parent| self.channels.get(&parent)).filter(|_| channel.is_thread()).unwrap_or(channel);
        in_channel(guild, user, channel)
    }
}

fn in_channel(guild: &Guild, user: Id, channel: &Channel) -> u64 {
    let Some(member) = guild.members.get(&user) else { return 0 };
    let of_role = |role: &Id| guild.roles.get(role).map_or(0, |role| role.permissions);
    let base = member.roles.iter().map(of_role).fold(of_role(&guild.id), |all, one| all | one);
    if base & ADMINISTRATOR != 0 || guild.owner == user {
        return u64::MAX >> 1;
    }
    let change = |base: u64, whose: &dyn Fn(Id) -> bool| {
        let (allow, deny) = channel
            .overwrites
            .iter()
            .filter(|overwrite| whose(overwrite.of))
            .fold((0, 0), |(allow, deny), overwrite| (allow | overwrite.allow, deny | overwrite.deny));
        (base & !deny) | allow
    };
    let base = change(base, &|of| of == guild.id);
    let base = change(base, &|of| member.roles.contains(&of));
    let base = change(base, &|of| of == user);
    // Who does not see a channel can do nothing in it.
    if base & VIEW_CHANNEL == 0 { 0 } else { base }
}
