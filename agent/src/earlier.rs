//! What ran here before, when the database does not know any more: read again from what the containers say of themselves.
//!
//! Without it, a release that fails right after the database was lost would have nothing to go back to, and the way
//! back would take down what served well until then. Each container names the commit it was made from; the stack as it
//! was there, with the digests that run, is believed only if all of it runs, identity for identity.

use crate::config::{ConfigError, ConfigReader};
use crate::reconcile::facts::runs_completely;
use std::collections::BTreeMap;
use tidegate_core::compose::{StackModel, resolve_stack};
use tidegate_core::desired::{DesiredStack, Naming, Source, desired_stack};
use tidegate_core::ids::{CommitId, Digest, ReleaseNumber, ServiceName, StackName};
use tidegate_core::observed::{ObservedContainer, ObservedHost};
use tidegate_core::repo::Host;

/// Where to search, and for what.
pub struct Search<'a> {
    /// Reads commits.
    pub reader: ConfigReader<'a>,
    /// The host with its labels.
    pub host: &'a Host,
    /// How engine names are made.
    pub naming: &'a Naming,
    /// What the engine has.
    pub observed: &'a ObservedHost,
}

impl Search<'_> {
    /// The state of a stack that runs here completely, if there is one.
    pub async fn find(&self, stack: &StackName) -> Result<Option<DesiredStack>, ConfigError> {
        let mine: Vec<&ObservedContainer> = self.observed.containers.values().filter(|container| container.stack == *stack).collect();
        let digests: BTreeMap<&ServiceName, Digest> =
            mine.iter().filter_map(|container| Some((&container.service, digest(&container.image)?))).collect();
        // A container that did not change keeps the commit of an earlier release: each of them may be the one.
        let mut named: BTreeMap<&CommitId, Option<ReleaseNumber>> = BTreeMap::new();
        for container in &mine {
            if let Some(commit) = &container.commit {
                let release = named.entry(commit).or_default();
                *release = (*release).max(container.release);
            }
        }
        for (commit, release) in named {
            let files = self.reader.files(commit).await?;
            let Ok(model) = resolve_stack(&files, &self.host.environment, stack) else { continue };
            let source = Source { commit: commit.clone(), release };
            let desired = desired_stack(&with_digests(model, &digests), &source, self.naming, &self.host.labels);
            if runs_completely(&desired, self.observed) {
                return Ok(Some(desired));
            }
        }
        Ok(None)
    }
}

/// `repository@sha256:…` runs by that digest.
fn digest(image: &str) -> Option<Digest> {
    image.split_once('@').and_then(|(_, digest)| digest.parse().ok())
}

fn with_digests(mut model: StackModel, digests: &BTreeMap<&ServiceName, Digest>) -> StackModel {
    for (name, service) in &mut model.services {
        let image = &mut service.container.image;
        image.digest = image.digest.take().or_else(|| digests.get(name).cloned());
    }
    model
}
