//! Names and identities, parsed once at the door: inside the product there are no unchecked strings.
//!
//! Every newtype here is made by `try_from`/`parse`, prints as its text form and travels through serde
//! as that text, so a value read back from a file or a database is checked again.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// Longest name accepted for anything a person names, in bytes (DNS labels stop there too).
pub const NAME_MAX_BYTES: usize = 63;

/// Why a text is not the name or identity it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {rule}")]
pub struct InvalidId {
    /// What the text should have been, e.g. `stack name`.
    pub what: &'static str,
    /// The offending text, cut to 80 characters.
    pub text: String,
    /// The rule that it breaks, as a sentence fragment.
    pub rule: &'static str,
}

fn invalid(what: &'static str, text: &str, rule: &'static str) -> InvalidId {
    InvalidId { what, text: text.chars().take(80).collect(), rule }
}

fn is_lower_name(text: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let inner = |b: u8| edge(b) || matches!(b, b'-' | b'_' | b'.');
    matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if edge(first) && edge(last))
        && bytes.len() <= NAME_MAX_BYTES
        && bytes.iter().all(|&b| inner(b))
}

fn is_compose_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.len() <= NAME_MAX_BYTES
        && bytes.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err(invalid($what, text, $rule)) }
            }
        }
        impl TryFrom<&str> for $name {
            type Error = InvalidId;
            fn try_from(text: &str) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// An environment: dev, staging, production, ….
    EnvironmentName, "environment name",
    "use 1 to 63 lower-case letters, digits, `-`, `_` or `.`, starting and ending with a letter or digit", is_lower_name);
text_id!(
    /// A stack: a folder below `stacks/` with a Compose file.
    StackName, "stack name",
    "use 1 to 63 lower-case letters, digits, `-`, `_` or `.`, starting and ending with a letter or digit", is_lower_name);
text_id!(
    /// A host: a file below `hosts/`.
    HostName, "host name",
    "use 1 to 63 lower-case letters, digits, `-`, `_` or `.`, starting and ending with a letter or digit", is_lower_name);
text_id!(
    /// A person, as named in `tidegate.yaml`.
    PersonName, "person name",
    "use 1 to 63 lower-case letters, digits, `-`, `_` or `.`, starting and ending with a letter or digit", is_lower_name);
text_id!(
    /// A role that people have.
    RoleName, "role name",
    "use 1 to 63 lower-case letters, digits, `-`, `_` or `.`, starting and ending with a letter or digit", is_lower_name);
text_id!(
    /// A service of a stack, as named in its Compose file.
    ServiceName, "service name",
    "use 1 to 63 letters, digits, `-`, `_` or `.`, starting with a letter or digit", is_compose_name);
text_id!(
    /// A git commit: exactly 40 lower-case hex digits (git2 accepts shorter ones; we do not).
    CommitId, "commit id", "exactly 40 lower-case hex digits", |t| is_hex(t, 40));
text_id!(
    /// The identity of a content: SHA-256 of its canonical form, 64 lower-case hex digits.
    ContentId, "content id", "exactly 64 lower-case hex digits", |t| is_hex(t, 64));
text_id!(
    /// An image digest: `sha256:` and 64 lower-case hex digits.
    Digest, "image digest", "`sha256:` followed by 64 lower-case hex digits",
    |t| t.strip_prefix("sha256:").is_some_and(|h| is_hex(h, 64)));

impl CommitId {
    /// The first ten digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl Digest {
    /// `sha256:` and the first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..19]
    }
}

impl ContentId {
    /// Hashes the canonical JSON form of a value: maps ordered, absent and default fields left out by the
    /// value's own `Serialize`. Equal values have equal ids in every program and version that serialises alike.
    pub fn of<T: Serialize>(value: &T) -> ContentId {
        #[expect(clippy::expect_used, reason = "our own types have string keys and no failing serialisers")]
        let json = serde_json::to_vec(value).expect("our own types serialise to JSON");
        Self::of_bytes(&json)
    }

    /// Hashes bytes.
    pub fn of_bytes(bytes: &[u8]) -> ContentId {
        ContentId(hex::encode(Sha256::digest(bytes)).into())
    }

    /// The first twelve digits, for people and container names.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

/// The number of a release within its environment, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseNumber(pub u64);

impl ReleaseNumber {
    /// The number that follows.
    #[must_use]
    pub fn next(self) -> ReleaseNumber {
        ReleaseNumber(self.0.saturating_add(1))
    }
}

impl fmt::Display for ReleaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A path inside the config repo: relative, `/`-separated, no empty, `.` or `..` part, no control character.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoPath(Box<str>);

/// Longest path accepted, in bytes.
pub const PATH_MAX_BYTES: usize = 512;

impl RepoPath {
    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path with one more part, or several joined by `/`; `.` and `..` in `relative` are resolved, and an
    /// escape from the repo is refused.
    pub fn join(&self, relative: &str) -> Result<RepoPath, InvalidId> {
        let mut parts: Vec<&str> = self.0.split('/').collect();
        for part in relative.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        return Err(invalid("path", relative, "it leaves the config repo"));
                    }
                }
                other => parts.push(other),
            }
        }
        parts.join("/").parse()
    }

    /// The folder that holds this path, if it is not at the top.
    pub fn parent(&self) -> Option<RepoPath> {
        self.0.rsplit_once('/').map(|(folder, _)| RepoPath(folder.into()))
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Is this path `folder` itself or below it? Compared part by part, never as a bare string prefix.
    pub fn is_within(&self, folder: &RepoPath) -> bool {
        self.0.strip_prefix(folder.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for RepoPath {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bad_part = |part: &str| matches!(part, "" | "." | ".." | ".git");
        if text.len() > PATH_MAX_BYTES {
            Err(invalid("path", text, "it is longer than 512 bytes"))
        } else if text.split('/').any(bad_part) || text.chars().any(|c| c.is_control() || c == '\\') {
            Err(invalid("path", text, "use a relative path without empty, `.`, `..` or `.git` parts or control characters"))
        } else {
            Ok(Self(text.into()))
        }
    }
}
impl TryFrom<String> for RepoPath {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}
impl From<RepoPath> for String {
    fn from(path: RepoPath) -> String {
        path.0.into()
    }
}
impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_would_break_labels_paths_or_markup() {
        for good in ["shop", "web-1", "a.b_c", "1"] {
            assert!(StackName::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", "Shop", "-a", "a-", "a/b", "a b", "ä", "a\n", &"a".repeat(64)] {
            assert!(StackName::try_from(bad).is_err(), "{bad}");
        }
        assert!(ServiceName::try_from("Web_1").is_ok());
        assert!(CommitId::try_from("abc").is_err());
        assert!(CommitId::try_from("a".repeat(40).as_str()).is_ok());
        assert!(CommitId::try_from("A".repeat(40).as_str()).is_err());
    }

    #[test]
    fn paths_stay_inside_and_compare_by_part() {
        let folder: RepoPath = "stacks/shop".parse().unwrap();
        assert_eq!(folder.join("./config/a").unwrap().as_str(), "stacks/shop/config/a");
        assert_eq!(folder.join("../b").unwrap().as_str(), "stacks/b");
        assert!(folder.join("../../../x").is_err());
        let sibling: RepoPath = "stacks/shop2/x".parse().unwrap();
        assert!(!sibling.is_within(&folder));
        assert!(folder.join("x").unwrap().is_within(&folder));
        for bad in ["", "/a", "a//b", "../a", "a/.git/b", "a\u{7}"] {
            assert!(bad.parse::<RepoPath>().is_err(), "{bad:?}");
        }
    }
}
