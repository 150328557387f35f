//! Members of OpenAI's chat where a provider's form has none for them.

use hermod_types::changes_nothing;

use super::Unsendable;
use crate::request_body::RequestBody;

/// Adds a member of the client's to a body of another form: what asks for nothing that an answer shows, or for what is done anyway, is
/// left out, and what is none of OpenAI's is the provider's own.
///
/// # Errors
/// If it cannot be said.
pub(super) fn add<'m>(body: &mut RequestBody<'m>, name: &'m str, value: &'m str) -> Result<(), Unsendable> {
    match name {
        "user"
        | "safety_identifier"
        | "prompt_cache_key"
        | "prompt_cache_retention"
        | "metadata"
        | "store"
        | "seed"
        | "service_tier"
        // Anthropic's, of what may be kept.
        | "cache_control" => {}
        "logprobs"
        | "top_logprobs"
        | "logit_bias"
        | "frequency_penalty"
        | "presence_penalty"
        | "modalities"
        | "verbosity"
        | "truncation"
        | "functions"
        | "function_call"
        | "web_search_options"
        | "audio"
        | "prediction" => {
            if !changes_nothing(name, value) {
                return Err(Unsendable::Member(name.to_owned()));
            }
        }
        _ => body.client(name, value),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_an_answer_is_not_left_out() {
        let refused = |name: &str| Err(Unsendable::Member(name.to_owned()));
        let left_out = Ok("{}".to_owned());
        for (name, value, done) in [
            ("store", "true", left_out.clone()),
            ("seed", "1", left_out.clone()),
            ("service_tier", r#""flex""#, left_out.clone()),
            ("frequency_penalty", "0.0", left_out.clone()),
            ("frequency_penalty", "0.5", refused("frequency_penalty")),
            ("logit_bias", "{ }", left_out.clone()),
            ("logit_bias", r#"{"1":5}"#, refused("logit_bias")),
            ("modalities", r#"[ "text" ]"#, left_out.clone()),
            ("modalities", r#"["text","audio"]"#, refused("modalities")),
            ("logprobs", "false", left_out),
            ("logprobs", "true", refused("logprobs")),
            ("verbosity", r#""low""#, refused("verbosity")),
            ("web_search_options", "{}", refused("web_search_options")),
            ("safetySettings", "[]", Ok(r#"{"safetySettings":[]}"#.to_owned())),
        ] {
            let mut body = RequestBody::nested();
            assert_eq!(add(&mut body, name, value).map(|()| body.finish()), done, "{name} {value}");
        }
    }
}
