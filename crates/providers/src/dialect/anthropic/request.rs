//! A chat request as Anthropic's messages: <https://platform.claude.com/docs/en/api/messages>

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hermod_types::{Document, RawObject};
use serde_json::value::RawValue;

use super::super::claude::{Thinking, thinking};
use super::super::members;
use super::super::turns::{
    BEDROCK_REASONING, CLAUDE_REASONING, Cached, FileData, each_turn, element, is_empty, lone_refusal, put,
    put_string, system, thoughts, tool_id,
};
use super::Unsendable;
use crate::chat::{
    AssistantMessage, ChatRequest, Message, Part, ReasoningDetail, ResponseFormat, ToolChoice,
};
use crate::literal::{Literal, data_url};
use crate::request_body::{RequestBody, write_object};

/// The limit of tokens where the client gives none: Bifrost's, which every model takes.
const MAX_TOKENS: &str = "4096";

/// # Errors
/// If something in it cannot be said.
pub(super) fn body(model: &str, chat: &ChatRequest<'_>) -> Result<String, Unsendable> {
    let Thinking { thinking, effort, max_tokens } = thinking(model, &chat.reasoning, chat.max_tokens)?;
    let mut body = RequestBody::new(&["prompt", "n", "echo"]);
    body.model(model);
    let cached = Cached::of(chat);
    messages(body.open("messages"), chat, &cached)?;
    let mut texts = system(&chat.messages).peekable();
    if texts.peek().is_some() {
        let out = body.open("system");
        out.push('[');
        texts.try_for_each(|part| write_parts(out, std::slice::from_ref(part), &cached))?;
        out.push(']');
    }
    if let Some(thinking) = thinking {
        body.own("thinking", &thinking);
    }
    if let Some(config) = output_config(chat, effort) {
        body.own("output_config", &config);
    }
    tools(&mut body, chat);
    if let Some(user) = user(chat) {
        body.own("metadata", &format!("{{\"user_id\":{user}}}"));
    }
    if let Some(tier @ ("\"auto\"" | "\"standard_only\"")) = chat.member("service_tier") {
        body.own("service_tier", tier);
    }
    if let Some(stop) = chat.stop_list() {
        body.own("stop_sequences", &stop);
    }
    let needed = max_tokens.map(|tokens| tokens.to_string());
    body.own("max_tokens", chat.max_tokens.or(needed.as_deref()).unwrap_or(MAX_TOKENS));
    for (name, value) in &chat.members {
        match name.as_ref() {
            "cache_control" => body.client(name, value),
            name => members::add(&mut body, name, value)?,
        }
    }
    Ok(body.finish())
}

/// As JSON. Of OpenAI's `metadata` it knows what it calls so itself.
fn user<'c>(chat: &'c ChatRequest<'_>) -> Option<&'c str> {
    chat.user.as_ref().map(Literal::as_json).or_else(|| {
        let metadata: RawObject<'_> = serde_json::from_str(chat.member("metadata")?).ok()?;
        metadata.get("user_id").map(RawValue::get)
    })
}

/// The effort, the form of the answer, and what the client has put there itself.
fn output_config(chat: &ChatRequest<'_>, effort: Option<&str>) -> Option<String> {
    let clients: Option<RawObject<'_>> =
        chat.member("output_config").and_then(|config| serde_json::from_str(config).ok());
    let mut config = RequestBody::nested();
    if let Some(effort) = effort {
        config.own("effort", &format!("\"{effort}\""));
    }
    match &chat.response_format {
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            put(
                config.open("format"),
                &["{\"type\":\"json_schema\",\"schema\":", schema.unwrap_or("{}"), "}"],
            );
        }
        Some(ResponseFormat::JsonObject) | None => {}
    }
    for (name, value) in clients.iter().flat_map(RawObject::members) {
        config.client(name, value.get());
    }
    (!config.is_empty()).then(|| config.finish())
}

/// A conversation in which tools were called need not name them:
/// <https://platform.claude.com/docs/en/release-notes/overview#february-27-2025>
fn tools(body: &mut RequestBody<'_>, chat: &ChatRequest<'_>) {
    if chat.tools.is_empty() {
        return;
    }
    let out = body.open("tools");
    out.push('[');
    for tool in &chat.tools {
        element(out);
        let strict = tool.strict.filter(|strict| *strict).map(|_| "true");
        out.push_str(&write_object(&[
            ("name", Some(tool.name.as_json())),
            ("description", tool.description.as_ref().map(Literal::as_json)),
            ("input_schema", Some(tool.parameters.unwrap_or("{\"type\":\"object\"}"))),
            ("strict", strict),
        ]));
    }
    out.push(']');
    let choice = match &chat.tool_choice {
        Some(ToolChoice::None) => Some(("none", None)),
        Some(ToolChoice::Auto) => Some(("auto", None)),
        Some(ToolChoice::Required) => Some(("any", None)),
        Some(ToolChoice::Function(name)) => Some(("tool", Some(name.as_json()))),
        None => (chat.parallel_tool_calls == Some(false)).then_some(("auto", None)),
    };
    if let Some((kind, name)) = choice {
        let single = chat.parallel_tool_calls == Some(false) && kind != "none";
        let kind = format!("\"{kind}\"");
        body.own(
            "tool_choice",
            &write_object(&[
                ("type", Some(&kind)),
                ("name", name),
                ("disable_parallel_tool_use", single.then_some("true")),
            ]),
        );
    }
}

fn messages(out: &mut String, chat: &ChatRequest<'_>, cached: &Cached<'_>) -> Result<(), Unsendable> {
    out.push('[');
    each_turn(&chat.messages, |side, turn| {
        element(out);
        put(out, &["{\"role\":\"", side.as_str(), "\",\"content\":"]);
        if let [Message::User(parts)] = turn
            && let [part @ Part::Text(text)] = parts.as_slice()
            && cached.control(part).is_none()
        {
            out.push_str(text.as_json());
        } else {
            out.push('[');
            turn.iter().try_for_each(|message| write_message(out, message, cached))?;
            out.push(']');
        }
        out.push('}');
        Ok(())
    })?;
    out.push(']');
    Ok(())
}

fn write_message(out: &mut String, message: &Message<'_>, cached: &Cached<'_>) -> Result<(), Unsendable> {
    match message {
        Message::System(_) => Ok(()),
        Message::User(parts) => write_parts(out, parts, cached),
        Message::Assistant(said) => write_assistant(out, said, cached),
        Message::Tool { call_id, parts, is_error } => {
            element(out);
            put(out, &["{\"type\":\"tool_result\",\"tool_use_id\":", &tool_id(call_id, usize::MAX)]);
            if let [part @ Part::Text(text)] = parts.as_slice()
                && cached.control(part).is_none()
            {
                put(out, &[",\"content\":", text.as_json()]);
            } else {
                out.push_str(",\"content\":[");
                write_parts(out, parts, cached)?;
                out.push(']');
            }
            out.push_str(if *is_error { ",\"is_error\":true}" } else { "}" });
            Ok(())
        }
    }
}

fn write_assistant(
    out: &mut String,
    said: &AssistantMessage<'_>,
    cached: &Cached<'_>,
) -> Result<(), Unsendable> {
    // Claude's signatures are the same wherever it runs.
    for detail in thoughts(said, &[CLAUDE_REASONING, BEDROCK_REASONING], &[CLAUDE_REASONING]) {
        element(out);
        match detail {
            ReasoningDetail::Text { text, signature } => {
                let signature = signature.as_ref().map_or("\"\"", Literal::as_json);
                let thinking = text.as_json();
                put(
                    out,
                    &["{\"type\":\"thinking\",\"thinking\":", thinking, ",\"signature\":", signature, "}"],
                );
            }
            ReasoningDetail::Encrypted { data, .. } => {
                put(out, &["{\"type\":\"redacted_thinking\",\"data\":", data.as_json(), "}"]);
            }
            ReasoningDetail::Summary(_) => {}
        }
    }
    write_parts(out, &said.parts, cached)?;
    if let Some(refusal) = lone_refusal(said) {
        write_text(out, refusal);
    }
    for call in &said.tool_calls {
        element(out);
        put(out, &["{\"type\":\"tool_use\",\"id\":", &tool_id(&call.id, usize::MAX), ",\"name\":"]);
        put(out, &[call.name.as_json(), ",\"input\":", &call.arguments_object(), "}"]);
    }
    Ok(())
}

fn write_text(out: &mut String, text: &Literal<'_>) {
    element(out);
    put(out, &["{\"type\":\"text\",\"text\":", text.as_json(), "}"]);
}

fn write_parts(out: &mut String, parts: &[Part<'_>], cached: &Cached<'_>) -> Result<(), Unsendable> {
    for part in parts.iter().filter(|part| !is_empty(part)) {
        match part {
            Part::Text(text) => write_text(out, text),
            Part::Image { url, .. } => write_image(out, url),
            Part::Audio { .. } => return Err(Unsendable::Member("input_audio".to_owned())),
            Part::File { data, url, id, name } => {
                element(out);
                out.push_str("{\"type\":\"document\",\"source\":");
                write_source(out, data.as_ref(), url.as_ref(), id.as_ref(), name.as_ref())?;
                if let Some(name) = name {
                    put(out, &[",\"title\":", name.as_json()]);
                }
                out.push('}');
            }
        }
        if let Some(control) = cached.control(part)
            && out.ends_with('}')
        {
            out.pop();
            put(out, &[",\"cache_control\":", control, "}"]);
        }
    }
    Ok(())
}

fn write_image(out: &mut String, url: &Literal<'_>) {
    element(out);
    out.push_str("{\"type\":\"image\",\"source\":{\"type\":");
    let decoded = url.decode();
    if let Some((media_type, data)) = data_url(&decoded) {
        out.push_str("\"base64\",\"media_type\":");
        put_string(out, media_type);
        out.push_str(",\"data\":");
        put_string(out, data);
    } else {
        put(out, &["\"url\",\"url\":", url.as_json()]);
    }
    out.push_str("}}");
}

fn write_source(
    out: &mut String,
    data: Option<&Literal<'_>>,
    url: Option<&Literal<'_>>,
    id: Option<&Literal<'_>>,
    name: Option<&Literal<'_>>,
) -> Result<(), Unsendable> {
    let unreadable = || Unsendable::Member("file.file_data".to_owned());
    if let Some(data) = data {
        let file = FileData::of(data, name).ok_or_else(unreadable)?;
        if file.document == Document::Pdf {
            out.push_str("{\"type\":\"base64\",\"media_type\":\"application/pdf\",\"data\":");
            put_string(out, file.base64());
        } else {
            let text = STANDARD.decode(file.base64()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            out.push_str("{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":");
            put_string(out, &text.ok_or_else(unreadable)?);
        }
    } else if let Some(url) = url {
        put(out, &["{\"type\":\"url\",\"url\":", url.as_json()]);
    } else {
        let id = id.map_or(Cow::Borrowed("\"\""), |id| Cow::Borrowed(id.as_json()));
        put(out, &["{\"type\":\"file\",\"file_id\":", &id]);
    }
    out.push('}');
    Ok(())
}

/// Whether it has a file that is at Anthropic.
pub(super) fn has_file_ids(chat: &ChatRequest<'_>) -> bool {
    let is_by_id = |part: &Part<'_>| matches!(part, Part::File { data: None, url: None, id: Some(_), .. });
    chat.messages.iter().any(|message| match message {
        Message::User(parts) | Message::Tool { parts, .. } => parts.iter().any(is_by_id),
        Message::System(_) | Message::Assistant(_) => false,
    })
}
