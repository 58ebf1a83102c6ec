//! Connection strings that callers send encrypted, as CryptoJS encrypts with a passphrase: base64 of `Salted__`, eight
//! bytes of salt, and AES-256-CBC under a key and an initialization vector that MD5 makes of passphrase and salt
//! (OpenSSL's `EVP_BytesToKey`, one round; <https://cryptojs.gitbook.io/docs/#the-cipher-output>).
//!
//! The callers of postgres-meta use this form. The gateway seals its own secrets in another way: see `secrets.rs`.

use aws_lc_rs::{
    cipher::{
        AES_256, AES_256_KEY_LEN, AES_CBC_IV_LEN, DecryptionContext, PaddedBlockDecryptingKey,
        UnboundCipherKey,
    },
    iv::FixedLength,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

const MAGIC: &[u8] = b"Salted__";
/// The beginning of [`MAGIC`] in base64 that does not depend on the bytes after it.
const SEALED_BEGINNING: &str = "U2FsdGVkX1";
const SALT_LENGTH: usize = 8;

/// Tells whether a text looks encrypted.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(SEALED_BEGINNING)
}

/// The passphrase that callers encrypt connection strings with.
pub struct ConnectionKey(SecretString);

impl ConnectionKey {
    /// Makes the key of this passphrase.
    pub fn new(passphrase: SecretString) -> Self {
        Self(passphrase)
    }

    /// Opens an encrypted connection string, without the white space around it. `None` if it is not of this form, was
    /// encrypted with another passphrase, or is no text.
    pub fn open(&self, sealed: &str) -> Option<SecretString> {
        let bytes = STANDARD.decode(sealed.trim()).ok()?;
        let (salt, encrypted) = bytes.strip_prefix(MAGIC)?.split_at_checked(SALT_LENGTH)?;
        let (key, vector) = self.derive(salt);
        let key = UnboundCipherKey::new(&AES_256, &*key).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let mut buffer = Zeroizing::new(encrypted.to_vec());
        let plain = key.decrypt(&mut buffer, DecryptionContext::Iv128(FixedLength::from(vector))).ok()?;
        let text = std::str::from_utf8(plain).ok()?.trim();
        (!text.is_empty()).then(|| text.into())
    }

    /// Derives key and vector from blocks, each the MD5 of the block before, the passphrase and the salt.
    fn derive(&self, salt: &[u8]) -> (Zeroizing<[u8; AES_256_KEY_LEN]>, [u8; AES_CBC_IV_LEN]) {
        let mut block: [u8; 16] =
            Md5::new().chain_update(self.0.expose_secret()).chain_update(salt).finalize().into();
        let mut next = || {
            let current = block;
            block = Md5::new()
                .chain_update(current)
                .chain_update(self.0.expose_secret())
                .chain_update(salt)
                .finalize()
                .into();
            current
        };
        let mut key = Zeroizing::new([0; AES_256_KEY_LEN]);
        for half in key.as_chunks_mut::<16>().0 {
            *half = next();
        }
        (key, next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `CryptoJS.AES.encrypt("postgresql://a:b@c:5432/d", "SAMPLE_KEY")`, by crypto-js 4.2.0.
    const SEALED: &str = "U2FsdGVkX19H7u40XNTlmrTqb173FRb1O8KBLsLK5PR/pMNuGtV77BHljC2Dff4s";

    fn open(passphrase: &str, sealed: &str) -> Option<String> {
        let opened = ConnectionKey::new(passphrase.into()).open(sealed);
        opened.map(|text| text.expose_secret().to_owned())
    }

    #[test]
    fn what_crypto_js_encrypted_opens_with_its_passphrase_alone() {
        assert!(is_sealed(SEALED));
        assert_eq!(open("SAMPLE_KEY", SEALED).unwrap(), "postgresql://a:b@c:5432/d");
        assert_eq!(open("SAMPLE_KEX", SEALED), None);
        assert_eq!(open("", SEALED), None);
    }

    #[test]
    fn what_is_of_another_form_does_not_open() {
        let mut unsalted = STANDARD.decode(SEALED).unwrap();
        unsalted[0] ^= 1;
        let whole = STANDARD.decode(SEALED).unwrap();
        let forms = [
            String::new(),
            "postgresql://a:b@c:5432/d".to_owned(),
            "U2FsdGVkX18=".to_owned(),
            STANDARD.encode(unsalted),
            STANDARD.encode(&whole[..24]),
            STANDARD.encode(&whole[..whole.len() - 1]),
        ];
        for form in forms {
            assert_eq!(open("SAMPLE_KEY", &form), None, "{form}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_opened_or_not_without_a_panic(bytes: Vec<u8>, text: String) {
            open("SAMPLE_KEY", &text);
            let mut salted = MAGIC.to_vec();
            salted.extend(bytes);
            open("SAMPLE_KEY", &STANDARD.encode(salted));
        }
    }
}
