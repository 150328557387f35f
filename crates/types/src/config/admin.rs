use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

/// The login of the administration, `auth_config`.
#[derive(Clone, Debug)]
pub struct AdminLogin {
    pub username: SecretString,
    pub password: SecretString,
}

impl AdminLogin {
    /// Compares in a time that does not depend on where they differ.
    pub fn is(&self, username: &str, password: &str) -> bool {
        let is =
            |secret: &SecretString, given: &str| secret.expose_secret().as_bytes().ct_eq(given.as_bytes());
        (is(&self.username, username) & is(&self.password, password)).into()
    }
}
