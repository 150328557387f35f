//! What is asked of a Response that was created before.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_queue::JobRecord;
use hermod_types::{InvalidRequest, ResponseId};
use serde::{Deserialize, Serialize};

use super::{OPERATION, answer};
use crate::body::Body;
use crate::error::{ApiError, Failure};
use crate::state::State;
use crate::wait::{self, Existence, Wait};
use crate::{cancel, poll};

/// How long a Response that runs has to end before it can be removed. Its worker knows of it within a second.
const LONGEST_END: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Query {
    #[serde(default)]
    stream: Option<String>,
}

#[derive(Serialize)]
struct Deleted {
    id: String,
    object: &'static str,
    deleted: bool,
}

/// `GET …/responses/{id}`.
pub(super) async fn retrieve(
    http: HttpRequest,
    id: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let answer = async {
        let query = web::Query::<Query>::from_query(http.query_string());
        if query.is_ok_and(|query| query.stream.as_deref() == Some("true")) {
            let message = "streaming is not supported for async requests".to_owned();
            return Err(InvalidRequest { message, param: Some("stream".to_owned()) }.into());
        }
        let Some(wait) = Wait::preferred(http.headers()) else {
            return answer::response(find(&http, &id, &state).await?, HttpResponse::Ok(), &state).await;
        };
        let job = id.parse::<ResponseId>().map_err(|_| ApiError::JobNotFound)?.0;
        let look = async || find(&http, &id, &state).await;
        let record = wait::for_end(job, wait.length(), Existence::ToBeSeen, &state, look).await?;
        let mut response = answer::response(record, HttpResponse::Ok(), &state).await?;
        wait.applied(&mut response);
        Ok(response)
    };
    answer.await.map_err(|error: ApiError| error.of(OPERATION))
}

/// `POST …/responses/{id}/cancel`: the Response as it is then, and the same each time.
pub(super) async fn cancel(
    http: HttpRequest,
    payload: web::Payload,
    id: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let answer = async {
        pass_over(&http, payload, &state).await?;
        let record = find(&http, &id, &state).await?;
        if record.status.is_ended() && record.echo.as_ref().is_some_and(|echo| !echo.is_background()) {
            let message = "Cannot cancel a synchronous response.".to_owned();
            return Err(InvalidRequest { message, param: None }.into());
        }
        let record = match cancel::cancel_job(record, &state.queue).await {
            Err(ApiError::JobEnded) => find(&http, &id, &state).await?,
            cancelled => cancelled?,
        };
        answer::response(record, HttpResponse::Ok(), &state).await
    };
    answer.await.map_err(|error: ApiError| error.of(OPERATION))
}

/// `DELETE …/responses/{id}`: one that waits or runs is cancelled first.
pub(super) async fn delete(
    http: HttpRequest,
    payload: web::Payload,
    id: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let answer = async {
        pass_over(&http, payload, &state).await?;
        let record = find(&http, &id, &state).await?;
        let id = record.id;
        if let Some(record) = cancel::delete_job(record, &state).await? {
            let record =
                if record.status.is_ended() { record } else { ended(&http, &record, &state).await? };
            if cancel::delete_job(record, &state).await?.is_some() {
                return Err(ApiError::NotCompleted { retry_seconds: 1 });
            }
        }
        let deleted = Deleted { id: ResponseId(id).to_string(), object: "response", deleted: true };
        Ok(HttpResponse::Ok().json(deleted))
    };
    answer.await.map_err(|error: ApiError| error.of(OPERATION))
}

/// A job that its worker is about to end.
async fn ended(http: &HttpRequest, record: &JobRecord, state: &State) -> Result<JobRecord, ApiError> {
    let look = async || poll::look(record.id, http.headers(), state, |its| its == OPERATION).await;
    Box::pin(wait::for_end(record.id, LONGEST_END, Existence::ToBeSeen, state, look)).await
}

async fn pass_over(http: &HttpRequest, payload: web::Payload, state: &State) -> Result<(), ApiError> {
    Body::new(http.headers(), payload, state.limits.of(OPERATION))?.pass_over().await
}

/// The job of a Response that this caller may see. Whether it was asked for here, or as a job, makes no difference.
async fn find(http: &HttpRequest, id: &str, state: &State) -> Result<JobRecord, ApiError> {
    let ResponseId(job) = id.parse().map_err(|_| ApiError::JobNotFound)?;
    poll::look(job, http.headers(), state, |its| its == OPERATION).await
}
