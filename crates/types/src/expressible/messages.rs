//! Anthropic's messages at other providers.

use super::chat::{self, Fault, first_fault, object_of};
use super::served::{Served, needed};
use super::text::stops;
use super::{Inexpressible, chat::messages as media};
use crate::config::{Form, ProviderKind};
use crate::shape::{is_missing, string_of};
use crate::{Operation, RawObject};

/// What only Anthropic has.
const ANTHROPICS: [&str; 3] = ["container", "context_management", "mcp_servers"];

pub(super) fn inexpressible(kind: ProviderKind, body: &str) -> Option<Inexpressible> {
    let object: RawObject<'_> = serde_json::from_str(body).ok()?;
    let given = |name: &str| object.get(name).map(|value| value.get()).filter(|value| *value != "null");
    let of = Served::of(kind, Operation::Messages);
    let member = |name: &'static str, check: fn(Served, &str) -> Option<Fault>| {
        check(of, given(name)?).map(|fault| fault.below(name))
    };
    if let Some(reason) = of.lacked(&object) {
        return Some(reason);
    }
    let anthropics = || ANTHROPICS.into_iter().find(|name| !is_missing(object.get(name)));
    let fault = anthropics()
        .map(|name| of.without(name, name))
        .or_else(|| member("stop_sequences", stop_sequences))
        .or_else(|| member("tools", |of, tools| of.tools(tools, "custom")))
        .or_else(|| member("tool_choice", tool_choice))
        .or_else(|| member("output_config", output_config))
        .or_else(|| member("system", |of, system| blocks(of, Place::System, system)))
        .or_else(|| member("messages", messages))?;
    Some(Inexpressible::member(fault.path, fault.message))
}

fn stop_sequences(of: Served, list: &str) -> Option<Fault> {
    let (Some(_), Form::PerPrompt { bounds, .. }) = (of.own, of.kind.form()) else { return None };
    stops(of.kind, &bounds, list).map(Fault::new)
}

fn tool_choice(of: Served, choice: &str) -> Option<Fault> {
    let object: RawObject<'_> = serde_json::from_str(choice).ok()?;
    let named = match string_of(object.get("type"))?.as_ref() {
        "auto" | "any" | "none" => None,
        "tool" => of.named_function(&object),
        other => Some(of.without("type", other)),
    };
    let is_single = object.get("disable_parallel_tool_use").is_some_and(|value| value.get() == "true");
    let single = || {
        let fault = chat::parallel_tool_calls(of.own?, "false")?;
        is_single.then(|| fault.below("disable_parallel_tool_use"))
    };
    named.or_else(single)
}

fn output_config(of: Served, config: &str) -> Option<Fault> {
    let config: RawObject<'_> = serde_json::from_str(config).ok()?;
    let format = config.get("format").filter(|format| format.get() != "null")?;
    let kind = string_of(object_of(format)?.get("type")).unwrap_or_default();
    let fault = match of.own {
        _ if kind != "json_schema" => Some(of.without("type", &kind)),
        Some(own) => chat::response_format(own, format.get()),
        None => None,
    };
    fault.map(|fault| fault.below("format"))
}

/// Where a block stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    System,
    User,
    Assistant,
    /// In what a tool has given.
    Tool,
}

fn messages(of: Served, messages: &str) -> Option<Fault> {
    first_fault(messages, |message| {
        let message = object_of(message)?;
        let place = match string_of(message.get("role"))?.as_ref() {
            "user" => Place::User,
            "assistant" => Place::Assistant,
            "system" => Place::System,
            other => return Some(of.without("role", other)),
        };
        blocks(of, place, message.get("content")?.get()).map(|fault| fault.below("content"))
    })
}

fn blocks(of: Served, place: Place, content: &str) -> Option<Fault> {
    // What is one string is text.
    if content.starts_with('"') {
        return None;
    }
    first_fault(content, |block| self::block(of, place, &object_of(block)?))
}

fn block(of: Served, place: Place, block: &RawObject<'_>) -> Option<Fault> {
    let kind = string_of(block.get("type"))?;
    match (kind.as_ref(), place) {
        ("text", _) | ("thinking" | "redacted_thinking" | "tool_use", Place::Assistant) => None,
        ("tool_result", Place::User) => {
            let content = block.get("content").filter(|content| content.get() != "null")?;
            blocks(of, Place::Tool, content.get()).map(|fault| fault.below("content"))
        }
        ("image" | "document", Place::User | Place::Tool) => {
            let source = || source(of, place, &kind, &object_of(block.get("source")?)?);
            let cited = block.get("citations").and_then(object_of);
            let is_cited = cited
                .is_some_and(|cited| cited.get("enabled").is_some_and(|enabled| enabled.get() == "true"));
            let citations = is_cited.then(|| of.without("citations", "citations"));
            citations.or_else(|| source().map(|fault| fault.below("source")))
        }
        (other, _) => Some(of.without("type", other)),
    }
}

/// A document that is a text is told as one.
fn source(of: Served, place: Place, what: &str, source: &RawObject<'_>) -> Option<Fault> {
    let kind = string_of(source.get("type"))?;
    let text = |name| string_of(source.get(name));
    let message = match (kind.as_ref(), what) {
        ("text", "document") => return None,
        ("content", "document") => {
            let Some(content) = source.get("content").map(|content| content.get()) else {
                return needed(source, "content");
            };
            let fault = document_content(of, content).or_else(|| blocks(of, place, content));
            return fault.map(|fault| fault.below("content"));
        }
        ("base64" | "url", _) => {
            let own = of.own?;
            if let Some(message) = own.tool_media().filter(|_| place == Place::Tool) {
                return Some(Fault::at("type", message));
            }
            match (kind.as_ref(), what) {
                ("base64", "image") => {
                    media::image_url(own, &format!("data:{};base64,", text("media_type").unwrap_or_default()))
                }
                ("base64", _) => media::document(own, text("media_type").as_deref(), None),
                (_, "image") => media::image_url(own, &text("url").unwrap_or_default()),
                _ => media::file_url(own, &text("url").unwrap_or_default()),
            }
        }
        (other, _) => return Some(of.without("type", other)),
    };
    let member = if kind == "url" { "url" } else { "media_type" };
    message.map(|message| Fault::at(member, message))
}

/// Texts and images are all that a document is made of.
fn document_content(of: Served, content: &str) -> Option<Fault> {
    if content.starts_with('"') {
        return None;
    }
    first_fault(content, |block| {
        let kind = string_of(object_of(block)?.get("type"))?;
        (!matches!(kind.as_ref(), "text" | "image")).then(|| of.without("type", &kind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: ProviderKind, members: &str) -> Option<String> {
        inexpressible(kind, &format!("{{{members}}}")).and_then(|reason| reason.param)
    }

    fn says(role: &str, block: &str) -> String {
        format!(r#""messages":[{{"role":"{role}","content":[{{"type":"text","text":"x"}},{block}]}}]"#)
    }

    #[test]
    fn what_no_chat_has_is_named_by_its_path() {
        for (members, param) in [
            (r#""mcp_servers":[{"type":"url"}]"#.to_owned(), "mcp_servers"),
            (r#""container":"c""#.to_owned(), "container"),
            (r#""context_management":{"edits":[]}"#.to_owned(), "context_management"),
            (r#""tools":[{"name":"f"},{"type":"web_search_20250305"}]"#.to_owned(), "tools[1].type"),
            (r#""tool_choice":{"type":"some"}"#.to_owned(), "tool_choice.type"),
            (r#""tool_choice":{"type":"tool"}"#.to_owned(), "tool_choice.name"),
            (r#""tools":[{"name":"f"},{"type":"custom"}]"#.to_owned(), "tools[1].name"),
            (
                says("user", r#"{"type":"document","source":{"type":"content"}}"#),
                "messages[0].content[1].source.content",
            ),
            (r#""output_config":{"format":{"type":"grammar"}}"#.to_owned(), "output_config.format.type"),
            (r#""system":[{"type":"image"}]"#.to_owned(), "system[0].type"),
            (says("robot", "{}"), "messages[0].role"),
            (says("user", r#"{"type":"search_result"}"#), "messages[0].content[1].type"),
            (says("user", r#"{"type":"thinking"}"#), "messages[0].content[1].type"),
            (says("assistant", r#"{"type":"server_tool_use"}"#), "messages[0].content[1].type"),
            (
                says("user", r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#),
                "messages[0].content[1].source.type",
            ),
            (
                says("user", r#"{"type":"document","citations":{"enabled":true},"source":{"type":"text"}}"#),
                "messages[0].content[1].citations",
            ),
            (
                says(
                    "user",
                    r#"{"type":"document","source":{"type":"content","content":[{"type":"document"}]}}"#,
                ),
                "messages[0].content[1].source.content[0].type",
            ),
            (
                says("user", r#"{"type":"tool_result","content":[{"type":"search_result"}]}"#),
                "messages[0].content[1].content[0].type",
            ),
        ] {
            for kind in [ProviderKind::Groq, ProviderKind::Bedrock, ProviderKind::Gemini] {
                assert_eq!(fault(kind, &members).as_deref(), Some(param), "{kind} {members}");
            }
        }
    }

    #[test]
    fn what_one_providers_chat_has_not_is_told_as_for_chat() {
        let image = says("user", r#"{"type":"image","source":{"type":"url","url":"https://x/y.png"}}"#);
        let tiff = says(
            "user",
            r#"{"type":"image","source":{"type":"base64","media_type":"image/tiff","data":"A"}}"#,
        );
        let file = says(
            "user",
            r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"A"}}"#,
        );
        let by_url = says("user", r#"{"type":"document","source":{"type":"url","url":"https://x/y.pdf"}}"#);
        let shown = says(
            "user",
            r#"{"type":"tool_result","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"A"}}]}"#,
        );
        let named = r#""tool_choice":{"type":"tool","name":"f"}"#;
        let single = r#""tool_choice":{"type":"auto","disable_parallel_tool_use":true}"#;
        let at = |path: &str| Some(format!("messages[0].content[1].{path}"));
        let whole = |path: &str| Some(path.to_owned());
        for (kind, members, param) in [
            (ProviderKind::Bedrock, image.as_str(), at("source.url")),
            (ProviderKind::Vertex, &image, None),
            (ProviderKind::Groq, &tiff, None),
            (ProviderKind::Bedrock, &tiff, at("source.media_type")),
            (ProviderKind::Cohere, &file, at("source.media_type")),
            (ProviderKind::Gemini, &file, None),
            (ProviderKind::Gemini, &by_url, None),
            (ProviderKind::Bedrock, &by_url, at("source.url")),
            (ProviderKind::Gemini, &shown, None),
            (ProviderKind::Cohere, &shown, at("content[0].source.type")),
            (ProviderKind::Bedrock, &shown, None),
            (ProviderKind::Cohere, named, whole("tool_choice.name")),
            (ProviderKind::Groq, named, None),
            (ProviderKind::Gemini, single, whole("tool_choice.disable_parallel_tool_use")),
            (ProviderKind::Bedrock, single, None),
            (
                ProviderKind::Cohere,
                r#""tools":[{"name":"f"},{"name":"g","strict":true}]"#,
                whole("tools[1].strict"),
            ),
            (ProviderKind::Bedrock, r#""tools":[{"name":"f"},{"name":"g","strict":true}]"#, None),
            (ProviderKind::Bedrock, r#""logit_bias":{"1":5}"#, whole("logit_bias")),
            (ProviderKind::Cohere, r#""stop_sequences":["1","2","3","4","5","6"]"#, whole("stop_sequences")),
        ] {
            assert_eq!(fault(kind, members), param, "{kind} {members}");
        }
    }

    #[test]
    fn what_chat_says_is_no_reason() {
        let members = r#""max_tokens":9,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"mcp_servers":[],
            "messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},
            {"type":"redacted_thinking","data":"d"},{"type":"tool_use","id":"t","name":"f","input":{}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"x"},{"type":"document","citations":{"enabled":false},
            "source":{"type":"content","content":"c"}}]}],"tools":[{"type":"custom","name":"f"}],"tool_choice":{"type":"any"},
            "output_config":{"effort":"low","format":{"type":"json_schema","schema":{}}},"thinking":{"type":"enabled","budget_tokens":1024},
            "metadata":{"user_id":"u"},"stop_sequences":["a"],"temperature":1,"service_tier":"auto""#;
        for kind in ProviderKind::all() {
            assert_eq!(fault(kind, members), None, "{kind}");
        }
    }
}
