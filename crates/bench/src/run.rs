//! One run: its service, its provider, and the pieces that its phases are made of.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use hermod_queue::{Admin, Lane, Store};
use hermod_types::{JobId, Operation};
use tokio::time::sleep;

use crate::exchanges::{Accepted, End, Polls, Submits};
use crate::http::{Connection, Target};
use crate::jobs::{Asks, Requests, Says};
use crate::load::{Closed, Exchange, Outcome};
use crate::measure::{Look, ProcessUse, RedisProbe, RedisUse, sum};
use crate::options::Options;
use crate::phases::count;
use crate::progress::progress;
use crate::provider::Provider;
use crate::report::Jobs;
use crate::servers::Servers;
use crate::service::{Service, Setup};
use crate::{delivery, endpoints, fleet};

/// With no sign of progress for so long, something is wrong.
const STALL: Duration = Duration::from_secs(60);
/// How often it is looked how far jobs have come.
const TICK: Duration = Duration::from_millis(2);

pub(crate) struct Run<'a> {
    pub(crate) options: &'a Options,
    pub(crate) target: Target,
    pub(crate) requests: Requests,
    pub(crate) provider: Provider,
    /// None where a running service is loaded.
    pub(crate) service: Option<Service>,
    /// Looks at no server where none is known.
    pub(crate) probe: RedisProbe,
    next_number: Cell<u64>,
    started: (Instant, SystemTime),
}

impl<'a> Run<'a> {
    /// Starts what the options ask for.
    pub(crate) async fn start(options: &'a Options) -> anyhow::Result<Self> {
        Self::with(options, &Setup::default()).await
    }

    /// The same, with a service that is set up for more.
    pub(crate) async fn with(options: &'a Options, setup: &Setup) -> anyhow::Result<Self> {
        let servers = match &options.url {
            Some(_) => None,
            None => Some(Servers::private(options.append_only)?),
        };
        Self::on(options, servers, setup).await
    }

    /// Starts an API on these servers; without servers, a running service is loaded.
    pub(crate) async fn on(
        options: &'a Options,
        servers: Option<Servers>,
        setup: &Setup,
    ) -> anyhow::Result<Self> {
        let requests = Requests::new(&options.model, options.prompt_bytes);
        let (listen, result, speech) = (options.provider_listen, options.result_bytes, options.speech_bytes);
        let provider = Provider::start(listen, &requests, numbers(options), result, speech)?;
        provider.set_latency(Duration::from_millis(options.latency_ms));
        let service = match servers {
            Some(servers) => Some(Service::start(servers, setup, &format!("http://{}", provider.address))?),
            None => None,
        };
        let url = service.as_ref().map_or(options.url.as_deref(), |service| Some(&service.url));
        let target = Target::new(url.unwrap_or_default())?;
        let redis_urls = match &service {
            Some(service) => service.servers.own_urls(),
            None => options.redis_url.iter().cloned().collect(),
        };
        let probe = RedisProbe::connect(&redis_urls).await?;
        let started = (Instant::now(), SystemTime::now());
        Ok(Self { options, target, requests, provider, service, probe, next_number: Cell::new(0), started })
    }

    /// From now on, it is this model that is asked for this.
    pub(crate) fn ask(&mut self, asks: Asks, model: &str) {
        self.target = self.target.at(asks.operation());
        self.requests = self.requests.asking(asks, model);
    }

    /// Starts the workers that the options ask for.
    pub(crate) fn start_workers(&mut self) -> anyhow::Result<()> {
        let service = self.service.as_mut().context("there is no service of our own")?;
        service.start_workers(self.options.workers, u64::try_from(self.options.worker_concurrency)?)
    }

    pub(crate) fn stop_workers(&mut self) -> anyhow::Result<()> {
        self.service.as_mut().map_or(Ok(()), Service::stop_workers)
    }

    /// Waits for the end of these jobs of one endpoint, and counts them.
    pub(crate) async fn count_ends(
        &mut self,
        operation: Operation,
        accepted: &[Accepted],
        jobs: &mut Jobs,
    ) -> anyhow::Result<()> {
        self.target = self.target.at(operation);
        count(jobs, &self.ended(&format!("jobs end: {operation}"), accepted).await?);
        Ok(())
    }

    /// Stops everything that it started, with nothing left to count of its jobs.
    pub(crate) async fn stop_and_count(self, jobs: &mut Jobs) -> anyhow::Result<()> {
        jobs.doubled += self.provider.receipts.doubled();
        self.stop().await
    }

    /// Stops everything that it started.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        if let Some(service) = self.service {
            service.stop()?;
        }
        self.provider.stop().await;
        Ok(())
    }

    /// Milliseconds since the Unix epoch at `at`.
    pub(crate) fn epoch_ms(&self, at: Instant) -> f64 {
        let since = self.started.1.duration_since(UNIX_EPOCH).unwrap_or_default();
        (since + at.saturating_duration_since(self.started.0)).as_secs_f64() * 1000.0
    }

    /// What everything has used so far.
    pub(crate) async fn look(&self) -> anyhow::Result<Look> {
        let service = self.service.as_ref();
        let servers = self.probe.look().await?;
        Ok(Look {
            at: Instant::now(),
            api: sum(service.map(|service| service.api.id()).into_iter())?,
            workers: sum(service
                .into_iter()
                .flat_map(|service| &service.workers)
                .map(|worker| worker.child.id()))?,
            bench: ProcessUse::of(std::process::id())?,
            redis: RedisUse::sum(&servers),
            servers,
        })
    }

    /// Numbers for so many jobs; the first of them.
    pub(crate) fn take_numbers(&self, count: u64) -> u64 {
        self.next_number.replace(self.next_number.get() + count)
    }

    /// The queue of the service of our own.
    pub(crate) fn store(&self) -> anyhow::Result<Store> {
        let service = self.service.as_ref().context("there is no service of our own")?;
        Ok(Store::new(&service.servers.url.parse()?)?)
    }

    /// A closed loop, whose clients do not pause.
    pub(crate) async fn closed(
        &self,
        what: &str,
        target: &Target,
        pool: &mut Vec<Connection>,
        requests: u64,
        exchange: &impl Exchange,
    ) -> anyhow::Result<Outcome> {
        let (clients, done) = (self.options.concurrency, Cell::new(0));
        let text = || format!("{what}: {} of {requests}", done.get());
        let closed = Closed { target, clients, requests, pause: Duration::ZERO, done: &done };
        progress(text, closed.run(pool, exchange)).await
    }

    /// Submits jobs in a closed loop.
    pub(crate) async fn submit(&self, what: &str, count: u64) -> anyhow::Result<(Vec<Accepted>, Outcome)> {
        self.submit_over(&mut Vec::new(), what, count).await
    }

    /// The same over some connections.
    pub(crate) async fn submit_over(
        &self,
        pool: &mut Vec<Connection>,
        what: &str,
        count: u64,
    ) -> anyhow::Result<(Vec<Accepted>, Outcome)> {
        self.submit_saying(&Says::default(), pool, what, count).await
    }

    /// The same, with headers that say more.
    pub(crate) async fn submit_saying(
        &self,
        says: &Says,
        pool: &mut Vec<Connection>,
        what: &str,
        count: u64,
    ) -> anyhow::Result<(Vec<Accepted>, Outcome)> {
        let submits = Submits::saying(says.clone(), self, &self.target, count);
        let outcome = self.closed(what, &self.target, pool, count, &submits).await?;
        let accepted = submits.accepted();
        ensure!(
            !accepted.is_empty(),
            "no job was accepted: {}",
            outcome.first_failure.as_deref().unwrap_or("no reason given")
        );
        Ok((accepted, outcome))
    }

    /// Polls each of `ids` once, in a closed loop; how each ended, none for one that has not.
    pub(crate) async fn poll(
        &self,
        what: &str,
        ids: &[JobId],
    ) -> anyhow::Result<(Vec<Option<End>>, Outcome)> {
        self.poll_over(&mut Vec::new(), what, ids).await
    }

    /// The same over some connections.
    pub(crate) async fn poll_over(
        &self,
        pool: &mut Vec<Connection>,
        what: &str,
        ids: &[JobId],
    ) -> anyhow::Result<(Vec<Option<End>>, Outcome)> {
        let polls =
            Polls { target: &self.target, ids, ends: RefCell::new(vec![None; ids.len()]), read: true };
        let outcome = self.closed(what, &self.target, pool, u64::try_from(ids.len())?, &polls).await?;
        Ok((polls.ends.into_inner(), outcome))
    }

    /// Waits until the provider has received so many jobs in all.
    pub(crate) async fn received(&self, what: &str, wanted: u64) -> anyhow::Result<()> {
        let wait = async {
            let (mut last, mut since) = (0, Instant::now());
            loop {
                let received = self.provider.receipts.received();
                if received >= wanted {
                    return Ok(());
                }
                if received > last {
                    (last, since) = (received, Instant::now());
                }
                if since.elapsed() > STALL {
                    bail!("{received} of {wanted} jobs reached the provider, and none more for {STALL:?}");
                }
                sleep(TICK).await;
            }
        };
        progress(|| format!("{what}: {} of {wanted}", self.provider.receipts.received()), wait).await
    }

    /// Waits until nothing waits or runs in the queue of our own.
    pub(crate) async fn drained(&self, what: &str) -> anyhow::Result<()> {
        self.drained_of(Lane::Jobs, what).await
    }

    /// The same for jobs, or for deliveries.
    pub(crate) async fn drained_of(&self, lane: Lane, what: &str) -> anyhow::Result<()> {
        let (admin, left) = (Admin::new(&self.store()?), Cell::new(0));
        let wait = async {
            let (mut last, mut since) = (u64::MAX, Instant::now());
            loop {
                let stats = admin.stats(lane).await?;
                left.set(stats.waiting + stats.running);
                if left.get() == 0 {
                    return Ok(());
                }
                if left.get() < last {
                    (last, since) = (left.get(), Instant::now());
                }
                if since.elapsed() > STALL {
                    bail!("{what}: {} do not end, and none has for {STALL:?}", left.get());
                }
                sleep(TICK).await;
            }
        };
        progress(|| format!("{what}: {} left", left.get()), Box::pin(wait)).await
    }

    /// Polls until all have ended, however long that takes while some do.
    pub(crate) async fn ended(&self, what: &str, jobs: &[Accepted]) -> anyhow::Result<Vec<Option<End>>> {
        let mut ends = vec![None; jobs.len()];
        let mut since = Instant::now();
        loop {
            let left: Vec<usize> = (0..jobs.len()).filter(|index| ends.get(*index) == Some(&None)).collect();
            let ids: Vec<JobId> =
                left.iter().filter_map(|index| jobs.get(*index)).map(|job| job.id).collect();
            let (found, _) = self.poll(what, &ids).await?;
            let mut new = 0;
            for (index, end) in left.iter().zip(found) {
                if let Some(slot) = ends.get_mut(*index) {
                    new += usize::from(end.is_some());
                    *slot = end;
                }
            }
            if new > 0 {
                since = Instant::now();
            }
            if new == left.len() || since.elapsed() > STALL {
                return Ok(ends);
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// How many numbers a run may need.
fn numbers(options: &Options) -> u64 {
    let low_rate = options.low_rate.unwrap_or(0) * options.rate_seconds;
    let scenarios = options.in_flight.unwrap_or(0) + options.waiting.unwrap_or(0) + low_rate;
    // Warm-up and closed loop, both also of the floor, and the submits behind those that wait, are no more than that.
    let fleet = options.fleet.map_or(0, |_| options.fleet_jobs + fleet::OTHER_JOBS);
    let endpoints = if options.endpoints { endpoints::jobs(options) } else { 0 };
    let delivery = if options.delivery { delivery::jobs(options) } else { 0 };
    delivery + endpoints + fleet + 5 * options.jobs + options.rate * options.rate_seconds + scenarios
}
