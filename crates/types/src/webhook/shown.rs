//! An endpoint as administrators see it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::definition::REDACTED;
use super::{DisabledReason, Endpoint, EndpointId, EndpointState, Event};
use crate::Timestamp;

/// In Bifrost's order.
#[derive(Serialize)]
struct Shown<'a> {
    id: EndpointId,
    name: &'a str,
    url: &'a str,
    include_response: bool,
    allow_private_network: bool,
    #[serde(skip_serializing_if = "is_zero")]
    max_retries: u32,
    #[serde(skip_serializing_if = "is_zero")]
    retry_backoff_initial_seconds: u32,
    #[serde(skip_serializing_if = "is_zero")]
    retry_backoff_max_seconds: u32,
    #[serde(skip_serializing_if = "is_zero")]
    attempt_timeout_seconds: u32,
    #[serde(skip_serializing_if = "is_zero")]
    max_response_payload_kbs: u32,
    #[serde(skip_serializing_if = "is_zero")]
    max_concurrent_deliveries: u32,
    disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<DisabledReason>,
    consecutive_failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Timestamp>,
    events: &'a [Event],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, Redacted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_key_ids: Option<&'a [String]>,
    #[serde(skip_serializing_if = "is_false")]
    is_from_file: bool,
}

#[derive(Serialize)]
struct Redacted {
    value: &'static str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(is_true: &bool) -> bool {
    !*is_true
}

impl Endpoint {
    /// As administrators see it: without its secret, and without the values of its headers.
    pub fn to_json(&self, state: &EndpointState) -> String {
        let limits = self.limits;
        let shown = Shown {
            id: self.id,
            name: &self.name,
            url: self.url.as_str(),
            include_response: self.include_response,
            allow_private_network: self.private_network.is_allowed(),
            max_retries: limits.max_retries,
            retry_backoff_initial_seconds: limits.retry_backoff_initial_seconds,
            retry_backoff_max_seconds: limits.retry_backoff_max_seconds,
            attempt_timeout_seconds: limits.attempt_timeout_seconds,
            max_response_payload_kbs: limits.max_response_payload_kbs,
            max_concurrent_deliveries: limits.max_concurrent_deliveries,
            disabled: self.is_disabled(state),
            disabled_reason: state.disabled_reason,
            consecutive_failures: state.consecutive_failures,
            last_success_at: state.last_success_at,
            last_failure_at: state.last_failure_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            events: &self.events,
            headers: self
                .headers
                .iter()
                .map(|(name, _)| (name.as_str(), Redacted { value: REDACTED }))
                .collect(),
            virtual_key_ids: self.virtual_key_ids.as_deref(),
            is_from_file: self.is_from_file,
        };
        // A struct of strings and integers has no way to fail to be written to memory.
        serde_json::to_string(&shown).unwrap_or_default()
    }
}
