//! What is wrong with a calendar: which item, which field, why, and how to mend it. All of it is collected, never only the first.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// A part of a calendar, by its place in the lists that people wrote. Indexes count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// `windows:` as a whole.
    AllWindows,
    /// An item of `windows:`.
    Window(usize),
    /// `freezes:` as a whole.
    AllFreezes,
    /// An item of `freezes:`.
    Freeze(usize),
    /// `cutoff:`.
    Cutoff,
}

impl fmt::Display for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::AllWindows => formatter.write_str("windows"),
            Item::Window(index) => write!(formatter, "windows[{index}]"),
            Item::AllFreezes => formatter.write_str("freezes"),
            Item::Freeze(index) => write!(formatter, "freezes[{index}]"),
            Item::Cutoff => formatter.write_str("cutoff"),
        }
    }
}

/// One mistake in a calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{item}{}{field}: {message}", if field.is_empty() { "" } else { "." })]
pub struct CalendarError {
    /// Which item.
    pub item: Item,
    /// Which key of the item (`cron`, `duration`, `tz`, `from`, …); empty when the item as a whole is meant.
    pub field: &'static str,
    /// Which characters of the field's text, if less than all of it; counted from 0.
    pub span: Option<Range<usize>>,
    /// A stable code in snake case, e.g. `cron_fields`.
    pub code: &'static str,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// What is wrong with one text, before it is known whose text it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) span: Option<Range<usize>>,
}

impl Problem {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Problem {
        Problem { code, message: message.into(), hint: None, span: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn span(mut self, span: Range<usize>) -> Problem {
        self.span = Some(span);
        self
    }

    pub(super) fn at(self, item: Item, field: &'static str) -> CalendarError {
        CalendarError { item, field, span: self.span, code: self.code, message: self.message, hint: self.hint }
    }
}
