use std::sync::Arc;
use std::time::Duration;

use hermod_governance::{Estimate, Limit, Measure, Prices, Refusal, RefusalKind, estimate};
use hermod_queue::governance::{Admission as Answer, Ask, Limits};
use hermod_queue::{JobOptions, JobRequest, Queue, QueueError, Start, Submission, Upload};
use hermod_types::governance::UnknownPrice;
use hermod_types::{JobId, Target, Timestamp};

use super::Choice;
use crate::caller::Caller;
use crate::error::ApiError;

/// Whether a job's limits can admit it in time.
pub(crate) struct Admission<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) prices: &'a Prices,
    pub(crate) caller: &'a Caller,
    /// What its model is, if that names no provider.
    pub(crate) choice: &'a Choice,
    /// The longest that any job waits.
    pub(crate) longest: Duration,
}

/// What is asked for a job.
struct Asked<'j> {
    job: &'j mut JobRequest,
    options: &'j mut JobOptions,
    /// What it may use at most.
    estimate: Estimate,
}

impl Admission<'_> {
    /// Submits a job if its limits can admit it by its latest start. What is refused is counted nowhere.
    ///
    /// # Errors
    /// If it is not accepted.
    pub(crate) async fn submit(
        &self,
        mut job: JobRequest,
        mut options: JobOptions,
        upload: Option<Upload>,
        queue: &Queue,
    ) -> Result<Submission, ApiError> {
        let estimate = self.estimate(&job)?;
        let mut asked = Asked { job: &mut job, options: &mut options, estimate };
        let mut id = None;
        let admitted = async {
            if !Self::is_now_or_never(asked.options) {
                return self.check(&mut asked).await;
            }
            let its = match &upload {
                Some(upload) => upload.id(),
                None => queue.new_id(asked.options).map_err(ApiError::from_submit)?,
            };
            id = Some(its);
            self.admit(its, &mut asked).await
        };
        if let Err(error) = admitted.await {
            // Of a submit that is sent again, the job is there already.
            let earlier = queue.earlier(&options.repeats).await.map_err(ApiError::from_submit)?;
            return earlier.ok_or(error);
        }
        let submission = match (upload, id) {
            (Some(upload), _) => queue.submit_upload(upload, job, options).await,
            (None, Some(id)) => queue.submit_as(id, job, options).await,
            (None, None) => queue.submit(job, options).await,
        };
        let is_uncertain = submission.as_ref().is_err_and(QueueError::may_be_done);
        if let Some(id) = id
            && !is_uncertain
            && !matches!(submission, Ok(Submission::Accepted(_)))
        {
            self.refund(id).await;
        }
        submission.map_err(ApiError::from_submit)
    }

    /// What a job may use at most, which is of interest for its limits alone.
    ///
    /// # Errors
    /// If a budget is to pay for a model without a price, and the operator does not want that.
    fn estimate(&self, job: &JobRequest) -> Result<Estimate, ApiError> {
        let (rules, owner) = (&self.caller.rules, self.caller.owner());
        if rules.is_empty() {
            return Ok(Estimate::default());
        }
        let prices = self.prices.for_owner(owner);
        let mut is_limited = false;
        for target in &job.targets {
            let limits = rules.limits(owner, target);
            is_limited |= !limits.is_empty();
            let budget = limits.iter().find(|limit| limit.measure == Measure::Cost);
            if let Some(budget) = budget
                && rules.definitions().unknown_price == UnknownPrice::Refuse
                && !prices.is_known(job.operation, target)
            {
                let message = format!("Budget exceeded: nobody knows the price of {target}");
                let refusal = Refusal::new(RefusalKind::BudgetExceeded, message);
                return Err(ApiError::Refused(Refusal { code: Some(budget.id.clone()), ..refusal }));
            }
        }
        if !is_limited {
            return Ok(Estimate::default());
        }
        Ok(estimate(job.operation, &job.body, job.media_bytes, &job.targets, &prices))
    }

    fn wants(&self, target: &Target, estimate: Estimate) -> Vec<(Arc<Limit>, u64)> {
        let limits = self.caller.rules.limits(self.caller.owner(), target);
        limits.into_iter().map(|limit| (Arc::clone(&limit), estimate.amount(&limit))).collect()
    }

    /// Sees to it that a job whose target was chosen goes to one that has room now, if there is one, and that it is not accepted
    /// if its limits cannot admit it by its latest start. Nothing is counted.
    ///
    /// # Errors
    /// What the client is told.
    async fn check(&self, asked: &mut Asked<'_>) -> Result<(), ApiError> {
        if self.caller.rules.is_empty() {
            return Ok(());
        }
        self.prefer_open(asked).await?;
        // Its fallbacks are what its primary may do without.
        let Some(primary) = asked.job.targets.first() else { return Ok(()) };
        let wants = self.wants(primary, asked.estimate);
        if wants.is_empty() {
            return Ok(());
        }
        let latest = self.latest(asked.options);
        let answer = self.limits.check(&wants, latest).await.map_err(ApiError::NotAccepted)?;
        self.refuse(answer, &wants).await
    }

    /// Puts the first of the candidates in front that could start now.
    async fn prefer_open(&self, asked: &mut Asked<'_>) -> Result<(), ApiError> {
        let candidates = self.choice.candidates().filter(|candidates| candidates.len() > 1);
        for candidate in candidates.unwrap_or_default() {
            let wants = self.wants(&candidate, asked.estimate);
            let answer = if wants.is_empty() {
                Answer::Admitted
            } else {
                self.limits.check(&wants, Timestamp::now()).await.map_err(ApiError::NotAccepted)?
            };
            if answer == Answer::Admitted {
                let targets = &mut asked.job.targets;
                match targets.iter().position(|target| *target == candidate) {
                    Some(place) => targets.get_mut(..=place).unwrap_or_default().rotate_right(1),
                    None => {
                        if let Some(first) = targets.first_mut() {
                            *first = candidate;
                        }
                    }
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether it wants to start now or not at all.
    fn is_now_or_never(options: &JobOptions) -> bool {
        options.share.max_wait.is_some_and(|wait| wait.is_zero())
    }

    /// Reserves what the job with this id wants, before it is submitted.
    ///
    /// # Errors
    /// What the client is told. Nothing is reserved then.
    async fn admit(&self, id: JobId, asked: &mut Asked<'_>) -> Result<(), ApiError> {
        self.prefer_open(asked).await?;
        let Some(primary) = asked.job.targets.first() else { return Ok(()) };
        let wants = self.wants(primary, asked.estimate);
        if wants.is_empty() {
            return Ok(());
        }
        let ask = Ask { job: id, fence: 0, owner: self.caller.owner.clone(), wants: wants.clone() };
        let answer = self.limits.admit(ask).await.map_err(ApiError::NotAccepted)?;
        self.refuse(answer, &wants).await?;
        // What it waits for from now on is a worker.
        (asked.options.share.is_admitted, asked.options.share.max_wait) = (true, None);
        Ok(())
    }

    /// Gives back what was reserved for a job that was not accepted.
    async fn refund(&self, id: JobId) {
        if let Err(error) = self.limits.refund(id, 0).await {
            tracing::debug!(job = %id, %error, "what was reserved for it is freed by the leader");
        }
    }

    /// The latest start of a job that is submitted now.
    fn latest(&self, options: &JobOptions) -> Timestamp {
        let now = Timestamp::now();
        let begins = match options.start {
            Some(Start::At(at)) => at.max(now),
            Some(Start::After(delay)) => after(now, delay),
            None => now,
        };
        after(begins, options.share.max_wait.map_or(self.longest, |wait| wait.min(self.longest)))
    }

    async fn refuse(&self, answer: Answer, wants: &[(Arc<Limit>, u64)]) -> Result<(), ApiError> {
        let Answer::Closed { exceeded, .. } = answer else { return Ok(()) };
        let limits: Vec<Arc<Limit>> = exceeded
            .iter()
            .filter_map(|place| wants.get(*place))
            .map(|(limit, _)| Arc::clone(limit))
            .collect();
        // Without it, the client is told less.
        let usage = self.limits.usage(&limits).await.unwrap_or_default();
        let exceeded: Vec<_> = limits
            .into_iter()
            .enumerate()
            .map(|(at, limit)| (limit, usage.get(at).copied().unwrap_or_default()))
            .map(|(limit, usage)| (limit, usage.used, usage.ends))
            .collect();
        let refusal = self.caller.rules.refusal(&exceeded, self.caller.owner());
        metrics::counter!("hermod_submits_refused_total", "type" => refusal.kind.as_str()).increment(1);
        Err(ApiError::Refused(refusal))
    }
}

fn after(at: Timestamp, wait: Duration) -> Timestamp {
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_add(wait))
}
