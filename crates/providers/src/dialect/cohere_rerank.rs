//! Cohere's rerank: <https://docs.cohere.com/reference/rerank>
//!
//! Its documents are texts, and its answers have none.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::cohere::{Cohere, root};
use super::{Ask, Outgoing, Unsendable, post};
use crate::answer::Answer;
use crate::request_body::RequestBody;
use crate::rerank::{Ranked, Ranking, Rerank, RerankRequest};

impl Rerank for Cohere {
    fn request(&self, ask: &Ask<'_>, request: &RerankRequest<'_>) -> Result<Outgoing, Unsendable> {
        let mut body = RequestBody::new(&[]);
        body.model(ask.model);
        write(&mut body, request);
        post(ask, &format!("{}/v2/rerank", root(ask.base)), body.finish())
    }

    fn read(&self, answer: &Answer) -> Result<Ranking, String> {
        read(answer)
    }
}

/// All of a request but the model.
pub(super) fn write<'a>(body: &mut RequestBody<'a>, request: &'a RerankRequest<'_>) {
    body.own("query", request.query.as_json());
    body.own("documents", &request.texts());
    if request.top_n.is_some() {
        body.own("top_n", &request.wanted().to_string());
    }
    for (name, value) in &request.members {
        body.client(name, value);
    }
}

pub(super) fn read(answer: &Answer) -> Result<Ranking, String> {
    let unlike = || "its answer is not a ranking".to_owned();
    let answer: RerankAnswer<'_> = serde_json::from_str(answer.text()?).map_err(|_| unlike())?;
    let results = answer.results.iter().map(|result| Ranked::of(result.index, result.relevance_score.get()));
    Ok(Ranking {
        id: answer.id,
        results: results.collect::<Option<_>>().ok_or_else(unlike)?,
        usage: None,
        meta: answer.meta.map(|meta| meta.get().to_owned()),
    })
}

#[derive(Deserialize)]
struct RerankAnswer<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow)]
    results: Vec<Scored<'a>>,
    #[serde(borrow, default)]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Scored<'a> {
    index: usize,
    /// Amazon's way to write it is the other.
    #[serde(borrow, alias = "relevanceScore")]
    relevance_score: &'a RawValue,
}
