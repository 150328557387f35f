//! The administration's door: who comes in, on every process, and what is told to whom it is closed.

use std::time::Duration;

use hermod_tests::{Answer, Api, Builder, Cluster, PATIENCE, eventually};
use redis::Commands;
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) const USERNAME: &str = "admin";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
const SETUP: &str = "a-setup-token";
const SETUP_HEADER: &str = "x-bifrost-setup-token";
/// What only an administrator may see.
const GUARDED: &str = "/api/webhooks";

pub(crate) fn with_login(mut config: Value) -> Value {
    config["governance"]["auth_config"] =
        json!({"is_enabled": true, "admin_username": USERNAME, "admin_password": PASSWORD});
    config
}

fn cluster(config: Value) -> Builder {
    Cluster::builder().workers(0).config(config)
}

async fn log_in(api: &Api, username: &str, password: &str) -> Answer {
    let body = json!({"username": username, "password": password});
    api.send(api.request(Method::POST, "/api/session/login").body(body.to_string())).await
}

async fn token(api: &Api) -> String {
    let answer = log_in(api, USERNAME, PASSWORD).await;
    assert_eq!((answer.status, &answer.json()["message"]), (200, &json!("Login successful")), "{answer:?}");
    answer.json()["token"].as_str().unwrap().to_owned()
}

async fn with_token(api: &Api, method: Method, path: &str, token: &str) -> Answer {
    api.send(api.request(method, path).bearer_auth(token)).await
}

async fn is_auth_enabled(api: &Api, token: Option<&str>) -> Value {
    let request = api.request(Method::GET, "/api/session/is-auth-enabled");
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let answer = api.send(request).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

#[tokio::test]
async fn it_is_closed_until_a_login_or_a_setup_token_is_configured() {
    let settings = json!({"governance": {"auth_config": {
        "is_enabled": false, "admin_username": USERNAME, "admin_password": "env.NOT_SET_ANYWHERE",
    }}});
    let cluster = cluster(settings).start().await;
    let api = &cluster.api;
    for path in
        [GUARDED, "/api/webhooks/x", "/api/governance/virtual-keys", "/api/nothing", "/api/session/logout"]
    {
        for request in [
            api.request(Method::GET, path),
            api.request(Method::POST, path).header(SETUP_HEADER, SETUP),
            api.request(Method::GET, path).basic_auth(USERNAME, Some(PASSWORD)),
            api.request(Method::GET, path).bearer_auth("0".repeat(64)),
        ] {
            let answer = api.send(request).await;
            let message = answer.error(403);
            for way in ["governance.auth_config", "setup_token", "BIFROST_SETUP_TOKEN"] {
                assert!(message.contains(way), "{message}");
            }
            assert_eq!(answer.json()["error"]["code"], "administration_closed");
        }
    }
    log_in(api, USERNAME, PASSWORD).await.error(403);
    assert_eq!(is_auth_enabled(api, None).await, json!({"is_auth_enabled": false, "has_valid_token": false}));
}

#[tokio::test]
async fn a_setup_token_opens_it_while_there_is_no_login() {
    // In the file, or in the environment, which overrules it.
    for (config, variable) in
        [(json!({"setup_token": SETUP}), ""), (json!({"setup_token": "another"}), SETUP), (json!({}), SETUP)]
    {
        let cluster = cluster(config).set("BIFROST_SETUP_TOKEN", variable).start().await;
        let api = &cluster.api;
        let get = |token: &str| api.request(Method::GET, GUARDED).header(SETUP_HEADER, token);
        assert_eq!(api.send(get(SETUP)).await.status, 200);
        let without = api.get(GUARDED).await;
        assert!(without.error(401).contains("X-Bifrost-Setup-Token"));
        assert!(without.header("www-authenticate").starts_with("Bearer"));
        for wrong in ["another", "", "a-setup-tokem"] {
            assert_eq!(api.send(get(wrong)).await.error(403), "wrong setup token");
        }
        log_in(api, USERNAME, PASSWORD).await.error(403);
    }

    let mut config = with_login(json!({}));
    config["setup_token"] = json!(SETUP);
    let cluster = cluster(config).start().await;
    let api = &cluster.api;
    api.send(api.request(Method::GET, GUARDED).header(SETUP_HEADER, SETUP)).await.error(401);
}

#[tokio::test]
async fn a_login_counts_on_every_process_until_it_is_ended() {
    let cluster = cluster(with_login(json!({}))).apis(2).start().await;
    let apis = cluster.apis.read().unwrap().clone();
    let [one, other] = apis.as_slice() else { panic!("{}", apis.len()) };
    for api in &apis {
        let basic = |password| api.request(Method::GET, GUARDED).basic_auth(USERNAME, Some(password));
        assert_eq!(api.send(basic(PASSWORD)).await.status, 200);
        assert_eq!(api.send(basic("wrong")).await.error(401), "invalid username or password");
        for request in [
            api.request(Method::GET, GUARDED),
            api.request(Method::GET, GUARDED).header("authorization", "Basic ???"),
            api.request(Method::GET, GUARDED).header("authorization", "Digest x"),
            api.request(Method::GET, GUARDED).bearer_auth("0".repeat(64)),
            api.request(Method::GET, GUARDED).bearer_auth("x"),
            api.request(Method::GET, GUARDED).bearer_auth("sk-bf-a-virtual-key"),
        ] {
            let answer = api.send(request).await;
            answer.error(401);
            assert!(!answer.header("www-authenticate").is_empty());
        }
    }
    let token = token(one).await;
    for api in &apis {
        assert_eq!(with_token(api, Method::GET, GUARDED, &token).await.status, 200);
        let enabled = is_auth_enabled(api, Some(&token)).await;
        assert_eq!(enabled, json!({"is_auth_enabled": true, "has_valid_token": true}));
    }
    // What is in Redis opens nothing, and ends by itself.
    let mut redis = cluster.connect();
    let sessions: Vec<String> = redis.keys("*session*").unwrap();
    let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
    let value: String = redis.get(session).unwrap();
    for secret in [&token, USERNAME, PASSWORD] {
        assert!(!session.contains(secret) && !value.contains(secret));
    }
    let hash = session.rsplit(':').next().unwrap();
    with_token(one, Method::GET, GUARDED, hash).await.error(401);
    let lives = redis.ttl::<_, i64>(session).unwrap();
    assert!((80_000..=86_400).contains(&lives), "{lives}");

    let out = with_token(other, Method::POST, "/api/session/logout", &token).await;
    assert_eq!((out.status, out.json()), (200, json!({"message": "Logout successful"})));
    for api in &apis {
        with_token(api, Method::GET, GUARDED, &token).await.error(401);
        assert_eq!(is_auth_enabled(api, Some(&token)).await["has_valid_token"], json!(false));
    }
    for body in ["", "{", "[]", r#"{"username":"admin"}"#, r#"{"username":"admin","password":7}"#] {
        let answer = one.send(one.request(Method::POST, "/api/session/login").body(body)).await;
        assert_eq!(answer.error(400), "Invalid request payload");
    }
    for (method, path) in
        [(Method::GET, "/api/session/login"), (Method::POST, "/api/session/is-auth-enabled")]
    {
        one.send(one.request(method, path)).await.error(405);
    }
    let unknown = one.request(Method::GET, "/api/nothing").basic_auth(USERNAME, Some(PASSWORD));
    one.send(unknown).await.error(404);
}

#[tokio::test]
async fn a_session_ends_with_the_password_that_it_was_begun_with() {
    let mut cluster = cluster(with_login(json!({}))).start().await;
    let token = token(&cluster.api).await;
    let text = std::fs::read_to_string(cluster.config_path()).unwrap();
    std::fs::write(cluster.config_path(), text.replace(PASSWORD, "another")).unwrap();
    let changed = cluster.add_api().await;
    with_token(&changed, Method::GET, GUARDED, &token).await.error(401);
    assert_eq!(with_token(&cluster.api, Method::GET, GUARDED, &token).await.status, 200);
}

#[tokio::test]
async fn an_address_whose_logins_fail_is_slowed_down_and_its_sessions_are_not() {
    let cluster = cluster(with_login(json!({}))).start().await;
    let api = &cluster.api;
    let token = token(api).await;
    // Many at once are no way around it.
    let guesses = (0..40).map(|number| {
        let api = api.clone();
        async move { log_in(&api, USERNAME, &format!("guess {number}")).await }
    });
    let answers = futures_util::future::join_all(guesses).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(answers.iter().all(|answer| matches!(answer.status, 401 | 429)), "{answers:?}");
    assert!((30..=34).contains(&refused.len()), "five are free, the next ones wait: {}", refused.len());
    let wait: u64 = refused[0].header("retry-after").parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    assert_eq!(refused[0].json()["error"]["code"], "too_many_logins");
    assert_eq!(with_token(api, Method::GET, GUARDED, &token).await.status, 200);

    let metrics = api.get("/metrics").await.text;
    let value = |name: &str| -> usize {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap();
        line.parse().unwrap()
    };
    assert_eq!(value("hermod_admin_logins_failed_total"), 40 - refused.len());
    assert_eq!(value("hermod_admin_logins_slowed_total"), refused.len());
    let failed = cluster.logs.with_message("a login to the administration has failed");
    assert_eq!(failed.len(), 40 - refused.len());
    assert!(failed.iter().all(|line| line["address"] == "127.0.0.1"), "{failed:?}");

    eventually("the wait is over", Duration::from_secs(20).min(PATIENCE), async || {
        let answer = api.send(api.request(Method::GET, GUARDED).basic_auth(USERNAME, Some(PASSWORD))).await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(log_in(api, USERNAME, "wrong").await.status, 401, "a success begins anew");
    let log = cluster.logs.all().join("\n");
    for secret in [PASSWORD, &token, "guess "] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn without_redis_a_password_opens_it_and_a_session_cannot_be_judged() {
    let mut cluster = cluster(with_login(json!({}))).start().await;
    let api = cluster.api.clone();
    let token = token(&api).await;
    cluster.kill_redis();
    with_token(&api, Method::GET, GUARDED, &token).await.error(503);
    log_in(&api, USERNAME, PASSWORD).await.error(503);
    let unknown = api.request(Method::GET, "/api/nothing").basic_auth(USERNAME, Some(PASSWORD));
    api.send(unknown).await.error(404);
    assert_eq!(is_auth_enabled(&api, Some(&token)).await["has_valid_token"], json!(false));
}
