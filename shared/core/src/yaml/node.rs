//! The untyped tree: scalars, lists and mappings, each with its place. Scalars stay the text that was written:
//! `1.10` is not a number and `no` is not a boolean until a typed field asks.

use crate::findings::{Finding, Place};
use crate::ids::RepoPath;
use std::sync::Arc;

/// A place in a file, cheap to copy about; merged trees hold spans of several files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The file.
    pub file: Arc<RepoPath>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Characters on that line, at least 1.
    pub length: u32,
}

impl Span {
    /// The start of a file.
    pub fn start(file: Arc<RepoPath>) -> Span {
        Span { file, line: 1, column: 1, length: 1 }
    }

    /// As a finding names it.
    pub fn place(&self) -> Place {
        Place { file: (*self.file).clone(), line: self.line, column: self.column, length: self.length }
    }

    /// An error here.
    pub fn error(&self, code: &str, message: impl Into<String>) -> Finding {
        Finding::error(code, self.place(), message)
    }

    /// A warning here.
    pub fn warning(&self, code: &str, message: impl Into<String>) -> Finding {
        Finding::warning(code, self.place(), message)
    }
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: may mean nothing (`null`, `~`).
    Plain,
    /// Quoted or a block, or the result of an interpolation: always text.
    Text,
    /// A variable in it could not be filled in, which is a finding already: nothing more is said about it.
    Broken,
}

/// A tag that Compose gives a meaning to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// `!reset`: take away what the earlier file said.
    Reset,
    /// `!override`: replace instead of merging.
    Override,
}

/// A mapping's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The text.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text as written.
    Scalar(String, Style),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping in the order of the file, without duplicates.
    Mapping(Vec<(Key, Node)>),
}

/// A node with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it starts.
    pub span: Span,
    /// What it is.
    pub value: Value,
    /// Its tag.
    pub tag: Option<Tag>,
    /// Column of the first character of the content, when the text stands on its line exactly as it is here.
    pub verbatim_column: Option<u32>,
}

impl Node {
    /// A node that no person wrote, at the place of the one it was made from.
    pub fn made(span: Span, value: Value) -> Node {
        Node { span, value, tag: None, verbatim_column: None }
    }

    /// Text that no person wrote.
    pub fn made_text(span: Span, text: impl Into<String>) -> Node {
        Node::made(span, Value::Scalar(text.into(), Style::Text))
    }

    /// Nothing: an empty value, `~` or `null` without quotes.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, Style::Plain) if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar that is not nothing.
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(_, Style::Broken) => None,
            Value::Scalar(text, _) if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// Is there a finding about this text already?
    pub fn is_broken(&self) -> bool {
        matches!(self.value, Value::Scalar(_, Style::Broken))
    }

    /// The value of a key, for mappings.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|(name, _)| name.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar(..) => "text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }

    /// The place of some characters of this scalar, as exact as the source allows.
    pub fn span_within(&self, offset_chars: usize, length_chars: usize) -> Span {
        match self.verbatim_column {
            Some(column) => Span {
                column: column.saturating_add(u32::try_from(offset_chars).unwrap_or(0)),
                length: u32::try_from(length_chars).unwrap_or(1).max(1),
                ..self.span.clone()
            },
            None => self.span.clone(),
        }
    }
}
