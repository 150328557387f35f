use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

/// How each secret begins: <https://github.com/standard-webhooks/standard-webhooks>.
const PREFIX: &str = "whsec_";
/// Bytes that the key may have, by the same specification.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of the keys that we make.
const NEW_KEY_BYTES: usize = 32;

/// What deliveries are signed with: `whsec_` and 24 to 64 bytes in base64.
#[derive(Clone)]
pub struct SigningSecret(SecretString);

/// A text that is no [`SigningSecret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `whsec_` followed by 24 to 64 bytes in base64")]
pub struct InvalidSecret;

impl SigningSecret {
    /// A fresh one.
    pub fn random() -> Self {
        let key = Zeroizing::new(rand::random::<[u8; NEW_KEY_BYTES]>());
        Self(SecretString::from(format!("{PREFIX}{}", STANDARD.encode(key.as_slice()))))
    }

    /// # Errors
    /// For what a receiver could not verify with.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let key = key_of(text).ok_or(InvalidSecret)?;
        if KEY_BYTES.contains(&key.len()) { Ok(Self(SecretString::from(text))) } else { Err(InvalidSecret) }
    }

    /// The bytes of the key.
    pub fn key(&self) -> Zeroizing<Vec<u8>> {
        key_of(self.0.expose_secret()).unwrap_or_default()
    }

    /// With its prefix, as the receiver has it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

fn key_of(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(text.strip_prefix(PREFIX)?).ok().map(Zeroizing::new)
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SigningSecret(REDACTED)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_its_prefix_and_24_to_64_bytes() {
        let secret = |bytes: usize| format!("{PREFIX}{}", STANDARD.encode(vec![7; bytes]));
        for (bytes, is_one) in [(0, false), (23, false), (24, true), (32, true), (64, true), (65, false)] {
            assert_eq!(SigningSecret::parse(&secret(bytes)).is_ok(), is_one, "{bytes}");
        }
        assert_eq!(SigningSecret::parse(&secret(24)).unwrap().key().as_slice(), [7; 24]);
        for text in [
            "",
            "whsec_",
            secret(32).trim_start_matches(PREFIX),
            &secret(32).to_uppercase(),
            &format!("{} ", secret(32)),
        ] {
            assert!(SigningSecret::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_fresh_secret_is_one_and_no_other() {
        let (one, other) = (SigningSecret::random(), SigningSecret::random());
        assert_eq!(SigningSecret::parse(one.expose()).unwrap().key().len(), NEW_KEY_BYTES);
        assert_ne!(one.expose(), other.expose());
        assert!(!format!("{one:?}").contains(one.expose().trim_start_matches(PREFIX)));
    }
}
