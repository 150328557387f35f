use actix_web::{HttpResponse, web};
use hermod_governance::LiveRules;
use hermod_queue::governance::Limits;
use hermod_queue::{Admin, Events, Lane, ServerFigures, Stats, Store};
use hermod_service::{Cached, Gauges, Metrics};

use crate::limit_metrics::add_limits;

/// The queue's numbers for `/metrics`, read from Redis at most once a second, and those of who waits for jobs.
pub(crate) struct QueueNumbers {
    admin: Admin,
    events: Events,
    rules: LiveRules,
    limits: Limits,
    read: Cached<Gauges>,
}

impl QueueNumbers {
    pub(crate) fn new(store: &Store, events: &Events, rules: LiveRules, limits: Limits) -> Self {
        Self { admin: Admin::new(store), events: events.clone(), rules, limits, read: Cached::default() }
    }

    /// What Redis knows, with a number of commands that depends on the numbers of shards and of nodes only. What cannot be read
    /// is absent.
    async fn read(&self) -> Gauges {
        let (jobs, deliveries, oldest, fleet, servers) = tokio::join!(
            self.admin.stats(Lane::Jobs),
            self.admin.stats(Lane::Deliveries),
            self.admin.oldest_waiting(),
            self.admin.fleet(),
            self.admin.servers(),
        );
        let mut gauges = Gauges::default();
        gauges.add_redis_up(jobs.is_ok());
        if let Ok(jobs) = &jobs {
            add_jobs(&mut gauges, jobs);
        }
        if let Ok(deliveries) = &deliveries {
            add_deliveries(&mut gauges, deliveries);
        }
        if let Ok(oldest) = oldest {
            gauges.add(
                "hermod_queue_oldest_waiting_seconds",
                "How long the job has waited that has waited longest for a worker or for its limits; 0 if none waits.",
                oldest.unwrap_or_default().as_secs_f64(),
            );
        }
        if let Ok(fleet) = fleet {
            let help = "Workers that have told of themselves within 20 seconds.";
            gauges.add("hermod_workers", help, number(fleet.len()));
        }
        if let Ok(servers) = &servers {
            add_servers(&mut gauges, servers);
        }
        // One that is away has made the others wait long enough.
        if jobs.is_ok() {
            add_limits(&mut gauges, &self.rules.current(), &self.limits).await;
        }
        gauges
    }
}

/// `GET /metrics`: this process's, and the queue's.
pub(crate) async fn metrics(metrics: web::Data<Metrics>, queue: web::Data<QueueNumbers>) -> HttpResponse {
    let mut gauges = queue.read.get(async || Box::pin(queue.read()).await).await;
    gauges.add(
        "hermod_waiting_clients",
        "Clients that wait for a job, or follow its events.",
        number(queue.events.listeners()),
    );
    metrics.response(&gauges)
}

fn add_jobs(gauges: &mut Gauges, jobs: &Stats) {
    let mut add = |name: &str, help: &str, value: u64| gauges.add(name, help, float(value));
    add("hermod_queue_waiting", "Jobs accepted and not yet given to a worker.", jobs.waiting);
    add("hermod_queue_delayed", "Jobs that wait for a retry time, or for a later start.", jobs.delayed);
    add("hermod_queue_running", "Jobs given to a worker and not yet ended.", jobs.running);
    add("hermod_queue_dead", "Jobs given up on, kept for the operator.", jobs.dead);
    add("hermod_queue_lanes", "Lanes in which jobs wait, one for each owner at least.", jobs.lanes);
    add("hermod_queue_closed_lanes", "Lanes whose jobs wait for a limit.", jobs.closed_lanes);
    add("hermod_queue_paused", "Whether workers are told to claim nothing: 1 or 0.", u64::from(jobs.paused));
}

fn add_deliveries(gauges: &mut Gauges, deliveries: &Stats) {
    let mut add = |name: &str, help: &str, value: u64| gauges.add(name, help, float(value));
    add("hermod_deliveries_waiting", "Deliveries of webhooks not yet given to a worker.", deliveries.waiting);
    add("hermod_deliveries_delayed", "Deliveries that wait for a retry time.", deliveries.delayed);
}

fn add_servers(gauges: &mut Gauges, servers: &[ServerFigures]) {
    let mut add = |name: &str, help: &str, value: fn(&ServerFigures) -> f64| {
        let rows = servers.iter().map(|server| ([("node", server.node.as_str())], value(server)));
        gauges.add_rows(name, help, rows);
    };
    add("hermod_redis_memory_bytes", "Memory that a Redis server uses.", |server| float(server.memory_bytes));
    add("hermod_redis_memory_limit_bytes", "Its maxmemory; 0 for none.", |server| {
        float(server.memory_limit_bytes)
    });
    add("hermod_redis_aof_enabled", "Whether it keeps an append-only file: 1 or 0.", |server| {
        flag(server.aof_enabled)
    });
    add(
        "hermod_redis_persistence_ok",
        "Whether its last writes to its files have succeeded: 1 or 0.",
        |server| flag(server.persistence_ok),
    );
    add("hermod_redis_connected_clients", "Connections to it.", |server| float(server.clients));
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn number(value: usize) -> f64 {
    float(u64::try_from(value).unwrap_or(u64::MAX))
}

/// Exact up to 2^53, as all numbers of Prometheus.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
pub(crate) const fn float(value: u64) -> f64 {
    value as f64
}
