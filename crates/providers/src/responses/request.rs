use std::borrow::Cow;

use hermod_types::RawObject;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::input;
use crate::chat::{ChatRequest, Message, Part, ResponseFormat, ToolChoice, WireFunction, WireSchema};
use crate::literal::Literal;

/// Members that no provider of chat is sent: they are repeated in the response, say how it is to be stored or streamed, or promise
/// nothing.
const OURS: [&str; 9] = [
    "include",
    "metadata",
    "n",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
    "stream_options",
    "truncation",
];

/// The request as one of chat; none if it has what chat has not.
pub(super) fn read<'a>(object: &RawObject<'a>) -> Option<ChatRequest<'a>> {
    let mut chat = ChatRequest::default();
    let members = object.members().map(|(name, value)| (name, value.get()));
    for (name, json) in members.filter(|(_, json)| *json != "null") {
        match name {
            "input" => chat.messages.append(&mut input::messages(json)?),
            "instructions" => {
                chat.messages.insert(0, Message::System(vec![Part::Text(Literal::from_json(json)?)]));
            }
            "tools" => {
                let tools: Vec<WireFunction<'a>> = serde_json::from_str(json).ok()?;
                chat.tools = tools.into_iter().map(WireFunction::read).collect();
            }
            "tool_choice" => chat.tool_choice = Some(tool_choice(json)?),
            "parallel_tool_calls" => chat.parallel_tool_calls = Some(json == "true"),
            "text" => read_text(json, &mut chat)?,
            "max_output_tokens" => chat.max_tokens = Some(json),
            "reasoning" => {
                chat.reasoning.read(json);
                if has_summary(json) {
                    chat.reasoning.display.get_or_insert_with(|| Literal::of("summarized"));
                }
            }
            "stop" => chat.stop = Some(json),
            "user" => chat.user = Literal::from_json(json),
            _ if OURS.contains(&name) => {}
            _ => chat.members.push((Cow::Owned(name.to_owned()), json)),
        }
    }
    Some(chat)
}

fn tool_choice(json: &str) -> Option<ToolChoice<'_>> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Literal<'a>,
    }
    match json {
        "\"auto\"" => Some(ToolChoice::Auto),
        "\"none\"" => Some(ToolChoice::None),
        "\"required\"" => Some(ToolChoice::Required),
        _ => serde_json::from_str(json).ok().map(|Named { name }| ToolChoice::Function(name)),
    }
}

/// Reads `text`: the format of the answer, and how wordy it is.
fn read_text<'a>(json: &'a str, chat: &mut ChatRequest<'a>) -> Option<()> {
    #[derive(Deserialize)]
    struct Text<'a> {
        #[serde(borrow, default)]
        format: Option<&'a RawValue>,
        #[serde(borrow, default)]
        verbosity: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Format<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    let text: Text<'a> = serde_json::from_str(json).ok()?;
    if let Some(verbosity) = text.verbosity {
        chat.members.push((Cow::Borrowed("verbosity"), verbosity.get()));
    }
    let Some(format) = text.format.map(RawValue::get) else { return Some(()) };
    let kind = serde_json::from_str::<Format<'_>>(format).ok()?.kind;
    chat.response_format = match kind.as_ref() {
        "json_schema" => Some(serde_json::from_str::<WireSchema<'a>>(format).ok()?.read()),
        "json_object" => Some(ResponseFormat::JsonObject),
        _ => None,
    };
    Some(())
}

/// Whether a summary of what is thought is asked for.
fn has_summary(reasoning: &str) -> bool {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow, default)]
        summary: Option<&'a RawValue>,
        #[serde(borrow, default)]
        generate_summary: Option<&'a RawValue>,
    }
    let wire = serde_json::from_str::<Wire<'_>>(reasoning);
    wire.is_ok_and(|wire| wire.summary.or(wire.generate_summary).is_some())
}
