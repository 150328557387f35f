//! What the benchmark's provider answers, in the form of each provider that it stands for.

use bytes::Bytes;

/// The shortest answer that is a `text_completion`.
pub(crate) const SHORTEST_ANSWER: usize = BEFORE_TEXT.len() + AFTER_TEXT.len();

const BEFORE_TEXT: &str = r#"{"id":"cmpl-hermod-bench","object":"text_completion","created":1730000000,"model":"echo","choices":[{"text":""#;
const AFTER_TEXT: &str = r#"","index":0,"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}"#;

/// A path, and what stands before and after the text of its answer.
type Form = (&'static str, &'static str, &'static str);

/// Of OpenAI, Anthropic, Gemini, Bedrock's Converse, Cohere.
const CHATS: [Form; 5] = [
    (
        "/v1/chat/completions",
        r#"{"id":"chatcmpl-hermod-bench","object":"chat.completion","created":1730000000,"model":"echo","choices":[{"index":0,"message":{"role":"assistant","content":""#,
        r#"","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}"#,
    ),
    (
        "/v1/messages",
        r#"{"id":"msg_hermod_bench","type":"message","role":"assistant","model":"echo","content":[{"type":"text","text":""#,
        r#""}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1}}"#,
    ),
    (
        "/v1beta/models/{model}",
        r#"{"candidates":[{"content":{"parts":[{"text":""#,
        r#""}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":1,"totalTokenCount":6},"modelVersion":"echo","responseId":"hermod-bench"}"#,
    ),
    (
        "/model/{model}/converse",
        r#"{"output":{"message":{"role":"assistant","content":[{"text":""#,
        r#""}]}},"stopReason":"end_turn","usage":{"inputTokens":5,"outputTokens":1,"totalTokens":6},"metrics":{"latencyMs":1}}"#,
    ),
    (
        "/v2/chat",
        r#"{"id":"hermod-bench","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":""#,
        r#""}]},"usage":{"billed_units":{"input_tokens":5,"output_tokens":1},"tokens":{"input_tokens":5,"output_tokens":1}}}"#,
    ),
];

/// A `text_completion` of so many bytes.
pub(crate) fn completion(bytes: usize) -> Bytes {
    format!("{BEFORE_TEXT}{}{AFTER_TEXT}", text(bytes)).into()
}

/// The path and the answer of each form of chat, with the text of [`completion`].
pub(super) fn chats(bytes: usize) -> impl Iterator<Item = (&'static str, Bytes)> {
    let text = text(bytes);
    CHATS.iter().map(move |(path, before, after)| (*path, format!("{before}{text}{after}").into()))
}

fn text(bytes: usize) -> String {
    "words ".chars().cycle().take(bytes.saturating_sub(SHORTEST_ANSWER)).collect()
}

/// So many bytes of what stands for audio: no two neighbours are alike.
pub(crate) fn audio(bytes: usize) -> Bytes {
    (0..=250_u8).cycle().take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_of_its_length() {
        let answer = completion(1024);
        assert_eq!(answer.len(), 1024);
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        let text = answer["choices"][0]["text"].as_str().unwrap();
        assert!(text.len() > 500);
        for (path, answer) in chats(1024) {
            let _: serde_json::Value = serde_json::from_slice(&answer).unwrap();
            assert!(String::from_utf8_lossy(&answer).contains(text), "{path}");
        }
    }
}
