//! Media: what they hold up, the memory that they take, and what they cost.

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hermod_types::Operation;
use hyper::StatusCode;
use tokio::time::sleep;

use super::upload::Uploads;
use crate::exchanges::{Accepted, Submits};
use crate::jobs::{Asks, Job};
use crate::load::{Open, histogram, nanos};
use crate::measure::{Look, ProcessUse};
use crate::options::Options;
use crate::progress::progress;
use crate::provider::{Answers, audio};
use crate::report::{Jobs, Latency, float, per};
use crate::rows::{Row, ratio};
use crate::run::Run;
use crate::table::megabytes;

/// Small jobs a second, while large ones are uploaded.
pub(super) const SMALL_RATE: u64 = 200;
const PICKUP_TARGET_MS: f64 = 25.0;
/// What those clients send that are not the fastest, in bytes a second.
const PACE: u32 = 10_000_000;
/// `HERMOD_MAX_MEMORY_BYTES` of an API, in MiB, unless it is told otherwise; and what a process has beside what it counts.
const API_MEMORY: f64 = 256.0;
const OTHER_MEMORY: f64 = 100.0;
/// Speeches, one after another, and how often it is asked whether one is there.
const SPEECHES: u64 = 20;
const POLL_PAUSE: Duration = Duration::from_millis(20);
const SPEECH_TARGET: f64 = 3.0;
/// How long one large job may take.
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(2);
/// Uploads that an open loop has beside it, at most.
const MOST_UPLOADS: u64 = 100_000;
/// Jobs before anything is measured.
const WARM_UP: u64 = 200;

/// How many jobs one of these services may get.
pub(super) fn jobs(options: &Options) -> u64 {
    WARM_UP + 2 * SMALL_RATE * options.rate_seconds + MOST_UPLOADS + options.files + SPEECHES
}

/// How soon small jobs reach the provider, alone and while files are uploaded one after another.
pub(super) async fn pickup(options: &Options, counted: &mut Jobs) -> anyhow::Result<Row> {
    let mut run = Run::start(options).await?;
    run.start_workers()?;
    let (accepted, _) = run.submit("pickup: warm-up", WARM_UP).await?;
    run.count_ends(Operation::TextCompletion, &accepted, counted).await?;

    let (alone, accepted) = small_jobs(&run, "small jobs alone").await?;
    run.count_ends(Operation::TextCompletion, &accepted, counted).await?;

    let (uploads, is_over) = (Uploads::new(&run, options.upload_bytes), Cell::new(false));
    let small = async {
        let measured = small_jobs(&run, "small jobs beside uploads").await;
        is_over.set(true);
        measured
    };
    let large = async {
        let mut accepted = Vec::<Accepted>::new();
        while !is_over.get() {
            accepted.push(uploads.one(None).await?);
            // One is transcribed while the next is uploaded, and no more of them wait.
            if let [.., last, _] = accepted.as_slice() {
                received(&run, *last).await?;
            }
        }
        anyhow::Ok(accepted)
    };
    let started = Instant::now();
    let ((beside, accepted), large) = tokio::try_join!(small, large)?;
    let seconds = started.elapsed().as_secs_f64();
    drop(uploads);
    run.count_ends(Operation::TextCompletion, &accepted, counted).await?;
    run.count_ends(Operation::Transcription, &large, counted).await?;
    let detail = format!(
        "p50 {:.2} ms, p99 {:.2}, most {:.2}, beside {} uploads in {seconds:.1} s; alone p50 {:.2}, p99 {:.2}, most {:.2}",
        beside.p50,
        beside.p99,
        beside.max,
        large.len(),
        alone.p50,
        alone.p99,
        alone.max
    );
    run.stop_and_count(counted).await?;
    let figure =
        format!("pickup p99 of small jobs, {SMALL_RATE}/s, beside uploads of {}", size(options.upload_bytes));
    Ok(Row::new(figure, beside.p99, PICKUP_TARGET_MS, "ms", detail))
}

/// Submits small jobs at a steady rate; what there is between each job's `created_at`, whose millisecond counts as waited, and its
/// receipt.
async fn small_jobs(run: &Run<'_>, what: &str) -> anyhow::Result<(Latency, Vec<Accepted>)> {
    let (rate, requests, done) = (SMALL_RATE, SMALL_RATE * run.options.rate_seconds, Cell::new(0));
    let submits = Submits::new(run, &run.target, requests);
    let open = Open { target: &run.target, rate, requests, done: &done };
    let outcome =
        progress(|| format!("{what}: {} of {requests}", done.get()), open.run(&submits, |_, _| {})).await?;
    let failure = outcome.first_failure.as_deref().unwrap_or_default();
    ensure!(outcome.failed == 0, "{} submits failed; the first: {failure}", outcome.failed);
    let (accepted, mut pickups) = (submits.accepted(), histogram()?);
    for job in &accepted {
        let at = run.epoch_ms(received(run, *job).await?);
        let waited = (at - float(job.id.created_at().as_millis())).max(0.0);
        pickups.saturating_record(nanos(Duration::from_secs_f64(waited / 1000.0)));
    }
    Ok((Latency::of(&pickups), accepted))
}

/// When the provider received it.
async fn received(run: &Run<'_>, job: Accepted) -> anyhow::Result<Instant> {
    let since = Instant::now();
    loop {
        if let Some(at) = run.provider.receipts.at(job.number) {
            return Ok(at);
        }
        ensure!(since.elapsed() < PATIENCE, "a job has not reached the provider after {PATIENCE:?}");
        sleep(TICK).await;
    }
}

/// The memory of an API process that takes many files at once, of clients that are not the fastest.
pub(super) async fn uploads(options: &Options, counted: &mut Jobs) -> anyhow::Result<Row> {
    let mut run = Run::start(options).await?;
    let (idle, started) = (run.look().await?.of_api().rss, Instant::now());
    let uploads = Uploads::new(&run, options.upload_bytes);
    let what = || format!("{} uploads at once", options.files);
    let accepted = progress(what, uploads.all(options.files, Some(PACE))).await?;
    let (seconds, look) = (started.elapsed().as_secs_f64(), run.look().await?);
    drop(uploads);
    run.start_workers()?;
    run.count_ends(Operation::Transcription, &accepted, counted).await?;
    run.stop_and_count(counted).await?;

    let peak = megabytes(look.of_api().peak_rss);
    let cpu = look.of_api().cpu.as_secs_f64();
    let (accepted, idle) = (accepted.len(), megabytes(idle));
    let detail =
        format!("{accepted} accepted in {seconds:.1} s, with {cpu:.2} s of CPU; {idle:.1} MiB when idle");
    let figure = format!("API's memory, {} uploads of {} at once", options.files, size(options.upload_bytes));
    Ok(Row::new(figure, peak, API_MEMORY + OTHER_MEMORY, "MiB", detail))
}

/// The memory of a worker that sends many files at once.
pub(super) async fn transcriptions(options: &Options, counted: &mut Jobs) -> anyhow::Result<Row> {
    let mut run = Run::start(options).await?;
    let uploads = Uploads::new(&run, options.transcription_bytes);
    let accepted = progress(|| "transcriptions: upload".to_owned(), uploads.all(options.files, None)).await?;
    drop(uploads);
    run.provider.answer(Answers::None);
    run.start_workers()?;
    let (idle, before) = (run.look().await?.of_workers(), run.provider.receipts.received());
    // Each has been sent to its end, and none has an answer.
    run.received("transcriptions", before.max(u64::try_from(accepted.len())?)).await?;
    let (look, sent) = (run.look().await?, run.provider.receipts.uploaded());
    run.provider.answer(Answers::All);
    run.count_ends(Operation::Transcription, &accepted, counted).await?;
    let bodies = options.files * u64::try_from(options.transcription_bytes)?;
    ensure!(sent >= bodies, "the provider received {sent} bytes of {bodies}");
    run.stop_and_count(counted).await?;

    let peak = megabytes(look.of_workers().peak_rss);
    let detail = format!(
        "{:.1} MiB of bodies, sent with {:.2} s of CPU; {:.1} MiB when just started",
        megabytes(bodies),
        look.of_workers().cpu.as_secs_f64(),
        megabytes(idle.rss)
    );
    let of = size(options.transcription_bytes);
    let figure = format!("worker's memory, {} transcriptions of {of} at once", options.files);
    Ok(Row::new(figure, peak, 2.0 * megabytes(bodies) + OTHER_MEMORY, "MiB", detail))
}

/// The CPU of a speech, from its submit to the poll that brings it.
pub(super) async fn speech(options: &Options, counted: &mut Jobs) -> anyhow::Result<(Row, Look)> {
    let mut run = Run::start(options).await?;
    run.ask(Asks::Speech, "bench/echo");
    run.start_workers()?;
    let mut accepted = vec![one_speech(&run).await?];
    let before = run.look().await?;
    let all = async {
        for _ in 0..SPEECHES {
            accepted.push(one_speech(&run).await?);
        }
        anyhow::Ok(())
    };
    progress(|| "speech".to_owned(), all).await?;
    let after = run.look().await?;
    run.count_ends(Operation::Speech, &accepted, counted).await?;
    run.stop_and_count(counted).await?;

    let ms = |before: Duration, after: Duration| {
        1000.0 * after.saturating_sub(before).as_secs_f64() * per(1, float(SPEECHES))
    };
    let redis = |look: &Look| look.redis.as_ref().map_or(Duration::ZERO, |redis| redis.cpu);
    let of_api = ms(before.of_api().cpu, after.of_api().cpu);
    let of_worker = ms(before.of_workers().cpu, after.of_workers().cpu);
    let of_redis = ms(redis(&before), redis(&after));
    let floor = copy_and_encode(options.speech_bytes)?;
    let ratio = ratio(of_api + of_worker + of_redis, floor);
    let detail = format!(
        "ms each: API {of_api:.1}, worker {of_worker:.1}, Redis {of_redis:.1}; copied and encoded once {floor:.1}; \
         load and provider {:.1}",
        ms(before.bench.cpu, after.bench.cpu)
    );
    let figure =
        format!("CPU of a speech of {}, against copying and encoding it", size(options.speech_bytes));
    Ok((Row::new(figure, ratio, SPEECH_TARGET, "×", detail), after))
}

/// Submits one, and polls it until it is there.
async fn one_speech(run: &Run<'_>) -> anyhow::Result<Accepted> {
    let number = run.take_numbers(1);
    let mut connection = run.target.connect().await?;
    let (status, body) = connection.call(run.target.submit(run.requests.body(number))).await?;
    ensure!(status == StatusCode::ACCEPTED, "a submit of speech was answered {status}");
    let id = Job::read(&body).and_then(|job| job.parsed_id()).map_err(anyhow::Error::msg)?;
    let since = Instant::now();
    loop {
        sleep(POLL_PAUSE).await;
        let (status, body) = connection.call(run.target.poll(id)).await?;
        match status {
            StatusCode::OK => {
                let (bytes, audio) = (body.len(), run.options.speech_bytes);
                ensure!(bytes > audio / 3 * 4, "a speech of {audio} bytes was answered with {bytes}");
                return Ok(Accepted { number, id });
            }
            StatusCode::ACCEPTED => {}
            other => bail!("a poll of speech was answered {other}"),
        }
        ensure!(since.elapsed() < PATIENCE, "a speech has not ended after {PATIENCE:?}");
    }
}

/// The CPU of copying so many bytes and writing them as base64, in memory that is there, in milliseconds.
fn copy_and_encode(bytes: usize) -> anyhow::Result<f64> {
    let audio = audio(bytes);
    let (mut copy, mut text) = (vec![0; bytes], vec![0; bytes.div_ceil(3) * 4]);
    let mut once = || {
        copy.copy_from_slice(black_box(&audio));
        STANDARD.encode_slice(black_box(&copy), &mut text).map(|written| black_box(&text).len() == written)
    };
    once()?;
    let (before, mut times) = (ProcessUse::of(std::process::id())?.cpu, 0);
    // The kernel counts in hundredths of a second.
    loop {
        once()?;
        times += 1;
        let cpu = ProcessUse::of(std::process::id())?.cpu.saturating_sub(before);
        if cpu >= Duration::from_millis(500) {
            return Ok(1000.0 * cpu.as_secs_f64() * per(1, float(times)));
        }
    }
}

/// As a person says it.
fn size(bytes: usize) -> String {
    format!("{:.1} MiB", megabytes(u64::try_from(bytes).unwrap_or(u64::MAX)))
}
