//! What every run does: submit, drain, poll, and submits at a steady rate.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use hermod_types::JobId;

use crate::WARM_UP;
use crate::exchanges::{Accepted, End, Submits};
use crate::load::{Open, histogram, nanos};
use crate::measure::{Look, ProcessUse};
use crate::progress::progress;
use crate::reference::{self, Floor, Side};
use crate::report::{
    Cost, Drain, Jobs, Latency, Load, Machine, Memory, OpenLoop, Phase, Process, Report, float, per,
};
use crate::run::Run;

/// Turns that ours and the floor take.
const TURNS: u64 = 10;

/// All of a run but the further scenarios, and the jobs of its closed loop.
pub(crate) async fn all(run: &mut Run<'_>) -> anyhow::Result<(Report, Vec<JobId>)> {
    let options = run.options;
    warm_up(run).await?;
    let floor = if options.reference { Some(Floor::start(run).await?) } else { None };
    let first = run.look().await?;

    let (mut ours, mut floors, mut jobs) = (Side::default(), Side::default(), Vec::new());
    let floor_first = floor_look(floor.as_ref()).await?;
    for count in turns(options.jobs, floor.is_some()) {
        let before = ProcessUse::of(std::process::id())?;
        let (accepted, outcome) = run.submit_over(&mut ours.pool, "submit", count).await?;
        ours.add(outcome, before)?;
        jobs.extend(accepted);
        if let Some(floor) = &floor {
            let before = ProcessUse::of(std::process::id())?;
            let outcome = floor.submit(run, &mut floors.pool, count).await?;
            floors.add(outcome, before)?;
        }
    }
    let waiting = run.look().await?;
    let submit = ours.phase(&first, &waiting)?;
    let floor_submit = floor_phase(floors, floor_first, floor.as_ref()).await?;
    let half = options.jobs.div_ceil(2);
    let call = if options.reference { Some(reference::call(run, half)?) } else { None };

    let (drain, after_drain) = drain(run, &first, &jobs).await?;
    let mut processes = vec![];
    worker_processes(&after_drain, &mut processes);
    let call = match call {
        Some(before) => Some(before.mean(&reference::call(run, half)?)),
        None => None,
    };
    if let Some(service) = &mut run.service {
        service.stop_workers()?;
    }

    let ended = run.look().await?;
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    let (mut ours, mut floors, mut ends) = (Side::default(), Side::default(), Vec::new());
    let floor_first = floor_look(floor.as_ref()).await?;
    let mut rest = &ids[..];
    for count in turns(u64::try_from(ids.len())?, floor.is_some()) {
        let (turn, left) = rest.split_at(usize::try_from(count)?.min(rest.len()));
        rest = left;
        let before = ProcessUse::of(std::process::id())?;
        let (ended, outcome) = run.poll_over(&mut ours.pool, "poll", turn).await?;
        ours.add(outcome, before)?;
        ends.extend(ended);
        if let Some(floor) = &floor {
            let before = ProcessUse::of(std::process::id())?;
            let outcome = floor.poll(run, &mut floors.pool, count).await?;
            floors.add(outcome, before)?;
        }
    }
    let poll = ours.phase(&ended, &run.look().await?)?;
    let floor_poll = floor_phase(floors, floor_first, floor.as_ref()).await?;
    let reference = floor_submit.zip(floor_poll).zip(call);
    let reference = reference.map(|((floor_submit, floor_poll), call)| {
        reference::compare((&submit, &poll, &drain.cost), (floor_submit, floor_poll, call))
    });
    if let Some(floor) = floor {
        floor.stop()?;
    }

    let mut counted = Jobs::default();
    count(&mut counted, &ends);
    let open_loop = if options.rate > 0 { Some(open_loop(run, &mut counted).await?) } else { None };
    let last = run.look().await?;
    other_processes(&last, &mut processes);
    let own = run.service.is_some();
    let report = Report {
        machine: machine(&last),
        load: Load {
            jobs: options.jobs,
            concurrency: options.concurrency,
            prompt_bytes: options.prompt_bytes,
            result_bytes: options.result_bytes,
            provider_latency_ms: options.latency_ms,
            workers: options.workers,
            worker_concurrency: options.worker_concurrency,
        },
        jobs: counted,
        life: own.then(|| submit.cost.plus(&drain.cost)),
        memory_per_job: own.then(|| Memory {
            waiting: memory_per_job(&first, &waiting, jobs.len()),
            ended: memory_per_job(&first, &ended, jobs.len()),
        }),
        submit,
        drain,
        poll,
        open_loop,
        processes,
        reference,
        pollers: None,
        in_flight: None,
        waiting: None,
        low_rate: None,
        sizes: Vec::new(),
    };
    Ok((report, ids))
}

/// How many requests each turn has: one turn where there is nobody to take turns with.
fn turns(requests: u64, with_floor: bool) -> impl Iterator<Item = u64> {
    let turns = if with_floor { TURNS.min(requests) } else { 1 };
    (0..turns).map(move |turn| requests * (turn + 1) / turns - requests * turn / turns)
}

async fn floor_look(floor: Option<&Floor>) -> anyhow::Result<Option<Look>> {
    match floor {
        Some(floor) => Ok(Some(floor.look().await?)),
        None => Ok(None),
    }
}

async fn floor_phase(
    side: Side,
    before: Option<Look>,
    floor: Option<&Floor>,
) -> anyhow::Result<Option<Phase>> {
    match before.zip(floor_look(floor).await?) {
        Some((before, after)) => side.phase(&before, &after).map(Some),
        None => Ok(None),
    }
}

/// Growth of Redis's memory, for each of some jobs.
pub(crate) fn memory_per_job(before: &Look, after: &Look, jobs: usize) -> f64 {
    let memory = |look: &Look| look.redis.as_ref().map_or(0.0, |redis| float(redis.memory));
    let jobs = u32::try_from(jobs).unwrap_or(u32::MAX).max(1);
    (memory(after) - memory(before)) / f64::from(jobs)
}

/// Lets scripts be loaded, connections be made and memory be grown before anything is measured.
async fn warm_up(run: &mut Run<'_>) -> anyhow::Result<()> {
    let options = run.options;
    if let Some(service) = &mut run.service {
        service.start_workers(options.workers, u64::try_from(options.worker_concurrency)?)?;
    }
    let (jobs, _) = run.submit("warm-up", options.jobs.min(WARM_UP)).await?;
    run.ended("warm-up", &jobs).await?;
    if let Some(service) = &mut run.service {
        service.stop_workers()?;
    }
    Ok(())
}

/// Runs what waits, or, with a running service, waits for its end.
pub(crate) async fn drain(
    run: &mut Run<'_>,
    first: &Look,
    jobs: &[Accepted],
) -> anyhow::Result<(Drain, Look)> {
    let (options, count) = (run.options, u64::try_from(jobs.len())?);
    let (before, since) = if let Some(service) = &mut run.service {
        let received = run.provider.receipts.received();
        service.start_workers(options.workers, u64::try_from(options.worker_concurrency)?)?;
        let before = run.look().await?;
        run.received("drain", received + count).await?;
        run.drained("drain").await?;
        let receipts = &run.provider.receipts;
        let since = jobs.iter().filter_map(|job| receipts.at(job.number)).min();
        (before, since)
    } else {
        run.ended("jobs end", jobs).await?;
        (first.clone(), None)
    };
    let ended = Instant::now();
    let after = run.look().await?;
    let seconds = ended.saturating_duration_since(since.unwrap_or(first.at)).as_secs_f64();
    let cost = Cost::between(&before, &after, count);
    Ok((Drain { jobs: count, seconds, per_second: per(count, seconds), cost }, after))
}

/// Submits at a steady rate, with workers that run them.
async fn open_loop(run: &mut Run<'_>, counted: &mut Jobs) -> anyhow::Result<OpenLoop> {
    let options = run.options;
    if let Some(service) = &mut run.service {
        service.start_workers(options.workers, u64::try_from(options.worker_concurrency)?)?;
    }
    let requests = options.rate * options.rate_seconds;
    let (done, due) = (Cell::new(0), RefCell::new(vec![None; usize::try_from(requests)?]));
    let submits = Submits::new(run, &run.target, requests);
    let first = submits.number(0);
    let note = |number: u64, at: Instant| {
        if let Some(slot) = due.borrow_mut().get_mut(usize::try_from(number).unwrap_or(usize::MAX)) {
            *slot = Some(at);
        }
    };
    let before = run.look().await?;
    let open = Open { target: &run.target, rate: options.rate, requests, done: &done };
    let text = || format!("open loop: {} of {requests}", done.get());
    let outcome = progress(text, open.run(&submits, note)).await?;
    let jobs = submits.accepted();
    if run.service.is_some() {
        run.drained("open loop: jobs end").await?;
    }
    let submit = Phase::new(&outcome, &before, &run.look().await?);
    let ends = run.ended("open loop: jobs end", &jobs).await?;
    count(counted, &ends);

    let (mut pickup, mut stored) = (histogram()?, histogram()?);
    for (job, end) in jobs.iter().zip(&ends) {
        let index = usize::try_from(job.number - first)?;
        let Some(due) = due.borrow().get(index).copied().flatten() else { continue };
        if let Some(received) = run.provider.receipts.at(job.number) {
            pickup.saturating_record(nanos(received.saturating_duration_since(due)));
        }
        if let Some(End::Completed(at)) = end {
            // Redis's clock gives milliseconds; the one it is in counts as over.
            let millis = (float(*at) + 1.0 - run.epoch_ms(due)).max(0.0);
            stored.saturating_record(nanos(std::time::Duration::from_secs_f64(millis / 1000.0)));
        }
    }
    let latency = |times: &hdrhistogram::Histogram<u64>| (!times.is_empty()).then(|| Latency::of(times));
    let (pickup_ms, stored_ms) = (latency(&pickup), latency(&stored));
    if let Some(service) = &mut run.service {
        service.stop_workers()?;
    }
    Ok(OpenLoop { rate: options.rate, submit, pickup_ms, stored_ms })
}

pub(crate) fn count(jobs: &mut Jobs, ends: &[Option<End>]) {
    for end in ends {
        jobs.accepted += 1;
        match end {
            Some(End::Completed(_)) => jobs.completed += 1,
            Some(End::Failed) => jobs.failed += 1,
            None => jobs.lost += 1,
        }
    }
}

fn worker_processes(look: &Look, processes: &mut Vec<Process>) {
    if let Some(used) = look.workers {
        processes.push(process("workers, over the drain", used.cpu.as_secs_f64(), used.peak_rss));
    }
}

fn other_processes(look: &Look, processes: &mut Vec<Process>) {
    if let Some(used) = look.api {
        processes.push(process("api", used.cpu.as_secs_f64(), used.peak_rss));
    }
    if let Some(redis) = &look.redis {
        processes.push(process("redis", redis.cpu.as_secs_f64(), redis.peak_memory));
    }
    processes.push(process(
        "bench itself: load and provider",
        look.bench.cpu.as_secs_f64(),
        look.bench.peak_rss,
    ));
}

fn process(name: &str, cpu_seconds: f64, peak_memory: u64) -> Process {
    Process { name: name.to_owned(), cpu_seconds, peak_memory }
}

pub(crate) fn machine(look: &Look) -> Machine {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Machine {
        version: env!("CARGO_PKG_VERSION"),
        cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        cpu: cpu.map_or("unknown", |(_, name)| name).to_owned(),
        redis: look.redis.as_ref().map_or_else(|| "not looked at".to_owned(), |redis| redis.server.clone()),
        append_only: look.redis.as_ref().is_some_and(|redis| redis.append_only),
    }
}
