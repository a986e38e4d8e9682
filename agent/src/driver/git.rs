//! The git side of the loop: poll, fetch, check descent, trust, look at the config; and watch for something newer while
//! a turn works.

use super::{Driver, DriverError, FINDINGS_TOLD, GIT_ALERT_AFTER, troubles};
use crate::backoff::{chance, jittered};
use crate::clock::WallClock;
use crate::config::{ConfigReader, ConfigView};
use crate::engine::Engine;
use crate::settings::Settings;
use crate::store::{Change, StoreError, Write};
use crate::words;
use tidegate_core::calendar::Zones;
use tidegate_core::events::{ConfigRefused, Event};
use tidegate_core::ids::{CommitId, EnvironmentName};
use tidegate_git::{GitError, Mirror};

impl<E: Engine, C: Fn(&EnvironmentName) -> E> Driver<E, C> {
    /// Asks git; a new tip is fetched, checked and looked at.
    pub(super) async fn poll(&mut self) -> Result<(), DriverError> {
        match self.look_at_git().await {
            Ok(()) => {
                self.git.answered(jittered(self.parts.settings.poll_interval, chance()));
                self.reporter.polled(self.parts.clock.now());
                self.recovered(troubles::GIT_UNREACHABLE).await?;
            }
            Err(GitTrouble::Store(error)) => return Err(error.into()),
            Err(GitTrouble::Git(cause)) => {
                self.git.silent();
                tracing::warn!(cause, "the config repo cannot be asked");
                if self.git.backoff.failures() >= GIT_ALERT_AFTER {
                    self.trouble(troubles::GIT_UNREACHABLE, cause).await?;
                }
                self.view_without_git().await?;
            }
        }
        Ok(())
    }

    async fn look_at_git(&mut self) -> Result<(), GitTrouble> {
        let mirror = self.parts.mirror.clone();
        let mut tip = mirror.poll().await?;
        let trusted = self.memory.trusted.clone();
        if self.refused_tip.as_ref() == Some(&tip) {
            return self.ensure_view().await;
        }
        if trusted.as_ref() != Some(&tip) {
            tip = mirror.fetch().await?;
        }
        self.follow(tip).await?;
        self.ensure_view().await
    }

    pub(super) async fn trust(&mut self, tip: CommitId) -> Result<(), StoreError> {
        if self.memory.trusted.as_ref() != Some(&tip) {
            self.commit(Change::at(self.parts.clock.now()).write(Write::Trusted(tip.clone()))).await?;
            self.memory.trusted = Some(tip);
        }
        Ok(())
    }

    /// What the config says at the trusted commit, read again only when that moved.
    async fn ensure_view(&mut self) -> Result<(), GitTrouble> {
        let Some(trusted) = self.memory.trusted.clone() else { return Ok(()) };
        if self.view.as_ref().is_some_and(|view| view.commit == trusted) {
            return Ok(());
        }
        let mirror = self.parts.mirror.clone();
        let reader = ConfigReader { mirror: &mirror, host: &self.parts.settings.host, zones: &self.zones };
        let view = reader.view(&trusted, self.memory.valid.as_ref()).await?;
        self.take_view(view).await?;
        Ok(())
    }

    /// git is away: what was fetched before is still good.
    pub(super) async fn view_without_git(&mut self) -> Result<(), DriverError> {
        if self.view.is_some() {
            return Ok(());
        }
        let looked = match (&self.memory.trusted, self.parts.mirror.local_tip().await.ok().flatten()) {
            // The memory was lost and git is away: what was fetched before is judged like anything else.
            (None, Some(tip)) => self.follow(tip).await,
            _ => Ok(()),
        };
        let looked = match looked {
            Ok(()) => self.ensure_view().await,
            failed => failed,
        };
        match looked {
            Err(GitTrouble::Store(error)) => Err(error.into()),
            Err(GitTrouble::Git(cause)) => {
                tracing::debug!(cause, "nothing was fetched before");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn take_view(&mut self, view: ConfigView) -> Result<(), StoreError> {
        let mut change = Change::at(self.parts.clock.now());
        if let Some(valid) = view.valid.clone().filter(|valid| self.memory.valid.as_ref() != Some(valid)) {
            self.memory.valid = Some(valid.clone());
            change = change.write(Write::Valid(valid));
        }
        if view.is_refused() && self.memory.refused.as_ref() != Some(&view.commit) {
            self.memory.refused = Some(view.commit.clone());
            let findings = told_findings(&view);
            tracing::warn!(
                commit = view.commit.short(),
                findings = findings.join("; "),
                "the config cannot be used; the last good state keeps running"
            );
            let event = Event::ConfigRefused(ConfigRefused { commit: view.commit.clone(), findings });
            change = change.write(Write::Refused(view.commit.clone())).tell(event);
        }
        self.commit(change).await?;
        self.take_environment(&view).await?;
        self.look = true;
        self.view = Some(view);
        Ok(())
    }

    /// The environment decides what on the engine is ours; it is fixed with the first config.
    async fn take_environment(&mut self, view: &ConfigView) -> Result<(), StoreError> {
        match (&self.memory.environment, &view.environment) {
            (Some(known), Some(now)) if known != now => {
                let cause = words::environment_changed(known, now);
                return self.trouble(troubles::ENVIRONMENT_CHANGED, cause).await;
            }
            (None, Some(environment)) => {
                let environment = environment.clone();
                self.commit(Change::at(self.parts.clock.now()).write(Write::Environment(environment.clone()))).await?;
                self.memory.environment = Some(environment);
            }
            _ => {}
        }
        match view.environment {
            Some(_) => {
                self.recovered(troubles::ENVIRONMENT_CHANGED).await?;
                self.recovered(troubles::HOST_UNKNOWN).await
            }
            None if view.valid.is_some() => self.trouble(troubles::HOST_UNKNOWN, words::host_unknown(&self.parts.settings.host)).await,
            None => Ok(()),
        }
    }
}

fn told_findings(view: &ConfigView) -> Vec<String> {
    let all = view.errors();
    let more = all.len().saturating_sub(FINDINGS_TOLD);
    let mut told: Vec<String> = all.into_iter().take(FINDINGS_TOLD).collect();
    if more > 0 {
        told.push(words::more_findings(more));
    }
    told
}

/// Watches git while a turn works: a newer offer for a stack in hand takes its place at once.
pub(super) struct Newer<'a> {
    pub(super) mirror: &'a Mirror,
    pub(super) view: &'a ConfigView,
    pub(super) settings: &'a Settings,
    pub(super) zones: &'a Zones,
    pub(super) clock: &'a WallClock,
}

impl Newer<'_> {
    /// Ends when what git offers has become something else.
    pub(super) async fn supersedes(&self) {
        let mut seen = self.view.commit.clone();
        loop {
            tokio::time::sleep(jittered(self.settings.poll_interval, chance())).await;
            let Ok(tip) = self.mirror.poll().await else { continue };
            if tip == seen {
                continue;
            }
            seen = tip;
            if self.differs().await.unwrap_or(false) {
                return;
            }
        }
    }

    async fn differs(&self) -> Result<bool, GitTrouble> {
        let tip = self.mirror.fetch().await?;
        if !self.mirror.descends(&tip, &self.view.commit).await? {
            return Ok(false);
        }
        if self.mirror.judge(&self.view.commit, &tip, self.clock.now()).await?.refused.is_some() {
            return Ok(false);
        }
        let reader = ConfigReader { mirror: self.mirror, host: &self.settings.host, zones: self.zones };
        let newer = reader.view(&tip, self.view.valid.as_ref()).await?;
        Ok(newer.fingerprint() != self.view.fingerprint())
    }
}

/// git or the store.
pub(super) enum GitTrouble {
    /// In words: it is only told.
    Git(String),
    Store(StoreError),
}

impl From<GitError> for GitTrouble {
    fn from(error: GitError) -> GitTrouble {
        GitTrouble::Git(words::chain(&error))
    }
}
impl From<crate::config::ConfigError> for GitTrouble {
    fn from(error: crate::config::ConfigError) -> GitTrouble {
        GitTrouble::Git(words::chain(&error))
    }
}
impl From<StoreError> for GitTrouble {
    fn from(error: StoreError) -> GitTrouble {
        GitTrouble::Store(error)
    }
}
