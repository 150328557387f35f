//! All errors of a file at once, each with its path.

use super::*;

fn errors(text: &str) -> Vec<String> {
    let (_, errors) = Config::inspect(text, &environment);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn all_errors_are_named_at_once_each_with_its_path() {
    let text = r#"{
        "client": {"enforce_auth_on_inference": "yes", "async_job_result_ttl": 1.5},
        "providers": {
            "openai": {"keys": [{"value": "env.NOT_SET"}, {"value": "b", "weight": "0.5"}, "sk-secret",
                                {"value": "d", "models": ["a", 7], "aliases": {"x": 1}}],
                       "network_config": {"base_url": "sk-secret", "max_retries": "three", "retry_backoff_max": "soon",
                                          "extra_headers": {"x-team": ["sk-secret"]}}},
            "mine": {"custom_provider_config": {"base_provider_type": "opneai"}, "keys": "sk-secret"},
            "gorq": {"keys": [{"value": "k", "enabled": 1}]}},
        "governance": {"virtual_keys": [{"value": "sk-bf-1"}, {"name": "a", "value": "env.NOT_SET_EITHER"},
            {"name": "b", "value": "sk-bf-2", "expires_at": "tomorrow", "provider_configs": [{"provider": "opanai"}]}]}}"#;
    let found = errors(text);
    let expected = [
        "client.enforce_auth_on_inference: expected true or false",
        "client.async_job_result_ttl: expected a whole number",
        "providers.openai.network_config.base_url: expected http:// or https:// and a host",
        "providers.openai.network_config.retry_backoff_max: expected milliseconds, or a duration such as \"500ms\" or \"5s\"",
        "providers.openai.network_config.max_retries: expected a whole number",
        "providers.openai.network_config.extra_headers.x-team: expected a string",
        "providers.openai.keys[2]: expected an object",
        "providers.openai.keys[0].value: the environment variable NOT_SET is not set",
        "providers.openai.keys[1].weight: expected a number",
        "providers.openai.keys[3].models[1]: expected a string",
        "providers.openai.keys[3].aliases.x: expected a model's name, or an object with its `model_id`",
        "providers.mine.keys: expected an array",
        "providers.gorq.keys[0].enabled: expected true or false",
        "governance.virtual_keys[0].name: expected a name",
        "governance.virtual_keys[1].value: the environment variable NOT_SET_EITHER is not set",
        "governance.virtual_keys[2].expires_at: expected a time such as 2030-01-31T00:00:00Z",
        "governance.virtual_keys[2].provider_configs[0].provider: no provider has this name; did you mean `openai`?",
    ];
    for error in expected {
        assert!(found.iter().any(|found| found == error), "{error} is not in {found:#?}");
    }
    // These two end with a list of all kinds.
    let type_error = "providers.mine.custom_provider_config.base_provider_type: expected one of openai, openai-compatible, azure,";
    let name_error = "providers.gorq.network_config.base_url: expected an address, as the name is none of";
    for (error, hint) in [(type_error, "; did you mean `openai`?"), (name_error, "; did you mean `groq`?")] {
        assert!(found.iter().any(|found| found.starts_with(error) && found.ends_with(hint)), "{found:#?}");
    }
    assert_eq!(found.len(), expected.len() + 2, "{found:#?}");
    assert!(!found.concat().contains("sk-"), "{found:#?}");
}

#[test]
fn a_misspelt_member_is_told_what_was_meant() {
    for (text, expected) in [
        (r#"{"provider":{}}"#, "provider: no such member; did you mean `providers`?"),
        (
            r#"{"client":{"enforce_auth_on_inferense":true}}"#,
            "client.enforce_auth_on_inferense: no such member; did you mean `enforce_auth_on_inference`?",
        ),
        (
            &one("openai", r#"{"keys":[{"value":"k","wieght":0}]}"#),
            "providers.openai.keys[0].wieght: no such member; did you mean `weight`?",
        ),
        (
            r#"{"governance":{"virtual_keys":[{"name":"n","value":"v","is_actve":false}]}}"#,
            "governance.virtual_keys[0].is_actve: no such member; did you mean `is_active`?",
        ),
    ] {
        assert_eq!(errors(text), [expected]);
    }
    // One that stands beside what it is close to is no slip.
    let beside = one("openai", r#"{"keys":[{"value":"k","weight":1,"weights":2}]}"#);
    let (config, errors) = Config::inspect(&beside, &environment);
    assert_eq!(
        (config.ignored.as_slice(), errors.len()),
        (["providers.*.keys.weights".to_owned()].as_slice(), 0)
    );
}

/// Members of Bifrost's schema that we do not read, as of version 1.5: none is taken for a slip.
#[test]
fn what_else_bifrost_has_is_ignored() {
    let text = r#"{
        "$schema": "x", "server": {}, "version": 2, "source_of_truth": "split", "encryption_key": "sk-secret", "env_label": "x",
        "auth_config": {}, "framework": {}, "mcp": {}, "plugins": [], "vector_store": {}, "config_store": {}, "logs_store": {},
        "client": {"drop_excess_requests": true, "enforce_governance_header": true, "enforce_scim_auth": true,
            "allow_direct_keys": true, "compat": {}, "required_headers": [], "allowed_headers": [], "allowed_origins": []},
        "providers": {
            "openai": {"keys": [{"id": "x", "value": "k", "blacklisted_models": [], "use_for_batch_api": true, "description": "",
                    "replicate_key_config": {}, "config_hash": "x"}],
                "network_config": {"stream_idle_timeout_in_seconds": 1, "max_conns_per_host": 1, "enforce_http2": true,
                    "keep_alive_timeout_in_seconds": 1, "beta_header_overrides": {}},
                "concurrency_and_buffer_size": {"concurrency": 10, "buffer_size": 10},
                "proxy_config": {}, "openai_config": {}, "send_back_raw_request": true, "store_raw_request_response": true},
            "azure": {"keys": [{"value": "k", "azure_key_config": {"endpoint": "https://x", "client_id": "x", "client_secret": "x",
                "tenant_id": "x", "scopes": []}}]},
            "vertex": {"keys": [{"vertex_key_config": {"project_id": "p", "project_number": "1", "region": "r"}}]},
            "bedrock": {"keys": [{"value": "k", "bedrock_key_config": {"role_arn": "x", "external_id": "x",
                "role_session_name": "x", "batch_s3_config": {}}}]},
            "mine": {"network_config": {"base_url": "http://mine"}, "custom_provider_config": {"base_provider_type": "openai",
                "is_key_less": true, "allowed_requests": {"list_models": true, "batch_create": true, "container_file_content": true, "video_remix": false, "image_edit_stream": true, "count_tokens": true, "file_list": true}, "request_path_overrides": {"responses_stream": "/x"}}},
            "deepgram": {"keys": [{"value": "env.NOT_SET"}]}, "sarvam": {}},
        "governance": {"budgets": [], "rate_limits": [], "customers": [], "teams": [], "business_units": [], "routing_rules": [],
            "model_configs": [], "providers": [], "pricing_overrides": [], "auth_config": {},
            "virtual_keys": [{"id": "x", "name": "n", "value": "v", "description": "", "access_profile_id": "p", "delete_after_expire": true,
                "disable_content_logging": true, "calendar_aligned": true, "mcp_configs": [], "allow_all_providers": true,
                "provider_configs": [{"provider": "deepgram", "weight": 1, "rate_limit": {}, "keys": [],
                    "blacklisted_models": [], "budgets": []}]}]}}"#;
    let (config, errors) = Config::inspect(text, &environment);
    assert_eq!(errors, []);
    assert_eq!(config.unsupported, ["deepgram", "sarvam"]);
    assert!(config.ignored.contains(&"client.enforce_scim_auth".to_owned()), "{:#?}", config.ignored);
}

#[test]
fn a_member_given_twice_is_refused() {
    let text = r#"{"client":{},"client":{},"providers":{"vllm":{"network_config":{"base_url":"http://a"}},"vllm":{}}}"#;
    let found = errors(text);
    assert!(found.contains(&"client: is given twice".to_owned()), "{found:?}");
    assert!(found.contains(&"providers.vllm: is given twice".to_owned()), "{found:?}");
    assert_eq!(errors("[]"), ["the file: expected an object"]);
}

#[test]
fn an_api_process_needs_no_providers_secret_and_has_none() {
    let text = r#"{"providers": {
            "openai": {"keys": [{"value": "env.NOPE"}, {"value": "sk-literal"}],
                       "network_config": {"base_url": "env.NOPE_2", "extra_headers": {"x": "env.NOPE_3"}}},
            "azure": {"keys": [{"value": "env.NOPE_4", "azure_key_config": {"endpoint": "env.NOPE_5"}}]},
            "bedrock": {"keys": [{"bedrock_key_config": {"access_key": "env.NOPE_6", "secret_key": "env.NOPE_7"}}]}},
        "governance": {"virtual_keys": [{"name": "a", "value": "env.OPENAI_API_KEY"}]}}"#;
    let config = ApiConfig::names_from_json(text, &environment).unwrap();
    let kinds: Vec<_> =
        config.providers.iter().map(|(name, provider)| (name.as_str(), provider.kind)).collect();
    let expected = [
        ("azure", ProviderKind::Azure),
        ("bedrock", ProviderKind::Bedrock),
        ("openai", ProviderKind::OpenAi),
    ];
    assert_eq!(kinds, expected);
    let value = config.definitions.virtual_keys[0].value_sha256;
    assert_eq!(value, Some(ValueHash::of("sk-live")), "its virtual keys are resolved");
    assert!(!format!("{config:?}").contains("NOPE"), "and nothing of the others is kept");
    // A worker needs each of them, and is told all that are missing.
    let found = errors(text);
    assert_eq!(found.len(), 7, "{found:#?}");
    assert!(
        (2..=7).all(|number| found.iter().any(|error| error.contains(&format!(" NOPE_{number} is not set"))))
    );
    // What is wrong with the file keeps both from starting, and a virtual key's variable the API as well.
    let wrong =
        text.replace("env.OPENAI_API_KEY", "env.NOPE_8").replace("sk-literal\"", "x\",\"weight\":\"x\"");
    let found = ApiConfig::names_from_json(&wrong, &environment).unwrap_err().to_string();
    assert_eq!(
        found,
        "providers.openai.keys[1].weight: expected a number\n\
         governance.virtual_keys[0].value: the environment variable NOPE_8 is not set"
    );
}

#[test]
fn without_a_file_providers_can_be_named() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let api = ApiConfig::of_names(&names(&["openai", " groq ", ""])).unwrap();
    assert_eq!(api.providers.keys().collect::<Vec<_>>(), ["groq", "openai"]);
    let worker = Config::from_names(&names(&["openai"]), &environment).unwrap();
    assert_eq!(worker.providers["openai"].keys[0].value.expose_secret(), "sk-live");
    let errors = Config::from_names(&names(&["openai", "groq", "vllm", "opneai"]), &environment).unwrap_err();
    let lines: Vec<_> = errors.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].starts_with("HERMOD_PROVIDERS: vllm: expected one of openai, azure, together"));
    assert!(lines[1].contains("opneai") && lines[1].contains("; did you mean `openai`?"), "{lines:#?}");
    assert_eq!(lines[2], "HERMOD_PROVIDERS: groq: the environment variable GROQ_API_KEY is not set");
}

#[test]
fn a_virtual_key_may_be_inactive_or_expire() {
    let key = |more: &str| {
        let text = format!(r#"{{"governance":{{"virtual_keys":[{{"name":"a","value":"v"{more}}}]}}}}"#);
        Config::from_json(&text, &environment).unwrap().definitions.virtual_keys.remove(0)
    };
    let at = |text| Timestamp::from_rfc3339(text).unwrap();
    let (before, after) = (at("2030-01-30T23:59:59Z"), at("2030-01-31T00:00:00Z"));
    let expiring = key(r#","expires_at":"2030-01-31T02:00:00+02:00""#);
    assert_eq!((expiring.check(before), expiring.check(after)), (Ok(()), Err(Blocked::Expired)));
    assert_eq!(key("").check(after), Ok(()));
    let inactive = key(r#","is_active":false,"expires_at":"2000-01-01T00:00:00Z""#);
    assert_eq!(inactive.check(after), Err(Blocked::Inactive), "that wins");
}
