use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A price of the operator's, in place of the table's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PricingOverride {
    pub id: String,
    #[serde(default)]
    pub name: String,
    pub scope_kind: ScopeKind,
    /// As far as its scope has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_key_id: Option<String>,
    /// The provider's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The name of one of the provider's keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_key_id: Option<String>,
    pub match_type: MatchType,
    /// A model's name as it is sent to the provider; with [`MatchType::Wildcard`], its beginning and `*`.
    pub pattern: String,
    /// Bifrost's names of operations, `text_completion` and the like.
    pub request_types: Vec<String>,
    /// Money a unit, by the name of the price. 0 is a price.
    #[serde(default)]
    pub patch: BTreeMap<String, f64>,
}

/// Whose calls it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    Global,
    Provider,
    ProviderKey,
    VirtualKey,
    VirtualKeyProvider,
    VirtualKeyProviderKey,
}

/// How its pattern is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchType {
    Exact,
    Wildcard,
}

/// `framework.pricing`: where prices come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricingSource {
    /// `file://`, `http://` or `https://`; none for the table that ships.
    pub url: Option<String>,
    /// How often it is asked.
    pub sync: Duration,
}

impl Default for PricingSource {
    fn default() -> Self {
        Self { url: None, sync: Duration::from_secs(24 * 3600) }
    }
}

impl ScopeKind {
    pub const ALL: [Self; 6] = [
        Self::Global,
        Self::Provider,
        Self::ProviderKey,
        Self::VirtualKey,
        Self::VirtualKeyProvider,
        Self::VirtualKeyProviderKey,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Provider => "provider",
            Self::ProviderKey => "provider_key",
            Self::VirtualKey => "virtual_key",
            Self::VirtualKeyProvider => "virtual_key_provider",
            Self::VirtualKeyProviderKey => "virtual_key_provider_key",
        }
    }

    pub const fn has_virtual_key(self) -> bool {
        matches!(self, Self::VirtualKey | Self::VirtualKeyProvider | Self::VirtualKeyProviderKey)
    }

    pub const fn has_provider(self) -> bool {
        matches!(self, Self::Provider | Self::VirtualKeyProvider)
    }

    pub const fn has_provider_key(self) -> bool {
        matches!(self, Self::ProviderKey | Self::VirtualKeyProviderKey)
    }
}
