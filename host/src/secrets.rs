//! Seals secrets for the registry, and opens them.
//!
//! A secret is encrypted with AES-256-GCM under the gateway's current key and stored as the text `v1.<key
//! id>.<base64url(nonce || ciphertext || tag)>`. The place it belongs to (which record, which field) is bound to it as
//! associated data, so a value that is copied to another row or column does not open there.

use std::fmt;
use std::str::FromStr;

use aes_gcm::aead::{Aead, Generate, KeyInit, Nonce, Payload};
use aes_gcm::{Aes256Gcm, Key};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The setting that holds the key which seals.
const CURRENT_KEY: &str = "DATABASE_ENCRYPTION_KEY";
/// The setting that holds keys which only open.
const RETIRED_KEYS: &str = "DATABASE_ENCRYPTION_KEYS_RETIRED";
/// The start of every sealed text; a new format gets a new version.
const VERSION: &str = "v1";
/// Length of a key id, in hex digits.
const KEY_ID_LENGTH: usize = 8;
/// Length of the random nonce, in bytes (96 bits).
const NONCE_LENGTH: usize = 12;
/// Length of the authentication tag, in bytes.
const TAG_LENGTH: usize = 16;

/// The gateway's encryption keys: the current one, which seals, and the retired ones, which still open.
pub struct Keyring {
    /// The current key. It stands apart from the others, so that a keyring can't lack one.
    current: SealingKey,
    /// Keys that were current before.
    retired: Vec<SealingKey>,
}

/// One key, ready for use.
struct SealingKey {
    /// Names the key in sealed values without telling anything about it.
    id: String,
    /// The key itself, expanded.
    cipher: Aes256Gcm,
}

/// The place where a sealed value belongs. It opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct SealedFor<'a> {
    /// The id of the row: a connection's id, a project's ref.
    pub record: &'a str,
    /// The column, or `options.<path>` for one option among several in a column.
    pub field: &'a str,
}

/// A sealed secret in its stored text form. Its `Debug` shows only the key id.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(String);

/// Why an encryption key setting is refused. Never holds any part of the key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The current key's setting is absent or blank.
    #[error("{CURRENT_KEY} is not set: it must be 32 bytes, as 64 hex digits or base64")]
    Missing,
    /// A setting holds something that is not 32 bytes in hex or base64.
    #[error("{setting} is not a key: a key is 32 bytes, as 64 hex digits or base64{}", count_note(*.bytes))]
    Malformed {
        /// The environment variable that is wrong.
        setting: &'static str,
        /// How many bytes it decoded to; none when it did not decode at all.
        bytes: Option<usize>,
    },
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// No key of this gateway has the id that the value was sealed under.
    #[error("sealed under key {key_id}, which is neither {CURRENT_KEY} nor in {RETIRED_KEYS}")]
    UnknownKey {
        /// The id in the value.
        key_id: String,
    },
    /// The value was changed, or belongs to another record or field.
    #[error("a sealed value was changed, or moved from another record or field")]
    WrongPlaceOrTampered,
    /// The text is not a sealed value at all.
    #[error("a stored value is not in the sealed form")]
    Malformed,
}

impl Keyring {
    /// Reads the current key and the retired ones (comma separated, may be empty). A key is 32 bytes, as 64 hex digits
    /// or base64 (standard or URL-safe, padded or not); blanks around it are ignored.
    ///
    /// # Errors
    /// [`KeyError`] names the setting that is absent or not a key.
    pub fn parse(current: &SecretString, retired: &SecretString) -> Result<Self, KeyError> {
        if current.expose_secret().trim().is_empty() {
            return Err(KeyError::Missing);
        }
        let current = SealingKey::parse(current.expose_secret(), CURRENT_KEY)?;
        let retired = retired
            .expose_secret()
            .split(',')
            .filter(|key| !key.trim().is_empty())
            .map(|key| SealingKey::parse(key, RETIRED_KEYS))
            .collect::<Result<_, _>>()?;
        Ok(Self { current, retired })
    }

    /// Seals `plaintext` for `sealed_for` under the current key, with a fresh random nonce: two seals of one text
    /// differ.
    pub fn seal(&self, sealed_for: &SealedFor<'_>, plaintext: &str) -> Sealed {
        let nonce = Nonce::<Aes256Gcm>::generate();
        let payload = Payload { msg: plaintext.as_bytes(), aad: &sealed_for.associated_data() };
        let Ok(ciphertext) = self.current.cipher.encrypt(&nonce, payload) else {
            unreachable!("AES-GCM refuses nothing but a plaintext of more than 64 GiB");
        };
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&ciphertext);
        Sealed(format!("{VERSION}.{}.{}", self.current.id, BASE64_URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Puts a tag before bytes that are no secret, by which [`Self::check_tagged`] knows that this gateway made them
    /// (GMAC, NIST SP 800-38D, under the current key).
    pub fn tag(&self, body: &[u8]) -> Vec<u8> {
        let nonce = Nonce::<Aes256Gcm>::generate();
        let payload = Payload { msg: &[], aad: body };
        let Ok(tag) = self.current.cipher.encrypt(&nonce, payload) else {
            unreachable!("AES-GCM refuses nothing but more than 64 GiB");
        };
        [&nonce[..], &tag, body].concat()
    }

    /// Gives the bytes after the tag, unless they or the tag were changed since [`Self::tag`], or the current key was
    /// another.
    pub fn check_tagged<'a>(&self, tagged: &'a [u8]) -> Option<&'a [u8]> {
        let (nonce, rest) = tagged.split_at_checked(NONCE_LENGTH)?;
        let (tag, body) = rest.split_at_checked(TAG_LENGTH)?;
        let nonce = Nonce::<Aes256Gcm>::try_from(nonce).ok()?;
        self.current.cipher.decrypt(&nonce, Payload { msg: tag, aad: body }).ok().map(|_| body)
    }

    /// Opens a value that was sealed for `sealed_for`.
    ///
    /// # Errors
    /// [`OpenError`]: unknown key, wrong place or tampered, malformed.
    pub fn open(&self, sealed_for: &SealedFor<'_>, sealed: &Sealed) -> Result<SecretString, OpenError> {
        let (key_id, bytes) = split(sealed.as_str()).ok_or(OpenError::Malformed)?;
        let key = self.key(key_id).ok_or_else(|| OpenError::UnknownKey { key_id: key_id.to_owned() })?;
        let (nonce, ciphertext) = bytes.split_at_checked(NONCE_LENGTH).ok_or(OpenError::Malformed)?;
        let nonce = Nonce::<Aes256Gcm>::try_from(nonce).map_err(|_| OpenError::Malformed)?;
        let payload = Payload { msg: ciphertext, aad: &sealed_for.associated_data() };
        let plaintext = key.cipher.decrypt(&nonce, payload).map_err(|_| OpenError::WrongPlaceOrTampered)?;
        // Only text is ever sealed, so a plaintext that authenticates is text.
        String::from_utf8(plaintext).map(SecretString::from).map_err(|_| OpenError::WrongPlaceOrTampered)
    }

    /// Gives the id of the key that seals.
    pub fn current_key_id(&self) -> &str {
        &self.current.id
    }

    /// Tells whether `sealed` is under the current key, so that it needs no re-sealing.
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        sealed.key_id() == self.current.id
    }

    /// Tells whether some key here, current or retired, has this id.
    pub fn knows(&self, key_id: &str) -> bool {
        self.key(key_id).is_some()
    }

    fn key(&self, key_id: &str) -> Option<&SealingKey> {
        std::iter::once(&self.current).chain(&self.retired).find(|key| key.id == key_id)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let retired: Vec<_> = self.retired.iter().map(|key| &key.id).collect();
        formatter
            .debug_struct("Keyring")
            .field("current", &self.current.id)
            .field("retired", &retired)
            .finish()
    }
}

impl SealingKey {
    fn parse(text: &str, setting: &'static str) -> Result<Self, KeyError> {
        let bytes = decode_key(text.trim()).ok_or(KeyError::Malformed { setting, bytes: None })?;
        let key = <&Key<Aes256Gcm>>::try_from(bytes.as_slice())
            .map_err(|_| KeyError::Malformed { setting, bytes: Some(bytes.len()) })?;
        let digest = Sha256::new().chain_update(b"studio-gateway key id").chain_update(key).finalize();
        let id = digest.iter().take(KEY_ID_LENGTH / 2).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { id, cipher: Aes256Gcm::new(key) })
    }
}

impl SealedFor<'_> {
    /// Gives the bytes that the seal is bound to. The record's length comes before it, so no two places share an
    /// encoding.
    fn associated_data(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.record.len() + self.field.len());
        bytes.extend_from_slice(VERSION.as_bytes());
        bytes.extend_from_slice(&(self.record.len() as u64).to_be_bytes());
        bytes.extend_from_slice(self.record.as_bytes());
        bytes.extend_from_slice(self.field.as_bytes());
        bytes
    }
}

impl Sealed {
    /// Tells whether `text` has the form of a sealed value, as opposed to a plain one from before there was sealing.
    pub fn is_sealed(text: &str) -> bool {
        split(text).is_some()
    }

    /// Gives the stored text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Gives the id of the key that the secret was sealed under.
    pub fn key_id(&self) -> &str {
        self.0.split('.').nth(1).unwrap_or_default()
    }
}

impl FromStr for Sealed {
    type Err = OpenError;

    /// Takes a stored text. The only error is [`OpenError::Malformed`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if Self::is_sealed(text) { Ok(Self(text.to_owned())) } else { Err(OpenError::Malformed) }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sealed({VERSION}.{}.[redacted])", self.key_id())
    }
}

/// Splits a sealed text into its key id and its bytes; `None` if it is not one.
fn split(text: &str) -> Option<(&str, Vec<u8>)> {
    let (key_id, body) = text.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')?;
    let is_key_id =
        key_id.len() == KEY_ID_LENGTH && key_id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(body).ok()?;
    (is_key_id && bytes.len() >= NONCE_LENGTH + TAG_LENGTH).then_some((key_id, bytes))
}

/// Decodes the bytes that `text` stands for in hex (when it is 64 hex digits) or in either base64.
fn decode_key(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
        let bytes =
            digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | *digit as u8));
        return Some(Zeroizing::new(bytes.collect()));
    }
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
        .map(Zeroizing::new)
}

/// Writes the end of [`KeyError::Malformed`]'s sentence.
fn count_note(bytes: Option<usize>) -> String {
    bytes.map_or_else(String::new, |bytes| format!(" (this decodes to {bytes} bytes)"))
}

#[cfg(test)]
mod tests;
