//! Chat at providers of another form than OpenAI's. The request is walked once, as the text that it is; what is only text costs a look.

mod limits;
pub(super) mod messages;
#[cfg(test)]
mod tests;

use serde_json::value::RawValue;

use super::Inexpressible;
use super::text::out_of_bounds;
use crate::RawObject;
use crate::config::{Form, ProviderKind};
use crate::shape::{each_string, find_element, string_of};
use limits::Limits;

pub(super) fn inexpressible(kind: ProviderKind, body: &str, max_calls: u64) -> Option<Inexpressible> {
    let limits = Limits::of(kind)?;
    let object: RawObject<'_> = serde_json::from_str(body).ok()?;
    let given = |name: &str| object.get(name).map(RawValue::get).filter(|value| *value != "null");
    if let Some(reason) = (Kind { kind, limits }).lacked(&object) {
        return Some(reason);
    }
    if let Form::PerPrompt { bounds, .. } = kind.form()
        && let Some(reason) = out_of_bounds(kind, &bounds, &object)
    {
        return Some(reason);
    }
    let member = |name, check: fn(Kind, &str) -> Option<Fault>| {
        check(Kind { kind, limits }, given(name)?).map(|fault| fault.below(name))
    };
    let fault = given("n")
        .and_then(|n| choices(kind, n, max_calls))
        .or_else(|| member("tools", tools))
        .or_else(|| member("tool_choice", tool_choice))
        .or_else(|| member("parallel_tool_calls", parallel_tool_calls).filter(|_| given("tools").is_some()))
        .or_else(|| member("response_format", response_format))
        .or_else(|| member("web_search_options", search))
        .or_else(|| member("messages", messages::fault))?;
    let message = format!("{}: {}", fault.path, fault.message);
    Some(Inexpressible::member(fault.path, message))
}

/// Whose API it is, and what it takes.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) kind: ProviderKind,
    limits: Limits,
}

impl Kind {
    /// None where chat is OpenAI's, or there is none.
    pub(super) fn of(kind: ProviderKind) -> Option<Self> {
        Limits::of(kind).map(|limits| Self { kind, limits })
    }

    /// The first of chat's members that changes the answer and cannot be said.
    pub(super) fn lacked(self, object: &RawObject<'_>) -> Option<Inexpressible> {
        let given = |name: &str| object.get(name).map(RawValue::get).filter(|value| *value != "null");
        let is_lacked = |name: &&str| given(name).is_some_and(|value| !changes_nothing(name, value));
        let param = self.limits.lacks().find(is_lacked)?;
        Some(Inexpressible::member(
            param,
            format!("`{param}` cannot be said in the chat API of {}", self.kind),
        ))
    }

    /// What is wrong with a choice of one function.
    pub(super) fn named_function(self) -> Option<String> {
        (!self.limits.named_function).then(|| format!("{} cannot be told to call one function", self.kind))
    }

    /// What is wrong with media in what a tool has given.
    pub(super) fn tool_media(self) -> Option<String> {
        (!self.limits.tool_media).then(|| format!("{} takes text alone in what a tool has given", self.kind))
    }
}

/// What cannot be said.
pub(super) struct Fault {
    /// Where, as in `messages[1].content[0].image_url.url`.
    pub(super) path: String,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(message: String) -> Self {
        Self { path: String::new(), message }
    }

    pub(super) fn at(path: &str, message: String) -> Self {
        Self { path: path.to_owned(), message }
    }

    /// The same, seen from the object or the array around it.
    pub(super) fn below(self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("{name}{dot}{}", self.path), ..self }
    }
}

/// The first fault of the elements of a JSON array.
pub(super) fn first_fault(list: &str, mut check: impl FnMut(&RawValue) -> Option<Fault>) -> Option<Fault> {
    let mut fault = None;
    let index = find_element(list, |element| {
        fault = check(element);
        fault.is_some()
    })?;
    fault.map(|fault| fault.below(&format!("[{index}]")))
}

pub(super) fn object_of(value: &RawValue) -> Option<RawObject<'_>> {
    serde_json::from_str(value.get()).ok()
}

/// Whether a member of OpenAI's chat has a value with which the answer is as without it.
pub fn changes_nothing(name: &str, value: &str) -> bool {
    let is_empty = |open: char, close: char| {
        let inside = value.strip_prefix(open).and_then(|value| value.strip_suffix(close));
        inside.is_some_and(|inside| inside.trim_ascii().is_empty())
    };
    match name {
        "logprobs" => value == "false",
        "top_logprobs" | "frequency_penalty" | "presence_penalty" => {
            value.parse::<f64>().is_ok_and(|number| number == 0.0)
        }
        "logit_bias" => is_empty('{', '}'),
        "functions" => is_empty('[', ']'),
        "function_call" => matches!(value, "\"auto\"" | "\"none\""),
        "modalities" => {
            let mut is_text = true;
            each_string(value, |modality| is_text &= modality == "text") && is_text
        }
        "verbosity" => value == "\"medium\"",
        "truncation" => value == "\"disabled\"",
        _ => false,
    }
}

/// Each choice is a call.
fn choices(kind: ProviderKind, n: &str, max_calls: u64) -> Option<Fault> {
    let n = n.parse::<u64>().unwrap_or(if n.starts_with('-') { 0 } else { u64::MAX });
    if n == 0 {
        return Some(Fault::at("n", format!("{kind} takes an `n` of 1 or more")));
    }
    let message =
        || format!("{kind} is asked choice by choice, and the limit (HERMOD_MAX_CALLS) is {max_calls}");
    (n > max_calls).then(|| Fault::at("n", message()))
}

fn tools(of: Kind, tools: &str) -> Option<Fault> {
    let kind = of.kind;
    let fault = first_fault(tools, |tool| {
        let tool = object_of(tool)?;
        match string_of(tool.get("type")).as_deref() {
            None | Some("function") if tool.get("function").is_some() => None,
            None | Some("function") => Some(Fault::at("function", "it is needed".to_owned())),
            Some(other) => {
                Some(Fault::at("type", format!("{kind} takes functions as tools, and no `{other:.64}`")))
            }
        }
    });
    fault.or_else(|| mixed(of, tools, "function.strict"))
}

/// The first strict tool among others, where all are or none is. `path` is where a tool says it.
pub(super) fn mixed(of: Kind, tools: &str, path: &str) -> Option<Fault> {
    let is_strict = |tool: &RawValue| {
        let strict = path.split('.').try_fold(tool, |value, name| object_of(value)?.get(name));
        strict.is_some_and(|strict| strict.get() == "true")
    };
    let strict = find_element(tools, is_strict).filter(|_| !of.limits.some_strict)?;
    find_element(tools, |tool| !is_strict(tool))?;
    let message = format!("{} takes tools that are all strict, or none of them", of.kind);
    Some(Fault::at(&format!("[{strict}].{path}"), message))
}

fn tool_choice(of: Kind, choice: &str) -> Option<Fault> {
    let kind = of.kind;
    if choice.starts_with('"') {
        let is_known = matches!(choice, "\"auto\"" | "\"none\"" | "\"required\"" | "\"any\"");
        let message = || format!("{kind} takes `auto`, `none` and `required`");
        return (!is_known).then(|| Fault::new(message()));
    }
    let object: RawObject<'_> = serde_json::from_str(choice).ok()?;
    let function = object.get("function");
    match function {
        Some(_) if of.limits.named_function => None,
        Some(_) => Some(Fault::at("function", format!("{kind} cannot be told to call one function"))),
        None => Some(Fault::new(format!("{kind} takes `auto`, `none`, `required`, or a function"))),
    }
}

pub(super) fn parallel_tool_calls(of: Kind, parallel: &str) -> Option<Fault> {
    let message = || format!("{} cannot be told to call one tool at a time", of.kind);
    (parallel == "false" && !of.limits.single_tool_calls).then(|| Fault::new(message()))
}

pub(super) fn response_format(of: Kind, format: &str) -> Option<Fault> {
    let object: RawObject<'_> = serde_json::from_str(format).ok()?;
    let said = string_of(object.get("type"))?;
    let is_known = match said.as_ref() {
        "text" => true,
        "json_object" => of.limits.json_object,
        "json_schema" => of.limits.json_schema,
        _ => false,
    };
    (!is_known).then(|| Fault::at("type", format!("{} has no response format `{said:.64}`", of.kind)))
}

/// Whether there is a search is all that is said of it.
fn search(of: Kind, options: &str) -> Option<Fault> {
    let object: RawObject<'_> = serde_json::from_str(options).ok()?;
    let is_said = |value: &RawValue| !matches!(value.get(), "null" | "\"medium\"");
    let (name, _) = object.members().find(|(_, value)| is_said(value))?;
    Some(Fault::at(name, format!("{} cannot be told how to search", of.kind)))
}
