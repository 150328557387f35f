use serde_json::{Value, json};

use super::*;

/// What is written of one that was read.
fn again<T: serde::Serialize + serde::de::DeserializeOwned>(json: Value) -> Value {
    serde_json::to_value(serde_json::from_value::<T>(json).unwrap()).unwrap()
}

#[test]
fn durations_are_gos_and_those_of_the_calendar() {
    let parsed = |text: &str| {
        let duration: ResetDuration = text.parse().unwrap();
        assert_eq!((duration.as_str(), duration.to_string().as_str()), (text, text));
        (duration.length().as_millis(), duration.unit())
    };
    const DAY: u128 = 24 * 3_600_000;
    for (text, length, unit) in [
        ("30s", 30_000, None),
        ("5m", 300_000, None),
        ("1h30m", 5_400_000, None),
        ("1.5h", 5_400_000, None),
        ("1500ms", 1500, None),
        ("24h", DAY, None),
        ("1d", DAY, Some(CalendarUnit::Day)),
        ("0.5d", DAY / 2, Some(CalendarUnit::Day)),
        ("1w", 7 * DAY, Some(CalendarUnit::Week)),
        ("2M", 60 * DAY, Some(CalendarUnit::Month)),
        ("1Q", 90 * DAY, Some(CalendarUnit::Quarter)),
        ("1Y", 365 * DAY, Some(CalendarUnit::Year)),
        ("daily", DAY, Some(CalendarUnit::Day)),
        ("weekly", 7 * DAY, Some(CalendarUnit::Week)),
        ("monthly", 30 * DAY, Some(CalendarUnit::Month)),
        ("yearly", 365 * DAY, Some(CalendarUnit::Year)),
    ] {
        assert_eq!(parsed(text), (length, unit), "{text}");
    }
    for wrong in [
        "", "1", "h", "1 h", "-1h", "+1h", "1x", "1e3s", "0s", "0d", "10ms", "1d12h", "1h1", "101Y", "nan",
        "infd", "1..5h", "1é",
    ] {
        assert_eq!(wrong.parse::<ResetDuration>(), Err(InvalidDuration), "{wrong:?}");
    }
}

#[test]
fn money_is_whole_billionths_of_a_dollar() {
    for (dollars, nanos) in [(0.0, 0), (0.1, 100_000_000), (0.000_000_001, 1), (105.5, 105_500_000_000)] {
        let money = Money::from_dollars(dollars).unwrap();
        assert_eq!((money.as_nanos(), money.as_dollars()), (nanos, dollars));
        assert_eq!(serde_json::from_value::<Money>(serde_json::to_value(money).unwrap()).unwrap(), money);
    }
    assert_eq!(serde_json::to_string(&Money::from_nanos(100_000_000_000)).unwrap(), "100");
    assert_eq!(Money::from_nanos(105_500_000_000).to_string(), "105.5000");
    for wrong in [-0.1, f64::NAN, f64::INFINITY, 9_000_001.0] {
        assert_eq!(Money::from_dollars(wrong), None, "{wrong}");
    }
    assert_eq!(Money::MAX.plus(Money::MAX), Money::MAX);
}

#[test]
fn definitions_are_written_with_bifrosts_members() {
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    assert_eq!(ValueHash::of("test").to_string(), hash);
    let key = json!({"id": "k", "name": "K", "value_sha256": hash, "value_last4": "abcd", "is_active": true,
        "expires_at": "2030-01-31T00:00:00.000Z", "team_id": "t", "provider_configs": [{"id": 7, "provider": "openai",
            "weight": null, "allowed_models": ["*"], "blacklisted_models": ["regex:o.*"], "key_ids": []}],
        "max_concurrent": 3, "weight": 2.0});
    assert_eq!(again::<VirtualKey>(key.clone()), key);
    let budget = json!({"id": "b", "max_limit": 0.5, "reset_duration": "1Q", "provider_config_id": 7, "quarter_start_month": 4,
        "override": {"amount": 2, "mode": "cycles", "cycles": 1, "until": "2030-01-31T00:00:00.000Z"}});
    assert_eq!(again::<Budget>(budget.clone()), budget);
    let free: Budget =
        serde_json::from_value(json!({"id": "b", "max_limit": 1, "reset_duration": "1d"})).unwrap();
    assert_eq!(free.owner, None);
    let limit = json!({"id": "r", "token_max_limit": 100, "token_reset_duration": "1h"});
    assert_eq!(again::<RateLimit>(limit.clone()), limit);
    for wrong in [
        json!({"id": "r", "token_max_limit": 1}),
        json!({"id": "r", "request_max_limit": 0, "request_reset_duration": "1h"}),
    ] {
        assert!(serde_json::from_value::<RateLimit>(wrong).is_err());
    }
    for config in [
        json!({"id": "m", "model_name": "*", "scope": "global"}),
        json!({"id": "m", "model_name": "gpt", "provider": "openai", "scope": "virtual_key", "scope_id": "k",
            "calendar_aligned": true, "rate_limit_ids": ["r"]}),
    ] {
        assert_eq!(again::<ModelConfig>(config.clone()), config);
    }
    let price = json!({"id": "p", "name": "", "scope_kind": "virtual_key_provider", "virtual_key_id": "k", "provider_id": "openai",
        "match_type": "wildcard", "pattern": "gpt-*", "request_types": ["text_completion"], "patch": {"input_cost_per_token": 0.0}});
    assert_eq!(again::<PricingOverride>(price.clone()), price);
}

#[test]
fn patterns_match_whole_names_in_any_case() {
    let matches =
        |entry: &str, name: &str| pattern_of(entry).unwrap().is_some_and(|regex| regex.is_match(name));
    assert!(matches("regex:gpt-4.*", "GPT-4o") && matches("regex:a|b", "b"));
    assert!(!matches("regex:gpt-4", "gpt-4o") && !matches("regex:a|b", "ab") && !matches("gpt", "gpt"));
    for wrong in ["regex:(", "regex:a)(b", "regex:*", r"regex:(?=x)", r"regex:\w{1000}{1000}"] {
        assert!(pattern_of(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_value_is_known_by_its_hash_and_masked() {
    let mut key = VirtualKey::new("k");
    key.set_value(&"sk-bf-0123456789".into());
    assert_eq!(
        (key.value_sha256, key.value_last4.as_str()),
        (Some(ValueHash::of("sk-bf-0123456789")), "6789")
    );
    key.set_value(&"short".into());
    assert_eq!(key.value_last4, "");
    assert!(!format!("{key:?}").contains(&ValueHash::of("short").to_string()));
}

/// Definitions that nothing is wrong with.
fn sound() -> Definitions {
    let read = |json: Value| serde_json::from_value::<Budget>(json).unwrap();
    let mut key = VirtualKey::new("k");
    key.team_id = Some("t".to_owned());
    key.rate_limit_id = Some("r".to_owned());
    key.grants = vec![ProviderGrant { id: Some(1), ..ProviderGrant::all("openai") }];
    Definitions {
        virtual_keys: vec![key],
        teams: vec![Team { id: "t".to_owned(), customer_id: Some("c".to_owned()), ..Team::default() }],
        customers: vec![Customer { id: "c".to_owned(), ..Customer::default() }],
        budgets: vec![
            read(json!({"id": "b1", "max_limit": 1, "reset_duration": "1d", "virtual_key_id": "k"})),
            read(json!({"id": "b2", "max_limit": 1, "reset_duration": "1M", "virtual_key_id": "k"})),
            read(json!({"id": "b3", "max_limit": 1, "reset_duration": "1d", "provider_config_id": 1})),
        ],
        rate_limits: vec![
            serde_json::from_value(
                json!({"id": "r", "request_max_limit": 1, "request_reset_duration": "1m"}),
            )
            .unwrap(),
        ],
        ..Definitions::default()
    }
}

#[test]
fn what_is_wrong_with_definitions_together_is_named_with_its_path() {
    assert_eq!(sound().faults(), []);
    type Change = fn(&mut Definitions);
    let wrong: [(Change, &str); 12] = [
        (
            |all| all.virtual_keys[0].team_id = Some("x".to_owned()),
            "virtual_keys[0].team_id: no team has the id \"x\"",
        ),
        (
            |all| all.virtual_keys[0].rate_limit_id = Some("x".to_owned()),
            "virtual_keys[0].rate_limit_id: no rate limit has the id",
        ),
        (
            |all| all.virtual_keys[0].customer_id = Some("c".to_owned()),
            "virtual_keys[0]: VirtualKey cannot be attached to both",
        ),
        (
            |all| all.virtual_keys.push(VirtualKey::new("k")),
            "virtual_keys[1].id: expected an id that no other has",
        ),
        (
            |all| all.virtual_keys[0].grants.push(ProviderGrant::all("openai")),
            "virtual_keys[0].provider_configs[1].provider: ",
        ),
        (
            |all| {
                all.virtual_keys[0].grants[0].blacklisted_models = vec!["a".to_owned(), "regex:(".to_owned()];
            },
            "virtual_keys[0].provider_configs[0].blacklisted_models[1]: expected a regular expression",
        ),
        (
            |all| all.teams[0].customer_id = Some("x".to_owned()),
            "teams[0].customer_id: no customer has the id",
        ),
        (
            |all| all.customers[0].rate_limit_id = Some("x".to_owned()),
            "customers[0].rate_limit_id: no rate limit",
        ),
        (
            |all| all.budgets[0].owner = Some(BudgetOwner::Team("x".to_owned())),
            "budgets[0].team_id: no team has the id",
        ),
        (
            |all| all.budgets[2].owner = Some(BudgetOwner::ProviderConfig(2)),
            "budgets[2].provider_config_id: no provider config",
        ),
        (
            |all| all.budgets[1].reset_duration = "daily".parse().unwrap(),
            "budgets[1].reset_duration: duplicate reset_duration",
        ),
        (
            |all| all.rate_limits.push(all.rate_limits[0].clone()),
            "rate_limits[1].id: expected an id that no other has",
        ),
    ];
    for (change, expected) in wrong {
        let mut all = sound();
        change(&mut all);
        let faults: Vec<_> = all.faults().iter().map(ToString::to_string).collect();
        assert!(
            faults.len() == 1 && faults[0].starts_with(&format!("governance.{expected}")),
            "{expected}: {faults:?}"
        );
    }
}

#[test]
fn what_the_file_says_overrules_what_is_stored() {
    let mut file = sound();
    let options = KeyOptions { max_waiting: Some(7), ..KeyOptions::default() };
    file.file_keys.insert("made".to_owned(), FileKey { options, webhook_secret: None });
    file.file_keys.insert("nobody".to_owned(), FileKey::default());
    let mut stored = VirtualKey::new("made");
    stored.options = KeyOptions { max_waiting: Some(1), max_concurrent: Some(2), ..KeyOptions::default() };
    let mut same = VirtualKey::new("k");
    same.is_active = false;
    let all = file.with_stored(Definitions { virtual_keys: vec![same, stored], ..Definitions::default() });
    let ids: Vec<_> = all.virtual_keys.iter().map(|key| (key.id.as_str(), key.is_active)).collect();
    assert_eq!(ids, [("k", true), ("made", true)]);
    let options = all.virtual_keys[1].options;
    assert_eq!((options.max_waiting, options.max_concurrent), (Some(7), Some(2)));
    assert_eq!(all.unknown_keys().collect::<Vec<_>>(), ["nobody"]);
}
