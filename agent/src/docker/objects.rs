//! Networks and volumes.

use super::Docker;
use super::call::{Call, Failed};
use super::labels::{self, Labels};
use crate::engine::EngineError;
use bollard::models::{NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::InspectNetworkOptions;
use std::collections::HashMap;
use std::time::Duration;
use tidegate_core::compose::{NetworkModel, VolumeModel};
use tidegate_core::ids::StackName;
use tidegate_core::plan::{External, ExternalKind};

/// For each call here.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a network is tried to be removed while the engine still sees endpoints on it: after many containers went
/// at once it takes a while to notice.
const ENDPOINTS_LIMIT: Duration = Duration::from_secs(15);
/// Between two tries.
const ENDPOINTS_PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn create_network(docker: &Docker, name: &str, network: &NetworkModel, stack: &StackName) -> Result<(), EngineError> {
    // Engines before API 1.44 make a second network of the same name without a word: look first.
    let found = network_labels(docker, name).await?;
    if network.external {
        return must_have(found.is_some(), ExternalKind::Network, name);
    }
    if settled("network", name, docker.scope(), found.as_ref())? {
        return Ok(());
    }
    let options: HashMap<_, _> = network.driver_opts.clone().into_iter().collect();
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some(network.driver.clone().unwrap_or_else(|| "bridge".to_owned())),
        internal: Some(network.internal),
        attachable: Some(true),
        options: (!options.is_empty()).then_some(options),
        labels: Some(labels::of_object(docker.scope(), stack, &network.labels)),
        ..Default::default()
    };
    let call = Call::new(format!("create network {name}"), LIMIT);
    docker.run(call, |client| async move { client.create_network(request).await }).await?;
    Ok(())
}

pub(super) async fn create_volume(docker: &Docker, name: &str, volume: &VolumeModel, stack: &StackName) -> Result<(), EngineError> {
    let found = volume_labels(docker, name).await?;
    if volume.external {
        return must_have(found.is_some(), ExternalKind::Volume, name);
    }
    if settled("volume", name, docker.scope(), found.as_ref())? {
        return Ok(());
    }
    let request = VolumeCreateRequest {
        name: Some(name.to_owned()),
        driver: Some(volume.driver.clone().unwrap_or_else(|| "local".to_owned())),
        driver_opts: Some(volume.driver_opts.clone().into_iter().collect()),
        labels: Some(labels::of_object(docker.scope(), stack, &volume.labels)),
        ..Default::default()
    };
    let call = Call::new(format!("create volume {name}"), LIMIT);
    docker.run(call, |client| async move { client.create_volume(request).await }).await?;
    Ok(())
}

/// Is nothing left to create? An object of the same name that is not ours is never taken over in silence.
fn settled(kind: &str, name: &str, scope: &str, found: Option<&Labels>) -> Result<bool, EngineError> {
    let refused = |cause: String| Err(EngineError::Refused { tried: format!("use {kind} {name}"), cause });
    match found {
        Some(found) if labels::is_of(scope, Some(found)) => Ok(true),
        Some(_) => refused("it exists and is not ours; declare it `external: true` to use it, or give ours another `name:`".to_owned()),
        None => Ok(false),
    }
}

/// Is it on the host, whoever made it?
pub(super) async fn has(docker: &Docker, external: &External) -> Result<bool, EngineError> {
    let found = match external.kind {
        ExternalKind::Network => network_labels(docker, &external.name).await?,
        ExternalKind::Volume => volume_labels(docker, &external.name).await?,
    };
    Ok(found.is_some())
}

fn must_have(is_here: bool, kind: ExternalKind, name: &str) -> Result<(), EngineError> {
    if is_here { Ok(()) } else { Err(EngineError::Missing(External { kind, name: name.to_owned() })) }
}

/// The labels of a network; none: there is no such network. The engine also finds networks by the start of their id.
async fn network_labels(docker: &Docker, name: &str) -> Result<Option<Labels>, Failed> {
    let call = Call::new(format!("look at network {name}"), LIMIT);
    let ask = |client: bollard::Docker| async move { client.inspect_network(name, None::<InspectNetworkOptions>).await };
    match docker.run(call, ask).await {
        Ok(found) if found.name.as_deref() == Some(name) => Ok(Some(found.labels.unwrap_or_default())),
        Ok(_) => Ok(None),
        Err(failed) if failed.is(404) => Ok(None),
        Err(failed) => Err(failed),
    }
}

async fn volume_labels(docker: &Docker, name: &str) -> Result<Option<Labels>, Failed> {
    let call = Call::new(format!("look at volume {name}"), LIMIT);
    match docker.run(call, |client| async move { client.inspect_volume(name).await }).await {
        Ok(found) => Ok(Some(found.labels)),
        Err(failed) if failed.is(404) => Ok(None),
        Err(failed) => Err(failed),
    }
}

pub(super) async fn remove_network(docker: &Docker, name: &str) -> Result<(), EngineError> {
    match network_labels(docker, name).await? {
        None => return Ok(()),
        Some(found) if !labels::is_of(docker.scope(), Some(&found)) => {
            return Err(EngineError::Refused { tried: format!("remove network {name}"), cause: "it is not ours".to_owned() });
        }
        Some(_) => {}
    }
    let give_up = tokio::time::Instant::now() + ENDPOINTS_LIMIT;
    loop {
        let call = Call::new(format!("remove network {name}"), LIMIT);
        match docker.run(call, |client| async move { client.remove_network(name).await }).await {
            Ok(()) => return Ok(()),
            Err(failed) if failed.is(404) => return Ok(()),
            Err(failed) if has_endpoints(&failed) && tokio::time::Instant::now() < give_up => {
                tokio::time::sleep(ENDPOINTS_PAUSE).await;
            }
            Err(failed) => return Err(failed.into()),
        }
    }
}

fn has_endpoints(failed: &Failed) -> bool {
    failed.words().is_some_and(|words| words.contains("active endpoints"))
}
