use serde::{Deserialize, Serialize};

use super::is_false;

/// Virtual keys that share limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    pub id: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit_id: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub calendar_aligned: bool,
}

/// Teams and virtual keys that share limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    pub id: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit_id: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub calendar_aligned: bool,
}
