use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use hermod_types::config::AdminLogin;
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

/// How long a session lasts.
pub(super) const LENGTH: Duration = Duration::from_secs(24 * 3600);

const BYTES: usize = 32;

/// What whoever has logged in shows with each request. Redis has a hash of it alone, and of the credentials what nobody can check
/// a guess against who does not have the token.
pub(super) struct Token([u8; BYTES]);

impl Token {
    pub(super) fn random() -> Self {
        Self(rand::random())
    }

    /// None for what we never gave out.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * BYTES {
            return None;
        }
        let mut token = [0; BYTES];
        for (byte, pair) in token.iter_mut().zip(digits.chunks_exact(2)) {
            let digit =
                |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let [high, low] = pair else { return None };
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(token))
    }

    /// What Redis knows it by.
    pub(super) fn key(&self) -> String {
        hex(digest(&SHA256, &self.0).as_ref())
    }

    /// What says that its session was begun with these credentials.
    pub(super) fn proof(&self, login: &AdminLogin) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        let username = login.username.expose_secret();
        context.update(&username.len().to_be_bytes());
        context.update(username.as_bytes());
        context.update(login.password.expose_secret().as_bytes());
        hex(context.sign().as_ref())
    }

    pub(super) fn proves(&self, login: &AdminLogin, proof: &str) -> bool {
        self.proof(login).as_bytes().ct_eq(proof.as_bytes()).into()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex(&self.0))
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string has no way to fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(username: &str, password: &str) -> AdminLogin {
        AdminLogin { username: username.into(), password: password.into() }
    }

    #[test]
    fn a_token_is_read_as_it_was_given_out() {
        let token = Token::random();
        let read = Token::parse(&token.to_string()).unwrap();
        assert_eq!((read.0, read.key()), (token.0, token.key()));
        assert_ne!(token.key(), token.to_string());
        let text = token.to_string();
        for wrong in ["", "x", &format!("{text}0"), &"0".repeat(63), &"g".repeat(64), &"ü".repeat(32)] {
            assert!(Token::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_session_ends_with_its_credentials() {
        let (token, admin) = (Token::random(), login("admin", "secret"));
        let proof = token.proof(&admin);
        assert!(token.proves(&admin, &proof));
        for other in [login("admin", "other"), login("other", "secret"), login("admins", "ecret")] {
            assert!(!token.proves(&other, &proof));
        }
        assert!(!Token::random().proves(&admin, &proof), "nor is it another's");
    }
}
