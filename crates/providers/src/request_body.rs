//! The JSON object that a provider is sent: members that Hermod writes, and the client's others.
//!
//! A client cannot override what Hermod writes. Names are compared without case, as some servers read them so: Go's
//! `encoding/json` takes `Model` for `model`, and the last of several.

use hermod_types::RawObject;

/// Members that no client may send. Hermod names the model, and neither streams nor leaves fallbacks to others;
/// `models` is the list of models that `OpenRouter` tries.
const RESERVED: [&str; 4] = ["model", "models", "stream", "fallbacks"];

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// A JSON string. Writing a str to memory has no way to fail.
fn json_string(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A request in OpenAI's own form: the model, and the client's members as they came. None if `body` is not a JSON
/// object.
pub(crate) fn native(model: &str, body: &str) -> Option<String> {
    let object: RawObject<'_> = serde_json::from_str(body).ok()?;
    let mut out = String::with_capacity(body.len() + model.len() + 16);
    out.push_str("{\"model\":");
    out.push_str(&json_string(model));
    if object.members().any(|(name, _)| is_one_of(name, &RESERVED)) {
        object.write_members(&mut out, |name| !is_one_of(name, &RESERVED));
        out.push('}');
    } else {
        // Nothing is taken out, so the text is copied whole.
        let members = body.trim_ascii_start().strip_prefix('{')?;
        if object.members().next().is_some() {
            out.push(',');
        }
        out.push_str(members);
    }
    Some(out)
}

/// A request in another form than OpenAI's text completions.
#[derive(Debug)]
pub(crate) struct RequestBody<'a> {
    /// The object so far, without its last brace.
    text: String,
    /// Names that a client's member must not have.
    own: Vec<&'static str>,
    clients: Vec<(&'a str, &'a str)>,
}

impl<'a> RequestBody<'a> {
    /// A request for one prompt. What Hermod has read of the client's request itself is not passed on.
    pub(crate) fn for_prompt() -> Self {
        Self { own: vec!["prompt", "n", "echo"], ..Self::nested() }
    }

    /// An object inside of a request.
    pub(crate) fn nested() -> Self {
        Self { text: "{".to_owned(), own: Vec::new(), clients: Vec::new() }
    }

    /// A request of chat: the model, and the prompt (a JSON string) as the user's one message.
    pub(crate) fn chat(model: &str, prompt: &str) -> Self {
        let mut body = Self::for_prompt();
        body.model(model);
        body.own("messages", &format!("[{{\"role\":\"user\",\"content\":{prompt}}}]"));
        body
    }

    pub(crate) fn model(&mut self, model: &str) {
        self.own("model", &json_string(model));
    }

    /// Writes a member whose `value` is JSON. The client's member of this name, if there is one, is left out.
    pub(crate) fn own(&mut self, name: &'static str, value: &str) {
        self.own.push(name);
        self.push(name, value);
    }

    /// Adds a member of the client's. It is left out if Hermod writes one of the same name, now or later.
    pub(crate) fn client(&mut self, name: &'a str, value: &'a str) {
        self.clients.push((name, value));
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.own.is_empty() && self.clients.is_empty()
    }

    pub(crate) fn finish(mut self) -> String {
        for (name, value) in std::mem::take(&mut self.clients) {
            if !is_one_of(name, &RESERVED) && !is_one_of(name, &self.own) {
                self.push(name, value);
            }
        }
        self.text.push('}');
        self.text
    }

    fn push(&mut self, name: &str, value: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.text.push_str(&json_string(name));
        self.text.push(':');
        self.text.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_native_request_is_the_clients_behind_the_model() {
        let body = r#"{"prompt":"x", "n":1.0}"#;
        assert_eq!(native("a\"b", body).unwrap(), r#"{"model":"a\"b","prompt":"x", "n":1.0}"#);
        assert_eq!(native("m", "{}").unwrap(), r#"{"model":"m"}"#);
        assert_eq!(native("m", "{ }").unwrap(), r#"{"model":"m" }"#);
        assert_eq!(native("m", "[]"), None);
    }

    #[test]
    fn no_spelling_overrides_a_native_member() {
        for name in ["model", "Model", "MODELS", "models", "Stream", "fallBacks", r"\u006dodel"] {
            let body = format!(r#"{{"prompt":"x","{name}":"forbidden","top_k":5}}"#);
            assert_eq!(native("m", &body).unwrap(), r#"{"model":"m","prompt":"x","top_k":5}"#, "{name}");
        }
        assert_eq!(native("m", r#"{"Model":"forbidden"}"#).unwrap(), r#"{"model":"m"}"#);
    }

    #[test]
    fn the_clients_member_gives_way_whichever_comes_first() {
        let mut body = RequestBody::chat("m", "\"x\"");
        for name in ["Messages", "Stop_Sequences", "N", "Prompt", "ECHO", "Models", "STREAM", "top_k"] {
            body.client(name, "1");
        }
        body.own("stop_sequences", "[]");
        let text =
            r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stop_sequences":[],"top_k":1}"#;
        assert_eq!(body.finish(), text);
        assert_eq!(RequestBody::nested().finish(), "{}");
    }
}
