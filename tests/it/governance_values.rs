//! Values of virtual keys: where they can be found, and where not; rotated ones; those that are made for keys of the file.

use std::time::Duration;

use hermod_tests::{Cluster, PATIENCE, eventually, lasts};
use redis::Commands;
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin_login::with_login;
use crate::governance_admin::{Governor, apis, key, start};

/// 32 bytes.
const SECRET_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Whether a text stands anywhere in Redis.
fn is_in_redis(cluster: &Cluster, text: &str) -> bool {
    let mut connection = cluster.connect();
    let keys: Vec<String> = connection.keys("*").unwrap();
    keys.iter().any(|key| {
        let dump: Vec<u8> = redis::cmd("DUMP").arg(key).query(&mut connection).unwrap_or_default();
        let all: Vec<(String, String)> = connection.hgetall(key).unwrap_or_default();
        dump.windows(text.len()).any(|window| window == text.as_bytes())
            || all.iter().any(|(_, value)| value.contains(text))
    })
}

#[tokio::test]
async fn a_value_is_shown_once_and_again_only_where_it_is_kept_encrypted() {
    for secret_key in [None, Some(SECRET_KEY)] {
        let mut builder = Cluster::builder().workers(0).config(with_login(json!({})));
        if let Some(secret_key) = secret_key {
            builder = builder.set("HERMOD_SECRET_KEY", secret_key);
        }
        let mut cluster = builder.start().await;
        let governor = Governor(cluster.api.clone());
        let (id, value) = governor.key(key("mine")).await;
        let path = format!("/virtual-keys/{id}");
        governor.put(&path, r#"{"description": "changed"}"#).await;
        for list in [&path, "/virtual-keys"] {
            let answer = governor.get(list).await.to_string();
            assert!(
                !answer.contains(&value) && !answer.contains("sha256") && !answer.contains("sealed"),
                "{answer}"
            );
        }
        let revealed = governor.send(Method::GET, &format!("{path}/reveal"), "").await;
        if secret_key.is_some() {
            assert_eq!(revealed.json(), json!({"id": id, "value": value}));
            // Another process without the key, or with another one, says so.
            let other = Governor({
                cluster.set("HERMOD_SECRET_KEY", "");
                cluster.add_api().await
            });
            let refused = other.send(Method::GET, &format!("{path}/reveal"), "").await.error(404);
            assert!(refused.contains("HERMOD_SECRET_KEY is not set"), "{refused}");
        } else {
            assert!(revealed.error(404).contains("HERMOD_SECRET_KEY"), "it says why");
        }
        let unique = &value["sk-bf-".len()..];
        assert!(!is_in_redis(&cluster, unique), "Redis does not know it");
        assert!(!cluster.logs.all().join("\n").contains(unique));
        governor.send(Method::GET, "/virtual-keys/none/reveal", "").await.error(404);
    }
}

#[tokio::test]
async fn a_rotated_value_lives_on_for_the_cooldown() {
    let (_cluster, governor) = start(json!({"client": {"vk_rotation_cooldown": "3s"}})).await;
    let (id, first) = governor.key(key("mine")).await;
    let (other, _) = governor.key(key("other")).await;
    let rotated = governor.post(&format!("/virtual-keys/{id}/rotate"), "").await;
    assert_eq!(rotated["message"], "Virtual key rotated successfully");
    let second = rotated["virtual_key"]["value"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    assert!(rotated["virtual_key"]["old_value_until"].is_string());
    governor.submit_is(&second, 202).await;
    governor.submit_is(&first, 202).await;
    let again = governor.post("/virtual-keys/rotate", json!({"ids": [id, other, "none"]})).await;
    assert_eq!(again["virtual_keys"].as_array().unwrap().len(), 2);
    assert_eq!(again["errors"], json!({"none": "Virtual key not found"}));
    let third = again["virtual_keys"][0]["value"].as_str().unwrap();
    // Only one lives on.
    governor.submit_is(&first, 400).await;
    governor.submit_is(&second, 202).await;
    governor.submit_is(&second, 400).await;
    governor.submit_is(third, 202).await;
    for body in ["", "{}", r#"{"ids": []}"#, r#"{"ids": ["x"], "y": 1}"#] {
        governor.send(Method::POST, "/virtual-keys/rotate", body).await.error(400);
    }
    governor.send(Method::POST, "/virtual-keys/none/rotate", "").await.error(404);
}

#[tokio::test]
async fn without_a_cooldown_a_rotated_value_is_dead_at_once_on_every_process() {
    let cluster = Cluster::builder().workers(0).apis(2).config(with_login(json!({}))).start().await;
    let [one, other] = [0, 1].map(|index| apis(&cluster)[index].clone());
    let (id, first) = one.key(key("mine")).await;
    other.submit_is(&first, 202).await;
    let rotated = one.post(&format!("/virtual-keys/{id}/rotate"), "").await;
    assert!(rotated["virtual_key"].get("old_value_until").is_none(), "{rotated}");
    other.submit_is(rotated["virtual_key"]["value"].as_str().unwrap(), 202).await;
    other.submit_is(&first, 400).await;
}

fn file() -> Value {
    with_login(json!({"governance": {"virtual_keys": [{"id": "vk-made", "name": "made", "provider_configs":
        [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]}]}}))
}

#[tokio::test]
async fn a_key_of_the_file_without_a_value_gets_one_that_is_printed_once() {
    let mut cluster = Cluster::builder().workers(0).apis(3).config(file()).start().await;
    let printed = eventually("a value is printed", PATIENCE, async || {
        let lines: Vec<_> = cluster
            .logs
            .all()
            .into_iter()
            .filter(|line| line.contains("is not shown again: sk-bf-"))
            .collect();
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    let value = printed[0].rsplit(' ').next().unwrap().to_owned();
    for governor in apis(&cluster) {
        governor.submit_is(&value, 202).await;
        let shown = governor.get("/virtual-keys/vk-made").await["virtual_key"].clone();
        assert_eq!(shown["value"], json!(format!("sk-bf-…{}", &value[value.len() - 4..])));
        let refused = governor.send(Method::GET, "/virtual-keys/vk-made/reveal", "").await.error(404);
        assert!(refused.contains("HERMOD_SECRET_KEY"), "{refused}");
    }
    assert!(!is_in_redis(&cluster, &value["sk-bf-".len()..]));
    // A process that starts later has the same one, and says nothing.
    let late = Governor(cluster.add_api().await);
    late.submit_is(&value, 202).await;
    lasts(Duration::from_secs(1)).await;
    let printed = cluster.logs.all().into_iter().filter(|line| line.contains("is not shown again")).count();
    assert_eq!(printed, 1, "one process has made it");
}

#[tokio::test]
async fn with_a_secret_key_a_made_value_is_kept_and_shown() {
    let cluster =
        Cluster::builder().workers(0).config(file()).set("HERMOD_SECRET_KEY", SECRET_KEY).start().await;
    let governor = Governor(cluster.api.clone());
    let value = eventually("a value is made", PATIENCE, async || {
        let answer = governor.send(Method::GET, "/virtual-keys/vk-made/reveal", "").await;
        (answer.status == 200).then(|| answer.json()["value"].as_str().unwrap().to_owned())
    })
    .await;
    governor.submit_is(&value, 202).await;
    let unique = &value["sk-bf-".len()..];
    assert!(!cluster.logs.all().join("\n").contains(unique) && !is_in_redis(&cluster, unique));
}
