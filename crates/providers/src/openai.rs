//! Errors in OpenAI's form, and in those that come near it.
//!
//! <https://platform.openai.com/docs/guides/error-codes>

use hermod_types::ErrorDetail;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The members that may say something of an error, in it or beside it.
#[derive(Deserialize)]
struct Words<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    error_type: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    param: Option<&'a RawValue>,
}

impl Words<'_> {
    fn with_message(&self, message: String) -> ErrorDetail {
        ErrorDetail {
            message,
            kind: self.kind.or(self.error_type).and_then(word_of),
            code: self.code.and_then(word_of),
            param: self.param.and_then(word_of),
        }
    }
}

/// Reads the error out of an answer's body, in the forms in which providers write it: OpenAI's object, a string with
/// the rest beside it (xAI, text-generation-inference), or all of it at the top (Mistral, `FastAPI`).
pub(crate) fn error(body: &str) -> Option<ErrorDetail> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let words: Words<'_> = serde_json::from_str(body).ok()?;
    let error = serde_json::from_str::<Body<'_>>(body).ok()?.error.filter(|error| error.get() != "null");
    match error {
        Some(error) if error.get().starts_with('{') => {
            let words: Words<'_> = serde_json::from_str(error.get()).ok()?;
            let message = words.message.and_then(word_of);
            Some(words.with_message(message.unwrap_or_else(|| "the provider gave no message".to_owned())))
        }
        Some(error) => Some(words.with_message(text_of(error))),
        // FastAPI's `detail` is a string, or a list of what is wrong.
        None => words.message.or(words.detail).map(|message| words.with_message(text_of(message))),
    }
}

fn word_of(value: &RawValue) -> Option<String> {
    (value.get() != "null").then(|| text_of(value))
}

/// A JSON string's text, or any other value as it is written: a numeric code becomes a string.
fn text_of(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
