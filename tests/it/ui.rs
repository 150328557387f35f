//! The operator's page: who may see it, what it tells a browser, and what it never shows. A real browser has tests of its own, in
//! `tests/browser`.

use std::time::Duration;

use hermod_tests::{Builder, Cluster, PATIENCE, eventually};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::admin_login::{PASSWORD, USERNAME, with_login};

const PAGES: [&str; 7] =
    ["/ui", "/ui/jobs", "/ui/dead", "/ui/workers", "/ui/providers", "/ui/keys", "/ui/webhooks"];
const SCRIPT: &str = "\"'><script>alert(1)</script>&lt;";

/// A browser without a script, on one site.
struct Browser {
    url: String,
    client: Client,
}

#[derive(Debug)]
struct Shown {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Browser {
    fn at(url: &str) -> Self {
        let client = Client::builder().redirect(Policy::none()).timeout(Duration::from_secs(20));
        Self { url: url.to_owned(), client: client.build().unwrap() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    async fn send(&self, request: RequestBuilder) -> Shown {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Shown { status, headers, text: response.text().await.unwrap() }
    }

    async fn get(&self, path: &str) -> Shown {
        self.send(self.request(Method::GET, path)).await
    }

    /// A form that a page of this site sends.
    fn form(&self, path: &str, body: &'static str) -> RequestBuilder {
        let request = self.request(Method::POST, path).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.header("sec-fetch-site", "same-origin")
    }
}

impl Shown {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The cookie that it sets, as it is sent back.
    fn cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

async fn start(builder: Builder) -> (Cluster, Browser) {
    let cluster = builder.start().await;
    let browser = Browser::at(&cluster.api.url);
    (cluster, browser)
}

fn without_workers(config: Value) -> Builder {
    Cluster::builder().workers(0).config(config)
}

#[tokio::test]
async fn a_loopback_listener_shows_it_to_this_machine_alone() {
    let (_cluster, browser) = start(without_workers(json!({}))).await;
    for page in PAGES {
        let shown = browser.get(page).await;
        assert_eq!(shown.status, 200, "{page}: {}", shown.text);
        assert_eq!(shown.header("content-type"), "text/html; charset=utf-8");
        assert!(shown.text.starts_with("<!doctype html>") && shown.text.ends_with("</html>"), "{page}");
    }
    // A foreign name that points here, and proxies: then nobody knows who asks.
    for (name, value) in [
        ("host", "evil.example"),
        ("host", "evil.example:8080"),
        ("x-forwarded-for", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("via", "1.1 proxy"),
    ] {
        let shown = browser.send(browser.request(Method::GET, "/ui").header(name, value)).await;
        assert_eq!(shown.status, 403, "{name}: {value}");
        assert!(shown.text.contains("governance.auth_config"), "{}", shown.text);
        assert!(!shown.text.contains("Overview"), "{}", shown.text);
    }
    for (path, status) in
        [("/ui/", 200), ("/ui/nothing", 404), ("/ui/jobs/x", 404), ("/ui/jobs?state=x", 400)]
    {
        assert_eq!(browser.get(path).await.status, status, "{path}");
    }
    let post = browser.send(browser.form("/ui", "")).await;
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"));
}

#[tokio::test]
async fn another_listener_keeps_it_closed_until_somebody_may_log_in() {
    let everywhere = |config| without_workers(config).set("HERMOD_LISTEN", "0.0.0.0:0");
    let (cluster, _) = start(everywhere(json!({}))).await;
    let browser = Browser::at(&cluster.api.url.replace("0.0.0.0", "127.0.0.1"));
    for path in PAGES.into_iter().chain(["/ui/login", "/ui/live", "/ui/style.css"]) {
        assert_eq!(browser.get(path).await.status, 403, "{path}");
    }
    assert_eq!(browser.send(browser.form("/ui/act/pause", "")).await.status, 403);
    drop(cluster);

    let (cluster, _) = start(everywhere(json!({"setup_token": "a-setup-token"}))).await;
    let browser = Browser::at(&cluster.api.url.replace("0.0.0.0", "127.0.0.1"));
    let shown = browser.get("/ui/jobs?state=ended").await;
    assert_eq!(
        (shown.status, shown.header("location")),
        (303, "/ui/login?next=%2Fui%2Fjobs%3Fstate%3Dended")
    );
    assert!(browser.get("/ui/login").await.text.contains("Setup token"));
    let wrong = browser.send(browser.form("/ui/login", "password=another")).await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, ""));
    let right = browser.send(browser.form("/ui/login", "password=a-setup-token")).await;
    assert_eq!((right.status, right.header("location")), (303, "/ui"));
    let shown = browser.send(browser.request(Method::GET, "/ui").header("cookie", right.cookie())).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
}

#[tokio::test]
async fn a_login_is_wanted_where_one_is_configured() {
    let (cluster, browser) = start(without_workers(with_login(json!({})))).await;
    for path in PAGES {
        assert_eq!(browser.get(path).await.status, 303, "{path}");
    }
    assert_eq!(browser.get("/ui/live/jobs").await.status, 401);
    assert_eq!(browser.get("/ui/style.css").await.status, 200);
    assert_eq!(browser.get("/ui/login").await.status, 200);
    assert_eq!(browser.send(browser.form("/ui/act/pause", "")).await.status, 401);

    let wrong = browser.send(browser.form("/ui/login", "username=admin&password=x")).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text.contains("Wrong name or password.") && !wrong.text.contains("value=\"x\""));
    let login = "username=admin&password=correct+horse+battery+staple&next=/ui/dead";
    assert_eq!((USERNAME, PASSWORD), ("admin", "correct horse battery staple"));
    let right = browser.send(browser.form("/ui/login", login)).await;
    assert_eq!((right.status, right.header("location")), (303, "/ui/dead"));
    assert!(right.header("set-cookie").ends_with("; HttpOnly; SameSite=Strict; Path=/ui"));
    let behind_tls = browser.form("/ui/login", login).header("x-forwarded-proto", "https");
    assert!(browser.send(behind_tls).await.header("set-cookie").ends_with("; Secure"));
    let elsewhere =
        browser.form("/ui/login", "username=admin&password=correct+horse+battery+staple&next=//x.example");
    assert_eq!(browser.send(elsewhere).await.header("location"), "/ui");

    let cookie = right.cookie();
    let with = |method, path: &str| browser.request(method, path).header("cookie", &cookie);
    let shown = browser.send(with(Method::GET, "/ui")).await;
    assert!(shown.status == 200 && shown.text.contains("Log out"), "{}", shown.text);
    assert_eq!(
        browser.send(with(Method::GET, "/ui/login")).await.status,
        303,
        "there is nothing to log in to"
    );
    // What the API's callers show is no session of a browser.
    let basic = browser.request(Method::GET, "/ui").basic_auth(USERNAME, Some(PASSWORD));
    assert_eq!(browser.send(basic).await.status, 303);
    let act = with(Method::POST, "/ui/act/pause").header("sec-fetch-site", "same-origin");
    assert_eq!(browser.send(act).await.status, 303);
    let line = cluster.logs.line("changed by an administrator").await;
    assert_eq!((&line["who"], &line["action"]), (&json!("admin"), &json!("paused all workers")));

    let out = browser.send(with(Method::POST, "/ui/logout").header("sec-fetch-site", "same-origin")).await;
    assert!(out.status == 303 && out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(browser.send(with(Method::GET, "/ui")).await.status, 303, "the session has ended");
    for _ in 0..5 {
        browser.send(browser.form("/ui/login", "username=admin&password=x")).await;
    }
    let slowed = eventually("it is slowed", PATIENCE, async || {
        let shown = browser.send(browser.form("/ui/login", "username=admin&password=x")).await;
        (shown.status == 429).then_some(shown)
    })
    .await;
    assert!(!slowed.header("retry-after").is_empty() && slowed.text.contains("Too many logins"));
}

#[tokio::test]
async fn each_answer_tells_the_browser_what_it_may_do() {
    let (_cluster, browser) = start(without_workers(json!({}))).await;
    let paths =
        PAGES.into_iter().chain(["/ui/nothing", "/ui/style.css", "/ui/script.js", "/ui/confirm/pause"]);
    for path in paths {
        let shown = browser.get(path).await;
        let policy = shown.header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(shown.header("x-content-type-options"), "nosniff");
        assert_eq!(shown.header("referrer-policy"), "same-origin");
        let is_asset = path.contains('.');
        assert_eq!(shown.header("cache-control") == "no-store", !is_asset, "{path}");
        // Nothing that the policy forbids is in a page.
        if !is_asset {
            for inline in ["<style", " style=", " onclick", "javascript:", "<script>", "http://", "https://"]
            {
                let text = shown.text.replace("xmlns='http://www.w3.org/2000/svg'", "");
                assert!(!text.contains(inline), "{path} has {inline}");
            }
        }
    }
}

#[tokio::test]
async fn only_a_page_of_this_site_changes_something() {
    let (cluster, browser) = start(without_workers(json!({}))).await;
    let post = |path: &str| browser.request(Method::POST, path);
    let origin = cluster.api.url.clone();
    for request in [
        post("/ui/act/pause"),
        post("/ui/act/pause").header("sec-fetch-site", "cross-site"),
        post("/ui/act/pause").header("sec-fetch-site", "same-site").header("origin", &origin),
        post("/ui/act/pause").header("sec-fetch-site", "none"),
        post("/ui/act/pause").header("origin", "null"),
        post("/ui/act/pause").header("origin", "http://evil.example"),
        post("/ui/login").header("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(browser.send(request).await.status, 403);
    }
    assert!(cluster.logs.with_message("changed by an administrator").is_empty());
    let part = browser.request(Method::GET, "/ui").header("sec-fetch-site", "cross-site");
    assert_eq!(browser.send(part).await.status, 403, "a picture or a frame elsewhere");
    let link = browser.request(Method::GET, "/ui").header("sec-fetch-site", "cross-site");
    assert_eq!(browser.send(link.header("sec-fetch-mode", "navigate")).await.status, 200, "a link");

    assert_eq!(browser.get("/ui/act/pause").await.status, 405, "a GET changes nothing");
    let question = browser.get("/ui/confirm/pause").await;
    assert!(question.text.contains("action=\"/ui/act/pause\""), "{}", question.text);
    let done = browser.send(post("/ui/act/pause").header("origin", &origin)).await;
    assert_eq!((done.status, done.header("location")), (303, "/ui?said=paused"));
    assert!(browser.get("/ui?said=paused").await.text.contains("no worker claims anything"));
    let line = cluster.logs.line("changed by an administrator").await;
    assert_eq!((&line["who"], &line["action"]), (&json!("local"), &json!("paused all workers")));
    assert_eq!(browser.send(browser.form("/ui/act/resume", "")).await.status, 303);
    assert!(!browser.get("/ui").await.text.contains("no worker claims anything; what runs"));
    for (path, body, status) in [
        ("/ui/act/cancel", "", 400),
        ("/ui/act/cancel", "id=x", 400),
        ("/ui/act/cancel", "id=0199f2a1-7c4e-7a10-8000-3d2c1b0a9f8e", 404),
        ("/ui/act/requeue", "", 400),
        ("/ui/act/drop", "", 404),
    ] {
        assert_eq!(browser.send(browser.form(path, body)).await.status, status, "{path} {body}");
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn it_can_show_without_changing_anything_or_not_be_there() {
    let (cluster, browser) = start(without_workers(json!({})).set("HERMOD_UI", "read-only")).await;
    let id = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    for (path, body) in [
        ("/ui/act/pause", ""),
        ("/ui/act/resume", ""),
        ("/ui/act/requeue-all", ""),
        ("/ui/confirm/requeue", "id=x"),
    ] {
        let shown = browser.send(browser.form(path, body)).await;
        assert!(shown.status == 403 && shown.text.contains("read-only"), "{path}: {}", shown.text);
    }
    for path in PAGES.into_iter().map(str::to_owned).chain([format!("/ui/jobs/{id}")]) {
        let shown = browser.get(&path).await;
        assert!(shown.status == 200 && shown.text.contains("read-only"), "{path}");
        assert!(!shown.text.contains("/ui/confirm/") && !shown.text.contains("/ui/act/"), "{path}");
    }
    drop(cluster);
    let (_cluster, browser) = start(without_workers(json!({})).set("HERMOD_UI", "off")).await;
    for path in PAGES {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn requests_and_answers_are_shown_only_where_that_is_allowed() {
    let (cluster, browser) = start(Cluster::builder()).await;
    let id = cluster.api.submit(json!({"model": "demo/echo", "prompt": "a secret prompt"})).await;
    cluster.ended(&id).await;
    let job = browser.get(&format!("/ui/jobs/{id}")).await;
    assert!(job.status == 200 && job.text.contains("completed") && job.text.contains("demo/echo"));
    assert!(!job.text.contains("a secret prompt") && !job.text.contains("/content"), "{}", job.text);
    let hidden = browser.get(&format!("/ui/jobs/{id}/content")).await;
    assert!(hidden.status == 403 && hidden.text.contains("HERMOD_UI_CONTENT"), "{}", hidden.text);
    drop(cluster);

    let (cluster, browser) = start(Cluster::builder().set("HERMOD_UI_CONTENT", "on")).await;
    let prompt = format!("a secret prompt {SCRIPT}");
    let id = cluster.api.submit(json!({"model": "demo/hang", "prompt": prompt})).await;
    cluster.called("hang", 1).await;
    let shown = browser.get(&format!("/ui/jobs/{id}/content")).await;
    assert!(
        shown.text.contains("a secret prompt") && !shown.text.contains("<script>alert"),
        "{}",
        shown.text
    );
    assert!(!browser.get(&format!("/ui/jobs/{id}")).await.text.contains("a secret prompt"));
    let line = cluster.logs.line("changed by an administrator").await;
    assert_eq!(line["action"], "looked at the request and answer of a job");
    let body = format!("id={id}");
    let cancel = browser.form("/ui/act/cancel", "").body(body);
    assert_eq!(browser.send(cancel).await.status, 303);
    assert_eq!(cluster.ended(&id).await["status_code"], 499);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_anybody_wrote_is_text() {
    let config = json!({"governance": {"virtual_keys": [
        {"id": "vk-1", "name": SCRIPT, "value": "sk-bf-test", "is_active": true,
         "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]},
    ]}});
    let (cluster, browser) = start(Cluster::builder().config(config)).await;
    let mut ids = Vec::new();
    for model in [format!("demo/echo-{SCRIPT}"), format!("demo/{SCRIPT}"), format!("demo/hang-{SCRIPT}")] {
        let body = json!({"model": model, "prompt": SCRIPT, "user": SCRIPT}).to_string();
        let submission = cluster.api.submission(body).header("x-bf-vk", "sk-bf-test");
        let answer = cluster.api.send(submission.header("x-request-id", SCRIPT)).await;
        ids.push(answer.json()["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned());
    }
    eventually("two have ended", PATIENCE, async || {
        let shown = browser.get("/ui/jobs?state=ended").await.text;
        ids[..2].iter().all(|id| shown.contains(&id[24..])).then_some(())
    })
    .await;
    let encoded = "%22%27%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let paths = PAGES
        .into_iter()
        .map(str::to_owned)
        .chain(ids.iter().map(|id| format!("/ui/jobs/{id}")))
        .chain(ids.iter().map(|id| format!("/ui/confirm/cancel?id={id}")))
        .chain(
            ["model", "key", "state", "id", "after", "said"].map(|name| format!("/ui/jobs?{name}={encoded}")),
        )
        .chain(["reason", "model"].map(|name| format!("/ui/dead?{name}={encoded}")))
        .chain([
            format!("/ui/confirm/end-cooldown?name={encoded}"),
            format!("/ui/confirm/requeue-all?reason={encoded}&model={encoded}"),
            format!("/ui/confirm/{encoded}"),
            format!("/ui/{encoded}"),
            format!("/ui/login?next={encoded}"),
        ]);
    for path in paths {
        let shown = browser.get(&path).await;
        assert!(shown.status < 500, "{path}: {shown:?}");
        assert!(!shown.text.contains("<script>alert"), "{path}: {}", shown.text);
    }
    let shown = browser.get("/ui/jobs").await.text;
    assert!(shown.contains("alert(1)"), "the model is shown: {shown}");
    assert!(!browser.get("/ui/keys").await.text.contains("sk-bf-test"), "a key's value is not");
    let cancel = browser.form("/ui/act/cancel", "").body(format!("id={}", ids[2]));
    assert_eq!(browser.send(cancel).await.status, 303);
}

#[tokio::test]
async fn with_a_port_for_operators_it_is_there_and_nowhere_else() {
    let mut cluster = without_workers(json!({})).start().await;
    cluster.set("HERMOD_OPS_LISTEN", "127.0.0.1:0");
    let public = cluster.add_api().await;
    let lines = cluster.logs.with_message("listening");
    let operators = lines.iter().find_map(|line| line["operators"].as_str()).unwrap();
    for page in PAGES {
        assert_eq!(Browser::at(&public.url).get(page).await.status, 404, "{page}");
        assert_eq!(Browser::at(&format!("http://{operators}")).get(page).await.status, 200, "{page}");
    }
}

#[tokio::test]
async fn redis_is_read_once_a_second_however_many_look() {
    let (cluster, browser) = start(without_workers(json!({}))).await;
    let mut redis = cluster.connect();
    let mut calls = || -> u64 {
        let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut redis).unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_info:calls="));
        line.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
    };
    let before = calls();
    let begun = std::time::Instant::now();
    for _ in 0..10 {
        let all = (0..10).map(|_| browser.get("/ui"));
        assert!(futures_util::future::join_all(all).await.iter().all(|shown| shown.status == 200));
    }
    let seconds = begun.elapsed().as_secs() + 1;
    // Of a look, one; two are these, and the process looks at the server itself now and then.
    assert!(calls() - before < 4 + 3 * seconds, "in {seconds} s");
}

#[tokio::test]
async fn a_page_is_followed_as_events() {
    let (cluster, browser) = start(Cluster::builder()).await;
    let mut response = browser.request(Method::GET, "/ui/live").send().await.unwrap();
    let stream = HeaderValue::from_static("text/event-stream");
    assert_eq!((response.status().as_u16(), response.headers()["content-type"].clone()), (200, stream));
    let mut text = String::new();
    let mut until = async |wanted: &str| {
        while !text.contains(wanted) {
            let chunk = tokio::time::timeout(PATIENCE, response.chunk()).await.unwrap().unwrap().unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    until("event: page").await;
    cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    until("<b>1</b> running").await;
}
