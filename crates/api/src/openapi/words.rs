//! The words of ours in operations, as OpenAPI has them: see `openapi/README.md`.

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

/// What is answered to any request: what is not HTTP, comes too slowly, or has too large a head.
const ANY: [&str; 3] = ["400", "408", "431"];
/// What is answered to one with a body besides.
const WITH_BODY: [&str; 2] = ["413", "429"];
const METHODS: [&str; 4] = ["get", "put", "post", "delete"];
const LIMITS: [(&str, &str); 6] = [
    ("x-ratelimit-limit-requests", "LimitRequests"),
    ("x-ratelimit-remaining-requests", "RemainingRequests"),
    ("x-ratelimit-reset-requests", "ResetRequests"),
    ("x-ratelimit-limit-tokens", "LimitTokens"),
    ("x-ratelimit-remaining-tokens", "RemainingTokens"),
    ("x-ratelimit-reset-tokens", "ResetTokens"),
];

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Anybody,
    /// With a virtual key, or without one.
    Client,
    Key,
    Administrator,
    /// Who has a virtual key, or administers.
    Lists,
}

/// # Errors
/// For a word that is none, or stands where it cannot.
pub(super) fn replace(document: &mut Value) -> anyhow::Result<()> {
    let errors = document.as_object_mut().and_then(|all| all.remove("errors")).context("errors")?;
    for (status, error) in errors.as_object().into_iter().flatten() {
        let mut error = error.clone();
        error["is"] = json!("Error");
        document["components"]["responses"][name_of(status)] = response(&error, true)?;
    }
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        let item = item.as_object_mut().context("a path is an object")?;
        for method in METHODS {
            let Some(operation) = item.get_mut(method) else { continue };
            let has_head = replace_in(operation).with_context(|| format!("{method} {path}"))?;
            if has_head {
                let head = head_of(operation);
                item.insert("head".to_owned(), head);
            }
        }
    }
    Ok(())
}

fn name_of(status: &str) -> String {
    format!("Error{status}")
}

/// Whether the operation is also answered to HEAD.
fn replace_in(operation: &mut Value) -> anyhow::Result<bool> {
    let operation = operation.as_object_mut().context("an operation is an object")?;
    let access = operation.remove("access").context("access")?;
    let access = Access::of(access.as_str().unwrap_or_default())?;
    operation.insert("security".to_owned(), access.security());
    let mut statuses: Vec<String> = ANY.map(str::to_owned).into();
    if operation.contains_key("requestBody") {
        statuses.extend(WITH_BODY.map(str::to_owned));
    }
    statuses.extend(access.errors().iter().map(|status| (*status).to_owned()));
    for status in operation.remove("errors").as_ref().and_then(Value::as_array).into_iter().flatten() {
        statuses.push(status.as_str().map_or_else(|| status.to_string(), str::to_owned));
    }
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut).context("responses")?;
    for answer in responses.values_mut() {
        *answer = response(answer, access != Access::Anybody && access != Access::Administrator)?;
    }
    for status in statuses {
        let error = json!({"$ref": format!("#/components/responses/{}", name_of(&status))});
        responses.entry(status).or_insert(error);
    }
    Ok(operation.remove("head").is_some_and(|head| head == true))
}

/// A response with its headers, and with the body that it `is`.
fn response(said: &Value, tells_limits: bool) -> anyhow::Result<Value> {
    let mut response = said.as_object().context("a response is an object")?.clone();
    if let Some(schema) = response.remove("is") {
        let schema = schema.as_str().context("is: the name of a schema")?;
        let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
        response.insert("content".to_owned(), json!({"application/json": {"schema": schema}}));
    }
    let mut headers = Map::new();
    let mut add = |header: &str, name: &str| {
        headers.insert(header.to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    };
    for (header, name) in said["headers"].as_object().into_iter().flatten() {
        add(header, name.as_str().context("headers: the name of a header")?);
    }
    add("x-request-id", "RequestId");
    if tells_limits {
        LIMITS.iter().for_each(|(header, name)| add(header, name));
    }
    response.insert("headers".to_owned(), Value::Object(headers));
    Ok(Value::Object(response))
}

/// The same without the bodies of its answers.
fn head_of(get: &Value) -> Value {
    let mut head = get.clone();
    if let Some(id) = get["operationId"].as_str() {
        head["operationId"] = json!(format!("{id}Head"));
    }
    for (status, response) in head["responses"].as_object_mut().into_iter().flatten() {
        let description = if let Some(response) = response.as_object_mut() {
            response.remove("content");
            response.remove("links");
            response.get("description").cloned()
        } else {
            None
        };
        if description.is_none() {
            *response = json!({"description": format!("As {status} of GET.")});
        }
    }
    head
}

impl Access {
    fn of(word: &str) -> anyhow::Result<Self> {
        Ok(match word {
            "none" => Self::Anybody,
            "client" => Self::Client,
            "key" => Self::Key,
            "administrator" => Self::Administrator,
            "lists" => Self::Lists,
            other => bail!("access: {other:?} is nobody"),
        })
    }

    fn security(self) -> Value {
        const KEY: [&str; 2] = ["virtualKey", "virtualKeyBearer"];
        const ADMINISTRATOR: [&str; 3] = ["login", "session", "setupToken"];
        let names: &[&[&str]] = match self {
            Self::Anybody => &[],
            Self::Client | Self::Key => &[&KEY],
            Self::Administrator => &[&ADMINISTRATOR],
            Self::Lists => &[&KEY, &ADMINISTRATOR],
        };
        let ways = names.iter().copied().flatten().map(|name| json!({*name: []}));
        let nothing = (self == Self::Client).then(|| json!({}));
        nothing.into_iter().chain(ways).collect()
    }

    /// What those are answered who may not.
    const fn errors(self) -> &'static [&'static str] {
        match self {
            Self::Anybody | Self::Client => &[],
            Self::Key => &["401", "403"],
            Self::Administrator | Self::Lists => &["401", "403", "429", "503"],
        }
    }
}
