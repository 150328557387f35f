//! OpenAI's text completions, which most others speak too.
//!
//! <https://platform.openai.com/docs/api-reference/completions>

use hermod_types::ErrorDetail;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The request: the client's own members behind the model's name. `body` is a JSON object.
pub(crate) fn request(model: &str, body: &str) -> String {
    let members = body.strip_prefix('{').unwrap_or(body);
    let comma = if members == "}" { "" } else { "," };
    // Writing a str to memory has no way to fail.
    let model = serde_json::to_string(model).unwrap_or_default();
    format!("{{\"model\":{model}{comma}{members}")
}

/// Reads the error out of an answer's body, in the forms in which providers write it.
pub(crate) fn error(body: &str) -> Option<ErrorDetail> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
        #[serde(borrow)]
        message: Option<&'a RawValue>,
        #[serde(borrow)]
        detail: Option<&'a RawValue>,
    }
    let body: Body<'_> = serde_json::from_str(body).ok()?;
    let error = body.error.filter(|error| error.get() != "null");
    error.and_then(error_member).or_else(|| {
        // FastAPI's form, as vLLM and others have it: a string, or a list of what is wrong.
        let message = body.message.or(body.detail).map(text_of)?;
        Some(ErrorDetail { message, ..ErrorDetail::default() })
    })
}

/// Reads `error`: OpenAI's object, or a string.
fn error_member(error: &RawValue) -> Option<ErrorDetail> {
    #[derive(Deserialize)]
    struct Error<'a> {
        #[serde(borrow)]
        message: Option<&'a RawValue>,
        #[serde(borrow, rename = "type")]
        kind: Option<&'a RawValue>,
        #[serde(borrow)]
        code: Option<&'a RawValue>,
        #[serde(borrow)]
        param: Option<&'a RawValue>,
    }
    if !error.get().starts_with('{') {
        return Some(ErrorDetail { message: text_of(error), ..ErrorDetail::default() });
    }
    let error: Error<'_> = serde_json::from_str(error.get()).ok()?;
    let text = |value: Option<&RawValue>| value.filter(|value| value.get() != "null").map(text_of);
    Some(ErrorDetail {
        message: text(error.message).unwrap_or_else(|| "the provider gave no message".to_owned()),
        kind: text(error.kind),
        code: text(error.code),
        param: text(error.param),
    })
}

/// A JSON string's text, or any other value as it is written: a numeric code becomes a string.
fn text_of(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_clients_behind_the_model() {
        assert_eq!(request("a\"b", r#"{"prompt":"x","n":1.0}"#), r#"{"model":"a\"b","prompt":"x","n":1.0}"#);
        assert_eq!(request("m", "{}"), r#"{"model":"m"}"#);
    }

    #[test]
    fn errors_are_read_in_all_their_forms() {
        let full = r#"{"error":{"message":"no","type":"t","code":42,"param":null}}"#;
        let detail = error(full).unwrap();
        assert_eq!((detail.message.as_str(), detail.kind.as_deref()), ("no", Some("t")));
        assert_eq!((detail.code.as_deref(), detail.param), (Some("42"), None));
        for (body, message) in [
            (r#"{"error":"model not found"}"#, "model not found"),
            (r#"{"object":"error","message":"bad"}"#, "bad"),
            (r#"{"error":"first","message":5}"#, "first"),
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            (r#"{"detail":[{"loc":["body"]}]}"#, r#"[{"loc":["body"]}]"#),
            (r#"{"error":{"code":"x"}}"#, "the provider gave no message"),
        ] {
            assert_eq!(error(body).unwrap().message, message);
        }
        for body in ["", "<html>", "{}", "[]", r#"{"error":null}"#] {
            assert!(error(body).is_none(), "{body}");
        }
    }
}
