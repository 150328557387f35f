use std::borrow::Cow;

use hermod_types::RawObject;
use serde_json::value::RawValue;

use crate::history::{Change, changed, each, without};
use crate::request_body::RequestBody;

/// What a server in OpenAI's form calls otherwise, or does not take. All else goes to it as the client wrote it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Differences {
    /// Members with the name that it knows each by. It wins over a member that has this name already.
    pub(crate) renamed: &'static [(&'static str, &'static str)],
    /// Members with a value, as JSON, that it calls otherwise.
    pub(crate) values: &'static [(&'static str, &'static str, &'static str)],
    /// Members that it refuses and that promise nothing.
    pub(crate) without: &'static [&'static str],
    /// Members of messages that it refuses: what is no part of OpenAI's form, and comes back in a history.
    pub(crate) without_in_messages: &'static [&'static str],
    /// The same of a message's `tool_calls`.
    pub(crate) without_in_calls: &'static [&'static str],
    /// The member that switches reasoning off, where an effort is `reasoning_effort`. None where the object `reasoning` is known.
    pub(crate) no_reasoning: Option<(&'static str, &'static str)>,
}

impl Differences {
    pub(crate) const NONE: Self = Self {
        renamed: &[],
        values: &[],
        without: &[],
        without_in_messages: &[],
        without_in_calls: &[],
        no_reasoning: None,
    };
    /// Of chat, where nothing is refused: <https://platform.openai.com/docs/api-reference/chat/create>
    pub(crate) const EFFORT: Self =
        Self { no_reasoning: Some(("reasoning_effort", "\"none\"")), ..Self::NONE };
    /// For those that ignore `max_completion_tokens`, or refuse it.
    pub(crate) const ONLY_MAX_TOKENS: Self =
        Self { renamed: &[("max_completion_tokens", "max_tokens")], ..Self::EFFORT };
    /// For those that refuse members of a message that they do not know: OpenAI answers `Additional properties are not allowed`, and
    /// `Unknown parameter: 'messages[1].tool_calls[0].index'`.
    pub(crate) const STRICT: Self = Self {
        without_in_messages: &[
            "extra_content",
            "is_error",
            "reasoning",
            "reasoning_content",
            "reasoning_details",
        ],
        without_in_calls: &["extra_content", "index"],
        ..Self::EFFORT
    };

    /// The name and the value to send for a member; none for one that is left out.
    pub(crate) fn apply<'m>(&self, name: &'m str, value: &'m str) -> Option<(&'m str, Cow<'m, str>)> {
        if self.without.contains(&name) {
            return None;
        }
        match (name, self.no_reasoning) {
            ("messages", _) => return Some((name, self.messages(value))),
            ("reasoning", Some(off)) => return effort(value, off),
            _ => {}
        }
        let theirs = self.renamed.iter().find(|(ours, _)| *ours == name).map_or(name, |(_, theirs)| theirs);
        let said = self.values.iter().find(|(of, ours, _)| *of == name && *ours == value);
        Some((theirs, Cow::Borrowed(said.map_or(value, |(_, _, theirs)| theirs))))
    }

    /// Adds a member to a body by its name there. The client's member of that name, in any case, gives way.
    pub(crate) fn add<'m>(&self, body: &mut RequestBody<'m>, name: &'m str, value: &'m str) {
        let Some((theirs, value)) = self.apply(name, value) else { return };
        match self.renamed.iter().find(|(ours, _)| *ours == name) {
            Some((_, theirs)) => body.own(theirs, &value),
            None => body.changed(theirs, value),
        }
    }

    /// The name under which a message takes what the assistant thought.
    pub(crate) fn thought(&self) -> Option<&'static str> {
        ["reasoning_content", "reasoning"].into_iter().find(|name| !self.without_in_messages.contains(name))
    }

    /// The messages, less what is refused. A message of which nothing is refused keeps its text.
    fn messages<'m>(&self, messages: &'m str) -> Cow<'m, str> {
        // What is refused stands in a history alone.
        if self.without_in_messages.is_empty() || !messages.contains("\"assistant\"") {
            return Cow::Borrowed(messages);
        }
        each(messages, |message| self.message(message)).map_or(Cow::Borrowed(messages), Cow::Owned)
    }

    fn message(&self, json: &str) -> Change {
        let calls = |calls: &str| each(calls, |call| without(call, self.without_in_calls));
        match changed(json, "tool_calls", calls) {
            None => without(json, self.without_in_messages),
            Some(changed) => match without(&changed, self.without_in_messages) {
                Change::Stays => Change::Becomes(changed),
                change @ (Change::Goes | Change::Becomes(_)) => change,
            },
        }
    }
}

/// What stands for an object `reasoning` where there is `reasoning_effort` alone. None for one that asks for nothing; one that asks for
/// what an effort cannot say is left as it is, for the provider to refuse.
fn effort<'m>(reasoning: &'m str, off: (&'static str, &'static str)) -> Option<(&'m str, Cow<'m, str>)> {
    let object: RawObject<'m> = serde_json::from_str(reasoning).ok()?;
    let member = |name| object.get(name).map(RawValue::get).filter(|value| *value != "null");
    match (member("effort"), member("enabled"), member("max_tokens")) {
        (Some("\"none\""), ..) => Some((off.0, Cow::Borrowed(off.1))),
        (Some(effort), ..) => Some(("reasoning_effort", Cow::Borrowed(effort))),
        // It knows the object, too.
        (None, Some(_), _) if off.0 == "reasoning" => Some(("reasoning", Cow::Borrowed(reasoning))),
        (None, Some("false"), _) => Some((off.0, Cow::Borrowed(off.1))),
        (None, _, Some(_)) => Some(("reasoning", Cow::Borrowed(reasoning))),
        (None, _, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(differences: Differences, name: &str, value: &str) -> Option<(String, String)> {
        differences.apply(name, value).map(|(name, value)| (name.to_owned(), value.into_owned()))
    }

    #[test]
    fn an_effort_is_a_member_of_its_own() {
        for (object, name, value) in [
            (r#"{"effort":"l\u006fw","max_tokens":9}"#, "reasoning_effort", r#""l\u006fw""#),
            (r#"{"effort":null,"enabled":false}"#, "reasoning_effort", r#""none""#),
            (r#"{"effort":"none"}"#, "reasoning_effort", r#""none""#),
            (r#"{"max_tokens": 1024}"#, "reasoning", r#"{"max_tokens": 1024}"#),
        ] {
            let expected = Some((name.to_owned(), value.to_owned()));
            assert_eq!(sent(Differences::EFFORT, "reasoning", object), expected, "{object}");
            let as_it_came = Some(("reasoning".to_owned(), object.to_owned()));
            assert_eq!(sent(Differences::NONE, "reasoning", object), as_it_came);
        }
        let together =
            Differences { no_reasoning: Some(("reasoning", "{\"enabled\":false}")), ..Differences::NONE };
        for (object, name, value) in [
            (r#"{"enabled": true}"#, "reasoning", r#"{"enabled": true}"#),
            (r#"{"effort":"none"}"#, "reasoning", r#"{"enabled":false}"#),
            (r#"{"effort":"low"}"#, "reasoning_effort", r#""low""#),
        ] {
            assert_eq!(
                sent(together, "reasoning", object),
                Some((name.to_owned(), value.to_owned())),
                "{object}"
            );
        }
        for nothing in ["null", "{}", r#"{"enabled":true,"display":"summarized"}"#] {
            assert_eq!(sent(Differences::EFFORT, "reasoning", nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_strict_server_gets_a_history_without_what_it_refuses() {
        let history = r#"[{"role":"user", "content":"\u0061"},
            {"role":"assistant","content":null,"refusal":null,"reasoning":"x","reasoning_content":"x","reasoning_details":[{}],"extra_content":{},"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{\"n\":1.0}"},"extra_content":{}}, {"id":"d", "type":"function"}]},
            {"role":"tool","tool_call_id":"c","content":"no","is_error":true}]"#;
        let expected = r#"[{"role":"user", "content":"\u0061"},{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"n\":1.0}"}},{"id":"d", "type":"function"}]},{"role":"tool","tool_call_id":"c","content":"no"}]"#;
        let (_, messages) = Differences::STRICT.apply("messages", history).unwrap();
        assert_eq!(messages, expected);
        assert!(matches!(Differences::EFFORT.apply("messages", history), Some((_, Cow::Borrowed(_)))));
    }

    #[test]
    fn a_history_with_nothing_to_refuse_is_not_touched() {
        for history in [
            r#"[{"role":"user","content":"reasoning", "is_error":1e400}]"#,
            r#"[ {"role":"user","content":"hi"} , {"role":"assistant","content":"\u0061","tool_calls":[{"id":"c"} ]} ]"#,
        ] {
            let sent = Differences::STRICT.apply("messages", history);
            assert!(matches!(sent, Some(("messages", Cow::Borrowed(text))) if text == history), "{history}");
        }
    }
}
