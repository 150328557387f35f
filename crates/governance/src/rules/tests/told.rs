use hermod_types::config::Models;
use serde_json::{Value, json};

use super::super::*;
use super::limits::{hierarchy, names};
use super::{NOW, at, target};

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
