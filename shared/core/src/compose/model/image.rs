//! The reference to an image, with its names for the lock, for the engine and for people.

use super::is_default;
use crate::ids::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An image reference as a person wrote it, with the digest once it is known.
///
/// Parsed and normalised: `nginx` is `docker.io/library/nginx:latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageRef {
    /// Registry host with port, e.g. `docker.io`, `127.0.0.1:5000`.
    pub registry: String,
    /// Repository, e.g. `library/nginx`.
    pub repository: String,
    /// Tag; `latest` when neither tag nor digest was written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tag: Option<String>,
    /// Digest, written by the person or filled in from the lock.
    #[serde(default, skip_serializing_if = "is_default")]
    pub digest: Option<Digest>,
}

impl ImageRef {
    /// The reference without digest, as the lock's `images` names it: `registry/repository:tag`.
    pub fn name(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{}/{}:{tag}", self.registry, self.repository),
            None => format!("{}/{}", self.registry, self.repository),
        }
    }

    /// What the engine is asked for: by digest when there is one, else by tag; Docker Hub in its short form.
    pub fn for_engine(&self) -> String {
        let repository = match self.registry.as_str() {
            "docker.io" => self.repository.strip_prefix("library/").unwrap_or(&self.repository).to_owned(),
            registry => format!("{registry}/{}", self.repository),
        };
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("{repository}@{digest}"),
            (None, Some(tag)) => format!("{repository}:{tag}"),
            (None, None) => format!("{repository}:latest"),
        }
    }

    /// Short form for people: last part of the repository, tag, shortened digest.
    pub fn for_people(&self) -> String {
        let last = self.repository.rsplit('/').next().unwrap_or(&self.repository);
        match (&self.tag, &self.digest) {
            (Some(tag), _) => format!("{last}:{tag}"),
            (None, Some(digest)) => format!("{last}@{}", digest.short()),
            (None, None) => last.to_owned(),
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}
