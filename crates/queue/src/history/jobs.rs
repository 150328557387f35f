use std::collections::BTreeMap;
use std::time::Duration;

use hermod_types::{JobId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::lists::listed;
use crate::script::SCRIPTS;
use crate::stats::NoArgs;
use crate::{Admin, ListedJob, QueueError};

/// Jobs that are read at most.
const MOST: usize = 1_000;

/// Where jobs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobsIn {
    /// They wait for a worker, or for a limit.
    Waiting,
    /// A worker has them.
    Running,
    /// They wait for their time.
    Delayed,
}

#[derive(Serialize)]
struct JobsArgs {
    state: JobsIn,
    count: usize,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    #[serde(default)]
    at: Option<f64>,
}

impl Admin {
    /// Some of the jobs in this state, at most `most` and 1,000: delayed ones by when they are due, the others by when they were
    /// accepted, the first first. Of many lanes, the first jobs of each are among them.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn jobs_in(&self, state: JobsIn, most: usize) -> Result<Vec<ListedJob>, QueueError> {
        let args = JobsArgs { state, count: most.min(MOST) };
        let rows: Vec<Vec<Row>> = self.on_all_shards(&SCRIPTS.history_jobs, &args).await?;
        let mut due: BTreeMap<JobId, Option<Timestamp>> = BTreeMap::new();
        for row in rows.into_iter().flatten() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
            let at = row.at.map(|at| Timestamp::from_millis(at as u64));
            if let Ok(id) = row.id.parse() {
                due.insert(id, at);
            }
        }
        let mut ids: Vec<(Option<Timestamp>, JobId)> = due.into_iter().map(|(id, at)| (at, id)).collect();
        // An id begins with when its job was accepted.
        ids.sort();
        ids.truncate(args.count);
        let found = listed(self.store(), &ids.iter().map(|(_, id)| *id).collect::<Vec<_>>()).await?;
        let jobs = ids.into_iter().zip(found).filter_map(|((due, _), job)| {
            let mut job = job.filter(|job| !job.view.status.is_ended())?;
            job.due = due;
            Some(job)
        });
        Ok(jobs.collect())
    }

    /// How long the job has waited that has waited longest, since it was accepted, or queued again. Of more than 256 open lanes, or
    /// closed ones, it is the oldest of those that are next.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn oldest_waiting(&self) -> Result<Option<Duration>, QueueError> {
        let ages: Vec<Option<f64>> = self.on_all_shards(&SCRIPTS.history_oldest, &NoArgs {}).await?;
        let oldest = ages
            .into_iter()
            .flatten()
            .fold(None, |oldest: Option<f64>, age| Some(oldest.map_or(age, |oldest| oldest.max(age))));
        Ok(oldest.map(|age| Duration::try_from_secs_f64(age / 1000.0).unwrap_or_default()))
    }
}
