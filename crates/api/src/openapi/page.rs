//! The description as a page that needs nothing but itself: no script, and nothing from elsewhere.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use pulldown_cmark::{Parser, html::push_html};
use serde_json::Value;

use super::DOCUMENT;
use super::schema::{kind, whole};

pub(super) const STYLE: &str = include_str!("page.css");

const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

/// One operation, with what a page says of it.
struct Operation<'d> {
    method: &'static str,
    path: &'d str,
    /// The path with its parameters.
    item: &'d Value,
    is: &'d Value,
}

impl<'d> Operation<'d> {
    fn all(document: &'d Value) -> Vec<Self> {
        let paths = document["paths"].as_object().into_iter().flatten();
        let of = |(path, item): (&'d String, &'d Value)| {
            let methods = METHODS.into_iter();
            methods.filter_map(move |method| Some(Self { method, path, item, is: item.get(method)? }))
        };
        paths.flat_map(of).collect()
    }

    fn id(&self) -> &'d str {
        self.is["operationId"].as_str().unwrap_or_default()
    }

    fn has_tag(&self, tag: &str) -> bool {
        self.is["tags"].as_array().is_some_and(|tags| tags.iter().any(|its| its == tag))
    }

    fn parameters(&self) -> impl Iterator<Item = &'d Value> {
        let of = |value: &'d Value| value["parameters"].as_array().into_iter().flatten();
        of(self.item).chain(of(self.is))
    }
}

/// The whole page.
pub(super) fn html(document: &Value) -> String {
    let (info, operations) = (&document["info"], Operation::all(document));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tags: Vec<_> =
        document["tags"].as_array().into_iter().flatten().map(|tag| (text(&tag["name"]), tag)).collect();
    let schemas = document["components"]["schemas"].as_object();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (text(&info["title"])) " API" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "To the content" }
                header {
                    h1 { (text(&info["title"])) " API " small { (text(&info["version"])) } }
                    p { (text(&info["summary"])) " " a href=(DOCUMENT) { "openapi.json" } }
                }
                nav aria-label="Index" { (index(&tags, &operations)) }
                main id="main" {
                    section { (prose(&text(&info["description"]))) (access(document)) }
                    @for (name, tag) in &tags {
                        section id=(anchor(name)) {
                            h2 { (name) }
                            (prose(&text(&tag["description"])))
                            @for operation in operations.iter().filter(|operation| operation.has_tag(name)) {
                                (article(operation, document))
                            }
                        }
                    }
                    section id="schemas" {
                        h2 { "Schemas" }
                        @for (name, schema) in schemas.into_iter().flatten() {
                            article.schema id={ "schema-" (name) } { h3 { (name) } p.kind { (kind(schema)) } (whole(schema)) (example(schema)) }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

fn index(tags: &[(String, &Value)], operations: &[Operation<'_>]) -> Markup {
    html! {
        @for (name, _) in tags {
            details {
                summary { a href={ "#" (anchor(name)) } { (name) } }
                ul {
                    @for operation in operations.iter().filter(|operation| operation.has_tag(name)) {
                        li { a href={ "#" (operation.id()) } { (method(operation.method)) " " (operation.is["summary"].as_str().unwrap_or_default()) } }
                    }
                }
            }
        }
        p { a href="#schemas" { "Schemas" } }
    }
}

/// How a request shows who it is from.
fn access(document: &Value) -> Markup {
    html! {
        h2 id="access" { "Access" }
        dl {
            @for (name, scheme) in document["components"]["securitySchemes"].as_object().into_iter().flatten() {
                dt id={ "access-" (name) } { code { (name) } }
                dd { (prose(scheme["description"].as_str().unwrap_or_default())) }
            }
        }
    }
}

fn article(operation: &Operation<'_>, document: &Value) -> Markup {
    let is = operation.is;
    let parameters: Vec<_> = operation.parameters().map(|parameter| resolved(document, parameter)).collect();
    let body = is["requestBody"]["content"].as_object();
    html! {
        article id=(operation.id()) {
            h3 { (method(operation.method)) " " a href={ "#" (operation.id()) } { code { (operation.path) } } }
            p.summary { (is["summary"].as_str().unwrap_or_default()) }
            @if let Some(text) = is["description"].as_str() { (prose(text)) }
            @if operation.item.get("head").is_some() && operation.method == "get" { p.note { "Also HEAD." } }
            (security(&is["security"]))
            @if !parameters.is_empty() {
                details open[parameters.len() < 5] {
                    summary { "Parameters" }
                    ul.members { @for parameter in parameters { (shown_parameter(parameter)) } }
                }
            }
            @for (media, content) in body.into_iter().flatten() {
                h4 { "Body " small { (media) } }
                p { (kind(&content["schema"])) }
                (whole(&content["schema"]))
                (example(resolved(document, &content["schema"])))
            }
            h4 { "Answers" }
            table {
                tbody {
                    @for (status, response) in is["responses"].as_object().into_iter().flatten() {
                        (shown_response(status, resolved(document, response)))
                    }
                }
            }
        }
    }
}

fn security(ways: &Value) -> Markup {
    let ways: Vec<_> = ways.as_array().into_iter().flatten().filter_map(Value::as_object).collect();
    let is_optional = ways.iter().any(|way| way.is_empty());
    let names: Vec<_> = ways.iter().flat_map(|way| way.keys()).collect();
    html! {
        @if !names.is_empty() {
            p.note {
                "Access: "
                @for (place, name) in names.iter().enumerate() { @if place > 0 { ", " } a href={ "#access-" (name) } { (name) } }
                @if is_optional { "; optional" }
            }
        }
    }
}

fn shown_parameter(parameter: &Value) -> Markup {
    html! {
        li {
            code.name { (parameter["name"].as_str().unwrap_or_default()) } " "
            span.kind { (parameter["in"].as_str().unwrap_or_default()) ", " (kind(&parameter["schema"])) }
            @if parameter["required"] == true { " " span.needed { "required" } }
            @if let Some(text) = parameter["description"].as_str() { (prose(text)) }
            (whole(&parameter["schema"]))
        }
    }
}

fn shown_response(status: &str, response: &Value) -> Markup {
    let is_usual = |header: &str| header == "x-request-id" || header.starts_with("x-ratelimit-");
    let headers: Vec<_> = response["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| !is_usual(name))
        .collect();
    html! {
        tr.{ "s" (status.get(..1).unwrap_or_default()) } {
            th scope="row" { (status) }
            td {
                (prose(response["description"].as_str().unwrap_or_default()))
                @for (media, content) in response["content"].as_object().into_iter().flatten() {
                    @let schema = &content["schema"];
                    p.kind { (media) @if schema.get("$ref").is_some() { ": " (kind(schema)) } }
                    @if schema.get("properties").is_some() { (whole(schema)) }
                }
                @if !headers.is_empty() {
                    p.kind { "Headers: " @for (place, header) in headers.iter().enumerate() { @if place > 0 { ", " } code { (header) } } }
                }
            }
        }
    }
}

fn example(schema: &Value) -> Markup {
    let Some(example) = schema.get("example") else { return html! {} };
    html! { pre { code { (format!("{example:#}")) } } }
}

fn method(method: &str) -> Markup {
    html! { span.method.(method) { (method.to_uppercase()) } }
}

fn anchor(tag: &str) -> String {
    let mut anchor = String::from("tag-");
    for letter in tag.chars() {
        let kept = if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
        anchor.push(kept);
    }
    anchor
}

/// What a reference leads to.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let reference = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

/// Markdown as HTML.
pub(super) fn prose(text: &str) -> Markup {
    let mut html = String::with_capacity(text.len() * 2);
    push_html(&mut html, Parser::new(text));
    PreEscaped(html)
}
