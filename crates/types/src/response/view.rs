use serde::Serialize;

use super::echo::all_echoed;
use super::{ResponseEcho, ResponseId};
use crate::{RawObject, Timestamp};

/// Where a Response is in its life, of those in which no provider's Response says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    /// It waits for its first start.
    Queued,
    /// It runs, or waits to go on.
    InProgress,
    Failed,
    Cancelled,
}

/// A Response that has no provider's words.
#[derive(Clone, Debug)]
pub struct ResponseView<'a> {
    pub id: ResponseId,
    pub status: ResponseStatus,
    pub echo: &'a ResponseEcho,
    /// What failed it: a code and a message.
    pub error: Option<(&'a str, &'a str)>,
    /// What was tried, as a JSON object.
    pub extra_fields: Option<&'a str>,
}

#[derive(Serialize)]
struct Head<'a> {
    id: String,
    object: &'static str,
    /// Seconds.
    created_at: u64,
    status: ResponseStatus,
    background: bool,
    error: Option<ErrorView<'a>>,
    incomplete_details: Option<()>,
    output: [(); 0],
    usage: Option<()>,
}

#[derive(Serialize)]
struct ErrorView<'a> {
    code: &'a str,
    message: &'a str,
}

impl ResponseView<'_> {
    /// As JSON, with all that `OpenAI`'s SDKs want of a Response.
    pub fn to_json(&self) -> String {
        let created_at: Timestamp = self.id.0.created_at();
        let head = Head {
            id: self.id.to_string(),
            object: "response",
            created_at: created_at.as_millis() / 1000,
            status: self.status,
            background: self.echo.is_background(),
            error: self.error.map(|(code, message)| ErrorView { code, message }),
            incomplete_details: None,
            output: [],
            usage: None,
        };
        // A struct of strings and integers has no way to fail to be written to memory.
        let mut json = serde_json::to_string(&head).unwrap_or_default();
        json.pop();
        let echo = serde_json::from_str::<RawObject<'_>>(self.echo.as_json());
        let echo = echo.unwrap_or_else(|_| RawObject::new(Vec::new()));
        for (name, default) in std::iter::once(("model", "\"\"")).chain(all_echoed()) {
            let value = echo.get(name).map_or(default, |value| value.get());
            json.push_str(&format!(",\"{name}\":{value}"));
        }
        if let Some(extra_fields) = self.extra_fields {
            json.push_str(&format!(",\"extra_fields\":{extra_fields}"));
        }
        json.push('}');
        json
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{JobId, Shard};

    #[test]
    fn it_has_what_sdks_want_and_what_was_asked_for() {
        let id = ResponseId(JobId::at(1_771_488_617_831, Shard::default()));
        let request =
            r#"{"model":"gpt","input":"x","temperature":0.70,"metadata":{"a":"b"},"background":true}"#;
        let echo = ResponseEcho::of(&serde_json::from_str(request).unwrap());
        let view = ResponseView {
            id,
            status: ResponseStatus::InProgress,
            echo: &echo,
            error: None,
            extra_fields: None,
        };
        let text = view.to_json();
        assert!(text.contains("\"temperature\":0.70,"), "{text}");
        let members = json!({
            "id": id.to_string(), "object": "response", "created_at": 1_771_488_617, "status": "in_progress",
            "background": true, "error": null, "incomplete_details": null, "output": [], "usage": null, "model": "gpt",
            "instructions": null, "max_output_tokens": null, "metadata": {"a": "b"}, "parallel_tool_calls": true,
            "prompt_cache_key": null, "reasoning": {"effort": null, "summary": null}, "safety_identifier": null,
            "service_tier": null, "temperature": 0.7, "text": {"format": {"type": "text"}}, "tool_choice": "auto",
            "tools": [], "top_p": null, "truncation": "disabled", "user": null, "max_tool_calls": null,
            "previous_response_id": null, "prompt": null, "store": true,
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), members);
    }

    #[test]
    fn a_failed_one_says_why() {
        let (id, echo) = (ResponseId(JobId::new(Shard::default())), ResponseEcho::of_job("a/b"));
        let view = ResponseView {
            id,
            status: ResponseStatus::Failed,
            echo: &echo,
            error: Some(("rate_limit_exceeded", "too \"many\"")),
            extra_fields: Some("{\"attempts\":[]}"),
        };
        let failed: Value = serde_json::from_str(&view.to_json()).unwrap();
        assert_eq!(failed["error"], json!({"code": "rate_limit_exceeded", "message": "too \"many\""}));
        assert_eq!((&failed["status"], &failed["model"]), (&json!("failed"), &json!("a/b")));
        assert_eq!(failed["extra_fields"], json!({"attempts": []}));
    }
}
