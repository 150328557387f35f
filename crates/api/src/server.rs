use std::net::TcpListener;
use std::time::Duration;

use actix_web::{App, HttpServer, middleware, web};
use hermod_queue::{Queue, QueueSettings, Store, Tolerance};
use hermod_service::{Metrics, Shutdown, watch_redis};
use hermod_types::{ApiConfig, ShardCount};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::BodyLimits;
use crate::{observe, routes};

/// The longest that the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How often the number of shards is written again.
const TICK: Duration = Duration::from_secs(1);

/// What an API process serves with.
pub struct Front {
    /// The operator's configuration.
    pub config: ApiConfig,
    /// The largest body of a submit.
    pub max_body_bytes: usize,
    /// The largest sum of bodies in memory at one time.
    pub max_memory_bytes: usize,
    /// How the queue is used.
    pub queue: QueueSettings,
    /// Time that open requests have to end once it is told to drain.
    pub grace: Duration,
    /// Its metrics.
    pub metrics: Metrics,
    /// Its Redis.
    pub store: Store,
    /// What is accepted of that Redis.
    pub tolerance: Tolerance,
}

/// Serves on `listener` until `shutdown`.
///
/// # Errors
/// If the server cannot run, or Redis must not be used.
pub async fn serve(front: Front, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
    let Front { config, max_body_bytes, max_memory_bytes, queue, grace, metrics, store, tolerance } = front;
    observe::describe_metrics();
    let address = listener.local_addr()?;
    let tasks = TaskTracker::new();
    let watch = tasks.spawn_local(watch_redis(store.clone(), tolerance, shutdown.clone()));
    tasks.spawn_local(metrics.clone().keep_small(shutdown.now.clone()));
    if queue.shards > ShardCount::ONE {
        tasks.spawn_local(keep_shards_known(store.clone(), queue.clone(), shutdown.now.clone()));
    }
    let (config, metrics_data) = (web::Data::new(config), web::Data::new(metrics));
    let store_data = web::Data::new(store.clone());
    let limits = web::Data::new(BodyLimits::new(max_body_bytes, max_memory_bytes));
    let queue_tasks = tasks.clone();
    let server = HttpServer::new(move || {
        // Called once on each server thread: every thread has its own connections, and forms its own batches.
        let queue = Queue::spawn(&store, &queue, &queue_tasks);
        App::new()
            .app_data(config.clone())
            .app_data(metrics_data.clone())
            .app_data(store_data.clone())
            .app_data(web::Data::new(queue))
            .app_data(limits.clone())
            .wrap(middleware::from_fn(observe::observe))
            .configure(routes::configure)
    })
    .listen(listener)?
    .disable_signals()
    .client_request_timeout(HEAD_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(grace.as_secs())
    .run();

    let handle = server.handle();
    let stop = shutdown.clone();
    tasks.spawn_local(async move {
        stop.drain.cancelled().await;
        tracing::info!(grace_seconds = grace.as_secs(), "draining");
        tokio::select! {
            () = handle.stop(true) => {}
            () = stop.now.cancelled() => handle.stop(false).await,
        }
    });
    tracing::info!(%address, "listening");
    server.await?;
    shutdown.stop();
    tasks.close();
    tasks.wait().await;
    tracing::info!("stopped");
    Ok(watch.await??)
}

/// Writes the number of shards again should Redis have lost it: a job in a shard that no worker knows of would wait for ever.
async fn keep_shards_known(store: Store, queue: QueueSettings, stop: CancellationToken) {
    loop {
        if let Err(error) = queue.known.raise(&store, queue.shards).await {
            tracing::debug!(%error, "the number of shards is not written yet");
        }
        if stop.run_until_cancelled(sleep(TICK)).await.is_none() {
            return;
        }
    }
}
