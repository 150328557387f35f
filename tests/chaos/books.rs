use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hermod_tests::{Cluster, binary};
use serde_json::Value;

use crate::calls::Calls;
use crate::faults::Faults;
use crate::load::Load;
use crate::{DEFAULT_LEASE, Fault, Fsync, Settings};

/// How long after the last fault every accepted job must have ended.
const PATIENCE: Duration = Duration::from_secs(90);
/// How much longer than the lease it may take until a killed worker's job runs again.
const RECLAIM: Duration = Duration::from_secs(2);
/// So many lines of each kind are printed.
const MOST_LINES: usize = 20;

/// What became of everything.
#[derive(Default)]
pub(crate) struct Books {
    faults: Vec<(Fault, usize)>,
    accepted: usize,
    refused: u64,
    completed: usize,
    /// Jobs that failed, though each has a fallback that never does.
    failed: Vec<String>,
    lost: Vec<String>,
    /// Jobs whose result is not what their prompt asks for.
    wrong: Vec<String>,
    written_twice: usize,
    calls: Calls,
    stale_refused: usize,
    not_ready: Vec<String>,
    leaks: Vec<String>,
    disagreements: String,
}

/// Waits for the last ends, and counts.
pub(crate) async fn close(cluster: &Cluster, load: &Load, faults: &Faults) -> Books {
    let mut books = Books {
        faults: faults.made.iter().map(|(kind, count)| (*kind, *count)).collect(),
        refused: load.refused.load(Ordering::Relaxed),
        ..Books::default()
    };
    books.faults.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let accepted = std::mem::take(&mut *load.accepted.lock().unwrap());
    books.accepted = accepted.len();
    let first_ends = std::mem::take(&mut *load.first_ends.lock().unwrap());
    let deadline = Instant::now() + PATIENCE;
    for (id, number) in &accepted {
        books.end_of(load, &first_ends, id, *number, deadline).await;
    }
    books.leaks = drained(cluster, deadline).await;
    let known: HashSet<u64> = accepted.iter().map(|(_, number)| *number).collect();
    books.calls = Calls::count(cluster, &known, &faults.harm);
    books.stale_refused =
        cluster.logs.with_message("result discarded: the job is no longer this worker's").len();
    for (index, worker) in cluster.worker_ports.iter().enumerate() {
        match worker.try_send(worker.request(reqwest::Method::GET, "/readyz")).await {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => books.not_ready.push(answer.text),
            Err(_) => {
                let log = cluster.log_of_worker(index).all();
                books
                    .not_ready
                    .push(format!("it is gone: {:?}", log.iter().rev().take(5).collect::<Vec<_>>()));
            }
        }
    }
    let check = std::process::Command::new(binary("hermod"))
        .args(["queue", "check"])
        .env("REDIS_URL", cluster.redis_url())
        .output()
        .unwrap();
    if !check.status.success() {
        books.disagreements = String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned();
    }
    books
}

/// Waits until Redis holds nothing that would stay. Jobs that no client knows of end, too.
async fn drained(cluster: &Cluster, deadline: Instant) -> Vec<String> {
    loop {
        let leaks = cluster.leaks();
        if leaks.is_empty() || Instant::now() > deadline {
            return leaks;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
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
                    self.ended(id, number, &answer.json());
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

    fn ended(&mut self, id: &str, number: u64, job: &Value) {
        if job["status"] != "completed" {
            self.failed.push(format!("{id}: {}", job["error"]));
            return;
        }
        self.completed += 1;
        let texts: Vec<_> =
            job["result"]["choices"].as_array().unwrap().iter().map(|choice| &choice["text"]).collect();
        let expected = number.to_string();
        let is_right = |text: &&Value| text.as_str().is_some_and(|text| text.trim_end() == expected);
        let choices = usize::try_from(crate::load::choices(number)).unwrap();
        if texts.len() != choices || !texts.iter().all(is_right) {
            self.wrong.push(format!("{id}: {} choices for prompt {number}", texts.len()));
        }
    }

    /// What is not as promised. With `everysec` the last second before a kill of Redis may be lost.
    pub(crate) fn faults_of(&self, settings: &Settings) -> Vec<String> {
        let mut faults = Vec::new();
        let mut none = |what: &str, lines: &[String]| {
            if !lines.is_empty() {
                let first: Vec<_> = lines.iter().take(MOST_LINES).map(String::as_str).collect();
                faults.push(format!("{} {what}:\n  {}", lines.len(), first.join("\n  ")));
            }
        };
        none("jobs failed, though their fallback never does", &self.failed);
        none("results are wrong", &self.wrong);
        none("workers are not ready", &self.not_ready);
        none("keys stay in Redis", &self.leaks);
        if settings.fsync == Fsync::Always {
            none("accepted jobs are lost", &self.lost);
            none("calls were repeated, though nothing was done to their worker", &self.calls.unexplained);
            if self.written_twice > 0 {
                faults.push(format!("{} results changed after a client saw them", self.written_twice));
            }
        }
        if !self.disagreements.is_empty() {
            faults.push(format!("records and entries disagree:\n{}", self.disagreements));
        }
        let limit = DEFAULT_LEASE + RECLAIM;
        if settings.defaults && self.calls.after_kill.is_empty() {
            faults.push("no worker was killed in mid-call".to_owned());
        }
        if settings.defaults && self.calls.after_kill.iter().any(|after| *after > limit) {
            faults.push(format!("a killed worker's job ran again later than {limit:?} after the kill"));
        }
        faults
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
            (self.failed.len(), "failed"),
            (self.lost.len(), "lost"),
            (self.wrong.len(), "with a wrong result"),
            (self.written_twice, "results that changed after a client saw them"),
            (self.calls.delayed, "delayed until a retry"),
            (self.calls.strangers, "whose client got no id: the answer to the submit was lost"),
            (self.stale_refused, "stale results refused by the fence"),
        ] {
            writeln!(out, "{count:>8}  {what}")?;
        }
        writeln!(out, "calls of the provider")?;
        for (count, what) in [
            (self.calls.made, "made"),
            (self.calls.explained, "repeated after their worker was killed, frozen or cut off"),
            (self.calls.unexplained.len(), "repeated for no reason"),
        ] {
            writeln!(out, "{count:>8}  {what}")?;
        }
        let mut after = self.calls.after_kill.clone();
        after.sort_unstable();
        if let (Some(least), Some(most)) = (after.first(), after.last()) {
            writeln!(
                out,
                "{:>8}  repeated after a kill alone: {:.1} to {:.1} s after it, in the median {:.1} s",
                after.len(),
                least.as_secs_f64(),
                most.as_secs_f64(),
                after[after.len() / 2].as_secs_f64()
            )?;
        }
        Ok(())
    }
}
