//! Chat's JSON, as OpenAI's clients write it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::request::{
    AssistantMessage, CachedPart, Message, Part, Reasoning, ReasoningDetail, ResponseFormat, Tool, ToolCall,
    ToolChoice,
};
use crate::literal::Literal;

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<Literal<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<WireToolCall<'a>>>,
    #[serde(borrow, default)]
    tool_call_id: Option<Literal<'a>>,
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(borrow, default)]
    reasoning: Option<Literal<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Literal<'a>>,
    #[serde(borrow, default)]
    reasoning_details: Option<Vec<WireDetail<'a>>>,
    #[serde(borrow, default)]
    extra_content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireToolCall<'a> {
    #[serde(borrow, default)]
    id: Option<Literal<'a>>,
    #[serde(borrow)]
    function: WireCalled<'a>,
    #[serde(borrow, default)]
    extra_content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireCalled<'a> {
    #[serde(borrow)]
    name: Literal<'a>,
    #[serde(borrow, default)]
    arguments: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct WireDetail<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<Literal<'a>>,
    #[serde(borrow, default)]
    summary: Option<Literal<'a>>,
    #[serde(borrow, default)]
    signature: Option<Literal<'a>>,
    #[serde(borrow, default)]
    data: Option<Literal<'a>>,
    #[serde(borrow, default)]
    id: Option<Literal<'a>>,
    #[serde(borrow, default)]
    format: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<Literal<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Literal<'a>>,
    #[serde(borrow, default)]
    image_url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_audio: Option<WireAudio<'a>>,
    #[serde(borrow, default)]
    file: Option<WireFile<'a>>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireImage<'a> {
    #[serde(borrow)]
    url: Literal<'a>,
    #[serde(borrow, default)]
    detail: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct WireAudio<'a> {
    #[serde(borrow)]
    data: Literal<'a>,
    #[serde(borrow)]
    format: Literal<'a>,
}

#[derive(Deserialize)]
struct WireFile<'a> {
    #[serde(borrow, default)]
    file_data: Option<Literal<'a>>,
    #[serde(borrow, default)]
    file_url: Option<Literal<'a>>,
    #[serde(borrow, default)]
    file_id: Option<Literal<'a>>,
    #[serde(borrow, default)]
    filename: Option<Literal<'a>>,
}

/// Reads `tool_calls`; none for what is no such list.
pub(super) fn tool_calls(json: &str) -> Option<Vec<ToolCall<'_>>> {
    let calls: Vec<WireToolCall<'_>> = serde_json::from_str(json).ok()?;
    Some(calls.into_iter().map(WireToolCall::read).collect())
}

pub(super) fn messages<'a>(json: &'a str, cached: &mut Vec<CachedPart<'a>>) -> Option<Vec<Message<'a>>> {
    let messages: Vec<WireMessage<'a>> = serde_json::from_str(json).ok()?;
    messages.into_iter().enumerate().map(|(place, message)| message.read(place, cached)).collect()
}

impl<'a> WireMessage<'a> {
    fn read(self, message: usize, cached: &mut Vec<CachedPart<'a>>) -> Option<Message<'a>> {
        let parts = match self.content.map(RawValue::get) {
            None | Some("null") => Vec::new(),
            Some(text) if text.starts_with('"') => vec![Part::Text(Literal::from_json(text)?)],
            Some(parts) => {
                let parts: Vec<WirePart<'a>> = serde_json::from_str(parts).ok()?;
                let controls = parts.iter().enumerate();
                cached.extend(controls.filter_map(|(part, wire)| {
                    Some(CachedPart { message, part, control: wire.cache_control?.get() })
                }));
                parts.into_iter().map(WirePart::read).collect::<Option<_>>()?
            }
        };
        Some(match self.role.as_ref() {
            "system" | "developer" => Message::System(parts),
            "assistant" => Message::Assistant(AssistantMessage {
                parts,
                reasoning_format: reasoning_format(self.reasoning_details.as_deref()),
                refusal: self.refusal,
                tool_calls: self.tool_calls.unwrap_or_default().into_iter().map(WireToolCall::read).collect(),
                reasoning: reasoning(self.reasoning_details, self.reasoning.or(self.reasoning_content)),
                extra_content: self.extra_content.map(|extra| Cow::Borrowed(extra.get())),
            }),
            "tool" | "function" => Message::Tool {
                call_id: self.tool_call_id.unwrap_or_else(|| Literal::of("")),
                parts,
                is_error: self.is_error.unwrap_or_default(),
            },
            _ => Message::User(parts),
        })
    }
}

fn reasoning_format<'a>(details: Option<&[WireDetail<'a>]>) -> Option<Cow<'a, str>> {
    let format = details?.iter().find_map(|detail| detail.format.as_ref())?;
    Some(Cow::Owned(format.decode().into_owned()))
}

fn reasoning<'a>(
    details: Option<Vec<WireDetail<'a>>>,
    text: Option<Literal<'a>>,
) -> Vec<ReasoningDetail<'a>> {
    let details: Vec<_> = details.unwrap_or_default().into_iter().filter_map(WireDetail::read).collect();
    if details.is_empty() {
        text.filter(|text| !text.is_empty())
            .map(|text| ReasoningDetail::Text { text, signature: None })
            .into_iter()
            .collect()
    } else {
        details
    }
}

impl<'a> WireDetail<'a> {
    fn read(self) -> Option<ReasoningDetail<'a>> {
        match self.kind.as_deref() {
            Some("reasoning.encrypted") => {
                self.data.map(|data| ReasoningDetail::Encrypted { data, id: self.id })
            }
            Some("reasoning.summary") => self.summary.or(self.text).map(ReasoningDetail::Summary),
            _ => self.text.map(|text| ReasoningDetail::Text { text, signature: self.signature }),
        }
    }
}

impl<'a> WireToolCall<'a> {
    fn read(self) -> ToolCall<'a> {
        ToolCall {
            id: self.id.unwrap_or_else(|| Literal::of("")),
            name: self.function.name,
            arguments: self.function.arguments.unwrap_or_else(|| Literal::of("")),
            extra_content: self.extra_content.map(|extra| Cow::Borrowed(extra.get())),
        }
    }
}

impl<'a> WirePart<'a> {
    fn read(self) -> Option<Part<'a>> {
        match self.kind.as_deref() {
            Some("image_url") => match self.image_url?.get() {
                url if url.starts_with('"') => {
                    Some(Part::Image { url: Literal::from_json(url)?, detail: None })
                }
                object => {
                    let image: WireImage<'a> = serde_json::from_str(object).ok()?;
                    Some(Part::Image { url: image.url, detail: image.detail })
                }
            },
            Some("input_audio") => {
                self.input_audio.map(|audio| Part::Audio { data: audio.data, format: audio.format })
            }
            Some("file") => self.file.map(|file| Part::File {
                data: file.file_data,
                url: file.file_url,
                id: file.file_id,
                name: file.filename,
            }),
            _ => self.text.or(self.refusal).map(Part::Text),
        }
    }
}

pub(super) fn tools(json: &str) -> Option<Vec<Tool<'_>>> {
    #[derive(Deserialize)]
    struct WireTool<'a> {
        #[serde(borrow)]
        function: WireFunction<'a>,
    }
    let tools: Vec<WireTool<'_>> = serde_json::from_str(json).ok()?;
    Some(tools.into_iter().map(|tool| tool.function.read()).collect())
}

#[derive(Deserialize)]
pub(crate) struct WireFunction<'a> {
    #[serde(borrow)]
    name: Literal<'a>,
    #[serde(borrow, default)]
    description: Option<Literal<'a>>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

impl<'a> WireFunction<'a> {
    pub(crate) fn read(self) -> Tool<'a> {
        Tool {
            name: self.name,
            description: self.description,
            parameters: self.parameters.map(RawValue::get),
            strict: self.strict,
        }
    }
}

pub(super) fn tool_choice(json: &str) -> Option<ToolChoice<'_>> {
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow, default)]
        function: Option<Named<'a>>,
    }
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Literal<'a>,
    }
    match json {
        "\"auto\"" => Some(ToolChoice::Auto),
        "\"none\"" => Some(ToolChoice::None),
        "\"required\"" | "\"any\"" => Some(ToolChoice::Required),
        _ => {
            let choice: Choice<'_> = serde_json::from_str(json).ok()?;
            choice.function.map(|function| ToolChoice::Function(function.name))
        }
    }
}

pub(super) fn response_format(json: &str) -> Option<Option<ResponseFormat<'_>>> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        #[serde(borrow, default)]
        json_schema: Option<WireSchema<'a>>,
    }
    let format: Wire<'_> = serde_json::from_str(json).ok()?;
    Some(match (format.kind.as_ref(), format.json_schema) {
        ("json_object", _) => Some(ResponseFormat::JsonObject),
        ("json_schema", Some(schema)) => Some(schema.read()),
        _ => None,
    })
}

#[derive(Deserialize)]
pub(crate) struct WireSchema<'a> {
    #[serde(borrow, default)]
    name: Option<Literal<'a>>,
    #[serde(borrow, default)]
    description: Option<Literal<'a>>,
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

impl<'a> WireSchema<'a> {
    pub(crate) fn read(self) -> ResponseFormat<'a> {
        ResponseFormat::JsonSchema {
            name: self.name.unwrap_or_else(|| Literal::of("response")),
            description: self.description,
            schema: self.schema.map(RawValue::get),
            strict: self.strict,
        }
    }
}

impl<'a> Reasoning<'a> {
    pub(crate) fn read(&mut self, json: &'a str) {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(default)]
            enabled: Option<bool>,
            #[serde(borrow, default)]
            effort: Option<Cow<'a, str>>,
            #[serde(borrow, default)]
            max_tokens: Option<&'a RawValue>,
            #[serde(borrow, default)]
            display: Option<Literal<'a>>,
        }
        let Ok(wire) = serde_json::from_str::<Wire<'a>>(json) else { return };
        self.enabled = wire.enabled;
        self.effort = wire.effort.or(self.effort.take());
        self.max_tokens = wire.max_tokens.map(RawValue::get).or(self.max_tokens);
        self.display = wire.display.or(self.display.take());
    }
}
