//! Do records and entries agree? They are written by the same scripts, so they do unless something else than
//! Hermod wrote, or Redis lost a part of its data.

mod lanes;

use std::collections::HashSet;
use std::hash::RandomState;
use std::time::Duration;

use hermod_types::{JobId, Shard, ShardCount};
use redis::streams::{StreamId, StreamPendingCountReply, StreamRangeReply};
use redis::{FromRedisValue, Pipeline, RedisResult};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::connection::Call;
use crate::keys::{self, BODIES, MEDIA};
use crate::scan::{PAGE, Queued, Scan, by_shard, ids};
use crate::script::{self, SCRIPTS};
use crate::worker_queue::LeaveArgs;
use crate::{Admin, Lane, QueueError};

/// Ids that are held in memory at one time: some 40 MB. With more entries, records are gone through more than once.
const IDS_IN_MEMORY: usize = 1_000_000;
/// After this long without a word, a consumer that holds nothing is taken to be gone. A worker that is forgotten too early is
/// simply known again when it claims.
const GONE: Duration = Duration::from_secs(300);
/// A gentle check rests for so many times as long as it worked.
const REST: u32 = 9;
/// A page is up to a thousand commands: no more than twice that a second.
const SHORTEST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// What a check has found, and mended if it was told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Records looked at.
    pub records: usize,
    /// Entries looked at.
    pub entries: usize,
    /// Jobs that wait in lanes.
    pub laned: usize,
    /// Jobs that wait or run, and have neither an entry nor a place in a lane that is known: no worker would find them.
    pub records_without_entry: usize,
    /// Entries whose job is gone or has ended.
    pub entries_without_job: usize,
    /// Entries that were given out and that no worker holds: none would get them again.
    pub entries_without_holder: usize,
    /// Bodies and media without a job, and without an end.
    pub bodies_without_job: usize,
    /// Shards whose number of jobs in lanes is not what was counted, or that know a lane without jobs.
    pub lanes_miscounted: usize,
    /// Names of workers that are gone and hold nothing; one in each shard.
    pub idle_consumers: usize,
    /// Shards that hold jobs and that no worker knows of.
    pub shards_unknown: usize,
}

impl Findings {
    /// Whether nothing is to be mended.
    pub const fn agree(&self) -> bool {
        self.records_without_entry == 0
            && self.entries_without_job == 0
            && self.entries_without_holder == 0
            && self.bodies_without_job == 0
            && self.lanes_miscounted == 0
            && self.shards_unknown == 0
    }
}

#[derive(Serialize)]
struct RecordArgs {
    id: String,
}

#[derive(Serialize)]
struct EntryArgs<'a> {
    id: String,
    entry: &'a str,
    consumer: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EntryState {
    Removed,
    Released,
    Sound,
}

struct Check<'a> {
    admin: &'a Admin,
    /// The lane that is looked at.
    lane: Lane,
    repair: bool,
    /// When a gentle check last began to work; none for one that somebody waits for.
    working_since: Option<Instant>,
    findings: Findings,
}

pub(crate) async fn run(admin: &Admin, repair: bool, gently: bool) -> Result<Findings, QueueError> {
    let working_since = gently.then(Instant::now);
    let mut check = Check { admin, lane: Lane::Jobs, repair, working_since, findings: Findings::default() };
    for lane in Lane::ALL {
        check.lane = lane;
        check.all().await?;
    }
    check.look_for_lost_pieces(BODIES, keys::body).await?;
    check.look_for_lost_pieces(MEDIA, keys::media).await?;
    Ok(check.findings)
}

impl Check<'_> {
    async fn all(&mut self) -> Result<(), QueueError> {
        let mut shards = self.admin.shards().await?;
        let (seen, entries) = self.look_at_records(shards).await?;
        if seen > shards {
            // Redis lost the number of shards in use, and nobody serves these.
            self.findings.shards_unknown = usize::from(seen.get() - shards.get());
            if self.repair {
                crate::shards::raise(self.admin.store(), seen).await?;
            }
            shards = seen;
        }
        // Records are gone through once for each part of the ids that fits into memory.
        let parts = entries.div_ceil(IDS_IN_MEMORY).max(1);
        let hasher = RandomState::new();
        for part in 0..parts {
            let mut queued = Queued { part, parts, hasher: hasher.clone(), ..Queued::default() };
            for shard in shards.shards() {
                self.look_at_entries(shard, &mut queued, part == 0).await?;
            }
            self.look_for_lost_records(queued).await?;
        }
        for shard in shards.shards() {
            self.look_at_consumers(shard).await?;
            self.look_at_lanes(shard).await?;
        }
        Ok(())
    }

    /// Counts records, and finds how many shards there must be for all that live, and about how many entries.
    async fn look_at_records(&mut self, shards: ShardCount) -> Result<(ShardCount, usize), QueueError> {
        let mut entries = 0;
        for shard in shards.shards() {
            let mut command = redis::cmd("XLEN");
            entries += self.read::<usize>(Call::Command(command.arg(self.lane.queue(shard)))).await?;
        }
        let mut seen = ShardCount::ONE;
        for server in self.admin.store().connections_to_all().await? {
            let mut scan = Scan::new(&server, self.lane.records());
            while let Some(page) = scan.page().await? {
                let ids = ids(&page);
                self.findings.records += ids.len();
                for (shard, ids) in by_shard(ids) {
                    if ShardCount::with(shard) > seen && !self.living(&ids).await?.is_empty() {
                        seen = seen.max(ShardCount::with(shard));
                    }
                }
                self.rest().await;
            }
        }
        Ok((seen, entries))
    }

    /// Those of some jobs of one shard that wait or run.
    async fn living(&self, ids: &[JobId]) -> Result<Vec<JobId>, QueueError> {
        let mut pipeline = Pipeline::with_capacity(ids.len());
        // What is no hash is no record.
        pipeline.ignore_errors();
        for id in ids {
            pipeline.cmd("HMGET").arg(self.lane.job(*id)).arg(&["holder", "code"]);
        }
        type State = (Option<String>, Option<u16>);
        let states: Vec<RedisResult<State>> = self.pipeline(&pipeline).await?;
        let is_alive =
            |state: RedisResult<State>| state.is_ok_and(|(holder, code)| holder.is_some() && code.is_none());
        Ok(ids.iter().zip(states).filter_map(|(id, state)| is_alive(state).then_some(*id)).collect())
    }

    /// Looks for jobs that wait or run, and are not `queued`.
    async fn look_for_lost_records(&mut self, mut queued: Queued) -> Result<(), QueueError> {
        for server in self.admin.store().connections_to_all().await? {
            let mut scan = Scan::new(&server, self.lane.records());
            while let Some(page) = scan.page().await? {
                for (shard, mut suspects) in by_shard(ids(&page)) {
                    suspects.retain(|id| queued.lacks(id));
                    if suspects.is_empty() {
                        continue;
                    }
                    let suspects = self.without_entry(shard, &suspects).await?;
                    // They may have got an entry since the entries were read.
                    self.look_at_entries(shard, &mut queued, false).await?;
                    for id in suspects.into_iter().filter(|id| queued.lacks(id)) {
                        self.findings.records_without_entry += if self.repair {
                            let args = RecordArgs { id: id.to_string() };
                            usize::from(self.script::<bool>(&SCRIPTS.repair_record, shard, &args).await?)
                        } else {
                            1
                        };
                    }
                }
                self.rest().await;
            }
        }
        Ok(())
    }

    /// Notes the entries of a shard, from where it was left; `judge` says whether they are looked at, too.
    async fn look_at_entries(
        &mut self,
        shard: Shard,
        queued: &mut Queued,
        judge: bool,
    ) -> Result<(), QueueError> {
        loop {
            let from = queued.from.get(&shard).map_or("-", String::as_str);
            let mut command = redis::cmd("XRANGE");
            command.arg(self.lane.queue(shard)).arg(from).arg("+").arg("COUNT").arg(PAGE);
            let page: StreamRangeReply = self.read(Call::Command(&command)).await?;
            let Some(last) = page.ids.last() else { return Ok(()) };
            queued.from.insert(shard, format!("({}", last.id));
            // What names no job at all is removed by whoever claims it.
            let id = |entry: &StreamId| entry.get::<String>("id").and_then(|id| id.parse::<JobId>().ok());
            let named: Vec<_> = page.ids.iter().filter_map(|entry| Some((&entry.id, id(entry)?))).collect();
            named.iter().for_each(|(_, id)| queued.add(*id));
            if judge {
                self.findings.entries += page.ids.len();
                self.judge_entries(shard, &named).await?;
            }
            self.rest().await;
        }
    }

    /// Looks for entries whose job is gone or has ended, and for those that were given out and that nobody holds.
    async fn judge_entries(&mut self, shard: Shard, named: &[(&String, JobId)]) -> Result<(), QueueError> {
        let ids: Vec<JobId> = named.iter().map(|(_, id)| *id).collect();
        let living: HashSet<JobId> = self.living(&ids).await?.into_iter().collect();
        let given_out = self.given_out(shard).await?;
        let order = |entry: &str| {
            let (ms, number) = entry.split_once('-').unwrap_or((entry, "0"));
            (ms.parse::<u64>().unwrap_or(u64::MAX), number.parse::<u64>().unwrap_or(u64::MAX))
        };
        let (alive, dead): (Vec<_>, Vec<_>) = named.iter().partition(|(_, id)| living.contains(id));
        let given: Vec<_> =
            alive.into_iter().filter(|(entry, _)| order(entry) <= order(&given_out)).collect();
        let mut pipeline = Pipeline::with_capacity(given.len());
        for (entry, _) in &given {
            pipeline
                .cmd("XPENDING")
                .arg(self.lane.queue(shard))
                .arg(keys::GROUP)
                .arg(entry)
                .arg(entry)
                .arg(1);
        }
        let held: Vec<StreamPendingCountReply> = self.pipeline(&pipeline).await?;
        let unheld = given.into_iter().zip(held).filter(|(_, held)| held.ids.is_empty());
        let suspects = dead.into_iter().map(|entry| (entry, false));
        for ((entry, id), is_alive) in suspects.chain(unheld.map(|(entry, _)| (entry, true))) {
            let state = if self.repair {
                let args = EntryArgs { id: id.to_string(), entry: entry.as_str(), consumer: "repair" };
                self.script(&SCRIPTS.repair_entry, shard, &args).await?
            } else if is_alive {
                EntryState::Released
            } else {
                EntryState::Removed
            };
            self.findings.entries_without_job += usize::from(state == EntryState::Removed);
            self.findings.entries_without_holder += usize::from(state == EntryState::Released);
        }
        Ok(())
    }

    /// The last entry of a shard that was given to a worker.
    async fn given_out(&self, shard: Shard) -> Result<String, QueueError> {
        let args = crate::stats::NoArgs {};
        let row: Option<String> = self.script(&SCRIPTS.given_out, shard, &args).await?;
        Ok(row.unwrap_or_else(|| "0-0".to_owned()))
    }

    /// Looks for bodies or media, whose keys match `pattern`, that are kept for ever and have no record.
    async fn look_for_lost_pieces(
        &mut self,
        pattern: &'static str,
        key: fn(JobId) -> String,
    ) -> Result<(), QueueError> {
        for server in self.admin.store().connections_to_all().await? {
            let mut scan = Scan::new(&server, pattern);
            while let Some(page) = scan.page().await? {
                for (_, ids) in by_shard(ids(&page)) {
                    let mut pipeline = Pipeline::with_capacity(2 * ids.len());
                    for id in &ids {
                        pipeline.cmd("PTTL").arg(key(*id)).cmd("EXISTS").arg(keys::job(*id));
                    }
                    let states: Vec<i64> = self.pipeline(&pipeline).await?;
                    // -1: no end.
                    let orphans = ids.iter().zip(states.chunks(2)).filter(|(_, state)| *state == [-1, 0]);
                    for (id, _) in orphans {
                        self.findings.bodies_without_job += 1;
                        if self.repair {
                            // Its record may be on its way.
                            self.admin.store().pieces().expire(id.shard(), &key(*id)).await?;
                        }
                    }
                }
                self.rest().await;
            }
        }
        Ok(())
    }

    /// Looks for consumers that are gone and hold nothing.
    async fn look_at_consumers(&mut self, shard: Shard) -> Result<(), QueueError> {
        for worker in self.admin.workers_of(self.lane, shard).await? {
            if worker.holds > 0 || worker.idle < GONE {
                continue;
            }
            self.findings.idle_consumers += if self.repair {
                let args = LeaveArgs { worker: &worker.name };
                usize::from(self.script::<bool>(&SCRIPTS.leave, shard, &args).await?)
            } else {
                1
            };
        }
        Ok(())
    }

    async fn rest(&mut self) {
        if let Some(since) = &mut self.working_since {
            sleep((since.elapsed() * REST).clamp(SHORTEST_REST, LONGEST_REST)).await;
            *since = Instant::now();
        }
    }

    async fn read<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, QueueError> {
        self.admin.store().shared().run(call).await
    }

    /// Runs a pipeline, which may be empty, on keys of one shard.
    async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<Vec<T>, QueueError> {
        if pipeline.is_empty() { Ok(Vec::new()) } else { self.read(Call::Pipeline(pipeline)).await }
    }

    async fn script<T: serde::de::DeserializeOwned>(
        &self,
        script: &redis::Script,
        shard: Shard,
        args: &(impl Serialize + Sync),
    ) -> Result<T, QueueError> {
        script::run(self.admin.store().shared(), script, &self.lane.queue(shard), args).await
    }
}
