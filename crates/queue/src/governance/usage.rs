use std::sync::Arc;

use hermod_governance::{Limit, Measure};
use hermod_types::{Shard, Timestamp};
use serde::{Deserialize, Serialize};

use super::Admission;
use super::args::{LimitArgs, LimitList};
use crate::batch::Batch;
use crate::connection::Connection;
use crate::script::{self, SCRIPTS};
use crate::{QueueError, keys};

/// How much of a limit is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In the current window; of a limit of jobs that run, how many do.
    pub used: u64,
    pub reserved: u64,
    /// Where the current window began; none before its first use.
    pub since: Option<Timestamp>,
    /// Where it ends; none for one that does not.
    pub ends: Option<Timestamp>,
}

/// The batches of reads.
pub(super) struct Reads(pub(super) Connection);

#[derive(Serialize)]
struct Args<'a> {
    limits: Vec<LimitArgs<'a>>,
}

/// A list, without what there is none of at its end.
#[derive(Clone, Copy, Deserialize)]
struct Row {
    used: u64,
    reserved: u64,
    #[serde(default)]
    since: Option<u64>,
    #[serde(default)]
    ends: Option<u64>,
}

impl From<Row> for Usage {
    fn from(Row { used, reserved, since, ends }: Row) -> Self {
        let at = |ms: Option<u64>| ms.map(Timestamp::from_millis);
        Self { used, reserved, since: at(since), ends: at(ends) }
    }
}

impl Batch for Reads {
    type Item = Vec<Arc<Limit>>;
    type Reply = Vec<Usage>;

    fn bytes(limits: &Self::Item) -> usize {
        limits.len() * 60
    }

    async fn call(&mut self, items: &[Self::Item]) -> Result<Vec<Vec<Usage>>, QueueError> {
        let mut all = LimitList::default();
        let places: Vec<Vec<usize>> =
            items.iter().map(|limits| limits.iter().map(|limit| all.place(limit)).collect()).collect();
        let args = Args { limits: all.limits };
        let queue = keys::queue(Shard::default());
        let rows: Vec<Row> = script::run(&self.0, &SCRIPTS.gov_usage, &queue, &args).await?;
        let usage_at = |place: usize| {
            let row = rows.get(place).copied();
            row.map(Usage::from).ok_or_else(|| QueueError::Unexpected("a limit without usage".to_owned()))
        };
        places.into_iter().map(|places| places.into_iter().map(usage_at).collect()).collect()
    }
}

/// Whether a job can be admitted by `latest`, should nothing more be used until then. What running jobs merely reserve counts as
/// free.
pub(super) fn check(wants: &[(Arc<Limit>, u64)], usage: &[Usage], latest: Timestamp) -> Admission {
    let is_exceeded = |(limit, amount): &(Arc<Limit>, u64), usage: &Usage| {
        if limit.measure == Measure::Running {
            return limit.max == 0;
        }
        let fits = usage.used.saturating_add(*amount) <= limit.max;
        // It runs alone.
        let is_larger = *amount > limit.max && usage.used < limit.max;
        let turns = limit.max > 0 && usage.ends.is_some_and(|ends| ends <= latest);
        !(fits || is_larger || turns)
    };
    let pairs = || wants.iter().zip(usage);
    let exceeded: Vec<usize> =
        pairs().enumerate().filter(|(_, (want, usage))| is_exceeded(want, usage)).map(|(at, _)| at).collect();
    if exceeded.is_empty() {
        return Admission::Admitted;
    }
    let ends: Option<Vec<Timestamp>> = exceeded
        .iter()
        .map(|at| wants.get(*at).filter(|(limit, _)| limit.max > 0).and(usage.get(*at)?.ends))
        .collect();
    Admission::Closed { exceeded, until: ends.and_then(|ends| ends.into_iter().max()) }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;
    use std::time::Duration;

    use hermod_governance::{Scope, Window};

    use super::*;

    fn want(measure: Measure, max: u64, amount: u64) -> (Arc<Limit>, u64) {
        let window = Window::Rolling(Duration::from_secs(60));
        let scope = Scope::Key("k".to_owned());
        let (name, id) = ("x".to_owned(), "x".to_owned());
        (Arc::new(Limit { name, id, measure, max, window, scope }), amount)
    }

    fn used(used: u64, ends: Option<u64>) -> Usage {
        let ends = ends.map(Timestamp::from_millis);
        Usage { used, reserved: 1_000_000, since: None, ends }
    }

    #[test]
    fn what_is_reserved_counts_as_free_and_a_window_that_ends_in_time_as_empty() {
        let at = Timestamp::from_millis;
        let closed = |exceeded: Vec<usize>, until: Option<u64>| Admission::Closed {
            exceeded,
            until: until.map(Timestamp::from_millis),
        };
        let (tokens, running) = (want(Measure::Tokens, 100, 30), want(Measure::Running, 1, 1));
        let check = |wants: &[_], usage: &[_]| check(wants, usage, at(1000));
        assert_eq!(check(from_ref(&tokens), &[used(70, None)]), Admission::Admitted);
        assert_eq!(check(from_ref(&tokens), &[used(71, None)]), closed(vec![0], None));
        assert_eq!(check(from_ref(&tokens), &[used(71, Some(1000))]), Admission::Admitted);
        assert_eq!(check(from_ref(&tokens), &[used(71, Some(1001))]), closed(vec![0], Some(1001)));
        assert_eq!(check(from_ref(&running), &[used(50, None)]), Admission::Admitted);
        let large = want(Measure::Tokens, 100, 500);
        assert_eq!(check(from_ref(&large), &[used(99, None)]), Admission::Admitted, "it runs alone");
        assert_eq!(check(&[large], &[used(100, None)]), closed(vec![0], None));
        let never = want(Measure::Requests, 0, 1);
        assert_eq!(check(&[never], &[used(0, Some(10))]), closed(vec![0], None));
        let both = [tokens.clone(), running, tokens];
        let usage = [used(90, Some(5000)), used(0, None), used(90, Some(7000))];
        assert_eq!(check(&both, &usage), closed(vec![0, 2], Some(7000)));
    }
}
