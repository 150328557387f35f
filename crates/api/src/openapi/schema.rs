//! A schema as a reader sees it.

use maud::{Markup, html};
use serde_json::Value;

use super::page::prose;

const SCHEMAS: &str = "#/components/schemas/";
/// Words of a schema that are shown as they are, with their values.
const BOUNDS: [(&str, &str); 9] = [
    ("minimum", "at least"),
    ("exclusiveMinimum", "above"),
    ("maximum", "at most"),
    ("minLength", "characters, at least"),
    ("maxLength", "characters, at most"),
    ("minItems", "elements, at least"),
    ("maxItems", "elements, at most"),
    ("pattern", "pattern"),
    ("default", "default"),
];

/// The name of the schema that another one refers to.
fn name_of(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or_default()
}

/// What a schema is, in a line.
pub(super) fn kind(schema: &Value) -> Markup {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = name_of(reference);
        return if reference.starts_with(SCHEMAS) {
            html! { a href={ "#schema-" (name) } { (name) } }
        } else {
            html! { (name) }
        };
    }
    if let Some(value) = schema.get("const") {
        return html! { code { (value) } };
    }
    if let Some(values) = schema["enum"].as_array() {
        return html! { @for (place, value) in values.iter().enumerate() { @if place > 0 { " or " } code { (value) } } };
    }
    if let Some(items) = schema.get("items") {
        return html! { "list of " (kind(items)) (or_null(schema)) };
    }
    if let Some(variants) = schema["anyOf"].as_array() {
        let of_kinds = variants.iter().all(|variant| tag_of(variant).is_some());
        if of_kinds {
            return html! { "object" };
        }
        return html! { @for (place, variant) in variants.iter().enumerate() { @if place > 0 { " or " } (kind(variant)) } };
    }
    let (names, format) = (kinds_of(schema), schema["format"].as_str());
    html! {
        @if names.is_empty() { @if schema["allOf"].is_array() { (parts(schema)) } @else { "anything" } }
        (names.join(" or "))
        @if let Some(format) = format { " (" (format) ")" }
        @if schema["contentMediaType"].is_string() { " (a file)" }
    }
}

fn parts(schema: &Value) -> Markup {
    let parts = schema["allOf"].as_array().into_iter().flatten().filter(|part| part["$ref"].is_string());
    html! { @for (place, part) in parts.enumerate() { @if place > 0 { " and " } (kind(part)) } }
}

fn kinds_of(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn or_null(schema: &Value) -> &'static str {
    if kinds_of(schema).contains(&"null") { " or null" } else { "" }
}

/// The value of the member that tells a variant from others.
fn tag_of(variant: &Value) -> Option<(&str, &str)> {
    let mut members = variant["properties"].as_object()?.iter();
    members.find_map(|(name, member)| Some((name.as_str(), member["const"].as_str()?)))
}

/// All that is to be said of a schema: its text, its bounds, its members and theirs.
pub(super) fn whole(schema: &Value) -> Markup {
    let bounds: Vec<_> = BOUNDS.iter().filter_map(|(word, said)| Some((*said, schema.get(*word)?))).collect();
    html! {
        @if let Some(text) = schema["description"].as_str() { (prose(text)) }
        @if !bounds.is_empty() {
            p.bounds { @for (place, (said, value)) in bounds.iter().enumerate() { @if place > 0 { "; " } (said) " " code { (value) } } }
        }
        @if schema["allOf"].is_array() && schema["properties"].is_object() && kinds_of(schema).is_empty() {
            p { "As " (parts(schema)) ", and:" }
        }
        (members(schema))
        @if let Some(items) = schema.get("items") { (inner(items)) }
        @for variant in schema["anyOf"].as_array().into_iter().flatten() {
            @if let Some((name, value)) = tag_of(variant) {
                details { summary { code { (name) } " is " code { (value) } } (members(variant)) }
            } @else {
                (inner(variant))
            }
        }
        @if let Some(of) = schema.get("additionalProperties").filter(|of| of.is_object()) {
            p { "Any other member: " (kind(of)) }
        }
    }
}

/// What is within, where that is not shown under a name of its own.
fn inner(schema: &Value) -> Markup {
    let has_more =
        schema["properties"].is_object() || schema["anyOf"].is_array() || schema["items"].is_object();
    html! { @if has_more { (whole(schema)) } }
}

fn members(schema: &Value) -> Markup {
    let Some(members) = schema["properties"].as_object() else { return html! {} };
    let needed = schema["required"].as_array();
    let is_needed = |name: &str| needed.is_some_and(|needed| needed.iter().any(|needed| needed == name));
    html! {
        ul.members {
            @for (name, member) in members.iter().filter(|(_, member)| **member != Value::Bool(false)) {
                li {
                    code.name { (name) } " " span.kind { (kind(member)) }
                    @if is_needed(name) { " " span.needed { "required" } }
                    (whole(member))
                }
            }
        }
    }
}
