//! `chat:` of `tidegate.yaml`: which rooms the bot speaks in. Who may do what stays with people and roles.

use crate::yaml::{Fields, Node, Sink, items, text};
use jiff::civil::Time;
use jiff::tz::TimeZoneDatabase;
use std::collections::BTreeSet;
use std::fmt;

/// `chat:`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chat {
    /// Rooms on Discord; none: the bot does not speak there.
    pub discord: Option<DiscordChat>,
}

/// `chat.discord`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscordChat {
    /// The server. Nothing from anywhere else is listened to.
    pub guild: Snowflake,
    /// The engineers' channel: cards, alerts, commands.
    pub engineers: Snowflake,
    /// The stakeholders' channel: plain words, and what went live each day; none: there is none.
    pub stakeholders: Option<Snowflake>,
    /// The role that is mentioned when production fails and when something is rolled back; none: nobody.
    pub on_call: Option<Snowflake>,
    /// Roles of which a member must have one; empty: any member. They only narrow what people and roles of the repo allow.
    pub roles: BTreeSet<Snowflake>,
    /// When the stakeholders are told what went live; none: at the default time.
    pub digest: Option<Digest>,
}

/// A moment of each day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Local time.
    pub at: Time,
    /// IANA zone.
    pub tz: String,
}

/// An id of Discord: a number that people copy as text, because most programs round it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Snowflake(pub u64);

impl fmt::Display for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Snowflake {
    /// Reads an id as Discord copies it: 15 to 20 digits.
    pub fn read(text: &str) -> Option<Snowflake> {
        let fine = (15..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        text.parse().ok().filter(|_| fine).map(Snowflake)
    }
}

/// Reads `chat:`.
pub(super) fn chat(node: &Node, sink: &mut Sink) -> Option<Chat> {
    let mut fields = Fields::of(node, "`chat`", sink)?;
    let discord = fields.with("discord", sink, discord);
    fields.finish(sink);
    Some(Chat { discord })
}

fn discord(node: &Node, sink: &mut Sink) -> Option<DiscordChat> {
    let before = sink.len();
    let mut fields = Fields::of(node, "`chat.discord`", sink)?;
    let guild = fields.require("guild", sink).and_then(|node| snowflake(node, sink));
    let engineers = fields.require("engineers", sink).and_then(|node| snowflake(node, sink));
    let stakeholders_node = fields.some("stakeholders");
    let stakeholders = stakeholders_node.and_then(|node| snowflake(node, sink));
    if let (Some(node), true) = (stakeholders_node, stakeholders.is_some() && stakeholders == engineers) {
        let finding = node.span.error("bad_value", "engineers and stakeholders have the same channel");
        sink.push(finding.hint("give the stakeholders a channel of their own, or leave the key out"));
    }
    let role = |node: &Node, sink: &mut Sink| {
        let role = snowflake(node, sink)?;
        if Some(role) == guild {
            let finding = node.span.error("bad_value", "this is the id of the server, which as a role means everyone");
            sink.push(finding.hint("copy the id of a role under Server Settings, Roles"));
        }
        Some(role)
    };
    let on_call = fields.some("on_call").and_then(|node| role(node, sink));
    let mut roles = BTreeSet::new();
    if let Some(node) = fields.some("roles") {
        roles.extend(items(node, sink).iter().filter_map(|item| role(item, sink)));
    }
    let digest = fields.with("digest", sink, digest);
    fields.finish(sink);
    let chat = DiscordChat { guild: guild?, engineers: engineers?, stakeholders, on_call, roles, digest };
    (sink.len() == before).then_some(chat)
}

/// An id, with a finding when it is none.
pub(super) fn snowflake(node: &Node, sink: &mut Sink) -> Option<Snowflake> {
    let written = text(node, sink)?;
    let found = Snowflake::read(written);
    if found.is_none() {
        let finding = node.span.error("bad_value", format!("`{written}` is no id of Discord"));
        sink.push(
            finding.hint("turn on User Settings, Advanced, Developer Mode; then right-click, Copy ID; write it in quotes: \"1234…\""),
        );
    }
    found
}

fn digest(node: &Node, sink: &mut Sink) -> Option<Digest> {
    let mut fields = Fields::of(node, "`digest`", sink)?;
    let at = fields.require("at", sink).and_then(|node| {
        let written = text(node, sink)?;
        let time = Time::strptime("%H:%M", written).ok();
        if time.is_none() {
            sink.push(node.span.error("bad_value", format!("`{written}` is no time of the day")).hint("write it as \"17:00\""));
        }
        time
    });
    let tz = fields.require("tz", sink).and_then(|node| {
        let written = text(node, sink)?;
        let known = TimeZoneDatabase::bundled().get(written).is_ok_and(|zone| zone.iana_name() == Some(written));
        if !known {
            let finding = node.span.error("unknown_zone", format!("`{written}` is not in the zone database"));
            sink.push(finding.hint("write an IANA name such as `Europe/Berlin`, or `UTC`"));
        }
        known.then(|| written.to_owned())
    });
    fields.finish(sink);
    Some(Digest { at: at?, tz: tz? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::OWN_LIMITS;

    fn read(text: &str) -> (Option<Chat>, Vec<String>) {
        let node = crate::yaml::read(&"tidegate.yaml".parse().unwrap(), text.as_bytes(), &OWN_LIMITS).unwrap().unwrap();
        let mut sink = Sink::default();
        let chat = chat(&node, &mut sink);
        (chat, sink.into_findings().into_iter().map(|finding| finding.message).collect())
    }

    #[test]
    fn rooms_are_ids_in_quotes() {
        let (chat, findings) = read(
            "discord:\n  guild: \"100000000000000001\"\n  engineers: \"100000000000000002\"\n  stakeholders: \"100000000000000003\"\n  \
             on_call: \"100000000000000004\"\n  digest: { at: \"17:30\", tz: Europe/Berlin }\n",
        );
        assert!(findings.is_empty(), "{findings:?}");
        let discord = chat.unwrap().discord.unwrap();
        assert_eq!(discord.guild, Snowflake(100_000_000_000_000_001));
        assert_eq!(discord.digest.unwrap().at, Time::constant(17, 30, 0, 0));
    }

    #[test]
    fn what_is_no_id_or_means_everyone_is_found() {
        let (chat, findings) = read(
            "discord:\n  guild: \"100000000000000001\"\n  engineers: general\n  on_call: \"100000000000000001\"\n  \
             digest: { at: noon, tz: europe/berlin }\n  room: x\n",
        );
        assert!(chat.unwrap().discord.is_none());
        for expected in ["`general` is no id", "means everyone", "`noon` is no time", "`europe/berlin` is not", "room"] {
            assert!(findings.iter().any(|found| found.contains(expected)), "{expected}: {findings:?}");
        }
    }
}
