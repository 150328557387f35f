use anyhow::Context;
use hermod_types::{BodyForm, Operation};
use serde_json::{Map, Value, json};

use super::words;

/// The files of the folder `openapi`, by their paths without `.yaml`: see `build.rs`.
const SOURCES: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));

const TEMPLATES: &str = "templates/";
/// What stands for the tags of endpoints.
const ENDPOINTS: &str = "@endpoints@";

/// The document, of all of its parts.
///
/// # Errors
/// If one is not what it should be.
pub(super) fn document() -> anyhow::Result<Value> {
    let sources: Map<String, Value> = serde_json::from_str(SOURCES)?;
    let source = |name: &str| sources.get(name).with_context(|| format!("openapi/{name}.yaml is missing"));
    let mut document = json!({});
    let is_own = |name: &str| !name.starts_with(TEMPLATES) && name != "endpoints";
    for (_, part) in sources.iter().filter(|(name, _)| is_own(name)) {
        merge(&mut document, part.clone());
    }

    let uses = source("templates/uses")?.as_object().context("uses of templates are an object")?;
    for (template, uses) in uses {
        let template = source(&format!("{TEMPLATES}{template}"))?;
        for words in uses.as_array().context("uses of a template are a list")? {
            let words = words.as_object().context("words are an object")?;
            let words = words.iter().map(|(word, value)| (word.as_str(), value.as_str().unwrap_or_default()));
            merge(&mut document, filled(template, words)?);
        }
    }

    let (template, endpoints) = (source("templates/endpoint")?, source("endpoints")?);
    let mut tags = Vec::new();
    for operation in Operation::all() {
        let (name, said) = (format!("{operation:?}"), &endpoints[format!("{operation:?}")]);
        merge(&mut document, schemas_of(operation, &name, said));
        if !operation.is_public() {
            continue;
        }
        tags.push(json!({"name": operation.path(), "description": said["text"]}));
        let media = match operation.form() {
            BodyForm::Json => "application/json",
            BodyForm::Multipart => "multipart/form-data",
        };
        let title = said["title"].as_str().with_context(|| format!("endpoints.yaml: {name} has no title"))?;
        let article = if title.starts_with(['a', 'e', 'i', 'o', 'u', 'O']) { "an" } else { "a" };
        let one = format!("{article} {title}");
        let words = [("path", operation.path()), ("Name", &name), ("one", &one), ("media", media)];
        merge(&mut document, filled(template, words)?);
    }
    put_tags(&mut document, tags);
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    words::replace(&mut document)?;
    Ok(document)
}

/// The request, the result and the job of an operation.
fn schemas_of(operation: Operation, name: &str, said: &Value) -> Value {
    let mut request = operation.request_schema();
    request["properties"]["model"]["description"] = json!(
        "`provider/model`. With a virtual key a model alone will do: the key's weights choose the provider."
    );
    request["properties"]["fallbacks"]["description"] =
        json!("More `provider/model`, tried in order after `model` has failed.");
    request["properties"]["stream"]["description"] = json!("`true` is refused.");
    request["description"] =
        json!("Members that are not named here reach a provider of the same form as they are.");
    merge(&mut request, said["request"].clone());
    let mut result = json!({
        "type": "object",
        "description": "The provider's answer; of one with another form, what is made of it.",
        "properties": {"extra_fields": {"$ref": "#/components/schemas/ResultExtra"}},
        "additionalProperties": true,
    });
    merge(&mut result, said["result"].clone());
    let mut schemas = json!({format!("{name}Request"): request, format!("{name}Result"): result});
    if operation.is_public() {
        schemas[format!("{name}Job")] = json!({
            "allOf": [{"$ref": "#/components/schemas/Job"}],
            "properties": {"result": {"$ref": format!("#/components/schemas/{name}Result")}},
        });
    }
    json!({"components": {"schemas": schemas}})
}

/// A template with its words.
fn filled<'w>(
    template: &Value,
    words: impl IntoIterator<Item = (&'w str, &'w str)>,
) -> anyhow::Result<Value> {
    let mut text = template.to_string();
    for (word, value) in words {
        let value = Value::from(value).to_string();
        // As it stands within a string of JSON.
        let value = value.get(1..value.len() - 1).unwrap_or_default();
        text = text.replace(&format!("@{word}@"), value);
    }
    Ok(serde_json::from_str(&text)?)
}

fn put_tags(document: &mut Value, endpoints: Vec<Value>) {
    let Some(tags) = document["tags"].as_array_mut() else { return };
    if let Some(place) = tags.iter().position(|tag| tag == ENDPOINTS) {
        tags.splice(place..=place, endpoints);
    }
}

/// Adds `part`: objects by their members, lists behind each other. Of two other values, the later one counts.
fn merge(document: &mut Value, part: Value) {
    match (document, part) {
        (Value::Object(document), Value::Object(part)) => {
            for (name, value) in part {
                merge(document.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(document), Value::Array(part)) => document.extend(part),
        (_, Value::Null) => {}
        (document, part) => *document = part,
    }
}
