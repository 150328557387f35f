//! Text completions that are asked for prompt by prompt.

use serde_json::value::RawValue;

use super::Inexpressible;
use crate::RawObject;
use crate::config::{Bounds, Form, ProviderKind};
use crate::shape::each_string;

pub(super) fn inexpressible(kind: ProviderKind, body: &str, max_calls: u64) -> Option<Inexpressible> {
    let Form::PerPrompt { lacks, bounds, .. } = kind.form() else { return None };
    let object: RawObject<'_> = serde_json::from_str(body).ok()?;
    let n = object.get("n").filter(|n| n.get() != "null").map_or("1", RawValue::get);
    let found = lacks
        .iter()
        .copied()
        .find(|name| object.get(name).is_some_and(|value| !changes_nothing(name, value.get(), n)));
    if let Some(param) = found {
        let message = format!("`{param}` cannot be said in the API of {kind} that serves text completions");
        return Some(Inexpressible::member(param, message));
    }
    if let Some(reason) = out_of_bounds(kind, &bounds, &object) {
        return Some(reason);
    }
    let refuse = |param: &str, message: String| Some(Inexpressible::member(param, message));
    let mut prompts = 0_u64;
    let prompt = object.get("prompt").map_or("\"\"", RawValue::get);
    if !each_string(prompt, |_| prompts += 1) {
        return refuse("prompt", format!("{kind} takes a prompt as text and not as token ids"));
    }
    let n = n.parse::<u64>().unwrap_or(if n.starts_with('-') { 0 } else { u64::MAX });
    if n == 0 {
        return refuse("n", format!("{kind} takes an `n` of 1 or more"));
    }
    let calls = prompts.saturating_mul(n);
    if calls <= max_calls {
        return None;
    }
    let param = if prompts > max_calls { "prompt" } else { "n" };
    let message = format!(
        "prompts × `n` is {calls}; {kind} is asked prompt by prompt, and the limit (HERMOD_MAX_CALLS) is {max_calls}"
    );
    refuse(param, message)
}

/// What is asked for beyond what the provider takes, if anything is.
pub(super) fn out_of_bounds(
    kind: ProviderKind,
    bounds: &Bounds,
    object: &RawObject<'_>,
) -> Option<Inexpressible> {
    for &(param, least, greatest) in bounds.numbers {
        let number = object.get(param).and_then(|value| value.get().parse::<f64>().ok());
        if number.is_some_and(|number| !(least..=greatest).contains(&number)) {
            let message = format!("{kind} takes a `{param}` of {least} to {greatest}");
            return Some(Inexpressible::member(param, message));
        }
    }
    stops(kind, bounds, object.get("stop")?.get()).map(|message| Inexpressible::member("stop", message))
}

/// What is wrong with stop sequences.
pub(super) fn stops(kind: ProviderKind, bounds: &Bounds, list: &str) -> Option<String> {
    let (mut stops, mut is_any_blank) = (0, false);
    each_string(list, |stop| {
        stops += 1;
        is_any_blank |= stop.trim().is_empty();
    });
    if stops > bounds.stops {
        return Some(format!("{kind} takes up to {} stop sequences", bounds.stops));
    }
    if !bounds.blank_stops && is_any_blank {
        return Some(format!("{kind} takes no stop sequence of white space alone"));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: ProviderKind, body: &str) -> Option<String> {
        inexpressible(kind, body, 256).and_then(|reason| reason.param)
    }

    #[test]
    fn a_native_provider_judges_for_itself() {
        let body = r#"{"prompt":[1,2],"suffix":"x","logprobs":5,"best_of":3,"n":99999}"#;
        for kind in ProviderKind::all().filter(|kind| kind.form() == Form::Native) {
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
            (r#""prompt":["x","y"],"n":129"#, "n"),
            (r#""prompt":"x","n":257"#, "n"),
        ] {
            assert_eq!(
                fault(ProviderKind::Groq, &format!("{{{member}}}")).as_deref(),
                Some(param),
                "{member}"
            );
        }
        assert_eq!(
            fault(ProviderKind::Mistral, r#"{"prompt":"x","suffix":"y"}"#),
            None,
            "that is what it is for"
        );
        assert_eq!(
            fault(ProviderKind::Mistral, r#"{"prompt":"x","frequency_penalty":0.5}"#).as_deref(),
            Some("frequency_penalty")
        );
    }

    #[test]
    fn calls_are_bounded_where_a_prompt_is_a_call() {
        let body = |prompts: usize, n: u64| {
            format!(r#"{{"prompt":[{}],"n":{n}}}"#, vec![r#""x""#; prompts].join(","))
        };
        for (prompts, n, param) in [
            (1, 256, None),
            (256, 1, None),
            (128, 2, None),
            (128, 3, Some("n")),
            (257, 1, Some("prompt")),
            (257, 2, Some("prompt")),
        ] {
            assert_eq!(fault(ProviderKind::Groq, &body(prompts, n)).as_deref(), param, "{prompts} × {n}");
            assert_eq!(fault(ProviderKind::OpenAi, &body(prompts, n)), None, "it is one call");
        }
        let reason = inexpressible(ProviderKind::Groq, &body(3, 2), 5).unwrap();
        assert!(reason.message.contains("is 6;") && reason.message.contains("(HERMOD_MAX_CALLS) is 5"));
        assert_eq!(inexpressible(ProviderKind::Groq, &body(3, 2), 6), None);
    }

    #[test]
    fn what_is_beyond_a_providers_bounds_is_named() {
        for (kind, member, param) in [
            (ProviderKind::Anthropic, r#""temperature":1.01"#, Some("temperature")),
            (ProviderKind::Anthropic, r#""temperature":1.0"#, None),
            (ProviderKind::Anthropic, r#""stop":["END","\n\t"]"#, Some("stop")),
            (ProviderKind::Anthropic, r#""stop":"\n""#, Some("stop")),
            (ProviderKind::Anthropic, r#""stop":"\nHuman:""#, None),
            (ProviderKind::Cohere, r#""stop":["1","2","3","4","5"]"#, None),
            (ProviderKind::Cohere, r#""stop":["1","2","3","4","5","6"]"#, Some("stop")),
            (ProviderKind::Cohere, r#""stop":"\n""#, None),
            (ProviderKind::Cohere, r#""presence_penalty":-0.5"#, Some("presence_penalty")),
            (ProviderKind::Cohere, r#""frequency_penalty":0.5"#, None),
            (ProviderKind::Xai, r#""temperature":2,"stop":["1","2","3","4","5","6","\n"]"#, None),
        ] {
            assert_eq!(
                fault(kind, &format!(r#"{{"prompt":"x",{member}}}"#)).as_deref(),
                param,
                "{kind} {member}"
            );
        }
    }

    #[test]
    fn a_value_that_changes_nothing_is_no_reason() {
        let body = r#"{"prompt":["x","y"],"n":2,"best_of":2,"suffix":"","logprobs":null,"logit_bias":{ },
            "frequency_penalty":0.0,"presence_penalty":-0,"stop":[],"seed":1,"user":"u","echo":true}"#;
        for kind in ProviderKind::all() {
            assert_eq!(fault(kind, body), None, "{kind}");
        }
    }
}
