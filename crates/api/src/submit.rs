use actix_web::http::header::{HeaderMap, HeaderValue, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use hermod_queue::{JobOptions, JobRequest, QueueError, Repeats, Submission};
use hermod_types::config::VirtualKey;
use hermod_types::{
    ApiConfig, InvalidRequest, JobId, JobView, Operation, Request, Target, Ttl, cannot_serve,
};

use crate::body::{self, Body};
use crate::caller;
use crate::error::{ApiError, Failure};
use crate::form;
use crate::memory::Room;
use crate::poll;
use crate::state::State;
use crate::wait::{self, Existence, Wait};

/// `POST /v1/async/{path}`: 202 with the job's id, once Redis holds the job.
pub(crate) async fn json(
    http: HttpRequest,
    payload: web::Payload,
    operation: web::Data<Operation>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let operation = **operation;
    let submission = async {
        let submit = Submit::begin(operation, http.headers(), &state)?;
        let request = submit.read_json(payload, None).await?;
        submit.json(request).await
    };
    // Of what it needs, nothing is kept while its client waits for the end.
    let submission = Box::pin(submission).await;
    answer(operation, submission, &http, &state).await
}

/// The same with a form.
pub(crate) async fn form(
    http: HttpRequest,
    payload: web::Payload,
    operation: web::Data<Operation>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let operation = **operation;
    let submission = async { Submit::begin(operation, http.headers(), &state)?.form(payload).await };
    let submission = Box::pin(submission).await;
    answer(operation, submission, &http, &state).await
}

/// The answer to a submit: with the ended job, should the client want to wait and the job end before.
async fn answer(
    operation: Operation,
    submission: Result<JobId, ApiError>,
    http: &HttpRequest,
    state: &State,
) -> Result<HttpResponse, Failure> {
    let id = submission.map_err(|error| error.of(operation))?;
    let accepted = || HttpResponse::Accepted().json(JobView::accepted(id));
    let mut response = match Wait::preferred(http.headers()) {
        None => accepted(),
        Some(wait) => {
            let mut response = ended(id, wait, state).await.unwrap_or_else(accepted);
            wait.applied(&mut response);
            response
        }
    };
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/async/{}/{id}", operation.path())) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// The poll's answer, if the job ends in time. Whatever keeps it from being read is no error of the submit: a client would send
/// that again.
async fn ended(id: JobId, wait: Wait, state: &State) -> Option<HttpResponse> {
    let look = async || state.queue.find(id).await.map_err(ApiError::from_find)?.ok_or(ApiError::JobNotFound);
    let waited = wait::for_end(id, wait.length(), Existence::Certain, state, look);
    let record = Box::pin(waited).await.ok().filter(|record| record.status.is_ended())?;
    Box::pin(poll::answer(record, false, state)).await.ok()
}

/// A submit whose caller is known.
pub(crate) struct Submit<'a> {
    operation: Operation,
    headers: &'a HeaderMap,
    state: &'a State,
    key: Option<&'a VirtualKey>,
}

impl<'a> Submit<'a> {
    /// # Errors
    /// As [`caller::authenticate`].
    pub(crate) fn begin(
        operation: Operation,
        headers: &'a HeaderMap,
        state: &'a State,
    ) -> Result<Self, ApiError> {
        let key = caller::authenticate(headers, &state.config)?;
        Ok(Self { operation, headers, state, key })
    }

    /// Reads a JSON body. A model without a provider is `default_provider`'s, where there is one.
    ///
    /// # Errors
    /// If it cannot be read, or is not what the contract says.
    pub(crate) async fn read_json(
        &self,
        payload: web::Payload,
        default_provider: Option<&str>,
    ) -> Result<(Request, Room), ApiError> {
        if form::is_form(self.headers) {
            return Err(ApiError::BrokenForm("this endpoint takes JSON".to_owned()));
        }
        let body = self.body(payload)?;
        let (bytes, room) = body.read(body::length(self.headers), &self.state.memory).await?;
        Ok((Request::parse(self.operation, &bytes, default_provider)?, room))
    }

    /// Submits what was read.
    ///
    /// # Errors
    /// If the job is not accepted.
    pub(crate) async fn json(&self, (request, _room): (Request, Room)) -> Result<JobId, ApiError> {
        let job = self.job(request)?;
        accepted(self.state.queue.submit(job, JobOptions::default()).await)
    }

    /// Reads a form, and submits it. What was uploaded of one that is not accepted goes by itself.
    async fn form(&self, payload: web::Payload) -> Result<JobId, ApiError> {
        let boundary = form::boundary(self.headers)?;
        let (body, announced) = (self.body(payload)?, body::length(self.headers));
        let upload =
            self.state.queue.upload(announced, &Repeats::default()).await.map_err(ApiError::from_submit)?;
        let mut upload = upload.ok_or(ApiError::QueueFull)?;
        let mut room = self.state.memory.room(announced.unwrap_or(0));
        let form = form::read(body, boundary, &mut upload, &mut room).await?;
        let job = self.job(Request::from_form(self.operation, form)?)?;
        accepted(self.state.queue.submit_upload(upload, job, JobOptions::default()).await)
    }

    fn body(&self, payload: web::Payload) -> Result<Body, ApiError> {
        Body::new(self.headers, payload, self.state.limits.of(self.operation))
    }

    /// # Errors
    /// If no worker could run it, or the virtual key does not allow it.
    fn job(&self, request: Request) -> Result<JobRequest, ApiError> {
        let config = &self.state.config;
        let Request { operation, targets, body, media_bytes } = request;
        check_targets(&targets, config, self.key)?;
        check_expressible(operation, &targets, &body, config)?;
        let wanted = self.headers.get("x-bf-async-job-result-ttl");
        let wanted = wanted.and_then(|ttl| Ttl::from_header(ttl.to_str().ok()?));
        Ok(JobRequest {
            operation,
            targets,
            body,
            media_bytes,
            ttl: wanted.unwrap_or(config.default_ttl).min(self.state.max_ttl),
            owner: self.key.map(|key| key.id.clone()),
        })
    }
}

fn accepted(submission: Result<Submission, QueueError>) -> Result<JobId, ApiError> {
    match submission.map_err(ApiError::from_submit)? {
        Submission::Full => Err(ApiError::QueueFull),
        Submission::TooLate => {
            Err(ApiError::NotAccepted(QueueError::Unreachable("it answered too late".to_owned())))
        }
        Submission::Conflict => Err(ApiError::IdempotencyKeyReused),
        Submission::Replayed(id) => Ok(id),
        Submission::Accepted(id) => {
            metrics::counter!("hermod_jobs_accepted_total").increment(1);
            Ok(id)
        }
    }
}

/// Refuses now what no worker could run, or what the virtual key does not allow.
fn check_targets(targets: &[Target], config: &ApiConfig, key: Option<&VirtualKey>) -> Result<(), ApiError> {
    for (index, target) in targets.iter().enumerate() {
        let param = if index == 0 { "model" } else { "fallbacks" };
        if !config.providers.contains_key(target.provider()) {
            let names: Vec<_> = config.providers.keys().map(String::as_str).collect();
            let configured = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(ApiError::ProviderNotConfigured { target: target.clone(), param, configured });
        }
        if key.is_some_and(|key| !key.allows(target)) {
            return Err(ApiError::TargetNotAllowed { target: target.clone(), param });
        }
    }
    Ok(())
}

/// Refuses what cannot be said to any of the targets. As long as one can serve it, the others are passed over.
fn check_expressible(
    operation: Operation,
    targets: &[Target],
    body: &str,
    config: &ApiConfig,
) -> Result<(), InvalidRequest> {
    let mut refusal: Option<InvalidRequest> = None;
    for target in targets {
        let provider = config.providers.get(target.provider());
        let reason = provider
            .and_then(|provider| cannot_serve(provider, operation, target.model(), body, config.max_calls));
        let Some(reason) = reason else {
            return Ok(());
        };
        // The client is told about the primary.
        refusal.get_or_insert_with(|| InvalidRequest {
            message: format!("no target can serve this request; {target}: {}", reason.message),
            param: reason.param,
        });
    }
    refusal.map_or(Ok(()), Err)
}
