//! The engine as a test sees it: what runs for a host, and hands to disturb it. Speaks to the engine directly, never
//! through our own adapter, so that an error there cannot hide itself.

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptions, ListContainersOptions, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions,
    RemoveVolumeOptions, StopContainerOptions,
};
use std::collections::{BTreeMap, HashMap};

/// A connection.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
}

/// A container, as far as tests ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Engine name.
    pub name: String,
    /// Engine id.
    pub id: String,
    /// Stack.
    pub stack: String,
    /// Service.
    pub service: String,
    /// `running`, `exited`, ….
    pub state: String,
    /// Image reference it was made from.
    pub image: String,
    /// Every label.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// Connects to a socket.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn connect(socket: &str) -> Result<Engine> {
        let docker = Docker::connect_with_socket(socket, 60, bollard::API_DEFAULT_VERSION)?.negotiate_version().await?;
        Ok(Engine { docker })
    }

    /// All containers with this label, by name.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn containers(&self, label: &str) -> Result<Vec<Container>> {
        let options = ListContainersOptions { all: true, filters: Some(label_filter(label)), ..Default::default() };
        let mut found: Vec<Container> = self.docker.list_containers(Some(options)).await?.into_iter().map(container).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Names of the networks with this label.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn networks(&self, label: &str) -> Result<Vec<String>> {
        let options = ListNetworksOptions { filters: Some(label_filter(label)) };
        Ok(self.docker.list_networks(Some(options)).await?.into_iter().filter_map(|network| network.name).collect())
    }

    /// Names of the volumes with this label.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn volumes(&self, label: &str) -> Result<Vec<String>> {
        let options = ListVolumesOptions { filters: Some(label_filter(label)) };
        Ok(self.docker.list_volumes(Some(options)).await?.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect())
    }

    /// The container's address on its first network; none: it has none (yet).
    ///
    /// # Errors
    /// There is no such container.
    pub async fn address(&self, name: &str) -> Result<Option<String>> {
        let details = self.docker.inspect_container(name, None::<InspectContainerOptions>).await?;
        let networks = details.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        Ok(networks.into_values().filter_map(|network| network.ip_address).find(|address| !address.is_empty()))
    }

    /// What the demo service in this container answers on `/`: its version.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn ask(&self, name: &str) -> Result<String> {
        let address = self.address(name).await?.context("the container has no address")?;
        Ok(crate::client::get(&format!("http://{address}:8080/")).await?.trim().to_owned())
    }

    /// Kills the main process.
    ///
    /// # Errors
    /// The engine says no.
    pub async fn kill(&self, name: &str) -> Result<()> {
        Ok(self.docker.kill_container(name, None::<KillContainerOptions>).await?)
    }

    /// Stops it, as somebody would by hand.
    ///
    /// # Errors
    /// The engine says no.
    pub async fn stop(&self, name: &str) -> Result<()> {
        Ok(self.docker.stop_container(name, None::<StopContainerOptions>).await?)
    }

    /// Removes it by force, as somebody would by hand.
    ///
    /// # Errors
    /// The engine says no.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        Ok(self.docker.remove_container(name, Some(options)).await?)
    }

    /// Removes everything with this label. What is gone already is no error.
    pub async fn sweep(&self, label: &str) {
        for container in self.containers(label).await.unwrap_or_default() {
            let _gone = self.remove(&container.name).await;
        }
        for network in self.networks(label).await.unwrap_or_default() {
            let _gone = self.docker.remove_network(&network).await;
        }
        for volume in self.volumes(label).await.unwrap_or_default() {
            let _gone = self.docker.remove_volume(&volume, None::<RemoveVolumeOptions>).await;
        }
    }
}

fn label_filter(label: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![label.to_owned()])])
}

fn container(summary: ContainerSummary) -> Container {
    let labels: BTreeMap<String, String> = summary.labels.unwrap_or_default().into_iter().collect();
    let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
    Container {
        name: summary.names.unwrap_or_default().first().map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default(),
        id: summary.id.unwrap_or_default(),
        stack: label("tidegate.stack"),
        service: label("tidegate.service"),
        state: summary.state.map(|state| state.to_string()).unwrap_or_default(),
        image: summary.image.unwrap_or_default(),
        labels,
    }
}
