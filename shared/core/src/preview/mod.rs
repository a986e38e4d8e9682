//! What a change would do once it is released: by environment and host, by the planner that the agents use.
//!
//! The hosts are taken to run exactly what is released to them, and the gates are shown beside the steps instead of
//! stopping them: before a merge the question is *what*, then *when*. Hosts of which the same is asked share one plan,
//! so that a fleet costs what its kinds of hosts cost.

mod changes;
mod hosts;
mod when;

pub use changes::{Change, ChangeKind, Downtime, Totals, changes_of};
pub use hosts::{HostPreview, StackPreview, Unmanaged, UnmanagedBecause, as_released};
pub use when::{ApprovalsNeeded, When};

use crate::candidate::{self, Candidate, Comparison, Desired};
use crate::compose::StackModel;
use crate::desired::Naming;
use crate::ids::{CommitId, ContentId, EnvironmentName, HostName, ReleaseNumber, StackName};
use crate::lock::Lock;
use crate::observed::ObservedHost;
use crate::repo::{Environment, Repo};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a preview is made from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The config repo as it is proposed.
    pub repo: &'a Repo,
    /// Its commit; a folder that is no commit has one of zeros.
    pub commit: &'a CommitId,
    /// What each environment runs now; one that is not named here runs nothing.
    pub running: &'a BTreeMap<EnvironmentName, Running>,
    /// The hosts until now, with their environment; none: as they are proposed.
    pub hosts_before: Option<&'a BTreeMap<HostName, EnvironmentName>>,
    /// A recorded observation of a host, in place of what is released to it.
    pub observed: Option<(&'a HostName, &'a ObservedHost)>,
    /// How engine names are made.
    pub naming: &'a Naming,
    /// The moment.
    pub now: Timestamp,
}

/// What an environment runs.
#[derive(Debug, Clone)]
pub enum Running {
    /// What its lock says.
    Locked(Box<Locked>),
    /// The agents follow the branch: what it holds.
    Branch {
        /// The commit.
        commit: CommitId,
        /// The config repo there.
        repo: std::sync::Arc<Repo>,
    },
}

/// A lock with what it names.
#[derive(Debug, Clone)]
pub struct Locked {
    /// The lock.
    pub lock: Lock,
    /// The config repo at the lock's commit.
    pub repo: std::sync::Arc<Repo>,
    /// Each locked stack at its own commit, without digests; or why it cannot be had.
    pub models: BTreeMap<StackName, Result<StackModel, String>>,
    /// The held contents as they were written when they were released, without digests; as far as history tells.
    pub held: BTreeMap<ContentId, StackModel>,
}

/// What a change would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// In the order of promotion.
    pub environments: Vec<EnvironmentPreview>,
    /// All hosts together.
    pub totals: Totals,
}

/// What a change would do in an environment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvironmentPreview {
    /// The environment.
    pub environment: EnvironmentName,
    /// The release that it becomes.
    pub becomes: Becomes,
    /// When it would go out, and what stands in the way.
    pub when: When,
    /// Groups of hosts of which the same is asked; only those with something to do or to wait for.
    pub hosts: Vec<HostPreview>,
    /// Hosts of which nothing is asked.
    pub unchanged: Vec<HostName>,
    /// Hosts that no longer take part: what runs there stays.
    pub unmanaged: Vec<Unmanaged>,
    /// All its hosts together.
    pub totals: Totals,
}

/// The release that a change becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Becomes {
    /// The next number.
    Release {
        /// Its number.
        number: ReleaseNumber,
        /// The release before; none: it is the first.
        after: Option<ReleaseNumber>,
        /// What people would approve.
        plan: ContentId,
        /// The approval policy changes with it.
        changes_policy: bool,
    },
    /// Nothing: the environment stays as it is released.
    Nothing {
        /// The release that stays; none: nothing is released and nothing is desired.
        stays: Option<ReleaseNumber>,
    },
    /// No number: there is no lock and no `approvals`, so the agents follow the branch.
    Branch,
}

/// Makes the preview, for every environment.
pub fn preview(input: &Input<'_>) -> Preview {
    preview_of(input, |_| true, |_| true)
}

/// Makes the preview for some environments and hosts.
pub fn preview_of(input: &Input<'_>, environment: impl Fn(&EnvironmentName) -> bool, host: impl Fn(&HostName) -> bool) -> Preview {
    let asked = input.repo.environments.iter().filter(|found| environment(&found.name));
    let environments: Vec<EnvironmentPreview> = asked.map(|found| one(input, found, &host)).collect();
    let totals = environments.iter().fold(Totals::default(), |sum, environment| sum.plus(&environment.totals));
    Preview { environments, totals }
}

fn one(input: &Input<'_>, environment: &Environment, host: &impl Fn(&HostName) -> bool) -> EnvironmentPreview {
    let running = input.running.get(&environment.name);
    let comparison = comparison(input, environment, running);
    let becomes = becomes(environment, running, comparison.candidate.as_ref());
    let found = hosts::hosts(input, environment, running, host);
    let budget_ms = found.groups.iter().map(HostPreview::budget_ms).max().unwrap_or(0);
    let number = match &becomes {
        Becomes::Release { number, .. } => Some(*number),
        Becomes::Nothing { .. } | Becomes::Branch => None,
    };
    let contents = contents(input, environment, running);
    let when = when::when(input, environment, running, &when::Extent { budget_ms, comparison: &comparison, number, contents });
    let totals = found.groups.iter().fold(Totals::default(), |sum, group| sum.plus(&group.totals()));
    EnvironmentPreview {
        environment: environment.name.clone(),
        becomes,
        when,
        hosts: found.groups,
        unchanged: found.unchanged,
        unmanaged: found.unmanaged,
        totals,
    }
}

/// The contents that each stack of the proposal would have: with the lock's digests, and those of held releases that
/// were written the same.
fn contents(input: &Input<'_>, environment: &Environment, running: Option<&Running>) -> BTreeMap<StackName, BTreeSet<ContentId>> {
    // Identities cost something, and only such holds ask for them.
    let models = input.repo.stacks.iter().filter(|((of, _), _)| *of == environment.name && has_bound_holds(environment, running));
    let known = |model: &StackModel| {
        let held = locked(running).into_iter().flat_map(|locked| &locked.held).filter(|(_, held)| *held == model);
        held.map(|(content, _)| content.clone()).chain([hosts::with_digests(model, running).content()]).collect()
    };
    models.map(|((_, stack), model)| (stack.clone(), known(model))).collect()
}

/// Is a hold bound to a content?
fn has_bound_holds(environment: &Environment, running: Option<&Running>) -> bool {
    let locked = locked(running).into_iter().flat_map(|locked| &locked.lock.holds);
    locked.chain(&environment.holds).any(|hold| hold.content.is_some())
}

fn locked(running: Option<&Running>) -> Option<&Locked> {
    match running {
        Some(Running::Locked(locked)) => Some(locked),
        Some(Running::Branch { .. }) | None => None,
    }
}

/// The held contents that can be told from the proposal, as the comparison asks for them.
fn held(input: &Input<'_>, environment: &Environment, running: Option<&Running>) -> BTreeMap<ContentId, StackModel> {
    let Some(locked) = locked(running).filter(|_| has_bound_holds(environment, running)) else { return BTreeMap::new() };
    let models = input.repo.stacks.iter().filter(|((of, _), _)| *of == environment.name);
    let same = models.map(|(_, model)| (hosts::with_digests(model, running).content(), model.clone()));
    same.chain(locked.held.iter().map(|(content, model)| (content.clone(), model.clone()))).collect()
}

/// What the bot would offer for approval, and what it would not.
fn comparison(input: &Input<'_>, environment: &Environment, running: Option<&Running>) -> Comparison {
    let Some(desired) = Desired::of(input.repo, &environment.name, input.commit) else {
        return Comparison { candidate: None, held: BTreeMap::new() };
    };
    let (none, held) = (BTreeMap::new(), held(input, environment, running));
    let models = match running {
        Some(Running::Locked(locked)) => {
            let known = locked.models.iter().filter_map(|(name, model)| Some((name.clone(), model.as_ref().ok()?.clone())));
            known.collect()
        }
        Some(Running::Branch { .. }) | None => none,
    };
    let released = match running {
        Some(Running::Locked(locked)) => Some(candidate::Released {
            lock: &locked.lock,
            environment: locked.repo.environment(&environment.name),
            models: &models,
            held: &held,
        }),
        Some(Running::Branch { .. }) | None => None,
    };
    candidate::compare(&desired, released.as_ref(), input.now)
}

fn becomes(environment: &Environment, running: Option<&Running>, candidate: Option<&Candidate>) -> Becomes {
    let stays = match running {
        Some(Running::Locked(locked)) => Some(locked.lock.release),
        Some(Running::Branch { .. }) | None if crate::offers::follows_tip(environment) => return Becomes::Branch,
        Some(Running::Branch { .. }) | None => None,
    };
    match candidate {
        None => Becomes::Nothing { stays },
        Some(candidate) => Becomes::Release {
            number: stays.map_or(ReleaseNumber(1), ReleaseNumber::next),
            after: stays,
            plan: candidate.plan.clone(),
            changes_policy: candidate.policy.is_some(),
        },
    }
}
