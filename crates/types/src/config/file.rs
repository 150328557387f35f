//! The file's own shape, and how it becomes a [`Config`].

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use super::{
    Config, ConfigError, Environment, Models, ProviderConfig, ProviderGrant, ProviderKey, VirtualKey,
};
use crate::Ttl;

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    #[serde(deserialize_with = "or_default")]
    client: Client,
    #[serde(deserialize_with = "or_default")]
    providers: BTreeMap<String, Provider>,
    #[serde(deserialize_with = "or_default")]
    governance: Governance,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Client {
    async_job_result_ttl: Option<i64>,
    enforce_auth_on_inference: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Provider {
    #[serde(deserialize_with = "or_default")]
    keys: Vec<Key>,
    #[serde(deserialize_with = "or_default")]
    network_config: Network,
    #[serde(deserialize_with = "or_default")]
    concurrency_and_buffer_size: Concurrency,
    custom_provider_config: Option<Custom>,
}

impl Provider {
    /// OpenAI itself, or whatever has an address: most others speak its text completions.
    fn is_supported(&self, name: &str) -> bool {
        name == "openai" || self.network_config.base_url.as_deref().is_some_and(|url| !url.is_empty())
    }
}

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    value: String,
    #[serde(default, deserialize_with = "or_default")]
    models: Vec<String>,
    #[serde(default = "one")]
    weight: f64,
    #[serde(default, deserialize_with = "or_default")]
    aliases: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Network {
    base_url: Option<String>,
    default_request_timeout_in_seconds: Option<u64>,
    max_retries: Option<u32>,
    retry_backoff_initial: Option<u64>,
    retry_backoff_max: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    extra_headers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Concurrency {
    concurrency: Option<usize>,
}

#[derive(Deserialize)]
struct Custom {
    base_provider_type: String,
    #[serde(default)]
    is_key_less: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Governance {
    #[serde(deserialize_with = "or_default")]
    virtual_keys: Vec<Virtual>,
}

#[derive(Deserialize)]
struct Virtual {
    #[serde(default)]
    id: Option<String>,
    name: String,
    value: String,
    #[serde(default = "yes")]
    is_active: bool,
    #[serde(default)]
    provider_configs: Option<Vec<Grant>>,
}

#[derive(Deserialize)]
struct Grant {
    provider: String,
    #[serde(default)]
    allowed_models: Option<Vec<String>>,
    #[serde(default)]
    key_ids: Option<Vec<String>>,
}

const fn one() -> f64 {
    1.0
}

const fn yes() -> bool {
    true
}

/// `null` is as good as absent.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

pub(super) fn read(text: &str, environment: Environment<'_>) -> Result<Config, ConfigError> {
    let mut ignored = Vec::new();
    let mut json = serde_json::Deserializer::from_str(text);
    let shape = |error: &serde_json::Error| ConfigError::Shape {
        path: format!("line {} column {}", error.line(), error.column()),
        message: without_values(error),
    };
    let file: File = serde_ignored::deserialize(&mut json, |path| ignored.push(path.to_string()))
        .map_err(|error| shape(&error))?;
    json.end().map_err(|error| shape(&error))?;

    let resolve = Resolve { environment };
    let mut config =
        Config { require_virtual_key: file.client.enforce_auth_on_inference, ..Config::default() };
    let ttl = file.client.async_job_result_ttl.and_then(|seconds| u64::try_from(seconds).ok());
    config.default_ttl = ttl.and_then(Ttl::from_seconds).unwrap_or(config.default_ttl);
    for (name, provider) in file.providers {
        if !provider.is_supported(&name) {
            config.unsupported.push(name);
            continue;
        }
        let provider = read_provider(&name, provider, &resolve)?;
        config.providers.insert(name, provider);
    }
    for (index, key) in file.governance.virtual_keys.into_iter().enumerate() {
        let key = read_virtual_key(index, key, &resolve)?;
        let value = key.value.expose_secret();
        if config.virtual_keys.iter().any(|other| other.id == key.id || other.value.expose_secret() == value)
        {
            // Two with one id would see each other's jobs.
            let path = format!("governance.virtual_keys[{index}]");
            let message = "expected an id and a value that no other virtual key has".to_owned();
            return Err(ConfigError::Shape { path, message });
        }
        config.virtual_keys.push(key);
    }
    config.ignored = summarise(ignored);
    Ok(config)
}

fn read_provider(name: &str, file: Provider, resolve: &Resolve<'_>) -> Result<ProviderConfig, ConfigError> {
    let path = |member: &str| format!("providers.{name}.{member}");
    let kind = file.custom_provider_config.as_ref().map_or(name, |custom| &custom.base_provider_type);
    let mut provider = ProviderConfig::new(kind);
    let network = file.network_config;
    if let Some(url) = network.base_url.filter(|url| !url.is_empty()) {
        provider.base_url = Some(resolve.text(&url, || path("network_config.base_url"))?);
    }
    let millis = |value: Option<u64>, default| value.map_or(default, Duration::from_millis);
    provider.backoff_initial = millis(network.retry_backoff_initial, provider.backoff_initial);
    provider.backoff_max =
        millis(network.retry_backoff_max, provider.backoff_max).max(provider.backoff_initial);
    provider.max_retries = network.max_retries.unwrap_or(provider.max_retries);
    if let Some(seconds) = network.default_request_timeout_in_seconds.filter(|seconds| *seconds > 0) {
        provider.request_timeout = Duration::from_secs(seconds);
    }
    for (header, value) in network.extra_headers {
        let value = resolve.text(&value, || path(&format!("network_config.extra_headers.{header}")))?;
        provider.extra_headers.push((header, value.into()));
    }
    provider.concurrency = file.concurrency_and_buffer_size.concurrency.filter(|limit| *limit > 0);
    let needs_keys = !file.custom_provider_config.is_some_and(|custom| custom.is_key_less);
    for (index, key) in file.keys.into_iter().enumerate().filter(|_| needs_keys) {
        if !(key.weight.is_finite() && key.weight >= 0.0) {
            let message = "expected a weight of 0 or more".to_owned();
            return Err(ConfigError::Shape { path: path(&format!("keys[{index}].weight")), message });
        }
        let value = resolve.secret(&key.value, || path(&format!("keys[{index}].value")))?;
        provider.keys.push(ProviderKey {
            name: key.name.unwrap_or_else(|| format!("key-{index}")),
            value,
            // Unlike in a virtual key, no list means that the key serves every model.
            models: if key.models.is_empty() { Models::All } else { key.models.into() },
            weight: key.weight,
            aliases: key.aliases,
        });
    }
    Ok(provider)
}

fn read_virtual_key(index: usize, file: Virtual, resolve: &Resolve<'_>) -> Result<VirtualKey, ConfigError> {
    let path = |member: &str| format!("governance.virtual_keys[{index}].{member}");
    let value = resolve.secret(&file.value, || path("value"))?;
    if file.name.is_empty() {
        return Err(ConfigError::Shape { path: path("name"), message: "expected a name".to_owned() });
    }
    let grant = |grant: Grant| ProviderGrant {
        provider: grant.provider,
        models: grant.allowed_models.unwrap_or_default().into(),
        key_ids: grant.key_ids.map_or(Models::All, Models::from),
    };
    Ok(VirtualKey {
        id: file.id.filter(|id| !id.is_empty()).unwrap_or(file.name),
        value,
        active: file.is_active,
        grants: file.provider_configs.unwrap_or_default().into_iter().map(grant).collect(),
    })
}

/// Turns `env.NAME` into the value of NAME.
struct Resolve<'a> {
    environment: Environment<'a>,
}

impl Resolve<'_> {
    fn text(&self, value: &str, path: impl FnOnce() -> String) -> Result<String, ConfigError> {
        let Some(name) = value.strip_prefix("env.") else { return Ok(value.to_owned()) };
        (self.environment)(name)
            .ok_or_else(|| ConfigError::UnsetVariable { path: path(), name: name.to_owned() })
    }

    fn secret(&self, value: &str, path: impl Fn() -> String) -> Result<SecretString, ConfigError> {
        let secret = self.text(value, &path)?;
        if secret.is_empty() {
            let message = "expected a secret, found an empty string".to_owned();
            return Err(ConfigError::Shape { path: path(), message });
        }
        Ok(secret.into())
    }
}

/// serde's message less the value that it quotes, which may be a secret.
fn without_values(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let expected = message.find("expected ").filter(|_| message.starts_with("invalid "));
    let message = expected.and_then(|at| message.get(at..)).unwrap_or(&message);
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

/// One entry for each distinct path, with list positions and the names of providers left out.
fn summarise(paths: Vec<String>) -> Vec<String> {
    let general = |path: String| {
        // The `?` is where a value may be null.
        let mut parts: Vec<&str> = path.split('.').filter(|part| *part != "?").collect();
        if let ["providers", name, ..] = parts.as_mut_slice() {
            *name = "*";
        }
        parts.retain(|part| part.parse::<usize>().is_err());
        parts.join(".")
    };
    let mut names: Vec<_> = paths.into_iter().map(general).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        (name == "OPENAI_API_KEY").then(|| "sk-live".to_owned())
    }

    fn refused(text: &str) -> String {
        Config::from_json(text, &environment).unwrap_err().to_string()
    }

    #[test]
    fn reads_the_parts_that_text_completions_need() {
        let config = Config::from_json(
            r#"{"client": {"async_job_result_ttl": 60, "drop_excess_requests": true},
                "config_store": {"enabled": false},
                "providers": {
                  "openai": {"keys": [{"value": "env.OPENAI_API_KEY", "weight": 0.5, "use_for_batch_api": true}],
                             "network_config": {"max_retries": 3, "retry_backoff_initial": 100}},
                  "anthropic": {"keys": [{"value": "env.NOT_SET_HERE"}]},
                  "my-vllm": {"network_config": {"base_url": "http://vllm:8000"},
                              "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true}}},
                "governance": {"virtual_keys": [{"id": "vk-1", "name": "team", "value": "sk-bf-1",
                  "provider_configs": [{"provider": "openai", "allowed_models": ["gpt"]}, {"provider": "my-vllm"}]}]}}"#,
            &environment,
        )
        .unwrap();
        assert_eq!(u64::from(config.default_ttl), 60);
        let openai = &config.providers["openai"];
        assert_eq!(openai.keys[0].value.expose_secret(), "sk-live");
        assert_eq!((openai.max_retries, openai.backoff_initial), (3, Duration::from_millis(100)));
        assert_eq!(config.providers["my-vllm"].kind, "openai");
        assert_eq!(config.unsupported, ["anthropic"]);
        assert_eq!(
            config.ignored,
            ["client.drop_excess_requests", "config_store", "providers.*.keys.use_for_batch_api"]
        );
        let key = config.virtual_key("sk-bf-1").unwrap();
        assert!(key.active && key.allows(&"openai/gpt".parse().unwrap()));
        assert!(!key.allows(&"openai/other".parse().unwrap()));
        assert!(!key.allows(&"my-vllm/any".parse().unwrap()), "absent allows nothing");
        assert!(config.virtual_key("sk-bf-2").is_none());
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let text = r#"{"client":null,"governance":null,"providers":{"openai":{"keys":null,"network_config":null,
            "concurrency_and_buffer_size":null,"custom_provider_config":null}}}"#;
        assert!(Config::from_json(text, &environment).unwrap().providers["openai"].keys.is_empty());
    }

    #[test]
    fn virtual_keys_are_told_apart() {
        let key = |id: &str, value: &str| format!(r#"{{"id":"{id}","name":"n-{value}","value":"{value}"}}"#);
        for (first, second) in
            [(key("a", "sk-bf-1"), key("a", "sk-bf-2")), (key("a", "sk-bf-1"), key("b", "sk-bf-1"))]
        {
            let message = refused(&format!(r#"{{"governance":{{"virtual_keys":[{first},{second}]}}}}"#));
            assert!(
                message.starts_with("governance.virtual_keys[1]: expected an id and a value"),
                "{message}"
            );
        }
        let unnamed = format!(r#"{{"governance":{{"virtual_keys":[{}]}}}}"#, key("", "sk-bf-1"));
        assert_eq!(Config::from_json(&unnamed, &environment).unwrap().virtual_keys[0].id, "n-sk-bf-1");
    }

    #[test]
    fn an_unset_variable_is_named() {
        assert_eq!(
            refused(r#"{"providers":{"openai":{"keys":[{"value":"env.NOPE"}]}}}"#),
            "providers.openai.keys[0].value: the environment variable NOPE is not set"
        );
    }

    #[test]
    fn a_wrong_shape_says_where_and_never_the_value() {
        let message = refused(r#"{"providers":{"openai":{"keys":"sk-secret"}}}"#);
        assert_eq!(message, "line 1 column 42: expected a sequence");
        assert!(refused("{").starts_with("line 1 column 1: EOF"));
    }

    #[test]
    fn without_a_file_the_usual_variables_configure() {
        let config = Config::from_environment(&environment);
        assert_eq!(config.providers.keys().collect::<Vec<_>>(), ["openai"]);
        assert!(Config::from_environment(&|_| None).providers.is_empty());
    }
}
