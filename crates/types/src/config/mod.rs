//! Bifrost's `config.json`, as far as text completions need it.
//!
//! [`Config::from_json`] reads the file that a user already has; what it does not know it ignores and
//! names in [`Config::ignored`]. Secrets are given as they are or as `env.NAME`, and are resolved once,
//! here, through the look-up that the caller passes.

mod access;
mod file;
mod kind;
mod read;
#[cfg(test)]
mod tests;
mod virtual_key;

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

use crate::Ttl;
pub use access::KeyAccess;
pub use kind::{Bounds, Form, Kind};
pub use virtual_key::{Models, ProviderGrant, VirtualKey};

/// How long a result is kept where neither client nor operator says: Bifrost's default.
const DEFAULT_TTL_SECONDS: u64 = 3600;
/// Bifrost's is 30 s, which is short for jobs that exist because calls take minutes.
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Bifrost's `DefaultRetryBackoffInitial`.
const DEFAULT_BACKOFF_INITIAL: Duration = Duration::from_millis(500);
/// Bifrost's `DefaultRetryBackoffMax`.
const DEFAULT_BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What the operator configured.
#[derive(Debug)]
pub struct Config {
    /// How long a result is kept where the client does not say.
    pub default_ttl: Ttl,
    /// Whether a submit needs a virtual key.
    pub require_virtual_key: bool,
    /// Providers by the name that clients use in `provider/model`.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// The virtual keys.
    pub virtual_keys: Vec<VirtualKey>,
    /// Paths of what the file holds and we do not read.
    pub ignored: Vec<String>,
    /// Providers of the file whose API we do not speak.
    pub unsupported: Vec<String>,
}

/// One provider.
#[derive(Debug)]
pub struct ProviderConfig {
    /// The API that it speaks.
    pub kind: Kind,
    /// Where it is; none means the kind's own default.
    pub base_url: Option<String>,
    /// The path of text completions below that, in place of the kind's own, where it has them natively.
    pub path: Option<String>,
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
#[derive(Debug)]
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

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not JSON of the right shape; the text says where.
    #[error("{path}: {message}")]
    Shape {
        /// The member at fault.
        path: String,
        /// What was expected there.
        message: String,
    },
    /// It refers to an environment variable that is not set.
    #[error("{path}: the environment variable {name} is not set")]
    UnsetVariable {
        /// The member that refers to it.
        path: String,
        /// The variable.
        name: String,
    },
}

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Besides its key, what Azure needs to be used without a file.
const AZURE_ENDPOINT: &str = "AZURE_OPENAI_ENDPOINT";
/// Where a Bedrock API key is used without a file.
const AWS_REGION: &str = "AWS_REGION";

impl Config {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`ConfigError`], which names the member at fault and never a secret.
    pub fn from_json(text: &str, environment: Environment<'_>) -> Result<Self, ConfigError> {
        read::read(text, environment)
    }

    /// The configuration without a file: every provider whose usual variable is set, with its defaults.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let provider = |kind: Kind| {
            let name = kind.key_variable()?;
            let value = variable(name)?;
            let mut provider = ProviderConfig::new(kind);
            if kind == Kind::Azure {
                provider.base_url = Some(variable(AZURE_ENDPOINT)?);
            }
            let access = match variable(AWS_REGION) {
                Some(region) if kind == Kind::Bedrock => KeyAccess::Bedrock {
                    access_key: None,
                    secret_key: None,
                    session_token: None,
                    region: Some(region),
                    arn: None,
                },
                Some(_) | None => KeyAccess::Plain,
            };
            provider.keys.push(ProviderKey {
                name: name.to_owned(),
                value: value.into(),
                access,
                models: Models::All,
                weight: 1.0,
                aliases: BTreeMap::new(),
            });
            Some((kind.name().to_owned(), provider))
        };
        Self { providers: Kind::all().filter_map(provider).collect(), ..Self::default() }
    }

    /// The configured virtual key with this value, active or not.
    pub fn virtual_key(&self, value: &str) -> Option<&VirtualKey> {
        self.virtual_keys.iter().find(|key| key.has_value(value))
    }
}

impl ProviderKey {
    /// All of it that nobody may see.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        std::iter::once(&self.value).chain(self.access.secrets())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_ttl: Ttl::from_seconds(DEFAULT_TTL_SECONDS).unwrap_or(Ttl::MAX),
            require_virtual_key: false,
            providers: BTreeMap::new(),
            virtual_keys: Vec::new(),
            ignored: Vec::new(),
            unsupported: Vec::new(),
        }
    }
}

impl ProviderConfig {
    /// A provider of this kind with nothing configured.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            base_url: None,
            path: None,
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
