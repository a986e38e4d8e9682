//! Image references by Docker's grammar (distribution/reference), normalised: `nginx` is `docker.io/library/nginx:latest`.

use super::model::ImageRef;
use crate::ids::Digest;
use std::str::FromStr;

/// Longest repository with its registry, in bytes; Docker's own limit.
const NAME_MAX_BYTES: usize = 255;
/// Longest tag, in bytes; Docker's own limit.
const TAG_MAX_BYTES: usize = 128;

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {rule}")]
pub struct InvalidImage {
    /// The text, cut to 120 characters.
    pub text: String,
    /// What is wrong with it.
    pub rule: &'static str,
}

impl FromStr for ImageRef {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<ImageRef, InvalidImage> {
        let bad = |rule| InvalidImage { text: text.chars().take(120).collect(), rule };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let rule = "after `@` comes `sha256:` and 64 lower-case hex digits";
                (rest, Some(Digest::try_from(digest).map_err(|_| bad(rule))?))
            }
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(bad("a tag is 1 to 128 letters, digits, `_`, `.` or `-` and starts with a letter, digit or `_`"));
        }
        let (registry, repository) = split_registry(name);
        if repository.is_empty() {
            return Err(bad("the repository is missing"));
        }
        if registry.len() + repository.len() >= NAME_MAX_BYTES {
            return Err(bad("the name is longer than 255 bytes"));
        }
        if !is_registry(&registry) {
            return Err(bad("the registry must be a host name, with a port if needed"));
        }
        if !repository.split('/').all(is_component) {
            return Err(bad(
                "a repository is made of lower-case letters and digits, joined by `.`, `_`, `__` or `-`, in parts joined by `/`",
            ));
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(ImageRef { registry, repository, tag, digest })
    }
}

/// The tag is what follows the last `:`, unless that belongs to the registry's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// A first part with a dot, a colon, an upper-case letter, or `localhost`, is a registry; else it is Docker Hub.
fn split_registry(name: &str) -> (String, String) {
    if let Some((first, rest)) = name.split_once('/')
        && (first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase()))
    {
        let hub = matches!(first, "docker.io" | "index.docker.io");
        let registry = if hub { "docker.io" } else { first };
        return (registry.to_owned(), on_hub(hub, rest));
    }
    ("docker.io".to_owned(), on_hub(true, name))
}

fn on_hub(hub: bool, repository: &str) -> String {
    if hub && !repository.contains('/') && !repository.is_empty() { format!("library/{repository}") } else { repository.to_owned() }
}

fn is_tag(tag: &str) -> bool {
    let bytes = tag.as_bytes();
    bytes.first().is_some_and(|&b| b.is_ascii_alphanumeric() || b == b'_')
        && bytes.len() <= TAG_MAX_BYTES
        && bytes.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<core::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("v6", rest.strip_prefix(':').or((!rest.is_empty()).then_some("")))
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let edges = bytes.first().is_some_and(|&b| is_word(b)) && bytes.last().is_some_and(|&b| is_word(b));
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|run| !run.is_empty());
    edges && separators.into_iter().all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_normalise_as_docker_does() {
        let hex = "a".repeat(64);
        for (written, normal) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("acme/web", "docker.io/acme/web:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/acme/web:1", "docker.io/acme/web:1"),
            ("localhost/web", "localhost/web:latest"),
            ("127.0.0.1:5000/shop/web:2", "127.0.0.1:5000/shop/web:2"),
            ("[::1]:5000/web:2", "[::1]:5000/web:2"),
            ("ghcr.io/a/b_c/d--e__f.g:V1.0-rc_1", "ghcr.io/a/b_c/d--e__f.g:V1.0-rc_1"),
            (&format!("nginx@sha256:{hex}"), &format!("docker.io/library/nginx@sha256:{hex}")),
            (&format!("r.io/x:1@sha256:{hex}"), &format!("r.io/x:1@sha256:{hex}")),
        ] {
            let image: ImageRef = written.parse().unwrap();
            assert_eq!(image.to_string(), normal);
            assert_eq!(image.to_string().parse::<ImageRef>().unwrap(), image, "{written} survives printing");
            assert_eq!(
                image.name().parse::<ImageRef>().unwrap().name(),
                if image.tag.is_some() { image.name() } else { format!("{}:latest", image.name()) }
            );
        }
    }

    #[test]
    fn wrong_references_are_refused() {
        for bad in [
            "",
            ":1",
            "/web",
            "web/",
            "Web",
            "a//b",
            "web:",
            "web:a b",
            "web:-1",
            "web@sha256:12",
            "web@md5:aa",
            "-web",
            "web-",
            "a..b",
            "a___b",
            "a._b",
            "http://x/y",
            "x:99999/y",
            "x.y:0/z",
            " nginx",
            "nginx ",
            "ä",
            "a\n",
            "[::g]:1/x",
            "[::1]x/y",
        ] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad:?}");
        }
        assert!(format!("a/{}", "b".repeat(300)).parse::<ImageRef>().is_err());
        assert!(format!("a:{}", "b".repeat(129)).parse::<ImageRef>().is_err());
    }
}
