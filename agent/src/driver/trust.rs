//! Whether a tip may be followed. It must descend from what was trusted before, and every commit between must count by
//! the signer policy in the repo, if there is one. Where a repo has a policy, the first commit ever followed is the one
//! that the settings pin: a policy that is read from the very branch that it should guard would guard nothing.

use super::git::GitTrouble;
use super::{Driver, troubles};
use crate::engine::Engine;
use crate::settings::TrustPin;
use crate::words;
use tidegate_core::ids::{CommitId, EnvironmentName};
use tidegate_core::trust::Refusal;

impl<E: Engine, C: Fn(&EnvironmentName) -> E> Driver<E, C> {
    /// Follows a tip as far as it may be followed. What may not is told once, and disturbs nothing.
    pub(super) async fn follow(&mut self, tip: CommitId) -> Result<(), GitTrouble> {
        let pin = self.parts.settings.trust.clone();
        match (self.memory.trusted.clone(), pin) {
            (Some(trusted), _) if trusted == tip => self.followed(None).await,
            (Some(trusted), Some(pin)) if !self.parts.mirror.descends(&trusted, &pin.commit).await? => {
                // Whoever owns the host names another commit to begin at: a newer one, or the way out of a refusal.
                self.begin_at_the_pin(&pin, tip).await
            }
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
        let Some(refusal) = judged.refused else { return self.followed(Some(judged.good)).await };
        if judged.good != *trusted {
            self.trust(judged.good.clone()).await?;
        }
        self.not_trusted(tip, &refusal, &judged.good).await
    }

    async fn not_trusted(&mut self, tip: CommitId, refusal: &Refusal, good: &CommitId) -> Result<(), GitTrouble> {
        let cause = words::trust_refused(refusal, good);
        let told = self.memory.troubles.get(troubles::TRUST_REFUSED);
        if told.is_some_and(|told| !told.cause.contains(refusal.commit.short())) {
            // Another commit is another story.
            self.recovered(troubles::TRUST_REFUSED).await?;
        }
        self.refuse(tip, troubles::TRUST_REFUSED, cause).await?;
        if refusal.rule.is_about_time() {
            // Time alone, or a clock that is set right, may mend it: it is judged again at the next poll.
            self.refused_tip = None;
        }
        Ok(())
    }

    /// What is pinned must be there as it was pinned. Nothing is followed before all that came since counts: a host that
    /// knows nothing must not begin with what has long been replaced.
    async fn begin_at_the_pin(&mut self, pin: &TrustPin, tip: CommitId) -> Result<(), GitTrouble> {
        let mirror = self.parts.mirror.clone();
        let fault = if mirror.is_on_line(&tip, &pin.commit).await? {
            match mirror.policy_at(&pin.commit).await? {
                None => Some(words::pin_without_policy(&pin.commit)),
                Some(Err(cause)) => Some(words::pin_unusable(&pin.commit, &cause)),
                Some(Ok(policy)) if policy.version != pin.version => Some(words::pin_version(pin, policy.version)),
                Some(Ok(_)) => None,
            }
        } else {
            Some(words::pin_not_in_history(&pin.commit, &tip))
        };
        if let Some(cause) = fault {
            return self.refuse(tip, troubles::TRUST_UNPINNED, cause).await;
        }
        let mut good = pin.commit.clone();
        // Each look judges a part of a long way.
        loop {
            let judged = mirror.judge(&good, &tip, self.parts.clock.now()).await?;
            match judged.refused {
                Some(refusal) => return self.not_trusted(tip, &refusal, &judged.good).await,
                None if judged.good == tip => return self.followed(Some(tip)).await,
                None if judged.good == good => return Ok(()),
                None => good = judged.good,
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
