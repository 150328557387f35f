use anyhow::anyhow;
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::value::RawValue;

use crate::admin_login::{AdminLogin, HINT};
use crate::client::{Address, Api, Refused, TIMEOUT, json};

/// Where the API is, and who administers it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Login {
    #[command(flatten)]
    address: Address,
    #[command(flatten)]
    admin: AdminLogin,
}

/// The API, as an administrator asks it.
pub(crate) struct Administration {
    api: Api,
    /// The path below which all is that is asked for.
    base: &'static str,
}

impl Login {
    /// # Errors
    /// If the address is none, or half of the login is missing.
    pub(crate) fn administration(self, base: &'static str) -> anyhow::Result<Administration> {
        Ok(Administration { api: self.address.api(self.admin.headers()?)?, base })
    }
}

impl Administration {
    /// A request to what is below its base. Each of `below` is one segment of the path, whatever characters it has.
    pub(crate) fn request(&self, method: Method, below: &[&str]) -> RequestBuilder {
        let mut path = String::from(self.base);
        for segment in below {
            path.push('/');
            path.extend(utf8_percent_encode(segment, NON_ALPHANUMERIC));
        }
        self.api.request(method, &path)
    }

    /// Sends a request that takes no longer than one should.
    ///
    /// # Errors
    /// If it is refused, or there is no answer.
    pub(crate) async fn ask(&self, request: RequestBuilder) -> anyhow::Result<Box<RawValue>> {
        self.ask_for_long(request.timeout(TIMEOUT)).await
    }

    /// The same for one that takes as long as a receiver does.
    ///
    /// # Errors
    /// As of [`Administration::ask`].
    pub(crate) async fn ask_for_long(&self, request: RequestBuilder) -> anyhow::Result<Box<RawValue>> {
        let answer = self.api.send(request).await.map_err(|error| match error.downcast_ref::<Refused>() {
            Some(refused) if refused.status == StatusCode::UNAUTHORIZED => anyhow!("{error}; {HINT}"),
            Some(_) | None => error,
        })?;
        json(answer.status(), answer.text().await?)
    }
}
