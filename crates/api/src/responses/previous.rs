use actix_web::http::header::HeaderMap;
use hermod_queue::{JobRecord, OutcomeRef, PIECE_BYTES};
use hermod_types::{InvalidRequest, JobStatus, ResponseEcho, ResponseId, ResponseSplice};

use super::OPERATION;
use crate::error::ApiError;
use crate::poll;
use crate::state::State;

/// Puts the provider's id in the place of ours, in the body of a request that follows one of our Responses: the provider knows that
/// by its own only.
///
/// # Errors
/// If there is no such Response that this caller may see, or it has no result.
pub(crate) async fn follow(
    body: &mut String,
    echo: &ResponseEcho,
    headers: &HeaderMap,
    state: &State,
) -> Result<(), ApiError> {
    let Some(previous) = echo.previous() else { return Ok(()) };
    let record = match poll::look(previous.0, headers, state, |its| its == OPERATION).await {
        Err(ApiError::JobNotFound) => None,
        record => Some(record?).filter(|record| record.status == JobStatus::Completed),
    };
    let not_found = || InvalidRequest {
        message: format!("Previous response with id '{previous}' not found."),
        param: Some("previous_response_id".to_owned()),
    };
    let record = record.ok_or_else(not_found)?;
    let their_id = their_id(previous, &record, state).await?.ok_or_else(not_found)?;
    if let Some(following) = ResponseEcho::following(body, &their_id) {
        *body = following;
    }
    Ok(())
}

/// What the provider calls this Response. Of a large one, it is read up to there.
async fn their_id(id: ResponseId, record: &JobRecord, state: &State) -> Result<Option<String>, ApiError> {
    let mut splice = ResponseSplice::new(id, &ResponseEcho::of_job(""));
    let stored = match record.outcome() {
        None => return Ok(None),
        Some(OutcomeRef::Inline(json)) => {
            splice.piece(json.as_bytes());
            return Ok(splice.their_id());
        }
        Some(OutcomeRef::Stored(stored)) => stored,
    };
    let piece = u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
    let mut room = state.memory.room(piece);
    room.grow_to(piece)?;
    let mut position = 0;
    while position < stored.bytes && splice.their_id().is_none() {
        let length = piece.min(stored.bytes - position);
        let read = state.outcomes.read(stored, position, length).await.map_err(ApiError::from_find)?;
        let Some(read) = read else { return Ok(None) };
        splice.piece(&read);
        position += length;
    }
    Ok(splice.their_id())
}
