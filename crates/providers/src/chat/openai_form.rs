//! Chat in OpenAI's form: <https://platform.openai.com/docs/api-reference/chat/create>

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::request::{ChatRequest, Message, Part, ReasoningDetail, ResponseFormat, ToolCall, ToolChoice};
use super::{ChatChoice, ChatReply, Differences, Finish, Usage, whole};
use crate::literal::Literal;
use crate::request_body::{RequestBody, write_object};

/// Writes a request that did not come in this form.
pub(crate) fn openai_request(model: &str, chat: &ChatRequest<'_>, differences: Differences) -> String {
    let mut body = RequestBody::new(&["prompt", "n", "echo"]);
    body.model(model);
    let mut messages = "[".to_owned();
    for message in &chat.messages {
        if messages.len() > 1 {
            messages.push(',');
        }
        write_message(&mut messages, message, differences.thought());
    }
    messages.push(']');
    body.own("messages", &messages);
    if !chat.tools.is_empty() {
        let tools: Vec<String> = chat
            .tools
            .iter()
            .map(|tool| {
                let strict = tool.strict.map(|strict| strict.to_string());
                let function = write_object(&[
                    ("name", Some(tool.name.as_json())),
                    ("description", tool.description.as_ref().map(Literal::as_json)),
                    ("parameters", tool.parameters),
                    ("strict", strict.as_deref()),
                ]);
                format!("{{\"type\":\"function\",\"function\":{function}}}")
            })
            .collect();
        body.own("tools", &format!("[{}]", tools.join(",")));
    }
    if let Some(choice) = &chat.tool_choice {
        let choice = match choice {
            ToolChoice::Auto => Cow::Borrowed("\"auto\""),
            ToolChoice::None => Cow::Borrowed("\"none\""),
            ToolChoice::Required => differences
                .apply("tool_choice", "\"required\"")
                .map_or(Cow::Borrowed("\"required\""), |(_, value)| value),
            ToolChoice::Function(name) => {
                Cow::Owned(format!("{{\"type\":\"function\",\"function\":{{\"name\":{}}}}}", name.as_json()))
            }
        };
        body.own("tool_choice", &choice);
    }
    if let Some(parallel) = chat.parallel_tool_calls {
        body.own("parallel_tool_calls", if parallel { "true" } else { "false" });
    }
    match &chat.response_format {
        Some(ResponseFormat::JsonObject) => body.own("response_format", "{\"type\":\"json_object\"}"),
        Some(ResponseFormat::JsonSchema { name, description, schema, strict }) => {
            let strict = strict.map(|strict| strict.to_string());
            let schema = write_object(&[
                ("name", Some(name.as_json())),
                ("description", description.as_ref().map(Literal::as_json)),
                ("schema", *schema),
                ("strict", strict.as_deref()),
            ]);
            body.own("response_format", &format!("{{\"type\":\"json_schema\",\"json_schema\":{schema}}}"));
        }
        None => {}
    }
    if let Some(effort) = &chat.reasoning.effort {
        body.own("reasoning_effort", Literal::of(effort).as_json());
    }
    if let Some(n) = chat.n {
        body.own("n", &n.to_string());
    }
    // Whoever has chat alone knows the older name, and not all know `max_completion_tokens`.
    let others = [
        ("max_tokens", chat.max_tokens),
        ("stop", chat.stop),
        ("user", chat.user.as_ref().map(Literal::as_json)),
    ];
    let others = others.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let members = chat.members.iter().map(|(name, value)| (name.as_ref(), *value));
    for (name, value) in others.chain(members) {
        differences.add(&mut body, name, value);
    }
    body.finish()
}

/// `thought` is the member for what an assistant thought, where there is one.
fn write_message(out: &mut String, message: &Message<'_>, thought: Option<&str>) {
    let (role, parts) = match message {
        Message::System(parts) => ("system", parts),
        Message::User(parts) => ("user", parts),
        Message::Assistant(said) => ("assistant", &said.parts),
        Message::Tool { parts, .. } => ("tool", parts),
    };
    out.push_str(&format!("{{\"role\":\"{role}\",\"content\":"));
    match parts.as_slice() {
        [] => out.push_str(if role == "assistant" { "null" } else { "\"\"" }),
        [Part::Text(text)] => out.push_str(text.as_json()),
        parts => {
            out.push('[');
            for (place, part) in parts.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_part(out, part);
            }
            out.push(']');
        }
    }
    match message {
        Message::Assistant(said) => {
            if let Some(refusal) = &said.refusal {
                out.push_str(&format!(",\"refusal\":{}", refusal.as_json()));
            }
            let texts = said.reasoning.iter().filter_map(|detail| match detail {
                ReasoningDetail::Text { text, .. } | ReasoningDetail::Summary(text) => Some(text),
                ReasoningDetail::Encrypted { .. } => None,
            });
            let text = Literal::concat(texts);
            if let Some(name) = thought.filter(|_| !text.is_empty()) {
                out.push_str(&format!(",\"{name}\":{}", text.as_json()));
            }
            if !said.tool_calls.is_empty() {
                let calls: Vec<String> = said.tool_calls.iter().map(write_call).collect();
                out.push_str(&format!(",\"tool_calls\":[{}]", calls.join(",")));
            }
        }
        Message::Tool { call_id, .. } => out.push_str(&format!(",\"tool_call_id\":{}", call_id.as_json())),
        Message::System(_) | Message::User(_) => {}
    }
    out.push('}');
}

fn write_call(call: &ToolCall<'_>) -> String {
    format!(
        "{{\"id\":{},\"type\":\"function\",\"function\":{{\"name\":{},\"arguments\":{}}}}}",
        call.id.as_json(),
        call.name.as_json(),
        call.arguments.as_json()
    )
}

fn write_part(out: &mut String, part: &Part<'_>) {
    let part = match part {
        Part::Text(text) => format!("{{\"type\":\"text\",\"text\":{}}}", text.as_json()),
        Part::Image { url, detail } => {
            let image = write_object(&[
                ("url", Some(url.as_json())),
                ("detail", detail.as_ref().map(Literal::as_json)),
            ]);
            format!("{{\"type\":\"image_url\",\"image_url\":{image}}}")
        }
        Part::Audio { data, format } => format!(
            "{{\"type\":\"input_audio\",\"input_audio\":{{\"data\":{},\"format\":{}}}}}",
            data.as_json(),
            format.as_json()
        ),
        Part::File { data, url, id, name } => {
            let file = write_object(&[
                ("file_data", data.as_ref().map(Literal::as_json)),
                ("file_url", url.as_ref().map(Literal::as_json)),
                ("file_id", id.as_ref().map(Literal::as_json)),
                ("filename", name.as_ref().map(Literal::as_json)),
            ]);
            format!("{{\"type\":\"file\",\"file\":{file}}}")
        }
    };
    out.push_str(&part);
}

/// A list of stop sequences from a client's `stop`, which may be a lone one.
pub(crate) fn stop_list(stop: &str) -> String {
    if stop.starts_with('"') { format!("[{stop}]") } else { stop.to_owned() }
}

#[derive(Deserialize)]
struct ChatCompletion<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    created: Option<f64>,
    #[serde(default)]
    model: Option<String>,
    #[serde(borrow)]
    choices: Vec<MessageChoice<'a>>,
    #[serde(default)]
    usage: Option<TokenCounts>,
}

#[derive(Deserialize)]
struct MessageChoice<'a> {
    #[serde(borrow)]
    message: ReplyMessage<'a>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct ReplyMessage<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<Literal<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Literal<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Literal<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    annotations: Option<Vec<&'a RawValue>>,
}

/// Parts of a content that is a list, as Mistral's is: texts and thoughts.
/// <https://docs.mistral.ai/capabilities/reasoning>
#[derive(Deserialize)]
struct ContentPart<'a> {
    #[serde(borrow, default)]
    text: Option<Literal<'a>>,
    #[serde(borrow, default)]
    thinking: Vec<ThoughtPart<'a>>,
}

#[derive(Deserialize)]
struct ThoughtPart<'a> {
    #[serde(borrow, default)]
    text: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct TokenCounts {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl TokenCounts {
    fn usage(self) -> Usage {
        let (prompt_tokens, completion_tokens) =
            (self.prompt_tokens.unwrap_or(0), self.completion_tokens.unwrap_or(0));
        Usage {
            total_tokens: self.total_tokens.unwrap_or(prompt_tokens.saturating_add(completion_tokens)),
            cached_tokens: self.prompt_tokens_details.and_then(|details| details.cached_tokens),
            reasoning_tokens: self.completion_tokens_details.and_then(|details| details.reasoning_tokens),
            ..Usage::of(prompt_tokens, completion_tokens)
        }
    }
}

/// Reads an answer of chat.
///
/// # Errors
/// What is wrong with it. A message without content is an empty text.
pub(crate) fn openai_reply(answer: &str) -> Result<ChatReply, String> {
    let answer: ChatCompletion<'_> =
        serde_json::from_str(answer).map_err(|_| "its answer is not a chat completion".to_owned())?;
    if answer.choices.is_empty() {
        return Err("its answer has no choices".to_owned());
    }
    if answer.choices.iter().any(|choice| choice.finish_reason.as_deref() == Some("error")) {
        return Err("it ended a completion with an error".to_owned());
    }
    Ok(ChatReply {
        id: answer.id,
        created: answer.created.map(whole),
        model: answer.model,
        choices: answer.choices.into_iter().map(MessageChoice::read).collect::<Result<_, _>>()?,
        usage: answer.usage.map(TokenCounts::usage),
    })
}

impl MessageChoice<'_> {
    fn read(self) -> Result<ChatChoice, String> {
        let message = self.message;
        let mut thoughts = Vec::new();
        let content = match message.content.map(RawValue::get) {
            None | Some("null") => None,
            Some(json) => match Literal::from_json(json) {
                Some(text) => Some(text.into_owned()),
                None => {
                    let parts: Vec<ContentPart<'_>> =
                        serde_json::from_str(json).map_err(|_| "its answer has content that is no text")?;
                    let thinking = parts.iter().flat_map(|part| &part.thinking);
                    thoughts.extend(thinking.filter_map(|part| part.text.clone()));
                    Some(Literal::concat(parts.iter().filter_map(|part| part.text.as_ref())))
                }
            },
        };
        let thought = message.reasoning.or(message.reasoning_content);
        let thought = thought.unwrap_or_else(|| Literal::concat(&thoughts));
        let calls = message.tool_calls.map_or(Some(Vec::new()), |calls| super::wire::tool_calls(calls.get()));
        let calls = calls.ok_or("its answer has tool calls that cannot be read")?;
        Ok(ChatChoice {
            content,
            refusal: message.refusal.map(Literal::into_owned),
            tool_calls: calls.into_iter().map(ToolCall::into_owned).collect(),
            reasoning: Some(thought)
                .filter(|text| !text.is_empty())
                .map(|text| ReasoningDetail::Text { text: text.into_owned(), signature: None })
                .into_iter()
                .collect(),
            annotations: message.annotations.into_iter().flatten().map(|raw| raw.get().to_owned()).collect(),
            finish: self.finish_reason.as_deref().map(Finish::from_word),
            ..ChatChoice::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(choice: &ChatChoice) -> String {
        choice.content.as_ref().map(|content| content.decode().into_owned()).unwrap_or_default()
    }

    #[test]
    fn an_answer_without_text_is_an_empty_one() {
        for message in
            ["{}", r#"{"content":null}"#, r#"{"content":""}"#, r#"{"content":[{"type":"thinking"}]}"#]
        {
            let answer = format!(r#"{{"choices":[{{"message":{message},"finish_reason":"stop"}}]}}"#);
            let reply = openai_reply(&answer).unwrap();
            assert_eq!((text(&reply.choices[0]).as_str(), reply.choices[0].finish), ("", Some(Finish::Stop)));
        }
        let parts = r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},"finish_reason":"model_length"}]}"#;
        let reply = openai_reply(parts).unwrap();
        assert_eq!((text(&reply.choices[0]).as_str(), reply.choices[0].finish), ("ab", Some(Finish::Length)));
        let thought = r#"{"choices":[{"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"so"}]},{"type":"text","text":"a"}]}}]}"#;
        let reply = openai_reply(thought).unwrap();
        let so = ReasoningDetail::Text { text: Literal::of("so"), signature: None };
        assert_eq!((text(&reply.choices[0]).as_str(), &reply.choices[0].reasoning), ("a", &vec![so]));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for (answer, why) in [
            ("[]", "not a chat completion"),
            (r#"{"choices":[]}"#, "no choices"),
            (r#"{"choices":null}"#, "not a chat completion"),
            (r#"{"choices":[{"text":"x"}]}"#, "not a chat completion"),
            (r#"{"choices":[{"message":{"content":"half"},"finish_reason":"error"}]}"#, "with an error"),
            (r#"{"choices":[{"message":{"content":{"text":"x"}}}]}"#, "no text"),
            (
                r#"{"choices":[{"message":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":{}}}]}}]}"#,
                "tool calls that cannot be read",
            ),
        ] {
            assert!(openai_reply(answer).unwrap_err().contains(why), "{answer}");
        }
    }

    #[test]
    fn a_request_comes_out_as_it_went_in() {
        let body = r#"{"messages":[{"role":"system","content":"s\u00e9"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://x/y","detail":"low"}}]},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"n\": 1e400}"}}]},{"role":"tool","content":"42","tool_call_id":"c1"}],"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"b":1.0,"a":[1e400]},"strict":true}}],"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false,"response_format":{"type":"json_schema","json_schema":{"name":"r","schema":{"z":1,"a":2}}},"reasoning_effort":"low","n":2,"max_tokens":5,"stop":["x"],"user":"u","temperature":0.70}"#;
        let chat = ChatRequest::parse(body).unwrap();
        let model = format!("{{\"model\":\"m\",{}", body.strip_prefix('{').unwrap());
        assert_eq!(openai_request("m", &chat, Differences::NONE), model);
    }
}
