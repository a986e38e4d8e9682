//! Logins of private registries, from a file of the host in the form of docker's `config.json`.
//!
//! The file is read anew at each pull, so that a renewed password counts at once; nothing of it is kept, logged or put
//! into an error: not even a parser's words, which may quote what they stumble over.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Largest file, in bytes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// Why there is no login.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    #[error("the file of registry credentials {} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the file of registry credentials {} is larger than {FILE_MAX_BYTES} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("the file of registry credentials {} is not in the form of docker's config.json (line {line}, column {column})", path.display())]
    Form { path: PathBuf, line: usize, column: usize },
    #[error("the login for {registry} in {} is not `auth` as base64 of `name:password`, nor `username` and `password`", path.display())]
    Login { path: PathBuf, registry: String },
    #[error("{} leaves the login for {registry} to a credential helper, and no program is started here: write `auth` into `auths`", path.display())]
    Helper { path: PathBuf, registry: String },
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Login>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
struct Login {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// The login for a registry; none: the file has none, or there is no file. Then nobody is logged in.
pub(super) async fn of(file: Option<&Path>, registry: &str) -> Result<Option<DockerCredentials>, CredentialsError> {
    let Some(path) = file.map(Path::to_owned) else { return Ok(None) };
    let registry = registry.to_owned();
    let work = move || login(&path, &registry, &read(&path)?);
    // A blocking read that cannot be joined only happens while the runtime ends: nothing is pulled any more.
    tokio::task::spawn_blocking(work).await.unwrap_or(Ok(None))
}

fn read(path: &Path) -> Result<String, CredentialsError> {
    let failed = |source| CredentialsError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(FILE_MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_MAX_BYTES { Err(CredentialsError::TooLarge { path: path.to_owned() }) } else { Ok(text) }
}

fn login(path: &Path, registry: &str, text: &str) -> Result<Option<DockerCredentials>, CredentialsError> {
    let form = |error: serde_json::Error| CredentialsError::Form { path: path.to_owned(), line: error.line(), column: error.column() };
    let file: File = serde_json::from_str(text).map_err(form)?;
    let named = |key: &&String| host(key) == host(registry);
    let helper = || CredentialsError::Helper { path: path.to_owned(), registry: registry.to_owned() };
    let Some((_, found)) = file.auths.iter().find(|(key, _)| named(key)) else {
        return if file.helpers.keys().any(|key| named(&key)) { Err(helper()) } else { Ok(None) };
    };
    let bad = || CredentialsError::Login { path: path.to_owned(), registry: registry.to_owned() };
    let mut credentials = DockerCredentials { serveraddress: Some(registry.to_owned()), ..DockerCredentials::default() };
    match found {
        Login { identitytoken: Some(token), .. } if !token.is_empty() => credentials.identitytoken = Some(token.clone()),
        Login { auth: Some(auth), .. } if !auth.is_empty() => {
            let bytes = BASE64_STANDARD.decode(auth.trim()).map_err(|_| bad())?;
            let text = String::from_utf8(bytes).map_err(|_| bad())?;
            let (name, password) = text.split_once(':').ok_or_else(bad)?;
            (credentials.username, credentials.password) = (Some(name.to_owned()), Some(password.trim_end_matches('\0').to_owned()));
        }
        Login { username: Some(name), password: Some(password), .. } => {
            (credentials.username, credentials.password) = (Some(name.clone()), Some(password.clone()));
        }
        // An entry without a login is what docker leaves behind when a helper has it.
        _ if file.store.is_some() || file.helpers.keys().any(|key| named(&key)) => return Err(helper()),
        _ => return Err(bad()),
    }
    Ok(Some(credentials))
}

/// `https://index.docker.io/v1/` is `docker.io`.
fn host(key: &str) -> &str {
    let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
    match bare.split('/').next().unwrap_or(bare) {
        "index.docker.io" | "registry-1.docker.io" | "docker.io" => "docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, registry: &str) -> Result<Option<(String, String)>, String> {
        let login = login(Path::new("/etc/tidegate/registries.json"), registry, text).map_err(|error| error.to_string())?;
        Ok(login.map(|l| (l.username.unwrap_or_default(), l.password.unwrap_or_default())))
    }

    #[test]
    fn logins_are_found_by_the_registrys_host_in_each_form() {
        let me = Ok(Some(("me".to_owned(), "a:b".to_owned())));
        let auth = BASE64_STANDARD.encode("me:a:b");
        for (key, registry) in [
            ("r.example.org", "r.example.org"),
            ("https://r.example.org", "r.example.org"),
            ("r.example.org/v2/", "r.example.org"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("https://index.docker.io/v1/", "docker.io"),
        ] {
            assert_eq!(found(&format!(r#"{{"auths":{{"{key}":{{"auth":"{auth}"}}}},"other":1}}"#), registry), me, "{key}");
        }
        assert_eq!(found(r#"{"auths":{"r":{"username":"me","password":"a:b"}}}"#, "r"), me);
        assert_eq!(found(r#"{"auths":{"r":{}}}"#, "other"), Ok(None));
        assert_eq!(found("{}", "r"), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_told_without_what_is_secret() {
        for (text, part) in [
            (r#"{"auths":{"r":{"auth":"aHVudGVyMg=="}}}"#, "is not `auth`"),
            (r#"{"auths":{"r":{"auth":"hunter2 is no base64"}}}"#, "is not `auth`"),
            (r#"{"auths":{"r":"hunter2"}}"#, "line 1, column"),
            (r#"{"auths":{"r":{}},"credsStore":"desktop"}"#, "credential helper"),
            (r#"{"credHelpers":{"r":"ecr"}}"#, "credential helper"),
            ("hunter2", "line 1, column"),
        ] {
            let error = found(text, "r").unwrap_err();
            assert!(error.contains(part) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
