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

/// A request in OpenAI's own form: the model, and the client's members as they came, but for what `change` says of them: another name
/// or value, or none to leave one out. None if `body` is not a JSON object.
pub(crate) fn native(
    model: &str,
    body: &str,
    change: impl for<'m> Fn(&'m str, &'m str) -> Option<(&'m str, &'m str)>,
) -> Option<String> {
    let object: RawObject<'_> = serde_json::from_str(body).ok()?;
    let mut out = String::with_capacity(body.len() + model.len() + 16);
    out.push_str("{\"model\":");
    out.push_str(&json_string(model));
    let is_changed = |name: &str, value: &str| change(name, value) != Some((name, value));
    let renamed = || {
        let members = object.members().map(|(name, value)| (name, value.get()));
        members
            .filter_map(|(name, value)| change(name, value).filter(|(theirs, _)| *theirs != name))
            .map(|(theirs, _)| theirs)
    };
    if object.members().any(|(name, value)| is_one_of(name, &RESERVED) || is_changed(name, value.get())) {
        let given_anew: Vec<&str> = renamed().collect();
        for (name, value) in object.members().filter(|(name, _)| !is_one_of(name, &RESERVED)) {
            let Some((theirs, value)) = change(name, value.get()) else { continue };
            if theirs == name && given_anew.contains(&name) {
                continue;
            }
            out.push(',');
            out.push_str(&json_string(theirs));
            out.push(':');
            out.push_str(value);
        }
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

/// Changes nothing.
pub(crate) fn as_it_came<'m>(name: &'m str, value: &'m str) -> Option<(&'m str, &'m str)> {
    Some((name, value))
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
    /// A request for which Hermod has read the client's members of these names itself: they are not passed on.
    pub(crate) fn new(read: &[&'static str]) -> Self {
        Self { own: read.to_vec(), ..Self::nested() }
    }

    /// An object inside of a request.
    pub(crate) fn nested() -> Self {
        Self { text: "{".to_owned(), own: Vec::new(), clients: Vec::new() }
    }

    pub(crate) fn model(&mut self, model: &str) {
        self.own("model", &json_string(model));
    }

    /// Writes a member whose `value` is JSON. The client's member of this name, if there is one, is left out.
    pub(crate) fn own(&mut self, name: &'static str, value: &str) {
        self.own.push(name);
        self.push(name, value);
    }

    /// Begins a member: its value is to be written behind what it gives.
    pub(crate) fn open(&mut self, name: &'static str) -> &mut String {
        self.own(name, "");
        &mut self.text
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

/// An object of the members that have a value, each of which is JSON.
pub(crate) fn write_object(members: &[(&str, Option<&str>)]) -> String {
    let mut out = "{".to_owned();
    for (name, value) in members.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&format!("\"{name}\":{value}"));
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_native_request_is_the_clients_behind_the_model() {
        let body = r#"{"prompt":"x", "n":1.0}"#;
        assert_eq!(native("a\"b", body, as_it_came).unwrap(), r#"{"model":"a\"b","prompt":"x", "n":1.0}"#);
        assert_eq!(native("m", "{}", as_it_came).unwrap(), r#"{"model":"m"}"#);
        assert_eq!(native("m", "{ }", as_it_came).unwrap(), r#"{"model":"m" }"#);
        assert_eq!(native("m", "[]", as_it_came), None);
    }

    #[test]
    fn no_spelling_overrides_a_native_member() {
        for name in ["model", "Model", "MODELS", "models", "Stream", "fallBacks", r"\u006dodel"] {
            let body = format!(r#"{{"prompt":"x","{name}":"forbidden","top_k":5}}"#);
            assert_eq!(
                native("m", &body, as_it_came).unwrap(),
                r#"{"model":"m","prompt":"x","top_k":5}"#,
                "{name}"
            );
        }
        assert_eq!(native("m", r#"{"Model":"forbidden"}"#, as_it_came).unwrap(), r#"{"model":"m"}"#);
    }

    #[test]
    fn a_renamed_member_wins_over_one_of_that_name() {
        fn change<'m>(name: &'m str, value: &'m str) -> Option<(&'m str, &'m str)> {
            match (name, value) {
                ("seed", _) => Some(("random_seed", value)),
                ("user", _) => None,
                ("choice", "1") => Some((name, "2")),
                _ => Some((name, value)),
            }
        }
        let body = r#"{"random_seed":1,"seed":2,"user":"u","choice":1,"other":1.0}"#;
        assert_eq!(
            native("m", body, change).unwrap(),
            r#"{"model":"m","random_seed":2,"choice":2,"other":1.0}"#
        );
    }

    #[test]
    fn the_clients_member_gives_way_whichever_comes_first() {
        let mut body = RequestBody::new(&["prompt", "n", "echo"]);
        body.model("m");
        body.own("messages", "[]");
        for name in ["Messages", "Stop_Sequences", "N", "Prompt", "ECHO", "Models", "STREAM", "top_k"] {
            body.client(name, "1");
        }
        body.own("stop_sequences", "[]");
        let text = r#"{"model":"m","messages":[],"stop_sequences":[],"top_k":1}"#;
        assert_eq!(body.finish(), text);
        assert_eq!(RequestBody::nested().finish(), "{}");
    }
}
