//! What a job must pass before it runs, and what it holds of that: it asks after its claim, and a job that is refused is given back,
//! or ends. A job without a key and without limits asks for nothing.

use std::sync::Arc;
use std::time::Duration;

use hermod_governance::{Estimate, Limit, Refusal, RefusalKind, Rules};
use hermod_queue::governance::{Admission as Answer, Ask, Owed, Usage};
use hermod_queue::{Delayed, Park, QueueError, Started};
use hermod_types::{Backoff, ErrorBody, ErrorCode, Target, Timestamp};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::progress::Progress;

/// The wait after a failure of Redis, doubled up to the longest.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// How long room that others hold may be taken at most until it is worth another look: a job whose latest start comes before that
/// looks at its latest start.
const SOON: Duration = Duration::from_secs(1);
/// The longest that a worker which stops waits to hand back what a job holds. Whoever runs it next goes on with it otherwise.
const REFUND: Duration = Duration::from_secs(2);

/// What one start of a job asks for, and holds.
pub(crate) struct Admission<'a> {
    context: &'a Context,
    started: &'a Started,
    /// Those of this start.
    rules: Arc<Rules>,
    estimate: Estimate,
    /// Limits that this start has passed.
    passed: Vec<Arc<Limit>>,
    /// Whether Redis was asked, and may have said yes.
    has_asked: bool,
}

/// What came of asking for a target.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It may be called.
    Open,
    /// Its limits are closed, and it is none that the job waits for.
    Closed(Box<Refusal>),
    /// The job waits for its limits, and is no worker's meanwhile.
    Parked(RefusalKind),
    /// The job ends so.
    Refused(Box<ErrorBody>),
    /// The job is to be ended as cancelled.
    Cancelled,
    /// The job is another's by now.
    Lost,
}

impl<'a> Admission<'a> {
    pub(crate) async fn new(context: &'a Context, started: &'a Started) -> Self {
        let owner = started.request.as_ref().and_then(|request| request.owner.as_deref());
        Self {
            context,
            started,
            rules: context.rules_of(owner).await,
            estimate: Estimate::default(),
            passed: Vec::new(),
            has_asked: false,
        }
    }

    /// Notes what the job may use at most.
    pub(crate) fn expect(&mut self, estimate: Estimate) {
        self.estimate = estimate;
    }

    /// What is defined at this start: what changes meanwhile is for those that start after it.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules)
    }

    fn owner(&self) -> Option<&'a str> {
        self.started.request.as_ref().and_then(|request| request.owner.as_deref())
    }

    /// What metrics call its key; '' for none.
    pub(crate) fn name_of_key(&self) -> String {
        self.rules.name_of(self.owner()).to_owned()
    }

    fn targets(&self) -> &'a [Target] {
        self.started.request.as_ref().map_or(&[], |request| &request.targets)
    }

    /// Whether what it costs is of interest: it has a key, or a limit.
    pub(crate) fn is_governed(&self) -> bool {
        let has_limits = |target| !self.rules.limits(self.owner(), target).is_empty();
        !self.rules.is_empty() && (self.owner().is_some() || self.targets().iter().any(has_limits))
    }

    /// Whether an earlier start has left it something.
    fn may_hold(&self) -> bool {
        !self.started.progress.is_empty() || !self.started.history.is_empty()
    }

    /// Why its key may not be used any more, if that is so.
    pub(crate) fn blocked(&self) -> Option<Box<ErrorBody>> {
        let primary = self.targets().first().filter(|_| !self.rules.is_empty())?;
        let refusal = self.rules.judge(self.owner(), primary, Timestamp::now()).err()?;
        // Whether a target may be called is asked for each.
        (refusal.kind == RefusalKind::AccessBlocked).then(|| Box::new(refusal.to_body().about(primary)))
    }

    /// What keeps a job out that has waited too long, if that are its limits.
    pub(crate) async fn overdue(&self) -> Option<Box<ErrorBody>> {
        let primary = self.targets().first().filter(|_| !self.rules.is_empty())?;
        let limits = self.rules.limits(self.owner(), primary);
        let usage = self.context.governance.usage(&limits).await.ok()?;
        let is_closed = |(limit, usage): &(&Arc<Limit>, &Usage)| usage.used + usage.reserved >= limit.max;
        let closed = limits.iter().zip(&usage).filter(is_closed);
        let closed: Vec<Arc<Limit>> = closed.map(|(limit, _)| Arc::clone(limit)).collect();
        if closed.is_empty() {
            return None;
        }
        Some(Box::new(self.refusal(&closed).await.to_body().about(primary)))
    }

    /// What of a target's limits is to be asked for.
    fn wants(&self, target: &Target) -> Vec<(Arc<Limit>, u64)> {
        let mut wants: Vec<(Arc<Limit>, u64)> = Vec::new();
        for limit in self.rules.limits(self.owner(), target) {
            let is_known = |other: &Arc<Limit>| other.name == limit.name;
            if !self.passed.iter().any(is_known) && !wants.iter().any(|(other, _)| is_known(other)) {
                let amount = self.estimate.amount(&limit);
                wants.push((limit, amount));
            }
        }
        wants
    }

    /// Asks for a target. The first of a start is waited for, where that can help; the others are not, as long as nothing but what
    /// they have for themselves is closed. Does not give up before `deadline`.
    pub(crate) async fn enter(
        &mut self,
        (index, target): (usize, &Target),
        progress: &Progress,
        cancelled: &CancellationToken,
        deadline: Instant,
    ) -> Entry {
        if self.rules.is_empty() {
            return Entry::Open;
        }
        let (is_first, wants) = (!self.has_asked, self.wants(target));
        if wants.is_empty() && (!is_first || self.owner().is_none()) {
            return Entry::Open;
        }
        self.has_asked = true;
        let entered = self.ask((index, target), wants, is_first, progress);
        match cancelled.run_until_cancelled(timeout_at(deadline, entered)).await {
            None => Entry::Cancelled,
            Some(Ok(entry)) => entry,
            Some(Err(_)) => {
                let code = ErrorCode::JobDeadlineExceeded;
                let error = ErrorBody::new(code, "the job's limits could not be asked in its time");
                Entry::Refused(Box::new(error.about(target)))
            }
        }
    }

    async fn ask(
        &mut self,
        (index, target): (usize, &Target),
        wants: Vec<(Arc<Limit>, u64)>,
        is_first: bool,
        progress: &Progress,
    ) -> Entry {
        let held = &self.started.held;
        let owner = self.owner().map(str::to_owned);
        let ask = Ask { job: held.id, fence: held.fence, owner, wants };
        let limits = &self.context.governance;
        let mut patience = Patience::default();
        let answer = loop {
            let asked =
                if is_first { limits.admit(ask.clone()).await } else { limits.extend(ask.clone()).await };
            match asked {
                Ok(answer) => break answer,
                Err(error) => patience.after(error).await,
            }
        };
        let Answer::Closed { exceeded, until } = answer else {
            if is_first {
                metrics::counter!("hermod_jobs_admitted_total", "key" => self.name_of_key()).increment(1);
            }
            self.passed.extend(ask.wants.into_iter().map(|(limit, _)| limit));
            return Entry::Open;
        };
        let closed: Vec<_> = exceeded.iter().filter_map(|place| ask.wants.get(*place)).collect();
        let closed: Vec<Arc<Limit>> = closed.into_iter().map(|(limit, _)| Arc::clone(limit)).collect();
        let refusal = self.refusal(&closed).await;
        let is_narrow = closed.iter().all(|limit| limit.scope.is_narrow());
        // A fallback is there to be done without.
        if !is_first || (index > 0 && is_narrow) {
            return Entry::Closed(Box::new(refusal));
        }
        match until.and_then(|until| self.in_time(until)) {
            Some(until) => self.park(&closed, until, refusal.kind, progress).await,
            None => Entry::Refused(Box::new(refusal.to_body().about(target))),
        }
    }

    /// What a client is told.
    async fn refusal(&self, closed: &[Arc<Limit>]) -> Refusal {
        let usage = self.context.governance.usage(closed).await.unwrap_or_default();
        let of = |at: usize| usage.get(at).copied().unwrap_or_default();
        let exceeded: Vec<_> = closed
            .iter()
            .enumerate()
            .map(|(at, limit)| (Arc::clone(limit), of(at).used, of(at).ends))
            .collect();
        self.rules.refusal(&exceeded, self.owner())
    }

    /// Its latest start, as far as that depends on its limits.
    fn latest(&self) -> Timestamp {
        let waits = [self.rules.settings(self.owner()).max_wait, self.started.max_wait];
        let wait = waits.into_iter().flatten().fold(self.context.limits.wait, Duration::min);
        after(self.started.begins, wait)
    }

    /// When to look again: then, if that is in time; none if it is too late.
    fn in_time(&self, until: Timestamp) -> Option<Timestamp> {
        let latest = self.latest();
        if until <= latest { Some(until) } else { (until < after(latest, SOON)).then_some(latest) }
    }

    async fn park(
        &self,
        closed: &[Arc<Limit>],
        until: Timestamp,
        kind: RefusalKind,
        progress: &Progress,
    ) -> Entry {
        let is_narrow = closed.iter().all(|limit| limit.scope.is_narrow());
        let lane = closed.first().filter(|_| is_narrow).map(|limit| limit.name.as_str());
        let held = &self.started.held;
        let noted = if *progress == Progress::default() { String::new() } else { progress.to_json() };
        let owed = self.may_hold().then(|| self.owed_now(progress));
        let holds = owed.is_some();
        let park = Park {
            lane: lane.map(str::to_owned),
            until,
            waits_for: kind.as_str(),
            weight: self.rules.settings(self.owner()).weight,
            progress: noted,
            owed,
        };
        let mut patience = Patience::default();
        let parked = loop {
            match self.context.queue.park(held, park.clone()).await {
                Ok(parked) => break parked,
                Err(error) => patience.after(error).await,
            }
        };
        match parked {
            Delayed::Delayed => {
                let key = self.name_of_key();
                metrics::counter!("hermod_jobs_parked_total", "key" => key, "type" => kind.as_str())
                    .increment(1);
                tracing::debug!(job = %held.id, kind = kind.as_str(), %until, "waits for its limits");
                if holds {
                    self.suspend().await;
                }
                self.look_again(lane, closed, until).await;
                Entry::Parked(kind)
            }
            Delayed::Cancelled => Entry::Cancelled,
            Delayed::Lost => Entry::Lost,
        }
    }

    /// Room that others have made after the job was refused, and before its lane was closed, is told to nobody: so its worker looks once
    /// more.
    async fn look_again(&self, lane: Option<&str>, closed: &[Arc<Limit>], until: Timestamp) {
        if until > after(Timestamp::now(), 2 * SOON) {
            return;
        }
        let Ok(usage) = self.context.governance.usage(closed).await else { return };
        let has_room = |(limit, usage): (&Arc<Limit>, &Usage)| usage.used + usage.reserved < limit.max;
        if closed.iter().zip(&usage).all(has_room) {
            let owner = self.owner().unwrap_or_default();
            let lane = lane.map_or_else(|| owner.to_owned(), |limit| format!("{owner}\n{limit}"));
            if let Err(error) = self.context.queue.open(self.started.held.id.shard(), &lane).await {
                tracing::debug!(%error, "its lane opens by itself");
            }
        }
    }

    /// What the job has used, should it end now; none where that is of no interest. Also what its record keeps while it is nobody's.
    pub(crate) fn owed(&self, progress: &Progress) -> Option<Owed> {
        let holds = self.has_asked || (self.may_hold() && self.is_governed());
        holds.then(|| self.owed_now(progress))
    }

    fn owed_now(&self, progress: &Progress) -> Owed {
        let mut charge = progress.charge.clone();
        // What starts have used that came to nothing died with their workers.
        let lost = self.started.history.lines().count();
        charge.unknown_calls += u64::try_from(lost).unwrap_or(u64::MAX) + u64::from(progress.in_call);
        // It counts for those that the job holds; which these are, Redis knows.
        let mut limits: Vec<Arc<Limit>> = Vec::new();
        for target in self.targets() {
            for limit in self.rules.limits(self.owner(), target) {
                if !limits.iter().any(|other| other.name == limit.name) {
                    limits.push(limit);
                }
            }
        }
        Owed::new(self.started.held.fence, self.targets().first(), &limits, &charge)
    }

    /// Notes that the job runs no longer, and will again.
    pub(crate) async fn suspend(&self) {
        let held = &self.started.held;
        if let Err(error) = self.context.governance.suspend(held.id, held.fence).await {
            tracing::debug!(job = %held.id, %error, "it still counts as running; the leader sees to it");
        }
    }

    /// Before the job is given back, for another worker to run: what it holds is free, if it has called nobody; if it has, its
    /// record is to keep this.
    pub(crate) async fn hand_back(&self, progress: &Progress) -> Option<(String, Owed)> {
        let owed = self.owed(progress)?;
        let has_called = progress.in_call || !progress.attempts.is_empty() || self.may_hold();
        if has_called {
            let mut noted = progress.clone();
            noted.charge.unknown_calls += u64::from(progress.in_call);
            return Some((noted.to_json(), owed));
        }
        let held = &self.started.held;
        if !matches!(timeout(REFUND, self.context.governance.refund(held.id, held.fence)).await, Ok(Ok(()))) {
            tracing::debug!(job = %held.id, "not refunded; its next start goes on with it");
        }
        None
    }
}

/// The waits of a call to Redis that is tried until it answers; whoever waits for it may give up.
#[derive(Default)]
struct Patience(u32);

impl Patience {
    async fn after(&mut self, error: QueueError) {
        tracing::debug!(%error, "the limits do not answer yet");
        sleep(BACKOFF.wait(self.0)).await;
        self.0 = self.0.saturating_add(1);
    }
}

fn after(at: Timestamp, wait: Duration) -> Timestamp {
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_add(wait))
}
