//! A chat request as Converse takes it: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>

use hermod_types::RawObject;
use serde_json::value::RawValue;

use super::super::claude::{Thinking, is_claude, thinking};
use super::super::members;
use super::super::turns::{
    BEDROCK_REASONING, CLAUDE_REASONING, Cached, FileData, called, each_turn, element, is_empty,
    lone_refusal, put, put_string, system, thoughts, tool_id,
};
use super::Unsendable;
use super::document_name::DocumentNames;
use crate::chat::{
    AssistantMessage, ChatRequest, Message, Part, ReasoningDetail, ResponseFormat, ToolChoice,
};
use crate::literal::{Literal, data_url};
use crate::request_body::{RequestBody, write_object};

/// Members of a client's that are said elsewhere, or have no place.
const READ: [&str; 7] =
    ["prompt", "n", "echo", "user", "top_k", "cache_control", "additionalModelRequestFields"];

/// Characters of a tool call's id.
const LONGEST_ID: usize = 64;

/// Whose model it is, where the common API leaves something to the models.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Claude,
    Nova,
    /// Those that take OpenAI's `reasoning_effort`.
    GptOss,
    /// OpenAI's others.
    Gpt,
    Other,
}

impl Family {
    fn of(model: &str) -> Self {
        let is = |name: &str| model.contains(name);
        match () {
            () if is_claude(model) => Self::Claude,
            () if is("amazon.nova") => Self::Nova,
            () if is("openai.gpt-oss") || is("moonshot") => Self::GptOss,
            () if is("openai.") => Self::Gpt,
            () => Self::Other,
        }
    }
}

/// # Errors
/// If something in it cannot be said.
pub(super) fn body(model: &str, chat: &ChatRequest<'_>) -> Result<String, Unsendable> {
    let family = Family::of(model);
    let thinking = match family {
        Family::Claude => thinking(model, &chat.reasoning, chat.max_tokens)?,
        Family::Nova | Family::GptOss | Family::Gpt | Family::Other => Thinking::default(),
    };
    let mut body = RequestBody::new(&READ);
    let mut marks = Marks { names: DocumentNames::default(), cached: Cached::of(chat), family };
    messages(body.open("messages"), chat, &mut marks)?;
    let mut texts = system(&chat.messages).peekable();
    if texts.peek().is_some() {
        let out = body.open("system");
        out.push('[');
        texts.try_for_each(|part| write_parts(out, std::slice::from_ref(part), &mut marks))?;
        out.push(']');
    }
    if let Some(config) = inference_config(chat, &thinking) {
        body.own("inferenceConfig", &config);
    }
    let mut fields = RequestBody::nested();
    tools(&mut body, &mut fields, family, chat)?;
    reasoning(&mut fields, family, chat, &thinking)?;
    match (chat.member("top_k"), family) {
        (Some(top_k), Family::Nova) => fields.own("inferenceConfig", &format!("{{\"topK\":{top_k}}}")),
        (Some(top_k), _) => fields.own("top_k", top_k),
        (None, _) => {}
    }
    let clients: Option<RawObject<'_>> =
        chat.member("additionalModelRequestFields").and_then(|clients| serde_json::from_str(clients).ok());
    for (name, value) in clients.iter().flat_map(RawObject::members) {
        fields.client(name, value.get());
    }
    if !fields.is_empty() {
        body.own("additionalModelRequestFields", &fields.finish());
    }
    if let Some(ResponseFormat::JsonSchema { name, description, schema, .. }) = &chat.response_format {
        // Here a schema is a string that holds JSON.
        let schema = write_object(&[
            ("schema", Some(Literal::of(schema.unwrap_or("{}")).as_json())),
            ("name", Some(name.as_json())),
            ("description", description.as_ref().map(Literal::as_json)),
        ]);
        let structure = "{\"textFormat\":{\"type\":\"json_schema\",\"structure\":{\"jsonSchema\":";
        put(body.open("outputConfig"), &[structure, &schema, "}}}"]);
    }
    if let Some(tier @ ("\"default\"" | "\"flex\"" | "\"priority\"")) = chat.member("service_tier") {
        body.own("serviceTier", &format!("{{\"type\":{tier}}}"));
    }
    for (name, value) in &chat.members {
        if !matches!(name.as_ref(), "temperature" | "top_p" | "inferenceConfig") {
            members::add(&mut body, name, value)?;
        }
    }
    Ok(body.finish())
}

fn inference_config(chat: &ChatRequest<'_>, thinking: &Thinking) -> Option<String> {
    let mut config = RequestBody::nested();
    for (ours, theirs) in [("temperature", "temperature"), ("top_p", "topP")] {
        if let Some(value) = chat.member(ours) {
            config.own(theirs, value);
        }
    }
    let needed = thinking.max_tokens.map(|tokens| tokens.to_string());
    if let Some(most) = chat.max_tokens.or(needed.as_deref()) {
        config.own("maxTokens", most);
    }
    if let Some(stop) = chat.stop_list() {
        config.own("stopSequences", &stop);
    }
    // The client's own, in Amazon's words.
    let clients: Option<RawObject<'_>> =
        chat.member("inferenceConfig").and_then(|clients| serde_json::from_str(clients).ok());
    for (name, value) in clients.iter().flat_map(RawObject::members) {
        config.client(name, value.get());
    }
    (!config.is_empty()).then(|| config.finish())
}

/// How much is to be thought, which each family is told in its own words.
///
/// - Nova: <https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html>
/// - OpenAI's: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html>
fn reasoning(
    fields: &mut RequestBody<'_>,
    family: Family,
    chat: &ChatRequest<'_>,
    claude: &Thinking,
) -> Result<(), Unsendable> {
    if let Some(thinking) = &claude.thinking {
        fields.own("thinking", thinking);
    }
    if let Some(effort) = claude.effort {
        fields.own("output_config", &format!("{{\"effort\":\"{effort}\"}}"));
    }
    let asked = &chat.reasoning;
    if family == Family::Claude || asked.enabled == Some(false) {
        return Ok(());
    }
    if asked.max_tokens.is_some_and(|most| most != "0") {
        return Err(Unsendable::Member("reasoning.max_tokens".to_owned()));
    }
    let Some(effort) = asked.effort.as_deref() else { return Ok(()) };
    let said = Literal::of(effort);
    match (family, effort) {
        (Family::Nova, "low" | "medium" | "high") => {
            let config = [("type", Some("\"enabled\"")), ("maxReasoningEffort", Some(said.as_json()))];
            fields.own("reasoningConfig", &write_object(&config));
        }
        (Family::Nova | Family::Other, "none") => {}
        (Family::GptOss, _) => fields.own("reasoning_effort", said.as_json()),
        (Family::Gpt, _) => fields.own("reasoning", &format!("{{\"effort\":{}}}", said.as_json())),
        (Family::Nova | Family::Other | Family::Claude, _) => {
            return Err(Unsendable::Member("reasoning_effort".to_owned()));
        }
    }
    Ok(())
}

/// `toolConfig`. What it has no words for, Claude is told in its own: <https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools>
fn tools(
    body: &mut RequestBody<'_>,
    fields: &mut RequestBody<'_>,
    family: Family,
    chat: &ChatRequest<'_>,
) -> Result<(), Unsendable> {
    let called = called(chat);
    let is_forbidden = chat.tools.is_empty() || chat.tool_choice == Some(ToolChoice::None);
    if is_forbidden && called.is_empty() {
        return Ok(());
    }
    let is_single = chat.parallel_tool_calls == Some(false);
    let (kind, name) = match &chat.tool_choice {
        _ if is_forbidden => (Some("none"), None),
        None | Some(ToolChoice::None) => (None, None),
        Some(ToolChoice::Auto) => (Some("auto"), None),
        Some(ToolChoice::Required) => (Some("any"), None),
        Some(ToolChoice::Function(name)) => (Some("tool"), Some(name.as_json())),
    };
    let is_own = is_forbidden || is_single;
    if is_own && family == Family::Claude {
        let kind = format!("\"{}\"", kind.unwrap_or("auto"));
        let single = (!is_forbidden).then_some("true");
        let choice = [("type", Some(kind.as_str())), ("name", name), ("disable_parallel_tool_use", single)];
        fields.own("tool_choice", &write_object(&choice));
    } else if is_forbidden && chat.tool_choice == Some(ToolChoice::None) {
        return Err(Unsendable::Member("tool_choice".to_owned()));
    } else if is_own && !is_forbidden {
        return Err(Unsendable::Member("parallel_tool_calls".to_owned()));
    }
    let out = body.open("toolConfig");
    out.push_str("{\"tools\":[");
    for tool in &chat.tools {
        element(out);
        put(out, &["{\"toolSpec\":{\"name\":", tool.name.as_json()]);
        if let Some(description) = tool.description.as_ref().filter(|description| !description.is_empty()) {
            put(out, &[",\"description\":", description.as_json()]);
        }
        put(out, &[",\"inputSchema\":{\"json\":", tool.parameters.unwrap_or("{\"type\":\"object\"}"), "}"]);
        out.push_str(if tool.strict == Some(true) { ",\"strict\":true}}" } else { "}}" });
    }
    // A conversation in which tools were called must name them, though none may be called any more.
    for name in called.iter().filter(|_| chat.tools.is_empty()) {
        element(out);
        put(out, &["{\"toolSpec\":{\"name\":", name, ",\"inputSchema\":{\"json\":{\"type\":\"object\"}}}}"]);
    }
    out.push(']');
    match (kind, name) {
        (Some(kind), None) if !is_own => put(out, &[",\"toolChoice\":{\"", kind, "\":{}}"]),
        (Some(_), Some(name)) if !is_own => put(out, &[",\"toolChoice\":{\"tool\":{\"name\":", name, "}}"]),
        _ => {}
    }
    out.push('}');
    Ok(())
}

/// What a part of a message has besides its content.
struct Marks<'a> {
    names: DocumentNames,
    cached: Cached<'a>,
    family: Family,
}

impl Marks<'_> {
    /// Marks the prompt up to here as one to be cached, as `control` says: <https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>
    fn write_cache_point(&self, out: &mut String, control: &str) {
        // It changes no answer, and others refuse it.
        if matches!(self.family, Family::Claude | Family::Nova) {
            let control: Option<RawObject<'_>> = serde_json::from_str(control).ok();
            let ttl = control.as_ref().and_then(|control| control.get("ttl")).map(RawValue::get);
            element(out);
            put(
                out,
                &["{\"cachePoint\":", &write_object(&[("type", Some("\"default\"")), ("ttl", ttl)]), "}"],
            );
        }
    }
}

fn messages(out: &mut String, chat: &ChatRequest<'_>, marks: &mut Marks<'_>) -> Result<(), Unsendable> {
    out.push('[');
    each_turn(&chat.messages, |side, turn| {
        element(out);
        put(out, &["{\"role\":\"", side.as_str(), "\",\"content\":["]);
        turn.iter().try_for_each(|message| write_message(out, message, marks))?;
        out.push_str("]}");
        Ok(())
    })?;
    if let Some(control) = chat.member("cache_control")
        && out.ends_with("]}")
    {
        // What Anthropic does by itself: the conversation so far is written to the cache.
        out.truncate(out.len() - "]}".len());
        marks.write_cache_point(out, control);
        out.push_str("]}");
    }
    out.push(']');
    Ok(())
}

fn write_message(out: &mut String, message: &Message<'_>, marks: &mut Marks<'_>) -> Result<(), Unsendable> {
    match message {
        Message::System(_) => Ok(()),
        Message::User(parts) => match parts.as_slice() {
            [Part::Text(text)] if text.is_empty() => {
                write_text(out, text);
                Ok(())
            }
            parts => write_parts(out, parts, marks),
        },
        Message::Assistant(said) => write_assistant(out, said, marks),
        Message::Tool { call_id, parts, is_error } => {
            element(out);
            let id = tool_id(call_id, LONGEST_ID);
            put(out, &["{\"toolResult\":{\"toolUseId\":", &id, ",\"content\":["]);
            parts.iter().filter(|part| !is_empty(part)).try_for_each(|part| write_part(out, part, marks))?;
            out.push_str(if *is_error { "],\"status\":\"error\"}}" } else { "]}}" });
            // It stands behind the result: there is no place for it inside.
            if let Some(control) = parts.iter().rev().find_map(|part| marks.cached.control(part)) {
                marks.write_cache_point(out, control);
            }
            Ok(())
        }
    }
}

fn write_assistant(
    out: &mut String,
    said: &AssistantMessage<'_>,
    marks: &mut Marks<'_>,
) -> Result<(), Unsendable> {
    let text_of: &[&str] = if marks.family == Family::Claude {
        &[BEDROCK_REASONING, CLAUDE_REASONING]
    } else {
        &[BEDROCK_REASONING]
    };
    for detail in thoughts(said, text_of, &[BEDROCK_REASONING]) {
        element(out);
        match detail {
            ReasoningDetail::Text { text, signature } => {
                let signature = signature.as_ref().map_or("\"\"", Literal::as_json);
                put(out, &["{\"reasoningContent\":{\"reasoningText\":{\"text\":", text.as_json()]);
                put(out, &[",\"signature\":", signature, "}}}"]);
            }
            ReasoningDetail::Encrypted { data, .. } => {
                put(out, &["{\"reasoningContent\":{\"redactedContent\":", data.as_json(), "}}"]);
            }
            ReasoningDetail::Summary(_) => {}
        }
    }
    write_parts(out, &said.parts, marks)?;
    if let Some(refusal) = lone_refusal(said) {
        write_text(out, refusal);
    }
    for call in &said.tool_calls {
        element(out);
        let id = tool_id(&call.id, LONGEST_ID);
        put(out, &["{\"toolUse\":{\"toolUseId\":", &id, ",\"name\":", call.name.as_json()]);
        put(out, &[",\"input\":", &call.arguments_object(), "}}"]);
    }
    Ok(())
}

fn write_text(out: &mut String, text: &Literal<'_>) {
    element(out);
    put(out, &["{\"text\":", text.as_json(), "}"]);
}

fn write_parts(out: &mut String, parts: &[Part<'_>], marks: &mut Marks<'_>) -> Result<(), Unsendable> {
    for part in parts.iter().filter(|part| !is_empty(part)) {
        write_part(out, part, marks)?;
        if let Some(control) = marks.cached.control(part) {
            marks.write_cache_point(out, control);
        }
    }
    Ok(())
}

fn write_part(out: &mut String, part: &Part<'_>, marks: &mut Marks<'_>) -> Result<(), Unsendable> {
    let cannot = |path: &str| Unsendable::Member(path.to_owned());
    match part {
        Part::Text(text) => write_text(out, text),
        Part::Image { url, .. } => {
            let decoded = url.decode();
            let data = data_url(&decoded).and_then(|(kind, data)| Some((kind.strip_prefix("image/")?, data)));
            let (format, data) = data.ok_or_else(|| cannot("image_url.url"))?;
            write_bytes(out, "image", format, None, data);
        }
        Part::Audio { .. } => return Err(cannot("input_audio")),
        Part::File { data, name, .. } => {
            let data = data.as_ref().ok_or_else(|| cannot("file"))?;
            let file = FileData::of(data, name.as_ref()).ok_or_else(|| cannot("file.file_data"))?;
            let name = marks.names.next(name.as_ref().map(Literal::decode).as_deref());
            write_bytes(out, "document", file.document.extension(), Some(&name), file.base64());
        }
    }
    Ok(())
}

fn write_bytes(out: &mut String, kind: &str, format: &str, name: Option<&str>, data: &str) {
    element(out);
    put(out, &["{\"", kind, "\":{\"format\":"]);
    put_string(out, format);
    if let Some(name) = name {
        put(out, &[",\"name\":\"", name, "\""]);
    }
    out.push_str(",\"source\":{\"bytes\":");
    put_string(out, data);
    out.push_str("}}}");
}
