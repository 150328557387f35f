//! What was counted of the limits: is it the sum over the journals, and is nothing held by anybody any more?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hermod_tests::{Api, Cluster};
use hermod_types::Operation;
use redis::{Commands, Connection};
use reqwest::Method;
use serde_json::Value;

use crate::keys::Key;

const PAUSE: Duration = Duration::from_millis(500);
/// Billionths of a dollar.
const DOLLAR: f64 = 1e9;

/// What was used, and what was counted.
#[derive(Default)]
pub(crate) struct Usage {
    /// Jobs of each key.
    pub(crate) jobs: BTreeMap<Key, u64>,
    pub(crate) tokens: u64,
    /// Billionths of a dollar.
    pub(crate) cost: u64,
    /// Calls whose worker was lost, or that were cut off.
    pub(crate) unknown: u64,
    /// What does not agree, a line each.
    pub(crate) wrong: Vec<String>,
}

/// What the journals of a key's jobs say, or what was counted for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    tokens: u64,
    cost: u64,
}

impl Usage {
    pub(crate) async fn count(cluster: &Cluster, api: &Api, deadline: Instant) -> Self {
        let mut usage = Self::default();
        while let Some(held) = held(cluster) {
            if Instant::now() > deadline {
                usage.wrong.push(held);
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let mut journals: BTreeMap<Key, Sum> = BTreeMap::new();
        for (key, path) in owned(cluster) {
            let answer = api.try_send(key.add_to(api.request(Method::GET, &path))).await.unwrap();
            *usage.jobs.entry(key).or_default() += 1;
            let sum = journals.entry(key).or_default();
            let job = answer.json();
            for attempt in attempts(&job) {
                sum.tokens += ["input_tokens", "output_tokens"]
                    .map(|name| attempt[name].as_u64().unwrap_or(0))
                    .iter()
                    .sum::<u64>();
                sum.cost += nanodollars(&attempt["cost"]);
            }
        }
        let rows = rows(cluster);
        for key in Key::ALL {
            let owner = key.id().unwrap_or_default();
            let of = |field: &str| {
                rows.iter()
                    .filter(|(row, _)| row.0 == owner && row.1 == field)
                    .map(|(_, count)| count)
                    .sum::<u64>()
            };
            let counted = Sum { tokens: of("input_tokens") + of("output_tokens"), cost: of("cost") };
            let journal = journals.get(&key).copied().unwrap_or_default();
            if counted != journal {
                usage.wrong.push(format!("{key:?}: counted {counted:?}, the journals say {journal:?}"));
            }
            let (requests, jobs) = (of("requests"), usage.jobs.get(&key).copied().unwrap_or_default());
            if requests > jobs {
                usage.wrong.push(format!("{key:?}: {requests} requests counted for {jobs} jobs"));
            }
            usage.tokens += counted.tokens;
            usage.cost += counted.cost;
            usage.unknown += of("unknown_calls");
            if key == Key::Budgeted {
                for (limit, expected) in [
                    ("budget:of-key", journal.cost),
                    ("budget:of-team", journal.cost),
                    ("tokens:tokens", journal.tokens),
                ] {
                    let used = used(cluster, limit);
                    if used != expected {
                        usage.wrong.push(format!("{limit}: {used} used, the journals say {expected}"));
                    }
                }
            }
        }
        usage
    }
}

/// What somebody still holds; none if nobody holds anything.
fn held(cluster: &Cluster) -> Option<String> {
    for mut redis in cluster.connections() {
        let mut keys = |pattern: &str| redis.keys::<_, Vec<String>>(pattern).unwrap();
        // Not who waited for room: a lane that is told of none after its last job has left is forgotten within an hour.
        let left = ["{hermod:*}:permits", "{hermod:*}:running:*", "{hermod:*}:owed"].map(&mut keys).concat();
        if !left.is_empty() {
            return Some(format!("left in Redis: {left:?}"));
        }
        for limit in keys("{hermod:0}:limit:*") {
            let reserved: Option<i64> = redis.hget(&limit, "r").unwrap();
            if reserved.unwrap_or_default() != 0 {
                return Some(format!("{limit} has {reserved:?} reserved"));
            }
        }
    }
    None
}

/// Jobs that have an owner: its key, and their paths.
fn owned(cluster: &Cluster) -> Vec<(Key, String)> {
    let mut found = Vec::new();
    for mut redis in cluster.connections() {
        for name in redis.keys::<_, Vec<String>>("{hermod:*}:job:*").unwrap() {
            if name.contains(":hooks:") {
                continue;
            }
            let (owner, kind): (Option<String>, Option<String>) =
                redis.hmget(&name, &["owner", "type"]).unwrap();
            let operation = kind.map_or(Operation::TextCompletion, |kind| {
                Operation::all().find(|operation| operation.request_type() == kind).unwrap()
            });
            let id = name.rsplit(':').next().unwrap_or_default();
            if owner.is_some() {
                found.push((Key::of_owner(owner.as_deref()), format!("/v1/async/{}/{id}", operation.path())));
            }
        }
    }
    found
}

fn attempts(job: &Value) -> &[Value] {
    let places = ["/result/extra_fields/attempts", "/error/extra_fields/attempts"];
    let found = places.iter().find_map(|place| job.pointer(place)?.as_array());
    found.map(Vec::as_slice).unwrap_or_default()
}

fn nanodollars(dollars: &Value) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cents")]
    let nanodollars = (dollars.as_f64().unwrap_or(0.0) * DOLLAR).round() as u64;
    nanodollars
}

/// The rows of usage: owner and field.
fn rows(cluster: &Cluster) -> Vec<((String, String), u64)> {
    let mut rows = Vec::new();
    for mut redis in cluster.connections() {
        for day in redis.keys::<_, Vec<String>>("{hermod:0}:usage:*").unwrap() {
            for (field, count) in redis.hgetall::<_, BTreeMap<String, u64>>(&day).unwrap() {
                let mut parts = field.split('\n');
                let owner = parts.next().unwrap_or_default().to_owned();
                rows.push(((owner, parts.next_back().unwrap_or_default().to_owned()), count));
            }
        }
    }
    rows
}

fn used(cluster: &Cluster, limit: &str) -> u64 {
    let of = |mut redis: Connection| {
        redis.hget::<_, _, Option<u64>>(format!("{{hermod:0}}:limit:{limit}"), "u").ok().flatten()
    };
    cluster.connections().into_iter().find_map(of).unwrap_or_default()
}
