//! Many clients that wait for a job each: what they cost while nothing happens, and how soon they are told.

use std::fmt::{Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::waiter::Room;
use crate::load::{histogram, nanos};
use crate::measure::{Look, open_files};
use crate::options::Options;
use crate::phases::count;
use crate::progress::progress;
use crate::provider::Answers;
use crate::report::{Jobs, Latency, float, per};
use crate::rows::Row;
use crate::run::Run;

const MEMORY_TARGET_KB: f64 = 15.0;
const CPU_TARGET_PERCENT: f64 = 5.0;
/// Commands a second, beyond those without any client that waits: nobody asks Redis for them.
const COMMANDS_TARGET: f64 = 5.0;
const TOLD_TARGET_MS: f64 = 50.0;
/// The connection of each, and a few for all.
const FILES_TARGET: f64 = 1.01;
/// What a process opens beside a connection for each client.
const OTHER_FILES: u64 = 1000;
/// How long the API is watched without them.
const ALONE: Duration = Duration::from_secs(3);
/// Between two looks at whether all have begun to wait; the kernel counts CPU in hundredths of a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const STILL: Duration = Duration::from_millis(20);
/// With no progress for so long, something is wrong.
const STALL: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(2);

/// How a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Polls with `Prefer: wait=60`.
    Poll,
    /// Reads the job's events.
    Stream,
}

impl Display for Form {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Poll => "waiting polls",
            Self::Stream => "event streams",
        })
    }
}

/// What all wait at the same time cost, while nothing happens.
struct Idle {
    cpu_percent: f64,
    commands: f64,
}

impl Idle {
    /// Watches the API for so long.
    async fn watch(run: &Run<'_>, what: &str, length: Duration) -> anyhow::Result<Self> {
        let before = run.look().await?;
        progress(|| what.to_owned(), sleep(length)).await;
        let after = run.look().await?;
        let seconds = after.at.saturating_duration_since(before.at).as_secs_f64();
        let commands = |look: &Look| look.redis.as_ref().map_or(0, |redis| redis.commands);
        // The look itself is one.
        let asked = commands(&after).saturating_sub(commands(&before)).saturating_sub(1);
        let cpu = after.of_api().cpu.saturating_sub(before.of_api().cpu).as_secs_f64();
        Ok(Self { cpu_percent: 100.0 * cpu / seconds, commands: per(asked, seconds) })
    }
}

pub(super) async fn measure(
    options: &Options,
    form: Form,
    counted: &mut Jobs,
) -> anyhow::Result<(Vec<Row>, Look)> {
    let clients = options.waiters;
    // Before the API is started, which inherits it.
    allow_open_files(clients + OTHER_FILES)?;
    let mut run = Run::start(options).await?;
    let (accepted, _) = run.submit(&format!("{form}: submit"), clients).await?;
    ensure!(u64::try_from(accepted.len())? == clients, "{form}: some submits were refused");
    let alone = Idle::watch(&run, &format!("{form}: the API alone"), ALONE).await?;
    let api = run.service.as_ref().context("there is no service of our own")?.api.id();

    let (empty, files) = (run.look().await?, open_files(api)?);
    let (room, tasks) = (Arc::new(Room::default()), TaskTracker::new());
    for job in &accepted {
        let (room, target, job) = (Arc::clone(&room), run.target.clone(), *job);
        tasks.spawn(async move { room.wait(&target, form, job).await });
    }
    tasks.close();
    let full = settle(&run, &room, form, clients).await?;
    let opened = open_files(api)?.saturating_sub(files);
    let idle =
        Idle::watch(&run, &format!("{clients} {form}"), Duration::from_secs(options.idle_seconds)).await?;
    let again = room.again.load(Ordering::Relaxed);

    let steady = ends(&mut run, &room, form).await?;
    // The rest, all at once.
    let rest = Instant::now();
    run.provider.answer(Answers::All);
    wait_for(&room, form, clients).await?;
    tasks.wait().await;
    run.stop_workers()?;
    let look = run.look().await?;
    count(counted, &run.ended(&format!("{form}: jobs end"), &accepted).await?);
    let (told, herd) = latencies(&run, &room, steady, rest)?;
    run.stop_and_count(counted).await?;

    let each = |count: u64| per(count, float(clients));
    let memory = each(full.of_api().rss.saturating_sub(empty.of_api().rss)) / 1024.0;
    let megabytes = |look: &Look| crate::table::megabytes(look.of_api().rss);
    let name = format!("{clients} {form}");
    let began = full.redis.as_ref().zip(empty.redis.as_ref());
    let began = began.map_or(0, |(full, empty)| full.commands.saturating_sub(empty.commands));
    let ends_rate = options.ends_rate;
    let rows = vec![
        Row::new(
            format!("{name}: memory of the API, each"),
            memory,
            MEMORY_TARGET_KB,
            "KB",
            format!("{:.1} MiB, without {:.1}", megabytes(&full), megabytes(&empty)),
        ),
        Row::new(
            format!("{name}: CPU of the API while nothing happens"),
            idle.cpu_percent,
            CPU_TARGET_PERCENT,
            "% of a core",
            format!(
                "without {:.2}; {again} polls were answered meanwhile, and made again",
                alone.cpu_percent
            ),
        ),
        Row::new(
            format!("{name}: commands a second more while nothing happens"),
            (idle.commands - alone.commands).max(0.0),
            COMMANDS_TARGET,
            "",
            format!(
                "{:.1} a second, without {:.1}; {:.2} for each when it began to wait",
                idle.commands,
                alone.commands,
                each(began)
            ),
        ),
        Row::new(
            format!("{name}: p99 of being told, {ends_rate} ends a second"),
            told.map(|told| told.p99),
            TOLD_TARGET_MS,
            "ms",
            format!(
                "from the provider's answer: {}; the others ended as fast as they could: {}",
                shown(told),
                shown(herd)
            ),
        ),
        Row::new(
            format!("{name}: open files of the API, each"),
            each(opened),
            FILES_TARGET,
            "",
            format!("{opened} in all"),
        ),
    ];
    Ok((rows, look))
}

/// Waits until all wait, and the API has nothing left to do for it.
async fn settle(run: &Run<'_>, room: &Room, form: Form, clients: u64) -> anyhow::Result<Look> {
    let inside = || room.inside.load(Ordering::Relaxed);
    let wait = async {
        let (mut last, mut since) = (run.look().await?, Instant::now());
        loop {
            sleep(LOOK_INTERVAL).await;
            room.check()?;
            let look = run.look().await?;
            let is_still = look.of_api().cpu.saturating_sub(last.of_api().cpu) <= STILL;
            if inside() == clients && is_still {
                return Ok(look);
            }
            if !is_still {
                since = Instant::now();
            }
            if since.elapsed() > STALL {
                bail!("{} of {clients} {form} have begun, and none more for {STALL:?}", inside());
            }
            last = look;
        }
    };
    progress(|| format!("{form}: {} of {clients} have begun", inside()), wait).await
}

/// Lets jobs end at a steady rate; how many.
async fn ends(run: &mut Run<'_>, room: &Room, form: Form) -> anyhow::Result<u64> {
    let options = run.options;
    run.provider.answer(Answers::Some);
    let received = run.provider.receipts.received();
    run.start_workers()?;
    let slots = u64::try_from(options.workers * options.worker_concurrency)?;
    run.received(&format!("{form}: jobs start"), received + slots.min(options.waiters)).await?;

    let (rate, ends) = (options.ends_rate, options.waiters.min(options.ends_rate * options.ends_seconds));
    let one_more = run.provider.answer_more();
    // On a thread of its own: the runtime's timer has a resolution of a millisecond only.
    let pacer = std::thread::Builder::new().name("pacer".to_owned()).spawn(move || {
        let started = Instant::now();
        for number in 0..ends {
            let at = started + Duration::from_nanos(number.saturating_mul(1_000_000_000) / rate);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            one_more();
        }
    })?;
    wait_for(room, form, ends).await?;
    drop(pacer.join());
    Ok(ends)
}

/// Waits until so many have been told of the end in all.
async fn wait_for(room: &Room, form: Form, wanted: u64) -> anyhow::Result<()> {
    let told = || u64::try_from(room.told().len()).unwrap_or_default();
    let wait = async {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            room.check()?;
            let now = told();
            if now >= wanted {
                return Ok(());
            }
            if now > last {
                (last, since) = (now, Instant::now());
            }
            ensure!(
                since.elapsed() < STALL,
                "{now} of {wanted} {form} were told of the end, and none more for {STALL:?}"
            );
            sleep(TICK).await;
        }
    };
    progress(|| format!("{form}: {} of {wanted} told", told()), wait).await
}

/// From the provider's answer to the client's knowledge: of the first so many, and of those that were answered after `rest`.
fn latencies(
    run: &Run<'_>,
    room: &Room,
    steady: u64,
    rest: Instant,
) -> anyhow::Result<(Option<Latency>, Option<Latency>)> {
    let (mut told, mut herd) = (histogram()?, histogram()?);
    for (number, at) in room.told() {
        let answered = run.provider.receipts.answered_at(number).context("a job ended without an answer")?;
        let latency = nanos(at.saturating_duration_since(answered));
        if answered < rest { told.saturating_record(latency) } else { herd.saturating_record(latency) }
    }
    ensure!(told.len() == steady, "{} jobs ended at the steady rate instead of {steady}", told.len());
    let of = |times: &hdrhistogram::Histogram<u64>| (!times.is_empty()).then(|| Latency::of(times));
    Ok((of(&told), of(&herd)))
}

fn shown(latency: Option<Latency>) -> String {
    let Some(Latency { p50, p99, max, .. }) = latency else { return "none".to_owned() };
    format!("p50 {p50:.1} ms, p99 {p99:.1}, most {max:.1}")
}

/// Lets this process, and those that it starts, have so many files open.
fn allow_open_files(files: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    let most = limit.maximum.unwrap_or(files);
    ensure!(
        most >= files,
        "--waiters: {files} files must be open at once, and {most} are allowed: see `ulimit -Hn`"
    );
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum: limit.maximum })
        .context("the limit of open files cannot be raised")
}
