//! Answers are held against the API's own description: their status, their media type and their bodies.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::{Draft, Registry, Validator};
use reqwest::Method;
use serde_json::{Value, json};

use crate::Answer;

/// Under which schemas refer to the document.
const NAME: &str = "urn:hermod";
/// A larger body is not read once more for this.
const LARGEST: usize = 1 << 20;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| hermod_api::openapi::document().unwrap());
static REGISTRY: LazyLock<Registry<'static>> =
    LazyLock::new(|| Registry::new().add(NAME, closed(DOCUMENT.clone())).unwrap().prepare().unwrap());
/// By the pointer to the schema: it is compiled once a process.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// The API's description, as it is built in here.
pub fn description() -> &'static Value {
    &DOCUMENT
}

/// Asserts that the description has this answer to `method`.
pub(crate) fn check(method: &Method, answer: &Answer) {
    let path = path_of(&answer.path);
    let operation = path.and_then(|(_, item)| item.get(method.as_str().to_ascii_lowercase()));
    if answer.status == 405 {
        assert!(operation.is_none(), "{method} is in the description: {answer:?}");
        return;
    }
    let is_page = answer.path == "/ui" || answer.path.starts_with("/ui/");
    if is_page || (answer.status == 404 && answer.text.contains("\"path_not_found\"")) {
        return;
    }
    let (Some((template, _)), Some(operation)) = (path, operation) else {
        // What stands before the routes: the administration's guard, and what is no HTTP.
        assert!(matches!(answer.status, 400..=499), "{method} is not in the description: {answer:?}");
        return;
    };
    let responses = &operation["responses"];
    let status = answer.status.to_string();
    let kind = format!("{}XX", answer.status / 100);
    let status = [status, kind].into_iter().find(|status| responses.get(status).is_some());
    let Some(status) = status else {
        panic!("{method} {template}: the description has no such status: {answer:?}")
    };
    let mut pointer =
        format!("/paths/{}/{}/responses/{status}", escaped(template), method.as_str().to_ascii_lowercase());
    if let Some(reference) = responses[&status]["$ref"].as_str() {
        pointer = reference.trim_start_matches('#').to_owned();
    }
    let response = match responses[&status]["$ref"].as_str() {
        Some(_) => DOCUMENT.pointer(&pointer).unwrap(),
        None => &responses[&status],
    };
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let header = header["$ref"]
            .as_str()
            .map_or(header, |reference| DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap());
        let is_there = answer.headers.contains_key(name);
        assert!(is_there || header["required"] != true, "{method} {template}: no {name}: {answer:?}");
    }
    let Some(content) = response["content"].as_object() else { return };
    if content.contains_key("*/*") || *method == Method::HEAD {
        return;
    }
    let media = answer.header("content-type").split(';').next().unwrap_or_default().to_owned();
    let described = content.get(&media);
    assert!(described.is_some(), "{method} {template}: the description has no {media}: {answer:?}");
    if media == "application/json" && answer.bytes.len() <= LARGEST {
        let schema = format!("{pointer}/content/application~1json/schema");
        let body: Value =
            serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        assert_valid(&schema, &body, &format!("{method} {template} {status}"));
    }
}

/// Asserts that a value is what the schema at this pointer of the description says.
pub fn assert_valid(pointer: &str, value: &Value, what: &str) {
    let validator = Arc::clone(
        VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner).entry(pointer.to_owned()).or_insert_with(
            || {
                let schema = json!({"$ref": format!("{NAME}#{pointer}")});
                let options =
                    jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
                Arc::new(options.with_registry(&REGISTRY).build(&schema).unwrap())
            },
        ),
    );
    let wrong: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{what} is not what the description says: {wrong:#?}\n{value:#}");
}

/// The path of the description that a request's path is of: a literal one before one with parameters.
fn path_of(path: &str) -> Option<(&'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object()?;
    let segments: Vec<_> = path.split('/').collect();
    let matches = |template: &str| {
        let template: Vec<_> = template.split('/').collect();
        let is_of = |(part, segment): (&&str, &&str)| {
            part == segment || (part.starts_with('{') && !segment.is_empty())
        };
        template.len() == segments.len() && template.iter().zip(&segments).all(is_of)
    };
    let found = paths.iter().filter(|(template, _)| matches(template));
    found
        .min_by_key(|(template, _)| template.matches('{').count())
        .map(|(template, item)| (template.as_str(), item))
}

/// A path as a part of a JSON pointer that stands in a URI.
fn escaped(path: &str) -> String {
    path.replace('~', "~0").replace('/', "~1").replace('{', "%7B").replace('}', "%7D")
}

/// The document as answers are held against it: with no member that it does not name, but where it says that there may be others.
/// A client must not do so, as later versions may add some.
fn closed(mut document: Value) -> Value {
    let schemas = document["components"]["schemas"].as_object_mut().unwrap();
    let parts: Vec<String> = schemas
        .values()
        .filter_map(|schema| schema["allOf"].as_array())
        .flatten()
        .filter_map(|part| Some(part["$ref"].as_str()?.rsplit('/').next()?.to_owned()))
        .collect();
    // Requests may have more. What is a part of another is closed with that.
    let is_open = |name: &String| {
        ["Request", "Change", "Create"].iter().any(|end| name.ends_with(end)) || parts.contains(name)
    };
    for (_, schema) in schemas.iter_mut().filter(|(name, _)| !is_open(name)) {
        close(schema);
    }
    for item in document["paths"].as_object_mut().unwrap().values_mut() {
        for operation in item.as_object_mut().unwrap().values_mut() {
            operation.get_mut("responses").into_iter().for_each(close);
        }
    }
    document
}

fn close(value: &mut Value) {
    if let Value::Array(values) = value {
        values.iter_mut().for_each(close);
    }
    let Value::Object(members) = value else { return };
    for (_, member) in members.iter_mut().filter(|(name, _)| !["if", "then"].contains(&name.as_str())) {
        close(member);
    }
    let is_schema = members.get("properties").is_some_and(Value::is_object) && !members.contains_key("in");
    if is_schema && !members.contains_key("additionalProperties") {
        members.insert("unevaluatedProperties".to_owned(), json!(false));
    }
}
