use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, middleware::from_fn, web};
use hermod_governance::{LiveRules, Prices, Rules};
use hermod_queue::governance::{Limits, LiveDefinitions, Waiting};
use hermod_queue::webhooks::Webhooks;
use hermod_queue::{
    Events, Lists, OutcomeReader, Positions, Queue, QueueSettings, Sessions, Store, Tolerance,
};
use hermod_service::{Metrics, Readiness, Shutdown, Tracing, check_file_keys, follow_prices, watch_redis};
use hermod_types::{ApiConfig, Ttl};
use hermod_webhooks::{Sender, Vault};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::Admin;
use crate::body::BodyLimits;
use crate::governance::Governance;
use crate::limits::Remaining;
use crate::memory::MemoryBudget;
use crate::metrics::QueueNumbers;
use crate::once::UnderWays;
use crate::openapi::Description;
use crate::state::State;
use crate::ui::{KeptPages, Site, Ui, UiSettings};
use crate::webhooks::Endpoints;
use crate::{admin, connection, limits, observe, routes};

/// How often the number of shards is written again.
const TICK: Duration = Duration::from_secs(1);

/// What an API process serves with.
pub(crate) struct ApiServer {
    pub(crate) config: ApiConfig,
    pub(crate) limits: BodyLimits,
    /// The largest sum of bodies, and of pieces of large results, in memory at one time.
    pub(crate) max_memory_bytes: usize,
    pub(crate) queue: QueueSettings,
    /// The limit of bytes that the operator has set; none for a half of Redis's `maxmemory`.
    pub(crate) queue_limit_bytes: Option<u64>,
    /// The longest that a result is kept.
    pub(crate) max_ttl: Ttl,
    /// How long a client that wants a Response at once waits for it.
    pub(crate) longest_sync: Duration,
    /// The longest that a job waits.
    pub(crate) longest_wait: Duration,
    /// Time that open requests have to end once it is told to drain.
    pub(crate) grace: Duration,
    pub(crate) metrics: Metrics,
    pub(crate) store: Store,
    /// What secrets are encrypted with in there.
    pub(crate) vault: Vault,
    /// What sends tests to receivers of webhooks.
    pub(crate) sender: Sender,
    /// What is accepted of that Redis.
    pub(crate) tolerance: Tolerance,
    pub(crate) tracing: Tracing,
    /// Whether there is the operator's page, and what it shows.
    pub(crate) ui: UiSettings,
}

/// Where it serves.
pub(crate) struct Listeners {
    pub(crate) public: TcpListener,
    /// Where operators' paths are served instead; none for one place for all.
    pub(crate) operators: Option<TcpListener>,
}

impl ApiServer {
    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// If the server cannot run, or Redis must not be used.
    pub(crate) async fn serve(self, listeners: Listeners, shutdown: Shutdown) -> anyhow::Result<()> {
        let tasks = TaskTracker::new();
        observe::describe_metrics();
        admin::describe_metrics();
        let (limit, is_set) = (self.queue.limit_bytes.clone(), self.queue_limit_bytes);
        let watch = watch_redis(self.store.clone(), self.tolerance, shutdown.clone(), true, move |servers| {
            // A half is left for results, and for what Redis needs itself. A server without a limit has none here.
            let is_limited = servers.iter().all(|server| server.max_memory > 0);
            let half = servers.iter().map(|server| server.max_memory / 2).sum();
            limit.set(is_set.unwrap_or(if is_limited { half } else { 0 }));
        });
        let watch = tasks.spawn_local(watch);
        tasks.spawn_local(self.metrics.clone().keep_small(shutdown.now.clone()));
        if self.store.may_have_shards() {
            tasks.spawn_local(keep_shards_known(
                self.store.clone(),
                self.queue.clone(),
                shutdown.now.clone(),
            ));
        }
        check_file_keys(&self.store, &self.config.definitions, &shutdown).await?;
        let grace_seconds = self.grace.as_secs();
        let address = listeners.public.local_addr()?;
        let operators = listeners.operators.as_ref().map(TcpListener::local_addr).transpose()?;
        let server = self.build(listeners, &tasks, &shutdown)?;
        let (handle, stop) = (server.handle(), shutdown.clone());
        tasks.spawn_local(async move {
            stop.drain.cancelled().await;
            tracing::info!(grace_seconds, "draining");
            tokio::select! {
                () = handle.stop(true) => {}
                () = stop.now.cancelled() => handle.stop(false).await,
            }
        });
        let operators = operators.map(tracing::field::display);
        tracing::info!(%address, operators, "listening");
        server.await?;
        shutdown.stop();
        tasks.close();
        tasks.wait().await;
        tracing::info!("stopped");
        Ok(watch.await??)
    }

    fn build(self, listeners: Listeners, tasks: &TaskTracker, shutdown: &Shutdown) -> anyhow::Result<Server> {
        let Self {
            config,
            max_ttl,
            longest_sync,
            longest_wait,
            limits,
            max_memory_bytes,
            queue,
            grace,
            metrics,
            store,
            vault,
            sender,
            tracing,
            ui,
            ..
        } = self;
        let rules = LiveRules::new(Rules::new(config.definitions.clone()));
        let kinds = config.providers.iter().map(|(name, provider)| (name.clone(), provider.kind));
        let prices = Prices::new(kinds, rules.clone());
        let (pricing, followed, stop) = (config.pricing.clone(), prices.clone(), shutdown.now.clone());
        tasks.spawn_local(async move { follow_prices(pricing, followed, stop).await.await });
        let config = Arc::new(config);
        let metrics = web::Data::new(metrics);
        let readiness = web::Data::new(Readiness::new(&store));
        let admin = web::Data::new(Admin::new(Arc::clone(&config), Sessions::new(&store)));
        let vault = Arc::new(vault);
        let endpoints = Endpoints::new(Arc::clone(&config), Webhooks::new(&store), Arc::clone(&vault) as _);
        let governance = Governance::new(
            &store,
            LiveDefinitions::new(&store, rules.clone()),
            rules.clone(),
            Limits::spawn(&store, tasks),
            Waiting::new(&store, queue.shards, &queue.known),
            vault,
            config.rotation_cooldown,
        );
        tasks.spawn_local(governance.clone().follow(shutdown.now.clone()));
        let memory = MemoryBudget::new(max_memory_bytes, limits.text.max(limits.media));
        let events = Events::new(&store, queue.shards, tasks, shutdown.now.clone());
        let numbers = QueueNumbers::new(&store, &events, rules.clone(), Limits::spawn(&store, tasks));
        let numbers = web::Data::new(numbers);
        let remaining = Remaining::default();
        let waits_end = shutdown.drain.clone();
        let description = web::Data::new(Description::new()?);
        let (under_way, positions) = (UnderWays::default(), Positions::new(&store, &queue));

        let ui = Arc::new(Ui {
            settings: ui,
            config: Arc::clone(&config),
            logins: admin.clone(),
            admin: hermod_queue::Admin::new(&store),
            queue: Queue::spawn(&store, &queue, tasks),
            outcomes: OutcomeReader::new(&store),
            positions: positions.clone(),
            lists: queue.lists.then(|| Lists::new(&store, &queue)),
            endpoints: endpoints.clone(),
            governance: governance.clone(),
            memory: memory.clone(),
            draining: waits_end.clone(),
            kept: KeptPages::default(),
        });
        let has_ui = ui.is_on();
        let site = |listener: &TcpListener| -> anyhow::Result<_> {
            let is_loopback = listener.local_addr()?.ip().is_loopback();
            Ok(web::Data::new(Site { ui: Arc::clone(&ui), is_loopback }))
        };

        let mut builder = Server::build().disable_signals().shutdown_timeout(grace.as_secs());
        let draining = builder.graceful_shutdown_signal();
        let is_operators_elsewhere = listeners.operators.is_some();
        if let Some(listener) = listeners.operators {
            let (metrics, readiness, numbers) = (metrics.clone(), readiness.clone(), numbers.clone());
            let (draining, site) = (draining.clone(), site(&listener)?);
            builder = builder.listen("operators", listener, move || {
                let app = App::new()
                    .app_data(metrics.clone())
                    .app_data(readiness.clone())
                    .app_data(numbers.clone())
                    .app_data(site.clone())
                    .wrap(from_fn(connection::track))
                    .wrap(from_fn(observe::observe))
                    .configure(|routes| routes::operators(routes, has_ui));
                connection::service(app, limits, draining.clone())
            })?;
        }
        let (tasks, site) = (tasks.clone(), site(&listeners.public)?);
        builder = builder.listen("public", listeners.public, move || {
            // Called once on each server thread: every thread has its own connections, and forms its own batches.
            let state = State {
                config: Arc::clone(&config),
                rules: rules.clone(),
                prices: prices.clone(),
                admission: Limits::spawn(&store, &tasks),
                remaining: remaining.clone(),
                queue: Queue::spawn(&store, &queue, &tasks),
                outcomes: OutcomeReader::new(&store),
                lists: queue.lists.then(|| Lists::new(&store, &queue)),
                positions: positions.clone(),
                events: events.clone(),
                draining: waits_end.clone(),
                memory: memory.clone(),
                limits,
                under_way: under_way.clone(),
                endpoints: endpoints.clone(),
                governance: governance.clone(),
                sender: sender.clone(),
                store: store.clone(),
                tracing: tracing.clone(),
                max_ttl,
                longest_sync,
                longest_wait,
            };
            let app = App::new()
                .app_data(web::Data::new(state))
                .app_data(admin.clone())
                .app_data(metrics.clone())
                .app_data(readiness.clone())
                .app_data(numbers.clone())
                .app_data(description.clone())
                .app_data(site.clone())
                .wrap(from_fn(connection::track))
                .wrap(from_fn(limits::tell))
                .wrap(from_fn(observe::observe))
                .configure(|routes| routes::public(routes, is_operators_elsewhere, has_ui));
            connection::service(app, limits, draining.clone())
        })?;
        Ok(builder.run())
    }
}

/// Keeps the numbers of shards known, here and in Redis, which may lose them: a job in a shard that no worker knows of would wait for
/// ever.
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
