//! A fleet of workers, and what it asks of Redis: idle, while slow jobs run, and after Redis was away.

mod outage;
mod rates;
mod report;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::time::{Instant, sleep};

use crate::exchanges::Accepted;
use crate::measure::Look;
use crate::options::{Options, ServersUnderTest};
use crate::phases::{count, machine};
use crate::progress::progress;
use crate::provider::Answers;
use crate::report::{Jobs, float};
use crate::run::Run;
use crate::servers::Servers;
use crate::service::Setup;
use outage::{Outage, ready};
use rates::{JobCost, Rates};
pub(crate) use report::text;
use report::{Fleet, OnServers};

/// Jobs beside the slow ones: to warm up, and to wake workers up.
pub(crate) const OTHER_JOBS: u64 = WARM_UP + 2 * WAKE_UPS;
const WARM_UP: u64 = 500;
/// Jobs that meet only idle workers, one at a time.
const WAKE_UPS: u64 = 200;
/// How long workers may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long workers are left alone once they are ready.
const SETTLE: Duration = Duration::from_secs(3);
/// How long one job may take to reach the provider.
const PICKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Puts a fleet on each kind of servers in turn.
pub(crate) async fn measure(options: &Options, workers: usize) -> anyhow::Result<Fleet> {
    let (mut on, mut shown) = (Vec::new(), None);
    for servers in &options.fleet_on {
        let (measured, look) = Box::pin(one(options, workers, *servers)).await?;
        on.push(measured);
        shown = Some(look);
    }
    let machine = machine(&shown.context("--fleet-on: expected at least one")?);
    Ok(Fleet { machine, workers, slow_jobs: options.fleet_jobs, outage_seconds: options.outage_seconds, on })
}

async fn one(options: &Options, workers: usize, on: ServersUnderTest) -> anyhow::Result<(OnServers, Look)> {
    let (servers, shards) = match on {
        ServersUnderTest::Redis => (Servers::single()?, 1),
        ServersUnderTest::Cluster(shards) => (Servers::cluster()?, shards),
    };
    let mut run = Run::on(options, Some(servers), &Setup { shards, ..Setup::default() }).await?;
    run.provider.set_latency(Duration::ZERO);
    let window = Duration::from_secs(options.fleet_seconds);

    // The API's connections are all made by these, before anything is counted. They wait for the first worker.
    let (warm_up, _) = run.submit(&format!("{on}: warm-up"), WARM_UP).await?;
    let api = watch(&run, &format!("{on}: the API alone"), window).await?;
    start(&mut run, 1).await?;
    run.ended("warm-up", &warm_up).await?;
    sleep(SETTLE).await;
    let one_worker = watch(&run, &format!("{on}: one worker"), window).await?;
    let job_with_one = wake_up(&run, &one_worker).await?;

    start(&mut run, workers - 1).await?;
    sleep(SETTLE).await;
    let idle = watch(&run, &format!("{on}: idle"), window).await?;
    let job_with_all = wake_up(&run, &idle).await?;
    let idle_outage = Outage::watch(&mut run, &format!("{on}: idle outage"), &idle).await?;

    let (loaded, loaded_outage, jobs) = slow_jobs(&mut run, on, window).await?;
    let look = run.look().await?;
    run.stop().await?;
    let on = OnServers {
        on: on.to_string(),
        shards,
        servers: look.servers.len(),
        workers,
        api,
        one_worker,
        job_with_one,
        idle,
        job_with_all,
        idle_outage,
        loaded,
        loaded_outage,
        jobs,
    };
    Ok((on, look))
}

/// Runs jobs that do not end before all is measured.
async fn slow_jobs(
    run: &mut Run<'_>,
    on: ServersUnderTest,
    window: Duration,
) -> anyhow::Result<(Rates, Outage, Jobs)> {
    run.provider.answer(Answers::None);
    let received = run.provider.receipts.received();
    let (accepted, _) = run.submit(&format!("{on}: slow jobs"), run.options.fleet_jobs).await?;
    run.received(&format!("{on}: claimed"), received + u64::try_from(accepted.len())?).await?;
    let loaded = watch(run, &format!("{on}: slow jobs run"), window).await?;
    let outage = Outage::watch(run, &format!("{on}: outage with slow jobs"), &loaded).await?;
    run.provider.answer(Answers::All);
    let jobs = ends(run, &accepted).await?;
    Ok((loaded, outage, jobs))
}

async fn ends(run: &Run<'_>, accepted: &[Accepted]) -> anyhow::Result<Jobs> {
    let mut jobs = Jobs::default();
    count(&mut jobs, &run.ended("slow jobs end", accepted).await?);
    jobs.doubled = run.provider.receipts.doubled();
    Ok(jobs)
}

/// Starts so many more workers, and waits until all are ready.
async fn start(run: &mut Run<'_>, workers: usize) -> anyhow::Result<()> {
    let concurrency = u64::try_from(run.options.worker_concurrency)?;
    let service = run.service.as_mut().context("there is no service of our own")?;
    service.start_workers(workers, concurrency)?;
    let client = outage::client()?;
    let deadline = Instant::now() + READY_TIMEOUT;
    for worker in &service.workers {
        while !ready(&client, &worker.address).await {
            ensure!(Instant::now() < deadline, "not all workers are ready after {READY_TIMEOUT:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// What is asked of Redis within `window`.
async fn watch(run: &Run<'_>, what: &str, window: Duration) -> anyhow::Result<Rates> {
    let mut looks = vec![run.look().await?];
    let watching = async {
        for _ in 0..window.as_secs() {
            sleep(Duration::from_secs(1)).await;
            looks.push(run.look().await?);
        }
        anyhow::Ok(())
    };
    progress(|| what.to_owned(), watching).await?;
    Rates::over(&looks)
}

/// Submits jobs one at a time, each when the one before has reached the provider; what each cost beyond `calm`.
async fn wake_up(run: &Run<'_>, calm: &Rates) -> anyhow::Result<JobCost> {
    let mut connection = run.target.connect().await?;
    let first = run.take_numbers(WAKE_UPS);
    let before = run.look().await?;
    for number in first..first + WAKE_UPS {
        let (status, _) = connection.call(run.target.submit(run.requests.body(number))).await?;
        ensure!(status == hyper::StatusCode::ACCEPTED, "a submit was answered {status}");
        let submitted = Instant::now();
        while run.provider.receipts.at(number).is_none() {
            if submitted.elapsed() > PICKUP_TIMEOUT {
                bail!("a job did not reach the provider within {PICKUP_TIMEOUT:?}");
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
    // The last one's end.
    sleep(Duration::from_millis(100)).await;
    let during = Rates::over(&[before, run.look().await?])?;
    Ok(JobCost::beyond(calm, &during, float(WAKE_UPS)))
}
