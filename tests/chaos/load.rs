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
        let body = json!({"model": model(number), "prompt": prompt(number), "fallbacks": ["demo/echo"]});
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
    let padding = if number % 10 == 3 { 20_000 } else { 0 };
    format!("{number}{}", " ".repeat(padding))
}

/// Mostly quick calls, some that outlive faults, some that outlive the lease, some that fall back.
fn model(number: u64) -> &'static str {
    match number % 20 {
        0..12 => "demo/echo",
        12..15 => "demo/slow-200ms",
        15..17 => "demo/slow-1s",
        17 => "demo/slow-7s",
        _ => "demo/fail-503",
    }
}
