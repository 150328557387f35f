//! Runs the floor beside the real thing.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::exchanges::{Polls, Submits};
use crate::floor::ended_id;
use crate::http::{Connection, Target};
use crate::load::Outcome;
use crate::measure::{Look, ProcessUse, RedisProbe, RedisUse, sum};
use crate::report::{Calls, Cost, Phase, Ratios, Reference, float, per};
use crate::run::Run;
use crate::servers::Servers;
use crate::service::Child;

/// How long the floor may take to start, with its records written.
const START: Duration = Duration::from_secs(120);
/// How long the calls may take.
const CALLS: Duration = Duration::from_secs(600);

/// The bare handlers, with a Redis of their own.
pub(crate) struct Floor {
    server: Child,
    target: Target,
    probe: RedisProbe,
    ended: u64,
    redis: Servers,
}

impl Floor {
    pub(crate) async fn start(run: &Run<'_>) -> anyhow::Result<Self> {
        let options = run.options;
        let redis = Servers::private(options.append_only)?;
        let (url, ended) = (redis.url.clone(), options.jobs);
        let (records, bytes) = (ended.to_string(), options.result_bytes.to_string());
        let args = ["floor", "serve", "--redis-url", &url, "--ended", &records, "--result-bytes", &bytes];
        let server = Child::start("floor", &args, &[], &Arc::default())?;
        let listening = server.wait_for("listening", START)?;
        let address = listening["address"].as_str().context("the floor does not say where it is")?;
        let target = Target::new(&format!("http://{address}"))?;
        let probe = RedisProbe::connect(&redis.own_urls()).await?;
        let floor = Self { server, target, probe, ended, redis };
        floor.submit(run, &mut Vec::new(), options.jobs.min(crate::WARM_UP)).await?;
        floor.poll(run, &mut Vec::new(), options.jobs.min(crate::WARM_UP)).await?;
        Ok(floor)
    }

    /// What they have used so far.
    pub(crate) async fn look(&self) -> anyhow::Result<Look> {
        let servers = self.probe.look().await?;
        Ok(Look {
            at: Instant::now(),
            api: sum(std::iter::once(self.server.id()))?,
            workers: None,
            bench: ProcessUse::of(std::process::id())?,
            redis: RedisUse::sum(&servers),
            servers,
        })
    }

    /// The same submits.
    pub(crate) async fn submit(
        &self,
        run: &Run<'_>,
        pool: &mut Vec<Connection>,
        requests: u64,
    ) -> anyhow::Result<Outcome> {
        let submits = Submits::new(run, &self.target, requests);
        run.closed("floor: submit", &self.target, pool, requests, &submits).await
    }

    /// The same polls.
    pub(crate) async fn poll(
        &self,
        run: &Run<'_>,
        pool: &mut Vec<Connection>,
        requests: u64,
    ) -> anyhow::Result<Outcome> {
        let ids: Vec<_> = (0..self.ended).map(ended_id).collect();
        let polls = Polls { target: &self.target, ids: &ids, ends: RefCell::default(), read: false };
        run.closed("floor: poll", &self.target, pool, requests, &polls).await
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.server.stop()?;
        self.redis.stop()
    }
}

/// One of two that take turns, so that what else the machine does meets both: its connections, and what it has seen.
#[derive(Default)]
pub(crate) struct Side {
    pub(crate) pool: Vec<Connection>,
    outcome: Option<Outcome>,
    bench_cpu: Duration,
}

impl Side {
    /// Adds a turn, before which the benchmark had used `before`.
    pub(crate) fn add(&mut self, turn: Outcome, before: ProcessUse) -> anyhow::Result<()> {
        self.bench_cpu += ProcessUse::of(std::process::id())?.cpu.saturating_sub(before.cpu);
        self.outcome = Some(match self.outcome.take() {
            Some(outcome) => outcome.and(&turn)?,
            None => turn,
        });
        Ok(())
    }

    /// All of its turns; between the looks its processes did nothing else.
    pub(crate) fn phase(self, before: &Look, after: &Look) -> anyhow::Result<Phase> {
        let mut phase = Phase::new(&self.outcome.context("it had no turn")?, before, after);
        phase.cost.bench_cpu_us = self.bench_cpu.as_secs_f64() * 1e6 * per(1, float(phase.requests));
        Ok(phase)
    }
}

/// The bare calls of the provider, as many at once as the workers make.
pub(crate) fn call(run: &Run<'_>, count: u64) -> anyhow::Result<Calls> {
    let options = run.options;
    let (url, calls) = (format!("http://{}/v1/completions", run.provider.address), count.to_string());
    let concurrency = (options.workers * options.worker_concurrency).to_string();
    let bytes = options.prompt_bytes.to_string();
    let args = ["floor", "call", "--url", &url, "--calls", &calls, "--concurrency", &concurrency];
    let args: Vec<&str> = args.into_iter().chain(["--prompt-bytes", &bytes]).collect();
    let said = Child::start("calls", &args, &[], &Arc::default())?.wait_for("called", CALLS)?;
    let number = |name: &str| said[name].as_f64().unwrap_or_default();
    Ok(Calls {
        per_second: per(count, number("seconds")),
        cpu_us: number("cpu_seconds") * 1e6 * per(1, float(count)),
    })
}

/// Ours against the floor's.
pub(crate) fn compare(
    (submit, poll, drain): (&Phase, &Phase, &Cost),
    (floor_submit, floor_poll, call): (Phase, Phase, Calls),
) -> Reference {
    let share = |ours: f64, floor: f64| if floor > 0.0 { ours / floor } else { 0.0 };
    let cpu =
        |ours: Option<f64>, floor: Option<f64>| share(ours.unwrap_or_default(), floor.unwrap_or_default());
    let redis = |phase: &Phase| phase.cost.redis.as_ref().map(|redis| redis.cpu_us);
    let ratios = Ratios {
        submit_throughput: share(submit.per_second, floor_submit.per_second),
        poll_throughput: share(poll.per_second, floor_poll.per_second),
        api_cpu_per_submit: cpu(submit.cost.api_cpu_us, floor_submit.cost.api_cpu_us),
        api_cpu_per_poll: cpu(poll.cost.api_cpu_us, floor_poll.cost.api_cpu_us),
        redis_cpu_per_submit: cpu(redis(submit), redis(&floor_submit)),
        worker_cpu_per_job: cpu(drain.worker_cpu_us, Some(call.cpu_us)),
    };
    Reference { submit: floor_submit, poll: floor_poll, call, ratios }
}
