//! How a file becomes a [`Config`].

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::file::{Custom, File, Grant, Key, Provider, Server, Virtual};
use super::{
    Config, ConfigError, Environment, KeyAccess, Kind, Models, ProviderConfig, ProviderGrant, ProviderKey,
    VirtualKey,
};
use crate::Ttl;

/// Part of the address of Hugging Face's router, which has chat only; its other addresses are servers of
/// text-generation-inference.
const HUGGING_FACE_ROUTER: &str = "router.huggingface.co";

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
        match kind_of(&name, &provider)? {
            Some(kind) => {
                let provider = read_provider(&name, kind, provider, &resolve)?;
                config.providers.insert(name, provider);
            }
            None => config.unsupported.push(name),
        }
    }
    for (index, key) in file.governance.virtual_keys.into_iter().enumerate() {
        let key = read_virtual_key(index, key, &resolve)?;
        let value = key.value.expose_secret();
        if config.virtual_keys.iter().any(|other| other.id == key.id || other.value.expose_secret() == value)
        {
            // Two with one id would see each other's jobs.
            let path = format!("governance.virtual_keys[{index}]");
            return Err(shape_error(path, "expected an id and a value that no other virtual key has"));
        }
        config.virtual_keys.push(key);
    }
    config.ignored = summarise(ignored);
    Ok(config)
}

fn shape_error(path: String, message: impl Into<String>) -> ConfigError {
    ConfigError::Shape { path, message: message.into() }
}

/// What API the provider speaks: that of its name, of its `base_provider_type`, or OpenAI's where it has an
/// address. None for one that exists and that we do not speak to.
fn kind_of(name: &str, file: &Provider) -> Result<Option<Kind>, ConfigError> {
    let url = file.network_config.base_url.as_deref().filter(|url| !url.is_empty());
    let known = || Kind::all().map(Kind::name).collect::<Vec<_>>().join(", ");
    let kind = match &file.custom_provider_config {
        Some(Custom { base_provider_type: base, .. }) => match Kind::from_name(base) {
            None if !Kind::is_elsewhere(base) => {
                let path = format!("providers.{name}.custom_provider_config.base_provider_type");
                return Err(shape_error(path, format!("expected one of {}", known())));
            }
            kind => kind,
        },
        None => match Kind::from_name(name) {
            None if Kind::is_elsewhere(name) => None,
            None if url.is_some() => Some(Kind::OpenAi),
            None => {
                let path = format!("providers.{name}.network_config.base_url");
                let message = format!("expected an address, as the name is none of {}", known());
                return Err(shape_error(path, message));
            }
            kind => kind,
        },
    };
    Ok(match (kind, url) {
        (Some(Kind::HuggingFace), Some(url)) if !url.contains(HUGGING_FACE_ROUTER) => Some(Kind::Tgi),
        (kind, _) => kind,
    })
}

fn read_provider(
    name: &str,
    kind: Kind,
    file: Provider,
    resolve: &Resolve<'_>,
) -> Result<ProviderConfig, ConfigError> {
    let path = |member: &str| format!("providers.{name}.{member}");
    let mut provider = ProviderConfig::new(kind);
    let network = file.network_config;
    if let Some(url) = network.base_url.filter(|url| !url.is_empty()) {
        provider.base_url = Some(resolve.text(&url, || path("network_config.base_url"))?);
    }
    provider.backoff_initial = network.retry_backoff_initial.unwrap_or(provider.backoff_initial);
    provider.backoff_max =
        network.retry_backoff_max.unwrap_or(provider.backoff_max).max(provider.backoff_initial);
    provider.max_retries = network.max_retries.unwrap_or(provider.max_retries);
    if let Some(seconds) = network.default_request_timeout_in_seconds.filter(|seconds| *seconds > 0) {
        provider.request_timeout = std::time::Duration::from_secs(seconds);
    }
    for (header, value) in network.extra_headers {
        let value = resolve.text(&value, || path(&format!("network_config.extra_headers.{header}")))?;
        provider.extra_headers.push((header, value.into()));
    }
    provider.insecure_skip_verify = network.insecure_skip_verify;
    if let Some(pem) = network.ca_cert_pem.filter(|pem| !pem.is_empty()) {
        provider.ca_cert_pem = Some(resolve.text(&pem, || path("network_config.ca_cert_pem"))?);
    }
    provider.concurrency = file.concurrency_and_buffer_size.concurrency.filter(|limit| *limit > 0);
    let needs_keys = !file.custom_provider_config.as_ref().is_some_and(|custom| custom.is_key_less);
    provider.path = file
        .custom_provider_config
        .and_then(|custom| custom.request_path_overrides.text_completion)
        .filter(|path| !path.is_empty());
    for (index, key) in file.keys.into_iter().enumerate().filter(|_| needs_keys) {
        let key_path = |member: &str| path(&format!("keys[{index}].{member}"));
        provider.keys.push(read_key(index, key, kind, &key_path, resolve)?);
    }
    check_keys(&provider, needs_keys, &path)?;
    Ok(provider)
}

fn check_keys(
    provider: &ProviderConfig,
    needs_keys: bool,
    path: &dyn Fn(&str) -> String,
) -> Result<(), ConfigError> {
    let kind = provider.kind;
    let is_one_place = kind.key_variable().is_some() || kind.base_url().is_some();
    let is_hosted = is_one_place && provider.base_url.is_none();
    if provider.keys.is_empty() && needs_keys && is_hosted {
        return Err(shape_error(path("keys"), format!("expected a key, without which {kind} serves nobody")));
    }
    if !provider.keys.is_empty() && provider.keys.iter().all(|key| key.weight == 0.0) {
        let message = "expected a key that is enabled and has a weight above 0: no other is used";
        return Err(shape_error(path("keys"), message));
    }
    let has_address = provider.base_url.is_some() || kind.base_url().is_some();
    let keys_have =
        !provider.keys.is_empty() && provider.keys.iter().all(|key| key.access.base_url().is_some());
    if !has_address && !keys_have {
        let path = path("network_config.base_url");
        return Err(shape_error(path, format!("expected an address, as {kind} has none of its own")));
    }
    Ok(())
}

fn read_key(
    index: usize,
    key: Key,
    kind: Kind,
    path: &dyn Fn(&str) -> String,
    resolve: &Resolve<'_>,
) -> Result<ProviderKey, ConfigError> {
    if !(key.weight.is_finite() && key.weight >= 0.0) {
        return Err(shape_error(path("weight"), "expected a weight of 0 or more"));
    }
    let mut aliases: BTreeMap<_, _> =
        key.aliases.into_iter().map(|(name, alias)| (name, alias.into_model())).collect();
    let mut models = key.models;
    let member = |config: &str, name: &str, value: Option<String>| {
        let value = value.filter(|value| !value.is_empty());
        value.map(|value| resolve.text(&value, || path(&format!("{config}.{name}")))).transpose()
    };
    let secret = |config: &str, name: &str, value| {
        member(config, name, value).map(|value| value.map(SecretString::from))
    };
    let mut access = KeyAccess::Plain;
    for (config, server) in [
        ("vllm_key_config", key.vllm_key_config),
        ("ollama_key_config", key.ollama_key_config),
        ("sgl_key_config", key.sgl_key_config),
    ] {
        let Some(Server { url, model_name }) = server else { continue };
        if models.is_empty() {
            models.extend(model_name.filter(|name| !name.is_empty()));
        }
        let url = member(config, "url", Some(url))?;
        let url = url.ok_or_else(|| shape_error(path(&format!("{config}.url")), "expected an address"))?;
        access = KeyAccess::Server { url };
    }
    if let Some(azure) = key.azure_key_config {
        aliases.extend(azure.deployments);
        access = KeyAccess::Azure {
            endpoint: member("azure_key_config", "endpoint", azure.endpoint)?,
            api_version: member("azure_key_config", "api_version", azure.api_version)?,
        };
    }
    if let Some(vertex) = key.vertex_key_config {
        aliases.extend(vertex.deployments);
        let needed = |name: &str, value| {
            let value = member("vertex_key_config", name, value)?;
            value.ok_or_else(|| shape_error(path(&format!("vertex_key_config.{name}")), "expected a value"))
        };
        access = KeyAccess::Vertex {
            project_id: needed("project_id", vertex.project_id)?,
            region: needed("region", vertex.region)?,
            auth_credentials: secret("vertex_key_config", "auth_credentials", vertex.auth_credentials)?,
        };
    }
    if let Some(bedrock) = key.bedrock_key_config {
        aliases.extend(bedrock.deployments);
        let config = "bedrock_key_config";
        access = KeyAccess::Bedrock {
            access_key: secret(config, "access_key", bedrock.access_key)?,
            secret_key: secret(config, "secret_key", bedrock.secret_key)?,
            session_token: secret(config, "session_token", bedrock.session_token)?,
            region: member(config, "region", bedrock.region)?,
            arn: member(config, "arn", bedrock.arn)?,
        };
    }
    if let Some(hugging_face) = key.huggingface_key_config {
        aliases.extend(hugging_face.deployments);
    }
    check_aliases(&aliases, path)?;
    // A server of one's own, and an identity in the cloud, may need no value.
    let may_lack_value = kind.key_variable().is_none() && kind.base_url().is_none()
        || matches!(access, KeyAccess::Server { .. } | KeyAccess::Vertex { .. } | KeyAccess::Bedrock { .. });
    if let KeyAccess::Bedrock { access_key, secret_key, .. } = &access
        && key.value.is_empty()
        && (access_key.is_none() || secret_key.is_none())
    {
        let message = "expected access_key and secret_key, or a Bedrock API key as the key's value";
        return Err(shape_error(path("bedrock_key_config"), message));
    }
    let value = if key.value.is_empty() && may_lack_value {
        SecretString::default()
    } else {
        resolve.secret(&key.value, || path("value"))?
    };
    Ok(ProviderKey {
        name: key.name.unwrap_or_else(|| format!("key-{index}")),
        value,
        access,
        // Unlike in a virtual key, no list means that the key serves every model.
        models: if models.is_empty() { Models::All } else { models.into() },
        weight: if key.enabled { key.weight } else { 0.0 },
        aliases,
    })
}

/// Refuses aliases that lead back to where they began. A name that stands for itself does no harm.
fn check_aliases(
    aliases: &BTreeMap<String, String>,
    path: &dyn Fn(&str) -> String,
) -> Result<(), ConfigError> {
    for (first, target) in aliases {
        let mut at = target;
        for _ in 0..aliases.len() {
            match aliases.get(at).filter(|next| *next != at) {
                Some(next) if next == first && at != first => {
                    let message = format!("expected a model, found aliases that lead back to {first}");
                    return Err(shape_error(path(&format!("aliases.{first}")), message));
                }
                Some(next) => at = next,
                None => break,
            }
        }
    }
    Ok(())
}

fn read_virtual_key(index: usize, file: Virtual, resolve: &Resolve<'_>) -> Result<VirtualKey, ConfigError> {
    let path = |member: &str| format!("governance.virtual_keys[{index}].{member}");
    let value = resolve.secret(&file.value, || path("value"))?;
    if file.name.is_empty() {
        return Err(shape_error(path("name"), "expected a name"));
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
            return Err(shape_error(path(), "expected a secret, found an empty string"));
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
