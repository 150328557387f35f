use super::rules::{JsonRules, Rules, need, refuse_if};
use crate::shape::{MAX_MEMBERS, Members, Shape, find_element, is_blank};
use crate::{InvalidRequest, RawObject};

/// <https://docs.cohere.com/reference/rerank>, and Bifrost's documents.
pub(super) const RULES: Rules = Rules::Json(JsonRules {
    known: &[
        ("query", Shape::String),
        ("documents", Shape::Each(&Shape::StringOr(&Shape::Members(&DOCUMENT)))),
        ("top_n", Shape::Integer),
        ("max_tokens_per_doc", Shape::Integer),
        ("priority", Shape::Integer),
        ("return_documents", Shape::Boolean),
    ],
    required,
    ..JsonRules::NONE
});

const DOCUMENT: Members = Members { known: &[("text", Shape::String)], needed: &[] };

fn required(object: &RawObject<'_>) -> Result<(), InvalidRequest> {
    refuse_if(is_blank(object.get("query")), "query", "query is required for rerank")?;
    need(object, "documents", "documents are required for rerank")?;
    let documents = object.get("documents").map_or("[]", |documents| documents.get());
    let blank = find_element(documents, |document| match RawObject::bounded(document.get(), MAX_MEMBERS) {
        Ok(document) => is_blank(document.get("text")),
        Err(_) => is_blank(Some(document)),
    });
    if let Some(index) = blank {
        let message = format!("document text is required for rerank at index {index}");
        return Err(InvalidRequest::rule(&format!("documents[{index}]"), message));
    }
    let is_below_one = |number: &str| number.starts_with('-') || number == "0";
    let top_n = object.get("top_n").is_some_and(|number| is_below_one(number.get()));
    refuse_if(top_n, "top_n", "top_n must be at least 1")
}
