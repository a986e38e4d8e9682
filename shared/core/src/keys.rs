//! Public keys as text: checked far enough that a slip of the clipboard is found before a commit is refused by it.

use crate::findings::Finding;
use crate::yaml::{Node, Sink, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const ALGORITHM: &str = "ssh-ed25519";
const PRIVATE: &str = "it is a private key: take it out of the repo, and replace it everywhere";
/// Length of an ed25519 key, in bytes.
const KEY_BYTES: usize = 32;

/// A key such as `ssh-ed25519 AAAA… comment`; the comment is dropped.
pub(crate) fn check_public_key(node: &Node, sink: &mut Sink) -> Option<String> {
    let written = text(node, sink)?;
    match public_key(written) {
        Ok(key) => Some(key),
        Err(reason) => {
            let finding = node.span.error("bad_key", format!("this is not a public key: {reason}"));
            let finding = finding.hint("write one line, `ssh-ed25519 AAAA…`, as in a `.pub` file");
            // A key that should have been secret is not repeated.
            let excerpt = (reason == PRIVATE).then(|| "…".to_owned());
            sink.push(Finding { excerpt, ..finding });
            None
        }
    }
}

fn public_key(written: &str) -> Result<String, &'static str> {
    if written.contains("PRIVATE KEY") {
        return Err(PRIVATE);
    }
    let mut words = written.split_whitespace();
    if words.next() != Some(ALGORITHM) {
        return Err("it does not begin with `ssh-ed25519`");
    }
    let encoded = words.next().ok_or("the key after `ssh-ed25519` is missing")?;
    let bytes = STANDARD.decode(encoded).map_err(|_| "it is not valid base64, perhaps it was cut")?;
    let rest = field(&bytes, ALGORITHM.len()).filter(|(name, _)| *name == ALGORITHM.as_bytes()).map(|(_, rest)| rest);
    match rest.and_then(|rest| field(rest, KEY_BYTES)) {
        Some((_, [])) => Ok(format!("{ALGORITHM} {encoded}")),
        _ => Err("its content is no ed25519 key, perhaps it was cut"),
    }
}

/// A field of the SSH wire format with a length that is known.
fn field(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(4)?;
    let written = u32::from_be_bytes(head.try_into().ok()?);
    (usize::try_from(written).ok()? == length).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn public_keys_are_checked_down_to_their_length() {
        assert_eq!(public_key(KEY).as_deref(), Ok(KEY));
        assert_eq!(public_key(&format!("{KEY} someone@host")).as_deref(), Ok(KEY));
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-rsa AAAAB3NzaC1yc2E=",
            &KEY[..KEY.len() - 4],
            &KEY.replace("AAAA", "AAAB"),
            "AAAAC3NzaC1lZDI1NTE5",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        ] {
            assert!(public_key(bad).is_err(), "{bad}");
        }
    }
}
