//! Chat in OpenAI's form: <https://platform.openai.com/docs/api-reference/chat/create>

use hermod_types::config::ProviderKind;
use serde::Deserialize;

use super::{Choice, Finish, PromptCall, Reply, Usage, whole};
use crate::request_body::RequestBody;

/// A request of chat: the prompt as the user's one message, and the client's other members as they came, less
/// what the kind lacks and what is in `without`.
pub(crate) fn openai_request(
    model: &str,
    call: &PromptCall<'_>,
    kind: ProviderKind,
    without: &[&str],
) -> String {
    let mut body = RequestBody::chat(model, call.prompt);
    if let Some(n) = call.n {
        body.own("n", &n.to_string());
    }
    for (name, value) in call.members(kind, without) {
        body.client(name, value);
    }
    body.finish()
}

/// A list of stop sequences from a client's `stop`, which may be a lone one.
pub(crate) fn stop_list(stop: &str) -> String {
    if stop.starts_with('"') { format!("[{stop}]") } else { stop.to_owned() }
}

#[derive(Deserialize)]
struct ChatCompletion {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    created: Option<f64>,
    #[serde(default)]
    model: Option<String>,
    choices: Vec<MessageChoice>,
    #[serde(default)]
    usage: Option<TokenCounts>,
}

#[derive(Deserialize)]
struct MessageChoice {
    message: Message,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<Content>,
}

/// What was said: a text, or (with Mistral) a list of parts of which some are.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
struct TokenCounts {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
}

/// Reads an answer of chat.
///
/// # Errors
/// What is wrong with it. A message without content is an empty text.
pub(crate) fn openai_reply(answer: &str) -> Result<Reply, String> {
    let answer: ChatCompletion =
        serde_json::from_str(answer).map_err(|_| "its answer is not a chat completion".to_owned())?;
    if answer.choices.is_empty() {
        return Err("its answer has no choices".to_owned());
    }
    if answer.choices.iter().any(|choice| choice.finish_reason.as_deref() == Some("error")) {
        return Err("it ended a completion with an error".to_owned());
    }
    let text = |content| match content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => parts.into_iter().filter_map(|part| part.text).collect(),
    };
    let choice = |choice: MessageChoice| Choice {
        text: text(choice.message.content),
        finish: choice.finish_reason.as_deref().map(Finish::from_word),
    };
    let usage = |usage: TokenCounts| {
        let (prompt_tokens, completion_tokens) =
            (usage.prompt_tokens.unwrap_or(0), usage.completion_tokens.unwrap_or(0));
        let total_tokens = usage.total_tokens.unwrap_or(prompt_tokens.saturating_add(completion_tokens));
        Usage { prompt_tokens, completion_tokens, total_tokens }
    };
    Ok(Reply {
        id: answer.id,
        created: answer.created.map(whole),
        model: answer.model,
        choices: answer.choices.into_iter().map(choice).collect(),
        usage: answer.usage.map(usage),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_text_is_an_empty_one() {
        for message in
            ["{}", r#"{"content":null}"#, r#"{"content":""}"#, r#"{"content":[{"type":"thinking"}]}"#]
        {
            let answer = format!(r#"{{"choices":[{{"message":{message},"finish_reason":"stop"}}]}}"#);
            let reply = openai_reply(&answer).unwrap();
            assert_eq!((reply.choices[0].text.as_str(), reply.choices[0].finish), ("", Some(Finish::Stop)));
        }
        let parts = r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},"finish_reason":"model_length"}]}"#;
        let reply = openai_reply(parts).unwrap();
        assert_eq!((reply.choices[0].text.as_str(), reply.choices[0].finish), ("ab", Some(Finish::Length)));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for (answer, why) in [
            ("[]", "not a chat completion"),
            (r#"{"choices":[]}"#, "no choices"),
            (r#"{"choices":null}"#, "not a chat completion"),
            (r#"{"choices":[{"text":"x"}]}"#, "not a chat completion"),
            (r#"{"choices":[{"message":{"content":"half"},"finish_reason":"error"}]}"#, "with an error"),
        ] {
            assert!(openai_reply(answer).unwrap_err().contains(why), "{answer}");
        }
    }
}
