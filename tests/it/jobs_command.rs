//! `hermod jobs`, and what `hermod submit` asks for besides the call.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use hermod_tests::{Cluster, PATIENCE, binary, eventually};
use redis::Commands;
use serde_json::{Value, json};

use crate::admin_login::{PASSWORD, USERNAME, with_login};
use crate::submit_command::{complains, says};

fn config() -> Value {
    let allowed = json!([{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]);
    let key =
        |id: &str| json!({"id": id, "name": id, "value": format!("sk-bf-{id}"), "provider_configs": allowed});
    with_login(json!({"governance": {"virtual_keys": [key("a"), key("b")]}}))
}

const KEY: [&str; 2] = ["--virtual-key", "sk-bf-a"];
const ADMIN: [&str; 4] = ["--admin-user", USERNAME, "--admin-password", PASSWORD];

#[tokio::test]
async fn jobs_are_listed_and_filtered() {
    let cluster = Cluster::builder().config(config()).start().await;
    let submit = async |key: &str, words: &[&str]| {
        let args = [&["submit"], words, &["--wait", "--virtual-key", key]].concat();
        says(&cluster, &args).await
    };
    submit("sk-bf-a", &["chat", "-m", "demo/echo", "Hello"]).await;
    submit("sk-bf-a", &["-m", "demo/empty", "Hello"]).await;
    submit("sk-bf-b", &["-m", "demo/echo", "Hello"]).await;
    let jobs = async |who: &[&str], filters: &[&str]| {
        let args = [&["jobs"], who, filters].concat();
        says(&cluster, &args).await
    };
    let table = jobs(&KEY, &[]).await;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "STATUS", "ENDPOINT", "MODEL", "CREATED", "TOOK"], "{table}");
    let shown: Vec<_> = lines[1..].iter().map(|line| &line[1..4]).collect();
    let chat = ["completed", "chat/completions", "demo/echo"];
    assert_eq!(shown, [&["completed", "completions", "demo/empty"], &chat], "the newest first: {table}");
    for (filters, count) in [
        (&["--endpoint", "chat"][..], 1),
        (&["--model", "demo/empty"], 1),
        (&["--status", "failed"], 0),
        (&["--limit", "1"], 1),
        (&["--after", "2020-01-01T00:00:00Z", "--before", "2100-01-01T00:00:00Z"], 2),
    ] {
        assert_eq!(jobs(&KEY, filters).await.lines().count(), count + 1, "{filters:?}");
    }
    let all = jobs(&ADMIN, &["--json"]).await;
    let all: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|job| job["status"] == "completed" && job["model"].is_string()), "{all:?}");
    let refused = complains(&cluster.api.url, &["jobs"]).await;
    assert!(refused.contains("401") && refused.contains("virtual key"), "{refused}");
    let args = ["jobs", "--virtual-key", "sk-bf-a", "--status", "done"];
    assert!(complains(&cluster.api.url, &args).await.contains("status must be"));
}

#[tokio::test]
async fn more_than_a_page_is_listed_too() {
    let cluster = Cluster::builder().config(config()).workers(0).start().await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let api = cluster.api.clone();
        clients.spawn(async move {
            for _ in 0..30 {
                api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
            }
        });
    }
    clients.join_all().await;
    for (limit, count) in [("1000", 240), ("230", 230)] {
        let args = [&["jobs", "--json", "--limit", limit][..], &ADMIN].concat();
        assert_eq!(says(&cluster, &args).await.lines().count(), count);
    }
}

#[tokio::test]
async fn jobs_are_followed() {
    let cluster = Cluster::builder().config(config()).start().await;
    let mut command = Command::new(binary("hermod"));
    command.args(["jobs", "--watch", "--json", "--virtual-key", "sk-bf-a"]);
    let mut hermod = command.env("HERMOD_URL", &cluster.api.url).stdout(Stdio::piped()).spawn().unwrap();
    let (sender, lines) = std::sync::mpsc::channel::<Value>();
    let output = BufReader::new(hermod.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            sender.send(serde_json::from_str(&line).unwrap()).ok();
        }
    });
    let body = json!({"model": "demo/slow-3s", "prompt": "x"}).to_string();
    cluster.api.accepted(cluster.api.submission(body).header("x-bf-vk", "sk-bf-a")).await;
    let mut seen = Vec::new();
    eventually("its end is shown", PATIENCE, async || {
        seen.extend(lines.try_iter().map(|job| job["status"].as_str().unwrap().to_owned()));
        seen.iter().any(|status| status == "completed").then_some(())
    })
    .await;
    assert!(seen.len() >= 2 && seen[0] != "completed", "{seen:?}");
    hermod.kill().unwrap();
    hermod.wait().unwrap();
}

#[tokio::test]
async fn a_submit_may_have_a_key_and_a_later_start() {
    let cluster = Cluster::start().await;
    let with_key = ["submit", "-m", "demo/echo", "Hello", "--key", "order-17"];
    let id = says(&cluster, &with_key).await;
    assert_eq!(says(&cluster, &with_key).await, id);
    assert_eq!(says(&cluster, &[&with_key[..], &["--wait"]].concat()).await, "Hello");
    let other = ["submit", "-m", "demo/echo", "Bye", "--key", "order-17"];
    assert!(complains(&cluster.api.url, &other).await.contains("422"));
    for start in [["--delay", "600"], ["--at", "2100-01-01T00:00:00Z"]] {
        let args = [&["submit", "-m", "demo/echo", "Hello"], &start[..]].concat();
        if start[0] == "--at" {
            assert!(complains(&cluster.api.url, &args).await.contains("30 days"));
        } else {
            says(&cluster, &args).await;
        }
    }
    assert_eq!(cluster.connect().zcard::<_, u64>("{hermod:0}:delayed").unwrap(), 1);
    assert_eq!(cluster.calls().len(), 1);
}
