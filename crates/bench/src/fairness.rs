//! What it costs that owners share the starts, and how many starts come before another owner's single job.
//!
//! Jobs are put in and claimed without API and workers, so that Redis's CPU is that of submits, or of claims, alone.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hermod_queue::{
    Claimer, Delayed, Held, JobOptions, JobRequest, Park, Queue, QueueSettings, Source, Submission,
    WorkerName, WorkerQueue,
};
use hermod_types::{Operation, Shard, Target, Timestamp, Ttl};
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::options::Options;
use crate::progress::progress;
use crate::report::Jobs;
use crate::rows::{Figures, Row, median, ratio, said};
use crate::run::Run;

/// Submits under way at once, and jobs of one claim: the most that a batch can cost, and one after the other.
const AT_ONCE: [usize; 2] = [64, 1];
/// Keys that have a job that waits for a limit, and keys whose jobs are started.
const CLOSED: usize = 9_900;
const ACTIVE: usize = 100;
/// Slots of the fleet whose starts are counted.
const SLOTS: usize = 256;
/// More with many keys than with one is within what one run differs from another.
const TARGET: f64 = 1.1;
const LEASE: Duration = Duration::from_secs(3600);

/// A queue, and a worker that takes jobs and runs none.
struct Lab<'a> {
    run: &'a Run<'a>,
    queue: Queue,
    worker: WorkerQueue,
    claimer: Claimer,
    body: String,
    /// Submits under way at once, and jobs of one claim.
    at_once: usize,
}

/// Redis's CPU of a submit and of a claim, in µs, and commands.
#[derive(Clone, Copy, Debug)]
struct Price {
    submit: (f64, f64),
    claim: (f64, f64),
}

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let run = Run::start(options).await?;
    let mut rows = Vec::new();
    for at_once in AT_ONCE {
        let (mut ones, mut manys) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            ones.push(price(&run, at_once, 1, 0).await?);
            manys.push(price(&run, at_once, ACTIVE, CLOSED).await?);
        }
        said(&mut rows, compared(at_once, &ones, &manys));
    }
    said(&mut rows, single(&run, options.fairness_waiting).await?);
    let figures = Figures::new(&run.look().await?, Jobs::default(), rows);
    run.stop().await?;
    Ok(figures)
}

/// How much more it costs with many keys than with one.
fn compared(at_once: usize, ones: &[Price], manys: &[Price]) -> [Row; 2] {
    let of = |prices: &[Price], which: fn(&Price) -> f64| median(prices.iter().map(which).collect());
    let row = |name, which: fn(&Price) -> f64| {
        let (many, one) = (of(manys, which), of(ones, which));
        let measured = many.zip(one).and_then(|(many, one)| ratio(many, one));
        let detail =
            format!("{many:.1?} µs against {one:.1?} µs; {:?} against {:?}", manys.last(), ones.last());
        let figure = format!(
            "{ACTIVE} active keys and {CLOSED} that wait for limits, {at_once} at once, against one: Redis CPU of {name}"
        );
        Row::new(figure, measured, TARGET, "×", detail)
    };
    [row("a submit", |price| price.submit.0), row("a claim, each job", |price| price.claim.0)]
}

/// What submits and claims of `--jobs` jobs cost, so many at once, that are spread over so many keys, beside others whose lanes are
/// closed.
async fn price(run: &Run<'_>, at_once: usize, active: usize, closed: usize) -> anyhow::Result<Price> {
    let mut lab = Lab::new(run)?;
    lab.close(closed).await?;
    lab.at_once = at_once;
    let jobs = run.options.jobs;
    let before = run.look().await?;
    lab.submit(&format!("{active} keys: submit"), jobs, |number| number % active).await?;
    let submitted = run.look().await?;
    lab.claim(usize::try_from(jobs)?).await?;
    let claimed = run.look().await?;
    let cost = |from: &crate::measure::Look, to: &crate::measure::Look| {
        let (from, to) = (from.redis.clone().unwrap_or_default(), to.redis.clone().unwrap_or_default());
        #[expect(clippy::cast_precision_loss, reason = "it is no number of that size")]
        let each = |all: f64| all / jobs as f64;
        #[expect(clippy::cast_precision_loss, reason = "it is no number of that size")]
        let commands = (to.commands - from.commands) as f64;
        (each((to.cpu - from.cpu).as_secs_f64() * 1e6), each(commands))
    };
    Ok(Price { submit: cost(&before, &submitted), claim: cost(&submitted, &claimed) })
}

/// How many starts come before another key's single job while one key has so many waiting.
async fn single(run: &Run<'_>, waiting: u64) -> anyhow::Result<Vec<Row>> {
    let mut lab = Lab::new(run)?;
    lab.submit("a long backlog", waiting, |_| 0).await?;
    let mut running = lab.claim(SLOTS).await?.len();
    lab.submit("a single job", 1, |_| 1).await?;
    let mut before = 0_usize;
    loop {
        // One slot after another becomes free.
        let owners = lab.owners(1).await?;
        running += owners.len();
        ensure!(!owners.is_empty(), "nothing more was claimed after {running} jobs");
        if owners.iter().any(|owner| owner == "key-1") {
            break;
        }
        before += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "they are few")]
    let (measured, most) = (before as f64, (SLOTS + 2) as f64);
    let detail = format!("{running} starts in all; {SLOTS} slots, 2 active keys");
    Ok(vec![Row::new(
        format!("starts before a key's single job while another has {waiting} waiting"),
        measured,
        most,
        "starts",
        detail,
    )])
}

impl<'a> Lab<'a> {
    /// With an empty Redis.
    fn new(run: &'a Run<'a>) -> anyhow::Result<Self> {
        let service = run.service.as_ref().context("there is no service of our own")?;
        for url in service.servers.own_urls() {
            redis::cmd("FLUSHALL").exec(&mut redis::Client::open(url)?.get_connection()?)?;
        }
        let (store, tasks) = (run.store()?, TaskTracker::new());
        let queue = Queue::spawn(&store, &QueueSettings::default(), &tasks);
        let worker = WorkerQueue::new(&store, WorkerName::new("fairness", 1), LEASE, &tasks);
        let claimer = worker.claimer(Shard::default())?;
        let prompt = "x".repeat(run.options.prompt_bytes);
        Ok(Self {
            run,
            queue,
            worker,
            claimer,
            body: json!({"prompt": prompt}).to_string(),
            at_once: AT_ONCE[0],
        })
    }

    async fn submit_one(&self, key: usize) -> anyhow::Result<()> {
        let targets: Vec<Target> = vec![self.run.options.model.parse()?];
        let job = JobRequest {
            operation: Operation::TextCompletion,
            targets,
            body: self.body.clone(),
            media_bytes: 0,
            ttl: Ttl::from_seconds(3600).context("a time to live of an hour")?,
            owner: Some(format!("key-{key}")),
            trace: None,
        };
        let submission = self.queue.submit(job, JobOptions::default()).await?;
        ensure!(matches!(submission, Submission::Accepted(_)), "Redis did not take a job: {submission:?}");
        Ok(())
    }

    async fn submit(&self, what: &str, jobs: u64, key: impl Fn(usize) -> usize) -> anyhow::Result<()> {
        let done = Cell::new(0_u64);
        let all = async {
            let mut running = FuturesUnordered::new();
            for number in 0..usize::try_from(jobs)? {
                if running.len() >= self.at_once {
                    running.next().await.unwrap_or(Ok(()))?;
                }
                running.push(self.submit_one(key(number)));
                done.set(done.get() + 1);
            }
            while let Some(submitted) = running.next().await {
                submitted?;
            }
            anyhow::Ok(())
        };
        progress(|| format!("{what}: {} of {jobs}", done.get()), all).await
    }

    async fn claim(&mut self, jobs: usize) -> anyhow::Result<Vec<Held>> {
        let mut held = Vec::new();
        while held.len() < jobs {
            let slots = self.at_once.min(jobs - held.len());
            let claimed = self.claimer.claim(Source::Queue, slots, &[]).await?;
            ensure!(!claimed.jobs.is_empty(), "only {} of {jobs} jobs could be claimed", held.len());
            held.extend(claimed.jobs.into_iter().map(|job| job.held));
        }
        Ok(held)
    }

    /// The owners of the jobs of one claim.
    async fn owners(&mut self, slots: usize) -> anyhow::Result<Vec<String>> {
        let claimed = self.claimer.claim(Source::Queue, slots, &[]).await?;
        Ok(claimed.jobs.into_iter().filter_map(|job| job.request?.owner).collect())
    }

    /// Lets so many other keys each have a job that waits for a limit.
    async fn close(&mut self, keys: usize) -> anyhow::Result<()> {
        if keys == 0 {
            return Ok(());
        }
        self.submit("keys that wait", u64::try_from(keys)?, |number| 1_000 + number).await?;
        let until = Timestamp::from_millis(Timestamp::now().as_millis() + 3_600_000);
        let park = Park::new(until, "rate_limited");
        let held = self.claim(keys).await?;
        let (worker, mut parking) = (&self.worker, FuturesUnordered::new());
        for held in &held {
            if parking.len() >= self.at_once {
                let parked: Option<Result<Delayed, _>> = parking.next().await;
                parked.transpose()?;
            }
            parking.push(worker.park(held, park.clone()));
        }
        while let Some(parked) = parking.next().await {
            parked?;
        }
        Ok(())
    }
}
