use std::borrow::Cow;

use hermod_types::RawObject;
use serde_json::value::RawValue;

use crate::literal::Literal;

/// A request of rerank, in Cohere's form: <https://docs.cohere.com/reference/rerank>
#[derive(Debug)]
pub(crate) struct RerankRequest<'a> {
    pub(crate) query: Literal<'a>,
    pub(crate) documents: Vec<Document<'a>>,
    /// Most results.
    pub(crate) top_n: Option<usize>,
    /// Whether the results have the documents, too.
    pub(crate) return_documents: bool,
    /// All other members that have a value, as JSON: `max_tokens_per_doc`, …, and what is a provider's own.
    pub(crate) members: Vec<(Cow<'a, str>, &'a str)>,
}

/// What is ranked.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    pub(crate) text: Literal<'a>,
    /// The object that the client wrote, with what else it has.
    pub(crate) object: Option<&'a str>,
}

impl<'a> RerankRequest<'a> {
    pub(crate) fn parse(body: &'a str) -> Option<Self> {
        let object: RawObject<'a> = serde_json::from_str(body).ok()?;
        let documents: Vec<&RawValue> = serde_json::from_str(object.get("documents")?.get()).ok()?;
        let mut request = Self {
            query: Literal::from_json(object.get("query")?.get())?,
            documents: documents
                .into_iter()
                .map(|json| Document::parse(json.get()))
                .collect::<Option<_>>()?,
            top_n: None,
            return_documents: false,
            members: Vec::new(),
        };
        for (name, value) in object.into_members() {
            match (name.as_ref(), value.get()) {
                (_, "null") | ("query" | "documents", _) => {}
                // More than there can be is all.
                ("top_n", json) => request.top_n = json.parse().ok(),
                ("return_documents", json) => request.return_documents = json == "true",
                (_, json) => request.members.push((name, json)),
            }
        }
        Some(request)
    }

    /// How many results there will be.
    pub(crate) fn wanted(&self) -> usize {
        self.top_n.map_or(self.documents.len(), |most| most.min(self.documents.len()))
    }

    /// The documents' texts as a JSON array.
    pub(crate) fn texts(&self) -> String {
        let mut out = "[".to_owned();
        for document in &self.documents {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(document.text.as_json());
        }
        out.push(']');
        out
    }
}

impl<'a> Document<'a> {
    fn parse(json: &'a str) -> Option<Self> {
        if let Some(text) = Literal::from_json(json) {
            return Some(Self { text, object: None });
        }
        let object: RawObject<'a> = serde_json::from_str(json).ok()?;
        Some(Self { text: Literal::from_json(object.get("text")?.get())?, object: Some(json) })
    }

    /// As a result has it.
    pub(super) fn write(&self, out: &mut String) {
        if let Some(object) = self.object {
            out.push_str(object);
        } else {
            out.push_str("{\"text\":");
            out.push_str(self.text.as_json());
            out.push('}');
        }
    }
}
