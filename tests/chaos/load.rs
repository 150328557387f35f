use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use hermod_tests::Api;
use serde_json::json;
use tokio::task::JoinSet;

/// Clients that submit jobs and now and then poll one.
pub(crate) struct Load {
    apis: Arc<RwLock<Vec<Api>>>,
    stopped: AtomicBool,
    next: AtomicU64,
    /// Accepted jobs: id, and the number in its prompt.
    pub(crate) accepted: Mutex<Vec<(String, u64)>>,
    /// What a poll said of a job when it had first ended.
    pub(crate) first_ends: Mutex<HashMap<String, String>>,
    /// Submits that were answered with something else than 202, or not at all.
    pub(crate) refused: AtomicU64,
}

impl Load {
    pub(crate) fn new(apis: Arc<RwLock<Vec<Api>>>) -> Self {
        Self {
            apis,
            stopped: AtomicBool::new(false),
            next: AtomicU64::new(0),
            accepted: Mutex::default(),
            first_ends: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    pub(crate) fn start(self: &Arc<Self>, clients: usize) -> JoinSet<()> {
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let load = Arc::clone(self);
            set.spawn(async move {
                while !load.stopped.load(Ordering::Relaxed) {
                    load.step().await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
        set
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// One of the API processes.
    pub(crate) fn api(&self, number: u64) -> Api {
        let apis = self.apis.read().unwrap();
        apis[usize::try_from(number).unwrap() % apis.len()].clone()
    }

    async fn step(&self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let api = self.api(number);
        let mut body = json!({"model": model(number), "prompt": prompt(number), "fallbacks": ["demo/echo"]});
        if choices(number) > 1 {
            body["n"] = json!(choices(number));
        }
        match api.try_send(api.submission(body.to_string())).await {
            Ok(answer) if answer.status == 202 => {
                let id = answer.json()["id"].as_str().unwrap().to_owned();
                self.accepted.lock().unwrap().push((id, number));
            }
            Ok(answer) => {
                assert!(matches!(answer.status, 429 | 503), "{answer:?}");
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        // What a client saw once must not change: an earlier job is looked at.
        let earlier = {
            let accepted = self.accepted.lock().unwrap();
            accepted.len().checked_sub(200).map(|index| accepted[index].0.clone())
        };
        if let Some(id) = earlier
            && let Ok(answer) = api.try_send(api.request_poll(&id)).await
            && answer.status == 200
        {
            self.first_ends.lock().unwrap().entry(id).or_insert(answer.text);
        }
    }
}

/// The number; some are large enough to be kept apart from their records.
fn prompt(number: u64) -> String {
    let padding = match number % 100 {
        27 => 200_000,
        part if part % 10 == 3 => 20_000,
        part if part % 10 == 7 => 3_000,
        _ => 0,
    };
    format!("{number}{}", " ".repeat(padding))
}

/// How often the prompt is answered: a small body may have a large outcome.
pub(crate) fn choices(number: u64) -> u64 {
    if number % 10 == 7 { 8 } else { 1 }
}

/// Mostly quick calls, some that outlive faults, some that outlive the lease, some that are delayed until a retry, some
/// that fall back.
fn model(number: u64) -> String {
    // Each has a cooldown of its own; a Retry-After of "06" is one of 6 s.
    const WAITS: [&str; 8] = ["6", "7", "8", "9", "06", "07", "08", "09"];
    match number % 20 {
        0..9 => "demo/echo".to_owned(),
        9..12 => "demo/slow-200ms".to_owned(),
        12..14 => "demo/slow-1s".to_owned(),
        14 => "demo/slow-7s".to_owned(),
        15..17 => {
            let wait = usize::try_from(number / 20).unwrap() % WAITS.len();
            format!("patient/retry-after-{}", WAITS[wait])
        }
        _ => "demo/fail-503".to_owned(),
    }
}
