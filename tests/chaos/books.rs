use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hermod::demo::Demo;
use hermod_tests::{Answer, Cluster, binary};
use redis::{Commands, Connection};
use reqwest::Method;

use crate::calls::Calls;
use crate::deliveries::{Deliveries, End};
use crate::drain;
use crate::faults::Faults;
use crate::habits::{Habits, Repeats, Webhook};
use crate::job::{self, Kind};
use crate::load::{Cancelled, Counts, Load, request};
use crate::receivers::Receivers;
use crate::usage::Usage;
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
    by_kind: BTreeMap<Kind, usize>,
    refused: u64,
    completed: usize,
    /// Jobs that failed, though each has a fallback that never does.
    failed: Vec<String>,
    lost: Vec<String>,
    /// Jobs that were cancelled, and those that had ended by themselves when their client wished it.
    cancelled: usize,
    cancelled_too_late: usize,
    /// Jobs that their client has removed.
    removed: usize,
    /// Jobs that ended otherwise than the answer to their cancel said.
    disagree: Vec<String>,
    /// How the jobs ended that are to be told of, by their id.
    hooked: HashMap<String, (Webhook, End)>,
    deliveries: Deliveries,
    /// Counts of what clients saw, with their names.
    seen: Vec<(u64, &'static str)>,
    /// What clients saw that is not as promised.
    wrong_answers: Vec<String>,
    /// Records of jobs that should not be there, beyond those that clients know of.
    uncounted: i64,
    /// Jobs whose result is not what they ask for.
    wrong: Vec<String>,
    written_twice: Vec<String>,
    /// Bytes of speech that were compared.
    content_bytes: usize,
    calls: Calls,
    stale_refused: usize,
    not_ready: Vec<String>,
    leaks: Vec<String>,
    /// Keys of uploads, bodies and outcomes whose writers died: they expire.
    staged: usize,
    disagreements: String,
    usage: Usage,
}

/// Waits for the last ends, and counts.
pub(crate) async fn close(cluster: &Cluster, load: &Load, faults: &Faults, receivers: &Receivers) -> Books {
    let mut books = Books {
        faults: faults.made.iter().map(|(kind, count)| (*kind, *count)).collect(),
        refused: load.refused.load(Ordering::Relaxed),
        ..Books::default()
    };
    books.faults.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let accepted = std::mem::take(&mut *load.accepted.lock().unwrap());
    books.accepted = accepted.len();
    let first_ends = std::mem::take(&mut *load.first_ends.lock().unwrap());
    let cancels = std::mem::take(&mut *load.cancels.lock().unwrap());
    drain::backlog_ends(cluster, PATIENCE).await;
    let deadline = Instant::now() + PATIENCE;
    let reference = reference();
    for (path, number) in &accepted {
        *books.by_kind.entry(Kind::of(*number)).or_default() += 1;
        books.end_of(load, &first_ends, cancels.get(path), &reference, path, *number, deadline).await;
    }
    books.leaks = drain::leaks(cluster, deadline).await;
    books.deliveries = Deliveries::count(&receivers.told(), &books.hooked, &load.api(0)).await;
    books.usage = Usage::count(cluster, &load.api(0), deadline).await;
    books.seen(load);
    let count = |mut redis: Connection| redis.keys::<_, Vec<String>>("*:staged:*").unwrap().len();
    books.staged = cluster.connections().into_iter().map(count).sum();
    let known: HashSet<u64> = accepted.iter().map(|(_, number)| *number).collect();
    books.calls = Calls::count(cluster, &known, &faults.harm, &cancels).await;
    books.count_records(cluster, &accepted, load);
    books.stale_refused =
        cluster.logs.with_message("result discarded: the job is no longer this worker's").len();
    for (index, worker) in cluster.worker_ports.iter().enumerate() {
        match worker.try_send(worker.request(Method::GET, "/readyz")).await {
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

/// Starts a demo provider that nothing is done to; gives its URL.
fn reference() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Demo::default().serve(listener).unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the program")]
    drop(tokio::spawn(server));
    url
}

/// Asks until there is an answer that will not change, or no time left.
async fn answer(load: &Load, path: &str, number: u64, deadline: Instant) -> reqwest::Result<Answer> {
    loop {
        let api = load.api(number);
        let answer = api.try_send(request(&api, Method::GET, path, number)).await;
        let is_final = answer.as_ref().is_ok_and(|answer| !matches!(answer.status, 202 | 409 | 503));
        if is_final || Instant::now() > deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Books {
    #[expect(clippy::too_many_arguments, reason = "all that is known of one job")]
    async fn end_of(
        &mut self,
        load: &Load,
        first_ends: &HashMap<String, String>,
        cancel: Option<&Cancelled>,
        reference: &str,
        path: &str,
        number: u64,
        deadline: Instant,
    ) {
        let is_removed = cancel.is_some_and(|cancel| cancel.status == 204);
        let job = match answer(load, path, number, deadline).await {
            Ok(answer) if answer.status == 404 && is_removed => {
                self.removed += 1;
                return self.is_to_be_told(path, number, None);
            }
            Ok(answer) if answer.status == 200 && !is_removed => answer,
            Ok(answer) if answer.status == 404 => return self.lost.push(format!("{path}: unknown")),
            answer => return self.lost.push(format!("{path}: {answer:?}")),
        };
        if let Some(first) = first_ends.get(path).filter(|first| **first != job.text) {
            self.written_twice.push(format!("{path}: {first}\n  then {}", job.text));
        }
        let job = job.json();
        self.is_to_be_told(path, number, Some(job.clone()));
        let is_cancelled = job["error"]["error"]["code"] == "job_cancelled" || job["status_code"] == 499;
        let is_to_be = cancel.is_some_and(|cancel| matches!(cancel.status, 200 | 202));
        // Without an answer, either may be.
        let may_be = is_to_be || cancel.is_none() && Habits::of(number).cancel.is_some();
        if is_cancelled && !may_be || !is_cancelled && is_to_be {
            let status = cancel.map(|cancel| cancel.status);
            self.disagree.push(format!("{path}: the cancel was answered {status:?}: {job}"));
        }
        if is_cancelled {
            self.cancelled += 1;
            let is_whole =
                job["status"] == "failed" && job["status_code"] == 499 && job["cancelled_at"].is_string();
            if !is_whole {
                self.disagree.push(format!("{path}: {job}"));
            }
            return;
        }
        self.cancelled_too_late += usize::from(cancel.is_some());
        if job["status"] != "completed" {
            self.failed.push(format!("{path}: {}", job["error"]));
            return;
        }
        self.completed += 1;
        let mut content = None;
        if Kind::of(number) == Kind::Speech {
            let answer = answer(load, &format!("{path}/content"), number, deadline).await;
            content = answer.ok().filter(|answer| answer.status == 200).map(|answer| answer.bytes);
            self.content_bytes += content.as_ref().map_or(0, Bytes::len);
        }
        if !job::is_right(number, &job["result"], content.as_deref(), reference).await {
            self.wrong.push(format!("{path}: job {number}, {:?}", Kind::of(number)));
        }
    }

    fn is_to_be_told(&mut self, path: &str, number: u64, end: End) {
        if let Some(webhook) = Habits::of(number).webhook {
            let id = path.rsplit('/').next().unwrap_or_default();
            self.hooked.insert(id.to_owned(), (webhook, end));
        }
    }

    /// Takes what clients saw.
    fn seen(&mut self, load: &Load) {
        self.wrong_answers = std::mem::take(&mut *load.wrong.lock().unwrap());
        let Counts { replayed, waited, waited_in_vain, waits_broken, streams, streams_broken } = &load.counts;
        self.seen = [
            (replayed, "answers to submits that were those to earlier ones"),
            (waited, "requests that waited, and were answered with the end"),
            (waited_in_vain, "that waited, and were answered without it"),
            (waits_broken, "that waited, and were refused or broken off"),
            (streams, "streams of events that told the end"),
            (streams_broken, "that broke, or were refused, and were opened again"),
        ]
        .map(|(count, what)| (count.load(Ordering::Relaxed), what))
        .into();
    }

    /// Compares the records of jobs with what is known of: a submit that was repeated has made one.
    fn count_records(&mut self, cluster: &Cluster, accepted: &[(String, u64)], load: &Load) {
        let count = |mut redis: Connection| redis.keys::<_, Vec<String>>("{hermod:*}:job:*").unwrap().len();
        let records: usize = cluster.connections().into_iter().map(count).sum();
        let paths: HashSet<&str> = accepted.iter().map(|(path, _)| path.as_str()).collect();
        let unanswered = load.unanswered.lock().unwrap();
        for number in &self.calls.strangers {
            if Habits::of(*number).repeats != Repeats::Never && !unanswered.contains(number) {
                self.wrong_answers.push(format!("job {number} ran, and all of its submits were refused"));
            }
        }
        let known = paths.len() - self.removed + self.calls.strangers.len();
        self.uncounted = i64::try_from(records).unwrap() - i64::try_from(known).unwrap();
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
        none("calls had other files than were uploaded", &self.calls.damaged);
        if settings.fsync == Fsync::Always {
            none("accepted jobs are lost", &self.lost);
            none("calls were repeated, though nothing was done to their worker", &self.calls.unexplained);
            none("results changed after a client saw them", &self.written_twice);
            none("jobs ended otherwise than the answer to their cancel said", &self.disagree);
            none("calls were made for jobs that had been cancelled", &self.calls.after_cancel);
            none("clients saw what is not promised", &self.wrong_answers);
            none("ends were not told", &self.deliveries.missing);
            none("deliveries were tried too often", &self.deliveries.too_often);
            none("deliveries do not agree with the end", &self.deliveries.wrong);
            none("deliveries have another's id", &self.deliveries.ids);
            none("limits are not what the journals say", &self.usage.wrong);
            if self.uncounted != 0 {
                faults.push(format!("{} more records of jobs than there should be", self.uncounted));
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
            (self.written_twice.len(), "results that changed after a client saw them"),
            (self.cancelled, "cancelled"),
            (self.cancelled_too_late, "that had ended by themselves when they were to be cancelled"),
            (self.removed, "removed"),
            (self.disagree.len(), "that ended otherwise than the answer to their cancel said"),
            (self.calls.after_cancel.len(), "calls for jobs that had been cancelled"),
            (self.calls.delayed, "delayed until a retry"),
            (self.calls.strangers.len(), "whose client got no id: the answer to the submit was lost"),
            (self.stale_refused, "stale results refused by the fence"),
        ] {
            writeln!(out, "{count:>8}  {what}")?;
        }
        writeln!(out, "accepted jobs by kind")?;
        for (kind, count) in &self.by_kind {
            writeln!(out, "{count:>8}  {kind:?}")?;
        }
        writeln!(out, "clients")?;
        for (count, what) in &self.seen {
            writeln!(out, "{count:>8}  {what}")?;
        }
        let told = &self.deliveries;
        writeln!(out, "{:>8}  answers that are not promised", self.wrong_answers.len())?;
        writeln!(out, "{:>8}  records of jobs that nobody knows of", self.uncounted)?;
        writeln!(out, "webhooks")?;
        writeln!(out, "{:>8}  jobs to be told of: {:?}", told.jobs, told.by_webhook)?;
        for (count, what) in [
            (told.attempts, "attempts that came, each with a right signature"),
            (told.accepted, "accepted"),
            (told.again, "accepted once more"),
            (told.strangers, "jobs that were told of, and whose client got no id"),
            (told.with_content, "attempts with the result or error"),
            (told.omitted, "without, as it was too large"),
            (told.missing.len(), "jobs that nobody was told of"),
            (told.wrong.len(), "attempts that do not agree with the end"),
            (told.ids.len(), "jobs or deliveries with more than one id"),
            (told.too_often.len(), "deliveries that were tried too often"),
        ] {
            writeln!(out, "{count:>8}  {what}")?;
        }
        writeln!(out, "keys and limits")?;
        for (key, jobs) in &self.usage.jobs {
            writeln!(out, "{jobs:>8}  jobs of {key:?}")?;
        }
        for (count, what) in [
            (self.usage.tokens, "tokens in their journals, and in what their limits have counted"),
            (self.usage.cost, "billionths of a dollar, likewise"),
            (self.usage.unknown, "calls of which nobody knows what they used"),
        ] {
            writeln!(out, "{count:>8}  {what}")?;
        }
        let (uploads, bytes) = self.calls.uploads;
        writeln!(out, "media")?;
        for (count, what) in [
            (uploads, "calls with an upload"),
            (bytes / 1_000_000, "MB of these, byte for byte what the client sent unless said below"),
            (self.content_bytes / 1_000_000, "MB of speech, read as content and compared"),
            (self.staged, "keys left to expire within 10 minutes, of writers that died"),
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
