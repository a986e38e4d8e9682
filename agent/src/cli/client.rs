//! Talks to the running agent over its local interface.

use super::exit::UsageError;
use crate::driver::{Board, Command, Refusal, Rolled};
use crate::settings::Settings;
use anyhow::{Context, anyhow};
use std::time::Duration;

/// For looking.
const LOOK_LIMIT: Duration = Duration::from_secs(10);
/// For a rollback to arrive, health checks included.
const COMMAND_LIMIT: Duration = Duration::from_secs(900);

/// What the agent says about itself.
pub(super) async fn board(settings: &Settings) -> anyhow::Result<Board> {
    let response = client(LOOK_LIMIT)?.get(url(settings, "status")).send().await;
    let response = response.map_err(|error| away(settings, error))?.error_for_status()?;
    let bytes = response.bytes().await?;
    serde_json::from_slice(&bytes).context("the agent's answer is not of this version; use the command line of the same version")
}

/// Asks the agent to do something; waits until it is done.
pub(super) async fn command(settings: &Settings, command: &Command) -> anyhow::Result<Result<Rolled, Refusal>> {
    let path = settings.control_token();
    let token = std::fs::read_to_string(&path)
        .map_err(|error| UsageError(format!("could not read {}: {error}; run this as the user that runs the agent", path.display())))?;
    let request = client(COMMAND_LIMIT)?.post(url(settings, "command")).bearer_auth(token.trim()).json(command);
    let response = request.send().await.map_err(|error| away(settings, error))?;
    let status = response.status();
    let bytes = response.bytes().await?;
    match status.as_u16() {
        200 => Ok(Ok(serde_json::from_slice(&bytes)?)),
        409 => Ok(Err(serde_json::from_slice(&bytes)?)),
        _ => Err(anyhow!("the agent answered {status}: {}", String::from_utf8_lossy(&bytes).trim())),
    }
}

/// Does an agent answer?
pub(super) async fn answers(settings: &Settings) -> bool {
    let Ok(client) = client(LOOK_LIMIT) else { return false };
    client.get(url(settings, "healthz")).send().await.is_ok_and(|response| response.status().is_success())
}

pub(super) fn client(limit: Duration) -> anyhow::Result<reqwest::Client> {
    // Another part of the program may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().timeout(limit).redirect(reqwest::redirect::Policy::none()).no_proxy();
    Ok(builder.build()?)
}

fn url(settings: &Settings, path: &str) -> String {
    format!("http://{}/{path}", settings.listen)
}

fn away(settings: &Settings, error: reqwest::Error) -> anyhow::Error {
    let hint = format!("no agent answers at {}; start it with `tidegate agent`, or name its settings with --config", settings.listen);
    anyhow::Error::new(error.without_url()).context(hint)
}
