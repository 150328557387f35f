use std::convert::Infallible;

use anyhow::{anyhow, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;

use crate::client::{Address, Api, Refused, TIMEOUT, json, secret_header};

const HINT: &str = "set HERMOD_ADMIN_USER and HERMOD_ADMIN_PASSWORD, or HERMOD_SETUP_TOKEN";

/// Where the API is, and who administers it.
#[derive(Args, Clone, Debug)]
pub(super) struct Login {
    #[command(flatten)]
    address: Address,
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

/// The API, as an administrator asks it.
pub(super) struct Administration(Api);

/// A text that clap does not show.
#[expect(clippy::unnecessary_wraps, reason = "what clap wants of a parser")]
pub(super) fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text))
}

impl Login {
    /// # Errors
    /// If the address is none, or half of the login is missing.
    pub(super) fn administration(self) -> anyhow::Result<Administration> {
        let mut headers = HeaderMap::new();
        // A variable that is empty is none.
        let user = self.admin_user.filter(|user| !user.is_empty());
        let given = |secret: Option<SecretString>| secret.filter(|secret| !secret.expose_secret().is_empty());
        match (user, given(self.admin_password)) {
            (Some(user), Some(password)) => {
                let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret()));
                headers.insert(AUTHORIZATION, secret_header(&format!("Basic {pair}"), "--admin-user")?);
            }
            (None, None) => {}
            (Some(_), None) => bail!("--admin-user without --admin-password, or HERMOD_ADMIN_PASSWORD"),
            (None, Some(_)) => bail!("--admin-password without --admin-user, or HERMOD_ADMIN_USER"),
        }
        if let Some(token) = given(self.setup_token) {
            headers.insert("x-bifrost-setup-token", secret_header(token.expose_secret(), "--setup-token")?);
        }
        Ok(Administration(self.address.api(headers)?))
    }
}

impl Administration {
    /// A request to what is below `/api/webhooks`. Each of `below` is one segment of the path, whatever characters it has.
    pub(super) fn request(&self, method: Method, below: &[&str]) -> RequestBuilder {
        let mut path = String::from("/api/webhooks");
        for segment in below {
            path.push('/');
            path.extend(utf8_percent_encode(segment, NON_ALPHANUMERIC));
        }
        self.0.request(method, &path)
    }

    /// Sends a request that takes no longer than one should.
    ///
    /// # Errors
    /// If it is refused, or there is no answer.
    pub(super) async fn ask(&self, request: RequestBuilder) -> anyhow::Result<Box<RawValue>> {
        self.ask_for_long(request.timeout(TIMEOUT)).await
    }

    /// The same for one that takes as long as a receiver does.
    ///
    /// # Errors
    /// As of [`Administration::ask`].
    pub(super) async fn ask_for_long(&self, request: RequestBuilder) -> anyhow::Result<Box<RawValue>> {
        let answer = self.0.send(request).await.map_err(|error| match error.downcast_ref::<Refused>() {
            Some(refused) if refused.status == StatusCode::UNAUTHORIZED => anyhow!("{error}; {HINT}"),
            Some(_) | None => error,
        })?;
        json(answer.status(), answer.text().await?)
    }
}
