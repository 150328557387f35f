//! What a run does only when asked: many pollers of one job, many jobs in flight, many that wait, few a second, large ones.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use hermod_queue::{JobOptions, JobRequest, Queue, QueueSettings, Submission};
use hermod_types::{JobId, Operation, Target as Model, Ttl};
use hyper::StatusCode;
use tokio_util::task::TaskTracker;

use crate::exchanges::Polls;
use crate::jobs::Job;
use crate::load::Closed;
use crate::measure::Look;
use crate::options::Options;
use crate::phases::{self, memory_per_job};
use crate::progress::progress;
use crate::report::{Cost, Drain, InFlight, LowRate, Phase, Pollers, Size, Waiting, float, per};
use crate::run::Run;

/// What a client waits at least between two polls, as the API tells it.
const POLL_PAUSE: Duration = Duration::from_millis(200);
/// Polls of each client.
const POLLS_EACH: u64 = 40;
/// How long a worker that has just started is left alone before its memory counts as that of an idle one.
const SETTLE: Duration = Duration::from_secs(1);
/// Submits under way while jobs are put straight into the queue.
const FILLING: usize = 512;
/// Bytes of all prompts of one size together, and the fewest jobs.
const SIZE_MEMORY: usize = 256 << 20;
const FEWEST_JOBS: u64 = 50;

/// Many clients poll one job that has ended.
pub(crate) async fn pollers(run: &Run<'_>, clients: usize, ended: JobId) -> anyhow::Result<Pollers> {
    let requests = u64::try_from(clients)? * POLLS_EACH;
    let ids = [ended];
    let polls = async |what: &str, pause: Duration| {
        let polls = Polls { target: &run.target, ids: &ids, ends: RefCell::new(vec![None]), read: false };
        let before = run.look().await?;
        let done = Cell::new(0);
        let closed = Closed { target: &run.target, clients, requests, pause, done: &done };
        let text = || format!("{what}: {} of {requests}", done.get());
        let outcome = progress(text, closed.run(&mut Vec::new(), &polls)).await?;
        anyhow::Ok(Phase::new(&outcome, &before, &run.look().await?))
    };
    Ok(Pollers {
        clients,
        pause_ms: u64::try_from(POLL_PAUSE.as_millis())?,
        paced: polls("pollers, paced", POLL_PAUSE).await?,
        flat_out: polls("pollers, flat out", Duration::ZERO).await?,
    })
}

/// One worker with many jobs in flight on a slow provider.
pub(crate) async fn in_flight(run: &mut Run<'_>, jobs: u64) -> anyhow::Result<InFlight> {
    let service = run.service.as_mut().context("there is no service of our own")?;
    service.start_workers(1, jobs)?;
    let slow = Duration::from_secs(run.options.in_flight_seconds);
    run.provider.set_latency(slow);
    tokio::time::sleep(SETTLE).await;
    let idle = run.look().await?.workers.unwrap_or_default();
    let (received, started) = (run.provider.receipts.received(), Instant::now());
    let (accepted, _) = run.submit("in flight: submit", jobs).await?;
    run.received("in flight: claimed", received + u64::try_from(accepted.len())?).await?;
    let before = run.look().await?;
    progress(|| "in flight: all wait".to_owned(), tokio::time::sleep(slow / 3)).await;
    let after = run.look().await?;
    ensure!(
        started.elapsed() < slow,
        "--in-flight: the first jobs ended before the last were under way; give --in-flight-seconds more"
    );
    run.drained("in flight: jobs end").await?;
    run.provider.set_latency(Duration::from_millis(run.options.latency_ms));
    if let Some(service) = &mut run.service {
        service.stop_workers()?;
    }
    let watched = after.at.saturating_duration_since(before.at).as_secs_f64();
    let percent = |cpu: Duration| 100.0 * cpu.as_secs_f64() / watched;
    let worker = |look: &Look| look.workers.unwrap_or_default();
    let redis_cpu = |look: &Look| look.redis.as_ref().map_or(Duration::ZERO, |redis| redis.cpu);
    Ok(InFlight {
        jobs,
        memory_per_job: per(worker(&after).rss.saturating_sub(idle.rss), float(jobs)),
        worker_memory: worker(&after).rss,
        worker_cpu_percent: percent(worker(&after).cpu.saturating_sub(worker(&before).cpu)),
        redis_cpu_percent: percent(redis_cpu(&after).saturating_sub(redis_cpu(&before))),
    })
}

/// Submits, polls and runs as many jobs as the run has, in front of and behind many that wait. `ended` are polled.
pub(crate) async fn waiting(run: &mut Run<'_>, jobs: u64, ended: &[JobId]) -> anyhow::Result<Waiting> {
    let empty = run.look().await?;
    fill(run, jobs).await?;
    let filled = run.look().await?;
    let (_, outcome) = run.submit("many wait: submit", run.options.jobs).await?;
    let submit = Phase::new(&outcome, &filled, &run.look().await?);

    let before = run.look().await?;
    let (_, outcome) = run.poll("many wait: poll", ended).await?;
    let poll = Phase::new(&outcome, &before, &run.look().await?);

    let (options, received) = (run.options, run.provider.receipts.received());
    let service = run.service.as_mut().context("there is no service of our own")?;
    service.start_workers(options.workers, u64::try_from(options.worker_concurrency)?)?;
    // The worker also looks at every record now, at a tenth of the time: that is part of what runs cost here.
    run.received("many wait: warm-up", received + jobs.min(options.jobs) / 10).await?;
    let (before, since, from) = (run.look().await?, Instant::now(), run.provider.receipts.received());
    let left = (received + jobs + options.jobs).saturating_sub(from);
    ensure!(left > 0, "--waiting: all jobs were drained before anything was measured; give more");
    run.received("many wait: drain", from + options.jobs.min(left)).await?;
    let drained = run.provider.receipts.received() - from;
    let (seconds, after) = (since.elapsed().as_secs_f64(), run.look().await?);
    let drain = Drain {
        jobs: drained,
        seconds,
        per_second: per(drained, seconds),
        cost: Cost::between(&before, &after, drained),
    };
    let memory_per_job = memory_per_job(&empty, &filled, usize::try_from(jobs)?);
    Ok(Waiting { jobs, memory_per_job, submit, poll, drain })
}

/// Puts jobs into the queue without the API, which would take its time.
async fn fill(run: &Run<'_>, jobs: u64) -> anyhow::Result<()> {
    let tasks = TaskTracker::new();
    let queue = Queue::spawn(&run.store()?, &QueueSettings::default(), &tasks);
    let targets: Vec<Model> = vec![run.options.model.parse()?];
    let ttl = Ttl::from_seconds(3600).context("a time to live of an hour")?;
    let (first, done) = (run.take_numbers(jobs), Cell::new(0_u64));
    let submit = async |number| {
        let body = run.requests.members(number);
        let operation = Operation::TextCompletion;
        let job = JobRequest {
            operation,
            targets: targets.clone(),
            body,
            media_bytes: 0,
            ttl,
            owner: None,
            trace: None,
        };
        let submission = queue.submit(job, JobOptions::default()).await?;
        ensure!(matches!(submission, Submission::Accepted(_)), "Redis did not take a job: {submission:?}");
        done.set(done.get() + 1);
        Ok(())
    };
    let all = async {
        let mut running = FuturesUnordered::new();
        for number in first..first + jobs {
            if running.len() >= FILLING {
                running.next().await.unwrap_or(Ok(()))?;
            }
            running.push(submit(number));
        }
        while let Some(submitted) = running.next().await {
            submitted?;
        }
        anyhow::Ok(())
    };
    progress(|| format!("many wait: {} of {jobs} put in", done.get()), all).await
}

/// Few jobs a second, each polled until it has ended.
pub(crate) async fn low_rate(run: &mut Run<'_>, rate: u64) -> anyhow::Result<LowRate> {
    let options = run.options;
    let service = run.service.as_mut().context("there is no service of our own")?;
    service.start_workers(options.workers, u64::try_from(options.worker_concurrency)?)?;
    tokio::time::sleep(SETTLE).await;
    let low_rate = few_jobs(run, rate).await?;
    if let Some(service) = &mut run.service {
        service.stop_workers()?;
    }
    Ok(low_rate)
}

async fn few_jobs(run: &Run<'_>, rate: u64) -> anyhow::Result<LowRate> {
    let (jobs, polls) = (rate * run.options.rate_seconds, Cell::new(0_u64));
    let (first, before, started) = (run.take_numbers(jobs), run.look().await?, tokio::time::Instant::now());
    let job = async |index: u64| {
        tokio::time::sleep_until(started + Duration::from_nanos(index * 1_000_000_000 / rate)).await;
        let mut connection = run.target.connect().await?;
        let (status, body) = connection.call(run.target.submit(run.requests.body(first + index))).await?;
        ensure!(status == StatusCode::ACCEPTED, "low rate: a submit was answered {status}");
        let id = Job::read(&body).and_then(|job| job.parsed_id()).map_err(anyhow::Error::msg)?;
        loop {
            tokio::time::sleep(POLL_PAUSE).await;
            polls.set(polls.get() + 1);
            let (status, _) = connection.call(run.target.poll(id)).await?;
            match status {
                StatusCode::OK => return Ok(()),
                StatusCode::ACCEPTED => {}
                other => bail!("low rate: a poll was answered {other}"),
            }
        }
    };
    let all = try_join_all((0..jobs).map(job));
    progress(|| format!("low rate: {} polls", polls.get()), all).await?;
    let cost = Cost::between(&before, &run.look().await?, jobs);
    Ok(LowRate { rate, jobs, polls: per(polls.get(), float(jobs)), cost })
}

/// Submits, runs and polls jobs whose prompt and answer have this size, on a service of their own.
pub(crate) async fn size(options: &Options, bytes: usize) -> anyhow::Result<Size> {
    let most = u64::try_from(SIZE_MEMORY / bytes.max(1))?;
    let options = Options {
        jobs: options.jobs.min(most.max(FEWEST_JOBS)),
        prompt_bytes: bytes,
        result_bytes: bytes,
        rate: 0,
        reference: false,
        ..options.clone()
    };
    let mut run = Run::start(&options).await?;
    let (report, _) = phases::all(&mut run).await?;
    run.stop().await?;
    let redis = report.life.as_ref().and_then(|life| life.redis.as_ref());
    Ok(Size {
        bytes,
        jobs: report.jobs.completed,
        submits_per_second: report.submit.per_second,
        jobs_per_second: report.drain.per_second,
        polls_per_second: report.poll.per_second,
        api_cpu_us_per_submit: report.submit.cost.api_cpu_us.unwrap_or_default(),
        worker_cpu_us_per_job: report.drain.cost.worker_cpu_us.unwrap_or_default(),
        redis_cpu_us_per_job: redis.map_or(0.0, |redis| redis.cpu_us),
        api_cpu_us_per_poll: report.poll.cost.api_cpu_us.unwrap_or_default(),
    })
}
