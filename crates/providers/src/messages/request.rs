use std::borrow::Cow;

use hermod_types::RawObject;
use hermod_types::config::ProviderKind;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::content;
use crate::chat::{ChatRequest, Message, ResponseFormat, Tool, ToolChoice};
use crate::literal::Literal;

/// Members that no other provider is sent: they say where and how Anthropic works, and promise nothing of the answer.
const OURS: [&str; 5] = ["cache_control", "inference_geo", "n", "service_tier", "speed"];

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(borrow)]
    name: Literal<'a>,
    #[serde(borrow, default)]
    description: Option<Literal<'a>>,
    #[serde(borrow, default)]
    input_schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Literal<'a>>,
    #[serde(default)]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    budget_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    display: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    user_id: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow, default)]
    effort: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    format: Option<Format<'a>>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
}

/// What a provider's chat has words for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// It can be told how many tokens to think. Elsewhere a budget becomes an effort.
    budgets: bool,
    /// It knows the limit of tokens as `max_completion_tokens`, and its reasoning models by no other name:
    /// <https://platform.openai.com/docs/api-reference/chat/create#chat_create-max_tokens>
    completion_tokens: bool,
}

impl Words {
    /// `is_own` says whether its chat has a form of its own.
    pub(crate) const fn of(kind: ProviderKind, is_own: bool) -> Self {
        Self {
            budgets: is_own,
            completion_tokens: matches!(kind, ProviderKind::OpenAi | ProviderKind::Azure),
        }
    }
}

/// The request as one of chat; none if it has what chat has not.
pub(super) fn read(body: &str, words: Words) -> Option<ChatRequest<'_>> {
    let object: RawObject<'_> = serde_json::from_str(body).ok()?;
    let mut chat = ChatRequest::default();
    for (name, value) in object.into_members().filter(|(_, value)| value.get() != "null") {
        let json = value.get();
        match name.as_ref() {
            "messages" => {
                let messages: Vec<WireMessage<'_>> = serde_json::from_str(json).ok()?;
                for message in messages {
                    content::message(&message.role, message.content.get(), &mut chat.messages)?;
                }
            }
            "system" => chat.messages.insert(0, Message::System(content::parts(json)?)),
            "max_tokens" => chat.max_tokens = Some(json),
            "tools" => {
                let tools: Vec<WireTool<'_>> = serde_json::from_str(json).ok()?;
                chat.tools = tools.into_iter().map(WireTool::read).collect();
            }
            "tool_choice" => {
                let choice: Choice<'_> = serde_json::from_str(json).ok()?;
                chat.parallel_tool_calls = (choice.disable_parallel_tool_use == Some(true)).then_some(false);
                chat.tool_choice = Some(match choice.kind.as_ref() {
                    "any" => ToolChoice::Required,
                    "none" => ToolChoice::None,
                    "tool" => ToolChoice::Function(choice.name?),
                    _ => ToolChoice::Auto,
                });
            }
            "thinking" => {
                let thinking: Thinking<'_> = serde_json::from_str(json).ok()?;
                chat.reasoning.enabled = Some(thinking.kind != "disabled");
                chat.reasoning.max_tokens = thinking.budget_tokens.map(RawValue::get);
                chat.reasoning.display = thinking.display;
            }
            "output_config" => {
                let output: Output<'_> = serde_json::from_str(json).ok()?;
                chat.reasoning.effort = output.effort;
                chat.response_format = output.format.map(Format::read);
            }
            "stop_sequences" => chat.stop = Some(json),
            "metadata" => chat.user = serde_json::from_str::<Metadata<'_>>(json).ok()?.user_id,
            ours if OURS.contains(&ours) => {}
            _ => chat.members.push((name, json)),
        }
    }
    if !words.budgets
        && let Some(budget) = chat.reasoning.max_tokens.take()
    {
        chat.reasoning.effort.get_or_insert_with(|| Cow::Borrowed(effort_of(budget)));
    }
    if words.completion_tokens
        && let Some(most) = chat.max_tokens.take()
    {
        chat.members.push((Cow::Borrowed("max_completion_tokens"), most));
    }
    Some(chat)
}

/// The effort that a budget of tokens is about.
fn effort_of(budget: &str) -> &'static str {
    match budget.parse() {
        Ok(0..4096_u64) => "low",
        Ok(4096..16_384) => "medium",
        Ok(_) | Err(_) => "high",
    }
}

impl<'a> WireTool<'a> {
    fn read(self) -> Tool<'a> {
        Tool {
            name: self.name,
            description: self.description,
            parameters: self.input_schema.map(RawValue::get),
            strict: self.strict,
        }
    }
}

impl<'a> Format<'a> {
    /// Anthropic's answers keep to the schema, so others' must.
    fn read(self) -> ResponseFormat<'a> {
        ResponseFormat::JsonSchema {
            name: Literal::of("response"),
            description: None,
            schema: self.schema.map(RawValue::get),
            strict: Some(true),
        }
    }
}
