//! Which virtual key each job is submitted with, and the limits of these: its number decides.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

/// Besides what the job asks for, so that one does not follow from the other.
const SALT: u64 = 0x006b_6579_7300;
/// Jobs of [`Key::Narrow`] that may run at one time.
pub(crate) const MOST_RUNNING: usize = 5;

/// Whose a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Nobody,
    /// So many requests in a window, fewer than come, now and then.
    Paced,
    /// Budgets in tokens and dollars, of its own and of its team.
    Budgeted,
    /// So many jobs at one time.
    Narrow,
}

impl Key {
    pub(crate) const ALL: [Self; 3] = [Self::Paced, Self::Budgeted, Self::Narrow];

    pub(crate) fn of(number: u64) -> Self {
        match fastrand::Rng::with_seed(number ^ SALT).u32(..100) {
            0..12 => Self::Paced,
            12..30 => Self::Budgeted,
            30..40 => Self::Narrow,
            _ => Self::Nobody,
        }
    }

    /// Its id.
    pub(crate) fn id(self) -> Option<&'static str> {
        match self {
            Self::Nobody => None,
            Self::Paced => Some("paced"),
            Self::Budgeted => Some("budgeted"),
            Self::Narrow => Some("narrow"),
        }
    }

    /// Adds it to a request.
    pub(crate) fn add_to(self, request: RequestBuilder) -> RequestBuilder {
        match self.id() {
            Some(id) => request.header("x-bf-vk", format!("sk-bf-{id}")),
            None => request,
        }
    }

    /// That of a job's owner.
    pub(crate) fn of_owner(owner: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|key| key.id() == owner).unwrap_or(Self::Nobody)
    }
}

/// How urgent a job is among those of its key.
pub(crate) fn priority(number: u64) -> u32 {
    fastrand::Rng::with_seed(number ^ SALT).u32(1..=5)
}

/// Adds keys and limits to the configuration.
pub(crate) fn configure(config: &mut Value) {
    let providers = ["demo", "patient", "claude"]
        .map(|name| json!({"provider": name, "allowed_models": ["*"], "key_ids": ["*"]}));
    let keys = Key::ALL.map(|key| {
        let id = key.id().unwrap_or_default();
        let mut key =
            json!({"id": id, "name": id, "value": format!("sk-bf-{id}"), "provider_configs": providers});
        match id {
            "paced" => key["rate_limit_id"] = json!("pace"),
            "budgeted" => {
                key["rate_limit_id"] = json!("tokens");
                key["team_id"] = json!("team");
            }
            _ => {}
        }
        key
    });
    config["governance"] = json!({
        "virtual_keys": keys,
        "teams": [{"id": "team", "name": "team"}],
        "budgets": [
            {"id": "of-key", "max_limit": 2000, "reset_duration": "1h", "virtual_key_id": "budgeted"},
            {"id": "of-team", "max_limit": 3000, "reset_duration": "1d", "team_id": "team"},
        ],
        "rate_limits": [
            {"id": "pace", "request_max_limit": 40, "request_reset_duration": "5s"},
            {"id": "tokens", "token_max_limit": 1_000_000_000, "token_reset_duration": "1h",
             "request_max_limit": 1_000_000, "request_reset_duration": "1h"},
        ],
        "pricing_overrides": [{"id": "demo", "name": "demo", "scope_kind": "global", "match_type": "wildcard", "pattern": "*",
            "request_types": ["text_completion", "chat_completion"],
            "pricing_patch": "{\"input_cost_per_token\":0.000001,\"output_cost_per_token\":0.000002}"}],
    });
    config["hermod"] = json!({"keys": {"narrow": {"max_concurrent": MOST_RUNNING, "weight": 2}}});
}
