//! The host's file with logins of private registries, as the engine takes them.
//!
//! The file is read anew at each pull, so that a renewed password counts at once; nothing of it is kept or logged.

use bollard::auth::DockerCredentials;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tidegate_core::logins::{self, FILE_MAX_BYTES, Login, LoginError};

/// Why there is no login.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    #[error("the file of registry credentials {} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the file of registry credentials {} is larger than {FILE_MAX_BYTES} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("the file of registry credentials {} cannot be used: {why}", path.display())]
    Unusable { path: PathBuf, why: LoginError },
}

/// The login for a registry; none: the file has none, or there is no file. Then nobody is logged in.
pub(super) async fn of(file: Option<&Path>, registry: &str) -> Result<Option<DockerCredentials>, CredentialsError> {
    let Some(path) = file.map(Path::to_owned) else { return Ok(None) };
    let registry = registry.to_owned();
    let work = move || {
        let text = read(&path)?;
        let login = logins::login(&text, &registry).map_err(|why| CredentialsError::Unusable { path, why })?;
        Ok(login.map(|login| credentials(login, registry)))
    };
    // A blocking read that cannot be joined only happens while the runtime ends: nothing is pulled any more.
    tokio::task::spawn_blocking(work).await.unwrap_or(Ok(None))
}

fn read(path: &Path) -> Result<String, CredentialsError> {
    let failed = |source| CredentialsError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(FILE_MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_MAX_BYTES { Err(CredentialsError::TooLarge { path: path.to_owned() }) } else { Ok(text) }
}

fn credentials(login: Login, registry: String) -> DockerCredentials {
    let at = DockerCredentials { serveraddress: Some(registry), ..DockerCredentials::default() };
    match login {
        Login::Token(token) => DockerCredentials { identitytoken: Some(token), ..at },
        Login::Password { name, password } => DockerCredentials { username: Some(name), password: Some(password), ..at },
    }
}
