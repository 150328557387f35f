//! What of the file is for webhooks and for the administration.

use url::Url;

use crate::webhook::{EndpointId, Event, PrivateNetwork};

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn look_up(name: &str) -> Option<String> {
    let value = match name {
        "HOOK_SECRET" => SECRET,
        "HOOK_KEY" => "k-live",
        "ADMIN_PASSWORD" => "hunter2",
        "SETUP_TOKEN" => "letmein",
        "HOOK_URL" => "https://example.com/from-variable",
        _ => return None,
    };
    Some(value.to_owned())
}

fn read(text: &str) -> Config {
    Config::from_json(text, &look_up).unwrap()
}

fn errors(text: &str) -> Vec<String> {
    let (_, errors) = Config::inspect(text, &look_up);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn endpoints_of_the_file_have_ids_of_their_names_and_resolved_secrets() {
    let text = r#"{"webhooks": [
        {"name": "ci", "url": "https://example.com/a", "events": ["async_job.failed"], "secret": "env.HOOK_SECRET",
         "headers": {"x-key": "env.HOOK_KEY", "x-plain": {"value": "p"}, "x-none": null}, "include_response": true, "max_retries": 9},
        {"name": "lan", "url": "env.HOOK_URL", "events": ["async_job.cancelled"], "disabled": true, "allow_private_network": true,
         "virtual_key_ids": ["vk"], "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "id": "ignored"}]}"#;
    let config = read(text);
    let [ci, lan] = config.webhooks.as_slice() else { panic!("{:?}", config.webhooks) };
    assert_eq!((ci.id, ci.is_from_file), (EndpointId::of_file("ci"), true));
    assert_eq!((ci.name.as_str(), ci.url.as_str()), ("ci", "https://example.com/a"));
    assert_eq!((ci.events.as_slice(), ci.limits.retries()), ([Event::Failed].as_slice(), 9));
    let headers: Vec<_> =
        ci.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    assert_eq!(headers, [("x-key", "k-live"), ("x-plain", "p")]);
    assert_eq!(ci.secret.expose(), SECRET);
    assert!(ci.include_response && !ci.disabled && lan.disabled && !lan.include_response);
    assert_eq!((ci.private_network, lan.private_network), (PrivateNetwork::Refused, PrivateNetwork::Allowed));
    assert_eq!(
        (lan.url.as_str(), lan.virtual_key_ids.as_deref()),
        ("https://example.com/from-variable", Some(&["vk".to_owned()][..]))
    );
    assert_eq!(config.ignored, ["webhooks.id"]);
    // An API process has the same.
    let api = ApiConfig::names_from_json(text, &look_up).unwrap();
    assert_eq!(format!("{:?}", api.webhooks), format!("{:?}", config.webhooks));
    assert_eq!(api.webhooks[0].secret.expose(), SECRET);
    let api = config.without_provider_secrets();
    assert_eq!(api.webhooks.len(), 2);
}

#[test]
fn all_that_is_wrong_with_endpoints_is_named_with_its_path() {
    let text = r#"{"webhooks": [
        {"name": "a", "url": "http://h", "events": ["x", "async_job.failed", "async_job.failed"], "secret": "whsec_short",
         "max_retries": -1, "headers": {"host": "h"}},
        {"name": "b", "url": "https://h", "events": ["async_job.failed"], "secret": "env.NOPE"},
        {"name": "b", "url": "env.NOPE_2", "events": 7},
        {"name": 7, "url": "https://h", "events": ["async_job.failed", 8], "secret": "env.HOOK_SECRET", "evnets": 1, "headers": {"x-a": "env.NOPE_3", "x-b": 1}},
        7]}"#;
    let mut found = errors(text);
    found.sort();
    let mut expected = [
        "webhooks[0].url: webhook URL must use https (http requires allow_private_network)",
        "webhooks[0].events[0]: unknown webhook event \"x\"",
        "webhooks[0].events[2]: duplicate webhook event \"async_job.failed\"",
        "webhooks[0].secret: expected `whsec_` followed by 24 to 64 bytes in base64",
        "webhooks[0].max_retries: webhook endpoint max_retries must be positive when set",
        "webhooks[0].headers.host: webhook header \"host\" is reserved and cannot be overridden",
        "webhooks[1].secret: the environment variable NOPE is not set",
        "webhooks[2].name: expected a name that no other endpoint has",
        "webhooks[2].url: the environment variable NOPE_2 is not set",
        "webhooks[2].events: expected an array of strings",
        "webhooks[2].secret: expected a secret, without which nobody can verify",
        "webhooks[3].name: expected a string",
        "webhooks[3].events[1]: expected a string",
        "webhooks[3].headers.x-a: the environment variable NOPE_3 is not set",
        "webhooks[3].headers.x-b: expected a string, or an object with the string `value`",
        "webhooks[4]: expected an object",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
    let (config, _) = Config::inspect(text, &look_up);
    assert!(config.webhooks.is_empty(), "one with an error is none");
    assert_eq!(errors(r#"{"webhoks": []}"#), ["webhoks: no such member; did you mean `webhooks`?"]);
}

#[test]
fn history_is_kept_thirty_days_unless_the_file_says_otherwise() {
    let days = |text: &str| read(text).webhook_history.as_secs() / (24 * 3600);
    let given = |days: &str| {
        format!(r#"{{"client":{{"webhook_config":{{"delivery_history_retention_days":{days}}}}}}}"#)
    };
    assert_eq!(
        (days("{}"), days(&given("7")), days(&given("0")), days(&given("1000000000"))),
        (30, 7, 30, 3650)
    );
    assert_eq!(
        errors(&given("\"7\"")),
        ["client.webhook_config.delivery_history_retention_days: expected a whole number"]
    );
}

#[test]
fn a_submit_may_name_an_address_at_a_listed_origin_only() {
    let text = r#"{"client":{"allow_webhook_urls":["https://a.example","https://b.example:8443/","http://10.0.0.5:8080"],
        "webhook_config":{"delivery_history_retention_days":7}}}"#;
    let config = read(text).without_provider_secrets();
    assert_eq!(config.webhook_history.as_secs(), 7 * 24 * 3600);
    let allowed = |url: &str| config.allows_webhook_url(&Url::parse(url).unwrap());
    let (public, private) = (Some(PrivateNetwork::Refused), Some(PrivateNetwork::Allowed));
    assert_eq!(allowed("https://a.example/any?x=y"), public);
    assert_eq!(allowed("https://A.example:443/"), public);
    assert_eq!(allowed("https://b.example:8443/x"), public);
    assert_eq!(allowed("http://10.0.0.5:8080/x"), private);
    for other in [
        "http://a.example/",
        "https://a.example:444/",
        "https://b.example/",
        "https://a.example.evil/",
        "https://10.0.0.5:8080/",
        "http://10.0.0.5/",
        "https://x.a.example/",
        "data:text/plain,x",
    ] {
        assert_eq!(allowed(other), None, "{other}");
    }
    assert_eq!(read("{}").allows_webhook_url(&Url::parse("https://a.example").unwrap()), None);
    for wrong in [
        "a.example",
        "https://a.example/path",
        "https://a.example/?q",
        "https://a.example/#f",
        "https://u@a.example",
        "ftp://a.example",
        "*",
        "",
    ] {
        assert_eq!(
            errors(&format!(r#"{{"client":{{"allow_webhook_urls":["https://ok",{wrong:?}]}}}}"#)),
            [
                "client.allow_webhook_urls[1]: expected scheme and host, as in https://example.com or http://10.0.0.5:8080"
            ],
            "{wrong}"
        );
    }
}

#[test]
fn the_administration_has_a_login_if_it_is_enabled() {
    let login = |enabled: &str| {
        format!(r#"{{"is_enabled":{enabled},"admin_username":"root","admin_password":"env.ADMIN_PASSWORD"}}"#)
    };
    for text in [
        format!(r#"{{"governance":{{"auth_config":{}}}}}"#, login("true")),
        format!(r#"{{"auth_config":{}}}"#, login("true")),
    ] {
        let admin = read(&text).admin.unwrap();
        assert!(admin.is("root", "hunter2"), "{text}");
        for (username, password) in
            [("root", ""), ("root", "hunter"), ("root", "hunter22"), ("toor", "hunter2"), ("", "")]
        {
            assert!(!admin.is(username, password), "{username} {password}");
        }
        assert!(!format!("{admin:?}").contains("hunter2"));
        let api = ApiConfig::names_from_json(&text, &look_up).unwrap();
        assert!(api.admin.is_some_and(|admin| admin.is("root", "hunter2")));
    }
    // That of governance counts, as it is the newer place.
    let both =
        format!(r#"{{"governance":{{"auth_config":{}}},"auth_config":{}}}"#, login("false"), login("true"));
    assert!(read(&both).admin.is_none());
    assert!(read("{}").admin.is_none());
    // The variables of one that is not enabled may be unset.
    let off = login("false").replace("ADMIN_PASSWORD", "NOPE");
    assert!(read(&format!(r#"{{"auth_config":{off}}}"#)).admin.is_none());
    assert_eq!(
        errors(
            r#"{"governance":{"auth_config":{"is_enabled":true,"admin_username":"","admin_password":"env.NOPE"}}}"#
        ),
        [
            "governance.auth_config.admin_username: expected a string that is not empty",
            "governance.auth_config.admin_password: the environment variable NOPE is not set",
        ]
    );
}

#[test]
fn a_setup_token_may_stand_in_a_variable() {
    let token = |text: &str| read(text).setup_token.map(|token| token.expose_secret().to_owned());
    assert_eq!(token(r#"{"setup_token":"env.SETUP_TOKEN"}"#).as_deref(), Some("letmein"));
    assert_eq!((token(r#"{"setup_token":""}"#), token("{}")), (None, None));
    let api = ApiConfig::names_from_json(r#"{"setup_token":"t"}"#, &look_up).unwrap();
    assert!(api.setup_token.is_some());
}

#[test]
fn a_virtual_key_may_have_a_secret_for_webhooks() {
    let text = |id: &str, secret: &str| {
        format!(
            r#"{{"governance":{{"virtual_keys":[{{"id":"vk-1","name":"n","value":"v"}}]}},"hermod":{{"keys":{{"{id}":{{"webhook_secret":"{secret}"}}}}}}}}"#
        )
    };
    let config = read(&text("vk-1", "env.HOOK_SECRET"));
    let key = config.definitions.virtual_key("vk-1").unwrap();
    assert_eq!(key.webhook_secret.as_ref().map(crate::webhook::SigningSecret::expose), Some(SECRET));
    assert!(config.definitions.virtual_key("v").is_none());
    let over_http = read(&text("nobody", SECRET)).definitions;
    assert!(
        over_http.file_keys["nobody"].webhook_secret.is_some(),
        "it may be that of a key that was made over HTTP"
    );
    assert_eq!(
        errors(&text("vk-11", SECRET)),
        ["hermod.keys.vk-11: no virtual key has this id; did you mean `vk-1`?"]
    );
    assert_eq!(
        errors(&text("vk-1", "whsec_x")),
        ["hermod.keys.vk-1.webhook_secret: expected `whsec_` followed by 24 to 64 bytes in base64"]
    );
}
