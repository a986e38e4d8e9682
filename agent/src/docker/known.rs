//! What is known of the engine without asking: the last listing, kept true by the event stream and by our own calls.
//!
//! At rest nothing is asked at all; after a container's death only that container is looked at, so that a decision does
//! not wait for a listing of all. Events can be lost, so the containers are listed again once a minute (networks and
//! volumes, which only we change, now and then), and everything whenever the stream was broken.

use super::pump::Stream;
use super::{Docker, observe};
use crate::engine::EngineError;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tidegate_core::observed::ObservedHost;
use tokio::time::Instant;

/// The containers are listed at least this often.
const AUDIT_EVERY: Duration = Duration::from_secs(60);
/// Networks and volumes are listed at least this often.
const AUDIT_OBJECTS_EVERY: Duration = Duration::from_secs(600);
/// With more containers to look at one by one, a listing is cheaper.
const LOOKS_MAX: usize = 8;

/// The last listing.
pub(super) struct Known {
    host: ObservedHost,
    listed_at: Instant,
    objects_listed_at: Instant,
    /// What has kept it true since.
    stream: Stream,
}

/// What has changed since and was not looked at yet.
#[derive(Default)]
pub(super) struct Stale {
    inner: Mutex<Changed>,
}

#[derive(Default)]
struct Changed {
    containers: BTreeSet<String>,
    objects: bool,
}

impl Stale {
    /// Something happened to this container.
    pub(super) fn container(&self, name: &str) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).containers.insert(name.to_owned());
    }

    /// Something happened to networks or volumes.
    pub(super) fn objects(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).objects = true;
    }

    fn take(&self) -> Changed {
        std::mem::take(&mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How much is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Only what changed, unless an audit is due.
    Little,
    /// All containers.
    Audit,
}

pub(super) async fn observe(docker: &Docker, ask: Ask) -> Result<ObservedHost, EngineError> {
    let mut slot = docker.inner.known.lock().await;
    // Both before anything is looked at: what changes from now on is stale again.
    let stream = docker.stream();
    let changed = docker.inner.stale.take();
    // Taken out, so that an error on the way leaves nothing half true behind.
    if let Some(mut known) = slot.take().filter(|known| Some(&known.stream) == stream.as_ref()) {
        known.refresh(docker, &changed, ask).await?;
        return Ok(slot.insert(known).host.clone());
    }
    let listed_at = Instant::now();
    let host = observe::everything(docker).await?;
    // Without the stream it would be out of date at once.
    *slot = stream.map(|stream| Known { host: host.clone(), listed_at, objects_listed_at: listed_at, stream });
    Ok(host)
}

impl Known {
    async fn refresh(&mut self, docker: &Docker, changed: &Changed, ask: Ask) -> Result<(), EngineError> {
        let is_due = ask == Ask::Audit || self.listed_at.elapsed() >= AUDIT_EVERY || changed.containers.len() > LOOKS_MAX;
        if is_due {
            self.listed_at = Instant::now();
            self.host.containers = observe::containers(docker).await?;
        } else {
            self.look_at(docker, &changed.containers).await?;
        }
        if changed.objects || self.objects_listed_at.elapsed() >= AUDIT_OBJECTS_EVERY {
            self.objects_listed_at = Instant::now();
            (self.host.networks, self.host.volumes) = tokio::try_join!(observe::networks(docker), observe::volumes(docker))?;
        }
        Ok(())
    }

    async fn look_at(&mut self, docker: &Docker, names: &BTreeSet<String>) -> Result<(), EngineError> {
        let looks = names.iter().map(|name| async move { Ok::<_, EngineError>((name, observe::one(docker, name).await?)) });
        for (name, found) in futures_util::future::try_join_all(looks).await? {
            match found {
                Some(found) => drop(self.host.containers.insert(name.clone(), found)),
                None => drop(self.host.containers.remove(name)),
            }
        }
        Ok(())
    }
}
