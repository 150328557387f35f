use std::borrow::Cow;

use hermod_types::RawObject;
use serde_json::value::RawValue;

use crate::literal::Literal;

/// A request for embeddings of texts, in OpenAI's form: <https://platform.openai.com/docs/api-reference/embeddings/create>
#[derive(Debug)]
pub(crate) struct EmbeddingRequest<'a> {
    /// As the client wrote them; never empty.
    pub(crate) inputs: Vec<Literal<'a>>,
    /// How the client wants the vectors.
    pub(crate) encoding: VectorEncoding,
    /// Length of a vector: a JSON integer.
    pub(crate) dimensions: Option<&'a str>,
    /// All other members that have a value, as JSON: what is a provider's own. `user` changes nothing and is not among them.
    pub(crate) members: Vec<(Cow<'a, str>, &'a str)>,
}

/// How a vector is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum VectorEncoding {
    /// An array of numbers.
    #[default]
    Float,
    /// Base64 of 32-bit floats, the least significant byte first. OpenAI's SDKs ask for it unless told otherwise.
    Base64,
}

impl<'a> EmbeddingRequest<'a> {
    /// None if it has other inputs than texts.
    pub(crate) fn parse(body: &'a str) -> Option<Self> {
        let object: RawObject<'a> = serde_json::from_str(body).ok()?;
        let mut request = Self {
            inputs: Vec::new(),
            encoding: VectorEncoding::Float,
            dimensions: None,
            members: Vec::new(),
        };
        for (name, value) in object.into_members() {
            match (name.as_ref(), value.get()) {
                (_, "null") | ("user", _) => {}
                ("input", json) => request.inputs = texts(json)?,
                ("encoding_format", json) => request.encoding = encoding(json)?,
                ("dimensions", json) => request.dimensions = Some(json),
                (_, json) => request.members.push((name, json)),
            }
        }
        (!request.inputs.is_empty()).then_some(request)
    }

    /// The JSON of a member that is a provider's own.
    pub(crate) fn member(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|(own, _)| own == name).map(|(_, json)| *json)
    }

    /// `texts` as a JSON array.
    pub(crate) fn array(texts: &[Literal<'_>]) -> String {
        let mut out = "[".to_owned();
        for text in texts {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(text.as_json());
        }
        out.push(']');
        out
    }
}

fn encoding(json: &str) -> Option<VectorEncoding> {
    match &*Literal::from_json(json)?.decode() {
        "float" => Some(VectorEncoding::Float),
        "base64" => Some(VectorEncoding::Base64),
        _ => None,
    }
}

fn texts(json: &str) -> Option<Vec<Literal<'_>>> {
    if let Some(alone) = Literal::from_json(json) {
        return Some(vec![alone]);
    }
    let inputs: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    inputs.into_iter().map(|input| text(input.get())).collect()
}

/// A text, or a content part that is one.
fn text(json: &str) -> Option<Literal<'_>> {
    if let Some(text) = Literal::from_json(json) {
        return Some(text);
    }
    let part: RawObject<'_> = serde_json::from_str(json).ok()?;
    let is_text = part.get("type").is_none_or(|kind| kind.get() == "\"text\"");
    Literal::from_json(part.get("text").filter(|_| is_text)?.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_read_as_they_were_written() {
        let body = r#"{"input":["caf\u00e9",{"type":"text","text":"b"}],"dimensions":256,"user":"u",
            "encoding_format":"base64","input_type":"search_query","truncate":null}"#;
        let request = EmbeddingRequest::parse(body).unwrap();
        assert_eq!(EmbeddingRequest::array(&request.inputs), r#"["caf\u00e9","b"]"#);
        assert_eq!((request.encoding, request.dimensions), (VectorEncoding::Base64, Some("256")));
        assert_eq!(request.member("input_type"), Some("\"search_query\""));
        assert_eq!(request.members.len(), 1);
    }

    #[test]
    fn what_is_no_text_is_not_read() {
        for input in ["[]", "[1,2]", "[[1],[2]]", r#"[{"type":"image","text":"x"}]"#, "null"] {
            assert!(EmbeddingRequest::parse(&format!("{{\"input\":{input}}}")).is_none(), "{input}");
        }
        assert!(EmbeddingRequest::parse(r#"{"input":"x","encoding_format":"int8"}"#).is_none());
    }
}
