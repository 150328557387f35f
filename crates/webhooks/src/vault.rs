use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hermod_types::{Seal, SealError};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

/// How a text begins that is encrypted: base64 of nonce, ciphertext and tag of AES-256-GCM follows.
const ENCRYPTED: &str = "enc:v1:";
/// How a text begins that is not, where it would be taken for one that is.
const PLAIN: &str = "plain:";
/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// Encrypts secrets for where they are stored, if the operator has set `HERMOD_SECRET_KEY`; without it they are stored as they are.
///
/// What was stored before the key was set can still be read. The context is part of what is authenticated, so that no stored secret
/// can be put in another's place.
pub struct Vault(Option<RandomizedNonceKey>);

/// What `HERMOD_SECRET_KEY` holds is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HERMOD_SECRET_KEY: expected 32 bytes in base64, as `openssl rand -base64 32` makes them")]
pub struct InvalidSecretKey;

impl Vault {
    /// With what `HERMOD_SECRET_KEY` holds; none where it is not set.
    ///
    /// # Errors
    /// For what is no key.
    pub fn new(key: Option<&SecretString>) -> Result<Self, InvalidSecretKey> {
        let read = |text: &SecretString| {
            let text = text.expose_secret().trim();
            let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| InvalidSecretKey)?);
            if bytes.len() != KEY_BYTES {
                return Err(InvalidSecretKey);
            }
            RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| InvalidSecretKey)
        };
        key.map(read).transpose().map(Self)
    }

    /// Whether what it stores is encrypted.
    pub const fn encrypts(&self) -> bool {
        self.0.is_some()
    }
}

impl Seal for Vault {
    fn seal(&self, context: &str, secret: &str) -> Result<String, SealError> {
        let Some(key) = &self.0 else {
            let is_ambiguous = [ENCRYPTED, PLAIN].iter().any(|prefix| secret.starts_with(prefix));
            return Ok(if is_ambiguous { format!("{PLAIN}{secret}") } else { secret.to_owned() });
        };
        let mut text = Zeroizing::new(secret.as_bytes().to_vec());
        let nonce =
            key.seal_in_place_append_tag(Aad::from(context), &mut *text).map_err(|_| SealError::Encrypt)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend_from_slice(&text);
        Ok(format!("{ENCRYPTED}{}", STANDARD.encode(sealed)))
    }

    fn open(&self, context: &str, stored: &str) -> Result<SecretString, SealError> {
        let Some(sealed) = stored.strip_prefix(ENCRYPTED) else {
            return Ok(stored.strip_prefix(PLAIN).unwrap_or(stored).into());
        };
        let key = self.0.as_ref().ok_or(SealError::NoKey)?;
        let sealed = STANDARD.decode(sealed).map_err(|_| SealError::NotOurs)?;
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::NotOurs)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::NotOurs)?;
        let mut text = Zeroizing::new(text.to_vec());
        let text = key.open_in_place(nonce, Aad::from(context), &mut text).map_err(|_| SealError::NotOurs)?;
        std::str::from_utf8(text).map(Into::into).map_err(|_| SealError::NotOurs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(byte: u8) -> Vault {
        Vault::new(Some(&STANDARD.encode([byte; KEY_BYTES]).into())).unwrap()
    }

    fn without_key() -> Vault {
        Vault::new(None).unwrap()
    }

    fn opened(vault: &Vault, context: &str, stored: &str) -> Result<String, SealError> {
        vault.open(context, stored).map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn a_sealed_secret_opens_with_the_same_key_and_context_only() {
        let (ours, others) = (vault(1), vault(2));
        for secret in ["whsec_hidden", "", "é", "enc:v1:x"] {
            let sealed = ours.seal("webhook/a/secret", secret).unwrap();
            assert!(
                sealed.starts_with(ENCRYPTED) && (secret.is_empty() || !sealed.contains(secret)),
                "{sealed}"
            );
            assert_eq!(opened(&ours, "webhook/a/secret", &sealed).as_deref(), Ok(secret));
            assert_eq!(opened(&ours, "webhook/b/secret", &sealed), Err(SealError::NotOurs));
            assert_eq!(opened(&others, "webhook/a/secret", &sealed), Err(SealError::NotOurs));
            assert_eq!(opened(&without_key(), "webhook/a/secret", &sealed), Err(SealError::NoKey));
        }
        assert!(SealError::NoKey.to_string().contains("HERMOD_SECRET_KEY is not set"));
        assert!(SealError::NotOurs.to_string().contains("this HERMOD_SECRET_KEY"));
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time() {
        let seal = || vault(1).seal("c", "secret").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_changed_text_does_not_open() {
        let vault = vault(1);
        let sealed = vault.seal("c", "secret").unwrap();
        let mut bytes = STANDARD.decode(sealed.strip_prefix(ENCRYPTED).unwrap()).unwrap();
        assert_eq!(bytes.len(), NONCE_LEN + "secret".len() + 16);
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let changed = format!("{ENCRYPTED}{}", STANDARD.encode(&bytes));
            assert_eq!(opened(&vault, "c", &changed), Err(SealError::NotOurs), "{at}");
            bytes[at] ^= 1;
        }
        for short in ["", "AAAA", "?"] {
            assert_eq!(opened(&vault, "c", &format!("{ENCRYPTED}{short}")), Err(SealError::NotOurs));
        }
    }

    #[test]
    fn without_a_key_secrets_are_stored_as_they_are() {
        let none = without_key();
        assert!(!none.encrypts() && vault(1).encrypts());
        assert_eq!(none.seal("c", "secret").as_deref(), Ok("secret"));
        // Once there is a key, what was stored before can be read.
        assert_eq!(opened(&vault(1), "c", "secret").as_deref(), Ok("secret"));
        // What looks like something else comes back as it was, with a key or without.
        for secret in ["enc:v1:x", "plain:x", "plain:", "enc:v1:"] {
            let stored = none.seal("c", secret).unwrap();
            for vault in [without_key(), vault(1)] {
                assert_eq!(opened(&vault, "c", &stored).as_deref(), Ok(secret));
            }
        }
    }

    #[test]
    fn a_key_is_32_bytes_in_base64() {
        let key = |text: &str| Vault::new(Some(&text.into())).map(|_| ());
        assert_eq!(key(&format!(" {}\n", STANDARD.encode([7; 32]))), Ok(()));
        for wrong in [
            String::new(),
            "hunter2".to_owned(),
            STANDARD.encode([7; 31]),
            STANDARD.encode([7; 33]),
            "7".repeat(32),
        ] {
            assert_eq!(key(&wrong), Err(InvalidSecretKey), "{wrong}");
        }
    }
}
