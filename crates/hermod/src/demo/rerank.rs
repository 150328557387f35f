use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Say, new_id};
use super::request::{Refusal, Request};

#[derive(Deserialize)]
struct Rerank {
    query: String,
    documents: Vec<Value>,
    top_n: Option<usize>,
    #[serde(default)]
    return_documents: bool,
}

/// The documents by the share of the query's words that they have, in the form of
/// [Cohere's](https://docs.cohere.com/reference/rerank).
pub(super) fn answer(request: &Request, say: Say) -> Result<Answer, Refusal> {
    let rerank: Rerank = request.json()?;
    let lower = |text: &str| text.split_whitespace().map(str::to_lowercase).collect::<HashSet<_>>();
    let wanted = lower(&rerank.query);
    let mut scores = Vec::with_capacity(rerank.documents.len());
    for (index, document) in rerank.documents.iter().enumerate() {
        let text = document.as_str().or_else(|| document["text"].as_str());
        let text = text.ok_or_else(|| Refusal(format!("documents[{index}]: expected a text")))?;
        let count = |words: usize| f64::from(u32::try_from(words).unwrap_or(u32::MAX));
        let shared = wanted.intersection(&lower(text)).count();
        scores.push((index, count(shared) / count(wanted.len().max(1)), text));
    }
    scores.sort_by(|(_, one, _), (_, other, _)| other.total_cmp(one));
    let best = scores.into_iter().take(rerank.top_n.unwrap_or(usize::MAX));
    let results: Vec<_> = best
        .map(|(index, score, text)| {
            let mut result = json!({"index": index, "relevance_score": score});
            if rerank.return_documents {
                result["document"] = json!({"text": say.text(text)});
            }
            result
        })
        .collect();
    Answer::json(&json!({
        "id": new_id("rerank-"),
        "model": request.model,
        "results": results,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }))
}
