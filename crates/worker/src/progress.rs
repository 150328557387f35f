use hermod_types::ErrorBody;
use serde::{Deserialize, Serialize};

/// How far a job has come along its chain, as its record keeps it: who takes the job over does not pay
/// again for targets that have failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The target to try next, by its place in the chain.
    pub(crate) next: usize,
    /// What the primary failed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) primary_error: Option<ErrorBody>,
}

impl Progress {
    /// Reads it; what cannot be read is as good as nothing noted.
    pub(crate) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub(crate) fn to_json(&self) -> String {
        // A struct of strings and integers has no way to fail to be written to memory.
        serde_json::to_string(self).unwrap_or_default()
    }
}
