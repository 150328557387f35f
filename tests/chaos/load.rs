use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use hermod_tests::Api;
use reqwest::Method;
use tokio::task::JoinSet;

use crate::job;

/// Clients that submit jobs and now and then poll one.
pub(crate) struct Load {
    apis: Arc<RwLock<Vec<Api>>>,
    stopped: AtomicBool,
    next: AtomicU64,
    /// Accepted jobs: path, and number.
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
        match api.try_send(job::submission(&api, number)).await {
            Ok(answer) if answer.status == 202 => {
                self.accepted.lock().unwrap().push((answer.header("location").to_owned(), number));
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
        if let Some(path) = earlier
            && let Ok(answer) = api.try_send(api.request(Method::GET, &path)).await
            && answer.status == 200
        {
            self.first_ends.lock().unwrap().entry(path).or_insert(answer.text);
        }
    }
}
