//! A request of chat: <https://docs.cohere.com/v2/reference/chat>

use super::super::members;
use super::reply::FORMAT;
use super::root;
use crate::chat::{
    AssistantMessage, ChatRequest, Message, Part, Reasoning, ReasoningDetail, ResponseFormat, Tool, ToolCall,
    ToolChoice,
};
use crate::dialect::{Ask, Outgoing, Unsendable, post};
use crate::literal::Literal;
use crate::request_body::{RequestBody, write_object};

/// The least and the greatest `p`.
const P: (f64, f64) = (0.01, 0.99);

/// Writes it.
///
/// # Errors
/// With the path of what cannot be said.
pub(super) fn request(ask: &Ask<'_>, chat: &ChatRequest<'_>) -> Result<Outgoing, Unsendable> {
    let mut body = RequestBody::new(&["prompt", "n", "echo"]);
    body.model(ask.model);
    body.own("messages", &messages(&chat.messages)?);
    write_tools(&mut body, chat)?;
    if let Some(format) = &chat.response_format {
        body.own("response_format", &response_format(format));
    }
    if let Some(thinking) = thinking(&chat.reasoning)? {
        body.own("thinking", &thinking);
    }
    if let Some(stop) = chat.stop_list() {
        body.own("stop_sequences", &stop);
    }
    if let Some(most) = chat.max_tokens {
        body.client("max_tokens", most);
    }
    for (name, value) in &chat.members {
        match name.as_ref() {
            // The nearest that can be said: all but a hundredth is what 1 means in effect.
            "top_p" => match value.parse::<f64>() {
                Ok(p) if p < P.0 || p > P.1 => body.own("p", &p.clamp(P.0, P.1).to_string()),
                Ok(_) | Err(_) => body.own("p", value),
            },
            "top_k" => body.own("k", value),
            name @ ("seed" | "frequency_penalty" | "presence_penalty") => body.client(name, value),
            name => members::add(&mut body, name, value)?,
        }
    }
    post(ask, &format!("{}/v2/chat", root(ask.base)), body.finish())
}

fn messages(messages: &[Message<'_>]) -> Result<String, Unsendable> {
    let mut out = "[".to_owned();
    for (place, message) in messages.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        match message {
            Message::System(parts) => {
                out.push_str("{\"role\":\"system\",\"content\":");
                write_content(&mut out, place, parts, false)?;
            }
            Message::User(parts) => {
                out.push_str("{\"role\":\"user\",\"content\":");
                write_content(&mut out, place, parts, true)?;
            }
            Message::Assistant(said) => write_said(&mut out, place, said)?,
            Message::Tool { call_id, parts, .. } => {
                out.push_str(&format!(
                    "{{\"role\":\"tool\",\"tool_call_id\":{},\"content\":",
                    call_id.as_json()
                ));
                write_content(&mut out, place, parts, false)?;
            }
        }
        out.push('}');
    }
    out.push(']');
    Ok(out)
}

/// A lone text as a string, all else as a list.
fn write_content(
    out: &mut String,
    message: usize,
    parts: &[Part<'_>],
    may_have_images: bool,
) -> Result<(), Unsendable> {
    match parts {
        [] => out.push_str("\"\""),
        [Part::Text(text)] => out.push_str(text.as_json()),
        parts => {
            out.push('[');
            for (place, part) in parts.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                match part {
                    Part::Text(text) => write_part(out, "text", text.as_json()),
                    Part::Image { url, detail } if may_have_images => {
                        let detail = detail.as_ref().map(Literal::as_json);
                        let image = write_object(&[("url", Some(url.as_json())), ("detail", detail)]);
                        write_part(out, "image_url", &image);
                    }
                    Part::Image { .. } | Part::Audio { .. } | Part::File { .. } => {
                        return Err(Unsendable::Member(format!("messages[{message}].content[{place}]")));
                    }
                }
            }
            out.push(']');
        }
    }
    Ok(())
}

fn write_part(out: &mut String, kind: &str, value: &str) {
    out.push_str(&format!("{{\"type\":\"{kind}\",\"{kind}\":{value}}}"));
}

/// A message of the assistant, less its last brace. What it has thought goes back as it came: parts of its content, or its plan.
fn write_said(out: &mut String, message: usize, said: &AssistantMessage<'_>) -> Result<(), Unsendable> {
    out.push_str("{\"role\":\"assistant\"");
    let mut plan = Vec::new();
    let mut thoughts = String::new();
    // Those of another provider are none of its own.
    let is_own = said.reasoning_format.as_deref().is_none_or(|format| format == FORMAT);
    for detail in said.reasoning.iter().filter(|_| is_own) {
        match detail {
            ReasoningDetail::Text { text, signature: None } => {
                write_part(&mut thoughts, "thinking", text.as_json());
                thoughts.push(',');
            }
            ReasoningDetail::Summary(text) => plan.push(text),
            ReasoningDetail::Text { .. } | ReasoningDetail::Encrypted { .. } => {}
        }
    }
    let refusal =
        said.refusal.iter().filter(|refusal| !refusal.is_empty()).map(|text| Part::Text(text.clone()));
    let parts: Vec<Part<'_>> = said.parts.iter().cloned().chain(refusal).collect();
    if !parts.is_empty() || !thoughts.is_empty() {
        let mut content = String::new();
        write_content(&mut content, message, &parts, false)?;
        out.push_str(",\"content\":");
        match (thoughts.trim_end_matches(','), content.strip_prefix('[')) {
            ("", _) => out.push_str(&content),
            (thoughts, Some(parts)) => out.push_str(&format!("[{thoughts},{parts}")),
            (thoughts, None) if content == "\"\"" => out.push_str(&format!("[{thoughts}]")),
            (thoughts, None) => {
                out.push_str(&format!("[{thoughts},"));
                write_part(out, "text", &content);
                out.push(']');
            }
        }
    }
    if said.tool_calls.is_empty() {
        return Ok(());
    }
    if !plan.is_empty() {
        out.push_str(&format!(",\"tool_plan\":{}", Literal::concat(plan).as_json()));
    }
    let calls: Vec<String> = said.tool_calls.iter().map(write_call).collect();
    out.push_str(&format!(",\"tool_calls\":[{}]", calls.join(",")));
    Ok(())
}

fn write_call(call: &ToolCall<'_>) -> String {
    let function =
        write_object(&[("name", Some(call.name.as_json())), ("arguments", Some(call.arguments.as_json()))]);
    write_object(&[
        ("id", Some(call.id.as_json())),
        ("type", Some("\"function\"")),
        ("function", Some(&function)),
    ])
}

fn write_tools(body: &mut RequestBody<'_>, chat: &ChatRequest<'_>) -> Result<(), Unsendable> {
    if chat.tools.is_empty() {
        return Ok(());
    }
    if chat.parallel_tool_calls == Some(false) {
        return Err(Unsendable::Member("parallel_tool_calls".to_owned()));
    }
    let tools: Vec<String> = chat.tools.iter().map(write_tool).collect();
    body.own("tools", &format!("[{}]", tools.join(",")));
    // Either all are strict, or none.
    let lax = chat.tools.iter().position(|tool| tool.strict != Some(true));
    match (lax, chat.tools.iter().position(|tool| tool.strict == Some(true))) {
        (None, Some(_)) => body.own("strict_tools", "true"),
        (_, None) => {}
        (Some(_), Some(strict)) => {
            return Err(Unsendable::Member(format!("tools[{strict}].function.strict")));
        }
    }
    match chat.tool_choice {
        None | Some(ToolChoice::Auto) => {}
        Some(ToolChoice::None) => body.own("tool_choice", "\"NONE\""),
        Some(ToolChoice::Required) => body.own("tool_choice", "\"REQUIRED\""),
        Some(ToolChoice::Function(_)) => return Err(Unsendable::Member("tool_choice".to_owned())),
    }
    Ok(())
}

fn write_tool(tool: &Tool<'_>) -> String {
    let function = write_object(&[
        ("name", Some(tool.name.as_json())),
        ("description", tool.description.as_ref().map(Literal::as_json)),
        // A function without parameters has an empty object there.
        ("parameters", Some(tool.parameters.unwrap_or("{\"type\":\"object\",\"properties\":{}}"))),
    ]);
    format!("{{\"type\":\"function\",\"function\":{function}}}")
}

fn response_format(format: &ResponseFormat<'_>) -> String {
    let schema = match format {
        ResponseFormat::JsonObject => None,
        ResponseFormat::JsonSchema { schema, .. } => *schema,
    };
    write_object(&[("type", Some("\"json_object\"")), ("json_schema", schema)])
}

/// `thinking`: <https://docs.cohere.com/docs/reasoning>. It knows a budget of tokens and no words for it; those of OpenAI have the budgets
/// that Google gives them, and from `high` on there is none.
fn thinking(reasoning: &Reasoning<'_>) -> Result<Option<String>, Unsendable> {
    let effort = reasoning.effort.as_deref();
    if reasoning.enabled == Some(false) || effort == Some("none") {
        return Ok(Some("{\"type\":\"disabled\"}".to_owned()));
    }
    let budget = match (reasoning.max_tokens, effort) {
        (Some(budget), _) => Some(budget),
        (None, Some("minimal" | "low")) => Some("1024"),
        (None, Some("medium")) => Some("8192"),
        (None, Some("high" | "xhigh" | "max")) => None,
        (None, Some(_)) => return Err(Unsendable::Member("reasoning_effort".to_owned())),
        (None, None) if reasoning.enabled.is_none() => return Ok(None),
        (None, None) => None,
    };
    Ok(Some(write_object(&[("type", Some("\"enabled\"")), ("token_budget", budget)])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::test_ask;

    #[test]
    fn what_cannot_be_said_is_named() {
        let tool = |strict: &str| format!(r#"{{"type":"function","function":{{"name":"f"{strict}}}}}"#);
        let with_tools = |tools: &str, more: &str| format!(r#"{{"tools":[{tools}]{more}}}"#);
        let named = r#","tool_choice":{"type":"function","function":{"name":"f"}}"#;
        let part = |part: &str| format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
        for (body, path) in [
            (with_tools(&tool(""), named), "tool_choice"),
            (with_tools(&tool(""), r#","parallel_tool_calls":false"#), "parallel_tool_calls"),
            (
                with_tools(&format!("{},{}", tool(""), tool(r#","strict":true"#)), ""),
                "tools[1].function.strict",
            ),
            (r#"{"logprobs":true}"#.to_owned(), "logprobs"),
            (r#"{"reasoning_effort":"colossal"}"#.to_owned(), "reasoning_effort"),
            (
                part(r#"{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}"#),
                "messages[0].content[0]",
            ),
            (part(r#"{"type":"file","file":{"file_data":"AAAA"}}"#), "messages[0].content[0]"),
        ] {
            let chat = ChatRequest::parse(&body).unwrap();
            let refused = request(&test_ask("m"), &chat).map(|_| ());
            assert_eq!(refused, Err(Unsendable::Member(path.to_owned())), "{body}");
        }
    }

    #[test]
    fn how_much_to_think_is_a_budget() {
        for (body, said) in [
            (r#"{"reasoning_effort":"low"}"#, r#"{"type":"enabled","token_budget":1024}"#),
            (r#"{"reasoning_effort":"high"}"#, r#"{"type":"enabled"}"#),
            (r#"{"reasoning":{"max_tokens":77}}"#, r#"{"type":"enabled","token_budget":77}"#),
            (r#"{"reasoning":{"enabled":false}}"#, r#"{"type":"disabled"}"#),
            (r"{}", ""),
        ] {
            let chat = ChatRequest::parse(body).unwrap();
            assert_eq!(thinking(&chat.reasoning).unwrap().unwrap_or_default(), said, "{body}");
        }
    }
}
