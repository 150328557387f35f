//! `hermod keys` and `hermod usage`: the administration of governance on the command line.

use std::process::Output;

use hermod_tests::{Cluster, PATIENCE, eventually};
use redis::Commands;
use serde_json::{Value, json};

use crate::admin_login::{PASSWORD, USERNAME, with_login};
use crate::command_line::{run, text};

struct Tool(Vec<(&'static str, String)>);

impl Tool {
    fn administrator(url: &str) -> Self {
        Self(vec![
            ("HERMOD_URL", url.to_owned()),
            ("HERMOD_ADMIN_USER", USERNAME.to_owned()),
            ("HERMOD_ADMIN_PASSWORD", PASSWORD.to_owned()),
        ])
    }

    async fn run(&self, args: &[&str]) -> Output {
        let environment: Vec<_> = self.0.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run("hermod", args, &environment).await
    }

    async fn says(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert!(output.status.success(), "{args:?}: {output:?}");
        text(&output.stdout).trim_end().to_owned()
    }

    async fn complains(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        text(&output.stderr).trim().to_owned()
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_key_is_made_shown_rotated_and_disabled() {
    let cluster = Cluster::builder().workers(1).config(with_login(json!({}))).start().await;
    let tool = Tool::administrator(&cluster.api.url);
    assert_eq!(tool.says(&["keys", "list"]).await, "no virtual keys");
    let made = tool
        .says(&[
            "keys",
            "create",
            "research",
            "--provider",
            "demo",
            "--budget",
            "10/1M",
            "--requests",
            "100/1m",
            "--weight",
            "2",
            "--field",
            "description=for tests",
        ])
        .await;
    let value = made.lines().next().unwrap().strip_prefix("research ").unwrap().to_owned();
    let id = made.lines().nth(1).unwrap().strip_prefix("id ").unwrap().to_owned();
    assert!(value.starts_with("sk-bf-"), "{made}");

    let list = tool.says(&["keys", "list"]).await;
    for word in ["research", id.as_str(), "active", "$0 of $10 a 1M", "0 of 100 a 1m"] {
        assert!(list.contains(word), "{word}: {list}");
    }
    assert!(!list.contains(&value));
    let all = json_of(&tool.says(&["keys", "list", "--json"]).await);
    assert_eq!(all[0]["weight"], json!(2.0));
    assert_eq!(tool.says(&["keys", "list", "--search", "nothing"]).await, "no virtual keys");

    let output = tool.run(&["keys", "show", "research"]).await;
    assert!(output.status.success() && text(&output.stderr).contains("HERMOD_SECRET_KEY"), "{output:?}");
    let shown = json_of(&text(&output.stdout));
    assert_eq!((&shown["id"], &shown["description"]), (&json!(id), &json!("for tests")));

    let asks = Tool(vec![("HERMOD_URL", cluster.api.url.clone()), ("HERMOD_VIRTUAL_KEY", value.clone())]);
    let quota = asks.says(&["keys", "quota"]).await;
    assert!(quota.starts_with("research: active"), "{quota}");
    assert!(quota.contains("dollars a 1M") && quota.contains("requests a 1m"), "{quota}");
    let submitted = asks.run(&["submit", "chat", "-m", "demo/echo", "--wait", "hello"]).await;
    assert!(submitted.status.success(), "{submitted:?}");

    assert_eq!(tool.says(&["keys", "disable", "research"]).await, "research is disabled");
    eventually("its submits are refused", PATIENCE, async || {
        let output = asks.run(&["submit", "chat", "-m", "demo/echo", "hello"]).await;
        text(&output.stderr).contains("virtual key is inactive").then_some(())
    })
    .await;
    assert_eq!(tool.says(&["keys", "enable", &id]).await, "research is active");
    let rotated = tool.says(&["keys", "rotate", "research"]).await;
    assert!(rotated.starts_with("research sk-bf-") && !rotated.contains(&value), "{rotated}");
    assert!(rotated.ends_with("the old value counts no more"), "{rotated}");

    assert!(
        tool.complains(&["keys", "show", "nobody"])
            .await
            .contains("no virtual key has the id or the name nobody")
    );
    tool.says(&["keys", "create", "research"]).await;
    assert!(tool.complains(&["keys", "rotate", "research"]).await.contains("several virtual keys"));
    assert!(tool.complains(&["keys", "create", "x", "--field", "budget={}"]).await.contains("`budget`"));
    let stranger = Tool(vec![("HERMOD_URL", cluster.api.url.clone())]);
    assert!(stranger.complains(&["keys", "list"]).await.contains("HERMOD_ADMIN_USER"));
    assert!(stranger.complains(&["usage"]).await.contains("HERMOD_ADMIN_USER"));
}

#[tokio::test]
async fn usage_is_a_table_and_json() {
    let cluster = Cluster::builder().workers(0).config(with_login(json!({}))).start().await;
    let tool = Tool::administrator(&cluster.api.url);
    assert_eq!(tool.says(&["usage"]).await, "nothing was used");
    let _: () = cluster.connect().hset("{hermod:0}:usage:20300101", "\ndemo/echo\nrequests", 12).unwrap();
    let days = ["usage", "--from", "2030-01-01", "--to", "2030-01-31"];
    let table = tool.says(&days).await;
    assert!(table.contains("2030-01-01") && table.contains("demo/echo") && table.contains("12"), "{table}");
    let rows = json_of(&tool.says(&[&days[..], &["--json"]].concat()).await);
    assert_eq!(rows["rows"][0]["requests"], json!(12));
    let none = tool.says(&[&days[..], &["--key", "none"]].concat()).await;
    assert_eq!(none, "nothing was used");
}
