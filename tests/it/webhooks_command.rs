//! `hermod webhooks`: endpoints and deliveries on the command line, and a receiver that verifies what it prints.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::time::Duration;

use hermod_tests::{Api, Cluster, Logs, PATIENCE, Process, Signal, binary, eventually_ok, redis_binary};
use serde_json::{Value, json};

use crate::admin_login::{PASSWORD, USERNAME, with_login};
use crate::command_line::{run, text, up};

/// `hermod`, with the API's address and a login in its environment.
struct Tool {
    environment: Vec<(&'static str, String)>,
}

impl Tool {
    fn of(api: &Api, login: &[(&'static str, &str)]) -> Self {
        let login = login.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Self { environment: [("HERMOD_URL", api.url.clone())].into_iter().chain(login).collect() }
    }

    fn administrator(api: &Api) -> Self {
        Self::of(api, &[("HERMOD_ADMIN_USER", USERNAME), ("HERMOD_ADMIN_PASSWORD", PASSWORD)])
    }

    async fn run(&self, args: &[&str]) -> Output {
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run("hermod", args, &environment).await
    }

    /// What it prints when all is well.
    async fn says(&self, args: &[&str]) -> String {
        let output = self.run(&[&["webhooks"], args].concat()).await;
        assert!(output.status.success(), "{args:?}: {output:?}");
        text(&output.stdout).trim_end().to_owned()
    }

    /// What it says is wrong.
    async fn complains(&self, args: &[&str]) -> String {
        let output = self.run(&[&["webhooks"], args].concat()).await;
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        text(&output.stderr).trim().to_owned()
    }

    async fn submits(&self, args: &[&str]) -> String {
        let output = self.run(&[&["submit", "chat", "-m", "demo/echo"], args].concat()).await;
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout).trim().to_owned()
    }
}

/// `hermod webhooks listen`
struct Listener {
    process: Process,
    logs: Logs,
    url: String,
}

impl Listener {
    async fn start(listen: &str, args: &[&str]) -> Self {
        let logs = Logs::default();
        let all = [&["webhooks", "listen", "--listen", listen], args].concat();
        let process = Process::spawn("listener", &binary("hermod"), all, &[], logs.keep()).unwrap();
        let url = eventually_ok("it listens", PATIENCE, async || {
            let line = logs.all().into_iter().find(|line| line.starts_with("listening on "));
            let line = line.ok_or_else(|| format!("{:?}", logs.all()))?;
            let url =
                line.trim_start_matches("listening on ").split('/').take(3).collect::<Vec<_>>().join("/");
            Ok(url)
        })
        .await;
        Self { process, logs, url }
    }

    fn address(&self) -> String {
        self.url.trim_start_matches("http://").to_owned()
    }

    /// The lines that have `words`, once there are so many of them.
    async fn has(&self, words: &[&str], lines: usize) -> Vec<String> {
        eventually_ok(&format!("{lines} lines with {words:?}"), PATIENCE, async || {
            let found =
                self.logs.all().into_iter().filter(|line| words.iter().all(|word| line.contains(word)));
            let found: Vec<_> = found.collect();
            if found.len() >= lines { Ok(found) } else { Err(format!("{:#?}", self.logs.all())) }
        })
        .await
    }

    fn stop(mut self) {
        self.process.signal(Signal::INT);
        let status = self.process.wait(Duration::from_secs(20)).unwrap();
        assert_eq!(status.code(), Some(0), "{:?}", self.logs.all());
    }
}

/// What `create` and `rotate` have shown.
fn secret_of(said: &str) -> &str {
    let secret = said.split_whitespace().find(|word| word.starts_with("whsec_"));
    secret.unwrap_or_else(|| panic!("no secret: {said}"))
}

fn column<'a>(table: &'a str, line: usize, name: &str) -> &'a str {
    let lines: Vec<_> = table.lines().collect();
    let at = lines[0].find(name).unwrap_or_else(|| panic!("{table}"));
    lines[line][at..].split_whitespace().next().unwrap_or_default()
}

#[tokio::test]
async fn an_endpoint_is_made_used_and_removed_and_each_delivery_is_verified() {
    let cluster = Cluster::builder().config(with_login(json!({}))).start().await;
    let tool = Tool::administrator(&cluster.api);
    assert_eq!(tool.says(&["list"]).await, "no endpoints");
    // Its secret is not known yet.
    let anyone = Listener::start("127.0.0.1:0", &[]).await;
    let address = anyone.address();
    let create = ["create", "orders", &anyone.url, "--allow-private-network", "--event", "completed"];
    let made =
        tool.says(&[&create[..], &["--header", "x-team=blue", "--field", "max_retries=1"]].concat()).await;
    assert_eq!(tool.says(&["test", "orders"]).await.split(" after ").next(), Some("delivered: 204"));
    anyone.has(&["webhook.test", "not verified"], 1).await;
    anyone.stop();

    let listener = Listener::start(&address, &["--secret", secret_of(&made)]).await;
    let id = tool.submits(&["--webhook", "orders", "Hello"]).await;
    listener.has(&["async_job.completed", "verified"], 1).await;
    let body = listener.has(&[&id], 1).await;
    let body: Value = serde_json::from_str(&body[0]).unwrap();
    assert_eq!((&body["data"]["job_id"], &body["data"]["status"]), (&json!(id), &json!("completed")));
    assert_eq!(body["data"]["result_url"], json!(format!("/v1/async/chat/completions/{id}")));

    let shown: Value = serde_json::from_str(&tool.says(&["show", "orders"]).await).unwrap();
    assert_eq!((&shown["max_retries"], &shown["events"]), (&json!(1), &json!(["async_job.completed"])));
    assert_eq!(shown["headers"]["x-team"]["value"], "<REDACTED>");
    let rows = eventually_ok("the attempt is recorded", PATIENCE, async || {
        let rows = tool.says(&["deliveries", "orders"]).await;
        if rows.contains(&id) { Ok(rows) } else { Err(rows) }
    })
    .await;
    let of_row = |name| column(&rows, 1, name);
    assert_eq!([of_row("EVENT"), of_row("OUTCOME"), of_row("STATUS")], ["completed", "delivered", "204"]);
    let row = of_row("ID").to_owned();
    for filter in [&["--outcome", "exhausted"][..], &["--event", "failed"], &["--skip", "1"]] {
        assert_eq!(tool.says(&[&["deliveries"], filter].concat()).await, "no deliveries", "{filter:?}");
    }
    assert_eq!(tool.says(&["deliveries", "--outcome", "delivered", "--period", "1h"]).await, rows);

    // Again, under the same id, as who listens is told.
    let again = tool.says(&["redeliver", &row]).await;
    let delivery = again.split(' ').next_back().unwrap();
    listener.has(&["verified, again", delivery], 1).await;

    // The old secret signs besides, and then no more: what is not verified is refused.
    tool.says(&["rotate", "orders", "--keep-old", "60"]).await;
    tool.submits(&["--webhook", "orders", "Hello"]).await;
    listener.has(&["async_job.completed", "verified"], 3).await;
    let rotated = tool.says(&["rotate", "orders"]).await;
    tool.submits(&["--webhook", "orders", "Hello"]).await;
    listener.has(&["async_job.completed", "REFUSED: signature invalid"], 1).await;
    let said = text(&tool.run(&["webhooks", "test", "orders"]).await.stdout);
    assert!(said.starts_with("not delivered, after ") && said.contains(": 400"), "{said}");
    eventually_ok("the failure is recorded", PATIENCE, async || {
        let rows = tool.says(&["deliveries", "orders", "--outcome", "permanent_failure"]).await;
        if rows.contains("400") { Ok(()) } else { Err(rows) }
    })
    .await;
    listener.stop();
    let listener = Listener::start(&address, &["--secret", secret_of(&rotated)]).await;
    assert_eq!(tool.says(&["recover", "orders", "--since", "2020-01-01T00:00:00Z"]).await, "queued again: 1");
    listener.has(&["async_job.completed", "verified"], 1).await;

    assert_eq!(tool.says(&["disable", "orders"]).await, "orders is disabled");
    let refused = tool.run(&["submit", "-m", "demo/echo", "--webhook", "orders", "Hello"]).await;
    assert!(text(&refused.stderr).contains("webhook endpoint \"orders\" is disabled"), "{refused:?}");
    assert_eq!(column(&tool.says(&["list"]).await, 1, "STATE"), "disabled");
    assert_eq!(tool.says(&["enable", "orders"]).await, "orders is enabled");
    let list = tool.says(&["list", "--search", "ORD"]).await;
    assert_eq!((column(&list, 1, "NAME"), column(&list, 1, "STATE")), ("orders", "enabled"));
    assert_eq!(tool.says(&["delete", "orders"]).await, "orders is deleted");
    assert_eq!(tool.says(&["list"]).await, "no endpoints");
    listener.stop();
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_name_may_have_any_characters() {
    let cluster = Cluster::builder().config(with_login(json!({}))).start().await;
    let tool = Tool::administrator(&cluster.api);
    let name = "été/50 % of?it#all";
    let listener = Listener::start("127.0.0.1:0", &["--json"]).await;
    tool.says(&["create", name, &listener.url, "--allow-private-network", "--include-response"]).await;
    let shown: Value = serde_json::from_str(&tool.says(&["show", name]).await).unwrap();
    assert_eq!(shown["name"], name);
    tool.submits(&["--webhook", name, "Hello"]).await;
    let body = listener.has(&["async_job.completed"], 1).await;
    let body: Value = serde_json::from_str(&body[0]).unwrap();
    assert_eq!(body["data"]["response"]["choices"][0]["message"]["content"], "Hello");
    let listed: Value = serde_json::from_str(&tool.says(&["list", "--json"]).await).unwrap();
    assert_eq!(listed, json!([serde_json::from_str::<Value>(&tool.says(&["show", name]).await).unwrap()]));
    tool.says(&["delete", name]).await;
}

#[tokio::test]
async fn what_is_wrong_is_said_with_what_to_do() {
    let cluster = Cluster::builder().workers(0).config(with_login(json!({}))).start().await;
    let closed = Cluster::builder().workers(0).start().await;
    let nowhere = Api::new("http://127.0.0.1:9".to_owned());
    let hint = "set HERMOD_ADMIN_USER and HERMOD_ADMIN_PASSWORD, or HERMOD_SETUP_TOKEN";
    for (tool, sentences) in [
        (
            Tool::of(&closed.api, &[]),
            ["the administration is closed", "governance.auth_config in config.json"],
        ),
        (Tool::of(&cluster.api, &[("HERMOD_SETUP_TOKEN", "")]), ["an administrator's login is needed", hint]),
        (
            Tool::of(&cluster.api, &[("HERMOD_ADMIN_USER", "admin"), ("HERMOD_ADMIN_PASSWORD", "hunter2")]),
            ["invalid username or password", hint],
        ),
        (
            Tool::of(&cluster.api, &[("HERMOD_ADMIN_USER", "admin")]),
            ["--admin-user without", "HERMOD_ADMIN_PASSWORD"],
        ),
        (Tool::administrator(&nowhere), ["no answer from http://127.0.0.1:9", "is `hermod up` running?"]),
    ] {
        let said = tool.complains(&["list"]).await;
        assert!(sentences.iter().all(|sentence| said.contains(sentence)), "{sentences:?}: {said}");
        assert!(!said.contains("hunter2") && !said.contains(PASSWORD), "{said}");
    }

    let tool = Tool::administrator(&cluster.api);
    for (args, sentence) in [
        (
            &["create", "x", "http://x.example/"][..],
            "webhook URL must use https (http requires allow_private_network)",
        ),
        (&["create", "x", "https://127.0.0.1/"], "it requires allow_private_network"),
        (
            &["create", "x", "https://x.example/", "--event", "done"],
            "unknown webhook event \"async_job.done\"",
        ),
        (
            &["create", "x", "https://x.example/", "--field", "max_retries=99"],
            "max_retries must be at most 20",
        ),
        (&["create", "x", "https://x.example/", "--header", "host=x"], "reserved and cannot be overridden"),
        (&["show", "x"], "Webhook endpoint not found"),
        (&["deliveries", "x"], "Webhook endpoint not found"),
        (&["deliveries", "--outcome", "lost"], "unknown outcome \"lost\""),
        (&["redeliver", "x"], "Webhook delivery not found"),
        (&["recover", "x", "--since", "yesterday"], "since must be a time such as"),
        (
            &["listen", "--secret", "whsec_"],
            "--secret: expected `whsec_` followed by 24 to 64 bytes in base64",
        ),
        (&["listen", "--listen", "nowhere"], "--listen: cannot listen on nowhere"),
    ] {
        let said = tool.complains(args).await;
        assert!(said.contains(sentence) && said.lines().count() == 1, "{args:?}: {said}");
    }
    let help = text(&tool.run(&["webhooks", "--help"]).await.stdout);
    assert!(help.contains("HERMOD_ADMIN_PASSWORD") && !help.contains(PASSWORD), "{help}");
}

#[tokio::test]
async fn up_lets_whoever_reads_its_folder_administer() {
    let folder = tempfile::tempdir().unwrap();
    let server = redis_binary().display().to_string();
    let environment = [("REDIS_SERVER", server.as_str()), ("HERMOD_GRACE_SECONDS", "1")];
    let mut first = up(folder.path(), &["--workers", "1"], &environment).await;
    let file = folder.path().join("data/setup-token");
    let token = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(token.len() > 40 && !first.logs.all().join("\n").contains(&token));
    let command = format!("export HERMOD_SETUP_TOKEN=$(cat '{}')", file.display());
    assert!(first.logs.all().iter().any(|line| line.trim() == command), "{:#?}", first.logs.all());
    let login = [("HERMOD_SETUP_TOKEN", token.as_str())];
    let tool = Tool::of(&Api::new(first.url.clone()), &login);
    tool.says(&["create", "orders", "https://orders.example/"]).await;
    Tool::of(&Api::new(first.url.clone()), &[]).complains(&["list"]).await;
    first.process.signal(Signal::TERM);
    assert_eq!(first.process.wait(Duration::from_secs(20)).unwrap().code(), Some(0));

    // The token stays; where the user has configured who administers, it counts no more.
    let mut second = up(folder.path(), &["--workers", "1"], &environment).await;
    let list = Tool::of(&Api::new(second.url.clone()), &login).says(&["list"]).await;
    assert_eq!(column(&list, 1, "NAME"), "orders");
    second.process.signal(Signal::TERM);
    assert_eq!(second.process.wait(Duration::from_secs(20)).unwrap().code(), Some(0));
    let config = folder.path().join("own.json").display().to_string();
    std::fs::write(&config, with_login(json!({})).to_string()).unwrap();
    let third = up(folder.path(), &["--workers", "1", "--config", &config], &environment).await;
    assert!(!third.logs.all().join("\n").contains("HERMOD_SETUP_TOKEN"), "{:#?}", third.logs.all());
    let api = Api::new(third.url.clone());
    let said = Tool::of(&api, &login).complains(&["list"]).await;
    assert!(said.contains("an administrator's login is needed"), "{said}");
    assert_eq!(column(&Tool::administrator(&api).says(&["list"]).await, 1, "NAME"), "orders");
}
