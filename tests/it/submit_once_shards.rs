//! Submits that are sent again where there are several shards: a key decides its job's shard, and that is found again though the
//! number of shards has changed.

use std::collections::{BTreeMap, BTreeSet};

use hermod_tests::{Api, Builder, Cluster, PATIENCE, Servers, eventually};
use redis::Commands;

use crate::shards::{all_complete, spread};
use crate::submit_once::{keyed, new, replayed};

const BODY: &str = r#"{"model":"demo/echo","prompt":"x"}"#;

fn builder(shards: usize) -> Builder {
    Cluster::builder().servers(Servers::Cluster).set("HERMOD_SHARDS", shards)
}

/// Submits with so many keys; gives the job of each.
async fn submit(api: &Api, keys: std::ops::Range<usize>) -> BTreeMap<String, String> {
    let mut jobs = BTreeMap::new();
    for key in keys {
        let key = format!("key-{key}");
        let id = new(&api.send(keyed(api, &key, BODY)).await);
        jobs.insert(key, id);
    }
    jobs
}

async fn all_are_known(api: &Api, jobs: &BTreeMap<String, String>) {
    for (key, id) in jobs {
        assert_eq!(&replayed(&api.send(keyed(api, key, BODY)).await), id, "{key}");
        api.send(keyed(api, key, &BODY.replace('x', "y"))).await.error(422);
    }
}

/// Waits until the API processes know that jobs are spread over these numbers of shards.
async fn are_noted(cluster: &mut Cluster, numbers: &[u16]) {
    let nodes = cluster.redis_cluster();
    let mut redis = nodes.0[nodes.node_of(0)].connect();
    eventually("the numbers are noted", PATIENCE, async || {
        let noted: BTreeSet<u16> = redis.zrange("{hermod:0}:shard_numbers", 0, -1).unwrap();
        numbers.iter().all(|number| noted.contains(number)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_key_leads_to_one_of_many_shards() {
    let cluster = builder(8).apis(2).start().await;
    let apis = cluster.apis.read().unwrap().clone();
    let jobs = submit(&apis[0], 0..40).await;
    all_are_known(&apis[1], &jobs).await;
    let ids: Vec<String> = jobs.into_values().collect();
    assert!(spread(&ids).len() > 4, "{:?}", spread(&ids));
    // At once, to both.
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..32 {
        let api = apis[number % 2].clone();
        clients.spawn(async move { api.send(keyed(&api, &format!("at-once-{}", number / 8), BODY)).await });
    }
    let answers = clients.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotent-replayed").is_empty()).count(), 4);
    all_complete(&cluster, &ids).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_key_of_before_is_found_when_the_number_of_shards_has_grown() {
    let mut cluster = builder(2).start().await;
    let mut jobs = submit(&cluster.api, 0..20).await;
    for shards in [5, 8] {
        cluster.kill_api(0);
        cluster.set("HERMOD_SHARDS", &shards.to_string());
        cluster.add_api().await;
        all_are_known(&cluster.api, &jobs).await;
        let from = jobs.len();
        jobs.extend(submit(&cluster.api, from..from + 20).await);
    }
    let ids: Vec<String> = jobs.into_values().collect();
    assert!(spread(&ids).len() > 5);
    all_complete(&cluster, &ids).await;
    assert_eq!(cluster.calls().len(), ids.len());
    cluster.assert_drained().await;
}

#[tokio::test]
async fn processes_with_different_numbers_of_shards_know_each_others_keys() {
    let mut cluster = builder(1).workers(1).start().await;
    cluster.set("HERMOD_SHARDS", "8");
    let (few, many) = (cluster.api.clone(), cluster.add_api().await);
    are_noted(&mut cluster, &[1, 8]).await;
    // Each has looked once more since. One key may lead to the same shard by chance.
    let mut probes = 0;
    eventually("both know", PATIENCE, async || {
        for (first, second) in [(&few, &many), (&many, &few)].repeat(8) {
            probes += 1;
            let key = format!("probe-{probes}");
            let id = new(&first.send(keyed(first, &key, BODY)).await);
            let answer = second.send(keyed(second, &key, BODY)).await;
            if answer.header("idempotent-replayed") != "true" || answer.json()["id"] != id.as_str() {
                return None;
            }
        }
        Some(())
    })
    .await;
    let of_few = submit(&few, 0..10).await;
    let of_many = submit(&many, 10..20).await;
    all_are_known(&many, &of_few).await;
    all_are_known(&few, &of_many).await;
    // The count of tries leads to a shard, too.
    let tried = |api: &Api, count: u32, prompt: usize| {
        let body = BODY.replace('x', &prompt.to_string());
        api.submission(body).header("x-stainless-retry-count", count)
    };
    for prompt in 0..10 {
        let first = new(&many.send(tried(&many, 0, prompt)).await);
        assert_eq!(replayed(&few.send(tried(&few, 1, prompt)).await), first);
    }
}
