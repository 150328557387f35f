//! Paths of providers' own SDKs, which submit and retrieve jobs by headers.

use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Resource, web};
use hermod_queue::{JobRecord, OutcomeRef};
use hermod_service::method_not_allowed;
use hermod_types::{InvalidRequest, JobId, JobStatus, Operation, Request};
use serde_json::{Value, json};

use crate::body::Body;
use crate::error::{ApiError, Failure, SHOULD_RETRY};
use crate::memory::Room;
use crate::poll;
use crate::responses;
use crate::result_stream::ResultParts;
use crate::state::State;
use crate::submit::Submit;

/// Any value asks for a job.
const SUBMIT: &str = "x-bf-async";
/// The id of the job to retrieve.
const RETRIEVE: &str = "x-bf-async-id";

/// What an SDK calls.
#[derive(Clone, Copy, Debug)]
struct Integration {
    operation: Operation,
    /// Whose models have no provider in their names.
    provider: &'static str,
    paths: [&'static str; 2],
}

static ALL: [Integration; 2] = [
    Integration {
        operation: Operation::Responses,
        provider: "openai",
        paths: ["/openai/v1/responses", "/openai/responses"],
    },
    Integration {
        operation: Operation::Messages,
        provider: "anthropic",
        paths: ["/anthropic/v1/messages", "/anthropic/messages"],
    },
];

/// A resource for each path.
pub(crate) fn resources() -> impl Iterator<Item = Resource> {
    let paths = ALL.iter().flat_map(|of| of.paths.map(|path| (of, path)));
    paths.map(|(of, path)| {
        let operation = of.operation;
        web::resource(path)
            .app_data(web::Data::new(*of))
            .route(web::post().to(post))
            .default_service(web::to(move || async move { method_not_allowed("POST", Some(operation)) }))
    })
}

/// What is asked for at this path.
pub(crate) fn operation_of(path: &str) -> Option<Operation> {
    ALL.iter().find(|of| of.paths.contains(&path)).map(|of| of.operation)
}

/// `POST`: submits a job, or tells how one is.
async fn post(
    http: HttpRequest,
    payload: web::Payload,
    integration: web::Data<Integration>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let of = **integration;
    let headers = http.headers();
    let answer = async {
        if let Some(id) = given(headers, RETRIEVE) {
            Body::new(headers, payload, state.limits.of(of.operation))?.pass_over().await?;
            let record = poll::find(id, headers, &state, |its| its == of.operation).await?;
            of.retrieved(record, &state).await
        } else if given(headers, SUBMIT).is_some() {
            of.submit(headers, payload, &state).await
        } else if of.operation == Operation::Responses {
            responses::create(headers, payload, Some(of.provider), &state).await
        } else {
            Err(ApiError::from(InvalidRequest { message: of.how_to(), param: None }))
        }
    };
    answer.await.map_err(|error| error.of(of.operation))
}

/// A header's first value that is not empty. What is no text is no id.
fn given<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get_all(name).find(|value| !value.is_empty())?;
    Some(value.to_str().unwrap_or("?"))
}

impl Integration {
    fn how_to(self) -> String {
        let path = self.operation.polled_as().path();
        format!(
            "this path takes jobs: send `{SUBMIT}: true` to submit one, then the same with `{RETRIEVE}: <its id>` to retrieve it; \
             or use /v1/async/{path}"
        )
    }

    async fn submit(
        self,
        headers: &HeaderMap,
        payload: web::Payload,
        state: &State,
    ) -> Result<HttpResponse, ApiError> {
        let submit = Submit::begin(self.operation, headers, state).await?;
        let read = submit.read_json(payload, Some(self.provider)).await.map_err(not_streamed)?;
        let model = model_of(&read);
        let submitted = submit.json(read).await?;
        let mut response = HttpResponse::Ok().json(self.pending(submitted.id, JobStatus::Pending, &model));
        submitted.tell(&mut response);
        Ok(response)
    }

    /// What stands for the result until there is one. Bifrost's words for the status: an SDK's own would have it wait by itself.
    fn pending(self, id: JobId, status: JobStatus, model: &str) -> Value {
        if self.operation == Operation::Messages {
            return json!({
                "id": id, "type": "message", "role": "assistant", "status": status, "model": model, "content": [],
                "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 0, "output_tokens": 0},
            });
        }
        json!({
            "id": id, "object": "response", "status": status, "created_at": id.created_at().as_millis() / 1000,
            "model": model, "output": [], "error": null, "incomplete_details": null, "instructions": null, "metadata": {},
            "parallel_tool_calls": true, "temperature": null, "tool_choice": "auto", "tools": [], "top_p": null,
        })
    }

    /// The job's end, or what stands for it until then.
    async fn retrieved(self, record: JobRecord, state: &State) -> Result<HttpResponse, ApiError> {
        match record.status {
            // The model is in the request, which is not read.
            JobStatus::Pending | JobStatus::Processing => {
                Ok(HttpResponse::Ok().json(self.pending(record.id, record.status, "")))
            }
            JobStatus::Failed => failure(&record, state).await,
            JobStatus::Completed => outcome(&record, HttpResponse::Ok(), state).await,
        }
    }
}

/// The error of a job that has failed, as an error. What could be tried again was.
///
/// # Errors
/// If it cannot be read.
pub(crate) async fn failure(record: &JobRecord, state: &State) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::build(failure_status(record.status_code()));
    response.insert_header((SHOULD_RETRY, "false"));
    outcome(record, response, state).await
}

/// The result or the error, as it is stored.
async fn outcome(
    record: &JobRecord,
    mut response: HttpResponseBuilder,
    state: &State,
) -> Result<HttpResponse, ApiError> {
    response.content_type(ContentType::json());
    Ok(match record.outcome().ok_or(ApiError::JobNotFound)? {
        OutcomeRef::Inline(json) => response.body(json.to_owned()),
        OutcomeRef::Stored(outcome) => {
            let parts = ResultParts { head: String::new(), outcome: outcome.clone(), tail: "" };
            response.body(parts.stream(state.outcomes.clone(), &state.memory).await?)
        }
    })
}

fn model_of((request, _): &(Request, Room)) -> String {
    request.targets.first().map(|target| target.model().to_owned()).unwrap_or_default()
}

/// A status that no error has would be taken for something else.
fn failure_status(code: Option<u16>) -> StatusCode {
    let status = code.and_then(|code| StatusCode::from_u16(code).ok());
    status
        .filter(|status| status.is_client_error() || status.is_server_error())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What is said of `stream` here.
pub(crate) fn not_streamed(mut error: ApiError) -> ApiError {
    if let ApiError::Invalid(invalid) = &mut error
        && invalid.message.starts_with("stream is not supported")
    {
        invalid.message = "streaming is not supported for async requests".to_owned();
    }
    error
}
