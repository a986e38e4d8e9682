//! What the engine has of ours: three list calls at once, no inspection of single containers; or a close look at one.

use super::call::{Call, Failed};
use super::{Docker, containers as one_by_one, labels};
use crate::engine::EngineError;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as Word, Network, PortBinding, PortSummary, PortSummaryTypeEnum};
use bollard::query_parameters::{ListContainersOptions, ListNetworksOptions, ListVolumesOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tidegate_core::compose::Protocol;
use tidegate_core::observed::{ContainerState, Health, HeldPort, ObservedContainer, ObservedHost, ObservedNetwork};

/// For each list.
const LIST_LIMIT: Duration = Duration::from_secs(30);

/// Everything.
pub(super) async fn everything(docker: &Docker) -> Result<ObservedHost, EngineError> {
    let (containers, networks, volumes) = tokio::try_join!(containers(docker), networks(docker), volumes(docker))?;
    Ok(ObservedHost { containers, networks, volumes })
}

pub(super) async fn containers(docker: &Docker) -> Result<BTreeMap<String, ObservedContainer>, Failed> {
    let options = ListContainersOptions { all: true, filters: Some(labels::filter(docker.scope())), ..Default::default() };
    let call = Call::new("list containers", LIST_LIMIT);
    let found = docker.run(call, |client| async move { client.list_containers(Some(options)).await }).await?;
    Ok(found.into_iter().filter_map(container).collect())
}

pub(super) async fn networks(docker: &Docker) -> Result<BTreeMap<String, ObservedNetwork>, Failed> {
    let options = ListNetworksOptions { filters: Some(labels::filter(docker.scope())) };
    let call = Call::new("list networks", LIST_LIMIT);
    let found = docker.run(call, |client| async move { client.list_networks(Some(options)).await }).await?;
    let ours = |network: Network| Some((network.name?, ObservedNetwork { stack: labels::stack(&network.labels?)? }));
    Ok(found.into_iter().filter_map(ours).collect())
}

pub(super) async fn volumes(docker: &Docker) -> Result<BTreeSet<String>, Failed> {
    let options = ListVolumesOptions { filters: Some(labels::filter(docker.scope())) };
    let call = Call::new("list volumes", LIST_LIMIT);
    let found = docker.run(call, |client| async move { client.list_volumes(Some(options)).await }).await?;
    Ok(found.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect())
}

fn container(found: ContainerSummary) -> Option<(String, ObservedContainer)> {
    // A link adds names with a second slash; the container's own has one.
    let name = found.names?.into_iter().filter_map(|n| n.strip_prefix('/').map(str::to_owned)).find(|n| !n.contains('/'))?;
    let status = found.status.unwrap_or_default();
    let seen = Seen {
        id: found.id.unwrap_or_default(),
        state: state(found.state.unwrap_or(Word::EMPTY), &status),
        health: health(&status),
        image: found.image.unwrap_or_default(),
        held_ports: found.ports.unwrap_or_default().into_iter().filter_map(held_port).collect(),
    };
    let container = seen.with(&name, &found.labels.unwrap_or_default())?;
    Some((name, container))
}

/// One container by its name; none: it is not there, or not ours.
pub(super) async fn one(docker: &Docker, name: &str) -> Result<Option<ObservedContainer>, Failed> {
    let Some(found) = one_by_one::look(docker, name).await? else { return Ok(None) };
    let view = one_by_one::view(&found);
    let ports = found.network_settings.and_then(|network| network.ports).unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    if !labels::is_of(docker.scope(), Some(&labels)) {
        return Ok(None);
    }
    let seen = Seen {
        id: found.id.unwrap_or_default(),
        state: view.state,
        // The list does not tell the health of what does not run; nor do we.
        health: view.health.filter(|_| view.state == ContainerState::Running),
        image: config.image.unwrap_or_default(),
        held_ports: ports.iter().flat_map(|(key, bindings)| bound(key, bindings.as_deref().unwrap_or_default())).collect(),
    };
    Ok(seen.with(name, &labels))
}

/// What was seen of a container, beside its labels.
struct Seen {
    id: String,
    state: ContainerState,
    health: Option<Health>,
    image: String,
    held_ports: BTreeSet<HeldPort>,
}

impl Seen {
    fn with(self, name: &str, labels: &labels::Labels) -> Option<ObservedContainer> {
        let Some(identity) = labels::identity(labels) else {
            tracing::warn!(container = %name, "carries our scope but not our other labels; left alone");
            return None;
        };
        Some(ObservedContainer {
            id: self.id,
            stack: identity.stack,
            service: identity.service,
            replica: identity.replica,
            hash: identity.hash,
            release: identity.release,
            commit: identity.commit,
            state: self.state,
            health: self.health,
            started_at: None,
            image: self.image,
            held_ports: self.held_ports,
        })
    }
}

/// `80/tcp` with where it is bound on the host.
fn bound(key: &str, bindings: &[PortBinding]) -> Vec<HeldPort> {
    let protocol = match key.rsplit_once('/').map(|(_, protocol)| protocol) {
        Some("tcp") => Protocol::Tcp,
        Some("udp") => Protocol::Udp,
        _ => return Vec::new(),
    };
    let held = |binding: &PortBinding| Some(HeldPort { port: binding.host_port.as_ref()?.parse().ok()?, protocol });
    bindings.iter().filter_map(held).collect()
}

fn held_port(port: PortSummary) -> Option<HeldPort> {
    let protocol = match port.typ? {
        PortSummaryTypeEnum::TCP => Protocol::Tcp,
        PortSummaryTypeEnum::UDP => Protocol::Udp,
        _ => return None,
    };
    Some(HeldPort { port: port.public_port?, protocol })
}

/// The list has the exit code in words only: `Exited (137) 2 minutes ago`.
fn state(word: Word, status: &str) -> ContainerState {
    match word {
        Word::RUNNING | Word::STOPPING => ContainerState::Running,
        Word::PAUSED => ContainerState::Paused,
        Word::RESTARTING => ContainerState::Restarting,
        Word::EXITED => ContainerState::Exited(exit_code(status)),
        Word::CREATED => ContainerState::Created,
        Word::REMOVING | Word::DEAD | Word::EMPTY => ContainerState::Gone,
    }
}

/// An exit code that cannot be read counts as a failure.
fn exit_code(status: &str) -> i64 {
    const UNKNOWN: i64 = -1;
    let code = status.strip_prefix("Exited (").and_then(|rest| rest.split_once(')'));
    code.and_then(|(code, _)| code.parse().ok()).unwrap_or(UNKNOWN)
}

/// And so is the health: `Up 3 minutes (healthy)`.
fn health(status: &str) -> Option<Health> {
    let (_, word) = status.strip_suffix(')')?.rsplit_once('(')?;
    match word {
        "healthy" => Some(Health::Healthy),
        "unhealthy" => Some(Health::Unhealthy),
        "health: starting" => Some(Health::Starting),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_words_are_read() {
        assert_eq!(state(Word::EXITED, "Exited (137) 2 minutes ago"), ContainerState::Exited(137));
        assert_eq!(state(Word::EXITED, "Exited (0) Less than a second ago"), ContainerState::Exited(0));
        assert_eq!(state(Word::EXITED, "something new"), ContainerState::Exited(-1));
        assert_eq!(health("Up 3 minutes (healthy)"), Some(Health::Healthy));
        assert_eq!(health("Up Less than a second (health: starting)"), Some(Health::Starting));
        assert_eq!(health("Up 2 hours (unhealthy)"), Some(Health::Unhealthy));
        assert_eq!(health("Up 2 hours (Paused)"), None);
        assert_eq!(health("Up 2 hours"), None);
    }
}
