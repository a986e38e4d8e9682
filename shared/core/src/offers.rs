//! What git offers a host: from the repo and the lock to one [`Offer`] per stack.
//!
//! With a lock, only the lock counts: each stack as it is at its locked commit, with the locked digests, placed as the
//! lock's own commit places it. Without one, an environment that has no `approvals:` follows the tip of the branch.
//! What is on the host and no longer placed is offered as nothing; too much of that at once is held for a person.

use crate::compose::StackModel;
use crate::desired::{DesiredStack, Naming, Source, desired_stack};
use crate::ids::{CommitId, EnvironmentName, HostName, StackName};
use crate::lock::{Lock, LockedStack};
use crate::plan::{Offer, Waiting};
use crate::repo::{ApprovalPolicy, Environment, Host, Repo};
use std::collections::BTreeMap;

/// At most this share of a host's stacks may go at once without a person, in percent (but one always may, if others stay).
pub const REMOVALS_MAX_PERCENT: usize = 30;

/// What the offers are made from.
#[derive(Debug, Clone, Copy)]
pub enum Basis<'a> {
    /// The lock, the repo at the lock's commit, and each stack as it is at its own commit.
    Lock(LockBasis<'a>),
    /// The tip itself.
    Tip {
        /// The newest commit that is valid.
        commit: &'a CommitId,
        /// The repo there.
        repo: &'a Repo,
    },
    /// The environment needs a release and has none: what would be placed waits for it.
    NoRelease {
        /// The newest valid repo.
        repo: &'a Repo,
    },
    /// Nothing that could be used, and why.
    Unusable {
        /// One sentence.
        cause: &'a str,
    },
}

/// A lock with what it names.
#[derive(Debug, Clone, Copy)]
pub struct LockBasis<'a> {
    /// The lock.
    pub lock: &'a Lock,
    /// The repo at the lock's commit: placement and labels.
    pub repo: &'a Repo,
    /// Each locked stack at its own commit, without the lock's digests; or why it cannot be had.
    pub models: &'a BTreeMap<StackName, Result<StackModel, String>>,
    /// The host's file at the tip: used for a host that did not exist yet when the lock was made.
    pub newcomer: Option<&'a Host>,
}

/// Which basis applies to an environment whose lock is missing?
pub fn follows_tip(environment: &Environment) -> bool {
    environment.approvals == ApprovalPolicy::FollowTip
}

/// The host that the offers are for, and what is on it.
#[derive(Debug, Clone, Copy)]
pub struct ForHost<'a> {
    /// Its name.
    pub host: &'a HostName,
    /// Its environment.
    pub environment: &'a EnvironmentName,
    /// How engine names are made there.
    pub naming: &'a Naming,
    /// Every stack that is recorded or observed there.
    pub present: &'a BTreeMap<StackName, Present>,
}

/// A stack that is on a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Present {
    /// Containers on the engine.
    pub containers: u32,
    /// A person agreed to its removal.
    pub removal: Removal,
}

/// May a stack go when it is not placed any more?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Removal {
    /// By the rule for all.
    #[default]
    ByRule,
    /// A person said yes.
    Confirmed,
}

/// One offer for every stack that is placed, recorded or observed here.
pub fn offers(basis: &Basis<'_>, host: &ForHost<'_>) -> BTreeMap<StackName, Offer> {
    match basis {
        Basis::Lock(locked) => from_lock(locked, host),
        Basis::Tip { commit, repo } => from_tip(repo, commit, host),
        Basis::NoRelease { repo } => before_the_first_release(repo, host),
        Basis::Unusable { cause } => everything_present(host, &Waiting::ConfigRefused { cause: (*cause).to_owned() }),
    }
}

/// What is here stays, and what would come waits: both say why.
fn before_the_first_release(repo: &Repo, host: &ForHost<'_>) -> BTreeMap<StackName, Offer> {
    let mut offers = everything_present(host, &Waiting::NoRelease);
    let labels = repo.hosts.get(host.host).map(|me| &me.labels);
    if let (Some(environment), Some(labels)) = (repo.environment(host.environment), labels) {
        let placed = environment.stacks.iter().filter(|(_, placement)| placement.matches(labels));
        offers.extend(placed.map(|(stack, _)| (stack.clone(), Offer::Unknown(Some(Waiting::NoRelease)))));
    }
    offers
}

/// The stacks stay as they are; each says why.
fn everything_present(host: &ForHost<'_>, waiting: &Waiting) -> BTreeMap<StackName, Offer> {
    host.present.keys().map(|stack| (stack.clone(), Offer::Unknown(Some(waiting.clone())))).collect()
}

fn from_lock(locked: &LockBasis<'_>, host: &ForHost<'_>) -> BTreeMap<StackName, Offer> {
    // A host that moved to another environment keeps what it has until a person looks.
    if locked.lock.environment != *host.environment {
        return unknown_host(host);
    }
    let Some(me) = locked.repo.hosts.get(host.host).or(locked.newcomer).filter(|me| me.environment == *host.environment) else {
        return unknown_host(host);
    };
    let Some(environment) = locked.repo.environment(host.environment) else { return unknown_environment(host) };
    let placed = |stack: &StackName| environment.stacks.get(stack).is_some_and(|placement| placement.matches(&me.labels));
    let mut offers: BTreeMap<StackName, Offer> = BTreeMap::new();
    for (stack, entry) in locked.lock.stacks.iter().filter(|(stack, _)| placed(stack)) {
        offers.insert(stack.clone(), locked_stack(entry, locked.models.get(stack), Target { host, me }));
    }
    let source = Source { commit: locked.lock.commit.clone(), release: Some(locked.lock.release) };
    with_removals(offers, &source, host)
}

#[derive(Clone, Copy)]
struct Target<'a> {
    host: &'a ForHost<'a>,
    me: &'a Host,
}

/// The stack as the lock names it; only if its content is the one that people approved.
fn locked_stack(entry: &LockedStack, model: Option<&Result<StackModel, String>>, target: Target<'_>) -> Offer {
    let refused = |cause: String| Offer::Unknown(Some(Waiting::ConfigRefused { cause }));
    let model = match model {
        None => return refused(format!("the stack's files at {} were not read", entry.commit.short())),
        Some(Err(cause)) => return refused(cause.clone()),
        Some(Ok(model)) => model.clone().pinned(&entry.images),
    };
    let computed = model.content();
    if computed != entry.content {
        return Offer::Unknown(Some(Waiting::ContentMismatch { locked: entry.content.clone(), computed }));
    }
    let source = Source { commit: entry.commit.clone(), release: Some(entry.release) };
    Offer::Stack(Box::new(desired_stack(&model, &source, target.host.naming, &target.me.labels)))
}

fn from_tip(repo: &Repo, commit: &CommitId, host: &ForHost<'_>) -> BTreeMap<StackName, Offer> {
    let Some(me) = repo.hosts.get(host.host).filter(|me| me.environment == *host.environment) else { return unknown_host(host) };
    let Some(environment) = repo.environment(host.environment) else { return unknown_environment(host) };
    let source = Source { commit: commit.clone(), release: None };
    let offers = environment
        .stacks
        .iter()
        .filter(|(_, placement)| placement.matches(&me.labels))
        .filter_map(|(stack, _)| repo.stacks.get(&(host.environment.clone(), stack.clone())))
        .map(|model| (model.name.clone(), Offer::Stack(Box::new(desired_stack(model, &source, host.naming, &me.labels)))))
        .collect();
    with_removals(offers, &source, host)
}

fn unknown_host(host: &ForHost<'_>) -> BTreeMap<StackName, Offer> {
    let cause = format!("hosts/{}.yaml is missing or names another environment than {}", host.host, host.environment);
    everything_present(host, &Waiting::ConfigRefused { cause })
}

fn unknown_environment(host: &ForHost<'_>) -> BTreeMap<StackName, Offer> {
    let cause = format!("environments/{}.yaml is missing", host.environment);
    everything_present(host, &Waiting::ConfigRefused { cause })
}

/// Adds what is on the host and not placed: as nothing, or held when it is too much at once.
fn with_removals(mut offers: BTreeMap<StackName, Offer>, source: &Source, host: &ForHost<'_>) -> BTreeMap<StackName, Offer> {
    let gone: Vec<(&StackName, &Present)> = host.present.iter().filter(|(stack, _)| !offers.contains_key(*stack)).collect();
    let held = too_many(gone.len(), offers.len());
    for (stack, present) in gone {
        let offer = if held && present.removal == Removal::ByRule {
            Offer::Unknown(Some(Waiting::RemovalHeld { containers: present.containers }))
        } else {
            Offer::Nothing(Box::new(DesiredStack::nothing(stack.clone(), host.naming.project(stack), source)))
        };
        offers.insert(stack.clone(), offer);
    }
    offers
}

/// Everything at once, or more than the limit: more likely a mistake than a wish.
fn too_many(gone: usize, placed: usize) -> bool {
    let limit = ((gone + placed) * REMOVALS_MAX_PERCENT / 100).max(1);
    gone > 0 && (placed == 0 || gone > limit)
}
