//! Who is told by webhooks: receivers that fail, hang and close at random, and one that does nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hermod_tests::{Reaction, Received, Receiver};
use serde_json::{Value, json};

use crate::habits::Webhook;

/// `max_response_payload_kbs` of the one that gets results.
pub(crate) const MOST_KBS: usize = 16;
/// `max_retries` of the one that never accepts anything.
pub(crate) const RETRIES_OF_DEAD: usize = 2;
/// Longer than any receiver hangs.
const TIMEOUT_SECONDS: u64 = 2;

/// All of them; they end with the program.
pub(crate) struct Receivers {
    each: Vec<One>,
    /// Whether they accept everything by now, but for the dead one.
    calm: Arc<AtomicBool>,
}

struct One {
    webhook: Webhook,
    receiver: Receiver,
    /// Whether each delivery was accepted, in the order in which they came.
    accepted: Arc<Mutex<Vec<bool>>>,
}

/// A delivery that came.
pub(crate) struct Told {
    pub(crate) webhook: Webhook,
    pub(crate) received: Received,
    /// Whether it was answered with 2xx.
    pub(crate) accepted: bool,
}

impl Receivers {
    pub(crate) fn start(seed: u64) -> Self {
        let calm = Arc::<AtomicBool>::default();
        let start = |webhook: Webhook| {
            let (receiver, accepted) = (Receiver::start(), Arc::<Mutex<Vec<bool>>>::default());
            let (calm, log) = (Arc::clone(&calm), Arc::clone(&accepted));
            let mut random = fastrand::Rng::with_seed(seed);
            receiver.decides(move |_| {
                let (reaction, accepts) = match webhook {
                    Webhook::Dead => (Reaction::Answer(500), false),
                    Webhook::Plain | Webhook::Full if calm.load(Ordering::Relaxed) => {
                        (Reaction::Answer(204), true)
                    }
                    Webhook::Plain | Webhook::Full => reaction(&mut random),
                };
                log.lock().unwrap().push(accepts);
                reaction
            });
            One { webhook, receiver, accepted }
        };
        Self { each: Webhook::ALL.map(start).into(), calm }
    }

    /// `webhooks` of config.json.
    pub(crate) fn endpoints(&self) -> Value {
        let endpoint = |One { webhook, receiver, .. }: &One| {
            let mut more = json!({
                "max_retries": 20,
                "retry_backoff_initial_seconds": 1,
                "retry_backoff_max_seconds": 2,
                "attempt_timeout_seconds": TIMEOUT_SECONDS,
                "max_concurrent_deliveries": 50,
            });
            match webhook {
                Webhook::Plain => {}
                Webhook::Full => {
                    more["include_response"] = json!(true);
                    more["max_response_payload_kbs"] = json!(MOST_KBS);
                    more["events"] = json!(["async_job.completed", "async_job.failed"]);
                }
                Webhook::Dead => more["max_retries"] = json!(RETRIES_OF_DEAD),
            }
            receiver.endpoint(webhook.name(), more)
        };
        self.each.iter().map(endpoint).collect()
    }

    /// From now on they accept everything, but for the dead one.
    pub(crate) fn calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// What has come. All of it was signed as it must be.
    pub(crate) fn told(&self) -> Vec<Told> {
        let told = |One { webhook, receiver, accepted }: &One| {
            let (webhook, received) = (*webhook, receiver.received());
            let accepted: Vec<bool> = accepted.lock().unwrap()[..received.len()].to_vec();
            received.into_iter().zip(accepted).map(move |(received, accepted)| Told {
                webhook,
                received,
                accepted,
            })
        };
        self.each.iter().flat_map(told).collect()
    }
}

/// What it does, and whether that accepts the delivery.
fn reaction(random: &mut fastrand::Rng) -> (Reaction, bool) {
    match random.u32(..100) {
        0..60 => (Reaction::Answer(204), true),
        60..64 => (Reaction::AnswerAfter(Duration::from_millis(random.u64(..1500))), true),
        64..74 => (Reaction::Answer(500), false),
        74..79 => (Reaction::AnswerWith(503, "retry-after", "1".to_owned()), false),
        79..84 => (Reaction::Answer(429), false),
        84..90 => (Reaction::Close, false),
        90..94 => (Reaction::Drip, false),
        _ => (Reaction::Hang, false),
    }
}
