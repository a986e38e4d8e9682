//! Reading a lock, as strictly as anything people write, and writing it.

use super::{
    Approval, Hold, Lock, LockedFreeze, LockedStack, OVERRIDE_MAX_SECS, Override, ReleaseKind, SCHEMA, STANDING_MAX, releases_only,
};
use crate::calendar::Gated;
use crate::compose::ImageRef;
use crate::findings::{Finding, Place, is_harmless};
use crate::ids::{Digest, ReleaseNumber, RepoPath, StackName};
use crate::yaml::{Fields, Node, OWN_LIMITS, Sink, entries, integer, items, parsed, read as read_tree, text};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// The first line of a lock.
const HEAD: &str = "# Written by tidegate-bot. Do not edit: use the chat commands, or `tidegate`.\n";
/// Longest reason that is written, in characters.
pub const REASON_MAX_CHARS: usize = 2_000;

/// Reads a lock. Findings carry their excerpt.
pub fn read(file: &RepoPath, bytes: &[u8]) -> Result<Lock, Vec<Finding>> {
    let mut sink = Sink::default();
    let lock = match read_tree(file, bytes, &OWN_LIMITS) {
        Ok(Some(node)) => lock(&node, &mut sink),
        Ok(None) => {
            sink.push(
                Finding::error("empty_file", Place::file(file.clone()), "this lock is empty")
                    .hint("restore it from git: the bot writes it"),
            );
            None
        }
        Err(findings) => {
            sink.extend(findings);
            None
        }
    };
    match lock.filter(|_| !sink.has_errors()) {
        Some(lock) => Ok(lock),
        None => {
            let files = std::iter::once((file.clone(), crate::files::File { bytes: bytes.into(), executable: false })).collect();
            Err(crate::findings::with_excerpts(sink.into_findings(), &files))
        }
    }
}

fn lock(node: &Node, sink: &mut Sink) -> Option<Lock> {
    let mut fields = Fields::of(node, "a lock", sink)?;
    crate::yaml::schema(&mut fields, sink);
    let environment = required::<crate::ids::EnvironmentName>(&mut fields, "environment", sink);
    if let (Some(name), Some(node)) = (&environment, node.get("environment")) {
        let stem = node.span.file.file_name().strip_suffix(".yaml").unwrap_or_default();
        if stem != name.as_str() {
            let finding =
                node.span.error("conflict", format!("this lock is of `{name}`, but its file is called `{}`", node.span.file.file_name()));
            sink.push(finding.hint("restore it from git: the bot writes it"));
        }
    }
    let release = fields.require("release", sink).and_then(|node| release(node, sink));
    let kind = fields.require("kind", sink).and_then(|node| kind(node, sink));
    let commit = required(&mut fields, "commit", sink);
    let plan = required(&mut fields, "plan", sink);
    let created_at = fields.require("created_at", sink).and_then(|node| moment(node, sink));
    let requested_by = optional(&mut fields, "requested_by", sink);
    let reason = fields.text("reason", sink);
    let stacks = fields.require("stacks", sink).map(|node| stacks(node, sink));
    let approvals = list(&mut fields, "approvals", sink, approval);
    let holds = list(&mut fields, "holds", sink, hold);
    let freezes = list(&mut fields, "freezes", sink, freeze);
    let overrides = list(&mut fields, "overrides", sink, override_);
    fields.finish(sink);
    Some(Lock {
        schema: SCHEMA,
        environment: environment?,
        release: release?,
        kind: kind?,
        commit: commit?,
        plan: plan?,
        created_at: created_at?,
        requested_by,
        reason,
        stacks: stacks?,
        approvals,
        holds,
        freezes,
        overrides,
    })
}

fn required<T: FromStr<Err: std::fmt::Display>>(fields: &mut Fields<'_>, key: &'static str, sink: &mut Sink) -> Option<T> {
    fields.require(key, sink).and_then(|node| parsed(node, "bad_value", sink))
}

fn optional<T: FromStr<Err: std::fmt::Display>>(fields: &mut Fields<'_>, key: &'static str, sink: &mut Sink) -> Option<T> {
    fields.with(key, sink, |node, sink| parsed(node, "bad_value", sink))
}

fn list<T>(fields: &mut Fields<'_>, key: &'static str, sink: &mut Sink, read: fn(&Node, &mut Sink) -> Option<T>) -> Vec<T> {
    let Some(node) = fields.some(key) else { return Vec::new() };
    let items = items(node, sink);
    if items.len() > STANDING_MAX {
        let finding = node.span.error("too_many", format!("{} entries, at most {STANDING_MAX} are allowed", items.len()));
        sink.push(finding.hint("remove those that are over"));
    }
    items.iter().take(STANDING_MAX).filter_map(|item| read(item, sink)).collect()
}

fn release(node: &Node, sink: &mut Sink) -> Option<ReleaseNumber> {
    integer::<u64>(node, 1..=i64::MAX, sink).map(ReleaseNumber)
}

fn moment(node: &Node, sink: &mut Sink) -> Option<Timestamp> {
    let moment = text(node, sink)?.parse().ok();
    if moment.is_none() {
        sink.push(node.span.error("bad_value", "this is no moment").hint("write it as `2026-11-21T10:00:00Z`"));
    }
    moment
}

fn kind(node: &Node, sink: &mut Sink) -> Option<ReleaseKind> {
    let written = text(node, sink)?;
    let kinds = [
        ("release", ReleaseKind::Release),
        ("rollback", ReleaseKind::Rollback),
        ("automatic_rollback", ReleaseKind::AutomaticRollback),
        ("hold", ReleaseKind::Hold),
        ("freeze", ReleaseKind::Freeze),
        ("override", ReleaseKind::Override),
    ];
    let found = kinds.iter().find(|(word, _)| *word == written).map(|(_, kind)| *kind);
    if found.is_none() {
        let hint = "`release`, `rollback`, `automatic_rollback`, `hold`, `freeze` or `override`";
        sink.push(node.span.error("bad_value", "this is no kind of release").hint(hint));
    }
    found
}

fn stacks(node: &Node, sink: &mut Sink) -> BTreeMap<StackName, LockedStack> {
    let mut found = BTreeMap::new();
    for (key, node) in entries(node, sink) {
        match StackName::try_from(key.text.as_str()) {
            Ok(name) => found.extend(locked_stack(node, sink).map(|stack| (name, stack))),
            Err(error) => sink.push(key.span.error("bad_name", error.to_string())),
        }
    }
    found
}

fn locked_stack(node: &Node, sink: &mut Sink) -> Option<LockedStack> {
    let mut fields = Fields::of(node, "a stack of a lock", sink)?;
    let release = fields.require("release", sink).and_then(|node| release(node, sink));
    let commit = required(&mut fields, "commit", sink);
    let content = required(&mut fields, "content", sink);
    let images = fields.some("images").map(|node| images(node, sink)).unwrap_or_default();
    fields.finish(sink);
    Some(LockedStack { release: release?, commit: commit?, content: content?, images })
}

/// Digests by the normalised name of an image.
fn images(node: &Node, sink: &mut Sink) -> BTreeMap<String, Digest> {
    let mut found = BTreeMap::new();
    for (key, node) in entries(node, sink) {
        let normal = key.text.parse::<ImageRef>().map(|image| image.name());
        match normal {
            Ok(name) if name == key.text => found.extend(parsed(node, "bad_value", sink).map(|digest| (name, digest))),
            Ok(name) => sink.push(key.span.error("bad_image", "this image name is not in its full form").hint(format!("write `{name}`"))),
            Err(error) => sink.push(key.span.error("bad_image", error.to_string())),
        }
    }
    found
}

fn approval(node: &Node, sink: &mut Sink) -> Option<Approval> {
    let mut fields = Fields::of(node, "an approval", sink)?;
    let by = required(&mut fields, "by", sink);
    let at = fields.require("at", sink).and_then(|node| moment(node, sink));
    fields.finish(sink);
    Some(Approval { by: by?, at: at? })
}

pub(crate) fn hold(node: &Node, sink: &mut Sink) -> Option<Hold> {
    let mut fields = Fields::of(node, "a hold", sink)?;
    let stack = optional(&mut fields, "stack", sink);
    let content = optional(&mut fields, "content", sink);
    let number = fields.with("release", sink, release);
    let by = optional(&mut fields, "by", sink);
    let reason = fields.require("reason", sink).and_then(|node| text(node, sink).map(str::to_owned));
    let at = fields.require("at", sink).and_then(|node| moment(node, sink));
    let until = fields.with("until", sink, moment);
    fields.finish(sink);
    Some(Hold { stack, content, release: number, by, reason: reason?, at: at?, until })
}

fn freeze(node: &Node, sink: &mut Sink) -> Option<LockedFreeze> {
    let mut fields = Fields::of(node, "a freeze of a lock", sink)?;
    let by = optional(&mut fields, "by", sink);
    let reason = fields.require("reason", sink).and_then(|node| text(node, sink).map(str::to_owned));
    let at = fields.require("at", sink).and_then(|node| moment(node, sink));
    let from = fields.with("from", sink, moment);
    let until = fields.with("until", sink, moment);
    let blocks = fields.some("blocks").map_or_else(|| Some(releases_only()), |node| blocks(node, sink));
    fields.finish(sink);
    let found = LockedFreeze { by, reason: reason?, at: at?, from, until, blocks: blocks? };
    if found.until.is_some_and(|until| until <= found.begins()) {
        let span = node.get("until").map_or(&node.span, |node| &node.span);
        sink.push(span.error("freeze_empty", "the freeze ends before it begins").hint("`until` is the first moment after it"));
    }
    Some(found)
}

fn blocks(node: &Node, sink: &mut Sink) -> Option<BTreeSet<Gated>> {
    let before = sink.len();
    let mut found = BTreeSet::new();
    for item in items(node, sink) {
        match text(item, sink) {
            Some("release") => drop(found.insert(Gated::Release)),
            Some("rollback") => drop(found.insert(Gated::Rollback)),
            Some(_) => sink.push(item.span.error("freeze_blocks", "a freeze cannot block this").hint(BLOCKS_HINT)),
            None => {}
        }
    }
    if sink.len() == before && !found.contains(&Gated::Release) {
        sink.push(node.span.error("freeze_blocks", "a freeze always blocks releases").hint(BLOCKS_HINT));
    }
    (sink.len() == before).then_some(found)
}

const BLOCKS_HINT: &str = "write `[release]` or `[release, rollback]`; repair and abort are never blocked";

pub(crate) fn override_(node: &Node, sink: &mut Sink) -> Option<Override> {
    let mut fields = Fields::of(node, "an override", sink)?;
    let number = fields.require("release", sink).and_then(|node| release(node, sink));
    let stack = optional(&mut fields, "stack", sink);
    let by = required(&mut fields, "by", sink);
    let reason = fields.require("reason", sink).and_then(|node| text(node, sink).map(str::to_owned));
    let at = fields.require("at", sink).and_then(|node| moment(node, sink));
    let until = fields.require("until", sink).and_then(|node| moment(node, sink));
    fields.finish(sink);
    let found = Override { release: number?, stack, by: by?, reason: reason?, at: at?, until: until? };
    let span = node.get("until").map_or(&node.span, |node| &node.span);
    if found.until <= found.at {
        sink.push(span.error("override_empty", "the override ends before it begins").hint("`until` lies after `at`"));
    } else if found.until.duration_since(found.at) > SignedDuration::from_secs(OVERRIDE_MAX_SECS) {
        sink.push(span.error("override_long", "an override ends at most 24 hours after `at`").hint("give another one when it is over"));
    }
    Some(found)
}

impl Lock {
    /// The file's text. Reasons are people's words: what the reader would refuse in them (invisible characters, too
    /// great a length) is left out here.
    pub fn to_yaml(&self) -> String {
        let mut written = self.clone();
        if let Some(reason) = &mut written.reason {
            *reason = readable(reason);
        }
        for hold in &mut written.holds {
            hold.reason = readable(&hold.reason);
        }
        for freeze in &mut written.freezes {
            freeze.reason = readable(&freeze.reason);
        }
        for given in &mut written.overrides {
            given.reason = readable(&given.reason);
        }
        #[expect(clippy::expect_used, reason = "our own types have string keys and no failing serialisers")]
        let body = serde_yaml::to_string(&written).expect("a lock serialises to YAML");
        format!("{HEAD}{body}")
    }
}

fn readable(reason: &str) -> String {
    reason.chars().filter(|&c| is_harmless(c) && c != '\r').take(REASON_MAX_CHARS).collect()
}
