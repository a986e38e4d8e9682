//! What the config repo says for this host at a commit: which calendar, which lock, which stacks.
//!
//! Three things are read from three places on purpose. The calendar comes from the tip (or, when the tip is broken, from
//! the newest commit that was valid), the lock from the tip even when the rest of it is broken (a rollback must not wait
//! for somebody's typing error), and the stacks from the commits that the lock names.

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::calendar::{Decision, Zones};
use tidegate_core::compose::{StackModel, resolve_stack};
use tidegate_core::files::RepoFiles;
use tidegate_core::findings::{Finding, Place, Severity, has_errors};
use tidegate_core::ids::{CommitId, ContentId, EnvironmentName, HostName, RepoPath, StackName};
use tidegate_core::lock::{self, Lock};
use tidegate_core::offers::{Basis, ForHost, LockBasis, follows_tip, offers};
use tidegate_core::plan::{Gates, Offer, Splay, Unwatched};
use tidegate_core::repo::{self, Environment, Host, Loaded, Repo, Standing};
use tidegate_core::trust::TRUST_FILE;
use tidegate_git::{GitError, Mirror};

/// Why the config cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// git did not answer or has not got it.
    #[error("the config repo could not be read at {commit}")]
    Git {
        /// The commit.
        commit: CommitId,
        /// The cause.
        source: GitError,
    },
    /// The thread that reads is gone: only while the program ends.
    #[error("reading the config repo was interrupted")]
    Interrupted,
}

/// What the host itself adds to the gates.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The clock went back.
    pub clock_fault: Option<String>,
    /// Nothing keeps the clock right.
    pub adrift: Option<String>,
    /// From the last look before a pause to the first after it.
    pub unwatched: Option<(Timestamp, Timestamp)>,
    /// How hosts spread out after an opening.
    pub splay: Splay,
}

/// What the config says for one host at a trusted commit.
pub struct ConfigView {
    /// The commit that was looked at.
    pub commit: CommitId,
    /// The newest commit that is valid as a whole: that one, or an earlier one.
    pub valid: Option<CommitId>,
    /// What is wrong at the commit; warnings included.
    pub findings: Vec<Finding>,
    /// The environment that the host belongs to.
    pub environment: Option<EnvironmentName>,
    me: Option<Host>,
    standing: Standing,
    calendar_fault: Option<String>,
    basis: OwnedBasis,
}

enum OwnedBasis {
    Lock(Box<OwnedLock>),
    Tip { commit: CommitId, repo: Arc<Repo> },
    NoRelease { repo: Arc<Repo> },
    Unusable(String),
}

struct OwnedLock {
    lock: Lock,
    repo: Arc<Repo>,
    models: BTreeMap<StackName, Result<StackModel, String>>,
    newcomer: Option<Host>,
}

impl ConfigView {
    /// One offer per stack for this host.
    pub fn offers(&self, host: &ForHost<'_>) -> BTreeMap<StackName, Offer> {
        let basis = match &self.basis {
            OwnedBasis::Lock(owned) => {
                Basis::Lock(LockBasis { lock: &owned.lock, repo: &owned.repo, models: &owned.models, newcomer: owned.newcomer.as_ref() })
            }
            OwnedBasis::Tip { commit, repo } => Basis::Tip { commit, repo },
            OwnedBasis::NoRelease { repo } => Basis::NoRelease { repo },
            OwnedBasis::Unusable(cause) => Basis::Unusable { cause },
        };
        offers(&basis, host)
    }

    /// What gates releases now.
    pub fn gates(&self, around: &Surroundings) -> Gates {
        let Standing { calendar, holds, overrides } = self.standing.clone();
        // Where it is never closed, a clock that is adrift makes no difference.
        let adrift = around.adrift.clone().filter(|_| calendar.depends_on_time());
        let unwatched = around.unwatched.map(|(from, until)| Unwatched { from, until, offered_at: self.released_at() });
        Gates {
            calendar: calendar.with_asked_freezes_begun(),
            holds,
            overrides,
            clock_fault: around.clock_fault.clone().or(adrift),
            calendar_fault: self.calendar_fault.clone(),
            splay: around.splay.clone(),
            unwatched,
            pulled: BTreeSet::new(),
        }
    }

    /// When what is offered was released, if a lock says so.
    fn released_at(&self) -> Option<Timestamp> {
        match &self.basis {
            OwnedBasis::Lock(owned) => Some(owned.lock.created_at),
            OwnedBasis::Tip { .. } | OwnedBasis::NoRelease { .. } | OwnedBasis::Unusable(_) => None,
        }
    }

    /// Does its calendar need a clock that can be trusted?
    pub fn depends_on_time(&self) -> bool {
        self.standing.calendar.depends_on_time()
    }

    /// What the calendar says.
    pub fn decide(&self, now: Timestamp) -> Decision {
        self.standing.calendar.decide(now)
    }

    /// The host's public key for events, as the config repo knows it.
    pub fn events_key(&self) -> Option<&str> {
        self.me.as_ref()?.events_key.as_deref()
    }

    /// The host's file.
    pub fn me(&self) -> Option<&Host> {
        self.me.as_ref()
    }

    /// Windows, freezes, holds and overrides: of the environment's file and of the lock.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Nothing can be told: what runs stays as it is.
    pub fn unusable(commit: CommitId, cause: &str) -> ConfigView {
        ConfigView {
            commit,
            valid: None,
            findings: Vec::new(),
            environment: None,
            me: None,
            standing: Standing::default(),
            calendar_fault: None,
            basis: OwnedBasis::Unusable(cause.to_owned()),
        }
    }

    /// Differs when something else is offered to some host, or may start there: the lock's stacks, or the tip's stacks;
    /// freezes that were asked for in chat, holds, overrides.
    pub fn fingerprint(&self) -> ContentId {
        let stops = (&self.standing.holds, &self.standing.overrides);
        let offers = match &self.basis {
            OwnedBasis::Lock(owned) => ContentId::of(&(&owned.lock.stacks, &owned.lock.freezes)),
            OwnedBasis::Tip { repo, .. } => {
                let stacks: Vec<_> =
                    repo.stacks.iter().map(|((environment, stack), model)| (environment, stack, model.content())).collect();
                let placements: Vec<_> = repo.environments.iter().map(|environment| &environment.stacks).collect();
                ContentId::of(&(stacks, placements))
            }
            OwnedBasis::NoRelease { repo } => {
                let placements: Vec<_> = repo.environments.iter().map(|environment| &environment.stacks).collect();
                ContentId::of(&("no release", placements))
            }
            OwnedBasis::Unusable(cause) => ContentId::of_bytes(cause.as_bytes()),
        };
        ContentId::of(&(offers, stops))
    }

    /// Is the commit itself unusable as a whole?
    pub fn is_refused(&self) -> bool {
        self.valid.as_ref() != Some(&self.commit)
    }

    /// The errors at the commit, one line each.
    pub fn errors(&self) -> Vec<String> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error).map(line).collect()
    }
}

/// A finding in one line: `file:line:column: message`.
pub fn line(finding: &Finding) -> String {
    let place = &finding.place;
    match place.line {
        0 => format!("{}: {}", place.file, finding.message),
        number => format!("{}:{number}:{}: {}", place.file, place.column, finding.message),
    }
}

/// Looks at the config of one host.
pub struct ConfigReader<'a> {
    /// The config repo.
    pub mirror: &'a Mirror,
    /// The host.
    pub host: &'a HostName,
    /// Decides about windows.
    pub zones: &'a Zones,
}

impl ConfigReader<'_> {
    /// What the config says at `commit`; `valid_before` is the newest commit known to be valid.
    pub async fn view(&self, commit: &CommitId, valid_before: Option<&CommitId>) -> Result<ConfigView, ConfigError> {
        let mut tip_is_read = true;
        let (files, mut loaded) = match self.mirror.files(commit).await {
            Ok(files) => (Arc::clone(&files), self.load(files).await?),
            // The commit itself is at fault: what was valid before stays in force, lock included.
            Err(error) if is_about_the_commit(&error) => {
                tip_is_read = false;
                let files = match valid_before.filter(|before| *before != commit) {
                    Some(before) => self.files(before).await?,
                    None => Arc::default(),
                };
                (files, Loaded { repo: None, findings: vec![unreadable(&error)] })
            }
            Err(source) => return Err(ConfigError::Git { commit: commit.clone(), source }),
        };
        let before = match valid_before.filter(|before| *before != commit) {
            Some(before) => Some(self.files(before).await?),
            None => None,
        };
        let lost = loaded.repo.as_ref().and_then(|repo| lost_lock(self.host, repo, (&*files, before.as_deref()?)));
        loaded.findings.extend(lost);
        let usable = loaded.repo.is_some() && !has_errors(&loaded.findings);
        let (valid, repo) = match (usable, valid_before) {
            (true, _) => (Some(commit.clone()), loaded.repo.map(Arc::new)),
            (false, Some(before)) if before != commit => (Some(before.clone()), self.repo_at(before).await?.ok()),
            (false, _) => (None, None),
        };
        let environment = repo.as_ref().and_then(|repo| repo.hosts.get(self.host)).map(|me| me.environment.clone());
        let mut view = ConfigView {
            commit: commit.clone(),
            valid,
            findings: loaded.findings,
            environment: environment.clone(),
            me: None,
            standing: Standing::default(),
            calendar_fault: None,
            basis: OwnedBasis::Unusable(String::new()),
        };
        let (Some(repo), Some(environment)) = (repo, environment) else {
            view.basis = OwnedBasis::Unusable(self.unusable(&view));
            return Ok(view);
        };
        view.me = repo.hosts.get(self.host).cloned();
        let mut own_policy = None;
        if let Some(before) = before.filter(|_| view.is_refused()) {
            let tip = tip_is_read.then_some(&*files);
            (own_policy, view.calendar_fault) = self.refused_calendar(&view, &environment, (tip, &*before)).await?;
        }
        let known = Known { files, repo, environment };
        view.basis = self.basis(&view, &known).await?;
        let lock = match &view.basis {
            OwnedBasis::Lock(owned) => Some(&owned.lock),
            OwnedBasis::Tip { .. } | OwnedBasis::NoRelease { .. } | OwnedBasis::Unusable(_) => None,
        };
        let policy = own_policy.as_ref().or_else(|| known.repo.environment(&known.environment));
        view.standing = policy.map(|policy| policy.standing(lock)).unwrap_or_default();
        Ok(view)
    }

    /// The calendar of a commit that is refused. What somebody wrote into the environment's file is in force whatever else
    /// is broken: the file is taken from the commit if it reads well among what was valid before. If it does not, or is gone,
    /// nobody can say what is in force, and releases wait. The same goes for a lock that is gone, with its freezes and holds.
    async fn refused_calendar(
        &self,
        view: &ConfigView,
        environment: &EnvironmentName,
        (tip, before): (Option<&RepoFiles>, &RepoFiles),
    ) -> Result<(Option<Environment>, Option<String>), ConfigError> {
        let Some(tip) = tip else { return Ok((None, view.errors().into_iter().next())) };
        let paths = own_paths(environment);
        let Some((file, lock)) = paths else { return Ok((None, None)) };
        let bytes = |files: &RepoFiles, path: &RepoPath| files.get(path).map(|file| file.bytes.clone());
        let is_gone = |path: &RepoPath| bytes(before, path).is_some() && bytes(tip, path).is_none();
        if let Some(path) = [&file, &lock].into_iter().find(|path| is_gone(path)) {
            return Ok((None, Some(format!("{path} is gone"))));
        }
        if bytes(tip, &file) == bytes(before, &file) {
            return Ok((None, None));
        }
        let mut files = before.clone();
        if let Some(found) = tip.get(&file) {
            files.insert(file.clone(), found.clone());
        }
        let loaded = self.load(Arc::new(files)).await?;
        let fault = || {
            let own = loaded.findings.iter().find(|finding| finding.severity == Severity::Error).map(line);
            own.unwrap_or_else(|| format!("{file} cannot be read"))
        };
        match &loaded.repo {
            Some(repo) if !has_errors(&loaded.findings) => Ok((repo.environment(environment).cloned(), None)),
            _ => Ok((None, Some(fault()))),
        }
    }

    fn unusable(&self, view: &ConfigView) -> String {
        match view.errors().into_iter().next() {
            Some(first) => first,
            None => format!("hosts/{}.yaml is missing", self.host),
        }
    }

    async fn basis(&self, view: &ConfigView, known: &Known) -> Result<OwnedBasis, ConfigError> {
        if let Some(lock) = lock_at(known) {
            return self.locked(view, lock, known).await;
        }
        let follows = known.repo.environment(&known.environment).is_some_and(follows_tip);
        Ok(match &view.valid {
            Some(commit) if follows => OwnedBasis::Tip { commit: commit.clone(), repo: Arc::clone(&known.repo) },
            _ => OwnedBasis::NoRelease { repo: Arc::clone(&known.repo) },
        })
    }

    async fn locked(&self, view: &ConfigView, lock: Lock, known: &Known) -> Result<OwnedBasis, ConfigError> {
        let named = std::iter::once(&lock.commit).chain(lock.stacks.values().map(|stack| &stack.commit));
        let guarded = known.files.iter().any(|(path, _)| path.as_str() == TRUST_FILE);
        for commit in named.collect::<std::collections::BTreeSet<_>>() {
            if !self.is_in_history(&view.commit, commit, guarded).await? {
                let cause =
                    format!("releases/{}.yaml names commit {}, which is not in the branch's history", known.environment, commit.short());
                return Ok(OwnedBasis::Unusable(cause));
            }
        }
        let repo = if view.valid.as_ref() == Some(&lock.commit) { Ok(Arc::clone(&known.repo)) } else { self.repo_at(&lock.commit).await? };
        let repo = match repo {
            Ok(repo) => repo,
            Err(cause) => return Ok(OwnedBasis::Unusable(format!("at the lock's commit {}: {cause}", lock.commit.short()))),
        };
        let models = self.models(&lock, &known.environment).await?;
        let newcomer = known.repo.hosts.get(self.host).cloned();
        Ok(OwnedBasis::Lock(Box::new(OwnedLock { lock, repo, models, newcomer })))
    }

    /// Where a signer policy guards the branch, only the branch's own line was judged: what lies beside it, left behind by
    /// a merge, is nobody's to name.
    async fn is_in_history(&self, tip: &CommitId, commit: &CommitId, guarded: bool) -> Result<bool, ConfigError> {
        let failed = |source| ConfigError::Git { commit: commit.clone(), source };
        if tip == commit {
            return Ok(true);
        }
        let found = if guarded { self.mirror.is_on_line(tip, commit).await } else { self.mirror.descends(tip, commit).await };
        found.map_err(failed)
    }

    /// Each locked stack at its own commit.
    async fn models(
        &self,
        lock: &Lock,
        environment: &EnvironmentName,
    ) -> Result<BTreeMap<StackName, Result<StackModel, String>>, ConfigError> {
        let mut models = BTreeMap::new();
        for (stack, entry) in &lock.stacks {
            let files = self.files(&entry.commit).await?;
            let (stack_name, environment) = (stack.clone(), environment.clone());
            let resolve = move || resolve_stack(&files, &environment, &stack_name);
            let resolved = tokio::task::spawn_blocking(resolve).await.map_err(|_| ConfigError::Interrupted)?;
            models.insert(stack.clone(), resolved.map_err(|findings| first_error(&findings)));
        }
        Ok(models)
    }

    async fn load(&self, files: Arc<RepoFiles>) -> Result<Loaded, ConfigError> {
        let zones = self.zones.clone();
        tokio::task::spawn_blocking(move || repo::load_with(&files, &zones)).await.map_err(|_| ConfigError::Interrupted)
    }

    pub(crate) async fn files(&self, commit: &CommitId) -> Result<Arc<RepoFiles>, ConfigError> {
        self.mirror.files(commit).await.map_err(|source| ConfigError::Git { commit: commit.clone(), source })
    }

    async fn repo_at(&self, commit: &CommitId) -> Result<Result<Arc<Repo>, String>, ConfigError> {
        let loaded = self.load(self.files(commit).await?).await?;
        Ok(match loaded.repo {
            Some(repo) if !has_errors(&loaded.findings) => Ok(Arc::new(repo)),
            _ => Err(first_error(&loaded.findings)),
        })
    }
}

struct Known {
    files: Arc<RepoFiles>,
    repo: Arc<Repo>,
    environment: EnvironmentName,
}

/// Does the error say something about the commit's content, and not about git or the disk?
fn is_about_the_commit(error: &GitError) -> bool {
    matches!(error, GitError::BadFile { .. } | GitError::TooBig { .. })
}

fn unreadable(error: &GitError) -> Finding {
    let path = match error {
        GitError::BadFile { path, .. } => path.parse().ok(),
        _ => None,
    };
    let path: Option<RepoPath> = path.or_else(|| "tidegate.yaml".parse().ok());
    #[expect(clippy::expect_used, reason = "a constant path is a path")]
    let place = Place::file(path.expect("a constant path"));
    Finding::error("unreadable_file", place, error.to_string())
}

fn first_error(findings: &[Finding]) -> String {
    findings.iter().find(|f| f.severity == Severity::Error).map_or_else(|| "it cannot be used".to_owned(), line)
}

/// The lock at the tip; if that file is broken, the one of the newest valid commit.
fn lock_at(known: &Known) -> Option<Lock> {
    let path: RepoPath = format!("releases/{}.yaml", known.environment).parse().ok()?;
    match known.files.get(&path).map(|file| lock::read(&path, &file.bytes)) {
        Some(Ok(lock)) if lock.environment == known.environment => Some(lock),
        Some(_) => known.repo.locks.get(&known.environment).cloned(),
        // A lock that is there and cannot be read is no reason to follow the branch.
        // The same goes for one that is gone.
        None => known.repo.locks.get(&known.environment).cloned(),
    }
}

/// The environment's file and its lock.
fn own_paths(environment: &EnvironmentName) -> Option<(RepoPath, RepoPath)> {
    Some((format!("environments/{environment}.yaml").parse().ok()?, format!("releases/{environment}.yaml").parse().ok()?))
}

/// A lock that was there and is gone: freezes and holds would be gone with it, and everything that waits would start.
fn lost_lock(host: &HostName, repo: &Repo, (tip, before): (&RepoFiles, &RepoFiles)) -> Option<Finding> {
    let environment = &repo.hosts.get(host)?.environment;
    let (_, path) = own_paths(environment)?;
    let is_lost = before.get(&path).is_some() && tip.get(&path).is_none() && tip.refused_around(&path).is_none();
    let finding = || Finding::error("lock_is_gone", Place::file(path.clone()), format!("the lock of `{environment}` was removed"));
    is_lost.then(|| finding().hint("restore the file; it keeps what is released, held and frozen"))
}
