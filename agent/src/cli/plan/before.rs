//! What the environments run before a change: what their locks say, each stack at its own commit, or the branch.

use crate::cli::source::{History, Source};
use crate::{words, zones};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::compose::resolve_stack;
use tidegate_core::files::RepoFiles;
use tidegate_core::findings::{Finding, Severity};
use tidegate_core::ids::{CommitId, ContentId, EnvironmentName, HostName, RepoPath, StackName};
use tidegate_core::lock::{self, Lock};
use tidegate_core::offers::follows_tip;
use tidegate_core::preview::{Locked, Running};
use tidegate_core::repo::{Environment, Repo, load_with};

/// Most earlier locks that are looked through for what is held.
const LOCKS_MAX: usize = 200;

/// What runs before a change, as far as git can tell.
#[derive(Default)]
pub(super) struct Before {
    pub(super) running: BTreeMap<EnvironmentName, Running>,
    /// The hosts, if an earlier state of the config repo is at hand.
    pub(super) hosts: Option<BTreeMap<HostName, EnvironmentName>>,
    /// What a person should know about it.
    pub(super) notes: Vec<String>,
}

/// The state that a change starts from.
pub(super) struct Base {
    pub(super) commit: CommitId,
    pub(super) files: Arc<RepoFiles>,
}

/// Reads what the environments of `proposal` run: by the locks at `base`, or, without one, by its own.
pub(super) async fn before(source: &mut Source, base: Option<Base>, proposal: &Repo) -> anyhow::Result<Before> {
    let mut reading = Reading { history: &mut source.history, repos: BTreeMap::new(), before: Before::default() };
    let earlier = match &base {
        Some(base) => reading.repo(&base.commit, Some(&base.files)).await?,
        None => None,
    };
    if let Some(earlier) = &earlier {
        reading.before.hosts = Some(earlier.hosts.iter().map(|(name, host)| (name.clone(), host.environment.clone())).collect());
    }
    for environment in &proposal.environments {
        let lock = match &base {
            Some(base) => lock_in(&base.files, &environment.name),
            None => proposal.locks.get(&environment.name).cloned(),
        };
        let running = match (lock, &base, &earlier) {
            (Some(lock), ..) => reading.locked(environment, lock).await?,
            (None, Some(base), Some(repo)) if repo.environment(&environment.name).is_some_and(follows_tip) => {
                Some(Running::Branch { commit: base.commit.clone(), repo: Arc::clone(repo) })
            }
            (None, ..) => None,
        };
        reading.before.running.extend(running.map(|running| (environment.name.clone(), running)));
    }
    Ok(reading.before)
}

/// The lock of an environment, also in a config repo that is broken elsewhere.
fn lock_in(files: &RepoFiles, environment: &EnvironmentName) -> Option<Lock> {
    let path: RepoPath = format!("releases/{environment}.yaml").parse().ok()?;
    lock::read(&path, &files.get(&path)?.bytes).ok()
}

struct Reading<'a> {
    history: &'a mut History,
    /// Every commit is loaded once.
    repos: BTreeMap<CommitId, Option<Arc<Repo>>>,
    before: Before,
}

impl Reading<'_> {
    async fn locked(&mut self, environment: &Environment, lock: Lock) -> anyhow::Result<Option<Running>> {
        if matches!(self.history, History::Nothing) {
            self.before.notes.push(words::preview::no_history(&environment.name));
            return Ok(None);
        }
        let Some(repo) = self.repo(&lock.commit, None).await? else { return Ok(None) };
        let mut models = BTreeMap::new();
        for (stack, entry) in &lock.stacks {
            let model = self.model(&entry.commit, &environment.name, stack).await?;
            models.insert(stack.clone(), model);
        }
        let held = self.held(&environment.name, &lock).await?;
        Ok(Some(Running::Locked(Box::new(Locked { lock, repo, models, held }))))
    }

    /// The held contents as they were written, from the locks that once named them. What history does not tell is left out.
    async fn held(
        &mut self,
        environment: &EnvironmentName,
        lock: &Lock,
    ) -> anyhow::Result<BTreeMap<ContentId, tidegate_core::compose::StackModel>> {
        let wanted: BTreeSet<&ContentId> = lock.holds.iter().filter_map(|hold| hold.content.as_ref()).collect();
        let mut found = BTreeMap::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        let path: RepoPath = format!("releases/{environment}.yaml").parse()?;
        for bytes in self.history.versions(&path, LOCKS_MAX)? {
            let Ok(earlier) = lock::read(&path, &bytes) else { continue };
            for (stack, entry) in earlier.stacks.iter().filter(|(_, entry)| wanted.contains(&entry.content)) {
                if !found.contains_key(&entry.content)
                    && let Ok(Ok(model)) = self.model(&entry.commit, environment, stack).await
                {
                    found.insert(entry.content.clone(), model);
                }
            }
        }
        Ok(found)
    }

    async fn model(
        &mut self,
        commit: &CommitId,
        environment: &EnvironmentName,
        stack: &StackName,
    ) -> anyhow::Result<Result<tidegate_core::compose::StackModel, String>> {
        let key = (environment.clone(), stack.clone());
        if let Some(model) = self.repos.get(commit).and_then(Option::as_ref).and_then(|repo| repo.stacks.get(&key)) {
            return Ok(Ok(model.clone()));
        }
        let files = self.history.files(commit).await?;
        Ok(resolve_stack(&files, environment, stack).map_err(|findings| first_error(&findings)))
    }

    /// The config repo at a commit; none, with a note: it cannot be used there.
    async fn repo(&mut self, commit: &CommitId, files: Option<&Arc<RepoFiles>>) -> anyhow::Result<Option<Arc<Repo>>> {
        if let Some(known) = self.repos.get(commit) {
            return Ok(known.clone());
        }
        let files = match files {
            Some(files) => Arc::clone(files),
            None => self.history.files(commit).await?,
        };
        let loaded = load_with(&files, &zones::newest());
        let repo = loaded.repo.map(Arc::new);
        if repo.is_none() {
            self.before.notes.push(words::preview::unusable_before(commit, &first_error(&loaded.findings)));
        }
        self.repos.insert(commit.clone(), repo.clone());
        Ok(repo)
    }
}

fn first_error(findings: &[Finding]) -> String {
    let first = findings.iter().find(|finding| finding.severity == Severity::Error);
    first.map_or_else(|| "it cannot be used".to_owned(), |finding| format!("{}: {}", finding.place.file, finding.message))
}
