use std::collections::BTreeMap;

use redis::streams::StreamInfoConsumersReply;
use redis::{Commands, Connection, RedisResult};

use crate::{Cluster, PATIENCE, eventually_ok};

/// Every key that may be in Redis without an expiry while no job waits or runs. Their number does not grow with that of jobs,
/// and what is in them is bounded. Any other key without expiry is a leak.
///
/// | key | what may be in it |
/// |---|---|
/// | `{hermod:S}:queue` | no entry, nothing pending; its group has no consumer that has left |
/// | `{hermod:S}:wake` | wake-up calls that no worker has taken yet |
/// | `{hermod:S}:dead` | ids of dead letters; each letter itself expires |
/// | `{hermod:0}:shards` | the number of shards |
/// | `{hermod:0}:shard_numbers` | other numbers that API processes have spread jobs over |
/// | `{hermod:0}:paused` | that the operator has paused the queue |
/// | `{hermod:S}:bytes` | what waiting and running jobs count as; nothing is left of it |
/// | `{hermod:S}:dead_bytes` | the bytes of each dead letter |
/// | `{hermod:0}:cooldowns_version` | how often cooldowns have changed; they themselves expire |
/// | `{hermod:S}:list:<owner>`, `{hermod:S}:owners` | ids of jobs; the leader removes those whose records have gone |
/// | `{hermod:0}:webhooks`, `{hermod:0}:webhook_names` | the receivers that an administrator has registered |
/// | `{hermod:0}:webhook:<id>` | what is known of each of these, and why one is disabled |
/// | `{hermod:0}:definitions`, `{hermod:0}:definitions_version` | what administrators have defined, and the version of it |
/// | `{hermod:0}:limit:<name>` | what was used of a limit; nothing is reserved |
/// | `{hermod:0}:totals:<owner>` | what an owner has used |
///
/// The queue of deliveries has the same keys, behind `hooks:`.
const PERMANENT: [&str; 14] = [
    "queue",
    "wake",
    "bytes",
    "dead",
    "dead_bytes",
    "shards",
    "shard_numbers",
    "paused",
    "cooldowns_version",
    "owners",
    "webhooks",
    "webhook_names",
    "definitions",
    "definitions_version",
];
/// What the names of others begin with.
const PERMANENT_KINDS: [&str; 4] = ["list:", "webhook:", "limit:", "totals:"];

/// How long pieces that belong to nothing may stay, in milliseconds.
const MOST_STAGED_MS: i64 = 600_000;
/// Wake-up calls that may be left: more would mean that they pile up.
const MOST_WAKE_UPS: u64 = 64;
/// Targets that may be cooling down, and bytes that the name of one may have: clients choose the models.
const MOST_COOLDOWNS: usize = 1000;
const LONGEST_COOLDOWN: usize = 512;

impl Cluster {
    /// Asserts that nothing waits, is delayed or is held in any shard, that every record has ended and will expire, and that
    /// Redis holds nothing else that would stay.
    pub async fn assert_drained(&self) {
        eventually_ok("Redis is drained", PATIENCE, async || {
            let leaks = self.leaks();
            if leaks.is_empty() { Ok(()) } else { Err(format!("{leaks:#?}")) }
        })
        .await;
    }

    /// What is in Redis that a drained queue does not hold, a line each.
    pub fn leaks(&self) -> Vec<String> {
        let left = self.workers_that_left();
        let mut leaks = Vec::new();
        for mut redis in self.connections() {
            let keys: Vec<String> = redis.keys("*").unwrap();
            if keys.is_empty() {
                continue;
            }
            let mut pipeline = redis::pipe();
            for key in &keys {
                pipeline.pttl(key);
            }
            let expiries: Vec<i64> = pipeline.query(&mut redis).unwrap();
            for (key, expires_ms) in keys.iter().zip(expiries) {
                // It has expired meanwhile, which is as good.
                if expires_ms == -2 {
                    continue;
                }
                let name = key.strip_prefix("{hermod:").and_then(|rest| rest.split_once("}:"));
                let (_, name) = name.unwrap_or(("", key));
                let name = name.strip_prefix("hooks:").unwrap_or(name);
                let mut is_kept = || redis.exists::<_, bool>(key.replace(":media:", ":letter:")).unwrap();
                let must_go = name.starts_with("staged:") || name.starts_with("media:") && !is_kept();
                if must_go && expires_ms > MOST_STAGED_MS {
                    leaks.push(format!("{key} stays for {expires_ms} ms more"));
                }
                let is_permanent =
                    PERMANENT.contains(&name) || PERMANENT_KINDS.iter().any(|kind| name.starts_with(kind));
                if expires_ms == -1 && !is_permanent {
                    leaks.push(format!("{key} has no expiry"));
                }
                match look_at(&mut redis, key, name, &left) {
                    Ok(found) => leaks.extend(found.map(|found| format!("{key}: {found}"))),
                    Err(error) => leaks.push(format!("{key}: {error}")),
                }
            }
        }
        leaks
    }

    /// The names of workers that ended by themselves, with nothing left to do.
    fn workers_that_left(&self) -> Vec<String> {
        let left = self
            .worker_logs
            .iter()
            .filter(|log| log.with_message("stopped").first().is_some_and(|line| line["drained"] == "Ended"));
        let name = |line: &serde_json::Value| line["worker"].as_str().unwrap().to_owned();
        left.map(|log| name(log.with_message("the worker starts").first().unwrap())).collect()
    }
}

/// What is wrong with one key, if anything is.
fn look_at(redis: &mut Connection, key: &str, name: &str, left: &[String]) -> RedisResult<Option<String>> {
    let wrong = |is_wrong: bool, what: String| is_wrong.then_some(what);
    Ok(match name {
        "queue" => look_at_queue(redis, key, left)?,
        "delayed" => Some(format!("{} jobs are delayed", redis.zcard::<_, u64>(key)?)),
        "wake" => {
            let calls: u64 = redis.zcard(key)?;
            wrong(calls > MOST_WAKE_UPS, format!("{calls} wake-up calls"))
        }
        "dead" => {
            let letters: Vec<String> = redis.zrange(key, 0, -1)?;
            let shard = key.trim_end_matches("dead");
            let mut lost = Vec::new();
            for id in letters {
                if redis.pttl::<_, i64>(format!("{shard}letter:{id}"))? < 0 {
                    lost.push(id);
                }
            }
            wrong(!lost.is_empty(), format!("dead letters that are gone, or never expire: {lost:?}"))
        }
        "cooldowns" => {
            let names: Vec<String> = redis.hkeys(key)?;
            let is_long = |name: &String| name.len() > LONGEST_COOLDOWN;
            wrong(names.len() > MOST_COOLDOWNS || names.iter().any(is_long), format!("{} names", names.len()))
        }
        _ if name.starts_with("limit:") => {
            let reserved: u64 = redis.hget::<_, _, Option<u64>>(key, "r")?.unwrap_or_default();
            // Of a window that has ended, nothing counts any more.
            let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(redis)?;
            let ends: Option<u64> = redis.hget(key, "e")?;
            let is_over = ends.is_some_and(|ends| ends <= seconds * 1000 + micros / 1000);
            wrong(reserved > 0 && !is_over, format!("{reserved} are reserved"))
        }
        _ if name.starts_with("job:") => {
            let mut fields: BTreeMap<String, String> = redis.hgetall(key)?;
            let request = fields.remove("request").unwrap_or_default();
            let has_ended = fields.contains_key("code");
            wrong(!fields.is_empty() && !has_ended, format!("it has not ended: {fields:?}")).or_else(|| {
                wrong(has_ended && !request.is_empty(), "it has ended and keeps its request".to_owned())
            })
        }
        _ => None,
    })
}

fn look_at_queue(redis: &mut Connection, queue: &str, left: &[String]) -> RedisResult<Option<String>> {
    let entries: u64 = redis.xlen(queue)?;
    let mut command = redis::cmd("XPENDING");
    command.arg(queue).arg("workers");
    // (count, first id, last id, consumers)
    let pending: (u64, redis::Value, redis::Value, redis::Value) = command.query(redis)?;
    let consumers: StreamInfoConsumersReply = redis.xinfo_consumers(queue, "workers")?;
    let gone: Vec<_> = consumers
        .consumers
        .into_iter()
        .map(|consumer| consumer.name)
        .filter(|name| left.contains(name))
        .collect();
    let is_wrong = entries > 0 || pending.0 > 0 || !gone.is_empty();
    Ok(is_wrong
        .then(|| format!("{entries} entries, {} pending, consumers that have left: {gone:?}", pending.0)))
}
