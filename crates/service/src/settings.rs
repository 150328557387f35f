use std::convert::Infallible;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, value_parser};
use hermod_queue::{RedisUrl, Tolerance};
use hermod_types::config::{ConfigErrors, DEFAULT_MAX_CALLS, LARGEST_MAX_CALLS};
use hermod_types::{ApiConfig, Config};
use secrecy::{ExposeSecret, SecretString};

/// Where Redis is.
#[derive(Args, Clone, Debug)]
pub struct RedisSettings {
    /// redis://, rediss:// or unix://, with user, password and database number; or redis-sentinel://, redis-cluster://.
    #[arg(
        long,
        global = true,
        env = "REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true,
        value_parser = |url: &str| Ok::<_, Infallible>(SecretString::from(url)),
        value_name = "URL"
    )]
    redis_url: SecretString,
    /// Use a Redis whose maxmemory-policy throws jobs away when it is full.
    #[arg(long, global = true, env = "HERMOD_ACCEPT_EVICTION")]
    accept_eviction: bool,
    /// Do not warn of a Redis without an append-only file.
    #[arg(long, global = true, env = "HERMOD_ACCEPT_NO_PERSISTENCE")]
    accept_no_persistence: bool,
}

impl RedisSettings {
    /// Where Redis is. It is read here and not by clap, which would repeat what it cannot read, with its password.
    ///
    /// # Errors
    /// One sentence on what was expected.
    pub fn url(&self) -> anyhow::Result<RedisUrl> {
        self.redis_url.expose_secret().parse().context("REDIS_URL, or --redis-url")
    }

    /// What is accepted of it.
    pub const fn tolerance(&self) -> Tolerance {
        Tolerance { eviction: self.accept_eviction, no_persistence: self.accept_no_persistence }
    }
}

/// What secrets are encrypted with where they are stored.
#[derive(Args, Clone, Debug)]
pub struct SecretSettings {
    /// 32 bytes in base64, with which secrets of webhook endpoints are encrypted in Redis; the same for API processes and workers.
    #[arg(
        long,
        env = "HERMOD_SECRET_KEY",
        hide_env_values = true,
        value_parser = |key: &str| Ok::<_, Infallible>(SecretString::from(key)),
        value_name = "KEY"
    )]
    secret_key: Option<SecretString>,
}

impl SecretSettings {
    /// What was set; an empty value is none.
    pub fn key(&self) -> Option<&SecretString> {
        self.secret_key.as_ref().filter(|key| !key.expose_secret().is_empty())
    }
}

/// Where the configuration is.
#[derive(Args, Clone, Debug)]
pub struct ConfigSettings {
    /// Bifrost's config.json; without it, providers are configured from their usual environment variables.
    #[arg(long, env = "HERMOD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Providers to use where there is no config.json, as in `openai,groq`; without this, each whose usual variable
    /// (such as `OPENAI_API_KEY`) is set. An API process needs the names alone; a worker needs each one's variable.
    #[arg(long, env = "HERMOD_PROVIDERS", value_delimiter = ',', value_name = "NAMES")]
    pub providers: Vec<String>,
    /// Calls that one job may need, prompts × `n`, where its provider is asked prompt by prompt. API processes and
    /// workers need the same.
    #[arg(long, env = "HERMOD_MAX_CALLS", default_value_t = DEFAULT_MAX_CALLS, value_parser = value_parser!(u64).range(1..=LARGEST_MAX_CALLS), value_name = "CALLS")]
    pub max_calls: u64,
}

impl ConfigSettings {
    /// Reads all of the configuration, as a worker needs it, and warns of what it holds that is not used.
    ///
    /// # Errors
    /// All that is wrong with it, one a line: the member at fault, and what was expected.
    pub fn load(&self) -> anyhow::Result<Config> {
        let config = match (&self.config, self.names()) {
            (Some(path), _) => read(path, |text| Config::from_json(text, &variable))?,
            (None, Some(names)) => Config::from_names(&names, &variable)?,
            (None, None) => Config::from_environment(&variable),
        };
        Ok(self.complete(config))
    }

    /// The same for an API process: no secret of a provider is kept, and none that the file refers to is looked up.
    ///
    /// # Errors
    /// As of [`ConfigSettings::load`].
    pub fn load_for_api(&self) -> anyhow::Result<ApiConfig> {
        let config = match (&self.config, self.names()) {
            (Some(path), _) => read(path, |text| ApiConfig::names_from_json(text, &variable))?,
            (None, Some(names)) => ApiConfig::of_names(&names)?,
            (None, None) => Config::from_environment(&variable).without_provider_secrets(),
        };
        Ok(self.complete(config))
    }

    fn names(&self) -> Option<Vec<String>> {
        let names: Vec<_> = self.providers.iter().filter(|name| !name.trim().is_empty()).cloned().collect();
        (!names.is_empty()).then_some(names)
    }

    fn complete<P>(&self, mut config: Config<P>) -> Config<P> {
        config.max_calls = self.max_calls;
        if self.config.is_none() && config.providers.is_empty() {
            tracing::warn!(
                "no provider: neither HERMOD_CONFIG, nor HERMOD_PROVIDERS, nor a variable such as OPENAI_API_KEY is set"
            );
        }
        if !config.ignored.is_empty() {
            tracing::warn!(
                ignored = config.ignored.join(" "),
                "parts of the configuration have no effect here"
            );
        }
        if !config.unsupported.is_empty() {
            let providers = config.unsupported.join(" ");
            tracing::warn!(
                providers,
                "no text completions yet with these providers; requests naming them get 400"
            );
        }
        config
    }
}

/// An environment variable that the configuration refers to.
#[expect(clippy::disallowed_methods, reason = "the one place where config.json is read")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read<C>(path: &Path, parse: impl FnOnce(&str) -> Result<C, ConfigErrors>) -> anyhow::Result<C> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    // One a line, below the sentence that says of what.
    parse(&text).map_err(|errors| anyhow!("{shown} is not usable:\n{errors}"))
}
