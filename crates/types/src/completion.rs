use serde::Serialize;

use crate::{Journal, REQUEST_TYPE, RawObject, Target};

/// What we add to a provider's completion as `extra_fields`.
#[derive(Clone, Debug, Serialize)]
pub struct CompletionExtra<'a> {
    request_type: &'static str,
    provider: &'a str,
    model_requested: &'a str,
    latency: u64,
    fallback_index: usize,
    #[serde(skip_serializing_if = "Journal::is_empty")]
    attempts: &'a Journal,
}

impl<'a> CompletionExtra<'a> {
    /// `target` answered after `latency_ms`; it is the `fallback_index`-th of the chain, 0 the primary. `attempts` are
    /// all that were made for the job.
    pub fn new(target: &'a Target, latency_ms: u64, fallback_index: usize, attempts: &'a Journal) -> Self {
        Self {
            request_type: REQUEST_TYPE,
            provider: target.provider(),
            model_requested: target.model(),
            latency: latency_ms,
            fallback_index,
            attempts,
        }
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
pub fn compose_completion(provider: &RawObject<'_>, extra: &CompletionExtra<'_>) -> String {
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
pub fn extend_completion(mut provider: String, extra: &CompletionExtra<'_>) -> String {
    let end = provider.trim_ascii_end().len().saturating_sub(1);
    provider.truncate(end);
    provider.push(',');
    extra.close(&mut provider);
    provider
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_providers_members_stay_as_they_came() {
        let upstream = r#"{"id":"cmpl-1", "n":1.50, "extra_fields":{"theirs":1}, "choices":[ ]}"#;
        let object = serde_json::from_str(upstream).unwrap();
        let target = "openai/gpt".parse().unwrap();
        assert_eq!(
            compose_completion(&object, &CompletionExtra::new(&target, 412, 1, &Journal::default())),
            r#"{"id":"cmpl-1","n":1.50,"choices":[ ],"extra_fields":{"request_type":"text_completion","provider":"openai","model_requested":"gpt","latency":412,"fallback_index":1}}"#
        );
        let extended = extend_completion(
            "{\"choices\":[ ] }\r\n".to_owned(),
            &CompletionExtra::new(&target, 412, 1, &Journal::default()),
        );
        assert_eq!(
            extended,
            r#"{"choices":[ ] ,"extra_fields":{"request_type":"text_completion","provider":"openai","model_requested":"gpt","latency":412,"fallback_index":1}}"#
        );
    }
}
