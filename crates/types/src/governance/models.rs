use serde::{Deserialize, Serialize};

use super::is_false;

/// Limits of what is sent to a model. Its budgets say themselves whose they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelConfig {
    pub id: String,
    /// `*` for all models.
    pub model_name: String,
    /// None for all providers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(flatten)]
    pub scope: ModelScope,
    #[serde(default, skip_serializing_if = "is_false")]
    pub calendar_aligned: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limit_ids: Vec<String>,
}

/// Whose calls count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scope", content = "scope_id", rename_all = "snake_case")]
pub enum ModelScope {
    #[default]
    Global,
    /// Those of the virtual key with this id.
    VirtualKey(String),
}

/// Limits of what is sent to a provider, of all keys together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderLimits {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit_id: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub calendar_aligned: bool,
}
