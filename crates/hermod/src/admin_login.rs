use std::convert::Infallible;

use anyhow::bail;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use secrecy::{ExposeSecret, SecretString};

use crate::client::secret_header;

/// How to log in.
pub(crate) const HINT: &str = "set HERMOD_ADMIN_USER and HERMOD_ADMIN_PASSWORD, or HERMOD_SETUP_TOKEN";

/// Who administers the API.
#[derive(Args, Clone, Debug)]
pub(crate) struct AdminLogin {
    /// The administrator of `governance.auth_config` in the API's config.json.
    #[arg(long, global = true, env = "HERMOD_ADMIN_USER", value_name = "NAME")]
    admin_user: Option<String>,
    /// The administrator's password.
    #[arg(
        long,
        global = true,
        env = "HERMOD_ADMIN_PASSWORD",
        hide_env_values = true,
        value_parser = secret,
        value_name = "PASSWORD"
    )]
    admin_password: Option<SecretString>,
    /// The API's setup token, where it has no administrator.
    #[arg(
        long,
        global = true,
        env = "HERMOD_SETUP_TOKEN",
        hide_env_values = true,
        value_parser = secret,
        value_name = "TOKEN"
    )]
    setup_token: Option<SecretString>,
}

/// A text that clap does not show.
#[expect(clippy::unnecessary_wraps, reason = "what clap wants of a parser")]
pub(crate) fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text))
}

impl AdminLogin {
    /// What shows it; nothing where it is not given.
    ///
    /// # Errors
    /// If half of it is missing.
    pub(crate) fn headers(&self) -> anyhow::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        // A variable that is empty is none.
        let user = self.admin_user.as_ref().filter(|user| !user.is_empty());
        let password = given(self.admin_password.as_ref());
        match (user, password) {
            (Some(user), Some(password)) => {
                let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret()));
                headers.insert(AUTHORIZATION, secret_header(&format!("Basic {pair}"), "--admin-user")?);
            }
            (None, None) => {}
            (Some(_), None) => bail!("--admin-user without --admin-password, or HERMOD_ADMIN_PASSWORD"),
            (None, Some(_)) => bail!("--admin-password without --admin-user, or HERMOD_ADMIN_USER"),
        }
        if let Some(token) = given(self.setup_token.as_ref()) {
            headers.insert("x-bifrost-setup-token", secret_header(token.expose_secret(), "--setup-token")?);
        }
        Ok(headers)
    }
}

fn given(secret: Option<&SecretString>) -> Option<&SecretString> {
    secret.filter(|secret| !secret.expose_secret().is_empty())
}
