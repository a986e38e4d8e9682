//! What is allowed in a config repo and probably not meant, as seen at a moment: the calendars' warnings, with their places.
//!
//! It stands apart from `repo`: it needs the time, and the budgets of rollouts, which only the desired state knows.

use crate::calendar::{Item, Lint, LintInputs};
use crate::desired::{Naming, Source, desired_stack};
use crate::files::RepoFiles;
use crate::findings::{Finding, Place, with_excerpts};
use crate::ids::CommitId;
use crate::repo::{ApprovalPolicy, Environment, Repo};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Every warning about the calendars of a repo, with excerpts.
pub fn calendar_warnings(repo: &Repo, files: &RepoFiles, now: Timestamp) -> Vec<Finding> {
    let found = repo.environments.iter().flat_map(|environment| of(repo, environment, now)).collect();
    with_excerpts(found, files)
}

fn of(repo: &Repo, environment: &Environment, now: Timestamp) -> Vec<Finding> {
    let approval_expires_secs = match &environment.approvals {
        ApprovalPolicy::Required(rule) => rule.expires_after_secs,
        ApprovalPolicy::FollowTip | ApprovalPolicy::None => None,
    };
    // Without any window, loading has warned already.
    let inputs = LintInputs { now, production: false, slowest_budget_secs: slowest_secs(repo, environment), approval_expires_secs };
    environment.calendar.lint(&inputs).into_iter().filter_map(|lint| finding(environment, lint)).collect()
}

fn finding(environment: &Environment, lint: Lint) -> Option<Finding> {
    let place = match lint.item {
        Item::Window(_) | Item::Freeze(_) => environment.calendar.place(lint.item).cloned(),
        Item::AllWindows | Item::AllFreezes | Item::Cutoff => None,
    };
    let place = place.or_else(|| format!("environments/{}.yaml", environment.name).parse().ok().map(Place::file))?;
    Some(Finding::warning(lint.code, place, lint.message).hint(lint.hint))
}

/// How long the slowest rollout of an environment may take on one of its hosts, with the way back.
fn slowest_secs(repo: &Repo, environment: &Environment) -> Option<u64> {
    let nowhere = CommitId::try_from("0".repeat(40).as_str()).ok()?;
    let source = Source { commit: nowhere, release: None };
    let naming = Naming { prefix: String::new() };
    let none = BTreeMap::new();
    let labels: Vec<&BTreeMap<String, String>> = repo.hosts_of(&environment.name).map(|host| &host.labels).collect();
    let labels = if labels.is_empty() { vec![&none] } else { labels };
    let models = repo.stacks.iter().filter(|((of, _), _)| *of == environment.name).map(|(_, model)| model);
    let budgets = models.flat_map(|model| labels.iter().map(|labels| desired_stack(model, &source, &naming, labels).budget_ms()));
    budgets.max().map(|budget| budget.saturating_mul(2).div_ceil(1000))
}
