mod limits;
mod told;

use hermod_types::Config;
use hermod_types::config::Models;
use serde_json::{Value, json};

use super::*;

/// The rules of a `governance` of the file, with what `hermod` says.
fn rules(governance: Value, hermod: Value) -> Rules {
    let file = json!({"governance": governance, "hermod": hermod,
        "providers": {"vllm": {"network_config": {"base_url": "http://v"}}}});
    Rules::new(Config::from_json(&file.to_string(), &|_| None).unwrap().definitions)
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(text).unwrap()
}

const NOW: &str = "2026-11-27T12:00:00Z";

#[test]
fn a_key_is_known_by_its_value_and_after_a_rotation_for_a_time_by_the_old_one() {
    let mut definitions = Definitions::default();
    let mut key = VirtualKey::new("k");
    key.set_value(&"sk-bf-new".into());
    (key.old_value_sha256, key.old_value_until) = (Some(ValueHash::of("sk-bf-old")), Some(at(NOW)));
    definitions.virtual_keys = vec![key, VirtualKey::new("without")];
    let rules = Rules::new(definitions);
    let id = |value, now| rules.key_of_value(value, at(now)).map(|key| key.id.as_str());
    assert_eq!(id("sk-bf-new", NOW), Some("k"));
    assert_eq!((id("sk-bf-old", "2026-11-27T11:59:59Z"), id("sk-bf-old", NOW)), (Some("k"), None));
    assert_eq!((id("", NOW), id("SK-BF-NEW", NOW)), (None, None));
    assert!(!rules.is_empty() && Rules::default().is_empty());
}

#[test]
fn a_key_may_use_what_it_is_granted_and_is_told_why_not() {
    let rules = rules(
        json!({"virtual_keys": [
            {"id": "k", "name": "K", "provider_configs": [
                {"provider": "a", "allowed_models": ["m", "regex:gpt-.*"], "blacklisted_models": ["gpt-5", "regex:gpt-4\\d*"], "key_ids": ["*"]},
                {"provider": "b", "allowed_models": ["*"], "blacklisted_models": ["*"], "key_ids": ["one"]},
                {"provider": "c", "allowed_models": ["*"]},
                {"provider": "d", "key_ids": ["*"]},
                {"provider": "e", "allowed_models": ["*"], "key_ids": ["one"]}]},
            {"id": "all", "name": "all", "allow_all_providers": true,
                "provider_configs": [{"provider": "a", "allowed_models": ["m"], "key_ids": ["*"]}]},
            {"id": "off", "name": "off", "is_active": false, "expires_at": "2020-01-01T00:00:00Z", "allow_all_providers": true},
            {"id": "old", "name": "old", "expires_at": NOW, "allow_all_providers": true}]}),
        json!({}),
    );
    let judged = |owner, model: &str| match rules.judge(owner, &target(model), at(NOW)) {
        Ok(()) => ("", String::new()),
        Err(refusal) => (refusal.kind.as_str(), refusal.message),
    };
    for (owner, model, kind, message) in [
        (None, "x/y", "", ""),
        (Some("k"), "a/m", "", ""),
        (Some("k"), "a/GPT-3", "", ""),
        (Some("k"), "a/gpt-5", "model_blocked", "Model 'gpt-5' is not allowed for this virtual key"),
        (Some("k"), "a/GPT-41", "model_blocked", "Model 'GPT-41' is not allowed for this virtual key"),
        (Some("k"), "a/M", "model_blocked", "Model 'M' is not allowed for this virtual key"),
        (Some("k"), "a/my-gpt-3", "model_blocked", "Model 'my-gpt-3' is not allowed for this virtual key"),
        (Some("k"), "b/m", "model_blocked", "Model 'm' is not allowed for this virtual key"),
        (
            Some("k"),
            "c/m",
            "provider_blocked",
            "Provider 'c' is not allowed for this virtual key: key_ids allows none of its keys",
        ),
        (Some("k"), "d/m", "model_blocked", "Model 'm' is not allowed for this virtual key"),
        (Some("k"), "e/m", "", ""),
        (Some("k"), "x/m", "provider_blocked", "Provider 'x' is not allowed for this virtual key"),
        (Some("all"), "a/m", "", ""),
        (Some("all"), "a/n", "model_blocked", "Model 'n' is not allowed for this virtual key"),
        (Some("all"), "x/y", "", ""),
        (Some("off"), "a/m", "access_blocked", "virtual key is inactive"),
        (Some("old"), "a/m", "access_blocked", "virtual key has expired"),
        (Some("gone"), "a/m", "access_blocked", "virtual key does not exist any more"),
    ] {
        assert_eq!(judged(owner, model), (kind, message.to_owned()), "{owner:?} {model}");
    }
    let keys = |owner, model: &str| rules.provider_keys(owner, &target(model), at(NOW)).cloned();
    assert_eq!(keys(Some("e"), "e/m").unwrap_err().kind, RefusalKind::AccessBlocked);
    assert_eq!(keys(Some("k"), "e/m"), Ok(Models::Only(vec!["one".to_owned()])));
    assert_eq!((keys(None, "e/m"), keys(Some("all"), "x/y")), (Ok(Models::All), Ok(Models::All)));
}

#[test]
fn settings_are_the_keys_own_and_else_the_defaults() {
    let rules = rules(
        json!({"virtual_keys": [{"id": "k", "name": "K"}, {"id": "l", "name": "L"}]}),
        json!({"defaults": {"max_waiting": 7, "weight": 2}, "keys": {"k": {"weight": 0.5, "max_wait": 60}}}),
    );
    let expected = KeySettings { max_waiting: Some(7), weight: 0.5, max_wait: Some(Duration::from_secs(60)) };
    assert_eq!(rules.settings(Some("k")), expected);
    for owner in [Some("l"), None, Some("gone")] {
        assert_eq!(rules.settings(owner), KeySettings { max_waiting: Some(7), weight: 2.0, max_wait: None });
    }
    assert_eq!(
        (rules.name_of(Some("k")), rules.name_of(Some("gone")), rules.name_of(None)),
        ("K", "gone", "")
    );
    assert_eq!(Rules::default().settings(None), KeySettings::default());
}

#[test]
fn a_model_without_a_provider_goes_where_the_weights_say() {
    let config = |provider: &str, weight: Value, models: Value| json!({"provider": provider, "weight": weight, "allowed_models": models, "key_ids": ["*"]});
    let rules = rules(
        json!({"virtual_keys": [{"id": "k", "name": "k", "provider_configs": [
            config("light", json!(1), json!(["*"])), config("heavy", json!(3), json!(["m", "x/y"])),
            config("opted-out", json!(null), json!(["*"])), config("other", json!(100), json!(["n"])),
            config("never", json!(0), json!(["*"]))]}]}),
        json!({}),
    );
    let mut first = HashMap::new();
    for _ in 0..4000 {
        let chosen: Vec<_> = rules.choose("k", "m").iter().map(ToString::to_string).collect();
        let others = if chosen[0] == "heavy/m" { ["light/m", "never/m"] } else { ["heavy/m", "never/m"] };
        assert_eq!(chosen[1..], others, "the heaviest first");
        *first.entry(chosen[0].clone()).or_insert(0) += 1;
    }
    // 3,000 are expected of 4,000, and 27 is one standard deviation.
    assert!((2700..=3300).contains(&first["heavy/m"]) && first.len() == 2, "{first:?}");
    assert!(rules.choose("k", "x/y").iter().any(|target| target.to_string() == "heavy/x/y"));
    assert_eq!((rules.choose("gone", "m"), rules.choose("k", "")), (vec![], vec![]));
}
