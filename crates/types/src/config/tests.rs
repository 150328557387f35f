//! What a file is read as, and what is refused.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;

fn environment(name: &str) -> Option<String> {
    (name == "OPENAI_API_KEY").then(|| "sk-live".to_owned())
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
              "anthropic": {"keys": [{"value": "env.NOT_SET_HERE"}]},
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
    assert_eq!(config.providers["my-vllm"].kind, Kind::OpenAi);
    assert_eq!(config.unsupported, ["anthropic"]);
    assert_eq!(
        config.ignored,
        ["client.drop_excess_requests", "config_store", "providers.*.keys.use_for_batch_api"]
    );
    let key = config.virtual_key("sk-bf-1").unwrap();
    assert!(key.active && key.allows(&"openai/gpt".parse().unwrap()));
    assert!(!key.allows(&"openai/other".parse().unwrap()));
    assert!(!key.allows(&"my-vllm/any".parse().unwrap()), "absent allows nothing");
    assert!(config.virtual_key("sk-bf-2").is_none());
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
    for (first, second) in
        [(key("a", "sk-bf-1"), key("a", "sk-bf-2")), (key("a", "sk-bf-1"), key("b", "sk-bf-1"))]
    {
        let message = refused(&format!(r#"{{"governance":{{"virtual_keys":[{first},{second}]}}}}"#));
        assert!(message.starts_with("governance.virtual_keys[1]: expected an id and a value"), "{message}");
    }
    let unnamed = format!(r#"{{"governance":{{"virtual_keys":[{}]}}}}"#, key("", "sk-bf-1"));
    assert_eq!(Config::from_json(&unnamed, &environment).unwrap().virtual_keys[0].id, "n-sk-bf-1");
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
    assert_eq!(message, "line 1 column 42: expected a sequence");
    assert!(refused("{").starts_with("line 1 column 1: EOF"));
}

#[test]
fn without_a_file_the_usual_variables_configure() {
    let config = Config::from_environment(&environment);
    assert_eq!(config.providers.keys().collect::<Vec<_>>(), ["openai"]);
    assert!(Config::from_environment(&|_| None).providers.is_empty());
}
