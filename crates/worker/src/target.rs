use std::sync::Arc;
use std::time::Duration;

use hermod_governance::{RefusalKind, Rules};
use hermod_providers::{
    Bill, CallError, Key, MediaSource, Meter, ProviderCall, Providers, Replies, RetryPolicy, Verdict, choose,
};
use hermod_queue::JobRequest;
use hermod_types::config::Models;
use hermod_types::governance::Money;
use hermod_types::{Attempt, ErrorCode, ResultExtra, Target, Timestamp};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cooldown::{Cooldowns, Gate};
use crate::counters::Counters;
use crate::figures::Calls;
use crate::memory::JobMemory;
use crate::progress::Progress;
use crate::spend::{EndedCall, Spending};

/// A longer wait for one target is not worth it while there is another to try.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A longer wait makes the job a delayed one, so that another takes its place in the worker.
const LONGEST_HOLD: Duration = Duration::from_secs(5);

/// What all targets of a job are run with.
#[derive(Clone, Copy)]
pub(crate) struct TargetContext<'a> {
    pub(crate) providers: &'a Providers,
    pub(crate) cooldowns: &'a Cooldowns,
    pub(crate) counters: &'a Counters,
    pub(crate) calls: &'a Calls,
    pub(crate) spending: &'a Spending,
    /// Who may use what.
    pub(crate) rules: &'a Rules,
    pub(crate) request: &'a JobRequest,
    /// What the provider gets, less the model.
    pub(crate) body: &'a str,
    /// The contents of the files of a form.
    pub(crate) media: Option<&'a Arc<dyn MediaSource>>,
    pub(crate) memory: &'a JobMemory,
    /// Cancelled once the job is to be ended as such.
    pub(crate) cancelled: &'a CancellationToken,
}

impl TargetContext<'_> {
    /// The provider's keys that the job's owner may use: all where it has none.
    fn allowed_keys(&self, target: &Target) -> Result<&Models, CallError> {
        let allowed = self.rules.provider_keys(self.request.owner.as_deref(), target, Timestamp::now());
        allowed.map_err(|refusal| {
            let code = if refusal.kind == RefusalKind::ProviderBlocked {
                ErrorCode::ProviderBlocked
            } else if refusal.kind == RefusalKind::ModelBlocked {
                ErrorCode::ModelBlocked
            } else {
                ErrorCode::AccessBlocked
            };
            CallError::not_allowed(code, refusal.message)
        })
    }
}

/// A job's time with one of its targets.
pub(crate) struct TargetRun<'a> {
    pub(crate) context: TargetContext<'a>,
    pub(crate) target: &'a Target,
    /// Its place in the chain: 0 for the primary.
    pub(crate) index: usize,
    pub(crate) progress: &'a mut Progress,
    /// When its share of the job's time is over.
    pub(crate) until: Instant,
    /// Whether no other target is left.
    pub(crate) is_last: bool,
    /// Whether it is tried even if it cools down.
    pub(crate) is_last_resort: bool,
    /// What it has answered in part.
    pub(crate) replies: Replies,
}

/// How a target's run ended.
pub(crate) enum TargetEnd {
    /// With the job's result.
    Answered(String),
    /// With an error that is final for this target.
    Failed(CallError),
    /// The target cools down, and there are others.
    CoolsDown,
    /// It is to be tried again after so long.
    Delay(Duration),
    /// The job is to be ended as cancelled.
    Cancelled,
}

impl TargetRun<'_> {
    /// Calls the target until it answers, or its keys, its retries or its share of the time are used up.
    pub(crate) async fn run(mut self) -> TargetEnd {
        let (target, providers) = (self.target, self.context.providers);
        if let Some(reason) =
            providers.cannot_serve(self.context.request.operation, target, self.context.body)
        {
            self.skip(None, &reason.message);
            return TargetEnd::Failed(CallError::inexpressible(reason));
        }
        let keys = self.context.allowed_keys(target).and_then(|allowed| providers.keys(target, allowed));
        let (keys, policy) = match (keys, providers.retry_policy(target.provider())) {
            (Ok(keys), Some(policy)) => (keys, policy),
            (Err(error), _) => return self.pass_over(error),
            (Ok(_), None) => return self.pass_over(CallError::no_key_left(target, None)),
        };
        // Keys whose pace was too high a moment ago.
        let mut paced: Vec<&str> = Vec::new();
        let (mut refusal, mut last) = (None, None);
        loop {
            let left: Vec<&Key> =
                keys.iter().copied().filter(|key| !self.progress.is_buried(target, key)).collect();
            if left.is_empty() {
                return TargetEnd::Failed(CallError::no_key_left(target, refusal.as_ref()));
            }
            let Some(key) = self.choose(&left, &paced, last).await else { return TargetEnd::CoolsDown };
            last = Some(key);
            let error = match self.call(key, policy).await {
                Some(Ok(result)) => return TargetEnd::Answered(result),
                Some(Err(error)) => error,
                None => return TargetEnd::Cancelled,
            };
            match error.verdict {
                Verdict::Retry { after, another_key } => {
                    paced.extend(key.name().filter(|_| another_key));
                    // Another key need not wait for what this one was told.
                    let is_fresh =
                        |key: &&Key| !is_in(&paced, key) && self.context.cooldowns.is_open(target, key);
                    let fresh = another_key && left.iter().any(is_fresh);
                    match self.wait(policy, after.filter(|_| !fresh)) {
                        // What was answered in part is only here, and paid for.
                        Some(wait) if wait > LONGEST_HOLD && self.replies.is_empty() => {
                            return TargetEnd::Delay(wait);
                        }
                        Some(wait) => {
                            if self.context.cancelled.run_until_cancelled(sleep(wait)).await.is_none() {
                                return TargetEnd::Cancelled;
                            }
                        }
                        None => return TargetEnd::Failed(error),
                    }
                }
                Verdict::NextKey => match key.name() {
                    Some(name) => {
                        self.progress.bury(target, name, error.status);
                        refusal = Some(error);
                    }
                    None => return TargetEnd::Failed(error),
                },
                Verdict::NextTarget | Verdict::Fail => return TargetEnd::Failed(error),
            }
        }
    }

    /// The target cannot even be called.
    fn pass_over(&mut self, error: CallError) -> TargetEnd {
        self.skip(None, error.code.as_str());
        TargetEnd::Failed(error)
    }

    fn skip(&mut self, key: Option<&Key>, why: &str) {
        let key = key.and_then(|key| self.name_in_journal(key));
        self.progress.attempts.push(Attempt::skipped(self.target, key, why, Timestamp::now()));
    }

    /// What the journal calls a key: nothing for a job of a virtual key, whose owner has no business with the names of
    /// the operator's keys.
    fn name_in_journal<'k>(&self, key: &'k Key) -> Option<&'k str> {
        key.name().filter(|_| self.context.request.owner.is_none())
    }

    /// One of the keys that do not cool down, and rather one that is not `paced`. The `last` one used may be used again:
    /// its wait is over. None if all cool down, unless there is no other target.
    async fn choose<'k>(&mut self, keys: &[&'k Key], paced: &[&str], last: Option<&Key>) -> Option<&'k Key> {
        let (mut open, mut closed) = (Vec::with_capacity(keys.len()), Vec::new());
        for key in keys {
            let was_last = last.is_some_and(|last| last.name() == key.name());
            if self.is_last_resort || was_last {
                open.push(*key);
                continue;
            }
            match self.context.cooldowns.pass(self.target, key).await {
                Gate::Open => open.push(*key),
                Gate::Closed => closed.push(*key),
                // The probe is this call's: only its outcome can lift the cooldown.
                Gate::Due => return Some(key),
            }
        }
        if open.is_empty() && self.is_last {
            return choose(keys);
        }
        for key in closed.iter().filter(|key| !is_in(paced, key)) {
            self.skip(Some(key), "cooldown");
        }
        let unpaced: Vec<&Key> = open.iter().copied().filter(|key| !is_in(paced, key)).collect();
        choose(&unpaced).or_else(|| choose(&open))
    }

    /// How long to wait before the next retry; none if there is to be none.
    fn wait(&mut self, policy: &RetryPolicy, asked: Option<Duration>) -> Option<Duration> {
        if self.progress.retries >= policy.max_retries {
            return None;
        }
        let wait = policy.backoff(self.progress.retries, asked);
        let is_too_long = wait >= self.until.saturating_duration_since(Instant::now());
        if is_too_long || (wait > LONGEST_WAIT && !self.is_last) {
            return None;
        }
        self.progress.retries += 1;
        Some(wait)
    }

    /// Makes one call, and enters it in the journal; none where the job is cancelled meanwhile. A call under way is dropped, and
    /// with it the connection to the provider, which may bill it all the same.
    async fn call(&mut self, key: &Key, policy: &RetryPolicy) -> Option<Result<String, CallError>> {
        let (target, providers, cancelled) = (self.target, self.context.providers, self.context.cancelled);
        let left = || self.until.saturating_duration_since(Instant::now());
        let permit = match cancelled.run_until_cancelled(providers.permit(target, left())).await? {
            Ok(permit) => permit,
            Err(error) => return Some(Err(error)),
        };
        let (started_at, started) = (Timestamp::now(), Instant::now());
        let (limit, body, replies) = (left(), self.context.body, &self.replies);
        let timeout = policy.request_timeout.min(limit);
        let meter: Option<&dyn Meter> = Some(self.context.memory);
        let operation = self.context.request.operation;
        let media = self.context.media.cloned();
        let bill = &Bill::default();
        let call = ProviderCall { operation, target, body, media, key, timeout, limit, replies, meter, bill };
        // Should this worker have to give the job back meanwhile.
        self.progress.in_call = true;
        let outcome = cancelled.run_until_cancelled(providers.call(call, permit)).await;
        self.progress.in_call = false;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (status, error_type, may_be_billed) = match &outcome {
            Some(Ok(_)) => (Some(200), None, false),
            Some(Err(error)) => (error.answered(), Some(type_of(error)), error.may_be_billed),
            None => (None, Some(ErrorCode::JobCancelled.kind().to_owned()), true),
        };
        self.context.counters.call(target.provider(), outcome.as_ref().map(Result::is_ok));
        if let Some(outcome) = &outcome {
            self.context.calls.add(target, started.elapsed(), outcome.is_ok());
        }
        let owner = self.context.request.owner.as_deref();
        let ended = EndedCall { operation, target, key, owner, bill, may_be_billed };
        let (call, unknown) = self.context.spending.of_call(&ended);
        self.progress.charge.unknown_calls += unknown;
        self.progress.attempts.push(Attempt {
            target: target.to_string(),
            key: self.name_in_journal(key).map(str::to_owned),
            status,
            error_type,
            started_at,
            duration_ms,
            skipped: None,
            may_be_billed,
            input_tokens: call.as_ref().map(|call| call.input_tokens),
            output_tokens: call.as_ref().map(|call| call.output_tokens),
            cost: call.as_ref().and_then(|call| call.cost).map(Money::from_nanos),
        });
        if let Some(call) = call {
            self.progress.charge.add(call);
        }
        Some(match outcome? {
            Ok(result) => {
                self.context.cooldowns.succeeded(target, key);
                let (model, sent_as) = (result.model.clone(), result.sent_as);
                let attempts = &self.progress.attempts;
                let extra = ResultExtra::new(operation, target, &model, duration_ms, self.index, attempts);
                let extra = extra.sent_as(sent_as).costing(self.progress.charge.cost());
                Ok(result.compose(&extra))
            }
            Err(error) => {
                self.context.cooldowns.failed(target, key, &error);
                Err(error)
            }
        })
    }
}

fn is_in(names: &[&str], key: &Key) -> bool {
    key.name().is_some_and(|name| names.contains(&name))
}

/// The provider's word for it where it has one.
fn type_of(error: &CallError) -> String {
    let theirs = error.detail.kind.clone().filter(|_| error.code == ErrorCode::UpstreamError);
    theirs.unwrap_or_else(|| error.code.as_str().to_owned())
}
