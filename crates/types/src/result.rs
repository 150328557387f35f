use serde::Serialize;

use crate::governance::Money;
use crate::{Journal, Operation, RawObject, Target};

/// What we add to a provider's answer as `extra_fields`.
#[derive(Clone, Debug, Serialize)]
pub struct ResultExtra<'a> {
    request_type: &'static str,
    provider: &'a str,
    model_requested: &'a str,
    original_model_requested: &'a str,
    resolved_model_used: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    converted_request_type: Option<&'static str>,
    latency: u64,
    fallback_index: usize,
    cost: Option<Money>,
    #[serde(skip_serializing_if = "Journal::is_empty")]
    attempts: &'a Journal,
}

impl<'a> ResultExtra<'a> {
    /// `target` answered after `latency_ms`; it is the `fallback_index`-th of the chain, 0 the primary. Its provider was asked for
    /// `resolved_model`. `attempts` are all that were made for the job.
    pub fn new(
        operation: Operation,
        target: &'a Target,
        resolved_model: &'a str,
        latency_ms: u64,
        fallback_index: usize,
        attempts: &'a Journal,
    ) -> Self {
        Self {
            request_type: operation.request_type(),
            provider: target.provider(),
            model_requested: target.model(),
            original_model_requested: target.model(),
            resolved_model_used: resolved_model,
            converted_request_type: None,
            latency: latency_ms,
            fallback_index,
            cost: None,
            attempts,
        }
    }

    /// The same, with what all calls of the job have cost; none if one of them has no price.
    #[must_use]
    pub fn costing(self, cost: Option<Money>) -> Self {
        Self { cost, ..self }
    }

    /// The same, where the provider was asked for `operation`. Nothing is said of one that is its own.
    #[must_use]
    pub fn sent_as(self, operation: Operation) -> Self {
        let sent = operation.request_type();
        Self { converted_request_type: (sent != self.request_type).then_some(sent), ..self }
    }

    /// Ends `object` with itself as the last member.
    fn close(&self, object: &mut String) {
        object.push_str("\"extra_fields\":");
        // A struct of strings and integers has no way to fail to be written to memory.
        object.push_str(&serde_json::to_string(self).unwrap_or_default());
        object.push('}');
    }
}

/// The `result` of a job: the provider's object, member for member as it came, and our `extra_fields`
/// in place of its own, should it have some.
pub fn compose_result(provider: &RawObject<'_>, extra: &ResultExtra<'_>) -> String {
    let mut out = String::with_capacity(512);
    out.push('{');
    provider.write_members(&mut out, |name| name != "extra_fields");
    if !out.ends_with('{') {
        out.push(',');
    }
    extra.close(&mut out);
    out
}

/// The same for a `provider` object that has members, and no `extra_fields` among them: it is not read again, and its
/// text is not moved.
pub fn extend_result(mut provider: String, extra: &ResultExtra<'_>) -> String {
    let end = provider.trim_ascii_end().len().saturating_sub(1);
    provider.truncate(end);
    provider.push(',');
    extra.close(&mut provider);
    provider
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTRA: &str = r#""extra_fields":{"request_type":"chat_completion","provider":"openai","model_requested":"fast","original_model_requested":"fast","resolved_model_used":"gpt","latency":412,"fallback_index":1,"cost":null}}"#;

    #[test]
    fn the_providers_members_stay_as_they_came() {
        let upstream = r#"{"id":"cmpl-1", "n":1.50, "extra_fields":{"theirs":1}, "choices":[ ]}"#;
        let object = serde_json::from_str(upstream).unwrap();
        let (target, journal) = ("openai/fast".parse().unwrap(), Journal::default());
        let extra = ResultExtra::new(Operation::ChatCompletion, &target, "gpt", 412, 1, &journal);
        assert_eq!(
            compose_result(&object, &extra),
            format!(r#"{{"id":"cmpl-1","n":1.50,"choices":[ ],{EXTRA}"#)
        );
        let extended = extend_result("{\"choices\":[ ] }\r\n".to_owned(), &extra);
        assert_eq!(extended, format!(r#"{{"choices":[ ] ,{EXTRA}"#));
    }

    #[test]
    fn what_it_was_sent_as_is_told_where_it_is_another() {
        let (target, journal) = ("anthropic/a".parse().unwrap(), Journal::default());
        let sent_as = |operation| {
            let extra =
                ResultExtra::new(Operation::Responses, &target, "a", 1, 0, &journal).sent_as(operation);
            serde_json::to_value(&extra).unwrap()["converted_request_type"].clone()
        };
        let cost = |nanos| {
            let extra = ResultExtra::new(Operation::Responses, &target, "a", 1, 0, &journal).costing(nanos);
            serde_json::to_value(&extra).unwrap()["cost"].clone()
        };
        assert_eq!(cost(Some(Money::from_nanos(2_500_000))), 0.0025);
        assert!(cost(None).is_null());
        assert_eq!(sent_as(Operation::ChatCompletion), "chat_completion");
        assert!(sent_as(Operation::Responses).is_null());
    }
}
