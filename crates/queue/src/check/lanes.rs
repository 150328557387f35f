use hermod_types::{JobId, Shard};
use redis::{Pipeline, RedisResult, Value};
use serde::{Deserialize, Serialize};

use super::Check;
use crate::script::SCRIPTS;
use crate::{Lane, QueueError, keys};

#[derive(Serialize)]
struct LanesArgs {
    repair: bool,
}

#[derive(Deserialize)]
struct LanesState {
    jobs: usize,
    sound: bool,
}

impl Check<'_> {
    /// Those of some jobs that wait or run, are not delayed, and are in no lane that is known.
    pub(super) async fn without_entry(&self, shard: Shard, ids: &[JobId]) -> Result<Vec<JobId>, QueueError> {
        let living = self.living(ids).await?;
        let mut pipeline = Pipeline::with_capacity(2 * living.len());
        pipeline.ignore_errors();
        for id in &living {
            pipeline.cmd("ZSCORE").arg(self.lane.delayed(shard)).arg(id.to_string());
            pipeline.cmd("HMGET").arg(self.lane.job(*id)).arg(&["owner", "lane"]);
        }
        let rows: Vec<RedisResult<Value>> = self.pipeline(&pipeline).await?;
        let mut lanes = Pipeline::with_capacity(3 * living.len());
        lanes.ignore_errors();
        let mut suspects = Vec::new();
        for (id, row) in living.into_iter().zip(rows.chunks(2)) {
            let [due, names] = row else { continue };
            if due.as_ref().is_ok_and(|due| *due != Value::Nil) {
                continue;
            }
            let names = names.as_ref().ok().and_then(|names| redis::from_redis_value_ref(names).ok());
            let (owner, sublane): (Option<String>, Option<String>) = names.unwrap_or_default();
            let lane = keys::lane_of(owner.as_deref(), sublane.as_deref());
            lanes.cmd("ZSCORE").arg(keys::lane(shard, &lane)).arg(id.to_string());
            lanes.cmd("ZSCORE").arg(keys::lanes(shard)).arg(&lane);
            lanes.cmd("ZSCORE").arg(keys::closed(shard)).arg(&lane);
            suspects.push(id);
        }
        if self.lane == Lane::Deliveries {
            return Ok(suspects);
        }
        let rows: Vec<RedisResult<Option<f64>>> = self.pipeline(&lanes).await?;
        let is_there = |score: &RedisResult<Option<f64>>| matches!(score, Ok(Some(_)));
        let waits = |row: &[_]| matches!(row, [job, open, closed] if is_there(job) && (is_there(open) || is_there(closed)));
        Ok(suspects
            .into_iter()
            .zip(rows.chunks(3))
            .filter(|(_, row)| !waits(row))
            .map(|(id, _)| id)
            .collect())
    }

    /// Counts the jobs that wait in lanes.
    pub(super) async fn look_at_lanes(&mut self, shard: Shard) -> Result<(), QueueError> {
        if self.lane == Lane::Deliveries {
            return Ok(());
        }
        let args = LanesArgs { repair: self.repair };
        let LanesState { jobs, sound } = self.script(&SCRIPTS.repair_lanes, shard, &args).await?;
        self.findings.laned += jobs;
        self.findings.lanes_miscounted += usize::from(!sound);
        Ok(())
    }
}
