//! Logins of private registries, as docker's `config.json` holds them. The agent pulls with them, the bot asks for digests.
//!
//! Pure: who has the file reads it, anew each time, so that a renewed password counts at once. Nothing of it is repeated in
//! an error or by `Debug`: not even a parser's words, which may quote what they stumble over.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Largest file, in bytes.
pub const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// How to log in.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// With a token that stands for a person: docker's `identitytoken`.
    Token(String),
    /// With a name and a password.
    Password {
        /// The name.
        name: String,
        /// The password.
        password: String,
    },
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(not shown)")
    }
}

/// Why there is no login. Whoever read the file puts its name before this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Not that file.
    #[error("it is not in the form of docker's config.json (line {line}, column {column})")]
    Form {
        /// Where it stops to be.
        line: usize,
        /// The same.
        column: usize,
    },
    /// An entry that cannot be used.
    #[error("its login for {registry} is not `auth` as base64 of `name:password`, nor `username` and `password`")]
    Entry {
        /// Of which registry.
        registry: String,
    },
    /// A program would have to be asked.
    #[error("it leaves the login for {registry} to a credential helper, and no program is started here: write `auth` into `auths`")]
    Helper {
        /// Of which registry.
        registry: String,
    },
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// The login for a registry in the text of such a file; none: the file has none, and nobody is logged in.
pub fn login(text: &str, registry: &str) -> Result<Option<Login>, LoginError> {
    let file: File = serde_json::from_str(text).map_err(|error| LoginError::Form { line: error.line(), column: error.column() })?;
    let named = |key: &&String| host(key) == host(registry);
    let helper = || LoginError::Helper { registry: registry.to_owned() };
    let Some((_, found)) = file.auths.iter().find(|(key, _)| named(key)) else {
        return if file.helpers.keys().any(|key| named(&key)) { Err(helper()) } else { Ok(None) };
    };
    let bad = || LoginError::Entry { registry: registry.to_owned() };
    Ok(Some(match found {
        Entry { identitytoken: Some(token), .. } if !token.is_empty() => Login::Token(token.clone()),
        Entry { auth: Some(auth), .. } if !auth.is_empty() => {
            let bytes = BASE64_STANDARD.decode(auth.trim()).map_err(|_| bad())?;
            let text = String::from_utf8(bytes).map_err(|_| bad())?;
            let (name, password) = text.split_once(':').ok_or_else(bad)?;
            Login::Password { name: name.to_owned(), password: password.trim_end_matches('\0').to_owned() }
        }
        Entry { username: Some(name), password: Some(password), .. } => Login::Password { name: name.clone(), password: password.clone() },
        // An entry without a login is what docker leaves behind when a helper has it.
        _ if file.store.is_some() || file.helpers.keys().any(|key| named(&key)) => return Err(helper()),
        _ => return Err(bad()),
    }))
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

    fn found(text: &str, registry: &str) -> Result<Option<Login>, String> {
        login(text, registry).map_err(|error| error.to_string())
    }

    #[test]
    fn logins_are_found_by_the_registrys_host_in_each_form() {
        let me = Ok(Some(Login::Password { name: "me".into(), password: "a:b".into() }));
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
        assert_eq!(found(r#"{"auths":{"r":{"identitytoken":"t"}}}"#, "r"), Ok(Some(Login::Token("t".into()))));
        assert_eq!(found(r#"{"auths":{"r":{}}}"#, "other"), Ok(None));
        assert_eq!(found("{}", "r"), Ok(None));
        assert!(!format!("{me:?}").contains("a:b"), "a login cannot be printed");
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
