//! What the bot must be allowed on Discord, and whether it is: computed as Discord does. Pure.

use serde::Deserialize;
use tidegate_core::repo::Snowflake;

/// Everything, which no bot should have.
pub const ADMINISTRATOR: u64 = 1 << 3;
/// Mentions everybody, which this bot never does.
pub const MENTION_EVERYONE: u64 = 1 << 17;

/// What the bot needs in the engineers' channel: bit and name as Discord's settings show it.
pub const ENGINEERS: [(u64, &str); 6] = [
    (1 << 10, "View Channel"),
    (1 << 11, "Send Messages"),
    (1 << 14, "Embed Links"),
    (1 << 16, "Read Message History"),
    (1 << 35, "Create Public Threads"),
    (1 << 38, "Send Messages in Threads"),
];

/// What it needs in the stakeholders' channel: the first ones.
pub const STAKEHOLDERS: &[(u64, &str)] = &[ENGINEERS[0], ENGINEERS[1], ENGINEERS[2], ENGINEERS[3]];

/// All of it in one number, for the link that invites the bot.
pub fn least() -> u64 {
    ENGINEERS.iter().fold(0, |all, (bit, _)| all | bit)
}

/// A guild as Discord shows it.
#[derive(Debug, Deserialize)]
pub struct Guild {
    /// Its name.
    pub name: String,
    /// Its roles.
    pub roles: Vec<Role>,
}

/// A role.
#[derive(Debug, Deserialize)]
pub struct Role {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it allows.
    pub permissions: String,
    /// May anybody mention it?
    #[serde(default)]
    pub mentionable: bool,
}

/// A member.
#[derive(Debug, Deserialize)]
pub struct Member {
    /// Role ids.
    pub roles: Vec<String>,
}

/// A channel.
#[derive(Debug, Deserialize)]
pub struct Channel {
    /// Its kind: 0 text, 5 announcements.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Its guild.
    pub guild_id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// What it changes.
    #[serde(default)]
    pub permission_overwrites: Vec<Overwrite>,
}

/// What a channel changes for a role or a member.
#[derive(Debug, Deserialize)]
pub struct Overwrite {
    /// Whose.
    pub id: String,
    /// Allowed on top.
    pub allow: String,
    /// Taken away.
    pub deny: String,
}

/// What a member may in a channel.
pub fn in_channel(guild_id: Snowflake, guild: &Guild, (user, member): (u64, &Member), channel: &Channel) -> u64 {
    let everyone = guild_id.to_string();
    let has = |id: &str| id == everyone || member.roles.iter().any(|role| role == id);
    let base = guild.roles.iter().filter(|role| has(&role.id)).fold(0, |all, role| all | number(&role.permissions));
    if base & ADMINISTRATOR != 0 {
        return u64::MAX;
    }
    let change = |base: u64, over: &Overwrite| (base & !number(&over.deny)) | number(&over.allow);
    let mut may = channel.permission_overwrites.iter().filter(|over| over.id == everyone).fold(base, change);
    let (mut deny, mut allow) = (0, 0);
    for over in channel.permission_overwrites.iter().filter(|over| over.id != everyone && has(&over.id)) {
        deny |= number(&over.deny);
        allow |= number(&over.allow);
    }
    may = (may & !deny) | allow;
    let own = user.to_string();
    channel.permission_overwrites.iter().filter(|over| over.id == own).fold(may, change)
}

/// The names of what is missing.
pub fn missing(may: u64, needed: &[(u64, &'static str)]) -> Vec<&'static str> {
    // Who does not see a channel can do nothing in it.
    let sees = may & ENGINEERS[0].0 != 0;
    needed.iter().filter(|(bit, _)| !sees || may & bit == 0).map(|(_, name)| *name).collect()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUILD: Snowflake = Snowflake(1);

    fn guild(everyone: u64, role: u64) -> Guild {
        let role_of =
            |id: &str, permissions: u64| Role { id: id.into(), name: id.into(), permissions: permissions.to_string(), mentionable: false };
        Guild { name: "g".into(), roles: vec![role_of("1", everyone), role_of("5", role)] }
    }

    fn channel(overwrites: &[(&str, u64, u64)]) -> Channel {
        let over = |(id, allow, deny): &(&str, u64, u64)| Overwrite { id: (*id).into(), allow: allow.to_string(), deny: deny.to_string() };
        Channel { kind: 0, guild_id: Some("1".into()), name: None, permission_overwrites: overwrites.iter().map(over).collect() }
    }

    #[test]
    fn a_channel_takes_away_and_gives_in_discords_order() {
        let member = Member { roles: vec!["5".into()] };
        let may = |guild: &Guild, channel: &Channel| in_channel(GUILD, guild, (9, &member), channel);
        assert!(missing(may(&guild(least(), 0), &channel(&[])), &ENGINEERS).is_empty());
        let hidden = channel(&[("1", 0, 1 << 10)]);
        assert_eq!(missing(may(&guild(least(), 0), &hidden), &ENGINEERS).len(), ENGINEERS.len());
        let opened = channel(&[("1", 0, 1 << 10), ("5", 1 << 10, 0)]);
        assert!(missing(may(&guild(least(), 0), &opened), &ENGINEERS).is_empty());
        let for_me = channel(&[("5", 0, 1 << 11), ("9", 1 << 11, 0)]);
        assert!(missing(may(&guild(least(), 0), &for_me), &ENGINEERS).is_empty());
        assert_eq!(missing(may(&guild(least() & !(1 << 38), 0), &channel(&[])), &ENGINEERS), ["Send Messages in Threads"]);
        assert_eq!(may(&guild(0, ADMINISTRATOR), &hidden), u64::MAX);
    }
}
