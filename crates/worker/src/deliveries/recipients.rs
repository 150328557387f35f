use std::borrow::Cow;
use std::collections::HashMap;

use hermod_queue::webhooks::Registration;
use hermod_types::Config;
use hermod_types::config::WebhookOrigin;
use hermod_types::webhook::{Endpoint, EndpointId, Event, Limits, Receiver, SigningSecret, TargetUrl};
use url::Url;

/// What this worker's configuration knows of those who are told.
#[derive(Debug)]
pub struct Recipients {
    endpoints: HashMap<EndpointId, Endpoint>,
    /// By the id of the virtual key.
    secrets: HashMap<String, SigningSecret>,
    origins: Vec<WebhookOrigin>,
}

/// Who is told, as far as it is known before the attempt has begun.
pub(super) struct Recipient<'a> {
    pub(super) registration: Registration,
    /// None where its definition is in Redis.
    pub(super) endpoint: Option<Cow<'a, Endpoint>>,
}

/// Why an attempt cannot be made here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Another worker may make it, or this one after its next start.
    Here(String),
    /// Nobody will.
    Anywhere(String),
}

impl Recipients {
    pub fn new(config: &Config) -> Self {
        let endpoints = config.webhooks.iter().map(|endpoint| (endpoint.id, endpoint.clone()));
        let definitions = &config.definitions;
        let keys = definitions.virtual_keys.iter().map(|key| (&key.id, &key.webhook_secret));
        let keys = keys.chain(definitions.file_keys.iter().map(|(id, key)| (id, &key.webhook_secret)));
        let secrets = keys.filter_map(|(id, secret)| Some((id.clone(), secret.clone()?)));
        Self {
            endpoints: endpoints.collect(),
            secrets: secrets.collect(),
            origins: config.webhook_origins.clone(),
        }
    }

    /// Who `receiver` is.
    ///
    /// # Errors
    /// If it is nobody whom this worker could call.
    pub(super) fn find(&self, receiver: &Receiver) -> Result<Recipient<'_>, Unusable> {
        match receiver {
            Receiver::Endpoint { endpoint } if endpoint.is_registered() => {
                Ok(Recipient { registration: Registration::Registered, endpoint: None })
            }
            Receiver::Endpoint { endpoint } => {
                let endpoint = self.endpoints.get(endpoint).ok_or_else(|| {
                    Unusable::here("the endpoint is not in the config.json of the worker that looked for it")
                })?;
                let slots = endpoint.limits.concurrent_deliveries();
                Ok(Recipient {
                    registration: Registration::File { slots },
                    endpoint: Some(Cow::Borrowed(endpoint)),
                })
            }
            Receiver::Url { url, owner } => Ok(Recipient {
                registration: registration_of(receiver),
                endpoint: Some(Cow::Owned(self.address(receiver.endpoint_id(), url, owner)?)),
            }),
        }
    }

    /// An address that a submit has named, as an endpoint that takes all events.
    fn address(&self, id: EndpointId, url: &str, owner: &str) -> Result<Endpoint, Unusable> {
        let network = Url::parse(url).ok().and_then(|url| {
            let origin = self.origins.iter().find(|origin| origin.contains(&url))?;
            Some(origin.private_network())
        });
        let private_network = network
            .ok_or_else(|| Unusable::here("client.allow_webhook_urls does not list the address any more"))?;
        let secret = self
            .secrets
            .get(owner)
            .ok_or_else(|| Unusable::here("the virtual key of the job has no webhook secret any more"))?;
        let url =
            TargetUrl::parse(url, private_network).map_err(|error| Unusable::Anywhere(error.to_string()))?;
        Ok(Endpoint {
            id,
            name: String::new(),
            url,
            events: Event::ALL.to_vec(),
            headers: Vec::new(),
            include_response: false,
            limits: Limits::default(),
            private_network,
            disabled: false,
            virtual_key_ids: None,
            secret: secret.clone(),
            old_secret: None,
            created_at: None,
            updated_at: None,
            is_from_file: false,
        })
    }
}

impl Unusable {
    fn here(why: &str) -> Self {
        Self::Here(why.to_owned())
    }
}

/// How `receiver` is counted where it cannot be found.
pub(super) fn registration_of(receiver: &Receiver) -> Registration {
    let slots = Limits::default().concurrent_deliveries();
    match receiver {
        Receiver::Endpoint { endpoint } if endpoint.is_registered() => Registration::Registered,
        Receiver::Endpoint { .. } => Registration::File { slots },
        Receiver::Url { .. } => Registration::Address { slots },
    }
}
