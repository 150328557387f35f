use std::time::Duration;

use serde_json::{Value, json};

use super::super::*;
use super::{at, rules, target};
use crate::{Calendar, Measure, Scope, Window};

/// Customer, team, key, provider config, model and provider, each with a rate limit and a budget.
pub(super) fn hierarchy() -> Rules {
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

pub(super) fn names(rules: &Rules, owner: Option<&str>, model: &str) -> Vec<String> {
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
