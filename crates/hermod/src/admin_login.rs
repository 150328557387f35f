use std::convert::Infallible;

use anyhow::bail;
use clap::Args;
use hermod_client::ClientBuilder;
use secrecy::{ExposeSecret, SecretString};

use crate::client::of_option;

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
    /// A client with it, or as it is where none is given.
    ///
    /// # Errors
    /// If half of it is missing.
    pub(crate) fn add_to(&self, mut client: ClientBuilder) -> anyhow::Result<ClientBuilder> {
        // A variable that is empty is none.
        let user = self.admin_user.as_ref().filter(|user| !user.is_empty());
        let password = given(self.admin_password.as_ref());
        match (user, password) {
            (Some(user), Some(password)) => {
                let named = client.administrator(user, password.expose_secret());
                client = named.map_err(|error| of_option("--admin-user", error))?;
            }
            (None, None) => {}
            (Some(_), None) => bail!("--admin-user without --admin-password, or HERMOD_ADMIN_PASSWORD"),
            (None, Some(_)) => bail!("--admin-password without --admin-user, or HERMOD_ADMIN_USER"),
        }
        if let Some(token) = given(self.setup_token.as_ref()) {
            let opened = client.setup_token(token.expose_secret());
            client = opened.map_err(|error| of_option("--setup-token", error))?;
        }
        Ok(client)
    }
}

fn given(secret: Option<&SecretString>) -> Option<&SecretString> {
    secret.filter(|secret| !secret.expose_secret().is_empty())
}
