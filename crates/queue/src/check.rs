//! Do records and entries agree? They are written by the same scripts, so they do unless something else than
//! Hermod wrote, or Redis lost a part of its data.

use std::collections::BTreeMap;
use std::time::Duration;

use hermod_types::{JobId, Shard, ShardCount};
use redis::streams::{StreamId, StreamRangeReply};
use redis::{FromRedisValue, Pipeline};

use crate::keys::{self, GROUP, JOBS, Keys};
use crate::lane::Call;
use crate::pace::Pace;
use crate::shards::ShardRoll;
use crate::{Admin, QueueError};

/// Keys or entries of one call.
const PAGE: usize = 500;
/// After this long without a word, a consumer that holds nothing is taken to be gone. A worker asks every few
/// seconds; one that was forgotten too early is simply known again when it asks.
const GONE: Duration = Duration::from_secs(300);
/// How long after a check another worker's start makes none.
pub(crate) const PAUSE_SECONDS: u64 = 60;

/// What a check has found, and mended if it was told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Records looked at.
    pub records: usize,
    /// Entries looked at.
    pub entries: usize,
    /// Jobs that wait or run and have no entry: no worker would find them.
    pub records_without_entry: usize,
    /// Entries whose job is gone or has ended.
    pub entries_without_job: usize,
    /// Names of workers that are gone and hold nothing; one in each shard.
    pub idle_consumers: usize,
    /// Shards that hold jobs and that no worker knows of.
    pub shards_unknown: usize,
}

impl Findings {
    /// Whether records and entries agree.
    pub const fn agree(&self) -> bool {
        self.records_without_entry == 0 && self.entries_without_job == 0 && self.shards_unknown == 0
    }
}

pub(crate) async fn run(admin: &mut Admin, repair: bool, mut pace: Pace) -> Result<Findings, QueueError> {
    let mut findings = Findings::default();
    let seen = records(admin, repair, &mut pace, &mut findings).await?;
    let mut shards = admin.shards().await?;
    if seen > shards {
        // Redis lost the number of shards in use, and nobody serves these.
        findings.shards_unknown = usize::from(seen.get() - shards.get());
        if repair {
            ShardRoll::new(&admin.store).raise(seen).await?;
        }
        shards = seen;
    }
    for shard in shards.shards() {
        let keys = Keys::new(shard);
        entries(admin, &keys, repair, &mut pace, &mut findings).await?;
        consumers(admin, &keys, repair, &mut findings).await?;
    }
    Ok(findings)
}

/// Looks for jobs that wait or run and have no entry. Returns how many shards there must be for all that live.
async fn records(
    admin: &mut Admin,
    repair: bool,
    pace: &mut Pace,
    findings: &mut Findings,
) -> Result<ShardCount, QueueError> {
    let mut seen = ShardCount::ONE;
    for mut server in admin.store.lanes_to_all().await? {
        let mut cursor = 0_u64;
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg(JOBS).arg("COUNT").arg(PAGE);
            let (next, found): (u64, Vec<String>) = server.run(Call::Command(&command)).await?;
            findings.records += found.len();
            let mut shards: BTreeMap<Shard, Vec<String>> = BTreeMap::new();
            for job in found {
                // What is named like a record, but not after an id, is none of ours.
                if let Ok(id) = id_of(&job).parse::<JobId>()
                    && keys::job(id) == job
                {
                    shards.entry(id.shard()).or_default().push(job);
                }
            }
            for (shard, jobs) in shards {
                let living = shard_records(admin, &Keys::new(shard), jobs, repair, findings).await?;
                if living {
                    seen = seen.max(ShardCount::with(shard));
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
            pace.rest().await;
        }
    }
    Ok(seen)
}

/// The same among some records of one shard. Says whether one of them waits or runs.
async fn shard_records(
    admin: &mut Admin,
    keys: &Keys,
    jobs: Vec<String>,
    repair: bool,
    findings: &mut Findings,
) -> Result<bool, QueueError> {
    let (living, without) = without_entry(admin, keys, jobs).await?;
    for job in without {
        // The look and the mending are one script, so a job that has ended meanwhile is let be.
        findings.records_without_entry += if repair {
            let mut script = admin.scripts.requeue.prepare_invoke();
            script.key(&keys.queue).key(&keys.later).key(&job).arg(id_of(&job));
            admin.lane.run::<usize>(Call::Script(&script)).await?
        } else {
            1
        };
    }
    Ok(living)
}

/// Whether any of `jobs` waits or runs, and those that do and have no entry.
async fn without_entry(
    admin: &mut Admin,
    keys: &Keys,
    jobs: Vec<String>,
) -> Result<(bool, Vec<String>), QueueError> {
    let mut pipeline = Pipeline::with_capacity(jobs.len());
    for job in &jobs {
        pipeline.cmd("HMGET").arg(job).arg("status").arg("entry");
    }
    let states: Vec<(Option<String>, Option<String>)> = read(admin, &pipeline).await?;
    let alive = jobs.into_iter().zip(states).filter(|(_, (status, _))| is_alive(status.as_deref()));
    let (with, without): (Vec<_>, Vec<_>) = alive.partition(|(_, (_, entry))| entry.is_some());
    let living = !with.is_empty() || !without.is_empty();

    // A job that sleeps has none.
    let mut pipeline = Pipeline::with_capacity(without.len());
    for (job, _) in &without {
        pipeline.cmd("ZSCORE").arg(&keys.later).arg(id_of(job));
    }
    let asleep: Vec<Option<f64>> = read(admin, &pipeline).await?;
    let awake = without.into_iter().zip(asleep).filter(|(_, until)| until.is_none());
    let mut without: Vec<_> = awake.map(|(job, _)| job).collect();

    let mut pipeline = Pipeline::with_capacity(with.len());
    for (_, (_, entry)) in &with {
        pipeline.cmd("XRANGE").arg(&keys.queue).arg(entry).arg(entry);
    }
    let found: Vec<StreamRangeReply> = read(admin, &pipeline).await?;
    without.extend(with.into_iter().zip(found).filter(|(_, found)| found.ids.is_empty()).map(|(job, _)| job));
    Ok((living, without.into_iter().map(|(job, _)| job).collect()))
}

/// Looks for entries whose job is gone or has ended.
async fn entries(
    admin: &mut Admin,
    keys: &Keys,
    repair: bool,
    pace: &mut Pace,
    findings: &mut Findings,
) -> Result<(), QueueError> {
    let mut from = "-".to_owned();
    loop {
        let mut command = redis::cmd("XRANGE");
        command.arg(&keys.queue).arg(&from).arg("+").arg("COUNT").arg(PAGE);
        let page: StreamRangeReply = admin.lane.run(Call::Command(&command)).await?;
        let Some(last) = page.ids.last() else { return Ok(()) };
        from = format!("({}", last.id);
        findings.entries += page.ids.len();
        // What names no job at all is removed by whoever claims it.
        let id = |entry: &StreamId| entry.get::<String>("id").and_then(|id| id.parse::<JobId>().ok());
        let named: Vec<_> =
            page.ids.iter().filter_map(|entry| Some((&entry.id, keys::job(id(entry)?)))).collect();
        let mut pipeline = Pipeline::with_capacity(named.len());
        for (_, job) in &named {
            pipeline.cmd("HGET").arg(job).arg("status");
        }
        let states: Vec<Option<String>> = read(admin, &pipeline).await?;
        for ((entry, job), _) in named.iter().zip(states).filter(|(_, status)| !is_alive(status.as_deref())) {
            findings.entries_without_job += if repair {
                let mut script = admin.scripts.drop.prepare_invoke();
                script.key(&keys.queue).key(job).arg(GROUP).arg(entry);
                admin.lane.run::<usize>(Call::Script(&script)).await?
            } else {
                1
            };
        }
        pace.rest().await;
    }
}

/// The id in a record's key.
fn id_of(job: &str) -> &str {
    job.rsplit(':').next().unwrap_or_default()
}

fn is_alive(status: Option<&str>) -> bool {
    matches!(status, Some("pending" | "processing"))
}

/// Runs a pipeline, which may be empty.
async fn read<T: FromRedisValue>(admin: &mut Admin, pipeline: &Pipeline) -> Result<Vec<T>, QueueError> {
    if pipeline.is_empty() {
        return Ok(Vec::new());
    }
    admin.lane.run(Call::Pipeline(pipeline)).await
}

/// Looks for consumers that are gone and hold nothing.
async fn consumers(
    admin: &mut Admin,
    keys: &Keys,
    repair: bool,
    findings: &mut Findings,
) -> Result<(), QueueError> {
    for worker in admin.workers_of(keys).await? {
        if worker.holds > 0 || worker.idle < GONE {
            continue;
        }
        if repair {
            let mut script = admin.scripts.forget.prepare_invoke();
            script.key(&keys.queue).arg(GROUP).arg(&worker.name);
            findings.idle_consumers += admin.lane.run::<usize>(Call::Script(&script)).await?;
        } else {
            findings.idle_consumers += 1;
        }
    }
    Ok(())
}
