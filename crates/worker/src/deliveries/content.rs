use hermod_queue::{Delivery, JobRecord, OutcomeRef, QueueError, Records};
use hermod_types::webhook::{Payload, Style};
use serde::Deserialize;

use super::insist::insist;

/// What a job's record adds to a delivery.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) part: Part,
    /// The `status` of a Response.
    pub(super) response_status: Option<String>,
}

/// The result or the error, as far as it goes along: see [`Payload`].
#[derive(Debug, Default)]
pub(super) enum Part {
    #[default]
    Unwanted,
    Omitted,
    Json(String),
    Expired,
}

/// The bytes of a result or error that its receiver wants; none for nothing of it.
pub(super) type Wanted = Option<u64>;

impl Part {
    pub(super) fn payload(&self) -> Payload<'_> {
        match self {
            Self::Unwanted => Payload::Unwanted,
            Self::Omitted => Payload::Omitted,
            Self::Json(json) => Payload::Json(json),
            Self::Expired => Payload::Expired,
        }
    }

    /// Bytes of it in memory.
    pub(super) fn bytes(&self) -> usize {
        if let Self::Json(json) = self { json.len() } else { 0 }
    }
}

/// Reads of the job's record what the delivery needs, for as long as that takes.
pub(super) async fn read(records: &Records, delivery: &Delivery, wanted: Wanted) -> Content {
    let content = insist(delivery.job, "read", || read_once(records, delivery, wanted));
    content.await.unwrap_or_else(|| {
        // It is told without what cannot be read.
        let part = if wanted.is_some() { Part::Omitted } else { Part::Unwanted };
        Content { part, response_status: None }
    })
}

async fn read_once(records: &Records, delivery: &Delivery, wanted: Wanted) -> Result<Content, QueueError> {
    let expired = Content { part: Part::Expired, response_status: None };
    // A job that was requeued since then has another end, or none.
    let is_its = |record: &JobRecord| record.completed() == Some(delivery.completed);
    let Some(record) = records.find(delivery.job).await?.filter(is_its) else { return Ok(expired) };
    let Some(outcome) = record.outcome() else { return Ok(expired) };
    let bytes = match outcome {
        OutcomeRef::Inline(json) => u64::try_from(json.len()).unwrap_or(u64::MAX),
        OutcomeRef::Stored(stored) => stored.bytes,
    };
    let is_response = delivery.hook.style == Style::OpenAi;
    match wanted {
        _ if is_response => {}
        None => return Ok(Content::default()),
        Some(most) if bytes > most => return Ok(Content { part: Part::Omitted, response_status: None }),
        Some(_) => {}
    }
    let json = match outcome {
        OutcomeRef::Inline(json) => json.to_owned(),
        OutcomeRef::Stored(stored) => match records.outcome(stored).await? {
            Some(bytes) => String::from_utf8(bytes)
                .map_err(|_| QueueError::Unexpected("an outcome is not UTF-8".to_owned()))?,
            None => return Ok(expired),
        },
    };
    Ok(if is_response {
        Content { part: Part::Unwanted, response_status: status_of(&json) }
    } else {
        Content { part: Part::Json(json), response_status: None }
    })
}

/// The `status` of a Response.
fn status_of(json: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Response {
        status: Option<String>,
    }
    serde_json::from_str::<Response>(json).ok()?.status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_has_a_status() {
        assert_eq!(status_of(r#"{"id":"r","status":"incomplete"}"#).as_deref(), Some("incomplete"));
        assert_eq!(status_of(r#"{"id":"r"}"#), None);
        assert_eq!(status_of("[]"), None);
    }
}
