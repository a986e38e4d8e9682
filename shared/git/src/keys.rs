//! Signing keys: ed25519 keys of ours in OpenSSH form, and SSH signatures (SSHSIG) over commits and events.
//!
//! A signature is bound to a namespace, so that one made for an event is none for a commit. Verifying accepts exactly
//! one text per signature: the decoder of `ssh-key` is lenient, so what it read must encode back to what was given.

use ssh_key::private::PrivateKey;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, SshSig};
use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Namespace of git's commit signatures.
pub const GIT_NAMESPACE: &str = "git";
/// Largest key file, in bytes.
const KEY_FILE_MAX_BYTES: u64 = 16 * 1024;
/// Longest signature text, in bytes.
const SIGNATURE_MAX_BYTES: usize = 4 * 1024;
/// Permission bits that a private key's file must not have.
const OTHERS_BITS: u32 = 0o077;

/// A key could not be made, read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read, written or used.
    #[error("key file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The text is not a public key that is accepted.
    #[error("`{text}` is not a public key that is accepted here: {reason}; use an `ssh-ed25519 AAAA…` line")]
    Public {
        /// The text, cut.
        text: String,
        /// Why.
        reason: String,
    },
    /// Signing failed.
    #[error("signing failed: {reason}")]
    Sign {
        /// Why.
        reason: String,
    },
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no key to compare with; an empty list never means "anyone".
    #[error("no public key is known to check the signature with")]
    NoKeys,
    /// Not an SSH signature, or not written in its one canonical form.
    #[error("the signature is malformed: {0}")]
    Malformed(String),
    /// Made for another purpose.
    #[error("the signature was made for `{0}`")]
    Namespace(String),
    /// Made by a key that is not among those given.
    #[error("the signature was made by the unknown key {0}")]
    UnknownKey(String),
    /// The signature does not fit the content.
    #[error("the signature by {0} does not fit the content: it was altered")]
    Altered(String),
}

/// A private ed25519 key. Cheap to clone; prints its public half only.
#[derive(Clone)]
pub struct SigningKey(std::sync::Arc<PrivateKey>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

impl SigningKey {
    /// Makes a new key from the system's random numbers.
    pub fn generate() -> Result<SigningKey, KeyError> {
        let made = PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519);
        made.map(|key| SigningKey(key.into())).map_err(|error| KeyError::Sign { reason: error.to_string() })
    }

    /// Reads an OpenSSH private key file without passphrase. A file that others can read is refused.
    pub fn load(path: &Path) -> Result<SigningKey, KeyError> {
        let fail = |reason: String| KeyError::File { path: path.to_owned(), reason };
        let about = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?;
        if about.mode() & OTHERS_BITS != 0 {
            return Err(fail(format!("others may read it (mode {:o}); chmod 600", about.mode() & 0o777)));
        }
        if about.len() > KEY_FILE_MAX_BYTES {
            return Err(fail(format!("it has {} bytes, more than {KEY_FILE_MAX_BYTES}", about.len())));
        }
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let key = PrivateKey::from_openssh(&text).map_err(|error| fail(format!("it is no OpenSSH private key ({error})")))?;
        match key.algorithm() {
            _ if key.is_encrypted() => Err(fail("it has a passphrase, which nobody is there to type".into())),
            Algorithm::Ed25519 => Ok(SigningKey(key.into())),
            other => Err(fail(format!("it is a {other} key; make one with `ssh-keygen -t ed25519`"))),
        }
    }

    /// Writes the key to a new file with mode 0600; an existing file is never replaced. Makes the folder if needed.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let fail = |reason: String| KeyError::File { path: path.to_owned(), reason };
        let text = self.0.to_openssh(LineEnding::LF).map_err(|error| fail(error.to_string()))?;
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| fail(error.to_string()))?;
        }
        let write = || {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error: std::io::Error| fail(error.to_string()))
    }

    /// [`Self::load`] if the file exists, else [`Self::generate`] and [`Self::save`].
    pub fn load_or_generate(path: &Path) -> Result<SigningKey, KeyError> {
        if path.exists() {
            return SigningKey::load(path);
        }
        let key = SigningKey::generate()?;
        key.save(path)?;
        Ok(key)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(ssh_key::PublicKey::new(self.0.public_key().key_data().clone(), ""))
    }

    /// The public half as `ssh-ed25519 AAAA…`, without comment.
    pub fn public_openssh(&self) -> String {
        self.public().to_string()
    }

    /// Signs bytes for a purpose; the answer is an armored SSHSIG.
    pub fn sign(&self, namespace: &str, bytes: &[u8]) -> Result<String, KeyError> {
        let fail = |error: ssh_key::Error| KeyError::Sign { reason: error.to_string() };
        let signature = self.0.sign(namespace, HashAlg::Sha512, bytes).map_err(fail)?;
        signature.to_pem(LineEnding::LF).map_err(fail)
    }
}

/// A public key: ed25519, or ECDSA on P-256. Compares and prints without its comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(ssh_key::PublicKey);

impl PublicKey {
    /// `SHA256:…`, for people.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_openssh().map_err(|_| fmt::Error)?)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<PublicKey, KeyError> {
        let fail = |reason: String| KeyError::Public { text: crate::message::one_line(text, 80), reason };
        let key = ssh_key::PublicKey::from_openssh(text.trim()).map_err(|error| fail(error.to_string()))?;
        match key.algorithm() {
            Algorithm::Ed25519 | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 } => {
                Ok(PublicKey(ssh_key::PublicKey::new(key.key_data().clone(), "")))
            }
            other => Err(fail(format!("its kind is {other}"))),
        }
    }
}

/// Checks an armored SSHSIG over bytes for a purpose against the keys that may have made it; returns the one that did.
pub fn verify<'k>(keys: &'k [PublicKey], namespace: &str, bytes: &[u8], signature: &str) -> Result<&'k PublicKey, SignatureError> {
    if keys.is_empty() {
        return Err(SignatureError::NoKeys);
    }
    let parsed = parse_canonical(signature)?;
    if parsed.namespace() != namespace {
        return Err(SignatureError::Namespace(crate::message::one_line(parsed.namespace(), 80)));
    }
    let maker = ssh_key::PublicKey::new(parsed.public_key().clone(), "");
    let print = maker.fingerprint(HashAlg::Sha256).to_string();
    let known = keys.iter().find(|key| key.0.key_data() == maker.key_data()).ok_or(SignatureError::UnknownKey(print.clone()))?;
    known.0.verify(namespace, bytes, &parsed).map_err(|_| SignatureError::Altered(print))?;
    Ok(known)
}

/// Reads a signature and insists that it is written exactly as it would be written again (a final line end may lack).
fn parse_canonical(text: &str) -> Result<SshSig, SignatureError> {
    let malformed = |reason: &str| SignatureError::Malformed(reason.to_owned());
    if text.len() > SIGNATURE_MAX_BYTES {
        return Err(malformed("it is too long"));
    }
    let parsed = SshSig::from_pem(text).map_err(|error| SignatureError::Malformed(error.to_string()))?;
    let again = parsed.to_pem(LineEnding::LF).map_err(|error| SignatureError::Malformed(error.to_string()))?;
    if again.trim_end_matches('\n') != text.strip_suffix('\n').unwrap_or(text) {
        return Err(malformed("it is not in canonical form"));
    }
    if parsed.version() != SshSig::VERSION || !parsed.reserved().is_empty() {
        return Err(malformed("its version or reserved field is unknown"));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_signature_counts_for_its_key_purpose_and_content_only() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let keys = [other.public(), key.public()];
        let signature = key.sign("event", b"hello").unwrap();
        assert_eq!(verify(&keys, "event", b"hello", &signature).unwrap(), &keys[1]);
        assert!(matches!(verify(&keys, "event", b"hellO", &signature), Err(SignatureError::Altered(_))));
        assert!(matches!(verify(&keys, "git", b"hello", &signature), Err(SignatureError::Namespace(_))));
        assert!(matches!(verify(&keys[..1], "event", b"hello", &signature), Err(SignatureError::UnknownKey(_))));
        assert_eq!(verify(&[], "event", b"hello", &signature), Err(SignatureError::NoKeys));
        assert!(matches!(verify(&keys, "event", b"hello", ""), Err(SignatureError::Malformed(_))));
    }

    #[test]
    fn one_signature_has_one_text() {
        let key = SigningKey::generate().unwrap();
        let keys = [key.public()];
        let signature = key.sign("git", b"x").unwrap();
        for changed in [
            signature.replace('\n', "\r\n"),
            format!(" {signature}"),
            format!("{signature} "),
            format!("{signature}\n"),
            format!("\n{signature}"),
        ] {
            assert!(verify(&keys, "git", b"x", &changed).is_err(), "{changed:?}");
        }
        assert!(verify(&keys, "git", b"x", signature.trim_end()).is_ok());
    }

    #[test]
    fn keys_survive_the_disk_and_stay_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/key");
        let key = SigningKey::generate().unwrap();
        key.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SigningKey::load(&path).unwrap().public_openssh(), key.public_openssh());
        assert!(key.save(&path).is_err(), "an existing key was replaced");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(SigningKey::load(&path).unwrap_err().to_string().contains("chmod 600"));
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }

    #[test]
    fn public_keys_compare_without_comment_and_weak_kinds_are_refused() {
        let key = SigningKey::generate().unwrap();
        let with_comment: PublicKey = format!("{} alice@laptop", key.public_openssh()).parse().unwrap();
        assert_eq!(with_comment, key.public());
        for bad in ["", "ssh-ed25519", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDA", "hello"] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
    }
}
