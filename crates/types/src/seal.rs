use secrecy::SecretString;

/// Keeps secrets from lying open where they are stored.
pub trait Seal {
    /// What to store for `secret`. `context` says whose it is and what it is for, as in `webhook/ID/secret`: what was sealed in one
    /// context opens in no other.
    ///
    /// # Errors
    /// Where it cannot be encrypted.
    fn seal(&self, context: &str, secret: &str) -> Result<String, SealError>;

    /// The secret again.
    ///
    /// # Errors
    /// For what was sealed with another key, or in another context, or was changed.
    fn open(&self, context: &str, stored: &str) -> Result<SecretString, SealError>;
}

/// Why a secret could not be stored or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is encrypted, and we have no key.
    #[error("a stored secret is encrypted, and HERMOD_SECRET_KEY is not set")]
    NoKey,
    /// The key is another, or the stored text was changed.
    #[error("a stored secret cannot be decrypted with this HERMOD_SECRET_KEY")]
    NotOurs,
    /// The library refused to encrypt.
    #[error("a secret cannot be encrypted")]
    Encrypt,
}
