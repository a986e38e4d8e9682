//! Whether a tip may be followed. It must descend from what was trusted before, and every commit between must count by
//! the signer policy in the repo, if there is one. Where a repo has a policy, the first commit ever followed is the one
//! that the settings pin: a policy that is read from the very branch that it should guard would guard nothing.

use super::git::GitTrouble;
use super::{Driver, troubles};
use crate::engine::Engine;
use crate::settings::TrustPin;
use crate::words;
use tidegate_core::ids::{CommitId, EnvironmentName};
use tidegate_core::trust::Rule;

impl<E: Engine, C: Fn(&EnvironmentName) -> E> Driver<E, C> {
    /// Follows a tip as far as it may be followed. What may not is told once, and disturbs nothing.
    pub(super) async fn follow(&mut self, tip: CommitId) -> Result<(), GitTrouble> {
        match (self.memory.trusted.clone(), self.parts.settings.trust.clone()) {
            (Some(trusted), _) if trusted == tip => self.followed(None).await,
            (Some(trusted), _) => self.on_from(&trusted, tip).await,
            (None, Some(pin)) => self.begin_at_the_pin(&pin, tip).await,
            (None, None) => match self.parts.mirror.policy_at(&tip).await? {
                None => self.followed(Some(tip)).await,
                Some(_) => {
                    let cause = words::trust_unpinned(&tip);
                    self.refuse(tip, troubles::TRUST_UNPINNED, cause).await
                }
            },
        }
    }

    async fn on_from(&mut self, trusted: &CommitId, tip: CommitId) -> Result<(), GitTrouble> {
        let mirror = self.parts.mirror.clone();
        if !mirror.descends(&tip, trusted).await? {
            let cause = words::history_rewritten(&tip, trusted);
            return self.refuse(tip, troubles::HISTORY_REWRITTEN, cause).await;
        }
        let judged = mirror.judge(trusted, &tip, self.parts.clock.now()).await?;
        let Some(refusal) = judged.refused else { return self.followed(Some(tip)).await };
        if judged.good != *trusted {
            self.trust(judged.good.clone()).await?;
        }
        let cause = words::trust_refused(&refusal, &judged.good);
        let again = matches!(refusal.rule, Rule::FromTheFuture(_));
        self.refuse(tip, troubles::TRUST_REFUSED, cause).await?;
        if again {
            // Time alone mends it.
            self.refused_tip = None;
        }
        Ok(())
    }

    /// The first contact: what is pinned must be there as it was pinned.
    async fn begin_at_the_pin(&mut self, pin: &TrustPin, tip: CommitId) -> Result<(), GitTrouble> {
        let mirror = self.parts.mirror.clone();
        let fault = if mirror.descends(&tip, &pin.commit).await? {
            match mirror.policy_at(&pin.commit).await? {
                None => Some(words::pin_without_policy(&pin.commit)),
                Some(Err(cause)) => Some(words::pin_unusable(&pin.commit, &cause)),
                Some(Ok(policy)) if policy.version != pin.version => Some(words::pin_version(pin, policy.version)),
                Some(Ok(_)) => None,
            }
        } else {
            Some(words::pin_not_in_history(&pin.commit, &tip))
        };
        match fault {
            Some(cause) => self.refuse(tip, troubles::TRUST_UNPINNED, cause).await,
            None => {
                self.trust(pin.commit.clone()).await?;
                Box::pin(self.follow(tip)).await
            }
        }
    }

    async fn followed(&mut self, to: Option<CommitId>) -> Result<(), GitTrouble> {
        self.refused_tip = None;
        for code in [troubles::HISTORY_REWRITTEN, troubles::TRUST_REFUSED, troubles::TRUST_UNPINNED] {
            self.recovered(code).await?;
        }
        if let Some(tip) = to {
            self.trust(tip).await?;
        }
        Ok(())
    }

    async fn refuse(&mut self, tip: CommitId, code: &str, cause: String) -> Result<(), GitTrouble> {
        self.refused_tip = Some(tip);
        self.trouble(code, cause).await?;
        Ok(())
    }
}
