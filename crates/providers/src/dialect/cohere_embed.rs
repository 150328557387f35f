//! Cohere's embeddings: <https://docs.cohere.com/reference/embed>
//!
//! A call takes up to 96 texts, and must say what the vectors are for. Its models at Amazon Bedrock take and give the same, less the
//! model's name.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::cohere::{Cohere, root};
use super::{Ask, Outgoing, Unsendable, post};
use crate::answer::Answer;
use crate::chat::whole;
use crate::embeddings::{EmbeddingRequest, Embeddings, Vectors};
use crate::literal::Literal;
use crate::request_body::RequestBody;

pub(super) const MOST_TEXTS: usize = 96;

impl Embeddings for Cohere {
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
        write(&mut body, request, inputs);
        post(ask, &format!("{}/v2/embed", root(ask.base)), body.finish())
    }

    fn read(&self, answer: &Answer) -> Result<Vectors, String> {
        read(answer)
    }
}

/// All of a request but the model.
pub(super) fn write<'a>(
    body: &mut RequestBody<'a>,
    request: &'a EmbeddingRequest<'_>,
    inputs: &[Literal<'_>],
) {
    body.own("texts", &EmbeddingRequest::array(inputs));
    // Bifrost's, where the client does not say it.
    body.own("input_type", request.member("input_type").unwrap_or("\"search_document\""));
    body.own("embedding_types", "[\"float\"]");
    if let Some(dimensions) = request.dimensions {
        body.own("output_dimension", dimensions);
    }
    for (name, value) in &request.members {
        body.client(name, value);
    }
}

/// Reads an answer, in which the vectors are by type, or of floats alone.
pub(super) fn read(answer: &Answer) -> Result<Vectors, String> {
    let unlike = |_| "its answer is not one of embeddings".to_owned();
    let answer: EmbedAnswer<'_> = serde_json::from_str(answer.text()?).map_err(unlike)?;
    let embeddings = answer.embeddings.get();
    let floats = if embeddings.starts_with('[') {
        serde_json::from_str(embeddings).map_err(unlike)?
    } else {
        serde_json::from_str::<ByType<'_>>(embeddings).map_err(unlike)?.float
    };
    let tokens = answer.meta.and_then(|meta| meta.billed_units).and_then(|billed| billed.input_tokens);
    Ok(Vectors::of(floats.into_iter().map(|vector| vector.get().to_owned()).collect(), tokens.map(whole)))
}

#[derive(Deserialize)]
struct EmbedAnswer<'a> {
    #[serde(borrow)]
    embeddings: &'a RawValue,
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct ByType<'a> {
    #[serde(borrow)]
    float: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    billed_units: Option<Billed>,
}

#[derive(Deserialize)]
struct Billed {
    #[serde(default)]
    input_tokens: Option<f64>,
}
