//! The configuration without a file.

use std::collections::BTreeMap;

use super::suggest::did_you_mean;
use super::{
    ApiConfig, ApiProvider, Config, ConfigError, ConfigErrors, Environment, KeyAccess, Models,
    ProviderConfig, ProviderKey, ProviderKind,
};

/// Besides its key, what Azure needs to be used without a file.
pub(super) const AZURE_ENDPOINT: &str = "AZURE_OPENAI_ENDPOINT";
/// Where a Bedrock API key is used without a file.
pub(super) const AWS_REGION: &str = "AWS_REGION";
/// The setting that names the providers.
const PROVIDERS: &str = "HERMOD_PROVIDERS";

impl Config {
    /// Every provider whose usual variable is set, with its defaults.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        let provider = |kind| Some((ProviderKind::name(kind).to_owned(), provider(kind, environment).ok()?));
        Self { providers: ProviderKind::all().filter_map(provider).collect(), ..Self::default() }
    }

    /// The providers of these names, each of whose usual variables must be set.
    ///
    /// # Errors
    /// Each name that is none, and each variable that is not set.
    pub fn from_names(names: &[String], environment: Environment<'_>) -> Result<Self, ConfigErrors> {
        let (kinds, mut errors) = kinds(names);
        let mut config = Self::default();
        for kind in kinds {
            match provider(kind, environment) {
                Ok(provider) => {
                    config.providers.insert(kind.name().to_owned(), provider);
                }
                Err(variable) => errors.push(ConfigError::UnsetVariable {
                    path: format!("{PROVIDERS}: {kind}"),
                    name: variable.to_owned(),
                }),
            }
        }
        ConfigErrors::none_of(errors, config)
    }
}

impl ApiConfig {
    /// The providers of these names. No variable is looked up.
    ///
    /// # Errors
    /// Each name that is none.
    pub fn of_names(names: &[String]) -> Result<Self, ConfigErrors> {
        let (kinds, errors) = kinds(names);
        let providers = kinds
            .into_iter()
            .map(|kind| (kind.name().to_owned(), ApiProvider { kind, allowed: None }))
            .collect();
        ConfigErrors::none_of(errors, Self { providers, ..Self::default() })
    }
}

/// The kinds with these names, of those that a variable alone can configure.
fn kinds(names: &[String]) -> (Vec<ProviderKind>, Vec<ConfigError>) {
    let usable = || ProviderKind::all().filter(|kind| kind.key_variable().is_some()).map(ProviderKind::name);
    let (mut kinds, mut errors) = (Vec::new(), Vec::new());
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        match ProviderKind::from_name(name).filter(|kind| kind.key_variable().is_some()) {
            Some(kind) => kinds.push(kind),
            None => errors.push(ConfigError::Shape {
                path: format!("{PROVIDERS}: {name}"),
                message: format!(
                    "expected one of {}{}; any other needs a config.json",
                    usable().collect::<Vec<_>>().join(", "),
                    did_you_mean(name, usable())
                ),
            }),
        }
    }
    (kinds, errors)
}

/// The provider as its usual variables configure it.
///
/// # Errors
/// The variable that is not set.
fn provider(kind: ProviderKind, environment: Environment<'_>) -> Result<ProviderConfig, &'static str> {
    let variable = |name| environment(name).filter(|value| !value.is_empty()).ok_or(name);
    // Who asks has looked whether it has one.
    let name = kind.key_variable().unwrap_or_default();
    let value = variable(name)?;
    let mut provider = ProviderConfig::new(kind);
    if kind == ProviderKind::Azure {
        provider.base_url = Some(variable(AZURE_ENDPOINT)?);
    }
    let access = match variable(AWS_REGION) {
        Ok(region) if kind == ProviderKind::Bedrock => KeyAccess::Bedrock {
            access_key: None,
            secret_key: None,
            session_token: None,
            region: Some(region),
            arn: None,
        },
        Ok(_) | Err(_) => KeyAccess::Plain,
    };
    provider.keys.push(ProviderKey {
        name: name.to_owned(),
        value: value.into(),
        access,
        models: Models::All,
        weight: 1.0,
        aliases: BTreeMap::new(),
    });
    Ok(provider)
}
