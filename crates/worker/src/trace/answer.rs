use serde::Deserialize;

/// A longer word is none of those that providers define.
const LONGEST: usize = 256;

/// What a result says of itself. It is a result of any endpoint: members that it has not are absent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) finish_reasons: Vec<String>,
}

#[derive(Deserialize)]
struct Members {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    /// Of Anthropic's messages.
    #[serde(default)]
    stop_reason: Option<String>,
    /// Of a Response.
    #[serde(default)]
    object: Option<String>,
    #[serde(default)]
    status: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    finish_reason: Option<String>,
}

impl Answer {
    /// Reads it; what cannot be read says nothing.
    pub(super) fn read(result: &str) -> Self {
        let Ok(members) = serde_json::from_str::<Members>(result) else { return Self::default() };
        let is_response = members.object.as_deref() == Some("response");
        let reasons = members.choices.into_iter().filter_map(|choice| choice.finish_reason);
        let reasons = reasons.chain(members.stop_reason).chain(members.status.filter(|_| is_response));
        let is_short = |text: &str| text.len() <= LONGEST;
        Self {
            id: members.id.filter(|id| is_short(id)),
            model: members.model.filter(|model| is_short(model)),
            finish_reasons: reasons.filter(|reason| is_short(reason)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_any_endpoint_is_read() {
        let reasons = |text| Answer::read(text).finish_reasons;
        let completion = r#"{"id":"c-1","model":"m-1","choices":[{"text":"x","finish_reason":"stop"},{"finish_reason":"length"}]}"#;
        assert_eq!(
            Answer::read(completion),
            Answer {
                id: Some("c-1".into()),
                model: Some("m-1".into()),
                finish_reasons: vec!["stop".to_owned(), "length".to_owned()]
            }
        );
        assert_eq!(reasons(r#"{"type":"message","stop_reason":"end_turn"}"#), ["end_turn"]);
        assert_eq!(reasons(r#"{"object":"response","status":"completed"}"#), ["completed"]);
        assert_eq!(reasons(r#"{"object":"list","status":"x","data":[]}"#), [""; 0]);
        for none in ["", "[]", "null", r#"{"choices":3}"#] {
            assert_eq!(Answer::read(none), Answer::default(), "{none}");
        }
    }
}
