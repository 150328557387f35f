use std::borrow::Cow;

use super::wire;
use crate::literal::Literal;
use hermod_types::RawObject;

/// A request of chat, as every dialect reads it. Texts, schemas and arguments are what the client wrote.
///
/// Its form is OpenAI's: <https://platform.openai.com/docs/api-reference/chat/create>, with the members that Bifrost adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChatRequest<'a> {
    pub(crate) messages: Vec<Message<'a>>,
    pub(crate) tools: Vec<Tool<'a>>,
    pub(crate) tool_choice: Option<ToolChoice<'a>>,
    pub(crate) parallel_tool_calls: Option<bool>,
    pub(crate) response_format: Option<ResponseFormat<'a>>,
    pub(crate) reasoning: Reasoning<'a>,
    /// Of `max_completion_tokens`, else `max_tokens`: a JSON number.
    pub(crate) max_tokens: Option<&'a str>,
    /// Choices to ask for.
    pub(crate) n: Option<u64>,
    /// A JSON string, or an array of strings.
    pub(crate) stop: Option<&'a str>,
    pub(crate) user: Option<Literal<'a>>,
    /// All other members that have a value, as JSON: `temperature`, `top_p`, …, and what is a provider's own.
    pub(crate) members: Vec<(Cow<'a, str>, &'a str)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Message<'a> {
    /// Of the roles `system` and `developer`.
    System(Vec<Part<'a>>),
    User(Vec<Part<'a>>),
    Assistant(AssistantMessage<'a>),
    /// What a tool has given.
    Tool {
        call_id: Literal<'a>,
        parts: Vec<Part<'a>>,
        is_error: bool,
    },
}

#[derive(Clone, Debug, Default)]
pub(crate) struct AssistantMessage<'a> {
    pub(crate) parts: Vec<Part<'a>>,
    pub(crate) refusal: Option<Literal<'a>>,
    pub(crate) tool_calls: Vec<ToolCall<'a>>,
    /// What it thought, with what the provider wants to see again.
    pub(crate) reasoning: Vec<ReasoningDetail<'a>>,
    /// What the provider wants to see again with it, as JSON.
    pub(crate) extra_content: Option<Cow<'a, str>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Part<'a> {
    Text(Literal<'a>),
    Image {
        /// `https:`, or `data:` with base64.
        url: Literal<'a>,
        detail: Option<Literal<'a>>,
    },
    Audio {
        /// Base64.
        data: Literal<'a>,
        /// `wav`, `mp3`.
        format: Literal<'a>,
    },
    File {
        /// A data URL.
        data: Option<Literal<'a>>,
        url: Option<Literal<'a>>,
        id: Option<Literal<'a>>,
        name: Option<Literal<'a>>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct ToolCall<'a> {
    pub(crate) id: Literal<'a>,
    pub(crate) name: Literal<'a>,
    /// A JSON string that holds JSON.
    pub(crate) arguments: Literal<'a>,
    /// What the provider wants to see again with it, as JSON.
    pub(crate) extra_content: Option<Cow<'a, str>>,
}

impl ToolCall<'_> {
    pub(crate) fn into_owned(self) -> ToolCall<'static> {
        ToolCall {
            id: self.id.into_owned(),
            name: self.name.into_owned(),
            arguments: self.arguments.into_owned(),
            extra_content: self.extra_content.map(|extra| Cow::Owned(extra.into_owned())),
        }
    }

    /// The arguments as the JSON object that they are; what is none stands in one.
    pub(crate) fn arguments_object(&self) -> Cow<'_, str> {
        let text = self.arguments.decode();
        if text.trim().is_empty() {
            return Cow::Borrowed("{}");
        }
        match serde_json::from_str::<RawObject<'_>>(&text) {
            Ok(_) => text,
            Err(_) => Cow::Owned(format!("{{\"arguments\":{}}}", self.arguments.as_json())),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReasoningDetail<'a> {
    Text {
        text: Literal<'a>,
        signature: Option<Literal<'a>>,
    },
    Summary(Literal<'a>),
    /// What nobody but the provider can read.
    Encrypted {
        data: Literal<'a>,
        id: Option<Literal<'a>>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Tool<'a> {
    pub(crate) name: Literal<'a>,
    pub(crate) description: Option<Literal<'a>>,
    /// A JSON schema, as JSON.
    pub(crate) parameters: Option<&'a str>,
    pub(crate) strict: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToolChoice<'a> {
    Auto,
    None,
    Required,
    /// The function of this name.
    Function(Literal<'a>),
}

#[derive(Clone, Debug)]
pub(crate) enum ResponseFormat<'a> {
    JsonObject,
    JsonSchema {
        name: Literal<'a>,
        description: Option<Literal<'a>>,
        /// As JSON.
        schema: Option<&'a str>,
        strict: Option<bool>,
    },
}

/// How much is to be thought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasoning<'a> {
    /// False where it is switched off.
    pub(crate) enabled: Option<bool>,
    /// `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`.
    pub(crate) effort: Option<Cow<'a, str>>,
    /// A JSON number.
    pub(crate) max_tokens: Option<&'a str>,
    pub(crate) display: Option<Literal<'a>>,
}

impl<'a> ChatRequest<'a> {
    /// Reads the body of a chat request that a submit has let pass; none for what is no such thing.
    pub(crate) fn parse(body: &'a str) -> Option<Self> {
        let object: RawObject<'a> = serde_json::from_str(body).ok()?;
        let mut request = Self::default();
        let mut completion_tokens = None;
        for (name, value) in object.into_members() {
            let json = value.get();
            if json == "null" {
                continue;
            }
            match name.as_ref() {
                "messages" => request.messages = wire::messages(json)?,
                "tools" => request.tools = wire::tools(json)?,
                "tool_choice" => request.tool_choice = wire::tool_choice(json),
                "parallel_tool_calls" => request.parallel_tool_calls = Some(json == "true"),
                "response_format" => request.response_format = wire::response_format(json)?,
                "reasoning" => request.reasoning.read(json),
                "reasoning_effort" => request.reasoning.effort = serde_json::from_str(json).ok(),
                "reasoning_max_tokens" => request.reasoning.max_tokens = Some(json),
                "reasoning_display" => request.reasoning.display = Literal::from_json(json),
                "max_completion_tokens" => completion_tokens = Some(json),
                "max_tokens" => request.max_tokens = Some(json),
                "n" => request.n = Some(json.parse().ok()?),
                "stop" => request.stop = Some(json),
                "user" => request.user = Literal::from_json(json),
                // It says how a stream is to be written.
                "stream_options" => {}
                _ => request.members.push((name, json)),
            }
        }
        request.max_tokens = completion_tokens.or(request.max_tokens);
        Some(request)
    }

    /// The value of one of the other members.
    pub(crate) fn member(&self, wanted: &str) -> Option<&'a str> {
        self.members.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value)
    }

    /// All that the user has said, as one text.
    pub(crate) fn text(&self) -> Literal<'static> {
        let users = self.messages.iter().flat_map(|message| match message {
            Message::User(parts) => parts.as_slice(),
            Message::System(_) | Message::Assistant(_) | Message::Tool { .. } => &[],
        });
        Literal::concat(users.filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Image { .. } | Part::Audio { .. } | Part::File { .. } => None,
        }))
    }

    /// The stop sequences as a JSON array.
    pub(crate) fn stop_list(&self) -> Option<String> {
        self.stop.map(super::stop_list)
    }
}
