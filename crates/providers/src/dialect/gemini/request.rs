//! The request of `generateContent`: <https://ai.google.dev/api/generate-content>

use std::borrow::Cow;

use hermod_types::RawObject;

use super::Host;
use super::contents::{Conversation, conversation};
use crate::chat::{ChatRequest, Reasoning, ResponseFormat, Tool, ToolChoice};
use crate::dialect::Unsendable;
use crate::dialect::members;
use crate::literal::Literal;
use crate::request_body::{RequestBody, write_object};

/// Writes the request.
///
/// # Errors
/// With the path of a member that cannot be said.
pub(in crate::dialect) fn body(
    host: Host,
    model: &str,
    chat: &ChatRequest<'_>,
) -> Result<String, Unsendable> {
    let mut body = RequestBody::new(&["prompt", "n", "echo"]);
    let mut config = RequestBody::nested();
    let mut clients: Option<RawObject<'_>> = None;
    let mut searches = false;
    for (name, value) in &chat.members {
        match name.as_ref() {
            "temperature" => config.own("temperature", value),
            "top_p" => config.own("topP", value),
            "top_k" => config.own("topK", value),
            "frequency_penalty" => config.own("frequencyPenalty", value),
            "presence_penalty" => config.own("presencePenalty", value),
            // It is 32 bits wide there, and promises nothing: a wider one is left out.
            "seed" if value.parse::<i32>().is_err() => {}
            "seed" => config.own("seed", value),
            "logprobs" if *value == "true" => config.own("responseLogprobs", value),
            "top_logprobs" if *value != "0" => config.own("logprobs", value),
            "web_search_options" => searches = can_search(value)?,
            // The client's own, in Google's words.
            "generationConfig" => clients = serde_json::from_str(value).ok(),
            name => members::add(&mut body, name, value)?,
        }
    }
    let Conversation { system, contents } = conversation(host, thinks_in_levels(model), chat)?;
    body.own("contents", &contents);
    if let Some(parts) = system {
        body.own("systemInstruction", &format!("{{\"parts\":{parts}}}"));
    }
    write_tools(&mut body, chat, searches)?;
    if let Some(most) = chat.max_tokens {
        config.own("maxOutputTokens", most);
    }
    if let Some(stop) = chat.stop_list() {
        config.own("stopSequences", &stop);
    }
    if let Some(format) = &chat.response_format {
        config.own("responseMimeType", "\"application/json\"");
        if let ResponseFormat::JsonSchema { schema: Some(schema), .. } = format {
            config.own("responseJsonSchema", schema);
        }
    }
    if let Some(thinking) = thinking(model, &chat.reasoning)? {
        config.own("thinkingConfig", &thinking);
    }
    for (name, value) in clients.iter().flat_map(RawObject::members) {
        config.client(name, value.get());
    }
    if !config.is_empty() {
        body.own("generationConfig", &config.finish());
    }
    Ok(body.finish())
}

/// Whether there is to be a search, of which no more can be said: <https://ai.google.dev/gemini-api/docs/google-search>
fn can_search(options: &str) -> Result<bool, Unsendable> {
    let options: RawObject<'_> = serde_json::from_str(options).map_err(|_| Unsendable::Unreadable)?;
    let is_said = |value: &str| !matches!(value, "null" | "\"medium\"");
    match options.members().find(|(_, value)| is_said(value.get())) {
        Some((name, _)) => Err(Unsendable::Member(format!("web_search_options.{name}"))),
        None => Ok(true),
    }
}

fn write_tools(body: &mut RequestBody<'_>, chat: &ChatRequest<'_>, searches: bool) -> Result<(), Unsendable> {
    let declarations: Vec<String> = chat.tools.iter().map(declaration).collect();
    let functions = (!declarations.is_empty())
        .then(|| format!("{{\"functionDeclarations\":[{}]}}", declarations.join(",")));
    let tools: Vec<String> =
        functions.into_iter().chain(searches.then(|| "{\"googleSearch\":{}}".to_owned())).collect();
    if !tools.is_empty() {
        body.own("tools", &format!("[{}]", tools.join(",")));
    }
    if chat.tools.is_empty() {
        return Ok(());
    }
    if chat.parallel_tool_calls == Some(false) {
        return Err(Unsendable::Member("parallel_tool_calls".to_owned()));
    }
    let mode = match &chat.tool_choice {
        // As strict as OpenAI's: a call keeps to the schema.
        Some(ToolChoice::Auto) | None if chat.tools.iter().any(|tool| tool.strict == Some(true)) => {
            Cow::Borrowed("\"VALIDATED\"")
        }
        Some(ToolChoice::Auto) | None => return Ok(()),
        Some(ToolChoice::None) => Cow::Borrowed("\"NONE\""),
        Some(ToolChoice::Required) => Cow::Borrowed("\"ANY\""),
        Some(ToolChoice::Function(name)) => {
            Cow::Owned(format!("\"ANY\",\"allowedFunctionNames\":[{}]", name.as_json()))
        }
    };
    body.own("toolConfig", &format!("{{\"functionCallingConfig\":{{\"mode\":{mode}}}}}"));
    Ok(())
}

/// `parametersJsonSchema` takes any JSON schema, where `parameters` takes a part of OpenAPI's:
/// <https://ai.google.dev/api/caching#FunctionDeclaration>
fn declaration(tool: &Tool<'_>) -> String {
    write_object(&[
        ("name", Some(tool.name.as_json())),
        ("description", tool.description.as_ref().map(Literal::as_json)),
        ("parametersJsonSchema", tool.parameters),
    ])
}

/// Models from Gemini 3 on are told how much to think by a level, and refuse calls of functions without a signature; those before, and
/// what is tuned from them, which has a number for a name, are given a budget of tokens.
fn thinks_in_levels(model: &str) -> bool {
    let is_number = model.bytes().all(|byte| byte.is_ascii_digit());
    !is_number && !["gemini-1", "gemini-2", "tunedModels/"].iter().any(|older| model.contains(older))
}

/// `thinkingConfig`: <https://ai.google.dev/gemini-api/docs/thinking>. Budgets are those that Google gives OpenAI's words:
/// <https://ai.google.dev/gemini-api/docs/openai#thinking>
fn thinking(model: &str, reasoning: &Reasoning<'_>) -> Result<Option<String>, Unsendable> {
    let effort = reasoning.effort.as_deref();
    if reasoning.enabled == Some(false) || effort == Some("none") {
        return Ok(Some("{\"thinkingBudget\":0}".to_owned()));
    }
    let shows = reasoning.display.as_ref().is_none_or(|display| display.decode() != "omitted");
    let shows = format!("\"includeThoughts\":{shows}");
    let how_much = match (reasoning.max_tokens, effort) {
        (Some(budget), _) => format!("\"thinkingBudget\":{budget},"),
        (None, Some(effort)) => {
            let (level, budget) = match effort {
                "minimal" => ("MINIMAL", 1024),
                "low" => ("LOW", 1024),
                "medium" => ("MEDIUM", 8192),
                // There is no more.
                "high" | "xhigh" | "max" => ("HIGH", 24_576),
                _ => return Err(Unsendable::Member("reasoning_effort".to_owned())),
            };
            if thinks_in_levels(model) {
                format!("\"thinkingLevel\":\"{level}\",")
            } else {
                format!("\"thinkingBudget\":{budget},")
            }
        }
        (None, None) if reasoning.enabled.is_none() && reasoning.display.is_none() => return Ok(None),
        (None, None) => String::new(),
    };
    Ok(Some(format!("{{{how_much}{shows}}}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_to_think_is_said_as_the_model_takes_it() {
        for (model, body, said) in [
            (
                "gemini-2.5-flash",
                r#"{"reasoning_effort":"medium"}"#,
                r#"{"thinkingBudget":8192,"includeThoughts":true}"#,
            ),
            (
                "gemini-3-pro",
                r#"{"reasoning_effort":"minimal"}"#,
                r#"{"thinkingLevel":"MINIMAL","includeThoughts":true}"#,
            ),
            (
                "gemini-3-pro",
                r#"{"reasoning_effort":"xhigh"}"#,
                r#"{"thinkingLevel":"HIGH","includeThoughts":true}"#,
            ),
            ("4567", r#"{"reasoning_effort":"low"}"#, r#"{"thinkingBudget":1024,"includeThoughts":true}"#),
            (
                "gemini-3-pro",
                r#"{"reasoning":{"max_tokens":77}}"#,
                r#"{"thinkingBudget":77,"includeThoughts":true}"#,
            ),
            (
                "gemini-3-pro",
                r#"{"reasoning":{"enabled":true,"display":"omitted"}}"#,
                r#"{"includeThoughts":false}"#,
            ),
            ("gemini-2.5-pro", r#"{"reasoning":{"enabled":false}}"#, r#"{"thinkingBudget":0}"#),
            ("gemini-2.5-pro", r#"{"reasoning_effort":"none"}"#, r#"{"thinkingBudget":0}"#),
            ("gemini-2.5-pro", r"{}", ""),
        ] {
            let chat = ChatRequest::parse(body).unwrap();
            let got = thinking(model, &chat.reasoning).unwrap();
            assert_eq!(got.as_deref().unwrap_or_default(), said, "{model} {body}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_named() {
        let message = |content: &str| format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
        for (host, body, path) in [
            (Host::GeminiApi, r#"{"logit_bias":{"1":2}}"#.to_owned(), "logit_bias"),
            (
                Host::GeminiApi,
                r#"{"tools":[{"type":"function","function":{"name":"f"}}],"parallel_tool_calls":false}"#
                    .to_owned(),
                "parallel_tool_calls",
            ),
            (
                Host::GeminiApi,
                r#"{"web_search_options":{"user_location":{}}}"#.to_owned(),
                "web_search_options.user_location",
            ),
            (Host::GeminiApi, r#"{"reasoning_effort":"colossal"}"#.to_owned(), "reasoning_effort"),
            (
                Host::GeminiApi,
                r#"{"messages":[{"role":"tool","tool_call_id":"nobody","content":"x"}]}"#.to_owned(),
                "messages[0].tool_call_id",
            ),
            (
                Host::GeminiApi,
                message(r#"[{"type":"image_url","image_url":{"url":"ftp://x/y.png"}}]"#),
                "messages[0].content[0].image_url.url",
            ),
            (
                Host::GeminiApi,
                message(r#"[{"type":"file","file":{"file_id":"file-1"}}]"#),
                "messages[0].content[0].file.file_id",
            ),
            (
                Host::GeminiApi,
                message(r#"[{"type":"file","file":{"file_data":"AAAA"}}]"#),
                "messages[0].content[0].file.file_data",
            ),
            (
                Host::Vertex,
                message(r#"[{"type":"image_url","image_url":{"url":"https://x/y"}}]"#),
                "messages[0].content[0].image_url.url",
            ),
        ] {
            let chat = ChatRequest::parse(&body).unwrap();
            let said = super::body(host, "gemini-3-pro", &chat);
            assert_eq!(said, Err(Unsendable::Member(path.to_owned())), "{body}");
        }
    }
}
