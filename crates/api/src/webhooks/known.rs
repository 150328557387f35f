use std::borrow::Cow;
use std::sync::Arc;

use hermod_queue::webhooks::{Stored, Webhooks};
use hermod_types::webhook::{Endpoint, EndpointId, EndpointState};
use hermod_types::{ApiConfig, Seal};

use crate::error::ApiError;

pub(crate) const NOT_FOUND: ApiError = ApiError::NotFound("Webhook endpoint not found");

/// The endpoints of `config.json` and those that were made over HTTP. The latter are read anew each time.
#[derive(Clone)]
pub(crate) struct Endpoints {
    config: Arc<ApiConfig>,
    pub(crate) stored: Webhooks,
    pub(super) seal: Arc<dyn Seal + Send + Sync>,
}

/// An endpoint as it is now.
pub(crate) struct Known<'a> {
    pub(crate) endpoint: Cow<'a, Endpoint>,
    pub(crate) state: EndpointState,
    /// As it is stored; none for one of the file.
    pub(super) stored: Option<String>,
}

impl Known<'_> {
    pub(super) fn json(&self) -> String {
        self.endpoint.to_json(&self.state)
    }

    /// Whether nothing is sent to it.
    pub(crate) fn is_disabled(&self) -> bool {
        self.endpoint.is_disabled(&self.state)
    }

    /// # Errors
    /// If nothing is sent to it.
    pub(super) fn check_enabled(&self) -> Result<(), ApiError> {
        if self.is_disabled() { Err(disabled(&self.endpoint.name)) } else { Ok(()) }
    }

    /// What is stored of it.
    ///
    /// # Errors
    /// If it stands in the file.
    pub(super) fn changeable(&self) -> Result<&str, ApiError> {
        self.stored.as_deref().ok_or_else(|| in_file(&self.endpoint.name))
    }
}

/// What is said of an endpoint to which nothing is sent: Bifrost's text.
pub(crate) fn disabled(name: &str) -> ApiError {
    ApiError::invalid(format!("webhook endpoint {name:?} is disabled"))
}

fn in_file(name: &str) -> ApiError {
    ApiError::Conflict(format!("webhook endpoint {name:?} stands in config.json, and is changed there"))
}

impl Endpoints {
    pub(crate) fn new(config: Arc<ApiConfig>, stored: Webhooks, seal: Arc<dyn Seal + Send + Sync>) -> Self {
        Self { config, stored, seal }
    }

    /// Those of the file.
    pub(super) fn of_file(&self) -> &[Endpoint] {
        &self.config.webhooks
    }

    /// Whether one of the file has this name.
    pub(super) fn is_in_file(&self, name: &str) -> bool {
        self.config.webhooks.iter().any(|endpoint| endpoint.name == name)
    }

    /// The endpoint with this id, or this name.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub(crate) async fn find(&self, id_or_name: &str) -> Result<Known<'_>, ApiError> {
        if let Ok(id) = id_or_name.parse::<EndpointId>()
            && let Some(known) = self.by_id(id).await?
        {
            return Ok(known);
        }
        self.by_name(id_or_name).await?.ok_or(NOT_FOUND)
    }

    /// # Errors
    /// If it cannot be read.
    pub(crate) async fn by_id(&self, id: EndpointId) -> Result<Option<Known<'_>>, ApiError> {
        let stored = self.stored.find(id).await.map_err(ApiError::Unavailable)?;
        match self.config.webhooks.iter().find(|endpoint| endpoint.id == id) {
            Some(endpoint) => Ok(Some(known_of_file(endpoint, stored.state))),
            None => self.read(stored),
        }
    }

    /// # Errors
    /// If it cannot be read.
    pub(crate) async fn by_name(&self, name: &str) -> Result<Option<Known<'_>>, ApiError> {
        if let Some(endpoint) = self.config.webhooks.iter().find(|endpoint| endpoint.name == name) {
            let stored = self.stored.find(endpoint.id).await.map_err(ApiError::Unavailable)?;
            return Ok(Some(known_of_file(endpoint, stored.state)));
        }
        match self.stored.find_named(name).await.map_err(ApiError::Unavailable)? {
            Some(stored) => self.read(stored),
            None => Ok(None),
        }
    }

    /// All: those of the file in its order, then the others by age.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(crate) async fn all(&self) -> Result<Vec<Known<'_>>, ApiError> {
        let ids: Vec<EndpointId> = self.of_file().iter().map(|endpoint| endpoint.id).collect();
        let states = self.stored.find_all(&ids).await.map_err(ApiError::Unavailable)?;
        let mut all: Vec<_> = self
            .of_file()
            .iter()
            .zip(states)
            .map(|(endpoint, stored)| known_of_file(endpoint, stored.state))
            .collect();
        for stored in self.stored.registered().await.map_err(ApiError::Unavailable)? {
            all.extend(self.read(stored)?);
        }
        Ok(all)
    }

    /// None for one that is not registered.
    pub(super) fn read(&self, stored: Stored) -> Result<Option<Known<'static>>, ApiError> {
        let Some(definition) = stored.definition else { return Ok(None) };
        let id = stored.id;
        let endpoint = Endpoint::from_stored(&definition, &*self.seal)
            .map_err(|error| ApiError::UnusableEndpoint { id, error })?;
        Ok(Some(Known { endpoint: Cow::Owned(endpoint), state: stored.state, stored: Some(definition) }))
    }

    /// As it is to be stored.
    ///
    /// # Errors
    /// If a secret cannot be encrypted.
    pub(super) fn to_stored(&self, endpoint: &Endpoint) -> Result<String, ApiError> {
        let id = endpoint.id;
        endpoint
            .to_stored(&*self.seal)
            .map_err(|error| ApiError::UnusableEndpoint { id, error: error.into() })
    }
}

fn known_of_file(endpoint: &Endpoint, state: EndpointState) -> Known<'_> {
    Known { endpoint: Cow::Borrowed(endpoint), state, stored: None }
}
