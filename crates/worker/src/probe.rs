use std::net::TcpListener;

use actix_web::{App, HttpResponse, HttpServer, dev::Server, web};
use hermod_queue::Store;
use hermod_service::{Gauges, Metrics, Readiness, describe, not_found, probes, read_only};

/// Jobs and deliveries that this worker runs at once, for `/metrics`.
pub(crate) fn note_slots(jobs: usize, deliveries: usize) {
    let number = |slots: usize| f64::from(u32::try_from(slots).unwrap_or(u32::MAX));
    metrics::describe_gauge!("hermod_worker_slots", "Jobs that this worker runs at once at most.");
    metrics::gauge!("hermod_worker_slots").set(number(jobs));
    metrics::describe_gauge!("hermod_delivery_slots", "Deliveries that this worker has at once at most.");
    metrics::gauge!("hermod_delivery_slots").set(number(deliveries));
}

pub(crate) fn describe_metrics() {
    describe("hermod_jobs_started_total", "Jobs started, repeated starts included.");
    describe("hermod_leases_lost_total", "Jobs lost to another worker while they ran.");
    describe("hermod_stale_results_total", "Results refused by the fence.");
    describe("hermod_jobs_cancelled_total", "Jobs cancelled while they ran; they count as failed, too.");
    metrics::describe_counter!("hermod_jobs_ended_total", "Jobs ended by this worker, by status.");
    metrics::describe_counter!("hermod_provider_calls_total", "Calls to providers, by provider and outcome.");
    metrics::describe_gauge!("hermod_jobs_running", "Jobs that run now.");
    describe("hermod_jobs_delayed_total", "Jobs delayed until a retry time.");
    metrics::describe_counter!(
        "hermod_jobs_admitted_total",
        "Starts that limits have admitted, by the virtual key's name."
    );
    metrics::describe_counter!(
        "hermod_jobs_parked_total",
        "Starts that limits did not admit, by the virtual key's name and the type of the refusal; the job waits.",
    );
    metrics::describe_counter!(
        "hermod_tokens_total",
        "Tokens of calls as providers count them, by provider, model and kind."
    );
    metrics::describe_counter!(
        "hermod_unpriced_calls_total",
        "Calls that have used something without a known price, by provider and model."
    );
    metrics::describe_counter!(
        "hermod_charged_tokens_total",
        "Tokens of jobs that have ended, by virtual key."
    );
    metrics::describe_counter!(
        "hermod_charged_nanodollars_total",
        "Cost of jobs that have ended, in billionths of a dollar, by virtual key."
    );
    metrics::describe_counter!(
        "hermod_unknown_calls_total",
        "Calls of which nobody knows what they have used, by virtual key."
    );
    metrics::describe_gauge!("hermod_cooldowns", "Targets and keys that cool down, as all workers know it.");
    metrics::describe_counter!("hermod_cooldowns_total", "Cooldowns that this worker has set, by provider.");
    metrics::describe_counter!("hermod_deliveries_total", "Attempts to deliver webhooks, by outcome.");
    metrics::describe_gauge!("hermod_deliveries_running", "Deliveries that this worker holds.");
    metrics::describe_histogram!(
        "hermod_delivery_duration_seconds",
        "From an attempt's begin to its answer."
    );
    describe(
        "hermod_webhook_endpoints_disabled_total",
        "Endpoints of webhooks disabled without the operator.",
    );
    metrics::describe_histogram!(
        "hermod_job_duration_seconds",
        "From a job's start by this worker to its end."
    );
    metrics::describe_histogram!(
        "hermod_job_wait_seconds",
        "How long jobs that were started had waited since they were accepted, or were last queued."
    );
    metrics::describe_histogram!(
        "hermod_provider_call_duration_seconds",
        "Calls to providers, by provider, model and outcome; models that nobody knows, and those beyond 200, are `other`."
    );
}

/// The worker's own port: health and metrics.
pub(crate) fn server(listener: TcpListener, store: &Store, metrics: Metrics) -> std::io::Result<Server> {
    let (readiness, shown) =
        (web::Data::new(Readiness::new(store)), web::Data::new((metrics, store.clone())));
    let app = move || {
        App::new()
            .app_data(readiness.clone())
            .app_data(shown.clone())
            .service(read_only("/metrics", None, show_metrics))
            .configure(probes)
            .default_service(web::to(not_found))
    };
    Ok(HttpServer::new(app).workers(1).listen(listener)?.disable_signals().shutdown_timeout(1).run())
}

/// `GET /metrics`: this worker's.
async fn show_metrics(shown: web::Data<(Metrics, Store)>) -> HttpResponse {
    let (metrics, store) = &**shown;
    let mut gauges = Gauges::default();
    gauges.add_redis_up(store.is_well());
    metrics.response(&gauges)
}
