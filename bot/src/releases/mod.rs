//! Building locks and their commit messages. Pure: git, the registry and the clock are the caller's.
//!
//! Every lock is a new statement with a new number, also when only holds changed: a number means one thing for ever.

pub mod standing;

use crate::command::clean_reason;
use jiff::Timestamp;
use standing::holds_of;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tidegate_core::candidate::{Candidate, ChangeKind, Desired, ServiceChange, StackChange};
use tidegate_core::ids::{CommitId, ContentId, Digest, EnvironmentName, PersonName, ReleaseNumber, StackName};
use tidegate_core::lock::{Hold, Lock, LockedStack, ReleaseKind, SCHEMA};
use tidegate_core::policy::Consent;
use tidegate_core::repo::{BotIdentity, Person};
use tidegate_git::Identity;

/// Most lines about services in a message.
const CHANGE_LINES_MAX: usize = 40;

/// What a release is made from.
#[derive(Debug)]
pub struct ReleaseInputs<'a> {
    /// The lock that it follows, if any.
    pub base: Option<&'a Lock>,
    /// The environment at the candidate's commit.
    pub desired: &'a Desired<'a>,
    /// What was agreed to.
    pub candidate: &'a Candidate,
    /// The proof that it was.
    pub consent: &'a Consent,
    /// Digests by image name, for everything that the lock has not pinned before.
    pub digests: &'a BTreeMap<String, Digest>,
    /// Who asked; none: nobody had to.
    pub requested_by: Option<&'a PersonName>,
}

/// Why a lock is not built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotBuilt {
    /// The content with its digests is held.
    Held(Box<Hold>),
    /// An image has no digest.
    Unresolved(String),
}

/// The number that follows a lock's.
pub fn next_number(base: Option<&Lock>) -> ReleaseNumber {
    base.map_or(ReleaseNumber(1), |lock| lock.release.next())
}

/// The lock of a release: changed stacks at the candidate's commit, all others as they were.
pub fn release(inputs: &ReleaseInputs<'_>, now: Timestamp) -> Result<Lock, NotBuilt> {
    let number = next_number(inputs.base);
    let mut stacks = inputs.base.map(|lock| lock.stacks.clone()).unwrap_or_default();
    for (name, change) in &inputs.candidate.stacks {
        match change.kind {
            ChangeKind::Removed => {
                stacks.remove(name);
            }
            ChangeKind::Moved => {}
            ChangeKind::Added | ChangeKind::Changed => {
                let locked = locked_stack(inputs, name, number, now)?;
                stacks.insert(name.clone(), locked);
            }
        }
    }
    let subject = inputs.consent.subject();
    let mut lock = Lock {
        schema: SCHEMA,
        environment: inputs.candidate.environment.clone(),
        release: number,
        kind: ReleaseKind::Release,
        commit: subject.commit.clone(),
        plan: subject.plan.clone(),
        created_at: now,
        requested_by: inputs.requested_by.cloned(),
        reason: None,
        stacks,
        approvals: inputs.consent.approvals().to_vec(),
        holds: holds_of(inputs.base, now),
        freezes: inputs.base.map(|base| base.freezes_left(now)).unwrap_or_default(),
        overrides: inputs.base.map(|base| base.overrides.clone()).unwrap_or_default(),
    };
    // With another content than they were given for they are void.
    lock.overrides = lock.overrides_left(now);
    Ok(lock)
}

fn locked_stack(inputs: &ReleaseInputs<'_>, name: &StackName, number: ReleaseNumber, now: Timestamp) -> Result<LockedStack, NotBuilt> {
    let Some(model) = inputs.desired.models.get(name) else { return Err(NotBuilt::Unresolved(name.to_string())) };
    let images = digests_for(inputs, name)?;
    let content = (*model).clone().pinned(&images).content();
    if let Some(hold) = inputs.desired.environment.holds_with(inputs.base).find(|hold| hold.stops(name, &content, now)) {
        return Err(NotBuilt::Held(Box::new(hold.clone())));
    }
    Ok(LockedStack { release: number, commit: inputs.consent.subject().commit.clone(), content, images })
}

/// An image whose name did not change keeps the digest that the lock pinned: people agreed to what the card named.
fn digests_for(inputs: &ReleaseInputs<'_>, stack: &StackName) -> Result<BTreeMap<String, Digest>, NotBuilt> {
    let Some(model) = inputs.desired.models.get(stack) else { return Ok(BTreeMap::new()) };
    let pinned = inputs.base.and_then(|lock| lock.stacks.get(stack)).map(|locked| &locked.images);
    let digest = |name: String| {
        let known = pinned.and_then(|images| images.get(&name)).or_else(|| inputs.digests.get(&name));
        known.cloned().map(|digest| (name.clone(), digest)).ok_or(NotBuilt::Unresolved(name))
    };
    model.unresolved_images().into_keys().map(digest).collect()
}

/// The images that a registry must be asked for before this candidate can be released.
pub fn images_to_resolve(
    base: Option<&Lock>,
    desired: &Desired<'_>,
    candidate: &Candidate,
) -> BTreeMap<String, tidegate_core::compose::ImageRef> {
    let changed = candidate.stacks.iter().filter(|(_, change)| matches!(change.kind, ChangeKind::Added | ChangeKind::Changed));
    changed
        .filter_map(|(name, _)| Some((name, desired.models.get(name)?)))
        .flat_map(|(stack, model)| {
            let pinned = base.and_then(|lock| lock.stacks.get(stack)).map(|locked| &locked.images);
            let mut images = model.unresolved_images();
            images.retain(|name, _| !pinned.is_some_and(|pinned| pinned.contains_key(name)));
            images
        })
        .collect()
}

/// A way back for one stack.
#[derive(Debug, Clone)]
pub struct WayBack<'a> {
    /// The lock that is left.
    pub base: &'a Lock,
    /// The stack.
    pub stack: &'a StackName,
    /// What it goes back to.
    pub target: &'a LockedStack,
    /// By a person or by itself.
    pub kind: ReleaseKind,
    /// Who asked.
    pub by: Option<&'a PersonName>,
    /// Why.
    pub reason: &'a str,
    /// Where placement and policy are read: the commit of the lock that is left, unless nobody has that.
    pub commit: &'a CommitId,
    /// Identity of the environment's desired state afterwards.
    pub plan: ContentId,
}

/// The lock of a rollback: the one stack as it was, everything else as it is, and a hold on what was left.
pub fn rollback(way: &WayBack<'_>, now: Timestamp) -> Lock {
    let mut lock = successor(way.base, way.kind, now);
    lock.commit = way.commit.clone();
    lock.plan = way.plan.clone();
    lock.requested_by = way.by.cloned();
    lock.reason = Some(way.reason.to_owned());
    if let Some(bad) = way.base.stacks.get(way.stack) {
        lock.holds.push(hold_on(way.stack, bad, way.by, way.reason, now));
    }
    lock.stacks.insert(way.stack.clone(), way.target.clone());
    lock.overrides = lock.overrides_left(now);
    lock
}

/// The lock that only holds a content, where there is nothing to go back to.
pub fn hold(base: &Lock, stack: &StackName, reason: &str, now: Timestamp) -> Lock {
    let mut lock = successor(base, ReleaseKind::Hold, now);
    lock.reason = Some(reason.to_owned());
    if let Some(bad) = base.stacks.get(stack) {
        lock.holds.push(hold_on(stack, bad, None, reason, now));
    }
    lock
}

fn hold_on(stack: &StackName, bad: &LockedStack, by: Option<&PersonName>, reason: &str, now: Timestamp) -> Hold {
    Hold {
        stack: Some(stack.clone()),
        content: Some(bad.content.clone()),
        release: Some(bad.release),
        by: by.cloned(),
        reason: reason.to_owned(),
        at: now,
        until: None,
    }
}

fn successor(base: &Lock, kind: ReleaseKind, now: Timestamp) -> Lock {
    Lock {
        release: base.release.next(),
        kind,
        created_at: now,
        requested_by: None,
        reason: None,
        approvals: Vec::new(),
        holds: holds_of(Some(base), now),
        freezes: base.freezes_left(now),
        overrides: base.overrides_left(now),
        ..base.clone()
    }
}

/// A person as author of a commit.
pub fn person_identity(person: &Person) -> Identity {
    Identity::new(&person.full_name, &person.email)
}

/// The bot as author or committer of a commit.
pub fn bot_identity(bot: &BotIdentity) -> Identity {
    Identity::new(&bot.name, &bot.email)
}

/// `Alice Example <alice@example.org>`.
pub fn signed_off(identity: &Identity) -> String {
    format!("{} <{}>", identity.name(), identity.email())
}

/// What a commit message says beyond the lock itself.
#[derive(Debug, Default)]
pub struct Told<'a> {
    /// The subject without the environment, e.g. `release 2 (shop)`.
    pub subject: String,
    /// What changes.
    pub changes: BTreeMap<StackName, StackChange>,
    /// Who agreed.
    pub approved_by: Vec<Identity>,
    /// Who asked, as a name and address, or in the words of a host.
    pub requested_by: Option<String>,
    /// The stack and the two releases of a rollback: from, to.
    pub went_back: Option<(&'a StackName, ReleaseNumber, ReleaseNumber)>,
}

/// The whole message: subject, what changes, trailers. Foreign text is on one line wherever it stands.
pub fn message(lock: &Lock, told: &Told<'_>) -> String {
    let mut text = format!("{}: {}\n", lock.environment, told.subject);
    let lines = change_lines(&told.changes);
    if !lines.is_empty() {
        text.push('\n');
        lines.iter().take(CHANGE_LINES_MAX).for_each(|line| _ = writeln!(text, "{line}"));
        if lines.len() > CHANGE_LINES_MAX {
            let _ = writeln!(text, "and {} more", lines.len() - CHANGE_LINES_MAX);
        }
    }
    text.push('\n');
    for (key, value) in trailers(lock, told) {
        let _ = writeln!(text, "{key}: {value}");
    }
    text
}

fn trailers(lock: &Lock, told: &Told<'_>) -> Vec<(&'static str, String)> {
    let mut trailers = vec![
        ("Tidegate-Environment", lock.environment.to_string()),
        ("Tidegate-Release", lock.release.to_string()),
        ("Tidegate-Kind", kind_word(lock.kind).to_owned()),
        ("Tidegate-Commit", lock.commit.to_string()),
        ("Tidegate-Plan", lock.plan.to_string()),
    ];
    trailers.extend(told.approved_by.iter().map(|author| ("Approved-by", signed_off(author))));
    trailers.extend(told.requested_by.iter().filter_map(|who| Some(("Requested-by", clean_reason(who)?))));
    if let Some((stack, from, to)) = told.went_back {
        trailers.push(("Rolled-back-from", format!("{stack} release {from}")));
        trailers.push(("Restores", format!("{stack} release {to}")));
    }
    trailers.extend(lock.reason.iter().filter_map(|reason| Some(("Reason", clean_reason(reason)?))));
    trailers
}

/// A kind as it stands in the lock and in trailers.
pub fn kind_word(kind: ReleaseKind) -> &'static str {
    match kind {
        ReleaseKind::Release => "release",
        ReleaseKind::Rollback => "rollback",
        ReleaseKind::AutomaticRollback => "automatic_rollback",
        ReleaseKind::Hold => "hold",
        ReleaseKind::Freeze => "freeze",
        ReleaseKind::Override => "override",
    }
}

/// What changes, one line for each service: `shop: web web:1 → web:2`.
pub fn change_lines(changes: &BTreeMap<StackName, StackChange>) -> Vec<String> {
    changes.iter().flat_map(|(stack, change)| stack_lines(stack, change)).collect()
}

fn stack_lines(stack: &StackName, change: &StackChange) -> Vec<String> {
    let mut lines: Vec<String> =
        change.services.iter().map(|(service, change)| format!("{stack}: {service} {}", service_words(change))).collect();
    match change.kind {
        ChangeKind::Removed => lines.insert(0, format!("{stack}: removed")),
        ChangeKind::Added if lines.is_empty() => lines.push(format!("{stack}: added")),
        ChangeKind::Changed if lines.is_empty() => lines.push(format!("{stack}: networks or volumes change")),
        _ => {}
    }
    if let Some(placement) = &change.placement {
        let from = labels(&placement.from.hosts);
        let to = labels(&placement.to.hosts);
        lines.push(format!("{stack}: runs on hosts with {to} (was {from})"));
    }
    lines
}

fn labels(labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return "any labels".to_owned();
    }
    labels.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(", ")
}

fn service_words(change: &ServiceChange) -> String {
    match (&change.from, &change.to) {
        (Some(from), Some(to)) if from != to => format!("{from} → {to}"),
        (Some(_), Some(_)) => {
            let names: Vec<&str> = change.fields.iter().filter_map(|field| field.split(':').next()).collect();
            format!("changes in {}", names.join(", "))
        }
        (None, Some(to)) => format!("{to} (new)"),
        (Some(from), None) => format!("{from} (goes)"),
        (None, None) => "changes".to_owned(),
    }
}

/// `shop`, `shop and blog`, `shop, blog and 3 more`.
pub fn stack_list<'a>(stacks: impl ExactSizeIterator<Item = &'a StackName>) -> String {
    const NAMED_MAX: usize = 3;
    let count = stacks.len();
    let names: Vec<&str> = stacks.take(NAMED_MAX).map(StackName::as_str).collect();
    match (count, names.as_slice()) {
        (0, _) => "settings".to_owned(),
        (1, [one]) => (*one).to_owned(),
        (2 | 3, [first @ .., last]) => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", names.join(", "), count - NAMED_MAX),
    }
}

/// The file of an environment's lock.
pub fn lock_path(environment: &EnvironmentName) -> Result<tidegate_core::ids::RepoPath, tidegate_core::ids::InvalidId> {
    format!("releases/{environment}.yaml").parse()
}
