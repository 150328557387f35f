//! Embeddings at Amazon Bedrock, which each family of models is asked for in its own way.
//!
//! - Amazon Titan, one text a call: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>
//! - Amazon Nova, one text a call: <https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html>
//! - Cohere: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html>

use hermod_types::RawObject;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::bedrock::{Bedrock, url};
use super::{Ask, Outgoing, Unsendable, cohere_embed};
use crate::answer::Answer;
use crate::embeddings::{EmbeddingRequest, Embeddings, Vectors};
use crate::literal::Literal;
use crate::request_body::{RequestBody, write_object};

/// Where Bedrock says how many tokens it has read.
const INPUT_TOKENS: &str = "x-amzn-bedrock-input-token-count";

impl Embeddings for Bedrock {
    fn most_inputs(&self, model: &str) -> usize {
        if is_cohere(model) { cohere_embed::MOST_TEXTS } else { 1 }
    }

    fn request(
        &self,
        ask: &Ask<'_>,
        request: &EmbeddingRequest<'_>,
        inputs: &[Literal<'_>],
    ) -> Result<Outgoing, Unsendable> {
        let text = inputs.first().ok_or(Unsendable::Unreadable)?;
        let body = if is_cohere(ask.model) {
            let mut body = RequestBody::new(&[]);
            cohere_embed::write(&mut body, request, inputs);
            body.finish()
        } else if is_nova(ask.model) {
            nova(request, text)?
        } else {
            titan(request, text)
        };
        Outgoing::new(&url(ask, "invoke")?, body)
    }

    fn read(&self, answer: &Answer) -> Result<Vectors, String> {
        let tokens = input_tokens(answer.headers());
        if let Ok(titan) = serde_json::from_str::<TitanAnswer<'_>>(answer.text()?) {
            let vector = titan.embedding.get().to_owned();
            return Ok(Vectors::of(vec![vector], titan.input_text_token_count.or(tokens)));
        }
        if let Ok(nova) = serde_json::from_str::<NovaAnswer<'_>>(answer.text()?) {
            let objects = nova.embeddings.iter().map(|object| object.get("embedding"));
            let vectors = objects.map(|vector| vector.map(|vector| vector.get().to_owned()));
            let vectors = vectors.collect::<Option<_>>().ok_or("its answer has no embedding")?;
            return Ok(Vectors::of(vectors, tokens));
        }
        Ok(Vectors::of(cohere_embed::read(answer)?.vectors, tokens))
    }
}

fn titan(request: &EmbeddingRequest<'_>, text: &Literal<'_>) -> String {
    let mut body = RequestBody::new(&[]);
    body.own("inputText", text.as_json());
    if let Some(dimensions) = request.dimensions {
        body.own("dimensions", dimensions);
    }
    for (name, value) in &request.members {
        body.client(name, value);
    }
    body.finish()
}

fn nova(request: &EmbeddingRequest<'_>, text: &Literal<'_>) -> Result<String, Unsendable> {
    let is_known = |name: &str| matches!(name, "embeddingPurpose" | "truncationMode");
    if let Some((name, _)) = request.members.iter().find(|(name, _)| !is_known(name)) {
        return Err(Unsendable::Member(name.clone().into_owned()));
    }
    // A text that is too long is an error, as it is at OpenAI.
    let text = write_object(&[
        ("truncationMode", Some(request.member("truncationMode").unwrap_or("\"NONE\""))),
        ("value", Some(text.as_json())),
    ]);
    let parameters = write_object(&[
        ("embeddingPurpose", Some(request.member("embeddingPurpose").unwrap_or("\"GENERIC_INDEX\""))),
        ("embeddingDimension", request.dimensions),
        ("text", Some(&text)),
    ]);
    Ok(write_object(&[
        ("taskType", Some("\"SINGLE_EMBEDDING\"")),
        ("singleEmbeddingParams", Some(&parameters)),
    ]))
}

/// Its id, that of an inference profile and a foundation model's ARN all name the maker.
fn is_cohere(model: &str) -> bool {
    model.contains("cohere.")
}

fn is_nova(model: &str) -> bool {
    model.contains("amazon.nova")
}

fn input_tokens(headers: &HeaderMap) -> Option<u64> {
    headers.get(INPUT_TOKENS)?.to_str().ok()?.parse().ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TitanAnswer<'a> {
    #[serde(borrow)]
    embedding: &'a RawValue,
    #[serde(default)]
    input_text_token_count: Option<u64>,
}

#[derive(Deserialize)]
struct NovaAnswer<'a> {
    #[serde(borrow)]
    embeddings: Vec<RawObject<'a>>,
}
