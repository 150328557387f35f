use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use hermod_tests::{Answer, Api};
use reqwest::{Method, RequestBuilder};
use tokio::task::JoinSet;

use crate::habits::{Cancel, Habits, Repeats, Waits};
use crate::keys::Key;
use crate::{events, job};

/// How long a client goes on with what it must know: longer than anything is away here.
const PATIENCE: Duration = Duration::from_secs(60);
/// What an answer may take longer than a client waits. It catches what hangs.
const SLACK: Duration = Duration::from_secs(30);
/// What a call may take to be counted, on a machine that is busy.
const ENDED_SLACK: Duration = Duration::from_secs(2);
/// A worker that has lost Redis for a moment learns of a cancel by its next renewal.
const RUNNING_SLACK: Duration = Duration::from_secs(10);
/// Before a submit with a key, or a cancel, is sent again.
const PAUSE: Duration = Duration::from_millis(50);
/// The least that the SDKs wait.
const SDK_PAUSE: Duration = Duration::from_millis(375);

/// Clients that submit jobs, wait for them, cancel some, and now and then poll one.
pub(crate) struct Load {
    apis: Arc<RwLock<Vec<Api>>>,
    stopped: AtomicBool,
    next: AtomicU64,
    /// Accepted jobs: path, and number.
    pub(crate) accepted: Mutex<Vec<(String, u64)>>,
    /// What a poll said of a job when it had first ended.
    pub(crate) first_ends: Mutex<HashMap<String, String>>,
    /// Submits that were answered with something else than an id, or not at all.
    pub(crate) refused: AtomicU64,
    /// Jobs whose submit was to be sent until it is answered, and never was.
    pub(crate) unanswered: Mutex<HashSet<u64>>,
    /// What was said to those who cancelled a job, by its path.
    pub(crate) cancels: Mutex<HashMap<String, Cancelled>>,
    pub(crate) counts: Counts,
    /// What is not as promised, a line each.
    pub(crate) wrong: Mutex<Vec<String>>,
}

/// What clients have seen.
#[derive(Default)]
pub(crate) struct Counts {
    /// Answers to submits that were those to earlier ones.
    pub(crate) replayed: AtomicU64,
    /// Requests that waited, and were answered with the end, without it, or not at all.
    pub(crate) waited: AtomicU64,
    pub(crate) waited_in_vain: AtomicU64,
    pub(crate) waits_broken: AtomicU64,
    /// Streams of events that told the end, and those that broke and were opened again.
    pub(crate) streams: AtomicU64,
    pub(crate) streams_broken: AtomicU64,
}

/// The answer to a cancel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cancelled {
    pub(crate) number: u64,
    /// 200, 202 or 409; 204 for a job that is gone.
    pub(crate) status: u16,
    pub(crate) at: Instant,
}

impl Cancelled {
    /// From when on no call may be made for the job; none if it had ended by itself.
    pub(crate) fn is_over_at(&self) -> Option<Instant> {
        match self.status {
            // It had not run, and never does.
            200 => Some(self.at + ENDED_SLACK),
            202 => Some(self.at + RUNNING_SLACK),
            _ => None,
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A request about a job, with its key.
pub(crate) fn request(api: &Api, method: Method, path: &str, number: u64) -> RequestBuilder {
    Key::of(number).add_to(api.request(method, path))
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
            unanswered: Mutex::default(),
            cancels: Mutex::default(),
            counts: Counts::default(),
            wrong: Mutex::default(),
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

    pub(crate) fn wrong(&self, line: String) {
        self.wrong.lock().unwrap().push(line);
    }

    /// Notes how a job has ended, as somebody was told.
    pub(crate) fn ended(&self, path: &str, text: String) {
        self.first_ends.lock().unwrap().entry(path.to_owned()).or_insert(text);
    }

    async fn step(&self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let habits = Habits::of(number);
        let path = match habits.repeats {
            Repeats::Never => self.submit(number, &habits, 0).await,
            Repeats::Count => self.submit_until_answered(number, &habits, 0).await,
            Repeats::Key { at_once } => self.submit_with_key(number, &habits, at_once).await,
        };
        if let Some(path) = path {
            self.accepted.lock().unwrap().push((path.clone(), number));
            let wait = async {
                match habits.waits {
                    Waits::Never | Waits::Submit(_) => {}
                    Waits::Poll(seconds) => self.wait(number, &path, seconds).await,
                    Waits::Events => events::follow(self, number, &path).await,
                }
            };
            let cancel = async {
                if let Some(cancel) = habits.cancel {
                    self.cancel(number, &path, cancel).await;
                }
            };
            tokio::join!(wait, cancel);
        } else if habits.repeats != Repeats::Never {
            self.unanswered.lock().unwrap().insert(number);
        }
        // What a client saw once must not change: an earlier job is looked at.
        let earlier = {
            let accepted = self.accepted.lock().unwrap();
            accepted.len().checked_sub(200).map(|index| accepted[index].clone())
        };
        let api = self.api(number);
        if let Some((path, earlier)) = earlier
            && let Ok(answer) = api.try_send(request(&api, Method::GET, &path, earlier)).await
            && answer.status == 200
        {
            self.ended(&path, answer.text);
        }
    }

    /// Submits a job; its path, if it is accepted.
    async fn submit(&self, number: u64, habits: &Habits, tries: usize) -> Option<String> {
        let api = self.api(number + u64::try_from(tries).unwrap());
        let submit = habits.add_to(job::submission(&api, number), number, tries);
        let seconds = match habits.waits {
            Waits::Submit(seconds) => Some(seconds),
            Waits::Never | Waits::Poll(_) | Waits::Events => None,
        };
        let answer = self.send(&api, submit, number, seconds).await;
        let Some(answer) = answer.filter(|answer| matches!(answer.status, 200 | 202)) else {
            count(&self.refused);
            return None;
        };
        if answer.header("idempotent-replayed") == "true" {
            count(&self.counts.replayed);
        }
        let path = answer.header("location").to_owned();
        if answer.status == 200 {
            self.ended(&path, answer.text);
        }
        Some(path)
    }

    /// The same until there is an answer.
    async fn submit_until_answered(&self, number: u64, habits: &Habits, first: usize) -> Option<String> {
        let pause = if habits.repeats == Repeats::Count { SDK_PAUSE } else { PAUSE };
        let until = Instant::now() + PATIENCE;
        for tries in first.. {
            if let Some(path) = self.submit(number, habits, tries).await {
                return Some(path);
            }
            if Instant::now() > until {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        None
    }

    /// Submits it more than once, over other API processes; all must be told the same job.
    async fn submit_with_key(&self, number: u64, habits: &Habits, at_once: bool) -> Option<String> {
        let one = self.submit_until_answered(number, habits, 0);
        let other = self.submit_until_answered(number, habits, 1);
        let (one, other) = if at_once { tokio::join!(one, other) } else { (one.await, other.await) };
        if one.is_some() && other.is_some() && one != other {
            self.wrong(format!("submits of job {number} with one key made two jobs: {one:?}, {other:?}"));
        }
        one.or(other)
    }

    /// Sends a request, which waits for so many seconds at most; none without an answer.
    pub(crate) async fn send(
        &self,
        api: &Api,
        request: RequestBuilder,
        number: u64,
        seconds: Option<u64>,
    ) -> Option<Answer> {
        let started = Instant::now();
        let answer = api.try_send(request).await.ok();
        let Some(seconds) = seconds else { return answer };
        if started.elapsed() > Duration::from_secs(seconds) + SLACK {
            self.wrong(format!("job {number}: a wait of {seconds} s took {:?}", started.elapsed()));
        }
        let counts = &self.counts;
        match answer.as_ref().map(|answer| answer.status) {
            Some(200) => count(&counts.waited),
            Some(202) => count(&counts.waited_in_vain),
            Some(_) | None => count(&counts.waits_broken),
        }
        if let Some(answer) = answer.as_ref().filter(|answer| matches!(answer.status, 200 | 202))
            && answer.header("preference-applied") != format!("wait={seconds}")
        {
            self.wrong(format!("job {number}: the wait was not applied: {answer:?}"));
        }
        answer
    }

    /// Polls once, and waits meanwhile.
    async fn wait(&self, number: u64, path: &str, seconds: u64) {
        let api = self.api(number);
        let poll = request(&api, Method::GET, path, number).header("prefer", format!("wait={seconds}"));
        if let Some(answer) = self.send(&api, poll, number, Some(seconds)).await
            && answer.status == 200
        {
            self.ended(path, answer.text);
        }
    }

    /// Cancels a job until there is an answer.
    async fn cancel(&self, number: u64, path: &str, how: Cancel) {
        tokio::time::sleep(how.after).await;
        let Some(first) = self.cancel_until_answered(number, 0, path, how).await else { return };
        self.cancels.lock().unwrap().insert(path.to_owned(), first);
        if how.again && !how.removes {
            let Some(second) = self.cancel_until_answered(number, 1, path, how).await else { return };
            let agrees = match first.status {
                202 => matches!(second.status, 200 | 202),
                status => second.status == status,
            };
            if !agrees {
                self.wrong(format!("{path}: cancels were answered {} and {}", first.status, second.status));
            }
        }
    }

    async fn cancel_until_answered(
        &self,
        number: u64,
        first: u64,
        path: &str,
        how: Cancel,
    ) -> Option<Cancelled> {
        let (until, mut is_lost) = (Instant::now() + PATIENCE, false);
        for tries in first.. {
            let api = self.api(number + tries);
            let request = if how.removes {
                request(&api, Method::DELETE, path, number)
            } else {
                request(&api, Method::POST, &format!("{path}/cancel"), number)
            };
            let answer = api.try_send(request).await;
            let said = |status| Some(Cancelled { number, status, at: Instant::now() });
            match answer.map(|answer| answer.status) {
                Ok(status @ (200 | 202 | 204 | 409)) => return said(status),
                // An earlier try may have removed it.
                Ok(404) if how.removes && is_lost => return said(204),
                Ok(503) => {}
                Ok(status) => {
                    self.wrong(format!("{path}: a cancel was answered {status}"));
                    return None;
                }
                Err(_) => is_lost = true,
            }
            if Instant::now() > until {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }
}
