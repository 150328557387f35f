use hermod_types::Timestamp;
use redis::Pipeline;

use crate::connection::Call;
use crate::find::WaitingFor;
use crate::{Admin, QueueError, keys};

/// Jobs of one owner that wait for a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedLane {
    /// The id of the virtual key; empty for jobs without one.
    pub owner: String,
    /// The name of the narrow limit that they wait for; none for a limit of all that the owner does.
    pub limit: Option<String>,
    /// How many they are.
    pub jobs: u64,
    /// The `type` of the refusal; empty where nobody has said it.
    pub reason: String,
    /// When they may go on.
    pub until: Timestamp,
}

/// What waits for limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClosedLanes {
    /// Those that open first.
    pub lanes: Vec<ClosedLane>,
    /// How many there are.
    pub total: u64,
}

impl Admin {
    /// The lanes that wait for a limit, up to `most` of each shard.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn closed_lanes(&self, most: usize) -> Result<ClosedLanes, QueueError> {
        let mut all = ClosedLanes::default();
        let last = most.saturating_sub(1);
        for shard in self.shards().await?.shards() {
            let mut look = Pipeline::new();
            look.cmd("ZRANGE").arg(keys::closed(shard)).arg(0).arg(last).arg("WITHSCORES");
            look.cmd("ZCARD").arg(keys::closed(shard));
            let (closed, total): (Vec<(String, f64)>, u64) =
                self.store().shared().run(Call::Pipeline(&look)).await?;
            all.total += total;
            if closed.is_empty() {
                continue;
            }
            let mut tell = Pipeline::new();
            for (lane, _) in &closed {
                tell.cmd("ZCARD").arg(keys::lane(shard, lane));
                tell.cmd("HGET").arg(keys::reasons(shard)).arg(lane);
            }
            let told: Vec<Option<String>> = self.store().shared().run(Call::Pipeline(&tell)).await?;
            for ((lane, until), told) in closed.into_iter().zip(told.chunks_exact(2)) {
                let [jobs, reason] = told else { continue };
                let jobs = jobs.as_deref().and_then(|jobs| jobs.parse().ok()).unwrap_or_default();
                let reason = reason.as_deref().and_then(WaitingFor::read);
                all.lanes.push(closed_lane(&lane, jobs, until, reason));
            }
        }
        all.lanes.sort_by_key(|lane| lane.until);
        Ok(all)
    }
}

fn closed_lane(lane: &str, jobs: u64, until: f64, reason: Option<WaitingFor>) -> ClosedLane {
    let (owner, limit) = lane.split_once('\n').map_or((lane, None), |(owner, limit)| (owner, Some(limit)));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time in milliseconds")]
    let looked_at = Timestamp::from_millis(until.max(0.0) as u64);
    ClosedLane {
        owner: owner.to_owned(),
        limit: limit.map(str::to_owned),
        jobs,
        // No lane is closed for longer than some minutes without a look.
        until: reason.as_ref().map_or(looked_at, |reason| reason.until.max(looked_at)),
        reason: reason.map(|reason| reason.kind).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_an_owners_or_that_of_one_limit() {
        let wide = closed_lane("vk-1", 3, 1000.0, WaitingFor::read("token_limited 3000"));
        assert_eq!((wide.owner.as_str(), wide.limit, wide.jobs), ("vk-1", None, 3));
        assert_eq!((wide.reason.as_str(), wide.until.as_millis()), ("token_limited", 3000));
        let narrow = closed_lane("\ntokens:a", 1, -1.0, None);
        assert_eq!((narrow.owner.as_str(), narrow.limit.as_deref()), ("", Some("tokens:a")));
        assert_eq!((narrow.reason.as_str(), narrow.until.as_millis()), ("", 0));
    }
}
