use hermod_types::{Operation, Target, TraceContext, Ttl};
use serde::{Deserialize, Serialize};

use crate::pieces::LARGE;
use crate::{Lane, Payload};

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct JobRequest {
    pub operation: Operation,
    /// The targets to try, in order; never empty.
    pub targets: Vec<Target>,
    /// What the provider gets, less the model's name: a JSON object. Of a form, its [`hermod_types::Form`].
    pub body: String,
    /// Bytes of the files of a form, which are read apart from it; 0 for none.
    pub media_bytes: u64,
    /// How long the result is kept.
    pub ttl: Ttl,
    /// Id of the virtual key that it was submitted with.
    pub owner: Option<String>,
    /// Where its submit stands in a trace; none where that is not recorded.
    pub trace: Option<Box<TraceContext>>,
}

/// The first line of a record's `request`; the body follows untouched, unless it is kept apart.
#[derive(Debug, Serialize, Deserialize)]
struct Header<T, C> {
    targets: T,
    ttl: Ttl,
    /// Absent for a text completion.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    operation: Option<Operation>,
    /// Bytes of the body that is kept apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<usize>,
    /// Bytes of the media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media: Option<u64>,
    /// What the job counts as while it waits and runs, in bytes; absent where the operator sets no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// When it may be started, in milliseconds since the epoch; absent for at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<u64>,
    /// Absent where the submit is not recorded in a trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<C>,
}

/// A record's `request`, read.
#[derive(Debug)]
pub struct StoredRequest<R = JobRequest> {
    pub(crate) request: R,
    /// Bytes of its body, where that is kept apart; `request` has an empty one then.
    pub(crate) body_apart: Option<usize>,
    /// Bytes of its media.
    pub(crate) media_bytes: u64,
    /// What it counts as.
    pub(crate) counted_bytes: u64,
    /// When it may be started, in milliseconds since the epoch.
    pub(crate) start: Option<u64>,
}

impl JobRequest {
    /// Whether its body is kept apart from its record.
    pub(crate) fn is_large(&self) -> bool {
        self.body.len() >= LARGE
    }

    /// What the job counts as while it waits and runs.
    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.body.len()).unwrap_or(u64::MAX).saturating_add(self.media_bytes)
    }

    /// The `type` of its record: none for a text completion.
    pub(crate) fn type_field(&self) -> Option<Operation> {
        (self.operation != Operation::default()).then_some(self.operation)
    }

    /// The `request` of its record. `start`: when it may be started, in milliseconds since the epoch; none for at once.
    pub(crate) fn to_stored(&self, is_counted: bool, start: Option<u64>) -> String {
        let header = Header {
            targets: &self.targets[..],
            ttl: self.ttl,
            operation: self.type_field(),
            media: (self.media_bytes > 0).then_some(self.media_bytes),
            body: self.is_large().then_some(self.body.len()),
            bytes: is_counted.then(|| self.bytes()),
            start,
            trace: self.trace.as_deref(),
        };
        // Strings and integers have no way to fail to be written to memory, and JSON escapes newlines.
        let mut stored = serde_json::to_string(&header).unwrap_or_default();
        let body = if self.is_large() { "" } else { &self.body };
        stored.reserve_exact(body.len() + 1);
        stored.push('\n');
        stored.push_str(body);
        stored
    }
}

impl Payload for JobRequest {
    const LANE: Lane = Lane::Jobs;

    fn from_stored(stored: &str, owner: Option<String>) -> Option<StoredRequest> {
        let (header, body) = stored.split_once('\n')?;
        let header: Header<Vec<Target>, Box<TraceContext>> = serde_json::from_str(header).ok()?;
        if header.targets.is_empty() {
            return None;
        }
        Some(StoredRequest {
            request: Self {
                operation: header.operation.unwrap_or_default(),
                targets: header.targets,
                body: body.to_owned(),
                media_bytes: header.media.unwrap_or_default(),
                ttl: header.ttl,
                owner,
                trace: header.trace,
            },
            body_apart: header.body,
            media_bytes: header.media.unwrap_or_default(),
            counted_bytes: header.bytes.unwrap_or_default(),
            start: header.start,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_completion(body: String) -> JobRequest {
        JobRequest {
            operation: Operation::TextCompletion,
            targets: vec!["a/b".parse().unwrap()],
            body,
            media_bytes: 0,
            ttl: Ttl::from_seconds(60).unwrap(),
            owner: None,
            trace: None,
        }
    }

    #[test]
    fn where_a_submit_stands_in_a_trace_is_kept() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
        for state in ["", "vendor=1,other=x"] {
            let trace = Box::new(TraceContext { parent: parent.clone(), state: state.to_owned() });
            let request = JobRequest { trace: Some(trace.clone()), ..text_completion("{}".to_owned()) };
            let stored = request.to_stored(false, None);
            assert!(stored.contains(&format!(r#""trace":{{"traceparent":"{parent}""#)), "{stored}");
            assert_eq!(stored.contains("tracestate"), !state.is_empty());
            assert_eq!(JobRequest::from_stored(&stored, None).unwrap().request.trace, Some(trace));
        }
        let later = "{\"targets\":[\"a/b\"],\"ttl\":60,\"unheard\":{\"a\":1}}\n{}";
        assert!(JobRequest::from_stored(later, None).is_some(), "a later version may add to it");
    }

    #[test]
    fn a_text_completion_is_stored_as_before_there_were_other_calls() {
        let stored = text_completion("{}".to_owned()).to_stored(false, None);
        assert_eq!(stored, "{\"targets\":[\"a/b\"],\"ttl\":60}\n{}");
        let back = JobRequest::from_stored(&stored, None).unwrap().request;
        assert_eq!((back.operation, back.media_bytes), (Operation::TextCompletion, 0));
    }

    #[test]
    fn media_count_as_the_body_does() {
        let request = JobRequest { media_bytes: 1000, ..text_completion("{}".to_owned()) };
        let back = JobRequest::from_stored(&request.to_stored(true, None), None).unwrap();
        assert_eq!((request.bytes(), back.counted_bytes), (1002, 1002));
    }

    #[test]
    fn a_request_comes_back_as_it_went_in() {
        let request = JobRequest {
            operation: Operation::ImageEdit,
            media_bytes: 3 << 20,
            targets: vec!["a/b\\\"c".parse().unwrap(), "d/e/f".parse().unwrap()],
            body: "{\"prompt\":\"x\",\n \"n\":1.50}".to_owned(),
            ttl: Ttl::from_seconds(60).unwrap(),
            owner: Some("vk-1".to_owned()),
            trace: None,
        };
        let back = JobRequest::from_stored(&request.to_stored(true, None), request.owner.clone()).unwrap();
        assert_eq!((back.body_apart, back.counted_bytes), (None, request.bytes()));
        let (back, was) = (back.request, request);
        assert_eq!(
            (back.operation, back.targets, back.body, back.media_bytes, back.ttl, back.owner),
            (was.operation, was.targets, was.body, was.media_bytes, was.ttl, was.owner)
        );
    }

    #[test]
    fn a_large_body_stays_apart() {
        let request = text_completion("x".repeat(LARGE));
        let stored = request.to_stored(false, None);
        assert!(stored.ends_with("}\n") && stored.len() < 100, "{stored}");
        let back = JobRequest::from_stored(&stored, None).unwrap();
        assert_eq!((back.body_apart, back.counted_bytes), (Some(LARGE), 0));
    }

    #[test]
    fn a_request_that_is_none_is_told() {
        for stored in [
            "",
            "{}",
            "{}\n{}",
            "{\"targets\":[],\"ttl\":1}\n{}",
            "{\"targets\":[\"a/b\"],\"ttl\":0}\n{}",
            "{\"targets\":[\"a/b\"],\"ttl\":1,\"type\":\"unheard\"}\n{}",
        ] {
            assert!(JobRequest::from_stored(stored, None).is_none(), "{stored}");
        }
    }
}
