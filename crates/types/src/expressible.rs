//! Which requests a target cannot serve, told before anybody is asked.

use serde_json::value::RawValue;

use crate::RawObject;
use crate::config::{Bounds, Form, Kind};

/// The most calls that one request may become where a prompt is a call: work is bounded everywhere.
const MAX_CALLS: u64 = 2048;

/// Why a kind of provider cannot serve a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Inexpressible {
    /// The member of the request at fault.
    pub param: &'static str,
    /// What is wrong with it there.
    pub message: String,
}

/// Why a provider of this kind cannot serve the request, if it cannot.
///
/// `body` is that of a [`CompletionRequest`](crate::CompletionRequest). Members whose value changes nothing are no reason, and
/// neither are `seed` and `user`, which promise nothing.
pub fn inexpressible(kind: Kind, body: &str) -> Option<Inexpressible> {
    let Form::PerPrompt { lacks, bounds, .. } = kind.form() else { return None };
    let object: RawObject<'_> = serde_json::from_str(body).ok()?;
    let member = |wanted: &str| object.members().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let n = member("n").filter(|n| n.get() != "null").map_or("1", RawValue::get);
    let found = lacks
        .iter()
        .copied()
        .find(|name| member(name).is_some_and(|value| !changes_nothing(name, value.get(), n)));
    if let Some(param) = found {
        let message = format!("`{param}` cannot be said in the API of {kind} that serves text completions");
        return Some(Inexpressible { param, message });
    }
    if let Some(reason) = out_of_bounds(kind, &bounds, member) {
        return Some(reason);
    }
    let refuse = |param, message| Some(Inexpressible { param, message });
    let prompts = match member("prompt").map(RawValue::get) {
        Some(list) if list.starts_with('[') => match serde_json::from_str::<Vec<Text>>(list) {
            Ok(prompts) => prompts.len(),
            Err(_) => return refuse("prompt", format!("{kind} takes a prompt as text and not as token ids")),
        },
        Some(_) | None => 1,
    };
    match n.parse::<u64>() {
        Ok(n) if n > 0 && (prompts as u64).saturating_mul(n) <= MAX_CALLS => None,
        Ok(0) | Err(_) => refuse("n", format!("{kind} takes an `n` of 1 to {MAX_CALLS}")),
        Ok(_) => {
            let message = format!("prompts × `n` is more than {MAX_CALLS}, and each is a call of {kind}");
            refuse("prompt", message)
        }
    }
}

/// What is asked for beyond what the provider takes, if anything is.
fn out_of_bounds<'a>(
    kind: Kind,
    bounds: &Bounds,
    member: impl Fn(&str) -> Option<&'a RawValue>,
) -> Option<Inexpressible> {
    for &(param, least, greatest) in bounds.numbers {
        let number = member(param).and_then(|value| value.get().parse::<f64>().ok());
        if number.is_some_and(|number| !(least..=greatest).contains(&number)) {
            let message = format!("{kind} takes a `{param}` of {least} to {greatest}");
            return Some(Inexpressible { param, message });
        }
    }
    let stop = member("stop")?.get();
    let stops: Vec<String> = serde_json::from_str(stop)
        .or_else(|_| serde_json::from_str(stop).map(|lone: String| vec![lone]))
        .ok()?;
    let refuse = |message| Some(Inexpressible { param: "stop", message });
    if stops.len() > bounds.stops {
        return refuse(format!("{kind} takes up to {} stop sequences", bounds.stops));
    }
    if !bounds.blank_stops && stops.iter().any(|stop| stop.trim().is_empty()) {
        return refuse(format!("{kind} takes no stop sequence of white space alone"));
    }
    None
}

/// Whether the member has a value with which the answer is as without it.
fn changes_nothing(name: &str, value: &str, n: &str) -> bool {
    let is_zero = || value.parse::<f64>().is_ok_and(|number| number == 0.0);
    match (name, value) {
        (_, "null") | ("suffix", "\"\"") | ("stop", "[]") => true,
        ("best_of", _) => value == n,
        ("frequency_penalty" | "presence_penalty", _) => is_zero(),
        ("logit_bias", _) => value.trim_start_matches('{').trim_start().starts_with('}'),
        _ => false,
    }
}

/// A string that is not kept.
struct Text;

impl<'de> serde::Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer).map(|_| Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: Kind, body: &str) -> Option<&'static str> {
        inexpressible(kind, body).map(|reason| reason.param)
    }

    #[test]
    fn a_native_provider_judges_for_itself() {
        let body = r#"{"prompt":[1,2],"suffix":"x","logprobs":5,"best_of":3,"n":99999}"#;
        for kind in Kind::all().filter(|kind| kind.form() == Form::Native) {
            assert_eq!(fault(kind, body), None, "{kind}");
        }
    }

    #[test]
    fn what_chat_cannot_say_is_named() {
        for (member, param) in [
            (r#""prompt":[1,2]"#, "prompt"),
            (r#""prompt":[[1],[2]]"#, "prompt"),
            (r#""prompt":"x","suffix":"y""#, "suffix"),
            (r#""prompt":"x","logprobs":0"#, "logprobs"),
            (r#""prompt":"x","best_of":2"#, "best_of"),
            (r#""prompt":"x","logit_bias":{"1":5}"#, "logit_bias"),
            (r#""prompt":"x","n":0"#, "n"),
            (r#""prompt":"x","n":-1"#, "n"),
            (r#""prompt":"x","n":99999999999999999999"#, "n"),
            (r#""prompt":["x","y"],"n":1025"#, "prompt"),
        ] {
            assert_eq!(fault(Kind::Groq, &format!("{{{member}}}")), Some(param), "{member}");
        }
        assert_eq!(fault(Kind::Mistral, r#"{"prompt":"x","suffix":"y"}"#), None, "that is what it is for");
        assert_eq!(
            fault(Kind::Mistral, r#"{"prompt":"x","frequency_penalty":0.5}"#),
            Some("frequency_penalty")
        );
    }

    #[test]
    fn what_is_beyond_a_providers_bounds_is_named() {
        for (kind, member, param) in [
            (Kind::Anthropic, r#""temperature":1.01"#, Some("temperature")),
            (Kind::Anthropic, r#""temperature":1.0"#, None),
            (Kind::Anthropic, r#""stop":["END","\n\t"]"#, Some("stop")),
            (Kind::Anthropic, r#""stop":"\n""#, Some("stop")),
            (Kind::Anthropic, r#""stop":"\nHuman:""#, None),
            (Kind::Cohere, r#""stop":["1","2","3","4","5"]"#, None),
            (Kind::Cohere, r#""stop":["1","2","3","4","5","6"]"#, Some("stop")),
            (Kind::Cohere, r#""stop":"\n""#, None),
            (Kind::Cohere, r#""presence_penalty":-0.5"#, Some("presence_penalty")),
            (Kind::Cohere, r#""frequency_penalty":0.5"#, None),
            (Kind::Xai, r#""temperature":2,"stop":["1","2","3","4","5","6","\n"]"#, None),
        ] {
            assert_eq!(fault(kind, &format!(r#"{{"prompt":"x",{member}}}"#)), param, "{kind} {member}");
        }
    }

    #[test]
    fn a_value_that_changes_nothing_is_no_reason() {
        let body = r#"{"prompt":["x","y"],"n":2,"best_of":2,"suffix":"","logprobs":null,"logit_bias":{ },
            "frequency_penalty":0.0,"presence_penalty":-0,"stop":[],"seed":1,"user":"u","echo":true}"#;
        for kind in Kind::all() {
            assert_eq!(fault(kind, body), None, "{kind}");
        }
    }
}
