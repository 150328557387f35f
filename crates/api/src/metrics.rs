use actix_web::{HttpResponse, web};
use hermod_queue::{Admin, Events, Lane, QueueError, Stats, Store};
use hermod_service::{Cached, Metrics};

/// The queue's numbers for `/metrics`, read from Redis at most once a second, and those of who waits for jobs.
pub(crate) struct QueueNumbers {
    store: Store,
    events: Events,
    stats: Cached<Option<[Stats; 2]>>,
}

impl QueueNumbers {
    pub(crate) fn new(store: &Store, events: &Events) -> Self {
        Self { store: store.clone(), events: events.clone(), stats: Cached::default() }
    }
}

/// `GET /metrics`: this process's, and the queue's.
pub(crate) async fn metrics(metrics: web::Data<Metrics>, queue: web::Data<QueueNumbers>) -> HttpResponse {
    let stats = queue.stats.get(async || read(&queue.store).await.ok()).await;
    let gauge = |name: &'static str, number: u64| {
        metrics::gauge!(name).set(f64::from(u32::try_from(number).unwrap_or(u32::MAX)));
    };
    gauge("hermod_waiting_clients", u64::try_from(queue.events.listeners()).unwrap_or(u64::MAX));
    if let Some([jobs, deliveries]) = stats {
        gauge("hermod_queue_waiting", jobs.waiting);
        gauge("hermod_queue_delayed", jobs.delayed);
        gauge("hermod_queue_running", jobs.running);
        gauge("hermod_queue_dead", jobs.dead);
        gauge("hermod_deliveries_waiting", deliveries.waiting);
        gauge("hermod_deliveries_delayed", deliveries.delayed);
    }
    metrics.response()
}

async fn read(store: &Store) -> Result<[Stats; 2], QueueError> {
    let admin = Admin::new(store);
    Ok([admin.stats(Lane::Jobs).await?, admin.stats(Lane::Deliveries).await?])
}
