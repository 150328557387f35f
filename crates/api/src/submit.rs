use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use hermod_queue::{JobOptions, JobRequest, Place, QueueError, Share, Start, Submission, Upload};
use hermod_service::TraceSpan;
use hermod_types::webhook::Style;
use hermod_types::{
    ApiConfig, InvalidRequest, JobId, JobView, Naming, Operation, Request, ResponseEcho, Target, Ttl,
    cannot_serve,
};

use crate::body::{self, Body};
use crate::caller::Caller;
use crate::error::{ApiError, Failure};
use crate::form::{self, Files};
use crate::hook;
use crate::limits::{Admission, Choice, check_targets, max_wait_of};
use crate::memory::Room;
use crate::once::{Contents, Once, Shape};
use crate::poll;
use crate::share::priority_of;
use crate::start::start_of;
use crate::state::State;
use crate::wait::{self, Existence, Wait};
use crate::{caller, observe, responses, trace};

/// Says that the answer is that to an earlier submit.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// `POST /v1/async/{path}`: 202 with the job's id, once Redis holds the job.
pub(crate) async fn json(
    http: HttpRequest,
    payload: web::Payload,
    operation: web::Data<Operation>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let operation = **operation;
    let submission = async {
        let submit = Submit::begin(operation, http.headers(), &state).await?;
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
    let submission = async { Submit::begin(operation, http.headers(), &state).await?.form(payload).await };
    let submission = Box::pin(submission).await;
    answer(operation, submission, &http, &state).await
}

/// The answer to a submit: with the ended job, should the client want to wait and the job end before.
async fn answer(
    operation: Operation,
    submission: Result<Submitted, ApiError>,
    http: &HttpRequest,
    state: &State,
) -> Result<HttpResponse, Failure> {
    let submitted = submission.map_err(|error| error.of(operation))?;
    let (id, headers) = (submitted.id, http.headers());
    let accepted = || {
        let mut view = JobView::accepted(id);
        view.request_id = observe::request_id(headers).to_str().ok().map(str::to_owned);
        HttpResponse::Accepted().json(view)
    };
    let mut response = match Wait::preferred(headers) {
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
    submitted.tell(&mut response);
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

/// What became of a submit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Submitted {
    pub(crate) id: JobId,
    /// Whether the job is that of an earlier submit.
    pub(crate) is_replayed: bool,
}

impl Submitted {
    /// Adds what its answer says of it, whatever that is otherwise.
    pub(crate) fn tell(self, response: &mut HttpResponse) {
        if self.is_replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
    }
}

/// A submit whose caller is known.
pub(crate) struct Submit<'a> {
    operation: Operation,
    headers: &'a HeaderMap,
    state: &'a State,
    caller: Caller,
    once: Once<'a>,
    start: Option<Start>,
    priority: u8,
    /// How long the client lets its job wait for its limits.
    max_wait: Option<Duration>,
    /// What its model is, if that names no provider.
    choice: Choice,
    span: TraceSpan,
}

impl<'a> Submit<'a> {
    /// # Errors
    /// As [`caller::authenticate`], and if a header is not what it should be.
    pub(crate) async fn begin(
        operation: Operation,
        headers: &'a HeaderMap,
        state: &'a State,
    ) -> Result<Self, ApiError> {
        let caller = caller::authenticate(headers, state).await?;
        let span = trace::begin(&state.tracing, operation, headers);
        let asked = || {
            let once = Once::of(headers, caller.owner(), operation.path())?;
            Ok::<_, ApiError>((once, start_of(headers)?, priority_of(headers)?, max_wait_of(headers)?))
        };
        let (once, start, priority, max_wait) = asked().inspect_err(|error| trace::refused(&span, error))?;
        let choice = Choice::default();
        Ok(Self { operation, headers, state, caller, once, start, priority, max_wait, choice, span })
    }

    /// `outcome`, after its span has been told if there is no job.
    fn told<T>(&self, outcome: Result<T, ApiError>) -> Result<T, ApiError> {
        outcome.inspect_err(|error| trace::refused(&self.span, error))
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
        let read = async {
            let (bytes, room) = self.read(payload).await?;
            let choose = |model: &str| self.choose(model);
            let naming = Naming { default_provider, choose: Some(&choose) };
            Ok::<_, ApiError>((Request::parse(self.operation, &bytes, naming)?, room))
        };
        self.told(read.await)
    }

    async fn read(&self, payload: web::Payload) -> Result<(Bytes, Room), ApiError> {
        if form::is_form(self.headers) {
            return Err(ApiError::BrokenForm("this endpoint takes JSON".to_owned()));
        }
        self.body(payload)?.read(body::length(self.headers), &self.state.memory).await
    }

    /// Reads the request of a Response that its client may retrieve at once, and submits it. Also gives what the Response repeats.
    ///
    /// # Errors
    /// As [`Submit::read_json`] and [`Submit::json`].
    pub(crate) async fn response(
        &self,
        payload: web::Payload,
        default_provider: Option<&str>,
    ) -> Result<(Submitted, ResponseEcho), ApiError> {
        let submission = async {
            let (bytes, _room) = self.read(payload).await?;
            let choose = |model: &str| self.choose(model);
            let naming = Naming { default_provider, choose: Some(&choose) };
            let (request, echo) = Request::parse_response(&bytes, naming)?;
            let mut job = self.job(request)?;
            if !echo.is_stored() && self.ttl().is_none() {
                job.ttl = job.ttl.min(Ttl::OF_UNSTORED);
            }
            let options = self.options(&job, Some(&echo), None).await?;
            // It is the same submit, whatever the provider calls the Response that it follows.
            responses::follow(&mut job.body, &echo, self.headers, self.state).await?;
            Ok::<_, ApiError>((self.submit(job, options, None).await?, echo))
        };
        self.told(submission.await)
    }

    /// Whether the same submit, sent again, is known by it.
    pub(crate) const fn is_remembered(&self) -> bool {
        self.once.is_remembered()
    }

    /// Submits what was read.
    ///
    /// # Errors
    /// If the job is not accepted.
    pub(crate) async fn json(&self, (request, _room): (Request, Room)) -> Result<Submitted, ApiError> {
        let submission = async {
            let job = self.job(request)?;
            let options = self.options(&job, None, None).await?;
            self.submit(job, options, None).await
        };
        self.told(submission.await)
    }

    /// Reads a form, and submits it.
    async fn form(&self, payload: web::Payload) -> Result<Submitted, ApiError> {
        self.told(self.read_form(payload).await)
    }

    /// The same. What was uploaded of one that is not accepted goes by itself.
    async fn read_form(&self, payload: web::Payload) -> Result<Submitted, ApiError> {
        let boundary = form::boundary(self.headers)?;
        let (body, announced) = (self.body(payload)?, body::length(self.headers));
        let under_way = match self.once.key_name() {
            Some(name) => Some(self.state.under_way.begin(name).ok_or(ApiError::IdempotencyKeyInUse)?),
            None => None,
        };
        let place = self.once.place_of_form(announced);
        let upload = self.state.queue.upload(announced, place).await.map_err(ApiError::from_submit)?;
        let upload = upload.ok_or(ApiError::QueueFull)?;
        let contents = place.map(|_| Contents::new());
        let mut files = Files { upload, contents, under_way };
        let mut room = self.state.memory.room(announced.unwrap_or(0));
        let form = form::read(body, boundary, &mut files, &mut room).await?;
        let choose = |model: &str| self.choose(model);
        let naming = Naming { default_provider: None, choose: Some(&choose) };
        let job = self.job(Request::from_form(self.operation, form, naming)?)?;
        let Files { upload, contents, under_way: _until_it_is_submitted } = files;
        let options = self.options(&job, None, contents.zip(place)).await?;
        self.submit(job, options, Some(upload)).await
    }

    /// Submits a job if its limits can admit it in time.
    async fn submit(
        &self,
        job: JobRequest,
        options: JobOptions,
        upload: Option<Upload>,
    ) -> Result<Submitted, ApiError> {
        let admission = Admission {
            limits: &self.state.admission,
            prices: &self.state.prices,
            caller: &self.caller,
            choice: &self.choice,
            longest: self.state.longest_wait,
        };
        trace::of_job(&self.span, &job);
        let submitted = match admission.submit(job, options, upload, &self.state.queue).await {
            Ok(Submission::QueueLimited) => {
                return Err(self.caller.rules.queue_refusal(self.caller.owner()).into());
            }
            Ok(submission) => accepted(submission)?,
            Err(error) => return Err(error),
        };
        trace::accepted(&self.span, submitted);
        Ok(submitted)
    }

    /// What is asked for besides the call. `form`: see [`Shape`].
    async fn options(
        &self,
        job: &JobRequest,
        echo: Option<&ResponseEcho>,
        form: Option<(Contents, Place)>,
    ) -> Result<JobOptions, ApiError> {
        let mut hook =
            hook::hook_of(self.headers, self.caller.key(), job.operation, &job.targets, self.state).await?;
        if let Some(hook) = &mut hook {
            hook.trace = self.span.context();
            if echo.is_some_and(ResponseEcho::is_background) {
                hook.style = Style::OpenAi;
            }
        }
        let targets = self.choice.written(&job.targets);
        let shape = Shape {
            targets: &targets,
            ttl: self.ttl().map(u64::from),
            echo: echo.map(ResponseEcho::as_json),
            form,
        };
        Ok(JobOptions {
            hook,
            repeats: self.once.clone().repeats(job, shape),
            start: self.start,
            echo: echo.cloned(),
            share: self.share(),
        })
    }

    /// Its place among those that wait.
    fn share(&self) -> Share {
        let settings = self.caller.rules.settings(self.caller.owner());
        Share {
            priority: self.priority,
            weight: settings.weight,
            max_waiting: settings.max_waiting,
            max_wait: self.max_wait.into_iter().chain(settings.max_wait).min(),
            ..Share::default()
        }
    }

    /// Where a model without a provider goes.
    fn choose(&self, model: &str) -> Vec<Target> {
        self.choice.choose(model, &self.caller, &self.state.config)
    }

    /// How long the client wants the result to be kept.
    fn ttl(&self) -> Option<Ttl> {
        let wanted = self.headers.get("x-bf-async-job-result-ttl");
        wanted.and_then(|ttl| Ttl::from_header(ttl.to_str().ok()?))
    }

    fn body(&self, payload: web::Payload) -> Result<Body, ApiError> {
        Body::new(self.headers, payload, self.state.limits.of(self.operation))
    }

    /// # Errors
    /// If no worker could run it, or the virtual key does not allow it.
    fn job(&self, request: Request) -> Result<JobRequest, ApiError> {
        let config = &self.state.config;
        let Request { operation, targets, body, media_bytes } = request;
        check_targets(&targets, config, &self.caller)?;
        check_expressible(operation, &targets, &body, config)?;
        Ok(JobRequest {
            operation,
            targets,
            body,
            media_bytes,
            ttl: self.ttl().unwrap_or(config.default_ttl).min(self.state.max_ttl),
            owner: self.caller.owner.clone(),
            trace: self.span.context(),
        })
    }
}

fn accepted(submission: Submission) -> Result<Submitted, ApiError> {
    match submission {
        Submission::Full | Submission::QueueLimited => Err(ApiError::QueueFull),
        Submission::TooLate => {
            Err(ApiError::NotAccepted(QueueError::Unreachable("it answered too late".to_owned())))
        }
        Submission::Conflict => Err(ApiError::IdempotencyKeyReused),
        Submission::Replayed(id) => {
            metrics::counter!("hermod_submits_replayed_total").increment(1);
            Ok(Submitted { id, is_replayed: true })
        }
        Submission::Accepted(id) => {
            metrics::counter!("hermod_jobs_accepted_total").increment(1);
            Ok(Submitted { id, is_replayed: false })
        }
    }
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
