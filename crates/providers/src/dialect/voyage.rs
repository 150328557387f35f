//! Voyage AI.
//!
//! - Embeddings: <https://docs.voyageai.com/reference/embeddings-api>
//! - Rerank: <https://docs.voyageai.com/reference/reranker-api>
//! - Errors: <https://docs.voyageai.com/docs/error-codes>
//!
//! Both are near to OpenAI's and Cohere's, under other names.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Ask, Dialect, Outgoing, Unsendable, below, post};
use crate::answer::Answer;
use crate::chat::Usage;
use crate::embeddings::{EmbeddingRequest, Embeddings, Vectors};
use crate::error_form::ErrorForm;
use crate::literal::Literal;
use crate::request_body::RequestBody;
use crate::rerank::{Ranked, Ranking, Rerank, RerankRequest};

/// Most texts of a call.
const MOST_TEXTS: usize = 1_000;

#[derive(Debug)]
pub(super) struct Voyage;

impl ErrorForm for Voyage {}

impl Dialect for Voyage {
    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    fn rerank(&self) -> Option<&dyn Rerank> {
        Some(self)
    }
}

impl Embeddings for Voyage {
    fn most_inputs(&self, _: &str) -> usize {
        MOST_TEXTS
    }

    fn request(
        &self,
        ask: &Ask<'_>,
        request: &EmbeddingRequest<'_>,
        inputs: &[Literal<'_>],
    ) -> Result<Outgoing, Unsendable> {
        let mut body = RequestBody::new(&[]);
        body.model(ask.model);
        body.own("input", &EmbeddingRequest::array(inputs));
        if let Some(dimensions) = request.dimensions {
            body.own("output_dimension", dimensions);
        }
        for (name, value) in &request.members {
            body.client(name, value);
        }
        post(ask, &below(ask.base, "v1/embeddings"), body.finish())
    }

    fn read(&self, answer: &Answer) -> Result<Vectors, String> {
        let mut answer: Listed<Embedded<'_>> = list(answer.text()?)?;
        answer.data.sort_by_key(|embedded| embedded.index);
        let vectors = answer.data.iter().map(|embedded| embedded.embedding.get().to_owned()).collect();
        Ok(Vectors::of(vectors, answer.usage.map(|usage| usage.total_tokens)))
    }
}

impl Rerank for Voyage {
    fn request(&self, ask: &Ask<'_>, request: &RerankRequest<'_>) -> Result<Outgoing, Unsendable> {
        let mut body = RequestBody::new(&[]);
        body.model(ask.model);
        body.own("query", request.query.as_json());
        body.own("documents", &request.texts());
        if request.top_n.is_some() {
            body.own("top_k", &request.wanted().to_string());
        }
        for (name, value) in &request.members {
            body.client(name, value);
        }
        post(ask, &below(ask.base, "v1/rerank"), body.finish())
    }

    fn read(&self, answer: &Answer) -> Result<Ranking, String> {
        let answer: Listed<Scored<'_>> = list(answer.text()?)?;
        let results = answer.data.iter().map(|scored| Ranked::of(scored.index, scored.relevance_score.get()));
        Ok(Ranking {
            results: results.collect::<Option<_>>().ok_or("its scores are not numbers")?,
            usage: answer.usage.map(|usage| Usage::of(usage.total_tokens, 0)),
            ..Ranking::default()
        })
    }
}

fn list<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<Listed<T>, String> {
    serde_json::from_str(answer).map_err(|_| "its answer is not a list of what was asked for".to_owned())
}

#[derive(Deserialize)]
struct Listed<T> {
    data: Vec<T>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Tokens {
    total_tokens: u64,
}

#[derive(Deserialize)]
struct Embedded<'a> {
    index: usize,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

#[derive(Deserialize)]
struct Scored<'a> {
    index: usize,
    #[serde(borrow)]
    relevance_score: &'a RawValue,
}
