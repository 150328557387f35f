//! What a file is read as, and what is refused.

mod custom;
mod errors;
mod governance;
mod webhooks;

use std::time::Duration;

use secrecy::ExposeSecret;

use crate::Timestamp;
use crate::governance::{Blocked, ValueHash};

use super::environment::{AWS_REGION, AZURE_ENDPOINT};
use super::*;

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "OPENAI_API_KEY" => "sk-live",
        "MY_AZURE" => "https://mine.openai.azure.com",
        _ => return None,
    };
    Some(value.to_owned())
}

fn refused(text: &str) -> String {
    Config::from_json(text, &environment).unwrap_err().to_string()
}

#[test]
fn reads_the_parts_that_text_completions_need() {
    let config = Config::from_json(
        r#"{"client": {"async_job_result_ttl": 60, "drop_excess_requests": true},
            "config_store": {"enabled": false},
            "providers": {
              "openai": {"keys": [{"value": "env.OPENAI_API_KEY", "weight": 0.5, "use_for_batch_api": true}],
                         "network_config": {"max_retries": 3, "retry_backoff_initial": 100}},
              "replicate": {"keys": [{"value": "env.NOT_SET_HERE"}]},
              "my-vllm": {"network_config": {"base_url": "http://vllm:8000"},
                          "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true}}},
            "governance": {"virtual_keys": [{"id": "vk-1", "name": "team", "value": "sk-bf-1",
              "provider_configs": [{"provider": "openai", "allowed_models": ["gpt"]}, {"provider": "my-vllm"}]}]}}"#,
        &environment,
    )
    .unwrap();
    assert_eq!(u64::from(config.default_ttl), 60);
    let openai = &config.providers["openai"];
    assert_eq!(openai.keys[0].value.expose_secret(), "sk-live");
    assert_eq!((openai.max_retries, openai.backoff_initial), (3, Duration::from_millis(100)));
    assert_eq!(config.providers["my-vllm"].kind, ProviderKind::Compatible);
    assert_eq!(config.unsupported, ["replicate"]);
    assert_eq!(
        config.ignored,
        ["client.drop_excess_requests", "config_store", "providers.*.keys.use_for_batch_api"]
    );
    let key = &config.definitions.virtual_keys[0];
    assert!(key.is_active && key.value_sha256 == Some(ValueHash::of("sk-bf-1")));
    let allowed: Vec<_> = key.grants.iter().map(|grant| (&*grant.provider, &grant.allowed_models)).collect();
    let only_gpt = Models::Only(vec!["gpt".to_owned()]);
    assert_eq!(allowed, [("openai", &only_gpt), ("my-vllm", &Models::NONE)], "absent allows nothing");
}

#[test]
fn null_is_as_good_as_absent() {
    let text = r#"{"client":null,"governance":null,"providers":{"vllm":{"keys":null,"network_config":{"base_url":"http://v"},
        "concurrency_and_buffer_size":null,"custom_provider_config":null}}}"#;
    assert!(Config::from_json(text, &environment).unwrap().providers["vllm"].keys.is_empty());
}

#[test]
fn virtual_keys_are_told_apart() {
    let key = |id: &str, value: &str| format!(r#"{{"id":"{id}","name":"n-{value}","value":"{value}"}}"#);
    for (first, second, expected) in [
        (
            key("a", "sk-bf-1"),
            key("a", "sk-bf-2"),
            "governance.virtual_keys[1].id: expected an id that no other has",
        ),
        (key("a", "sk-bf-1"), key("b", "sk-bf-1"), "governance.virtual_keys[1]: expected an id and a value"),
    ] {
        let message = refused(&format!(r#"{{"governance":{{"virtual_keys":[{first},{second}]}}}}"#));
        assert!(message.starts_with(expected), "{message}");
    }
    let unnamed = format!(r#"{{"governance":{{"virtual_keys":[{}]}}}}"#, key("", "sk-bf-1"));
    let config = Config::from_json(&unnamed, &environment).unwrap();
    assert_eq!(config.definitions.virtual_keys[0].id, "n-sk-bf-1");
}

#[test]
fn an_unset_variable_is_named() {
    assert_eq!(
        refused(r#"{"providers":{"openai":{"keys":[{"value":"env.NOPE"}]}}}"#),
        "providers.openai.keys[0].value: the environment variable NOPE is not set"
    );
}

#[test]
fn a_wrong_shape_says_where_and_never_the_value() {
    let message = refused(r#"{"providers":{"openai":{"keys":"sk-secret"}}}"#);
    assert_eq!(message, "providers.openai.keys: expected an array");
    assert!(refused("{").starts_with("line 1 column 1: EOF"));
}

#[test]
fn without_a_file_the_usual_variables_configure() {
    let config = Config::from_environment(&environment);
    assert_eq!(config.providers.keys().collect::<Vec<_>>(), ["openai"]);
    assert!(Config::from_environment(&|_| None).providers.is_empty());
}

/// A configuration of one provider.
fn one(name: &str, provider: &str) -> String {
    format!(r#"{{"providers":{{"{name}":{provider}}}}}"#)
}

fn accepted(name: &str, provider: &str) -> ProviderConfig {
    Config::from_json(&one(name, provider), &environment).unwrap().providers.remove(name).unwrap()
}

#[test]
fn without_a_file_each_variable_configures_its_provider() {
    for kind in ProviderKind::all() {
        let Some(variable) = kind.key_variable() else { continue };
        let look_up =
            |name: &str| (name == variable || name == AZURE_ENDPOINT).then(|| "https://set".to_owned());
        let config = Config::from_environment(&look_up);
        assert_eq!(config.providers.keys().collect::<Vec<_>>(), [kind.name()]);
        let provider = &config.providers[kind.name()];
        assert_eq!((provider.kind, provider.keys[0].name.as_str()), (kind, variable));
        assert!(kind == ProviderKind::Azure || provider.base_url.is_none());
    }
    assert!(
        Config::from_environment(&|name| (name == "OPENAI_API_KEY").then(String::new)).providers.is_empty()
    );
}

#[test]
fn a_hosted_provider_needs_a_key_and_one_that_is_used() {
    for keys in ["{}", r#"{"keys":[]}"#, r#"{"keys":null}"#] {
        let message = "providers.groq.keys: expected a key, without which groq serves nobody";
        assert_eq!(refused(&one("groq", keys)), message);
    }
    for keys in [
        r#"[{"value":"a","weight":0}]"#,
        r#"[{"value":"a","weight":0.0},{"value":"b","weight":0}]"#,
        r#"[{"value":"a","enabled":false}]"#,
    ] {
        let message = refused(&one("openai", &format!(r#"{{"keys":{keys}}}"#)));
        assert!(message.starts_with("providers.openai.keys: expected a key that is enabled"), "{message}");
    }
    let message = refused(&one("openai", r#"{"keys":[{"value":"a","weight":-1}]}"#));
    assert_eq!(message, "providers.openai.keys[0].weight: expected a weight of 0 or more");
    // Somebody else's server may want none, and one key of weight 0 may stand beside others.
    assert!(accepted("openai", r#"{"network_config":{"base_url":"http://proxy"}}"#).keys.is_empty());
    assert_eq!(accepted("openai", r#"{"keys":[{"value":"a","weight":0},{"value":"b"}]}"#).keys.len(), 2);
}

#[test]
fn aliases_in_a_circle_are_refused() {
    for aliases in [r#"{"a":"b","b":"a"}"#, r#"{"a":"b","b":"c","c":"a"}"#, r#"{"x":"a","a":"b","b":"a"}"#] {
        let message =
            refused(&one("openai", &format!(r#"{{"keys":[{{"value":"k","aliases":{aliases}}}]}}"#)));
        let expected =
            "providers.openai.keys[0].aliases.a: expected a model, found aliases that lead back to a";
        assert_eq!(message, expected);
    }
    let aliases =
        r#"{"keys":[{"value":"k","aliases":{"a":"a","b":"c","c":"d","e":{"model_id":"f","region":"x"}}}]}"#;
    let provider = accepted("openai", aliases);
    assert_eq!((provider.keys[0].aliases["a"].as_str(), provider.keys[0].aliases["e"].as_str()), ("a", "f"));
}

#[test]
fn an_unknown_provider_needs_an_address_and_a_known_one_has_its_own() {
    let message = refused(&one("opneai", r#"{"keys":[{"value":"k"}]}"#));
    assert!(
        message.starts_with("providers.opneai.network_config.base_url: expected an address"),
        "{message}"
    );
    assert!(message.contains("none of openai, openai-compatible, azure"), "{message}");
    assert_eq!(
        accepted("mine", r#"{"network_config":{"base_url":"http://mine"}}"#).kind,
        ProviderKind::Compatible
    );
    for local in ["vllm", "ollama", "sgl", "llamacpp", "tgi"] {
        let message = refused(&one(local, "{}"));
        let path = format!("providers.{local}.network_config.base_url: expected an address");
        assert!(message.starts_with(&path), "{message}");
    }
    let message = refused(&one("mine", r#"{"custom_provider_config":{"base_provider_type":"opneai"}}"#));
    assert!(
        message
            .starts_with("providers.mine.custom_provider_config.base_provider_type: expected one of openai")
    );
    let custom = r#"{"custom_provider_config":{"base_provider_type":"groq",
            "request_path_overrides":{"text_completion":"/x","chat_completion":"/y","rerank":"","list_models":"/z"}},
        "keys":[{"value":"k"}]}"#;
    let custom = accepted("mine", custom);
    let paths: Vec<_> = custom.paths.iter().map(|(operation, path)| (*operation, path.as_str())).collect();
    assert_eq!(custom.kind, ProviderKind::Groq);
    assert_eq!(paths, [(Operation::TextCompletion, "/x"), (Operation::ChatCompletion, "/y")]);
    // What Bifrost has and we have not must not keep its file from loading.
    for name in ["deepgram", "runway", "replicate"] {
        let config =
            Config::from_json(&one(name, r#"{"keys":[{"value":"env.NOT_SET"}]}"#), &environment).unwrap();
        assert_eq!(config.unsupported, [name]);
    }
}

#[test]
fn hugging_faces_servers_are_not_its_router() {
    let kind = |network: &str| {
        let keys = r#""keys":[{"value":"k","huggingface_key_config":{"deployments":{"a":"b"}}}]"#;
        accepted("huggingface", &format!(r#"{{{keys},"network_config":{network}}}"#)).kind
    };
    assert_eq!(kind("{}"), ProviderKind::HuggingFace);
    assert_eq!(kind(r#"{"base_url":"https://router.huggingface.co/v1"}"#), ProviderKind::HuggingFace);
    assert_eq!(kind(r#"{"base_url":"https://x.endpoints.huggingface.cloud"}"#), ProviderKind::Tgi);
}

#[test]
fn a_key_may_bring_what_its_provider_wants() {
    let azure = accepted(
        "azure",
        r#"{"keys":[{"value":"k","azure_key_config":
            {"endpoint":"env.MY_AZURE","api_version":"v1","deployments":{"gpt":"mine"}}}]}"#,
    );
    let key = &azure.keys[0];
    assert_eq!(
        (key.access.base_url(), key.aliases["gpt"].as_str()),
        (Some("https://mine.openai.azure.com"), "mine")
    );
    let message =
        refused(&one("azure", r#"{"keys":[{"value":"k","azure_key_config":{"endpoint":"env.NOPE"}}]}"#));
    let expected =
        "providers.azure.keys[0].azure_key_config.endpoint: the environment variable NOPE is not set";
    assert_eq!(message, expected);
    let message = refused(&one("azure", r#"{"keys":[{"value":"k"}]}"#));
    assert!(message.starts_with("providers.azure.network_config.base_url: expected an address"), "{message}");

    let vllm = accepted(
        "vllm",
        r#"{"keys":[{"vllm_key_config":{"url":"http://a:8000","model_name":"m"}},
            {"vllm_key_config":{"url":"http://b:8000"},"value":"secret"}]}"#,
    );
    assert_eq!(vllm.keys[0].models, Models::Only(vec!["m".to_owned()]));
    assert_eq!((vllm.keys[0].value.expose_secret(), vllm.keys[1].value.expose_secret()), ("", "secret"));
    assert!(
        refused(&one("vllm", r#"{"keys":[{"vllm_key_config":{"url":""}}]}"#)).contains("vllm_key_config.url")
    );
    let message = refused(&one("openai", r#"{"keys":[{"value":""}]}"#));
    assert_eq!(message, "providers.openai.keys[0].value: expected a secret, found an empty string");
}

#[test]
fn vertex_wants_an_api_key_or_a_project_with_an_identity() {
    let region = |region: &str| {
        let key = format!(r#"{{"keys":[{{"vertex_key_config":{{"project_id":"p","region":"{region}"}}}}]}}"#);
        accepted("vertex", &key).keys[0].access.regional_url()
    };
    assert_eq!(region("global"), None, "that is the provider's own address");
    assert_eq!(region("us-east1").as_deref(), Some("https://us-east1-aiplatform.googleapis.com"));
    assert_eq!(region("eu").as_deref(), Some("https://aiplatform.eu.rep.googleapis.com"));
    assert_eq!(accepted("vertex", r#"{"keys":[{"value":"express"}]}"#).keys.len(), 1);
    for (keys, message) in [
        ("{}", "keys: expected a key, without which vertex serves nobody"),
        (r#"{"keys":[{"name":"empty"}]}"#, "keys[0].value: expected a secret, found an empty string"),
        (
            r#"{"keys":[{"vertex_key_config":{"project_id":"p"}}]}"#,
            "keys[0].vertex_key_config.region: expected a value",
        ),
    ] {
        assert_eq!(refused(&one("vertex", keys)), format!("providers.vertex.{message}"));
    }
}

#[test]
fn bedrock_wants_an_api_key_or_credentials() {
    let region = |region: &str| {
        let key = format!(r#"{{"keys":[{{"value":"k","bedrock_key_config":{{"region":"{region}"}}}}]}}"#);
        accepted("bedrock", &key).keys[0].access.regional_url()
    };
    assert_eq!(region("eu-west-1").as_deref(), Some("https://bedrock-runtime.eu-west-1.amazonaws.com"));
    assert_eq!(region("cn-north-1").as_deref(), Some("https://bedrock-runtime.cn-north-1.amazonaws.com.cn"));
    assert_eq!(region(""), None, "that is the provider's own address");
    let message = refused(&one("bedrock", r#"{"keys":[{"bedrock_key_config":{"access_key":"a"}}]}"#));
    let expected = "providers.bedrock.keys[0].bedrock_key_config: \
        expected access_key and secret_key, or a Bedrock API key as the key's value";
    assert_eq!(message, expected);
    let look_up = |name: &str| match name {
        "AWS_BEARER_TOKEN_BEDROCK" => Some("k".to_owned()),
        AWS_REGION => Some("eu-west-1".to_owned()),
        _ => None,
    };
    let bedrock = &Config::from_environment(&look_up).providers["bedrock"];
    let url = bedrock.keys[0].access.regional_url();
    assert_eq!(url.as_deref(), Some("https://bedrock-runtime.eu-west-1.amazonaws.com"));
}

#[test]
fn waits_are_milliseconds_or_words() {
    let waits = |initial: &str, max: &str| {
        let network = format!(
            r#"{{"retry_backoff_initial":{initial},"retry_backoff_max":{max},"base_url":"http://a"}}"#
        );
        let provider = accepted("a", &format!(r#"{{"network_config":{network}}}"#));
        (provider.backoff_initial.as_millis(), provider.backoff_max.as_millis())
    };
    assert_eq!(waits("250", "5000"), (250, 5000));
    assert_eq!(waits("\"250ms\"", "\"1.5s\""), (250, 1500));
    assert_eq!(waits("null", "\"1m\""), (500, 60_000));
    for wrong in ["\"soon\"", "\"5\"", "-1", "\"5 s\"", "\".s\""] {
        let message = refused(&one("a", &format!(r#"{{"network_config":{{"retry_backoff_max":{wrong}}}}}"#)));
        assert!(message.contains("expected milliseconds, or a duration"), "{wrong}: {message}");
    }
}

#[test]
fn a_certificate_may_come_from_the_environment() {
    let network = r#"{"network_config":{"base_url":"https://a","ca_cert_pem":"env.OPENAI_API_KEY","insecure_skip_verify":true}}"#;
    let provider = accepted("a", network);
    assert_eq!((provider.ca_cert_pem.as_deref(), provider.insecure_skip_verify), (Some("sk-live"), true));
}
