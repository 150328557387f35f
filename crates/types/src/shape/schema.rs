//! Shapes as JSON Schema, so that what is documented of a request is what is checked.

use serde_json::{Map, Value, json};

use super::{Member, Members, Shape, Tagged};
use crate::operation::{FormRules, JsonRules};
use crate::request::MAX_FALLBACKS;

impl JsonRules {
    /// A JSON body: the members that are known. Others pass.
    pub(crate) fn schema(&self) -> Value {
        let mut properties = properties(self.known);
        properties.insert("model".to_owned(), json!({"type": "string"}));
        let fallbacks =
            json!({"type": ["array", "null"], "items": {"type": "string"}, "maxItems": MAX_FALLBACKS});
        properties.insert("fallbacks".to_owned(), fallbacks);
        properties.insert("stream".to_owned(), json!({"enum": [false, null]}));
        json!({"type": "object", "properties": properties, "additionalProperties": true})
    }
}

impl FormRules {
    /// The fields and files of a form. Others pass.
    pub(crate) fn schema(&self) -> Value {
        let mut properties = Map::new();
        properties.insert("model".to_owned(), json!({"type": "string"}));
        let fallbacks = json!({"type": "array", "items": {"type": "string"}, "maxItems": MAX_FALLBACKS});
        properties.insert("fallbacks".to_owned(), fallbacks);
        properties.insert("stream".to_owned(), json!({"enum": ["false"]}));
        for name in self.integers {
            properties.insert((*name).to_owned(), json!({"type": "integer"}));
        }
        let file = json!({"type": "string", "contentMediaType": "application/octet-stream"});
        for name in self.files {
            let is_list = name.ends_with("[]");
            let one_or_many = if is_list { json!({"type": "array", "items": file}) } else { file.clone() };
            properties.insert((*name).to_owned(), one_or_many);
        }
        json!({"type": "object", "properties": properties, "additionalProperties": true})
    }
}

/// `null` is as good as absent.
fn properties(members: &[Member]) -> Map<String, Value> {
    members.iter().map(|(name, shape)| ((*name).to_owned(), or_null(shape.schema()))).collect()
}

fn or_null(schema: Value) -> Value {
    let Value::Object(mut members) = schema else { return schema };
    if let Some(kind @ Value::String(_)) = members.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    } else if let Some(Value::Array(any)) = members.get_mut("anyOf") {
        any.push(json!({"type": "null"}));
    }
    Value::Object(members)
}

impl Shape {
    fn schema(self) -> Value {
        let token = || json!({"type": "integer", "minimum": 0});
        let list = |items: Value| json!({"type": "array", "items": items});
        let any = |schemas: Vec<Value>| json!({"anyOf": schemas});
        let string = || json!({"type": "string"});
        let prompt = || vec![string(), list(string()), list(token()), list(list(token()))];
        match self {
            Self::Any => json!({}),
            Self::Boolean => json!({"type": "boolean"}),
            Self::Integer => json!({"type": "integer"}),
            Self::Number => json!({"type": "number"}),
            Self::String => string(),
            Self::Strings => list(string()),
            Self::StringOrStrings => any(vec![string(), list(string())]),
            Self::Integers => list(token()),
            Self::Object => json!({"type": "object"}),
            Self::NumberByToken => json!({"type": "object", "additionalProperties": {"type": "number"}}),
            Self::Prompt => any(prompt()),
            Self::PromptOrParts => {
                let parts = list(json!({"type": "object"}));
                any(prompt().into_iter().chain([parts]).collect())
            }
            Self::StringOr(other) => any(vec![string(), other.schema()]),
            Self::Each(of) => list(of.schema()),
            Self::Members(members) => members.schema(),
            Self::Tagged(tagged) => tagged.schema(),
        }
    }
}

impl Members {
    fn schema(&self) -> Value {
        let mut schema = json!({"type": "object", "properties": properties(self.known)});
        // Of what must be there, `null` is nothing.
        for name in self.needed {
            if let Some((_, shape)) = self.known.iter().find(|(known, _)| known == name) {
                schema["properties"][*name] = shape.schema();
            }
        }
        if !self.needed.is_empty() {
            schema["required"] = json!(self.needed);
        }
        schema
    }
}

impl Tagged {
    /// A variant for each kind; one for the others where they pass, and one for what has no tag.
    fn schema(&self) -> Value {
        let with_tag = |mut schema: Value, tag: Value| {
            schema["properties"][self.tag] = tag;
            let needed = schema["required"].as_array().cloned().unwrap_or_default();
            let needed: Vec<Value> =
                needed.into_iter().filter(|name| name != self.tag).chain([json!(self.tag)]).collect();
            schema["required"] = Value::Array(needed);
            schema
        };
        let kinds =
            self.kinds.iter().map(|(kind, members)| with_tag(members.schema(), json!({"const": kind})));
        let mut variants: Vec<Value> = kinds.collect();
        if self.is_open {
            let known: Vec<&str> = self.kinds.iter().map(|(kind, _)| *kind).collect();
            let other = json!({"type": "string", "not": {"enum": known}});
            variants.push(with_tag(json!({"type": "object", "properties": {}}), other));
        }
        if let Some(untagged) = self.untagged {
            let mut schema = untagged.schema();
            schema["properties"][self.tag] = json!({"type": "null"});
            variants.push(schema);
        }
        json!({"type": "object", "anyOf": variants})
    }
}
