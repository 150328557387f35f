//! How a provider's key in the file becomes a [`ProviderKey`].

use std::collections::BTreeMap;

use super::node::Node;
use super::read_provider::check_address;
use super::section::{Report, Section};
use super::{KeyAccess, Models, ProviderKey, ProviderKind};

pub(super) fn read_key(
    index: usize,
    mut file: Section<'_>,
    kind: ProviderKind,
    report: &Report<'_>,
) -> ProviderKey {
    let before = report.errors();
    let name = file.text("name").unwrap_or_else(|| format!("key-{index}"));
    let weight = file.number("weight").unwrap_or(1.0);
    if !(weight.is_finite() && weight >= 0.0) {
        file.wrong("weight", "expected a weight of 0 or more");
    }
    let is_enabled = file.boolean("enabled").unwrap_or(true);
    let mut models = file.texts("models").unwrap_or_default();
    let mut aliases = read_aliases(&mut file);
    let access = read_access(&mut file, &mut models, &mut aliases);
    check_aliases(&aliases, &file);
    let value = file.secret("value");
    if report.errors() == before && value.is_none() {
        check_value_may_lack(&file, kind, &access);
    }
    file.finish();
    ProviderKey {
        name,
        value: value.unwrap_or_default(),
        access,
        // Unlike in a virtual key, no list means that the key serves every model.
        models: if models.is_empty() { Models::All } else { models.into() },
        weight: if is_enabled { weight } else { 0.0 },
        aliases,
    }
}

/// Model names of the client's, to the provider's: a name, or (in newer files) an object with its `model_id`.
fn read_aliases(file: &mut Section<'_>) -> BTreeMap<String, String> {
    let mut aliases = BTreeMap::new();
    for (name, node) in file.entries("aliases") {
        let path = format!("aliases.{name}");
        let model = match node {
            Node::Text(model) => Some(model),
            Node::Object(members) => {
                // What else it says of the model is Bifrost's own matter.
                file.child(&path, Node::Object(members)).text("model_id")
            }
            Node::Null | Node::Boolean(_) | Node::Number(_) | Node::Array(_) => None,
        };
        match model {
            Some(model) => {
                aliases.insert(name, model);
            }
            None => file.wrong(&path, "expected a model's name, or an object with its `model_id`"),
        }
    }
    aliases
}

fn read_access(
    file: &mut Section<'_>,
    models: &mut Vec<String>,
    aliases: &mut BTreeMap<String, String>,
) -> KeyAccess {
    let mut access = KeyAccess::Plain;
    for config in ["vllm_key_config", "ollama_key_config", "sgl_key_config"] {
        let Some(mut server) = file.section(config) else { continue };
        let model = server.text("model_name");
        if models.is_empty() {
            models.extend(model);
        }
        access = KeyAccess::Server { url: server.needed("url", "expected an address", Section::value) };
        if let KeyAccess::Server { url } = &access
            && !url.is_empty()
        {
            check_address(&server, "url", url);
        }
        server.finish();
    }
    if let Some(mut azure) = file.section("azure_key_config") {
        aliases.extend(azure.texts_by_name("deployments"));
        let endpoint = azure.value("endpoint");
        if let Some(endpoint) = &endpoint {
            check_address(&azure, "endpoint", endpoint);
        }
        access = KeyAccess::Azure { endpoint, api_version: azure.value("api_version") };
        azure.finish();
    }
    if let Some(mut vertex) = file.section("vertex_key_config") {
        aliases.extend(vertex.texts_by_name("deployments"));
        access = KeyAccess::Vertex {
            project_id: vertex.needed("project_id", "expected a value", Section::value),
            region: vertex.needed("region", "expected a value", Section::value),
            auth_credentials: vertex.secret("auth_credentials"),
        };
        vertex.finish();
    }
    if let Some(mut bedrock) = file.section("bedrock_key_config") {
        aliases.extend(bedrock.texts_by_name("deployments"));
        access = KeyAccess::Bedrock {
            access_key: bedrock.secret("access_key"),
            secret_key: bedrock.secret("secret_key"),
            session_token: bedrock.secret("session_token"),
            region: bedrock.value("region"),
            arn: bedrock.value("arn"),
        };
        bedrock.finish();
    }
    if let Some(mut hugging_face) = file.section("huggingface_key_config") {
        aliases.extend(hugging_face.texts_by_name("deployments"));
        hugging_face.finish();
    }
    access
}

/// A key without a value is wrong, but for a server of one's own, and an identity in the cloud.
fn check_value_may_lack(file: &Section<'_>, kind: ProviderKind, access: &KeyAccess) {
    match access {
        KeyAccess::Bedrock { access_key: Some(_), secret_key: Some(_), .. }
        | KeyAccess::Server { .. }
        | KeyAccess::Vertex { .. } => {}
        KeyAccess::Bedrock { .. } => {
            let message = "expected access_key and secret_key, or a Bedrock API key as the key's value";
            file.wrong("bedrock_key_config", message);
        }
        KeyAccess::Plain | KeyAccess::Azure { .. } => {
            if kind.key_variable().is_some() || kind.base_url().is_some() {
                file.wrong("value", "expected a secret, found an empty string");
            }
        }
    }
}

/// Notes aliases that lead back to where they began. A name that stands for itself does no harm.
fn check_aliases(aliases: &BTreeMap<String, String>, file: &Section<'_>) {
    for (first, target) in aliases {
        let mut at = target;
        for _ in 0..aliases.len() {
            match aliases.get(at).filter(|next| *next != at) {
                Some(next) if next == first && at != first => {
                    let message = format!("expected a model, found aliases that lead back to {first}");
                    return file.wrong(&format!("aliases.{first}"), message);
                }
                Some(next) => at = next,
                None => break,
            }
        }
    }
}
