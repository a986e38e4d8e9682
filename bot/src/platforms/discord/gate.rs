//! Who is listened to at all: our guild, our channels and their threads, a member, a message of ours. Before anything
//! else, on every kind of interaction. What the person may do is decided afterwards, by people and roles of the repo.

use super::gateway::Identity;
use super::incoming::{Incoming, What};
use tidegate_core::repo::DiscordChat;

/// Why somebody is not listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHere {
    /// It is for another application.
    OtherApplication,
    /// A direct message.
    Direct,
    /// Another guild.
    OtherGuild,
    /// A channel that is not ours.
    OtherChannel,
    /// Not a member of the guild.
    NoMember,
    /// None of the roles that Discord must have given.
    NoRole,
    /// The button stands on a message that is not ours.
    ForeignMessage,
}

/// The user, if this is to be listened to.
pub fn pass(incoming: &Incoming, chat: &DiscordChat, me: Identity) -> Result<u64, NotHere> {
    if incoming.application != me.application {
        return Err(NotHere::OtherApplication);
    }
    match incoming.guild {
        None => return Err(NotHere::Direct),
        Some(guild) if guild != chat.guild.0 => return Err(NotHere::OtherGuild),
        Some(_) => {}
    }
    let ours = |channel: u64| channel == chat.engineers.0 || chat.stakeholders.is_some_and(|id| id.0 == channel);
    if !ours(incoming.channel) && !incoming.parent.is_some_and(ours) {
        return Err(NotHere::OtherChannel);
    }
    let member = incoming.member.as_ref().filter(|member| member.user != 0).ok_or(NotHere::NoMember)?;
    if !chat.roles.is_empty() && !member.roles.iter().any(|role| chat.roles.iter().any(|needed| needed.0 == *role)) {
        return Err(NotHere::NoRole);
    }
    match incoming.what {
        What::Press { author, .. } if author != me.user => Err(NotHere::ForeignMessage),
        _ => Ok(member.user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platforms::discord::incoming::{AnswerToken, Member};
    use std::time::Instant;
    use tidegate_core::repo::Snowflake;

    const ME: Identity = Identity { application: 1, user: 2 };

    fn chat() -> DiscordChat {
        let (guild, engineers, stakeholders) = (Snowflake(10), Snowflake(11), Some(Snowflake(12)));
        DiscordChat { guild, engineers, stakeholders, on_call: None, roles: Default::default(), digest: None }
    }

    fn press() -> Incoming {
        let what = What::Press { custom_id: "t1:x".into(), chosen: Vec::new(), author: 2 };
        let member = Some(Member { user: 42, roles: vec![7] });
        Incoming {
            id: 5,
            application: 1,
            token: AnswerToken("t".into()),
            guild: Some(10),
            channel: 11,
            parent: None,
            member,
            what,
            received: Instant::now(),
        }
    }

    #[test]
    fn our_rooms_and_their_threads_are_listened_to() {
        assert_eq!(pass(&press(), &chat(), ME), Ok(42));
        assert_eq!(pass(&Incoming { channel: 99, parent: Some(12), ..press() }, &chat(), ME), Ok(42));
    }

    #[test]
    fn nobody_else_is_whatever_they_send() {
        let chat = chat();
        let press = press();
        let refused = |incoming: Incoming| pass(&incoming, &chat, ME).unwrap_err();
        assert_eq!(refused(Incoming { application: 9, ..press.clone() }), NotHere::OtherApplication);
        assert_eq!(refused(Incoming { guild: None, ..press.clone() }), NotHere::Direct);
        assert_eq!(refused(Incoming { guild: Some(9), ..press.clone() }), NotHere::OtherGuild);
        assert_eq!(refused(Incoming { channel: 9, parent: Some(8), ..press.clone() }), NotHere::OtherChannel);
        assert_eq!(refused(Incoming { member: None, ..press.clone() }), NotHere::NoMember);
        let made_up = Some(Member { user: 0, roles: Vec::new() });
        assert_eq!(refused(Incoming { member: made_up, ..press.clone() }), NotHere::NoMember);
        let forged = What::Press { custom_id: "t1:x".into(), chosen: Vec::new(), author: 3 };
        assert_eq!(refused(Incoming { what: forged, ..press.clone() }), NotHere::ForeignMessage);
    }

    #[test]
    fn roles_of_discord_only_narrow() {
        let narrow = DiscordChat { roles: [Snowflake(8)].into(), ..chat() };
        assert_eq!(pass(&press(), &narrow, ME), Err(NotHere::NoRole));
        let fits = DiscordChat { roles: [Snowflake(7)].into(), ..chat() };
        assert_eq!(pass(&press(), &fits, ME), Ok(42));
    }
}
