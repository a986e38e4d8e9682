//! What is sent to Discord, as it stands on the wire. Every message names its allowed mentions, because the field is not
//! optional here, and is cut to every limit of Discord before it goes: one text that is too long must not cost a card.

use super::text::{cut, length};
use serde::Serialize;

/// Longest content of a message.
pub const CONTENT_MAX: usize = 2_000;
/// Longest description of an embed.
pub const DESCRIPTION_MAX: usize = 4_096;
/// Longest value of a field.
pub const VALUE_MAX: usize = 1_024;
/// Longest label of a choice and of its value.
pub const CHOICE_MAX: usize = 100;
/// Most choices of an autocomplete and of a select.
pub const CHOICES_MAX: usize = 25;
/// Longest name of a thread.
pub const THREAD_NAME_MAX: usize = 100;
const TITLE_MAX: usize = 256;
const NAME_MAX: usize = 256;
const FIELDS_MAX: usize = 25;
const FOOTER_MAX: usize = 2_048;
const EMBEDS_MAX: usize = 10;
/// Most units in all embeds of a message together.
const EMBEDS_TOTAL_MAX: usize = 6_000;
const LABEL_MAX: usize = 80;
const ROWS_MAX: usize = 5;
const BUTTONS_IN_ROW_MAX: usize = 5;
const MODAL_TITLE_MAX: usize = 45;
const INPUT_LABEL_MAX: usize = 45;
/// Only the person sees the answer.
pub const EPHEMERAL: u64 = 1 << 6;
/// Longest nonce.
pub const NONCE_MAX: usize = 25;

/// A message, new or edited: everything is said each time, so that an edit leaves nothing of before.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Message {
    /// Text.
    pub content: String,
    /// Blocks.
    pub embeds: Vec<Embed>,
    /// Buttons and selects.
    pub components: Vec<Row>,
    /// Who may be mentioned by it.
    pub allowed_mentions: Mentions,
    /// See [`EPHEMERAL`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<u64>,
    /// The same nonce within minutes is the same message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Makes Discord keep that promise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce_nonce: Option<bool>,
}

/// Who may be mentioned: nobody, unless named by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Mentions {
    /// Nothing is ever parsed out of the text.
    pub parse: [(); 0],
    /// People.
    pub users: Vec<String>,
    /// Roles.
    pub roles: Vec<String>,
}

/// A block of a message.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Embed {
    /// Title.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Colour at the side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<u32>,
    /// Fields.
    pub fields: Vec<Field>,
    /// Below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footer: Option<Footer>,
}

/// A field of an embed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Text.
    pub value: String,
    /// Beside others?
    pub inline: bool,
}

/// What stands below an embed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Footer {
    /// Text.
    pub text: String,
}

/// A row of components.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    #[serde(rename = "type")]
    kind: u8,
    /// Its components.
    pub components: Vec<Component>,
}

impl Row {
    /// A row of these.
    pub fn of(components: Vec<Component>) -> Row {
        Row { kind: 1, components }
    }
}

/// A component.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Component {
    /// A button.
    Button(Button),
    /// A list to choose one from.
    Select(Select),
    /// A field of a modal.
    Input(Input),
}

/// A button.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Button {
    #[serde(rename = "type")]
    kind: u8,
    /// How it looks.
    pub style: u8,
    /// What it says.
    pub label: String,
    /// What it means: the name of a record of ours.
    pub custom_id: String,
}

/// How a button looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Anything else.
    Plain = 2,
    /// Agreement.
    Good = 3,
    /// Cannot be taken back easily.
    Danger = 4,
}

impl Component {
    /// A button.
    pub fn button(look: Look, label: &str, custom_id: &str) -> Component {
        Component::Button(Button { kind: 2, style: look as u8, label: label.to_owned(), custom_id: custom_id.to_owned() })
    }

    /// A list to choose one from.
    pub fn select(custom_id: &str, placeholder: &str, options: Vec<Choosable>) -> Component {
        Component::Select(Select { kind: 3, custom_id: custom_id.to_owned(), placeholder: placeholder.to_owned(), options })
    }

    /// A text to fill in.
    pub fn input(custom_id: &str, label: &str, chars_max: u16) -> Component {
        Component::Input(Input {
            kind: 4,
            custom_id: custom_id.to_owned(),
            style: 2,
            label: cut(label, INPUT_LABEL_MAX),
            min_length: 1,
            max_length: chars_max,
            required: true,
        })
    }
}

/// A list to choose one from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Select {
    #[serde(rename = "type")]
    kind: u8,
    /// What it means.
    pub custom_id: String,
    /// What it says while nothing is chosen.
    pub placeholder: String,
    /// What can be chosen.
    pub options: Vec<Choosable>,
}

/// Something to choose.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choosable {
    /// For people.
    pub label: String,
    /// For us.
    pub value: String,
    /// Chosen already?
    pub default: bool,
}

/// A text to fill in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Input {
    #[serde(rename = "type")]
    kind: u8,
    custom_id: String,
    style: u8,
    label: String,
    min_length: u16,
    max_length: u16,
    required: bool,
}

/// A small form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Modal {
    /// What it means.
    pub custom_id: String,
    /// What it says above.
    pub title: String,
    /// Its rows, one input each.
    pub components: Vec<Row>,
}

impl Modal {
    /// A form with one input.
    pub fn asking(custom_id: &str, title: &str, input: Component) -> Modal {
        Modal { custom_id: custom_id.to_owned(), title: cut(title, MODAL_TITLE_MAX), components: vec![Row::of(vec![input])] }
    }
}

/// A choice of an autocomplete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// For people.
    pub name: String,
    /// For us; resolved again when it comes back.
    pub value: String,
}

/// The first answer to an interaction: exactly one, within three seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum Ack {
    /// A message at once, seen by the person alone.
    Private(Message),
    /// A message will come; only the person sees it.
    Later,
    /// The message of the component will be edited.
    LaterInPlace,
    /// The message of the component becomes this.
    InPlace(Message),
    /// Choices for what was typed so far.
    Choices(Vec<Choice>),
    /// A form.
    Modal(Modal),
}

impl Ack {
    /// The body of the callback.
    pub fn body(self) -> serde_json::Value {
        use serde_json::json;
        match self {
            Ack::Private(message) => json!({"type": 4, "data": Message { flags: Some(EPHEMERAL), ..message.fitted() }}),
            Ack::Later => json!({"type": 5, "data": {"flags": EPHEMERAL}}),
            Ack::LaterInPlace => json!({"type": 6}),
            Ack::InPlace(message) => json!({"type": 7, "data": message.fitted()}),
            Ack::Choices(mut choices) => {
                choices.truncate(CHOICES_MAX);
                choices.iter_mut().for_each(|choice| choice.name = cut(&choice.name, CHOICE_MAX));
                choices.retain(|choice| length(&choice.value) <= CHOICE_MAX && !choice.name.is_empty());
                json!({"type": 8, "data": {"choices": choices}})
            }
            Ack::Modal(modal) => json!({"type": 9, "data": modal}),
        }
    }
}

impl Message {
    /// A message of one block.
    pub fn embed(embed: Embed) -> Message {
        Message { embeds: vec![embed], ..Message::default() }
    }

    /// With a nonce that Discord keeps unique.
    pub fn once(self, nonce: &str) -> Message {
        let nonce: String = nonce.chars().take(NONCE_MAX).collect();
        Message { nonce: Some(nonce), enforce_nonce: Some(true), ..self }
    }

    /// Cut to every limit.
    pub fn fitted(mut self) -> Message {
        self.content = cut(&self.content, CONTENT_MAX);
        self.embeds.truncate(EMBEDS_MAX);
        self.embeds.iter_mut().for_each(fit);
        fit_total(&mut self.embeds);
        self.components.retain(|row| !row.components.is_empty());
        self.components.truncate(ROWS_MAX);
        self.components.iter_mut().for_each(fit_row);
        self
    }
}

fn fit(embed: &mut Embed) {
    embed.title = cut(&embed.title, TITLE_MAX);
    embed.description = cut(&embed.description, DESCRIPTION_MAX);
    embed.fields.retain(|field| !field.value.trim().is_empty() && !field.name.trim().is_empty());
    embed.fields.truncate(FIELDS_MAX);
    for field in &mut embed.fields {
        field.name = cut(&field.name, NAME_MAX);
        field.value = cut(&field.value, VALUE_MAX);
    }
    if let Some(footer) = &mut embed.footer {
        footer.text = cut(&footer.text, FOOTER_MAX);
    }
}

/// What a message holds beyond all embeds' limit goes from the end: the last fields first, then the description.
fn fit_total(embeds: &mut [Embed]) {
    let mut left = EMBEDS_TOTAL_MAX;
    for embed in embeds {
        embed.title = cut(&embed.title, left);
        left = left.saturating_sub(length(&embed.title));
        if let Some(footer) = &mut embed.footer {
            footer.text = cut(&footer.text, left);
            left = left.saturating_sub(length(&footer.text));
        }
        embed.description = cut(&embed.description, left);
        left = left.saturating_sub(length(&embed.description));
        embed.fields.retain_mut(|field| {
            let name = length(&field.name);
            if left < name + 10 {
                return false;
            }
            field.value = cut(&field.value, left - name);
            left -= name + length(&field.value);
            true
        });
    }
}

fn fit_row(row: &mut Row) {
    row.components.truncate(BUTTONS_IN_ROW_MAX);
    for component in &mut row.components {
        match component {
            Component::Button(button) => button.label = cut(&button.label, LABEL_MAX),
            Component::Select(select) => {
                select.options.truncate(CHOICES_MAX);
                select.placeholder = cut(&select.placeholder, 150);
                select.options.iter_mut().for_each(|option| option.label = cut(&option.label, CHOICE_MAX));
            }
            Component::Input(_) => {}
        }
    }
}

/// A slash command as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlashCommand {
    /// Its word.
    pub name: &'static str,
    /// What it does.
    pub description: String,
    /// What it takes.
    pub options: Vec<SlashOption>,
    #[serde(rename = "type")]
    kind: u8,
}

impl SlashCommand {
    /// A command.
    pub fn new(name: &'static str, description: &str, options: Vec<SlashOption>) -> SlashCommand {
        SlashCommand { name, description: cut(description, 100), options, kind: 1 }
    }
}

/// Something that a slash command takes: always text, resolved by us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlashOption {
    #[serde(rename = "type")]
    kind: u8,
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Must it be given?
    pub required: bool,
    /// Do we suggest values?
    pub autocomplete: bool,
}

impl SlashOption {
    /// An option with values that we suggest.
    pub const fn suggested(name: &'static str, description: &'static str) -> SlashOption {
        SlashOption { kind: 3, name, description, required: false, autocomplete: true }
    }

    /// An option of free text.
    pub const fn free(name: &'static str, description: &'static str) -> SlashOption {
        SlashOption { kind: 3, name, description, required: false, autocomplete: false }
    }

    /// The same, and it must be given.
    pub const fn required(self) -> SlashOption {
        SlashOption { required: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(chars: usize) -> String {
        "👩‍👩‍👧‍👦x".chars().cycle().take(chars).collect()
    }

    #[test]
    fn a_message_far_too_large_is_cut_to_every_limit() {
        let field = || Field { name: long(400), value: long(3_000), inline: false };
        let embed = || Embed {
            title: long(900),
            description: long(9_000),
            color: None,
            fields: (0..40).map(|_| field()).collect(),
            footer: Some(Footer { text: long(5_000) }),
        };
        let row = || Row::of((0..9).map(|n| Component::button(Look::Plain, &long(200), &format!("id{n}"))).collect());
        let message = Message {
            content: long(5_000),
            embeds: (0..14).map(|_| embed()).collect(),
            components: (0..9).map(|_| row()).collect(),
            ..Message::default()
        }
        .fitted();
        assert!(length(&message.content) <= 2_000);
        assert_eq!((message.embeds.len(), message.components.len()), (10, 5));
        let total: usize = message
            .embeds
            .iter()
            .map(|e| {
                let fields: usize = e.fields.iter().map(|f| length(&f.name) + length(&f.value)).sum();
                length(&e.title) + length(&e.description) + fields + e.footer.as_ref().map_or(0, |f| length(&f.text))
            })
            .sum();
        assert!(message.embeds.iter().all(|e| length(&e.title) <= 256 && e.fields.iter().all(|f| length(&f.value) <= 1_024)));
        assert!(total <= 6_000, "{total}");
    }

    #[test]
    fn every_message_says_who_may_be_mentioned() {
        let body = serde_json::to_value(Message::default()).unwrap();
        assert_eq!(body["allowed_mentions"], serde_json::json!({"parse": [], "users": [], "roles": []}));
        let ack = Ack::Private(Message::default()).body();
        assert_eq!(ack["data"]["allowed_mentions"]["parse"], serde_json::json!([]));
    }
}
