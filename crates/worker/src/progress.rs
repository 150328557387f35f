use std::time::Duration;

use hermod_governance::Charge;
use hermod_providers::Key;
use hermod_types::{ErrorBody, Journal, Target};
use serde::{Deserialize, Serialize};

/// How far a job has come along its chain, as its record keeps it: who takes the job over does not pay
/// again for targets that have failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    /// The target to try next, by its place in the chain.
    pub(crate) next: usize,
    /// Targets before it that were passed over because they cool down, to be tried if all others fail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) passed_over: Vec<usize>,
    /// Retries of the target at hand that are used up.
    pub(crate) retries: u32,
    /// Keys that were refused, as (provider or target, key): not to be used there for this job again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) buried: Vec<(String, String)>,
    /// The time that the job has had before this start, in milliseconds, delays included.
    pub(crate) spent_ms: u64,
    /// What the primary failed with, or the first target that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) primary_error: Option<ErrorBody>,
    #[serde(skip_serializing_if = "Journal::is_empty")]
    pub(crate) attempts: Journal,
    /// What its calls have used so far.
    #[serde(skip_serializing_if = "Charge::is_empty")]
    pub(crate) charge: Charge,
    /// Whether a call is under way.
    #[serde(skip)]
    pub(crate) in_call: bool,
}

impl Progress {
    /// Reads it; what cannot be read is as good as nothing noted.
    pub(crate) fn parse(text: &str) -> Self {
        if text.is_empty() { Self::default() } else { serde_json::from_str(text).unwrap_or_default() }
    }

    pub(crate) fn to_json(&self) -> String {
        // A struct of strings and integers has no way to fail to be written to memory.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn spent(&self) -> Duration {
        Duration::from_millis(self.spent_ms)
    }

    /// Notes that the provider has refused this key with this HTTP status.
    pub(crate) fn bury(&mut self, target: &Target, key: &str, status: u16) {
        // A 403 may be about the model; the others are about the account.
        let place = if status == 403 { target.to_string() } else { target.provider().to_owned() };
        self.buried.push((place, key.to_owned()));
    }

    pub(crate) fn is_buried(&self, target: &Target, key: &Key) -> bool {
        let is_here = |place: &str| place == target.provider() || place == target.to_string();
        self.buried.iter().any(|(place, name)| key.name() == Some(name) && is_here(place))
    }
}
