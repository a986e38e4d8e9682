//! What is said in the local room, as it is stored.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_core::ids::PersonName;

/// One thing said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// Who, as shown to people; none: the bot.
    pub speaker: Option<String>,
    /// Only this person sees it; none: everybody.
    pub private_to: Option<PersonName>,
    /// What; may have several lines.
    pub text: String,
    /// How to take it.
    pub tone: Tone,
}

/// How something said is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// It went well.
    Good,
    /// Somebody should look.
    Warning,
    /// It went wrong.
    Bad,
}
