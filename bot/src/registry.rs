//! Tags to digests, once for each candidate: what people agreed to is what runs, whatever happens to the tag later.

mod logins;

pub use logins::LoginsError;

use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;
use tidegate_core::compose::ImageRef;
use tidegate_core::ids::{CommitId, Digest};

/// For one image, connecting and answering.
const IMAGE_TIMEOUT: Duration = Duration::from_secs(15);
/// For connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Resolved images remembered at most.
const REMEMBERED_MAX: usize = 4_096;

/// Why an image has no digest.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The reference is none that a registry understands.
    #[error("`{image}` is no image reference")]
    Reference {
        /// The image.
        image: String,
        /// Why.
        source: oci_client::ParseError,
    },
    /// The registry said no, or nothing.
    #[error("the registry does not give a digest for `{image}`")]
    Refused {
        /// The image.
        image: String,
        /// Why.
        source: oci_client::errors::OciDistributionError,
    },
    /// The file with logins cannot be used.
    #[error("`{image}` cannot be asked for")]
    Logins {
        /// The image.
        image: String,
        /// Why.
        source: LoginsError,
    },
    /// The registry wants a login, or another one.
    #[error("the registry {registry} does not let us see `{image}`: {}", login_words(.login, .registry))]
    NotLoggedIn {
        /// The image.
        image: String,
        /// Its registry.
        registry: String,
        /// What login there was.
        login: Tried,
    },
    /// The registry took too long.
    #[error("the registry of `{image}` did not answer within {} s", IMAGE_TIMEOUT.as_secs())]
    TimedOut {
        /// The image.
        image: String,
    },
    /// The answer is no digest.
    #[error("the registry answered for `{image}` with a digest that is none")]
    BadDigest {
        /// The image.
        image: String,
        /// Why.
        source: tidegate_core::ids::InvalidId,
    },
}

/// With which login a registry was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// That of this file.
    OfFile(PathBuf),
    /// None: this file has none for the registry.
    NotInFile(PathBuf),
    /// None: no file is named.
    NoFile,
}

fn login_words(tried: &Tried, registry: &str) -> String {
    match tried {
        Tried::OfFile(file) => format!("it refuses the login in {}; renew it there", file.display()),
        Tried::NotInFile(file) => format!("{} has no login for {registry}", file.display()),
        Tried::NoFile => "the setting `registry_credentials` names no file with logins".to_owned(),
    }
}

impl RegistryError {
    /// The image.
    pub fn image(&self) -> &str {
        match self {
            RegistryError::Reference { image, .. }
            | RegistryError::Refused { image, .. }
            | RegistryError::Logins { image, .. }
            | RegistryError::NotLoggedIn { image, .. }
            | RegistryError::TimedOut { image }
            | RegistryError::BadDigest { image, .. } => image,
        }
    }
}

/// Asks registries.
pub struct Registry {
    https: Client,
    http: Client,
    insecure: Vec<String>,
    credentials: Option<PathBuf>,
    known: Mutex<BTreeMap<(CommitId, String), Digest>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("insecure", &self.insecure).finish_non_exhaustive()
    }
}

impl Registry {
    /// A client that speaks plain HTTP to loopback addresses and to these registries, HTTPS to all others, and logs in with
    /// what a file in the form of docker's `config.json` says.
    pub fn new(insecure: Vec<String>, credentials: Option<PathBuf>) -> Registry {
        let (https, http) = (client(ClientProtocol::Https), client(ClientProtocol::Http));
        Registry { https, http, insecure, credentials, known: Mutex::default() }
    }

    /// The digests of these images, by their names. Remembered for the commit, so that a second try asks only for what is missing.
    pub async fn resolve(&self, commit: &CommitId, images: &BTreeMap<String, ImageRef>) -> Result<BTreeMap<String, Digest>, RegistryError> {
        let mut digests = BTreeMap::new();
        for (name, image) in images {
            let digest = match self.remembered(commit, name) {
                Some(digest) => digest,
                None => self.ask(name, image).await?,
            };
            self.remember(commit, name, &digest);
            digests.insert(name.clone(), digest);
        }
        Ok(digests)
    }

    async fn ask(&self, name: &str, image: &ImageRef) -> Result<Digest, RegistryError> {
        let wrong = |source| RegistryError::Reference { image: name.to_owned(), source };
        let reference: Reference = image.name().parse().map_err(wrong)?;
        let unusable = |source| RegistryError::Logins { image: name.to_owned(), source };
        let auth = logins::of(self.credentials.as_deref(), &image.registry).await.map_err(unusable)?;
        // A client keeps the first login and the tokens it got for it: one that logs in is made anew for each question.
        let client = match (&auth, self.is_insecure(&image.registry)) {
            (RegistryAuth::Anonymous, true) => &self.http,
            (RegistryAuth::Anonymous, false) => &self.https,
            (_, true) => &client(ClientProtocol::Http),
            (_, false) => &client(ClientProtocol::Https),
        };
        let answer = tokio::time::timeout(IMAGE_TIMEOUT, client.fetch_manifest_digest(&reference, &auth)).await;
        let digest = answer.map_err(|_| RegistryError::TimedOut { image: name.to_owned() })?.map_err(|source| {
            let (image, registry) = (name.to_owned(), image.registry.clone());
            if wants_login(&source) {
                RegistryError::NotLoggedIn { image, registry, login: self.tried(&auth) }
            } else {
                RegistryError::Refused { image, source }
            }
        })?;
        digest.parse().map_err(|source| RegistryError::BadDigest { image: name.to_owned(), source })
    }

    fn tried(&self, auth: &RegistryAuth) -> Tried {
        match (&self.credentials, auth) {
            (None, _) => Tried::NoFile,
            (Some(file), RegistryAuth::Anonymous) => Tried::NotInFile(file.clone()),
            (Some(file), _) => Tried::OfFile(file.clone()),
        }
    }

    fn is_insecure(&self, registry: &str) -> bool {
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        let is_loopback = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        host == "localhost" || is_loopback || self.insecure.iter().any(|listed| listed == registry)
    }

    fn remembered(&self, commit: &CommitId, name: &str) -> Option<Digest> {
        let known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(&(commit.clone(), name.to_owned())).cloned()
    }

    fn remember(&self, commit: &CommitId, name: &str, digest: &Digest) {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert((commit.clone(), name.to_owned()), digest.clone());
    }
}

fn client(protocol: ClientProtocol) -> Client {
    Client::new(ClientConfig {
        protocol,
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(IMAGE_TIMEOUT),
        user_agent: concat!("tidegate-bot/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })
}

fn wants_login(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => true,
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| matches!(error.code, OciErrorCode::Unauthorized | OciErrorCode::Denied))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_and_for_what_is_listed() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let registry = Registry::new(vec!["registry.lan:5000".into()], None);
        for plain in ["127.0.0.1:5000", "127.8.0.1", "[::1]:5000", "localhost", "localhost:5000", "registry.lan:5000"] {
            assert!(registry.is_insecure(plain), "{plain}");
        }
        for secure in ["docker.io", "registry.lan", "registry.lan:5001", "127.0.0.1.evil.example", "10.0.0.1:5000"] {
            assert!(!registry.is_insecure(secure), "{secure}");
        }
    }
}
