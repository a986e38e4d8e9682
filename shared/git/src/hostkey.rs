//! The pinned key of an SSH server.

use crate::error::GitError;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// What an SSH server must show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostKey {
    /// The whole key with its algorithm, so that the server can be asked for this very one.
    Whole { algorithm: String, blob: Vec<u8> },
    /// SHA-256 of the key.
    Fingerprint([u8; 32]),
}

impl HostKey {
    /// Reads `ssh-ed25519 AAAA… [comment]`, the same with a host name in front (`ssh-keyscan`), or `SHA256:…`.
    pub fn parse(text: &str) -> Result<HostKey, GitError> {
        let text = text.trim();
        let refuse = || GitError::Setting {
            setting: "repo.ssh_host_key",
            reason: format!("`{}` is not a host key", crate::error::foreign(text)),
            hint: "use `ssh-ed25519 AAAA…` as ssh-keyscan prints it, or `SHA256:…` as `ssh-keygen -l` prints it",
        };
        if let Some(base64) = text.strip_prefix("SHA256:") {
            let bytes = STANDARD_NO_PAD.decode(base64.trim_end_matches('=')).map_err(|_| refuse())?;
            return bytes.try_into().map(HostKey::Fingerprint).map_err(|_| refuse());
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let known = |word: &&str| word.starts_with("ssh-") || word.starts_with("ecdsa-sha2-");
        let at = words.iter().take(2).position(known).ok_or_else(refuse)?;
        let algorithm = words[at].to_owned();
        let blob = words.get(at + 1).and_then(|base64| STANDARD.decode(base64).ok()).ok_or_else(refuse)?;
        // The blob opens with its own algorithm's name: a length of four bytes, then the name.
        let inner = blob.get(4..4 + algorithm.len());
        if inner == Some(algorithm.as_bytes()) { Ok(HostKey::Whole { algorithm, blob }) } else { Err(refuse()) }
    }

    /// Is this the key the server shows?
    pub fn matches(&self, shown: &[u8]) -> bool {
        match self {
            HostKey::Whole { blob, .. } => blob == shown,
            HostKey::Fingerprint(print) => Sha256::digest(shown).as_slice() == print,
        }
    }

    /// A line for a `known_hosts` file, if the whole key is known.
    pub fn known_hosts_line(&self, host: &str, port: u16) -> Option<String> {
        let HostKey::Whole { algorithm, blob } = self else { return None };
        let place = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
        Some(format!("{place} {algorithm} {}\n", STANDARD.encode(blob)))
    }

    /// `SHA256:…`, for people.
    pub fn shown(&self) -> String {
        match self {
            HostKey::Whole { blob, .. } => fingerprint(blob),
            HostKey::Fingerprint(print) => format!("SHA256:{}", STANDARD_NO_PAD.encode(print)),
        }
    }
}

/// `SHA256:…` of a key.
pub(crate) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn both_forms_pin_the_same_key() {
        let whole = HostKey::parse(KEY).unwrap();
        assert_eq!(HostKey::parse(&format!("github.com {KEY} comment")).unwrap(), whole);
        let print = HostKey::parse("SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU").unwrap();
        let HostKey::Whole { blob, .. } = &whole else { panic!() };
        assert!(print.matches(blob) && whole.matches(blob));
        assert!(!print.matches(&blob[1..]) && !whole.matches(&blob[1..]));
        assert_eq!(whole.shown(), print.shown());
        assert!(whole.known_hosts_line("h", 2222).unwrap().starts_with("[h]:2222 ssh-ed25519 AAAA"));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "SHA256:abc",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
            "MD5:aa",
        ] {
            assert!(HostKey::parse(bad).is_err(), "{bad}");
        }
    }
}
