use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use hermod_queue::{JobRequest, Queue, QueueError, Submission};
use hermod_types::config::VirtualKey;
use hermod_types::{ApiConfig, InvalidRequest, JobView, Operation, Request, Target, Ttl, cannot_serve};

use crate::body;
use crate::caller;
use crate::error::ApiError;
use crate::memory::MemoryBudget;

/// The largest body of a submit, in bytes.
pub(crate) struct BodyLimit(pub(crate) usize);

/// `POST /v1/async/completions`: 202 with the job's id, once Redis holds the job.
pub(crate) async fn submit(
    request: HttpRequest,
    payload: web::Payload,
    config: web::Data<ApiConfig>,
    queue: web::Data<Queue>,
    limit: web::Data<BodyLimit>,
    memory: web::Data<MemoryBudget>,
    max_ttl: web::Data<MaxTtl>,
) -> Result<HttpResponse, ApiError> {
    let key = caller::authenticate(request.headers(), &config)?;
    let (bytes, _room) = body::read(request.headers(), payload, limit.0, &memory).await?;
    let Request { targets, body, .. } = Request::parse(Operation::TextCompletion, &bytes, None)?;
    drop(bytes);
    check_targets(&targets, &config, key)?;
    check_expressible(Operation::TextCompletion, &targets, &body, &config)?;

    let job = JobRequest {
        operation: Operation::TextCompletion,
        targets,
        body,
        media_bytes: 0,
        ttl: ttl(&request).unwrap_or(config.default_ttl).min(max_ttl.0),
        owner: key.map(|key| key.id.clone()),
    };
    match queue.submit(job).await.map_err(ApiError::from_submit)? {
        Submission::Full => Err(ApiError::QueueFull),
        Submission::TooLate => {
            Err(ApiError::NotAccepted(QueueError::Unreachable("it answered too late".to_owned())))
        }
        Submission::Accepted(id) => {
            metrics::counter!("hermod_jobs_accepted_total").increment(1);
            Ok(HttpResponse::Accepted()
                .insert_header((LOCATION, format!("/v1/async/completions/{id}")))
                .json(JobView::accepted(id)))
        }
    }
}

/// The longest that a result is kept, whatever its client wants.
#[derive(Clone, Copy)]
pub(crate) struct MaxTtl(pub(crate) Ttl);

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

fn ttl(request: &HttpRequest) -> Option<Ttl> {
    Ttl::from_header(request.headers().get("x-bf-async-job-result-ttl")?.to_str().ok()?)
}
