//! What a `custom_provider_config` allows, and where its requests go.

use super::*;

fn custom(members: &str) -> String {
    let custom =
        format!(r#""custom_provider_config":{{"base_provider_type":"openai","is_key_less":true{members}}}"#);
    one("mine", &format!(r#"{{"network_config":{{"base_url":"http://mine"}},{custom}}}"#))
}

fn read(members: &str) -> Config {
    Config::from_json(&custom(members), &environment).unwrap()
}

#[test]
fn what_is_allowed_is_what_is_true() {
    let text = r#","allowed_requests":{"chat_completion":true,"embedding":false,"rerank":null,"ocr":true,
        "chat_completion_stream":true,"list_models":true}"#;
    let config = read(text);
    let provider = &config.providers["mine"];
    let expected = [Operation::ChatCompletion, Operation::Ocr];
    assert_eq!(provider.allowed, Some(expected.into()));
    for operation in Operation::all() {
        assert_eq!(provider.allows(operation), expected.contains(&operation), "{operation}");
    }
    assert_eq!(
        config.ignored,
        [
            "providers.*.custom_provider_config.allowed_requests.chat_completion_stream",
            "providers.*.custom_provider_config.allowed_requests.list_models",
        ]
    );
    // An API process knows as much.
    let api = ApiConfig::names_from_json(&custom(text), &environment).unwrap();
    let expected = ApiProvider { kind: ProviderKind::Compatible, allowed: Some(expected.into()) };
    assert_eq!(api.providers["mine"], expected);
    assert!(!expected.allows(Operation::Messages), "they are responses");
    let responses = read(r#","allowed_requests":{"responses":true}"#);
    assert!(responses.providers["mine"].allows(Operation::Messages));
    assert!(expected.allows(Operation::Ocr) && !expected.allows(Operation::Speech));
    assert_eq!(config.without_provider_secrets().providers["mine"], expected);
}

#[test]
fn without_a_word_all_is_allowed_and_an_empty_list_allows_nothing() {
    for none in ["", r#","allowed_requests":null"#] {
        let provider = &read(none).providers["mine"];
        assert!(Operation::all().all(|operation| provider.allows(operation)), "{none}");
    }
    let provider = &read(r#","allowed_requests":{}"#).providers["mine"];
    assert!(!Operation::all().any(|operation| provider.allows(operation)));
    let named = ApiConfig::of_names(&["openai".to_owned()]).unwrap();
    assert!(Operation::all().all(|operation| named.providers["openai"].allows(operation)));
}

#[test]
fn each_operation_may_have_a_path_of_its_own() {
    let public = || Operation::all().filter(|operation| operation.is_public());
    let text = public().map(|operation| format!(r#""{operation}":"/my/{operation}""#)).collect::<Vec<_>>();
    let config = read(&format!(r#","request_path_overrides":{{{},"count_tokens":"/x"}}"#, text.join(",")));
    let paths = &config.providers["mine"].paths;
    for operation in public() {
        assert_eq!(paths[&operation], format!("/my/{operation}"));
    }
    assert_eq!(config.ignored, ["providers.*.custom_provider_config.request_path_overrides.count_tokens"]);
    let empty = read(r#","request_path_overrides":{"rerank":""}"#);
    assert!(empty.providers["mine"].paths.is_empty(), "an empty path is none");
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    let text = custom(
        r#","allowed_requests":{"embeddings":true,"ocr":"yes"},"request_path_overrides":{"rerank":1,"speach":"/x"}"#,
    );
    let (_, errors) = Config::inspect(&text, &environment);
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let path = "providers.mine.custom_provider_config";
    assert_eq!(
        errors,
        [
            format!("{path}.allowed_requests.ocr: expected true or false"),
            format!("{path}.allowed_requests.embeddings: no such member; did you mean `embedding`?"),
            format!("{path}.request_path_overrides.rerank: expected a string"),
            format!("{path}.request_path_overrides.speach: no such member; did you mean `speech`?"),
        ]
    );
    let (_, errors) = Config::inspect(&custom(r#","allowed_requests":["ocr"]"#), &environment);
    assert_eq!(errors[0].to_string(), format!("{path}.allowed_requests: expected an object"));
}
