//! A submit that was answered with 503 does not run later.

use std::collections::BTreeSet;
use std::time::Duration;

use hermod_tests::{Api, Cluster, PATIENCE, Signal, eventually, lasts};
use serde_json::{Value, json};

fn body(prompt: &str) -> String {
    json!({"model": "demo/echo", "prompt": prompt}).to_string()
}

/// Submits these at once, and gives those that were refused.
async fn refused_of(api: &Api, prompts: impl Iterator<Item = String>) -> BTreeSet<String> {
    let mut clients = tokio::task::JoinSet::new();
    for prompt in prompts {
        let api = api.clone();
        clients.spawn(async move {
            let status = api.post(body(&prompt)).await.status;
            assert!(matches!(status, 202 | 503), "{status}");
            (status == 503).then_some(prompt)
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// Asserts that no job of these was run, once all that Redis was sent has come there.
async fn none_runs(cluster: &Cluster, refused: &BTreeSet<String>) {
    // Over each of the API's connections: what was sent before has come before.
    for number in 0..32 {
        let id = eventually("jobs are taken again", PATIENCE, async || {
            let answer = cluster.api.post(body(&format!("later {number}"))).await;
            (answer.status == 202).then(|| answer.json()["id"].as_str().unwrap().to_owned())
        })
        .await;
        assert_eq!(cluster.ended(&id).await["status"], "completed");
    }
    cluster.assert_drained().await;
    for call in cluster.calls() {
        let body: Value = serde_json::from_str(&call.body).unwrap();
        let prompt = body["prompt"].as_str().unwrap();
        assert!(!refused.contains(prompt), "{prompt} was refused, and runs");
    }
}

#[tokio::test]
async fn one_that_waited_for_its_turn_until_it_was_refused_does_not_run() {
    let cluster = Cluster::builder().proxied().start().await;
    cluster.run(json!({"model": "demo/echo", "prompt": "warm"})).await;
    // Each call takes 2.6 s to come to Redis, less than the 3 s after which it is given up. Who has to wait for the call
    // before is there after 5.2 s, when its client has been refused already.
    cluster.api_links[0].delay_to_redis(Duration::from_millis(2600));
    let first = refused_of(&cluster.api, (0..16).map(|number| format!("first {number}")));
    let second = async {
        lasts(Duration::from_millis(50)).await;
        refused_of(&cluster.api, (0..16).map(|number| format!("second {number}"))).await
    };
    let (mut refused, others) = tokio::join!(first, second);
    refused.extend(others);
    assert!(!refused.is_empty(), "some had to wait for too long");
    // What is under way comes before the link is quick again.
    lasts(Duration::from_secs(3)).await;
    cluster.api_links[0].delay_to_redis(Duration::ZERO);
    none_runs(&cluster, &refused).await;
}

#[tokio::test]
async fn the_very_first_one_of_a_process_does_not_run() {
    let mut cluster = Cluster::start().await;
    cluster.redis.as_mut().unwrap().process.signal(Signal::STOP);
    let refused = refused_of(&cluster.api, (0..16).map(|number| format!("ghost {number}"))).await;
    assert_eq!(refused.len(), 16);
    cluster.redis.as_mut().unwrap().process.signal(Signal::CONT);
    none_runs(&cluster, &refused).await;
}
