//! Limits on a real Redis: what the scripts promise, in each order in which they may be called.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod admission;
mod openings;
mod server;
mod settlement;
mod sweep;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use hermod_governance::{CallCharge, Charge, Limit, Measure, Scope, Window};
use hermod_queue::governance::{Admission, Ask, Limits, Owed, Usage};
use hermod_types::{JobId, Shard};

use server::Server;

/// A limit of the key `k`.
fn limit(name: &str, measure: Measure, max: u64) -> Arc<Limit> {
    let window = match measure {
        Measure::Running => Window::Never,
        Measure::Requests | Measure::Tokens | Measure::Cost => Window::Rolling(Duration::from_secs(3600)),
    };
    let (scope, id) = (Scope::Key("k".to_owned()), name.to_owned());
    Arc::new(Limit { name: name.to_owned(), id, measure, max, window, scope })
}

fn new_job() -> JobId {
    JobId::new(Shard::default())
}

/// Asks for a job of the key `k`.
async fn ask(limits: &Limits, job: JobId, fence: u64, wants: &[(&Arc<Limit>, u64)]) -> Admission {
    let wants = wants.iter().map(|(limit, amount)| (Arc::clone(limit), *amount)).collect();
    limits.admit(Ask { job, fence, owner: Some("k".to_owned()), wants }).await.unwrap()
}

fn exceeded(admission: &Admission) -> &[usize] {
    match admission {
        Admission::Admitted => &[],
        Admission::Closed { exceeded, .. } => exceeded,
    }
}

/// What a job has used that has called `demo/echo` once.
fn owed(fence: u64, limits: &[&Arc<Limit>], tokens: u64, cost: u64) -> Owed {
    let target = "demo/echo".parse().unwrap();
    let call = CallCharge { target, input_tokens: tokens, output_tokens: 0, cost: Some(cost) };
    let charge = Charge { calls: vec![call.clone()], unknown_calls: 0 };
    let limits: Vec<_> = limits.iter().map(|limit| Arc::clone(limit)).collect();
    Owed::new(fence, Some(&call.target), &limits, &charge)
}

async fn usage(limits: &Limits, limit: &Arc<Limit>) -> (u64, u64) {
    let Usage { used, reserved, .. } = limits.usage(&[Arc::clone(limit)]).await.unwrap()[0];
    (used, reserved)
}
