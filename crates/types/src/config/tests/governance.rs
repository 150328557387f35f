//! Keys, teams, limits and prices: what is read, and what keeps a process from starting.

use super::*;
use crate::governance::*;

fn read(governance: &str) -> Definitions {
    Config::from_json(&format!("{{{governance}}}"), &environment).unwrap().definitions
}

fn errors(text: &str) -> Vec<String> {
    let (_, errors) = Config::inspect(text, &environment);
    errors.iter().map(ToString::to_string).collect()
}

/// A file with everything in it that limits something.
const WHOLE: &str = r#"{
    "version": 2,
    "client": {"enforce_auth_on_inference": true, "vk_rotation_cooldown": "5m"},
    "framework": {"pricing": {"pricing_url": "file:///prices.json", "pricing_sync_interval": 7200}},
    "providers": {"vllm": {"network_config": {"base_url": "http://v"}}},
    "governance": {
        "customers": [{"id": "c", "name": "C", "calendar_aligned": true, "rate_limit_id": "r1",
            "budgets": [{"id": "b-inside", "max_limit": 7, "reset_duration": "1M"}]}],
        "teams": [{"id": "t", "name": "T", "customer_id": "c", "rate_limit_id": "r2"}],
        "virtual_keys": [
            {"id": "k", "name": "K", "value": "sk-bf-0123456789", "description": "d", "team_id": "t", "rate_limit_id": "r3",
             "provider_configs": [
                {"id": 7, "provider": "vllm", "weight": 0.5, "allowed_models": ["regex:a.*", "b"], "blacklisted_models": ["ab"],
                 "key_ids": ["*"], "rate_limit_id": "r4"},
                {"provider": "other", "weight": null, "allowed_models": ["*"], "budget_id": "b-claimed"}]},
            {"id": "made", "name": "made"}],
        "budgets": [
            {"id": "b-key", "max_limit": 10.5, "reset_duration": "1d", "virtual_key_id": "k", "current_usage": 3, "last_reset": "x"},
            {"id": "b-config", "max_limit": 1, "reset_duration": "1Q", "provider_config_id": 7,
             "reset_config": {"quarter_start_month": 4}},
            {"id": "b-claimed", "max_limit": 1, "reset_duration": "weekly"},
            {"id": "b-model", "max_limit": 2, "reset_duration": "1h"},
            {"id": "b-provider", "max_limit": 3, "reset_duration": "1Y"},
            {"id": "b-team", "max_limit": 4, "reset_duration": "1w", "team_id": "t"}],
        "rate_limits": [
            {"id": "r1", "token_max_limit": 1000, "token_reset_duration": "1h", "request_max_limit": 5, "request_reset_duration": "1m"},
            {"id": "r2", "request_max_limit": 6, "request_reset_duration": "30s"},
            {"id": "r3", "metric": "tokens", "max_limit": 7, "reset_duration": "1h30m"},
            {"id": "r4", "request_max_limit": 8, "request_reset_duration": "1d", "request_current_usage": 4},
            {"id": "r5", "request_max_limit": 9, "request_reset_duration": "1d"}],
        "model_configs": [
            {"id": "m", "model_name": "*", "provider": "vllm", "scope": "virtual_key", "scope_id": "k", "budget_ids": ["b-model"],
             "rate_limit_ids": ["r5"]}],
        "providers": [{"name": "vllm", "budget_id": "b-provider"}],
        "pricing_overrides": [{"id": "p", "scope_kind": "provider", "provider_id": "vllm", "match_type": "wildcard",
            "pattern": "a*", "request_types": ["text_completion"], "pricing_patch": "{\"input_cost_per_token\":0.000001}"}]},
    "hermod": {
        "defaults": {"max_concurrent": 9, "weight": 2},
        "keys": {"k": {"max_concurrent": 3, "max_waiting": 0, "max_wait": 60}, "over-http": {"weight": 0.5}},
        "providers": {"vllm": {"max_concurrent": 500}},
        "unknown_price": "refuse"}}"#;

#[test]
fn all_that_limits_something_is_read() {
    let config = Config::from_json(WHOLE, &environment).unwrap();
    assert!(config.require_virtual_key && config.ignored.is_empty(), "{:?}", config.ignored);
    assert_eq!(config.rotation_cooldown, Duration::from_secs(300));
    let source =
        PricingSource { url: Some("file:///prices.json".to_owned()), sync: Duration::from_secs(7200) };
    assert_eq!(config.pricing, source);
    let all = &config.definitions;
    assert_eq!((all.version, all.unknown_price), (Version::Two, UnknownPrice::Refuse));
    let [key, made] = all.virtual_keys.as_slice() else { panic!("{all:?}") };
    assert_eq!(
        (key.value_sha256, key.value_last4.as_str()),
        (Some(ValueHash::of("sk-bf-0123456789")), "6789")
    );
    assert_eq!((made.value_sha256, made.grants.len()), (None, 0), "its value has still to be made");
    assert_eq!((key.grants[0].weight, key.grants[1].weight), (Some(0.5), None));
    assert_eq!((&key.grants[0].key_ids, &key.grants[1].key_ids), (&Models::All, &Models::NONE));
    assert_eq!(key.grants[0].blacklisted_models, ["ab"]);
    assert_eq!(
        (key.options.max_concurrent, key.options.max_waiting, key.options.max_wait),
        (Some(3), Some(0), Some(60))
    );
    assert_eq!((all.defaults.max_concurrent, all.defaults.weight), (Some(9), Some(2.0)));
    assert_eq!(all.file_keys["over-http"].options.weight, Some(0.5));
    assert_eq!(all.provider_options["vllm"].max_concurrent, Some(500));

    let claimed = key.grants[1].id.unwrap();
    let budgets: Vec<_> = all
        .budgets
        .iter()
        .map(|budget| {
            (
                &*budget.id,
                budget.max_limit.as_dollars(),
                budget.reset_duration.as_str(),
                budget.owner.clone().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("b-inside", 7.0, "1M", BudgetOwner::Customer("c".to_owned())),
        ("b-key", 10.5, "1d", BudgetOwner::VirtualKey("k".to_owned())),
        ("b-config", 1.0, "1Q", BudgetOwner::ProviderConfig(7)),
        ("b-claimed", 1.0, "weekly", BudgetOwner::ProviderConfig(claimed)),
        ("b-model", 2.0, "1h", BudgetOwner::ModelConfig("m".to_owned())),
        ("b-provider", 3.0, "1Y", BudgetOwner::Provider("vllm".to_owned())),
        ("b-team", 4.0, "1w", BudgetOwner::Team("t".to_owned())),
    ];
    assert_eq!(budgets, expected);
    assert_eq!(all.budgets[2].quarter_start_month, Some(4));
    let rate = |id: &str| all.rate_limits.iter().find(|limit| limit.id == id).unwrap();
    let shown = |rate: &Option<Rate>| rate.as_ref().map(|rate| (rate.max, rate.reset.to_string()));
    let of = |id: &str| (shown(&rate(id).tokens), shown(&rate(id).requests));
    assert_eq!(of("r1"), (Some((1000, "1h".to_owned())), Some((5, "1m".to_owned()))));
    assert_eq!(of("r3"), (Some((7, "1h30m".to_owned())), None));
    let config = &all.model_configs[0];
    assert_eq!(
        (&config.scope, &*config.rate_limit_ids),
        (&ModelScope::VirtualKey("k".to_owned()), &["r5".to_owned()][..])
    );
    assert_eq!(all.pricing_overrides[0].patch["input_cost_per_token"], 0.000_001);
    assert!(all.customers[0].calendar_aligned && all.teams[0].customer_id.as_deref() == Some("c"));
}

#[test]
fn what_is_wrong_with_one_member_is_named_with_its_path() {
    for (from, to, expected) in [
        ("\"version\": 2", "\"version\": 3", "version: expected 1 or 2"),
        ("\"5m\"", "\"soon\"", "client.vk_rotation_cooldown: expected a duration"),
        ("file:///", "ftp://", "framework.pricing.pricing_url: expected file://"),
        ("7200", "60", "framework.pricing.pricing_sync_interval: expected seconds, 3600 or more"),
        (
            "\"customer_id\": \"c\"",
            "\"customer_id\": \"x\"",
            "governance.teams[0].customer_id: no customer has the id \"x\"",
        ),
        (
            "\"team_id\": \"t\", \"rate",
            "\"team_id\": \"x\", \"rate",
            "governance.virtual_keys[0].team_id: no team has the id",
        ),
        (
            "\"team_id\": \"t\", \"rate",
            "\"customer_id\": \"c\", \"team_id\": \"t\", \"rate",
            "governance.virtual_keys[0]: VirtualKey cannot be",
        ),
        (
            "\"rate_limit_id\": \"r4\"",
            "\"rate_limit_id\": \"x\"",
            "governance.virtual_keys[0].provider_configs[0].rate_limit_id: no rate limit",
        ),
        (
            "\"weight\": 0.5, \"all",
            "\"weight\": -1, \"all",
            "governance.virtual_keys[0].provider_configs[0].weight: expected a weight of 0",
        ),
        (
            "regex:a.*",
            "regex:(",
            "governance.virtual_keys[0].provider_configs[0].allowed_models[0]: expected a regular expression",
        ),
        (
            "\"budget_id\": \"b-claimed\"",
            "\"budget_id\": \"x\"",
            "governance.virtual_keys[0].provider_configs[1].budget_id: no budget has the id",
        ),
        (
            "\"budget_id\": \"b-claimed\"",
            "\"budget_id\": \"b-key\"",
            "governance.virtual_keys[0].provider_configs[1].budget_id: expected one owner",
        ),
        (
            "\"budget_id\": \"b-claimed\"",
            "\"budgets\": [{}]",
            "governance.virtual_keys[0].provider_configs[1].budgets: expected it in governance.budgets",
        ),
        (
            "\"virtual_key_id\": \"k\",",
            "\"virtual_key_id\": \"k\", \"team_id\": \"t\",",
            "governance.budgets[0].team_id: expected one owner, found two",
        ),
        (
            "\"virtual_key_id\": \"k\",",
            "\"virtual_key_id\": \"x\",",
            "governance.budgets[0].virtual_key_id: no virtual key has the id",
        ),
        (
            "\"provider_config_id\": 7",
            "\"provider_config_id\": 8",
            "governance.budgets[1].provider_config_id: no provider config has the id 8",
        ),
        (
            "\"max_limit\": 10.5",
            "\"max_limit\": -1",
            "governance.budgets[0].max_limit: expected dollars, 0 to 9,000,000",
        ),
        (
            "10.5, \"reset_duration\": \"1d\"",
            "10.5",
            "governance.budgets[0].reset_duration: expected a duration",
        ),
        (
            "10.5, \"reset_duration\": \"1d\"",
            "10.5, \"reset_duration\": \"0s\"",
            "governance.budgets[0].reset_duration: expected a duration",
        ),
        (
            "\"quarter_start_month\": 4",
            "\"quarter_start_month\": 13",
            "governance.budgets[1].reset_config.quarter_start_month: expected a month",
        ),
        (
            "{\"id\": \"b-inside\", ",
            "{\"id\": \"b-2\", \"max_limit\": 1, \"reset_duration\": \"monthly\"}, {\"id\": \"b-inside\", ",
            "governance.customers[0].budgets[1].reset_duration: duplicate reset_duration",
        ),
        (
            "\"team_id\": \"t\"}]",
            "\"team_id\": \"t\"}, {\"id\": \"b-team\", \"max_limit\": 1, \"reset_duration\": \"1d\"}]",
            "governance.budgets[6].id: expected an id",
        ),
        (
            ", \"token_reset_duration\": \"1h\"",
            "",
            "governance.rate_limits[0].token_reset_duration: expected a duration beside token_max_limit",
        ),
        (
            "\"request_max_limit\": 6",
            "\"request_max_limit\": 0",
            "governance.rate_limits[1].request_max_limit: expected a whole number above 0",
        ),
        (
            "\"1h30m\"",
            "\"1h30\"",
            "governance.rate_limits[2].reset_duration: expected a duration of a second or more",
        ),
        (
            "\"metric\": \"tokens\", ",
            "",
            "governance.rate_limits[2].metric: expected \"requests\" or \"tokens\"",
        ),
        (
            "\"scope_id\": \"k\"",
            "\"scope_id\": \"x\"",
            "governance.model_configs[0].scope_id: no virtual key has the id",
        ),
        (
            "\"rate_limit_ids\": [\"r5\"]",
            "\"rate_limit_ids\": [\"r5\", \"x\"]",
            "governance.model_configs[0].rate_limit_ids[1]: no rate limit",
        ),
        (
            "\"budget_ids\": [\"b-model\"]",
            "\"budget_ids\": [\"x\"]",
            "governance.model_configs[0].budget_ids[0]: no budget has the id",
        ),
        (
            "{\"name\": \"vllm\", \"b",
            "{\"name\": \"vlm\", \"b",
            "governance.providers[0].name: no provider has this name; did you mean `vllm`?",
        ),
        (
            "\"scope_kind\": \"provider\"",
            "\"scope_kind\": \"provider_key\"",
            "governance.pricing_overrides[0].provider_key_id: expected one",
        ),
        (
            "\"match_type\": \"wildcard\"",
            "\"match_type\": \"regex\"",
            "governance.pricing_overrides[0].match_type: expected",
        ),
        (
            "0.000001}",
            "-1}",
            "governance.pricing_overrides[0].pricing_patch: expected dollars, 0 or more, as input_cost_per_token",
        ),
        (
            "\"defaults\": {\"max_concurrent\": 9",
            "\"defaults\": {\"max_concurrent\": 0",
            "hermod.defaults.max_concurrent: expected a whole number above 0",
        ),
        ("\"weight\": 2", "\"weight\": 0", "hermod.defaults.weight: expected a number from 0.001"),
        (
            "\"max_waiting\": 0",
            "\"max_waiting\": -1",
            "hermod.keys.k.max_waiting: expected a whole number of 0 or more",
        ),
        (
            "{\"vllm\": {\"max_concurrent\": 500}}",
            "{\"x\": {\"max_concurrent\": 500}}",
            "hermod.providers.x: no provider has this name",
        ),
        ("\"over-http\"", "\"mad\"", "hermod.keys.mad: no virtual key has this id; did you mean `made`?"),
        ("\"refuse\"", "\"never\"", "hermod.unknown_price: expected \"free\" or \"refuse\""),
    ] {
        assert_eq!(WHOLE.matches(from).count(), 1, "{from}");
        let found = errors(&WHOLE.replace(from, to));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:#?}");
    }
}

#[test]
fn an_empty_list_allows_nothing_but_in_version_1_where_it_allows_all() {
    let keys = r#""governance": {"virtual_keys": [{"id": "a", "name": "a"}, {"id": "b", "name": "b", "provider_configs":
        [{"provider": "x"}, {"provider": "y", "allowed_models": [], "key_ids": []}, {"provider": "z", "allowed_models": ["m"]}]}]}"#;
    for (version, expected, is_of_all) in [
        ("", Models::NONE, false),
        (r#""version": 2, "#, Models::NONE, false),
        (r#""version": 1, "#, Models::All, true),
    ] {
        let all = read(&format!("{version}{keys}"));
        let [none, some] = all.virtual_keys.as_slice() else { panic!() };
        assert_eq!((none.allow_all_providers, some.allow_all_providers), (is_of_all, false), "{version}");
        for grant in &some.grants[..2] {
            assert_eq!((&grant.allowed_models, &grant.key_ids), (&expected, &expected), "{version}");
        }
        assert_eq!(some.grants[2].allowed_models, Models::Only(vec!["m".to_owned()]));
    }
}

#[test]
fn the_old_name_of_enforcement_counts_unless_the_new_one_is_there() {
    for (client, expected) in [
        (r#"{"enforce_governance_header": true}"#, true),
        (r#"{"enforce_governance_header": true, "enforce_auth_on_inference": false}"#, false),
        ("{}", false),
    ] {
        let text = format!(r#"{{"client": {client}}}"#);
        assert_eq!(Config::from_json(&text, &environment).unwrap().require_virtual_key, expected, "{client}");
    }
}
