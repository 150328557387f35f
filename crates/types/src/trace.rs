use serde::{Deserialize, Serialize};

/// Where a job's submit stands in a trace, in the form of W3C Trace Context. It is there for a submit that is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// `00-<trace id>-<span id>-01`
    #[serde(rename = "traceparent")]
    pub parent: String,
    /// What the systems of the client have added; empty for nothing.
    #[serde(rename = "tracestate", default, skip_serializing_if = "String::is_empty")]
    pub state: String,
}

impl TraceContext {
    /// The headers that tell it, by name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [("traceparent", self.parent.as_str()), ("tracestate", self.state.as_str())];
        all.into_iter().filter(|(_, value)| !value.is_empty())
    }
}
