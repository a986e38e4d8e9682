//! Containers: made, started, stopped, removed, looked at. Only ever our own: each change looks at the label first.

use super::call::{Call, Failed};
use super::{Docker, SEVERAL_NETWORKS_SINCE, body, labels};
use crate::engine::{Belongs, ContainerView, EngineError, LastWords};
use bollard::container::LogOutput;
use bollard::models::{
    ContainerInspectResponse, ContainerState as EngineState, ContainerStateStatusEnum as Word, HealthStatusEnum, NetworkConnectRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, LogsOptions, RemoveContainerOptions, RenameContainerOptions, StartContainerOptions,
    StopContainerOptions,
};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate_core::compose::{Attachment, MountSource};
use tidegate_core::desired::DesiredContainer;
use tidegate_core::observed::{ContainerState, Health};

const LOOK_LIMIT: Duration = Duration::from_secs(20);
const CREATE_LIMIT: Duration = Duration::from_secs(120);
const START_LIMIT: Duration = Duration::from_secs(120);
const REMOVE_LIMIT: Duration = Duration::from_secs(120);
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(5);
/// The engine's own grace period, for a container that names none, in seconds.
const GRACE_DEFAULT_SECS: i64 = 10;
/// What a stop may take beyond the grace period.
const STOP_RESERVE: Duration = Duration::from_secs(30);
/// Most log lines kept of a failing container, and of each line, in bytes.
const WORDS_MAX_LINES: usize = 20;
const WORDS_MAX_LINE_BYTES: usize = 400;
/// Most entries kept of its health log.
const HEALTH_LOG_MAX: usize = 3;
/// Put behind the name of a container that is not complete yet.
const PART: &str = ".part";

pub(super) async fn create(docker: &Docker, container: &DesiredContainer, belongs: &Belongs) -> Result<(), EngineError> {
    let files = docker.inner.settings.state_dir.join(crate::materialise::FOLDER);
    check_repo_files(&files, container)?;
    let version = docker.client().await?.client_version();
    let networks_max = if version < SEVERAL_NETWORKS_SINCE { 1 } else { usize::MAX };
    let body = body::build(container, &body::Context { scope: docker.scope(), belongs, files: &files, networks_max });
    let rest: BTreeMap<&String, &Attachment> = container.model.networks.iter().skip(networks_max).collect();
    if rest.is_empty() {
        return settle(docker, container, create_as(docker, &container.name, body).await).await;
    }
    if is_made(docker, container).await? {
        return Ok(());
    }
    // Under its own name a container is complete: a crash in between leaves one that the next plan removes.
    let part = format!("{}{PART}", container.name);
    remove(docker, &part).await?;
    create_as(docker, &part, body).await?;
    for (network, attachment) in rest {
        connect(docker, &part, network, attachment).await?;
    }
    Ok(rename(docker, &part, &container.name).await?)
}

/// A missing file of ours is no verdict on the release, so the engine is not asked to trip over it.
fn check_repo_files(files: &std::path::Path, container: &DesiredContainer) -> Result<(), EngineError> {
    for mount in &container.model.mounts {
        if let MountSource::Repo { path, content } = &mount.source
            && !files.join(content.as_str()).exists()
        {
            let cause = format!("`{path}` of the config repo is not in {}", files.display());
            return Err(EngineError::Unable { tried: format!("create {}", container.name), cause });
        }
    }
    Ok(())
}

/// A name that is taken is fine when the right container has it.
async fn settle(docker: &Docker, container: &DesiredContainer, made: Result<(), Failed>) -> Result<(), EngineError> {
    match made {
        Err(failed) if failed.is(409) && is_made(docker, container).await? => Ok(()),
        other => Ok(other?),
    }
}

/// Is the right container there already, under its own name?
async fn is_made(docker: &Docker, container: &DesiredContainer) -> Result<bool, Failed> {
    let found = look(docker, &container.name).await?;
    Ok(found.is_some_and(|found| is_ours(docker, &found) && hash(&found) == Some(container.hash.as_str())))
}

async fn create_as(docker: &Docker, name: &str, body: bollard::models::ContainerCreateBody) -> Result<(), Failed> {
    let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
    let call = Call::new(format!("create {name}"), CREATE_LIMIT);
    docker.run(call, |client| async move { client.create_container(Some(options), body).await }).await?;
    Ok(())
}

async fn connect(docker: &Docker, container: &str, network: &str, attachment: &Attachment) -> Result<(), Failed> {
    let request = NetworkConnectRequest { container: container.to_owned(), endpoint_config: Some(body::endpoint(attachment)) };
    let call = Call::new(format!("attach {container} to network {network}"), CREATE_LIMIT);
    docker.run(call, |client| async move { client.connect_network(network, request).await }).await
}

async fn rename(docker: &Docker, from: &str, to: &str) -> Result<(), Failed> {
    let options = RenameContainerOptions { name: to.to_owned() };
    let call = Call::new(format!("rename {from} to {to}"), CREATE_LIMIT);
    docker.run(call, |client| async move { client.rename_container(from, options).await }).await
}

pub(super) async fn start(docker: &Docker, name: &str) -> Result<(), EngineError> {
    let call = Call::new(format!("start {name}"), START_LIMIT);
    // A container that runs already is answered with 304, which bollard takes for success.
    Ok(docker.run(call, |client| async move { client.start_container(name, None::<StartContainerOptions>).await }).await?)
}

pub(super) async fn stop(docker: &Docker, name: &str) -> Result<(), EngineError> {
    match ours(docker, name, "stop").await? {
        Some(found) => stop_found(docker, name, &found).await,
        None => Ok(()),
    }
}

async fn stop_found(docker: &Docker, name: &str, found: &ContainerInspectResponse) -> Result<(), EngineError> {
    let grace = found.config.as_ref().and_then(|c| c.stop_timeout).unwrap_or(GRACE_DEFAULT_SECS);
    let limit = Duration::from_secs(u64::try_from(grace).unwrap_or(0)) + STOP_RESERVE;
    let call = Call::new(format!("stop {name}"), limit);
    match docker.run(call, |client| async move { client.stop_container(name, None::<StopContainerOptions>).await }).await {
        Err(failed) if failed.is(404) => Ok(()),
        other => Ok(other?),
    }
}

pub(super) async fn remove(docker: &Docker, name: &str) -> Result<(), EngineError> {
    let Some(found) = ours(docker, name, "remove").await? else { return Ok(()) };
    // Somebody may have started it again since it was stopped: it gets its grace period all the same.
    if found.state.as_ref().is_some_and(|state| state.running == Some(true)) {
        stop_found(docker, name, &found).await?;
    }
    let give_up = tokio::time::Instant::now() + REMOVE_LIMIT;
    loop {
        let options = RemoveContainerOptions { v: true, force: true, ..Default::default() };
        let call = Call::new(format!("remove {name}"), REMOVE_LIMIT);
        match docker.run(call, |client| async move { client.remove_container(name, Some(options)).await }).await {
            Ok(()) => return Ok(()),
            Err(failed) if failed.is(404) => return Ok(()),
            // Another removal is under way: wait for its end.
            Err(failed) if failed.is(409) && tokio::time::Instant::now() < give_up => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(failed) => return Err(failed.into()),
        }
    }
}

/// The container of this name, if there is one; an error if it is not ours.
async fn ours(docker: &Docker, name: &str, verb: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
    match look(docker, name).await? {
        Some(found) if !is_ours(docker, &found) => {
            Err(EngineError::Refused { tried: format!("{verb} {name}"), cause: "it does not carry our label".to_owned() })
        }
        found => Ok(found),
    }
}

/// The engine also finds containers by the start of their id: only the exact name counts.
pub(super) async fn look(docker: &Docker, name: &str) -> Result<Option<ContainerInspectResponse>, Failed> {
    let call = Call::new(format!("look at {name}"), LOOK_LIMIT);
    match docker.run(call, |client| async move { client.inspect_container(name, None::<InspectContainerOptions>).await }).await {
        Ok(found) if found.name.as_deref().and_then(|n| n.strip_prefix('/')) == Some(name) => Ok(Some(found)),
        Ok(_) => Ok(None),
        Err(failed) if failed.is(404) => Ok(None),
        Err(failed) => Err(failed),
    }
}

fn is_ours(docker: &Docker, found: &ContainerInspectResponse) -> bool {
    labels::is_of(docker.scope(), found.config.as_ref().and_then(|c| c.labels.as_ref()))
}

fn hash(found: &ContainerInspectResponse) -> Option<&str> {
    found.config.as_ref()?.labels.as_ref()?.get(labels::HASH).map(String::as_str)
}

pub(super) async fn inspect(docker: &Docker, name: &str) -> Result<Option<ContainerView>, EngineError> {
    Ok(look(docker, name).await?.map(|found| view(&found)))
}

pub(super) fn view(found: &ContainerInspectResponse) -> ContainerView {
    let state = found.state.as_ref();
    ContainerView {
        state: state.map_or(ContainerState::Gone, state_of),
        health: state.and_then(|s| s.health.as_ref()).and_then(|h| h.status).and_then(health_of),
        restarts: found.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        started_at: state.and_then(|s| s.started_at.as_deref()).and_then(|at| at.parse().ok()),
    }
}

fn state_of(state: &EngineState) -> ContainerState {
    match state.status.unwrap_or(Word::EMPTY) {
        Word::CREATED => ContainerState::Created,
        Word::RUNNING | Word::STOPPING => ContainerState::Running,
        Word::PAUSED => ContainerState::Paused,
        Word::RESTARTING => ContainerState::Restarting,
        Word::EXITED => ContainerState::Exited(state.exit_code.unwrap_or(-1)),
        Word::REMOVING | Word::DEAD | Word::EMPTY => ContainerState::Gone,
    }
}

fn health_of(status: HealthStatusEnum) -> Option<Health> {
    match status {
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy),
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
    }
}

/// Best effort: a log driver that cannot be read, or an engine that is away, leaves fewer words.
pub(super) async fn last_words(docker: &Docker, name: &str) -> LastWords {
    let mut lines = log_lines(docker, name).await.unwrap_or_default();
    if let Ok(Some(found)) = look(docker, name).await {
        let log = found.state.and_then(|s| s.health).and_then(|h| h.log).unwrap_or_default();
        for entry in log.iter().rev().take(HEALTH_LOG_MAX).rev() {
            let said = clean(entry.output.as_deref().unwrap_or_default().trim());
            lines.push(format!("health check ended with {}: {said}", entry.exit_code.unwrap_or(-1)));
        }
    }
    LastWords { lines }
}

async fn log_lines(docker: &Docker, name: &str) -> Result<Vec<String>, Failed> {
    let options = LogsOptions { stdout: true, stderr: true, tail: WORDS_MAX_LINES.to_string(), ..Default::default() };
    let call = Call::new(format!("read the log of {name}"), LAST_WORDS_LIMIT);
    let ask = |client: bollard::Docker| async move {
        let mut output = std::pin::pin!(client.logs(name, Some(options)));
        let mut text = Vec::new();
        while let Some(piece) = output.next().await {
            text.extend_from_slice(&LogOutput::into_bytes(piece?));
            // Lines can be long: what is cut off later need not be kept either.
            let excess = text.len().saturating_sub(WORDS_MAX_LINES * WORDS_MAX_LINE_BYTES * 4);
            text.drain(..excess);
        }
        Ok(text)
    };
    let text = docker.run(call, ask).await?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(WORDS_MAX_LINES)..].iter().map(|line| clean(line)).collect())
}

/// Foreign text: one line, cut, nothing that a terminal or a chat would obey.
fn clean(line: &str) -> String {
    let mut end = line.len().min(WORDS_MAX_LINE_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_one_clean_line_each() {
        assert_eq!(clean("\u{1b}[31mred\ttext\r"), " [31mred text ");
        assert_eq!(clean(&"ä".repeat(300)).len(), 400);
    }
}
