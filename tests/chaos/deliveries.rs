//! What the receivers were told: each end at least once, and nothing that is not so?

use std::collections::{BTreeMap, HashMap, HashSet};

use hermod_tests::Api;
use reqwest::Method;
use serde_json::Value;

use crate::habits::Webhook;
use crate::keys::Key;
use crate::receivers::{MOST_KBS, RETRIES_OF_DEAD, Told};

/// A job that has ended, as a poll shows it; none for one that somebody has removed.
pub(crate) type End = Option<Value>;

/// What became of the deliveries.
#[derive(Default)]
pub(crate) struct Deliveries {
    /// Jobs that clients know of, and that name a receiver.
    pub(crate) jobs: usize,
    pub(crate) by_webhook: BTreeMap<Webhook, usize>,
    /// Requests that receivers got, and those of them that they accepted.
    pub(crate) attempts: usize,
    pub(crate) accepted: usize,
    /// Those that were accepted though the receiver had accepted the same before.
    pub(crate) again: usize,
    /// Of jobs whose client got no id.
    pub(crate) strangers: usize,
    /// With the result or error, and without as it is too large.
    pub(crate) with_content: usize,
    pub(crate) omitted: usize,
    /// Jobs whose receiver has accepted nothing, a line each.
    pub(crate) missing: Vec<String>,
    /// Deliveries that do not agree with the job's end.
    pub(crate) wrong: Vec<String>,
    /// Jobs with more than one id of a delivery, or ids with more than one job.
    pub(crate) ids: Vec<String>,
    /// Deliveries that were tried more often than their receiver allows.
    pub(crate) too_often: Vec<String>,
}

impl Deliveries {
    /// `wanted`: jobs that name a receiver, by their id, and how each has ended.
    pub(crate) async fn count(told: &[Told], wanted: &HashMap<String, (Webhook, End)>, api: &Api) -> Self {
        let mut deliveries = Self { jobs: wanted.len(), attempts: told.len(), ..Self::default() };
        for (webhook, _) in wanted.values() {
            *deliveries.by_webhook.entry(*webhook).or_default() += 1;
        }
        let mut by_job: BTreeMap<(Webhook, String), Vec<&Told>> = BTreeMap::new();
        let mut jobs_of_ids: HashMap<&str, String> = HashMap::new();
        for one in told {
            let job = one.received.body["data"]["job_id"].as_str().unwrap_or_default().to_owned();
            let other = jobs_of_ids.entry(&one.received.id).or_insert_with(|| job.clone());
            if *other != job {
                deliveries.ids.push(format!("{} is of job {other} and of {job}", one.received.id));
            }
            by_job.entry((one.webhook, job)).or_default().push(one);
        }
        for (job, (webhook, _)) in wanted {
            let told = by_job.get(&(*webhook, job.clone())).map(Vec::as_slice).unwrap_or_default();
            let is_told = if *webhook == Webhook::Dead {
                !told.is_empty()
            } else {
                told.iter().any(|one| one.accepted)
            };
            if !is_told {
                let attempts = told.len();
                deliveries.missing.push(format!("job {job}: {webhook:?}, {attempts} attempts"));
            }
        }
        for ((webhook, job), told) in &by_job {
            deliveries.of_one(*webhook, job, told, wanted, api).await;
        }
        deliveries
    }

    async fn of_one(
        &mut self,
        webhook: Webhook,
        job: &str,
        told: &[&Told],
        wanted: &HashMap<String, (Webhook, End)>,
        api: &Api,
    ) {
        let accepted = told.iter().filter(|one| one.accepted).count();
        self.accepted += accepted;
        self.again += accepted.saturating_sub(1);
        let ids: HashSet<&str> = told.iter().map(|one| one.received.id.as_str()).collect();
        if ids.len() > 1 {
            self.ids.push(format!("job {job}: {ids:?}"));
        }
        if webhook == Webhook::Dead && told.len() > 1 + RETRIES_OF_DEAD {
            self.too_often.push(format!("job {job}: {} attempts", told.len()));
        }
        let end = match wanted.get(job) {
            Some((of, _)) if *of != webhook => {
                self.wrong.push(format!("job {job}: {webhook:?} was told of it, though it named {of:?}"));
                return;
            }
            Some((_, end)) => end.clone(),
            None => {
                self.strangers += 1;
                stranger(told, api).await
            }
        };
        let Some(end) = end else { return };
        for one in told {
            match agrees(one, &end) {
                Ok(Content::None) => {}
                Ok(Content::Whole) => self.with_content += 1,
                Ok(Content::Omitted) => self.omitted += 1,
                Err(what) => self.wrong.push(format!("job {job}: {what}: {}", one.received.body)),
            }
        }
    }
}

/// How a job ended that no client knows of: its delivery says where it is.
async fn stranger(told: &[&Told], api: &Api) -> End {
    let path = told.iter().find_map(|one| one.received.body["data"]["result_url"].as_str())?;
    let keys = [Key::Nobody].into_iter().chain(Key::ALL);
    let mut answers = Vec::new();
    for key in keys {
        let answer = api.try_send(key.add_to(api.request(Method::GET, path))).await.unwrap();
        if answer.status == 200 {
            return Some(answer.json());
        }
        answers.push(answer);
    }
    assert!(answers.is_empty(), "a delivery tells of a job that has not ended: {answers:?}");
    None
}

/// What of the job's result goes along.
enum Content {
    None,
    Whole,
    Omitted,
}

/// Whether a delivery says how the job has ended.
fn agrees(told: &Told, end: &Value) -> Result<Content, String> {
    let (body, data) = (&told.received.body, &told.received.body["data"]);
    let is_cancelled = end["status_code"] == 499;
    let event = match end["status"].as_str() {
        Some("completed") => "async_job.completed",
        Some(_) if is_cancelled && told.webhook != Webhook::Full => "async_job.cancelled",
        _ => "async_job.failed",
    };
    let header = told.received.header("x-bifrost-event");
    if body["event"] != event || body["type"] != event || header != event {
        return Err(format!("expected the event {event}, and the header says {header}"));
    }
    for (member, of_end) in [
        ("status", "status"),
        ("status_code", "status_code"),
        ("created_at", "created_at"),
        ("completed_at", "completed_at"),
        ("result_expires_at", "expires_at"),
    ] {
        if data[member] != end[of_end] {
            return Err(format!("{member} should be {}", end[of_end]));
        }
    }
    let (name, outcome) =
        if event == "async_job.completed" { ("response", &end["result"]) } else { ("error", &end["error"]) };
    let omitted = &data[format!("{name}_omitted")];
    match (told.webhook, data.get(name)) {
        (Webhook::Full, Some(content)) if content == outcome => Ok(Content::Whole),
        // As it is stored, which is no longer than this with all that is around it.
        (Webhook::Full, None) if omitted == true && end.to_string().len() > MOST_KBS * 1024 => {
            Ok(Content::Omitted)
        }
        (Webhook::Plain | Webhook::Dead, None) if omitted.is_null() => Ok(Content::None),
        _ => Err(format!("{name} should be {outcome}")),
    }
}
