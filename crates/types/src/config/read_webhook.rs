//! How an endpoint of webhooks is read, from the file and from the body of a request.

use std::collections::HashSet;

use secrecy::{ExposeSecret, SecretString};

use super::ConfigError;
use super::node::Node;
use super::section::{Report, Section};
use crate::webhook::definition::{Definition, NUMBERS};
use crate::webhook::{Endpoint, EndpointId};

/// Members that answers have and requests may repeat.
const READ_ONLY: [&str; 9] = [
    "id",
    "consecutive_failures",
    "last_success_at",
    "last_failure_at",
    "disabled_reason",
    "is_from_file",
    "config_hash",
    "created_at",
    "updated_at",
];

/// The `webhooks` of the file that nothing is wrong with.
pub(super) fn read_webhooks(file: &mut Section<'_>, report: &Report<'_>) -> Vec<Endpoint> {
    let mut names = HashSet::new();
    let sections = file.sections("webhooks").into_iter();
    sections.filter_map(|section| read_endpoint(section, &mut names, report)).collect()
}

fn read_endpoint(
    mut file: Section<'_>,
    names: &mut HashSet<String>,
    report: &Report<'_>,
) -> Option<Endpoint> {
    let before = report.errors();
    let definition = read_definition(&mut file);
    let secret = file.needed("secret", "expected a secret, without which nobody can verify", |file, name| {
        file.signing_secret(name).map(Some)
    });
    if !definition.name.is_empty() && !names.insert(definition.name.clone()) {
        file.wrong("name", "expected a name that no other endpoint has");
    }
    let checked = match definition.check() {
        Ok(checked) => Some(checked),
        Err(found) => {
            for wrong in found.into_iter().filter(|wrong| !file.blames(&wrong.member)) {
                file.wrong(&wrong.member, wrong.message);
            }
            None
        }
    };
    file.finish();
    let (checked, secret) = (checked?, secret?);
    let id = EndpointId::of_file(&checked.name);
    (report.errors() == before).then(|| Endpoint::of_file(id, checked, secret))
}

/// Reads a request's body, with what is wrong with the types of its members, and with their names.
pub(crate) fn read_body(text: &str) -> Result<Definition, String> {
    // As Bifrost says it, which knows no more of a body that it cannot read.
    const INVALID: &str = "Invalid request payload";
    let Ok(node @ Node::Object(_)) = serde_json::from_str::<Node>(text) else {
        return Err(INVALID.to_owned());
    };
    let report = Report::new(&|_| None);
    // A variable of ours is nothing that a request may read.
    let mut body = Section::root(node, &report).unresolved();
    let definition = read_definition(&mut body);
    body.pass_over(&READ_ONLY);
    if body.has("secret") {
        return Err("webhook endpoint secret is made by the server, and replaced by rotate-secret".to_owned());
    }
    body.finish();
    let (errors, unknown) = report.into_parts();
    if let Some(ConfigError::Shape { path, message } | ConfigError::UnsetVariable { path, name: message }) =
        errors.into_iter().next()
    {
        return Err(format!("{INVALID}: {path}: {message}"));
    }
    if let Some(name) = unknown.first() {
        return Err(format!("{INVALID}: {name}: no such member"));
    }
    let names_variable = |(_, value): &&(String, SecretString)| value.expose_secret().starts_with("env.");
    match definition.headers.iter().find(names_variable) {
        Some((name, _)) => {
            Err(format!("webhook header {name:?} names a variable, which config.json alone may"))
        }
        None => Ok(definition),
    }
}

fn read_definition(file: &mut Section<'_>) -> Definition {
    Definition {
        name: file.text("name").unwrap_or_default(),
        url: file.value("url").unwrap_or_default(),
        events: file.texts("events").unwrap_or_default(),
        headers: read_headers(file),
        include_response: file.boolean("include_response").unwrap_or_default(),
        allow_private_network: file.boolean("allow_private_network").unwrap_or_default(),
        disabled: file.boolean("disabled").unwrap_or_default(),
        numbers: NUMBERS.map(|(name, ..)| file.integer(name).unwrap_or_default()),
        virtual_key_ids: file.texts("virtual_key_ids"),
    }
}

/// Each value a string, or an object as Bifrost's clients send it, `{"value": "…"}`.
fn read_headers(file: &mut Section<'_>) -> Vec<(String, SecretString)> {
    let mut headers = Vec::new();
    for (name, node) in file.entries("headers") {
        let member = format!("headers.{name}");
        let value = match node {
            Node::Null => continue,
            Node::Text(value) => Some(value),
            Node::Object(members) => {
                let value = members.into_iter().find(|(member, _)| member == "value");
                value.and_then(|(_, node)| if let Node::Text(value) = node { Some(value) } else { None })
            }
            Node::Boolean(_) | Node::Number(_) | Node::Array(_) => None,
        };
        match value {
            Some(value) => {
                let value = file.resolve(&member, value).unwrap_or_default();
                headers.push((name, SecretString::from(value)));
            }
            None => file.wrong(&member, "expected a string, or an object with the string `value`"),
        }
    }
    headers
}
