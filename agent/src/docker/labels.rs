//! Labels: how the engine's objects say whose they are.

use crate::engine::Belongs;
use std::collections::HashMap;
use tidegate_core::desired::DesiredContainer;
use tidegate_core::ids::{CommitId, ContentId, ReleaseNumber, ServiceName, StackName};

/// Whose it is: `<environment>/<host>`.
pub const SCOPE: &str = "tidegate.scope";
const STACK: &str = "tidegate.stack";
const SERVICE: &str = "tidegate.service";
const REPLICA: &str = "tidegate.replica";
pub(super) const HASH: &str = "tidegate.hash";
const RELEASE: &str = "tidegate.release";
const COMMIT: &str = "tidegate.commit";
// Other tools group containers by these.
const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
const COMPOSE_NUMBER: &str = "com.docker.compose.container-number";
const COMPOSE_ONEOFF: &str = "com.docker.compose.oneoff";

/// Labels as the engine has them.
pub(super) type Labels = HashMap<String, String>;

/// What a container of ours says of itself.
pub(super) struct Identity {
    pub(super) stack: StackName,
    pub(super) service: ServiceName,
    pub(super) replica: u32,
    pub(super) hash: ContentId,
    pub(super) release: Option<ReleaseNumber>,
    pub(super) commit: Option<CommitId>,
}

/// A container's labels: the user's, then ours, which win.
pub(super) fn of_container(scope: &str, container: &DesiredContainer, belongs: &Belongs) -> Labels {
    let mut labels: Labels = container.model.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let replica = container.replica.to_string();
    let ours = [
        (SCOPE, scope),
        (STACK, belongs.stack.as_str()),
        (SERVICE, belongs.service.as_str()),
        (REPLICA, &replica),
        (HASH, container.hash.as_str()),
        (COMMIT, belongs.commit.as_str()),
        (COMPOSE_PROJECT, &belongs.project),
        (COMPOSE_SERVICE, belongs.service.as_str()),
        (COMPOSE_NUMBER, &replica),
        (COMPOSE_ONEOFF, "False"),
    ];
    labels.extend(ours.map(|(key, value)| (key.to_owned(), value.to_owned())));
    labels.extend(belongs.release.map(|release| (RELEASE.to_owned(), release.to_string())));
    labels
}

/// The labels of a network or volume.
pub(super) fn of_object<'a>(scope: &str, stack: &StackName, user: impl IntoIterator<Item = (&'a String, &'a String)>) -> Labels {
    let mut labels: Labels = user.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.insert(SCOPE.to_owned(), scope.to_owned());
    labels.insert(STACK.to_owned(), stack.to_string());
    labels
}

/// Is it of this scope?
pub(super) fn is_of(scope: &str, labels: Option<&Labels>) -> bool {
    labels.and_then(|l| l.get(SCOPE)).is_some_and(|found| found == scope)
}

/// The stack of a network or volume.
pub(super) fn stack(labels: &Labels) -> Option<StackName> {
    labels.get(STACK)?.parse().ok()
}

/// A container's identity; none: labels are missing or were tampered with.
pub(super) fn identity(labels: &Labels) -> Option<Identity> {
    Some(Identity {
        stack: stack(labels)?,
        service: labels.get(SERVICE)?.parse().ok()?,
        replica: labels.get(REPLICA)?.parse().ok()?,
        hash: labels.get(HASH)?.parse().ok()?,
        release: labels.get(RELEASE).and_then(|text| text.parse().ok()).map(ReleaseNumber),
        commit: labels.get(COMMIT).and_then(|text| text.parse().ok()),
    })
}

/// The filter for everything of a scope.
pub(super) fn filter(scope: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{SCOPE}={scope}")])])
}
