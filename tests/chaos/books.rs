use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hermod_tests::{Cluster, binary};

use crate::Fault;
use crate::faults::Faults;
use crate::load::Load;

/// How long after the last fault every accepted job must have ended.
const PATIENCE: Duration = Duration::from_secs(90);

/// What became of everything.
#[derive(Default)]
pub(crate) struct Books {
    faults: Vec<(Fault, usize)>,
    accepted: usize,
    refused: u64,
    completed: usize,
    failed: usize,
    lost: Vec<String>,
    calls: usize,
    repeated: usize,
    strangers: usize,
    written_twice: usize,
    stale_refused: usize,
    not_renewed: usize,
    worker_faults: usize,
    disagreements: String,
}

/// Waits for the last ends, and counts.
pub(crate) async fn close(cluster: &Cluster, load: &Load, faults: &Faults) -> Books {
    let mut books = Books {
        faults: faults.made.iter().map(|(kind, count)| (*kind, *count)).collect(),
        ..Books::default()
    };
    books.faults.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let made = |kind| faults.made.get(&kind).copied().unwrap_or_default();
    books.worker_faults = made(Fault::KillWorker) + made(Fault::Freeze);
    books.refused = load.refused.load(Ordering::Relaxed);
    let accepted = std::mem::take(&mut *load.accepted.lock().unwrap());
    books.accepted = accepted.len();
    let first_ends = std::mem::take(&mut *load.first_ends.lock().unwrap());
    let deadline = Instant::now() + PATIENCE;
    for (id, number) in &accepted {
        books.end_of(load, &first_ends, id, *number, deadline).await;
    }
    books.count_calls(cluster, &accepted);
    books.stale_refused =
        cluster.logs.with_message("result discarded: the job is no longer this worker's").len();
    books.not_renewed = cluster.logs.with_message("lease not renewed in time; the call is aborted").len();
    let check = std::process::Command::new(binary("hermod"))
        .args(["queue", "check"])
        .env("REDIS_URL", cluster.direct_redis_url())
        .output()
        .unwrap();
    if !check.status.success() {
        books.disagreements = String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned();
    }
    books
}

impl Books {
    async fn end_of(
        &mut self,
        load: &Load,
        first_ends: &HashMap<String, String>,
        id: &str,
        number: u64,
        deadline: Instant,
    ) {
        loop {
            let api = load.api(number);
            let answer = api.try_send(api.request_poll(id)).await;
            if let Ok(answer) = &answer {
                if answer.status == 200 {
                    let job = answer.json();
                    if job["status"] == "completed" {
                        self.completed += 1;
                    } else {
                        self.failed += 1;
                    }
                    self.written_twice +=
                        usize::from(first_ends.get(id).is_some_and(|first| *first != answer.text));
                    return;
                }
                if answer.status == 404 {
                    self.lost.push(format!("{id}: unknown"));
                    return;
                }
            }
            if Instant::now() > deadline {
                self.lost.push(format!("{id}: {answer:?}"));
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Each job calls each of its targets at most once, unless its worker died, was frozen, or could not reach Redis
    /// for a lease.
    fn count_calls(&mut self, cluster: &Cluster, accepted: &[(String, u64)]) {
        let known: std::collections::HashSet<u64> = accepted.iter().map(|(_, number)| *number).collect();
        let mut counts: HashMap<(u64, String), usize> = HashMap::new();
        for call in cluster.calls() {
            self.calls += 1;
            let body: serde_json::Value = serde_json::from_str(&call.body).unwrap();
            let number = body["prompt"].as_str().unwrap().trim_end().parse().unwrap();
            self.strangers += usize::from(!known.contains(&number));
            *counts.entry((number, call.model)).or_default() += 1;
        }
        self.repeated = counts.values().filter(|count| **count > 1).count();
    }

    /// Whether all is as promised. With `everysec` the last second before a kill of Redis may be lost.
    pub(crate) fn balance(&self, strict: bool) -> bool {
        let repeats_explained = self.repeated <= self.not_renewed || self.worker_faults > 0 || !strict;
        self.disagreements.is_empty()
            && repeats_explained
            && (!strict || (self.lost.is_empty() && self.written_twice == 0))
    }
}

impl fmt::Display for Books {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\nfaults")?;
        for (kind, count) in &self.faults {
            writeln!(out, "{count:>8}  {kind:?}")?;
        }
        writeln!(out, "jobs")?;
        for (count, what) in [
            (self.accepted, "accepted"),
            (usize::try_from(self.refused).unwrap_or_default(), "refused, or not answered"),
            (self.completed, "completed"),
            (self.failed, "failed"),
            (self.lost.len(), "lost"),
            (self.calls, "calls of the provider"),
            (self.repeated, "jobs that called a target more than once"),
            (self.strangers, "calls for jobs whose client got no id: the answer to the submit was lost"),
            (self.written_twice, "results that changed after a client saw them"),
            (self.stale_refused, "stale results refused by the fence"),
            (self.not_renewed, "calls aborted, as Redis could not be reached for a whole lease"),
        ] {
            writeln!(out, "{count:>8}  {what}")?;
        }
        self.lost.iter().take(20).try_for_each(|lost| writeln!(out, "lost: {lost}"))?;
        if self.disagreements.is_empty() {
            writeln!(out, "       0  records and entries that disagree")
        } else {
            writeln!(out, "records and entries disagree:\n{}", self.disagreements)
        }
    }
}
