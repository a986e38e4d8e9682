//! Images: had on the host already, or pulled; a registry's "no" told apart from a registry that is away.

use super::call::{Call, Failed};
use super::{Docker, credentials};
use crate::engine::EngineError;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;
use std::time::Duration;
use tidegate_core::compose::{ImageRef, PullPolicy};

/// For a look at a local image.
const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// For a whole pull.
const PULL_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Without any progress.
const STALL_LIMIT: Duration = Duration::from_secs(120);

/// What registries say when they mean no. Everything else is taken for a registry that cannot be asked now; so is one
/// that wants another login than the host has, for that says nothing about the release.
const VERDICTS: [&str; 11] = [
    "manifest unknown",
    "not found: manifest",
    "name unknown",
    "no such image",
    "repository does not exist",
    "pull access denied",
    "requested access to the resource is denied",
    "invalid reference format",
    "no matching manifest",
    "unsupported media type",
    "does not match",
];

pub(super) async fn pull(docker: &Docker, image: &ImageRef, policy: PullPolicy) -> Result<(), EngineError> {
    let reference = image.for_engine();
    // A digest names one content for ever: when it is here there is nothing to ask, whatever the policy.
    let may_ask_anyway = policy == PullPolicy::Always && image.digest.is_none();
    if !may_ask_anyway && is_here(docker, &reference).await? {
        return Ok(());
    }
    if policy == PullPolicy::Never {
        let cause = "it is not on this host, and its pull_policy is `never`: build or load it here".to_owned();
        return Err(EngineError::Pull { image: reference, cause, is_verdict: true });
    }
    let failed =
        |error: credentials::CredentialsError| EngineError::Pull { image: reference.clone(), cause: error.to_string(), is_verdict: false };
    let file = docker.inner.settings.registry_credentials.as_deref();
    let login = credentials::of(file, &image.registry).await.map_err(failed)?;
    ask_registry(docker, &reference, login).await
}

async fn is_here(docker: &Docker, reference: &str) -> Result<bool, EngineError> {
    let call = Call::new(format!("look at image {reference}"), LOOK_LIMIT);
    match docker.run(call, |client| async move { client.inspect_image(reference).await }).await {
        Ok(_) => Ok(true),
        Err(failed) if failed.is(404) => Ok(false),
        Err(failed) => Err(failed.into()),
    }
}

async fn ask_registry(docker: &Docker, reference: &str, login: Option<DockerCredentials>) -> Result<(), EngineError> {
    let options = CreateImageOptions { from_image: Some(reference.to_owned()), ..Default::default() };
    let call = Call::new(format!("pull {reference}"), PULL_LIMIT);
    let ask = |client: bollard::Docker| async move {
        let mut progress = std::pin::pin!(client.create_image(Some(options), None, login));
        loop {
            match tokio::time::timeout(STALL_LIMIT, progress.next()).await {
                Ok(Some(line)) => line?,
                Ok(None) => return Ok(()),
                Err(_) => return Err(bollard::errors::Error::RequestTimeoutError),
            };
        }
    };
    docker.run(call, ask).await.map_err(|failed| pull_error(reference, failed))
}

fn pull_error(reference: &str, failed: Failed) -> EngineError {
    match failed.words() {
        Some(words) => {
            let hint =
                if wants_login(words) { "; logins of private registries stand in the file that `registry_credentials` names" } else { "" };
            EngineError::Pull { image: reference.to_owned(), cause: format!("{words}{hint}"), is_verdict: is_no(&failed, words) }
        }
        None => failed.into(),
    }
}

fn wants_login(words: &str) -> bool {
    ["unauthorized", "no basic auth credentials", "denied"].iter().any(|mark| words.contains(mark))
}

fn is_no(failed: &Failed, words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    let no_login = words.contains("unauthorized") || words.contains("no basic auth credentials");
    !no_login && (failed.is(404) || failed.is(400)) || VERDICTS.iter().any(|verdict| words.contains(verdict))
}
