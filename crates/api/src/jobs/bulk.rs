use std::collections::VecDeque;
use std::io;

use actix_web::body::BodyStream;
use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use hermod_queue::{JobJson, JobRecord, OutcomeReader, OutcomeRef, PIECE_BYTES, StoredOutcome};
use hermod_types::{InvalidRequest, RawObject};
use serde_json::json;

use crate::body::{self, Body, BodyLimit};
use crate::error::{ApiError, Failure};
use crate::memory::Room;
use crate::poll as single;
use crate::result_stream::broken_off;
use crate::state::State;

/// Jobs that one request may ask for.
const MOST: usize = 100;
/// Results and errors that one answer has, in bytes.
const LARGEST_ANSWER: u64 = 32 << 20;
const LARGEST_BODY: BodyLimit = BodyLimit { bytes: 64 << 10, setting: "of a poll of many jobs" };

/// `POST /v1/async/jobs/poll`: the polls of many jobs, in the order in which they are asked for.
pub(crate) async fn poll(
    http: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    answer(&http, payload, &state).await.map_err(ApiError::of_no_operation)
}

async fn answer(http: &HttpRequest, payload: web::Payload, state: &State) -> Result<HttpResponse, ApiError> {
    let body = Body::new(http.headers(), payload, LARGEST_BODY)?;
    let (text, _room) = body.read(body::length(http.headers()), &state.memory).await?;
    let ids = read_ids(&text)?;
    // They go out together.
    let find = |id| single::find(id, http.headers(), state, |_| true);
    let found = join_all(ids.iter().map(|id| find(id))).await;
    let mut polls = Polls::default();
    for (id, found) in ids.into_iter().zip(found) {
        polls.add(id, found)?;
    }
    let mut room = state.memory.room(polls.in_memory);
    room.grow_to(polls.in_memory)?;
    let reading = Reading { parts: polls.finish(), reader: state.outcomes.clone(), rest: None, _room: room };
    let parts = stream::try_unfold(reading, async |mut reading| {
        Ok::<_, io::Error>(reading.next().await?.map(|part| (part, reading)))
    });
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(BodyStream::new(Box::pin(parts))))
}

fn read_ids(body: &[u8]) -> Result<Vec<String>, InvalidRequest> {
    let invalid = |param: Option<&str>, what: &str| InvalidRequest {
        message: format!("invalid request format: {what}"),
        param: param.map(str::to_owned),
    };
    let object: RawObject<'_> =
        serde_json::from_slice(body).map_err(|_| invalid(None, "the body must be a JSON object"))?;
    let ids = object.get("ids").and_then(|ids| serde_json::from_str::<Vec<String>>(ids.get()).ok());
    let ids = ids.ok_or_else(|| invalid(Some("ids"), "`ids` must be an array of strings"))?;
    if ids.len() > MOST {
        let what = format!("`ids` has {} entries, the limit is {MOST}", ids.len());
        return Err(invalid(Some("ids"), &what));
    }
    Ok(ids)
}

/// The answer, as it is put together.
#[derive(Default)]
struct Polls {
    parts: VecDeque<Part>,
    /// What is not a part yet.
    text: String,
    count: usize,
    /// Bytes of results and errors.
    outcomes: u64,
    /// Whether they are too many: nothing more is read.
    is_full: bool,
    in_memory: u64,
}

enum Part {
    Text(String),
    /// A job whose outcome is to be read.
    Around {
        id: String,
        head: String,
        outcome: StoredOutcome,
        tail: &'static str,
    },
}

impl Polls {
    fn add(&mut self, id: String, found: Result<JobRecord, ApiError>) -> Result<(), ApiError> {
        self.text.push_str(if self.count == 0 { "{\"object\":\"list\",\"data\":[" } else { "," });
        self.count += 1;
        let record = match found {
            Ok(record) => record,
            Err(ApiError::JobNotFound) => {
                self.text.push_str(&not_found(&id));
                return Ok(());
            }
            // It is damaged, and the others are not.
            Err(ApiError::Internal(error)) => {
                tracing::warn!(%error, "a job that was polled with others cannot be read");
                self.text.push_str(&without(&id, "not_read"));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.outcomes += match record.outcome() {
            Some(OutcomeRef::Inline(json)) => u64::try_from(json.len()).unwrap_or(u64::MAX),
            Some(OutcomeRef::Stored(outcome)) => outcome.bytes,
            None => 0,
        };
        self.is_full |= self.outcomes > LARGEST_ANSWER;
        if self.is_full {
            self.text.push_str(&without(&id, "not_read"));
            return Ok(());
        }
        match record.into_json() {
            JobJson::Whole(json) => self.text.push_str(&json),
            JobJson::Around { head, outcome, tail } => {
                self.end_text();
                self.in_memory = self.in_memory.max(PIECE_BYTES as u64);
                self.parts.push_back(Part::Around { id, head, outcome, tail });
            }
        }
        Ok(())
    }

    fn end_text(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.in_memory += u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.parts.push_back(Part::Text(text));
    }

    fn finish(mut self) -> VecDeque<Part> {
        let start = if self.count == 0 { "{\"object\":\"list\",\"data\":[" } else { "" };
        self.text.push_str(start);
        self.text.push_str("]}");
        self.end_text();
        self.parts
    }
}

fn not_found(id: &str) -> String {
    without(id, "not_found")
}

/// What is said instead of a poll.
fn without(id: &str, status: &str) -> String {
    json!({"id": id, "status": status}).to_string()
}

/// An answer that is under way.
struct Reading {
    parts: VecDeque<Part>,
    reader: OutcomeReader,
    /// Of the outcome that is being read: from where on, and what comes after it.
    rest: Option<(StoredOutcome, u64, &'static str)>,
    _room: Room,
}

impl Reading {
    /// # Errors
    /// If an outcome of which a part was sent cannot be read on: the connection is then closed.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some((outcome, from, tail)) = self.rest.take() {
            let piece = self.read(&outcome, from).await?;
            let mut piece = piece.ok_or_else(|| broken_off("it has expired"))?;
            self.read_on(&mut piece, outcome, from, tail);
            return Ok(Some(piece.into()));
        }
        Ok(match self.parts.pop_front() {
            None => None,
            Some(Part::Text(text)) => Some(text.into()),
            Some(Part::Around { id, head, outcome, tail }) => {
                let Some(first) = self.read(&outcome, 0).await? else {
                    return Ok(Some(not_found(&id).into()));
                };
                let mut piece = head.into_bytes();
                piece.extend_from_slice(&first);
                self.read_on(&mut piece, outcome, 0, tail);
                Some(piece.into())
            }
        })
    }

    async fn read(&self, outcome: &StoredOutcome, from: u64) -> io::Result<Option<Vec<u8>>> {
        let length = (outcome.bytes - from).min(PIECE_BYTES as u64);
        self.reader.read(outcome, from, length).await.map_err(|error| broken_off(&error.to_string()))
    }

    /// Goes on behind the piece that was read from there, or ends the outcome.
    fn read_on(&mut self, piece: &mut Vec<u8>, outcome: StoredOutcome, from: u64, tail: &'static str) {
        let next = from.saturating_add(PIECE_BYTES as u64);
        if next < outcome.bytes {
            self.rest = Some((outcome, next, tail));
        } else {
            piece.extend_from_slice(tail.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_no_jobs_is_told() {
        let ids = |body: &str| read_ids(body.as_bytes());
        assert_eq!(ids(r#"{"ids":["a","b"],"x":1}"#).unwrap(), ["a", "b"]);
        assert!(ids(r#"{"ids":[]}"#).unwrap().is_empty());
        for body in ["", "[]", "{}", r#"{"ids":"a"}"#, r#"{"ids":[1]}"#, r#"{"ids":null}"#] {
            assert!(ids(body).is_err(), "{body}");
        }
        let many = format!(r#"{{"ids":[{}"a"]}}"#, r#""a","#.repeat(MOST));
        let error = ids(&many).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("ids"));
        assert!(error.message.contains("101"), "{}", error.message);
    }

    #[test]
    fn what_asks_for_none_gets_none() {
        let Some(Part::Text(text)) = Polls::default().finish().pop_front() else { panic!("a text") };
        assert_eq!(text, r#"{"object":"list","data":[]}"#);
    }
}
