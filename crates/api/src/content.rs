use actix_web::body::SizedStream;
use actix_web::http::header::{
    ACCEPT_RANGES, ByteRangeSpec, CONTENT_RANGE, CONTENT_TYPE, ETAG, EntityTag, Header, HeaderValue,
    IF_NONE_MATCH, IF_RANGE, IfNoneMatch, IfRange, Range, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use hermod_queue::{JobRecord, QueueError};
use hermod_types::{InvalidRequest, JobStatus, MediaPart, Operation, Timestamp};
use serde::Deserialize;

use crate::error::{ApiError, Failure};
use crate::media_stream::{MediaStream, Source};
use crate::poll;
use crate::state::State;

#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    index: usize,
}

/// `GET /v1/async/{path}/{id}/content?index=N`: the bytes of the media in a completed job's result.
pub(crate) async fn content(
    http: HttpRequest,
    id: web::Path<String>,
    operation: web::Data<Operation>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let operation = **operation;
    let answer = async {
        let record = poll::find(&id, http.headers(), &state, |its| its.polled_as() == operation).await?;
        answer(&http, &record, &state).await
    };
    answer.await.map_err(|error| error.of(operation))
}

async fn answer(http: &HttpRequest, record: &JobRecord, state: &State) -> Result<HttpResponse, ApiError> {
    let which = web::Query::<Which>::from_query(http.query_string()).map_err(|_| InvalidRequest {
        message: "`index` must be a whole number".to_owned(),
        param: Some("index".to_owned()),
    })?;
    let part = part(record, which.index)?;
    let outcome = record.outcome().ok_or(ApiError::NoContent("the result has no content"))?;
    // A result changes only where Redis has lost one, and the job has run once more.
    let completed = record.completed().map(Timestamp::as_millis).unwrap_or_default();
    let tag = EntityTag::new_strong(format!("{}-{completed}-{}", record.id, which.index));
    let content_type = HeaderValue::from_str(&part.content_type);
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));

    let mut response = HttpResponse::Ok();
    response
        .insert_header((ETAG, tag.to_string()))
        .insert_header((ACCEPT_RANGES, "bytes"))
        // A provider's media type is not to be guessed away by a browser.
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if is_known(http, &tag) {
        return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
    }
    response.insert_header((CONTENT_TYPE, content_type));
    let range = match range(http, &tag) {
        None => 0..part.size,
        Some(range) => {
            let (first, last) = range
                .to_satisfiable_range(part.size)
                .ok_or(ApiError::RangeNotSatisfiable { size: part.size })?;
            response.status(StatusCode::PARTIAL_CONTENT);
            response.insert_header((CONTENT_RANGE, format!("bytes {first}-{last}/{}", part.size)));
            first..last + 1
        }
    };
    if http.method() == Method::HEAD {
        let nothing = stream::empty::<std::io::Result<Bytes>>();
        return Ok(response.body(SizedStream::new(part.size, nothing)));
    }
    let media = MediaStream::new(Source::new(outcome, &state.outcomes), &part, range, &state.memory);
    Ok(response.body(media.start().await?))
}

/// The media with this number in the result.
fn part(record: &JobRecord, index: usize) -> Result<MediaPart, ApiError> {
    match record.status {
        JobStatus::Pending | JobStatus::Processing => {
            Err(ApiError::NotCompleted { retry_seconds: poll::poll_after_ms(record.id).div_ceil(1000) })
        }
        JobStatus::Failed => Err(ApiError::NoContent("the job has failed, so it has no content")),
        JobStatus::Completed => {
            let parts = record.media.as_deref().map_or(Ok(Vec::new()), serde_json::from_str);
            let parts: Vec<Option<MediaPart>> = parts.map_err(|error| {
                ApiError::Internal(QueueError::Unexpected(format!(
                    "job {}: unreadable media: {error}",
                    record.id
                )))
            })?;
            let has_some = !parts.is_empty();
            parts.into_iter().nth(index).flatten().ok_or(ApiError::NoContent(if has_some {
                "the result has no content with this index"
            } else {
                "the result has no content"
            }))
        }
    }
}

/// Whether the client has it already.
fn is_known(http: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(http) {
        Ok(IfNoneMatch::Any) => http.headers().contains_key(IF_NONE_MATCH),
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}

/// The part that the client wants. Several at once, or ones that we cannot read, are as good as none, which RFC 9110 allows.
fn range(http: &HttpRequest, tag: &EntityTag) -> Option<ByteRangeSpec> {
    let is_current = match http.headers().get(IF_RANGE).map(|_| IfRange::parse(http)) {
        None => true,
        Some(Ok(IfRange::EntityTag(known))) => known.strong_eq(tag),
        Some(Ok(IfRange::Date(_)) | Err(_)) => false,
    };
    if http.method() != Method::GET || !is_current {
        return None;
    }
    match Range::parse(http).ok()? {
        Range::Bytes(ranges) => <[_; 1]>::try_from(ranges).ok().map(|[range]| range),
        Range::Unregistered(..) => None,
    }
}
