//! The file with logins of private registries, as the registry's client takes them. Read anew at each question, so that a
//! renewed password counts at once; nothing of it is kept or logged.

use oci_client::secrets::RegistryAuth;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tidegate_core::logins::{self, FILE_MAX_BYTES, Login, LoginError};

/// Why there is no login.
#[derive(Debug, thiserror::Error)]
pub enum LoginsError {
    /// The file cannot be read.
    #[error("the file of registry credentials {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is too large to be one.
    #[error("the file of registry credentials {} is larger than {FILE_MAX_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file has no login that can be used.
    #[error("the file of registry credentials {} cannot be used", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: LoginError,
    },
    /// A token for the engine's own way of logging in.
    #[error(
        "the login for {registry} in {} is an `identitytoken`, which only the engine can use: write `auth` as base64 of `name:password`",
        path.display()
    )]
    Token {
        /// The file.
        path: PathBuf,
        /// The registry.
        registry: String,
    },
}

/// The login for a registry; anonymous: the file has none, or there is no file.
pub(super) async fn of(file: Option<&Path>, registry: &str) -> Result<RegistryAuth, LoginsError> {
    let Some(path) = file.map(Path::to_owned) else { return Ok(RegistryAuth::Anonymous) };
    let registry = registry.to_owned();
    let work = move || {
        let text = read(&path)?;
        match logins::login(&text, &registry) {
            Ok(None) => Ok(RegistryAuth::Anonymous),
            Ok(Some(Login::Password { name, password })) => Ok(RegistryAuth::Basic(name, password)),
            Ok(Some(Login::Token(_))) => Err(LoginsError::Token { path, registry }),
            Err(source) => Err(LoginsError::Unusable { path, source }),
        }
    };
    // A blocking read that cannot be joined only happens while the runtime ends: nothing is released any more.
    tokio::task::spawn_blocking(work).await.unwrap_or(Ok(RegistryAuth::Anonymous))
}

fn read(path: &Path) -> Result<String, LoginsError> {
    let failed = |source| LoginsError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(FILE_MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_MAX_BYTES { Err(LoginsError::TooLarge { path: path.to_owned() }) } else { Ok(text) }
}
