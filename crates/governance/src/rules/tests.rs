use hermod_types::Config;
use hermod_types::config::Models;
use serde_json::{Value, json};

use super::*;
use crate::{Calendar, Measure, Scope, Window};

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

/// Customer, team, key, provider config, model and provider, each with a rate limit and a budget.
fn hierarchy() -> Rules {
    let rate = |id: &str| {
        json!({"id": id, "token_max_limit": 1000, "token_reset_duration": "1h", "request_max_limit": 10,
        "request_reset_duration": "1d"})
    };
    let budget = |id: &str, owner: &str, of: Value| json!({"id": id, "max_limit": 1.5, "reset_duration": "1M", owner: of});
    rules(
        json!({
            "customers": [{"id": "c", "name": "C", "rate_limit_id": "r-c", "calendar_aligned": true}],
            "teams": [{"id": "t", "name": "T", "customer_id": "c", "rate_limit_id": "r-t"}],
            "virtual_keys": [
                {"id": "k", "name": "K", "team_id": "t", "rate_limit_id": "r-k", "provider_configs": [
                    {"id": 1, "provider": "vllm", "allowed_models": ["*"], "key_ids": ["*"], "rate_limit_id": "r-pc"},
                    {"provider": "other", "allowed_models": ["*"], "key_ids": ["*"]}]},
                {"id": "of-customer", "name": "O", "customer_id": "c", "calendar_aligned": true}],
            "budgets": [budget("b-c", "customer_id", json!("c")), budget("b-t", "team_id", json!("t")),
                budget("b-k", "virtual_key_id", json!("k")), budget("b-pc", "provider_config_id", json!(1)),
                budget("b-m", "model_config_id", json!("m")), budget("b-mk", "model_config_id", json!("mk")),
                {"id": "b-p", "max_limit": 2, "reset_duration": "1h"}],
            "rate_limits": [rate("r-c"), rate("r-t"), rate("r-k"), rate("r-pc"), rate("r-m"), rate("r-p")],
            "model_configs": [{"id": "m", "model_name": "gpt", "rate_limit_id": "r-m"},
                {"id": "mk", "model_name": "*", "provider": "vllm", "scope": "virtual_key", "scope_id": "k"}],
            "providers": [{"name": "vllm", "rate_limit_id": "r-p", "budget_id": "b-p"}]}),
        json!({"defaults": {"max_concurrent": 5}, "keys": {"k": {"max_concurrent": 2}}, "providers": {"vllm": {"max_concurrent": 100}}}),
    )
}

fn names(rules: &Rules, owner: Option<&str>, model: &str) -> Vec<String> {
    rules.limits(owner, &target(model)).iter().map(|limit| limit.name.clone()).collect()
}

#[test]
fn a_call_must_pass_all_levels_in_the_order_in_which_they_refuse() {
    let rules = hierarchy();
    let all = [
        "tokens:r-p",
        "requests:r-p",
        "budget:b-p",
        "tokens:r-m",
        "requests:r-m",
        "budget:b-m",
        "tokens:r-pc",
        "requests:r-pc",
        "tokens:r-k",
        "requests:r-k",
        "tokens:r-t",
        "requests:r-t",
        "tokens:r-c",
        "requests:r-c",
        "budget:b-pc",
        "budget:b-k",
        "budget:b-t",
        "budget:b-c",
        "budget:b-mk",
        "provider:vllm",
        "key:k",
    ];
    assert_eq!(names(&rules, Some("k"), "vllm/gpt"), all);
    let elsewhere = [
        "tokens:r-k",
        "requests:r-k",
        "tokens:r-t",
        "requests:r-t",
        "tokens:r-c",
        "requests:r-c",
        "budget:b-k",
        "budget:b-t",
        "budget:b-c",
        "key:k",
    ];
    assert_eq!(names(&rules, Some("k"), "other/m"), elsewhere);
    let of_customer = ["tokens:r-c", "requests:r-c", "budget:b-c", "key:of-customer"];
    assert_eq!(names(&rules, Some("of-customer"), "other/m"), of_customer);
    assert_eq!(names(&rules, None, "other/gpt"), ["tokens:r-m", "requests:r-m", "budget:b-m", "key:"]);
    assert_eq!(names(&rules, Some("gone"), "other/m"), [""; 0]);
    let mut rates: Vec<_> = rules.rate_limits_of("k").iter().map(|limit| limit.name.clone()).collect();
    rates.sort_unstable();
    let of_key = [
        "requests:r-c",
        "requests:r-k",
        "requests:r-pc",
        "requests:r-t",
        "tokens:r-c",
        "tokens:r-k",
        "tokens:r-pc",
        "tokens:r-t",
    ];
    assert_eq!((rates, rules.rate_limits_of("gone").len()), (of_key.map(str::to_owned).to_vec(), 0));
    let mut listed: Vec<_> = rules.all_limits().map(|limit| limit.name.as_str()).collect();
    listed.sort_unstable();
    assert_eq!(listed.len(), all.len() + 2, "those, and what runs of the other key and of none: {listed:?}");
}

#[test]
fn each_limit_says_what_it_counts_of_whom_and_when_it_begins_anew() {
    let rules = hierarchy();
    let limits = rules.limits(Some("k"), &target("vllm/gpt"));
    let limit = |name: &str| limits.iter().find(|limit| limit.name == name).unwrap();
    let hour = Window::Rolling(Duration::from_secs(3600));
    let month = Window::Rolling(Duration::from_secs(30 * 24 * 3600));
    let shown = |name: &str| {
        let limit = limit(name);
        (limit.id.as_str(), limit.measure, limit.max, limit.window, limit.scope.is_narrow())
    };
    assert_eq!(shown("tokens:r-k"), ("r-k", Measure::Tokens, 1000, hour, false));
    assert_eq!(shown("budget:b-k"), ("b-k", Measure::Cost, 1_500_000_000, month, false));
    assert_eq!(shown("budget:b-c").3, Window::Calendar(Calendar::Month), "its customer is aligned");
    assert_eq!(
        (shown("requests:r-c").3, shown("tokens:r-c").3),
        (Window::Calendar(Calendar::Day), hour),
        "below a day it has no effect"
    );
    assert_eq!(shown("provider:vllm"), ("vllm", Measure::Running, 100, Window::Never, true));
    assert_eq!(shown("key:k"), ("k", Measure::Running, 2, Window::Never, false));
    assert!(
        shown("budget:b-mk").4 && shown("tokens:r-pc").4 && shown("tokens:r-p").4 && shown("tokens:r-m").4
    );
    let model =
        Scope::Model { key: Some("k".to_owned()), provider: Some("vllm".to_owned()), model: "*".to_owned() };
    assert_eq!(limit("budget:b-mk").scope, model);
}

#[test]
fn a_calendars_window_is_that_of_its_unit_whatever_the_number() {
    let window = |duration: &str, reset: Value| {
        let budget = json!({"id": "b", "max_limit": 1, "reset_duration": duration, "virtual_key_id": "k", "reset_config": reset});
        let key = json!({"id": "k", "name": "k", "calendar_aligned": true});
        rules(json!({"virtual_keys": [key], "budgets": [budget]}), json!({}))
            .limits(Some("k"), &target("a/b"))[0]
            .window
    };
    let calendar = |duration: &str, reset| match window(duration, reset) {
        Window::Calendar(calendar) => Some(calendar),
        Window::Never | Window::Rolling(_) => None,
    };
    for (duration, expected) in [
        ("1d", Some(Calendar::Day)),
        ("weekly", Some(Calendar::Week)),
        ("2M", Some(Calendar::Month)),
        ("1Q", Some(Calendar::Quarter(1))),
        ("1Y", Some(Calendar::Year)),
        ("24h", None),
    ] {
        assert_eq!(calendar(duration, json!(null)), expected, "{duration}");
    }
    assert_eq!(calendar("1Q", json!({"quarter_start_month": 4})), Some(Calendar::Quarter(4)));
}

#[test]
fn what_was_added_to_a_budget_counts_until_its_end() {
    let added = |until: Option<Timestamp>| {
        let mut all = hierarchy().definitions;
        let budget = all.budgets.iter_mut().find(|budget| budget.id == "b-k").unwrap();
        let (amount, mode) =
            (hermod_types::governance::Money::from_nanos(5), hermod_types::governance::OverrideMode::Cycles);
        budget.added =
            Some(hermod_types::governance::BudgetOverride { amount, mode, cycles: Some(1), until });
        let limits = Rules::new(all).limits(Some("k"), &target("other/m"));
        limits.iter().find(|limit| limit.name == "budget:b-k").unwrap().max
    };
    assert_eq!(added(None), 1_500_000_005);
    assert_eq!(added(Some(at("2999-01-01T00:00:00Z"))), 1_500_000_005);
    assert_eq!(added(Some(at("2020-01-01T00:00:00Z"))), 1_500_000_000);
}

#[test]
fn a_shared_limit_is_counted_once_and_for_the_wider_of_its_owners() {
    let rules = rules(
        json!({"virtual_keys": [{"id": "k", "name": "k", "rate_limit_id": "r",
                "provider_configs": [{"provider": "a", "allowed_models": ["*"], "key_ids": ["*"], "rate_limit_id": "r"}]}],
            "rate_limits": [{"id": "r", "request_max_limit": 1, "request_reset_duration": "1m"}]}),
        json!({}),
    );
    let limits = rules.limits(Some("k"), &target("a/b"));
    assert_eq!((limits.len(), &limits[0].scope), (1, &Scope::Key("k".to_owned())));
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

#[test]
fn a_refusal_says_bifrosts_words_the_limits_id_and_when_to_try_again() {
    let rules = hierarchy();
    let limits = rules.limits(Some("k"), &target("vllm/gpt"));
    let exceeded = |name: &str, used: u64, ends: Option<&str>| {
        (Arc::clone(limits.iter().find(|limit| limit.name == name).unwrap()), used, ends.map(at))
    };
    let (soon, late) = (Some("2026-11-27T12:00:10Z"), Some("2026-12-01T00:00:00Z"));
    for (exceeded, kind, message, code, retry_at) in [
        (
            vec![exceeded("tokens:r-k", 1500, soon)],
            "token_limited",
            "Rate limit exceeded: rate limit violated for virtual key: [token limit exceeded (1500/1000, resets every 1h)]",
            "r-k",
            soon,
        ),
        (
            vec![exceeded("requests:r-t", 10, soon), exceeded("budget:b-c", 1_500_000_000, late)],
            "request_limited",
            "Rate limit exceeded: rate limit violated for team: [request limit exceeded (10/10, resets every 1d)]",
            "r-t",
            late,
        ),
        (
            vec![
                exceeded("tokens:r-pc", 1000, soon),
                exceeded("requests:r-pc", 11, late),
                exceeded("requests:r-k", 10, soon),
            ],
            "rate_limited",
            "Rate limit exceeded: rate limit violated for provider config: [token limit exceeded (1000/1000, resets every 1h) request \
             limit exceeded (11/10, resets every 1d)]",
            "r-pc",
            late,
        ),
        (
            vec![exceeded("budget:b-t", 1_600_000_000, late)],
            "budget_exceeded",
            "Budget exceeded: team budget exceeded: 1.6000 >= 1.5000 dollars",
            "b-t",
            late,
        ),
        (
            vec![exceeded("key:k", 2, None)],
            "concurrency_limited",
            "Concurrency limit exceeded: virtual key may have 2 jobs running at one time",
            "k",
            None,
        ),
    ] {
        let refusal = rules.refusal(&exceeded, Some("k"));
        assert_eq!((refusal.kind.as_str(), refusal.message.as_str()), (kind, message));
        assert_eq!((refusal.code.as_deref(), refusal.retry_at), (Some(code), retry_at.map(at)), "{kind}");
    }
    let little = rules.refusal(&[exceeded("budget:b-k", 1_400_000_000, late)], Some("k"));
    assert!(little.message.contains("1.4000 of 1.5000 dollars are used"), "{}", little.message);
}

#[test]
fn a_revoked_key_learns_nothing_of_its_team() {
    let mut all = hierarchy().definitions;
    all.virtual_keys[0].is_active = false;
    let limits = hierarchy().limits(Some("k"), &target("vllm/gpt"));
    let of_team = limits.iter().find(|limit| limit.name == "budget:b-t").unwrap();
    let refusal = Rules::new(all).refusal(&[(Arc::clone(of_team), 2_000_000_000, None)], Some("k"));
    assert_eq!(
        (refusal.kind, refusal.message.as_str(), refusal.code),
        (RefusalKind::AccessBlocked, "virtual key is inactive", None)
    );
}

#[test]
fn a_refusals_body_has_its_type_twice_and_the_limits_id() {
    for (kind, status) in RefusalKind::ALL.into_iter().map(|kind| (kind, kind.status())) {
        let mut refusal = Refusal::new(kind, "why");
        let body: Value = serde_json::from_str(&refusal.to_body().to_json()).unwrap();
        assert_eq!(
            (&body["type"], &body["error"]["type"], &body["error"]["code"]),
            (&json!(kind.as_str()), &json!(kind.as_str()), &json!(kind.as_str()))
        );
        assert_eq!((&body["status_code"], &body["is_bifrost_error"]), (&json!(status), &json!(false)));
        refusal.code = Some("limit".to_owned());
        assert_eq!(refusal.to_body().error.code.as_deref(), Some("limit"));
    }
    let at_ten = Refusal {
        retry_at: Some(Timestamp::from_millis(10_000)),
        ..Refusal::new(RefusalKind::RateLimited, "")
    };
    let after = |millis| at_ten.retry_after(Timestamp::from_millis(millis));
    assert_eq!((after(0), after(1), after(9_999), after(20_000)), (Some(10), Some(10), Some(1), Some(1)));
}

#[test]
fn what_is_wrong_with_a_definition_is_without_effect() {
    let mut all = hierarchy().definitions;
    all.virtual_keys[0].team_id = Some("gone".to_owned());
    all.virtual_keys[0].rate_limit_id = Some("gone".to_owned());
    all.virtual_keys[0].grants[1].allowed_models = Models::Only(vec!["regex:(".to_owned()]);
    let rules = Rules::new(all);
    assert_eq!(names(&rules, Some("k"), "other/m"), ["budget:b-k", "key:k"]);
    assert_eq!(
        rules.judge(Some("k"), &target("other/m"), at(NOW)).unwrap_err().kind,
        RefusalKind::ModelBlocked
    );
}
