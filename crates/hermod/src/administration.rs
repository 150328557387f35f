use anyhow::anyhow;
use clap::Args;
use hermod_client::{Client, Error, Method, Request, StatusCode};
use serde_json::value::RawValue;

use crate::admin_login::{AdminLogin, HINT};
use crate::client::{Address, build, hinted};

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
    api: Client,
    /// The path below which all is that is asked for.
    base: &'static str,
}

impl Login {
    /// # Errors
    /// If the address is none, or half of the login is missing.
    pub(crate) fn administration(self, base: &'static str) -> anyhow::Result<Administration> {
        Ok(Administration { api: build(self.admin.add_to(self.address.builder())?)?, base })
    }
}

impl Administration {
    /// A request to what is below its base. Each of `below` is one segment of the path, whatever characters it has.
    pub(crate) fn request(&self, method: Method, below: &[&str]) -> Request<'_> {
        self.api.request(method, self.base, below)
    }

    /// Sends a request, and says how to log in where nobody has.
    ///
    /// # Errors
    /// If it is refused, or there is no answer.
    pub(crate) async fn ask(&self, request: Request<'_>) -> anyhow::Result<Box<RawValue>> {
        request.send().await.map_err(|error| {
            let is_stranger =
                matches!(&error, Error::Refused(refused) if refused.status == StatusCode::UNAUTHORIZED);
            if is_stranger { anyhow!("{error}; {HINT}") } else { hinted(error) }
        })
    }
}

/// Whether what was asked for is not there.
pub(crate) fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(Error::is_not_found)
}
