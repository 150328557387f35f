//! Bifrost's `config.json`, as far as text completions need it.
//!
//! [`Config::from_json`] reads the file that a user already has; what it does not know it ignores and
//! names in [`Config::ignored`]. Secrets are given as they are or as `env.NAME`, and are resolved once,
//! here, through the look-up that the caller passes.
//!
//! A worker has a [`Config`] with all of it. An API process has an [`ApiConfig`], which knows each provider by its
//! [`ApiProvider`] alone: it is the process that strangers reach, and has no use for their keys.
//!
//! | module | |
//! |---|---|
//! | `node`, `section` | the file as a tree, read member by member; errors are collected with their paths |
//! | `read`, `read_provider`, `read_key`, `read_governance`, `read_virtual_key`, `read_pricing`, `read_webhook` | what each member means |
//! | `environment` | the configuration without a file |
//! | `kind` | the table of APIs that we speak |

mod access;
mod admin;
mod endpoints;
mod environment;
mod error;
mod kind;
mod models;
mod node;
mod read;
mod read_governance;
mod read_key;
mod read_pricing;
mod read_provider;
mod read_virtual_key;
mod read_webhook;
mod section;
mod suggest;
#[cfg(test)]
mod tests;
mod webhook_origin;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::governance::{Definitions, PricingSource};
use crate::webhook::{Endpoint, PrivateNetwork};
use crate::{Operation, Ttl};
pub use access::KeyAccess;
pub use admin::AdminLogin;
pub use endpoints::Support;
pub use error::{ConfigError, ConfigErrors};
pub use kind::{Bounds, Form, ProviderKind};
pub use models::Models;
use read::ProviderSecrets;
pub(crate) use read_webhook::read_body as read_webhook_body;
pub use webhook_origin::WebhookOrigin;

/// How long a result is kept where neither client nor operator says: Bifrost's default.
const DEFAULT_TTL_SECONDS: u64 = 3600;
/// Bifrost's is 30 s, which is short for jobs that exist because calls take minutes.
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Bifrost's `DefaultRetryBackoffInitial`.
const DEFAULT_BACKOFF_INITIAL: Duration = Duration::from_millis(500);
/// Bifrost's `DefaultRetryBackoffMax`.
const DEFAULT_BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Bifrost's default of `delivery_history_retention_days`.
const DEFAULT_WEBHOOK_HISTORY: Duration = Duration::from_secs(30 * 24 * 3600);

/// Calls that one job may need where its provider is asked prompt by prompt.
pub const DEFAULT_MAX_CALLS: u64 = 256;
/// The largest value that `HERMOD_MAX_CALLS` may have.
pub const LARGEST_MAX_CALLS: u64 = 65_536;

/// What the operator configured, with what `P` says of each provider.
#[derive(Debug)]
pub struct Config<P = ProviderConfig> {
    /// How long a result is kept where the client does not say.
    pub default_ttl: Ttl,
    /// Whether a submit needs a virtual key.
    pub require_virtual_key: bool,
    /// Providers by the name that clients use in `provider/model`.
    pub providers: BTreeMap<String, P>,
    /// Who may use what, and how much of it.
    pub definitions: Definitions,
    /// Where prices come from, `framework.pricing`.
    pub pricing: PricingSource,
    /// How long the value before a key's rotation counts, `client.vk_rotation_cooldown`.
    pub rotation_cooldown: Duration,
    /// Receivers of webhooks, `webhooks`.
    pub webhooks: Vec<Endpoint>,
    /// How long the history of deliveries is kept, `client.webhook_config.delivery_history_retention_days`.
    pub webhook_history: Duration,
    /// Where a submit may have its end told without an endpoint, `client.allow_webhook_urls`.
    pub webhook_origins: Vec<WebhookOrigin>,
    /// Who may administer, `auth_config`; none where it is absent or not enabled.
    pub admin: Option<AdminLogin>,
    /// What opens the administration where there is no login, `setup_token`.
    pub setup_token: Option<SecretString>,
    /// See [`cannot_serve`](crate::cannot_serve). It is no part of the file, but a setting of the process.
    pub max_calls: u64,
    /// Paths of what the file holds and we do not read.
    pub ignored: Vec<String>,
    /// Providers of the file whose API we do not speak.
    pub unsupported: Vec<String>,
}

/// What an API process knows.
pub type ApiConfig = Config<ApiProvider>;

/// What an API process knows of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiProvider {
    /// The API that it speaks.
    pub kind: ProviderKind,
    /// What it may be asked for; none means all that its kind can do.
    pub allowed: Option<BTreeSet<Operation>>,
}

/// One provider.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// The API that it speaks.
    pub kind: ProviderKind,
    /// Where it is; none means the kind's own default.
    pub base_url: Option<String>,
    /// Paths below that, in place of the kind's own, where it has the operation natively.
    pub paths: BTreeMap<Operation, String>,
    /// What it may be asked for; none means all that its kind can do.
    pub allowed: Option<BTreeSet<Operation>>,
    /// Its keys; empty for one that needs none.
    pub keys: Vec<ProviderKey>,
    /// How long one call may take.
    pub request_timeout: Duration,
    /// Calls after the first, to the same target.
    pub max_retries: u32,
    /// The wait before the first retry, doubled for each further one.
    pub backoff_initial: Duration,
    /// The longest such wait.
    pub backoff_max: Duration,
    /// Headers sent with each call.
    pub extra_headers: Vec<(String, SecretString)>,
    /// Calls that one worker has under way at once.
    pub concurrency: Option<usize>,
    /// Certificates, in PEM, of authorities to trust besides the system's.
    pub ca_cert_pem: Option<String>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
}

/// One key of a provider.
#[derive(Clone, Debug)]
pub struct ProviderKey {
    /// What logs and journals call it.
    pub name: String,
    /// The secret itself; empty where a server wants none, or [`ProviderKey::access`] has the credentials.
    pub value: SecretString,
    /// What else its provider needs to know.
    pub access: KeyAccess,
    /// The models that it serves.
    pub models: Models,
    /// Its share of the calls, relative to the others.
    pub weight: f64,
    /// Model names of the client's, to the provider's.
    pub aliases: BTreeMap<String, String>,
}

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Reads a `config.json`, all of it.
    ///
    /// # Errors
    /// All that is wrong with it, and never a secret.
    pub fn from_json(text: &str, environment: Environment<'_>) -> Result<Self, ConfigErrors> {
        let (config, errors) = Self::inspect(text, environment);
        ConfigErrors::none_of(errors, config)
    }

    /// The same for whom a configuration is to be shown that cannot be used: what could be read of it, and what is
    /// wrong with it.
    pub fn inspect(text: &str, environment: Environment<'_>) -> (Self, Vec<ConfigError>) {
        read::read(text, environment, ProviderSecrets::Resolved)
    }

    /// The same configuration without the providers' secrets.
    pub fn without_provider_secrets(self) -> ApiConfig {
        Config {
            default_ttl: self.default_ttl,
            require_virtual_key: self.require_virtual_key,
            providers: self
                .providers
                .into_iter()
                .map(|(name, provider)| {
                    (name, ApiProvider { kind: provider.kind, allowed: provider.allowed })
                })
                .collect(),
            definitions: self.definitions,
            pricing: self.pricing,
            rotation_cooldown: self.rotation_cooldown,
            webhooks: self.webhooks,
            webhook_history: self.webhook_history,
            webhook_origins: self.webhook_origins,
            admin: self.admin,
            setup_token: self.setup_token,
            max_calls: self.max_calls,
            ignored: self.ignored,
            unsupported: self.unsupported,
        }
    }
}

impl ApiConfig {
    /// Reads of a `config.json` what an API process needs. The variables that hold providers' secrets may be unset.
    ///
    /// # Errors
    /// All that is wrong with the file, as with [`Config::from_json`] but for those variables.
    pub fn names_from_json(text: &str, environment: Environment<'_>) -> Result<Self, ConfigErrors> {
        let (config, errors) = read::read(text, environment, ProviderSecrets::Unread);
        ConfigErrors::none_of(errors, config.without_provider_secrets())
    }
}

impl<P> Config<P> {
    /// Whether a submit may have its end told at `url`, and if so, whether it may be at a private address.
    pub fn allows_webhook_url(&self, url: &Url) -> Option<PrivateNetwork> {
        let origin = self.webhook_origins.iter().find(|origin| origin.contains(url))?;
        Some(origin.private_network())
    }
}

impl ProviderKey {
    /// All of it that nobody may see.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        std::iter::once(&self.value).chain(self.access.secrets())
    }
}

impl<P> Default for Config<P> {
    fn default() -> Self {
        Self {
            default_ttl: Ttl::from_seconds(DEFAULT_TTL_SECONDS).unwrap_or(Ttl::MAX),
            require_virtual_key: false,
            providers: BTreeMap::new(),
            definitions: Definitions::default(),
            pricing: PricingSource::default(),
            rotation_cooldown: Duration::ZERO,
            webhooks: Vec::new(),
            webhook_history: DEFAULT_WEBHOOK_HISTORY,
            webhook_origins: Vec::new(),
            admin: None,
            setup_token: None,
            max_calls: DEFAULT_MAX_CALLS,
            ignored: Vec::new(),
            unsupported: Vec::new(),
        }
    }
}

impl ApiProvider {
    /// Whether it may be asked for this.
    pub fn allows(&self, operation: Operation) -> bool {
        allows(self.allowed.as_ref(), operation)
    }
}

fn allows(allowed: Option<&BTreeSet<Operation>>, operation: Operation) -> bool {
    allowed.is_none_or(|allowed| allowed.contains(&operation.polled_as()))
}

impl ProviderConfig {
    /// Whether it may be asked for this.
    pub fn allows(&self, operation: Operation) -> bool {
        allows(self.allowed.as_ref(), operation)
    }

    /// A provider of this kind with nothing configured.
    pub fn new(kind: ProviderKind) -> Self {
        Self {
            kind,
            base_url: None,
            paths: BTreeMap::new(),
            allowed: None,
            keys: Vec::new(),
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
            max_retries: 0,
            backoff_initial: DEFAULT_BACKOFF_INITIAL,
            backoff_max: DEFAULT_BACKOFF_MAX,
            extra_headers: Vec::new(),
            concurrency: None,
            ca_cert_pem: None,
            insecure_skip_verify: false,
        }
    }
}
