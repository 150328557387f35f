use serde::{Deserialize, Serialize};

use super::EndpointId;
use crate::{Operation, TraceContext};

/// What a job's record keeps from its submit until its end is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    #[serde(flatten)]
    pub receiver: Receiver,
    /// `x-request-id` of the submit.
    pub request_id: String,
    #[serde(rename = "type")]
    pub operation: Operation,
    /// The job's first target.
    pub model: String,
    #[serde(default, skip_serializing_if = "Style::is_bifrost")]
    pub style: Style,
    /// Where its submit stands in a trace; none where that is not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<TraceContext>>,
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Receiver {
    /// A registered endpoint.
    Endpoint { endpoint: EndpointId },
    /// An address that the submit named.
    Url {
        url: String,
        /// Id of the virtual key whose webhook secret signs.
        owner: String,
    },
}

/// In which words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Bifrost's envelope.
    #[default]
    Bifrost,
    /// OpenAI's, of a Response that was asked for with `background`.
    OpenAi,
}

impl Style {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_bifrost(&self) -> bool {
        *self == Self::Bifrost
    }
}
