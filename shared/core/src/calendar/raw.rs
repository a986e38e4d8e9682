//! The calendar as people write it: plain strings, nothing checked. [`Calendar::new`](super::Calendar::new) checks it.
//!
//! Every value is optional here, so that a missing key is found together with all other mistakes. Readers that know positions
//! put them in `place`; it comes back in [`Rule`](super::Rule) and errors name the item and the field.

use crate::findings::Place;
use serde::de::{SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// `windows`, `freezes` and `cutoff` of an environment file, or of a calendar file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCalendar {
    /// `windows:`.
    pub windows: RawWindows,
    /// `freezes:`.
    pub freezes: Vec<RawFreeze>,
    /// `cutoff:`, a duration.
    pub cutoff: Option<String>,
}

/// `windows:`, which is a word or a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RawWindows {
    /// The key is absent: always open, and validation says so for production.
    #[default]
    Absent,
    /// A single word; `always` is the only one that is accepted.
    Word(String),
    /// A list; an empty one is as good as none.
    List(Vec<RawWindow>),
}

/// An item of `windows:`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawWindow {
    /// `name:`, optional.
    pub name: Option<String>,
    /// `cron:`, five fields.
    pub cron: Option<String>,
    /// `duration:`, such as `1d2h30m`.
    pub duration: Option<String>,
    /// `tz:`, an IANA zone.
    pub tz: Option<String>,
    /// `day_match:`, optional; `all` is the only value.
    pub day_match: Option<String>,
    /// Where the item is written, if the reader knows.
    #[serde(skip)]
    pub place: Option<Place>,
}

/// An item of `freezes:`: one-off (`from`, `until`) or recurring (`cron`, `duration`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawFreeze {
    /// `name:`, optional.
    pub name: Option<String>,
    /// `reason:`, optional.
    pub reason: Option<String>,
    /// `from:`, a civil time such as `2026-12-20T00:00`.
    pub from: Option<String>,
    /// `until:`, a civil time; the freeze ends before it.
    pub until: Option<String>,
    /// `tz:`, an IANA zone.
    pub tz: Option<String>,
    /// `cron:`, five fields.
    pub cron: Option<String>,
    /// `duration:`, such as `2d16h`.
    pub duration: Option<String>,
    /// `day_match:`, optional; `all` is the only value.
    pub day_match: Option<String>,
    /// `blocks:`, a list of `release` and `rollback`; absent means `[release]`.
    pub blocks: Option<Vec<String>>,
    /// Where the item is written, if the reader knows.
    #[serde(skip)]
    pub place: Option<Place>,
}

impl<'de> Deserialize<'de> for RawWindows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawWindows, D::Error> {
        deserializer.deserialize_any(RawWindowsVisitor)
    }
}

/// Written by hand: serde's `untagged` would lose the positions inside the list.
struct RawWindowsVisitor;

impl<'de> Visitor<'de> for RawWindowsVisitor {
    type Value = RawWindows;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`always` or a list of windows")
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<RawWindows, E> {
        Ok(RawWindows::Word(word.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<RawWindows, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(RawWindows::List)
    }
}
