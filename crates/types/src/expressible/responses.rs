//! Responses that are made of chat.

use super::chat::{self, Fault, first_fault, object_of};
use super::served::Served;
use super::{Inexpressible, chat::messages as media};
use crate::config::ProviderKind;
use crate::shape::{each_string, string_of};
use crate::{Operation, RawObject};

/// What only whoever stores responses has, or counts calls of tools of its own.
const STORED: [&str; 5] =
    ["previous_response_id", "conversation", "prompt", "max_tool_calls", "context_management"];

const ROLES: [&str; 4] = ["user", "assistant", "system", "developer"];

pub(super) fn inexpressible(kind: ProviderKind, body: &str) -> Option<Inexpressible> {
    let object: RawObject<'_> = serde_json::from_str(body).ok()?;
    let given = |name: &str| object.get(name).map(|value| value.get()).filter(|value| *value != "null");
    let of = Served::of(kind, Operation::Responses);
    if let Some(reason) = of.lacked(&object) {
        return Some(reason);
    }
    let member = |name: &'static str, check: fn(Served, &str) -> Option<Fault>| {
        check(of, given(name)?).map(|fault| fault.below(name))
    };
    let stored = || STORED.into_iter().find(|name| given(name).is_some()).map(|name| unsaid(of, name));
    let fault = stored()
        .or_else(|| member("truncation", truncation))
        .or_else(|| member("top_logprobs", top_logprobs))
        .or_else(|| member("include", include))
        .or_else(|| member("tools", |of, tools| of.tools(tools, "function")))
        .or_else(|| member("tool_choice", tool_choice))
        .or_else(|| member("parallel_tool_calls", parallel).filter(|_| given("tools").is_some()))
        .or_else(|| member("text", text))
        .or_else(|| member("input", input))?;
    Some(Inexpressible::member(fault.path, fault.message))
}

fn unsaid(of: Served, path: &str) -> Fault {
    Fault::at(path, format!("`{path}` cannot be said in the chat API of {}", of.kind))
}

fn truncation(of: Served, value: &str) -> Option<Fault> {
    (value != "\"disabled\"").then(|| of.without("", "truncation"))
}

fn top_logprobs(of: Served, value: &str) -> Option<Fault> {
    (!chat::changes_nothing("top_logprobs", value)).then(|| of.without("", "top_logprobs"))
}

/// All but log probabilities come of themselves, or are of tools that there are none of.
fn include(of: Served, list: &str) -> Option<Fault> {
    const LOGPROBS: &str = "message.output_text.logprobs";
    let mut is_asked = false;
    each_string(list, |wanted| is_asked |= wanted == LOGPROBS);
    is_asked.then(|| of.without("", LOGPROBS))
}

fn tool_choice(of: Served, choice: &str) -> Option<Fault> {
    let object: RawObject<'_> = if choice.starts_with('{') {
        serde_json::from_str(choice).ok()?
    } else {
        let is_known = matches!(choice, "\"auto\"" | "\"none\"" | "\"required\"");
        return (!is_known).then(|| of.without("", choice.trim_matches('"')));
    };
    match string_of(object.get("type")).unwrap_or_default().as_ref() {
        "function" => of.named_function(&object),
        other => Some(of.without("type", other)),
    }
}

fn parallel(of: Served, value: &str) -> Option<Fault> {
    chat::parallel_tool_calls(of.own?, value)
}

fn text(of: Served, text: &str) -> Option<Fault> {
    let object: RawObject<'_> = serde_json::from_str(text).ok()?;
    let given = |name: &str| object.get(name).filter(|value| value.get() != "null");
    if let Some(format) = given("format") {
        let fault = match of.own {
            Some(own) => chat::response_format(own, format.get()),
            None => string_of(object_of(format)?.get("type"))
                .filter(|kind| !matches!(kind.as_ref(), "text" | "json_object" | "json_schema"))
                .map(|kind| of.without("type", &kind)),
        };
        if let Some(fault) = fault {
            return Some(fault.below("format"));
        }
    }
    let verbosity = given("verbosity").filter(|_| of.own.is_some())?;
    (!chat::changes_nothing("verbosity", verbosity.get())).then(|| unsaid(of, "verbosity"))
}

fn input(of: Served, input: &str) -> Option<Fault> {
    // What is one string is text.
    if input.starts_with('"') {
        return None;
    }
    first_fault(input, |item| {
        let item = object_of(item)?;
        let kind = string_of(item.get("type"));
        let (member, place) = match kind.as_deref() {
            Some("message") => ("content", place_of(&item)),
            // A reference may leave its type out.
            None if item.get("role").is_some() => ("content", place_of(&item)),
            None => return Some(of.without("id", "item_reference")),
            Some("function_call_output") => ("output", Place::Tool),
            Some("function_call" | "reasoning") => return None,
            Some(other) => return Some(of.without("type", other)),
        };
        let role = string_of(item.get("role")).filter(|_| member == "content");
        if let Some(role) = role.filter(|role| !ROLES.contains(&role.as_ref())) {
            return Some(of.without("role", &role));
        }
        let parts = item.get(member).filter(|parts| parts.get().starts_with('['))?;
        let fault = first_fault(parts.get(), |part| self::part(of, place, &object_of(part)?))?;
        Some(fault.below(member))
    })
}

/// Where a part stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It may be media.
    User,
    Tool,
    /// It is text.
    Other,
}

fn place_of(message: &RawObject<'_>) -> Place {
    match string_of(message.get("role")).as_deref() {
        Some("user") => Place::User,
        _ => Place::Other,
    }
}

fn part(of: Served, place: Place, part: &RawObject<'_>) -> Option<Fault> {
    let kind = string_of(part.get("type"))?;
    let given = |name| string_of(part.get(name));
    let fault = match kind.as_ref() {
        "input_text" | "output_text" | "text" | "refusal" => return None,
        "input_image" => match (given("image_url"), of.own) {
            (None, _) => Some(of.without("file_id", "file_id")),
            (Some(url), Some(own)) => {
                media::image_url(own, &url).map(|message| Fault::at("image_url", message))
            }
            (Some(_), None) => None,
        },
        "input_audio" => of.own.and_then(|own| media::audio(own, part.get("input_audio")?)),
        "input_file" => match (given("file_data"), given("file_url"), of.own) {
            (None, None, _) => Some(of.without("file_id", "file_id")),
            (Some(data), _, Some(own)) => {
                media::document(own, media::data_type(&data), given("filename").as_deref())
                    .map(|message| Fault::at("file_data", message))
            }
            (None, Some(url), Some(own)) => {
                media::file_url(own, &url).map(|message| Fault::at("file_url", message))
            }
            (_, _, None) => None,
        },
        other => return Some(of.without("type", other)),
    };
    let unplaced = || match (place, of.own) {
        (Place::User, _) | (Place::Tool, None) => None,
        (Place::Tool, Some(own)) => own.tool_media(),
        (Place::Other, _) => Some(format!("{} takes text alone in a message of this role", of.kind)),
    };
    unplaced().map(|message| Fault::at("type", message)).or(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: ProviderKind, members: &str) -> Option<String> {
        inexpressible(kind, &format!("{{{members}}}")).and_then(|reason| reason.param)
    }

    #[test]
    fn what_no_chat_has_is_named_by_its_path() {
        let item = |item: &str| format!(r#""input":[{{"role":"user","content":"x"}},{item}]"#);
        let part = |part: &str| {
            item(&format!(r#"{{"role":"user","content":[{{"type":"input_text","text":"x"}},{part}]}}"#))
        };
        let with = |member: &str| format!(r#""input":"x",{member}"#);
        for (members, param) in [
            (with(r#""previous_response_id":"resp_1""#), "previous_response_id"),
            (with(r#""conversation":"conv_1""#), "conversation"),
            (with(r#""prompt":{"id":"pmpt_1"}"#), "prompt"),
            (with(r#""max_tool_calls":3"#), "max_tool_calls"),
            (with(r#""truncation":"auto""#), "truncation"),
            (with(r#""tool_choice":{"type":"function"}"#), "tool_choice.name"),
            (item(r#"{"role":"tool","content":"x"}"#), "input[1].role"),
            (with(r#""top_logprobs":2"#), "top_logprobs"),
            (with(r#""include":["reasoning.encrypted_content","message.output_text.logprobs"]"#), "include"),
            (with(r#""tools":[{"type":"function","name":"f"},{"type":"web_search"}]"#), "tools[1].type"),
            (with(r#""tool_choice":{"type":"file_search"}"#), "tool_choice.type"),
            (with(r#""tool_choice":{"type":"allowed_tools","mode":"auto","tools":[]}"#), "tool_choice.type"),
            (with(r#""tool_choice":"sometimes""#), "tool_choice"),
            (with(r#""text":{"format":{"type":"grammar"}}"#), "text.format.type"),
            (item(r#"{"type":"item_reference","id":"msg_1"}"#), "input[1].type"),
            (item(r#"{"id":"msg_1"}"#), "input[1].id"),
            (item(r#"{"type":"web_search_call","id":"ws_1"}"#), "input[1].type"),
            (part(r#"{"type":"input_image","file_id":"file-1"}"#), "input[1].content[1].file_id"),
            (part(r#"{"type":"input_file","file_id":"file-1"}"#), "input[1].content[1].file_id"),
            (part(r#"{"type":"input_video"}"#), "input[1].content[1].type"),
            (
                item(
                    r#"{"role":"system","content":[{"type":"input_image","image_url":"data:image/png;base64,AA"}]}"#,
                ),
                "input[1].content[0].type",
            ),
        ] {
            for kind in [ProviderKind::Groq, ProviderKind::Anthropic, ProviderKind::Gemini] {
                assert_eq!(fault(kind, &members).as_deref(), Some(param), "{kind} {members}");
            }
        }
    }

    #[test]
    fn what_one_providers_chat_has_not_is_told_as_for_chat() {
        let part = |part: &str| format!(r#""input":[{{"role":"user","content":[{part}]}}]"#);
        let image = part(r#"{"type":"input_image","image_url":"https://x/y.png"}"#);
        let audio = part(r#"{"type":"input_audio","input_audio":{"data":"AA","format":"mp3"}}"#);
        let file =
            part(r#"{"type":"input_file","file_data":"data:application/pdf;base64,AA","filename":"a.pdf"}"#);
        let by_url = part(r#"{"type":"input_file","file_url":"https://x/y.pdf"}"#);
        let shown = r#""input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"data:image/png;base64,AA"}]}]"#;
        for (kind, members, param) in [
            (ProviderKind::Bedrock, image.as_str(), Some("input[0].content[0].image_url")),
            (ProviderKind::Anthropic, &image, None),
            (ProviderKind::Anthropic, &audio, Some("input[0].content[0]")),
            (ProviderKind::Gemini, &audio, None),
            (ProviderKind::Cohere, &file, Some("input[0].content[0].file_data")),
            (ProviderKind::Anthropic, &file, None),
            (ProviderKind::Bedrock, &by_url, Some("input[0].content[0].file_url")),
            (ProviderKind::Cohere, shown, Some("input[0].output[0].type")),
            (ProviderKind::Anthropic, shown, None),
            (
                ProviderKind::Cohere,
                r#""tool_choice":{"type":"function","name":"f"}"#,
                Some("tool_choice.name"),
            ),
            (ProviderKind::Groq, r#""tool_choice":{"type":"function","name":"f"}"#, None),
            (ProviderKind::Cohere, r#""tools":[],"parallel_tool_calls":false"#, Some("parallel_tool_calls")),
            (
                ProviderKind::Anthropic,
                r#""text":{"format":{"type":"json_object"}}"#,
                Some("text.format.type"),
            ),
            (ProviderKind::Groq, r#""text":{"format":{"type":"json_object"}}"#, None),
            (ProviderKind::Anthropic, r#""text":{"verbosity":"low"}"#, Some("text.verbosity")),
            (ProviderKind::Groq, r#""text":{"verbosity":"low"}"#, None),
            (ProviderKind::Anthropic, r#""temperature":1.5"#, Some("temperature")),
            (ProviderKind::Groq, r#""temperature":1.5"#, None),
        ] {
            assert_eq!(fault(kind, members).as_deref(), param, "{kind} {members}");
        }
    }

    #[test]
    fn what_changes_nothing_is_no_reason() {
        let members = r#""input":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"e"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
            {"type":"function_call_output","call_id":"c","output":"x"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"t","annotations":[]}]}],
            "previous_response_id":null,"truncation":"disabled","top_logprobs":0,"include":["reasoning.encrypted_content"],"store":true,"metadata":{"a":"b"},
            "tools":[],"tool_choice":"auto","parallel_tool_calls":true,"text":{"format":{"type":"text"},"verbosity":"medium"},"reasoning":{"summary":"auto"},"user":"u""#;
        for kind in ProviderKind::all() {
            assert_eq!(fault(kind, members), None, "{kind}");
        }
    }
}
