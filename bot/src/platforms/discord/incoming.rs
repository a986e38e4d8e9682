//! What comes in from Discord, as data of our own: the one place where serenity's events are taken apart.

use serenity::model::application::{
    ActionRowComponent, CommandDataOption, CommandDataOptionValue, CommandInteraction, ComponentInteraction, ComponentInteractionDataKind,
    Interaction, ModalInteraction,
};
use serenity::model::channel::PartialChannel;
use serenity::model::guild::Member as GuildMember;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

/// Longest text of an option or a field that is taken, in characters.
const TEXT_MAX_CHARS: usize = 4_000;

/// Somebody did something.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// Its id.
    pub id: u64,
    /// For which application.
    pub application: u64,
    /// The way to answer it.
    pub token: AnswerToken,
    /// In which guild; none: a direct message.
    pub guild: Option<u64>,
    /// In which channel.
    pub channel: u64,
    /// The channel above a thread.
    pub parent: Option<u64>,
    /// Who, as a member of the guild; none: not one.
    pub member: Option<Member>,
    /// What.
    pub what: What,
    /// When it came, by this machine's own clock: three seconds and fifteen minutes are counted from here.
    pub received: Instant,
}

/// A member as Discord describes them in the event itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The stable id.
    pub user: u64,
    /// Roles at this moment.
    pub roles: Vec<u64>,
}

/// What somebody did.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Sent a slash command.
    Command {
        /// Its word.
        name: String,
        /// What was given with it.
        options: BTreeMap<String, String>,
    },
    /// Is typing one.
    Complete {
        /// Its word.
        name: String,
        /// The option that is being typed.
        focused: String,
        /// What stands there so far.
        typed: String,
        /// What was given with it.
        options: BTreeMap<String, String>,
    },
    /// Pressed a button or chose from a list.
    Press {
        /// Which.
        custom_id: String,
        /// What was chosen.
        chosen: Vec<String>,
        /// Who wrote the message that it stands on.
        author: u64,
    },
    /// Sent a form.
    Submit {
        /// Which.
        custom_id: String,
        /// What was filled in.
        fields: BTreeMap<String, String>,
    },
}

/// Gives the right to answer an interaction for fifteen minutes. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerToken(pub(super) String);

impl fmt::Debug for AnswerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerToken(…)")
    }
}

impl Incoming {
    /// From serenity's event; none: nothing that can be answered.
    pub(super) fn read(interaction: Interaction) -> Option<Incoming> {
        match interaction {
            Interaction::Command(command) => Some(of_command(command, None)),
            Interaction::Autocomplete(command) => {
                let focused = command.data.autocomplete().map(|option| (option.name.to_owned(), bounded(option.value)));
                Some(of_command(command, Some(focused.unwrap_or_default())))
            }
            Interaction::Component(press) => Some(of_press(press)),
            Interaction::Modal(form) => Some(of_form(form)),
            _ => None,
        }
    }
}

fn of_command(command: CommandInteraction, focused: Option<(String, String)>) -> Incoming {
    let name = command.data.name.clone();
    let options: BTreeMap<String, String> = command.data.options.iter().filter_map(option).collect();
    let what = match focused {
        Some((focused, typed)) => What::Complete { name, focused, typed, options },
        None => What::Command { name, options },
    };
    Incoming {
        id: command.id.get(),
        application: command.application_id.get(),
        token: AnswerToken(command.token),
        guild: command.guild_id.map(|id| id.get()),
        channel: command.channel_id.get(),
        parent: parent(command.channel.as_ref()),
        member: command.member.as_deref().map(member),
        what,
        received: Instant::now(),
    }
}

fn option(option: &CommandDataOption) -> Option<(String, String)> {
    let value = match &option.value {
        CommandDataOptionValue::String(text) | CommandDataOptionValue::Autocomplete { value: text, .. } => bounded(text),
        CommandDataOptionValue::Integer(number) => number.to_string(),
        CommandDataOptionValue::Boolean(yes) => yes.to_string(),
        _ => return None,
    };
    Some((option.name.clone(), value))
}

fn of_press(press: ComponentInteraction) -> Incoming {
    let chosen = match press.data.kind {
        ComponentInteractionDataKind::StringSelect { values } => values.into_iter().take(25).map(|value| bounded(&value)).collect(),
        _ => Vec::new(),
    };
    Incoming {
        id: press.id.get(),
        application: press.application_id.get(),
        token: AnswerToken(press.token),
        guild: press.guild_id.map(|id| id.get()),
        channel: press.channel_id.get(),
        parent: parent(press.channel.as_ref()),
        member: press.member.as_ref().map(member),
        what: What::Press { custom_id: press.data.custom_id, chosen, author: press.message.author.id.get() },
        received: Instant::now(),
    }
}

fn of_form(form: ModalInteraction) -> Incoming {
    let inputs = form.data.components.into_iter().flat_map(|row| row.components);
    let field = |component| match component {
        ActionRowComponent::InputText(input) => Some((input.custom_id, bounded(&input.value?))),
        _ => None,
    };
    Incoming {
        id: form.id.get(),
        application: form.application_id.get(),
        token: AnswerToken(form.token),
        guild: form.guild_id.map(|id| id.get()),
        channel: form.channel_id.get(),
        parent: parent(form.channel.as_ref()),
        member: form.member.as_ref().map(member),
        what: What::Submit { custom_id: form.data.custom_id, fields: inputs.filter_map(field).collect() },
        received: Instant::now(),
    }
}

/// The user beside the member is not read: without a member serenity makes one up.
fn member(member: &GuildMember) -> Member {
    Member { user: member.user.id.get(), roles: member.roles.iter().map(|role| role.get()).collect() }
}

fn parent(channel: Option<&PartialChannel>) -> Option<u64> {
    use serenity::model::channel::ChannelType;
    let channel = channel?;
    let is_thread = matches!(channel.kind, ChannelType::PublicThread | ChannelType::PrivateThread | ChannelType::NewsThread);
    channel.parent_id.filter(|_| is_thread).map(|id| id.get())
}

fn bounded(text: &str) -> String {
    text.chars().take(TEXT_MAX_CHARS).collect()
}
