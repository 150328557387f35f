//! What the provider's calls say: was each made once, and if not, why not?

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hermod_tests::{Cluster, ReceivedCall};
use serde_json::Value;

use crate::faults::Harm;
use crate::job;
use crate::load::Cancelled;

/// `max_retries` of the provider `patient`; the other has none.
pub(crate) const RETRIES_OF_PATIENT: usize = 1;

/// How long a worker that was frozen or cut off may take until it knows which jobs it has lost.
const TO_LEARN: Duration = Duration::from_secs(3);

/// What became of the calls.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) made: usize,
    /// Jobs that waited for a retry.
    pub(crate) delayed: usize,
    /// Calls for a job and a target that had been called before, by a worker that was then killed, frozen or cut off; or
    /// made by such a worker before it knew that the job was another's.
    pub(crate) explained: usize,
    /// Those that nothing was done to whoever had made the call before, a line each.
    pub(crate) unexplained: Vec<String>,
    /// Calls for jobs that no client knows of: the answer to the submit was lost.
    pub(crate) strangers: HashSet<u64>,
    /// Calls for jobs that had been cancelled, where nothing was done to the worker, a line each.
    pub(crate) after_cancel: Vec<String>,
    /// Calls whose files are not what was uploaded, a line each.
    pub(crate) damaged: Vec<String>,
    /// Calls with a file, and the bytes of all of these.
    pub(crate) uploads: (usize, usize),
    /// How long after the kill of its worker each call was made again, where no other worker was killed between.
    pub(crate) after_kill: Vec<Duration>,
}

impl Calls {
    pub(crate) async fn count(
        cluster: &Cluster,
        known: &HashSet<u64>,
        harm: &[Harm],
        cancels: &HashMap<String, Cancelled>,
    ) -> Self {
        let mut calls = Self::default();
        let mut by_target: BTreeMap<(u64, String), Vec<Call>> = BTreeMap::new();
        let cancels: HashMap<u64, &Cancelled> =
            cancels.values().map(|cancel| (cancel.number, cancel)).collect();
        let harm = Harms::new(harm);
        for call in cluster.calls() {
            calls.made += 1;
            let file = file_of(&call).await;
            let job = file.as_ref().map_or_else(|| number_in(&call.body), |(job, _)| *job);
            if let Some((_, content)) = file {
                calls.uploads.0 += 1;
                calls.uploads.1 += content.len();
                if content != job::file(job) {
                    calls.damaged.push(format!("job {job}: {} bytes of another file", content.len()));
                }
            }
            let call = Call { job, worker: Cluster::worker_of(&call), model: call.model, at: call.at };
            if !known.contains(&call.job) {
                calls.strangers.insert(call.job);
            }
            let late = cancels
                .get(&call.job)
                .and_then(|cancel| call.at.checked_duration_since(cancel.is_over_at()?));
            if let Some(late) = late.filter(|_| !harm.is_stale(&call)) {
                let Call { job, worker, model, .. } = &call;
                calls.after_cancel.push(format!("job {job}: {model} by worker {worker}, {late:?} too late"));
            }
            by_target.entry((call.job, call.model.clone())).or_default().push(call);
        }
        for ((job, model), made) in &by_target {
            calls.pairs(*job, model, made, &harm);
        }
        calls
    }

    /// Looks at each call for a job and a target, and the next one.
    fn pairs(&mut self, job: u64, model: &str, made: &[Call], harm: &Harms<'_>) {
        let mut retries = if model.starts_with("retry-after") { RETRIES_OF_PATIENT } else { 0 };
        self.delayed += usize::from(retries > 0 && made.len() > 1);
        for (call, next) in made.iter().zip(made.iter().skip(1)) {
            if let Some(done) = harm.between(call, next) {
                self.explained += 1;
                if done.until.is_none() && harm.is_alone(done, next.at) {
                    self.after_kill.push(next.at - done.from);
                }
            } else if harm.is_stale(next) {
                self.explained += 1;
            } else if retries > 0 {
                retries -= 1;
            } else {
                self.unexplained.push(format!(
                    "job {job}: {model} was called by worker {} and {:?} later by worker {}",
                    call.worker,
                    next.at - call.at,
                    next.worker
                ));
            }
        }
    }
}

struct Call {
    job: u64,
    model: String,
    worker: usize,
    at: Instant,
}

/// The job's number in a call's JSON.
fn number_in(body: &str) -> u64 {
    let body: Value = serde_json::from_str(body).unwrap();
    let places = ["/prompt", "/input", "/messages/0/content", "/messages/0/content/0/text"];
    let text = places.iter().find_map(|place| body.pointer(place)?.as_str()).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// The job's number and the content of the file in a call's form; none where it has none.
async fn file_of(call: &ReceivedCall) -> Option<(u64, Bytes)> {
    if call.form.is_empty() {
        return None;
    }
    let parts = call.parts().await.unwrap();
    let file = parts.into_iter().find(|part| part.filename.is_some())?;
    let number = file.filename.unwrap().trim_end_matches(".bin").parse().unwrap();
    Some((number, file.content))
}

/// What was done to the workers.
struct Harms<'a> {
    by_worker: HashMap<usize, Vec<&'a Harm>>,
    all: &'a [Harm],
}

impl<'a> Harms<'a> {
    fn new(all: &'a [Harm]) -> Self {
        let mut by_worker: HashMap<usize, Vec<&Harm>> = HashMap::new();
        for harm in all {
            by_worker.entry(harm.worker).or_default().push(harm);
        }
        Self { by_worker, all }
    }

    /// What was done to the worker of `call` before `next` was made.
    fn between(&self, call: &Call, next: &Call) -> Option<&'a Harm> {
        let mut own = self.by_worker.get(&call.worker)?.iter().copied();
        own.find(|harm| harm.from <= next.at && harm.until.is_none_or(|until| until >= call.at))
    }

    /// Whether the worker of `call` was frozen or cut off and has not had the time to learn that the job is another's.
    fn is_stale(&self, call: &Call) -> bool {
        let mut own = self.by_worker.get(&call.worker).into_iter().flatten();
        own.any(|harm| harm.from <= call.at && harm.until.is_none_or(|until| call.at <= until + TO_LEARN))
    }

    /// Whether nothing else was done to any worker from then on until `end`.
    fn is_alone(&self, one: &Harm, end: Instant) -> bool {
        self.all.iter().filter(|other| (one.from..=end).contains(&other.from)).count() == 1
    }
}
