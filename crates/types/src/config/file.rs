//! The file's own shape. What is in Bifrost's and not here is ignored, with a warning.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct File {
    #[serde(deserialize_with = "or_default")]
    pub(super) client: Client,
    #[serde(deserialize_with = "or_default")]
    pub(super) providers: BTreeMap<String, Provider>,
    #[serde(deserialize_with = "or_default")]
    pub(super) governance: Governance,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Client {
    pub(super) async_job_result_ttl: Option<i64>,
    pub(super) enforce_auth_on_inference: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Provider {
    #[serde(deserialize_with = "or_default")]
    pub(super) keys: Vec<Key>,
    #[serde(deserialize_with = "or_default")]
    pub(super) network_config: Network,
    #[serde(deserialize_with = "or_default")]
    pub(super) concurrency_and_buffer_size: Concurrency,
    pub(super) custom_provider_config: Option<Custom>,
}

#[derive(Deserialize)]
pub(super) struct Key {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) value: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) models: Vec<String>,
    #[serde(default = "one")]
    pub(super) weight: f64,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) aliases: BTreeMap<String, Alias>,
    pub(super) azure_key_config: Option<Azure>,
    pub(super) vertex_key_config: Option<Vertex>,
    pub(super) bedrock_key_config: Option<Bedrock>,
    pub(super) vllm_key_config: Option<Server>,
    pub(super) ollama_key_config: Option<Server>,
    pub(super) sgl_key_config: Option<Server>,
    pub(super) huggingface_key_config: Option<HuggingFace>,
}

/// A model's name, alone or (in newer files) with more about it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a model's name, or an object with its `model_id`")]
pub(super) enum Alias {
    Name(String),
    Described { model_id: String },
}

impl Alias {
    pub(super) fn into_model(self) -> String {
        match self {
            Self::Name(model) | Self::Described { model_id: model } => model,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Azure {
    #[serde(default)]
    pub(super) endpoint: Option<String>,
    #[serde(default)]
    pub(super) api_version: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) deployments: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct Vertex {
    #[serde(default)]
    pub(super) project_id: Option<String>,
    #[serde(default)]
    pub(super) region: Option<String>,
    #[serde(default)]
    pub(super) auth_credentials: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) deployments: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct Bedrock {
    #[serde(default)]
    pub(super) access_key: Option<String>,
    #[serde(default)]
    pub(super) secret_key: Option<String>,
    #[serde(default)]
    pub(super) session_token: Option<String>,
    #[serde(default)]
    pub(super) region: Option<String>,
    #[serde(default)]
    pub(super) arn: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) deployments: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct Server {
    pub(super) url: String,
    #[serde(default)]
    pub(super) model_name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct HuggingFace {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) deployments: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Network {
    pub(super) base_url: Option<String>,
    pub(super) default_request_timeout_in_seconds: Option<u64>,
    pub(super) max_retries: Option<u32>,
    #[serde(deserialize_with = "span")]
    pub(super) retry_backoff_initial: Option<Duration>,
    #[serde(deserialize_with = "span")]
    pub(super) retry_backoff_max: Option<Duration>,
    #[serde(deserialize_with = "or_default")]
    pub(super) extra_headers: BTreeMap<String, String>,
    pub(super) ca_cert_pem: Option<String>,
    pub(super) insecure_skip_verify: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Concurrency {
    pub(super) concurrency: Option<usize>,
}

#[derive(Deserialize)]
pub(super) struct Custom {
    pub(super) base_provider_type: String,
    #[serde(default)]
    pub(super) is_key_less: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) request_path_overrides: Overrides,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Overrides {
    pub(super) text_completion: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Governance {
    #[serde(deserialize_with = "or_default")]
    pub(super) virtual_keys: Vec<Virtual>,
}

#[derive(Deserialize)]
pub(super) struct Virtual {
    #[serde(default)]
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) value: String,
    #[serde(default = "yes")]
    pub(super) is_active: bool,
    #[serde(default)]
    pub(super) provider_configs: Option<Vec<Grant>>,
}

#[derive(Deserialize)]
pub(super) struct Grant {
    pub(super) provider: String,
    #[serde(default)]
    pub(super) allowed_models: Option<Vec<String>>,
    #[serde(default)]
    pub(super) key_ids: Option<Vec<String>>,
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

/// Milliseconds, or a duration in Go's words as newer files have it: `"500ms"`, `"5s"`, `"1m"`.
fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Span {
        Millis(u64),
        Words(String),
    }
    let wrong =
        || serde::de::Error::custom("expected milliseconds, or a duration such as \"500ms\" or \"5s\"");
    match Option::deserialize(deserializer).map_err(|_: D::Error| wrong())? {
        None => Ok(None),
        Some(Span::Millis(millis)) => Ok(Some(Duration::from_millis(millis))),
        Some(Span::Words(words)) => {
            let unit = words.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
            let (number, unit) = words.split_at(unit);
            let seconds = match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(wrong()),
            };
            let number: f64 = number.parse().map_err(|_| wrong())?;
            Duration::try_from_secs_f64(number * seconds).map(Some).map_err(|_| wrong())
        }
    }
}
