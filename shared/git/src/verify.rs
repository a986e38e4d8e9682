//! Who signed a commit, from its raw bytes: a strict grammar instead of a lenient parser, because two programs that
//! read one commit differently can be made to disagree about what was signed.
//!
//! ```text
//! tree SP id LF (parent SP id LF)* author SP ident LF committer SP ident LF gpgsig SP text LF (SP text LF)* LF message
//! ```
//!
//! Nothing else, in no other order: no second signature, no `encoding`, no `mergetag`, no NUL, no carriage return in
//! the header; ids of exactly 40 lower-case digits. What was signed is the commit without its `gpgsig` lines.

use crate::keys::{self, GIT_NAMESPACE, PublicKey, SignatureError};
use tidegate_core::ids::CommitId;

/// Largest commit object that is looked at, in bytes.
const COMMIT_MAX_BYTES: usize = 64 * 1024;
/// Most parents of a commit.
const PARENTS_MAX: usize = 16;

/// Why a commit's signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitRefusal {
    /// It has no signature.
    #[error("the commit is not signed")]
    Unsigned,
    /// It is not written in the one form that is accepted.
    #[error("the commit is not in the strict form: {0}")]
    Form(&'static str),
    /// Its signature does not count.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// A commit taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitParts<'a> {
    /// The tree's id.
    pub tree: &'a str,
    /// The parents.
    pub parents: Vec<CommitId>,
    /// `Name <mail> seconds zone`.
    pub author: &'a str,
    /// `Name <mail> seconds zone`.
    pub committer: &'a str,
    /// The armored signature, unfolded.
    pub signature: Option<String>,
    /// What was signed.
    pub payload: Vec<u8>,
    /// The message.
    pub message: &'a [u8],
}

/// A commit whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The key that signed it.
    pub key: PublicKey,
    /// Its parents.
    pub parents: Vec<CommitId>,
    /// The committer's time as written, in seconds since 1970. Anybody can write any time: judge keys by a real clock.
    pub committed_at_secs: i64,
}

/// Checks a raw commit object's signature against the keys that may have made it.
pub fn verify_commit(raw: &[u8], keys: &[PublicKey]) -> Result<Verified, CommitRefusal> {
    let parts = split(raw)?;
    let signature = parts.signature.as_deref().ok_or(CommitRefusal::Unsigned)?;
    if signature.ends_with('\n') {
        return Err(CommitRefusal::Form("its signature ends with an empty line"));
    }
    let key = keys::verify(keys, GIT_NAMESPACE, &parts.payload, signature)?.clone();
    let committed_at_secs = ident_time(parts.committer).ok_or(CommitRefusal::Form("the committer has no time"))?;
    Ok(Verified { key, parents: parts.parents, committed_at_secs })
}

/// Takes a raw commit object apart by the strict grammar.
pub fn split(raw: &[u8]) -> Result<CommitParts<'_>, CommitRefusal> {
    let form = CommitRefusal::Form;
    if raw.len() > COMMIT_MAX_BYTES {
        return Err(form("it is too large"));
    }
    let end = raw.windows(2).position(|pair| pair == b"\n\n").ok_or(form("its header has no end"))?;
    let (header, message) = (&raw[..=end], &raw[end + 2..]);
    if raw.contains(&0) || header.contains(&b'\r') {
        return Err(form("it holds a NUL or a carriage return"));
    }
    let header = std::str::from_utf8(header).map_err(|_| form("its header is not UTF-8"))?;
    let mut lines = Lines { rest: header };
    let tree = lines.id("tree ").ok_or(form("it does not begin with a tree"))?;
    let mut parents = Vec::new();
    while let Some(parent) = lines.id("parent ") {
        parents.push(CommitId::try_from(parent).map_err(|_| form("a parent is no commit id"))?);
        if parents.len() > PARENTS_MAX {
            return Err(form("it has too many parents"));
        }
    }
    let author = lines.ident("author ").ok_or(form("its author line is missing or malformed"))?;
    let committer = lines.ident("committer ").ok_or(form("its committer line is missing or malformed"))?;
    let before_signature = header.len() - lines.rest.len();
    let signature = lines.folded("gpgsig ");
    if !lines.rest.is_empty() {
        return Err(form("its header holds another line than tree, parent, author, committer and one gpgsig"));
    }
    let payload = [&raw[..before_signature], b"\n", message].concat();
    Ok(CommitParts { tree, parents, author, committer, signature, payload, message })
}

/// Reads a header line by line; a line that does not fit is left where it is.
struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    fn line(&mut self, prefix: &str) -> Option<&'a str> {
        let (line, rest) = self.rest.split_once('\n')?;
        let value = line.strip_prefix(prefix)?;
        self.rest = rest;
        Some(value)
    }

    fn id(&mut self, prefix: &str) -> Option<&'a str> {
        let before = self.rest;
        let id = self.line(prefix).filter(|id| CommitId::try_from(*id).is_ok());
        if id.is_none() {
            self.rest = before;
        }
        id
    }

    fn ident(&mut self, prefix: &str) -> Option<&'a str> {
        self.line(prefix).filter(|ident| ident_time(ident).is_some())
    }

    /// A value folded over several lines, each further one beginning with a space.
    fn folded(&mut self, prefix: &str) -> Option<String> {
        let mut value = self.line(prefix)?.to_owned();
        while let Some(more) = self.line(" ") {
            value.push('\n');
            value.push_str(more);
        }
        Some(value)
    }
}

/// The seconds of `Name <mail> seconds zone`, if it has exactly that form.
fn ident_time(ident: &str) -> Option<i64> {
    let (person, time) = ident.split_once("> ")?;
    let (name, mail) = person.split_once(" <").or_else(|| person.strip_prefix('<').map(|mail| ("", mail)))?;
    let (seconds, zone) = time.split_once(' ')?;
    let plain = |text: &str| !text.contains(['<', '>']);
    let (sign, digits) = zone.split_at_checked(1)?;
    let zone_fits = matches!(sign, "+" | "-") && digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit());
    let seconds_fit = (1..=12).contains(&seconds.len()) && seconds.bytes().all(|b| b.is_ascii_digit());
    if plain(name) && plain(mail) && zone_fits && seconds_fit { seconds.parse().ok() } else { None }
}
