use std::fmt::Write;
use std::sync::Arc;

use hermod_types::Timestamp;
use hermod_types::governance::Money;

use super::Rules;
use crate::{Limit, Measure, Refusal, RefusalKind, Scope};

impl Rules {
    /// What `owner` is told of limits that do not admit a job: of the first of them, with the time from which on all of them may.
    /// Each comes with how much of it is used, and with the end of its window. Whoever may not use the service at all is told that,
    /// and nothing of limits.
    pub fn refusal(&self, exceeded: &[(Arc<Limit>, u64, Option<Timestamp>)], owner: Option<&str>) -> Refusal {
        if let Err(refusal) = self.admits(owner, Timestamp::now()) {
            return refusal;
        }
        let Some((first, used, _)) = exceeded.first() else {
            return Refusal::new(RefusalKind::RateLimited, "Rate limit exceeded");
        };
        // Jobs that run have no window; who waits for them tries again soon.
        let windows = || exceeded.iter().filter(|(limit, ..)| limit.measure != Measure::Running);
        let ends: Option<Vec<Timestamp>> = windows().map(|(_, _, ends)| *ends).collect();
        let retry_at = ends.and_then(|ends| ends.into_iter().max());
        let whose = level(&first.scope);
        let (kind, message) = match first.measure {
            Measure::Cost => (RefusalKind::BudgetExceeded, budget_message(whose, *used, first.max)),
            Measure::Running => {
                let message = format!(
                    "Concurrency limit exceeded: {whose} may have {} jobs running at one time",
                    first.max
                );
                (RefusalKind::ConcurrencyLimited, message)
            }
            Measure::Tokens | Measure::Requests => {
                let parts: Vec<_> = exceeded
                    .iter()
                    .filter(|(limit, ..)| limit.id == first.id && is_rate(limit.measure))
                    .collect();
                let kind = match (first.measure, parts.len()) {
                    (_, 2..) => RefusalKind::RateLimited,
                    (Measure::Tokens, _) => RefusalKind::TokenLimited,
                    _ => RefusalKind::RequestLimited,
                };
                let mut message = format!("Rate limit exceeded: rate limit violated for {whose}: [");
                for (index, (limit, used, _)) in parts.iter().enumerate() {
                    let what = if limit.measure == Measure::Tokens { "token" } else { "request" };
                    let (space, max) = (if index > 0 { " " } else { "" }, limit.max);
                    let every = self.limits.duration(&limit.name).unwrap_or("unknown");
                    // Writing to a string has no way to fail.
                    write!(message, "{space}{what} limit exceeded ({used}/{max}, resets every {every})")
                        .unwrap_or_default();
                }
                message.push(']');
                (kind, message)
            }
        };
        Refusal { kind, message, code: Some(first.id.clone()), retry_at }
    }

    /// What `owner` is told whose jobs that wait are as many as it may have.
    pub fn queue_refusal(&self, owner: Option<&str>) -> Refusal {
        let message = match self.settings(owner).max_waiting {
            Some(most) => format!("Queue limit exceeded: {most} jobs may wait at one time"),
            None => "Queue limit exceeded".to_owned(),
        };
        let code = Some(owner.unwrap_or_default().to_owned());
        Refusal { kind: RefusalKind::QueueLimited, message, code, retry_at: None }
    }
}

const fn is_rate(measure: Measure) -> bool {
    matches!(measure, Measure::Tokens | Measure::Requests)
}

fn budget_message(whose: &str, used: u64, max: u64) -> String {
    let [used_dollars, max_dollars] = [used, max].map(Money::from_nanos);
    if used >= max {
        format!("Budget exceeded: {whose} budget exceeded: {used_dollars} >= {max_dollars} dollars")
    } else {
        format!(
            "Budget exceeded: {whose} budget exceeded: {used_dollars} of {max_dollars} dollars are used, and this may cost more than is left"
        )
    }
}

/// What a limit is of. No names: who is told knows its own, and has no business with another's.
const fn level(scope: &Scope) -> &'static str {
    match scope {
        Scope::Customer(_) => "customer",
        Scope::Team(_) => "team",
        Scope::Key(_) => "virtual key",
        Scope::KeyProvider { .. } => "provider config",
        Scope::Model { key: Some(_), .. } => "model of the virtual key",
        Scope::Model { key: None, .. } => "model",
        Scope::Provider(_) => "provider",
    }
}
