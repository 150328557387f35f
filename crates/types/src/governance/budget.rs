use serde::{Deserialize, Serialize};

use super::{Money, ResetDuration, is_false};
use crate::Timestamp;

/// A limit of money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    pub id: String,
    pub max_limit: Money,
    pub reset_duration: ResetDuration,
    /// Whose it is; one of nobody limits nothing.
    #[serde(flatten)]
    pub owner: Option<BudgetOwner>,
    /// The place that Bifrost had for it before. Its owner's counts as well.
    #[serde(default, skip_serializing_if = "is_false")]
    pub calendar_aligned: bool,
    /// The month, 1 to 12, in which a year's first quarter begins, `reset_config.quarter_start_month`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarter_start_month: Option<u8>,
    #[serde(rename = "override", default, skip_serializing_if = "Option::is_none")]
    pub added: Option<BudgetOverride>,
}

/// Whose calls a budget pays for, by its id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BudgetOwner {
    #[serde(rename = "virtual_key_id")]
    VirtualKey(String),
    #[serde(rename = "provider_config_id")]
    ProviderConfig(u64),
    #[serde(rename = "model_config_id")]
    ModelConfig(String),
    #[serde(rename = "team_id")]
    Team(String),
    #[serde(rename = "customer_id")]
    Customer(String),
    /// By its name.
    #[serde(rename = "provider_name")]
    Provider(String),
}

/// What is added to a budget's limit for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetOverride {
    pub amount: Money,
    pub mode: OverrideMode,
    /// Windows for which it counts, the current one among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycles: Option<u32>,
    /// The end of the last of those windows; none for one that counts for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverrideMode {
    Cycles,
    Forever,
}
