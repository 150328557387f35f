use std::convert::Infallible;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use hermod_queue::{RedisUrl, Tolerance};
use hermod_types::Config;
use secrecy::{ExposeSecret, SecretString};

/// Where Redis is.
#[derive(Args, Clone, Debug)]
pub struct RedisSettings {
    /// redis://, rediss:// or unix://, with user, password and database number; or redis-sentinel://, redis-cluster://.
    #[arg(
        long,
        env = "REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true,
        value_parser = |url: &str| Ok::<_, Infallible>(SecretString::from(url)),
        value_name = "URL"
    )]
    redis_url: SecretString,
    /// Use a Redis whose maxmemory-policy throws jobs away when it is full.
    #[arg(long, env = "HERMOD_ACCEPT_EVICTION")]
    accept_eviction: bool,
    /// Do not warn of a Redis without an append-only file.
    #[arg(long, env = "HERMOD_ACCEPT_NO_PERSISTENCE")]
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

/// Where the configuration is.
#[derive(Args, Clone, Debug)]
pub struct ConfigSettings {
    /// Bifrost's config.json; without it, providers are configured from their usual environment variables.
    #[arg(long, env = "HERMOD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ConfigSettings {
    /// Reads the configuration, and warns of what it holds that is not used.
    ///
    /// # Errors
    /// One sentence that names the file, the member at fault, and what was expected.
    pub fn load(&self) -> anyhow::Result<Config> {
        #[expect(clippy::disallowed_methods, reason = "the one place where config.json is read")]
        let environment = |name: &str| std::env::var(name).ok();
        let Some(path) = &self.config else {
            let config = Config::from_environment(&environment);
            if config.providers.is_empty() {
                tracing::warn!(
                    "no provider: neither HERMOD_CONFIG nor a variable such as OPENAI_API_KEY is set"
                );
            }
            return Ok(config);
        };
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        let config =
            Config::from_json(&text, &environment).with_context(|| format!("{shown} is not usable"))?;
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
        Ok(config)
    }
}
