use std::collections::HashSet;

use hermod_types::{JobId, JobStatus, Operation};
use serde::Serialize;

use crate::lists::{is_model, listed};
use crate::script::SCRIPTS;
use crate::{Admin, ListedJob, QueueError};

/// Records that are looked at, at most.
const MOST_RECORDS: usize = 2_000;
/// Records that are read together.
const RECORDS: usize = 100;

/// How a job has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Completed,
    /// With an error, and not cancelled.
    Failed,
    Cancelled,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Completed, Self::Failed, Self::Cancelled];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// How `history.lua` notes it.
    const fn letter(self) -> &'static str {
        match self {
            Self::Completed => "c",
            Self::Failed => "f",
            Self::Cancelled => "x",
        }
    }

    /// How this job has ended; none for one that has not.
    pub fn of(job: &ListedJob) -> Option<Self> {
        match job.view.status {
            JobStatus::Pending | JobStatus::Processing => None,
            JobStatus::Completed => Some(Self::Completed),
            JobStatus::Failed if job.view.cancelled_at.is_some() => Some(Self::Cancelled),
            JobStatus::Failed => Some(Self::Failed),
        }
    }
}

impl std::str::FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(word: &str) -> Result<Self, UnknownOutcome> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word).ok_or(UnknownOutcome)
    }
}

/// A word that is no [`Outcome`].
#[derive(Debug, thiserror::Error)]
#[error("expected completed, failed or cancelled")]
pub struct UnknownOutcome;

/// Which jobs; what is none takes all.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    pub outcome: Option<Outcome>,
    pub operation: Option<Operation>,
    /// The first target, or the model in it.
    pub model: Option<String>,
    /// Id of the virtual key; an empty one for jobs without.
    pub owner: Option<String>,
}

impl JobFilter {
    /// Whether this job is one of them.
    pub fn takes(&self, job: &ListedJob) -> bool {
        self.outcome.is_none_or(|outcome| Outcome::of(job) == Some(outcome))
            && self.operation.is_none_or(|operation| operation == job.operation)
            && self.model.as_deref().is_none_or(|model| is_model(job.model.as_deref(), model))
            && self.owner.as_deref().is_none_or(|owner| owner == job.owner.as_deref().unwrap_or_default())
    }

    /// Whether more than the outcome is asked for, which stands in the records.
    const fn needs_records(&self) -> bool {
        self.operation.is_some() || self.model.is_some() || self.owner.is_some()
    }
}

#[derive(Serialize)]
struct RecentArgs {
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'static str>,
}

impl Admin {
    /// The jobs that have ended last, the newest first, at most `most`. Of 10,000 ends that are remembered, as many are looked at
    /// as it takes, and 2,000 records at most. A job whose record has expired is left out.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn recent(&self, filter: &JobFilter, most: usize) -> Result<Vec<ListedJob>, QueueError> {
        // Some may have expired, or run again.
        let count = if filter.needs_records() { MOST_RECORDS } else { (2 * most).min(MOST_RECORDS) };
        let args = RecentArgs { count, what: filter.outcome.map(Outcome::letter) };
        let lines: Vec<Vec<String>> = self.on_all_shards(&SCRIPTS.history_recent, &args).await?;
        let mut ends: Vec<(u64, JobId)> = lines.iter().flatten().filter_map(|line| parse(line)).collect();
        ends.sort_by(|a, b| b.cmp(a));
        let mut seen = HashSet::new();
        ends.retain(|(_, id)| seen.insert(*id));
        ends.truncate(MOST_RECORDS);
        let ids: Vec<JobId> = ends.into_iter().map(|(_, id)| id).collect();
        let mut found = Vec::with_capacity(most.min(RECORDS));
        for ids in ids.chunks(RECORDS.max(most.min(MOST_RECORDS))) {
            let jobs = listed(self.store(), ids).await?.into_iter().flatten();
            found.extend(jobs.filter(|job| job.view.status.is_ended() && filter.takes(job)));
            if found.len() >= most {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }
}

/// When it ended (ms), and which.
fn parse(line: &str) -> Option<(u64, JobId)> {
    let mut words = line.split(' ');
    let (id, at) = (words.next()?, words.next_back()?);
    Some((at.parse().ok()?, id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use hermod_types::Shard;

    use super::*;

    #[test]
    fn a_line_says_which_job_and_when() {
        let id = JobId::new(Shard::default());
        assert_eq!(parse(&format!("{id} c 200 1771488617831")), Some((1_771_488_617_831, id)));
        for line in ["", "x c 200 1", &format!("{id}"), &format!("{id} c 200 x")] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn an_outcome_is_told_by_its_word() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse::<Outcome>().ok(), Some(outcome));
        }
        assert!("done".parse::<Outcome>().is_err());
    }
}
